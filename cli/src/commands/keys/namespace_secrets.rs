//! The key Secrets of a cluster, for those who may read and write Secrets there.

use crate::cluster::Session;
use crate::error::{CommandError, Shown};
use crate::speech;
use privyseal_custody::key_secrets::{KeySecrets, MOVING_SECRET, PUBLISHER_SECRET};
use privyseal_custody::{ApiError, SecretApi};
use privyseal_manifest::Secret;

/// The Secrets of the controller's namespace.
pub(super) struct NamespaceSecrets<'a> {
    pub(super) session: &'a Session,
    pub(super) api: SecretApi,
}

impl<'a> NamespaceSecrets<'a> {
    pub(super) fn of(session: &'a Session) -> Self {
        Self { api: SecretApi::new(session.client.clone(), session.namespace()), session }
    }

    /// All that say they are keys. One that cannot be read is told and left out.
    pub(super) async fn keys(&self) -> Result<Vec<Secret>, CommandError> {
        let listed = self.api.list(KeySecrets::selector()).await;
        let listed = listed.map_err(|error| self.error("the key Secrets", &error, "list"))?;
        let readable = listed.into_iter().filter_map(|secret| {
            let told = |unreadable: privyseal_custody::Unreadable| {
                speech::warning(format_args!(
                    "left out: Secret {}: {}",
                    Shown(&unreadable.name),
                    Shown(&unreadable.error.to_string())
                ));
            };
            secret.map_err(told).ok()
        });
        Ok(readable.collect())
    }

    /// The Secret with the publisher key. While that is moved to another custody, the second one may be the only one.
    pub(super) async fn publisher(&self) -> Result<Option<Secret>, CommandError> {
        match self.get(PUBLISHER_SECRET).await? {
            None => self.get(MOVING_SECRET).await,
            found => Ok(found),
        }
    }

    /// One Secret, or none.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Secret>, CommandError> {
        let found = self.api.get(name).await;
        found.map_err(|error| self.error(&format!("the Secret {name}"), &error, "get"))
    }

    /// What a failed request means. `verb` is the right that it takes.
    pub(super) fn error(&self, what: &str, error: &ApiError, verb: &str) -> CommandError {
        let namespace = self.session.namespace();
        let what = format!("{what} of namespace {namespace}");
        match error {
            ApiError::Kube(kube::Error::Api(status)) if status.code == 403 => CommandError::failed(format!(
                "{}: {}: the API server answered 403: {verb} of Secrets is not allowed",
                Shown(&self.session.server),
                Shown(&what)
            ))
            .hint(format!(
                "it takes the right to {verb} `secrets` in namespace {}: whoever has it holds every key there",
                Shown(namespace)
            )),
            ApiError::Kube(error) => self.session.error(&what, error),
            _ => CommandError::failed(format!(
                "{}: {}: the answer cannot be read",
                Shown(&self.session.server),
                Shown(&what)
            )),
        }
    }
}
