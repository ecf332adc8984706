//! What the fuzz targets share: fixed keys, and reading back what was written.
//!
//! A target is more than a search for panics: it states what must hold for every input, and panics if it does not. It
//! prints nothing, so that no input is ever shown but by libFuzzer itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privyseal_envelope::age::{Identity, Recipients, identities};
use privyseal_envelope::rsa::OpeningKey;
use privyseal_envelope::{Binding, Item, Name, Namespace};
use privyseal_keys::{KeyPair, Keyring, KeyringEntry, PublisherKey, private_key};
use std::sync::LazyLock;

/// The certificate of [`TEST_KEY`].
pub const TEST_CERTIFICATE: &[u8] = include_bytes!("../../tests/vectors/classic/rsa2048/tls.crt");
/// The key that most vectors are sealed to.
pub const TEST_KEY: &[u8] = include_bytes!("../../tests/vectors/classic/rsa2048/tls.key");
/// Two age identities, a hybrid and an X25519 one. The examples of docs/format.md are sealed to them.
pub const TEST_IDENTITIES: &str = include_str!("../../tests/vectors/age/examples/identity.txt");
/// Base64 of a value of the age format that is sealed to the second of [`TEST_IDENTITIES`].
pub const AGE_VALUE: &str = include_str!("../../tests/vectors/age/examples/x25519.txt");
/// Hexadecimal file key of [`AGE_VALUE`].
pub const AGE_FILE_KEY: &str = include_str!("../../tests/vectors/age/examples/x25519.file-key.txt");

/// The key of the vectors, read once.
pub fn opening_key() -> &'static OpeningKey {
    static KEY: LazyLock<OpeningKey> =
        LazyLock::new(|| private_key::first_from_pem(TEST_KEY).expect("the vectors hold a key"));
    &KEY
}

/// The identities of the vectors, read once: a hybrid and an X25519 one.
pub fn age_identities() -> &'static [Identity] {
    static IDENTITIES: LazyLock<Vec<Identity>> =
        LazyLock::new(|| identities(TEST_IDENTITIES).expect("the vectors hold identities"));
    &IDENTITIES
}

/// The hybrid identity of the vectors as the only recipient.
pub fn hybrid_recipients() -> &'static Recipients {
    static RECIPIENTS: LazyLock<Recipients> =
        LazyLock::new(|| Recipients::new([age_identities()[0].recipient()]).expect("one recipient"));
    &RECIPIENTS
}

/// What the age values of the vectors are sealed for.
pub fn age_binding() -> (Binding, Item) {
    let namespace = Namespace::parse("team-a").expect("a namespace");
    let name = Name::parse("db").expect("a name");
    (Binding::Strict { namespace, name }, Item::parse("password").expect("an item"))
}

/// A keyring of the one key of the vectors: RSA, hybrid and X25519.
pub fn keyring() -> &'static Keyring {
    static KEYRING: LazyLock<Keyring> = LazyLock::new(|| {
        let private = [TEST_KEY, TEST_IDENTITIES.as_bytes()].concat();
        let pair = KeyPair::from_texts(TEST_CERTIFICATE, &private).expect("the vectors hold a key pair");
        Keyring::new(vec![KeyringEntry::from_pair("vectors", pair)])
    });
    &KEYRING
}

/// A publisher key that is the same in every run: its seed is 32 sevens.
pub fn publisher() -> &'static PublisherKey {
    static KEY: LazyLock<PublisherKey> = LazyLock::new(|| {
        // RFC 8410: PKCS#8 of Ed25519 is this prefix and the seed.
        let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        der.extend([7; 32]);
        PublisherKey::from_pem(&pem("PRIVATE KEY", &der)).expect("any 32 bytes are a seed")
    });
    &KEY
}

/// Bytes as a PEM block, so that the bytes themselves can be fuzzed and not their base64 only.
pub fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let mut text = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend(line);
        text.push(b'\n');
    }
    text.extend(format!("-----END {label}-----\n").into_bytes());
    text
}
