//! Who we are to a vault, and what the vault says of whom it lets in: for people who look for what is wrong.
//!
//! All of it is a claim, and nothing is decided by it: a token is read without its signature, and a vault says its tenant
//! before it knows who asks. Neither token nor answer is shown; only texts of a checked alphabet are given on.

use super::answer::Refusals;
use super::answer::{self, Asked};
use super::{KeyVault, Operation};
use crate::custody::Failure;
use azure_core::http::headers::WWW_AUTHENTICATE;
use azure_core::http::{Method, Request, Url};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// The service's version of this one request; it is answered before it is looked at.
const API_VERSION: &str = "7.6";
/// The longest id that is shown.
const MAX_ID: usize = 64;
/// The longest issuer, subject or audience that is shown.
const MAX_CLAIM: usize = 512;

/// What an access token says of who holds it. Nothing is there that it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The tenant.
    pub tenant: Option<String>,
    /// The object id: what a role is assigned to.
    pub object: Option<String>,
    /// The client id of the application or managed identity, or of the program that a person uses.
    pub client: Option<String>,
    /// Whether it is an application or managed identity, and no person.
    pub is_application: bool,
    /// Until when the token is valid.
    pub expires: Option<Timestamp>,
}

impl Identity {
    /// Reads the claims of a token, in either of Entra's versions.
    fn of_token(token: &str) -> Self {
        #[derive(Default, Deserialize)]
        struct Claims {
            tid: Option<String>,
            oid: Option<String>,
            appid: Option<String>,
            azp: Option<String>,
            idtyp: Option<String>,
            exp: Option<i64>,
        }
        let claims: Claims = claims_of(token);
        Self {
            tenant: claims.tid.filter(|text| is_id(text)),
            object: claims.oid.filter(|text| is_id(text)),
            client: claims.appid.or(claims.azp).filter(|text| is_id(text)),
            is_application: claims.idtyp.as_deref() == Some("app"),
            expires: claims.exp.and_then(|seconds| Timestamp::from_second(seconds).ok()),
        }
    }
}

/// What a service-account token says of itself: what a federated credential has to name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assertion {
    /// Who made it.
    pub issuer: Option<String>,
    /// About whom: `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: Option<String>,
    /// For whom.
    pub audiences: Vec<String>,
    /// Until when it is valid.
    pub expires: Option<Timestamp>,
}

impl Assertion {
    /// Reads the claims of a service-account token.
    pub fn of_token(token: &str) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Claims {
            iss: Option<String>,
            sub: Option<String>,
            aud: Audiences,
            exp: Option<i64>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Audiences {
            One(String),
            Some(Vec<String>),
        }
        impl Default for Audiences {
            fn default() -> Self {
                Self::Some(Vec::new())
            }
        }
        let Claims { iss, sub, aud, exp } = claims_of(token.trim());
        let shown = |text: &String| text.len() <= MAX_CLAIM && text.bytes().all(|b| b.is_ascii_graphic());
        let audiences = match aud {
            Audiences::One(one) => vec![one],
            Audiences::Some(all) => all,
        };
        Self {
            issuer: iss.filter(shown),
            subject: sub.filter(shown),
            audiences: audiences.into_iter().filter(shown).collect(),
            expires: exp.and_then(|seconds| Timestamp::from_second(seconds).ok()),
        }
    }
}

fn claims_of<T: Default + DeserializeOwned>(token: &str) -> T {
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    claims.and_then(|claims| serde_json::from_slice(&claims).ok()).unwrap_or_default()
}

impl KeyVault {
    /// Gets a token as for a call of the vault, and says whose it is.
    ///
    /// # Errors
    /// If there is no token to be had.
    pub async fn identity(&self) -> Result<Identity, Failure> {
        let scope = format!("{}/.default", self.vault().resource());
        // Failures of the transport are whole; this is for those that get past it.
        let asked = Asked::token("of the credential", Refusals::OfEntra);
        let scopes = [scope.as_str()];
        let token = self.in_time(&asked, self.0.credential.get_token(&scopes, None)).await?;
        Ok(Identity::of_token(token.token.secret()))
    }

    /// The tenant whose tokens the vault takes, by its own word. It takes no right: a call without a token is answered
    /// with it. None if the vault does not say it.
    ///
    /// # Errors
    /// If the vault does not answer.
    pub async fn tenant(&self) -> Result<Option<String>, Failure> {
        let asked = Asked::vault(Operation::GetKey, self.vault(), self.key_name().as_str());
        let url = format!("{}/keys/{}?api-version={API_VERSION}", self.vault(), self.key_name());
        let url = Url::parse(&url).map_err(|_| answer::unreadable(&asked))?;
        let request = Request::new(url, Method::Get);
        let answer = self.in_time(&asked, self.0.transport.execute_request(&request)).await?;
        let challenge = answer.headers().get_optional_str(&WWW_AUTHENTICATE);
        Ok(challenge.and_then(tenant_of).map(str::to_owned))
    }
}

/// `Bearer authorization="https://login.microsoftonline.com/TENANT", resource="https://vault.azure.net"`
fn tenant_of(challenge: &str) -> Option<&str> {
    let (_, rest) = challenge.split_once("authorization=\"")?;
    let (address, _) = rest.split_once('"')?;
    let tenant = address.strip_prefix("https://")?.trim_end_matches('/').split('/').nth(1)?;
    is_id(tenant).then_some(tenant)
}

fn is_id(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_whose_it_is_and_nothing_odd_is_given_on() {
        let token = |claims: &str| format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        let identity =
            Identity::of_token(&token(r#"{"tid":"t-1","oid":"o-1","appid":"c-1","idtyp":"app","exp":1000}"#));
        assert_eq!(identity.tenant.as_deref(), Some("t-1"));
        assert_eq!(identity.object.as_deref(), Some("o-1"));
        assert_eq!(identity.client.as_deref(), Some("c-1"));
        assert!(identity.is_application);
        assert_eq!(identity.expires, Timestamp::from_second(1000).ok());
        let person = Identity::of_token(&token(r#"{"tid":"t-1","azp":"c-2","idtyp":"user"}"#));
        assert_eq!((person.client.as_deref(), person.is_application), (Some("c-2"), false));
        let odd = Identity::of_token(&token(r#"{"tid":"$(reboot)","oid":"a b"}"#));
        assert_eq!(odd, Identity::default());
        for garbage in ["", "opaque", "a.b.c", "..", &token("[]")] {
            assert_eq!(Identity::of_token(garbage), Identity::default(), "{garbage}");
        }
    }

    #[test]
    fn a_service_account_token_says_what_a_federated_credential_must_name() {
        let token = |claims: &str| format!("e30.{}.c2ln\n", URL_SAFE_NO_PAD.encode(claims));
        let said = Assertion::of_token(&token(
            r#"{"iss":"https://issuer.example/","sub":"system:serviceaccount:a:b","aud":["api://x"],"exp":1000}"#,
        ));
        assert_eq!(said.issuer.as_deref(), Some("https://issuer.example/"));
        assert_eq!(said.subject.as_deref(), Some("system:serviceaccount:a:b"));
        assert_eq!(
            (said.audiences, said.expires),
            (vec!["api://x".to_owned()], Timestamp::from_second(1000).ok())
        );
        assert_eq!(Assertion::of_token(&token(r#"{"aud":"one"}"#)).audiences, ["one"]);
        assert_eq!(Assertion::of_token(&token("{\"iss\":\"a\\u001b[31m\"}")), Assertion::default());
        assert_eq!(Assertion::of_token("no token"), Assertion::default());
    }

    #[test]
    fn a_challenge_names_a_tenant() {
        for (challenge, tenant) in [
            (
                r#"Bearer authorization="https://login.example/t-1", resource="https://vault.azure.net""#,
                Some("t-1"),
            ),
            (r#"Bearer authorization="https://login.example/t-1/""#, Some("t-1")),
            (r#"Bearer authorization="https://login.example""#, None),
            (r#"Bearer authorization="https://login.example/a;b""#, None),
            (r#"Bearer authorization="http://login.example/t-1""#, None),
            (r#"Bearer resource="x""#, None),
            ("", None),
        ] {
            assert_eq!(tenant_of(challenge), tenant, "{challenge}");
        }
    }
}
