//! The private half as text: PKCS#1 and PKCS#8 PEM in, PKCS#1 PEM out, as the peer writes `tls.key`.

use privyseal_envelope::KeyError;
use privyseal_envelope::rsa::OpeningKey;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use zeroize::{Zeroize as _, Zeroizing};

/// Reads every private key of a PEM text, in order. A block that is no usable key is an error in its place, and costs
/// none of the others; a text without any gives one error. Nothing of the text is in an error.
pub fn from_pem(pem: &[u8]) -> Vec<Result<OpeningKey, PrivateKeyError>> {
    let mut keys = Vec::new();
    let mut no_key = PrivateKeyError::NoKey;
    for block in blocks(pem) {
        match <(SectionKind, Vec<u8>)>::from_pem_slice(block) {
            Ok((SectionKind::Certificate, _)) => no_key = PrivateKeyError::CertificateGiven,
            Ok((kind, mut der)) => {
                keys.extend(from_der(kind, &der).map(|key| key.map_err(PrivateKeyError::Key)));
                der.zeroize();
            }
            Err(_) => keys.push(Err(PrivateKeyError::BadPem)),
        }
    }
    if keys.is_empty() { vec![Err(no_key)] } else { keys }
}

/// The first key that can be used, else the first error.
pub fn first_from_pem(pem: &[u8]) -> Result<OpeningKey, PrivateKeyError> {
    let mut keys = from_pem(pem);
    let first_usable = keys.iter().position(Result::is_ok).unwrap_or(0);
    keys.swap_remove(first_usable)
}

/// Each from its `-----BEGIN` to the next one's, so that damage in one ends there.
pub(crate) fn blocks(pem: &[u8]) -> impl Iterator<Item = &[u8]> {
    let begins = |at: &usize| pem[*at..].starts_with(b"-----BEGIN ") && (*at == 0 || pem[at - 1] == b'\n');
    let mut starts = (0..pem.len()).filter(begins).collect::<Vec<_>>().into_iter().peekable();
    std::iter::from_fn(move || Some(&pem[starts.next()?..starts.peek().copied().unwrap_or(pem.len())]))
}

/// Nothing if the block is of a kind that holds no private key.
fn from_der(kind: SectionKind, der: &[u8]) -> Option<Result<OpeningKey, KeyError>> {
    match kind {
        SectionKind::RsaPrivateKey => Some(OpeningKey::from_pkcs1_der(der)),
        SectionKind::PrivateKey => Some(OpeningKey::from_pkcs8_der(der)),
        SectionKind::EcPrivateKey => Some(Err(KeyError::Rejected)),
        _ => None,
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
    use privyseal_envelope::Fingerprint;
    use privyseal_envelope::rsa::KeySize;

    const UNUSABLE: &str = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";

    fn outcome(pem: &[u8]) -> Vec<Result<Fingerprint, PrivateKeyError>> {
        from_pem(pem).into_iter().map(|key| key.map(|key| key.fingerprint())).collect()
    }

    #[test]
    fn pkcs1_pem_round_trips() {
        let key = OpeningKey::generate(KeySize::Rsa2048).unwrap();
        let pem = to_pkcs1_pem(&key).unwrap();
        assert!(pem.starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
        assert!(pem.lines().all(|line| line.len() <= 64));
        assert_eq!(outcome(pem.as_bytes()), [Ok(key.fingerprint())]);
    }

    #[test]
    fn a_bad_block_costs_none_of_the_others() {
        let [a, b] = [0, 1].map(|_| OpeningKey::generate(KeySize::Rsa2048).unwrap());
        let text = format!(
            "{}\nnote\n{UNUSABLE}-----BEGIN PRIVATE KEY-----\n!\n-----END CERTIFICATE-----\n{}",
            *to_pkcs1_pem(&a).unwrap(),
            *to_pkcs1_pem(&b).unwrap()
        );
        let expected = [
            Ok(a.fingerprint()),
            Err(PrivateKeyError::Key(KeyError::Rejected)),
            Err(PrivateKeyError::BadPem),
            Ok(b.fingerprint()),
        ];
        assert_eq!(outcome(text.as_bytes()), expected);
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        assert_eq!(outcome(b"garbage"), [Err(PrivateKeyError::NoKey)]);
        let certificate = include_bytes!("../../../tests/vectors/classic/rsa2048/tls.crt");
        assert_eq!(outcome(certificate), [Err(PrivateKeyError::CertificateGiven)]);
        assert_eq!(outcome(UNUSABLE.as_bytes()), [Err(PrivateKeyError::Key(KeyError::Rejected))]);
    }
}
