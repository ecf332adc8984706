//! Flags as they are typed, and what they mean.

mod key_vault;

pub(crate) use key_vault::CustodyConfig;

use crate::policy::Policy;
use clap::{Parser, ValueEnum};
use jiff::SignedDuration;
use privyseal_custody::backup::BackupRecipients;
use privyseal_envelope::age::{NotARecipient, Recipient, Recipients};
use privyseal_envelope::rsa::KeySize;
use privyseal_manifest::names::DeletionPolicy;
use std::net::SocketAddr;

/// The cluster's half of Privyseal: opens SealedSecrets into Secrets.
#[derive(Parser, Debug)]
#[command(name = "privyseal-controller", version, about, max_term_width = 100, args_override_self = true)]
pub(crate) struct Args {
    /// Prefix of the names of key Secrets.
    #[arg(long, env = "PRIVYSEAL_KEY_PREFIX", default_value = privyseal_custody::key_secret::DEFAULT_PREFIX, value_parser = key_prefix)]
    key_prefix: String,
    /// Size of new keys in bits: 2048, 3072, 4096 or 8192.
    #[arg(long, env = "PRIVYSEAL_KEY_SIZE", default_value = "4096", value_parser = key_size)]
    key_size: KeySize,
    /// How long a new certificate seals.
    #[arg(long, env = "PRIVYSEAL_KEY_TTL", default_value = "87600h", value_parser = validity)]
    key_ttl: SignedDuration,
    /// Age of the sealing key at which the next one is made; 0 means never.
    #[arg(long, env = "PRIVYSEAL_KEY_RENEW_PERIOD", default_value = "720h", value_parser = duration)]
    key_renew_period: SignedDuration,
    /// Common name in new certificates.
    #[arg(long, env = "PRIVYSEAL_MY_CN", default_value = "")]
    my_cn: String,
    /// An age key, age1pq1…, to which a backup of each new key is encrypted and stored before the key is used; repeatable.
    #[arg(long = "escrow-recipient", env = "PRIVYSEAL_ESCROW_RECIPIENTS", value_name = "RECIPIENT", value_delimiter = ',', value_parser = recipient)]
    escrow_recipients: Vec<Recipient>,
    /// Encrypt these backups to classical age keys, age1…, too: then a quantum computer opens them some day, and the
    /// post-quantum keys in them.
    #[arg(long, env = "PRIVYSEAL_ESCROW_ALLOW_CLASSICAL")]
    escrow_allow_classical: bool,
    /// A type, label or annotation that templates may ask for although it is refused by default; repeatable.
    #[arg(long, env = "PRIVYSEAL_ALLOW_METADATA", value_delimiter = ',')]
    allow_metadata: Vec<String>,
    /// What becomes of a Secret when its SealedSecret is deleted: Delete or Retain. An object's annotation
    /// privyseal.dev/deletion-policy wins.
    #[arg(long, env = "PRIVYSEAL_DELETION_POLICY", default_value = DeletionPolicy::Delete.as_str(), value_name = "POLICY")]
    deletion_policy: DeletionPolicy,
    /// Objects in work at the same time.
    #[arg(long, env = "PRIVYSEAL_WORKERS", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: u16,
    /// Where certificate and health are served.
    #[arg(long, env = "PRIVYSEAL_LISTEN_ADDR", default_value = ":8080", value_parser = listen_addr)]
    listen_addr: SocketAddr,
    /// Where metrics are served.
    #[arg(long, env = "PRIVYSEAL_LISTEN_METRICS_ADDR", default_value = ":8081", value_parser = listen_addr)]
    listen_metrics_addr: SocketAddr,
    /// How much is logged. Other libraries stay at WARN whatever is said here.
    #[arg(long, env = "PRIVYSEAL_LOG_LEVEL", default_value = "info", ignore_case = true)]
    log_level: LogLevel,
    /// The form of log lines.
    #[arg(long, env = "PRIVYSEAL_LOG_FORMAT", default_value = "text", ignore_case = true)]
    log_format: LogFormat,
    /// Namespace of the controller, its keys and its Lease. By default that of the ServiceAccount.
    #[arg(long, env = "POD_NAMESPACE")]
    namespace: Option<String>,
    /// Name of this replica in the Lease.
    #[arg(long, env = "POD_NAME")]
    identity: Option<String>,
    #[command(flatten)]
    key_vault: key_vault::KeyVaultArgs,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    /// What is broken.
    Error,
    /// What may break.
    Warn,
    /// What changed.
    Info,
    /// Each decision.
    Debug,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What the flags mean.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// New keys.
    pub keys: KeyConfig,
    /// Where private halves are kept.
    pub custody: CustodyConfig,
    /// What templates may ask for.
    pub policy: Policy,
    /// What becomes of the Secrets of objects that do not say it.
    pub deletion_policy: DeletionPolicy,
    /// Objects in work at the same time.
    pub workers: usize,
    /// Where certificate and health are served.
    pub listen_addr: SocketAddr,
    /// Where metrics are served.
    pub listen_metrics_addr: SocketAddr,
    /// Our own namespace.
    pub namespace: String,
    /// Our name in the Lease.
    pub identity: String,
}

/// How new keys are made.
#[derive(Clone, Debug)]
pub(crate) struct KeyConfig {
    /// Prefix of their Secrets' names.
    pub prefix: String,
    /// Size.
    pub size: KeySize,
    /// Validity of their certificates.
    pub ttl: SignedDuration,
    /// Age at which the next one is made; none means never.
    pub renew_period: Option<SignedDuration>,
    /// Common name in their certificates.
    pub common_name: String,
    /// Who can open the backup that is stored before one is used; nobody means that none is.
    pub escrow_recipients: Option<BackupRecipients>,
}

/// How to log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogConfig {
    /// How much.
    pub level: LogLevel,
    /// In what form.
    pub format: LogFormat,
}

impl Args {
    /// Reads the meaning. `default_namespace` is that of the ServiceAccount or kubeconfig.
    ///
    /// # Errors
    /// If flags do not go together, or a file that they name cannot be read.
    pub(crate) fn into_config(self, default_namespace: &str) -> Result<(Config, LogConfig), String> {
        // Destructured whole: a new flag must be given a meaning here, or this does not compile.
        let Self {
            key_prefix,
            key_size,
            key_ttl,
            key_renew_period,
            my_cn,
            escrow_recipients,
            escrow_allow_classical,
            allow_metadata,
            deletion_policy,
            workers,
            listen_addr,
            listen_metrics_addr,
            log_level,
            log_format,
            namespace,
            identity,
            key_vault,
        } = self;
        let namespace = namespace.unwrap_or_else(|| default_namespace.to_owned());
        let policy = Policy {
            own_namespace: namespace.clone(),
            key_prefix: key_prefix.clone(),
            allowed: allow_metadata,
        };
        let escrow_recipients = backup_recipients(escrow_recipients, escrow_allow_classical)?;
        let config = Config {
            keys: KeyConfig {
                prefix: key_prefix,
                size: key_size,
                ttl: key_ttl,
                renew_period: Some(key_renew_period).filter(|period| !period.is_zero()),
                common_name: my_cn,
                escrow_recipients,
            },
            custody: key_vault.into_config()?,
            policy,
            deletion_policy,
            workers: usize::from(workers),
            listen_addr,
            listen_metrics_addr,
            namespace,
            identity: identity.unwrap_or_else(default_identity),
        };
        Ok((config, LogConfig { level: log_level, format: log_format }))
    }

    /// How to log; known before anything else is.
    pub(crate) fn log(&self) -> LogConfig {
        LogConfig { level: self.log_level, format: self.log_format }
    }
}

fn duration(text: &str) -> Result<SignedDuration, String> {
    let duration: SignedDuration = match text {
        "0" => SignedDuration::ZERO,
        _ => text.parse().map_err(|_| "not a duration; such as 720h or 30m".to_owned())?,
    };
    if duration.is_negative() { Err("a duration cannot be negative".into()) } else { Ok(duration) }
}

/// A certificate that ends before anybody can use it would have the next key made at once, and so for ever.
fn validity(text: &str) -> Result<SignedDuration, String> {
    let validity = duration(text)?;
    if validity < SignedDuration::from_hours(1) { Err("at least 1h".into()) } else { Ok(validity) }
}

/// In a pod the host's name is the pod's; the process id tells several on one host apart.
fn default_identity() -> String {
    let host = rustix::system::uname();
    format!("{}-{}", host.nodename().to_string_lossy(), std::process::id())
}

fn key_size(text: &str) -> Result<KeySize, String> {
    match text {
        "2048" => Ok(KeySize::Rsa2048),
        "3072" => Ok(KeySize::Rsa3072),
        "4096" => Ok(KeySize::Rsa4096),
        "8192" => Ok(KeySize::Rsa8192),
        _ => Err("one of 2048, 3072, 4096, 8192".into()),
    }
}

/// Each key that we make has a post-quantum half: who may not get that is told at once, and not at the first renewal.
fn backup_recipients(
    recipients: Vec<Recipient>,
    may_be_classical: bool,
) -> Result<Option<BackupRecipients>, String> {
    if recipients.is_empty() {
        return Ok(None);
    }
    let recipients = Recipients::new(recipients).map_err(|error| format!("--escrow-recipient: {error}"))?;
    let recipients = BackupRecipients::new(recipients, may_be_classical);
    recipients.for_post_quantum().map_err(|error| {
        format!(
            "--escrow-recipient: {error}; make a post-quantum one with `age-keygen -pq` and give its age1pq1…, or say \
             --escrow-allow-classical"
        )
    })?;
    Ok(Some(recipients))
}

fn recipient(text: &str) -> Result<Recipient, NotARecipient> {
    text.parse()
}

/// As the peer: lower-case letters, digits and dashes, short enough that the API server can append its suffix.
fn key_prefix(text: &str) -> Result<String, String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if text.is_empty() || text.len() > 245 || !text.bytes().all(allowed) || text.starts_with('-') {
        return Err("at most 245 of a-z, 0-9 and '-', first not '-'".into());
    }
    Ok(text.to_owned())
}

/// Go's form with the address left out is what existing manifests hold: all addresses, IPv4 and IPv6.
fn listen_addr(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("[::]{text}") } else { text.to_owned() };
    full.parse().map_err(|_| "not an address and port, such as 127.0.0.1:8080 or :8080".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_peers() {
        let args = Args::parse_from(["privyseal-controller"]);
        let (config, _) = args.into_config("privyseal").unwrap();
        assert_eq!(config.keys.renew_period, Some(SignedDuration::from_hours(720)));
        assert_eq!(config.keys.ttl, SignedDuration::from_hours(87_600));
        assert_eq!(config.keys.size, KeySize::Rsa4096);
        assert_eq!(config.listen_addr.to_string(), "[::]:8080");
        assert_eq!(config.deletion_policy, DeletionPolicy::Delete);
    }

    #[test]
    fn values_are_parsed_once_and_refused_clearly() {
        let parse = |flag: &str| Args::try_parse_from(["privyseal-controller", flag]);
        for good in [
            "--key-renew-period=0",
            "--key-renew-period=1h30m",
            "--listen-addr=:9000",
            "--log-level=INFO",
            "--deletion-policy=Retain",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in [
            "--key-size=1024",
            "--key-ttl=soon",
            "--key-prefix=A",
            "--listen-addr=nowhere",
            "--workers=0",
            "--key-ttl=0",
            "--escrow-recipient=age1",
            "--escrow-recipient=ssh-ed25519 AAAA",
            "--deletion-policy=retain",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let args = parse("--key-renew-period=0").unwrap();
        assert_eq!(args.into_config("x").unwrap().0.keys.renew_period, None);
    }

    #[test]
    fn escrow_is_post_quantum_unless_somebody_says_otherwise() {
        let [a, b] =
            [0, 1].map(|_| privyseal_envelope::age::Identity::generate_hybrid().unwrap().recipient());
        let classical = privyseal_envelope::age::Identity::generate_x25519().recipient();
        let parse = |recipients: &str, more: &[&str]| {
            let flag = format!("--escrow-recipient={recipients}");
            let args = ["privyseal-controller", &flag].into_iter().chain(more.iter().copied());
            let config = Args::try_parse_from(args).unwrap().into_config("x").map(|(config, _)| config);
            config.map(|config| config.keys.escrow_recipients.unwrap().all().iter().count())
        };
        assert_eq!(parse(&format!("{a},{a},{b}"), &[]), Ok(2));
        assert_eq!(parse(&classical.to_string(), &["--escrow-allow-classical"]), Ok(1));
        let told = parse(&classical.to_string(), &[]).unwrap_err();
        assert!(told.contains("age-keygen -pq") && told.contains("--escrow-allow-classical"), "{told}");
        // Mixed ones are as safe as the classical ones among them, whatever is allowed.
        let told = parse(&format!("{a},{classical}"), &["--escrow-allow-classical"]).unwrap_err();
        assert!(told.contains("do not mix"), "{told}");
    }
}
