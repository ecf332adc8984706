//! Errors to outcomes: what happened becomes a reason and a sentence that says what to do.
//!
//! A classic value that does not open has one reason, whatever the cause: the causes cannot be told apart, and an
//! attacker must not be able to. No sentence names a namespace other than the object's own.

use crate::api;
use crate::outcome::{Outcome, Reason, shown, shown_list};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_custody::ApiError;
use privyseal_custody::custody::Failure;
use privyseal_custody::key_secrets::Waiting;
use privyseal_manifest::names;
use privyseal_seal::{IntoSecretError, ItemError, ItemFailure, OpenError};

/// An object that does not open.
pub(crate) fn of_open(error: &OpenError, object: &ObjectMeta) -> Outcome {
    match error {
        OpenError::LegacyData => Outcome::failed(
            Reason::LegacyDataUnsupported,
            "spec.data, the deprecated form, is not supported: seal the Secret again",
        ),
        OpenError::Items { failures, .. } => of_items(failures, object),
        // Names that Kubernetes itself would not take.
        other => Outcome::failed(Reason::Malformed, other.to_string()),
    }
}

/// An object that may need one of the keys that are waited for; none if there are none.
///
/// If one of them may come by itself, the object waits; otherwise somebody has to act.
pub(crate) fn of_waiting(waiting: &[Waiting]) -> Option<Outcome> {
    let heals = |key: &&Waiting| key.failure.kind().heals();
    let first = waiting.iter().find(heals).or_else(|| waiting.first())?;
    let alike = waiting.iter().filter(|key| key.failure.kind().heals() == heals(&first));
    let names = shown_list(alike.map(|key| key.secret.as_str()));
    Some(of_vault(&first.failure, &format!("the opening key of {names} is not to be had")))
}

/// What its vault does not give now.
pub(crate) fn of_vault(failure: &Failure, what: &str) -> Outcome {
    let (reason, next) = if failure.kind().heals() {
        (Reason::KeyVaultUnavailable, "it is asked again; the Secret stays as it is")
    } else {
        (
            Reason::KeyVaultRefuses,
            "somebody has to act; it is tested again at each poll, and the Secret stays as it is",
        )
    };
    Outcome::failed(reason, format!("{what}: {failure} ({next})"))
}

fn of_items(failures: &[ItemError], object: &ObjectMeta) -> Outcome {
    let with = |wanted: fn(&ItemFailure) -> bool| {
        failures.iter().filter(move |error| wanted(&error.failure)).map(|error| error.item.as_str())
    };
    // The worst first: what cannot be repaired by a key.
    let malformed = failures.iter().find(|error| is_malformed(&error.failure));
    if let Some(first) = malformed {
        let names = shown_list(with(is_malformed));
        return Outcome::failed(
            Reason::Malformed,
            format!("spec.encryptedData is damaged at {names}: {}; seal these items again", first.failure),
        );
    }
    if failures.iter().any(|error| error.failure == ItemFailure::AttemptsSpent) {
        return Outcome::failed(
            Reason::TooExpensive,
            "opening it takes more private-key operations than one object may cost: seal it again to the newest key",
        );
    }
    let names = shown_list(with(|failure| matches!(failure, ItemFailure::NoKeyOpens { .. })));
    let scope = object.annotations.as_ref().map_or_else(Default::default, names::scope_of);
    Outcome::failed(
        Reason::NotOpened,
        format!(
            "no key opens {names}. Check that it was sealed for this cluster's keys, for namespace {} and name {}, \
             with scope {scope}, and that nothing changed it since; then seal it again",
            shown(object.namespace.as_deref().unwrap_or_default()),
            shown(object.name.as_deref().unwrap_or_default()),
        ),
    )
}

fn is_malformed(failure: &ItemFailure) -> bool {
    matches!(failure, ItemFailure::BadName(_) | ItemFailure::BadText(_))
}

/// Values that opened, and a template that we do not render.
pub(crate) fn of_template(error: IntoSecretError) -> Outcome {
    match error {
        IntoSecretError::TemplateUnsupported => Outcome::failed(
            Reason::TemplateUnsupported,
            "spec.template.data is not supported by this release; nothing was written",
        ),
        other => Outcome::failed(Reason::Malformed, other.to_string()),
    }
}

/// A Secret that could not be read or written.
pub(crate) fn of_secret_write(error: &ApiError) -> Outcome {
    let brief = api::brief_secret(error);
    match error.status().map(|status| status.code) {
        Some(403) => Outcome::failed(
            Reason::Forbidden,
            format!(
                "the controller may not write the Secret ({brief}): check its RBAC, the namespace's quota and the \
                 admission policies; it is tried again"
            ),
        ),
        Some(400 | 413 | 422) => Outcome::failed(
            Reason::TargetInvalid,
            format!(
                "the API server does not take the Secret ({brief}): check spec.template and the items' names"
            ),
        ),
        _ => Outcome::failed(
            Reason::ApiUnavailable,
            format!("the Secret could not be written ({brief}); it stays as it is, and this is tried again"),
        ),
    }
}

/// Whether a create found a Secret of that name.
pub(crate) fn is_already_exists(error: &ApiError) -> bool {
    error.status().is_some_and(|status| status.code == 409 && status.reason == "AlreadyExists")
}

/// Whether somebody else wrote, or deleted, in between.
pub(crate) fn is_conflict(error: &ApiError) -> bool {
    error.status().is_some_and(|status| matches!(status.code, 404 | 409))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> ObjectMeta {
        ObjectMeta { name: Some("db".into()), namespace: Some("team-a".into()), ..ObjectMeta::default() }
    }

    fn items(failures: &[(&str, ItemFailure)]) -> OpenError {
        let failures = failures
            .iter()
            .map(|(item, failure)| ItemError { item: (*item).to_owned(), failure: failure.clone() });
        OpenError::Items { failures: failures.collect(), private_operations: 0 }
    }

    #[test]
    fn what_does_not_open_has_one_reason_and_a_list_of_what_to_check() {
        let outcome = of_open(&items(&[("a", ItemFailure::NoKeyOpens { tried: 2 })]), &object());
        assert_eq!(outcome.reason, Reason::NotOpened);
        assert!(
            outcome.message.contains("namespace team-a and name db, with scope strict"),
            "{}",
            outcome.message
        );
    }

    #[test]
    fn hostile_item_names_are_escaped() {
        let bad = privyseal_envelope::Item::parse("\u{1b}[2J").unwrap_err();
        let outcome = of_open(&items(&[("\u{1b}[2J", ItemFailure::BadName(bad))]), &object());
        assert_eq!(outcome.reason, Reason::Malformed);
        assert!(!outcome.message.contains('\u{1b}'));
    }

    #[test]
    fn a_bound_that_was_reached_is_told_as_such() {
        let both = [("a", ItemFailure::NoKeyOpens { tried: 2 }), ("b", ItemFailure::AttemptsSpent)];
        assert_eq!(of_open(&items(&both), &object()).reason, Reason::TooExpensive);
    }
}
