//! The vault secret of custody key-vault-secret, and that of the publisher key beside it.

use super::cures::{Cures, Object};
use super::{Use, judge_recovery, note};
use crate::commands::doctor::finding::{Check, Finding, Report};
use privyseal_custody::custody::{Failure, FailureKind};
use privyseal_custody::key_vault::{KeyVault, ObjectName, SecretVersion};
use privyseal_keys::private_key;

/// What is looked at here.
pub(super) const CHECKS: [Check; 4] =
    [Check::AzureSecretList, Check::AzureSecretGet, Check::AzureSecretSet, Check::AzureRecovery];

pub(super) async fn examine(report: &mut Report, vault: &KeyVault, cures: &Cures<'_>) -> Use {
    if vault.vault().is_managed_hsm() {
        report.extend(CHECKS.map(|check| {
            Finding::skipped(check, "a Managed HSM has no secrets", "custody key-vault-wrapped needs none")
        }));
        return Use::No;
    }
    let versions = match listed(report, vault, vault.secret_name(), cures).await {
        Ok(versions) => versions,
        Err(failure) => {
            let rest = CHECKS[1..].iter();
            report.extend(
                rest.map(|check| Finding::skipped(*check, "not looked at", "cure azure-secret-list first")),
            );
            return Use::of(&failure);
        }
    };
    // Another secret, to which a role may be bound by itself.
    let _ = listed(report, vault, vault.publisher_name(), cures).await;
    let newest = newest(vault, &versions).await;
    if let Newest::Refused(failure) = &newest {
        note(report, Some(failure));
    }
    report.add(judge_newest(&newest, cures));
    report.add(Finding::skipped(
        Check::AzureSecretSet,
        "whether new versions may be set is not known without setting one",
        cures.who_may_set(),
    ));
    let level = versions.first().and_then(|version| version.recovery_level.as_deref());
    if !versions.is_empty() {
        report.add(judge_recovery("the vault secret", level, cures));
    }
    if versions.is_empty() { Use::No } else { Use::Yes }
}

/// The versions of a secret. That there are none yet is no failure.
async fn listed(
    report: &mut Report,
    vault: &KeyVault,
    name: &ObjectName,
    cures: &Cures<'_>,
) -> Result<Vec<SecretVersion>, Failure> {
    let versions = match vault.secret_versions(name).await {
        Err(failure) if failure.kind() == FailureKind::NotFound => Ok(Vec::new()),
        other => other,
    };
    note(report, versions.as_ref().err());
    report.add(match &versions {
        Ok(versions) if versions.is_empty() => Finding::ok(
            Check::AzureSecretList,
            format!(
                "vault secret {name} has no version: before the first key, or in another custody, it has none"
            ),
        ),
        Ok(versions) => {
            let enabled = versions.iter().filter(|version| version.enabled).count();
            Finding::ok(
                Check::AzureSecretList,
                format!("vault secret {name} has {} versions, {enabled} of them enabled", versions.len()),
            )
        }
        Err(failure) => Finding::problem(
            Check::AzureSecretList,
            failure.to_string(),
            cures.refused(failure, Object::Secret),
        ),
    });
    versions
}

/// What came of getting the newest version that is enabled.
enum Newest {
    None { versions: usize },
    Key { version: String, key_id: String },
    NoKey { version: String },
    Refused(Failure),
}

async fn newest(vault: &KeyVault, versions: &[SecretVersion]) -> Newest {
    let Some(newest) = versions.iter().find(|version| version.enabled) else {
        return Newest::None { versions: versions.len() };
    };
    let version = newest.id.version().to_owned();
    match vault.get_secret(vault.secret_name(), &newest.id).await {
        Ok(secret) => match private_key::first_from_pem(&secret.value) {
            Ok(key) => Newest::Key { version, key_id: key.fingerprint().key_id().to_string() },
            Err(_) => Newest::NoKey { version },
        },
        Err(failure) => Newest::Refused(failure),
    }
}

fn judge_newest(newest: &Newest, cures: &Cures<'_>) -> Finding {
    let check = Check::AzureSecretGet;
    match newest {
        Newest::None { versions: 0 } => {
            Finding::skipped(check, "there is no version to get", "the leader makes the first one")
        }
        Newest::None { .. } => {
            Finding::problem(check, "no version is enabled", cures.enable(Object::Secret, None))
        }
        Newest::Key { version, key_id } => {
            Finding::ok(check, format!("the newest version, {version}, is key {key_id}"))
        }
        Newest::NoKey { version } => Finding::warning(
            check,
            format!("the newest version, {version}, holds no private key in PEM, and is passed over"),
            "who set it? Only the controller, and people who bring keys, have business there",
        ),
        Newest::Refused(failure) => {
            Finding::problem(check, failure.to_string(), cures.refused(failure, Object::Secret))
        }
    }
}
