//! Azure Key Vault: the two custodies that keep private halves with it, and the one whose key never leaves it.
//!
//! ```text
//!   secret::Custody    private half ──▶ a version of a vault secret            custody.json: its id
//!   wrapped::Custody   private half ──▶ AES-256-GCM under a fresh key, which
//!                                       the vault key wraps (locally)          custody.json: all of it
//!   hsm::Unwrapper     the wrapped file key of one sealed value ──▶ file key  nothing: it is in no key Secret
//!        │
//!        ▼ client       keys, unwrap, secrets: what is asked, and what may be answered
//!        ▼ the SDK      requests, challenges, tokens (credential)
//!        ▼ transport    only the configured hosts; time, size, budget, pause; every refusal in our words (answer)
//!        ▼ reqwest      TLS with the configured roots
//! ```
//!
//! Four rules hold here:
//!
//! - **Nobody is called whom the configuration does not name.** An id that is stored or answered is compared with the
//!   configured vault and name ([`VersionId`]), and the transport sends to no other host, whatever the SDK is told.
//! - **One retry policy**, and it is the caller's: the SDK retries nothing, and what fails says when to ask again.
//! - **No answer is shown.** Of an error only a code of a checked alphabet gets into a message.
//! - **Values are wiped where they are ours**: keys, private halves and what is made of them. The SDK and the HTTP
//!   library keep their own buffers, request bodies, tokens and the client secret in memory that nobody wipes.

mod address;
mod answer;
mod client;
mod credential;
mod gate;
pub mod hsm;
mod identity;
mod observer;
pub mod secret;
#[cfg(test)]
mod tests;
mod transport;
mod turn;
pub mod wrapped;

pub use address::{Cloud, Collection, ObjectName, VaultUrl, VersionId};
pub use client::{SecretValue, SecretVersion, VaultKey};
pub use credential::Credential;
pub use identity::{Assertion, Identity};
pub use observer::{Answer, Observer, Operation};

use crate::InCluster;
use crate::custody::{Custody, Failure, FailureKind, Kind, Reference, Subject};
use azure_core::credentials::TokenCredential;
use azure_core::http::HttpClient;
use azure_security_keyvault_keys::KeyClient;
use azure_security_keyvault_secrets::SecretClient;
use jiff::SignedDuration;
use privyseal_envelope::Plaintext;
use std::sync::Arc;
use std::time::Duration;
use transport::Clock;
use turn::Turns;

/// How many calls of a vault are made in any 10 seconds, unless configured otherwise.
pub const DEFAULT_BUDGET: u32 = 100;
/// For how long the vault key's current version is not asked for again, unless configured otherwise.
pub const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(300);
/// The vault key's name, unless configured otherwise.
pub const DEFAULT_KEY_NAME: &str = "privyseal";
/// The name of the vault secret of sealing keys, unless configured otherwise.
pub const DEFAULT_SECRET_NAME: &str = "privyseal-sealing-key";
/// What the name of the publisher key's vault secret ends in.
const PUBLISHER_SUFFIX: &str = "-publisher";

/// Which vault, and how to reach it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The vault: `https://NAME.vault.azure.net`.
    pub url: String,
    /// Who we are to it.
    pub credential: Credential,
    /// The cloud; if not given, the one of the vault's host.
    pub cloud: Option<Cloud>,
    /// Where tokens come from (`https://HOST`), if not from the cloud's own.
    pub authority_host: Option<String>,
    /// Which roots certificates are held against.
    pub roots: Roots,
    /// More roots, PEM: may be empty.
    pub extra_roots: Vec<u8>,
    /// The vault is an emulator: any host and port, and it may ask for tokens for whatever it likes.
    pub emulator: bool,
    /// Calls of the vault in any 10 seconds, at least 1.
    pub budget: u32,
    /// For how long the vault key's current version is not asked for again.
    pub poll_interval: Duration,
    /// The vault key of custody `key-vault-wrapped`.
    pub key_name: String,
    /// The vault secret of custody `key-vault-secret`. The publisher key's has `-publisher` at the end.
    pub secret_name: String,
    /// The key of custody `key-vault-hsm`, which stands beside the others; none without.
    pub hsm: Option<hsm::Config>,
}

impl Config {
    /// That vault, and the rest as it is when nothing is configured.
    pub fn new(url: impl Into<String>, credential: Credential) -> Self {
        Self {
            url: url.into(),
            credential,
            cloud: None,
            authority_host: None,
            roots: Roots::BuiltIn,
            extra_roots: Vec::new(),
            emulator: false,
            budget: DEFAULT_BUDGET,
            poll_interval: DEFAULT_POLL_INTERVAL,
            key_name: DEFAULT_KEY_NAME.to_owned(),
            secret_name: DEFAULT_SECRET_NAME.to_owned(),
            hsm: None,
        }
    }
}

/// Roots that certificates are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Mozilla's, compiled in: an image without files needs no others.
    #[default]
    BuiltIn,
    /// The operating system's, as a person at a terminal expects.
    Platform,
}

/// The configuration of a vault cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The address.
    #[error("not the address of a vault: {0}")]
    VaultUrl(&'static str),
    /// The address is of another cloud.
    #[error("the vault is in cloud {vault}, and the cloud given is {given}")]
    OtherCloud {
        /// Of the address.
        vault: Cloud,
        /// Configured.
        given: Cloud,
    },
    /// A name.
    #[error("not the name of a key or secret in a vault: 1 to 127 letters, digits and hyphens")]
    ObjectName,
    /// A name that leaves no room for the publisher key's.
    #[error("the name of the secret is too long: at most 117 characters, since -publisher is put behind it")]
    SecretName,
    /// The key that opens sealed values is the one that wraps private halves.
    #[error(
        "the HSM key must be another one than the vault key that wraps private halves: give it a name of its own"
    )]
    SameKey,
    /// A version of the HSM key.
    #[error("not the version of a key in a vault: 32 hexadecimal digits, as at the end of its id")]
    Version,
    /// The authority host.
    #[error("not an authority host: https:// and a host, with no user, path or query")]
    AuthorityHost,
    /// The endpoint of an App Service.
    #[error("IDENTITY_ENDPOINT is no address")]
    IdentityEndpoint,
    /// A tenant.
    #[error("not a tenant: letters, digits, hyphens and dots")]
    Tenant,
    /// A client.
    #[error("not a client id: letters, digits and hyphens")]
    Client,
    /// An empty client secret.
    #[error("the client secret is empty")]
    ClientSecret,
    /// The budget.
    #[error("the budget must be at least 1 call in 10 seconds")]
    Budget,
    /// The additional roots.
    #[error("the additional roots are no PEM certificates")]
    ExtraRoots,
    /// TLS cannot be set up.
    #[error("TLS cannot be set up with these roots")]
    Tls,
    /// A Managed HSM has no secrets.
    #[error("a Managed HSM keeps keys and no secrets: use custody key-vault-wrapped, or a Key Vault")]
    NoSecrets,
    /// The SDK refuses what we took.
    #[error("the Azure SDK refuses the address or the credential")]
    Sdk,
}

/// A vault. Cheap to clone: all clones share connections, tokens, budget and pause.
#[derive(Clone)]
pub struct KeyVault(Arc<Inner>);

struct Inner {
    vault: VaultUrl,
    key_name: ObjectName,
    secret_name: ObjectName,
    publisher_name: ObjectName,
    hsm: Option<hsm::Target>,
    keys: KeyClient,
    secrets: SecretClient,
    /// For who asks whose token it is: what the SDK gets by it is the SDK's, and watched.
    credential: Arc<dyn TokenCredential>,
    transport: Arc<dyn HttpClient>,
    turns: Turns,
    current_key: client::CurrentKey,
    clock: Arc<Clock>,
    observer: Arc<dyn Observer>,
}

impl KeyVault {
    /// Sets everything up, and calls nobody yet.
    ///
    /// # Errors
    /// If the configuration cannot be used. A token file that is missing is no such case: it may come.
    pub fn new(config: Config, observer: Arc<dyn Observer>) -> Result<Self, ConfigError> {
        let http =
            transport::http_client(config.roots, &config.extra_roots, transport::Proxies::Environment)?;
        let tokens = match config.credential {
            // A proxy would be asked for the identity of its own machine.
            Credential::ManagedIdentity { .. } => {
                transport::http_client(config.roots, &config.extra_roots, transport::Proxies::None)?
            }
            _ => Arc::clone(&http),
        };
        Self::with_http(config, observer, http, tokens)
    }

    fn with_http(
        config: Config,
        observer: Arc<dyn Observer>,
        http: Arc<dyn HttpClient>,
        tokens: Arc<dyn HttpClient>,
    ) -> Result<Self, ConfigError> {
        let vault = VaultUrl::parse(&config.url, config.cloud, config.emulator)?;
        let key_name = ObjectName::parse(&config.key_name)?;
        let secret_name = ObjectName::parse(&config.secret_name)?;
        let publisher_name = ObjectName::parse(&format!("{secret_name}{PUBLISHER_SUFFIX}"))
            .map_err(|_| ConfigError::SecretName)?;
        if config.budget == 0 {
            return Err(ConfigError::Budget);
        }
        let hsm = config.hsm.map(hsm::Target::parse).transpose()?;
        if hsm.as_ref().is_some_and(|hsm| hsm.key == key_name) {
            return Err(ConfigError::SameKey);
        }
        let clock = Arc::new(Clock::default());
        let credential = config.credential.build(
            vault.cloud(),
            config.authority_host.as_deref(),
            tokens,
            Arc::clone(&observer),
        )?;
        let unwatched = Arc::clone(&credential);
        let (turns, credential) = Turns::watching(credential);
        let transport = transport::to_vault(
            http,
            &vault,
            hsm.as_ref().map(|hsm| &hsm.key),
            config.budget,
            Arc::clone(&clock),
            Arc::clone(&observer),
        );
        let (keys, secrets) = client::clients(&vault, credential, Arc::clone(&transport), config.emulator)?;
        Ok(Self(Arc::new(Inner {
            vault,
            key_name,
            secret_name,
            publisher_name,
            hsm,
            keys,
            secrets,
            credential: unwatched,
            transport,
            turns,
            current_key: client::CurrentKey::new(config.poll_interval),
            clock,
            observer,
        })))
    }

    /// The custody of that kind. Each of the two kinds of this vault fetches what the other kept, so that one can be
    /// exchanged for the other.
    ///
    /// # Errors
    /// If this vault cannot be used for it.
    pub fn custody(&self, kind: Kind) -> Result<Arc<dyn Custody>, ConfigError> {
        match kind {
            Kind::Cluster => Ok(Arc::new(InCluster)),
            Kind::KeyVaultSecret if self.vault().is_managed_hsm() => Err(ConfigError::NoSecrets),
            Kind::KeyVaultSecret => Ok(Arc::new(secret::InSecrets::new(self.clone()))),
            Kind::KeyVaultWrapped => Ok(Arc::new(wrapped::Wrapped::new(self.clone()))),
        }
    }

    /// Where it is.
    pub fn vault(&self) -> &VaultUrl {
        &self.0.vault
    }

    /// The vault key's name.
    pub fn key_name(&self) -> &ObjectName {
        &self.0.key_name
    }

    /// The name of the vault secret of sealing keys.
    pub fn secret_name(&self) -> &ObjectName {
        &self.0.secret_name
    }

    /// The name of the vault secret of the publisher key.
    pub fn publisher_name(&self) -> &ObjectName {
        &self.0.publisher_name
    }

    /// How far the vault's clock was ahead of ours at the last answer that told its time; negative if behind. Tokens
    /// are refused if clocks differ by some minutes.
    pub fn clock_ahead(&self) -> Option<SignedDuration> {
        self.0.clock.ahead()
    }

    async fn fetch(&self, subject: &Subject, reference: &Reference) -> Result<Plaintext, Failure> {
        match reference {
            Reference::KeyVaultSecret(reference) => secret::fetch(self, subject, reference).await,
            Reference::KeyVaultWrapped(envelope) => wrapped::fetch(self, subject, envelope).await,
        }
    }
}

/// Later releases may store what this one does not know.
fn check_version(version: u64) -> Result<(), Failure> {
    match version {
        1 => Ok(()),
        _ => Err(Failure::new(
            FailureKind::Damaged,
            "custody.json is of a version that this release does not know; use a later release",
        )),
    }
}
