//! The search for what must be nowhere: in the clear, as base64, as hex, escaped, and as an unkeyed digest.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

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
pub(crate) struct Canaries(Vec<(String, &'static str)>);

impl Canaries {
    pub(crate) fn of(values: &[&[u8]]) -> Self {
        let mut this = Self(Vec::new());
        for value in values {
            this.add(value);
        }
        this
    }

    fn add(&mut self, value: &[u8]) {
        self.0.push((String::from_utf8(value.to_vec()).unwrap(), "the value"));
        // Base64 of a text inside a longer one begins at one of three offsets: the middle is the same for each.
        for shift in 0..3 {
            let shifted = [&vec![b'x'; shift][..], value].concat();
            for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                let text = engine.encode(&shifted);
                let inner = &text[4 * usize::from(shift > 0)..text.len() / 4 * 4 - 4];
                self.0.push((inner.to_owned(), "base64 of the value"));
            }
        }
        self.0.push((hex(value), "hex of the value"));
        for algorithm in [&digest::SHA1_FOR_LEGACY_USE_ONLY, &digest::SHA256, &digest::SHA512] {
            let digest = digest::digest(algorithm, value);
            self.0.push((hex(digest.as_ref()), "an unkeyed digest, hex"));
            self.0.push((STANDARD_NO_PAD.encode(digest.as_ref()), "an unkeyed digest, base64"));
        }
    }

    /// Any line of the key's PEM body would be a leak.
    pub(crate) fn add_private_key(&mut self, pem: &[u8]) {
        let pem = str::from_utf8(pem).unwrap();
        let lines = pem.lines().filter(|line| !line.starts_with("-----"));
        self.0.extend(lines.filter(|line| line.len() >= 32).map(|line| (line.to_owned(), "a private key")));
        self.0.push(("PRIVATE KEY-----".to_owned(), "a private key's heading"));
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
        found.dedup();
        found
    }

    /// Plants each needle in each channel and must find it there.
    pub(crate) fn prove(&self, channels: &Channels) {
        for (needle, what) in &self.0 {
            for (name, text) in &channels.0 {
                let middle = text.floor_char_boundary(text.len() / 2);
                let planted =
                    Channels(vec![(name.clone(), format!("{}{needle}{}", &text[..middle], &text[middle..]))]);
                assert!(!self.find(&planted).is_empty(), "{what} would not be found in {name}");
            }
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
