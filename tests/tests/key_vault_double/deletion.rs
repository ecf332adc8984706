//! Soft delete.

use azure_core::Bytes;
use azure_security_keyvault_secrets::models::SetSecretParameters;
use privyseal_tests::key_vault::{Role, VaultOptions};

use crate::client::{refusal, setup, setup_with};

const NAME: &str = "privyseal";
const ROLES: [Role; 2] = [Role::KeyVaultCryptoOfficer, Role::KeyVaultSecretsOfficer];

fn not_found(what: &str) -> (u16, String, String) {
    (404, format!("{what}NotFound"), String::new())
}

fn conflict() -> (u16, String, String) {
    (409, "Conflict".to_owned(), "ObjectIsDeletedButRecoverable".to_owned())
}

#[tokio::test]
async fn a_deleted_key_is_gone_until_it_is_recovered() {
    let it = setup(&ROLES);
    let version = it.vault.create_key(NAME);
    let wrapped = crate::keys::wrap(&it.keys, &version, b"x").await.unwrap();
    let deleted = it.keys.delete_key(NAME, None).await.unwrap().into_model().unwrap();
    assert!(deleted.recovery_id.unwrap().ends_with("/deletedkeys/privyseal"));
    assert!(deleted.scheduled_purge_date > deleted.deleted_date);

    assert_eq!(refusal(it.keys.get_key(NAME, None).await), not_found("Key"));
    assert_eq!(refusal(crate::keys::unwrap(&it.keys, &version, &wrapped).await), not_found("Key"));
    let parameters = serde_json::json!({"kty": "RSA"}).to_string();
    assert_eq!(refusal(it.keys.create_key(NAME, Bytes::from(parameters).into(), None).await), conflict());
    assert!(it.keys.get_deleted_key(NAME, None).await.is_ok());

    it.keys.recover_deleted_key(NAME, None).await.unwrap();
    assert_eq!(crate::keys::unwrap(&it.keys, &version, &wrapped).await.unwrap(), b"x");
    assert_eq!(refusal(it.keys.get_deleted_key(NAME, None).await), not_found("Key"));

    it.vault.delete_key(NAME);
    assert_eq!(refusal(it.keys.get_key(NAME, None).await), not_found("Key"));
    it.vault.recover_key(NAME);
    assert!(it.keys.get_key(NAME, None).await.is_ok());
}

#[tokio::test]
async fn a_deleted_secret_is_gone_until_it_is_recovered() {
    let it = setup(&ROLES);
    it.vault.put_secret(NAME, "one");
    let deleted = it.secrets.delete_secret(NAME, None).await.unwrap().into_model().unwrap();
    assert_eq!(deleted.value, None);
    assert_eq!(refusal(it.secrets.get_secret(NAME, None).await), not_found("Secret"));
    let parameters = SetSecretParameters { value: Some("two".to_owned()), ..SetSecretParameters::default() };
    let set = it.secrets.set_secret(NAME, parameters.try_into().unwrap(), None).await;
    assert_eq!(refusal(set), conflict());
    assert_eq!(it.vault.secret_versions(NAME), []);

    it.secrets.recover_deleted_secret(NAME, None).await.unwrap();
    let secret = it.secrets.get_secret(NAME, None).await.unwrap().into_model().unwrap();
    assert_eq!(secret.value.as_deref(), Some("one"));
    it.vault.delete_secret(NAME);
    it.vault.recover_secret(NAME);
    assert_eq!(it.vault.secret_versions(NAME).len(), 1);
}

#[tokio::test]
async fn purge_protection_keeps_what_is_deleted_from_everybody() {
    let it = setup(&ROLES);
    it.vault.create_key(NAME);
    it.vault.put_secret(NAME, "one");
    it.vault.delete_key(NAME);
    it.vault.delete_secret(NAME);
    let refused = (403, "Forbidden".to_owned(), String::new());
    assert_eq!(refusal(it.keys.purge_deleted_key(NAME, None).await), refused);
    assert_eq!(refusal(it.secrets.purge_deleted_secret(NAME, None).await), refused);

    // Time ends it all the same.
    it.vault.purge_key(NAME);
    it.vault.purge_secret(NAME);
    assert_eq!(refusal(it.keys.recover_deleted_key(NAME, None).await), not_found("Key"));
    assert_eq!(refusal(it.secrets.recover_deleted_secret(NAME, None).await), not_found("Secret"));
}

#[tokio::test]
async fn without_it_a_purged_name_is_free_again() {
    let it = setup_with(&ROLES, VaultOptions { purge_protection: false, ..VaultOptions::default() });
    let (old, _) = (it.vault.create_key(NAME), it.vault.put_secret(NAME, "one"));
    assert_eq!(refusal(it.keys.purge_deleted_key(NAME, None).await), not_found("Key"), "it lives");
    it.vault.delete_key(NAME);
    it.vault.delete_secret(NAME);
    it.keys.purge_deleted_key(NAME, None).await.unwrap();
    it.secrets.purge_deleted_secret(NAME, None).await.unwrap();
    assert_ne!(it.vault.create_key(NAME), old);
    it.vault.put_secret(NAME, "two");
    assert_eq!(it.vault.secret_versions(NAME).len(), 1);
}
