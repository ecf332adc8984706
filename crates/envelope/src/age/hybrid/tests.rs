//! Texts against Go's age, stanzas against the specification.

use super::kem::ENCAPSULATED_LEN;
use super::kem::tests::points_of_low_order;
use super::*;
use ::age::{Identity as _, Recipient as _};
use std::io::Read as _;

static_assertions::assert_not_impl_any!(HybridIdentity: fmt::Debug, fmt::Display, Clone, PartialEq);
static_assertions::assert_impl_all!(HybridIdentity: Send, Sync);

// A pair and a file that Go's age 1.3.2 has made.
const IDENTITY: &str = include_str!("../../../../../tests/vectors/age/go/identity.txt");
const RECIPIENT: &str = include_str!("../../../../../tests/vectors/age/go/recipient.txt");
const FILE: &[u8] = include_bytes!("../../../../../tests/vectors/age/go/hunter2.age");

fn identity() -> HybridIdentity {
    IDENTITY.trim_end().parse().map_err(|error: HybridKeyError| error.to_string()).unwrap()
}

fn refused<T: FromStr<Err = HybridKeyError>>(text: &str) -> HybridKeyError {
    match text.parse::<T>() {
        Ok(_) => panic!("{text} was taken"),
        Err(error) => error,
    }
}

// === Texts ===

#[test]
fn texts_are_those_of_gos_age() {
    let recipient: HybridRecipient = RECIPIENT.trim_end().parse().unwrap();
    assert_eq!(recipient.to_string(), RECIPIENT.trim_end());
    assert_eq!(format!("{recipient:?}"), RECIPIENT.trim_end());
    assert_eq!(*identity().to_text(), IDENTITY.trim_end());
    assert_eq!(identity().recipient(), recipient);
    // Room for a line feed, so that a line of an identity file is made without a copy.
    let text = identity().to_text();
    assert_eq!(text.len(), IDENTITY_LEN);
    assert!(text.capacity() > IDENTITY_LEN);
}

#[test]
fn a_new_key_round_trips_through_both_texts() {
    let identity = HybridIdentity::generate().unwrap();
    let again: HybridIdentity = identity.to_text().parse().map_err(|_| "refused").unwrap();
    assert_eq!(*identity.to_text(), *again.to_text());
    assert_eq!(identity.recipient(), again.recipient());
    assert_eq!(identity.recipient().to_string().parse(), Ok(again.recipient()));
    assert_ne!(identity.recipient(), HybridIdentity::generate().unwrap().recipient());
}

#[test]
fn equal_recipients_have_equal_hashes() {
    let one: HybridRecipient = RECIPIENT.trim_end().parse().unwrap();
    let set =
        HashSet::from([one.clone(), identity().recipient(), HybridIdentity::generate().unwrap().recipient()]);
    assert_eq!(set.len(), 2);
    assert!(set.contains(&one));
}

#[test]
fn every_shorter_and_some_longer_texts_are_refused() {
    for text in [RECIPIENT.trim_end(), IDENTITY.trim_end()] {
        for end in 0..text.len() {
            refused::<HybridRecipient>(&text[..end]);
            refused::<HybridIdentity>(&text[..end]);
        }
    }
    for more in ["q", "Q", "\n", " ", "\0", "é"] {
        refused::<HybridRecipient>(&format!("{}{more}", RECIPIENT.trim_end()));
        refused::<HybridRecipient>(&format!("{more}{}", RECIPIENT.trim_end()));
        refused::<HybridIdentity>(&format!("{}{more}", IDENTITY.trim_end()));
        refused::<HybridIdentity>(&format!("{more}{}", IDENTITY.trim_end()));
    }
}

/// Bech32 finds every single wrong character (BIP 173: up to four within its length limit).
#[test]
fn every_changed_character_is_refused() {
    for at in 0..IDENTITY.trim_end().len() {
        let mut text = IDENTITY.trim_end().as_bytes().to_vec();
        text[at] = if text[at] == b'Q' { b'P' } else { b'Q' };
        refused::<HybridIdentity>(&String::from_utf8(text).unwrap());
    }
    for at in 0..RECIPIENT.trim_end().len() {
        let mut text = RECIPIENT.trim_end().as_bytes().to_vec();
        text[at] = if text[at] == b'q' { b'p' } else { b'q' };
        refused::<HybridRecipient>(&String::from_utf8(text).unwrap());
    }
}

/// As Go's age does: a recipient is lower case, an identity upper case, and no text is both.
#[test]
fn the_other_case_and_mixed_case_are_refused() {
    let (recipient, identity) = (RECIPIENT.trim_end(), IDENTITY.trim_end());
    assert_eq!(refused::<HybridRecipient>(&recipient.to_uppercase()), HybridKeyError::OtherKind);
    assert_eq!(refused::<HybridIdentity>(&identity.to_lowercase()), HybridKeyError::OtherKind);
    let mixed = format!("{}{}", &recipient[..100], recipient[100..].to_uppercase());
    assert_eq!(refused::<HybridRecipient>(&mixed), HybridKeyError::NotBech32);
    let mixed = format!("{}{}", &identity[..30], identity[30..].to_lowercase());
    assert_eq!(refused::<HybridIdentity>(&mixed), HybridKeyError::NotBech32);
    let mixed = format!("{}{}", identity[..19].to_lowercase(), &identity[19..]);
    assert_eq!(refused::<HybridIdentity>(&mixed), HybridKeyError::NotBech32);
}

fn text(prefix: &str, bytes: &[u8]) -> String {
    let mut text = String::new();
    encode(&mut text, prefix, bytes).unwrap();
    if prefix == IDENTITY_PREFIX { text.to_uppercase() } else { text }
}

#[test]
fn other_prefixes_and_lengths_are_refused() {
    let (public, seed) = (identity().recipient().0.as_bytes().to_vec(), [7; SEED_LEN]);
    assert!(text(RECIPIENT_PREFIX, &public).parse::<HybridRecipient>().is_ok());
    assert!(text(IDENTITY_PREFIX, &seed).parse::<HybridIdentity>().is_ok());
    for prefix in ["age", "age1tagpq", "age1p", "age1pq1", "agepq"] {
        let error = refused::<HybridRecipient>(&text(prefix, &public));
        assert_eq!(error, HybridKeyError::OtherKind, "{prefix}");
    }
    for prefix in ["AGE-SECRET-KEY-", "AGE-PLUGIN-PQ-", "AGE-SECRET-KEY-PQ"] {
        let error = refused::<HybridIdentity>(&text(prefix, &seed).to_uppercase());
        assert_eq!(error, HybridKeyError::OtherKind, "{prefix}");
    }
    refused::<HybridIdentity>(RECIPIENT.trim_end());
    refused::<HybridRecipient>(IDENTITY.trim_end());

    let longer = [&public[..], &[0]].concat();
    for bytes in [&[][..], &public[..32], &public[..PUBLIC_LEN - 1], &longer] {
        assert_eq!(refused::<HybridRecipient>(&text(RECIPIENT_PREFIX, bytes)), HybridKeyError::Length);
    }
    for bytes in [&[][..], &[7; SEED_LEN - 1], &[7; SEED_LEN + 1], &[7; 64]] {
        assert_eq!(refused::<HybridIdentity>(&text(IDENTITY_PREFIX, bytes)), HybridKeyError::Length);
    }
}

/// Bits behind the last byte must be zero (BIP 173), or one key would have several texts.
#[test]
fn bits_behind_the_last_byte_are_refused() {
    // 256 bits are 51 groups of five and one bit: four are left over. 9728 bits leave two.
    let padded = |bits| with_padding(IDENTITY_PREFIX, &[7; SEED_LEN], bits).to_uppercase();
    assert!(padded(0).parse::<HybridIdentity>().is_ok());
    for bits in 1..16 {
        assert_eq!(refused::<HybridIdentity>(&padded(bits)), HybridKeyError::NotBech32, "{bits}");
    }
    let recipient = identity().recipient();
    let padded = |bits| with_padding(RECIPIENT_PREFIX, recipient.0.as_bytes(), bits);
    assert_eq!(padded(0).parse().as_ref(), Ok(&recipient));
    for bits in 1..4 {
        assert_eq!(refused::<HybridRecipient>(&padded(bits)), HybridKeyError::NotBech32, "{bits}");
    }
}

/// Bech32 with these bits set behind the last byte, and a checksum that fits.
fn with_padding(prefix: &str, bytes: &[u8], bits: u8) -> String {
    use bech32::primitives::iter::{ByteIterExt as _, Fe32IterExt as _};
    use bech32::{Bech32, Fe32};

    let mut groups: Vec<Fe32> = bytes.iter().copied().bytes_to_fes().collect();
    let last = groups.last_mut().unwrap();
    *last = Fe32::try_from(last.to_u8() | bits).unwrap();
    groups.into_iter().with_checksum::<Bech32>(&Hrp::parse_unchecked(prefix)).chars().collect()
}

#[test]
fn a_recipient_that_is_no_public_key_is_refused() {
    let good = *identity().recipient().0.as_bytes();
    let mut not_reduced = good;
    not_reduced[..2].copy_from_slice(&[0xff, 0xff]);
    assert_eq!(refused::<HybridRecipient>(&text(RECIPIENT_PREFIX, &not_reduced)), HybridKeyError::Rejected);
    for point in points_of_low_order() {
        let mut bad = good;
        bad[PUBLIC_LEN - 32..].copy_from_slice(&point);
        assert_eq!(refused::<HybridRecipient>(&text(RECIPIENT_PREFIX, &bad)), HybridKeyError::Rejected);
    }
}

#[test]
fn no_error_holds_what_was_given() {
    let identity = IDENTITY.trim_end();
    for bad in [
        &identity[..70],
        &identity.to_lowercase(),
        &identity.replace('H', "J"),
        &text(IDENTITY_PREFIX, &[7; 9]),
    ] {
        for shown in [refused::<HybridIdentity>(bad), refused::<HybridRecipient>(bad)]
            .map(|error| format!("{error} {error:?}").to_lowercase())
        {
            // Of the text, nothing but the prefix that all identities share.
            for at in 0..bad.len() - 6 {
                let piece = &bad.to_lowercase()[at..at + 6];
                assert!(!shown.contains(piece) || "age-secret-key-pq-1".contains(piece), "{shown}");
            }
        }
    }
}

// === Files and stanzas ===

/// The age crate's reader around our identity.
fn open(file: &[u8], identity: &HybridIdentity) -> Result<Vec<u8>, DecryptError> {
    let mut opened = Vec::new();
    ::age::Decryptor::new(file)?
        .decrypt(std::iter::once(identity as &dyn ::age::Identity))?
        .read_to_end(&mut opened)
        .map_err(DecryptError::Io)?;
    Ok(opened)
}

#[test]
fn a_file_of_gos_age_opens() {
    assert_eq!(open(FILE, &identity()).unwrap(), b"hunter2");
    let other = HybridIdentity::generate().unwrap();
    assert!(matches!(open(FILE, &other), Err(DecryptError::NoMatchingKeys)));
}

const FILE_KEY: [u8; 16] = *b"YELLOW SUBMARINE";

fn file_key() -> FileKey {
    FileKey::new(Box::new(FILE_KEY))
}

fn stanza() -> Stanza {
    let (mut stanzas, _) = identity().recipient().wrap_file_key(&file_key()).unwrap();
    assert_eq!(stanzas.len(), 1);
    stanzas.remove(0)
}

#[test]
fn a_stanza_is_as_the_specification_has_it() {
    let (stanzas, labels) = identity().recipient().wrap_file_key(&file_key()).unwrap();
    assert_eq!(labels, HashSet::from(["postquantum".to_owned()]));
    let [stanza] = &stanzas[..] else { panic!("{} stanzas", stanzas.len()) };
    assert_eq!(stanza.tag, "mlkem768x25519");
    let [argument] = &stanza.args[..] else { panic!("{} arguments", stanza.args.len()) };
    assert_eq!(STANDARD_NO_PAD.decode(argument).unwrap().len(), 1120);
    assert_eq!(stanza.body.len(), 32);
    let opened = identity().unwrap_stanza(stanza).unwrap().unwrap();
    assert_eq!(opened.expose_secret(), &FILE_KEY);
    // Fresh each time.
    assert_ne!(self::stanza(), *stanza);
}

#[test]
fn age_refuses_to_mix_it_with_a_weaker_recipient() {
    let (strong, weak) = (identity().recipient(), ::age::x25519::Identity::generate().to_public());
    let mixed: [&dyn ::age::Recipient; 2] = [&strong, &weak];
    let refused = ::age::Encryptor::with_recipients(mixed.into_iter());
    assert!(matches!(refused, Err(EncryptError::IncompatibleRecipients { .. })));
}

#[test]
fn another_key_or_a_changed_stanza_is_no_match() {
    assert!(HybridIdentity::generate().unwrap().unwrap_stanza(&stanza()).is_none());
    for at in [0, 15, 16, 31] {
        let mut changed = stanza();
        changed.body[at] ^= 1;
        assert!(identity().unwrap_stanza(&changed).is_none());
    }
    // In the ML-KEM part and in the X25519 part.
    for at in [0, 1087, 1088, 1119] {
        let mut changed = stanza();
        let mut encapsulated = STANDARD_NO_PAD.decode(&changed.args[0]).unwrap();
        encapsulated[at] ^= 1;
        changed.args[0] = STANDARD_NO_PAD.encode(encapsulated);
        assert!(identity().unwrap_stanza(&changed).is_none());
    }
}

#[test]
fn stanzas_of_other_kinds_are_ignored() {
    for tag in ["X25519", "MLKEM768X25519", "mlkem768x25519 ", "mlkem768p256tag", "scrypt", ""] {
        assert!(identity().unwrap_stanza(&Stanza { tag: tag.to_owned(), ..stanza() }).is_none(), "{tag}");
    }
}

#[test]
fn malformed_stanzas_are_fatal() {
    let is_fatal = |change: &dyn Fn(&mut Stanza)| {
        let mut stanza = stanza();
        change(&mut stanza);
        matches!(identity().unwrap_stanza(&stanza), Some(Err(DecryptError::InvalidHeader)))
    };
    assert!(!is_fatal(&|_| {}));
    assert!(is_fatal(&|stanza| stanza.args.clear()));
    assert!(is_fatal(&|stanza| stanza.args.push("1234".to_owned())));
    assert!(is_fatal(&|stanza| stanza.args[0].push('=')));
    assert!(is_fatal(&|stanza| stanza.args[0].push('A')));
    assert!(is_fatal(&|stanza| stanza.args[0].replace_range(..1, "-")));
    for len in [0, 32, 1088, 1119, 1121] {
        assert!(is_fatal(&|stanza| stanza.args[0] = STANDARD_NO_PAD.encode(vec![1; len])), "{len}");
    }
    // 1120 bytes are 1493 characters and two bits: four bits are left over.
    assert!(is_fatal(&|stanza| {
        let last = stanza.args[0].pop().unwrap();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let value = alphabet.find(last).unwrap();
        assert_eq!(value % 16, 0);
        stanza.args[0].push(alphabet.as_bytes()[value + 1] as char);
    }));
    for len in [0, 16, 31, 33, 48] {
        assert!(is_fatal(&|stanza| stanza.body.resize(len, 0)), "{len}");
    }
    for point in points_of_low_order() {
        assert!(is_fatal(&|stanza| {
            let mut encapsulated = STANDARD_NO_PAD.decode(&stanza.args[0]).unwrap();
            encapsulated[ENCAPSULATED_LEN - 32..].copy_from_slice(&point);
            stanza.args[0] = STANDARD_NO_PAD.encode(encapsulated);
        }));
    }
}
