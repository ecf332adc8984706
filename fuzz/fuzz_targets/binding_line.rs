//! The first line of a payload: it decides what a value opens for, and no error tells a payload that has none.
#![no_main]

use age_core::format::{FileKey as AgeFileKey, Stanza};
use age_core::secrecy::ExposeSecret as _;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use libfuzzer_sys::fuzz_target;
use privyseal_envelope::age::{BindingLine, File, FileKey, OpenError, Recipients, seal};
use privyseal_envelope::{Binding, Item, Name, Namespace, SealedValue};
use privyseal_fuzz::{age_binding, age_identities};
use std::cell::RefCell;
use std::collections::HashSet;
use std::io::Write as _;
use std::sync::LazyLock;

fuzz_target!(|data: &[u8]| {
    exercise(data);
    exercise(&[b"privyseal.dev/v1 ", data].concat());
    sealed(data);
});

/// The cheaper of the two.
static RECIPIENTS: LazyLock<Recipients> =
    LazyLock::new(|| Recipients::new([age_identities()[1].recipient()]).expect("one recipient"));

fn exercise(payload: &[u8]) {
    let (file, key) = encrypt(payload);
    let (binding, item) = age_binding();
    let expected = BindingLine { binding: binding.clone(), item: item.clone() };
    let found = complete_line(payload);
    let rest = |line: &BindingLine| payload[line.to_string().len() + 1..].to_vec();
    match open(&file, &key, &binding, &item) {
        Ok(value) => {
            assert_eq!(found, Some(expected), "it opens for what its line says");
            assert!(value == rest(found.as_ref().expect("a line")), "and gives what comes after it");
        }
        Err(OpenError::OtherBinding { sealed_for }) => {
            assert_ne!(found, Some(expected));
            assert_eq!(sealed_for.as_deref(), found.as_ref(), "a line is told if and only if it is complete");
            let error = OpenError::OtherBinding { sealed_for };
            let (shown, debugged) = (error.to_string(), format!("{error:?}"));
            match &found {
                Some(line) => assert_eq!(shown, format!("it was sealed for {line}")),
                // Whatever the payload is, these are the texts.
                None => {
                    let nothing = OpenError::OtherBinding { sealed_for: None };
                    assert_eq!((shown, debugged), (nothing.to_string(), format!("{nothing:?}")));
                }
            }
        }
        Err(error) => panic!("{error}"),
    }
    // What a complete line says is what it opens for.
    if let Some(line) = &found {
        let value = open(&file, &key, &line.binding, &line.item);
        assert!(value.is_ok_and(|value| value == rest(line)));
    }
}

/// Whatever the value, it comes back: it may begin with a line of its own.
fn sealed(plaintext: &[u8]) {
    let (binding, item) = age_binding();
    let value = seal(plaintext, &RECIPIENTS, &binding, &item).expect("randomness");
    let file = File::parse(&value).expect("what is sealed is a file");
    let unwrapped = file.unwrap(&age_identities()[1]).ok().flatten().expect("what is sealed opens");
    let opened = file.open(&unwrapped.file_key, &binding, &item).ok();
    assert!(opened.is_some_and(|opened| opened.plaintext.expose() == plaintext));
    let elsewhere = file.open(&unwrapped.file_key, &Binding::ClusterWide, &item).err();
    let sealed_for = Some(Box::new(BindingLine { binding, item }));
    assert_eq!(elsewhere, Some(OpenError::OtherBinding { sealed_for }));
}

fn open(file: &[u8], key: &FileKey, binding: &Binding, item: &Item) -> Result<Vec<u8>, OpenError> {
    let value = SealedValue::from_base64(&BASE64_STANDARD.encode(file)).expect("base64");
    let file = File::parse(&value)?;
    Ok(file.open(key, binding, item)?.plaintext.expose().to_vec())
}

/// An age file and its file key: without a private operation, which takes most of the time.
fn encrypt(payload: &[u8]) -> (Vec<u8>, FileKey) {
    let nobody = Nobody(RefCell::default());
    let recipients = std::iter::once(&nobody as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(recipients).expect("one recipient");
    let mut file = Vec::new();
    let mut writer = encryptor.wrap_output(&mut file).expect("memory");
    writer.write_all(payload).expect("memory");
    writer.finish().expect("memory");
    (file, FileKey::from_bytes(&nobody.0.borrow()).expect("16 bytes"))
}

/// A recipient that keeps the file key.
struct Nobody(RefCell<Vec<u8>>);

impl age::Recipient for Nobody {
    fn wrap_file_key(&self, key: &AgeFileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        *self.0.borrow_mut() = key.expose_secret().to_vec();
        let stanza = Stanza { tag: "nobody".to_owned(), args: Vec::new(), body: Vec::new() };
        Ok((vec![stanza], HashSet::new()))
    }
}

/// The grammar of the line once more, as plainly as can be (docs/format.md, section 2).
fn complete_line(payload: &[u8]) -> Option<BindingLine> {
    let end = payload.iter().position(|&byte| byte == b'\n')?;
    if end > 1024 {
        return None;
    }
    let words: Vec<_> = str::from_utf8(&payload[..end]).ok()?.split(' ').collect();
    let namespace = |word: &str| Namespace::parse(word.strip_prefix("namespace=")?).ok();
    let name = |word: &str| Name::parse(word.strip_prefix("name=")?).ok();
    let item = |word: &str| Item::parse(word.strip_prefix("key=")?).ok();
    let (binding, item) = match words[..] {
        ["privyseal.dev/v1", "scope=strict", in_namespace, named, key] => {
            (Binding::Strict { namespace: namespace(in_namespace)?, name: name(named)? }, item(key)?)
        }
        ["privyseal.dev/v1", "scope=namespace-wide", in_namespace, key] => {
            (Binding::NamespaceWide { namespace: namespace(in_namespace)? }, item(key)?)
        }
        ["privyseal.dev/v1", "scope=cluster-wide", key] => (Binding::ClusterWide, item(key)?),
        _ => return None,
    };
    Some(BindingLine { binding, item })
}
