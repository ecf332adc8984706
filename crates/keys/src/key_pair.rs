//! A key, whole: what opens and what seals, checked to belong together.
//!
//! A key is an RSA key with its certificate, and beside it two age identities, one hybrid and one X25519. They are made,
//! kept, retired and restored together, under the name of the RSA key; a key of the peer has none until it gets them.
//! They are random and not derived from it: whoever breaks RSA some day is not to have the post-quantum one too.
//!
//! Each half is one text: PEM, then the age keys, one per line.

use crate::public_half::{PublicHalf, PublicHalfError};
use crate::{Certificate, CertificateError, PrivateKeyError, age_lines, private_key};
use jiff::{SignedDuration, Timestamp};
use privyseal_envelope::age::{Identity, NotARecipient, NotAnIdentity};
use privyseal_envelope::rsa::{KeySize, OpeningKey};
use privyseal_envelope::{Fingerprint, KeyError};
use zeroize::Zeroizing;

/// Both halves of one key. The halves match: there is no other way to have one.
pub struct KeyPair {
    opening_key: OpeningKey,
    identities: Vec<Identity>,
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
        let identities = new_identities().map_err(KeyPairError::Generate)?;
        Ok(Self { opening_key, identities, certificate })
    }

    /// Reads the two texts of a key Secret: its first certificate and the recipients beside it, and its first private key
    /// as the peer takes it, which is the first that can be read, and the identities beside that. A public half that
    /// names recipients names those of the identities.
    pub fn from_texts(tls_crt: &[u8], tls_key: &[u8]) -> Result<Self, KeyPairError> {
        Self::new(PublicHalf::from_text(tls_crt)?, tls_key)
    }

    /// Joins the private half, as a text, to a public half.
    pub fn new(public: PublicHalf, private: &[u8]) -> Result<Self, KeyPairError> {
        let PublicHalf { certificate, recipients } = public;
        let opening_key = private_key::first_from_pem(private)?;
        let identities = age_lines::identities(private)?;
        let named = recipients.is_empty() || identities.iter().map(Identity::recipient).eq(recipients);
        if opening_key.fingerprint() != certificate.fingerprint() || !named {
            return Err(KeyPairError::HalvesDiffer);
        }
        Ok(Self { opening_key, identities, certificate })
    }

    /// The same key, with identities if it had none.
    pub fn with_identities(mut self) -> Result<Self, KeyPairError> {
        if self.identities.is_empty() {
            self.identities = new_identities().map_err(KeyPairError::Generate)?;
        }
        Ok(self)
    }

    /// The private half.
    pub fn opening_key(&self) -> &OpeningKey {
        &self.opening_key
    }

    /// The certificate: RSA's public half and its dates.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The public half.
    pub fn public_half(&self) -> PublicHalf {
        let recipients = self.identities.iter().map(Identity::recipient).collect();
        PublicHalf { certificate: self.certificate.clone(), recipients }
    }

    /// The fingerprint of the public half.
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint()
    }

    /// The private half as it is kept: the RSA key as PEM, then the identities, one per line.
    ///
    /// # Errors
    /// If the RSA key cannot be encoded.
    pub fn private_text(&self) -> Result<Zeroizing<String>, KeyError> {
        private_text(Some(&self.opening_key), &self.identities)
    }

    /// RSA key, identities and certificate.
    pub(crate) fn into_parts(self) -> (OpeningKey, Vec<Identity>, Certificate) {
        (self.opening_key, self.identities, self.certificate)
    }
}

pub(crate) fn private_text(
    opening_key: Option<&OpeningKey>,
    identities: &[Identity],
) -> Result<Zeroizing<String>, KeyError> {
    let rsa = opening_key.map(private_key::to_pkcs1_pem).transpose()?;
    let age: Vec<_> = identities.iter().map(Identity::to_text).collect();
    let parts = || rsa.iter().chain(&age);
    // The whole capacity at once: growing would leave a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(parts().map(|part| part.len()).sum()));
    parts().for_each(|part| text.push_str(part));
    Ok(text)
}

/// The post-quantum one first: it is the one that sealers take.
fn new_identities() -> Result<Vec<Identity>, KeyError> {
    Ok(vec![Identity::generate_hybrid()?, Identity::generate_x25519()])
}

impl From<PublicHalfError> for KeyPairError {
    fn from(error: PublicHalfError) -> Self {
        match error {
            PublicHalfError::Certificate(error) => Self::Certificate(error),
            PublicHalfError::Recipient(error) => Self::Recipient(error),
        }
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
    /// A recipient beside the certificate.
    #[error("beside the certificate: {0}")]
    Recipient(NotARecipient),
    /// An identity beside the private key.
    #[error("beside the private key: {0}")]
    Identity(#[from] NotAnIdentity),
    /// The certificate is of another key, or the recipients are of other identities.
    #[error("the public half belongs to another private half")]
    HalvesDiffer,
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(KeyPair: std::fmt::Debug, std::fmt::Display);

    fn texts() -> (String, String) {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let pair = KeyPair::generate(KeySize::Rsa2048, "", now, SignedDuration::from_hours(1)).ok().unwrap();
        let public = pair.public_half().to_text();
        let private = pair.private_text().unwrap();
        (public, private.to_string())
    }

    fn error(public: &str, private: &str) -> Option<KeyPairError> {
        KeyPair::from_texts(public.as_bytes(), private.as_bytes()).err()
    }

    #[test]
    fn halves_must_match() {
        let (a, b) = (texts(), texts());
        assert!(error(&a.0, &a.1).is_none());
        assert!(matches!(error(&a.0, &b.1), Some(KeyPairError::HalvesDiffer)));
        assert!(matches!(
            error(&a.1, &a.0),
            Some(KeyPairError::Certificate(CertificateError::PrivateKeyGiven))
        ));
    }

    #[test]
    fn recipients_must_be_those_of_the_identities() {
        let (a, b) = (texts(), texts());
        let (certificate, recipients) = a.0.split_at(a.0.find("age1").unwrap());
        let others = &b.0[b.0.find("age1").unwrap()..];
        let private = &a.1[..a.1.find("AGE-SECRET-KEY-").unwrap()];
        assert!(matches!(error(&format!("{certificate}{others}"), &a.1), Some(KeyPairError::HalvesDiffer)));
        assert!(matches!(error(&a.0, private), Some(KeyPairError::HalvesDiffer)));
        // A text that says nothing of them says nothing wrong: one that was there before they were.
        assert!(error(certificate, &a.1).is_none());
        assert!(error(certificate, private).is_none());

        let first = recipients.lines().next().unwrap();
        let broken = a.0.replace(first, &first[..first.len() - 1]);
        assert!(matches!(error(&broken, &a.1), Some(KeyPairError::Recipient(_))));
        let broken = a.1.replace("AGE-SECRET-KEY-PQ-1", "AGE-SECRET-KEY-PQ-2");
        assert!(matches!(error(&a.0, &broken), Some(KeyPairError::Identity(_))));
    }

    #[test]
    fn a_key_gets_identities_once() {
        let (public, private) = texts();
        let read = |private: &str| {
            let certificate = &public[..public.find("age1").unwrap()];
            KeyPair::from_texts(certificate.as_bytes(), private.as_bytes()).ok().unwrap()
        };
        let bare = read(&private[..private.find("AGE-SECRET-KEY-").unwrap()]);
        assert!(bare.public_half().recipients.is_empty());
        assert_eq!(bare.with_identities().ok().unwrap().public_half().recipients.len(), 2);
        let whole = read(&private);
        let before = whole.public_half();
        assert_eq!(whole.with_identities().ok().unwrap().public_half(), before);
    }
}
