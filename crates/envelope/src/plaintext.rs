//! Secret bytes.

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
