//! Who vouches for a client: an issuer of assertions.

use std::time::Duration;

use kube::{Client, Config};
use serde_json::{Value, json};

use super::EXCHANGE_AUDIENCE;
use super::jwt::{Signer, Token, now, seconds};

/// An issuer of assertions of a test's own, for what a control plane would not sign.
#[derive(Debug)]
pub struct Issuer {
    url: String,
    signer: Signer,
}

impl Issuer {
    /// One with a key of its own, named by a URL that nobody resolves.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), signer: Signer::generate() }
    }

    /// Its name, the claim `iss`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its public key set, as an OpenID provider publishes it.
    pub fn jwks(&self) -> Value {
        self.signer.jwks()
    }

    /// An assertion for `subject` as Entra wants it, valid for an hour.
    pub fn assertion(&self, subject: &str) -> String {
        self.assertion_for(subject, EXCHANGE_AUDIENCE, 0, Duration::from_secs(3600))
    }

    /// An assertion for any audience, issued `age` seconds ago and valid for `lifetime` from then on.
    pub fn assertion_for(&self, subject: &str, audience: &str, age: i64, lifetime: Duration) -> String {
        let begin = now() - age;
        self.signer.sign(&json!({
            "iss": self.url, "sub": subject, "aud": [audience],
            "iat": begin, "nbf": begin, "exp": begin + seconds(lifetime),
        }))
    }
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug)]
pub(super) enum Keys {
    /// Known once and for all.
    Fixed(Value),
    /// At an API server, and what was last seen there.
    ApiServer { config: Box<Config>, seen: Option<Value> },
}

impl Keys {
    /// The key set in which the token's key is, if it can be had: an API server is asked again for a key that was not
    /// there the last time.
    pub(super) async fn for_token(&mut self, token: &Token<'_>) -> Result<Value, kube::Error> {
        match self {
            Self::Fixed(jwks) => Ok(jwks.clone()),
            Self::ApiServer { seen: Some(jwks), .. } if token.key_is_in(jwks) => Ok(jwks.clone()),
            Self::ApiServer { config, seen } => {
                let jwks = get(config, "/openid/v1/jwks").await?;
                *seen = Some(jwks.clone());
                Ok(jwks)
            }
        }
    }
}

/// The issuer that an API server says it is.
pub(super) async fn of_api_server(config: &Config) -> Result<String, kube::Error> {
    let discovery = get(config, "/.well-known/openid-configuration").await?;
    Ok(discovery["issuer"].as_str().unwrap_or_default().to_owned())
}

async fn get(config: &Config, path: &str) -> Result<Value, kube::Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    // A client of its own: one belongs to the runtime in which it was made.
    Client::try_from(config.clone())?.request(request).await
}
