//! The header of an age v1 file: read strictly and within bounds, and written again with other recipients.
//!
//! The stanzas are read by age-core's strict reader. The age crate itself also takes an older form that the specification
//! forbids; what it opens later was read here before.

use super::{FileKey, Kind, OpenError};
use crate::KeyId;
use age_core::format::{AgeStanza, Stanza, read};
use age_core::primitives::hkdf;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;

/// How many recipients of one value are ever tried.
pub const MAX_RECIPIENT_STANZAS: usize = 32;
/// How large a header may be, in bytes: 32 recipients of any kind with their hints, and what age adds.
pub const MAX_HEADER_BYTES: usize = 64 * 1024;
/// A hint for each recipient, and a few stanzas that nobody knows: age adds one, so that readers learn to pass over them.
const MAX_STANZAS: usize = 2 * MAX_RECIPIENT_STANZAS + 16;

const FIRST_LINE: &[u8] = b"age-encryption.org/v1\n";
const STANZA: &[u8] = b"-> ";
const MAC: &[u8] = b"---";
const MAC_CHARACTERS: usize = 43;
const HINT: &str = "privyseal.dev/key";
/// What the tag of age's own filling ends with.
const FILLING: &str = "-grease";

/// A header that is well-formed and within bounds. Nothing is known yet of who wrote it.
pub(super) struct Header<'a> {
    stanzas: Vec<Entry<'a>>,
    /// Where the payload begins.
    len: usize,
}

struct Entry<'a> {
    text: &'a [u8],
    stanza: AgeStanza<'a>,
}

impl<'a> Header<'a> {
    /// Reads the header with which a file begins.
    ///
    /// # Errors
    /// [`OpenError::Header`] or [`OpenError::TooLarge`].
    pub(super) fn parse(file: &'a [u8]) -> Result<Self, OpenError> {
        let bounded = &file[..file.len().min(MAX_HEADER_BYTES)];
        let cut_off = || if bounded.len() < file.len() { OpenError::TooLarge } else { OpenError::Header };
        let mut rest = bounded.strip_prefix(FIRST_LINE).ok_or(OpenError::Header)?;
        let mut stanzas = Vec::new();
        while rest.starts_with(STANZA) {
            let Ok((after, stanza)) = read::age_stanza(rest) else { return Err(cut_off()) };
            if stanzas.len() == MAX_STANZAS {
                return Err(OpenError::TooLarge);
            }
            stanzas.push(Entry { text: &rest[..rest.len() - after.len()], stanza });
            rest = after;
        }
        let mac = rest.strip_prefix(MAC).and_then(|rest| rest.strip_prefix(b" ")).ok_or_else(cut_off)?;
        let after =
            mac.get(MAC_CHARACTERS..).and_then(|rest| rest.strip_prefix(b"\n")).ok_or_else(cut_off)?;
        let this = Self { stanzas, len: bounded.len() - after.len() };
        if this.stanzas.is_empty() {
            return Err(OpenError::Header);
        }
        if this.recipients().count() > MAX_RECIPIENT_STANZAS {
            return Err(OpenError::TooLarge);
        }
        Ok(this)
    }

    /// The stanzas of kinds that we know, by their place.
    pub(super) fn recipients(&self) -> impl Iterator<Item = (usize, Kind)> {
        self.stanzas.iter().enumerate().filter_map(|(at, entry)| Some((at, Kind::of_tag(entry.stanza.tag)?)))
    }

    /// Tags of stanzas that are neither a recipient of a kind that we know, nor a hint, nor age's own filling, of which there
    /// is one at most.
    pub(super) fn strangers(&self) -> impl Iterator<Item = &str> {
        let tags = self.stanzas.iter().map(|entry| entry.stanza.tag);
        let mut unknown = tags.filter(|tag| Kind::of_tag(tag).is_none() && *tag != HINT).collect::<Vec<_>>();
        if let Some(filling) = unknown.iter().position(|tag| tag.ends_with(FILLING)) {
            unknown.remove(filling);
        }
        unknown.into_iter()
    }

    /// What the stanza before one says of whose it is.
    pub(super) fn hint_of(&self, at: usize) -> Option<KeyId> {
        let stanza = &self.stanzas.get(at.checked_sub(1)?)?.stanza;
        match (stanza.tag, &stanza.args[..]) {
            (HINT, [id]) if stanza.body().is_empty() => id.parse().ok(),
            _ => None,
        }
    }

    /// The places in which another header has another stanza; none if it has more or fewer of them.
    pub(super) fn places_that_differ(&self, other: &Header<'_>) -> Option<Vec<usize>> {
        let (ours, theirs) = (&self.stanzas, &other.stanzas);
        let differs = |at: &usize| ours[*at].text != theirs[*at].text;
        (ours.len() == theirs.len()).then(|| (0..ours.len()).filter(differs).collect())
    }

    /// One stanza, decoded.
    pub(super) fn stanza(&self, at: usize) -> Option<Stanza> {
        let AgeStanza { tag, args, .. } = &self.stanzas.get(at)?.stanza;
        Some(Stanza {
            tag: (*tag).to_owned(),
            args: args.iter().map(|&arg| arg.to_owned()).collect(),
            body: self.stanzas[at].stanza.body(),
        })
    }

    /// Where the payload begins, in bytes from the start of the file.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The header with other stanzas in some places, each in the place of the hint before it too, and some more at the end,
    /// under a MAC of the same file key. The rest stays byte for byte.
    pub(super) fn with(
        &self,
        file_key: &FileKey,
        changed: &[(usize, Vec<Stanza>)],
        added: &[Stanza],
    ) -> Vec<u8> {
        let mut text = FIRST_LINE.to_vec();
        for (at, entry) in self.stanzas.iter().enumerate() {
            let change = changed.iter().find(|(place, _)| *place == at);
            let hint_goes =
                changed.iter().any(|(place, _)| *place == at + 1 && self.hint_of(*place).is_some());
            match change {
                Some((_, stanzas)) => stanzas.iter().for_each(|stanza| write(&mut text, stanza)),
                None if hint_goes => {}
                None => text.extend_from_slice(entry.text),
            }
        }
        added.iter().for_each(|stanza| write(&mut text, stanza));
        text.extend_from_slice(MAC);
        // C2SP age, "Header MAC": HMAC-SHA-256 under HKDF of the file key, over the header up to and with the three dashes.
        let key = hmac::Key::new(hmac::HMAC_SHA256, &hkdf(&[], b"header", file_key.expose()));
        let mac = hmac::sign(&key, &text);
        text.push(b' ');
        text.extend_from_slice(BASE64_STANDARD_NO_PAD.encode(mac).as_bytes());
        text.push(b'\n');
        text
    }
}

/// The stanza that goes before a recipient's own.
pub(super) fn hint(key: KeyId) -> Stanza {
    Stanza { tag: HINT.to_owned(), args: vec![key.to_string()], body: Vec::new() }
}

/// C2SP age, "Recipient stanza": arguments, then canonical base64 in lines of 64 characters, the last one shorter.
fn write(text: &mut Vec<u8>, stanza: &Stanza) {
    text.extend_from_slice(STANZA);
    text.extend_from_slice(stanza.tag.as_bytes());
    for argument in &stanza.args {
        text.push(b' ');
        text.extend_from_slice(argument.as_bytes());
    }
    text.push(b'\n');
    let body = BASE64_STANDARD_NO_PAD.encode(&stanza.body);
    let mut lines = body.as_bytes().chunks_exact(64);
    for line in &mut lines {
        text.extend_from_slice(line);
        text.push(b'\n');
    }
    text.extend_from_slice(lines.remainder());
    text.push(b'\n');
}
