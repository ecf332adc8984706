//! Leader election by a Lease: the leader alone writes.
//!
//! Flow: every replica looks at the Lease every [`RETRY`]. Whoever finds it free, or not renewed for [`DURATION`] by
//! its own clock since it last saw a change, takes it with a compare-and-swap on the resourceVersion. The holder
//! renews; if it cannot for [`RENEW_DEADLINE`], it stops leading before anybody else may start.
//!
//! Guarantees, as long as clocks run at about the same speed (they need not agree on the time): two replicas never
//! lead at once by more than the drift over some seconds, and what the leader writes is conditional anyway.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Name of the Lease.
pub(crate) const LEASE: &str = "privyseal-controller";
/// A Lease that nobody renewed for so long is free.
pub(crate) const DURATION: Duration = Duration::from_secs(10);
/// A leader that could not renew for so long stops.
pub(crate) const RENEW_DEADLINE: Duration = Duration::from_secs(7);
/// Time between two looks.
pub(crate) const RETRY: Duration = Duration::from_secs(2);

/// Until when we lead; none while we do not.
#[derive(Clone)]
pub(crate) struct Leadership(watch::Receiver<Option<Instant>>);

impl Leadership {
    /// Whether we lead at this moment. Ask before each write.
    pub(crate) fn is_held(&self) -> bool {
        self.0.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Leads for ever, for tests. Drop the sender and it still does.
    #[cfg(test)]
    pub(crate) fn unquestioned() -> Self {
        let for_ever = Instant::now() + Duration::from_secs(u64::from(u32::MAX));
        Self(watch::channel(Some(for_ever)).1)
    }

    /// Waits until we lead.
    pub(crate) async fn acquired(&mut self) {
        while !self.is_held() {
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Waits until we do not lead.
    pub(crate) async fn lost(&mut self) {
        loop {
            let Some(until) = *self.0.borrow_and_update() else { return };
            tokio::select! {
                changed = self.0.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(until) => if !self.is_held() { return },
            }
        }
    }
}

/// Takes part in the election. Ends only when dropped; call [`Elector::release`] on a graceful stop.
pub(crate) struct Elector {
    leases: Api<Lease>,
    identity: String,
    until: watch::Sender<Option<Instant>>,
    seen: Option<Observed>,
}

/// The Lease as we last saw it change.
struct Observed {
    resource_version: String,
    at: Instant,
}

impl Elector {
    /// For one namespace; `identity` is unique among the replicas.
    pub(crate) fn new(client: Client, namespace: &str, identity: &str) -> (Self, Leadership) {
        let (until, receiver) = watch::channel(None);
        let leases = Api::namespaced(client, namespace);
        (Self { leases, identity: identity.to_owned(), until, seen: None }, Leadership(receiver))
    }

    /// Runs for ever.
    pub(crate) async fn run(&mut self) {
        loop {
            let started = Instant::now();
            // An answer that comes too late must not make us believe that we lead.
            match tokio::time::timeout(RENEW_DEADLINE, self.look()).await {
                Ok(Ok(true)) => self.lead_until(started + RENEW_DEADLINE),
                Ok(Ok(false)) => self.follow("another replica holds the Lease"),
                Ok(Err(error)) => {
                    tracing::warn!(error = %crate::api::brief(&error), "cannot look at the Lease");
                }
                Err(_) => tracing::warn!("the API server does not answer on the Lease"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Gives the Lease up, so that another replica need not wait.
    pub(crate) async fn release(&mut self) {
        let held = self.until.borrow().is_some();
        self.follow("stopping");
        if !held {
            return;
        }
        let Ok(Some(mut lease)) = self.leases.get_opt(LEASE).await else { return };
        if holder(&lease) == Some(self.identity.as_str()) {
            let spec = lease.spec.get_or_insert_default();
            spec.holder_identity = Some(String::new());
            let _ = self.leases.replace(LEASE, &PostParams::default(), &lease).await;
        }
    }

    /// Looks once; says whether we hold the Lease.
    async fn look(&mut self) -> Result<bool, kube::Error> {
        let Some(lease) = self.leases.get_opt(LEASE).await? else {
            let lease = self.taken(None);
            return swapped(self.leases.create(&PostParams::default(), &lease).await);
        };
        let version = lease.metadata.resource_version.clone().unwrap_or_default();
        if self.seen.as_ref().is_none_or(|seen| seen.resource_version != version) {
            // After the answer: counted from before it, a slow one would shorten the holder's time.
            self.seen = Some(Observed { resource_version: version, at: Instant::now() });
        }
        let unchanged_for = self.seen.as_ref().map_or(Duration::ZERO, |seen| seen.at.elapsed());
        match decide(holder(&lease), &self.identity, unchanged_for) {
            Decision::Follow => Ok(false),
            Decision::Take => {
                let lease = self.taken(Some(lease));
                swapped(self.leases.replace(LEASE, &PostParams::default(), &lease).await)
            }
        }
    }

    fn taken(&self, before: Option<Lease>) -> Lease {
        let (metadata, before) = before.map_or_else(
            || (ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() }, LeaseSpec::default()),
            |lease| (lease.metadata, lease.spec.unwrap_or_default()),
        );
        let now = Some(MicroTime(Timestamp::now()));
        let renewed = before.holder_identity.as_deref() == Some(&self.identity);
        let transitions = before.lease_transitions.unwrap_or(0);
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: if renewed { before.acquire_time } else { now.clone() },
                renew_time: now,
                lease_transitions: Some(if renewed { transitions } else { transitions.saturating_add(1) }),
                ..LeaseSpec::default()
            }),
        }
    }

    fn lead_until(&self, until: Instant) {
        if self.until.send_replace(Some(until)).is_none() {
            tracing::info!(identity = self.identity, "leading");
        }
    }

    fn follow(&self, why: &str) {
        if self.until.send_replace(None).is_some() {
            tracing::info!(identity = self.identity, why, "no longer leading");
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Decision {
    Take,
    Follow,
}

fn decide(holder: Option<&str>, identity: &str, unchanged_for: Duration) -> Decision {
    match holder {
        None | Some("") => Decision::Take,
        Some(holder) if holder == identity => Decision::Take,
        Some(_) if unchanged_for >= DURATION => Decision::Take,
        Some(_) => Decision::Follow,
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

/// Whether the write went through; a conflict means that another replica was faster.
fn swapped(written: Result<Lease, kube::Error>) -> Result<bool, kube::Error> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_taken_only_when_free_ours_or_stale() {
        let second = Duration::from_secs(1);
        assert_eq!(decide(None, "a", Duration::ZERO), Decision::Take);
        assert_eq!(decide(Some(""), "a", Duration::ZERO), Decision::Take);
        assert_eq!(decide(Some("a"), "a", Duration::ZERO), Decision::Take);
        assert_eq!(decide(Some("b"), "a", DURATION - second), Decision::Follow);
        assert_eq!(decide(Some("b"), "a", DURATION), Decision::Take);
    }

    #[test]
    fn the_holder_stops_before_another_may_start() {
        assert!(RENEW_DEADLINE + RETRY < DURATION);
        assert!(DURATION + RETRY * 2 < Duration::from_secs(15), "another leads within 15 s");
    }

    #[tokio::test(start_paused = true)]
    async fn leadership_ends_by_itself() {
        let (sender, receiver) = watch::channel(None);
        let mut leadership = Leadership(receiver);
        assert!(!leadership.is_held());
        sender.send_replace(Some(Instant::now() + Duration::from_secs(3)));
        leadership.acquired().await;
        assert!(leadership.is_held());
        leadership.lost().await;
        assert!(!leadership.is_held());
        assert!(sender.borrow().is_some(), "nobody had to say so");
    }
}
