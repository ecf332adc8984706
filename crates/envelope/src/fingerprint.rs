//! The name of a key that trust and retirement compare.

use crate::base64_text;
use aws_lc_rs::digest;
use std::fmt;

/// SHA-256 over a public key: over its SubjectPublicKeyInfo DER for RSA, over the recipient string for age.
///
/// Shown as `SHA256:` and unpadded base64, as OpenSSH does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of these bytes of a public key.
    pub fn of(public_key: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, public_key);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// The short form for people and hints. It never authorises.
    pub fn key_id(&self) -> KeyId {
        let mut id = [0; 8];
        id.copy_from_slice(&self.0[..8]);
        KeyId(id)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", base64_text::encode(&self.0).trim_end_matches('='))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = NotAFingerprint;

    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let encoded = text.strip_prefix("SHA256:").ok_or(NotAFingerprint)?;
        let bytes = base64_text::decode(&format!("{encoded}=")).map_err(|_| NotAFingerprint)?;
        let this = Self(bytes.as_slice().try_into().map_err(|_| NotAFingerprint)?);
        // One text for one fingerprint: trailing bits and line breaks are not for comparing.
        if this.to_string() == text { Ok(this) } else { Err(NotAFingerprint) }
    }
}

/// The text is not `SHA256:` and 43 characters of base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAFingerprint;

impl fmt::Display for NotAFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a fingerprint: SHA256: and 43 characters of base64")
    }
}

impl std::error::Error for NotAFingerprint {}

/// The first 8 bytes of a fingerprint, shown as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for KeyId {
    type Err = NotAKeyId;

    fn from_str(text: &str) -> Result<Self, NotAKeyId> {
        let lower_hex = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
        if text.len() != 16 || !text.bytes().all(lower_hex) {
            return Err(NotAKeyId);
        }
        let number = u64::from_str_radix(text, 16).map_err(|_| NotAKeyId)?;
        Ok(Self(number.to_be_bytes()))
    }
}

/// The text is not 16 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKeyId;

impl fmt::Display for NotAKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a key id: 16 lower-case hex digits")
    }
}

impl std::error::Error for NotAKeyId {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_round_trip() {
        let fingerprint = Fingerprint::of(b"");
        // SHA-256 of nothing, from FIPS 180-4 test data.
        assert_eq!(fingerprint.to_string(), "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU");
        assert_eq!(fingerprint.key_id().to_string(), "e3b0c44298fc1c14");
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        assert_eq!(fingerprint.key_id().to_string().parse(), Ok(fingerprint.key_id()));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in ["", "SHA256:", "sha256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", "SHA256:47DE"] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
        for bad in ["", "e3b0c44298fc1c1", "E3B0C44298FC1C14", "+3b0c44298fc1c14"] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
    }
}
