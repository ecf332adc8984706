//! Documents through the verbs: a Secret is sealed and opened, a SealedSecret inspected and opened.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privyseal_envelope::Item;
use privyseal_fuzz::{hybrid_recipients, keyring, opening_key};
use privyseal_manifest::{Document, SealedSecret, Secret, emit, read};
use privyseal_seal::{
    Change, DEFAULT_ATTEMPTS, OpenError, SealTo, Sealing, Verdict, binding_of, inspect, open, reseal, seal,
};

/// Both formats.
fn formats() -> [SealTo<'static>; 2] {
    [SealTo::Classic(opening_key().sealing_key()), SealTo::Age(hybrid_recipients())]
}

fuzz_target!(|data: &[u8]| {
    let documents = || read(data, "fuzz").into_iter().flatten();
    for secret in documents().map(Document::into_secret).filter_map(Result::ok) {
        formats().into_iter().for_each(|to| seal_and_open(&secret, to));
    }
    for sealed in documents().map(Document::into_sealed_secret).filter_map(Result::ok) {
        inspect_and_open(&sealed);
    }
});

fn seal_and_open(secret: &Secret, to: SealTo<'_>) {
    let how = Sealing { to, scope: None, allow_empty: true };
    let sealed = match seal(secret, &how) {
        Ok(sealed) => sealed,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let mut documents =
        read(emit::to_yaml(&sealed).as_bytes(), "fuzz").expect("what is sealed is a document");
    let again = documents.remove(0).into_sealed_secret().expect("what is sealed is a SealedSecret");
    assert_eq!(again, sealed, "what is written reads back");

    let opened = open(&sealed, keyring(), DEFAULT_ATTEMPTS).expect("what is sealed opens");
    assert_eq!(opened.private_operations, secret.data.len(), "hints name the key");
    let back = opened.into_secret(&sealed).expect("what is sealed has no templates");
    assert!(back.data == secret.data, "what is sealed is what was given");
    assert!(back.type_ == secret.type_ && back.immutable == secret.immutable);
    assert!(back.metadata.labels == secret.metadata.labels);
    assert!(back.metadata.name == secret.metadata.name);
    assert!(back.metadata.namespace == secret.metadata.namespace);
}

fn inspect_and_open(sealed: &SealedSecret) {
    let metadata = &sealed.metadata;
    let binding =
        binding_of(metadata.annotations.as_ref(), metadata.namespace.as_deref(), metadata.name.as_deref());
    let offline = inspect(sealed, None, &[]);
    assert_eq!(offline.binding, binding);
    assert_eq!(offline.items.len(), sealed.spec.encrypted_data.len());

    let inspection = inspect(sealed, Some(keyring()), &[]);
    let all_open = binding.is_ok()
        && inspection.items.iter().all(|item| {
            matches!(item.verdict, Some(Verdict::Opens { .. })) && Item::parse(item.item.as_str()).is_ok()
        });
    match open(sealed, keyring(), DEFAULT_ATTEMPTS) {
        Ok(opened) => {
            assert!(all_open, "inspect says that it does not open");
            formats().into_iter().for_each(|to| {
                let done = reseal(sealed, keyring(), DEFAULT_ATTEMPTS, |_| Change::Seal(to));
                let mut after = sealed.clone();
                done.expect("what opens is resealed").apply(&mut after);
                let again = open(&after, keyring(), DEFAULT_ATTEMPTS).ok();
                assert!(
                    again.is_some_and(|again| again.values == opened.values),
                    "nothing changed but who opens it"
                );
            });
            assert_eq!(opened.into_secret(sealed).is_ok(), inspection.obstacle.is_none());
        }
        Err(OpenError::LegacyData) => assert!(inspection.obstacle.is_some()),
        Err(error) => {
            let _ = error.to_string();
            assert!(!all_open, "inspect says that it opens");
        }
    }
}
