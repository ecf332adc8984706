//! Secrets over the API server, as types that cannot be printed.

use k8s_openapi::api::core::v1::Secret as SecretKind;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, GetParams, ListParams, PartialObjectMeta, PostParams, Preconditions};
use kube::core::Request;
use kube::{Client, Resource as _};
use privyseal_manifest::{DocumentError, Secret, read};
use zeroize::Zeroizing;

/// Reads and writes the Secrets of one namespace.
#[derive(Clone)]
pub struct SecretApi {
    client: Client,
    request: Request,
}

impl SecretApi {
    /// For one namespace.
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { client, request: Request::new(SecretKind::url_path(&(), Some(namespace))) }
    }

    /// One Secret, or none.
    pub async fn get(&self, name: &str) -> Result<Option<Secret>, ApiError> {
        let request = self.request.get(name, &GetParams::default()).map_err(kube::Error::BuildRequest)?;
        match self.client.request_text(request).await {
            Ok(body) => {
                let body = Zeroizing::new(body);
                let document = read(body.as_bytes(), "api-server")?.pop().ok_or(ApiError::NoDocument)?;
                Ok(Some(document.into_secret()?))
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// All Secrets that a label selector chooses; one that cannot be read is its name and the error.
    pub async fn list(&self, label_selector: &str) -> Result<Vec<Result<Secret, Unreadable>>, ApiError> {
        let params = ListParams::default().labels(label_selector);
        let request = self.request.list(&params).map_err(kube::Error::BuildRequest)?;
        let body = Zeroizing::new(self.client.request_text(request).await?);
        secrets_of(body.as_bytes())
    }

    /// Creates a Secret and gives the metadata that the API server made of it.
    pub async fn create(&self, secret: &Secret, field_manager: &str) -> Result<ObjectMeta, ApiError> {
        let request = self.request.create(&post_params(field_manager), secret.to_json().to_vec());
        self.send(request).await
    }

    /// Replaces a Secret. Its `uid` and `resourceVersion` must be those that were read: the API server refuses the
    /// write if anybody else was faster.
    pub async fn replace(&self, secret: &Secret, field_manager: &str) -> Result<ObjectMeta, ApiError> {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        let request = self.request.replace(name, &post_params(field_manager), secret.to_json().to_vec());
        self.send(request).await
    }

    /// Deletes the Secret that was read, and no other: the API server refuses if it changed since.
    pub async fn delete(&self, metadata: &ObjectMeta) -> Result<(), ApiError> {
        let preconditions =
            Preconditions { uid: metadata.uid.clone(), resource_version: metadata.resource_version.clone() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let name = metadata.name.as_deref().unwrap_or_default();
        let request = self.request.delete(name, &params);
        self.send(request).await.map(drop)
    }

    async fn send(
        &self,
        request: Result<http::Request<Vec<u8>>, kube::core::request::Error>,
    ) -> Result<ObjectMeta, ApiError> {
        let mut request = request.map_err(kube::Error::BuildRequest)?;
        // The answer would repeat the values: ask for the metadata alone.
        let accept = http::HeaderValue::from_static(METADATA_ONLY);
        request.headers_mut().insert(http::header::ACCEPT, accept);
        let answer: PartialObjectMeta<SecretKind> = self.client.request(request).await?;
        Ok(answer.metadata)
    }
}

/// One Secret of a list that does not decode.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Its name; empty if not even that can be read.
    pub name: String,
    /// Why, without a byte of its values.
    pub error: DocumentError,
}

fn secrets_of(list: &[u8]) -> Result<Vec<Result<Secret, Unreadable>>, ApiError> {
    let documents = read(list, "api-server")?.into_iter();
    Ok(documents
        .map(|document| {
            let item = document.item();
            document.into_secret().map_err(|error| Unreadable { name: name_of(list, item), error })
        })
        .collect())
}

/// Reads names and nothing else: what does not decode may hold plaintext in any other place.
fn name_of(list: &[u8], item: Option<usize>) -> String {
    #[derive(serde::Deserialize)]
    struct Names {
        items: Vec<Named>,
    }
    #[derive(serde::Deserialize)]
    struct Named {
        metadata: Metadata,
    }
    #[derive(serde::Deserialize)]
    struct Metadata {
        name: String,
    }
    let names: Option<Names> = serde_json::from_slice(list).ok();
    let named = item.and_then(|item| names?.items.into_iter().nth(item));
    named.map(|named| named.metadata.name).unwrap_or_default()
}

const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

fn post_params(field_manager: &str) -> PostParams {
    PostParams { field_manager: Some(field_manager.to_owned()), ..PostParams::default() }
}

/// The API server refused, or answered what we cannot read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// The request failed.
    #[error(transparent)]
    Kube(#[from] kube::Error),
    /// The answer is no Secret.
    #[error("the API server's answer is not a Secret: {0}")]
    Document(#[from] DocumentError),
    /// The answer is empty.
    #[error("the API server's answer is empty")]
    NoDocument,
}

impl ApiError {
    /// The API server's status, if it answered with one.
    pub fn status(&self) -> Option<&kube::core::Status> {
        match self {
            Self::Kube(kube::Error::Api(status)) => Some(status),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_decode_is_named_and_not_shown() {
        let list = br#"{"kind":"SecretList","apiVersion":"v1","metadata":{},"items":[
            {"metadata":{"name":"good"},"data":{"a":"MQ=="}},
            {"metadata":{"name":"bad"},"data":{"a":"hunter2!"}},
            {"metadata":{"name":"odd"},"data":{"a":["hunter2"]}}]}"#;
        let secrets = secrets_of(list).unwrap();
        let told: Vec<_> = secrets
            .iter()
            .map(|secret| match secret {
                Ok(secret) => secret.metadata.name.clone().unwrap(),
                Err(Unreadable { name, error }) => {
                    assert!(!format!("{error} {error:?}").contains("hunter2"));
                    format!("{name} is unreadable")
                }
            })
            .collect();
        assert_eq!(told, ["good", "bad is unreadable", "odd is unreadable"]);
    }
}
