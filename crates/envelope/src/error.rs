//! Errors, one per operation, written by hand so that the audited crate needs no macro.
//!
//! None of them holds a byte of a value, a key or the text that was given.

use std::fmt;

/// A name does not follow Kubernetes' grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameError {
    pub(crate) what: &'static str,
}

/// The text of a sealed value is not what [`crate::SealedValue::from_base64`] takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// A byte outside the standard alphabet, at this offset in bytes (CR and LF count).
    NotBase64 {
        /// Offset in bytes from the start of the text.
        offset: usize,
    },
    /// The padding is missing, too short or too long.
    Padding,
    /// The bytes are too few to be a sealed value in any format.
    TooShort,
}

/// Sealing failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// The cryptographic library refused; with a key that was accepted this means that it has no randomness.
    Crypto,
}

/// Opening failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The value is of another format than the one asked for.
    OtherFormat,
    /// The RSA part is not as long as this key's modulus: sealed to a key of another size, or damaged.
    /// Found without a private operation.
    OtherKeySize,
    /// It does not open with this key under this binding. Whether the key, the binding or the bytes are wrong is
    /// not told, and not known.
    DoesNotOpen,
}

/// A key is not usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a DER encoding of the kind asked for, or inconsistent in itself.
    Rejected,
    /// The size is not between 2048 and 8192 bits.
    Size,
    /// The cryptographic library could not make a key.
    Generate,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not {}", self.what)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBase64 { offset } => {
                write!(f, "not standard base64: unexpected character at byte {offset}")
            }
            Self::Padding => f.write_str("not standard base64: wrong padding at the end"),
            Self::TooShort => f.write_str("too short for a sealed value"),
        }
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Crypto => f.write_str("the cryptographic library could not seal"),
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherFormat => "the value is of another format",
            Self::OtherKeySize => "the value was sealed to a key of another size",
            Self::DoesNotOpen => "the value does not open with this key under this scope, namespace and name",
        })
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rejected => "not a usable RSA key",
            Self::Size => "RSA keys from 2048 to 8192 bits are supported",
            Self::Generate => "the cryptographic library could not make a key",
        })
    }
}

impl std::error::Error for NameError {}
impl std::error::Error for DecodeError {}
impl std::error::Error for SealError {}
impl std::error::Error for OpenError {}
impl std::error::Error for KeyError {}
