//! The public halves: whom a value is sealed to.

use super::header::{MAX_RECIPIENT_STANZAS, hint};
use super::hybrid::{HybridKeyError, HybridRecipient};
use super::{NotARecipient, RecipientsError, vault};
use crate::Fingerprint;
use crate::rsa::SealingKey;
use age_core::format::{FileKey, Stanza};
use age_core::primitives::bech32_decode;
use std::collections::HashSet;
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};

/// The kind of a recipient, and so of its stanzas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// ML-KEM-768 and X25519 together: safe while either of them is.
    Hybrid,
    /// X25519.
    X25519,
    /// An RSA key of a Key Vault, which never leaves it.
    KeyVault,
}

impl Kind {
    /// The word used in messages and output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hybrid => "hybrid",
            Self::X25519 => "x25519",
            Self::KeyVault => "key-vault-hsm",
        }
    }

    /// Whether a quantum computer opens what is sealed to it no more easily than today's computers do.
    pub const fn is_post_quantum(self) -> bool {
        matches!(self, Self::Hybrid)
    }

    pub(super) fn of_tag(tag: &str) -> Option<Self> {
        match tag {
            "mlkem768x25519" => Some(Self::Hybrid),
            "X25519" => Some(Self::X25519),
            vault::TAG => Some(Self::KeyVault),
            _ => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A public key that values can be sealed to.
#[derive(Clone, PartialEq, Eq)]
pub enum Recipient {
    /// `age1pq1…`
    Hybrid(HybridRecipient),
    /// `age1…`
    X25519(age::x25519::Recipient),
    /// The public half of a Key Vault key.
    KeyVault(SealingKey),
}

impl Recipient {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Hybrid(_) => Kind::Hybrid,
            Self::X25519(_) => Kind::X25519,
            Self::KeyVault(_) => Kind::KeyVault,
        }
    }

    /// What trust compares: SHA-256 over the recipient string, or over the SubjectPublicKeyInfo of a Key Vault key.
    pub fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Hybrid(_) | Self::X25519(_) => Fingerprint::of(self.to_string().as_bytes()),
            Self::KeyVault(key) => key.fingerprint(),
        }
    }

    /// The stanza that wraps a file key for it, and the hint before it if one is wanted.
    pub(super) fn wrap(
        &self,
        file_key: &FileKey,
        hints: bool,
    ) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let (mut stanzas, labels) = match self {
            Self::Hybrid(recipient) => age::Recipient::wrap_file_key(recipient, file_key)?,
            Self::X25519(recipient) => age::Recipient::wrap_file_key(recipient, file_key)?,
            Self::KeyVault(key) => (vec![vault::wrap(key, file_key)?], HashSet::new()),
        };
        if hints {
            stanzas.insert(0, hint(self.fingerprint().key_id()));
        }
        Ok((stanzas, labels))
    }
}

impl std::str::FromStr for Recipient {
    type Err = NotARecipient;

    fn from_str(text: &str) -> Result<Self, NotARecipient> {
        let text = text.trim();
        let lower = text.to_ascii_lowercase();
        if lower.starts_with("age-secret-key-") {
            Err(NotARecipient::Identity)
        } else if lower.starts_with("age1pq1") {
            text.parse().map(Self::Hybrid).map_err(|error| match error {
                HybridKeyError::Rejected => NotARecipient::Weak,
                _ => NotARecipient::Unknown,
            })
        } else {
            let recipient: age::x25519::Recipient = text.parse().map_err(|_| NotARecipient::Unknown)?;
            match is_of_low_order(text) {
                true => Err(NotARecipient::Weak),
                // One text for one key: the age crate takes the other case, and bits behind the last byte.
                false if recipient.to_string() != text => Err(NotARecipient::Unknown),
                false => Ok(Self::X25519(recipient)),
            }
        }
    }
}

/// Whether every private key gives the same shared secret with this point, which then is none. The age crate would end
/// the program at it.
fn is_of_low_order(recipient: &str) -> bool {
    let point = bech32_decode(
        recipient,
        |_| (),
        |_| Ok(()),
        |_, bytes| bytes.collect::<Vec<_>>().try_into().map_err(drop),
    );
    let point: [u8; 32] = point.unwrap_or_default();
    // Any scalar will do: RFC 7748 makes each a multiple of the cofactor.
    !StaticSecret::from([1; 32]).diffie_hellman(&PublicKey::from(point)).was_contributory()
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hybrid(recipient) => recipient.fmt(f),
            Self::X25519(recipient) => recipient.fmt(f),
            Self::KeyVault(key) => write!(f, "Key Vault key {}", key.fingerprint()),
        }
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipient({self})")
    }
}

/// Recipients that one value can be sealed to: at least one, not too many, and either all post-quantum or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipients {
    all: Vec<Recipient>,
    hints: bool,
}

impl Recipients {
    /// Checks them. One that is there twice counts once.
    ///
    /// # Errors
    /// If there is none, there are too many, or some are post-quantum and some are not.
    pub fn new(recipients: impl IntoIterator<Item = Recipient>) -> Result<Self, RecipientsError> {
        let mut all: Vec<Recipient> = Vec::new();
        for recipient in recipients {
            if !all.contains(&recipient) {
                all.push(recipient);
            }
        }
        let (post_quantum, classical): (Vec<_>, Vec<_>) =
            all.iter().partition(|recipient| recipient.kind().is_post_quantum());
        let named = |these: Vec<&Recipient>| these.into_iter().map(abridged).collect();
        match all.len() {
            0 => Err(RecipientsError::None),
            count if count > MAX_RECIPIENT_STANZAS => Err(RecipientsError::TooMany { count }),
            _ if !post_quantum.is_empty() && !classical.is_empty() => {
                Err(RecipientsError::Mixed { post_quantum: named(post_quantum), classical: named(classical) })
            }
            _ => Ok(Self { all, hints: true }),
        }
    }

    /// The same, without saying in a value whose it is: nobody then knows offline who can open it.
    #[must_use]
    pub fn without_hints(self) -> Self {
        Self { hints: false, ..self }
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Recipient> {
        self.all.iter()
    }

    /// Whether a quantum computer opens none of what is sealed to them.
    pub fn are_post_quantum(&self) -> bool {
        self.all.iter().all(|recipient| recipient.kind().is_post_quantum())
    }

    pub(super) fn wrapping(&self) -> Vec<Wrapping<'_>> {
        self.all.iter().map(|recipient| Wrapping { recipient, hint: self.hints }).collect()
    }
}

/// A hybrid recipient has some 2000 characters.
fn abridged(recipient: &Recipient) -> String {
    let text = recipient.to_string();
    match text.get(..24) {
        Some(start) if recipient.kind() != Kind::KeyVault => format!("{start}…"),
        _ => text,
    }
}

/// A recipient as age calls it.
pub(super) struct Wrapping<'a> {
    recipient: &'a Recipient,
    hint: bool,
}

impl age::Recipient for Wrapping<'_> {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        self.recipient.wrap(file_key, self.hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::age::Identity;

    #[test]
    fn only_the_two_kinds_are_recipients() {
        for (text, expected) in [
            ("ssh-ed25519 AAAA", NotARecipient::Unknown),
            ("age1yubikey1abc", NotARecipient::Unknown),
            ("age1pq1abc", NotARecipient::Unknown),
            ("", NotARecipient::Unknown),
        ] {
            assert_eq!(text.parse::<Recipient>(), Err(expected), "{text}");
        }
    }

    /// The age crate panics when it wraps for such a point.
    #[test]
    fn a_point_of_low_order_is_no_recipient() {
        let hrp = Identity::generate_x25519().recipient().to_string();
        let encode = |point: &[u8; 32]| {
            bech32_decode(
                &hrp,
                |_| (),
                |_| Ok(()),
                |hrp, _| Ok::<_, ()>(age_core::primitives::bech32_encode(hrp, point)),
            )
            .unwrap()
        };
        let mut one = [0; 32];
        one[0] = 1;
        for point in [[0; 32], one] {
            assert_eq!(encode(&point).parse::<Recipient>(), Err(NotARecipient::Weak));
        }
    }

    #[test]
    fn post_quantum_and_classical_do_not_mix() {
        let [a, b] = [0, 1].map(|_| Identity::generate_hybrid().unwrap().recipient());
        let c = Identity::generate_x25519().recipient();
        assert_eq!(Recipients::new([]), Err(RecipientsError::None));
        assert_eq!(Recipients::new([a.clone(), b.clone(), a.clone()]).unwrap().iter().count(), 2);
        assert!(Recipients::new([a.clone()]).unwrap().are_post_quantum());
        assert!(!Recipients::new([c.clone()]).unwrap().are_post_quantum());
        let error = Recipients::new([a, c, b]).unwrap_err();
        let RecipientsError::Mixed { post_quantum, classical } = &error else { panic!("{error}") };
        assert_eq!((post_quantum.len(), classical.len()), (2, 1));
        assert!(error.to_string().len() < 400, "{error}");
        let many = (0..=MAX_RECIPIENT_STANZAS).map(|_| Identity::generate_x25519().recipient());
        assert_eq!(Recipients::new(many), Err(RecipientsError::TooMany { count: 33 }));
    }
}
