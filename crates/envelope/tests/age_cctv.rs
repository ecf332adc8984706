//! Every official test vector of the age format, enumerated: `tests/vectors/age/cctv/testdata`.
#![allow(clippy::disallowed_methods, reason = "a test reads its vectors")]
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

use age::armor::ArmoredReader;
use age::{DecryptError, Decryptor};
use aws_lc_rs::digest;
use privyseal_envelope::age::hybrid::HybridIdentity;
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

/// One vector: a textual header, an empty line, an age file. The format is in the README of the vectors' module.
struct Vector {
    expected: Expected,
    payload: Option<String>,
    identities: Vec<String>,
    passphrases: usize,
    armored: bool,
    file: Vec<u8>,
}

impl Vector {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").expect("an empty line ends the header");
        let header = std::str::from_utf8(&bytes[..end]).expect("the header is text");
        let (mut expected, mut payload, mut compressed, mut armored) = (None, None, false, false);
        let (mut identities, mut passphrases) = (Vec::new(), 0);
        for line in header.lines() {
            match line.split_once(": ").unwrap_or_else(|| panic!("no key: {line}")) {
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
                ("passphrase", _) => passphrases += 1,
                ("armored", "yes") => armored = true,
                ("compressed", "zlib") => compressed = true,
                ("file key" | "comment", _) => {}
                // The README lets implementations pass such files over. We want to know of them.
                (other, value) => panic!("unknown key: {other}: {value}"),
            }
        }
        let mut file = bytes[end + 2..].to_vec();
        if compressed {
            let mut inflated = Vec::new();
            flate2::read::ZlibDecoder::new(&file[..]).read_to_end(&mut inflated).expect("zlib");
            file = inflated;
        }
        Self { expected: expected.expect("expect"), payload, identities, passphrases, armored, file }
    }
}

fn vectors() -> BTreeMap<String, Vector> {
    std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, Vector::parse(&std::fs::read(&path).unwrap()))
        })
        .collect()
}

fn open(vector: &Vector) -> Result<Vec<u8>, DecryptError> {
    let identities: Vec<Box<dyn age::Identity>> = vector
        .identities
        .iter()
        .map(|text| -> Box<dyn age::Identity> {
            if text.starts_with("AGE-SECRET-KEY-PQ-") {
                Box::new(text.parse::<HybridIdentity>().map_err(|error| error.to_string()).unwrap())
            } else {
                Box::new(text.parse::<age::x25519::Identity>().unwrap())
            }
        })
        .collect();
    let mut opened = Vec::new();
    Decryptor::new_buffered(ArmoredReader::new(&vector.file[..]))?
        .decrypt(identities.iter().map(|identity| &**identity))?
        .read_to_end(&mut opened)
        .map_err(DecryptError::Io)?;
    Ok(opened)
}

#[test]
fn all_official_age_vectors() {
    let vectors = vectors();
    let mut failures = Vec::new();
    for (name, vector) in &vectors {
        match (vector.expected, open(vector)) {
            (Expected::Success, Ok(opened)) => {
                let hash: String = digest::digest(&digest::SHA256, &opened)
                    .as_ref()
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                if Some(hash) != vector.payload {
                    failures.push(format!("{name}: other bytes"));
                }
            }
            (expected, Ok(_)) => failures.push(format!("{name}: opened, expected {expected:?}")),
            (Expected::Success, Err(error)) => failures.push(format!("{name}: {error:?}")),
            (_, Err(_)) => {}
        }
    }
    for failure in &failures {
        println!("{failure}");
    }
    println!("{} of {}", failures.len(), vectors.len());
}
