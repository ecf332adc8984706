//! What the test's thread and the proxy's share: the faults in force and the log of requests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use http::Method;
use http::header::USER_AGENT;

use super::Request;
use super::call;
use super::fault::{Action, Fault, Often};

#[derive(Debug)]
pub(super) struct State {
    began: Instant,
    rules: Mutex<Vec<Arc<Rule>>>,
    requests: Mutex<Log>,
}

/// The log, whose entries keep their number when earlier ones are forgotten.
#[derive(Debug, Default)]
struct Log {
    forgotten: usize,
    entries: Vec<Request>,
}

#[derive(Debug)]
struct Rule {
    fault: Fault,
    /// Requests that it was for, spoiled or not.
    seen: AtomicUsize,
    hits: AtomicUsize,
}

/// A fault that was injected.
#[derive(Clone, Debug)]
pub struct Injected {
    rule: Arc<Rule>,
    state: Arc<State>,
}

impl Injected {
    /// How many requests it has spoiled.
    pub fn hits(&self) -> usize {
        self.rule.hits.load(Ordering::SeqCst)
    }

    /// Takes it back.
    pub fn remove(&self) {
        locked(&self.state.rules).retain(|rule| !Arc::ptr_eq(rule, &self.rule));
    }
}

/// The number of a request in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket(usize);

impl Default for State {
    fn default() -> Self {
        Self { began: Instant::now(), rules: Mutex::default(), requests: Mutex::default() }
    }
}

impl State {
    pub(super) fn inject(self: &Arc<Self>, fault: Fault) -> Injected {
        let rule = Arc::new(Rule { fault, seen: AtomicUsize::new(0), hits: AtomicUsize::new(0) });
        locked(&self.rules).push(Arc::clone(&rule));
        Injected { rule, state: Arc::clone(self) }
    }

    pub(super) fn clear(&self) {
        locked(&self.rules).clear();
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        locked(&self.requests).entries.clone()
    }

    pub(super) fn forget_requests(&self) {
        let mut log = locked(&self.requests);
        log.forgotten += log.entries.len();
        log.entries.clear();
    }

    /// Logs a request and decides what becomes of it.
    pub(super) fn arrived<B>(&self, request: &http::Request<B>) -> (Ticket, Option<Action>) {
        let (method, path, query) = (request.method(), request.uri().path(), request.uri().query());
        let action = self.action(method, path, query);
        let user_agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
        let mut log = locked(&self.requests);
        log.entries.push(Request {
            at: self.began.elapsed(),
            method: method.clone(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            user_agent: user_agent.map(str::to_owned),
            call: call::of(method, path, query),
            status: None,
            spoiled: action.is_some(),
        });
        (Ticket(log.forgotten + log.entries.len() - 1), action)
    }

    /// Notes what the client is answered.
    pub(super) fn answered(&self, Ticket(number): Ticket, status: u16) {
        let mut log = locked(&self.requests);
        let Some(index) = number.checked_sub(log.forgotten) else { return };
        log.entries[index].status = Some(status);
    }

    fn action(&self, method: &Method, path: &str, query: Option<&str>) -> Option<Action> {
        let rules = locked(&self.rules);
        let fits = |rule: &&Arc<Rule>| {
            let Fault { requests, action, .. } = &rule.fault;
            let can = !matches!(action, Action::EndWatch { .. }) || call::is_watch(method, query);
            can && requests.fit(method, path, query)
        };
        rules.iter().filter(fits).find(|rule| rule.due()).map(|rule| rule.fault.action.clone())
    }
}

impl Rule {
    /// Counts a request that it is for; whether it is to be spoiled. Called under the lock of the rules.
    fn due(&self) -> bool {
        let seen = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        let due = match self.fault.often {
            Often::Always => true,
            Often::Next(count) => seen <= count,
            Often::Every(n) => seen.is_multiple_of(n),
        };
        if due {
            self.hits.fetch_add(1, Ordering::SeqCst);
        }
        due
    }
}

/// A test that panicked while it held the lock left the data whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::fault::{After, Requests};
    use super::*;

    fn arrive(state: &State, method: Method, target: &str) -> Option<Action> {
        let request = http::Request::builder().method(method).uri(target).body(()).unwrap();
        state.arrived(&request).1
    }

    #[test]
    fn faults_apply_as_often_as_they_say() {
        let pattern = |fault: Fault| {
            let state = Arc::new(State::default());
            let injected = state.inject(fault);
            let hits: Vec<bool> =
                (0..6).map(|_| arrive(&state, Method::GET, "/api/v1/secrets").is_some()).collect();
            assert_eq!(injected.hits(), hits.iter().filter(|hit| **hit).count());
            hits
        };
        let fault = Fault::new(Requests::all(), Action::Drop);
        assert_eq!(pattern(fault.clone()), [true; 6]);
        assert_eq!(pattern(fault.clone().next(2)), [true, true, false, false, false, false]);
        assert_eq!(pattern(fault.every(3)), [false, false, true, false, false, true]);
    }

    #[test]
    fn the_first_fault_that_is_due_applies_and_can_be_removed() {
        let state = Arc::new(State::default());
        let first = state.inject(Fault::new(Requests::call("get secrets"), Action::status(500)).next(1));
        let second = state.inject(Fault::new(Requests::all(), Action::status(503)));
        let code = || match arrive(&state, Method::GET, "/api/v1/namespaces/a/secrets/b") {
            Some(Action::Status { code, .. }) => Some(code),
            _ => None,
        };
        assert_eq!((code(), code()), (Some(500), Some(503)));
        second.remove();
        assert_eq!(code(), None);
        assert_eq!((first.hits(), second.hits()), (1, 1));
    }

    #[test]
    fn only_watches_end_early() {
        let state = Arc::new(State::default());
        state.inject(Fault::new(Requests::all(), Action::cut_watch(After::Events(1))).next(1));
        assert!(arrive(&state, Method::GET, "/api/v1/secrets").is_none());
        assert!(arrive(&state, Method::GET, "/api/v1/secrets?watch=true").is_some());
    }

    #[test]
    fn an_answer_to_a_forgotten_request_is_not_someone_elses() {
        let state = State::default();
        let request = http::Request::builder().uri("/old").body(()).unwrap();
        let (old, _) = state.arrived(&request);
        state.forget_requests();
        let request = http::Request::builder().uri("/new").body(()).unwrap();
        let (new, _) = state.arrived(&request);
        state.answered(old, 500);
        assert_eq!(state.requests()[0].status, None);
        state.answered(new, 200);
        assert_eq!(state.requests()[0].status, Some(200));
    }
}
