//! Texts of age keys: recipients, identities, files of them, and the two halves of a key. There is one text for one key,
//! and no error holds a character of what was given.
#![no_main]

use age_core::primitives::bech32_encode_to_fmt;
use bech32::Hrp;
use libfuzzer_sys::fuzz_target;
use privyseal_envelope::Fingerprint;
use privyseal_envelope::age::{
    Identity, NotARecipient, NotAnIdentity, Recipient, Recipients, encrypt, identities,
};
use privyseal_fuzz::{TEST_CERTIFICATE, TEST_KEY};
use privyseal_keys::{KeyPair, KeyPairError, PublicHalf, PublicHalfError, private_halves};

/// Kinds of keys, those of plugins too. An input that begins with the number of one is the bytes of such a key, so that the
/// checksum is no wall; any other is a text.
const PREFIXES: [&str; 5] = ["age", "age1pq", "age1tag", "AGE-SECRET-KEY-", "AGE-SECRET-KEY-PQ-"];

fuzz_target!(|data: &[u8]| {
    if let Some((&kind, bytes)) = data.split_first()
        && let Some(prefix) = PREFIXES.get(usize::from(kind))
    {
        let mut text = String::new();
        bech32_encode_to_fmt(&mut text, Hrp::parse_unchecked(prefix), bytes).expect("a String takes it");
        if prefix.starts_with("AGE") {
            text.make_ascii_uppercase();
        }
        exercise(&text);
        return;
    }
    if let Ok(text) = str::from_utf8(data) {
        exercise(text);
    }
    halves(data);
});

fn exercise(text: &str) {
    match text.parse::<Recipient>() {
        Ok(recipient) => {
            assert_eq!(recipient.to_string(), text.trim(), "there is one text for one key");
            assert_eq!(recipient.fingerprint(), Fingerprint::of(text.trim().as_bytes()));
            let recipients = Recipients::new([recipient]).expect("one recipient");
            assert!(encrypt(b"", &recipients).is_ok(), "what is a recipient can be sealed to");
        }
        Err(error) => {
            let fixed = [NotARecipient::Identity, NotARecipient::Unknown, NotARecipient::Weak];
            assert!(fixed.iter().any(|fixed| fixed.to_string() == error.to_string()));
        }
    }
    match text.parse::<Identity>() {
        Ok(identity) => {
            assert_eq!(identity.to_text().strip_suffix('\n'), Some(text), "there is one text for one key");
            let recipient = identity.recipient();
            assert_eq!(recipient.to_string().parse(), Ok(recipient));
            assert_eq!(
                text.parse::<Recipient>(),
                Err(NotARecipient::Identity),
                "it is not taken for its other half"
            );
        }
        Err(error) => assert_eq!(error, NotAnIdentity { line: Some(1) }),
    }
    match identities(text) {
        Ok(all) => {
            assert!(!all.is_empty());
            let written: String = all.iter().map(|identity| identity.to_text().to_string()).collect();
            assert_eq!(recipients(&identities(&written).expect("what is written is read")), recipients(&all));
            for line in written.lines() {
                assert!(
                    text.lines().any(|read| read.trim() == line),
                    "nothing is read that does not stand there"
                );
            }
        }
        Err(NotAnIdentity { line: Some(line) }) => assert!((1..=text.lines().count()).contains(&line)),
        Err(NotAnIdentity { line: None }) => {
            assert!(text.lines().map(str::trim).all(|line| line.is_empty() || line.starts_with('#')));
        }
    }
}

fn recipients(identities: &[Identity]) -> Vec<Recipient> {
    identities.iter().map(Identity::recipient).collect()
}

/// Beside PEM, as the two texts of a key hold them.
fn halves(data: &[u8]) {
    // Certificate and RSA key are the same ones each time, and reading them takes long.
    if !data
        .windows(4)
        .any(|bytes| bytes.eq_ignore_ascii_case(b"AGE1") || bytes.eq_ignore_ascii_case(b"AGE-"))
    {
        return;
    }
    let public = [TEST_CERTIFICATE, data].concat();
    let read = match PublicHalf::from_text(&public) {
        Ok(half) => {
            let text = half.to_text();
            let again = PublicHalf::from_text(text.as_bytes()).expect("what is written is read");
            assert!(again == half && again.to_text() == text, "what is written reads back");
            assert_eq!(half.fingerprints().count(), 1 + half.recipients.len());
            Some(half)
        }
        Err(error) => {
            assert!(matches!(error, PublicHalfError::Recipient(_)), "the certificate was right: {error}");
            None
        }
    };

    // As a file of somebody's keys.
    for half in private_halves("fuzz", data) {
        match half {
            Ok(entry) => {
                let text = entry.private_text().expect("RSA encodes");
                let again = private_halves("fuzz", text.as_bytes());
                let [Ok(again)] = &again[..] else { panic!("what is written is one key") };
                assert_eq!(again.fingerprints(), entry.fingerprints(), "what is written reads back");
            }
            Err(error) => {
                let _ = error.to_string();
            }
        }
    }

    let private = [TEST_KEY, data].concat();
    match KeyPair::from_texts(TEST_CERTIFICATE, &private) {
        Ok(pair) => {
            let text = pair.private_text().expect("RSA encodes");
            let half = pair.public_half();
            let again = KeyPair::new(half.clone(), text.as_bytes()).expect("what is written is read");
            assert!(*again.private_text().expect("RSA encodes") == *text, "what is written reads back");
            assert!(again.public_half() == half);
            // The two halves together, if `data` was read as both.
            if let Some(named) = read.filter(|named| !named.recipients.is_empty()) {
                let fits = KeyPair::new(named.clone(), &private).is_ok();
                assert_eq!(fits, named.recipients == half.recipients, "halves match");
            }
        }
        Err(KeyPairError::Identity(NotAnIdentity { line })) => {
            assert!(line.is_some_and(|line| line <= private.split(|&byte| byte == b'\n').count()));
        }
        Err(error) => panic!("the RSA key was right: {error}"),
    }
}
