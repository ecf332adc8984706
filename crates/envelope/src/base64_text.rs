//! Base64 exactly as Go's `StdEncoding` decodes it, since that is what the peer's controller and Kubernetes accept:
//! CR and LF are skipped anywhere, padding is required, nonzero trailing bits are accepted, anything else is an error.
//!
//! What is decoded may be plaintext, so every buffer on the way is wiped.

use crate::DecodeError;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

const GO_STD: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

pub(crate) fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, DecodeError> {
    let line_break = |b: &u8| matches!(b, b'\r' | b'\n');
    let mut joined = Zeroizing::new(Vec::new());
    let input = if text.bytes().any(|b| line_break(&b)) {
        // As large as it can become: growing would leave copies behind.
        joined.reserve_exact(text.len());
        joined.extend(text.bytes().filter(|b| !line_break(b)));
        joined.as_slice()
    } else {
        text.as_bytes()
    };
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(input.len())]);
    let len = GO_STD.decode_slice(input, &mut bytes).map_err(|_| explain(text))?;
    bytes.truncate(len);
    Ok(bytes)
}

pub(crate) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(3) * 4));
    GO_STD.encode_string(bytes, &mut text);
    text
}

/// Where the text goes wrong, counted in the text as it was given.
fn explain(text: &str) -> DecodeError {
    let expected = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'\r' | b'\n');
    let end = text.trim_end_matches(['=', '\r', '\n']).len();
    match text.bytes().take(end).position(|b| !expected(b)) {
        Some(offset) => DecodeError::NotBase64 { offset },
        None => DecodeError::Padding,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_as_go_does() {
        for (text, bytes) in [
            ("aGk=\n", &b"hi"[..]),
            ("a\r\nG\nk\r=\n", b"hi"),
            ("aGl=", b"hi"),
            ("", b""),
            ("AAEC/w==", &[0, 1, 2, 255]),
        ] {
            assert_eq!(*decode(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn errors_say_where() {
        for (text, error) in [
            ("aGk", DecodeError::Padding),
            ("aGk==", DecodeError::Padding),
            ("a Gk=", DecodeError::NotBase64 { offset: 1 }),
            ("aG\nk-", DecodeError::NotBase64 { offset: 4 }),
            ("aGk=aGk=", DecodeError::NotBase64 { offset: 3 }),
        ] {
            assert_eq!(decode(text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn encodes_with_padding_on_one_line() {
        assert_eq!(*encode(b"hi"), "aGk=");
        let long = encode(&[b'x'; 300]);
        assert_eq!(long.len(), 400);
        assert!(!long.contains('\n'));
    }
}
