//! Objects in the cluster, as a test writes and reads them.
//!
//! Everything is untyped on purpose: were it read with our own types, a mistake in these would hide itself.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::{GroupVersionKind, TypeMeta};
use kube::discovery::{Scope, pinned_kind};
use kube::{Client, Error};
use serde_json::Value;

use crate::eventually::{PATIENCE, eventually};

/// The field manager under which the harness writes.
pub const FIELD_MANAGER: &str = "privyseal-tests";

/// Applies an object (server-side, forced) and returns it as the API server has it. `namespace` holds where the
/// object names none.
///
/// A kind whose CustomResourceDefinition has just been applied is waited for.
pub async fn apply(client: &Client, namespace: Option<&str>, object: &Value) -> DynamicObject {
    match try_apply(client, namespace, object).await {
        Ok(applied) => applied,
        Err(error) => panic!("apply {}: {error}", describe(object)),
    }
}

/// As [`apply`], for what the API server may refuse.
pub async fn try_apply(
    client: &Client,
    namespace: Option<&str>,
    object: &Value,
) -> Result<DynamicObject, Error> {
    let (api, name) = api_of(client, namespace, object).await;
    let params = PatchParams::apply(FIELD_MANAGER).force();
    api.patch(&name, &params, &Patch::Apply(object)).await
}

/// As [`apply`], where a field that the API server does not know fails the test.
pub(crate) async fn apply_strictly(client: &Client, namespace: &str, object: &Value) {
    let (api, name) = api_of(client, Some(namespace), object).await;
    let params = PatchParams::apply(FIELD_MANAGER).force().validation_strict();
    let applied = api.patch(&name, &params, &Patch::Apply(object)).await;
    applied.unwrap_or_else(|error| panic!("apply {}: {error}", describe(object)));
}

/// Applies all documents of a YAML text.
pub async fn apply_yaml(client: &Client, namespace: Option<&str>, yaml: &str) -> Vec<DynamicObject> {
    let mut applied = Vec::new();
    for object in documents(yaml) {
        applied.push(apply(client, namespace, &object).await);
    }
    applied
}

/// The documents of a YAML text that hold an object.
pub fn documents(yaml: &str) -> Vec<Value> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    documents.into_iter().filter(Value::is_object).collect()
}

/// The entries of a Secret, decoded; `None` when there is no such Secret.
pub async fn secret_data(client: &Client, namespace: &str, name: &str) -> Option<BTreeMap<String, Vec<u8>>> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let secret =
        api.get_opt(name).await.unwrap_or_else(|error| panic!("get Secret {namespace}/{name}: {error}"))?;
    Some(secret.data.unwrap_or_default().into_iter().map(|(key, value)| (key, value.0)).collect())
}

/// Waits until a Secret has exactly these entries.
#[track_caller]
pub fn wait_for_secret(
    client: &Client,
    namespace: &str,
    name: &str,
    expected: &[(&str, &[u8])],
) -> impl Future<Output = ()> {
    let expected: BTreeMap<String, Vec<u8>> =
        expected.iter().map(|(key, value)| ((*key).to_owned(), value.to_vec())).collect();
    eventually(PATIENCE, async move || {
        let found = secret_data(client, namespace, name).await;
        if found.as_ref() == Some(&expected) {
            return Ok(());
        }
        // Test values are no secrets, and a failure without them tells nothing.
        Err(found.map(|data| {
            let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
            data.into_iter().map(|(key, value)| (key, text(value))).collect::<BTreeMap<_, _>>()
        }))
    })
}

/// SealedSecrets of a namespace.
pub fn sealed_secrets(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("bitnami.com", "v1alpha1", "SealedSecret");
    Api::namespaced_with(
        client.clone(),
        namespace,
        &ApiResource::from_gvk_with_plural(&kind, "sealedsecrets"),
    )
}

/// One entry of `status.conditions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its type, as `Ready`.
    pub kind: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// One word from a fixed list.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The generation that it speaks about.
    pub observed_generation: Option<i64>,
}

/// The conditions of an object, in their order.
pub fn conditions(object: &DynamicObject) -> Vec<Condition> {
    let list = object.data.pointer("/status/conditions").and_then(Value::as_array).cloned();
    let text = |condition: &Value, field: &str| {
        condition.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    list.unwrap_or_default()
        .iter()
        .map(|condition| Condition {
            kind: text(condition, "type"),
            status: text(condition, "status"),
            reason: text(condition, "reason"),
            message: text(condition, "message"),
            observed_generation: condition.get("observedGeneration").and_then(Value::as_i64),
        })
        .collect()
}

/// Waits until a SealedSecret has a condition with this status that speaks about the present spec.
#[track_caller]
pub fn wait_for_condition(
    client: &Client,
    namespace: &str,
    name: &str,
    kind: &str,
    status: &str,
) -> impl Future<Output = Condition> {
    wait_for_condition_within(PATIENCE, client, namespace, name, kind, status)
}

/// As [`wait_for_condition`] with a limit of its own.
#[track_caller]
pub fn wait_for_condition_within(
    limit: Duration,
    client: &Client,
    namespace: &str,
    name: &str,
    kind: &str,
    status: &str,
) -> impl Future<Output = Condition> {
    let api = sealed_secrets(client, namespace);
    eventually(limit, async move || {
        let object = api.get(name).await.map_err(|error| format!("get SealedSecret {name}: {error}"))?;
        let generation = object.metadata.generation;
        let observed = object.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
        let conditions = conditions(&object);
        let wanted = conditions.iter().find(|condition| {
            let of_now = condition.observed_generation.or(observed) == generation;
            condition.kind == kind && condition.status == status && of_now
        });
        wanted.cloned().ok_or_else(|| {
            format!("generation {generation:?}, observedGeneration {observed:?}, conditions {conditions:#?}")
        })
    })
}

/// The API for an object's kind, found by asking the API server, and the object's name.
pub(crate) async fn api_of(
    client: &Client,
    namespace: Option<&str>,
    object: &Value,
) -> (Api<DynamicObject>, String) {
    let types: TypeMeta = serde_json::from_value(object.clone())
        .unwrap_or_else(|error| panic!("{}: {error}", describe(object)));
    let kind = GroupVersionKind::try_from(&types).unwrap_or_else(|error| panic!("{types:?}: {error}"));
    let (resource, capabilities) = eventually(PATIENCE, async || pinned_kind(client, &kind).await).await;
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let name = text("/metadata/name").unwrap_or_else(|| panic!("{}: no name", describe(object)));
    let api = match capabilities.scope {
        Scope::Cluster => Api::all_with(client.clone(), &resource),
        Scope::Namespaced => {
            let named = text("/metadata/namespace");
            let namespace = named.as_deref().or(namespace);
            let namespace = namespace.unwrap_or_else(|| panic!("{}: no namespace", describe(object)));
            Api::namespaced_with(client.clone(), namespace, &resource)
        }
    };
    (api, name)
}

fn describe(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("?");
    format!("{} {}", text("/kind"), text("/metadata/name"))
}
