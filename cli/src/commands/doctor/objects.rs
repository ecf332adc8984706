//! SealedSecrets that are not Secrets yet, by reason.

use super::finding::{Check, Finding};
use super::seen::{Seen, each};
use crate::cluster::Session;
use crate::commands::reseal::name_of;
use crate::error::Shown;
use kube::Api;
use kube::core::DeserializeGuard;
use privyseal_manifest::SealedSecret;
use std::collections::BTreeMap;

/// What the statuses of all objects say.
#[derive(Default)]
struct Statuses {
    total: usize,
    /// How many are waiting for the controller.
    waiting: Unsynced,
    /// By the reason that the controller gives.
    failed: BTreeMap<String, Unsynced>,
}

#[derive(Default)]
struct Unsynced {
    count: usize,
    /// The first few.
    names: Vec<String>,
}

pub(super) async fn examine(session: &Session) -> Vec<Finding> {
    let api = Api::<DeserializeGuard<SealedSecret>>::all(session.client.clone());
    let mut statuses = Statuses::default();
    let listed = each(&api, |DeserializeGuard(object)| match object {
        Ok(object) => statuses.add(&object),
        Err(invalid) => {
            let mut object = SealedSecret::new("", Default::default());
            object.metadata = invalid.metadata;
            statuses.fail("InvalidObject", &object);
        }
    });
    let listed = listed.await.map(|()| statuses);
    judge(Seen::of(session, "the SealedSecrets", "list sealedsecrets.bitnami.com in all namespaces", listed))
}

fn judge(seen: Seen<Statuses>) -> Vec<Finding> {
    let missing = || {
        Finding::skipped(
            Check::Unsynced,
            "the cluster knows no SealedSecrets",
            "install the definition first",
        )
    };
    let Statuses { total, waiting, failed } = match seen.there(Check::Unsynced, missing) {
        Ok(statuses) => statuses,
        Err(finding) => return vec![finding],
    };
    let mut findings: Vec<_> = failed
        .iter()
        .map(|(reason, unsynced)| {
            Finding::problem(
                Check::Unsynced,
                format!(
                    "{} of {total} SealedSecrets: {}: {}",
                    unsynced.count,
                    Shown(reason),
                    unsynced.named()
                ),
                match reason.as_str() {
                    "KeyVaultUnavailable" | "KeyVaultRefuses" => {
                        "`kubectl describe sealedsecret` says what the vault answers; `privyseal doctor azure --key-vault URL` \
                         with the controller's credential says the command that cures it"
                    }
                    _ => "`kubectl describe sealedsecret` says what to do; docs/status.md explains the reasons",
                },
            )
        })
        .collect();
    if waiting.count > 0 {
        findings.push(Finding::warning(
            Check::Unsynced,
            format!("{} of {total} SealedSecrets wait for a controller: {}", waiting.count, waiting.named()),
            "if it stays so, no controller leads, or it has not the rights to write their status",
        ));
    }
    if findings.is_empty() {
        findings.push(Finding::ok(Check::Unsynced, format!("{total} SealedSecrets, all of them synced")));
    }
    findings
}

impl Statuses {
    fn add(&mut self, object: &SealedSecret) {
        let status = object.status.clone().unwrap_or_default();
        let behind = status.observed_generation.is_some_and(|seen| Some(seen) != object.metadata.generation);
        let synced = status.conditions.into_iter().find(|condition| condition.type_ == "Synced");
        match synced {
            Some(synced) if !behind => match synced.status.as_str() {
                "True" => self.total += 1,
                _ => self.fail(synced.reason.as_deref().unwrap_or("NoReason"), object),
            },
            _ => {
                self.total += 1;
                self.waiting.add(object);
            }
        }
    }

    fn fail(&mut self, reason: &str, object: &SealedSecret) {
        self.total += 1;
        self.failed.entry(reason.to_owned()).or_default().add(object);
    }
}

impl Unsynced {
    fn add(&mut self, object: &SealedSecret) {
        self.count += 1;
        if self.names.len() < SHOWN {
            self.names.push(name_of(object));
        }
    }

    fn named(&self) -> String {
        let more = self.count - self.names.len();
        let names = self.names.join(", ");
        if more > 0 { format!("{names} and {more} more") } else { names }
    }
}

const SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;
    use serde_json::json;

    fn object(name: &str, observed: i64, synced: &str, reason: Option<&str>) -> SealedSecret {
        let condition = json!({"type": "Synced", "status": synced, "reason": reason});
        serde_json::from_value(json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "metadata": {"name": name, "namespace": "ns", "generation": 3},
            "spec": {"encryptedData": {}},
            "status": {"observedGeneration": observed, "conditions": [condition]},
        }))
        .unwrap()
    }

    #[test]
    fn what_is_not_synced_is_counted_by_reason_and_the_first_are_named() {
        let mut statuses = Statuses::default();
        (0..7).for_each(|n| statuses.add(&object(&format!("bad-{n}"), 3, "False", Some("DoesNotOpen"))));
        statuses.add(&object("taken", 3, "False", Some("NotOurs")));
        statuses.add(&object("good", 3, "True", Some("Unsealed")));
        // What the controller said of an older spec says nothing of this one.
        statuses.add(&object("changed", 2, "True", Some("Unsealed")));
        statuses.add(&object("new", -1, "True", None));
        let findings = judge(Seen::There(statuses));
        let told: Vec<_> = findings.iter().map(|finding| (finding.level, finding.what.as_str())).collect();
        assert_eq!(
            told,
            [
                (
                    Level::Problem,
                    "7 of 11 SealedSecrets: DoesNotOpen: ns/bad-0, ns/bad-1, ns/bad-2, ns/bad-3, ns/bad-4 and 2 more"
                ),
                (Level::Problem, "1 of 11 SealedSecrets: NotOurs: ns/taken"),
                (Level::Warning, "2 of 11 SealedSecrets wait for a controller: ns/changed, ns/new"),
            ]
        );
    }

    #[test]
    fn all_synced_is_fine_and_what_may_not_be_listed_is_skipped() {
        assert_eq!(judge(Seen::There(Statuses::default()))[0].level, Level::Ok);
        assert_eq!(judge(Seen::Denied("list".to_owned()))[0].level, Level::Skipped);
    }
}
