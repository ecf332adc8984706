//! Errors of the age format. None of them holds a byte of a value, a key or the text that was given.

use super::{BindingLine, MAX_HEADER_BYTES, MAX_RECIPIENT_STANZAS};
use std::fmt;

/// A value does not open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The value is of another format.
    OtherFormat,
    /// The header is not that of an age v1 file, or a recipient stanza of a known kind is malformed.
    Header,
    /// The header is larger, or has more stanzas, than is ever looked at.
    TooLarge,
    /// None of the keys is among its recipients.
    NoMatch,
    /// A key is among its recipients, but header or payload are not as they were sealed.
    Damaged,
    /// It was sealed for something else than the object and item where it stands, or for nothing at all.
    OtherBinding {
        /// For what, if its payload begins with a complete binding line; otherwise its first bytes may be somebody's
        /// plaintext, and are not told.
        sealed_for: Option<Box<BindingLine>>,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherFormat => f.write_str("the value is of another format"),
            Self::Header => f.write_str("its header is not that of an age v1 file"),
            Self::TooLarge => {
                write!(f, "its header has more than {MAX_RECIPIENT_STANZAS} recipients, or is too large")
            }
            Self::NoMatch => f.write_str("no key is among its recipients"),
            Self::Damaged => f.write_str("it was changed after it was sealed"),
            Self::OtherBinding { sealed_for: Some(line) } => write!(f, "it was sealed for {line}"),
            Self::OtherBinding { sealed_for: None } => {
                f.write_str("its payload does not begin with a binding line: it was not sealed by Privyseal")
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// Recipients that cannot be sealed to together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecipientsError {
    /// There is none.
    None,
    /// There are more than are ever looked at when opening.
    TooMany {
        /// How many.
        count: usize,
    },
    /// Post-quantum and classical ones: the classical ones would undo the protection of the others (C2SP age,
    /// "post-quantum" label).
    Mixed {
        /// Those that a quantum computer does not open.
        post_quantum: Vec<String>,
        /// Those that it does.
        classical: Vec<String>,
    },
}

impl fmt::Display for RecipientsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("no recipient is given"),
            Self::TooMany { count } => {
                write!(
                    f,
                    "{count} recipients are given, and at most {MAX_RECIPIENT_STANZAS} can open one value"
                )
            }
            Self::Mixed { post_quantum, classical } => write!(
                f,
                "post-quantum and classical recipients do not mix in one value: {} would be protected against a quantum \
                 computer, {} not, and so the value would not",
                post_quantum.join(", "),
                classical.join(", ")
            ),
        }
    }
}

impl std::error::Error for RecipientsError {}

/// A file cannot be made for other recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RewrapError {
    /// All of its recipients would be dropped.
    NobodyLeft,
    /// There would be more than are ever looked at when opening.
    TooMany {
        /// How many.
        count: usize,
    },
    /// Some would be post-quantum and some not.
    Mixed,
    /// The header would be larger than any that is read.
    TooLarge,
    /// The cryptographic library refused.
    Crypto,
}

impl fmt::Display for RewrapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyLeft => f.write_str("nobody would be left who can open it"),
            Self::TooMany { count } => {
                write!(f, "it would have {count} recipients, and at most {MAX_RECIPIENT_STANZAS} can open one value")
            }
            Self::Mixed => f.write_str(
                "it would have post-quantum and classical recipients, and the classical ones would undo the protection \
                 of the others",
            ),
            Self::TooLarge => {
                write!(f, "its header would have more than {MAX_HEADER_BYTES} bytes, or too many parts, and is not read then")
            }
            Self::Crypto => f.write_str("the cryptographic library could not seal"),
        }
    }
}

impl std::error::Error for RewrapError {}

/// A text is no recipient that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotARecipient {
    /// The private half, which must not be shown.
    Identity,
    /// A plugin's, an SSH key, or anything else.
    Unknown,
    /// Its numbers are none that a key has: everybody, or nobody, could open what is sealed to it.
    Weak,
}

impl fmt::Display for NotARecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => {
                "this is an identity, the private half: give its recipient, which `age-keygen -y FILE` prints"
            }
            Self::Unknown => {
                "not an age recipient: age1pq1 or age1, and its characters complete; no plugin and no SSH key"
            }
            Self::Weak => "not a usable age recipient: no private key has it",
        })
    }
}

impl std::error::Error for NotARecipient {}

/// A text is no identity file that we take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnIdentity {
    /// Which line, from 1; none if there is nothing in it.
    pub line: Option<usize>,
}

impl fmt::Display for NotAnIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => {
                write!(
                    f,
                    "line {line} is not an age identity: AGE-SECRET-KEY-PQ-1 or AGE-SECRET-KEY-1 and its characters"
                )
            }
            None => f.write_str("it holds no age identity"),
        }
    }
}

impl std::error::Error for NotAnIdentity {}
