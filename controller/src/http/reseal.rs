//! Two verbs for whoever reaches us: `verify` says whether one SealedSecret opens, `rotate` gives it back resealed.
//!
//! ```text
//!   body ──Bodies──▶ bytes ──Line──▶ a thread: read ──▶ open ──▶ 200 which key opened what
//!     │                 │                       │         ├────▶ 200 the object, resealed to our newest key
//!     └ 408 413 503     └ 503                   └ 400     └ 409 whatever the cause
//! ```
//!
//! The API server strips who the caller is, so both are safe for anyone. Nobody names a key or a scope: the binding is
//! the object's own, and what comes out is sealed to our key. In a value of the age format that is the one stanza that a key
//! of ours opened: all others stay, whoever they are for. No template is looked at, nothing but bytes of the body
//! decides between 200 and 409, and every 409 is the same.

use super::Served;
use super::body::{Bodies, Limits, NotTaken, Taken};
use super::line::Line;
use crate::keystore::Held;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use privyseal_envelope::Format;
use privyseal_envelope::age::{Kind, RecipientStanza, Rewrap};
use privyseal_keys::PublicHalf;
use privyseal_manifest::{DocumentError, Problem, SealedSecret, emit, read_at_most};
use privyseal_seal::{Change, OpenError, ResealError, SealTo, Value, open, reseal};
use serde_json::json;
use std::cell::Cell;
use std::time::Duration;

/// What both verbs need.
#[derive(Clone)]
pub(super) struct Desk {
    served: Served,
    bodies: Bodies,
    line: Line,
}

#[derive(Clone, Copy, Debug)]
enum Verb {
    Verify,
    Rotate,
}

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// JSON.
    Done(String),
    /// The body is not one SealedSecret; why, in a fixed text.
    Unreadable(&'static str),
    /// It does not open.
    DoesNotOpen,
    /// There are no keys yet, or none that seals.
    NoKey,
    /// The cryptographic library.
    Failed,
}

impl Desk {
    /// Half of the cores: what strangers ask for must not hold up the controller's own work. And not more than a few,
    /// since each holds an object in several forms: the memory must not grow with the node.
    pub(super) fn new(served: Served) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            served,
            bodies: Bodies::new(BODIES),
            line: Line::new((cores / 2).clamp(1, AT_WORK), WAITING, PATIENCE),
        }
    }

    async fn serve(&self, verb: Verb, body: Body) -> Response {
        let taken = match self.bodies.take(body).await {
            Ok(taken) => taken,
            Err(NotTaken::TooLarge) => return StatusCode::PAYLOAD_TOO_LARGE.into_response(),
            Err(NotTaken::TooSlow) => return StatusCode::REQUEST_TIMEOUT.into_response(),
            Err(NotTaken::Broken) => return StatusCode::BAD_REQUEST.into_response(),
            Err(NotTaken::NoRoom) => return busy(),
        };
        let Some(turn) = self.line.turn().await else { return busy() };
        let (held, metrics) = (self.served.keys.borrow().clone(), self.served.metrics.clone());
        let work = tokio::task::spawn_blocking(move || {
            let (outcome, private_operations) = work(verb, &taken, &held);
            // Here, since nobody waits for the outcome of a client that went away.
            metrics.private_operations.inc_by(private_operations as u64);
            drop(turn);
            (taken, outcome)
        });
        let Ok((taken, outcome)) = work.await else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        match outcome {
            Outcome::Done(text) => self.bodies.answer(taken, text).map_or_else(busy, |mut response| {
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(header::CONTENT_TYPE, json);
                response
            }),
            Outcome::Unreadable(reason) => (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
            Outcome::DoesNotOpen => StatusCode::CONFLICT.into_response(),
            Outcome::NoKey => busy(),
            Outcome::Failed => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }
}

/// Which key opens each value.
pub(super) async fn verify(State(desk): State<Desk>, body: Body) -> Response {
    desk.serve(Verb::Verify, body).await
}

/// The object, resealed.
pub(super) async fn rotate(State(desk): State<Desk>, body: Body) -> Response {
    desk.serve(Verb::Rotate, body).await
}

fn busy() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, RETRY_AFTER)]).into_response()
}

/// One request, and what private operations it took.
fn work(verb: Verb, body: &Taken, held: &Held) -> (Outcome, usize) {
    if !held.loaded {
        return (Outcome::NoKey, 0);
    }
    let sealed = match sealed_secret(&body.bytes) {
        Ok(sealed) => sealed,
        Err(reason) => return (Outcome::Unreadable(reason), 0),
    };
    match verb {
        Verb::Verify => verified(&sealed, held),
        Verb::Rotate => rotated(sealed, held),
    }
}

fn verified(sealed: &SealedSecret, held: &Held) -> (Outcome, usize) {
    match open(sealed, &held.keyring, ATTEMPTS) {
        Ok(opened) => {
            let keys = opened.opened_by.iter().map(|(item, by)| (item.as_str(), by.key.key_id().to_string()));
            let opened_with: serde_json::Map<_, _> =
                keys.map(|(item, key)| (item.to_owned(), json!(key))).collect();
            let text = json!({"openedWith": opened_with}).to_string();
            (Outcome::Done(text + "\n"), opened.private_operations)
        }
        Err(error) => (Outcome::DoesNotOpen, private_operations(&error)),
    }
}

fn rotated(mut sealed: SealedSecret, held: &Held) -> (Outcome, usize) {
    let Some(newest) = held.sealing_half() else { return (Outcome::NoKey, 0) };
    let lacks_recipient = Cell::new(false);
    let change = |value: &Value<'_>| match value.format {
        Format::Classic => Change::Seal(SealTo::Classic(newest.certificate.sealing_key())),
        Format::Age => {
            own_place(value, &newest).map_or(Change::Keep, |place| match newest.recipient(place.kind) {
                Some(recipient) => {
                    Change::Rewrap(Rewrap { replace: vec![(place, recipient)], ..Rewrap::default() })
                }
                None => {
                    lacks_recipient.set(true);
                    Change::Keep
                }
            })
        }
    };
    match reseal(&sealed, &held.keyring, ATTEMPTS, change) {
        Ok(resealed) if lacks_recipient.get() => (Outcome::NoKey, resealed.private_operations),
        Ok(resealed) => {
            resealed.apply(&mut sealed);
            sealed.status = None;
            (Outcome::Done(emit::to_json(&sealed)), resealed.private_operations)
        }
        Err(ResealError::Open(error)) => (Outcome::DoesNotOpen, private_operations(&error)),
        // Its recipients never went together: nobody here sealed it.
        Err(ResealError::Rewrap { .. }) => (Outcome::DoesNotOpen, 0),
        Err(_) => (Outcome::Failed, 0),
    }
}

/// The stanza of a value that our newest key takes the place of: the one that a key of ours opened. None if that was the
/// newest one already, or a Key Vault's.
///
/// What hints claim does not count. A key that they name is tried before all others, so that the newest one, if it is named
/// and did not open the value, is not among its recipients: a claim that is wrong must not hold a value back.
fn own_place(value: &Value<'_>, newest: &PublicHalf) -> Option<RecipientStanza> {
    if value.opened_by.key == newest.fingerprint() {
        return None;
    }
    let own = value.recipients.iter().find(|place| Some(place.at) == value.opened_by.stanza);
    own.copied().filter(|place| place.kind != Kind::KeyVault)
}

fn private_operations(error: &OpenError) -> usize {
    match error {
        OpenError::Items { private_operations, .. } => *private_operations,
        _ => 0,
    }
}

/// The one SealedSecret of a body.
fn sealed_secret(body: &[u8]) -> Result<SealedSecret, &'static str> {
    let mut documents = read_at_most(body, "body", NODES).map_err(|error| reason(&error))?;
    let document = documents.pop().ok_or("the body holds no document")?;
    if !documents.is_empty() {
        return Err("the body holds more than one document");
    }
    if document.item().is_some() {
        return Err("the body is a list, not a SealedSecret");
    }
    document.into_sealed_secret().map_err(|error| reason(&error))
}

/// A document's error holds no value, but names of fields and places; for strangers not even these.
fn reason(error: &DocumentError) -> &'static str {
    match error.problem() {
        Problem::NotUtf8 | Problem::Utf16 => "the body is not UTF-8",
        Problem::Syntax { .. } => "the body is neither YAML nor JSON",
        Problem::DuplicateKey { .. } => "a key stands twice in the body",
        Problem::Limit(_) => "the body has too many fields, levels or aliases",
        Problem::WrongKind { .. } => "the body is not a SealedSecret of bitnami.com/v1alpha1",
        Problem::Missing => "a field is missing that every SealedSecret has",
        Problem::UnknownField { .. } => "the body has a field that no SealedSecret has",
        Problem::Name(_) => "metadata has a name or namespace that Kubernetes does not take",
        _ => "a field of the body has another type than a SealedSecret's",
    }
}

/// How many private operations one request may cost: some 2.5 s of one core at RSA-4096.
const ATTEMPTS: usize = 256;
/// Scalars and collections of one body. No object of more than [`ATTEMPTS`] items opens, so this is plenty.
const NODES: usize = 20_000;
/// A SealedSecret of the largest Secret is some 1.4 MiB.
const BODIES: Limits = Limits { one: 2 << 20, all: 16 << 20, time: Duration::from_secs(10) };
const AT_WORK: usize = 4;
const WAITING: usize = 16;
const PATIENCE: Duration = Duration::from_secs(20);
/// In seconds.
const RETRY_AFTER: &str = "5";

#[cfg(test)]
mod tests;
