//! The Key Vault that keeps opening keys: which one, by which identity, and what its refusals mean for the command.
//!
//! Nothing of it is set up unless a vault is named. Every call is bounded in time by the client; what a vault throttles is
//! asked again here, since nobody else would.

use crate::error::{CommandError, Shown};
use clap::ValueEnum;
use privyseal_custody::custody::{Custody, Failure, FailureKind, Kind};
use privyseal_custody::key_secrets::{Custodies, CustodyError};
use privyseal_custody::key_vault::{
    Cloud, Config, ConfigError, Credential, DEFAULT_KEY_NAME, DEFAULT_SECRET_NAME, KeyVault, Roots, VaultUrl,
};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// The environment variable with the client secret. There is no flag: other processes can read flags.
const CLIENT_SECRET: &str = "AZURE_CLIENT_SECRET";

/// Options that name a vault.
#[derive(clap::Args)]
pub(crate) struct KeyVaultOptions {
    /// The Key Vault that keeps opening keys, such as `https://NAME.vault.azure.net`; by default as whoever is logged in with
    /// `az login`
    #[arg(long, value_name = "URL", help_heading = "Key Vault")]
    key_vault: Option<String>,

    /// The vault key that wraps, of custody key-vault-wrapped [default: privyseal]
    #[arg(long, value_name = "NAME", requires = "key_vault", help_heading = "Key Vault")]
    key_vault_key: Option<String>,

    /// The vault secret of sealing keys, of custody key-vault-secret [default: privyseal-sealing-key]
    #[arg(long, value_name = "NAME", requires = "key_vault", help_heading = "Key Vault")]
    key_vault_secret: Option<String>,

    /// The vault is an emulator, for tests: it may be any host, and ask for a token of whatever it likes
    #[arg(long, requires = "key_vault", hide = true, help_heading = "Key Vault")]
    key_vault_emulator: bool,

    /// Who you are to the vault. Nothing else is tried in silence
    #[arg(
        long,
        value_enum,
        value_name = "CREDENTIAL",
        default_value = "azure-cli",
        hide_short_help = true,
        help_heading = "Key Vault"
    )]
    azure_credential: CredentialKind,

    /// The tenant
    #[arg(
        long,
        value_name = "ID",
        env = "AZURE_TENANT_ID",
        hide_env_values = true,
        hide_short_help = true,
        help_heading = "Key Vault"
    )]
    azure_tenant_id: Option<String>,

    /// The client id of the identity
    #[arg(
        long,
        value_name = "ID",
        env = "AZURE_CLIENT_ID",
        hide_env_values = true,
        hide_short_help = true,
        help_heading = "Key Vault"
    )]
    azure_client_id: Option<String>,

    /// The service-account token, for workload-identity
    #[arg(
        long,
        value_name = "FILE",
        env = "AZURE_FEDERATED_TOKEN_FILE",
        hide_env_values = true,
        hide_short_help = true,
        help_heading = "Key Vault"
    )]
    azure_federated_token_file: Option<PathBuf>,

    /// Where tokens come from, if not from the cloud's own host
    #[arg(
        long,
        value_name = "URL",
        env = "AZURE_AUTHORITY_HOST",
        hide_env_values = true,
        hide_short_help = true,
        help_heading = "Key Vault"
    )]
    azure_authority_host: Option<String>,

    /// The cloud, if the vault's address does not say it
    #[arg(long, value_enum, value_name = "CLOUD", hide_short_help = true, help_heading = "Key Vault")]
    azure_cloud: Option<CloudName>,

    /// Roots to trust beside the system's, PEM: a proxy that looks into TLS, or a private cloud
    #[arg(long, value_name = "FILE", hide_short_help = true, help_heading = "Key Vault")]
    azure_ca_file: Option<PathBuf>,
}

/// A credential, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CredentialKind {
    /// Who is logged in to the Azure CLI
    AzureCli,
    /// A service-account token that Microsoft Entra takes for one of its own
    WorkloadIdentity,
    /// The identity of the virtual machine
    ManagedIdentity,
    /// A client secret, in the environment variable AZURE_CLIENT_SECRET
    ClientSecret,
}

/// A cloud, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CloudName {
    Public,
    Government,
    China,
}

/// A custody in a vault, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CustodyName {
    /// In key Secrets
    Cluster,
    /// In secrets of the vault
    KeyVaultSecret,
    /// In key Secrets, as ciphertext under a key of the vault
    KeyVaultWrapped,
}

impl From<CustodyName> for Kind {
    fn from(name: CustodyName) -> Self {
        match name {
            CustodyName::Cluster => Self::Cluster,
            CustodyName::KeyVaultSecret => Self::KeyVaultSecret,
            CustodyName::KeyVaultWrapped => Self::KeyVaultWrapped,
        }
    }
}

impl KeyVaultOptions {
    /// Whether a vault is named.
    pub(crate) fn is_given(&self) -> bool {
        self.key_vault.is_some()
    }

    /// The name of the vault key, if the command line has it.
    pub(crate) fn named_key(&self) -> Option<&str> {
        self.key_vault_key.as_deref()
    }

    /// The name of the vault secret, if the command line has it.
    pub(crate) fn named_secret(&self) -> Option<&str> {
        self.key_vault_secret.as_deref()
    }

    /// Which credential.
    pub(crate) fn credential_kind(&self) -> CredentialKind {
        self.azure_credential
    }

    /// The client id, if it is known.
    pub(crate) fn client_id(&self) -> Option<&str> {
        self.azure_client_id.as_deref().filter(|id| !id.is_empty())
    }

    /// The file with the service-account token, if it is known.
    pub(crate) fn federated_token_file(&self) -> Option<&PathBuf> {
        self.azure_federated_token_file.as_ref()
    }

    /// The vault, if one is named. Nobody is called yet.
    pub(crate) fn open(&self) -> Result<Option<KeyVault>, CommandError> {
        let Some(url) = &self.key_vault else { return Ok(None) };
        let extra_roots = match &self.azure_ca_file {
            None => Vec::new(),
            Some(path) => std::fs::read(path).map_err(|error| {
                let path = path.to_string_lossy();
                CommandError::input(format!(
                    "--azure-ca-file {}: {}",
                    Shown(&path),
                    crate::input::reason(&error)
                ))
            })?,
        };
        let config = Config {
            cloud: self.azure_cloud.map(|cloud| match cloud {
                CloudName::Public => Cloud::Public,
                CloudName::Government => Cloud::Government,
                CloudName::China => Cloud::China,
            }),
            authority_host: given(&self.azure_authority_host),
            roots: Roots::Platform,
            extra_roots,
            emulator: self.key_vault_emulator,
            key_name: self.key_vault_key.clone().unwrap_or_else(|| DEFAULT_KEY_NAME.to_owned()),
            secret_name: self.key_vault_secret.clone().unwrap_or_else(|| DEFAULT_SECRET_NAME.to_owned()),
            ..Config::new(url.clone(), self.credential()?)
        };
        KeyVault::new(config, Arc::new(())).map(Some).map_err(|error| {
            let flag = flag_of(error);
            let this = CommandError::input(format!("{flag}: {error}"));
            match error {
                ConfigError::VaultUrl(_) => this.hint(
                    "`az keyvault show --name NAME --query properties.vaultUri` says the address of a vault",
                ),
                _ => this,
            }
        })
    }

    /// Where private halves are read, and where new ones are to go.
    pub(crate) fn custodies(&self, keeping: Kind) -> Result<Custodies, CommandError> {
        match self.open()? {
            None if keeping == Kind::Cluster => Ok(Custodies::cluster()),
            None => Err(CommandError::input(format!("custody {keeping} needs a vault"))
                .hint("name it with --key-vault URL")),
            Some(vault) => custodies_of(&vault, keeping),
        }
    }

    fn credential(&self) -> Result<Credential, CommandError> {
        let name = self.azure_credential.name();
        let needed = |value: &Option<String>, flag: &str, variable: &str| {
            given(value).ok_or_else(|| {
                CommandError::input(format!("--azure-credential {name} needs {flag}"))
                    .hint(format!("give it, or set {variable} in the environment"))
            })
        };
        let tenant = || needed(&self.azure_tenant_id, "--azure-tenant-id", "AZURE_TENANT_ID");
        let client = || needed(&self.azure_client_id, "--azure-client-id", "AZURE_CLIENT_ID");
        Ok(match self.azure_credential {
            CredentialKind::AzureCli => Credential::AzureCli { tenant: given(&self.azure_tenant_id) },
            CredentialKind::ManagedIdentity => {
                Credential::ManagedIdentity { client: given(&self.azure_client_id) }
            }
            CredentialKind::WorkloadIdentity => Credential::WorkloadIdentity {
                tenant: tenant()?,
                client: client()?,
                token_file: self.azure_federated_token_file.clone().ok_or_else(|| {
                    CommandError::input(format!(
                        "--azure-credential {name} needs --azure-federated-token-file, a projected service-account token"
                    ))
                    .hint("give it, or set AZURE_FEDERATED_TOKEN_FILE in the environment")
                })?,
            },
            CredentialKind::ClientSecret => Credential::ClientSecret {
                tenant: tenant()?,
                client: client()?,
                secret: std::env::var(CLIENT_SECRET).map(Zeroizing::new).map_err(|_| {
                    CommandError::input(format!(
                        "--azure-credential {name} needs the environment variable {CLIENT_SECRET}"
                    ))
                })?,
            },
        })
    }
}

impl CredentialKind {
    /// As it is typed.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// An environment variable that is set to nothing is not set.
fn given(value: &Option<String>) -> Option<String> {
    value.clone().filter(|value| !value.is_empty())
}

/// What a vault gives, whichever custody it was given to.
pub(crate) fn custodies_of(vault: &KeyVault, keeping: Kind) -> Result<Custodies, CommandError> {
    let kinds = [Kind::KeyVaultWrapped, Kind::KeyVaultSecret];
    let vaults: Vec<Arc<dyn Custody>> = kinds
        .into_iter()
        // A Managed HSM has no secrets: that is an error only if they are asked for.
        .filter(|kind| *kind == keeping || *kind == Kind::KeyVaultWrapped || !vault.vault().is_managed_hsm())
        .map(|kind| vault.custody(kind))
        .collect::<Result<_, _>>()
        .map_err(|error| CommandError::input(format!("--custody {keeping}: {error}")))?;
    Ok(Custodies::new(keeping, vaults, Duration::MAX))
}

/// The flag that an error is about.
fn flag_of(error: ConfigError) -> &'static str {
    match error {
        ConfigError::ObjectName => "--key-vault-key or --key-vault-secret",
        ConfigError::SecretName => "--key-vault-secret",
        ConfigError::AuthorityHost => "--azure-authority-host",
        ConfigError::Tenant => "--azure-tenant-id",
        ConfigError::Client => "--azure-client-id",
        ConfigError::ClientSecret => CLIENT_SECRET,
        ConfigError::OtherCloud { .. } => "--azure-cloud",
        ConfigError::ExtraRoots => "--azure-ca-file",
        ConfigError::IdentityEndpoint => "IDENTITY_ENDPOINT",
        _ => "--key-vault",
    }
}

/// What a vault's failure means for the command. What it is about comes first, if anything.
pub(crate) fn vault_error(about: &str, failure: &Failure) -> CommandError {
    let message = match about {
        "" => failure.to_string(),
        about => format!("{}: {failure}", Shown(about)),
    };
    // The vault as a whole: nobody answers, or nobody lets us in. All else is about what is asked for.
    if failure.kind().is_of_the_vault() {
        CommandError::unreachable(message)
            .hint("`privyseal doctor azure --key-vault URL` looks for what is wrong, and says the commands that cure it")
    } else {
        CommandError::failed(message)
    }
}

/// Asks once more, after the time that it says, a vault that has too much to do.
pub(crate) async fn patiently<T>(
    mut call: impl AsyncFnMut() -> Result<T, CustodyError>,
) -> Result<T, CustodyError> {
    let mut wait = FIRST_WAIT;
    loop {
        match call().await {
            Err(CustodyError::Vault { failure, .. })
                if failure.kind() == FailureKind::Throttled && wait <= LAST_WAIT =>
            {
                tokio::time::sleep(failure.wait().unwrap_or(wait).min(LAST_WAIT)).await;
                wait *= 2;
            }
            done => return done,
        }
    }
}

/// The same of a call of the vault itself.
pub(crate) async fn patiently_asked<T>(
    mut call: impl AsyncFnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let in_vault = |failure| CustodyError::Vault { secret: String::new(), failure };
    patiently(async || call().await.map_err(in_vault)).await.map_err(|error| match error {
        CustodyError::Vault { failure, .. } => failure,
        other => Failure::new(FailureKind::Damaged, other.to_string()),
    })
}

/// How the vault's objects are called, for messages.
pub(crate) fn shown_secret(vault: &VaultUrl, name: &str) -> String {
    format!("secret {name} of vault {}", vault.host())
}

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(12);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        vault: KeyVaultOptions,
    }

    const VAULT: &str = "--key-vault https://v.vault.azure.net";

    fn options(flags: &str) -> KeyVaultOptions {
        Command::parse_from(std::iter::once("it").chain(flags.split_whitespace())).vault
    }

    fn error(flags: &str) -> CommandError {
        options(flags).open().err().unwrap_or_else(|| panic!("{flags}"))
    }

    #[test]
    fn nothing_is_set_up_without_a_vault_and_az_login_is_enough_with_one() {
        assert!(options("").open().unwrap().is_none());
        assert!(options("").custodies(Kind::Cluster).unwrap().poll_interval().is_none());
        let vault = options(VAULT).open().unwrap().unwrap();
        assert_eq!(vault.vault().as_str(), "https://v.vault.azure.net");
        assert_eq!(
            (vault.key_name().as_str(), vault.secret_name().as_str()),
            ("privyseal", "privyseal-sealing-key")
        );
        let custodies = options(VAULT).custodies(Kind::KeyVaultSecret).unwrap();
        assert_eq!(custodies.keeping(), Kind::KeyVaultSecret);
    }

    #[test]
    fn what_is_wrong_or_missing_is_named() {
        for (flags, named) in [
            ("--key-vault https://evil.example".to_owned(), "--key-vault: "),
            (format!("{VAULT} --key-vault-key a/b"), "--key-vault-key"),
            (format!("{VAULT} --azure-ca-file /nowhere"), "--azure-ca-file /nowhere: "),
            (format!("{VAULT} --azure-cloud china"), "--azure-cloud: "),
            (format!("{VAULT} --azure-credential workload-identity"), "--azure-tenant-id"),
            (
                format!(
                    "{VAULT} --azure-credential workload-identity --azure-tenant-id t --azure-client-id c"
                ),
                "--azure-federated-token-file",
            ),
            (format!("{VAULT} --azure-credential client-secret --azure-tenant-id t"), "--azure-client-id"),
            (format!("{VAULT} --azure-tenant-id $(id)"), "--azure-tenant-id: "),
        ] {
            let error = error(&flags);
            assert_eq!(error.kind(), ErrorKind::Input, "{flags}");
            let (message, _) = &error.reports()[0];
            assert!(message.contains(named), "{flags}: {message}");
        }
        assert_eq!(options("").custodies(Kind::KeyVaultSecret).err().unwrap().kind(), ErrorKind::Input);
        let hsm = options("--key-vault https://v.managedhsm.azure.net");
        assert_eq!(hsm.custodies(Kind::KeyVaultSecret).err().unwrap().kind(), ErrorKind::Input);
        assert!(hsm.custodies(Kind::KeyVaultWrapped).is_ok());
    }

    #[test]
    fn a_vault_that_lets_nobody_in_is_told_apart_from_what_it_does_not_have() {
        let kind = |kind| vault_error("", &Failure::new(kind, "x")).kind();
        assert_eq!(kind(FailureKind::Unavailable), ErrorKind::Unreachable);
        assert_eq!(kind(FailureKind::Forbidden), ErrorKind::Unreachable);
        assert_eq!(kind(FailureKind::Unauthenticated), ErrorKind::Unreachable);
        assert_eq!(kind(FailureKind::Untrusted), ErrorKind::Unreachable);
        assert_eq!(kind(FailureKind::NotFound), ErrorKind::Failed);
        assert_eq!(kind(FailureKind::Damaged), ErrorKind::Failed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_vault_with_too_much_to_do_is_asked_again_and_not_for_ever() {
        let throttled = || Failure::new(FailureKind::Throttled, "later").retry_after(Duration::from_secs(2));
        let mut calls = 0;
        let done = patiently_asked(async || {
            calls += 1;
            if calls < 3 { Err(throttled()) } else { Ok(calls) }
        });
        assert_eq!(done.await, Ok(3));
        let mut calls = 0;
        let done: Result<(), _> = patiently_asked(async || {
            calls += 1;
            Err(throttled())
        })
        .await;
        assert_eq!((done.unwrap_err().kind(), calls), (FailureKind::Throttled, 5));
        let mut calls = 0;
        let refused: Result<(), _> = patiently_asked(async || {
            calls += 1;
            Err(Failure::new(FailureKind::Forbidden, "no"))
        })
        .await;
        assert_eq!((refused.unwrap_err().kind(), calls), (FailureKind::Forbidden, 1));
    }
}
