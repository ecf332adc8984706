//! RSA keys: the sealing (public) and the opening (private) half.
//!
//! Encodings are DER throughout: SubjectPublicKeyInfo (RFC 5280) for the public half, PKCS#1 (RFC 8017) or PKCS#8
//! (RFC 5208) for the private one. PEM is for the `keys` crate.

use crate::{Fingerprint, KeyError};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeyPair, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey, PublicKeyComponents,
};
use aws_lc_rs::{rand, signature};
use pkcs1::der::Decode as _;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroizing;

pub use aws_lc_rs::rsa::KeySize;

/// The public half: whoever holds it can seal.
#[derive(Clone)]
pub struct SealingKey {
    oaep: Arc<OaepPublicEncryptingKey>,
    spki: Vec<u8>,
    fingerprint: Fingerprint,
}

impl SealingKey {
    /// Reads a SubjectPublicKeyInfo. The size must be 2048 to 8192 bits.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = PublicEncryptingKey::from_der(der).map_err(|_| KeyError::Rejected)?;
        Self::new(key)
    }

    /// Puts a key together from modulus and exponent, unsigned and most significant byte first, as a JWK has them.
    /// Zero bytes in front are passed over: Java writes one. The size must be 2048 to 8192 bits.
    ///
    /// # Errors
    /// If they are no RSA key, or one of another size.
    pub fn from_components(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let strip = |number: &[u8]| {
            let zeros = number.iter().take_while(|&&byte| byte == 0).count();
            number[zeros..].to_vec()
        };
        let components = PublicKeyComponents { n: strip(modulus), e: strip(exponent) };
        // AWS-LC takes 1 here, with which encrypting does nothing.
        if matches!(components.e[..], [] | [0..=2]) {
            return Err(KeyError::Rejected);
        }
        Self::new(components.try_into().map_err(|_| KeyError::Rejected)?)
    }

    fn new(key: PublicEncryptingKey) -> Result<Self, KeyError> {
        if !(2048..=8192).contains(&key.key_size_bits()) {
            return Err(KeyError::Size);
        }
        // Encoded anew, so that one key has one fingerprint however it was written.
        let der: PublicKeyX509Der<'_> = key.as_der().map_err(|_| KeyError::Rejected)?;
        let spki = der.as_ref().to_vec();
        let oaep = Arc::new(OaepPublicEncryptingKey::new(key).map_err(|_| KeyError::Rejected)?);
        Ok(Self { oaep, fingerprint: Fingerprint::of(&spki), spki })
    }

    /// The SubjectPublicKeyInfo.
    pub fn spki_der(&self) -> &[u8] {
        &self.spki
    }

    /// What trust compares.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The modulus' size in bits.
    pub fn bits(&self) -> usize {
        self.oaep.key_size_bits()
    }

    /// RSA-OAEP with SHA-256 and MGF1-SHA-256; the output is as long as the modulus.
    pub(crate) fn encrypt(
        &self,
        message: &[u8],
        label: &[u8],
    ) -> Result<Vec<u8>, aws_lc_rs::error::Unspecified> {
        let mut out = vec![0; self.oaep.ciphertext_size()];
        let written = self.oaep.encrypt(&OAEP_SHA256_MGF1SHA256, message, &mut out, Some(label))?.len();
        debug_assert_eq!(written, out.len());
        Ok(out)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.fingerprint)
    }
}

impl PartialEq for SealingKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for SealingKey {}

/// The private half: whoever holds it can open.
///
/// No `Debug`, `Display` or `Serialize`. Its own encoding is wiped on drop; AWS-LC wipes what it holds.
pub struct OpeningKey {
    oaep: OaepPrivateDecryptingKey,
    pkcs8: Zeroizing<Vec<u8>>,
    sealing_key: SealingKey,
}

impl OpeningKey {
    /// Makes a new key from the library's own randomness.
    pub fn generate(size: KeySize) -> Result<Self, KeyError> {
        let key = PrivateDecryptingKey::generate(size).map_err(|_| KeyError::Generate)?;
        let der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| KeyError::Generate)?;
        Self::from_pkcs8_der(der.as_ref())
    }

    /// Reads a PKCS#1 `RSAPrivateKey`. AWS-LC checks that its numbers fit each other.
    pub fn from_pkcs1_der(der: &[u8]) -> Result<Self, KeyError> {
        let pair = KeyPair::from_der(der).map_err(|_| KeyError::Rejected)?;
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| KeyError::Rejected)?;
        Self::from_pkcs8_der(pkcs8.as_ref())
    }

    /// Reads a PKCS#8 `PrivateKeyInfo` that holds an RSA key.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let key = PrivateDecryptingKey::from_pkcs8(der).map_err(|_| KeyError::Rejected)?;
        let sealing_key = SealingKey::new(key.public_key())?;
        // Encoded anew: AWS-LC reads forms that others do not, and what was read has to be written.
        let encoded: Pkcs8V1Der<'_> = key.as_der().map_err(|_| KeyError::Rejected)?;
        let pkcs8 = Zeroizing::new(encoded.as_ref().to_vec());
        let oaep = OaepPrivateDecryptingKey::new(key).map_err(|_| KeyError::Rejected)?;
        Ok(Self { oaep, pkcs8, sealing_key })
    }

    /// The public half.
    pub fn sealing_key(&self) -> &SealingKey {
        &self.sealing_key
    }

    /// The fingerprint of the public half.
    pub fn fingerprint(&self) -> Fingerprint {
        self.sealing_key.fingerprint
    }

    /// The PKCS#1 encoding, for writing a key where the peer will read it too.
    pub fn to_pkcs1_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        // aws-lc-rs has no PKCS#1 export: it is the OCTET STRING inside the PKCS#8 (RFC 5208, section 5).
        let info = pkcs8::PrivateKeyInfoRef::from_der(&self.pkcs8).map_err(|_| KeyError::Rejected)?;
        Ok(Zeroizing::new(info.private_key.as_bytes().to_vec()))
    }

    /// Signs with RSASSA-PKCS1-v1_5 and SHA-256: for the certificate of this very key, and nothing else.
    pub fn sign_pkcs1_sha256(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let pair = KeyPair::from_pkcs8(&self.pkcs8).map_err(|_| KeyError::Rejected)?;
        let mut out = vec![0; pair.public_modulus_len()];
        pair.sign(&signature::RSA_PKCS1_SHA256, &rand::SystemRandom::new(), message, &mut out)
            .map_err(|_| KeyError::Rejected)?;
        Ok(out)
    }

    /// Length in bytes of the modulus, and so of every RSA part sealed to this key.
    pub(crate) fn modulus_len(&self) -> usize {
        self.oaep.key_size_bytes()
    }

    /// RSA-OAEP with SHA-256 and MGF1-SHA-256. One error for every cause.
    pub(crate) fn decrypt(
        &self,
        rsa_part: &[u8],
        label: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, aws_lc_rs::error::Unspecified> {
        let mut out = Zeroizing::new(vec![0; self.oaep.min_output_size()]);
        let written = self.oaep.decrypt(&OAEP_SHA256_MGF1SHA256, rsa_part, &mut out, Some(label))?.len();
        out.truncate(written);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(OpeningKey: std::fmt::Debug, std::fmt::Display);

    #[test]
    fn both_private_encodings_give_one_key() {
        let key = OpeningKey::generate(KeySize::Rsa2048).unwrap();
        let again = OpeningKey::from_pkcs1_der(&key.to_pkcs1_der().unwrap()).unwrap();
        assert_eq!(key.fingerprint(), again.fingerprint());
        assert_eq!(key.to_pkcs1_der().unwrap(), again.to_pkcs1_der().unwrap());
    }

    /// With exponent 1 everybody can open what is sealed, and with an even one nobody.
    #[test]
    fn a_key_that_encrypts_nothing_is_no_key() {
        let key = OpeningKey::generate(KeySize::Rsa2048).unwrap();
        let spki = key.sealing_key().spki_der();
        let (before, exponent) = spki.split_at(spki.len() - 5);
        assert_eq!(exponent, [2, 3, 1, 0, 1]);
        for exponent in 0..=3 {
            let mut changed = [before, &[2, 1, exponent]].concat();
            // Three lengths count the exponent's two bytes less: of the whole, the bit string and the key.
            for at in [3, 22, 27] {
                changed[at] -= 2;
            }
            assert_eq!(SealingKey::from_spki_der(&changed).is_ok(), exponent == 3, "{exponent}");
        }
    }

    /// Found by fuzzing: a PKCS#8 that AWS-LC reads and the decoder which writes PKCS#1 does not.
    #[test]
    fn what_was_read_can_be_written_however_it_was_encoded() {
        let der = include_bytes!("../../../fuzz/corpus/private_key/rsa2048-pkcs8-as-only-aws-lc-reads.der");
        let key = OpeningKey::from_pkcs8_der(der).unwrap();
        let again = OpeningKey::from_pkcs1_der(&key.to_pkcs1_der().unwrap()).unwrap();
        assert_eq!(key.fingerprint(), again.fingerprint());
    }

    #[test]
    fn garbage_is_no_key() {
        assert_eq!(OpeningKey::from_pkcs1_der(b"garbage").err(), Some(KeyError::Rejected));
        assert_eq!(OpeningKey::from_pkcs8_der(&[]).err(), Some(KeyError::Rejected));
        assert_eq!(SealingKey::from_spki_der(b"garbage").err(), Some(KeyError::Rejected));
    }
}
