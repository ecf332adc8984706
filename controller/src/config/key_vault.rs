//! Flags about where private halves are kept, and how a Key Vault is reached.

use clap::{Args, ValueEnum};
use privyseal_custody::custody::Kind;
use privyseal_custody::key_vault::{
    Cloud, Config, Credential, DEFAULT_BUDGET, DEFAULT_KEY_NAME, DEFAULT_SECRET_NAME, Roots, hsm,
};
use std::path::PathBuf;
use std::time::Duration;
use zeroize::Zeroizing;

/// The environment variable with the client secret. There is no flag: other processes can read flags.
const CLIENT_SECRET: &str = "AZURE_CLIENT_SECRET";

#[derive(Args, Debug)]
#[command(next_help_heading = "Custody")]
pub(crate) struct KeyVaultArgs {
    /// Where private halves of keys are kept.
    #[arg(long, env = "PRIVYSEAL_CUSTODY", default_value = "cluster")]
    custody: KindArg,
    /// The Key Vault, such as `https://NAME.vault.azure.net`. What it keeps is read in custody cluster too, so that keys can
    /// be moved back.
    #[arg(long, env = "PRIVYSEAL_KEY_VAULT_URL", value_name = "URL", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    key_vault_url: Option<String>,
    /// The vault key that wraps, for custody key-vault-wrapped.
    #[arg(long, env = "PRIVYSEAL_KEY_VAULT_KEY", value_name = "NAME", default_value = DEFAULT_KEY_NAME)]
    key_vault_key: String,
    /// The vault secret of sealing keys, for custody key-vault-secret; that of the publisher key has -publisher at the end.
    #[arg(long, env = "PRIVYSEAL_KEY_VAULT_SECRET", value_name = "NAME", default_value = DEFAULT_SECRET_NAME)]
    key_vault_secret: String,
    /// A vault key that never leaves the vault and opens values that are sealed to it, in the age format (custody
    /// key-vault-hsm). It stands beside the other keys, whatever custody these have.
    #[arg(long, env = "PRIVYSEAL_HSM_KEY", value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    hsm_key: Option<String>,
    /// A version of the HSM key that may be used; repeatable. By default all that are enabled.
    #[arg(
        long = "hsm-key-version",
        env = "PRIVYSEAL_HSM_KEY_VERSIONS",
        value_name = "VERSION",
        value_delimiter = ','
    )]
    hsm_key_versions: Vec<String>,
    /// Calls with the HSM key in any 10 seconds. By default, and at most, half of what Key Vault allows with a key of its size
    /// and kind.
    #[arg(long, env = "PRIVYSEAL_HSM_BUDGET", value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..))]
    hsm_budget: Option<u32>,
    /// Unwrapped file keys that are kept in memory, so that a value that is opened again costs no call; 0 for none.
    #[arg(long, env = "PRIVYSEAL_HSM_CACHE", value_name = "NUMBER", default_value_t = hsm::DEFAULT_CACHE, value_parser = cache)]
    hsm_cache: usize,
    /// For how long each is kept.
    #[arg(long, env = "PRIVYSEAL_HSM_CACHE_TTL", value_name = "DURATION", default_value = "1h", value_parser = cache_ttl)]
    hsm_cache_ttl: Duration,
    /// How often the vault is looked at for new versions, and for what it refused.
    #[arg(long, env = "PRIVYSEAL_KEY_VAULT_POLL_INTERVAL", value_name = "DURATION", default_value = "5m", value_parser = poll_interval)]
    key_vault_poll_interval: Duration,
    /// Calls of the vault in any 10 seconds.
    #[arg(long, env = "PRIVYSEAL_KEY_VAULT_BUDGET", value_name = "CALLS", default_value_t = DEFAULT_BUDGET, value_parser = clap::value_parser!(u32).range(1..=2000))]
    key_vault_budget: u32,
    /// The vault is an emulator, for tests: it may be any host, and ask for a token of whatever it likes.
    #[arg(long, env = "PRIVYSEAL_KEY_VAULT_EMULATOR")]
    key_vault_emulator: bool,
    /// Who the controller is to the vault. There is no default: nothing else is tried in silence.
    #[arg(long, env = "PRIVYSEAL_AZURE_CREDENTIAL", required_if_eq_any = [("custody", "key-vault-secret"), ("custody", "key-vault-wrapped")])]
    azure_credential: Option<CredentialArg>,
    /// The cloud, if the vault's address does not say it.
    #[arg(long, env = "PRIVYSEAL_AZURE_CLOUD")]
    azure_cloud: Option<CloudArg>,
    /// Where tokens come from, if not from the cloud's own host.
    #[arg(long, env = "AZURE_AUTHORITY_HOST", value_name = "URL")]
    azure_authority_host: Option<String>,
    /// The tenant.
    #[arg(long, env = "AZURE_TENANT_ID", value_name = "ID")]
    azure_tenant_id: Option<String>,
    /// The client id of the identity.
    #[arg(long, env = "AZURE_CLIENT_ID", value_name = "ID")]
    azure_client_id: Option<String>,
    /// The service-account token, for workload-identity. It is read again for each exchange.
    #[arg(long, env = "AZURE_FEDERATED_TOKEN_FILE", value_name = "FILE")]
    azure_federated_token_file: Option<PathBuf>,
    /// Roots to trust beside the built-in ones, PEM: a proxy that looks into TLS, or a private cloud.
    #[arg(long, env = "PRIVYSEAL_AZURE_CA_FILE", value_name = "FILE")]
    azure_ca_file: Option<PathBuf>,
}

/// A custody, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum KindArg {
    /// In key Secrets.
    Cluster,
    /// In secrets of the vault.
    KeyVaultSecret,
    /// In key Secrets, as ciphertext under a key of the vault.
    KeyVaultWrapped,
}

/// A credential, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CredentialArg {
    /// A service-account token that Microsoft Entra takes for one of its own.
    WorkloadIdentity,
    /// The identity of the virtual machine.
    ManagedIdentity,
    /// A client secret, in the environment variable AZURE_CLIENT_SECRET.
    ClientSecret,
    /// Who is logged in to the Azure CLI.
    AzureCli,
}

/// A cloud, as it is typed.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CloudArg {
    Public,
    Government,
    China,
}

/// Where private halves are kept.
#[derive(Clone, Debug)]
pub(crate) struct CustodyConfig {
    /// New ones, and in time all.
    pub keeping: Kind,
    /// The vault, if there is one.
    pub key_vault: Option<Config>,
}

impl KeyVaultArgs {
    /// Reads the meaning, and the files that are named.
    ///
    /// # Errors
    /// If flags do not go together, or a file cannot be read: a sentence for whoever typed them.
    pub(crate) fn into_config(self) -> Result<CustodyConfig, String> {
        let keeping = match self.custody {
            KindArg::Cluster => Kind::Cluster,
            KindArg::KeyVaultSecret => Kind::KeyVaultSecret,
            KindArg::KeyVaultWrapped => Kind::KeyVaultWrapped,
        };
        let Some(url) = self.key_vault_url.clone() else {
            if self.hsm_key.is_some() {
                return Err("--hsm-key needs --key-vault-url".to_owned());
            }
            return match keeping {
                Kind::Cluster => Ok(CustodyConfig { keeping, key_vault: None }),
                _ => Err(format!("--custody {keeping} needs --key-vault-url")),
            };
        };
        let extra_roots = match &self.azure_ca_file {
            None => Vec::new(),
            Some(path) => std::fs::read(path)
                .map_err(|error| format!("--azure-ca-file {}: {}", path.display(), error.kind()))?,
        };
        let config = Config {
            cloud: self.azure_cloud.map(|cloud| match cloud {
                CloudArg::Public => Cloud::Public,
                CloudArg::Government => Cloud::Government,
                CloudArg::China => Cloud::China,
            }),
            authority_host: self.azure_authority_host.clone(),
            roots: Roots::BuiltIn,
            extra_roots,
            emulator: self.key_vault_emulator,
            budget: self.key_vault_budget,
            poll_interval: self.key_vault_poll_interval,
            key_name: self.key_vault_key.clone(),
            secret_name: self.key_vault_secret.clone(),
            hsm: self.hsm(),
            ..Config::new(url, self.credential()?)
        };
        Ok(CustodyConfig { keeping, key_vault: Some(config) })
    }

    fn hsm(&self) -> Option<hsm::Config> {
        let settings =
            hsm::Settings { cache: self.hsm_cache, cache_ttl: self.hsm_cache_ttl, budget: self.hsm_budget };
        let key = self.hsm_key.clone()?;
        Some(hsm::Config { key, versions: self.hsm_key_versions.clone(), settings })
    }

    fn credential(&self) -> Result<Credential, String> {
        let credential = self.azure_credential.ok_or("--key-vault-url needs --azure-credential")?;
        let needed = |value: &Option<String>, flag: &str| {
            value
                .clone()
                .filter(|value| !value.is_empty())
                .ok_or_else(|| format!("--azure-credential {} needs {flag}", name_of(credential)))
        };
        let tenant = || needed(&self.azure_tenant_id, "--azure-tenant-id");
        let client = || needed(&self.azure_client_id, "--azure-client-id");
        Ok(match credential {
            CredentialArg::WorkloadIdentity => Credential::WorkloadIdentity {
                tenant: tenant()?,
                client: client()?,
                token_file: self.azure_federated_token_file.clone().ok_or(
                    "--azure-credential workload-identity needs --azure-federated-token-file, a projected \
                     service-account token",
                )?,
            },
            CredentialArg::ManagedIdentity => {
                Credential::ManagedIdentity { client: self.azure_client_id.clone() }
            }
            CredentialArg::ClientSecret => Credential::ClientSecret {
                tenant: tenant()?,
                client: client()?,
                secret: std::env::var(CLIENT_SECRET).map(Zeroizing::new).map_err(|_| {
                    format!("--azure-credential client-secret needs the environment variable {CLIENT_SECRET}")
                })?,
            },
            CredentialArg::AzureCli => Credential::AzureCli { tenant: self.azure_tenant_id.clone() },
        })
    }
}

fn name_of(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Shorter ones would be a load of their own.
fn poll_interval(text: &str) -> Result<Duration, String> {
    let interval = Duration::try_from(super::duration(text)?).map_err(|_| "not a duration".to_owned())?;
    if interval < Duration::from_secs(1) { Err("at least 1s".into()) } else { Ok(interval) }
}

/// Beyond a million there is no vault that would have unwrapped them in time.
fn cache(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|entries| *entries <= 1_000_000).ok_or("at most 1000000".to_owned())
}

fn cache_ttl(text: &str) -> Result<Duration, String> {
    let ttl = Duration::try_from(super::duration(text)?).map_err(|_| "not a duration".to_owned())?;
    // Whoever wants none says --hsm-cache 0.
    if ttl.is_zero() { Err("more than 0; --hsm-cache 0 keeps none".into()) } else { Ok(ttl) }
}

#[cfg(test)]
mod tests {
    use super::super::Args;
    use super::*;
    use clap::Parser as _;

    fn config(flags: &str) -> Result<CustodyConfig, String> {
        let args = std::iter::once("privyseal-controller").chain(flags.split_whitespace());
        let args = Args::try_parse_from(args).map_err(|error| error.to_string())?;
        args.into_config("privyseal").map(|(config, _)| config.custody)
    }

    const VAULT: &str = "--key-vault-url https://v.vault.azure.net --azure-tenant-id t --azure-client-id c";

    #[test]
    fn the_cluster_needs_nothing_and_may_have_a_vault_to_move_from() {
        assert!(config("").unwrap().key_vault.is_none());
        let both = config(&format!("{VAULT} --azure-credential managed-identity")).unwrap();
        assert_eq!(both.keeping, Kind::Cluster);
        assert!(both.key_vault.is_some());
    }

    #[test]
    fn an_hsm_key_stands_beside_any_custody() {
        let flags = format!("{VAULT} --azure-credential managed-identity");
        assert!(config(&flags).unwrap().key_vault.unwrap().hsm.is_none());
        let all = "--hsm-key values --hsm-key-version a,b --hsm-key-version c --hsm-budget 5 --hsm-cache 0";
        for custody in ["cluster", "key-vault-secret", "key-vault-wrapped"] {
            let config = config(&format!("{flags} --custody {custody} {all}")).unwrap();
            let hsm = config.key_vault.unwrap().hsm.unwrap();
            assert_eq!((hsm.key.as_str(), hsm.versions.len()), ("values", 3));
            assert_eq!((hsm.settings.budget, hsm.settings.cache), (Some(5), 0));
            assert_eq!(hsm.settings.cache_ttl, hsm::DEFAULT_CACHE_TTL);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (flags, missing) in [
            ("--custody key-vault-secret --azure-credential azure-cli".to_owned(), "--key-vault-url"),
            (format!("--custody key-vault-wrapped {VAULT}"), "--azure-credential"),
            (VAULT.to_owned(), "--azure-credential"),
            (format!("{VAULT} --azure-credential workload-identity"), "--azure-federated-token-file"),
            ("--key-vault-url https://v --azure-credential client-secret".to_owned(), "--azure-tenant-id"),
            (format!("{VAULT} --azure-credential azure-cli --azure-ca-file /nowhere"), "--azure-ca-file"),
            ("--hsm-key values".to_owned(), "--key-vault-url"),
            (format!("{VAULT} --hsm-cache 2000000"), "--hsm-cache"),
            (format!("{VAULT} --hsm-cache-ttl 0"), "--hsm-cache 0"),
            (format!("{VAULT} --hsm-budget 0"), "--hsm-budget"),
            (format!("{VAULT} --key-vault-budget 0"), "--key-vault-budget"),
            (format!("{VAULT} --key-vault-poll-interval 0"), "--key-vault-poll-interval"),
        ] {
            let error = config(&flags).err().unwrap();
            assert!(error.contains(missing), "{flags}: {error}");
        }
    }
}
