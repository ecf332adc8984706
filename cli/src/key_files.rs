//! Opening keys, for those who hold them: from files (PEM and age identities, key Secrets as `kubectl get secret -o yaml`
//! writes them, or a backup and an identity that opens it), from a Key Vault, or the one half from here and the other from
//! there.

use crate::documents::Located;
use crate::error::{CommandError, Shown};
use crate::identities;
use crate::input::Source;
use crate::key_vault::{
    KeyVaultOptions, custodies_of, patiently, patiently_asked, shown_secret, vault_error,
};
use crate::network::run_async;
use crate::speech;
use privyseal_custody::backup::{Archive, Backup};
use privyseal_custody::custody::{Failure, FailureKind, Kind};
use privyseal_custody::key_secret::{self, NotAKey};
use privyseal_custody::key_secrets::CustodyError;
use privyseal_custody::key_vault::KeyVault;
use privyseal_envelope::age::Identity;
use privyseal_keys::{KeyPair, Keyring, KeyringEntry, PrivateHalfError, PrivateKeyError, private_halves};
use privyseal_manifest::{Document, Secret};
use std::path::PathBuf;

/// Options that give opening keys. Whoever has none gives none; a command that cannot do without says so with
/// `mut_group("opening_key", …required(true))`.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("opening_key").multiple(true).args(["key", "key_vault"]))]
pub(crate) struct KeyFileOptions {
    /// Opening keys: PEM, age identities, key Secrets as YAML or JSON, or a backup with --identity. Repeat it for several
    /// files. Private halves that a vault keeps come from the vault that --key-vault names
    #[arg(long, value_name = "PATH")]
    key: Vec<PathBuf>,

    /// age identities that open a backup given with --key, as `age-keygen` writes them. May be repeated
    #[arg(long, value_name = "FILE", requires = "key")]
    identity: Vec<PathBuf>,

    #[command(flatten)]
    vault: KeyVaultOptions,
}

/// What a file says of a key.
enum FileKey {
    /// All of it.
    Whole(KeyringEntry),
    /// All but its private half, which a vault keeps.
    Kept(Box<KeptKey>),
}

/// A key Secret without its private half.
struct KeptKey {
    secret: Located<Secret>,
    /// Which custody keeps that.
    kind: Kind,
}

/// Keys, and those that cannot be used.
#[derive(Default)]
struct Found {
    entries: Vec<KeyringEntry>,
    left_out: Vec<CommandError>,
}

impl KeyFileOptions {
    /// Whether any key is given.
    pub(crate) fn is_given(&self) -> bool {
        !self.key.is_empty() || self.vault.is_given()
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

    /// Reads all keys: those of the files, the vault being asked for what it keeps of them; or, without files, all that the
    /// vault's secret holds. One that cannot be used is told on stderr and left out; if none can, that is an error.
    pub(crate) fn load(&self) -> Result<Keyring, CommandError> {
        let identities = identities::load(&self.identity)?;
        let vault = self.vault.open()?;
        let found = match (&vault, self.key.is_empty()) {
            (Some(vault), true) => run_async(all_of_secret(vault))??,
            _ => {
                let (mut found, kept) = read_files(&self.key, &identities)?;
                match &vault {
                    Some(vault) => run_async(from_vault(vault, kept, &mut found))??,
                    None => found.left_out.extend(kept.iter().map(no_vault)),
                }
                found
            }
        };
        found.into_keyring()
    }
}

impl Found {
    fn into_keyring(self) -> Result<Keyring, CommandError> {
        let Self { entries, left_out } = self;
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
}

/// What the files hold, and what a vault has to be asked for.
fn read_files(paths: &[PathBuf], identities: &[Identity]) -> Result<(Found, Vec<KeptKey>), CommandError> {
    let (mut found, mut kept) = (Found::default(), Vec::new());
    for path in paths {
        let source = Source::from_argument(path);
        let name = source.name();
        let bytes = source.read()?;
        for result in keys_of(&bytes, &name, identities) {
            match result {
                Ok(FileKey::Whole(entry)) => found.entries.push(entry),
                Ok(FileKey::Kept(key)) => kept.push(*key),
                Err(error) => found.left_out.push(error),
            }
        }
    }
    Ok((found, kept))
}

/// Asks the vault for private halves, one call each.
async fn from_vault(vault: &KeyVault, kept: Vec<KeptKey>, found: &mut Found) -> Result<(), CommandError> {
    if kept.is_empty() {
        speech::note("the files hold their private halves: the vault is not asked");
        return Ok(());
    }
    let custodies = custodies_of(vault, Kind::Cluster)?;
    let mut kept = kept.into_iter();
    while let Some(KeptKey { secret, .. }) = kept.next() {
        let about = secret.message(secret_name(&secret.object));
        match patiently(async || custodies.open(&secret.object).await).await {
            Ok(entry) => found.entries.push(entry),
            Err(CustodyError::Vault { failure, .. }) => {
                found.left_out.push(vault_error(&about, &failure));
                // Nobody is there, or nobody is let in: each of the others would wait for the same.
                if is_of_everybody(&failure) {
                    let others = kept.map(|KeptKey { secret, .. }| {
                        let about = secret.message(secret_name(&secret.object));
                        CommandError::unreachable(format!(
                            "{about}: the vault was not asked for it after that"
                        ))
                    });
                    found.left_out.extend(others);
                    return Ok(());
                }
            }
            Err(CustodyError::NotAKey { reason, .. }) => {
                found.left_out.push(CommandError::input(format!("{about}: {reason}")));
            }
            Err(error) => {
                found.left_out.push(CommandError::failed(format!("{about}: {}", Shown(&error.to_string()))));
            }
        }
    }
    Ok(())
}

fn is_of_everybody(failure: &Failure) -> bool {
    matches!(failure.kind(), FailureKind::Unauthenticated | FailureKind::Unavailable | FailureKind::Untrusted)
}

/// All keys in the enabled versions of the vault's secret, expired ones too: they open what was sealed to them.
async fn all_of_secret(vault: &KeyVault) -> Result<Found, CommandError> {
    let name = vault.secret_name();
    let about = shown_secret(vault.vault(), name.as_str());
    if vault.vault().is_managed_hsm() {
        return Err(CommandError::input(format!("{}: a Managed HSM has no secrets", vault.vault()))
            .hint("give the key Secrets too, with --key FILE: the vault opens what it wrapped of them"));
    }
    let versions = patiently_asked(async || vault.secret_versions(name).await).await;
    let versions = versions.map_err(|failure| vault_error("", &failure))?;
    let mut found = Found::default();
    for version in versions.iter().filter(|version| version.enabled) {
        match patiently_asked(async || vault.get_secret(name, &version.id).await).await {
            Ok(secret) => {
                for entry in entries_of(version.id.as_str(), &secret.value) {
                    match entry {
                        Ok(entry) => found.entries.push(entry),
                        Err(error) => found.left_out.push(CommandError::failed(format!(
                            "version {} of {about}: {error}",
                            version.id.version()
                        ))),
                    }
                }
            }
            Err(failure) if failure.kind().is_of_the_vault() => return Err(vault_error("", &failure)),
            Err(failure) => found.left_out.push(vault_error("", &failure)),
        }
    }
    if found.entries.is_empty() && found.left_out.is_empty() {
        let none = if versions.is_empty() { "has no version" } else { "has no enabled version" };
        return Err(CommandError::failed(format!("{about} {none}")).hint(
            "--key-vault-secret names another secret; in custody key-vault-wrapped the keys are in key Secrets: give them \
             with --key FILE beside --key-vault",
        ));
    }
    Ok(found)
}

/// A key and, if it is there, its certificate: by its date, newer keys are tried first.
fn entries_of(source: &str, text: &[u8]) -> Vec<Result<KeyringEntry, PrivateHalfError>> {
    match KeyPair::from_texts(text, text) {
        Ok(pair) => vec![Ok(KeyringEntry::from_pair(source, pair))],
        Err(_) => private_halves(source, text),
    }
}

fn no_vault(KeptKey { secret, kind }: &KeptKey) -> CommandError {
    CommandError::input(secret.message(format_args!(
        "{}: its private half is kept by {kind}, and no vault is named: give --key-vault URL",
        secret_name(&secret.object)
    )))
    .hint("--key-vault names the vault that the controller was configured with, and `az login` is enough to ask it")
}

fn keys_of(bytes: &[u8], name: &str, identities: &[Identity]) -> Vec<Result<FileKey, CommandError>> {
    if Archive::looks_like_one(bytes) {
        return match open_backup(bytes, name, identities) {
            Ok(backup) => backup.into_entries().map(FileKey::Whole).map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
    }
    if identities::are_encrypted(bytes) {
        return vec![Err(identities::encrypted(name, "--key"))];
    }
    if has_line(bytes, b"-----BEGIN ") || has_line(bytes, b"AGE-SECRET-KEY-") {
        let halves = private_halves(name, bytes).into_iter();
        let halves = halves.map(|half| half.map(FileKey::Whole));
        return halves.map(|half| half.map_err(|error| not_a_key_file(name, error))).collect();
    }
    if has_line(bytes, b"age1") {
        return vec![Err(CommandError::input(format!(
            "{}: this is an age recipient: it seals, but only its identity opens",
            Shown(name)
        ))
        .hint("opening needs the private half: a line AGE-SECRET-KEY-PQ-1… or AGE-SECRET-KEY-1…"))];
    }
    let documents = match privyseal_manifest::read(bytes, name) {
        Ok(documents) if documents.is_empty() => {
            return vec![Err(not_a_key_file(name, PrivateKeyError::NoKey.into()))];
        }
        Ok(documents) => documents,
        Err(error) => {
            return vec![Err(CommandError::from(error)
                .hint("--key takes PEM, age identities, key Secrets as YAML or JSON, or a backup"))];
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

/// PEM and age keys begin a line; inside of YAML they are indented. The case does not matter here: an identity in lower case
/// is none, and is to be told as such.
fn has_line(bytes: &[u8], start: &[u8]) -> bool {
    let begins = |line: &[u8]| line.get(..start.len()).is_some_and(|got| got.eq_ignore_ascii_case(start));
    bytes.split(|b| *b == b'\n').any(begins)
}

fn key_of_document(document: Document) -> Result<FileKey, CommandError> {
    let secret = Located::from_document(document, Document::into_secret)?;
    match key_secret::from_secret(&secret.object) {
        Ok(entry) => Ok(FileKey::Whole(entry)),
        Err(NotAKey::Elsewhere { kind }) => Ok(FileKey::Kept(Box::new(KeptKey { secret, kind }))),
        Err(error) => {
            Err(CommandError::input(secret.message(format_args!("{}: {error}", secret_name(&secret.object)))))
        }
    }
}

fn secret_name(secret: &Secret) -> String {
    match secret.metadata.name.as_deref().or(secret.metadata.generate_name.as_deref()) {
        Some(name) => format!("Secret {}", Shown(name)),
        None => "Secret".to_owned(),
    }
}

fn not_a_key_file(name: &str, error: PrivateHalfError) -> CommandError {
    let this = CommandError::input(format!("{}: {error}", Shown(name)));
    match error {
        PrivateHalfError::Key(PrivateKeyError::CertificateGiven) => {
            this.hint("opening needs the private key: tls.key of the key Secret, or the Secret itself")
        }
        PrivateHalfError::Key(PrivateKeyError::NoKey) => this.hint(
            "--key takes PEM (RSA PRIVATE KEY or PRIVATE KEY, not encrypted), age identities, or key Secrets as YAML or JSON",
        ),
        _ => this,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use privyseal_envelope::rsa::KeySize;

    #[test]
    fn what_a_vault_secret_holds_is_a_key_with_its_identities() {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let hour = SignedDuration::from_hours(1);
        let pair = KeyPair::generate(KeySize::Rsa2048, "", now, hour).ok().unwrap();
        let private = pair.private_text().unwrap();
        let whole = format!("{}{}", pair.certificate().to_pem(), *private);
        let read = |text: &str| -> Vec<_> {
            let entries = entries_of("v", text.as_bytes()).into_iter();
            entries
                .map(|entry| entry.map(|entry| (entry.identities().len(), entry.certificate().is_some())))
                .collect()
        };
        assert_eq!(read(&whole), [Ok((2, true))]);
        assert_eq!(read(&private), [Ok((2, false))]);
        // What is broken of it is told, and the rest opens what it can.
        let broken = private.replace("AGE-SECRET-KEY-PQ-1", "AGE-SECRET-KEY-PQ-2");
        let [Err(PrivateHalfError::Identity(_)), Ok((1, false))] = read(&broken)[..] else { panic!() };
    }
}
