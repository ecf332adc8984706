//! The vault on the wire.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::Value;
use url::form_urlencoded;

use super::access::{Caller, Entry};
use super::answers::{self, Outcome, Page, Request};
use super::operation::Asked;
use super::refusal::Refusal;
use super::rsa_key::RsaKey;
use super::{Call, Shared};
use crate::call_log::locked;
use crate::entra::jwt::{of_base64url, random_id};
use crate::tls_server::{Answer, Body, Dropped, whole};
use crate::trouble::suffer;

/// The versions of the interface that the double follows.
const API_VERSIONS: [&str; 4] = ["7.4", "7.5", "7.6", "2025-07-01"];

pub(super) struct Vault {
    pub(super) shared: Arc<Shared>,
}

impl Answer for Vault {
    async fn answer(&self, request: http::Request<Incoming>) -> Result<Response<Body>, Dropped> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
        let asked = Asked::of(&head.method, head.uri.path());
        let entry = self.shared.entry(&head);
        let client_id = match &entry {
            Entry::Caller(caller) => Some(caller.client_id.clone()),
            _ => None,
        };
        let operation = asked.as_ref().map_or("unknown", |asked| asked.operation.name());
        let name = asked.as_ref().map_or_else(String::new, |asked| asked.name.clone());
        let ticket = self.shared.log.add(|at| Call {
            at,
            operation,
            name: name.clone(),
            version: asked.as_ref().and_then(|asked| asked.version.clone()),
            client_id: client_id.clone(),
            challenged: matches!(entry, Entry::Absent),
            status: None,
        });
        let response = match entry {
            Entry::Absent => {
                let missing = Refusal::unauthorized("AKV10000: Request is missing a Bearer or PoP token.");
                self.refused(&missing, self.shared.challenge(None))
            }
            entry => {
                let trouble = self.shared.troubles.of(operation, &name, client_id.as_deref());
                let answer = async {
                    match entry {
                        Entry::Caller(caller) => self.written(self.done(&caller, asked, &head, &body).await),
                        Entry::Refused(refusal) => self.written(Err(refusal)),
                        Entry::Absent => self.written(Err(Refusal::unauthorized("it was looked at before"))),
                    }
                };
                let status = |status, trouble| self.written(Err(Refusal::trouble(status, trouble)));
                suffer(trouble, status, answer).await?
            }
        };
        let status = response.status().as_u16();
        self.shared.log.amend(ticket, |call| call.status = Some(status));
        Ok(response)
    }
}

impl Vault {
    async fn done(&self, caller: &Caller, asked: Option<Asked>, head: &Parts, body: &[u8]) -> Outcome {
        let asked = asked.ok_or_else(Refusal::unknown_operation)?;
        let page = self.page(head)?;
        self.shared.authorize(caller, &asked)?;
        let body = match body {
            [] => Value::Null,
            bytes => {
                serde_json::from_slice(bytes).map_err(|_| Refusal::bad_parameter("The body is not JSON."))?
            }
        };
        let wanted = answers::wanted_key(&locked(&self.shared.store), &asked, &body);
        let key = match wanted {
            // It takes long, and nobody else should wait.
            Some(bits) => {
                tokio::task::spawn_blocking(move || RsaKey::generate(bits)).await.unwrap_or_default()
            }
            None => None,
        };
        let request = Request { asked, body, page };
        answers::answer(&mut locked(&self.shared.store), self.shared.writer(), &request, key)
    }

    /// The query: which interface, and which page.
    fn page(&self, head: &Parts) -> Result<Page, Refusal> {
        let query = head.uri.query().unwrap_or_default().as_bytes();
        let query: BTreeMap<String, String> = form_urlencoded::parse(query).into_owned().collect();
        let api_version = query.get("api-version").cloned().unwrap_or_default();
        if api_version.is_empty() {
            return Err(Refusal::bad_parameter("api-version must be specified"));
        }
        if !API_VERSIONS.contains(&&*api_version) {
            let message = format!("The specified version ({api_version}) is not recognized.");
            return Err(Refusal::bad_parameter(&message));
        }
        let text = |bytes| String::from_utf8(bytes).ok();
        let after = query.get("$skiptoken").and_then(|token| of_base64url(token)).and_then(text);
        let size = query.get("maxresults").and_then(|most| most.parse().ok());
        let size =
            size.map_or(self.shared.options.page_size, |most: usize| most.min(self.shared.options.page_size));
        Ok(Page { path: head.uri.path().to_owned(), api_version, after, size })
    }

    fn written(&self, outcome: Outcome) -> Response<Body> {
        match outcome {
            Ok((status, value)) => json_response(status, &value),
            Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED => {
                let challenge = self.shared.challenge(Some(refusal.message()));
                self.refused(&refusal, challenge)
            }
            Err(refusal) => json_response(refusal.status, &refusal.body()),
        }
    }

    fn refused(&self, refusal: &Refusal, challenge: String) -> Response<Body> {
        let mut response = json_response(refusal.status, &refusal.body());
        let challenge = HeaderValue::try_from(challenge).expect("a challenge is printable");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        response
    }
}

fn json_response(status: StatusCode, value: &Value) -> Response<Body> {
    let body = if value.is_null() { String::new() } else { value.to_string() };
    let mut response = Response::new(whole(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert("x-ms-keyvault-service-version", HeaderValue::from_static("1.9.0"));
    headers.insert("x-ms-request-id", HeaderValue::try_from(random_id()).expect("hexadecimal"));
    response
}
