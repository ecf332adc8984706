//! The age keys that stand beside PEM blocks, one per line: recipients after a certificate, identities after a private key.
//!
//! Whoever reads PEM passes over what stands around it, the peer too, and so one text holds both halves' kinds of keys.

use privyseal_envelope::age::{Identity, NotARecipient, NotAnIdentity, Recipient};

/// The identities of a text, in order. Nothing of the text is in an error.
///
/// # Errors
/// Names the line that begins as an identity and is none.
pub(crate) fn identities(text: &[u8]) -> Result<Vec<Identity>, NotAnIdentity> {
    each_identity(text).collect()
}

/// The same, line by line: one that is none costs none of the others.
pub(crate) fn each_identity(text: &[u8]) -> impl Iterator<Item = Result<Identity, NotAnIdentity>> {
    lines(text)
        .filter(|(_, line)| line.get(..15).is_some_and(|start| start.eq_ignore_ascii_case("AGE-SECRET-KEY-")))
        .map(|(number, line)| line.parse().map_err(|_| NotAnIdentity { line: Some(number) }))
}

/// The recipients of a text, in order.
///
/// # Errors
/// If a line begins as a recipient and is none that can be sealed to.
pub(crate) fn recipients(text: &[u8]) -> Result<Vec<Recipient>, NotARecipient> {
    lines(text).filter(|(_, line)| line.starts_with("age1")).map(|(_, line)| line.parse()).collect()
}

/// Lines outside PEM blocks, trimmed, with their numbers from 1. Base64 may look like anything.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &str)> {
    let mut in_block = false;
    text.split(|&byte| byte == b'\n').enumerate().filter_map(move |(index, line)| {
        let line = line.trim_ascii();
        if line.starts_with(b"-----BEGIN ") {
            in_block = true;
        }
        let outside = !in_block;
        if line.starts_with(b"-----END ") {
            in_block = false;
        }
        outside.then(|| std::str::from_utf8(line).ok()).flatten().map(|line| (index + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_beside_pem_and_not_in_it() {
        let keys = [Identity::generate_hybrid().unwrap(), Identity::generate_x25519()];
        let block = "-----BEGIN X-----\nage1abc\nAGE-SECRET-KEY-1ABC\n-----END X-----\n";
        let public = format!("{block}{}\r\n# note\n{}\n", keys[0].recipient(), keys[1].recipient());
        let private = format!("\u{fffd}\n{block}{}{}", *keys[0].to_text(), *keys[1].to_text());
        let expected = keys.each_ref().map(Identity::recipient);
        assert_eq!(recipients(public.as_bytes()), Ok(expected.to_vec()));
        let read = identities(private.as_bytes()).ok().unwrap();
        assert_eq!(read.iter().map(Identity::recipient).collect::<Vec<_>>(), expected);
        assert!(identities(block.as_bytes()).ok().unwrap().is_empty());
    }

    #[test]
    fn what_looks_like_a_key_and_is_none_is_told() {
        assert_eq!(identities(b"\nage-secret-key-1abc").err(), Some(NotAnIdentity { line: Some(2) }));
        assert_eq!(recipients(b"age1abc"), Err(NotARecipient::Unknown));
    }
}
