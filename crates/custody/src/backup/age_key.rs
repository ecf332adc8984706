//! To whom a backup is encrypted, and who opens it: age keys of the kinds that we take.
//!
//! X25519 only. Plugins and SSH keys would bring code that runs elsewhere, and a passphrase is guessed offline. The
//! hybrid post-quantum kind is to be one more variant.

use std::fmt;
use zeroize::Zeroizing;

/// A public key.
#[derive(Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Recipient {
    /// `age1…`
    X25519(age::x25519::Recipient),
}

/// A private key. No `Debug`, `Display` or `Serialize`; wiped when dropped.
#[non_exhaustive]
pub enum Identity {
    /// `AGE-SECRET-KEY-1…`
    X25519(age::x25519::Identity),
}

impl Recipient {
    pub(super) fn as_age(&self) -> &dyn age::Recipient {
        match self {
            Self::X25519(recipient) => recipient,
        }
    }
}

impl Identity {
    /// Makes a new one.
    pub fn generate() -> Self {
        Self::X25519(age::x25519::Identity::generate())
    }

    /// The public half.
    pub fn recipient(&self) -> Recipient {
        match self {
            Self::X25519(identity) => Recipient::X25519(identity.to_public()),
        }
    }

    /// The text of an identity file.
    pub fn to_text(&self) -> Zeroizing<String> {
        use age::secrecy::ExposeSecret as _;
        match self {
            Self::X25519(identity) => Zeroizing::new(format!("{}\n", identity.to_string().expose_secret())),
        }
    }

    pub(super) fn as_age(&self) -> &dyn age::Identity {
        match self {
            Self::X25519(identity) => identity,
        }
    }
}

impl std::str::FromStr for Recipient {
    type Err = NotARecipient;

    fn from_str(text: &str) -> Result<Self, NotARecipient> {
        match text.trim() {
            hybrid if hybrid.starts_with("age1pq1") => Err(NotARecipient::Hybrid),
            secret if secret.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") => {
                Err(NotARecipient::Identity)
            }
            text => text.parse().map(Self::X25519).map_err(|_| NotARecipient::Unknown),
        }
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X25519(recipient) => recipient.fmt(f),
        }
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

/// Reads an identity file, as `age-keygen` writes it: one identity a line, comments and empty lines between.
///
/// # Errors
/// Names the line, and nothing that stands in it.
pub fn identities(text: &str) -> Result<Vec<Identity>, NotAnIdentity> {
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let identities = lines.map(|(line, text)| {
        let identity = text.parse().map_err(|_| NotAnIdentity { line: Some(line) })?;
        Ok(Identity::X25519(identity))
    });
    let identities = identities.collect::<Result<Vec<_>, _>>()?;
    if identities.is_empty() { Err(NotAnIdentity { line: None }) } else { Ok(identities) }
}

/// A text is no public key that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotARecipient {
    /// Post-quantum.
    #[error("post-quantum recipients are not supported yet; give an X25519 one, age1…")]
    Hybrid,
    /// The private half, which must not be shown.
    #[error("this is an identity, the private half: give its recipient, which `age-keygen -y FILE` prints")]
    Identity,
    /// Anything else.
    #[error("not an age recipient: age1 and 58 more characters")]
    Unknown,
}

/// A text is no identity file that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", match line {
    Some(line) => format!("line {line} is not an age identity: AGE-SECRET-KEY-1 and 58 more characters"),
    None => "it holds no age identity".to_owned(),
})]
pub struct NotAnIdentity {
    /// Which line, from 1; none if there is nothing in it.
    pub line: Option<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(Identity: std::fmt::Debug, std::fmt::Display);

    #[test]
    fn identity_files_are_read_as_age_writes_them() {
        let (a, b) = (Identity::generate(), Identity::generate());
        let text = format!(
            "# created: today\r\n# public key: {}\r\n{}\n\n{}",
            a.recipient(),
            *a.to_text(),
            *b.to_text()
        );
        let read: Vec<_> = identities(&text).ok().unwrap().iter().map(Identity::recipient).collect();
        assert_eq!(read, [a.recipient(), b.recipient()]);
        assert_eq!(a.recipient().to_string().parse(), Ok(a.recipient()));
    }

    #[test]
    fn what_is_no_key_is_told_without_showing_it() {
        let secret = Identity::generate().to_text();
        let broken = secret.replace('1', "b");
        let error = identities(&format!("# a\n{broken}")).err().unwrap();
        assert_eq!(error, NotAnIdentity { line: Some(2) });
        assert!(!error.to_string().contains(broken.trim()));
        assert_eq!(identities("# nothing\n").err(), Some(NotAnIdentity { line: None }));
        for (text, expected) in [
            (secret.as_str(), NotARecipient::Identity),
            ("age1pq1abc", NotARecipient::Hybrid),
            ("ssh-ed25519 AAAA", NotARecipient::Unknown),
            ("age1yubikey1abc", NotARecipient::Unknown),
            ("", NotARecipient::Unknown),
        ] {
            assert_eq!(text.parse::<Recipient>(), Err(expected));
        }
    }
}
