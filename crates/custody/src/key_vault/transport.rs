//! The one way out: every request of the SDK, of keys, secrets and tokens, goes through here.
//!
//! ```text
//!   request ──is it one of ours, to the configured host?──▶ gate: pause, budget ──▶ reqwest, 10 s, 256 KiB ──▶ answer
//!                                                                                        │
//!                                       a Failure in our words, and no body ◀── refused ─┘
//! ```
//!
//! The SDK gets to see what succeeded, and the challenge that tells it which token to get. All else it gets as an
//! error of ours, whose text it may log or put into its own.

use super::answer::{self, Asked, Refusals};
use super::gate::{FIRST_PAUSE, Gate, LONGEST_PAUSE};
use super::{Answer, ConfigError, ObjectName, Observer, Operation, Roots, VaultUrl};
use crate::custody::{Failure, FailureKind};
use async_trait::async_trait;
use azure_core::error::ErrorKind;
use azure_core::http::headers::{AUTHORIZATION, HeaderName, Headers, WWW_AUTHENTICATE};
use azure_core::http::{AsyncRawResponse, HttpClient, Method, Request, StatusCode};
use futures::TryStreamExt as _;
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Until a connection is there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Until the last byte of the answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer is a page of versions, 25 of them, with their tags.
const MAX_ANSWER: usize = 256 * 1024;
/// Where virtual machines ask for their identity's tokens.
pub(super) const INSTANCE_METADATA: &str = "http://169.254.169.254";
const DATE: HeaderName = HeaderName::from_static("date");
const RETRY_AFTER: HeaderName = HeaderName::from_static("retry-after");

/// Whether proxies of the environment are used.
#[derive(Clone, Copy)]
pub(super) enum Proxies {
    Environment,
    None,
}

/// Connections with these roots.
pub(super) fn http_client(
    roots: Roots,
    extra: &[u8],
    proxies: Proxies,
) -> Result<Arc<dyn HttpClient>, ConfigError> {
    // reqwest takes the process's. A program of ours has installed it at its start; this is for all others.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    }
    let mut certificates =
        reqwest::Certificate::from_pem_bundle(extra).map_err(|_| ConfigError::ExtraRoots)?;
    if certificates.is_empty() && !extra.is_empty() {
        return Err(ConfigError::ExtraRoots);
    }
    let builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT);
    let builder = match proxies {
        Proxies::Environment => builder,
        Proxies::None => builder.no_proxy(),
    };
    let builder = match roots {
        Roots::Platform if certificates.is_empty() => builder,
        Roots::Platform => builder.tls_certs_merge(certificates),
        Roots::BuiltIn => {
            for root in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
                certificates.push(reqwest::Certificate::from_der(root).map_err(|_| ConfigError::Tls)?);
            }
            builder.tls_certs_only(certificates)
        }
    };
    Ok(Arc::new(builder.build().map_err(|_| ConfigError::Tls)?))
}

/// The way to a vault.
pub(super) fn to_vault(
    http: Arc<dyn HttpClient>,
    vault: &VaultUrl,
    hsm_key: Option<&ObjectName>,
    budget: u32,
    clock: Arc<Clock>,
    observer: Arc<dyn Observer>,
) -> Arc<dyn HttpClient> {
    Arc::new(Guarded {
        http,
        target: Target::Vault { vault: vault.clone(), hsm_key: hsm_key.cloned() },
        gate: Gate::new(Some(budget)),
        clock,
        observer,
    })
}

/// The way to whoever gives tokens: an origin, `https://HOST` or [`INSTANCE_METADATA`].
pub(super) fn to_tokens(
    http: Arc<dyn HttpClient>,
    origin: String,
    refusals: Refusals,
    observer: Arc<dyn Observer>,
) -> Arc<dyn HttpClient> {
    Arc::new(Guarded {
        http,
        target: Target::Tokens { origin, refusals },
        gate: Gate::new(None),
        clock: Arc::default(),
        observer,
    })
}

#[derive(Clone)]
enum Target {
    Vault { vault: VaultUrl, hsm_key: Option<ObjectName> },
    Tokens { origin: String, refusals: Refusals },
}

struct Guarded {
    http: Arc<dyn HttpClient>,
    target: Target,
    gate: Gate,
    clock: Arc<Clock>,
    observer: Arc<dyn Observer>,
}

impl fmt::Debug for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded").finish_non_exhaustive()
    }
}

#[async_trait]
impl HttpClient for Guarded {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        // `Other`, since the SDK tries again what is of kind `Io` or `Connection`.
        self.call(request).await.map_err(|failure| azure_core::Error::new(ErrorKind::Other, failure))
    }
}

impl Guarded {
    async fn call(&self, request: &Request) -> Result<AsyncRawResponse, Failure> {
        let asked = self.asked(request)?;
        let operation = asked.operation();
        let entered = match operation {
            Operation::UnwrapFileKey => self.gate.enter_unbudgeted(),
            _ => self.gate.enter().await,
        };
        if let Err(held) = entered {
            self.observer.called(operation, Answer::Held);
            return Err(asked.held(held));
        }
        self.tell_budget();
        let (answer, result) = match tokio::time::timeout(CALL_TIMEOUT, self.send(request)).await {
            Ok(Ok(response)) => self.judge(request, &asked, response),
            Ok(Err(NoAnswer::Http(error))) => asked.no_answer(&error),
            Ok(Err(NoAnswer::TooLong)) => (Answer::Unreadable, Err(asked.too_long())),
            Err(_) => (Answer::NoAnswer, Err(asked.late())),
        };
        self.observer.called(operation, answer);
        self.tell_budget();
        result
    }

    /// What is asked. Nothing but the calls that we make, and those only of the configured host.
    fn asked(&self, request: &Request) -> Result<Asked, Failure> {
        let url = request.url();
        let origin = match &self.target {
            Target::Vault { vault, .. } => vault.as_str(),
            Target::Tokens { origin, .. } => origin,
        };
        let is_bare = url.username().is_empty() && url.password().is_none();
        if !is_bare || url.origin().ascii_serialization() != origin {
            // An answer's link to a next page can do this.
            return Err(Failure::new(
                FailureKind::Untrusted,
                format!(
                    "a call was led away from {origin}; nothing was sent. Is something between us and it?"
                ),
            ));
        }
        let (vault, hsm_key) = match &self.target {
            Target::Vault { vault, hsm_key } => (vault, hsm_key),
            Target::Tokens { refusals, .. } => return Ok(Asked::token(origin, *refusals)),
        };
        let path: Vec<&str> = url.path().split('/').filter(|segment| !segment.is_empty()).collect();
        let (operation, name) = match (request.method(), path.as_slice()) {
            (Method::Post, ["keys", name, _, "unwrapkey"]) => {
                let is_hsm_key = hsm_key.as_ref().is_some_and(|key| key.as_str() == *name);
                (if is_hsm_key { Operation::UnwrapFileKey } else { Operation::UnwrapKey }, name)
            }
            (Method::Get, ["keys", name, "versions"]) => (Operation::ListKeyVersions, name),
            (Method::Get, ["keys", name] | ["keys", name, _]) => (Operation::GetKey, name),
            (Method::Get, ["secrets", name, "versions"]) => (Operation::ListSecretVersions, name),
            (Method::Get, ["secrets", name, _]) => (Operation::GetSecret, name),
            (Method::Put, ["secrets", name]) => (Operation::SetSecret, name),
            _ => {
                return Err(Failure::new(
                    FailureKind::Untrusted,
                    format!("a call to {origin} that is none of ours; nothing was sent"),
                ));
            }
        };
        Ok(Asked::vault(operation, vault, name))
    }

    async fn send(&self, request: &Request) -> Result<Response, NoAnswer> {
        let response = self.http.execute_request(request).await.map_err(NoAnswer::Http)?;
        let (status, headers, mut stream) = response.deconstruct();
        let mut body = Vec::new();
        while let Some(chunk) = stream.try_next().await.map_err(NoAnswer::Http)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(NoAnswer::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body })
    }

    fn judge(
        &self,
        request: &Request,
        asked: &Asked,
        response: Response,
    ) -> (Answer, Result<AsyncRawResponse, Failure>) {
        let Response { status, headers, body } = response;
        let now = now();
        let date = headers.get_optional_str(&DATE).and_then(http_date);
        if let Some(date) = date {
            self.clock.saw(date.duration_since(now));
        }
        let mut answer = answer::of_status(u16::from(status));
        let challenged = status == StatusCode::Unauthorized
            && matches!(self.target, Target::Vault { .. })
            && headers.get_optional_str(&WWW_AUTHENTICATE).is_some();
        if challenged && request.headers().get_optional_str(&AUTHORIZATION).is_none() {
            answer = Answer::Challenge;
        }
        let mut wait = headers
            .get_optional_str(&RETRY_AFTER)
            // Counted on the clock that it was said by, and believed within bounds.
            .and_then(|text| retry_after(text, date.unwrap_or(now)))
            .map(|wait| wait.clamp(FIRST_PAUSE, LONGEST_PAUSE));
        match answer {
            Answer::Throttled => wait = Some(self.gate.throttled(wait)),
            _ => self.gate.answered(),
        }
        // A second 401 is the SDK's too: it gets a new token and asks once more.
        if answer == Answer::Ok || challenged {
            return (answer, Ok(AsyncRawResponse::from_bytes(status, headers, body)));
        }
        (answer, Err(asked.refused(u16::from(status), &body, wait)))
    }

    fn tell_budget(&self) {
        if let Some(left) = self.gate.left() {
            self.observer.budget_left(left);
        }
    }
}

struct Response {
    status: StatusCode,
    headers: Headers,
    body: Vec<u8>,
}

enum NoAnswer {
    Http(azure_core::Error),
    TooLong,
}

/// How a service's clock differs from ours.
#[derive(Debug, Default)]
pub(super) struct Clock(Mutex<Option<SignedDuration>>);

impl Clock {
    pub(super) fn ahead(&self) -> Option<SignedDuration> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, ahead: SignedDuration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(ahead);
    }
}

/// The time of day, for what services say in it.
pub(super) fn now() -> Timestamp {
    Timestamp::now()
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let wait = http_date(text)?.duration_since(now);
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let seconds = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("17"), Some(17));
        assert_eq!(seconds(" 0 "), Some(0));
        assert_eq!(seconds("Mon, 30 Nov 2026 12:01:30 GMT"), Some(90));
        assert_eq!(seconds("Mon, 30 Nov 2026 11:00:00 GMT"), Some(0));
        for bad in ["", "-1", "soon", "1.5"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn additional_roots_must_be_certificates() {
        for (extra, fits) in [("", true), ("no certificate", false)] {
            let client = http_client(Roots::BuiltIn, extra.as_bytes(), Proxies::None);
            assert_eq!(client.is_ok(), fits, "{extra}");
        }
    }
}
