//! Recipients that are no clusters: of the command line, and of the configuration.

use super::{Found, MAX_CERTIFICATE_BYTES, Origin, Provenance};
use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::trust_file::TrustOptions;
use privyseal_envelope::age::{NotARecipient, Recipient};
use privyseal_keys::{PublicKeyError, public_key};
use privyseal_repo::{Evidence, RecipientName, RecipientSource, Subject};
use std::path::{Path, PathBuf};

/// A recipient as a configuration has it.
#[derive(Clone, PartialEq)]
pub(crate) struct ConfiguredRecipient {
    /// Its name.
    pub(super) name: RecipientName,
    /// What the configuration says of it.
    pub(super) recipient: RecipientSource,
    /// The folder of the configuration.
    pub(super) folder: PathBuf,
    /// The configuration.
    pub(super) file: PathBuf,
    /// Why it is this one, for people.
    pub(super) because: String,
}

impl ConfiguredRecipient {
    /// The recipient, if trust lets it pass: a pull request can put another in its place.
    pub(super) fn find(&self, trust: &TrustOptions) -> Result<Found, CommandError> {
        let (recipient, file) = match &self.recipient {
            RecipientSource::Age(recipient) => (recipient.clone(), self.file.clone()),
            RecipientSource::PublicKey(path) => {
                let file = self.folder.join(path);
                let name = file.to_string_lossy().into_owned();
                let pem = Source::File(file.clone()).read_at_most(MAX_CERTIFICATE_BYTES)?;
                (
                    Recipient::KeyVault(public_key::from_pem(&pem).map_err(|error| not_a_key(&name, error))?),
                    file,
                )
            }
        };
        let file = file.to_string_lossy().into_owned();
        let mut trust = trust.open()?;
        trust.must_be_outside(&self.folder)?;
        let subject = Subject::Recipient(self.name.as_str().to_owned());
        trust.decide(&subject, Evidence::Recipient { fingerprint: recipient.fingerprint() }, &file)?;
        let named = format!("{} ({})", self.name, self.because);
        Ok(Found::of_recipient(recipient, Provenance::ConfiguredRecipient { recipient: named, file }))
    }
}

/// What an argument of an option names: a recipient; or a file with recipients, one per line, with the public half of a Key
/// Vault key, or with that of a cluster's key.
pub(crate) fn named_origins(option: &str, argument: &str) -> Result<Vec<Origin>, CommandError> {
    let is_file = || argument == "-" || Path::new(argument).exists();
    match argument.parse() {
        Ok(recipient) => return Ok(vec![Origin::Recipient(recipient)]),
        // Whatever it is, it is not to be shown, nor looked for as a file.
        Err(error @ NotARecipient::Identity) => {
            return Err(CommandError::input(format!("{option}: {error}")));
        }
        Err(error) if argument.starts_with("age1") && !is_file() => {
            return Err(CommandError::input(format!("{option}: {error}")));
        }
        Err(_) if !is_file() => {
            return Err(CommandError::input(format!(
                "{option}: {} is neither a recipient nor a file",
                Shown(argument)
            ))
            .hint(
                "a recipient is age1pq1… or age1…; a file has recipients, one per line, a cluster's certificate with \
                 recipients below it, or a PUBLIC KEY in PEM",
            ));
        }
        Err(_) => {}
    }
    let source = Source::from_argument(Path::new(argument));
    let text = source.read_at_most(MAX_CERTIFICATE_BYTES)?;
    let name = source.name();
    let begins = |start: &[u8]| text.split(|&byte| byte == b'\n').any(|line| line.starts_with(start));
    if begins(b"-----BEGIN CERTIFICATE") {
        // Its recipients are one cluster's: sealing to any of them will do.
        return Ok(vec![Origin::File(source)]);
    }
    if begins(b"-----BEGIN ") {
        let key = public_key::from_pem(&text).map_err(|error| not_a_key(&name, error))?;
        return Ok(vec![Origin::Recipient(Recipient::KeyVault(key))]);
    }
    Ok(of_lines(&name, &text)?.into_iter().map(Origin::Recipient).collect())
}

/// As `age -R` reads a file: a recipient a line, comments and empty lines between.
fn of_lines(name: &str, text: &[u8]) -> Result<Vec<Recipient>, CommandError> {
    let text = std::str::from_utf8(text)
        .map_err(|_| CommandError::input(format!("{}: not a file of recipients: not UTF-8", Shown(name))))?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let recipients = lines.map(|(number, line)| {
        line.parse().map_err(|error| CommandError::input(format!("{}:{number}: {error}", Shown(name))))
    });
    let recipients = recipients.collect::<Result<Vec<Recipient>, _>>()?;
    match recipients.is_empty() {
        true => Err(CommandError::input(format!("{}: there is no recipient in it", Shown(name)))),
        false => Ok(recipients),
    }
}

fn not_a_key(name: &str, error: PublicKeyError) -> CommandError {
    let this = CommandError::input(format!("{}: {error}", Shown(name)));
    match error {
        PublicKeyError::NoKey | PublicKeyError::PrivateKeyGiven => this.hint(
            "`az keyvault key download --vault-name VAULT --name KEY --encoding PEM --file FILE` writes the public half; \
             a cluster's certificate is for --cert",
        ),
        _ => this,
    }
}
