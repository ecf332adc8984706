//! The whole way with a real ServiceAccount's token: control plane, file, Entra, vault.

use privyseal_tests::control_plane::Shared;
use privyseal_tests::entra::{ProjectedToken, TENANT};
use privyseal_tests::key_vault::Role;
use privyseal_tests::{ControlPlane, Entra, KeyVault};

use crate::client::{CLIENT, aadsts, clients, with_token_file};
use crate::keys::{unwrap, wrap};

const SCOPE: &str = "https://vault.azure.net/.default";

/// A namespace's default account, for which an application is registered.
async fn setup(name: &str) -> (Shared, String, Entra) {
    let control_plane = ControlPlane::shared();
    let namespace = control_plane.namespace(name).await;
    let entra = Entra::start();
    let issuer = entra.trust_control_plane(&control_plane).await;
    entra.registered(CLIENT, TENANT, &issuer, &format!("system:serviceaccount:{namespace}:default"));
    (control_plane, namespace, entra)
}

#[tokio::test]
async fn a_service_account_reaches_the_vault() {
    let (control_plane, namespace, entra) = setup("vault").await;
    let vault = KeyVault::start(&entra);
    vault.grant(CLIENT, Role::KeyVaultCryptoServiceEncryptionUser);
    let version = vault.create_key("privyseal");
    let token = ProjectedToken::write(&control_plane, &namespace, "default").await;
    let (keys, _) = clients(&vault, &with_token_file(&entra, token.path(), TENANT));
    let wrapped = wrap(&keys, &version, b"data key").await.unwrap();
    assert_eq!(unwrap(&keys, &version, &wrapped).await.unwrap(), b"data key");
    assert_eq!(entra.exchanges().len(), 1);
}

#[tokio::test]
async fn only_its_own_valid_token_is_exchanged() {
    let (control_plane, namespace, entra) = setup("exchange").await;
    let token = ProjectedToken::write(&control_plane, &namespace, "default").await;
    let exchange = async || {
        let credential = with_token_file(&entra, token.path(), TENANT);
        credential.get_token(&[SCOPE], None).await
    };
    assert!(exchange().await.is_ok());
    let first = token.token();
    token.expire().await;
    assert_eq!(aadsts(exchange().await), "700024");
    token.put("garbage");
    assert_eq!(aadsts(exchange().await), "50027");
    token.refresh().await;
    assert_ne!(token.token(), first);
    assert!(exchange().await.is_ok());

    let for_others = ProjectedToken::write_for(&control_plane, &namespace, "default", "vault").await;
    token.put(&for_others.token());
    assert_eq!(aadsts(exchange().await), "700212");
    let elsewhere = control_plane.namespace("exchange").await;
    let of_others = ProjectedToken::write(&control_plane, &elsewhere, "default").await;
    token.put(&of_others.token());
    assert_eq!(aadsts(exchange().await), "700213");
}
