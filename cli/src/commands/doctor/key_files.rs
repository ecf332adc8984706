//! The key files of the configuration: signature, age, and the key that would be sealed with.

use super::finding::{Check, Finding};
use super::trust::judge_keys;
use crate::config_file::Configuration;
use crate::error::Shown;
use crate::input::Source;
use crate::key_source::newest_usable;
use jiff::{SignedDuration, Timestamp};
use privyseal_keys::{Certificate, PublishedKeys};
use privyseal_repo::{ClusterName, Evidence, KeyFile, KeySource, Subject, Trust};

/// All key files; `trust` is none if the trust file cannot be read.
pub(super) fn examine(configuration: &Configuration, trust: Option<&Trust>, now: Timestamp) -> Vec<Finding> {
    let sources =
        configuration.config.clusters().filter_map(|(name, cluster)| Some((name, cluster.keys.as_ref()?)));
    let read = sources.flat_map(|(name, source)| {
        let (KeySource::Published(path) | KeySource::Certificate(path)) = source;
        let file = configuration.folder.join(path);
        let place = format!("{} of cluster {name}", Shown(path));
        match Source::File(file).read_at_most(MAX_BYTES) {
            Ok(bytes) => judge(&place, name, source, &bytes, trust, now),
            Err(error) => vec![Finding::of_error(Check::KeyFile, &error)],
        }
    });
    read.collect()
}

fn judge(
    place: &str,
    name: &ClusterName,
    source: &KeySource,
    bytes: &[u8],
    trust: Option<&Trust>,
    now: Timestamp,
) -> Vec<Finding> {
    let broken = |reason: String| {
        let cure = "write it anew with `privyseal keys fetch`, and look at who changed it";
        vec![Finding::problem(Check::KeyFile, format!("{place}: {reason}"), cure)]
    };
    let (evidence, more) = match source {
        KeySource::Published(_) => match KeyFile::verify(bytes) {
            Ok((list, publisher)) => {
                let evidence =
                    Evidence::Publisher { fingerprint: publisher.fingerprint(), serial: list.serial };
                (evidence, judge_list(place, &list, now))
            }
            Err(error) => return broken(error.to_string()),
        },
        KeySource::Certificate(_) => match Certificate::from_pem(bytes) {
            Ok(certificate) => {
                let evidence = Evidence::Certificate { fingerprint: certificate.fingerprint() };
                (evidence, vec![judge_certificate(Check::KeyFileKey, place, Some(&certificate), now)])
            }
            Err(error) => return broken(error.to_string()),
        },
    };
    let subject = Subject::Cluster(name.as_str().to_owned());
    let trusted = trust.and_then(|trust| judge_keys(Check::KeyFile, place, trust, &subject, &evidence));
    let first = trusted.unwrap_or_else(|| {
        Finding::ok(Check::KeyFile, format!("{place}: {evidence}, which nothing pins yet"))
    });
    std::iter::once(first).chain(more).collect()
}

fn judge_list(place: &str, list: &PublishedKeys, now: Timestamp) -> Vec<Finding> {
    let days = now.duration_since(list.time).as_hours() / 24;
    let what = format!("{place}: list {} is {days} days old", list.serial);
    let age = match days > LIST_DAYS {
        true => Finding::warning(
            Check::KeyFileAge,
            format!("{what}: the cluster has a newer key by now, if it renews as usual"),
            "get the current list: `privyseal keys fetch --for CLUSTER --published --out-file FILE`, and commit it",
        ),
        false => Finding::ok(Check::KeyFileAge, what),
    };
    let newest = newest_usable(list, now);
    vec![age, judge_certificate(Check::KeyFileKey, place, newest.as_ref(), now)]
}

/// The certificate that would be sealed with.
pub(super) fn judge_certificate(
    check: Check,
    place: &str,
    certificate: Option<&Certificate>,
    now: Timestamp,
) -> Finding {
    let cure = "a controller that runs makes a new key in time: look at its log, then `privyseal keys fetch`";
    let Some(certificate) = certificate else {
        return Finding::problem(check, format!("{place}: no key of the list may seal now"), cure);
    };
    if let Err(error) = certificate.usable_at(now) {
        return Finding::problem(check, format!("{place}: {error}"), cure);
    }
    let left = certificate.not_after().duration_since(now);
    let what = format!(
        "{place}: key {}, since {}, until {}",
        certificate.fingerprint().key_id(),
        certificate.not_before(),
        certificate.not_after()
    );
    match left < SOON {
        true => Finding::warning(check, format!("{what}: it expires soon"), cure),
        false => Finding::ok(check, what),
    }
}

/// Renewal is every 30 days by default, and each is a new list.
const LIST_DAYS: i64 = 45;
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);
const MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;
    use privyseal_envelope::rsa::KeySize;
    use privyseal_keys::{KeyPair, PublisherKey};
    use privyseal_repo::Config;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn days(days: i64) -> SignedDuration {
        SignedDuration::from_hours(24 * days)
    }

    fn list(validity: SignedDuration) -> PublishedKeys {
        let pair = KeyPair::generate(KeySize::Rsa2048, "", now(), validity).ok().unwrap();
        let certificate = pair.certificate().clone();
        PublishedKeys { serial: 7, time: now(), keys: vec![certificate.into()], revoked: Vec::new() }
    }

    fn levels(bytes: &[u8], trust: &Trust, now: Timestamp) -> Vec<(Check, Level)> {
        let config = Config::parse("version: 1\nclusters: {prod: {keys: prod.keys}}\n").unwrap();
        let (name, cluster) = config.cluster("prod").unwrap();
        let findings = judge("it", name, cluster.keys.as_ref().unwrap(), bytes, Some(trust), now);
        findings.iter().map(|finding| (finding.check, finding.level)).collect()
    }

    #[test]
    fn a_list_is_judged_by_signature_pin_age_and_key() {
        use Check::{KeyFile as File, KeyFileAge as Age, KeyFileKey as Key};
        let (ours, theirs) = (PublisherKey::generate().ok().unwrap(), PublisherKey::generate().ok().unwrap());
        let list = list(days(100));
        let text = KeyFile(list.publish(&ours)).to_text();
        let mut trust = Trust::default();
        let fine = [(File, Level::Ok), (Age, Level::Ok), (Key, Level::Ok)];
        assert_eq!(levels(text.as_bytes(), &trust, now()), fine);
        let pin = |key: &PublisherKey| Evidence::Publisher {
            fingerprint: key.public_key().fingerprint(),
            serial: 7,
        };
        trust.pin(Subject::Cluster("prod".to_owned()), pin(&ours));
        assert_eq!(levels(text.as_bytes(), &trust, now()), fine);
        assert_eq!(
            levels(text.as_bytes(), &trust, now() + days(50)),
            [(File, Level::Ok), (Age, Level::Warning), (Key, Level::Ok)]
        );
        assert_eq!(
            levels(text.as_bytes(), &trust, now() + days(80)),
            [(File, Level::Ok), (Age, Level::Warning), (Key, Level::Warning)]
        );
        assert_eq!(levels(text.as_bytes(), &trust, now() + days(101))[2], (Key, Level::Problem));
        let revoked = PublishedKeys { revoked: vec![list.keys[0].certificate.fingerprint()], ..list.clone() };
        let revoked = KeyFile(revoked.publish(&ours)).to_text();
        assert_eq!(levels(revoked.as_bytes(), &trust, now())[2], (Key, Level::Problem));

        // Somebody else's signature, and one that does not fit.
        let other = KeyFile(list.publish(&theirs)).to_text();
        assert_eq!(levels(other.as_bytes(), &trust, now())[0], (File, Level::Problem));
        let forged = text.replace("\\\"serial\\\":7", "\\\"serial\\\":8");
        assert_ne!(forged, text);
        assert_eq!(levels(forged.as_bytes(), &trust, now()), [(File, Level::Problem)]);
    }
}
