//! Every official test vector of the age format, enumerated: `tests/vectors/age/cctv/testdata`.
#![allow(clippy::disallowed_methods, reason = "a test reads its vectors")]
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

use age::armor::ArmoredReader;
use aws_lc_rs::digest;
use privyseal_envelope::age::{self as ours, Identity, OpenError};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

fn folder() -> PathBuf {
    // Cargo runs tests in the folder of their package.
    PathBuf::from("../../tests/vectors/age/cctv/testdata")
}

/// What a vector's `expect` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Expected {
    Success,
    NoMatch,
    HmacFailure,
    HeaderFailure,
    PayloadFailure,
    ArmorFailure,
}

/// What a vector takes to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// An identity of the hybrid kind, perhaps beside others.
    Hybrid,
    /// Identities of the X25519 kind.
    X25519,
    /// Nothing: there is no file.
    NoKey,
    /// The file is in ASCII armor, whatever opens it.
    Armor,
    /// A passphrase.
    Passphrase,
}

/// One vector: a textual header, an empty line, an age file. The format is in the README of the vectors' module.
struct Vector {
    expected: Expected,
    kind: Kind,
    payload: Option<String>,
    identities: Vec<Identity>,
    file: Vec<u8>,
}

impl Vector {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").expect("an empty line ends the header");
        let header = std::str::from_utf8(&bytes[..end]).expect("the header is text");
        let mut file = bytes[end + 2..].to_vec();
        let (mut expected, mut payload, mut identities) = (None, None, Vec::new());
        let mut kind = Kind::NoKey;
        for line in header.lines() {
            let (key, value) = line.split_once(": ").unwrap_or_else(|| panic!("no key: {line}"));
            match (key, value) {
                ("expect", value) => {
                    expected = Some(match value {
                        "success" => Expected::Success,
                        "no match" => Expected::NoMatch,
                        "HMAC failure" => Expected::HmacFailure,
                        "header failure" => Expected::HeaderFailure,
                        "payload failure" => Expected::PayloadFailure,
                        "armor failure" => Expected::ArmorFailure,
                        other => panic!("unknown expectation: {other}"),
                    });
                }
                ("payload", value) => payload = Some(value.to_owned()),
                ("identity", value) => identities.push(value.to_owned()),
                ("passphrase", _) => kind = Kind::Passphrase,
                ("armored", "yes") if kind != Kind::Passphrase => kind = Kind::Armor,
                ("armored", "yes") | ("file key" | "comment", _) => {}
                ("compressed", "zlib") => {
                    let mut inflated = Vec::new();
                    flate2::read::ZlibDecoder::new(&file[..]).read_to_end(&mut inflated).expect("zlib");
                    file = inflated;
                }
                // The README lets implementations pass such files over. We want to know of them.
                _ => panic!("unknown key: {line}"),
            }
        }
        if kind == Kind::NoKey && !identities.is_empty() {
            let hybrid = identities.iter().any(|text| text.starts_with("AGE-SECRET-KEY-PQ-1"));
            kind = if hybrid { Kind::Hybrid } else { Kind::X25519 };
        }
        let identities =
            identities.iter().map(|text| text.parse().map_err(|_| "identity").unwrap()).collect();
        Self { expected: expected.expect("expect"), kind, payload, identities, file }
    }

    /// Why it was not as expected, if it was not.
    fn run(&self) -> Result<(), String> {
        let opened = match self.kind {
            Kind::Hybrid | Kind::X25519 | Kind::NoKey => ours::decrypt(&self.file, &self.identities),
            Kind::Armor => {
                // We take binary files only: an armored one is no age file to us.
                if ours::decrypt(&self.file, &self.identities).err() != Some(OpenError::Header) {
                    return Err("taken with its armor".to_owned());
                }
                match without_armor(&self.file) {
                    Ok(file) => ours::decrypt(&file, &self.identities),
                    Err(_) if self.expected == Expected::ArmorFailure => return Ok(()),
                    Err(error) => return Err(format!("armor: {error}")),
                }
            }
            // We take no passphrases: refused, whatever is expected of those who do.
            Kind::Passphrase => {
                let file = without_armor(&self.file).map_err(|error| error.to_string())?;
                return match ours::decrypt(&file, &self.identities).err() {
                    Some(OpenError::Header | OpenError::NoMatch) => Ok(()),
                    other => Err(format!("a passphrase, and not refused: {other:?}")),
                };
            }
        };
        match (self.expected, opened) {
            (Expected::Success, Ok(opened)) => {
                let opened = sha256(&opened);
                if Some(&opened) == self.payload.as_ref() { Ok(()) } else { Err("other bytes".to_owned()) }
            }
            // What a payload holds in front of a fault is never given out, so its hash has nothing to be held against.
            (Expected::NoMatch, Err(OpenError::NoMatch))
            | (Expected::HeaderFailure, Err(OpenError::Header))
            | (Expected::HmacFailure | Expected::PayloadFailure, Err(OpenError::Damaged)) => Ok(()),
            // The vectors count the nonce among the header, the specification's text and we among the payload.
            (Expected::HeaderFailure, Err(OpenError::Damaged)) if self.ends_before_the_nonce() => Ok(()),
            // The armor's reader hands on what does not begin as armor does.
            (Expected::ArmorFailure, Err(OpenError::Header)) => Ok(()),
            (_, Ok(_)) => Err("opened".to_owned()),
            (_, Err(error)) => Err(format!("{error:?}")),
        }
    }

    /// Whether fewer than the nonce's 16 bytes are left behind the line of the header's MAC.
    fn ends_before_the_nonce(&self) -> bool {
        let mac = self.file.windows(5).position(|bytes| bytes == b"\n--- ");
        mac.and_then(|at| {
            self.file[at + 1..].iter().position(|&byte| byte == b'\n').map(|end| at + 1 + end + 1)
        })
        .is_some_and(|payload| self.file.len() - payload < 16)
    }
}

/// The age crate's reader of armor, which gives binary files through as they are. It does not skip the white space that
/// may stand around armor (C2SP age, "ASCII armor").
fn without_armor(file: &[u8]) -> std::io::Result<Vec<u8>> {
    let trimmed = file.trim_ascii();
    let mut binary = Vec::new();
    let armored = trimmed.starts_with(b"-----BEGIN");
    ArmoredReader::new(if armored { trimmed } else { file }).read_to_end(&mut binary)?;
    Ok(binary)
}

fn sha256(bytes: &[u8]) -> String {
    digest::digest(&digest::SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn all_official_age_vectors() {
    let mut counts = BTreeMap::new();
    let mut failures = Vec::new();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let vector = Vector::parse(&std::fs::read(&path).unwrap());
        *counts.entry((vector.kind, vector.expected)).or_insert(0) += 1;
        if let Err(why) = vector.run() {
            failures.push(format!("{}: expected {:?}, but {why}", path.display(), vector.expected));
        }
    }
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));

    // All 147 of the version in the README beside them. None vanishes unseen, and none appears unseen.
    let expected = BTreeMap::from([
        ((Kind::Hybrid, Expected::Success), 4),
        ((Kind::Hybrid, Expected::NoMatch), 5),
        ((Kind::Hybrid, Expected::HeaderFailure), 9),
        ((Kind::X25519, Expected::Success), 14),
        ((Kind::X25519, Expected::NoMatch), 3),
        ((Kind::X25519, Expected::HmacFailure), 1),
        ((Kind::X25519, Expected::HeaderFailure), 30),
        ((Kind::X25519, Expected::PayloadFailure), 18),
        ((Kind::NoKey, Expected::HeaderFailure), 1),
        ((Kind::Armor, Expected::Success), 6),
        ((Kind::Armor, Expected::NoMatch), 1),
        ((Kind::Armor, Expected::HeaderFailure), 2),
        ((Kind::Armor, Expected::PayloadFailure), 1),
        ((Kind::Armor, Expected::ArmorFailure), 26),
        ((Kind::Passphrase, Expected::Success), 2),
        ((Kind::Passphrase, Expected::NoMatch), 4),
        ((Kind::Passphrase, Expected::HeaderFailure), 20),
    ]);
    assert_eq!(counts, expected);
}
