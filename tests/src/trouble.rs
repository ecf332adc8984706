//! What goes wrong between a client and the doubles of Azure's services, when a test wants it to.
//!
//! A [`CallFault`] says for which operations, how often and how long; a [`Trouble`] says what. What was injected first
//! applies first. A request without a token is never troubled: it is how a client of Key Vault asks where to get one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use crate::call_log::locked;
use crate::tls_server::{Body, Dropped, whole};

/// What happens to a call instead of its answer.
#[derive(Clone, Copy, Debug)]
pub enum Trouble {
    /// An error of the service with this HTTP status, in the service's own form.
    Status(u16),
    /// 429, perhaps with a header `Retry-After` in seconds.
    Throttled {
        /// Seconds to wait; `None` for no such header.
        retry_after: Option<u64>,
    },
    /// 403, since the client's address is not let through the vault's firewall.
    Firewall,
    /// No answer, and the connection stays open.
    Hang,
    /// No answer, and the connection is cut.
    Cut,
    /// The call is done, and the connection is cut instead of its answer.
    CutAfter,
    /// 200, with something that is no JSON.
    Garbage,
    /// 200, with JSON of about so many bytes in which nothing is of use.
    Huge(usize),
    /// The right answer, so much later.
    Slow(Duration),
}

/// A trouble, for some calls.
#[derive(Clone, Debug)]
pub struct CallFault {
    operation: String,
    name: Option<String>,
    client_id: Option<String>,
    trouble: Trouble,
    times: Option<usize>,
    during: Option<Duration>,
}

impl CallFault {
    /// For all calls of an operation, as the log of calls names them (`unwrapKey`, `getSecret`); `*` for all.
    pub fn new(operation: &str, trouble: Trouble) -> Self {
        Self {
            operation: operation.to_owned(),
            name: None,
            client_id: None,
            trouble,
            times: None,
            during: None,
        }
    }

    /// Only for calls about the key or secret of this name.
    pub fn on(self, name: &str) -> Self {
        Self { name: Some(name.to_owned()), ..self }
    }

    /// Only for calls of this client.
    pub fn of(self, client_id: &str) -> Self {
        Self { client_id: Some(client_id.to_owned()), ..self }
    }

    /// Only for the next `times` of them.
    pub fn next(self, times: usize) -> Self {
        Self { times: Some(times), ..self }
    }

    /// Only for so long after it was injected.
    pub fn during(self, time: Duration) -> Self {
        Self { during: Some(time), ..self }
    }
}

/// A fault that was injected.
#[derive(Clone, Debug)]
pub struct Troubled {
    rule: Arc<Rule>,
    rules: Arc<Troubles>,
}

impl Troubled {
    /// How many calls it has hit.
    pub fn hits(&self) -> usize {
        self.rule.hits.load(Ordering::SeqCst)
    }

    /// Takes it back. A call that it hangs stays hung.
    pub fn remove(&self) {
        locked(&self.rules.rules).retain(|rule| !Arc::ptr_eq(rule, &self.rule));
    }
}

#[derive(Debug)]
struct Rule {
    fault: CallFault,
    since: Instant,
    hits: AtomicUsize,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    rules: Mutex<Vec<Arc<Rule>>>,
}

impl Troubles {
    pub(crate) fn inject(self: &Arc<Self>, fault: CallFault) -> Troubled {
        let rule = Arc::new(Rule { fault, since: Instant::now(), hits: AtomicUsize::new(0) });
        locked(&self.rules).push(Arc::clone(&rule));
        Troubled { rule, rules: Arc::clone(self) }
    }

    pub(crate) fn clear(&self) {
        locked(&self.rules).clear();
    }

    /// What is to happen to a call, which counts as hit.
    pub(crate) fn of(&self, operation: &str, name: &str, client_id: Option<&str>) -> Option<Trouble> {
        let rules = locked(&self.rules);
        rules.iter().find(|rule| rule.hit(operation, name, client_id)).map(|rule| rule.fault.trouble)
    }
}

impl Rule {
    /// Called under the lock of the rules.
    fn hit(&self, operation: &str, name: &str, client_id: Option<&str>) -> bool {
        let fault = &self.fault;
        let fits = (fault.operation == "*" || fault.operation == operation)
            && fault.name.as_deref().is_none_or(|wanted| name == wanted)
            && fault.client_id.as_deref().is_none_or(|wanted| client_id == Some(wanted))
            && fault.times.is_none_or(|times| self.hits.load(Ordering::SeqCst) < times)
            && fault.during.is_none_or(|time| self.since.elapsed() < time);
        if fits {
            self.hits.fetch_add(1, Ordering::SeqCst);
        }
        fits
    }
}

/// Lets the trouble happen around `answer`, which is made only where the call is to be done. `status` words an error
/// of the service.
pub(crate) async fn suffer(
    trouble: Option<Trouble>,
    status: impl FnOnce(StatusCode, Trouble) -> Response<Body> + Send,
    answer: impl Future<Output = Response<Body>> + Send,
) -> Result<Response<Body>, Dropped> {
    let Some(trouble) = trouble else { return Ok(answer.await) };
    match trouble {
        Trouble::Status(code) => Ok(status(StatusCode::from_u16(code).expect("an HTTP status"), trouble)),
        Trouble::Throttled { retry_after } => {
            let mut response = status(StatusCode::TOO_MANY_REQUESTS, trouble);
            if let Some(seconds) = retry_after {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            Ok(response)
        }
        Trouble::Firewall => Ok(status(StatusCode::FORBIDDEN, trouble)),
        Trouble::Hang => std::future::pending().await,
        Trouble::Cut => Err(Dropped),
        Trouble::CutAfter => {
            drop(answer.await);
            Err(Dropped)
        }
        Trouble::Garbage => Ok(json("{\"value\": <html>".to_owned())),
        Trouble::Huge(bytes) => Ok(json(format!("{{\"filler\":\"{}\"}}", "x".repeat(bytes)))),
        Trouble::Slow(time) => {
            tokio::time::sleep(time).await;
            Ok(answer.await)
        }
    }
}

fn json(text: String) -> Response<Body> {
    let mut response = Response::new(whole(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_for_its_operation_its_name_its_client_its_number_and_its_time() {
        let troubles = Arc::new(Troubles::default());
        let twice = troubles.inject(CallFault::new("unwrapKey", Trouble::Cut).of("me").next(2));
        let over = troubles.inject(CallFault::new("*", Trouble::Hang).during(Duration::ZERO));
        let hit = |operation, client| troubles.of(operation, "key", Some(client)).is_some();
        assert!(!hit("wrapKey", "me") && !hit("unwrapKey", "you"));
        assert!(hit("unwrapKey", "me") && hit("unwrapKey", "me") && !hit("unwrapKey", "me"));
        assert_eq!((twice.hits(), over.hits()), (2, 0));

        let always = troubles.inject(CallFault::new("*", Trouble::Cut));
        assert!(hit("wrapKey", "me") && hit("getSecret", "you"));
        always.remove();
        let other = troubles.inject(CallFault::new("*", Trouble::Cut).on("other"));
        assert!(troubles.of("wrapKey", "other", None).is_some());
        assert!(!hit("wrapKey", "me"));
        assert_eq!(other.hits(), 1);
    }
}
