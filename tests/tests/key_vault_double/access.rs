//! Tokens and roles.

use std::sync::Arc;
use std::time::Duration;

use azure_core::Bytes;
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::time::{Duration as AzureDuration, OffsetDateTime};
use azure_security_keyvault_keys::KeyClient;
use azure_security_keyvault_secrets::models::SetSecretParameters;
use privyseal_tests::Entra;
use privyseal_tests::entra::TENANT;
use privyseal_tests::key_vault::{KeyVault, RESOURCE, Role};
use reqwest::header::WWW_AUTHENTICATE;

use crate::client::{CLIENT, Setup, clients, http, message, refusal, setup};
use crate::keys::{unwrap, wrap};

const NAME: &str = "privyseal";
const ELSEWHERE: &str = "0d5f0b0e-2f4b-4c63-9d3e-1a5f4f5b7e22";

/// Any token.
#[derive(Debug)]
struct Fixed(String);

#[async_trait::async_trait]
impl TokenCredential for Fixed {
    async fn get_token(
        &self,
        _: &[&str],
        _: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        let end = OffsetDateTime::now_utc() + AzureDuration::hours(1);
        Ok(AccessToken::new(Secret::new(self.0.clone()), end))
    }
}

fn keys_with(vault: &KeyVault, token: &str) -> KeyClient {
    let credential: Arc<dyn TokenCredential> = Arc::new(Fixed(token.to_owned()));
    clients(vault, &credential).0
}

fn by_rbac() -> (u16, String, String) {
    (403, "Forbidden".to_owned(), "ForbiddenByRbac".to_owned())
}

#[tokio::test]
async fn who_has_no_token_is_told_where_to_get_one() {
    let Setup { entra, vault, .. } = setup(&[]);
    let url = format!("{}/keys/{NAME}?api-version=7.6", vault.url());
    let response = http(vault.ca_file()).get(url).send().await.unwrap();
    assert_eq!(response.status(), 401);
    let expected = format!(
        "Bearer authorization=\"{}/{TENANT}\", resource=\"https://vault.azure.net\"",
        entra.authority()
    );
    assert_eq!(response.headers()[WWW_AUTHENTICATE], *expected);
    let call = vault.calls().pop().unwrap();
    assert_eq!(
        (call.operation, call.challenged, call.status, call.client_id),
        ("getKey", true, Some(401), None)
    );
    assert_eq!(vault.count("*"), 0);
}

#[tokio::test]
async fn the_sdk_asks_once_and_then_shows_its_token() {
    let it = setup(&[Role::KeyVaultCryptoServiceEncryptionUser]);
    let version = it.vault.create_key(NAME);
    let wrapped = wrap(&it.keys, &version, b"x").await.unwrap();
    unwrap(&it.keys, &version, &wrapped).await.unwrap();
    let calls = it.vault.calls();
    let seen: Vec<_> = calls.iter().map(|call| (call.operation, call.challenged, call.status)).collect();
    assert_eq!(
        seen,
        [("wrapKey", true, Some(401)), ("wrapKey", false, Some(200)), ("unwrapKey", false, Some(200)),]
    );
    assert_eq!(calls[1].client_id.as_deref(), Some(CLIENT));
    assert_eq!((&*calls[2].name, calls[2].version.as_deref()), (NAME, Some(&*version)));
    assert_eq!(it.entra.exchanges().len(), 1);
    it.vault.forget_calls();
    assert!(it.vault.calls().is_empty());
}

#[tokio::test]
async fn a_token_must_be_entras_for_this_vault_and_tenant_and_now() {
    let Setup { entra, vault, .. } = setup(&[Role::KeyVaultCryptoServiceEncryptionUser]);
    vault.create_key(NAME);
    let get = async |token: &str| {
        let outcome = keys_with(&vault, token).get_key(NAME, None).await;
        let text = message(outcome);
        let status = vault.calls().pop().unwrap().status;
        (status.unwrap(), text)
    };
    let good = entra.token(CLIENT, RESOURCE);
    assert!(keys_with(&vault, &good).get_key(NAME, None).await.is_ok());

    let (status, text) = get("garbage").await;
    assert!(status == 401 && text.contains("JWT"), "{text}");
    let other = Entra::start();
    other.registered_with_secret(CLIENT, TENANT, "secret");
    let (status, text) = get(&other.token(CLIENT, RESOURCE)).await;
    assert!(status == 401 && text.contains("Signature"), "{text}");
    let foreign = "99999999-2222-4333-8444-555555555555";
    entra.registered_with_secret(foreign, ELSEWHERE, "secret");
    let (status, text) = get(&entra.token(foreign, RESOURCE)).await;
    assert!(status == 401 && text.starts_with("AKV10032: Invalid issuer."), "{text}");
    let (status, text) = get(&entra.token(CLIENT, "https://graph.microsoft.com")).await;
    assert!(status == 401 && text.starts_with("AKV10022: Invalid audience."), "{text}");
    entra.set_token_lifetime(Duration::ZERO);
    let (status, text) = get(&entra.token(CLIENT, RESOURCE)).await;
    assert!(status == 401 && text.contains("expired"), "{text}");
}

#[tokio::test]
async fn the_version_of_the_interface_must_be_known() {
    let Setup { entra, vault, .. } = setup(&[Role::KeyVaultCryptoServiceEncryptionUser]);
    vault.create_key(NAME);
    let token = entra.token(CLIENT, RESOURCE);
    let http = http(vault.ca_file());
    for (query, status) in [
        ("?api-version=7.4", 200),
        ("?api-version=7.5", 200),
        ("?api-version=7.6", 200),
        ("?api-version=2025-07-01", 200),
        ("?api-version=7.3", 400),
        ("", 400),
    ] {
        let url = format!("{}/keys/{NAME}{query}", vault.url());
        let response = http.get(url).bearer_auth(&token).send().await.unwrap();
        assert_eq!(response.status(), status, "{query}");
    }
    let url = format!("{}/certificates/{NAME}?api-version=7.6", vault.url());
    assert_eq!(http.get(url).bearer_auth(&token).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn roles_allow_what_azures_do() {
    let it = setup(&[]);
    let version = it.vault.create_key(NAME);
    it.vault.put_secret(NAME, "value");
    let wrapped = {
        it.vault.grant(CLIENT, Role::KeyVaultCryptoUser);
        let wrapped = wrap(&it.keys, &version, b"x").await.unwrap();
        it.vault.revoke(CLIENT, Role::KeyVaultCryptoUser);
        wrapped
    };
    // In the order of `allowed` below.
    let outcomes = async || -> Vec<bool> {
        let set = SetSecretParameters { value: Some("more".to_owned()), ..SetSecretParameters::default() };
        let decrypt = serde_json::json!({"alg": "RSA-OAEP-256", "value": ""}).to_string();
        let outcomes = [
            it.keys.get_key(NAME, None).await.map(drop),
            wrap(&it.keys, &version, b"x").await.map(drop),
            unwrap(&it.keys, &version, &wrapped).await.map(drop),
            it.keys.rotate_key(NAME, None).await.map(drop),
            it.secrets.get_secret(NAME, None).await.map(drop),
            it.secrets.set_secret(NAME, set.try_into().unwrap(), None).await.map(drop),
        ];
        // With no value it is either not allowed or wrong.
        let decrypt = refusal(it.keys.decrypt(NAME, &version, Bytes::from(decrypt).into(), None).await).0;
        let mut allowed: Vec<bool> =
            outcomes.into_iter().map(|outcome| outcome.is_ok() || (refusal(outcome) != by_rbac())).collect();
        allowed.push(decrypt != 403);
        allowed
    };
    let all = [true; 7];
    for (role, allowed) in [
        (None, all.map(|_| false)),
        (Some(Role::KeyVaultCryptoServiceEncryptionUser), [true, true, true, false, false, false, false]),
        (Some(Role::KeyVaultCryptoUser), [true, true, true, false, false, false, true]),
        (Some(Role::KeyVaultCryptoOfficer), [true, true, true, true, false, false, true]),
        (Some(Role::KeyVaultSecretsUser), [false, false, false, false, true, false, false]),
        (Some(Role::KeyVaultSecretsOfficer), [false, false, false, false, true, true, false]),
    ] {
        role.inspect(|role| it.vault.grant(CLIENT, *role));
        assert_eq!(outcomes().await, allowed, "{role:?}");
        role.inspect(|role| it.vault.revoke(CLIENT, *role));
    }
}

#[tokio::test]
async fn a_refusal_names_the_action_and_the_object() {
    let it = setup(&[Role::KeyVaultSecretsUser]);
    let version = it.vault.create_key(NAME);
    let outcome = unwrap(&it.keys, &version, &[0; 256]).await;
    let text = message(outcome);
    assert!(text.contains("Action: 'Microsoft.KeyVault/vaults/keys/unwrap/action'"), "{text}");
    assert!(text.contains("/vaults/tests/keys/privyseal'") && text.contains(CLIENT), "{text}");
    // Not even whether something is there is said.
    assert_eq!(refusal(it.keys.get_key("unknown", None).await), by_rbac());
}

#[tokio::test]
async fn a_role_can_be_for_one_object() {
    let it = setup(&[]);
    it.vault.create_key(NAME);
    it.vault.create_key("other");
    it.vault.grant_on(CLIENT, Role::KeyVaultCryptoServiceEncryptionUser, "keys/privyseal");
    assert!(it.keys.get_key(NAME, None).await.is_ok());
    assert_eq!(refusal(it.keys.get_key("other", None).await), by_rbac());
    it.vault.revoke(CLIENT, Role::KeyVaultCryptoServiceEncryptionUser);
    assert_eq!(refusal(it.keys.get_key(NAME, None).await), by_rbac());
}
