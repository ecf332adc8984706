//! The recipient `mlkem768x25519` against the library that Go's age takes it from, where whole files do not reach: keys
//! and shares that no program would make.

use super::peers::{Answerer, below, bytes, random};
use age::secrecy::ExposeSecret as _;
use age::{Identity as _, Recipient as _};
use age_core::format::{FileKey, Stanza};
use age_core::primitives::{bech32_decode, bech32_encode};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD as BASE64, BASE64_STANDARD_NO_PAD as NO_PADDING};
use bech32::Hrp;
use privyseal_envelope::age::hybrid::{HybridIdentity, HybridRecipient};
use privyseal_tests::tools;
use serde_json::json;
use std::process::Command;

const RECIPIENT: &str = "age1pq";
const IDENTITY: &str = "AGE-SECRET-KEY-PQ-";
const TAG: &str = "mlkem768x25519";
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";
/// Lengths in bytes.
const SEED: usize = 32;
const ML_KEM_PUBLIC: usize = 1184;
const ML_KEM_SHARE: usize = 1088;
const X25519: usize = 32;
/// How often chance decides.
const ROUNDS: usize = 40;

/// What becomes of a stanza.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Opened,
    /// Fatal: nobody's share looks so.
    Malformed,
    /// For another key, or changed: nobody can tell.
    OtherKey,
}

struct Oracle(Answerer);

impl Oracle {
    fn new() -> Self {
        Self(Answerer::start(Command::new(tools::hpke_oracle())))
    }

    fn public(&mut self, seed: &[u8]) -> Vec<u8> {
        let answer = self.0.ask(&json!({"ask": "public", "seed": BASE64.encode(seed)})).unwrap();
        bytes(&answer, "public")
    }

    fn seal(&mut self, public: &[u8], file_key: &[u8]) -> Result<Stanza, String> {
        let [public, info, text] = [public, INFO, file_key].map(|bytes| BASE64.encode(bytes));
        let answer = self.0.ask(&json!({"ask": "seal", "public": public, "info": info, "text": text}))?;
        Ok(stanza(&bytes(&answer, "enc"), bytes(&answer, "sealed")))
    }

    fn open(&mut self, seed: &[u8], share: &[u8], body: &[u8]) -> (Outcome, Vec<u8>) {
        let [seed, enc, info, sealed] = [seed, share, INFO, body].map(|bytes| BASE64.encode(bytes));
        let question = json!({"ask": "open", "seed": seed, "enc": enc, "info": info, "sealed": sealed});
        match self.0.ask(&question) {
            Ok(answer) => (Outcome::Opened, bytes(&answer, "text")),
            Err(why) if why.starts_with("share: ") => (Outcome::Malformed, Vec::new()),
            Err(why) if why.starts_with("text: ") => (Outcome::OtherKey, Vec::new()),
            Err(why) => panic!("{why}"),
        }
    }
}

fn stanza(share: &[u8], body: Vec<u8>) -> Stanza {
    Stanza { tag: TAG.to_owned(), args: vec![NO_PADDING.encode(share)], body }
}

fn share(stanza: &Stanza) -> Vec<u8> {
    NO_PADDING.decode(&stanza.args[0]).unwrap()
}

/// As we open it.
fn open(identity: &HybridIdentity, stanza: &Stanza) -> (Outcome, Vec<u8>) {
    match identity.unwrap_stanza(stanza) {
        Some(Ok(file_key)) => (Outcome::Opened, file_key.expose_secret().to_vec()),
        Some(Err(_)) => (Outcome::Malformed, Vec::new()),
        None => (Outcome::OtherKey, Vec::new()),
    }
}

fn identity(seed: &[u8]) -> HybridIdentity {
    bech32_encode(Hrp::parse(IDENTITY).unwrap(), seed).to_uppercase().parse().ok().unwrap()
}

fn recipient(public: &[u8]) -> Option<HybridRecipient> {
    bech32_encode(Hrp::parse(RECIPIENT).unwrap(), public).parse().ok()
}

fn public(recipient: &HybridRecipient) -> Vec<u8> {
    bech32_decode(&recipient.to_string(), |_| (), |_| Ok(()), |_, bytes| Ok(bytes.collect())).unwrap()
}

fn wrap(recipient: &HybridRecipient, file_key: &[u8]) -> Stanza {
    let file_key = FileKey::init_with_mut(|bytes| bytes.copy_from_slice(file_key));
    let (mut stanzas, _) = recipient.wrap_file_key(&file_key).unwrap();
    assert_eq!(stanzas.len(), 1);
    stanzas.remove(0)
}

#[test]
fn seeds_make_the_same_keys_and_shares_go_both_ways() {
    let mut oracle = Oracle::new();
    for _ in 0..ROUNDS {
        let (seed, file_key) = (random(SEED), random(16));
        let ours = identity(&seed);
        let key = oracle.public(&seed);
        assert_eq!(public(&ours.recipient()), key);

        let sealed = wrap(&ours.recipient(), &file_key);
        let opened = oracle.open(&seed, &share(&sealed), &sealed.body);
        assert_eq!(opened, (Outcome::Opened, file_key.clone()));
        let sealed = oracle.seal(&key, &file_key).unwrap();
        assert_eq!(open(&ours, &sealed), (Outcome::Opened, file_key));

        let stranger = random(SEED);
        assert_eq!(open(&identity(&stranger), &sealed).0, Outcome::OtherKey);
        assert_eq!(oracle.open(&stranger, &share(&sealed), &sealed.body).0, Outcome::OtherKey);
    }
}

/// Of ML-KEM's part only a number below 3329 is one (FIPS 203, section 7.2), of X25519's only the low orders are refused.
#[test]
fn the_same_public_keys_are_refused() {
    let mut oracle = Oracle::new();
    let good = oracle.public(&random(SEED));
    let mut keys = vec![(good.clone(), true)];
    for number in [0, 3328, 3329, 3330, 4095] {
        for _ in 0..ROUNDS / 4 {
            let mut key = good.clone();
            set_number(&mut key, below(ML_KEM_NUMBERS), number);
            keys.push((key, number < 3329));
        }
    }
    for point in low_order() {
        keys.push(([&good[..ML_KEM_PUBLIC], &point].concat(), false));
    }
    for point in peculiar() {
        keys.push(([&good[..ML_KEM_PUBLIC], &point].concat(), true));
    }
    for len in [0, 1, 32, ML_KEM_PUBLIC, good.len() - 1] {
        keys.push((good[..len].to_vec(), false));
    }
    keys.push(([&good[..], &[0]].concat(), false));
    for (key, usable) in keys {
        // Go's finds a low order only when it seals, we find it before.
        let theirs = oracle.seal(&key, &[7; 16]);
        assert_eq!(theirs.is_ok(), usable, "{theirs:?} {key:?}");
        assert_eq!(recipient(&key).is_some(), usable, "{key:?}");
    }
}

#[test]
fn changed_shares_end_alike() {
    let mut oracle = Oracle::new();
    let mut seen = Vec::new();
    for round in 0..ROUNDS {
        let (seed, file_key) = (random(SEED), random(16));
        let ours = identity(&seed);
        let sealed = wrap(&ours.recipient(), &file_key);
        let whole = share(&sealed);
        let (ml_kem, x25519) = whole.split_at(ML_KEM_SHARE);
        let mut changed: Vec<Vec<u8>> = vec![whole.clone()];
        for bit in [below(8 * ML_KEM_SHARE), 8 * ML_KEM_SHARE + below(8 * X25519), 8 * whole.len() - 1] {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            changed.push(flipped);
        }
        changed.push([ml_kem, &random(X25519)].concat());
        changed.push([&random(ML_KEM_SHARE), x25519].concat());
        let points: Vec<[u8; 32]> = low_order().into_iter().chain(peculiar()).collect();
        changed.push([ml_kem, &points[round % points.len()]].concat());
        changed.push(whole[..whole.len() - 1].to_vec());
        changed.push([&whole[..], &[0]].concat());
        changed.push(whole[..X25519].to_vec());
        for share in changed {
            let theirs = oracle.open(&seed, &share, &sealed.body);
            let here = open(&ours, &stanza(&share, sealed.body.clone()));
            assert_eq!(here, theirs, "seed {seed:?}, share {share:?}");
            seen.push(here.0);
        }
    }
    for outcome in [Outcome::Opened, Outcome::Malformed, Outcome::OtherKey] {
        assert!(seen.contains(&outcome), "{outcome:?} never came about");
    }
}

/// Numbers of 12 bits in ML-KEM-768's public key, two of them in three bytes (FIPS 203, algorithm 5); 32 bytes follow.
const ML_KEM_NUMBERS: usize = (ML_KEM_PUBLIC - 32) * 8 / 12;

fn set_number(key: &mut [u8], at: usize, number: u16) {
    let [low, high] = number.to_le_bytes();
    let three = &mut key[at / 2 * 3..][..3];
    if at.is_multiple_of(2) {
        three[0] = low;
        three[1] = (three[1] & 0xf0) | high;
    } else {
        three[1] = (three[1] & 0x0f) | (low << 4);
        three[2] = (low >> 4) | (high << 4);
    }
}

/// All points of Curve25519 and its twist by which every private key gives zero, in each of their encodings.
fn low_order() -> Vec<[u8; 32]> {
    let of_order_8 = [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ];
    let of_order_8 =
        of_order_8.map(|hex| std::array::from_fn(|at| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap()));
    let canonical = [small(0), small(1), prime_and(-1), prime_and(0), prime_and(1)];
    let canonical: Vec<[u8; 32]> = canonical.into_iter().chain(of_order_8).collect();
    canonical.iter().copied().chain(canonical.iter().map(with_top_bit)).collect()
}

/// Encodings that RFC 7748 has everybody take: beyond the prime, and with the bit that does not count.
fn peculiar() -> Vec<[u8; 32]> {
    vec![prime_and(2), prime_and(18), with_top_bit(&small(9)), with_top_bit(&prime_and(9)), small(9)]
}

fn small(number: u8) -> [u8; 32] {
    let mut point = [0; 32];
    point[0] = number;
    point
}

/// 2^255 - 19 and a little.
fn prime_and(more: i8) -> [u8; 32] {
    let mut point = [0xff; 32];
    point[0] = 0xed_u8.checked_add_signed(more).unwrap();
    point[31] = 0x7f;
    point
}

fn with_top_bit(point: &[u8; 32]) -> [u8; 32] {
    let mut point = *point;
    point[31] |= 0x80;
    point
}
