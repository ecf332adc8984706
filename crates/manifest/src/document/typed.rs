//! Documents as Secrets and SealedSecrets.

use super::Document;
use super::field::Field;
use crate::error::{DocumentError, Problem};
use crate::names::{SEALED_SECRET_API_VERSION, SEALED_SECRET_KIND, SECRET_API_VERSION, SECRET_KIND};
use crate::sealed_secret::{SealedSecret, SealedSecretSpec, SecretTemplate, TemplateMetadata};
use crate::secret::{MAX_DATA_BYTES, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::{Item, Name, Namespace, Plaintext};
use serde_json::Value;

impl Document {
    /// The document as a Secret; `stringData` wins over `data`.
    ///
    /// Name and namespace are checked where they are, and need not be there. A field that a Secret does not have is
    /// an error, since its value would be lost.
    pub fn into_secret(self) -> Result<Secret, DocumentError> {
        self.to_secret()
    }

    /// As [`Self::into_secret`], for those who need the document's place in a [`Stream`](crate::stream::Stream) too.
    pub fn to_secret(&self) -> Result<Secret, DocumentError> {
        let root = Field::root(&self.origin, &self.root);
        kind_is(&root, SECRET_KIND, SECRET_API_VERSION)?;
        root.closed(&["apiVersion", "kind", "metadata", "type", "immutable", "data", "stringData"])?;
        let mut secret = Secret {
            metadata: root.get("metadata").map(|field| object_meta(&field)).transpose()?.unwrap_or_default(),
            type_: optional_text(&root, "type")?,
            immutable: root.get("immutable").map(|field| field.boolean()).transpose()?,
            ..Secret::default()
        };
        if let Some(data) = root.get("data") {
            for (key, value) in data.each()? {
                let plaintext = Plaintext::from_base64(value.text_or_null()?)
                    .map_err(|error| value.error(Problem::Base64(error)))?;
                secret.data.insert(item(key, &value)?, plaintext);
            }
        }
        if let Some(data) = root.get("stringData") {
            for (key, value) in data.each()? {
                secret.data.insert(item(key, &value)?, Plaintext::from(value.text_or_null()?.as_bytes()));
            }
        }
        match secret.data_len() {
            0..=MAX_DATA_BYTES => Ok(secret),
            bytes => Err(root.error(Problem::TooMuchData { bytes })),
        }
    }

    /// Checks that it says what it is.
    pub(crate) fn check_kind_is_told(&self) -> Result<(), DocumentError> {
        let root = Field::root(&self.origin, &self.root);
        let kind = root.get("kind").ok_or_else(|| root.missing("kind"))?;
        kind.text().map(drop)
    }

    /// Checks that it says to be a SealedSecret.
    pub(crate) fn check_sealed_secret(&self) -> Result<(), DocumentError> {
        kind_is(&Field::root(&self.origin, &self.root), SEALED_SECRET_KIND, SEALED_SECRET_API_VERSION)
    }

    /// The document as a SealedSecret. The sealed values are not looked into.
    pub fn into_sealed_secret(self) -> Result<SealedSecret, DocumentError> {
        self.to_sealed_secret()
    }

    /// As [`Self::into_sealed_secret`], for those who want to look at the document too.
    pub fn to_sealed_secret(&self) -> Result<SealedSecret, DocumentError> {
        let root = Field::root(&self.origin, &self.root);
        kind_is(&root, SEALED_SECRET_KIND, SEALED_SECRET_API_VERSION)?;
        root.closed(&["apiVersion", "kind", "metadata", "spec", "status"])?;
        let spec = root.get("spec").ok_or_else(|| root.missing("spec"))?;
        spec.closed(&["template", "data", "encryptedData"])?;
        Ok(SealedSecret {
            metadata: root.get("metadata").map(|field| object_meta(&field)).transpose()?.unwrap_or_default(),
            spec: SealedSecretSpec {
                template: spec.get("template").map(|field| template(&field)).transpose()?,
                data: optional_text(&spec, "data")?,
                encrypted_data: spec
                    .get("encryptedData")
                    .map(|f| f.text_map())
                    .transpose()?
                    .unwrap_or_default(),
            },
            status: root
                .get("status")
                .map(|field| field.typed("the status of a SealedSecret"))
                .transpose()?,
        })
    }
}

fn kind_is(root: &Field<'_>, kind: &'static str, api_version: &'static str) -> Result<(), DocumentError> {
    root.mapping()?;
    for (name, expected) in [("kind", kind), ("apiVersion", api_version)] {
        let field = root.get(name).ok_or_else(|| root.missing(name))?;
        let found = field.text()?;
        if found != expected {
            // Shown, if it can be one: `kind: ConfigMap` should be named, a pasted password should not.
            let is_kind = found.len() <= 63 && found.bytes().all(|b| b.is_ascii_alphabetic());
            let is_version = found.len() <= 63
                && found.bytes().all(|b| b.is_ascii_lowercase() || b"./0123456789".contains(&b));
            let shown = if name == "kind" && is_kind || name == "apiVersion" && is_version {
                found
            } else {
                "something else"
            };
            return Err(field.error(Problem::WrongKind { expected, found: shown.to_owned() }));
        }
    }
    Ok(())
}

fn item(key: &str, value: &Field<'_>) -> Result<Item, DocumentError> {
    Item::parse(key).map_err(|error| value.error(Problem::Name(error)))
}

fn optional_text(parent: &Field<'_>, name: &'static str) -> Result<Option<String>, DocumentError> {
    let Some(field) = parent.get(name) else { return Ok(None) };
    Ok(Some(field.text()?).filter(|text| !text.is_empty()).map(str::to_owned))
}

fn name_and_namespace(metadata: &Field<'_>) -> Result<(Option<String>, Option<String>), DocumentError> {
    let check = |name, parse: fn(&str) -> Result<(), privyseal_envelope::NameError>| {
        let text = optional_text(metadata, name)?;
        match text.as_deref().map(parse) {
            Some(Err(error)) => {
                let field = metadata.get(name).ok_or_else(|| metadata.missing(name))?;
                Err(field.error(Problem::Name(error)))
            }
            _ => Ok(text),
        }
    };
    Ok((
        check("name", |text| Name::parse(text).map(drop))?,
        check("namespace", |text| Namespace::parse(text).map(drop))?,
    ))
}

/// Metadata of an object. What Kubernetes does not know it drops, and so do we, unless it looks like a misspelling.
fn object_meta(metadata: &Field<'_>) -> Result<ObjectMeta, DocumentError> {
    metadata.open(&[
        "name",
        "namespace",
        "generateName",
        "uid",
        "resourceVersion",
        "selfLink",
        "labels",
        "annotations",
        "finalizers",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "generation",
        "ownerReferences",
        "managedFields",
    ])?;
    let (name, namespace) = name_and_namespace(metadata)?;
    let text = |name| optional_text(metadata, name);
    Ok(ObjectMeta {
        name,
        namespace,
        generate_name: text("generateName")?,
        uid: text("uid")?,
        resource_version: text("resourceVersion")?,
        self_link: text("selfLink")?,
        labels: metadata.get("labels").map(|f| f.text_map()).transpose()?.filter(|map| !map.is_empty()),
        annotations: metadata
            .get("annotations")
            .map(|f| f.text_map())
            .transpose()?
            .filter(|map| !map.is_empty()),
        finalizers: metadata
            .get("finalizers")
            .map(|f| f.text_list())
            .transpose()?
            .filter(|list| !list.is_empty()),
        creation_timestamp: metadata.get("creationTimestamp").map(|f| f.typed("a time")).transpose()?,
        deletion_timestamp: metadata.get("deletionTimestamp").map(|f| f.typed("a time")).transpose()?,
        deletion_grace_period_seconds: metadata
            .get("deletionGracePeriodSeconds")
            .map(|f| f.typed("an integer"))
            .transpose()?,
        generation: metadata.get("generation").map(|f| f.typed("an integer")).transpose()?,
        owner_references: metadata.get("ownerReferences").map(|f| f.typed("owner references")).transpose()?,
        managed_fields: metadata.get("managedFields").map(|f| f.typed("managed fields")).transpose()?,
    })
}

fn template(field: &Field<'_>) -> Result<SecretTemplate, DocumentError> {
    field.closed(&["type", "immutable", "data", "metadata"])?;
    Ok(SecretTemplate {
        type_: optional_text(field, "type")?,
        immutable: field.get("immutable").map(|f| f.boolean()).transpose()?,
        data: field.get("data").map(|f| f.optional_text_map()).transpose()?.unwrap_or_default(),
        metadata: field.get("metadata").map(|f| template_metadata(&f)).transpose()?,
    })
}

fn template_metadata(metadata: &Field<'_>) -> Result<TemplateMetadata, DocumentError> {
    const TYPED: [&str; 5] = ["name", "namespace", "labels", "annotations", "finalizers"];
    metadata.open(&TYPED)?;
    let mut other = Vec::new();
    for (key, value) in metadata.each()?.filter(|(key, _)| !TYPED.contains(key)) {
        other.push((key.to_owned(), value.json()?));
    }
    other.retain(|(_, value)| *value != Value::Null);
    Ok(TemplateMetadata {
        name: optional_text(metadata, "name")?,
        namespace: optional_text(metadata, "namespace")?,
        labels: metadata.get("labels").map(|f| f.text_map()).transpose()?.unwrap_or_default(),
        annotations: metadata.get("annotations").map(|f| f.text_map()).transpose()?.unwrap_or_default(),
        finalizers: metadata.get("finalizers").map(|f| f.text_list()).transpose()?.unwrap_or_default(),
        other: other.into_iter().collect(),
    })
}
