//! Base64 of `data`, exactly as Go's `StdEncoding` decodes it: CR and LF are skipped, padding is required, nonzero
//! trailing bits are accepted, anything else is an error. Both ways the text of a plaintext is wiped.

use crate::error::Problem;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use privyseal_envelope::Plaintext;
use zeroize::Zeroizing;

const GO_STD: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

pub(crate) fn decode(text: &str) -> Result<Plaintext, Problem> {
    let line_break = |b: &u8| matches!(b, b'\r' | b'\n');
    let mut joined = Zeroizing::new(Vec::new());
    let input = if text.bytes().any(|b| line_break(&b)) {
        joined.reserve_exact(text.len());
        joined.extend(text.bytes().filter(|b| !line_break(b)));
        joined.as_slice()
    } else {
        text.as_bytes()
    };
    let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(input.len())]);
    let len = GO_STD.decode_slice(input, &mut bytes).map_err(|_| explain(text))?;
    bytes.truncate(len);
    Ok(Plaintext::from(bytes))
}

pub(crate) fn encode(plaintext: &Plaintext) -> Zeroizing<String> {
    let bytes = plaintext.expose();
    let mut text = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(3) * 4));
    GO_STD.encode_string(bytes, &mut text);
    text
}

/// Where the text goes wrong, counted in the value as YAML or JSON gave it.
fn explain(text: &str) -> Problem {
    let expected = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'\r' | b'\n');
    let end = text.trim_end_matches(['=', '\r', '\n']).len();
    match text.bytes().take(end).position(|b| !expected(b)) {
        Some(offset) => Problem::NotBase64 { offset },
        None => Problem::Base64Padding,
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
            assert!(decode(text).is_ok_and(|plaintext| plaintext.expose() == bytes), "{text}");
        }
        for (text, problem) in [
            ("aGk", Problem::Base64Padding),
            ("aGk==", Problem::Base64Padding),
            ("a Gk=", Problem::NotBase64 { offset: 1 }),
            ("aG\nk-", Problem::NotBase64 { offset: 4 }),
            ("aGk=aGk=", Problem::NotBase64 { offset: 3 }),
        ] {
            assert_eq!(decode(text).err(), Some(problem), "{text}");
        }
    }

    #[test]
    fn encodes_with_padding_on_one_line() {
        let long = Plaintext::new(vec![b'x'; 300]);
        assert_eq!(*encode(&Plaintext::new(b"hi".to_vec())), "aGk=");
        assert_eq!(encode(&long).len(), 400);
        assert!(!encode(&long).contains('\n'));
    }
}
