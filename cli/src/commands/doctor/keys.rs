//! Keys that leaked and still open, and keys that are retired.

use super::custody;
use super::finding::{Check, Finding};
use crate::cluster::{ClusterKey, KeyState, Session};
use crate::error::CommandError;

/// `may_list` says whether the key Secrets may be listed at all.
pub(super) async fn examine(session: &Session, may_list: bool) -> Vec<Finding> {
    if !may_list {
        let right = format!("list secrets in namespace {}", session.namespace());
        let checks = [Check::CompromisedKeys, Check::RetiredKeys].into_iter().chain(custody::CHECKS);
        return checks.map(|check| Finding::denied(check, &right)).collect();
    }
    let keys = session.keys().await;
    let places = match &keys {
        Ok(keys) => custody::examine(session, keys).await,
        // What is wrong is told once.
        Err(_) => Vec::new(),
    };
    let mut findings = judge(keys);
    findings.extend(places);
    findings
}

fn judge(keys: Result<Vec<ClusterKey>, CommandError>) -> Vec<Finding> {
    let keys = match keys {
        Ok(keys) => keys,
        Err(error) => return vec![Finding::of_error(Check::CompromisedKeys, &error)],
    };
    let ids = |state: KeyState| {
        let those = keys.iter().filter(|key| key.state == state);
        those.map(|key| key.key_id().to_string()).collect::<Vec<_>>()
    };
    let compromised = match ids(KeyState::Compromised).as_slice() {
        [] => Finding::ok(Check::CompromisedKeys, "no key that leaked opens any more"),
        ids => Finding::warning(
            Check::CompromisedKeys,
            format!("keys that leaked still open: {}", ids.join(", ")),
            "change what `privyseal keys report --compromised KEY` lists at its source, reseal, then `privyseal keys retire \
             KEY`",
        ),
    };
    let retired = match ids(KeyState::Retired).as_slice() {
        [] => "no key is retired".to_owned(),
        ids => format!("retired keys, which open nothing: {}", ids.join(", ")),
    };
    vec![compromised, Finding::ok(Check::RetiredKeys, retired)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;
    use jiff::SignedDuration;
    use privyseal_envelope::rsa::KeySize;
    use privyseal_keys::KeyPair;

    fn levels(states: &[KeyState]) -> Vec<(Level, bool)> {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let pair = KeyPair::generate(KeySize::Rsa2048, "", now, SignedDuration::from_hours(1)).ok().unwrap();
        let id = pair.fingerprint().key_id().to_string();
        let key = |state: &KeyState| ClusterKey {
            secret: None,
            certificate: pair.certificate().clone(),
            recipients: Vec::new(),
            state: *state,
        };
        let findings = judge(Ok(states.iter().map(key).collect()));
        findings.iter().map(|finding| (finding.level, finding.what.contains(&id))).collect()
    }

    #[test]
    fn a_key_that_leaked_is_told_until_it_is_retired() {
        use KeyState::{Compromised, OpeningOnly, Retired, Sealing};
        assert_eq!(levels(&[Sealing, OpeningOnly]), [(Level::Ok, false), (Level::Ok, false)]);
        assert_eq!(levels(&[Sealing, Compromised]), [(Level::Warning, true), (Level::Ok, false)]);
        assert_eq!(levels(&[Sealing, Retired]), [(Level::Ok, false), (Level::Ok, true)]);
        assert_eq!(judge(Err(CommandError::failed("x")))[0].level, Level::Problem);
    }
}
