//! JSON Web Tokens, signed with RS256 and checked (RFC 7515, 7517, 7518).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::traits::PublicKeyParts as _;
use serde_json::{Value, json};

/// A key that signs tokens.
#[derive(Debug)]
pub(crate) struct Signer {
    key: KeyPair,
    kid: String,
    jwk: Value,
}

/// A token whose signature is not looked at yet.
#[derive(Debug)]
pub(crate) struct Token<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    pub(crate) kid: String,
    pub(crate) claims: Value,
}

impl Signer {
    /// With a new key of 2048 bits.
    pub(crate) fn generate() -> Self {
        let key = KeyPair::generate(KeySize::Rsa2048).expect("an RSA key");
        let pkcs8 = AsDer::<Pkcs8V1Der<'_>>::as_der(&key).expect("PKCS #8");
        let public = rsa::PrivateKey::from_pkcs8_der(pkcs8.as_ref()).expect("an RSA key").to_public_key();
        Self::new(key, &public, &random_id())
    }

    /// With a key of somebody else, which he publishes as `kid`.
    ///
    /// # Panics
    ///
    /// Where `pem` is no RSA key.
    pub(crate) fn of_pem(pem: &str, kid: &str) -> Self {
        let private = rsa::PrivateKey::from_pkcs8_pem(pem)
            .or_else(|_| rsa::PrivateKey::from_pkcs1_pem(pem))
            .expect("an RSA key in PEM");
        use rsa::pkcs8::EncodePrivateKey as _;
        let pkcs8 = private.to_pkcs8_der().expect("PKCS #8");
        let key = KeyPair::from_pkcs8(pkcs8.as_bytes()).expect("an RSA key");
        Self::new(key, &private.to_public_key(), kid)
    }

    fn new(key: KeyPair, public: &rsa::PublicKey, kid: &str) -> Self {
        let jwk = json!({
            "kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid,
            "n": base64url(&public.n_bytes()), "e": base64url(&public.e_bytes()),
        });
        Self { key, kid: kid.to_owned(), jwk }
    }

    /// The public half, as a key set.
    pub(crate) fn jwks(&self) -> Value {
        json!({"keys": [self.jwk]})
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.kid});
        let signed = format!(
            "{}.{}",
            base64url(header.to_string().as_bytes()),
            base64url(claims.to_string().as_bytes())
        );
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .expect("signing does not fail");
        format!("{signed}.{}", base64url(&signature))
    }
}

impl<'a> Token<'a> {
    /// Reads a token; `None` if it is none, or not signed with RS256.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let part = |part: &str| -> Option<Value> { serde_json::from_slice(&of_base64url(part)?).ok() };
        let header = part(header)?;
        let claims = part(claims)?;
        if header["alg"] != "RS256" || !claims.is_object() {
            return None;
        }
        let kid = header["kid"].as_str().unwrap_or_default().to_owned();
        Some(Self { signed, signature: of_base64url(signature)?, kid, claims })
    }

    /// Whether the key set holds its key.
    pub(crate) fn key_is_in(&self, jwks: &Value) -> bool {
        self.keys_of(jwks).next().is_some()
    }

    /// Whether its key of that set signed it.
    pub(crate) fn is_signed_by(&self, jwks: &Value) -> bool {
        let number = |jwk: &Value, part: &str| jwk[part].as_str().and_then(of_base64url);
        self.keys_of(jwks).any(|jwk| {
            let (Some(n), Some(e)) = (number(jwk, "n"), number(jwk, "e")) else { return false };
            let key = PublicKeyComponents { n, e };
            key.verify(&RSA_PKCS1_2048_8192_SHA256, self.signed.as_bytes(), &self.signature).is_ok()
        })
    }

    fn keys_of<'b>(&self, jwks: &'b Value) -> impl Iterator<Item = &'b Value> {
        let kid = self.kid.clone();
        jwks["keys"].as_array().into_iter().flatten().filter(move |jwk| jwk["kid"] == *kid)
    }

    /// A claim that is text; an absent one is empty.
    pub(crate) fn text(&self, claim: &str) -> &str {
        self.claims[claim].as_str().unwrap_or_default()
    }

    /// For whom it is; the claim is one or a list.
    pub(crate) fn audiences(&self) -> Vec<&str> {
        match &self.claims["aud"] {
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        }
    }

    /// Whether it is for this audience.
    pub(crate) fn is_for(&self, audience: &str) -> bool {
        self.audiences().contains(&audience)
    }

    /// Whether `now`, in Unix seconds, is in its time. One without an end is never valid.
    pub(crate) fn is_valid_at(&self, now: i64) -> bool {
        self.claims["exp"].as_i64().is_some_and(|end| now < end)
            && self.claims["nbf"].as_i64().is_none_or(|begin| begin <= now)
    }
}

/// The current time in Unix seconds.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    seconds(since)
}

/// Whole seconds.
pub(crate) fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).expect("some time of this age")
}

/// 32 hexadecimal digits, as Azure names a version.
pub(crate) fn random_id() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// base64url without padding (RFC 4648, section 5).
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn of_base64url(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_signed_by_its_key_only() {
        let (one, other) = (Signer::generate(), Signer::generate());
        let text = one.sign(&json!({"iss": "me", "aud": ["a", "b"], "exp": 10}));
        let token = Token::parse(&text).unwrap();
        assert!(token.is_signed_by(&one.jwks()));
        assert!(!token.key_is_in(&other.jwks()) && !token.is_signed_by(&other.jwks()));
        assert!(token.is_for("a") && token.is_for("b") && !token.is_for("c"));
        assert!(token.is_valid_at(9) && !token.is_valid_at(10));

        // Another key by the same name, and other claims under the same signature.
        let mut forged = other.jwks();
        forged["keys"][0]["kid"] = one.jwks()["keys"][0]["kid"].clone();
        assert!(token.key_is_in(&forged) && !token.is_signed_by(&forged));
        let [header, _, signature] = text.split('.').collect::<Vec<_>>()[..] else { panic!("{text}") };
        let claims = base64url(json!({"iss": "you"}).to_string().as_bytes());
        let changed = format!("{header}.{claims}.{signature}");
        assert!(!Token::parse(&changed).unwrap().is_signed_by(&one.jwks()));
    }

    #[test]
    fn what_is_no_token_is_none() {
        for text in ["", ".", "..", "a.b.c", "garbage"] {
            assert!(Token::parse(text).is_none(), "{text}");
        }
        let unsigned = format!("{}.{}.", base64url(br#"{"alg":"none"}"#), base64url(b"{}"));
        assert!(Token::parse(&unsigned).is_none());
    }
}
