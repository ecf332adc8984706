//! The publisher key: a cluster's long-lived Ed25519 key that signs the list of its sealing keys, so that whoever
//! trusts it needs no new trust at each renewal.

use aws_lc_rs::hkdf;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privyseal_envelope::Fingerprint;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use std::fmt;
use zeroize::Zeroizing;

/// The private half. No `Debug`, `Display` or `Serialize`.
pub struct PublisherKey {
    pair: Ed25519KeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl PublisherKey {
    /// Makes a new one.
    pub fn generate() -> Result<Self, PublisherError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| PublisherError::Key)?;
        let document = pair.to_pkcs8v1().map_err(|_| PublisherError::Key)?;
        Self::from_pkcs8_der(document.as_ref())
    }

    /// Reads a PKCS#8 PEM (`PRIVATE KEY`).
    pub fn from_pem(pem: &[u8]) -> Result<Self, PublisherError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|_| PublisherError::Key)?;
        Self::from_pkcs8_der(der.secret_pkcs8_der())
    }

    fn from_pkcs8_der(der: &[u8]) -> Result<Self, PublisherError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| PublisherError::Key)?;
        Ok(Self { pair, pkcs8: Zeroizing::new(der.to_vec()) })
    }

    /// The PKCS#8 PEM.
    pub fn to_pem(&self) -> Zeroizing<String> {
        let pem = der::pem::encode_string("PRIVATE KEY", der::pem::LineEnding::LF, &self.pkcs8);
        Zeroizing::new(pem.expect("a DER that fits in memory fits in PEM"))
    }

    /// The public half.
    pub fn public_key(&self) -> PublisherPublicKey {
        let mut raw = [0; 32];
        raw.copy_from_slice(self.pair.public_key().as_ref());
        PublisherPublicKey(raw)
    }

    /// 32 secret bytes that only the holder of this key can make, for another purpose (HKDF-SHA-256, RFC 5869).
    /// Different purposes give bytes that tell nothing of each other.
    pub fn derive(&self, purpose: &'static str) -> Zeroizing<[u8; 32]> {
        let mut bytes = Zeroizing::new([0; 32]);
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"privyseal.dev/derive/v1");
        let key = salt.extract(&self.pkcs8);
        key.expand(&[purpose.as_bytes()], hkdf::HKDF_SHA256)
            .and_then(|material| material.fill(bytes.as_mut()))
            .expect("32 bytes are one block of HKDF-SHA-256");
        bytes
    }

    /// An Ed25519 signature, 64 bytes.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.pair.sign(message).as_ref().to_vec()
    }
}

/// The public half: shown and read as standard base64 of its 32 bytes (RFC 8032).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublisherPublicKey([u8; 32]);

impl PublisherPublicKey {
    /// Over its SubjectPublicKeyInfo: what a person compares and a trust file pins.
    pub fn fingerprint(&self) -> Fingerprint {
        // RFC 8410: SubjectPublicKeyInfo of Ed25519 is this prefix and the 32 bytes.
        const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        Fingerprint::of(&[&PREFIX[..], &self.0].concat())
    }

    /// Whether it signed the message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), PublisherError> {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(message, signature)
            .map_err(|_| PublisherError::Signature)
    }
}

impl fmt::Display for PublisherPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublisherPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublisherPublicKey({self})")
    }
}

impl std::str::FromStr for PublisherPublicKey {
    type Err = PublisherError;

    fn from_str(text: &str) -> Result<Self, PublisherError> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| PublisherError::Key)?;
        bytes.try_into().map(Self).map_err(|_| PublisherError::Key)
    }
}

/// The publisher key or a signature of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublisherError {
    /// Not an Ed25519 key.
    #[error("not a publisher key: Ed25519 is wanted")]
    Key,
    /// The signature is not of this key, or not over this text.
    #[error("the publisher's signature does not fit")]
    Signature,
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::encoding::AsDer as _;

    static_assertions::assert_not_impl_any!(PublisherKey: std::fmt::Debug, std::fmt::Display);

    #[test]
    fn signs_and_verifies_across_pem() {
        let key = PublisherKey::generate().ok().unwrap();
        let again = PublisherKey::from_pem(key.to_pem().as_bytes()).ok().unwrap();
        assert_eq!(key.public_key(), again.public_key());
        let signature = again.sign(b"text");
        assert_eq!(key.public_key().verify(b"text", &signature), Ok(()));
        assert_eq!(key.public_key().verify(b"Text", &signature), Err(PublisherError::Signature));
        assert_eq!(key.public_key().to_string().parse(), Ok(key.public_key()));
    }

    #[test]
    fn derived_bytes_depend_on_key_and_purpose() {
        let key = PublisherKey::generate().ok().unwrap();
        let again = PublisherKey::from_pem(key.to_pem().as_bytes()).ok().unwrap();
        assert_eq!(*key.derive("a"), *again.derive("a"));
        assert_ne!(*key.derive("a"), *key.derive("b"));
        assert_ne!(*key.derive("a"), *PublisherKey::generate().ok().unwrap().derive("a"));
    }

    #[test]
    fn fingerprint_is_over_the_subject_public_key_info() {
        let key = PublisherKey::generate().ok().unwrap();
        let der: aws_lc_rs::encoding::PublicKeyX509Der<'_> = key.pair.public_key().as_der().unwrap();
        assert_eq!(key.public_key().fingerprint(), Fingerprint::of(der.as_ref()));
    }
}
