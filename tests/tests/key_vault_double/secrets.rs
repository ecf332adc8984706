//! Secrets and their versions.

use std::collections::HashMap;

use azure_security_keyvault_secrets::models::{
    SecretAttributes, SecretClientGetSecretOptions, SecretClientUpdateSecretPropertiesOptions,
    SetSecretParameters, UpdateSecretPropertiesParameters,
};
use azure_security_keyvault_secrets::{ResourceExt as _, SecretClient};
use futures::TryStreamExt as _;
use privyseal_tests::key_vault::Role;

use crate::client::{refusal, setup};

const NAME: &str = "privyseal-sealing-key";

async fn set(secrets: &SecretClient, parameters: SetSecretParameters) -> azure_core::Result<String> {
    let secret = secrets.set_secret(NAME, parameters.try_into().unwrap(), None).await?.into_model()?;
    Ok(secret.resource_id()?.version.unwrap())
}

fn value(value: &str) -> SetSecretParameters {
    SetSecretParameters { value: Some(value.to_owned()), ..SetSecretParameters::default() }
}

async fn get(secrets: &SecretClient, version: Option<&str>) -> azure_core::Result<String> {
    let options = SecretClientGetSecretOptions {
        secret_version: version.map(str::to_owned),
        ..SecretClientGetSecretOptions::default()
    };
    Ok(secrets.get_secret(NAME, Some(options)).await?.into_model()?.value.unwrap())
}

#[tokio::test]
async fn each_value_is_a_version_that_stays() {
    let it = setup(&[Role::KeyVaultSecretsOfficer]);
    assert_eq!(refusal(get(&it.secrets, None).await), (404, "SecretNotFound".to_owned(), String::new()));
    let one = set(&it.secrets, value("one")).await.unwrap();
    let two = set(&it.secrets, value("two")).await.unwrap();
    assert_eq!(get(&it.secrets, None).await.unwrap(), "two");
    assert_eq!(get(&it.secrets, Some(&one)).await.unwrap(), "one");
    assert_eq!(get(&it.secrets, Some(&two)).await.unwrap(), "two");
    assert_eq!(refusal(get(&it.secrets, Some("0")).await).1, "SecretNotFound");
    let values: Vec<_> = it.vault.secret_versions(NAME).into_iter().map(|version| version.value).collect();
    assert_eq!(values, ["one", "two"]);
}

#[tokio::test]
async fn content_type_and_tags_are_kept_with_their_version() {
    let it = setup(&[Role::KeyVaultSecretsOfficer]);
    let tags = HashMap::from([("privyseal-fingerprint".to_owned(), "SHA256:abc".to_owned())]);
    let version = set(
        &it.secrets,
        SetSecretParameters {
            content_type: Some("application/x-pem-file".to_owned()),
            tags: Some(tags.clone()),
            ..value("PEM")
        },
    )
    .await
    .unwrap();
    it.vault.put_secret_with(NAME, "other", Some("text/plain"), &[("a", "b")]);
    it.vault.put_secret(NAME, "bare");

    let listed: Vec<_> =
        it.secrets.list_secret_properties_versions(NAME, None).unwrap().try_collect().await.unwrap();
    assert_eq!((listed.len(), it.vault.count("listSecretVersions")), (3, 2), "two lines are a page");
    let ours =
        listed.iter().find(|one| one.resource_id().unwrap().version.as_ref() == Some(&version)).unwrap();
    assert_eq!(ours.content_type.as_deref(), Some("application/x-pem-file"));
    assert_eq!(ours.tags, Some(tags));
    assert_eq!(it.vault.secret_versions(NAME)[1].tags["a"], "b");
    let names: Vec<_> = it.secrets.list_secret_properties(None).unwrap().try_collect().await.unwrap();
    assert_eq!(names.len(), 1);
    assert_eq!(it.vault.secret_names(), [NAME]);
}

#[tokio::test]
async fn a_disabled_version_is_not_read() {
    let it = setup(&[Role::KeyVaultSecretsOfficer]);
    let (one, two) = (it.vault.put_secret(NAME, "one"), it.vault.put_secret(NAME, "two"));
    let options = SecretClientUpdateSecretPropertiesOptions {
        secret_version: Some(one.clone()),
        ..SecretClientUpdateSecretPropertiesOptions::default()
    };
    let parameters = UpdateSecretPropertiesParameters {
        secret_attributes: Some(SecretAttributes { enabled: Some(false), ..SecretAttributes::default() }),
        ..UpdateSecretPropertiesParameters::default()
    };
    it.secrets.update_secret_properties(NAME, parameters.try_into().unwrap(), Some(options)).await.unwrap();
    let disabled = || (403, "Forbidden".to_owned(), "SecretDisabled".to_owned());
    assert_eq!(refusal(get(&it.secrets, Some(&one)).await), disabled());
    assert_eq!(get(&it.secrets, Some(&two)).await.unwrap(), "two");
    assert_eq!(get(&it.secrets, None).await.unwrap(), "two");

    it.vault.set_secret_enabled(NAME, &two, false);
    assert_eq!(
        refusal(get(&it.secrets, None).await),
        disabled(),
        "the newest, not the newest that is enabled"
    );
    it.vault.set_secret_enabled(NAME, &one, true);
    assert_eq!(get(&it.secrets, Some(&one)).await.unwrap(), "one");
    it.vault.falsify_secret(NAME, &one, "false");
    assert_eq!(get(&it.secrets, Some(&one)).await.unwrap(), "false");
}

#[tokio::test]
async fn the_limits_of_the_service_hold() {
    let it = setup(&[Role::KeyVaultSecretsOfficer]);
    let bad = || (400, "BadParameter".to_owned(), String::new());
    assert!(set(&it.secrets, value(&"x".repeat(25_600))).await.is_ok());
    assert_eq!(refusal(set(&it.secrets, value(&"x".repeat(25_601))).await), bad());
    let tagged = |tags: HashMap<String, String>| SetSecretParameters { tags: Some(tags), ..value("x") };
    let many = |count: usize| (0..count).map(|number| (number.to_string(), String::new())).collect();
    assert!(set(&it.secrets, tagged(many(15))).await.is_ok());
    assert_eq!(refusal(set(&it.secrets, tagged(many(16))).await), bad());
    let long = |length| HashMap::from([("a".to_owned(), "x".repeat(length))]);
    assert!(set(&it.secrets, tagged(long(256))).await.is_ok());
    assert_eq!(refusal(set(&it.secrets, tagged(long(257))).await), bad());
    let named = it.secrets.set_secret("a_name", value("x").try_into().unwrap(), None).await;
    assert_eq!(refusal(named), bad());
}
