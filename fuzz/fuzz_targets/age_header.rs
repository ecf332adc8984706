//! Headers of the age format: as they come, as somebody changed them, and as a sealer of ill will makes them.
#![no_main]

use age_core::primitives::hkdf;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use libfuzzer_sys::fuzz_target;
use privyseal_envelope::SealedValue;
use privyseal_envelope::age::{
    File, FileKey, Identity, Kind, MAX_RECIPIENT_STANZAS, OpenError, Opened, RecipientStanza, Rewrap,
    RewrapError,
};
use privyseal_fuzz::{AGE_FILE_KEY, AGE_VALUE, age_binding, age_identities};
use std::sync::LazyLock;

fuzz_target!(|data: &[u8]| {
    as_it_comes(data);
    let begun = [FIRST_LINE, data].concat();
    as_it_comes(&begun);
    changed(data);
    // Whoever can seal can put any stanza there and say that it belongs to it.
    with_its_mac([begun.as_slice(), b"---"].concat());
});

const FIRST_LINE: &[u8] = b"age-encryption.org/v1\n";
/// More stanzas than this are never looked at: a hint for each recipient, and 16 others.
const MAX_STANZAS: usize = 2 * MAX_RECIPIENT_STANZAS + 16;

/// A value that is sealed to the X25519 identity, and its header.
static EXAMPLE: LazyLock<(Vec<u8>, usize)> = LazyLock::new(|| {
    let bytes = BASE64_STANDARD.decode(AGE_VALUE.trim()).expect("the example is base64");
    let mac = bytes.windows(5).position(|bytes| bytes == b"\n--- ").expect("a MAC");
    (bytes, mac + 5 + 43 + 1)
});

static FILE_KEY: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let digits = |at: usize| u8::from_str_radix(&AGE_FILE_KEY[at..at + 2], 16).expect("hexadecimal");
    (0..16).map(|index| digits(2 * index)).collect()
});

fn value(bytes: &[u8]) -> Option<SealedValue> {
    SealedValue::from_base64(&BASE64_STANDARD.encode(bytes)).ok()
}

/// Ours and the age crate's reader take the same headers, but for reasons that are stated.
fn as_it_comes(bytes: &[u8]) {
    let Some(value) = value(bytes) else { return };
    let theirs = age::Decryptor::new_buffered(bytes).map(|_| ());
    let file = match File::parse(&value) {
        Ok(file) => file,
        Err(error) => {
            let _ = error.to_string();
            let header = Lines::of(bytes);
            match (error, theirs) {
                (_, Err(_)) | (OpenError::OtherFormat, Ok(())) => {}
                (OpenError::TooLarge, Ok(())) => assert!(header.is_too_large(), "it is within the bounds"),
                (OpenError::Header, Ok(())) => {
                    assert!(header.is_of_the_older_form(), "age takes it as it should be")
                }
                (error, Ok(())) => panic!("age takes it, and here it is {error:?}"),
            }
            return;
        }
    };
    let header = Lines::of(bytes);
    assert!(!header.is_too_large());
    if theirs.is_err() {
        assert!(header.has_a_passphrase_beside_others() || header.mac().is_none() || header.payload < 16);
    }
    let mut recipients: Vec<_> = file.recipients().collect();
    assert!(recipients.len() <= MAX_RECIPIENT_STANZAS && recipients.is_sorted_by(|a, b| a.at < b.at));
    for place in &recipients {
        let vault = file.vault_stanza(place.at);
        match place.kind {
            Kind::KeyVault => assert_eq!(place.claimed, vault.map(|stanza| stanza.key.key_id())),
            Kind::Hybrid | Kind::X25519 => assert!(vault.is_none(), "one stanza is of one kind"),
        }
    }
    recipients.dedup_by_key(|place| place.at);
    for identity in age_identities() {
        let unwrapped = file.unwrap(identity).ok().flatten();
        let Some(unwrapped) = unwrapped else { continue };
        assert!(recipients.iter().any(|place| place.at == unwrapped.at && place.kind == identity.kind()));
    }
    assert_eq!(file.exchanged(&file), Some(Vec::new()));
}

/// No change of a sealed value opens, wherever it is: `data` is an offset, how much goes, and what comes there.
fn changed(data: &[u8]) {
    let [high, low, gone, come @ ..] = data else { return };
    let (original, _) = &*EXAMPLE;
    let at = usize::from(u16::from_be_bytes([*high, *low])).min(original.len());
    let end = (at + usize::from(*gone)).min(original.len());
    let bytes = [&original[..at], come, &original[end..]].concat();
    let Some(value) = value(&bytes) else { return };
    let (binding, item) = age_binding();
    let Ok(file) = File::parse(&value) else { return };
    let with = |key: &FileKey| file.open(key, &binding, &item).is_ok();
    let with_identity = |identity: &Identity| {
        file.unwrap(identity).ok().flatten().is_some_and(|unwrapped| with(&unwrapped.file_key))
    };
    let opens = age_identities().iter().any(with_identity) || with(&key());
    assert_eq!(opens, bytes == *original, "a changed value opens");
}

fn key() -> FileKey {
    FileKey::from_bytes(&FILE_KEY).expect("16 bytes")
}

/// A header that the file key vouches for, before the payload of the example.
fn with_its_mac(header: Vec<u8>) {
    let mac_key = hmac::Key::new(hmac::HMAC_SHA256, &hkdf(&[], b"header", &FILE_KEY));
    let mac = BASE64_STANDARD_NO_PAD.encode(hmac::sign(&mac_key, &header));
    let (original, payload_at) = &*EXAMPLE;
    let bytes = [header.as_slice(), b" ", mac.as_bytes(), b"\n", &original[*payload_at..]].concat();
    let Some(value) = value(&bytes) else { return };
    let Ok(file) = File::parse(&value) else { return };
    let (key, (binding, item)) = (key(), age_binding());
    // What `data` holds may end the header before, and then the MAC is another's.
    let Ok(opened) = file.open(&key, &binding, &item) else { return };
    assert_eq!(opened.plaintext.expose(), b"hunter2");
    // A passphrase stands alone in a file, and no key of ours opens it then: only the file key that is known here.
    if Lines::of(&bytes).tags().any(|tag| tag == b"scrypt") {
        return;
    }
    rewrap(&file, &opened, &value);
}

/// Nobody opens who is not meant to, whatever stood there before.
fn rewrap(file: &File<'_>, opened: &Opened<'_>, value: &SealedValue) {
    let before: Vec<_> = file.recipients().collect();
    match opened.rewrap(&Rewrap::default()) {
        Ok(same) => assert!(same == *value, "changing nothing changes nothing"),
        Err(RewrapError::NobodyLeft) => assert!(before.is_empty(), "somebody is left"),
        Err(RewrapError::Mixed) => assert!(mixed(&before), "all are of a kind"),
        Err(error) => panic!("{error}"),
    }
    for (index, new) in age_identities().iter().enumerate() {
        let (recipient, other) = (new.recipient(), &age_identities()[1 - index]);
        // All of them go, and the new one comes: in the place of the first, or at the end.
        let replaced = before.first().map(|first| Rewrap {
            replace: vec![(*first, &recipient)],
            drop: before[1..].to_vec(),
            add: Vec::new(),
        });
        let added = Rewrap { replace: Vec::new(), drop: before.clone(), add: vec![&recipient] };
        for change in replaced.iter().chain([&added]) {
            let after = match opened.rewrap(change) {
                Err(RewrapError::TooLarge) => continue,
                after => after.expect("one recipient is enough"),
            };
            let after = File::parse(&after).expect("what is written is read");
            assert_eq!(after.recipients().map(|place| place.kind).collect::<Vec<_>>(), [new.kind()]);
            assert_eq!(opens(&after, new).as_deref(), Some(&b"hunter2"[..]));
            assert!(opens(&after, other).is_none(), "nobody else opens it");
        }
        // One more comes: the others stay as they are.
        let more = opened.rewrap(&Rewrap { add: vec![&recipient], ..Rewrap::default() });
        let post_quantum =
            |places: &[RecipientStanza]| places.iter().all(|place| place.kind.is_post_quantum());
        match more {
            Ok(after) => {
                let after = File::parse(&after).expect("what is written is read");
                let places: Vec<_> = after.recipients().collect();
                assert_eq!(places[..before.len()], before);
                assert_eq!(places.len(), before.len() + 1);
            }
            Err(RewrapError::Mixed) => {
                assert!(
                    !before.is_empty() && post_quantum(&before) != new.kind().is_post_quantum()
                        || mixed(&before)
                );
            }
            Err(RewrapError::TooLarge) => {}
            Err(RewrapError::TooMany { count }) => assert_eq!(count, MAX_RECIPIENT_STANZAS + 1),
            Err(error) => panic!("{error}"),
        }
    }
}

fn mixed(places: &[RecipientStanza]) -> bool {
    let post_quantum = places.iter().filter(|place| place.kind.is_post_quantum()).count();
    post_quantum > 0 && post_quantum < places.len()
}

fn opens(file: &File<'_>, identity: &Identity) -> Option<Vec<u8>> {
    let (binding, item) = age_binding();
    let unwrapped = file.unwrap(identity).ok()??;
    let opened = file.open(&unwrapped.file_key, &binding, &item).ok()?;
    Some(opened.plaintext.expose().to_vec())
}

/// The lines of a header, read as plainly as can be.
struct Lines<'a> {
    stanzas: Vec<&'a [u8]>,
    older_form: bool,
    mac: &'a [u8],
    header: usize,
    payload: usize,
}

impl<'a> Lines<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        let mut this =
            Self { stanzas: Vec::new(), older_form: false, mac: b"", header: bytes.len(), payload: 0 };
        let mut length = 0;
        let mut body_of: Option<usize> = None;
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            length += line.len();
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            let begins = text.starts_with(b"-> ");
            if begins || text.starts_with(b"---") {
                // The last line of a body is a short one, be it empty.
                this.older_form |= body_of.is_some_and(|last| last == 64 || last == usize::MAX);
            }
            if begins {
                this.stanzas.push(&text[3..]);
                body_of = Some(usize::MAX);
            } else if let Some(mac) = text.strip_prefix(b"---") {
                (this.mac, this.header, this.payload) = (mac, length, bytes.len() - length);
                break;
            } else {
                body_of = body_of.map(|_| text.len());
            }
        }
        this
    }

    fn tags(&self) -> impl Iterator<Item = &[u8]> {
        self.stanzas.iter().filter_map(|stanza| stanza.split(|&byte| byte == b' ').next())
    }

    fn is_too_large(&self) -> bool {
        let known = [&b"X25519"[..], b"mlkem768x25519", b"privyseal.dev/akv"];
        self.header > 64 * 1024
            || self.stanzas.len() > MAX_STANZAS
            || self.tags().filter(|tag| known.contains(tag)).count() > MAX_RECIPIENT_STANZAS
    }

    /// The age crate takes it, and the specification does not: a body without its short last line.
    fn is_of_the_older_form(&self) -> bool {
        self.older_form
    }

    fn has_a_passphrase_beside_others(&self) -> bool {
        self.stanzas.len() > 1 && self.tags().any(|tag| tag == b"scrypt")
    }

    /// The bytes of the MAC, if its text is canonical.
    fn mac(&self) -> Option<Vec<u8>> {
        let mac = BASE64_STANDARD_NO_PAD.decode(self.mac.strip_prefix(b" ")?).ok()?;
        (mac.len() == 32).then_some(mac)
    }
}
