//! Base64 exactly as Go's `StdEncoding` decodes it, since that is what the peer's controller accepts:
//! CR and LF are skipped anywhere, padding is required, nonzero trailing bits are accepted, anything else is an error.

use crate::DecodeError;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const GO_STD: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

pub(crate) fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    let has_line_breaks = text.bytes().any(|b| matches!(b, b'\r' | b'\n'));
    let decoded = if has_line_breaks {
        let joined: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
        GO_STD.decode(joined)
    } else {
        GO_STD.decode(text)
    };
    decoded.map_err(|_| explain(text))
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    GO_STD.encode(bytes)
}

/// Where the text goes wrong, counted in the text as it was given.
fn explain(text: &str) -> DecodeError {
    let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
    let line_break = |b: u8| matches!(b, b'\r' | b'\n');
    let end = text.trim_end_matches(['=', '\r', '\n']).len();
    match text.bytes().take(end).position(|b| !in_alphabet(b) && !line_break(b)) {
        Some(offset) => DecodeError::NotBase64 { offset },
        None => DecodeError::Padding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_are_skipped_and_trailing_bits_accepted() {
        assert_eq!(decode("aGk=\n").unwrap(), b"hi");
        assert_eq!(decode("a\r\nG\nk\r=\n").unwrap(), b"hi");
        assert_eq!(decode("aGl=").unwrap(), b"hi");
        assert_eq!(decode("").unwrap(), b"");
    }

    #[test]
    fn errors_say_where() {
        assert_eq!(decode("aGk"), Err(DecodeError::Padding));
        assert_eq!(decode("aGk=="), Err(DecodeError::Padding));
        assert_eq!(decode("a Gk="), Err(DecodeError::NotBase64 { offset: 1 }));
        assert_eq!(decode("aG\nk-"), Err(DecodeError::NotBase64 { offset: 4 }));
        assert_eq!(decode("aGk=aGk="), Err(DecodeError::NotBase64 { offset: 3 }));
    }
}
