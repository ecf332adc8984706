//! The SealedSecret: the peer's schema and a little more, as Rust types and as a CRD.
//!
//! It is a superset of `bitnami.com/v1alpha1` as the peer publishes it: every object that the peer ever wrote fits,
//! and the peer reads every object that we write.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, CustomResourceExt as _};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a SealedSecret asks for: the sealed values, and what the Secret made of them looks like.
#[derive(CustomResource, JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "bitnami.com",
    version = "v1alpha1",
    kind = "SealedSecret",
    plural = "sealedsecrets",
    namespaced,
    status = "SealedSecretStatus",
    derive = "PartialEq",
    doc = "A Secret whose values are sealed, so that only the controller of one cluster can open them.",
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[0].message"}"#,
    printcolumn = r#"{"name":"Synced","type":"string","jsonPath":".status.conditions[0].status"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = spec_schema)]
pub struct SealedSecretSpec {
    /// What the Secret looks like, apart from the sealed values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<SecretTemplate>,
    /// Deprecated: a whole Secret sealed as one value, base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "byte"))]
    pub data: Option<String>,
    /// Item name to sealed value, base64.
    #[serde(default, deserialize_with = "null_is_empty")]
    #[schemars(extend("x-kubernetes-preserve-unknown-fields" = true))]
    pub encrypted_data: BTreeMap<String, String>,
}

/// What the Secret looks like, apart from the sealed values.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[schemars(transform = plain_optional_fields)]
pub struct SecretTemplate {
    /// The Secret's type.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// Whether the Secret is immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
    /// Item name to Go template, rendered with the opened values. Null leaves the item out of the Secret, and its
    /// value usable by other templates (the peer since 0.40).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    #[schemars(extend("nullable" = true))]
    pub data: BTreeMap<String, Option<String>>,
    /// The Secret's metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("nullable" = true, "x-kubernetes-preserve-unknown-fields" = true))]
    pub metadata: Option<TemplateMetadata>,
}

/// Metadata for the Secret. Its name and namespace are kept for people; the controller takes the SealedSecret's own.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[schemars(transform = plain_optional_fields)]
pub struct TemplateMetadata {
    /// Kept, and ignored by the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Kept, and ignored by the controller.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels of the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    #[schemars(extend("nullable" = true))]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "null_is_empty")]
    #[schemars(extend("nullable" = true))]
    pub annotations: BTreeMap<String, String>,
    /// Finalizers of the Secret.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    #[schemars(extend("nullable" = true))]
    pub finalizers: Vec<String>,
    /// Everything else, so that nothing is lost. A null, such as the peer's `creationTimestamp: null`, is nothing.
    #[serde(flatten, deserialize_with = "without_nulls")]
    pub other: BTreeMap<String, Value>,
}

/// What the controller last found.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = plain_optional_fields, extend("default" = json!({"observedGeneration": -1})))]
pub struct SealedSecretStatus {
    /// The generation of the spec that the rest of the status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// `Synced` first, since the printer columns and the peer's users look there.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub conditions: Vec<Condition>,
    /// Proves to the controller that it wrote the Secret as it is, so that a restart need not open it again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
    /// Key ids of the opening keys that opened the sealed values.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_is_empty")]
    pub opened_with: Vec<String>,
    /// The value of the annotation `reconcile.fluxcd.io/requestedAt` at the last pass: it was looked at since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_reconcile_at: Option<String>,
}

/// One condition of a status. All texts are open: an older or newer controller may have written them.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = plain_optional_fields)]
pub struct Condition {
    /// Such as `Synced`.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// When anything in the condition last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Time>,
    /// When `status` last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,
    /// One word for machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The CustomResourceDefinition of [`SealedSecret`]. Take it from here rather than from [`SealedSecret::crd`], whose
/// root has a title and a status that may be null.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = SealedSecret::crd();
    let roots = crd
        .spec
        .versions
        .iter_mut()
        .filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    for root in roots {
        root.title = None;
        if let Some(status) = root.properties.as_mut().and_then(|properties| properties.get_mut("status")) {
            status.nullable = None;
        }
    }
    crd
}

/// [`crd`] as YAML, the same on every run: `cargo xtask generate` writes it into the chart.
pub fn crd_yaml() -> String {
    crate::emit::yaml(&crd())
}

/// `null` where a map or list is wanted is none, as for the peer.
fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn without_nulls<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, Value>, D::Error> {
    let mut all = BTreeMap::<String, Value>::deserialize(from)?;
    all.retain(|_, value| !value.is_null());
    Ok(all)
}

/// Takes back what the derive adds to a schema of optional fields.
///
/// Each `Option` may be null there: the peer's schema has that on few fields (marked above by hand), and null means
/// nothing that absence does not. Each `#[serde(default)]` has a default that the API server would write into every
/// object.
fn plain_optional_fields(schema: &mut Schema) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for property in properties.values_mut().filter_map(Value::as_object_mut) {
        if !property.get("default").is_some_and(Value::is_object)
            || property.contains_key("additionalProperties")
        {
            property.remove("default");
        }
        if let Some(Value::Array(types)) = property.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                property.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::Array(choices)) = property.remove("anyOf") {
            let schemas = choices.into_iter().filter(|choice| choice["type"] != "null");
            for (key, value) in schemas.filter_map(|schema| schema.as_object().cloned()).flatten() {
                property.entry(key).or_insert(value);
            }
        }
    }
}

/// The spec's `encryptedData` is required, although objects older than the schema may lack it and still be read.
fn spec_schema(schema: &mut Schema) {
    plain_optional_fields(schema);
    schema.insert("required".to_owned(), json!(["encryptedData"]));
}
