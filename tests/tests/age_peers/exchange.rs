//! Values go both ways between us and each peer.

use super::peers::{self, AgeEncryption, GoAge, Peer, below, random};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use privyseal_envelope::age::{self, BindingLine, Identity, Kind, OpenError, Recipient, Recipients};
use privyseal_envelope::{Binding, Item, Name, Namespace, SealedValue};

/// Length of a chunk of age's payload, in bytes.
const CHUNK: usize = 64 * 1024;
const MOST_RECIPIENTS: usize = 5;

#[test]
fn go_opens_what_we_seal_and_we_what_go_seals() {
    exchange(&mut GoAge::new());
}

#[test]
fn javascript_opens_what_we_seal_and_we_what_javascript_seals() {
    exchange(&mut AgeEncryption::new());
}

fn exchange(peer: &mut dyn Peer) {
    for kind in [Kind::Hybrid, Kind::X25519] {
        let stranger = peers::generate(kind);
        for (line, len) in cases() {
            let keys: Vec<Key> = (0..=below(MOST_RECIPIENTS)).map(|_| Key::new(peer, kind)).collect();
            let value = random(len);
            let case = format!("{}: {len} bytes for {} {kind} recipients, {line}", peer.name(), keys.len());
            they_seal_and_we_open(peer, &keys, &stranger, &line, &value, &case);
            we_seal_and_they_open(peer, &keys, &stranger, &line, &value, &case);
        }
    }
}

fn they_seal_and_we_open(
    peer: &mut dyn Peer,
    keys: &[Key],
    stranger: &Identity,
    line: &BindingLine,
    value: &[u8],
    case: &str,
) {
    let recipients: Vec<String> = keys.iter().map(|key| key.recipient().to_string()).collect();
    let file = peer.encrypt(&recipients, &payload(line, value)).unwrap_or_else(|e| panic!("{case}: {e}"));
    let sealed = sealed_value(&file);
    let kinds: Vec<_> = age::File::parse(&sealed).unwrap().recipients().map(|stanza| stanza.kind).collect();
    assert_eq!(kinds, vec![stranger.kind(); keys.len()], "{case}");
    for key in keys {
        let opened = open(&sealed, &key.identity, line);
        assert!(opened.as_deref() == Ok(value), "{case}: {:?}", opened.map(|value| value.len()));
    }
    assert_eq!(open(&sealed, stranger, line), Err(OpenError::NoMatch), "{case}");
    // Who seals with another program is held to the binding all the same.
    let elsewhere = BindingLine { item: Item::parse("elsewhere").unwrap(), ..line.clone() };
    let sealed_for = Some(Box::new(line.clone()));
    let refused = open(&sealed, &keys[0].identity, &elsewhere);
    assert_eq!(refused, Err(OpenError::OtherBinding { sealed_for }), "{case}");
}

fn we_seal_and_they_open(
    peer: &mut dyn Peer,
    keys: &[Key],
    stranger: &Identity,
    line: &BindingLine,
    value: &[u8],
    case: &str,
) {
    let recipients = Recipients::new(keys.iter().map(Key::recipient)).unwrap();
    for (to, hints) in [(recipients.clone(), true), (recipients.without_hints(), false)] {
        let case = format!("{case}, hints: {hints}");
        let sealed = age::seal(value, &to, &line.binding, &line.item).unwrap();
        let file = age::File::parse(&sealed).unwrap();
        assert!(file.recipients().all(|stanza| stanza.claimed.is_some() == hints), "{case}");
        for key in keys {
            let opened = peer.decrypt(&key.text, sealed.as_bytes()).unwrap_or_else(|e| panic!("{case}: {e}"));
            assert!(opened == payload(line, value), "{case}: {} bytes", opened.len());
        }
        let refused = peer.decrypt(stranger.to_text().trim_end(), sealed.as_bytes()).unwrap_err();
        assert!(refused.contains("no identity matched"), "{case}: {refused}");
    }
}

/// A hint is no secret of ours: whoever writes it is believed as much as we are, that is, not at all.
#[test]
fn hints_that_another_program_writes_are_read() {
    let mut peer = AgeEncryption::new();
    for kind in [Kind::Hybrid, Kind::X25519] {
        let keys: Vec<Identity> = (0..3).map(|_| peers::generate(kind)).collect();
        let recipients: Vec<Recipient> = keys.iter().map(Identity::recipient).collect();
        let line = binding_line();
        let sealed = sealed_value(&peer.encrypt_with_hints(&recipients, &payload(&line, b"value")));
        let file = age::File::parse(&sealed).unwrap();
        let claimed: Vec<_> = file.recipients().map(|stanza| stanza.claimed).collect();
        let expected: Vec<_> = recipients.iter().map(|to| Some(to.fingerprint().key_id())).collect();
        assert_eq!(claimed, expected);
        for key in &keys {
            assert_eq!(open(&sealed, key, &line).as_deref(), Ok(&b"value"[..]));
        }
    }
}

/// The header is then written by us, and so is its MAC.
#[test]
fn a_value_with_other_recipients_than_before_opens_at_the_peers() {
    for kind in [Kind::Hybrid, Kind::X25519] {
        let [old, dropped, other, new, added] = [(); 5].map(|()| peers::generate(kind));
        let line = binding_line();
        let recipients = [&old, &dropped, &other].map(Identity::recipient);
        let recipients = Recipients::new(recipients).unwrap();
        for (to, hints) in [(recipients.clone(), true), (recipients.without_hints(), false)] {
            let sealed = age::seal(b"value", &to, &line.binding, &line.item).unwrap();
            let file = age::File::parse(&sealed).unwrap();
            let places: Vec<_> = file.recipients().collect();
            let unwrapped = file.unwrap(&old).unwrap().unwrap();
            let opened = file.open(&unwrapped.file_key, &line.binding, &line.item).ok().unwrap();
            let [in_place, at_the_end] = [&new, &added].map(Identity::recipient);
            let change = age::Rewrap {
                replace: vec![(places[0], &in_place)],
                drop: vec![places[1]],
                add: vec![&at_the_end],
            };
            let changed = opened.rewrap(&change).unwrap();

            let file = age::File::parse(&changed).unwrap();
            let claimed: Vec<_> = file.recipients().map(|stanza| stanza.claimed).collect();
            let stay = [&new, &other, &added];
            assert_eq!(claimed, stay.map(|key| hints.then(|| key.recipient().fingerprint().key_id())));
            for mut peer in peers::all() {
                let case = format!("{}, {kind}, hints: {hints}", peer.name());
                for key in stay {
                    let opened = peer.decrypt(key.to_text().trim_end(), changed.as_bytes());
                    assert_eq!(opened.as_deref(), Ok(&payload(&line, b"value")[..]), "{case}");
                }
                for key in [&old, &dropped] {
                    let refused = peer.decrypt(key.to_text().trim_end(), changed.as_bytes());
                    assert!(refused.is_err(), "{case}");
                }
            }
        }
    }
}

/// Bindings, and lengths of values.
fn cases() -> Vec<(BindingLine, usize)> {
    let values = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 200 * 1024, below(100), below(5000), below(300_000)];
    // Where the payload is a whole number of chunks, the last one is full, and no empty one may follow it.
    let payloads = [CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK];
    let of_values = values.map(|len| (binding_line(), len));
    let of_payloads = payloads.map(|len| {
        let line = binding_line();
        let value = len - payload(&line, b"").len();
        (line, value)
    });
    of_values.into_iter().chain(of_payloads).collect()
}

fn binding_line() -> BindingLine {
    let namespace = || Namespace::parse("team-a").unwrap();
    let binding = match below(3) {
        0 => Binding::Strict { namespace: namespace(), name: Name::parse("db.example").unwrap() },
        1 => Binding::NamespaceWide { namespace: namespace() },
        _ => Binding::ClusterWide,
    };
    BindingLine { binding, item: Item::parse("tls.crt").unwrap() }
}

fn payload(line: &BindingLine, value: &[u8]) -> Vec<u8> {
    [format!("{line}\n").as_bytes(), value].concat()
}

/// A file as it stands in a SealedSecret.
fn sealed_value(file: &[u8]) -> SealedValue {
    SealedValue::from_base64(&BASE64.encode(file)).unwrap()
}

fn open(sealed: &SealedValue, key: &Identity, line: &BindingLine) -> Result<Vec<u8>, OpenError> {
    let file = age::File::parse(sealed)?;
    let unwrapped = file.unwrap(key)?.ok_or(OpenError::NoMatch)?;
    let opened = file.open(&unwrapped.file_key, &line.binding, &line.item)?;
    Ok(opened.plaintext.expose().to_vec())
}

/// A key that we or the peer made.
struct Key {
    text: String,
    identity: Identity,
}

impl Key {
    fn new(peer: &mut dyn Peer, kind: Kind) -> Self {
        let text = match below(2) {
            0 => peer.keygen(kind),
            _ => peers::generate(kind).to_text().trim_end().to_owned(),
        };
        let identity = text.parse().unwrap_or_else(|e| panic!("{}: {e}", peer.name()));
        Self { text, identity }
    }

    fn recipient(&self) -> Recipient {
        self.identity.recipient()
    }
}
