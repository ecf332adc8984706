//! A cluster whose controller keeps private halves in a vault, and people who manage its keys.

use crate::{Azure, Desk, Finding, KEY, MACHINE, MACHINE_SECRET, PERSON, SECRET, encoded, flags, of, told};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use privyseal_tests::age_keys::keeper;
use privyseal_tests::entra::TENANT;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::key_vault::{KeyVault, Role};
use privyseal_tests::objects::{self, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::json;
use std::path::Path;

const NAMESPACE: &str = "privyseal";
const LABEL: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";
const PUBLISHER: &str = "privyseal-publisher-key";
const WAS_IN_CLEAR: &str = "privyseal.dev/was-in-clear";

/// A control plane with what the chart installs.
async fn installed(control_plane: &ControlPlane) -> Release<'_> {
    let release =
        Release::install(control_plane, ReleaseOptions::default().place("privyseal", NAMESPACE)).await;
    let apps = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apps"}});
    objects::apply(&control_plane.client(), None, &apps).await;
    release
}

/// As the chart configures it, by a credential that needs no cluster.
fn in_vault(azure: &Azure, vault: &KeyVault, custody: &str) -> ControllerOptions {
    let ca_file = vault.ca_file().to_string_lossy().into_owned();
    let args = [
        format!("--custody={custody}"),
        format!("--key-vault-url={}", vault.url()),
        "--key-vault-emulator".to_owned(),
        "--azure-credential=client-secret".to_owned(),
        format!("--azure-tenant-id={TENANT}"),
        format!("--azure-client-id={MACHINE}"),
        format!("--azure-authority-host={}", azure.entra.authority()),
        format!("--azure-ca-file={ca_file}"),
    ];
    let options = args.iter().fold(ControllerOptions::default(), |options, arg| options.arg(arg));
    options.env("AZURE_CLIENT_SECRET", MACHINE_SECRET)
}

fn cluster(kubeconfig: &Path) -> String {
    format!("--context it --kubeconfig {} --controller-namespace {NAMESPACE}", kubeconfig.display())
}

/// All key Secrets, by their names.
async fn keys(control_plane: &ControlPlane) -> Vec<Secret> {
    let secrets = Api::<Secret>::namespaced(control_plane.client(), NAMESPACE);
    secrets.list(&ListParams::default().labels(LABEL)).await.unwrap().items
}

async fn secret(control_plane: &ControlPlane, name: &str) -> Option<Secret> {
    Api::<Secret>::namespaced(control_plane.client(), NAMESPACE).get_opt(name).await.unwrap()
}

/// Whether the private half is elsewhere, and what says where.
fn kept(secret: &Secret, private_item: &str) -> Option<String> {
    let data = secret.data.as_ref().unwrap();
    let custody = String::from_utf8(data.get("custody.json")?.0.clone()).unwrap();
    assert!(data[private_item].0.is_empty(), "{custody}");
    Some(custody)
}

/// Until the leader has published its keys. The cluster's publisher is pinned by that.
async fn published(desk: &Desk, cluster: &str) {
    eventually(PATIENCE, async || match desk.run(&format!("keys fetch {cluster}")) {
        output if output.status.success() => Ok(()),
        output => Err(told(&output)),
    })
    .await;
}

#[track_caller]
fn level<'a>(findings: &'a [Finding], check: &str) -> &'a str {
    &of(findings, check).level
}

#[tokio::test]
async fn keys_that_a_vault_keeps_are_managed_backed_up_and_restored_as_any_other() {
    let recipient = &keeper().recipient;
    let azure = Azure::start();
    let desk = Desk::new(&azure);
    desk.write("identity.txt", &keeper().identity);
    let control_plane = ControlPlane::start();
    let release = installed(&control_plane).await;
    let mut controller =
        Controller::start(&release, in_vault(&azure, &azure.vault, "key-vault-wrapped")).await;
    let sealer = Sealer::of(&controller).await;
    let object = sealer.seal("apps", "db", &[("password", "canary-one")], &[]);
    desk.write("tree/db.json", &object.to_string());
    objects::apply(&control_plane.client(), None, &object).await;
    wait_for_secret(&control_plane.client(), "apps", "db", &[("password", b"canary-one")]).await;
    let of_cluster = cluster(&control_plane.admin_kubeconfig_with_token().await);
    published(&desk, &of_cluster).await;
    let vault = azure.flags();

    // The life of keys looks at certificates, and asks no vault.
    azure.vault.revoke(PERSON, Role::KeyVaultCryptoServiceEncryptionUser);
    let list = desk.does(&format!("keys list {of_cluster}"));
    assert!(list.contains("sealing") && list.contains("key-vault-wrapped"), "{list}");
    assert!(!list.contains("was in the clear"), "{list}");
    let old = list.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    desk.does(&format!("keys rotate {of_cluster}"));
    let report = desk.does(&format!("keys report {of_cluster}"));
    assert!(report.lines().any(|line| line.starts_with(&old) && line.contains("opening only")), "{report}");
    let said = desk.fails(&format!("keys retire {old} --cluster-only {of_cluster}"), 1);
    assert!(said.contains("1 values need it"), "{said}");
    desk.does(&format!("keys compromised {old} {of_cluster}"));
    desk.does(&format!("keys retire {old} --cluster-only --force {of_cluster}"));
    let json = desk.does(&format!("keys list {of_cluster} -o json"));
    assert!(json.contains("\"custody\": \"key-vault-wrapped\"") && json.contains("\"retired\""), "{json}");
    let (findings, _) = desk.doctor(&of_cluster);
    for check in ["key-custody", "once-in-clear", "publisher-custody", "publisher-move"] {
        assert_eq!(level(&findings, check), "ok", "{findings:#?}");
    }
    assert!(of(&findings, "key-custody").what.contains("2 keys, kept by key-vault-wrapped"), "{findings:#?}");
    assert!(of(&findings, "publisher-custody").what.contains("key-vault-wrapped"), "{findings:#?}");

    // What is exported opens with the vault, and with nothing else.
    let exported =
        control_plane.kubectl_ok(&["get", "secrets", "-n", NAMESPACE, "-l", LABEL, "-o", "yaml"], "");
    desk.write("keys.yaml", &exported);
    let said = desk.fails("unseal --key keys.yaml tree/db.json", 2);
    assert!(said.contains("kept by key-vault-wrapped") && said.contains("--key-vault URL"), "{said}");
    let said = desk.fails(&format!("unseal --key keys.yaml {vault} tree/db.json"), 3);
    assert!(said.contains("Key Vault Crypto Service Encryption User"), "{said}");
    azure.vault.grant(PERSON, Role::KeyVaultCryptoServiceEncryptionUser);
    let said = desk.does(&format!("unseal --key keys.yaml {vault} tree/db.json"));
    assert!(said.contains(&encoded("canary-one")), "{said}");

    // A backup is of all, or none.
    let back_up =
        format!("keys backup {of_cluster} --for prod --recipient {recipient} --out-file prod.backup");
    let said = desk.fails(&back_up, 2);
    assert!(said.contains("kept by key-vault-wrapped") && said.contains("--key-vault URL"), "{said}");
    azure.vault.outage(true);
    desk.fails(&format!("{back_up} {vault}"), 3);
    azure.vault.outage(false);
    assert!(!desk.file("prod.backup").exists());
    let said = desk.does(&format!("{back_up} {vault}"));
    assert!(said.contains("2 keys, 1 of them active"), "{said}");
    let publisher: String = said.split("signed by publisher ").nth(1).unwrap().trim().to_owned();
    // It opens without the vault.
    azure.vault.forget_calls();
    let restore =
        format!("keys restore prod.backup --identity identity.txt --for prod --yes-trust {publisher}");
    desk.does(&format!("{restore} --check tree"));
    assert!(azure.vault.calls().is_empty());

    // The cluster is lost, and comes back without its keys ever lying in the clear.
    let lost_keys = keys(&control_plane).await;
    controller.stop();
    let second = ControlPlane::start();
    let second_release = installed(&second).await;
    let of_second = cluster(&second.admin_kubeconfig_with_token().await);
    let into_vault = format!("{restore} {of_second} {vault}");
    let said = desk.fails(&into_vault, 2);
    assert!(said.contains("--custody does not say"), "{said}");
    let said = desk.does(&format!("{into_vault} --custody key-vault-wrapped --dry-run"));
    assert!(said.contains("would be restored") && keys(&second).await.is_empty(), "{said}");
    azure.vault.revoke(PERSON, Role::KeyVaultCryptoServiceEncryptionUser);
    desk.fails(&format!("{into_vault} --custody key-vault-wrapped"), 3);
    assert!(keys(&second).await.is_empty() && secret(&second, PUBLISHER).await.is_none());
    azure.vault.grant(PERSON, Role::KeyVaultCryptoServiceEncryptionUser);
    let said = desk.does(&format!("{into_vault} --custody key-vault-wrapped"));
    assert!(said.contains("its private half kept by key-vault-wrapped"), "{said}");
    let restored = keys(&second).await;
    assert_eq!(restored.len(), lost_keys.len());
    for key in &restored {
        assert!(kept(key, "tls.key").unwrap().contains("key-vault-wrapped"));
        assert!(!key.metadata.annotations.clone().unwrap_or_default().contains_key(WAS_IN_CLEAR));
    }
    kept(&secret(&second, PUBLISHER).await.unwrap(), "publisher.key").unwrap();
    let said = desk.does(&format!("{into_vault} --custody key-vault-wrapped"));
    assert!(!said.contains(": restored") && said.contains("there already"), "{said}");
    let _second_controller =
        Controller::start(&second_release, in_vault(&azure, &azure.vault, "key-vault-wrapped")).await;
    // The key that leaked is retired; the object opens if it is not.
    let retired =
        restored.iter().find(|key| key.metadata.labels.as_ref().unwrap()[LABEL] != "active").unwrap();
    let secrets = Api::<Secret>::namespaced(second.client(), NAMESPACE);
    let active = Patch::Merge(json!({"metadata": {"labels": {LABEL: "active"}}}));
    secrets.patch(retired.metadata.name.as_deref().unwrap(), &PatchParams::default(), &active).await.unwrap();
    objects::apply(&second.client(), None, &object).await;
    wait_for_secret(&second.client(), "apps", "db", &[("password", b"canary-one")]).await;
}

#[tokio::test]
async fn keys_that_lay_in_the_clear_come_into_a_vault_as_such_and_what_remains_is_told() {
    let recipient = &keeper().recipient;
    let azure = Azure::start();
    let desk = Desk::new(&azure);
    desk.write("identity.txt", &keeper().identity);
    let control_plane = ControlPlane::start();
    let release = installed(&control_plane).await;
    let mut controller = Controller::start(&release, ControllerOptions::default()).await;
    let of_cluster = cluster(&control_plane.admin_kubeconfig_with_token().await);
    published(&desk, &of_cluster).await;
    assert!(desk.does(&format!("keys list {of_cluster}")).contains(" cluster "));
    let said = desk
        .does(&format!("keys backup {of_cluster} --for prod --recipient {recipient} --out-file prod.backup"));
    let publisher: String = said.split("signed by publisher ").nth(1).unwrap().trim().to_owned();
    controller.stop();

    // Into the secrets of a vault: one version for the key, one for the publisher key.
    let second = ControlPlane::start();
    let second_release = installed(&second).await;
    let of_second = cluster(&second.admin_kubeconfig_with_token().await);
    let vault = azure.flags();
    let restore = format!(
        "keys restore prod.backup --identity identity.txt --for prod --yes-trust {publisher} {of_second}"
    );
    desk.does(&format!("{restore} {vault} --custody key-vault-secret"));
    let versions = azure.vault.secret_versions(SECRET);
    assert_eq!((versions.len(), azure.vault.secret_versions(&format!("{SECRET}-publisher")).len()), (1, 1));
    let [key] = keys(&second).await.try_into().unwrap();
    assert!(kept(&key, "tls.key").unwrap().contains(&versions[0].version));
    assert!(key.metadata.annotations.unwrap().contains_key(WAS_IN_CLEAR));

    // The leader seals to a key that was never there, and the other is told of.
    let mut second_controller =
        Controller::start(&second_release, in_vault(&azure, &azure.vault, "key-vault-secret")).await;
    let list = eventually(PATIENCE, async || {
        let said = told(&desk.run(&format!("keys list {of_second} --yes-trust {publisher}")));
        let lines = |what: &str| said.lines().filter(|line| line.contains(what)).count();
        match (lines("key-vault-secret"), lines("(was in the clear)"), lines(" sealing ")) {
            (2, 1, 1) => Ok(said),
            _ => Err(said),
        }
    })
    .await;
    let exposed = list.lines().find(|line| line.contains("(was in the clear)")).unwrap();
    assert!(exposed.contains("opening only"), "{list}");
    let (findings, _) = desk.doctor(&of_second);
    let once = of(&findings, "once-in-clear");
    assert_eq!(once.level, "warning", "{findings:#?}");
    let id = exposed.split_whitespace().next().unwrap();
    assert!(once.cure.contains(&format!("privyseal keys retire {id}")), "{once:?}");
    desk.does(&format!("keys retire {id} --cluster-only {of_second}"));
    assert_eq!(level(&desk.doctor(&of_second).0, "once-in-clear"), "ok");

    // A backup of what the vault's secrets hold.
    let said = desk.does(&format!(
        "keys backup {of_second} {vault} --for prod --recipient {recipient} --out-file second.backup"
    ));
    assert!(said.contains("2 keys, 1 of them active") && said.contains(&publisher), "{said}");

    // While nobody leads: a key in the clear, and a move that was begun.
    second_controller.stop();
    desk.make_key("planted");
    let planted = desk.read("planted.yaml");
    objects::apply_yaml(&second.client(), Some(NAMESPACE), &planted).await;
    let mut moving = secret(&second, PUBLISHER).await.unwrap();
    moving.metadata = kube::api::ObjectMeta {
        name: Some(format!("{PUBLISHER}-moving")),
        namespace: Some(NAMESPACE.to_owned()),
        ..Default::default()
    };
    let secrets = Api::<Secret>::namespaced(second.client(), NAMESPACE);
    secrets.create(&Default::default(), &moving).await.unwrap();
    let (findings, _) = desk.doctor(&of_second);
    assert_eq!(level(&findings, "key-custody"), "warning", "{findings:#?}");
    assert_eq!(level(&findings, "publisher-move"), "warning", "{findings:#?}");

    // Without the vault, a restore into it says what becomes of that.
    let said = desk.does(&restore);
    assert!(said.contains("warning: keys there are kept by key-vault-secret"), "{said}");
    assert!(said.contains("--custody key-vault-secret --key-vault URL"), "{said}");
    assert!(said.contains("whose vault was not asked for it"), "{said}");
}

#[tokio::test]
async fn a_cluster_whose_vault_is_lost_comes_back_from_its_backup_beside_what_leads_nowhere() {
    let recipient = &keeper().recipient;
    let azure = Azure::start();
    let desk = Desk::new(&azure);
    desk.write("identity.txt", &keeper().identity);
    let control_plane = ControlPlane::start();
    let release = installed(&control_plane).await;
    let mut controller =
        Controller::start(&release, in_vault(&azure, &azure.vault, "key-vault-wrapped")).await;
    let of_cluster = cluster(&control_plane.admin_kubeconfig_with_token().await);
    let sealer = Sealer::of(&controller).await;
    eventually(PATIENCE, async || secret(&control_plane, PUBLISHER).await.ok_or("no publisher key")).await;
    let said = desk.does(&format!(
        "keys backup {of_cluster} --for prod --recipient {recipient} --out-file prod.backup {}",
        azure.flags()
    ));
    let publisher: String = said.split("signed by publisher ").nth(1).unwrap().trim().to_owned();
    controller.stop();

    let vault = azure.second_vault();
    let restore = format!(
        "keys restore prod.backup --identity identity.txt --for prod --yes-trust {publisher} {of_cluster} {} \
         --custody key-vault-wrapped",
        flags(&vault)
    );
    let said = desk.fails(&restore, 1);
    assert!(said.contains("--replace-publisher"), "{said}");
    let said = desk.does(&format!("{restore} --replace-publisher"));
    assert!(said.contains("holds no key that can be had") && said.contains("is taken"), "{said}");
    let all = keys(&control_plane).await;
    let led_to = |url: &str| all.iter().filter(|key| kept(key, "tls.key").unwrap().contains(url)).count();
    assert_eq!((led_to(azure.vault.url()), led_to(vault.url())), (1, 1));

    let _controller = Controller::start(&release, in_vault(&azure, &vault, "key-vault-wrapped")).await;
    let object = sealer.seal("apps", "db", &[("password", "1")], &[]);
    objects::apply(&control_plane.client(), None, &object).await;
    wait_for_secret(&control_plane.client(), "apps", "db", &[("password", b"1")]).await;
    assert!(vault.count("unwrapKey") > 0 && vault.key_versions(KEY).len() == 1);
}
