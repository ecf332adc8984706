//! Sealing and opening: a value as an age file whose payload begins with its binding line.

use super::header::{Header, MAX_RECIPIENT_STANZAS};
use super::{BindingLine, Identity, Kind, OpenError, Recipient, Recipients, RewrapError, VaultStanza};
use crate::{Binding, Format, Item, KeyId, Plaintext, SealError, SealedValue};
use age::secrecy::ExposeSecret as _;
use age_core::format::Stanza;
use std::io::{self, Read as _, Write as _};
use zeroize::Zeroizing;

/// Length in bytes of what each recipient's stanza wraps.
const FILE_KEY_LEN: usize = age_core::format::FILE_KEY_BYTES;
/// C2SP age, "Payload".
const NONCE_LEN: usize = 16;
const CHUNK_LEN: usize = 64 * 1024;
const TAG_LEN: usize = 16;

/// Seals a value to recipients, bound to its object and item. One file key, fresh, for one value.
///
/// # Errors
/// If the cryptographic library has no randomness.
pub fn seal(
    plaintext: &[u8],
    recipients: &Recipients,
    binding: &Binding,
    item: &Item,
) -> Result<SealedValue, SealError> {
    let line = line(binding, item);
    let mut payload = Zeroizing::new(Vec::with_capacity(line.len() + plaintext.len()));
    payload.extend_from_slice(line.as_bytes());
    payload.extend_from_slice(plaintext);
    encrypt(&payload, recipients).map(SealedValue::from_bytes)
}

/// Encrypts bytes that are no sealed value, such as a backup: a binary age file without a binding line.
///
/// # Errors
/// If the cryptographic library has no randomness.
pub fn encrypt(payload: &[u8], recipients: &Recipients) -> Result<Vec<u8>, SealError> {
    let wrapping = recipients.wrapping();
    let recipients = wrapping.iter().map(|recipient| recipient as &dyn age::Recipient);
    // Recipients were checked to go together, so what is left is the cryptography.
    let encryptor = age::Encryptor::with_recipients(recipients).map_err(|_| SealError::Crypto)?;
    let mut file = Vec::new();
    encryptor
        .wrap_output(&mut file)
        .and_then(|mut writer| {
            writer.write_all(payload)?;
            writer.finish()
        })
        .map_err(|_| SealError::Crypto)?;
    Ok(file)
}

/// Decrypts an age file without looking for a binding line, such as a backup.
///
/// # Errors
/// As for [`File::open`], but for the binding.
pub fn decrypt(file: &[u8], identities: &[Identity]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let file = File::from_bytes(file)?;
    for identity in identities {
        if let Some(unwrapped) = file.unwrap(identity)? {
            return file.decrypt(&unwrapped.file_key);
        }
    }
    Err(OpenError::NoMatch)
}

/// The key that every stanza of a file wraps. Whoever has it can open that file and no other. No `Debug` or `Display`;
/// wiped when dropped.
#[derive(Clone)]
pub struct FileKey(Zeroizing<[u8; FILE_KEY_LEN]>);

impl FileKey {
    /// Takes the 16 bytes that a Key Vault unwrapped. Nothing if there are more or fewer.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Zeroizing::new).map(Self)
    }

    pub(super) fn expose(&self) -> &[u8; FILE_KEY_LEN] {
        &self.0
    }

    fn to_age(&self) -> age_core::format::FileKey {
        age_core::format::FileKey::init_with_mut(|bytes| bytes.copy_from_slice(self.expose()))
    }
}

/// An age file whose header is well-formed and within bounds. Nothing is known yet of who wrote it.
pub struct File<'a> {
    bytes: &'a [u8],
    header: Header<'a>,
}

/// One of the recipients of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipientStanza {
    /// The place of its stanza in the header.
    pub at: usize,
    /// Its kind.
    pub kind: Kind,
    /// Its key, as the hint before the stanza claims; a Key Vault stanza says it itself.
    pub claimed: Option<KeyId>,
}

/// A file key, and the stanza that it was in. Whether it is the file's is not known before the file is opened with it.
pub struct Unwrapped {
    /// The key.
    pub file_key: FileKey,
    /// The place of the stanza in the header.
    pub at: usize,
}

/// What is to become of the recipients of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrap<'a> {
    /// Those that others take the place of.
    pub replace: Vec<(RecipientStanza, &'a Recipient)>,
    /// Those that are to open it no more.
    pub drop: Vec<RecipientStanza>,
    /// Those that are to open it too.
    pub add: Vec<&'a Recipient>,
}

impl Rewrap<'_> {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.replace.is_empty() && self.drop.is_empty() && self.add.is_empty()
    }
}

/// A file that was opened: header and payload are as they were sealed, and it is bound to what was asked.
pub struct Opened<'f> {
    /// The value.
    pub plaintext: Plaintext,
    file: &'f File<'f>,
    file_key: &'f FileKey,
}

impl<'a> File<'a> {
    /// Reads the header of a sealed value.
    ///
    /// # Errors
    /// [`OpenError::OtherFormat`], [`OpenError::Header`] or [`OpenError::TooLarge`].
    pub fn parse(value: &'a SealedValue) -> Result<Self, OpenError> {
        match value.format() {
            Format::Age => Self::from_bytes(value.as_bytes()),
            Format::Classic => Err(OpenError::OtherFormat),
        }
    }

    fn from_bytes(bytes: &'a [u8]) -> Result<Self, OpenError> {
        Ok(Self { bytes, header: Header::parse(bytes)? })
    }

    /// Its recipients of the kinds that we know, in their order.
    pub fn recipients(&self) -> impl Iterator<Item = RecipientStanza> {
        self.header.recipients().map(|(at, kind)| RecipientStanza {
            at,
            kind,
            claimed: match kind {
                Kind::KeyVault => self.vault_stanza(at).map(|stanza| stanza.key.key_id()),
                Kind::Hybrid | Kind::X25519 => self.header.hint_of(at),
            },
        })
    }

    /// How long its payload is, binding line and value together, as its size tells; nothing if it ends too early.
    pub fn payload_len(&self) -> Option<usize> {
        let chunks = (self.bytes.len() - self.header.len()).checked_sub(NONCE_LEN)?;
        // C2SP age, "Payload": chunks of 64 KiB, each with a tag, and the last one may be shorter.
        chunks.checked_sub(chunks.div_ceil(CHUNK_LEN + TAG_LEN).max(1) * TAG_LEN)
    }

    /// The tags of stanzas of kinds that we do not know: a plugin's, an SSH key's. Whoever they are for may open the value,
    /// and nothing is known of them. What age adds so that readers learn to pass over such stanzas is left out. A tag is any
    /// printable ASCII, and whoever sealed chose it.
    pub fn strangers(&self) -> impl Iterator<Item = &str> {
        self.header.strangers()
    }

    /// The stanza of a Key Vault key in that place, if there is one.
    pub fn vault_stanza(&self, at: usize) -> Option<VaultStanza> {
        VaultStanza::of(&self.header.stanza(at)?)
    }

    /// The recipients in whose places another file has others, and those; nothing if the two differ in anything else: in the
    /// payload, in order or number of the stanzas, in one of a kind that we do not know, or in a hint alone. An empty list
    /// says that they are the same.
    pub fn exchanged(&self, other: &File<'_>) -> Option<Vec<(RecipientStanza, RecipientStanza)>> {
        if self.bytes[self.header.len()..] != other.bytes[other.header.len()..] {
            return None;
        }
        let places = self.header.places_that_differ(&other.header)?;
        let of = |file: &File<'_>, at: usize| file.recipients().find(|place| place.at == at);
        let mut exchanged = Vec::new();
        for &at in &places {
            match (of(self, at), of(other, at)) {
                (Some(old), Some(new)) if old.kind == new.kind => exchanged.push((old, new)),
                // A hint goes with the stanza after it.
                (None, None) if places.contains(&(at + 1)) && self.is_hint(at) && other.is_hint(at) => {}
                _ => return None,
            }
        }
        Some(exchanged)
    }

    fn is_hint(&self, at: usize) -> bool {
        self.header.hint_of(at + 1).is_some()
    }

    /// Tries an identity with each stanza of its kind: so many private operations at most.
    ///
    /// # Errors
    /// [`OpenError::Header`] if such a stanza is malformed (C2SP age: it must not be passed over).
    pub fn unwrap(&self, identity: &Identity) -> Result<Option<Unwrapped>, OpenError> {
        for recipient in self.recipients().filter(|recipient| recipient.kind == identity.kind()) {
            if let Some(unwrapped) = self.unwrap_at(identity, recipient.at)? {
                return Ok(Some(unwrapped));
            }
        }
        Ok(None)
    }

    /// Tries an identity with the stanza in one place: one private operation, if it is of its kind.
    ///
    /// # Errors
    /// [`OpenError::Header`] if the stanza is malformed.
    pub fn unwrap_at(&self, identity: &Identity, at: usize) -> Result<Option<Unwrapped>, OpenError> {
        let stanza = self.header.stanza(at).ok_or(OpenError::Header)?;
        match identity.as_age().unwrap_stanza(&stanza) {
            None => Ok(None),
            Some(Err(_)) => Err(OpenError::Header),
            Some(Ok(key)) => {
                let file_key = FileKey(Zeroizing::new(*key.expose_secret()));
                Ok(Some(Unwrapped { file_key, at }))
            }
        }
    }

    /// Opens the value for one object and item.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] if the key is not the file's or something was changed, [`OpenError::OtherBinding`] if the
    /// value was sealed for something else.
    pub fn open<'f>(
        &'f self,
        file_key: &'f FileKey,
        binding: &Binding,
        item: &Item,
    ) -> Result<Opened<'f>, OpenError> {
        let payload = self.decrypt(file_key)?;
        // The line that is expected, compared whole: nothing of the payload is believed.
        match payload.strip_prefix(line(binding, item).as_bytes()) {
            Some(value) => Ok(Opened { plaintext: Plaintext::from(value), file: self, file_key }),
            None => Err(OpenError::OtherBinding { sealed_for: BindingLine::read(&payload).map(Box::new) }),
        }
    }

    /// As the age crate reads it.
    fn reader(&self) -> WholeHeader<'a> {
        WholeHeader { rest: self.bytes, header: self.header.len() }
    }

    fn decrypt(&self, file_key: &FileKey) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let decryptor = age::Decryptor::new_buffered(self.reader()).map_err(refusal)?;
        let known = Known(file_key);
        let mut reader = decryptor.decrypt(std::iter::once(&known as _)).map_err(refusal)?;
        // As large as it can become: growing would leave copies of the plaintext behind.
        let mut payload = Zeroizing::new(Vec::with_capacity(self.bytes.len() - self.header.len()));
        reader.read_to_end(&mut payload).map_err(|_| OpenError::Damaged)?;
        Ok(payload)
    }
}

/// Gives the age crate the header in one piece. It would ask for a line at a time, and read all that it has from the start
/// again each time: quadratic in the lines, which whoever seals chooses.
struct WholeHeader<'a> {
    rest: &'a [u8],
    header: usize,
}

impl io::Read for WholeHeader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.rest.read(into)
    }
}

impl io::BufRead for WholeHeader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(self.rest)
    }

    fn consume(&mut self, count: usize) {
        self.rest = &self.rest[count..];
    }

    fn read_until(&mut self, _: u8, into: &mut Vec<u8>) -> io::Result<usize> {
        let count = std::mem::take(&mut self.header).min(self.rest.len());
        let (header, rest) = self.rest.split_at(count);
        into.extend_from_slice(header);
        self.rest = rest;
        Ok(count)
    }
}

/// A header that was read here and is refused there was changed; so was one whose MAC is another.
fn refusal(error: age::DecryptError) -> OpenError {
    match error {
        age::DecryptError::InvalidHeader | age::DecryptError::UnknownFormat => OpenError::Header,
        _ => OpenError::Damaged,
    }
}

impl Opened<'_> {
    /// The same value for other recipients: same file key, same payload, new MAC. All else stays as it is, so that the
    /// other recipients go on opening it. Who is dropped finds no stanza any more; what it opened before it has seen.
    ///
    /// # Errors
    /// If the recipients that come out do not go together.
    pub fn rewrap(&self, change: &Rewrap<'_>) -> Result<SealedValue, RewrapError> {
        let header = &self.file.header;
        self.check(change)?;
        let wrap = |recipient: &Recipient, hints| {
            let wrapped = recipient.wrap(&self.file_key.to_age(), hints);
            wrapped.map(|(stanzas, _)| stanzas).map_err(|_| RewrapError::Crypto)
        };
        let mut changed: Vec<(usize, Vec<Stanza>)> =
            change.drop.iter().map(|place| (place.at, Vec::new())).collect();
        for (place, recipient) in &change.replace {
            changed.push((place.at, wrap(recipient, header.hint_of(place.at).is_some())?));
        }
        // A file without hints is to stay without.
        let hints = self.file.recipients().any(|place| header.hint_of(place.at).is_some());
        let mut added = Vec::new();
        for recipient in &change.add {
            added.extend(wrap(recipient, hints)?);
        }
        let mut bytes = header.with(self.file_key, &changed, &added);
        bytes.extend_from_slice(&self.file.bytes[header.len()..]);
        // Stanzas of kinds that we do not know stay too, and take room.
        Header::parse(&bytes).map_err(|_| RewrapError::TooLarge)?;
        Ok(SealedValue::from_bytes(bytes))
    }

    /// Holds what comes out against the rules for what is sealed.
    fn check(&self, change: &Rewrap<'_>) -> Result<(), RewrapError> {
        let gone = |place: &RecipientStanza| {
            change.drop.iter().chain(change.replace.iter().map(|(old, _)| old)).any(|old| old.at == place.at)
        };
        let stay = self.file.recipients().filter(|place| !gone(place)).map(|place| place.kind);
        let come = change.replace.iter().map(|(_, new)| new).chain(&change.add).map(|new| new.kind());
        let kinds: Vec<_> = stay.chain(come).collect();
        let post_quantum = kinds.iter().filter(|kind| kind.is_post_quantum()).count();
        match kinds.len() {
            0 => Err(RewrapError::NobodyLeft),
            count if count > MAX_RECIPIENT_STANZAS => Err(RewrapError::TooMany { count }),
            count if post_quantum > 0 && post_quantum < count => Err(RewrapError::Mixed),
            _ => Ok(()),
        }
    }
}

/// The line that the payload of a value begins with, and its line feed.
fn line(binding: &Binding, item: &Item) -> String {
    format!("{}\n", BindingLine { binding: binding.clone(), item: item.clone() })
}

/// A file key that is known, as age calls it: it fits every stanza, and the MAC tells whether it is the file's.
struct Known<'a>(&'a FileKey);

impl age::Identity for Known<'_> {
    fn unwrap_stanza(&self, _: &Stanza) -> Option<Result<age_core::format::FileKey, age::DecryptError>> {
        Some(Ok(self.0.to_age()))
    }
}

#[cfg(test)]
mod tests;
