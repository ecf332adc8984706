//! Private halves as somebody has them in a file: each a PEM block and the age identities after it, as a key is kept, or
//! one of the two alone.
//!
//! ```text
//! AGE-SECRET-KEY-1…                    a key of its own
//! -----BEGIN RSA PRIVATE KEY-----  ┐
//! …                                │
//! AGE-SECRET-KEY-PQ-1…             ├─ one key
//! AGE-SECRET-KEY-1…                ┘
//! -----BEGIN PRIVATE KEY-----      ─  the next one
//! ```

use crate::{KeyringEntry, PrivateKeyError, age_lines, private_key};
use privyseal_envelope::age::{Identity, NotAnIdentity};
use privyseal_envelope::rsa::OpeningKey;

/// Reads every private half of a text, in order; `source` is where each of them says that it came from. What is no usable
/// key is an error in its place, and costs none of the others; a text without any gives one error. Nothing of the text is
/// in an error.
pub fn private_halves(source: &str, text: &[u8]) -> Vec<Result<KeyringEntry, PrivateHalfError>> {
    let mut read = Read { source, halves: Vec::new(), open: None };
    let mut no_key = PrivateKeyError::NoKey;
    let mut line = 0;
    for (is_block, part) in parts(text) {
        for key in if is_block { private_key::from_pem(part) } else { Vec::new() } {
            match key {
                Ok(key) => read.begin(key),
                Err(error @ (PrivateKeyError::NoKey | PrivateKeyError::CertificateGiven)) => no_key = error,
                Err(error) => read.fail(error.into()),
            }
        }
        for identity in age_lines::each_identity(part) {
            match identity {
                Ok(identity) => read.add(identity),
                Err(NotAnIdentity { line: within }) => {
                    let line = within.map(|within| within + line);
                    read.halves.push(Err(NotAnIdentity { line }.into()));
                }
            }
        }
        line += part.iter().filter(|&&byte| byte == b'\n').count();
    }
    read.end();
    if read.halves.is_empty() { vec![Err(no_key.into())] } else { read.halves }
}

/// What stands before the first PEM block, and then each block with what follows it.
fn parts(text: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    let blocks: Vec<_> = private_key::blocks(text).collect();
    let before = text.len() - blocks.iter().map(|block| block.len()).sum::<usize>();
    std::iter::once((false, &text[..before])).chain(blocks.into_iter().map(|block| (true, block)))
}

struct Read<'a> {
    source: &'a str,
    halves: Vec<Result<KeyringEntry, PrivateHalfError>>,
    /// The last RSA key, and the identities after it so far.
    open: Option<(OpeningKey, Vec<Identity>)>,
}

impl Read<'_> {
    fn begin(&mut self, key: OpeningKey) {
        self.end();
        self.open = Some((key, Vec::new()));
    }

    fn fail(&mut self, error: PrivateHalfError) {
        self.end();
        self.halves.push(Err(error));
    }

    fn add(&mut self, identity: Identity) {
        match &mut self.open {
            Some((_, identities)) => identities.push(identity),
            None => self.halves.push(Ok(KeyringEntry::from_identity(self.source, identity))),
        }
    }

    fn end(&mut self) {
        if let Some((key, identities)) = self.open.take() {
            self.halves.push(Ok(KeyringEntry::from_private_half(self.source, key, identities)));
        }
    }
}

/// A private half cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrivateHalfError {
    /// The RSA key, or that there is no key at all.
    #[error(transparent)]
    Key(#[from] PrivateKeyError),
    /// A line that begins as an age identity.
    #[error(transparent)]
    Identity(#[from] NotAnIdentity),
}

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_envelope::Fingerprint;
    use privyseal_envelope::rsa::KeySize;

    fn rsa() -> (String, Fingerprint) {
        let key = OpeningKey::generate(KeySize::Rsa2048).unwrap();
        (private_key::to_pkcs1_pem(&key).unwrap().to_string(), key.fingerprint())
    }

    fn age(kind: fn() -> Identity) -> (String, Fingerprint) {
        let identity = kind();
        (identity.to_text().to_string(), identity.recipient().fingerprint())
    }

    fn hybrid() -> Identity {
        Identity::generate_hybrid().unwrap()
    }

    /// What each key goes by.
    fn outcome(text: &str) -> Vec<Result<Vec<Fingerprint>, PrivateHalfError>> {
        let halves = private_halves("x", text.as_bytes()).into_iter();
        halves.map(|half| half.map(|entry| entry.fingerprints().to_vec())).collect()
    }

    #[test]
    fn identities_belong_to_the_key_before_them() {
        let [(a, a_name), (b, b_name)] = [rsa(), rsa()];
        let [(pq, pq_name), (other_pq, other_name)] = [age(hybrid), age(hybrid)];
        let (x, x_name) = age(Identity::generate_x25519);
        assert_eq!(outcome(&format!("{a}{pq}{x}")), [Ok(vec![a_name, pq_name, x_name])]);
        // Two halves of two keys, one after the other, and a note between them.
        let text = format!("{a}{pq}# note\r\n{b}{other_pq}\n{x}");
        assert_eq!(outcome(&text), [Ok(vec![a_name, pq_name]), Ok(vec![b_name, other_name, x_name])]);
        // A certificate between does not part them.
        let certificate = include_str!("../../../tests/vectors/classic/rsa2048/tls.crt");
        assert_eq!(outcome(&format!("{a}{certificate}{pq}")), [Ok(vec![a_name, pq_name])]);
        // What stands before belongs to none.
        let text = format!("{pq}{x}{a}");
        assert_eq!(outcome(&text), [Ok(vec![pq_name]), Ok(vec![x_name]), Ok(vec![a_name])]);
        assert_eq!(outcome(&format!("# note\n{x}")), [Ok(vec![x_name])]);
    }

    #[test]
    fn what_is_no_key_is_told_in_its_place() {
        let ((a, a_name), (x, x_name)) = (rsa(), age(Identity::generate_x25519));
        let broken = x.replace("AGE-SECRET-KEY-1", "AGE-SECRET-KEY-1Z");
        let lines = a.lines().count();
        let bad = |line| Err(NotAnIdentity { line: Some(line) }.into());
        assert_eq!(outcome(&format!("{a}{broken}{x}")), [bad(lines + 1), Ok(vec![a_name, x_name])]);
        assert_eq!(outcome(&format!("# a\n{broken}{a}")), [bad(2), Ok(vec![a_name])]);
        assert_eq!(outcome(&format!("{a}\n{a}\n{broken}"))[1], bad(2 * lines + 3));
        let block = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let rejected = PrivateKeyError::Key(privyseal_envelope::KeyError::Rejected);
        assert_eq!(outcome(&format!("{block}{x}")), [Err(rejected.into()), Ok(vec![x_name])]);
        assert_eq!(outcome(""), [Err(PrivateKeyError::NoKey.into())]);
        let certificate = include_str!("../../../tests/vectors/classic/rsa2048/tls.crt");
        assert_eq!(outcome(certificate), [Err(PrivateKeyError::CertificateGiven.into())]);
    }
}
