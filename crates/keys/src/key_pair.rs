//! An opening key and the certificate of its public half, checked to belong together.

use crate::{Certificate, CertificateError, PrivateKeyError, private_key};
use jiff::{SignedDuration, Timestamp};
use privyseal_envelope::rsa::{KeySize, OpeningKey};
use privyseal_envelope::{Fingerprint, KeyError};

/// Both halves of one key. The halves match: there is no other way to have one.
pub struct KeyPair {
    opening_key: OpeningKey,
    certificate: Certificate,
}

impl KeyPair {
    /// Makes a new key and its certificate, valid from `now`.
    pub fn generate(
        size: KeySize,
        common_name: &str,
        now: Timestamp,
        validity: SignedDuration,
    ) -> Result<Self, KeyPairError> {
        let opening_key = OpeningKey::generate(size).map_err(KeyPairError::Generate)?;
        let certificate = Certificate::issue(&opening_key, common_name, now, validity)?;
        Ok(Self { opening_key, certificate })
    }

    /// Reads the two PEM texts of a key Secret: its first certificate, and its first private key as the peer takes it,
    /// which is the first that can be read.
    pub fn from_pem(tls_crt: &[u8], tls_key: &[u8]) -> Result<Self, KeyPairError> {
        let certificate = Certificate::from_pem(tls_crt)?;
        let opening_key = private_key::first_from_pem(tls_key)?;
        if opening_key.fingerprint() != certificate.fingerprint() {
            return Err(KeyPairError::HalvesDiffer);
        }
        Ok(Self { opening_key, certificate })
    }

    /// The private half.
    pub fn opening_key(&self) -> &OpeningKey {
        &self.opening_key
    }

    /// The public half and its dates.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The fingerprint of the public half.
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint()
    }

    /// Both halves apart.
    pub fn into_parts(self) -> (OpeningKey, Certificate) {
        (self.opening_key, self.certificate)
    }
}

/// A key pair cannot be made or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyPairError {
    /// The library made no key.
    #[error("{0}")]
    Generate(#[source] KeyError),
    /// The certificate.
    #[error("certificate: {0}")]
    Certificate(#[from] CertificateError),
    /// The private key.
    #[error("private key: {0}")]
    PrivateKey(#[from] PrivateKeyError),
    /// The certificate is of another key.
    #[error("the certificate belongs to another private key")]
    HalvesDiffer,
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(KeyPair: std::fmt::Debug, std::fmt::Display);

    fn pair() -> (String, String) {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let pair = KeyPair::generate(KeySize::Rsa2048, "", now, SignedDuration::from_hours(1)).ok().unwrap();
        let key = private_key::to_pkcs1_pem(pair.opening_key()).unwrap();
        (pair.certificate().to_pem(), key.to_string())
    }

    #[test]
    fn halves_must_match() {
        let (a, b) = (pair(), pair());
        assert!(KeyPair::from_pem(a.0.as_bytes(), a.1.as_bytes()).is_ok());
        let mixed = KeyPair::from_pem(a.0.as_bytes(), b.1.as_bytes());
        assert!(matches!(mixed.err(), Some(KeyPairError::HalvesDiffer)));
        let exchanged = KeyPair::from_pem(a.1.as_bytes(), a.0.as_bytes());
        assert!(matches!(
            exchanged.err(),
            Some(KeyPairError::Certificate(CertificateError::PrivateKeyGiven))
        ));
    }
}
