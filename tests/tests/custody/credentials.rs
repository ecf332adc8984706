//! Who the controller is to the vault, and the ways to it.

use super::Scene;
use privyseal_tests::entra::{Entra, TENANT};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::key_vault::{KeyVault, VaultOptions};
use privyseal_tests::objects::{self, wait_for_condition};
use privyseal_tests::sealing::{Sealer, privyseal};
use privyseal_tests::vaulted::{CLIENT_ID, KEY, Vaulted};
use privyseal_tests::{ConnectProxy, ControlPlane, Controller, ControllerOptions};
use serde_json::Value;

impl Scene<'_> {
    /// Starts the controller anew, with these options.
    async fn restart_as(&mut self, options: ControllerOptions) {
        self.controller.stop();
        self.vaulted.entra.forget_exchanges();
        self.vaulted.vault.forget_calls();
        self.controller = Controller::start(&self.vaulted.release, options).await;
    }
}

#[tokio::test]
async fn each_credential_leads_to_the_vault_and_no_other_is_tried() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::set(&control_plane, "key-vault-wrapped").await;
    scene.apply("db", "1").await;
    scene.is_right("db", "1").await;

    let vaulted = &scene.vaulted;
    vaulted.entra.registered_with_secret(CLIENT_ID, TENANT, "a-client-secret");
    let with_secret = vaulted
        .options()
        .arg("--azure-credential=client-secret")
        .env("AZURE_CLIENT_SECRET", "a-client-secret")
        .without_env("AZURE_FEDERATED_TOKEN_FILE");
    vaulted.entra.registered_managed(CLIENT_ID, TENANT);
    let managed = vaulted
        .options()
        .arg("--azure-credential=managed-identity")
        .env("IDENTITY_ENDPOINT", &vaulted.entra.identity_endpoint())
        .env("IDENTITY_HEADER", "any")
        .without_env("AZURE_FEDERATED_TOKEN_FILE");
    for (number, options) in [with_secret, managed].into_iter().enumerate() {
        scene.restart_as(options).await;
        let name = format!("as-{number}");
        scene.apply(&name, "2").await;
        scene.is_right(&name, "2").await;
        assert_eq!(scene.vaulted.entra.exchanges().len(), 1);
        assert_eq!(scene.vaulted.vault.count("unwrapKey"), 2);
    }

    // A secret that is wrong is told, and the token that lies beside it is not tried.
    scene.controller.stop();
    scene.vaulted.entra.forget_exchanges();
    let wrong = scene
        .vaulted
        .options()
        .arg("--azure-credential=client-secret")
        .env("AZURE_CLIENT_SECRET", "another-secret");
    scene.controller = Controller::launch(&scene.vaulted.release, wrong).await;
    eventually(PATIENCE, async || {
        let logs = scene.controller.logs();
        if logs.contains("AADSTS7000215") { Ok(()) } else { Err(logs) }
    })
    .await;
    assert!(scene.vaulted.entra.exchanges().iter().all(|exchange| exchange.status != Some(200)));
    assert!(!scene.controller.logs().contains("another-secret"));
}

#[tokio::test]
async fn a_proxy_leads_to_the_vault_and_to_its_tokens() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::set(&control_plane, "key-vault-wrapped").await;
    let proxy = ConnectProxy::start();
    scene.restart_as(scene.vaulted.options().env("HTTPS_PROXY", &proxy.url())).await;
    scene.apply("db", "1").await;
    scene.is_right("db", "1").await;
    let targets = proxy.targets();
    for url in [scene.vaulted.vault.url(), &scene.vaulted.entra.authority()] {
        let host = url.trim_start_matches("https://").split('/').next().unwrap();
        assert!(targets.iter().any(|target| target == host), "{host} is not among {targets:?}");
    }
}

/// The vault trusts another tenant than the one that tokens come from: objects say so, and what to look at.
#[tokio::test]
async fn a_vault_of_another_tenant_says_so() {
    let control_plane = ControlPlane::start();
    let entra = Entra::start();
    let options =
        VaultOptions { tenant: "00000000-aaaa-4000-8000-00000000beef".to_owned(), ..Default::default() };
    let vault = KeyVault::start_with(&entra, options);
    vault.create_key(KEY);
    let vaulted = Vaulted::with(&control_plane, entra, vault, "key-vault-wrapped").await;
    let made = privyseal(&["keys", "generate", "--size", "2048", "-n", "any", "-o", "json"], "");
    let key: Value = serde_json::from_slice(&made.stdout).unwrap();
    let pem = base64::Engine::decode(
        &base64::engine::general_purpose::STANDARD,
        key["data"]["tls.crt"].as_str().unwrap(),
    );
    let namespace = control_plane.namespace("tenant").await;
    let sealer = Sealer::to(&String::from_utf8(pem.unwrap()).unwrap());
    let client = control_plane.client();
    objects::apply(&client, None, &sealer.seal(&namespace, "db", &[("a", "1")], &[])).await;
    let controller = Controller::launch(&vaulted.release, vaulted.options()).await;
    let told = wait_for_condition(&client, &namespace, "db", "Reconciling", "True").await;
    assert_eq!(told.reason, "KeyVaultUnavailable", "{}\n{}", told.message, controller.logs());
    assert!(told.message.contains("tenant"), "{}", told.message);
}
