//! The hybrid post-quantum recipient of age: ML-KEM-768 and X25519, both of which have to fall.
//!
//! The age crate does not have it. Here it is the recipient type "mlkem768x25519" of the age specification
//! (<https://c2sp.org/age>, "The MLKEM768-X25519 hybrid post-quantum recipient type"), built on the age crate's own
//! traits; the KEM is in `kem.rs`, and HPKE's key schedule is the `hpke` crate's.

mod kem;

use crate::KeyError;
use ::age::{DecryptError, EncryptError};
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use age_core::primitives::{bech32_decode, bech32_encode_to_fmt, hpke_open, hpke_seal};
use age_core::secrecy::ExposeSecret as _;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bech32::Hrp;
use hpke::rand_core::{self, CryptoRng, RngCore};
use hpke::{Deserializable as _, HpkeError, Serializable as _};
use kem::{Encapsulated, MlKem768X25519, PUBLIC_LEN, PrivateKey, PublicKey, SEED_LEN};
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;
use zeroize::Zeroizing;

const RECIPIENT_PREFIX: &str = "age1pq";
const IDENTITY_PREFIX: &str = "AGE-SECRET-KEY-PQ-";
/// Characters of an identity's text: prefix, separator, 52 for the seed, 6 of checksum.
const IDENTITY_LEN: usize = IDENTITY_PREFIX.len() + 1 + (SEED_LEN * 8).div_ceil(5) + 6;

/// First argument of the stanza.
const STANZA_TAG: &str = "mlkem768x25519";
/// HPKE's `info`.
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
/// Body of the stanza: the file key and Poly1305's tag.
const BODY_LEN: usize = FILE_KEY_BYTES + 16;
/// What age's implementations compare so that nobody weakens a file by a recipient of another kind.
const LABEL: &str = "postquantum";

/// The public half of a hybrid key, shown as `age1pq1…`: whoever holds it can seal.
///
/// Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct HybridRecipient(Arc<PublicKey>);

/// The private half of a hybrid key, written `AGE-SECRET-KEY-PQ-1…`: whoever holds it can open.
///
/// No `Debug`, `Display`, `Clone` or `Serialize`, and wiped on drop. It is kept expanded, so that opening costs no
/// key generation.
pub struct HybridIdentity(Box<PrivateKey>);

impl HybridIdentity {
    /// Makes a new key.
    ///
    /// # Errors
    /// [`KeyError::Generate`] if the cryptographic library has no randomness.
    pub fn generate() -> Result<Self, KeyError> {
        // "identity = read(CSPRNG, 32)": the seed itself, nothing derived.
        let mut seed = Zeroizing::new([0; SEED_LEN]);
        rand::fill(seed.as_mut()).map_err(|_| KeyError::Generate)?;
        Ok(Self(Box::new(PrivateKey::expand(&seed))))
    }

    /// The public half.
    pub fn recipient(&self) -> HybridRecipient {
        HybridRecipient(Arc::new(self.0.public().clone()))
    }

    /// The text that [`HybridIdentity::from_str`] reads: Bech32 in upper case, without line break.
    pub fn to_text(&self) -> Zeroizing<String> {
        // The whole capacity at once, and a line feed's: growing would leave a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(IDENTITY_LEN + 1));
        encode(&mut *text, IDENTITY_PREFIX, self.0.seed()).expect("a String takes what is written to it");
        // "Bech32 strings can only be all uppercase or all lowercase, but the checksum is always computed over the
        // lowercase string."
        text.make_ascii_uppercase();
        text
    }
}

impl FromStr for HybridRecipient {
    type Err = HybridKeyError;

    /// Reads `age1pq1…`, in lower case as age writes it.
    fn from_str(text: &str) -> Result<Self, HybridKeyError> {
        let mut bytes = [0; PUBLIC_LEN];
        decode(text, RECIPIENT_PREFIX, &mut bytes)?;
        let public = PublicKey::from_bytes(&bytes).map_err(|_| HybridKeyError::Rejected)?;
        let recipient = Self(Arc::new(public));
        // One text for one key: the `bech32` crate passes over bits behind the last byte, which BIP 173 wants to be
        // zero.
        if recipient.to_string() == text { Ok(recipient) } else { Err(HybridKeyError::NotBech32) }
    }
}

impl FromStr for HybridIdentity {
    type Err = HybridKeyError;

    /// Reads `AGE-SECRET-KEY-PQ-1…`, in upper case as age writes it.
    fn from_str(text: &str) -> Result<Self, HybridKeyError> {
        let mut seed = Zeroizing::new([0; SEED_LEN]);
        decode(text, IDENTITY_PREFIX, seed.as_mut())?;
        let identity = Self(Box::new(PrivateKey::expand(&seed)));
        // As above.
        if *identity.to_text() == *text { Ok(identity) } else { Err(HybridKeyError::NotBech32) }
    }
}

/// Decodes into exactly as many bytes as there must be, and writes them nowhere else.
fn decode(text: &str, prefix: &str, into: &mut [u8]) -> Result<(), HybridKeyError> {
    bech32_decode(
        text,
        |_| HybridKeyError::NotBech32,
        // `Hrp` compares without regard to case; Go's age does not, and no implementation writes the other case.
        |hrp| if hrp.as_str() == prefix { Ok(()) } else { Err(HybridKeyError::OtherKind) },
        |_, mut bytes| {
            for byte in into.iter_mut() {
                *byte = bytes.next().ok_or(HybridKeyError::Length)?;
            }
            if bytes.next().is_some() { Err(HybridKeyError::Length) } else { Ok(()) }
        },
    )
}

fn encode(to: &mut impl fmt::Write, prefix: &str, bytes: &[u8]) -> fmt::Result {
    bech32_encode_to_fmt(to, Hrp::parse_unchecked(prefix), bytes)
}

impl ::age::Recipient for HybridRecipient {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), EncryptError> {
        // SealBase with the parameters that the specification names; `hpke_seal` takes the other two, HKDF-SHA256
        // and ChaCha20Poly1305, and an empty `aad`. It panics if the KEM fails, and this one cannot: its only error
        // is a recipient of low order, and a `PublicKey` is none.
        let (encapsulated, body) =
            hpke_seal::<MlKem768X25519, _>(&self.0, INFO, file_key.expose_secret(), &mut LibraryRandomness);
        let stanza = Stanza {
            tag: STANZA_TAG.to_owned(),
            // "Encoders MUST generate canonical base64", without padding.
            args: vec![STANDARD_NO_PAD.encode(encapsulated.to_bytes())],
            body,
        };
        // "the same file SHOULD NOT be encrypted to both this recipient type and to other non-quantum-resistant
        // recipient types": with the label, age's encryptors refuse to.
        Ok((vec![stanza], HashSet::from([LABEL.to_owned()])))
    }
}

impl ::age::Identity for HybridIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        // "The identity implementation MUST ignore any stanza that does not have `mlkem768x25519` as the first
        // argument". Case counts.
        if stanza.tag != STANZA_TAG {
            return None;
        }
        match self.unwrap_own_kind(stanza) {
            Ok(file_key) => Some(Ok(file_key)),
            Err(Refusal::OtherKey) => None,
            Err(Refusal::Malformed) => Some(Err(DecryptError::InvalidHeader)),
        }
    }
}

/// Why a stanza of our kind gives no file key.
enum Refusal {
    /// Sealed to another key, or changed: nobody can tell, so other stanzas and identities have their turn.
    OtherKey,
    /// No sender makes such a stanza. Fatal for the file.
    Malformed,
}

impl HybridIdentity {
    fn unwrap_own_kind(&self, stanza: &Stanza) -> Result<FileKey, Refusal> {
        // "and MUST otherwise reject any stanza that has more or less than two arguments, …"
        let [argument] = &stanza.args[..] else { return Err(Refusal::Malformed) };
        // "… or where the second argument is not a canonical base64 encoding of a 1120-byte value." The engine
        // refuses padding and bits behind the last byte.
        let encapsulated = STANDARD_NO_PAD.decode(argument).map_err(|_| Refusal::Malformed)?;
        let encapsulated = Encapsulated::from_bytes(&encapsulated).map_err(|_| Refusal::Malformed)?;
        // "It MUST check that the body length is exactly 32 bytes before attempting to decrypt it, to mitigate
        // partitioning oracle attacks."
        if stanza.body.len() != BODY_LEN {
            return Err(Refusal::Malformed);
        }
        match hpke_open::<MlKem768X25519>(&encapsulated, &self.0, INFO, &stanza.body) {
            Ok(opened) => {
                let opened = Zeroizing::new(opened);
                Ok(FileKey::init_with_mut(|file_key| file_key.copy_from_slice(&opened)))
            }
            // ML-KEM rejects implicitly, so a wrong key shows here and nowhere earlier.
            Err(HpkeError::OpenError) => Err(Refusal::OtherKey),
            // The KEM's own: the X25519 share is of low order.
            Err(_) => Err(Refusal::Malformed),
        }
    }
}

/// The randomness of aws-lc-rs in the shape that `hpke` takes.
struct LibraryRandomness;

impl RngCore for LibraryRandomness {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, into: &mut [u8]) {
        // The trait knows no error here; AWS-LC itself aborts when the system has no randomness.
        rand::fill(into).expect("AWS-LC has randomness or aborts");
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(into);
        Ok(())
    }
}

impl CryptoRng for LibraryRandomness {}

impl fmt::Display for HybridRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        encode(f, RECIPIENT_PREFIX, self.0.as_bytes())
    }
}

impl fmt::Debug for HybridRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Hash for HybridRecipient {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_bytes().hash(state);
    }
}

/// The text is not a hybrid recipient or identity. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HybridKeyError {
    /// A character is wrong, missing, one too many, or in another case than the rest.
    NotBech32,
    /// Bech32, but with another prefix, or with the right one in the other case.
    OtherKind,
    /// The prefix is right, and the key has another number of bytes.
    Length,
    /// The bytes are no public key of ML-KEM-768 (FIPS 203, section 7.2), or their X25519 part is of low order.
    Rejected,
}

impl fmt::Display for HybridKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBech32 => {
                f.write_str("damaged: a character is wrong, missing or in another case; copy it whole")
            }
            Self::OtherKind => write!(
                f,
                "not a hybrid age key: recipients begin with {RECIPIENT_PREFIX}1, identities with {IDENTITY_PREFIX}1"
            ),
            Self::Length => f.write_str("too long or too short for a hybrid age key; copy it whole"),
            Self::Rejected => f.write_str("not a public key of ML-KEM-768 and X25519; ask for another one"),
        }
    }
}

impl std::error::Error for HybridKeyError {}

#[cfg(test)]
mod tests;
