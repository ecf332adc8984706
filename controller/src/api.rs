//! Talking to the API server: the client's settings, requests that kube has no type for, and errors in our words.
//!
//! An error of the API server may repeat what was sent. Only its code, its reason and the names of fields are ever
//! shown: [`brief`] is the one place that turns such an error into text.

use crate::plan::FIELD_MANAGER;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{PartialObjectMeta, Patch, PatchParams};
use kube::core::Request;
use kube::{Client, Config, Resource as _};
use privyseal_custody::ApiError;
use privyseal_manifest::{SealedSecret, SealedSecretStatus};
use serde_json::json;
use std::time::Duration;

/// A client that does not repeat requests by itself: a repeated POST makes a second object, and our queue retries.
pub(crate) fn client(mut config: Config) -> Result<Client, kube::Error> {
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    config.write_timeout = Some(Duration::from_secs(15));
    Client::try_from(config)
}

/// Bounds a request: one that hangs would hold a worker for ever.
pub(crate) async fn bounded<T, E: From<kube::Error>>(
    request: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(result) => result,
        Err(_) => Err(kube::Error::Service("the API server does not answer".into()).into()),
    }
}

const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Replaces the status of a SealedSecret, if the object is still the one that was read.
pub(crate) async fn write_status(
    client: &Client,
    object: &ObjectMeta,
    status: &SealedSecretStatus,
) -> Result<ObjectMeta, kube::Error> {
    let namespace = object.namespace.as_deref();
    let name = object.name.as_deref().unwrap_or_default();
    // Absent fields are named, so that a merge removes them.
    let body = json!({
        "metadata": {"uid": object.uid, "resourceVersion": object.resource_version},
        "status": {
            "observedGeneration": status.observed_generation,
            "conditions": status.conditions,
            "marker": status.marker,
            "lastHandledReconcileAt": status.last_handled_reconcile_at,
            "openedWith": (!status.opened_with.is_empty()).then_some(&status.opened_with),
        },
    });
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let mut request = Request::new(SealedSecret::url_path(&(), namespace))
        .patch_subresource("status", name, &params, &Patch::Merge(&body))
        .map_err(kube::Error::BuildRequest)?;
    let accept =
        http::HeaderValue::from_static("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1");
    request.headers_mut().insert(http::header::ACCEPT, accept);
    let answer: PartialObjectMeta<SealedSecret> = bounded(client.request(request)).await?;
    Ok(answer.metadata)
}

/// An error of the API server without a byte of what was sent.
pub(crate) fn brief(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => brief_status(status),
        kube::Error::Auth(_) => "cannot authenticate to the API server".to_owned(),
        kube::Error::HyperError(_) | kube::Error::Service(_) => "the API server cannot be reached".to_owned(),
        kube::Error::SerdeError(_) => "the API server's answer cannot be read".to_owned(),
        _ => "the request to the API server failed".to_owned(),
    }
}

/// The same for reading and writing Secrets.
pub(crate) fn brief_secret(error: &ApiError) -> String {
    match error {
        ApiError::Kube(error) => brief(error),
        _ => "the API server's answer cannot be read".to_owned(),
    }
}

fn brief_status(status: &kube::core::Status) -> String {
    let fields: Vec<_> = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .filter(|cause| !cause.field.is_empty())
        .map(|cause| crate::outcome::shown(&cause.field))
        .collect();
    let reason = if status.reason.is_empty() { "no reason" } else { &status.reason };
    match fields.is_empty() {
        true => format!("the API server answered {} {reason}", status.code),
        false => format!("the API server answered {} {reason} ({})", status.code, fields.join(", ")),
    }
}
