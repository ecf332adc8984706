//! The classic format: the peer's wire format (docs/format.md, section 1).
//!
//! ```text
//! u16 big-endian n | n bytes RSA-OAEP(session key, label) | AES-256-GCM ciphertext | 16-byte tag
//! ```
//!
//! OAEP uses SHA-256 for hash and MGF1; its label is the binding. The session key is 32 fresh bytes and used once,
//! which is what makes the all-zero nonce safe. The item's name is not bound: it can be exchanged unseen.

use crate::rsa::{OpeningKey, SealingKey};
use crate::{Binding, Format, OpenError, Plaintext, SealError, SealedValue};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

const SESSION_KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;
const LENGTH_LEN: usize = 2;

/// Seals a value to one key under a binding.
pub fn seal(plaintext: &[u8], key: &SealingKey, binding: &Binding) -> Result<SealedValue, SealError> {
    let mut session_key = Zeroizing::new([0; SESSION_KEY_LEN]);
    rand::fill(session_key.as_mut()).map_err(|_| SealError::Crypto)?;
    let rsa_part = key.encrypt(session_key.as_ref(), &binding.label()).map_err(|_| SealError::Crypto)?;
    // A modulus has at most 8192 bits, so its length in bytes fits.
    let n = u16::try_from(rsa_part.len()).map_err(|_| SealError::Crypto)?;

    let body_start = LENGTH_LEN + rsa_part.len();
    // The whole capacity at once: growing would leave a copy of the plaintext behind.
    let mut bytes = Vec::with_capacity(body_start + plaintext.len() + TAG_LEN);
    bytes.extend_from_slice(&n.to_be_bytes());
    bytes.extend_from_slice(&rsa_part);
    bytes.extend_from_slice(plaintext);
    let tag = aes_gcm(session_key.as_ref())
        .and_then(|key| key.seal_in_place_separate_tag(nonce(), Aad::empty(), &mut bytes[body_start..]))
        .map_err(|_| SealError::Crypto)?;
    bytes.extend_from_slice(tag.as_ref());
    Ok(SealedValue::from_bytes(bytes))
}

/// Opens a value with one key under a binding. At most one private RSA operation.
pub fn open(value: &SealedValue, key: &OpeningKey, binding: &Binding) -> Result<Plaintext, OpenError> {
    if value.format() != Format::Classic {
        return Err(OpenError::OtherFormat);
    }
    let (rsa_part, body) = split(value.as_bytes()).ok_or(OpenError::DoesNotOpen)?;
    if rsa_part.len() != key.modulus_len() {
        return Err(OpenError::OtherKeySize);
    }
    if body.len() < TAG_LEN {
        return Err(OpenError::DoesNotOpen);
    }
    let session_key = key.decrypt(rsa_part, &binding.label()).map_err(|_| OpenError::DoesNotOpen)?;
    // Go would take 16 and 24 bytes too; no sealer makes them, so neither do we.
    if session_key.len() != SESSION_KEY_LEN {
        return Err(OpenError::DoesNotOpen);
    }
    let mut plaintext = Zeroizing::new(body.to_vec());
    let len = aes_gcm(&session_key)
        .and_then(|key| key.open_in_place(nonce(), Aad::empty(), &mut plaintext).map(|opened| opened.len()))
        .map_err(|_| OpenError::DoesNotOpen)?;
    plaintext.truncate(len);
    Ok(Plaintext::from(plaintext))
}

/// Length in bytes of the RSA part that the value claims to hold: tells which keys are worth trying.
pub fn claimed_modulus_len(value: &SealedValue) -> Option<usize> {
    split(value.as_bytes()).map(|(rsa_part, _)| rsa_part.len())
}

fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_LEN>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn aes_gcm(session_key: &[u8]) -> Result<LessSafeKey, aws_lc_rs::error::Unspecified> {
    UnboundKey::new(&AES_256_GCM, session_key).map(LessSafeKey::new)
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}
