//! The vault key of custody key-vault-wrapped.

use super::cures::{Cures, Object};
use super::{Use, judge_recovery, note};
use crate::commands::doctor::finding::{Check, Finding, Report};
use jiff::{SignedDuration, Timestamp};
use privyseal_custody::custody::{Failure, FailureKind};
use privyseal_custody::key_vault::{KeyVault, VaultKey};
use privyseal_envelope::key_wrap;

/// What is looked at here.
pub(super) const CHECKS: [Check; 5] = [
    Check::AzureKey,
    Check::AzureKeyDates,
    Check::AzureKeyOperations,
    Check::AzureUnwrap,
    Check::AzureRecovery,
];

pub(super) async fn examine(report: &mut Report, vault: &KeyVault, cures: &Cures<'_>, now: Timestamp) -> Use {
    let key = match vault.current_key().await {
        Ok(key) => key,
        Err(failure) => {
            report.add(Finding::problem(
                Check::AzureKey,
                failure.to_string(),
                cures.refused(&failure, Object::Key),
            ));
            note(report, Some(&failure));
            let rest = CHECKS[1..].iter();
            report
                .extend(rest.map(|check| Finding::skipped(*check, "not looked at", "cure azure-key first")));
            return Use::of(&failure);
        }
    };
    report.add(Finding::ok(Check::AzureKey, describe(&key)));
    report.add(judge_dates(&key, cures, now));
    report.add(judge_operations(&key, cures));
    let unwrapped = unwrap(vault, &key).await;
    note(report, unwrapped.as_ref().err());
    report.add(match unwrapped {
        Ok(()) => Finding::ok(Check::AzureUnwrap, "it unwraps what was wrapped here"),
        Err(failure) => {
            Finding::problem(Check::AzureUnwrap, failure.to_string(), cures.refused(&failure, Object::Key))
        }
    });
    report.add(judge_recovery("the vault key", key.recovery_level.as_deref(), cures));
    Use::Yes
}

fn describe(key: &VaultKey) -> String {
    let place = if key.hardware { "in a hardware module" } else { "in software" };
    format!("vault key {}: RSA {}, {place}", key.id, key.public.bits())
}

fn judge_dates(key: &VaultKey, cures: &Cures<'_>, now: Timestamp) -> Finding {
    let version = key.id.version();
    if !key.enabled {
        return Finding::problem(
            Check::AzureKeyDates,
            "the current version is disabled: it neither wraps nor unwraps",
            cures.enable(Object::Key, Some(version)),
        );
    }
    if let Some(start) = key.not_before.filter(|start| *start > now) {
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
        return Finding::problem(
            Check::AzureKeyDates,
            format!("the current version is not valid before {start}"),
            cures.begin_key(version, &now),
        );
    }
    match key.expires {
        None => Finding::ok(Check::AzureKeyDates, "the current version is enabled, and does not expire"),
        Some(end) if end <= now => Finding::problem(
            Check::AzureKeyDates,
            format!("the current version has expired ({end}): it unwraps, and no new key is wrapped with it"),
            cures.rotate_key(),
        ),
        Some(end) if end.duration_since(now) < SOON => Finding::warning(
            Check::AzureKeyDates,
            format!("the current version expires soon ({end}); from then on no new key is wrapped with it"),
            cures.rotate_key(),
        ),
        Some(end) => {
            Finding::ok(Check::AzureKeyDates, format!("the current version is enabled, until {end}"))
        }
    }
}

fn judge_operations(key: &VaultKey, cures: &Cures<'_>) -> Finding {
    match &key.operations {
        None => Finding::skipped(
            Check::AzureKeyOperations,
            "the vault does not say what the key may do",
            "azure-unwrap says whether it unwraps",
        ),
        Some(allowed) if allowed.iter().any(|one| one == "unwrapKey") => {
            Finding::ok(Check::AzureKeyOperations, "it allows unwrapKey")
        }
        Some(allowed) => Finding::problem(
            Check::AzureKeyOperations,
            "it does not allow unwrapKey",
            cures.allow_unwrap(Some(key.id.version()), allowed),
        ),
    }
}

/// Wraps something that is no secret here and has the vault unwrap it, as for a private half.
async fn unwrap(vault: &KeyVault, key: &VaultKey) -> Result<(), Failure> {
    let failed = |what: &str| Failure::new(FailureKind::Damaged, format!("vault key {}: {what}", key.id));
    let sealed = key_wrap::seal(PROBE, &key.public, PROBE)
        .map_err(|_| failed("the cryptographic library could not wrap with it"))?;
    let fresh_key = vault.unwrap_key(&key.id, &sealed.wrapped).await?;
    match key_wrap::open(&fresh_key, &sealed.ciphertext, PROBE) {
        Ok(opened) if opened.expose() == PROBE => Ok(()),
        _ => Err(failed("it unwraps to something else than was wrapped")),
    }
}

const PROBE: &[u8] = b"privyseal.dev/doctor";
const SOON: SignedDuration = SignedDuration::from_hours(30 * 24);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;
    use privyseal_custody::key_vault::{Collection, ObjectName, VaultUrl, VersionId};
    use privyseal_envelope::rsa::{KeySize, OpeningKey};

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn key() -> VaultKey {
        let vault = VaultUrl::parse("https://team.vault.azure.net", None, false).unwrap();
        let id = "https://team.vault.azure.net/keys/privyseal/0123456789abcdef0123456789abcdef";
        let name = ObjectName::parse("privyseal").unwrap();
        VaultKey {
            id: VersionId::stored(id, &vault, Collection::Keys, &name).unwrap(),
            public: OpeningKey::generate(KeySize::Rsa2048).unwrap().sealing_key().clone(),
            hardware: false,
            enabled: true,
            created: None,
            not_before: None,
            expires: None,
            recovery_level: None,
            operations: None,
        }
    }

    #[test]
    fn dates_operations_and_recovery_are_judged() {
        let vault = VaultUrl::parse("https://team.vault.azure.net", None, false).unwrap();
        let cures = Cures::for_test(&vault);
        let days = |days: i64| Some(now() + SignedDuration::from_hours(24 * days));
        let dates = |key: &VaultKey| judge_dates(key, &cures, now());
        assert_eq!(dates(&key()).level, Level::Ok);
        let disabled = dates(&VaultKey { enabled: false, ..key() });
        assert_eq!(disabled.level, Level::Problem);
        assert!(disabled.cure.unwrap().contains("--version 0123456789abcdef0123456789abcdef --enabled true"));
        assert_eq!(dates(&VaultKey { expires: days(31), ..key() }).level, Level::Ok);
        assert_eq!(dates(&VaultKey { expires: days(29), ..key() }).level, Level::Warning);
        assert_eq!(dates(&VaultKey { expires: days(0), ..key() }).level, Level::Problem);
        let early = dates(&VaultKey { not_before: days(1), ..key() });
        assert_eq!(early.level, Level::Problem);
        assert!(early.cure.unwrap().ends_with("--not-before 2026-11-24T12:00:00Z"));

        let operations = |allowed: Option<&[&str]>| {
            let operations = allowed.map(|allowed| allowed.iter().map(|one| (*one).to_owned()).collect());
            judge_operations(&VaultKey { operations, ..key() }, &cures).level
        };
        assert_eq!(operations(None), Level::Skipped);
        assert_eq!(operations(Some(&["wrapKey", "unwrapKey"])), Level::Ok);
        assert_eq!(operations(Some(&["wrapKey"])), Level::Problem);

        let recovery = |level| judge_recovery("it", level, &cures).level;
        assert_eq!(recovery(Some("Recoverable")), Level::Ok);
        assert_eq!(recovery(Some("CustomizedRecoverable+ProtectedSubscription")), Level::Ok);
        assert_eq!(recovery(Some("Recoverable+Purgeable")), Level::Warning);
        assert_eq!(recovery(Some("Purgeable")), Level::Warning);
        assert_eq!(recovery(None), Level::Skipped);
    }
}
