//! A private half under a key that only its custodian can use (docs/format.md, section 8).
//!
//! ```text
//! fresh key: 32 random bytes, made for this and used once
//! wrapped    = RSA-OAEP(fresh key), no label             as long as the modulus
//! ciphertext = AES-256-GCM(fresh key, nonce 0, binding as additional data) | 16-byte tag
//! ```
//!
//! OAEP uses SHA-256 for hash and MGF1: what Azure calls RSA-OAEP-256. No key service has OAEP labels, so what the
//! ciphertext is bound to is authenticated by AES-GCM. The fresh key is used once, which is what makes the all-zero
//! nonce safe.

use crate::rsa::SealingKey;
use crate::{OpenError, Plaintext, SealError};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

const KEY_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// What [`seal`] makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The fresh key under RSA-OAEP.
    pub wrapped: Vec<u8>,
    /// The private half under the fresh key, and the tag.
    pub ciphertext: Vec<u8>,
}

/// Seals a private half to the custodian's public key, bound to some bytes.
///
/// # Errors
/// If the cryptographic library has no randomness.
pub fn seal(private: &[u8], key: &SealingKey, binding: &[u8]) -> Result<Sealed, SealError> {
    let mut fresh_key = Zeroizing::new([0; KEY_LEN]);
    rand::fill(fresh_key.as_mut()).map_err(|_| SealError::Crypto)?;
    let wrapped = key.encrypt(fresh_key.as_ref(), b"").map_err(|_| SealError::Crypto)?;
    // The whole capacity at once: growing would leave a copy of the private half behind.
    let mut ciphertext = Vec::with_capacity(private.len() + TAG_LEN);
    ciphertext.extend_from_slice(private);
    let tag = aes_gcm(fresh_key.as_ref())
        .and_then(|key| key.seal_in_place_separate_tag(nonce(), Aad::from(binding), &mut ciphertext))
        .map_err(|_| SealError::Crypto)?;
    ciphertext.extend_from_slice(tag.as_ref());
    Ok(Sealed { wrapped, ciphertext })
}

/// Opens it with the fresh key, once the custodian has unwrapped that.
///
/// # Errors
/// [`OpenError::DoesNotOpen`] for every cause: another key, another binding, changed bytes.
pub fn open(fresh_key: &[u8], ciphertext: &[u8], binding: &[u8]) -> Result<Plaintext, OpenError> {
    if fresh_key.len() != KEY_LEN {
        return Err(OpenError::DoesNotOpen);
    }
    let mut private = Zeroizing::new(ciphertext.to_vec());
    let len = aes_gcm(fresh_key)
        .and_then(|key| {
            key.open_in_place(nonce(), Aad::from(binding), &mut private).map(|opened| opened.len())
        })
        .map_err(|_| OpenError::DoesNotOpen)?;
    private.truncate(len);
    Ok(Plaintext::from(private))
}

fn aes_gcm(key: &[u8]) -> Result<LessSafeKey, aws_lc_rs::error::Unspecified> {
    UnboundKey::new(&AES_256_GCM, key).map(LessSafeKey::new)
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}
