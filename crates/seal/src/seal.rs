//! Secret to SealedSecret.

use crate::binding::{BindingError, bind, binding_of};
use crate::hints::Hints;
use crate::seal_to::SealTo;
use crate::tracking::tracked_by;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::{Item, Plaintext, Scope, SealedValue};
use privyseal_manifest::names;
use privyseal_manifest::sealed_secret::{SealedSecret, SealedSecretSpec, SecretTemplate, TemplateMetadata};
use privyseal_manifest::{MAX_DATA_BYTES, Secret};
use std::collections::BTreeMap;

/// How to seal.
#[derive(Clone, Debug)]
pub struct Sealing<'a> {
    /// Whom to seal to.
    pub to: SealTo<'a>,
    /// The scope; none means what the Secret's own annotations say.
    pub scope: Option<Scope>,
    /// Whether a Secret without any item is sealed too.
    pub allow_empty: bool,
}

/// Seals every item of a Secret. Type, labels, annotations and immutability go to the template, in the clear, but for
/// [marks](crate::tracking()) of tools that applied it.
pub fn seal(secret: &Secret, how: &Sealing<'_>) -> Result<SealedSecret, SealError> {
    let mut template_annotations = kept_annotations(&secret.metadata);
    let scope = how.scope.unwrap_or_else(|| names::scope_of(&template_annotations));
    names::set_scope(&mut template_annotations, scope);

    let (namespace, name) = (secret.metadata.namespace.as_deref(), secret.metadata.name.as_deref());
    // An object has a name whatever its values are bound to.
    if name.is_none_or(str::is_empty) {
        return Err(SealError::Binding(BindingError::NoName));
    }
    let binding = bind(scope, namespace, name)?;
    if secret.data.is_empty() && !how.allow_empty {
        return Err(SealError::Empty);
    }
    if secret.data_len() > MAX_DATA_BYTES {
        return Err(SealError::TooLarge { bytes: secret.data_len() });
    }

    let mut hints = Hints::default();
    let mut encrypted_data = BTreeMap::new();
    for (item, plaintext) in &secret.data {
        let value = how.to.seal(plaintext, &binding, item)?;
        hints.note(item.as_str(), &value, how.to.hint());
        encrypted_data.insert(item.as_str().to_owned(), value.to_base64());
    }

    let mut annotations = BTreeMap::new();
    // What is to become of the Secret is asked of the SealedSecret; on a Secret it means nothing.
    annotations.extend(template_annotations.remove_entry(names::DELETION_POLICY));
    names::set_scope(&mut annotations, scope);
    hints.write(&mut annotations);
    Ok(SealedSecret {
        metadata: ObjectMeta {
            name: secret.metadata.name.clone(),
            namespace: secret.metadata.namespace.clone(),
            annotations: Some(annotations).filter(|all| !all.is_empty()),
            ..ObjectMeta::default()
        },
        spec: SealedSecretSpec {
            template: Some(SecretTemplate {
                type_: secret.type_.clone(),
                immutable: secret.immutable,
                data: BTreeMap::new(),
                metadata: Some(TemplateMetadata {
                    name: secret.metadata.name.clone(),
                    namespace: secret.metadata.namespace.clone(),
                    labels: kept_labels(&secret.metadata),
                    annotations: template_annotations,
                    finalizers: secret.metadata.finalizers.clone().unwrap_or_default(),
                    other: BTreeMap::new(),
                }),
            }),
            data: None,
            encrypted_data,
        },
        status: None,
    })
}

/// One value for an object that is there already, under the object's own binding, and the hints that then hold. Neither
/// needs to know the other values.
pub fn seal_item(
    sealed: &SealedSecret,
    item: &Item,
    plaintext: &Plaintext,
    to: SealTo<'_>,
) -> Result<(SealedValue, Hints), SealError> {
    let SealedSecret { metadata, .. } = sealed;
    let annotations = metadata.annotations.as_ref();
    let binding = binding_of(annotations, metadata.namespace.as_deref(), metadata.name.as_deref())?;
    if plaintext.expose().len() > MAX_DATA_BYTES {
        return Err(SealError::TooLarge { bytes: plaintext.expose().len() });
    }
    let value = to.seal(plaintext, &binding, item)?;
    let mut hints = Hints::read(annotations);
    hints.note(item.as_str(), &value, to.hint());
    Ok((value, hints))
}

/// All but those by which a tool knows again what it applied: it does not apply the Secret.
fn kept_labels(metadata: &ObjectMeta) -> BTreeMap<String, String> {
    let mut labels = metadata.labels.clone().unwrap_or_default();
    labels.retain(|name, _| tracked_by(name).is_none());
    labels
}

/// The same, and neither those that hold the plaintext once more, nor our own of an earlier seal.
fn kept_annotations(metadata: &ObjectMeta) -> BTreeMap<String, String> {
    let mut annotations = metadata.annotations.clone().unwrap_or_default();
    for name in names::LAST_APPLIED.into_iter().chain([names::SEALED_WITH, names::OWNER_UID]) {
        annotations.remove(name);
    }
    annotations.retain(|name, _| tracked_by(name).is_none());
    annotations
}

/// A Secret cannot be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// A name is missing or wrong.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// Nothing to seal.
    #[error("neither data nor stringData has an item")]
    Empty,
    /// More than Kubernetes takes.
    #[error("the values are {bytes} bytes together; a Secret holds at most {MAX_DATA_BYTES}")]
    TooLarge {
        /// All values together.
        bytes: usize,
    },
    /// The cryptographic library.
    #[error(transparent)]
    Crypto(#[from] privyseal_envelope::SealError),
}
