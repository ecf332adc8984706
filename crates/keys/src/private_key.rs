//! The private half as text: PKCS#1 and PKCS#8 PEM in, PKCS#1 PEM out, as the peer writes `tls.key`.

use privyseal_envelope::KeyError;
use privyseal_envelope::rsa::OpeningKey;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use zeroize::{Zeroize as _, Zeroizing};

/// Reads every RSA private key of a PEM text, in order.
///
/// # Errors
/// If there is none, or one of them cannot be used. Nothing of the text is in the error.
pub fn from_pem(pem: &[u8]) -> Result<Vec<OpeningKey>, PrivateKeyError> {
    let mut keys = Vec::new();
    let mut certificate_seen = false;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, mut der) = section.map_err(|_| PrivateKeyError::BadPem)?;
        let key = match kind {
            SectionKind::RsaPrivateKey => Some(OpeningKey::from_pkcs1_der(&der)),
            SectionKind::PrivateKey => Some(OpeningKey::from_pkcs8_der(&der)),
            SectionKind::EcPrivateKey => Some(Err(KeyError::Rejected)),
            SectionKind::Certificate => {
                certificate_seen = true;
                None
            }
            _ => None,
        };
        der.zeroize();
        keys.extend(key.transpose().map_err(PrivateKeyError::Key)?);
    }
    match (keys.is_empty(), certificate_seen) {
        (false, _) => Ok(keys),
        (true, true) => Err(PrivateKeyError::CertificateGiven),
        (true, false) => Err(PrivateKeyError::NoKey),
    }
}

/// The PEM text `RSA PRIVATE KEY` (PKCS#1).
pub fn to_pkcs1_pem(key: &OpeningKey) -> Result<Zeroizing<String>, KeyError> {
    let der = key.to_pkcs1_der()?;
    der::pem::encode_string("RSA PRIVATE KEY", der::pem::LineEnding::LF, &der)
        .map(Zeroizing::new)
        .map_err(|_| KeyError::Rejected)
}

/// A private key cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateKeyError {
    /// No private key block.
    #[error("no PEM block RSA PRIVATE KEY or PRIVATE KEY in it")]
    NoKey,
    /// A certificate where a private key was wanted.
    #[error("this is a certificate: it seals, but only its private key opens")]
    CertificateGiven,
    /// Damaged PEM.
    #[error("damaged PEM")]
    BadPem,
    /// Not a usable RSA key.
    #[error("{0}")]
    Key(#[source] KeyError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_envelope::rsa::KeySize;

    #[test]
    fn pkcs1_pem_round_trips() {
        let key = OpeningKey::generate(KeySize::Rsa2048).unwrap();
        let pem = to_pkcs1_pem(&key).unwrap();
        assert!(pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert!(pem.lines().all(|line| line.len() <= 64));
        let again = from_pem(pem.as_bytes()).unwrap_or_default();
        assert_eq!(again.iter().map(OpeningKey::fingerprint).collect::<Vec<_>>(), [key.fingerprint()]);
    }

    #[test]
    fn several_keys_in_one_text() {
        let [a, b] = [0, 1].map(|_| OpeningKey::generate(KeySize::Rsa2048).unwrap());
        let text = format!("{}\nnote\n{}", *to_pkcs1_pem(&a).unwrap(), *to_pkcs1_pem(&b).unwrap());
        let read = from_pem(text.as_bytes()).unwrap_or_default();
        assert_eq!(
            read.iter().map(OpeningKey::fingerprint).collect::<Vec<_>>(),
            [a.fingerprint(), b.fingerprint()]
        );
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        let error = |pem: &[u8]| from_pem(pem).err();
        assert_eq!(error(b"garbage"), Some(PrivateKeyError::NoKey));
        let certificate = include_bytes!("../../../tests/vectors/classic/rsa2048/tls.crt");
        assert_eq!(error(certificate), Some(PrivateKeyError::CertificateGiven));
        let bad = b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        assert_eq!(error(bad), Some(PrivateKeyError::Key(KeyError::Rejected)));
    }
}
