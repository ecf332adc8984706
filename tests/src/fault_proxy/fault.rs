//! What a test asks the proxy to spoil: which requests, how often, and how.

use std::time::Duration;

use http::Method;

use super::call;

/// Which requests a fault is for; everything that is said must hold.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    call: Option<String>,
    methods: Vec<Method>,
    path: Option<String>,
    query: Option<String>,
}

impl Requests {
    /// All of them.
    pub fn all() -> Self {
        Self::default()
    }

    /// By verb and resource, as RBAC names them: `create secrets`, `watch sealedsecrets.bitnami.com`,
    /// `patch sealedsecrets.bitnami.com/status`. A `*` stands for anything: `* secrets`.
    pub fn call(call: &str) -> Self {
        Self { call: Some(call.to_owned()), ..Self::default() }
    }

    /// Only with this method, or one of them when it is said several times.
    pub fn method(mut self, method: Method) -> Self {
        self.methods.push(method);
        self
    }

    /// Only where the path contains this text; or, if it holds a `*`, where the whole path fits it.
    pub fn path(mut self, path: &str) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// Only where the query contains this text.
    pub fn query(mut self, query: &str) -> Self {
        self.query = Some(query.to_owned());
        self
    }

    pub(super) fn fit(&self, method: &Method, path: &str, query: Option<&str>) -> bool {
        let call = |wanted: &String| fits(wanted, &call::of(method, path, query));
        let text =
            |wanted: &String| if wanted.contains('*') { fits(wanted, path) } else { path.contains(wanted) };
        self.call.as_ref().is_none_or(call)
            && (self.methods.is_empty() || self.methods.contains(method))
            && self.path.as_ref().is_none_or(text)
            && self.query.as_ref().is_none_or(|wanted| query.is_some_and(|query| query.contains(wanted)))
    }
}

/// Whether `text` is `pattern` with each `*` replaced by something.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = left.find(piece) else { return false };
        left = &left[at + piece.len()..];
    }
    left.ends_with(last)
}

/// What happens to a request that is spoiled.
#[derive(Clone, Debug)]
pub enum Action {
    /// It is not forwarded; the answer is a Kubernetes `Status`.
    Status {
        /// HTTP status.
        code: u16,
        /// The machine-readable reason.
        reason: String,
        /// Seconds for the header `Retry-After` and the Status' details.
        retry_after: Option<u64>,
    },
    /// It is not forwarded, and its connection is closed without an answer.
    Drop,
    /// It is forwarded and applied, and then its connection is closed without an answer.
    DropAfter,
    /// It is forwarded a little later.
    Delay(Duration),
    /// Its watch ends early. Requests that are no watch are left alone and not counted.
    EndWatch {
        /// When.
        after: After,
        /// How.
        ending: Ending,
    },
}

/// When a watch ends.
#[derive(Clone, Copy, Debug)]
pub enum After {
    /// After so many events were passed on, bookmarks included.
    Events(usize),
    /// So long after it began.
    Time(Duration),
}

/// How a watch ends.
#[derive(Clone, Copy, Debug)]
pub enum Ending {
    /// The connection breaks in the middle of the answer.
    Cut,
    /// The answer ends in order, as it does after the API server's own time limit.
    Close,
    /// An event of type ERROR says 410 (the resource version is too old), then the answer ends in order.
    Gone,
}

impl Action {
    /// An answer with the reason that the API server gives with this status.
    ///
    /// Clients treat 410 to a list as "start over", but to a watch it comes as an event: [`Action::watch_error_410`].
    pub fn status(code: u16) -> Self {
        let reason = match code {
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "NotFound",
            409 => "Conflict",
            410 => "Expired",
            422 => "Invalid",
            429 => "TooManyRequests",
            500 => "InternalError",
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => panic!("name a reason for {code}: Action::Status {{ .. }}"),
        };
        Self::Status { code, reason: reason.to_owned(), retry_after: None }
    }

    /// 429 with the number of seconds to wait.
    pub fn too_many_requests(retry_after: u64) -> Self {
        Self::Status { code: 429, reason: "TooManyRequests".to_owned(), retry_after: Some(retry_after) }
    }

    /// A watch whose connection breaks.
    pub fn cut_watch(after: After) -> Self {
        Self::EndWatch { after, ending: Ending::Cut }
    }

    /// A watch that gets an event of type ERROR with 410.
    pub fn watch_error_410(after: After) -> Self {
        Self::EndWatch { after, ending: Ending::Gone }
    }
}

/// How often a fault applies.
#[derive(Clone, Copy, Debug)]
pub(super) enum Often {
    Always,
    Next(usize),
    Every(usize),
}

/// Something to spoil, until it is removed or used up.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(super) requests: Requests,
    pub(super) action: Action,
    pub(super) often: Often,
}

impl Fault {
    /// Spoils all of these requests.
    pub fn new(requests: Requests, action: Action) -> Self {
        Self { requests, action, often: Often::Always }
    }

    /// Spoils only the next `count` of them.
    pub fn next(self, count: usize) -> Self {
        Self { often: Often::Next(count), ..self }
    }

    /// Spoils only every `n`th of them, the `n`th from now first.
    pub fn every(self, n: usize) -> Self {
        assert!(n > 0, "every 0th is none");
        Self { often: Often::Every(n), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, fit) in [
            ("/a/*/c", "/a/b/c", true),
            ("/a/*/c", "/a/b/b/c", true),
            ("/a/*/c", "/a/c", false),
            ("*/c", "/a/b/c", true),
            ("/a*", "/a", true),
            ("a*a", "a", false),
            ("*b*b*", "abba", true),
            ("*b*b*", "aba", false),
            ("/a", "/a/b", false),
        ] {
            assert_eq!(fits(pattern, text), fit, "{pattern} {text}");
        }
    }

    #[test]
    fn all_that_is_said_must_hold() {
        let path = "/api/v1/namespaces/a/secrets/b";
        let fit = |requests: Requests| requests.fit(&Method::PUT, path, Some("dryRun=All"));
        assert!(fit(Requests::all()));
        assert!(fit(Requests::call("update secrets").method(Method::PUT).path("/secrets/").query("dryRun=")));
        assert!(fit(Requests::call("* secrets").method(Method::GET).method(Method::PUT)));
        assert!(fit(Requests::all().path("*/secrets/*")));
        assert!(!fit(Requests::call("create secrets")));
        assert!(!fit(Requests::all().method(Method::GET)));
        assert!(!fit(Requests::all().path("/configmaps/")));
        assert!(!fit(Requests::all().path("*/secrets")));
        assert!(!fit(Requests::all().query("watch=true")));
        assert!(!Requests::all().query("watch=true").fit(&Method::GET, path, None));
    }
}
