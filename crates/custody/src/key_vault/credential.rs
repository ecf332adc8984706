//! Who we are to a vault: one credential, chosen explicitly. There is no chain that goes on to the next one in silence.

use super::answer::Refusals;
use super::transport;
use super::{Cloud, ConfigError, Observer};
use crate::custody::{Failure, FailureKind};
use async_trait::async_trait;
use azure_core::cloud::{CloudConfiguration, CustomConfiguration};
use azure_core::credentials::{AccessToken, Secret, TokenCredential, TokenRequestOptions};
use azure_core::error::ErrorKind;
use azure_core::http::{ClientMethodOptions, ClientOptions, HttpClient, RetryOptions, Transport, Url};
use azure_identity::{
    AzureCliCredential, AzureCliCredentialOptions, ClientAssertion, ClientAssertionCredential,
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// `az` is a Python program that may ask the network.
const AZURE_CLI_TIMEOUT: Duration = Duration::from_secs(30);

/// A credential. No `Debug` of it shows the client secret.
#[derive(Clone)]
pub enum Credential {
    /// A service-account token that Microsoft Entra takes for one of ours (workload identity federation).
    WorkloadIdentity {
        /// The tenant.
        tenant: String,
        /// The client id of the managed identity or application.
        client: String,
        /// The service-account token. It is read again for each exchange.
        token_file: PathBuf,
    },
    /// The identity of the virtual machine, from its instance metadata service.
    ManagedIdentity {
        /// The client id of a user-assigned identity; without it, the system-assigned one.
        client: Option<String>,
    },
    /// A client secret.
    ClientSecret {
        /// The tenant.
        tenant: String,
        /// The client id of the application.
        client: String,
        /// The secret.
        secret: Zeroizing<String>,
    },
    /// Who is logged in to the Azure CLI (`az login`).
    AzureCli {
        /// The tenant, if not the one that is logged in to.
        tenant: Option<String>,
    },
}

impl Credential {
    /// The name in flags.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::WorkloadIdentity { .. } => "workload-identity",
            Self::ManagedIdentity { .. } => "managed-identity",
            Self::ClientSecret { .. } => "client-secret",
            Self::AzureCli { .. } => "azure-cli",
        }
    }

    pub(super) fn build(
        self,
        cloud: Cloud,
        authority_host: Option<&str>,
        http: Arc<dyn HttpClient>,
        observer: Arc<dyn Observer>,
    ) -> Result<Arc<dyn TokenCredential>, ConfigError> {
        let (authority, cloud) = authority(cloud, authority_host)?;
        let from_authority = |observer| ClientOptions {
            cloud: Some(Arc::new(cloud)),
            ..options(transport::to_tokens(Arc::clone(&http), authority, Refusals::OfEntra, observer))
        };
        let credential: Arc<dyn TokenCredential> = match self {
            Self::WorkloadIdentity { tenant, client, token_file } => {
                let options = ClientAssertionCredentialOptions { client_options: from_authority(observer) };
                let assertion = TokenFile(token_file);
                ClientAssertionCredential::new(
                    checked_tenant(tenant)?,
                    checked_client(client)?,
                    assertion,
                    Some(options),
                )
                .map_err(|_| ConfigError::Sdk)?
            }
            Self::ClientSecret { tenant, client, secret } => {
                if secret.is_empty() {
                    return Err(ConfigError::ClientSecret);
                }
                let options = ClientSecretCredentialOptions { client_options: from_authority(observer) };
                let (tenant, client) = (checked_tenant(tenant)?, checked_client(client)?);
                ClientSecretCredential::new(&tenant, client, Secret::new(secret.to_string()), Some(options))
                    .map_err(|_| ConfigError::Sdk)?
            }
            Self::ManagedIdentity { client } => {
                let metadata = identity_endpoint()?;
                let options = ManagedIdentityCredentialOptions {
                    user_assigned_id: client.map(checked_client).transpose()?.map(UserAssignedId::ClientId),
                    client_options: options(transport::to_tokens(
                        http,
                        metadata,
                        Refusals::OfInstanceMetadata,
                        observer,
                    )),
                };
                ManagedIdentityCredential::new(Some(options)).map_err(|_| ConfigError::Sdk)?
            }
            Self::AzureCli { tenant } => {
                let options = AzureCliCredentialOptions {
                    tenant_id: tenant.map(checked_tenant).transpose()?,
                    ..AzureCliCredentialOptions::default()
                };
                let cli = AzureCliCredential::new(Some(options)).map_err(|_| ConfigError::Sdk)?;
                Arc::new(Bounded { credential: cli, time: AZURE_CLI_TIMEOUT })
            }
        };
        Ok(credential)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Options of all clients: our transport, and no retries but ours.
pub(super) fn options(transport: Arc<dyn HttpClient>) -> ClientOptions {
    ClientOptions {
        transport: Some(Transport::new(transport)),
        retry: RetryOptions::none(),
        ..ClientOptions::default()
    }
}

/// The origin that tokens come from, and what the SDK wants to be told for it.
fn authority(cloud: Cloud, host: Option<&str>) -> Result<(String, CloudConfiguration), ConfigError> {
    let host = host.unwrap_or(match cloud {
        Cloud::Public => "https://login.microsoftonline.com",
        Cloud::Government => "https://login.microsoftonline.us",
        Cloud::China => "https://login.chinacloudapi.cn",
    });
    let url = Url::parse(host).map_err(|_| ConfigError::AuthorityHost)?;
    let bare = url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if url.scheme() != "https" || !bare {
        return Err(ConfigError::AuthorityHost);
    }
    let origin = url.origin().ascii_serialization();
    let mut custom = CustomConfiguration::default();
    custom.authority_host.clone_from(&origin);
    Ok((origin, custom.into()))
}

/// Where the SDK asks for tokens of a managed identity: at the instance metadata service, unless the environment says
/// that this is an App Service or a container app, which have an endpoint of their own.
fn identity_endpoint() -> Result<String, ConfigError> {
    match (std::env::var("IDENTITY_ENDPOINT"), std::env::var("IDENTITY_HEADER")) {
        (Ok(endpoint), Ok(_)) => {
            let url = Url::parse(&endpoint).map_err(|_| ConfigError::IdentityEndpoint)?;
            Ok(url.origin().ascii_serialization())
        }
        _ => Ok(transport::INSTANCE_METADATA.to_owned()),
    }
}

fn checked_tenant(tenant: String) -> Result<String, ConfigError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    // A dot alone would be a step up in the path that it is put into.
    let is_tenant = tenant.bytes().all(fits) && tenant.bytes().any(|b| b.is_ascii_alphanumeric());
    if is_tenant { Ok(tenant) } else { Err(ConfigError::Tenant) }
}

fn checked_client(client: String) -> Result<String, ConfigError> {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    if !client.is_empty() && client.bytes().all(fits) { Ok(client) } else { Err(ConfigError::Client) }
}

/// A service-account token as a client assertion. The kubelet writes a new one long before the old one expires, and
/// may do so at any moment: so the file is read for each exchange, and a missing one is a failure that heals.
#[derive(Debug)]
struct TokenFile(PathBuf);

#[async_trait]
impl ClientAssertion for TokenFile {
    async fn secret(&self, _: Option<ClientMethodOptions<'_>>) -> azure_core::Result<String> {
        // A few kilobytes from memory (a projected volume): not worth another thread.
        let text = std::fs::read_to_string(&self.0).map(Zeroizing::new);
        match text.as_deref().map(|text| text.trim()) {
            Ok(token) if !token.is_empty() => Ok(token.to_owned()),
            Ok(_) => Err(self.failure("it is empty")),
            Err(error) => Err(self.failure(&error.kind().to_string())),
        }
    }
}

impl TokenFile {
    fn failure(&self, why: &str) -> azure_core::Error {
        let failure = Failure::new(
            FailureKind::Unauthenticated,
            format!(
                "no service-account token in {}: {why}; mount a projected token with audience \
                 api://AzureADTokenExchange there, or correct AZURE_FEDERATED_TOKEN_FILE",
                self.0.display()
            ),
        );
        azure_core::Error::new(ErrorKind::Credential, failure)
    }
}

/// A credential that gives up in time.
#[derive(Debug)]
struct Bounded {
    credential: Arc<dyn TokenCredential>,
    time: Duration,
}

#[async_trait]
impl TokenCredential for Bounded {
    async fn get_token(
        &self,
        scopes: &[&str],
        options: Option<TokenRequestOptions<'_>>,
    ) -> azure_core::Result<AccessToken> {
        match tokio::time::timeout(self.time, self.credential.get_token(scopes, options)).await {
            Ok(result) => result,
            Err(_) => Err(azure_core::Error::new(
                ErrorKind::Credential,
                Failure::new(
                    FailureKind::Unauthenticated,
                    format!("the Azure CLI gave no token within {} s; try az login", self.time.as_secs()),
                ),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_bare_https_host() {
        let origin = |host| authority(Cloud::Public, host).map(|(origin, _)| origin);
        assert_eq!(origin(None).unwrap(), "https://login.microsoftonline.com");
        assert_eq!(
            authority(Cloud::China, None).map(|(origin, _)| origin).unwrap(),
            "https://login.chinacloudapi.cn"
        );
        assert_eq!(origin(Some("https://Login.example:8443/")).unwrap(), "https://login.example:8443");
        for bad in [
            "http://login.example",
            "login.example",
            "https://u@login.example",
            "https://login.example/x",
            "https://login.example?x",
        ] {
            assert_eq!(origin(Some(bad)), Err(ConfigError::AuthorityHost), "{bad}");
        }
    }

    #[test]
    fn tenants_and_clients_are_checked() {
        for bad in ["", "..", ".", "a/b", "a b", "a?b", "$(id)", "a;b", "ä"] {
            assert!(checked_tenant(bad.to_owned()).is_err(), "{bad}");
            assert!(checked_client(bad.to_owned()).is_err(), "{bad}");
        }
        assert!(checked_tenant("contoso.onmicrosoft.com".to_owned()).is_ok());
        assert!(checked_client("00000000-0000-0000-0000-000000000000".to_owned()).is_ok());
    }

    #[test]
    fn a_credential_is_shown_without_its_secret() {
        let credential = Credential::ClientSecret {
            tenant: "t".to_owned(),
            client: "c".to_owned(),
            secret: Zeroizing::new("canary-secret".to_owned()),
        };
        assert_eq!(format!("{credential:?}"), "client-secret");
    }

    #[tokio::test]
    async fn the_token_file_is_read_each_time_and_may_come_later() {
        let folder = std::env::temp_dir().join(format!("privyseal-token-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("token");
        let file = TokenFile(path.clone());
        let missing = file.secret(None).await.unwrap_err();
        let failure = missing.downcast_ref::<Failure>().unwrap();
        assert_eq!(failure.kind(), FailureKind::Unauthenticated);
        for token in ["first", "second"] {
            std::fs::write(&path, format!("{token}\n")).unwrap();
            assert_eq!(file.secret(None).await.unwrap(), token);
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(file.secret(None).await.is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
