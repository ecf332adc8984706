//! The classic format written a second time, on other libraries (`rsa`, `aes-gcm`), and held against ours both ways.
//! A mistake that sealing and opening share would pass every round trip; it does not pass here.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privyseal_envelope::{Binding, Name, Namespace, SealedValue, classic, rsa as ours};
use proptest::prelude::*;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::{Oaep, PrivateKey};
use sha2::Sha256;
use std::sync::LazyLock;

struct Keys {
    ours: ours::OpeningKey,
    theirs: PrivateKey,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let ours = ours::OpeningKey::generate(ours::KeySize::Rsa2048).unwrap();
    let theirs = PrivateKey::from_pkcs1_der(&ours.to_pkcs1_der().unwrap()).unwrap();
    Keys { ours, theirs }
});

/// The label, spelled out once more.
fn label(binding: &Binding) -> String {
    match binding {
        Binding::Strict { namespace, name } => format!("{}/{}", namespace.as_str(), name.as_str()),
        Binding::NamespaceWide { namespace } => namespace.as_str().to_owned(),
        Binding::ClusterWide => String::new(),
    }
}

fn padding(binding: &Binding) -> Oaep<Sha256> {
    Oaep::<Sha256>::new_with_label(label(binding).into_bytes())
}

fn seal(plaintext: &[u8], session_key: [u8; 32], binding: &Binding) -> String {
    let mut rng = rsa::rand_core::UnwrapErr(getrandom::SysRng);
    let rsa_part = KEYS.theirs.to_public_key().encrypt(&mut rng, padding(binding), &session_key).unwrap();
    let body = Aes256Gcm::new(&session_key.into()).encrypt(&Nonce::default(), plaintext).unwrap();
    let mut bytes = u16::try_from(rsa_part.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(rsa_part);
    bytes.extend(body);
    STANDARD.encode(bytes)
}

fn open(text: &str, binding: &Binding) -> Option<Vec<u8>> {
    let bytes = STANDARD.decode(text).ok()?;
    let n = usize::from(u16::from_be_bytes([*bytes.first()?, *bytes.get(1)?]));
    let session_key: [u8; 32] =
        KEYS.theirs.decrypt(padding(binding), bytes.get(2..2 + n)?).ok()?.try_into().ok()?;
    Aes256Gcm::new(&session_key.into()).decrypt(&Nonce::default(), bytes.get(2 + n..)?).ok()
}

fn bindings() -> impl Strategy<Value = Binding> {
    let namespace = || "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?".prop_map(|s| Namespace::parse(s).unwrap());
    let name = "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\\.[a-z0-9]{1,20}){0,3}";
    prop_oneof![
        (namespace(), name.prop_map(|s| Name::parse(s).unwrap()))
            .prop_map(|(namespace, name)| Binding::Strict { namespace, name }),
        namespace().prop_map(|namespace| Binding::NamespaceWide { namespace }),
        Just(Binding::ClusterWide),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn they_open_what_we_seal(plaintext in proptest::collection::vec(any::<u8>(), 0..2000), binding in bindings()) {
        let text = classic::seal(&plaintext, KEYS.ours.sealing_key(), &binding).unwrap().to_base64();
        prop_assert!(open(&text, &binding).as_deref() == Some(&plaintext[..]));
    }

    #[test]
    fn we_open_what_they_seal(
        plaintext in proptest::collection::vec(any::<u8>(), 0..2000),
        session_key in any::<[u8; 32]>(),
        binding in bindings(),
    ) {
        let value = SealedValue::from_base64(&seal(&plaintext, session_key, &binding)).unwrap();
        let opened = classic::open(&value, &KEYS.ours, &binding).map(|p| p.expose().to_vec());
        prop_assert!(opened == Ok(plaintext));
    }

    #[test]
    fn neither_opens_under_another_binding(binding in bindings(), other in bindings()) {
        prop_assume!(label(&binding) != label(&other));
        let value = classic::seal(b"value", KEYS.ours.sealing_key(), &binding).unwrap();
        prop_assert!(classic::open(&value, &KEYS.ours, &other).is_err());
        prop_assert!(open(&value.to_base64(), &other).is_none());
    }

    #[test]
    fn any_changed_byte_is_refused(position in any::<proptest::sample::Index>(), bit in 0u8..8) {
        let sealed = classic::seal(b"value", KEYS.ours.sealing_key(), &Binding::ClusterWide).unwrap();
        let mut bytes = sealed.as_bytes().to_vec();
        let at = position.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let value = SealedValue::from_base64(&STANDARD.encode(bytes)).unwrap();
        prop_assert!(classic::open(&value, &KEYS.ours, &Binding::ClusterWide).is_err());
    }

    #[test]
    fn arbitrary_text_never_panics(text in ".{0,600}") {
        if let Ok(value) = SealedValue::from_base64(&text) {
            prop_assert!(classic::open(&value, &KEYS.ours, &Binding::ClusterWide).is_err());
        }
    }
}
