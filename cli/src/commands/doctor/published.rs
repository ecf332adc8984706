//! The published list of sealing keys: whether it is there, who signed it, and which key seals.

use super::finding::{Check, Finding};
use super::key_files::judge_certificate;
use super::seen::Seen;
use super::trust::judge_keys;
use crate::cluster::Session;
use crate::error::Shown;
use crate::key_source::newest_usable;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use privyseal_custody::published::{self, CONFIG_MAP, SealingKeyReason};
use privyseal_repo::{Evidence, Subject, Trust};

/// `trust` is none if the trust file cannot be read.
pub(super) async fn examine(
    session: &Session,
    subject: &Subject,
    trust: Option<&Trust>,
    now: Timestamp,
) -> Vec<Finding> {
    let namespace = session.namespace();
    let place = format!("the ConfigMap {namespace}/{CONFIG_MAP}");
    let fetched = published::fetch(session.client.clone(), namespace).await;
    let right = format!("get configmaps {CONFIG_MAP} in namespace {namespace}");
    let seen = match Seen::of(session, &place, &right, fetched) {
        Seen::There(Some(config_map)) => Seen::There(config_map),
        Seen::There(None) | Seen::Missing => Seen::Missing,
        Seen::Denied(right) => Seen::Denied(right),
        Seen::Failed(error) => Seen::Failed(error),
    };
    judge(&place, seen, subject, trust, now)
}

fn judge(
    place: &str,
    seen: Seen<ConfigMap>,
    subject: &Subject,
    trust: Option<&Trust>,
    now: Timestamp,
) -> Vec<Finding> {
    let missing = || {
        Finding::problem(
            Check::PublishedList,
            format!("{place} is not there: our controller is not installed there, or has never led"),
            "install it, or say where it is with --controller-namespace; its log says why it does not lead",
        )
    };
    let config_map = match seen.there(Check::PublishedList, missing) {
        Ok(config_map) => config_map,
        Err(finding) => return vec![finding],
    };
    let (list, publisher) = match published::from_config_map(&config_map) {
        Ok(verified) => verified,
        Err(error) => {
            return vec![Finding::problem(
                Check::PublishedList,
                format!("{place}: {error}"),
                "seal nothing for this cluster until you know who changed it; a controller that leads sets it right",
            )];
        }
    };
    let evidence = Evidence::Publisher { fingerprint: publisher.fingerprint(), serial: list.serial };
    let keys = list.keys.len();
    let listed = format!("{place}: list {} of {}, {keys} keys", list.serial, list.time);
    let publisher = trust.and_then(|trust| judge_keys(Check::Publisher, place, trust, subject, &evidence));
    let unknown = || {
        Finding::warning(
            Check::Publisher,
            format!("{place}: {evidence}, which nothing pins yet"),
            "compare the fingerprint with somebody who knows the cluster; the first `privyseal keys fetch` pins it",
        )
    };
    let newest = newest_usable(&list, now);
    let mut sealing = judge_certificate(Check::SealingKey, "what seals", newest.as_ref(), now);
    let age = newest.as_ref().map_or(0, |newest| now.duration_since(newest.not_before()).as_hours() / 24);
    if sealing.cure.is_none() && age > KEY_DAYS {
        sealing = Finding::warning(
            Check::SealingKey,
            format!("the key that seals is {age} days old"),
            "if renewal is not off, the controller fails to renew: look at its log. `privyseal keys rotate` makes a new one",
        );
    }
    vec![
        Finding::ok(Check::PublishedList, listed),
        publisher.unwrap_or_else(unknown),
        sealing,
        judge_maker(&config_map),
    ]
}

fn judge_maker(config_map: &ConfigMap) -> Finding {
    let Some(status) = published::status(config_map) else {
        return Finding::skipped(
            Check::ForeignSealingKey,
            "the controller does not say who made the key that seals",
            "a controller of this release does",
        );
    };
    match status.reason {
        SealingKeyReason::MadeByLeader => {
            Finding::ok(Check::ForeignSealingKey, "the controller made the key that seals")
        }
        SealingKeyReason::ForeignSealingKey => Finding::problem(
            Check::ForeignSealingKey,
            format!(
                "the controller did not make the key that seals: {} in Secret {}, since {}",
                Shown(&status.fingerprint),
                Shown(&status.secret),
                Shown(&status.since)
            ),
            "if nobody of your team put it there, label its Secret as not active at once; if you took it over, `privyseal \
             keys rotate` makes one of the controller's own",
        ),
    }
}

/// Renewal is every 30 days by default.
const KEY_DAYS: i64 = 45;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;
    use jiff::SignedDuration;
    use privyseal_custody::published::{SealingKeyStatus, set_status, to_config_map};
    use privyseal_envelope::rsa::KeySize;
    use privyseal_keys::{KeyPair, PublishedKeys, PublisherKey};

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn subject() -> Subject {
        Subject::Context("prod".to_owned())
    }

    fn config_map(publisher: &PublisherKey) -> ConfigMap {
        let year = SignedDuration::from_hours(24 * 365);
        let pair = KeyPair::generate(KeySize::Rsa2048, "", now(), year).ok().unwrap();
        let keys = vec![pair.public_half()];
        let list = PublishedKeys { serial: 7, time: now(), keys, revoked: Vec::new() };
        let mut config_map = to_config_map("ns", &list.publish(publisher), None);
        set_status(&mut config_map, &status(SealingKeyReason::MadeByLeader));
        config_map
    }

    fn status(reason: SealingKeyReason) -> SealingKeyStatus {
        let text = |text: &str| text.to_owned();
        SealingKeyStatus {
            reason,
            message: text("m"),
            fingerprint: text("SHA256:x"),
            secret: text("key-a\u{1b}"),
            since: text("t"),
        }
    }

    fn levels(config_map: ConfigMap, trust: &Trust, now: Timestamp) -> Vec<(Check, Level)> {
        let findings = judge("it", Seen::There(config_map), &subject(), Some(trust), now);
        findings.iter().map(|finding| (finding.check, finding.level)).collect()
    }

    #[test]
    fn a_list_is_judged_by_its_publisher_and_by_the_age_of_its_key() {
        let (ours, theirs) = (PublisherKey::generate().ok().unwrap(), PublisherKey::generate().ok().unwrap());
        let config_map = config_map(&ours);
        let mut trust = Trust::default();
        let publisher = |trust: &Trust| levels(config_map.clone(), trust, now())[1];
        assert_eq!(publisher(&trust), (Check::Publisher, Level::Warning));
        let pin = |key: &PublisherKey| Evidence::Publisher {
            fingerprint: key.public_key().fingerprint(),
            serial: 1,
        };
        trust.pin(subject(), pin(&theirs));
        assert_eq!(publisher(&trust), (Check::Publisher, Level::Problem));
        trust.pin(subject(), pin(&ours));
        assert_eq!(
            levels(config_map.clone(), &trust, now()),
            [
                (Check::PublishedList, Level::Ok),
                (Check::Publisher, Level::Ok),
                (Check::SealingKey, Level::Ok),
                (Check::ForeignSealingKey, Level::Ok)
            ]
        );
        let later =
            |days: i64| levels(config_map.clone(), &trust, now() + SignedDuration::from_hours(24 * days))[2];
        assert_eq!(later(50), (Check::SealingKey, Level::Warning));
        assert_eq!(later(400), (Check::SealingKey, Level::Problem));
    }

    #[test]
    fn a_list_that_was_tampered_with_a_foreign_key_and_none_at_all_are_problems() {
        let publisher = PublisherKey::generate().ok().unwrap();
        let trust = Trust::default();
        let mut tampered = config_map(&publisher);
        let list = tampered.data.as_mut().unwrap().get_mut("sealing-keys.json").unwrap();
        *list = list.replace("\"serial\":7", "\"serial\":8");
        assert_eq!(levels(tampered, &trust, now()), [(Check::PublishedList, Level::Problem)]);

        let mut foreign = config_map(&publisher);
        set_status(&mut foreign, &status(SealingKeyReason::ForeignSealingKey));
        let finding = judge_maker(&foreign);
        assert_eq!(finding.level, Level::Problem);
        assert!(finding.what.contains("key-a\\u{1b}"), "{}", finding.what);

        let none = judge("it", Seen::Missing, &subject(), Some(&trust), now());
        assert_eq!(none[0].level, Level::Problem);
        let denied = judge("it", Seen::Denied("get it".to_owned()), &subject(), Some(&trust), now());
        assert_eq!(denied[0].level, Level::Skipped);
    }
}
