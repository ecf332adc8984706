//! Sealing, opening and other recipients, and what must not open.

use super::*;
use crate::age::MAX_HEADER_BYTES;
use crate::rsa::{KeySize, OpeningKey};
use crate::{Name, Namespace};

static_assertions::assert_not_impl_any!(FileKey: std::fmt::Debug, std::fmt::Display);

fn strict(namespace: &str, name: &str) -> Binding {
    Binding::Strict { namespace: Namespace::parse(namespace).unwrap(), name: Name::parse(name).unwrap() }
}

fn item(text: &str) -> Item {
    Item::parse(text).unwrap()
}

fn recipients<const N: usize>(keys: [&Identity; N]) -> Recipients {
    Recipients::new(keys.map(Identity::recipient)).unwrap()
}

fn open(value: &SealedValue, key: &Identity, binding: &Binding, item: &Item) -> Result<Plaintext, OpenError> {
    let file = File::parse(value)?;
    let unwrapped = file.unwrap(key)?.ok_or(OpenError::NoMatch)?;
    let opened = file.open(&unwrapped.file_key, binding, item)?;
    Ok(opened.plaintext)
}

fn both() -> [[Identity; 3]; 2] {
    [
        std::array::from_fn(|_| Identity::generate_hybrid().unwrap()),
        std::array::from_fn(|_| Identity::generate_x25519()),
    ]
}

#[test]
fn the_size_tells_how_long_the_payload_is() {
    let [_, [key, ..]] = both();
    for len in [0, 1, 65_535, 65_536, 65_537, 200_000] {
        let file = encrypt(&vec![b'x'; len], &recipients([&key])).unwrap();
        let value = SealedValue::from_bytes(file.clone());
        let parsed = File::parse(&value).unwrap();
        assert_eq!(parsed.payload_len(), Some(len));
        let cut = SealedValue::from_bytes(file[..parsed.header.len() + NONCE_LEN + TAG_LEN - 1].to_vec());
        assert_eq!(File::parse(&cut).unwrap().payload_len(), None);
    }
}

#[test]
fn each_recipient_opens_and_nobody_else() {
    for [a, b, stranger] in both() {
        let binding = strict("team-a", "db");
        let value = seal(b"hunter2", &recipients([&a, &b]), &binding, &item("password")).unwrap();
        assert_eq!(value.format(), Format::Age);
        for key in [&a, &b] {
            assert_eq!(open(&value, key, &binding, &item("password")).ok().unwrap().expose(), b"hunter2");
        }
        assert_eq!(open(&value, &stranger, &binding, &item("password")).err(), Some(OpenError::NoMatch));
        let said: Vec<_> =
            File::parse(&value).unwrap().recipients().map(|recipient| recipient.claimed).collect();
        assert_eq!(said, [&a, &b].map(|key| Some(key.recipient().fingerprint().key_id())));

        let quiet = recipients([&a, &b]).without_hints();
        let value = seal(b"hunter2", &quiet, &binding, &item("password")).unwrap();
        assert!(File::parse(&value).unwrap().recipients().all(|recipient| recipient.claimed.is_none()));
        assert!(open(&value, &b, &binding, &item("password")).is_ok());
    }
}

#[test]
fn what_was_exchanged_is_told_and_nothing_else_may_differ() {
    for [a, b, c] in both() {
        let binding = strict("team-a", "db");
        for hints in [true, false] {
            let of = recipients([&a, &b]);
            let of = if hints { of } else { of.without_hints() };
            let value = seal(b"v", &of, &binding, &item("x")).unwrap();
            let file = File::parse(&value).unwrap();
            let places: Vec<_> = file.recipients().collect();
            let key = file.unwrap(&a).unwrap().unwrap().file_key;
            let opened = file.open(&key, &binding, &item("x")).ok().unwrap();
            let new = c.recipient();
            let other = |change: Rewrap<'_>| opened.rewrap(&change).unwrap();

            assert_eq!(file.exchanged(&file), Some(Vec::new()));
            let replaced = other(Rewrap { replace: vec![(places[1], &new)], ..Rewrap::default() });
            let replaced = File::parse(&replaced).unwrap();
            let pairs = file.exchanged(&replaced).unwrap();
            let claimed = hints.then(|| new.fingerprint().key_id());
            assert_eq!(pairs, [(places[1], RecipientStanza { claimed, ..places[1] })]);

            let added = other(Rewrap { add: vec![&new], ..Rewrap::default() });
            assert_eq!(file.exchanged(&File::parse(&added).unwrap()), None);
            let dropped = other(Rewrap { drop: vec![places[1]], ..Rewrap::default() });
            assert_eq!(file.exchanged(&File::parse(&dropped).unwrap()), None);
            let again = seal(b"v", &of, &binding, &item("x")).unwrap();
            assert_eq!(file.exchanged(&File::parse(&again).unwrap()), None, "another payload");

            // One that says of a stanza that stayed that it is somebody else's.
            let ids = [&b, &c].map(|key| key.recipient().fingerprint().key_id().to_string());
            let text = String::from_utf8_lossy(value.as_bytes());
            if hints && text.contains(&ids[0]) {
                let mut bytes = value.as_bytes().to_vec();
                let at = bytes.windows(16).position(|window| window == ids[0].as_bytes()).unwrap();
                bytes[at..at + 16].copy_from_slice(ids[1].as_bytes());
                let lie = SealedValue::from_bytes(bytes);
                assert_eq!(file.exchanged(&File::parse(&lie).unwrap()), None);
            }
        }
    }
}

/// The item included, which the classic format does not bind.
#[test]
fn it_opens_for_its_own_object_and_item_only() {
    let [[key, ..], _] = both();
    let wide = |namespace| Binding::NamespaceWide { namespace: Namespace::parse(namespace).unwrap() };
    let bindings = [
        strict("team-a", "db"),
        strict("team-a", "other"),
        strict("team-b", "db"),
        wide("team-a"),
        wide("team-b"),
        Binding::ClusterWide,
    ];
    for sealed in &bindings {
        let value = seal(b"v", &recipients([&key]), sealed, &item("a")).unwrap();
        for opened in &bindings {
            for name in ["a", "b"] {
                let outcome = open(&value, &key, opened, &item(name));
                if (opened, name) == (sealed, "a") {
                    assert!(outcome.is_ok());
                } else {
                    let line = BindingLine { binding: sealed.clone(), item: item("a") };
                    let sealed_for = Some(Box::new(line));
                    assert_eq!(outcome.err(), Some(OpenError::OtherBinding { sealed_for }));
                }
            }
        }
    }
}

#[test]
fn what_was_not_sealed_by_us_is_not_told() {
    let [[key, ..], _] = both();
    let secret = "hunter2 \u{1b}[31m";
    for payload in [format!("{secret}\nrest"), secret.to_owned(), String::new()] {
        let file = encrypt(payload.as_bytes(), &recipients([&key])).unwrap();
        let error =
            open(&SealedValue::from_bytes(file), &key, &Binding::ClusterWide, &item("a")).err().unwrap();
        assert_eq!(error, OpenError::OtherBinding { sealed_for: None });
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

/// By somebody who may seal, and so can write any line.
#[test]
fn any_changed_byte_of_the_binding_line_is_another_binding() {
    let [_, [key, ..]] = both();
    let binding = strict("team-a", "db");
    let line = line(&binding, &item("password"));
    for at in 0..line.len() {
        for changed in [line.as_bytes()[at] ^ 1, line.as_bytes()[at] ^ 0x20, b'\n', 0, 0x1b] {
            let mut payload = line.clone().into_bytes();
            payload.extend_from_slice(b"hunter2");
            if std::mem::replace(&mut payload[at], changed) == changed {
                continue;
            }
            let value = SealedValue::from_bytes(encrypt(&payload, &recipients([&key])).unwrap());
            let error = open(&value, &key, &binding, &item("password")).err();
            let Some(OpenError::OtherBinding { sealed_for }) = error else { panic!("byte {at}: {error:?}") };
            // What is told is a line of its own, and never what came behind it.
            assert!(sealed_for.is_none_or(|line| !line.to_string().contains("hunter2")), "byte {at}");
        }
    }
    for cut in 0..line.len() {
        let value = SealedValue::from_bytes(encrypt(&line.as_bytes()[..cut], &recipients([&key])).unwrap());
        assert!(open(&value, &key, &binding, &item("password")).is_err(), "{cut} bytes");
    }
}

#[test]
fn any_changed_byte_is_noticed() {
    for [key, other, _] in both() {
        let value = seal(b"hunter2", &recipients([&key, &other]), &Binding::ClusterWide, &item("a")).unwrap();
        for at in 0..value.as_bytes().len() {
            // With a hybrid recipient there are some thousand bytes that are all of one kind.
            if key.kind() == Kind::Hybrid && at % 7 != 0 {
                continue;
            }
            let mut bytes = value.as_bytes().to_vec();
            bytes[at] ^= 1;
            let changed = SealedValue::from_bytes(bytes);
            assert!(open(&changed, &key, &Binding::ClusterWide, &item("a")).is_err(), "byte {at}");
        }
        for len in 0..value.as_bytes().len() {
            let cut = SealedValue::from_bytes(value.as_bytes()[..len].to_vec());
            assert!(open(&cut, &key, &Binding::ClusterWide, &item("a")).is_err(), "{len} bytes");
        }
    }
}

#[test]
fn a_file_key_from_elsewhere_opens_as_well_and_a_wrong_one_does_not() {
    let vault = OpeningKey::generate(KeySize::Rsa2048).unwrap();
    let recipients = Recipients::new([Recipient::KeyVault(vault.sealing_key().clone())]).unwrap();
    let value = seal(b"hunter2", &recipients, &Binding::ClusterWide, &item("a")).unwrap();
    let file = File::parse(&value).unwrap();
    let [only]: [_; 1] = file.recipients().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!((only.kind, only.claimed), (Kind::KeyVault, Some(vault.fingerprint().key_id())));
    let stanza = file.vault_stanza(only.at).unwrap();
    assert_eq!(stanza.key, vault.fingerprint());
    let unwrapped = vault.decrypt(&stanza.wrapped, b"").unwrap();
    let key = FileKey::from_bytes(&unwrapped).unwrap();
    assert_eq!(
        file.open(&key, &Binding::ClusterWide, &item("a")).ok().unwrap().plaintext.expose(),
        b"hunter2"
    );
    let wrong = FileKey::from_bytes(&[7; 16]).unwrap();
    assert_eq!(file.open(&wrong, &Binding::ClusterWide, &item("a")).err(), Some(OpenError::Damaged));
    assert!(FileKey::from_bytes(&[7; 32]).is_none());
}

#[test]
fn one_recipient_takes_anothers_place_and_the_rest_goes_on_opening() {
    for [old, other, new] in both() {
        for hints in [true, false] {
            let to = recipients([&old, &other]);
            let to = if hints { to } else { to.without_hints() };
            let value = seal(b"hunter2", &to, &Binding::ClusterWide, &item("a")).unwrap();
            let file = File::parse(&value).unwrap();
            let unwrapped = file.unwrap(&old).unwrap().unwrap();
            let opened = file.open(&unwrapped.file_key, &Binding::ClusterWide, &item("a")).ok().unwrap();
            let place = file.recipients().find(|place| place.at == unwrapped.at).unwrap();
            let recipient = new.recipient();
            let change = Rewrap { replace: vec![(place, &recipient)], ..Rewrap::default() };
            let moved = opened.rewrap(&change).unwrap();

            let opens = |key| {
                open(&moved, key, &Binding::ClusterWide, &item("a")).map(|value| value.expose().to_vec())
            };
            assert_eq!(opens(&new), Ok(b"hunter2".to_vec()));
            assert_eq!(opens(&other), Ok(b"hunter2".to_vec()));
            assert_eq!(opens(&old), Err(OpenError::NoMatch));
            let claimed: Vec<_> = File::parse(&moved).unwrap().recipients().map(|r| r.claimed).collect();
            let expected = [&new, &other].map(|key| hints.then(|| key.recipient().fingerprint().key_id()));
            assert_eq!(claimed, expected);
            // Stock age reads it too.
            let decryptor = age::Decryptor::new_buffered(moved.as_bytes()).unwrap();
            assert!(decryptor.decrypt(std::iter::once(new.as_age())).is_ok());
            // Changing nothing gives the same bytes: the MAC is the one that age computes.
            assert_eq!(opened.rewrap(&Rewrap::default()).unwrap(), value);
        }
    }
}

#[test]
fn recipients_come_and_go() {
    for [a, b, c] in both() {
        let value = seal(b"v", &recipients([&a, &b]), &Binding::ClusterWide, &item("a")).unwrap();
        let file = File::parse(&value).unwrap();
        let unwrapped = file.unwrap(&a).unwrap().unwrap();
        let opened = file.open(&unwrapped.file_key, &Binding::ClusterWide, &item("a")).ok().unwrap();
        let places: Vec<_> = file.recipients().collect();
        let new = c.recipient();
        let changed =
            opened.rewrap(&Rewrap { drop: vec![places[1]], add: vec![&new], replace: vec![] }).unwrap();
        let opens = |key: &Identity| open(&changed, key, &Binding::ClusterWide, &item("a")).is_ok();
        assert_eq!([opens(&a), opens(&b), opens(&c)], [true, false, true]);
        let claimed: Vec<_> = File::parse(&changed).unwrap().recipients().map(|r| r.claimed).collect();
        assert_eq!(claimed, [&a, &c].map(|key| Some(key.recipient().fingerprint().key_id())));

        let refused = |change: &Rewrap<'_>| opened.rewrap(change).unwrap_err();
        assert_eq!(refused(&Rewrap { drop: places.clone(), ..Rewrap::default() }), RewrapError::NobodyLeft);
        let many: Vec<_> = (0..31).map(|_| &new).collect();
        assert_eq!(refused(&Rewrap { add: many, ..Rewrap::default() }), RewrapError::TooMany { count: 33 });
        let other = match a.kind() {
            Kind::Hybrid => Identity::generate_x25519().recipient(),
            _ => Identity::generate_hybrid().unwrap().recipient(),
        };
        assert_eq!(refused(&Rewrap { add: vec![&other], ..Rewrap::default() }), RewrapError::Mixed);
        // All of one kind for all of the other is no mixture.
        let replace = places.iter().map(|place| (*place, &other)).collect();
        assert!(opened.rewrap(&Rewrap { replace, ..Rewrap::default() }).is_ok());
    }
}

/// A file of a stranger, who knows its file key: its header with more text in it, under the right MAC.
fn padded(value: &SealedValue, key: &Identity, padding: &str) -> SealedValue {
    let text = value.as_bytes();
    let start = b"age-encryption.org/v1\n".len();
    let bytes = [&text[..start], padding.as_bytes(), &text[start..]].concat();
    let file = File::from_bytes(&bytes).unwrap();
    let file_key = file.unwrap(key).unwrap().unwrap().file_key;
    let mut padded = file.header.with(&file_key, &[], &[]);
    padded.extend_from_slice(&bytes[file.header.len()..]);
    SealedValue::from_bytes(padded)
}

/// The age crate reads a header from its start for every line of it.
#[test]
fn a_header_of_many_lines_costs_what_its_bytes_cost() {
    let [_, [key, other, _]] = both();
    let value = seal(b"v", &recipients([&key]), &Binding::ClusterWide, &item("a")).unwrap();
    let line = format!("{}\n", "A".repeat(64));
    let large = padded(&value, &key, &format!("-> stranger\n{}\n", line.repeat(980)));
    let seen = Lines::default();
    let file = File::parse(&large).unwrap();
    assert!(age::Decryptor::new_buffered(Counting(file.reader(), &seen)).is_ok());
    assert_eq!(seen.0.get(), 1, "it is asked for once");
    assert!(open(&large, &key, &Binding::ClusterWide, &item("a")).is_ok());
    assert_eq!(file.strangers().collect::<Vec<_>>(), ["stranger"]);

    // There is no room for one more, and nothing is made that nobody reads.
    let unwrapped = file.unwrap(&key).unwrap().unwrap();
    let opened = file.open(&unwrapped.file_key, &Binding::ClusterWide, &item("a")).ok().unwrap();
    let new = other.recipient();
    let add = Rewrap { add: vec![&new; 31], ..Rewrap::default() };
    assert_eq!(opened.rewrap(&add), Err(RewrapError::TooLarge));
}

#[derive(Default)]
struct Lines(std::cell::Cell<usize>);

struct Counting<'a>(WholeHeader<'a>, &'a Lines);

impl io::Read for Counting<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl io::BufRead for Counting<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }

    fn read_until(&mut self, byte: u8, into: &mut Vec<u8>) -> io::Result<usize> {
        self.1.0.set(self.1.0.get() + 1);
        self.0.read_until(byte, into)
    }
}

/// Found by the fuzz target `age_header`: what was written did not open any more.
#[test]
fn what_would_be_too_large_to_be_read_is_not_written() {
    let [_, [key, new, _]] = both();
    let to = recipients([&key]).without_hints();
    let value = seal(b"v", &to, &Binding::ClusterWide, &item("a")).unwrap();
    let file = File::parse(&value).unwrap();
    let file_key = file.unwrap(&key).unwrap().unwrap().file_key;
    let new = new.recipient();
    let one_more = |others: Vec<Stanza>| {
        let mut bytes = file.header.with(&file_key, &[], &others);
        bytes.extend_from_slice(&value.as_bytes()[file.header.len()..]);
        let crowded = SealedValue::from_bytes(bytes);
        let file = File::parse(&crowded).unwrap();
        let opened = file.open(&file_key, &Binding::ClusterWide, &item("a")).ok().unwrap();
        opened.rewrap(&Rewrap { add: vec![&new], ..Rewrap::default() }).err()
    };
    let other = |args| Stanza { tag: "other".to_owned(), args, body: Vec::new() };
    // Two are there: the recipient's, and the one that age adds.
    assert_eq!(one_more((0..77).map(|_| other(Vec::new())).collect()), None);
    assert_eq!(one_more((0..78).map(|_| other(Vec::new())).collect()), Some(RewrapError::TooLarge));
    // One recipient more has some 100 bytes.
    let left = MAX_HEADER_BYTES - file.header.len() - "-> other \n\n".len();
    assert_eq!(one_more(vec![other(vec!["x".repeat(left - 200)])]), None);
    assert_eq!(one_more(vec![other(vec!["x".repeat(left)])]), Some(RewrapError::TooLarge));
}

#[test]
fn headers_are_bounded() {
    let [_, [key, ..]] = both();
    let value = seal(b"v", &recipients([&key]), &Binding::ClusterWide, &item("a")).unwrap();
    let text = value.as_bytes();
    let start = b"age-encryption.org/v1\n".len();
    let with = |more: &str| {
        let bytes = [&text[..start], more.as_bytes(), &text[start..]].concat();
        File::parse(&SealedValue::from_bytes(bytes)).err()
    };
    assert_eq!(with(""), None);
    assert_eq!(with("-> other\n\n"), None);
    assert_eq!(with(&"-> X25519 AAAA\n\n".repeat(MAX_RECIPIENT_STANZAS)), Some(OpenError::TooLarge));
    assert_eq!(with(&"-> other\n\n".repeat(100)), Some(OpenError::TooLarge));
    assert_eq!(with(&format!("-> {}\n\n", "x".repeat(MAX_HEADER_BYTES))), Some(OpenError::TooLarge));
    assert_eq!(with("-> other\n"), Some(OpenError::Header), "no body");
    assert_eq!(with("->other\n\n"), Some(OpenError::Header));
}
