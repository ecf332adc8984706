//! To whom a backup may go.
//!
//! A backup is only as safe as the keys that it is encrypted to. Were post-quantum identities encrypted to classical keys,
//! whoever keeps the file until a quantum computer breaks those would have them too, and all that was ever sealed to them.

use privyseal_envelope::age::Recipients;
use std::fmt;

/// Recipients of backups, and whether classical ones may get post-quantum keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupRecipients {
    recipients: Recipients,
    may_be_classical: bool,
}

impl BackupRecipients {
    /// Classical ones get no backup that holds a post-quantum key, unless that is allowed.
    pub fn new(recipients: Recipients, may_be_classical: bool) -> Self {
        Self { recipients, may_be_classical }
    }

    /// All of them.
    pub fn all(&self) -> &Recipients {
        &self.recipients
    }

    /// All of them, if they may get a backup that holds a post-quantum key. Every key that we make is one.
    ///
    /// # Errors
    /// If they are classical, and that was not allowed.
    pub fn for_post_quantum(&self) -> Result<&Recipients, ClassicalRecipients> {
        match self.may_be_classical || self.recipients.are_post_quantum() {
            true => Ok(&self.recipients),
            false => Err(ClassicalRecipients),
        }
    }
}

/// Classical recipients would get post-quantum keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassicalRecipients;

impl fmt::Display for ClassicalRecipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the recipients are classical (age1…), and the keys are safe from quantum computers: in such a backup they would \
             not be",
        )
    }
}

impl std::error::Error for ClassicalRecipients {}

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_envelope::age::Identity;

    #[test]
    fn post_quantum_keys_go_to_post_quantum_recipients_unless_others_are_allowed() {
        let [hybrid, classical] = [Identity::generate_hybrid().unwrap(), Identity::generate_x25519()]
            .map(|identity| Recipients::new([identity.recipient()]).unwrap());
        for (recipients, may_be_classical, expected) in [
            (&hybrid, false, true),
            (&hybrid, true, true),
            (&classical, false, false),
            (&classical, true, true),
        ] {
            let recipients = BackupRecipients::new(recipients.clone(), may_be_classical);
            assert_eq!(recipients.for_post_quantum().is_ok(), expected, "{recipients:?}");
        }
    }
}
