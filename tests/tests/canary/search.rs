//! The search for what must be nowhere: in the clear, as base64, as hex, escaped, and as an unkeyed digest.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// How much of a channel is around a needle that is planted.
const AROUND: usize = 200;

/// Texts that somebody may read, by name.
#[derive(Default)]
pub(crate) struct Channels(Vec<(String, String)>);

impl Channels {
    pub(crate) fn add(&mut self, name: &str, text: String) {
        assert!(!text.is_empty(), "{name} is empty, so nothing is searched");
        self.0.push((name.to_owned(), text));
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

/// What must be nowhere: needle and what it is.
pub(crate) struct Canaries(Vec<(String, String)>);

impl Canaries {
    pub(crate) fn of(values: &[&[u8]]) -> Self {
        let mut this = Self(Vec::new());
        for value in values {
            this.add(value, "the value");
        }
        this
    }

    /// Text or bytes; a few of them would be found by chance.
    pub(crate) fn add(&mut self, value: &[u8], what: &str) {
        assert!(value.len() >= 12, "{what} is too short to be looked for");
        let mut push = |needle, form: &str| self.0.push((needle, format!("{form}{what}")));
        if let Ok(text) = str::from_utf8(value) {
            push(text.to_owned(), "");
        }
        // Base64 of a text inside a longer one begins at one of three offsets: the middle is the same for each.
        for shift in 0..3 {
            let shifted = [&vec![b'x'; shift][..], value].concat();
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let text = engine.encode(&shifted);
                let inner = &text[4 * usize::from(shift > 0)..text.len() / 4 * 4 - 4];
                push(inner.to_owned(), "base64 of ");
            }
        }
        push(hex(value), "hex of ");
        let debug = format!("{value:?}");
        push(debug.trim_matches(['[', ']']).to_owned(), "the bytes of ");
        for algorithm in [&digest::SHA1_FOR_LEGACY_USE_ONLY, &digest::SHA256, &digest::SHA512] {
            let digest = digest::digest(algorithm, value);
            push(hex(digest.as_ref()), "an unkeyed digest, hex, of ");
            push(STANDARD_NO_PAD.encode(digest.as_ref()), "an unkeyed digest, base64, of ");
        }
    }

    /// Any line of the key's PEM body would be a leak, and so would be the middle of what it stands for; and each of the age
    /// identities beside it, if it has any.
    pub(crate) fn add_private_key(&mut self, private: &[u8]) {
        let private = str::from_utf8(private).unwrap();
        let (identities, pem): (Vec<_>, Vec<_>) =
            private.lines().partition(|line| line.starts_with("AGE-SECRET-KEY-"));
        identities.iter().for_each(|identity| self.add(identity.as_bytes(), "an age identity"));
        let lines: Vec<_> = pem.into_iter().filter(|line| !line.starts_with("-----")).collect();
        let long = lines.iter().filter(|line| line.len() >= 32);
        self.0.extend(long.map(|&line| (line.to_owned(), "a private key".to_owned())));
        self.0.push(("PRIVATE KEY-----".to_owned(), "a private key's heading".to_owned()));
        // Whoever encodes the text once more.
        self.add(lines[lines.len() / 2].as_bytes(), "a private key's PEM");
        let der = STANDARD.decode(lines.concat()).unwrap();
        // For RSA amidst its primes; an Ed25519 seed is the 32 bytes behind the first 16 (RFC 8410, section 7).
        let middle = if der.len() < 100 { &der[16..48] } else { &der[der.len() / 2..][..24] };
        self.add(middle, "a private key");
    }

    /// The part of a token (RFC 7515) without which it is worth nothing.
    pub(crate) fn add_token(&mut self, token: &str, what: &str) {
        let (_, signature) = token.trim_end().rsplit_once('.').unwrap();
        self.add(signature.as_bytes(), what);
    }

    /// Where something was found, and what; never the thing itself.
    pub(crate) fn find(&self, channels: &Channels) -> Vec<String> {
        let mut found: Vec<String> = channels
            .0
            .iter()
            .flat_map(|(name, text)| {
                self.0
                    .iter()
                    .filter(|(needle, _)| text.contains(needle.as_str()))
                    .map(move |(_, what)| format!("{name}: {what}"))
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// Plants each needle in each channel, between what is in its middle, and must find it there.
    pub(crate) fn prove(&self, channels: &Channels) {
        for (name, text) in &channels.0 {
            let middle = text.floor_char_boundary(text.len() / 2);
            let begin = text.floor_char_boundary(middle.saturating_sub(AROUND));
            let end = text.ceil_char_boundary(text.len().min(middle + AROUND));
            let (before, after) = (&text[begin..middle], &text[middle..end]);
            for (needle, what) in &self.0 {
                let planted = Channels(vec![(name.clone(), format!("{before}{needle}{after}"))]);
                assert!(
                    self.find(&planted).contains(&format!("{name}: {what}")),
                    "{what} would not be found in {name}"
                );
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
