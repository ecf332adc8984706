//! Whose a Secret is, and what ties it to its SealedSecret: pure.
//!
//! A Secret is a SealedSecret's if it says the SealedSecret's uid; a name is no proof, since it can be given again. It says
//! it in an owner reference, and then Kubernetes deletes it with the SealedSecret (`Delete`), or in an annotation, and then
//! it stays (`Retain`).

use crate::outcome::shown;
use crate::plan::{FIELD_MANAGER, set_by_us};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference};
use privyseal_manifest::names::{self, DeletionPolicy, NotADeletionPolicy};
use std::collections::BTreeMap;

/// The SealedSecret that a Secret belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// What is to become of the Secret when it goes.
    pub deletion_policy: DeletionPolicy,
    /// Whether that is no more than our default, and another controller opened the object last, whose default may be
    /// another: then the Secret's tie stays as it is. Two that changed it back each time would never end.
    pub yields: bool,
}

/// How a Secret that is there stands to the SealedSecret of its name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It is the SealedSecret's.
    Ours,
    /// An earlier SealedSecret of this name left it behind, and nobody has it now.
    LeftBehind,
    /// It is being deleted, or will be, with an earlier SealedSecret of this name.
    BeingCollected,
    /// It is somebody else's; whose, as far as it tells.
    Others(Option<String>),
}

/// What a Secret says of its SealedSecret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tie<'a> {
    /// The SealedSecret's uid.
    pub uid: &'a str,
    /// What becomes of the Secret when that goes.
    pub on_deletion: DeletionPolicy,
}

/// The deletion policy that holds for an object: its own word, or else the controller's default.
///
/// # Errors
/// If its annotation holds another word than the two.
pub(crate) fn deletion_policy(
    annotations: Option<&BTreeMap<String, String>>,
    default: DeletionPolicy,
) -> Result<DeletionPolicy, NotADeletionPolicy> {
    let own = annotations.map(names::deletion_policy_of).transpose()?.flatten();
    Ok(own.unwrap_or(default))
}

/// What a Secret says of a SealedSecret, if it says anything.
pub(crate) fn tie(secret: &ObjectMeta) -> Option<Tie<'_>> {
    let reference = sealed_secrets(secret).next();
    let by_reference = reference.map(|it| Tie { uid: &it.uid, on_deletion: DeletionPolicy::Delete });
    by_reference.or_else(|| annotated_uid(secret).map(|uid| Tie { uid, on_deletion: DeletionPolicy::Retain }))
}

impl Owner {
    /// The same, with the deletion policy that the Secret has if ours yields.
    pub(crate) fn yielding_to(&self, secret: &ObjectMeta) -> Self {
        let tie = tie(secret).filter(|tie| self.yields && tie.uid == self.uid);
        let deletion_policy = tie.map_or(self.deletion_policy, |tie| tie.on_deletion);
        Self { deletion_policy, ..self.clone() }
    }

    /// How a Secret of its name stands to it, which asks for the labels and annotations of `desired`.
    pub(crate) fn standing(&self, secret: &ObjectMeta, desired: &ObjectMeta) -> Standing {
        let referred_to = references(secret).any(|reference| self.is_named_by(reference));
        let namesake = sealed_secrets(secret).any(|reference| reference.name == self.name);
        if secret.deletion_timestamp.is_some() || (namesake && !referred_to) {
            return Standing::BeingCollected;
        }
        match annotated_uid(secret) {
            _ if referred_to => Standing::Ours,
            Some(uid) if uid == self.uid => Standing::Ours,
            // Two objects of one name are never there at the same time: whoever had that uid is gone.
            Some(_) if references(secret).next().is_none() => match adopter(secret, desired) {
                None => Standing::LeftBehind,
                adopter => Standing::Others(adopter),
            },
            _ => Standing::Others(holder(secret)),
        }
    }

    /// Makes a Secret's metadata say that it is this SealedSecret's, in the way that the deletion policy asks for and in
    /// no other. References to others stay.
    pub(crate) fn hold(&self, secret: &mut ObjectMeta) {
        let mut references = secret.owner_references.take().unwrap_or_default();
        let mut annotations = secret.annotations.take().unwrap_or_default();
        annotations.remove(names::OWNER_UID);
        match self.deletion_policy {
            DeletionPolicy::Delete if references.iter().any(|reference| self.is_named_by(reference)) => {}
            DeletionPolicy::Delete => {
                // Only one reference may be the controller's.
                let controlled = references.iter().any(|reference| reference.controller == Some(true));
                references.push(self.reference((!controlled).then_some(true)));
            }
            DeletionPolicy::Retain => {
                references.retain(|reference| !self.is_named_by(reference));
                annotations.insert(names::OWNER_UID.to_owned(), self.uid.clone());
            }
        }
        secret.owner_references = Some(references).filter(|all| !all.is_empty());
        secret.annotations = Some(annotations).filter(|all| !all.is_empty());
    }

    fn is_named_by(&self, reference: &OwnerReference) -> bool {
        is_sealed_secret(reference) && reference.uid == self.uid
    }

    fn reference(&self, controller: Option<bool>) -> OwnerReference {
        OwnerReference {
            api_version: names::SEALED_SECRET_API_VERSION.to_owned(),
            kind: names::SEALED_SECRET_KIND.to_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller,
            block_owner_deletion: None,
        }
    }
}

fn references(secret: &ObjectMeta) -> impl Iterator<Item = &OwnerReference> {
    secret.owner_references.iter().flatten()
}

fn sealed_secrets(secret: &ObjectMeta) -> impl Iterator<Item = &OwnerReference> {
    references(secret).filter(|reference| is_sealed_secret(reference))
}

fn is_sealed_secret(reference: &OwnerReference) -> bool {
    names::is_sealed_secret(&reference.api_version, &reference.kind)
}

fn annotated_uid(secret: &ObjectMeta) -> Option<&str> {
    let uid = secret.annotations.as_ref()?.get(names::OWNER_UID)?;
    Some(uid.as_str()).filter(|uid| !uid.is_empty())
}

/// Who seems to have a Secret that is not ours, in the order of how sure it is. An owner's name is not told: it may be
/// that of a namespace.
fn holder(secret: &ObjectMeta) -> Option<String> {
    let controller = references(secret).find(|reference| reference.controller == Some(true));
    if let Some(owner) = controller.or_else(|| references(secret).next()) {
        return Some(format!("its owner reference names another object, of kind {}", shown(&owner.kind)));
    }
    if let Some(adopter) = adopter(secret, &ObjectMeta::default()) {
        return Some(adopter);
    }
    let writer = writer_of_data(secret.managed_fields.as_deref().unwrap_or_default())?;
    Some(match writer == FIELD_MANAGER {
        true => "this controller wrote it, and somebody took off what said for which SealedSecret".to_owned(),
        false => format!("{} wrote it", shown(writer)),
    })
}

/// Who took a Secret that was left behind, by the marks that tools leave on all that they manage. What the template asks
/// for is no such mark, nor is what an earlier template asked for.
fn adopter(secret: &ObjectMeta, desired: &ObjectMeta) -> Option<String> {
    let managed_fields = secret.managed_fields.as_deref().unwrap_or_default();
    let annotations = ("f:annotations", &secret.annotations, &desired.annotations);
    let labels = ("f:labels", &secret.labels, &desired.labels);
    MARKS.iter().find_map(|(name, tell)| {
        [annotations, labels].into_iter().find_map(|(field, there, desired)| {
            let value = there.as_ref()?.get(*name)?;
            let is_asked_for = desired.as_ref().and_then(|all| all.get(*name)) == Some(value);
            if is_asked_for || set_by_us(managed_fields, field).contains(*name) {
                return None;
            }
            tell(value)
        })
    })
}

/// A label or annotation, and what it tells. The last holds all values of the Secret.
type Mark = (&'static str, fn(&str) -> Option<String>);

const MARKS: [Mark; 6] = [
    ("meta.helm.sh/release-name", |release| Some(format!("it is in the Helm release {}", shown(release)))),
    ("app.kubernetes.io/managed-by", |manager| {
        (manager == "Helm").then(|| "it is in a Helm release".to_owned())
    }),
    ("kustomize.toolkit.fluxcd.io/name", |name| {
        Some(format!("it is in the Flux Kustomization {}", shown(name)))
    }),
    ("helm.toolkit.fluxcd.io/name", |name| Some(format!("it is in the Flux HelmRelease {}", shown(name)))),
    ("argocd.argoproj.io/tracking-id", |_| Some("it is in an Argo CD application".to_owned())),
    ("kubectl.kubernetes.io/last-applied-configuration", |_| {
        Some("somebody applied it with kubectl".to_owned())
    }),
];

/// Who wrote the values last, by the API server's record; its name is what the writer called itself.
fn writer_of_data(managed_fields: &[ManagedFieldsEntry]) -> Option<&str> {
    let wrote = |entry: &&ManagedFieldsEntry| {
        let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
        fields.is_some_and(|fields| fields.get("f:data").is_some())
    };
    let last = managed_fields.iter().filter(wrote).max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
    last?.manager.as_deref()
}

#[cfg(test)]
mod tests;
