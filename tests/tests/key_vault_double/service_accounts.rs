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

#[tokio::test]
async fn a_new_key_of_the_control_plane_is_found() {
    let mut control_plane = ControlPlane::start();
    let namespace = control_plane.namespace("keys").await;
    let entra = Entra::start();
    let issuer = entra.trust_control_plane(&control_plane).await;
    entra.registered(CLIENT, TENANT, &issuer, &format!("system:serviceaccount:{namespace}:default"));
    let exchange = async |token: &ProjectedToken<'_>| {
        with_token_file(&entra, token.path(), TENANT).get_token(&[SCOPE], None).await
    };
    let old = ProjectedToken::write(&control_plane, &namespace, "default").await;
    assert!(exchange(&old).await.is_ok());
    let old = old.token();

    control_plane.stop();
    for file in ["sa.key", "sa.pub"] {
        std::fs::remove_file(control_plane.data_dir().join(file)).unwrap();
    }
    control_plane.resume();
    let token = ProjectedToken::write(&control_plane, &namespace, "default").await;
    assert!(exchange(&token).await.is_ok());
    token.put(&old);
    assert_eq!(aadsts(exchange(&token).await), "7000272", "its key is not published any more");
    let file = token.path().to_owned();
    control_plane.kill();
    let unreachable = with_token_file(&entra, &file, TENANT).get_token(&[SCOPE], None).await;
    assert_eq!(aadsts(unreachable), "50166", "whose keys cannot be had is not believed");
}
