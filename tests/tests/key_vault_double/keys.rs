//! Keys and what is done with them.

use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey, PublicKeyComponents,
};
use azure_core::http::RequestContent;
use azure_security_keyvault_keys::models::{
    CreateKeyParameters, DeletionRecoveryLevel, EncryptionAlgorithm, JsonWebKey, KeyAttributes,
    KeyClientGetKeyOptions, KeyClientListKeyPropertiesVersionsOptions, KeyClientUpdateKeyPropertiesOptions,
    KeyClientWrapKeyOptions, KeyOperationParameters, KeyType, UpdateKeyPropertiesParameters,
};
use azure_security_keyvault_keys::{KeyClient, ResourceExt as _};
use futures::TryStreamExt as _;
use privyseal_tests::key_vault::{Role, VaultOptions};

use crate::client::{refusal, setup, setup_with};

const NAME: &str = "privyseal";
const PLAINTEXT: &[u8] = b"32 bytes, as a data key has them";

fn parameters(value: &[u8]) -> RequestContent<KeyOperationParameters> {
    let parameters = KeyOperationParameters {
        algorithm: Some(EncryptionAlgorithm::RsaOaep256),
        value: Some(value.to_vec()),
        ..KeyOperationParameters::default()
    };
    parameters.try_into().unwrap()
}

pub(crate) async fn wrap(keys: &KeyClient, version: &str, value: &[u8]) -> azure_core::Result<Vec<u8>> {
    let options = KeyClientWrapKeyOptions {
        key_version: Some(version.to_owned()),
        ..KeyClientWrapKeyOptions::default()
    };
    let result = keys.wrap_key(NAME, parameters(value), Some(options)).await?.into_model()?;
    Ok(result.result.unwrap())
}

pub(crate) async fn unwrap(keys: &KeyClient, version: &str, value: &[u8]) -> azure_core::Result<Vec<u8>> {
    let result = keys.unwrap_key(NAME, version, parameters(value), None).await?.into_model()?;
    assert!(result.kid.unwrap().ends_with(&format!("/keys/{NAME}/{version}")));
    Ok(result.result.unwrap())
}

async fn public_key(keys: &KeyClient, version: &str) -> JsonWebKey {
    let options =
        KeyClientGetKeyOptions { key_version: Some(version.to_owned()), ..KeyClientGetKeyOptions::default() };
    keys.get_key(NAME, Some(options)).await.unwrap().into_model().unwrap().key.unwrap()
}

async fn update(keys: &KeyClient, version: &str, attributes: KeyAttributes) -> azure_core::Result<()> {
    let options = KeyClientUpdateKeyPropertiesOptions {
        key_version: Some(version.to_owned()),
        ..KeyClientUpdateKeyPropertiesOptions::default()
    };
    let parameters = UpdateKeyPropertiesParameters { key_attributes: Some(attributes), ..Default::default() };
    keys.update_key_properties(NAME, parameters.try_into().unwrap(), Some(options)).await.map(drop)
}

/// The product's library, with no label.
fn wrap_here(key: &JsonWebKey, value: &[u8]) -> Vec<u8> {
    let components = PublicKeyComponents { n: key.n.clone().unwrap(), e: key.e.clone().unwrap() };
    let key: PublicEncryptingKey = components.try_into().unwrap();
    let key = OaepPublicEncryptingKey::new(key).unwrap();
    let mut wrapped = vec![0; key.ciphertext_size()];
    key.encrypt(&OAEP_SHA256_MGF1SHA256, value, &mut wrapped, None).unwrap();
    wrapped
}

#[tokio::test]
async fn what_is_wrapped_is_unwrapped() {
    let it = setup(&[Role::KeyVaultCryptoServiceEncryptionUser]);
    let version = it.vault.create_key(NAME);
    let wrapped = wrap(&it.keys, &version, PLAINTEXT).await.unwrap();
    assert_eq!(wrapped.len(), 256);
    assert_ne!(wrapped, wrap(&it.keys, &version, PLAINTEXT).await.unwrap(), "OAEP is random");
    assert_eq!(unwrap(&it.keys, &version, &wrapped).await.unwrap(), PLAINTEXT);
    assert_eq!((it.vault.count("wrapKey"), it.vault.count("unwrapKey")), (2, 1));
}

#[tokio::test]
async fn what_is_wrapped_here_with_the_public_key_is_unwrapped_there() {
    let it = setup(&[Role::KeyVaultCryptoServiceEncryptionUser]);
    for (bits, size) in [(2048, 256), (3072, 384), (4096, 512)] {
        let version = it.vault.create_key_of(NAME, bits);
        let key = public_key(&it.keys, &version).await;
        assert_eq!(key.kid.as_deref(), Some(&*it.vault.key_id(NAME, &version)));
        let n = key.n.as_ref().unwrap();
        assert_eq!((n.len(), n[0] >= 0x80, key.e.as_deref()), (size, true, Some(&[1, 0, 1][..])));
        let wrapped = wrap_here(&key, PLAINTEXT);
        assert_eq!(unwrap(&it.keys, &version, &wrapped).await.unwrap(), PLAINTEXT);
    }
}

#[tokio::test]
async fn an_old_version_unwraps_what_it_wrapped_and_no_other_does() {
    let it = setup(&[Role::KeyVaultCryptoOfficer]);
    let old = it.vault.create_key(NAME);
    let wrapped = wrap(&it.keys, &old, PLAINTEXT).await.unwrap();
    let rotated = it.keys.rotate_key(NAME, None).await.unwrap().into_model().unwrap();
    let new = rotated.resource_id().unwrap().version.unwrap();
    assert_ne!(old, new);
    assert_eq!(it.vault.key_versions(NAME), [old.clone(), new.clone()]);

    assert_eq!(unwrap(&it.keys, &old, &wrapped).await.unwrap(), PLAINTEXT);
    let other = refusal(unwrap(&it.keys, &new, &wrapped).await);
    assert_eq!(other, (400, "BadParameter".to_owned(), String::new()));
    let newest = it.keys.get_key(NAME, None).await.unwrap().into_model().unwrap();
    assert_eq!(newest.resource_id().unwrap().version, Some(new.clone()));
    let wrapped = it.keys.wrap_key(NAME, parameters(PLAINTEXT), None).await.unwrap().into_model().unwrap();
    assert!(wrapped.kid.unwrap().ends_with(&new), "without a version the newest wraps");
}

#[tokio::test]
async fn what_is_too_long_or_no_ciphertext_is_a_bad_parameter() {
    let it = setup(&[Role::KeyVaultCryptoServiceEncryptionUser]);
    let version = it.vault.create_key(NAME);
    let bad = || (400, "BadParameter".to_owned(), String::new());
    // 2048 bits less padding leave 190 bytes.
    assert!(wrap(&it.keys, &version, &[7; 190]).await.is_ok());
    assert_eq!(refusal(wrap(&it.keys, &version, &[7; 191]).await), bad());
    for ciphertext in [&[7; 256][..], &[7; 10], &[]] {
        assert_eq!(refusal(unwrap(&it.keys, &version, ciphertext).await), bad());
    }
    let parameters = KeyOperationParameters {
        algorithm: Some(EncryptionAlgorithm::Rsa1_5),
        value: Some(PLAINTEXT.to_vec()),
        ..KeyOperationParameters::default()
    };
    let outcome = it.keys.wrap_key(NAME, parameters.try_into().unwrap(), None).await;
    assert_eq!(refusal(outcome), bad());
}

#[tokio::test]
async fn encrypt_and_decrypt_are_the_same_under_other_rights() {
    let it = setup(&[Role::KeyVaultCryptoUser]);
    let version = it.vault.create_key(NAME);
    let wrapped = wrap(&it.keys, &version, PLAINTEXT).await.unwrap();
    let opened = it.keys.decrypt(NAME, &version, parameters(&wrapped), None).await.unwrap();
    assert_eq!(opened.into_model().unwrap().result.unwrap(), PLAINTEXT);
    let encrypted = it.keys.encrypt(NAME, parameters(PLAINTEXT), None).await.unwrap().into_model().unwrap();
    assert_eq!(unwrap(&it.keys, &version, &encrypted.result.unwrap()).await.unwrap(), PLAINTEXT);
}

#[tokio::test]
async fn a_disabled_version_does_nothing_and_others_go_on() {
    let it = setup(&[Role::KeyVaultCryptoOfficer]);
    let (old, new) = (it.vault.create_key(NAME), it.vault.rotate_key(NAME));
    let wrapped = wrap(&it.keys, &old, PLAINTEXT).await.unwrap();
    let enabled = |enabled| KeyAttributes { enabled: Some(enabled), ..KeyAttributes::default() };
    update(&it.keys, &old, enabled(false)).await.unwrap();

    let disabled = || (403, "Forbidden".to_owned(), "KeyDisabled".to_owned());
    assert_eq!(refusal(unwrap(&it.keys, &old, &wrapped).await), disabled());
    assert_eq!(refusal(wrap(&it.keys, &old, PLAINTEXT).await), disabled());
    let options = KeyClientGetKeyOptions { key_version: Some(old.clone()), ..Default::default() };
    assert_eq!(refusal(it.keys.get_key(NAME, Some(options)).await), disabled());
    assert!(wrap(&it.keys, &new, PLAINTEXT).await.is_ok());

    update(&it.keys, &old, enabled(true)).await.unwrap();
    assert_eq!(unwrap(&it.keys, &old, &wrapped).await.unwrap(), PLAINTEXT);
    it.vault.set_key_enabled(NAME, &old, false);
    assert_eq!(refusal(unwrap(&it.keys, &old, &wrapped).await), disabled());
}

#[tokio::test]
async fn outside_of_its_time_a_key_only_opens() {
    let it = setup(&[Role::KeyVaultCryptoServiceEncryptionUser]);
    let version = it.vault.create_key(NAME);
    let wrapped = wrap(&it.keys, &version, PLAINTEXT).await.unwrap();
    for (begin, end, inner) in [(Some(60), None, "KeyNotYetValid"), (Some(-60), Some(-1), "KeyExpired")] {
        it.vault.set_key_times(NAME, &version, begin, end);
        let expected = (403, "Forbidden".to_owned(), inner.to_owned());
        assert_eq!(refusal(wrap(&it.keys, &version, PLAINTEXT).await), expected);
        assert_eq!(unwrap(&it.keys, &version, &wrapped).await.unwrap(), PLAINTEXT);
    }
    it.vault.set_key_times(NAME, &version, Some(-60), Some(60));
    assert!(wrap(&it.keys, &version, PLAINTEXT).await.is_ok());
}

#[tokio::test]
async fn a_key_does_what_it_is_made_for() {
    let it = setup(&[Role::KeyVaultCryptoServiceEncryptionUser]);
    let version = it.vault.create_key(NAME);
    it.vault.set_key_operations(NAME, &version, &["unwrapKey"]);
    let wrapped = wrap_here(&public_key(&it.keys, &version).await, PLAINTEXT);
    assert_eq!(unwrap(&it.keys, &version, &wrapped).await.unwrap(), PLAINTEXT);
    let expected = (403, "Forbidden".to_owned(), "KeyOperationForbidden".to_owned());
    assert_eq!(refusal(wrap(&it.keys, &version, PLAINTEXT).await), expected);
}

#[tokio::test]
async fn an_unknown_key_or_version_is_not_found() {
    let it = setup(&[Role::KeyVaultCryptoServiceEncryptionUser]);
    let missing = || (404, "KeyNotFound".to_owned(), String::new());
    assert_eq!(refusal(it.keys.get_key(NAME, None).await), missing());
    it.vault.create_key(NAME);
    let unknown = "0".repeat(32);
    assert_eq!(refusal(unwrap(&it.keys, &unknown, &[7; 256]).await), missing());
    assert_eq!(
        refusal(it.keys.list_key_properties_versions("other", None).unwrap().try_next().await),
        missing()
    );
}

#[tokio::test]
async fn versions_come_in_pages() {
    let it = setup(&[Role::KeyVaultCryptoServiceEncryptionUser]);
    let mut made: Vec<String> = (0..5).map(|_| it.vault.create_key(NAME)).collect();
    made.sort();
    let listed = async |maxresults| {
        it.vault.forget_calls();
        let options = KeyClientListKeyPropertiesVersionsOptions { maxresults, ..Default::default() };
        let pager = it.keys.list_key_properties_versions(NAME, Some(options)).unwrap();
        let listed: Vec<_> = pager.try_collect().await.unwrap();
        assert!(listed.iter().all(|key| key.attributes.as_ref().unwrap().enabled == Some(true)));
        let versions: Vec<_> = listed.iter().map(|key| key.resource_id().unwrap().version.unwrap()).collect();
        assert_eq!(versions, made);
        it.vault.count("listKeyVersions")
    };
    assert_eq!(listed(None).await, 3);
    assert_eq!(listed(Some(1)).await, 5);

    it.vault.create_key("other");
    let names: Vec<_> = it.keys.list_key_properties(None).unwrap().try_collect().await.unwrap();
    let names: Vec<_> = names.iter().map(|key| key.resource_id().unwrap()).collect();
    assert_eq!(
        names.iter().map(|id| (&*id.name, id.version.clone())).collect::<Vec<_>>(),
        [("other", None), (NAME, None)]
    );
}

#[tokio::test]
async fn a_key_is_made_by_who_may() {
    for (purge_protection, level) in
        [(true, DeletionRecoveryLevel::Recoverable), (false, DeletionRecoveryLevel::RecoverablePurgeable)]
    {
        let options = VaultOptions { purge_protection, ..VaultOptions::default() };
        let it = setup_with(&[Role::KeyVaultCryptoOfficer], options);
        let create = async |kty, key_size| {
            let parameters = CreateKeyParameters {
                kty: Some(kty),
                key_size: Some(key_size),
                ..CreateKeyParameters::default()
            };
            it.keys.create_key(NAME, parameters.try_into().unwrap(), None).await
        };
        let key = create(KeyType::Rsa, 3072).await.unwrap().into_model().unwrap();
        assert_eq!(key.key.unwrap().n.unwrap().len(), 384);
        let attributes = key.attributes.unwrap();
        assert_eq!((attributes.recovery_level, attributes.enabled), (Some(level), Some(true)));
        assert_eq!(refusal(create(KeyType::Rsa, 1024).await).1, "BadParameter");
        assert_eq!(refusal(create(KeyType::Ec, 2048).await).1, "BadParameter");
    }
}
