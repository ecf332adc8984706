//! The bytes of one sealed value, before anyone has opened them.

use crate::{DecodeError, base64_text};

/// The first bytes of every age v1 file (C2SP age specification).
const AGE_MAGIC: &[u8] = b"age-encryption.org/v1\n";

/// Which of the two formats a sealed value is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// RSA-OAEP and AES-256-GCM: the peer's wire format.
    Classic,
    /// An age v1 file.
    Age,
}

impl Format {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Classic, Self::Age];

    /// The word used in flags and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classic => "classic",
            Self::Age => "age",
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        Self::ALL.into_iter().find(|format| format.as_str() == text).ok_or(UnknownFormat)
    }
}

/// The text is not one of `classic`, `age`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownFormat;

impl std::fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a format: one of classic, age")
    }
}

impl std::error::Error for UnknownFormat {}

/// One sealed value: well-formed base64, nothing more is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedValue(Vec<u8>);

impl SealedValue {
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Decodes the text of an `encryptedData` entry.
    pub fn from_base64(text: &str) -> Result<Self, DecodeError> {
        let bytes = std::mem::take(&mut *base64_text::decode(text)?);
        if bytes.len() < 2 {
            return Err(DecodeError::TooShort);
        }
        Ok(Self(bytes))
    }

    /// The text for an `encryptedData` entry: standard base64 with padding, on one line.
    pub fn to_base64(&self) -> String {
        std::mem::take(&mut *base64_text::encode(&self.0))
    }

    /// The decoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The format, told by the first bytes. A classic value cannot begin as an age file does: its first two bytes
    /// would name an RSA part of 24 935 bytes.
    pub fn format(&self) -> Format {
        if self.0.starts_with(AGE_MAGIC) { Format::Age } else { Format::Classic }
    }
}
