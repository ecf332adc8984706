//! Outcome to conditions: pure, and the one place that decides what Flux, Argo CD and people see.
//!
//! kstatus reads the list in order, and `Reconciling` and `Stalled` are never both there. `Synced` is first, since
//! the peer's printer columns and health checks look at `conditions[0]`, and it is always there: Flux's documented
//! check for this kind takes a list without it for a failure.

use crate::outcome::{Class, Outcome};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use privyseal_manifest::{Condition, SealedSecretStatus};

/// The status to write, or none if it says all of this already. `handled` is the request that the pass answers.
pub(crate) fn next(
    previous: Option<&SealedSecretStatus>,
    outcome: &Outcome,
    generation: Option<i64>,
    handled: Option<&str>,
    now: Timestamp,
) -> Option<SealedSecretStatus> {
    let before = previous.map_or(&[][..], |status| &status.conditions);
    let conditions = wanted(outcome)
        .into_iter()
        .map(|(type_, status)| condition(before, type_, status, outcome, now))
        .collect();
    let proof = outcome.proof.as_ref();
    let status = SealedSecretStatus {
        observed_generation: generation,
        conditions,
        marker: proof.map(|proof| proof.marker.clone()),
        opened_with: proof
            .map(|p| p.opened_with.iter().map(ToString::to_string).collect())
            .unwrap_or_default(),
        last_handled_reconcile_at: handled
            .map(str::to_owned)
            .or_else(|| previous.and_then(|status| status.last_handled_reconcile_at.clone())),
    };
    (previous != Some(&status)).then_some(status)
}

/// Whether a status says `Synced=True` of this generation.
pub(crate) fn is_synced(status: &SealedSecretStatus, generation: Option<i64>) -> bool {
    status.observed_generation == generation
        && status.conditions.iter().any(|c| c.type_ == "Synced" && c.status == "True")
}

/// Whether two statuses differ in what deserves an event.
pub(crate) fn is_news(previous: Option<&SealedSecretStatus>, next: &SealedSecretStatus) -> bool {
    let gist = |status: &SealedSecretStatus| {
        let first = status.conditions.first();
        (status.observed_generation, first.map(|c| (c.status.clone(), c.reason.clone())))
    };
    previous.map(gist) != Some(gist(next))
}

fn wanted(outcome: &Outcome) -> Vec<(&'static str, &'static str)> {
    match outcome.reason.class() {
        Class::Done => vec![("Synced", "True"), ("Ready", "True")],
        Class::Stalled => vec![("Synced", "False"), ("Ready", "False"), ("Stalled", "True")],
        // Neither failed nor current: the Secret, if there is one, stays as it was.
        Class::Retry => vec![("Synced", "Unknown"), ("Ready", "Unknown"), ("Reconciling", "True")],
    }
}

fn condition(
    before: &[Condition],
    type_: &str,
    status: &str,
    outcome: &Outcome,
    now: Timestamp,
) -> Condition {
    let previous = before.iter().find(|condition| condition.type_ == type_);
    let reason = Some(outcome.reason.as_str().to_owned());
    let message = Some(outcome.message.clone());
    let now = Some(Time(whole_seconds(now)));
    let same_status = previous.filter(|previous| previous.status == status);
    let same_all = same_status.filter(|previous| previous.reason == reason && previous.message == message);
    Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        last_update_time: same_all.map_or_else(|| now.clone(), |previous| previous.last_update_time.clone()),
        last_transition_time: same_status.map_or(now, |previous| previous.last_transition_time.clone()),
        reason,
        message,
    }
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

#[cfg(test)]
mod recorded;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Proof, Reason};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn done() -> Outcome {
        let proof = Proof { marker: "m".into(), opened_with: Vec::new() };
        Outcome { reason: Reason::Unsealed, message: "ok".into(), proof: Some(proof) }
    }

    #[test]
    fn every_reason_gives_a_status_that_kstatus_understands() {
        for &reason in Reason::ALL {
            let status =
                next(None, &Outcome::failed(reason, "m"), Some(3), None, at("2026-01-01T00:00:00Z")).unwrap();
            assert_eq!(status.observed_generation, Some(3));
            assert_eq!(status.conditions[0].type_, "Synced", "{reason:?}");
            let is = |type_: &str, value: &str| {
                status.conditions.iter().any(|c| c.type_ == type_ && c.status == value)
            };
            let has = |type_: &str| status.conditions.iter().any(|c| c.type_ == type_);
            assert!(!(has("Reconciling") && has("Stalled")), "{reason:?}");
            match reason.class() {
                Class::Done => assert!(is("Ready", "True") && !has("Reconciling") && !has("Stalled")),
                Class::Stalled => {
                    assert!(is("Stalled", "True") && is("Ready", "False") && is("Synced", "False"));
                }
                Class::Retry => assert!(is("Reconciling", "True") && is("Ready", "Unknown")),
            }
            assert!(status.conditions.iter().all(|c| c.reason.as_deref() == Some(reason.as_str())));
        }
    }

    #[test]
    fn nothing_is_written_twice() {
        let first = next(None, &done(), Some(1), None, at("2026-01-01T00:00:00.5Z")).unwrap();
        assert_eq!(first.conditions[0].last_update_time, Some(Time(at("2026-01-01T00:00:00Z"))));
        assert_eq!(next(Some(&first), &done(), Some(1), None, at("2026-02-01T00:00:00Z")), None);
        assert!(!is_news(Some(&first), &first));
    }

    #[test]
    fn a_request_is_repeated_and_stays_until_the_next() {
        let now = || at("2026-01-01T00:00:00Z");
        let first = next(None, &done(), Some(1), Some("a"), now()).unwrap();
        assert_eq!(first.last_handled_reconcile_at.as_deref(), Some("a"));
        assert_eq!(next(Some(&first), &done(), Some(1), Some("a"), now()), None);
        assert_eq!(next(Some(&first), &done(), Some(1), None, now()), None, "the annotation is gone");
        let second = next(Some(&first), &done(), Some(1), Some("b"), now()).unwrap();
        assert_eq!(second.last_handled_reconcile_at.as_deref(), Some("b"));
        assert_eq!((&second.conditions, &second.marker), (&first.conditions, &first.marker));
        assert!(!is_news(Some(&first), &second), "that somebody asked is no event");
    }

    #[test]
    fn times_move_with_what_they_speak_of() {
        let failed = |message: &str| Outcome::failed(Reason::NotOpened, message);
        let first = next(None, &failed("a"), Some(1), None, at("2026-01-01T00:00:00Z")).unwrap();
        let second = next(Some(&first), &failed("b"), Some(1), None, at("2026-01-02T00:00:00Z")).unwrap();
        assert_eq!(second.conditions[0].last_transition_time, first.conditions[0].last_transition_time);
        assert_eq!(second.conditions[0].last_update_time, Some(Time(at("2026-01-02T00:00:00Z"))));
        assert!(!is_news(Some(&first), &second), "a new message alone is no event");
        let third = next(Some(&second), &done(), Some(1), None, at("2026-01-03T00:00:00Z")).unwrap();
        assert_eq!(third.conditions[0].last_transition_time, Some(Time(at("2026-01-03T00:00:00Z"))));
        assert!(is_news(Some(&second), &third));
        assert!(is_synced(&third, Some(1)) && !is_synced(&third, Some(2)) && !is_synced(&second, Some(1)));
    }
}
