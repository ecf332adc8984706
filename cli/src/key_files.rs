//! Opening keys from files, for those who hold them: PEM, key Secrets as `kubectl get secret -o yaml` writes them, or a
//! backup and an identity that opens it.

use crate::documents::Located;
use crate::error::{CommandError, Shown};
use crate::identities;
use crate::input::Source;
use crate::speech;
use privyseal_custody::backup::{Archive, Backup, Identity};
use privyseal_custody::key_secret;
use privyseal_keys::{Keyring, KeyringEntry, PrivateKeyError, private_key};
use privyseal_manifest::{Document, Secret};
use std::path::PathBuf;

/// Options that give opening keys. Whoever has none gives none; a command that cannot do without says so with
/// `mut_arg("key", …required(true))`.
#[derive(clap::Args)]
pub(crate) struct KeyFileOptions {
    /// Opening keys: PEM, key Secrets as YAML or JSON, or a backup with --identity. Repeat it for several files
    #[arg(long, value_name = "PATH")]
    key: Vec<PathBuf>,

    /// age identities that open a backup given with --key, as `age-keygen` writes them. May be repeated
    #[arg(long, value_name = "FILE", requires = "key")]
    identity: Vec<PathBuf>,
}

impl KeyFileOptions {
    /// Whether any key is given.
    pub(crate) fn is_given(&self) -> bool {
        !self.key.is_empty()
    }

    /// Stdin is read once: for a key, for identities or for an input.
    pub(crate) fn refuse_stdin_twice(&self, inputs: &[Source]) -> Result<(), CommandError> {
        let keys = self.key.iter().chain(&self.identity).map(|path| Source::from_argument(path));
        let uses = keys.chain(inputs.iter().cloned()).filter(|source| *source == Source::Stdin).count();
        match uses {
            0 | 1 => Ok(()),
            _ => Err(CommandError::input("stdin cannot be both a key and the input").hint("name the files")),
        }
    }

    /// Reads all keys. One that cannot be used is told on stderr and left out; if none can, that is an error.
    pub(crate) fn load(&self) -> Result<Keyring, CommandError> {
        load_with(&self.key, &identities::load(&self.identity)?)
    }
}

fn load_with(paths: &[PathBuf], identities: &[Identity]) -> Result<Keyring, CommandError> {
    let mut entries = Vec::new();
    let mut left_out = Vec::new();
    for path in paths {
        let source = Source::from_argument(path);
        let name = source.name();
        let bytes = source.read()?;
        for result in keys_of(&bytes, &name, identities) {
            match result {
                Ok(entry) => entries.push(entry),
                Err(error) => left_out.push(error),
            }
        }
    }
    if entries.is_empty() {
        return match CommandError::all(left_out) {
            Err(error) => Err(error),
            Ok(()) => Err(CommandError::input("the files given with --key hold no key")),
        };
    }
    for error in &left_out {
        for (message, _) in error.reports() {
            speech::warning(format_args!("left out: {message}"));
        }
    }
    Ok(Keyring::new(entries))
}

fn keys_of(bytes: &[u8], name: &str, identities: &[Identity]) -> Vec<Result<KeyringEntry, CommandError>> {
    if Archive::looks_like_one(bytes) {
        return match open_backup(bytes, name, identities) {
            Ok(backup) => backup.into_entries().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
    }
    if is_pem(bytes) {
        let entry = |key| KeyringEntry::from_opening_key(name, key);
        let keys = private_key::from_pem(bytes).into_iter();
        return keys.map(|key| key.map(entry).map_err(|error| not_a_key_file(name, error))).collect();
    }
    let documents = match privyseal_manifest::read(bytes, name) {
        Ok(documents) if documents.is_empty() => {
            return vec![Err(not_a_key_file(name, PrivateKeyError::NoKey))];
        }
        Ok(documents) => documents,
        Err(error) => {
            return vec![Err(
                CommandError::from(error).hint("--key takes PEM, key Secrets as YAML or JSON, or a backup")
            )];
        }
    };
    documents.into_iter().map(key_of_document).collect()
}

/// A key that somebody names is trusted by that, so no trust is asked here. The signature must fit all the same: it says
/// that the file is whole, and whose it is.
fn open_backup(bytes: &[u8], name: &str, identities: &[Identity]) -> Result<Backup, CommandError> {
    let name = Shown(name);
    let archive = Archive::verify(bytes).map_err(|error| CommandError::input(format!("{name}: {error}")))?;
    if identities.is_empty() {
        return Err(CommandError::input(format!("{name}: a backup is encrypted"))
            .hint("give the age identity that opens it with --identity FILE"));
    }
    let backup = archive
        .open(identities)
        .map_err(|error| CommandError::failed(format!("{name}: {}", Shown(&error.to_string()))))?;
    // The controller knows no name of its cluster, and gives none to what it stores.
    let of = match archive.contents().cluster.as_str() {
        "" => String::new(),
        cluster => format!(" of {}", Shown(cluster)),
    };
    speech::note(format_args!(
        "{name}: backup{of}, signed by publisher {}",
        archive.publisher().fingerprint()
    ));
    Ok(backup)
}

/// PEM begins a line; inside of YAML it is indented.
fn is_pem(bytes: &[u8]) -> bool {
    bytes.split(|b| *b == b'\n').any(|line| line.starts_with(b"-----BEGIN "))
}

fn key_of_document(document: Document) -> Result<KeyringEntry, CommandError> {
    let secret = Located::from_document(document, Document::into_secret)?;
    key_secret::from_secret(&secret.object).map_err(|error| {
        CommandError::input(secret.message(format_args!("{}: {error}", secret_name(&secret.object))))
    })
}

fn secret_name(secret: &Secret) -> String {
    match secret.metadata.name.as_deref().or(secret.metadata.generate_name.as_deref()) {
        Some(name) => format!("Secret {}", Shown(name)),
        None => "Secret".to_owned(),
    }
}

fn not_a_key_file(name: &str, error: PrivateKeyError) -> CommandError {
    let this = CommandError::input(format!("{}: {error}", Shown(name)));
    match error {
        PrivateKeyError::CertificateGiven => {
            this.hint("opening needs the private key: tls.key of the key Secret, or the Secret itself")
        }
        PrivateKeyError::NoKey => this.hint(
            "--key takes PEM (RSA PRIVATE KEY or PRIVATE KEY, not encrypted), or key Secrets as YAML or JSON",
        ),
        _ => this,
    }
}
