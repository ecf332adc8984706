//! Whom values are sealed to, and so in which format.

use privyseal_envelope::age::{self, Recipients};
use privyseal_envelope::rsa::SealingKey;
use privyseal_envelope::{Binding, Format, Item, KeyId, Plaintext, SealError, SealedValue, classic};

/// One certificate's key, or recipients.
#[derive(Clone, Copy, Debug)]
pub enum SealTo<'a> {
    /// Format `classic`.
    Classic(&'a SealingKey),
    /// Format `age`.
    Age(&'a Recipients),
}

impl SealTo<'_> {
    /// The format of what is sealed.
    pub fn format(&self) -> Format {
        match self {
            Self::Classic(_) => Format::Classic,
            Self::Age(_) => Format::Age,
        }
    }

    pub(crate) fn seal(
        &self,
        plaintext: &Plaintext,
        binding: &Binding,
        item: &Item,
    ) -> Result<SealedValue, SealError> {
        match self {
            Self::Classic(key) => classic::seal(plaintext.expose(), key, binding),
            Self::Age(recipients) => age::seal(plaintext.expose(), recipients, binding, item),
        }
    }

    /// The key that the annotation names for a value sealed so. A value of the age format says itself whose it is.
    pub(crate) fn hint(&self) -> Option<KeyId> {
        match self {
            Self::Classic(key) => Some(key.fingerprint().key_id()),
            Self::Age(_) => None,
        }
    }
}
