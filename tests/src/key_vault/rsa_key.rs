//! RSA on another library than the product's: what the two agree on is RSA-OAEP with SHA-256 and no label.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use rsa::PrivateKey;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePublicKey as _};
use rsa::traits::PublicKeyParts as _;
use sha2::Sha256;

/// A key that never leaves the double.
#[derive(Clone)]
pub(super) struct RsaKey(PrivateKey);

impl std::fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RsaKey")
    }
}

impl RsaKey {
    /// A new one; `None` if the service makes none of this size.
    ///
    /// Only the primes come from the product's library, which finds them many times faster.
    pub(super) fn generate(bits: u64) -> Option<Self> {
        let size = match bits {
            2048 => KeySize::Rsa2048,
            3072 => KeySize::Rsa3072,
            4096 => KeySize::Rsa4096,
            _ => return None,
        };
        let pair = KeyPair::generate(size).expect("an RSA key");
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).expect("PKCS #8");
        Some(Self(PrivateKey::from_pkcs8_der(pkcs8.as_ref()).expect("an RSA key")))
    }

    /// Its size.
    pub(super) fn bits(&self) -> u64 {
        u64::try_from(self.0.size()).expect("a size") * 8
    }

    /// The public half: SubjectPublicKeyInfo, DER.
    pub(super) fn public(&self) -> Vec<u8> {
        self.0.to_public_key().to_public_key_der().expect("a public key").into_vec()
    }

    /// The modulus, without a leading zero.
    pub(super) fn modulus(&self) -> Vec<u8> {
        self.0.n_bytes().into_vec()
    }

    /// The public exponent, without a leading zero.
    pub(super) fn exponent(&self) -> Vec<u8> {
        self.0.e_bytes().into_vec()
    }

    /// `None` if the plaintext is too long.
    pub(super) fn encrypt(&self, plaintext: &[u8]) -> Option<Vec<u8>> {
        self.0.to_public_key().oaep_encrypt::<Sha256>(plaintext).ok()
    }

    /// `None` if it was not encrypted for this key.
    pub(super) fn decrypt(&self, ciphertext: &[u8]) -> Option<Vec<u8>> {
        self.0.oaep_decrypt::<Sha256>(ciphertext).ok()
    }
}
