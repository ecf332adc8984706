//! The public half of an RSA key that has no certificate: a Key Vault key, as the vault gives it.

use privyseal_envelope::KeyError;
use privyseal_envelope::rsa::SealingKey;
use rustls_pki_types::pem::{PemObject as _, SectionKind};

/// Reads the first `PUBLIC KEY` of a PEM text (SubjectPublicKeyInfo, RFC 7468 section 13).
///
/// # Errors
/// If there is none, or it is no RSA key of 2048 to 8192 bits.
pub fn from_pem(pem: &[u8]) -> Result<SealingKey, PublicKeyError> {
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        match section.map_err(|_| PublicKeyError::BadPem)? {
            (SectionKind::PublicKey, der) => {
                return SealingKey::from_spki_der(&der).map_err(PublicKeyError::Key);
            }
            (SectionKind::RsaPrivateKey | SectionKind::PrivateKey | SectionKind::EcPrivateKey, _) => {
                return Err(PublicKeyError::PrivateKeyGiven);
            }
            _ => {}
        }
    }
    Err(PublicKeyError::NoKey)
}

/// A text is no public key that can be sealed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublicKeyError {
    /// No such block.
    #[error("no PEM block PUBLIC KEY in it")]
    NoKey,
    /// A private key where a public one was wanted.
    #[error("this is a private key: give the public one alone")]
    PrivateKeyGiven,
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
    use privyseal_envelope::rsa::{KeySize, OpeningKey};

    #[test]
    fn a_public_key_is_read_and_nothing_else() {
        let key = OpeningKey::generate(KeySize::Rsa2048).unwrap();
        let der = key.sealing_key().spki_der();
        let pem = der::pem::encode_string("PUBLIC KEY", der::pem::LineEnding::LF, der).unwrap();
        assert_eq!(from_pem(format!("note\n{pem}").as_bytes()), Ok(key.sealing_key().clone()));
        let private = crate::private_key::to_pkcs1_pem(&key).unwrap();
        assert_eq!(from_pem(private.as_bytes()), Err(PublicKeyError::PrivateKeyGiven));
        assert_eq!(from_pem(b"age1"), Err(PublicKeyError::NoKey));
        let broken = pem.replace("MII", "MIJ");
        assert_eq!(from_pem(broken.as_bytes()), Err(PublicKeyError::Key(KeyError::Rejected)));
        assert_eq!(from_pem(&pem.as_bytes()[..pem.len() / 2]), Err(PublicKeyError::BadPem));
    }
}
