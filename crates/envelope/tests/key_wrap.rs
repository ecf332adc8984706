//! Private halves under a custodian's key, held against other libraries (`rsa`, `aes-gcm`) both ways.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use privyseal_envelope::key_wrap::{self, Sealed};
use privyseal_envelope::{OpenError, rsa as ours};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use rsa::{Oaep, PrivateKey};
use sha2::Sha256;
use std::sync::LazyLock;

const PRIVATE: &[u8] = b"-----BEGIN RSA PRIVATE KEY-----\n";
const BINDING: &[u8] = b"domain\nkey\nfingerprint\nname";

struct Custodian {
    public: ours::SealingKey,
    theirs: PrivateKey,
}

impl Custodian {
    fn new() -> Self {
        let key = ours::OpeningKey::generate(ours::KeySize::Rsa2048).unwrap();
        let theirs = PrivateKey::from_pkcs1_der(&key.to_pkcs1_der().unwrap()).unwrap();
        Self { public: key.sealing_key().clone(), theirs }
    }

    fn unwrap(&self, wrapped: &[u8]) -> Option<[u8; 32]> {
        self.theirs.decrypt(Oaep::<Sha256>::new(), wrapped).ok()?.try_into().ok()
    }
}

static ONE: LazyLock<Custodian> = LazyLock::new(Custodian::new);
static TWO: LazyLock<Custodian> = LazyLock::new(Custodian::new);

fn opened(fresh_key: &[u8], ciphertext: &[u8], binding: &[u8]) -> Result<Vec<u8>, OpenError> {
    key_wrap::open(fresh_key, ciphertext, binding).map(|private| private.expose().to_vec())
}

#[test]
fn they_open_what_we_seal() {
    for private in [PRIVATE, b"", &[7; 4000]] {
        let Sealed { wrapped, ciphertext } = key_wrap::seal(private, &ONE.public, BINDING).unwrap();
        assert_eq!((wrapped.len(), ciphertext.len()), (256, private.len() + 16));
        let fresh_key = ONE.unwrap(&wrapped).unwrap();
        let payload = Payload { msg: &ciphertext, aad: BINDING };
        let theirs = Aes256Gcm::new(&fresh_key.into()).decrypt(&Nonce::default(), payload).unwrap();
        assert_eq!(theirs, private);
        assert_eq!(opened(&fresh_key, &ciphertext, BINDING).unwrap(), private);
    }
}

#[test]
fn we_open_what_they_seal() {
    let fresh_key = [9; 32];
    let payload = Payload { msg: PRIVATE, aad: BINDING };
    let ciphertext = Aes256Gcm::new(&fresh_key.into()).encrypt(&Nonce::default(), payload).unwrap();
    assert_eq!(opened(&fresh_key, &ciphertext, BINDING).unwrap(), PRIVATE);
}

#[test]
fn nothing_opens_with_another_key_or_binding_or_a_changed_byte() {
    let Sealed { wrapped, ciphertext } = key_wrap::seal(PRIVATE, &ONE.public, BINDING).unwrap();
    assert!(TWO.unwrap(&wrapped).is_none());
    let fresh_key = ONE.unwrap(&wrapped).unwrap();
    let refused = Err(OpenError::DoesNotOpen);
    for at in 0..ciphertext.len() {
        let mut changed = ciphertext.clone();
        changed[at] ^= 1;
        assert_eq!(opened(&fresh_key, &changed, BINDING), refused, "byte {at}");
    }
    for at in 0..BINDING.len() {
        let mut changed = BINDING.to_vec();
        changed[at] ^= 1;
        assert_eq!(opened(&fresh_key, &ciphertext, &changed), refused, "byte {at}");
    }
    assert_eq!(opened(&fresh_key, &ciphertext, b""), refused);
    for length in [0, 1, 15, 16, ciphertext.len() - 1] {
        assert_eq!(opened(&fresh_key, &ciphertext[..length], BINDING), refused, "{length}");
    }
    for other in [&[][..], &fresh_key[..16], &fresh_key[..31], &[&fresh_key[..], &[0]].concat(), &[0; 32]] {
        assert_eq!(opened(other, &ciphertext, BINDING), refused, "a key of {} bytes", other.len());
    }
}

#[test]
fn no_two_are_alike() {
    let [one, two] = [0, 1].map(|_| key_wrap::seal(PRIVATE, &ONE.public, BINDING).unwrap());
    assert_ne!(one.wrapped, two.wrapped);
    assert_ne!(one.ciphertext, two.ciphertext, "another fresh key each time");
}

#[test]
fn a_key_is_put_together_from_its_numbers() {
    let n = ONE.theirs.n().to_be_bytes_trimmed_vartime().into_vec();
    let e = [1, 0, 1];
    for modulus in [n.clone(), [&[0][..], &n].concat(), [&[0; 9][..], &n].concat()] {
        let key = ours::SealingKey::from_components(&modulus, &[&[0][..], &e].concat()).unwrap();
        assert_eq!(key.fingerprint(), ONE.public.fingerprint());
    }
    let refused = |n: &[u8], e: &[u8]| ours::SealingKey::from_components(n, e).err();
    for (n, e) in [(&n[..128], &e[..]), (&n, &[]), (&[], &e), (&[0], &e), (&n, &[0]), (&n, &[1]), (&n, &[2])]
    {
        assert!(refused(n, e).is_some(), "{} bytes, exponent {e:?}", n.len());
    }
}
