//! The SDK's clients, as the product makes them.

use std::path::Path;
use std::sync::Arc;

use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::{Error, ErrorKind};
use azure_core::http::{ClientOptions, RetryOptions, Transport};
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use azure_security_keyvault_keys::{KeyClient, KeyClientOptions};
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use privyseal_tests::entra::TENANT;
use privyseal_tests::key_vault::{Role, VaultOptions};
use privyseal_tests::{Entra, KeyVault};
use serde_json::Value;

pub(crate) const CLIENT: &str = "11111111-2222-4333-8444-555555555555";
pub(crate) const SECRET: &str = "a client secret";

/// A vault and a client of it with a client secret.
pub(crate) struct Setup {
    pub(crate) entra: Entra,
    pub(crate) vault: KeyVault,
    pub(crate) keys: KeyClient,
    pub(crate) secrets: SecretClient,
}

pub(crate) fn setup(roles: &[Role]) -> Setup {
    setup_with(roles, VaultOptions::default())
}

pub(crate) fn setup_with(roles: &[Role], options: VaultOptions) -> Setup {
    let entra = Entra::start();
    let vault = KeyVault::start_with(&entra, options);
    entra.registered_with_secret(CLIENT, TENANT, SECRET);
    for role in roles {
        vault.grant(CLIENT, *role);
    }
    let (keys, secrets) = clients(&vault, &with_secret(&entra, &vault, CLIENT, SECRET));
    Setup { entra, vault, keys, secrets }
}

pub(crate) fn clients(vault: &KeyVault, credential: &Arc<dyn TokenCredential>) -> (KeyClient, SecretClient) {
    let keys = KeyClientOptions {
        client_options: options(vault.ca_file(), None),
        verify_challenge_resource: Some(false),
        ..KeyClientOptions::default()
    };
    let secrets = SecretClientOptions {
        client_options: options(vault.ca_file(), None),
        verify_challenge_resource: Some(false),
        ..SecretClientOptions::default()
    };
    (
        KeyClient::new(vault.url(), Arc::clone(credential), Some(keys)).unwrap(),
        SecretClient::new(vault.url(), Arc::clone(credential), Some(secrets)).unwrap(),
    )
}

pub(crate) fn with_secret(
    entra: &Entra,
    vault: &KeyVault,
    client_id: &str,
    secret: &str,
) -> Arc<dyn TokenCredential> {
    let options = ClientSecretCredentialOptions { client_options: options(vault.ca_file(), Some(entra)) };
    let secret = Secret::new(secret.to_owned());
    ClientSecretCredential::new(TENANT, client_id.to_owned(), secret, Some(options)).unwrap()
}

/// Workload identity with the token of a file.
pub(crate) fn with_token_file(entra: &Entra, file: &Path, tenant: &str) -> Arc<dyn TokenCredential> {
    let credential_options =
        ClientAssertionCredentialOptions { client_options: options(entra.ca_file(), Some(entra)) };
    WorkloadIdentityCredential::new(Some(WorkloadIdentityCredentialOptions {
        credential_options,
        client_id: Some(CLIENT.to_owned()),
        tenant_id: Some(tenant.to_owned()),
        token_file_path: Some(file.to_owned()),
    }))
    .unwrap()
}

/// Without retries: what the double answered is what a test wants to see.
pub(crate) fn options(ca_file: &Path, entra: Option<&Entra>) -> ClientOptions {
    let cloud = entra.map(|entra| {
        let mut cloud = CustomConfiguration::default();
        cloud.authority_host = entra.authority();
        Arc::new(CloudConfiguration::from(cloud))
    });
    ClientOptions {
        transport: Some(Transport::new(Arc::new(http(ca_file)))),
        retry: RetryOptions::none(),
        cloud,
        ..ClientOptions::default()
    }
}

/// An HTTP client that trusts the file's CAs only.
pub(crate) fn http(ca_file: &Path) -> reqwest::Client {
    // Another test may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let certificates = reqwest::Certificate::from_pem_bundle(&std::fs::read(ca_file).unwrap()).unwrap();
    reqwest::Client::builder().tls_certs_only(certificates).no_proxy().build().unwrap()
}

/// Status, code and inner code of a refusal.
#[track_caller]
pub(crate) fn refusal<T>(outcome: azure_core::Result<T>) -> (u16, String, String) {
    let (status, body) = refused(outcome);
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    (status, text("/error/code"), text("/error/innererror/code"))
}

/// What a refusal says.
#[track_caller]
pub(crate) fn message<T>(outcome: azure_core::Result<T>) -> String {
    refused(outcome).1["error"]["message"].as_str().unwrap_or_default().to_owned()
}

#[track_caller]
fn refused<T>(outcome: azure_core::Result<T>) -> (u16, Value) {
    let error = outcome.err().expect("the double refuses");
    match error.kind() {
        ErrorKind::HttpResponse { status, raw_response: Some(response), .. } => {
            (u16::from(*status), serde_json::from_slice(response.body()).unwrap_or_default())
        }
        _ => panic!("{error:?}"),
    }
}

/// The number behind AADSTS with which a credential failed.
#[track_caller]
pub(crate) fn aadsts<T>(outcome: azure_core::Result<T>) -> String {
    let error = outcome.err().expect("Entra refuses");
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(one) = source {
        if let Some(error) = one.downcast_ref::<Error>()
            && let ErrorKind::HttpResponse { error_code: Some(code), .. } = error.kind()
        {
            return code.clone();
        }
        source = one.source();
    }
    panic!("{error:?}")
}
