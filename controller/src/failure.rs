//! Errors to outcomes: what happened becomes a reason and a sentence that says what to do.
//!
//! A classic value that does not open has one reason, whatever the cause: the causes cannot be told apart, and an
//! attacker must not be able to. Causes of the age format can, since the header says whose a value is and the payload for
//! what it was sealed. No sentence names a namespace other than the object's own, and none holds a byte of a value.

use crate::api;
use crate::outcome::{Outcome, Reason, shown, shown_list};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_custody::ApiError;
use privyseal_custody::custody::Failure;
use privyseal_custody::key_secrets::Waiting;
use privyseal_envelope::{Binding, KeyId, Namespace, age};
use privyseal_manifest::names;
use privyseal_seal::{IntoSecretError, ItemError, ItemFailure, OpenError};
use std::collections::BTreeSet;

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

/// What is wrong with an item. If several things are wrong with an object the first one of this list is told: what no key
/// and no wait can repair comes first, and a key that is missing comes last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Malformed,
    Altered,
    BindingDiffers,
    TooExpensive,
    NotARecipient,
    NotOpened,
}

impl Fault {
    fn of(failure: &ItemFailure) -> Self {
        match failure {
            ItemFailure::BadName(_) | ItemFailure::BadText(_) => Self::Malformed,
            ItemFailure::Age(error) => match error {
                age::OpenError::OtherFormat | age::OpenError::Header | age::OpenError::TooLarge => {
                    Self::Malformed
                }
                age::OpenError::OtherBinding { .. } => Self::BindingDiffers,
                age::OpenError::NoMatch => Self::NotARecipient,
                _ => Self::Altered,
            },
            ItemFailure::AttemptsSpent => Self::TooExpensive,
            ItemFailure::NotARecipient { .. } => Self::NotARecipient,
            _ => Self::NotOpened,
        }
    }
}

fn of_items(failures: &[ItemError], object: &ObjectMeta) -> Outcome {
    let worst = failures.iter().map(|error| Fault::of(&error.failure)).min().unwrap_or(Fault::NotOpened);
    let of_it: Vec<_> = failures.iter().filter(|error| Fault::of(&error.failure) == worst).collect();
    let items = shown_list(of_it.iter().map(|error| error.item.as_str()));
    let (reason, mut message) = match worst {
        Fault::Malformed => {
            let first = of_it.first().map(|error| error.failure.to_string()).unwrap_or_default();
            let text =
                format!("spec.encryptedData cannot be read at {items}: {first}; seal these items again");
            (Reason::Malformed, text)
        }
        Fault::Altered => {
            let text = format!("{items}: changed after sealing, so that nobody can trust it; seal it again");
            (Reason::Altered, text)
        }
        Fault::BindingDiffers => (Reason::BindingDiffers, other_binding(&items, &of_it, object)),
        Fault::TooExpensive => (
            Reason::TooExpensive,
            "opening it takes more private-key operations than one object may cost: seal it again to the newest key"
                .to_owned(),
        ),
        Fault::NotARecipient => (Reason::NotARecipient, not_a_recipient(&items, &of_it)),
        Fault::NotOpened => {
            let scope = object.annotations.as_ref().map_or_else(Default::default, names::scope_of);
            let text = format!(
                "no key opens {items}. Check that it was sealed for this cluster's keys, for namespace {} and name {}, \
                 with scope {scope}, and that nothing changed it since; then seal it again",
                shown(object.namespace.as_deref().unwrap_or_default()),
                shown(object.name.as_deref().unwrap_or_default()),
            );
            (Reason::NotOpened, text)
        }
    };
    match failures.len() - of_it.len() {
        0 => {}
        1 => message.push_str(" (one more item does not open, for another reason)"),
        more => message.push_str(&format!(" ({more} more items do not open, for other reasons)")),
    }
    Outcome::failed(reason, message)
}

/// A payload that says for what it was sealed is quoted field by field: its names are names by Kubernetes' grammar, and its
/// namespace is told only where everybody who reads the object knows it. Of any other payload nothing is told.
fn other_binding(items: &str, errors: &[&ItemError], object: &ObjectMeta) -> String {
    let sealed_for = errors.iter().find_map(|error| match &error.failure {
        ItemFailure::Age(age::OpenError::OtherBinding { sealed_for: Some(line) }) => Some((error, line)),
        _ => None,
    });
    let Some((error, line)) = sealed_for else {
        return format!(
            "{items}: a file of age that Privyseal did not seal, since it names no object; seal it again"
        );
    };
    let namespace = |namespace: &Namespace| match object.namespace.as_deref() == Some(namespace.as_str()) {
        true => format!("namespace {}", shown(namespace.as_str())),
        false => "another namespace".to_owned(),
    };
    let place = match &line.binding {
        Binding::Strict { namespace: its, name } => {
            format!(", {}, name {}", namespace(its), shown(name.as_str()))
        }
        Binding::NamespaceWide { namespace: its } => format!(", {}", namespace(its)),
        Binding::ClusterWide => String::new(),
    };
    format!(
        "{items}: sealed for another object or item. {} was sealed with scope {}{place}, item {}; seal it again for this \
         one",
        shown(&error.item),
        line.binding.scope(),
        shown(line.item.as_str()),
    )
}

/// Whose a value is, is its own word: it is told as such.
fn not_a_recipient(items: &str, errors: &[&ItemError]) -> String {
    let claimed = errors.iter().flat_map(|error| match &error.failure {
        ItemFailure::NotARecipient { claimed, .. } => claimed.as_slice(),
        _ => &[],
    });
    let claimed: BTreeSet<_> = claimed.map(KeyId::to_string).collect();
    let whose = match claimed.len() {
        0 => "it does not say for which it was sealed".to_owned(),
        1 => format!("it says that it was sealed for key {}", shown_list(claimed.iter().map(String::as_str))),
        _ => {
            format!("it says that it was sealed for keys {}", shown_list(claimed.iter().map(String::as_str)))
        }
    };
    format!(
        "{items}: none of this cluster's keys is among the recipients; {whose}. Seal it again for this cluster, or bring that \
         key back"
    )
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

    fn line(namespace: &str, name: &str) -> Option<Box<age::BindingLine>> {
        let binding = Binding::Strict {
            namespace: Namespace::parse(namespace).unwrap(),
            name: privyseal_envelope::Name::parse(name).unwrap(),
        };
        let item = privyseal_envelope::Item::parse("password").unwrap();
        Some(Box::new(age::BindingLine { binding, item }))
    }

    fn other(sealed_for: Option<Box<age::BindingLine>>) -> ItemFailure {
        ItemFailure::Age(age::OpenError::OtherBinding { sealed_for })
    }

    fn stranger(claimed: &[&str]) -> ItemFailure {
        let claimed =
            claimed.iter().map(|text| privyseal_envelope::Fingerprint::of(text.as_bytes()).key_id());
        ItemFailure::NotARecipient { tried: 1, claimed: claimed.collect() }
    }

    #[test]
    fn each_failure_of_the_age_format_has_its_reason_and_its_cure() {
        let id = privyseal_envelope::Fingerprint::of(b"theirs").key_id().to_string();
        let both = [&id, "for keys"].map(str::to_owned);
        let cases: [(ItemFailure, Reason, &[&str], &[&str]); 12] = [
            (
                stranger(&["theirs"]),
                Reason::NotARecipient,
                &["for key ", &id, "Seal it again for this cluster"],
                &[],
            ),
            (stranger(&["theirs", "others"]), Reason::NotARecipient, &[&both[0], &both[1]], &[]),
            (stranger(&[]), Reason::NotARecipient, &["does not say for which"], &["for key"]),
            (ItemFailure::Age(age::OpenError::NoMatch), Reason::NotARecipient, &["Seal it again"], &[]),
            (
                ItemFailure::Age(age::OpenError::Header),
                Reason::Malformed,
                &["header", "seal these items again"],
                &[],
            ),
            (ItemFailure::Age(age::OpenError::TooLarge), Reason::Malformed, &["32 recipients"], &[]),
            (
                ItemFailure::Age(age::OpenError::Damaged),
                Reason::Altered,
                &["changed after sealing", "seal it again"],
                &[],
            ),
            (
                other(line("team-a", "web")),
                Reason::BindingDiffers,
                &["scope strict, namespace team-a, name web, item password", "seal it again"],
                &["another namespace"],
            ),
            (
                other(line("team-b", "web")),
                Reason::BindingDiffers,
                &["scope strict, another namespace, name web, item password"],
                &["team-b"],
            ),
            (
                other(Some(Box::new(age::BindingLine {
                    binding: Binding::NamespaceWide { namespace: Namespace::parse("team-b").unwrap() },
                    item: privyseal_envelope::Item::parse("x").unwrap(),
                }))),
                Reason::BindingDiffers,
                &["scope namespace-wide, another namespace, item x"],
                &["team-b", "name "],
            ),
            (
                other(Some(Box::new(age::BindingLine {
                    binding: Binding::ClusterWide,
                    item: privyseal_envelope::Item::parse("x").unwrap(),
                }))),
                Reason::BindingDiffers,
                &["scope cluster-wide, item x"],
                &["namespace ", "name "],
            ),
            (other(None), Reason::BindingDiffers, &["Privyseal did not seal", "seal it again"], &["scope"]),
        ];
        for (failure, reason, parts, never) in cases {
            let outcome = of_open(&items(&[("a\u{1b}[31m", failure.clone())]), &object());
            assert_eq!(outcome.reason, reason, "{failure:?}");
            assert_eq!(outcome.reason.class(), crate::outcome::Class::Stalled);
            let message = &outcome.message;
            assert!(message.contains("a\\u{1b}[31m") && !message.contains('\u{1b}'), "{message}");
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
            assert!(!never.iter().any(|part| message.contains(part)), "{message}");
            assert!(message.len() < 500, "{message}");
        }
        // Without a namespace of its own every other one is another.
        let nameless = ObjectMeta::default();
        let outcome = of_open(&items(&[("a", other(line("team-a", "web")))]), &nameless);
        assert!(!outcome.message.contains("team-a"), "{}", outcome.message);
    }

    #[test]
    fn of_several_failures_what_no_key_can_repair_is_told_first() {
        let bad = privyseal_envelope::Item::parse("").unwrap_err();
        let by_rank = [
            (ItemFailure::BadName(bad), Reason::Malformed),
            (ItemFailure::Age(age::OpenError::Damaged), Reason::Altered),
            (other(None), Reason::BindingDiffers),
            (ItemFailure::AttemptsSpent, Reason::TooExpensive),
            (stranger(&[]), Reason::NotARecipient),
            (ItemFailure::NoKeyOpens { tried: 1 }, Reason::NotOpened),
        ];
        for first in 0..by_rank.len() {
            for second in 0..by_rank.len() {
                let failures = [("x", by_rank[first].0.clone()), ("y", by_rank[second].0.clone())];
                let outcome = of_open(&items(&failures), &object());
                assert_eq!(outcome.reason, by_rank[first.min(second)].1, "{first} {second}");
                let told = outcome.message.contains("one more item does not open");
                assert_eq!(told, first != second, "{}", outcome.message);
            }
        }
        let many = by_rank.each_ref().map(|(failure, _)| ("x", failure.clone()));
        let message = of_open(&items(&many), &object()).message;
        assert!(message.ends_with("(5 more items do not open, for other reasons)"), "{message}");
    }

    #[test]
    fn of_what_may_be_a_plaintext_nothing_is_told_and_claims_are_bounded() {
        let names: Vec<_> = (0..64).map(|n| n.to_string()).collect();
        let claimed = stranger(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let message = of_open(&items(&[("a", claimed)]), &object()).message;
        assert!(message.contains("and 56 more") && message.len() < 500, "{message}");
        // One that names its object speaks for those that name none.
        let mixed = items(&[("a", other(None)), ("b", other(line("team-a", "web")))]);
        let message = of_open(&mixed, &object()).message;
        assert!(
            message.starts_with("a, b: ") && message.contains("b was sealed with scope strict"),
            "{message}"
        );
    }
}
