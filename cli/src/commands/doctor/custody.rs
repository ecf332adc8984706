//! Where private halves are: what still lies in the cluster although a vault keeps the rest, and what once did.

use super::finding::{Check, Finding};
use crate::cluster::{ClusterKey, KeySecret, KeyState, Session};
use crate::error::{CommandError, Shown};
use privyseal_custody::custody::Kind;
use privyseal_custody::key_secrets::{MOVING_SECRET, PUBLISHER_SECRET, publisher_kept_by};
use privyseal_custody::{ApiError, SecretApi};
use std::collections::BTreeSet;

/// What is looked at here.
pub(super) const CHECKS: [Check; 4] =
    [Check::KeyCustody, Check::OnceInClear, Check::PublisherCustody, Check::PublisherMove];

/// Where the publisher key is.
#[derive(Debug, PartialEq, Eq)]
enum Publisher {
    Missing,
    Unusable,
    KeptBy(Kind),
}

pub(super) async fn examine(session: &Session, keys: &[ClusterKey]) -> Vec<Finding> {
    let mut findings = judge_keys(keys);
    let secrets = SecretApi::new(session.client.clone(), session.namespace());
    let publisher = secrets.get(PUBLISHER_SECRET).await;
    let moving = secrets.get(MOVING_SECRET).await;
    match (publisher, moving) {
        (Ok(publisher), Ok(moving)) => {
            let is_moving = moving.is_some();
            let place = match publisher.or(moving).as_ref().map(publisher_kept_by) {
                None => Publisher::Missing,
                Some(Err(_)) => Publisher::Unusable,
                Some(Ok(kind)) => Publisher::KeptBy(kind),
            };
            let in_vault = vaults(keys).next().is_some();
            findings.extend([judge_publisher(session.namespace(), &place, in_vault), judge_move(is_moving)]);
        }
        (Err(error), _) | (_, Err(error)) => {
            let finding = |check| match &error {
                ApiError::Kube(kube::Error::Api(status)) if status.code == 403 => {
                    Finding::denied(check, &format!("get secrets in namespace {}", session.namespace()))
                }
                ApiError::Kube(error) => Finding::of_error(check, &session.error("the publisher key", error)),
                other => Finding::of_error(
                    check,
                    &CommandError::failed(format!(
                        "Secret {PUBLISHER_SECRET}: {}",
                        Shown(&other.to_string())
                    )),
                ),
            };
            findings.extend([Check::PublisherCustody, Check::PublisherMove].map(finding));
        }
    }
    findings
}

/// The vault custodies that keep any key.
fn vaults(keys: &[ClusterKey]) -> impl Iterator<Item = Kind> {
    let kinds = keys.iter().filter_map(|key| key.secret.as_ref()?.custody);
    kinds.filter(|kind| *kind != Kind::Cluster)
}

fn judge_keys(keys: &[ClusterKey]) -> Vec<Finding> {
    let ids = |wanted: &dyn Fn(&KeySecret) -> bool| {
        let those = keys.iter().filter(|key| key.secret.as_ref().is_some_and(wanted));
        those.map(|key| key.key_id().to_string()).collect::<Vec<_>>().join(", ")
    };
    let damaged = ids(&|secret| secret.custody.is_none());
    let in_clear = ids(&|secret| secret.custody == Some(Kind::Cluster));
    let kinds: BTreeSet<_> = vaults(keys).map(Kind::as_str).collect();
    let kinds = kinds.into_iter().collect::<Vec<_>>().join(" and ");
    let custody = if !damaged.is_empty() {
        Finding::problem(
            Check::KeyCustody,
            format!("what says where the private half is cannot be read, of keys {damaged}"),
            "restore them from a backup; the Secret may have been written by a later release",
        )
    } else if kinds.is_empty() {
        Finding::ok(Check::KeyCustody, format!("{} keys, in the cluster", keys.len()))
    } else if in_clear.is_empty() {
        Finding::ok(Check::KeyCustody, format!("{} keys, kept by {kinds}", keys.len()))
    } else {
        Finding::warning(
            Check::KeyCustody,
            format!("keys still lie in the cluster in the clear, beside those kept by {kinds}: {in_clear}"),
            "the leader moves them within minutes: if it does not, its log and `privyseal doctor azure` say why",
        )
    };
    let still_open = keys.iter().filter(|key| key.state != KeyState::Retired);
    let exposed = still_open.filter(|key| key.secret.as_ref().is_some_and(KeySecret::once_lay_in_clear));
    let exposed = exposed.map(|key| key.key_id().to_string()).collect::<Vec<_>>();
    let once = match exposed.first() {
        None => Finding::ok(
            Check::OnceInClear,
            "no key that a vault keeps and that opens once lay in the cluster in the clear",
        ),
        Some(first) => Finding::warning(
            Check::OnceInClear,
            format!(
                "keys that a vault keeps now lay in the cluster in the clear before, for whoever could read Secrets or a \
                 backup of etcd, and still open: {}",
                exposed.join(", ")
            ),
            format!(
                "`privyseal reseal PATHS`, commit, wait for the reconciliation, then `privyseal keys retire {first} PATHS`, and \
                 so the others"
            ),
        ),
    };
    vec![custody, once]
}

fn judge_publisher(namespace: &str, publisher: &Publisher, keys_in_vault: bool) -> Finding {
    match publisher {
        Publisher::Missing => Finding::skipped(
            Check::PublisherCustody,
            format!("there is no Secret {namespace}/{PUBLISHER_SECRET}"),
            "the controller makes it when it first leads",
        ),
        Publisher::Unusable => Finding::problem(
            Check::PublisherCustody,
            format!("the Secret {namespace}/{PUBLISHER_SECRET} holds no usable publisher key"),
            "restore a backup: `privyseal keys restore FILE --replace-publisher`",
        ),
        Publisher::KeptBy(Kind::Cluster) if keys_in_vault => Finding::warning(
            Check::PublisherCustody,
            "the publisher key still lies in the cluster in the clear, although a vault keeps keys",
            "the leader moves it within minutes: if it does not, its log and `privyseal doctor azure` say why",
        ),
        Publisher::KeptBy(Kind::Cluster) => {
            Finding::ok(Check::PublisherCustody, "the publisher key is in the cluster")
        }
        Publisher::KeptBy(kind) => {
            Finding::ok(Check::PublisherCustody, format!("the publisher key is kept by {kind}"))
        }
    }
}

fn judge_move(is_moving: bool) -> Finding {
    match is_moving {
        true => Finding::warning(
            Check::PublisherMove,
            format!("a move of the publisher key was begun and not ended: there is a Secret {MOVING_SECRET}"),
            "a controller that leads ends it by itself; do not delete the Secret, it may be the only one that has the key",
        ),
        false => Finding::ok(Check::PublisherMove, "the publisher key is not being moved"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;
    use jiff::SignedDuration;
    use privyseal_envelope::rsa::KeySize;
    use privyseal_keys::KeyPair;

    fn key(state: KeyState, custody: Option<Kind>, was_in_clear: bool) -> ClusterKey {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let pair = KeyPair::generate(KeySize::Rsa2048, "", now, SignedDuration::from_hours(1)).ok().unwrap();
        let secret = KeySecret::for_test("a", custody, was_in_clear);
        ClusterKey {
            secret: Some(secret),
            certificate: pair.certificate().clone(),
            recipients: Vec::new(),
            state,
        }
    }

    fn levels(keys: &[ClusterKey]) -> [(Level, usize); 2] {
        let named = |finding: &Finding| {
            keys.iter().filter(|key| finding.what.contains(&key.key_id().to_string())).count()
        };
        let findings = judge_keys(keys);
        [0, 1].map(|index| (findings[index].level, named(&findings[index])))
    }

    #[test]
    fn what_remains_in_the_clear_and_what_once_lay_there_is_told() {
        use KeyState::{OpeningOnly, Retired, Sealing};
        let wrapped = Some(Kind::KeyVaultWrapped);
        let (ok, warning) = ((Level::Ok, 0), Level::Warning);
        let in_cluster =
            [key(Sealing, Some(Kind::Cluster), false), key(OpeningOnly, Some(Kind::Cluster), true)];
        assert_eq!(levels(&in_cluster), [ok, ok]);
        assert_eq!(levels(&[key(Sealing, wrapped, false)]), [ok, ok]);
        let moving = [key(Sealing, wrapped, false), key(OpeningOnly, Some(Kind::Cluster), false)];
        assert_eq!(levels(&moving), [(warning, 1), ok]);
        let moved = [key(Sealing, wrapped, false), key(OpeningOnly, wrapped, true)];
        assert_eq!(levels(&moved), [ok, (warning, 1)]);
        let retired = [key(Sealing, wrapped, false), key(Retired, wrapped, true)];
        assert_eq!(levels(&retired), [ok, ok]);
        assert_eq!(levels(&[key(Sealing, None, false)])[0], (Level::Problem, 1));
    }

    #[test]
    fn the_publisher_key_should_be_where_the_keys_are_and_not_on_its_way() {
        let level = |publisher, in_vault| judge_publisher("ns", &publisher, in_vault).level;
        assert_eq!(level(Publisher::KeptBy(Kind::Cluster), false), Level::Ok);
        assert_eq!(level(Publisher::KeptBy(Kind::Cluster), true), Level::Warning);
        assert_eq!(level(Publisher::KeptBy(Kind::KeyVaultSecret), true), Level::Ok);
        assert_eq!(level(Publisher::Unusable, true), Level::Problem);
        assert_eq!(level(Publisher::Missing, true), Level::Skipped);
        assert_eq!((judge_move(true).level, judge_move(false).level), (Level::Warning, Level::Ok));
    }
}
