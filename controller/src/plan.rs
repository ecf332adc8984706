//! From what is wanted and what is there to what is to be done: pure.
//!
//! A Secret that is not ours is never touched (whose it is: `ownership`). [`Plan::Replace`] carries the uid and the
//! resourceVersion that were judged, so that the API server refuses the write if anything changed in between.

use crate::outcome::{Outcome, Reason};
use crate::ownership::{Owner, Standing};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use privyseal_manifest::Secret;
use std::collections::{BTreeMap, BTreeSet};

/// The name under which the API server records our writes.
pub(crate) const FIELD_MANAGER: &str = "privyseal-controller";

/// What to do.
pub(crate) enum Plan {
    /// There is none: create it.
    Create(Box<Secret>),
    /// It is ours and differs: replace it.
    Replace(Box<Secret>),
    /// It is ours and right; its metadata.
    Keep(Box<ObjectMeta>),
    /// It must not be written.
    Refuse(Outcome),
}

/// Decides. `desired` is what the SealedSecret asks for.
pub(crate) fn plan(mut desired: Secret, owner: &Owner, existing: Option<&Secret>) -> Plan {
    let Some(existing) = existing else {
        owner.hold(&mut desired.metadata);
        return Plan::Create(Box::new(desired));
    };
    let owner = &owner.yielding_to(&existing.metadata);
    if let Err(outcome) = check_ownership(&existing.metadata, &desired.metadata, owner) {
        return Plan::Refuse(outcome);
    }
    if type_of(existing) != type_of(&desired) {
        return Plan::Refuse(Outcome::failed(
            Reason::TargetTypeDiffers,
            "the Secret has another type than spec.template.type, and a Secret's type cannot change: \
             delete the Secret, and it is made again",
        ));
    }

    let is_immutable = |secret: &Secret| secret.immutable == Some(true);
    let same_content = existing.data == desired.data && is_immutable(existing) == is_immutable(&desired);
    if is_immutable(existing) && !same_content {
        return Plan::Refuse(Outcome::failed(
            Reason::TargetImmutable,
            "the Secret is immutable and would have to change: delete the Secret, and it is made again",
        ));
    }
    let mut metadata = merged(&existing.metadata, &desired.metadata);
    owner.hold(&mut metadata);
    if same_content && metadata == existing.metadata {
        return Plan::Keep(Box::new(metadata));
    }
    // The API server keeps its own record of who set what.
    desired.metadata = ObjectMeta { managed_fields: None, ..metadata };
    Plan::Replace(Box::new(desired))
}

/// What an earlier SealedSecret of this name left behind says by itself that it may be taken.
fn check_ownership(metadata: &ObjectMeta, desired: &ObjectMeta, owner: &Owner) -> Result<(), Outcome> {
    match owner.standing(metadata, desired) {
        Standing::Ours | Standing::LeftBehind => Ok(()),
        Standing::BeingCollected => Err(Outcome::failed(
            Reason::TargetBeingCollected,
            "the Secret of this name is being deleted; it is made anew as soon as it is gone",
        )),
        Standing::Others(holder) => {
            let whose = holder.map_or_else(String::new, |holder| format!(" ({holder})"));
            Err(Outcome::failed(
                Reason::TargetNotOwned,
                format!(
                    "a Secret of this name exists and belongs to somebody else{whose}; it is left alone: delete it, or \
                     give the SealedSecret another name and seal it again"
                ),
            ))
        }
    }
}

fn type_of(secret: &Secret) -> &str {
    secret.type_.as_deref().filter(|type_| !type_.is_empty()).unwrap_or("Opaque")
}

/// Labels and annotations: ours are as the template says, those that others set stay, and those that we set once and
/// the template no longer has go.
fn merged(existing: &ObjectMeta, desired: &ObjectMeta) -> ObjectMeta {
    let merge =
        |field: &str, there: &Option<BTreeMap<String, String>>, wanted: &Option<BTreeMap<String, String>>| {
            let ours = set_by_us(existing.managed_fields.as_deref().unwrap_or_default(), field);
            let mut all = there.clone().unwrap_or_default();
            all.retain(|key, _| !ours.contains(key));
            all.extend(wanted.clone().unwrap_or_default());
            Some(all).filter(|all| !all.is_empty())
        };
    ObjectMeta {
        labels: merge("f:labels", &existing.labels, &desired.labels),
        annotations: merge("f:annotations", &existing.annotations, &desired.annotations),
        ..existing.clone()
    }
}

/// The keys of a metadata map that the API server records as written by us.
pub(crate) fn set_by_us(managed_fields: &[ManagedFieldsEntry], field: &str) -> BTreeSet<String> {
    managed_fields
        .iter()
        .filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER))
        .filter_map(|entry| entry.fields_v1.as_ref()?.0.get("f:metadata")?.get(field)?.as_object())
        .flat_map(|fields| fields.keys().filter_map(|key| key.strip_prefix("f:")).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests;
