//! What an unquoted YAML scalar is, to `kubectl` and the API server.
//!
//! They read through go-yaml v2 (sigs.k8s.io/yaml), which mixes YAML 1.1 and 1.2: `yes`, `on` and `y` are booleans,
//! `010` is 8, `1_000` is a number, `08` a float, `12:30` and `2026-01-01` are text. This is its `resolve`, line
//! by line.

use super::node::Kind;
use crate::error::Found;
use serde_json::Number;
use zeroize::Zeroizing;

/// Resolves an unquoted, untagged scalar.
pub(crate) fn resolve(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Kind::Boolean(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Kind::Boolean(false);
        }
        _ => {}
    }
    number(text).map_or_else(|| Kind::Text(Zeroizing::new(text.to_owned())), Kind::Number)
}

/// What a key is, if Kubernetes would give it another name.
pub(crate) fn key_not_text(text: &str, plain: bool) -> Option<Found> {
    let kind = if plain { resolve(text) } else { return None };
    if same_key(text, &kind) { None } else { kind.found() }
}

/// The key that Kubernetes makes of a scalar that is not text, if it is spelled the same.
pub(super) fn same_key(text: &str, kind: &Kind) -> bool {
    match kind {
        Kind::Text(_) => true,
        // sigs.k8s.io/yaml writes floats with 32 bits, and those of 21 digits or more with an exponent.
        Kind::Number(number) => match (number.is_f64(), number.as_f64()) {
            (true, Some(float)) => (1e-4..1e6).contains(&float.abs()) && (float as f32).to_string() == text,
            _ => number.to_string() == text,
        },
        _ => false,
    }
}

fn number(text: &str) -> Option<Number> {
    match text.as_bytes().first()? {
        b'.' if matches!(text, ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF") => Some(not_finite()),
        b'.' => float(text),
        b'+' | b'-' if matches!(&text[1..], ".inf" | ".Inf" | ".INF") => Some(not_finite()),
        b'0'..=b'9' | b'+' | b'-' => {
            let plain = Zeroizing::new(text.replace('_', ""));
            integer(&plain).or_else(|| yaml_style_float(&plain).then(|| float(&plain)).flatten())
        }
        _ => None,
    }
}

/// Infinity and NaN are no JSON; all that anyone needs to know is that they are numbers, and not text.
fn not_finite() -> Number {
    Number::from(0)
}

/// Go's `ParseInt` and `ParseUint` with base 0, then go-yaml's own `0b`.
fn integer(text: &str) -> Option<Number> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &unsigned[2..]),
        [b'0', b'o' | b'O', ..] => (8, &unsigned[2..]),
        [b'0', b'b' | b'B', ..] => (2, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    if digits.starts_with(['+', '-']) {
        return text
            .strip_prefix("0b")
            .and_then(|digits| i64::from_str_radix(digits, 2).ok())
            .map(Number::from);
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    match (negative, text.starts_with('+')) {
        (true, _) => 0i64.checked_sub_unsigned(magnitude).map(Number::from),
        (_, true) => i64::try_from(magnitude).ok().map(Number::from),
        _ => Some(Number::from(magnitude)),
    }
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`
fn yaml_style_float(text: &str) -> bool {
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mantissa = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) if all_digits(exponent.strip_prefix(['-', '+']).unwrap_or(exponent)) => {
            mantissa
        }
        Some(_) => return false,
        None => unsigned,
    };
    match mantissa.split_once('.') {
        Some(("", fraction)) => all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && (fraction.is_empty() || all_digits(fraction)),
        None => all_digits(mantissa),
    }
}

/// A float; one out of range is text to Go.
fn float(text: &str) -> Option<Number> {
    Number::from_f64(text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> String {
        match resolve(text) {
            Kind::Null => "null".to_owned(),
            Kind::Boolean(value) => value.to_string(),
            Kind::Number(number) => number.to_string(),
            _ => "text".to_owned(),
        }
    }

    #[test]
    fn reads_scalars_as_go_yaml_does() {
        for (text, expected) in [
            ("", "null"),
            ("~", "null"),
            ("NULL", "null"),
            ("nUll", "text"),
            ("y", "true"),
            ("N", "false"),
            ("yes", "true"),
            ("yEs", "text"),
            ("On", "true"),
            ("oFF", "text"),
            ("5", "5"),
            ("-5", "-5"),
            ("+5", "5"),
            ("- 5", "text"),
            ("--5", "text"),
            ("0", "0"),
            ("00", "0"),
            ("010", "8"),
            ("-010", "-8"),
            ("08", "8.0"),
            ("0o17", "15"),
            ("0O17", "15"),
            ("0x10", "16"),
            ("0XfF", "255"),
            ("-0x10", "-16"),
            ("0b11", "3"),
            ("0b-1", "-1"),
            ("0x", "text"),
            ("0b2", "text"),
            ("1_000", "1000"),
            ("_1", "text"),
            ("1__0_", "10"),
            ("0x_1_", "1"),
            ("+_1", "1"),
            ("18446744073709551615", "18446744073709551615"),
            ("+18446744073709551615", "1.8446744073709552e+19"),
            ("18446744073709551616", "1.8446744073709552e+19"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1e3", "1000.0"),
            ("1E+3", "1000.0"),
            ("1e", "text"),
            ("1.", "1.0"),
            (".5", "0.5"),
            ("1.5", "1.5"),
            (".5e1", "5.0"),
            (".", "text"),
            ("..", "text"),
            ("1.2.3", "text"),
            ("1e999", "text"),
            ("+.5", "0.5"),
            (".inf", "0"),
            ("-.INF", "0"),
            (".iNf", "text"),
            (".nan", "0"),
            ("-.nan", "text"),
            ("inf", "text"),
            ("12:30", "text"),
            ("190:20:30", "text"),
            ("2026-01-01", "text"),
            ("2026-01-01T00:00:00Z", "text"),
            ("=", "text"),
            ("<<", "text"),
            ("true ", "text"),
            ("0x1.8p1", "text"),
            ("1,000", "text"),
            ("١", "text"),
        ] {
            assert_eq!(name(text), expected, "{text:?}");
        }
    }

    #[test]
    fn keys_that_kubernetes_would_rename_are_told_apart() {
        for same in ["5", "-5", "0", "1.5", "a", "2026-01-01", "18446744073709551615"] {
            assert!(same_key(same, &resolve(same)), "{same}");
        }
        for other in
            ["y", "on", "~", "010", "0x10", "1e3", "1.10", "+5", "1_000", "1.", "1234567.5", ".inf", "08"]
        {
            assert!(!same_key(other, &resolve(other)), "{other}");
        }
    }
}
