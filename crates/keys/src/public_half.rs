//! The public half of a key as one text: `tls.crt` of a key Secret, a file that `privyseal keys fetch` writes.
//!
//! ```text
//! -----BEGIN CERTIFICATE-----
//! …
//! -----END CERTIFICATE-----
//! age1pq1…
//! age1…
//! ```

use crate::{Certificate, CertificateError, age_lines};
use privyseal_envelope::Fingerprint;
use privyseal_envelope::age::{Kind, NotARecipient, Recipient};

/// What can be sealed to: a certificate, and the recipients of the age identities beside its RSA key. A key that the peer
/// made, or an older release, has no recipients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicHalf {
    /// The RSA key, and from when until when it may seal.
    pub certificate: Certificate,
    /// Hybrid first, then X25519.
    pub recipients: Vec<Recipient>,
}

impl PublicHalf {
    /// Reads the first certificate of a text and the recipients beside it.
    ///
    /// # Errors
    /// If it has no certificate that can be used, or a line that looks like a recipient and is none.
    pub fn from_text(text: &[u8]) -> Result<Self, PublicHalfError> {
        Ok(Self { certificate: Certificate::from_pem(text)?, recipients: age_lines::recipients(text)? })
    }

    /// The text.
    pub fn to_text(&self) -> String {
        self.certificate.to_pem() + &self.recipients_text().unwrap_or_default()
    }

    /// Its recipients alone, one per line, as `age --recipients-file` takes them; none if it has none.
    pub fn recipients_text(&self) -> Option<String> {
        let text: String = self.recipients.iter().map(|recipient| format!("{recipient}\n")).collect();
        Some(text).filter(|text| !text.is_empty())
    }

    /// The name of the key: the fingerprint of its RSA half.
    pub fn fingerprint(&self) -> Fingerprint {
        self.certificate.fingerprint()
    }

    /// The fingerprints of everything in it that can be sealed to.
    pub fn fingerprints(&self) -> impl Iterator<Item = Fingerprint> {
        std::iter::once(self.fingerprint()).chain(self.recipients.iter().map(Recipient::fingerprint))
    }

    /// Its recipient of a kind.
    pub fn recipient(&self, kind: Kind) -> Option<&Recipient> {
        self.recipients.iter().find(|recipient| recipient.kind() == kind)
    }
}

impl From<Certificate> for PublicHalf {
    fn from(certificate: Certificate) -> Self {
        Self { certificate, recipients: Vec::new() }
    }
}

/// A text is no public half.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublicHalfError {
    /// The certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A line beside it.
    #[error("beside the certificate: {0}")]
    Recipient(#[from] NotARecipient),
}
