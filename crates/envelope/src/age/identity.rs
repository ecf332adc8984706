//! The private halves of age keys.

use super::hybrid::HybridIdentity;
use super::{Kind, NotAnIdentity, Recipient};
use crate::KeyError;
use zeroize::Zeroizing;

/// A private key of one of the two kinds. No `Debug`, `Display` or `Serialize`; wiped when dropped.
pub enum Identity {
    /// `AGE-SECRET-KEY-PQ-1…`
    Hybrid(HybridIdentity),
    /// `AGE-SECRET-KEY-1…`
    X25519(age::x25519::Identity),
}

impl Identity {
    /// Makes a new post-quantum one.
    pub fn generate_hybrid() -> Result<Self, KeyError> {
        HybridIdentity::generate().map(Self::Hybrid)
    }

    /// Makes a new classical one.
    pub fn generate_x25519() -> Self {
        Self::X25519(age::x25519::Identity::generate())
    }

    /// The public half.
    pub fn recipient(&self) -> Recipient {
        match self {
            Self::Hybrid(identity) => Recipient::Hybrid(identity.recipient()),
            Self::X25519(identity) => Recipient::X25519(identity.to_public()),
        }
    }

    /// Which stanzas it can unwrap.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Hybrid(_) => Kind::Hybrid,
            Self::X25519(_) => Kind::X25519,
        }
    }

    /// Its line of an identity file, with the line feed.
    pub fn to_text(&self) -> Zeroizing<String> {
        use age::secrecy::ExposeSecret as _;
        match self {
            Self::Hybrid(identity) => {
                let mut text = identity.to_text();
                text.push('\n');
                text
            }
            Self::X25519(identity) => {
                let secret = identity.to_string();
                // The whole capacity at once: growing would leave a copy behind.
                let mut text = Zeroizing::new(String::with_capacity(secret.expose_secret().len() + 1));
                text.push_str(secret.expose_secret());
                text.push('\n');
                text
            }
        }
    }

    pub(super) fn as_age(&self) -> &dyn age::Identity {
        match self {
            Self::Hybrid(identity) => identity,
            Self::X25519(identity) => identity,
        }
    }
}

impl std::str::FromStr for Identity {
    type Err = NotAnIdentity;

    fn from_str(text: &str) -> Result<Self, NotAnIdentity> {
        let not = NotAnIdentity { line: Some(1) };
        match text.get(..HYBRID.len()).is_some_and(|start| start.eq_ignore_ascii_case(HYBRID)) {
            true => text.parse().map(Self::Hybrid).map_err(|_| not),
            false => {
                let identity = text.parse().map(Self::X25519).map_err(|_| not)?;
                // One text for one key: the age crate takes the other case, and bits behind the last byte.
                if identity.to_text().trim_end() == text { Ok(identity) } else { Err(not) }
            }
        }
    }
}

/// What the text of a hybrid identity begins with.
const HYBRID: &str = "AGE-SECRET-KEY-PQ-1";

/// Reads an identity file, as `age-keygen` writes it: one identity a line, comments and empty lines between.
///
/// # Errors
/// Names the line, and nothing that stands in it.
pub fn identities(text: &str) -> Result<Vec<Identity>, NotAnIdentity> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let identities = lines.map(|(line, text)| text.parse().map_err(|_| NotAnIdentity { line: Some(line) }));
    let identities = identities.collect::<Result<Vec<_>, _>>()?;
    if identities.is_empty() { Err(NotAnIdentity { line: None }) } else { Ok(identities) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::age::NotARecipient;

    static_assertions::assert_not_impl_any!(Identity: std::fmt::Debug, std::fmt::Display);

    #[test]
    fn identity_files_are_read_as_age_writes_them() {
        let (a, b) = (Identity::generate_hybrid().unwrap(), Identity::generate_x25519());
        let text = format!(
            "# created: today\r\n# public key: {}\r\n{}\n\n{}",
            a.recipient(),
            *a.to_text(),
            *b.to_text()
        );
        let read: Vec<_> = identities(&text).ok().unwrap().iter().map(Identity::recipient).collect();
        assert_eq!(read, [a.recipient(), b.recipient()]);
        for key in [a, b] {
            assert_eq!(key.recipient().to_string().parse(), Ok(key.recipient()));
        }
    }

    #[test]
    fn what_is_no_key_is_told_without_showing_it() {
        for identity in [Identity::generate_hybrid().unwrap(), Identity::generate_x25519()] {
            let secret = identity.to_text();
            let broken = secret.replace('1', "b");
            let error = identities(&format!("# a\n{broken}")).err().unwrap();
            assert_eq!(error, NotAnIdentity { line: Some(2) });
            assert!(!error.to_string().contains(broken.trim()));
            assert_eq!(secret.parse::<Recipient>(), Err(NotARecipient::Identity));
        }
        assert_eq!(identities("# nothing\n").err(), Some(NotAnIdentity { line: None }));
    }
}
