//! Secret bytes.

use crate::{DecodeError, base64_text};
use zeroize::Zeroizing;

/// A value in the clear.
///
/// It has no `Debug`, `Display` or `Serialize`, so that no log line, error or status can hold one by accident, and
/// it is wiped when dropped. [`Plaintext::expose`] is the one way to its bytes; search for it to find every use.
#[derive(Clone, PartialEq, Eq)]
pub struct Plaintext(Zeroizing<Vec<u8>>);

impl Plaintext {
    /// Takes over bytes; the vector given is the one that will be wiped.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Decodes an entry of a Secret's `data`.
    ///
    /// # Errors
    /// If it is not standard base64; never [`DecodeError::TooShort`].
    pub fn from_base64(text: &str) -> Result<Self, DecodeError> {
        base64_text::decode(text).map(Self)
    }

    /// The text for an entry of a Secret's `data`: standard base64 with padding, on one line. It is as secret as the
    /// value, and wiped too.
    pub fn to_base64(&self) -> Zeroizing<String> {
        base64_text::encode(&self.0)
    }

    /// The bytes. The caller must not format, log or keep them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl From<Zeroizing<Vec<u8>>> for Plaintext {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(bytes)
    }
}

impl From<&[u8]> for Plaintext {
    fn from(bytes: &[u8]) -> Self {
        Self::new(bytes.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(Plaintext: std::fmt::Debug, std::fmt::Display);
}
