//! `privyseal keys generate`

use super::describe;
use crate::arguments::{parse_name, parse_namespace};
use crate::commands::ManifestFormat;
use crate::error::{CommandError, Shown};
use crate::output::{Content, Destination, Staged};
use crate::speech;
use clap::ValueEnum;
use jiff::{SignedDuration, Timestamp};
use privyseal_custody::key_secret;
use privyseal_envelope::age::Identity;
use privyseal_envelope::rsa::KeySize;
use privyseal_envelope::{Name, Namespace};
use privyseal_keys::KeyPair;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Make a new key, as the Secret that a controller takes
///
/// Writes the key Secret to stdout or to a file that only its owner can read, and its fingerprint to stderr. It holds
/// the private key: whoever has it can open everything that is sealed with it. Not to a terminal, unless
/// `--out-file -` asks for it.
///
/// The Secret has a generateName, as the controller's own keys do, so it is for `kubectl create`; with --name it is
/// for `kubectl apply` too. The controller notices the new Secret and seals with its newest key.
///
/// With --age it makes an age identity instead, for somebody who is no cluster: a key in a safe that opens in an emergency,
/// or one that backups are encrypted to. It is written as `age-keygen` writes it, and its recipient is shown on stderr.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal keys generate -n privyseal --cert-out prod.pem | kubectl create -f -
  privyseal keys generate --out-file key.yaml --cert-out cert.pem
  privyseal seal --cert cert.pem secret.yaml | privyseal unseal --key key.yaml
  privyseal keys generate --age --out-file break-glass.txt")]
pub(super) struct Args {
    /// Make an age identity instead: hybrid, which a quantum computer does not break, or x25519, which age before 1.3 knows
    #[arg(
        long,
        value_enum,
        value_name = "KIND",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "hybrid",
        conflicts_with_all = ["size", "validity", "common_name", "namespace", "prefix", "name", "output", "cert_out"]
    )]
    age: Option<AgeKind>,

    /// Bits of the RSA key
    #[arg(long, value_enum, value_name = "BITS", default_value = "4096")]
    size: Size,

    /// How long the certificate may seal, in units up to hours; the key opens for ever
    #[arg(long, value_name = "DURATION", default_value = "87600h", value_parser = parse_validity)]
    validity: SignedDuration,

    /// The certificate's common name
    #[arg(long, value_name = "CN", default_value = "", hide_default_value = true)]
    common_name: String,

    /// The controller's namespace, written into the Secret
    #[arg(short, long, value_parser = parse_namespace)]
    namespace: Option<Namespace>,

    /// What the name begins with; the API server adds five characters
    #[arg(long, value_name = "PREFIX", default_value = key_secret::DEFAULT_PREFIX, value_parser = parse_prefix)]
    prefix: String,

    /// A fixed name instead
    #[arg(long, conflicts_with = "prefix", value_parser = parse_name)]
    name: Option<Name>,

    /// The format to write
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "yaml")]
    output: ManifestFormat,

    /// Write the Secret to this file instead of stdout; a new one can be read by its owner only
    #[arg(long, value_name = "FILE")]
    out_file: Option<PathBuf>,

    /// Write the certificate, and the age recipients below it, to this file too, so that one can seal at once
    #[arg(long, value_name = "FILE")]
    cert_out: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Size {
    #[value(name = "2048")]
    Rsa2048,
    #[value(name = "3072")]
    Rsa3072,
    #[value(name = "4096")]
    Rsa4096,
    #[value(name = "8192")]
    Rsa8192,
}

impl From<Size> for KeySize {
    fn from(size: Size) -> Self {
        match size {
            Size::Rsa2048 => Self::Rsa2048,
            Size::Rsa3072 => Self::Rsa3072,
            Size::Rsa4096 => Self::Rsa4096,
            Size::Rsa8192 => Self::Rsa8192,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum AgeKind {
    Hybrid,
    X25519,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    // A private key is often there once only.
    if let Some(path) =
        args.out_file.as_deref().filter(|path| path.metadata().is_ok_and(|there| there.is_file()))
    {
        return Err(CommandError::input(format!(
            "{}: it is there already, and may be the only copy of a key",
            Shown(&path.to_string_lossy())
        ))
        .hint("name another file, or move that one away"));
    }
    if let Some(kind) = args.age {
        return age_identity(args, kind);
    }
    if args.out_file.is_none() && std::io::stdout().is_terminal() {
        return Err(CommandError::input("stdout is a terminal, and the Secret holds a private key").hint(
            "pipe it into `kubectl create -f -`, or give --out-file FILE; `--out-file -` shows it all the same",
        ));
    }
    let failed =
        |error: &dyn std::error::Error| CommandError::failed(format!("the key cannot be made: {error}"));
    let pair = KeyPair::generate(args.size.into(), &args.common_name, Timestamp::now(), args.validity)
        .map_err(|error| failed(&error))?;
    let namespace = args.namespace.as_ref().map(Namespace::as_str);
    let mut secret = key_secret::to_secret(&pair, &args.prefix, namespace).map_err(|error| failed(&error))?;
    if let Some(name) = &args.name {
        secret.metadata.generate_name = None;
        secret.metadata.name = Some(name.as_str().to_owned());
    }
    let text = match args.output {
        ManifestFormat::Yaml => secret.to_yaml(),
        ManifestFormat::Json => secret.to_json_pretty(),
    };

    let certificate = pair.public_half().to_text();
    let certificate = args
        .cert_out
        .as_deref()
        .map(|path| Staged::new(path, certificate.as_bytes(), Content::Public))
        .transpose()?;
    // The private key first: a certificate without it would be a trap.
    Destination::from_option(args.out_file.as_deref()).write(text.as_bytes(), Content::Secret)?;
    certificate.map(Staged::commit).transpose()?;
    speech::note(describe(pair.certificate()));
    for recipient in pair.public_half().recipients {
        speech::note(format_args!("{} recipient {}", recipient.kind(), recipient.fingerprint()));
    }
    Ok(())
}

/// As `age-keygen` writes it, so that its users and scripts find what they expect.
fn age_identity(args: &Args, kind: AgeKind) -> Result<(), CommandError> {
    if args.out_file.is_none() && std::io::stdout().is_terminal() {
        return Err(CommandError::input("stdout is a terminal, and an identity is a private key")
            .hint("give --out-file FILE; `--out-file -` shows it all the same"));
    }
    let identity = match kind {
        AgeKind::Hybrid => Identity::generate_hybrid()
            .map_err(|error| CommandError::failed(format!("the key cannot be made: {error}")))?,
        AgeKind::X25519 => Identity::generate_x25519(),
    };
    let recipient = identity.recipient();
    let created = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
    let head = format!("# created: {created}\n# public key: {recipient}\n");
    let secret = identity.to_text();
    // The whole capacity at once: growing would leave a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(head.len() + secret.len()));
    text.push_str(&head);
    text.push_str(&secret);
    Destination::from_option(args.out_file.as_deref()).write(text.as_bytes(), Content::Secret)?;
    speech::note(format_args!(
        "{} recipient {} (id {}):",
        recipient.kind(),
        recipient.fingerprint(),
        recipient.fingerprint().key_id()
    ));
    speech::note(recipient);
    Ok(())
}

fn parse_validity(text: &str) -> Result<SignedDuration, String> {
    let duration: SignedDuration = text
        .parse()
        .map_err(|_| "not a duration such as 720h or 90m: hours are the largest unit".to_owned())?;
    if duration.is_positive() { Ok(duration) } else { Err("it must be longer than nothing".to_owned()) }
}

/// The peer's rule, which leaves room for what the API server adds.
fn parse_prefix(text: &str) -> Result<String, String> {
    let ends_well = !text.starts_with('-');
    match ends_well
        && Name::parse(text.trim_end_matches('-')).is_ok()
        && text.len() <= 245
        && !text.contains('.')
    {
        true => Ok(text.to_owned()),
        false => Err("at most 245 of a-z, 0-9 and '-', first not '-'".to_owned()),
    }
}
