//! The worked example of docs/format.md, section 2.9, and the sizes of section 2.4: the page says what the files hold, and
//! the files open. `tests/vectors/age/examples`.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use privyseal_envelope::age::{
    BindingLine, File, FileKey, Identity, Kind, OpenError, Recipient, Recipients, identities, seal,
};
use privyseal_envelope::rsa::{KeySize, OpeningKey};
use privyseal_envelope::{Binding, Item, Name, Namespace, SealedValue};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::{Oaep, PrivateKey};
use sha2::Sha256;

const PAGE: &str = include_str!("../../../docs/format.md");
const IDENTITIES: &str = include_str!("../../../tests/vectors/age/examples/identity.txt");
const X25519: &str = include_str!("../../../tests/vectors/age/examples/x25519.txt");
const FILE_KEY: &str = include_str!("../../../tests/vectors/age/examples/x25519.file-key.txt");
const HYBRID: &str = include_str!("../../../tests/vectors/age/examples/hybrid.txt");
const KEY_VAULT: &str = include_str!("../../../tests/vectors/age/examples/key-vault.txt");
const VAULT_KEY: &str = include_str!("../../../tests/vectors/classic/rsa2048/tls.key");

fn sealed_for() -> BindingLine {
    let (namespace, name) = (Namespace::parse("team-a").unwrap(), Name::parse("db").unwrap());
    BindingLine { binding: Binding::Strict { namespace, name }, item: Item::parse("password").unwrap() }
}

fn value(text: &str) -> SealedValue {
    SealedValue::from_base64(text.trim()).unwrap()
}

fn open(file: &File<'_>, key: &FileKey) -> Result<Vec<u8>, OpenError> {
    let BindingLine { binding, item } = sealed_for();
    Ok(file.open(key, &binding, &item)?.plaintext.expose().to_vec())
}

#[test]
fn the_examples_open() {
    let keys = identities(IDENTITIES).ok().unwrap();
    let [hybrid, x25519] = &keys[..] else { panic!("a hybrid and an X25519 identity") };
    for (text, key) in [(HYBRID, hybrid), (X25519, x25519), (KEY_VAULT, x25519)] {
        let value = value(text);
        let file = File::parse(&value).unwrap();
        let unwrapped = file.unwrap(key).unwrap().unwrap();
        assert_eq!(open(&file, &unwrapped.file_key), Ok(b"hunter2".to_vec()));
        let claimed = file.recipients().find(|place| place.at == unwrapped.at).unwrap().claimed;
        assert_eq!(claimed, Some(key.recipient().fingerprint().key_id()));
        let user = Item::parse("user").unwrap();
        let elsewhere = file.open(&unwrapped.file_key, &sealed_for().binding, &user).err();
        assert_eq!(elsewhere, Some(OpenError::OtherBinding { sealed_for: Some(Box::new(sealed_for())) }));
    }
}

#[test]
fn a_key_vault_opens_by_the_body_of_its_stanza() {
    let base64: String = VAULT_KEY.lines().filter(|line| !line.starts_with('-')).collect();
    let der = BASE64_STANDARD.decode(base64).unwrap();
    let fingerprint = OpeningKey::from_pkcs1_der(&der).unwrap().fingerprint();
    let value = value(KEY_VAULT);
    let file = File::parse(&value).unwrap();
    let place = file.recipients().find(|place| place.kind == Kind::KeyVault).unwrap();
    let stanza = file.vault_stanza(place.at).unwrap();
    assert_eq!((stanza.key, stanza.wrapped.len()), (fingerprint, 256));
    // As a vault does it: no label, and by an implementation of its own.
    let vault = PrivateKey::from_pkcs1_der(&der).unwrap();
    let unwrapped = vault.decrypt(Oaep::<Sha256>::new(), &stanza.wrapped).unwrap();
    let file_key = FileKey::from_bytes(&unwrapped).unwrap();
    assert_eq!(open(&file, &file_key), Ok(b"hunter2".to_vec()));
}

#[test]
fn the_page_shows_the_example() {
    let key = &identities(IDENTITIES).ok().unwrap()[1];
    let value = value(X25519);
    let header_len = value.as_bytes().windows(5).position(|bytes| bytes == b"\n--- ").unwrap() + 5 + 43 + 1;
    assert_eq!((header_len, value.as_bytes().len() - header_len), (263, 107), "as the page counts them");
    let header = std::str::from_utf8(&value.as_bytes()[..header_len]).unwrap();
    let recipient = key.recipient().to_string();
    for shown in [
        X25519.trim(),
        header,
        key.to_text().trim(),
        &recipient,
        &key.recipient().fingerprint().to_string(),
        FILE_KEY.trim(),
        &format!("\n{}\nhunter2\n", sealed_for()),
        &format!("{} characters | `X25519", recipient.len()),
        &format!("{} characters | `mlkem768x25519", hybrid_len()),
    ] {
        assert!(PAGE.contains(shown), "docs/format.md lacks {shown}");
    }
    let digits = |at: usize| u8::from_str_radix(&FILE_KEY[at..at + 2], 16).unwrap();
    let bytes: Vec<_> = (0..16).map(|index| digits(2 * index)).collect();
    let file = File::parse(&value).unwrap();
    assert_eq!(open(&file, &FileKey::from_bytes(&bytes).unwrap()), Ok(b"hunter2".to_vec()));
}

fn hybrid_len() -> usize {
    identities(IDENTITIES).ok().unwrap()[0].recipient().to_string().len()
}

/// What one more recipient costs in bytes, hint included: without age's own stanza, whose length is random.
#[test]
fn recipients_are_as_large_as_the_page_says() {
    let stanzas_of = |recipient: Recipient| {
        let to = Recipients::new([recipient]).unwrap();
        let value = seal(b"", &to, &Binding::ClusterWide, &sealed_for().item).unwrap();
        let header = value.as_bytes().windows(5).position(|bytes| bytes == b"\n--- ").unwrap() + 1;
        let text = std::str::from_utf8(&value.as_bytes()[..header]).unwrap().to_owned();
        let stanzas = text.split_inclusive('\n').skip(1).collect::<String>();
        stanzas.split("\n-> ").take(2).map(|stanza| stanza.len() + 1).sum::<usize>() + "-> ".len()
    };
    let rsa = |size| Recipient::KeyVault(OpeningKey::generate(size).unwrap().sealing_key().clone());
    let row = |kind: &str| PAGE.lines().find(|line| line.starts_with(&format!("| {kind} | "))).unwrap();
    let hybrid = Identity::generate_hybrid().unwrap().recipient();
    for (kind, recipient) in [("hybrid", hybrid), ("X25519", Identity::generate_x25519().recipient())] {
        assert!(row(kind).ends_with(&format!("| {} |", stanzas_of(recipient))), "{kind}");
    }
    let vault = row("Key Vault");
    assert!(vault.contains(&format!("{} with 2048 bits", stanzas_of(rsa(KeySize::Rsa2048)))));
    assert!(vault.contains(&format!("{} with 4096", stanzas_of(rsa(KeySize::Rsa4096)))));
}
