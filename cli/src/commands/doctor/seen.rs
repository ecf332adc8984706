//! What came of looking at something in the cluster.

use super::finding::{Check, Finding};
use crate::cluster::Session;
use crate::error::CommandError;
use k8s_openapi::serde::de::DeserializeOwned;
use kube::Api;
use kube::api::ListParams;
use std::fmt::Debug;

/// What came of looking at something in the cluster.
pub(super) enum Seen<T> {
    /// It is there.
    There(T),
    /// It is not.
    Missing,
    /// Who asks has not the right: what it allows, as in "you may not …".
    Denied(String),
    /// The cluster does not answer, or not as it should.
    Failed(CommandError),
}

impl<T> Seen<T> {
    pub(super) fn of(session: &Session, what: &str, right: &str, result: Result<T, kube::Error>) -> Self {
        match result {
            Ok(thing) => Self::There(thing),
            Err(kube::Error::Api(status)) if status.code == 404 => Self::Missing,
            Err(kube::Error::Api(status)) if status.code == 403 => Self::Denied(right.to_owned()),
            Err(error) => Self::Failed(session.error(what, &error)),
        }
    }

    /// The thing; or the finding that says why it cannot be judged, where `missing` says what it means if it is not
    /// there.
    pub(super) fn there(self, check: Check, missing: impl FnOnce() -> Finding) -> Result<T, Finding> {
        match self {
            Self::There(thing) => Ok(thing),
            Self::Missing => Err(missing()),
            Self::Denied(right) => Err(Finding::denied(check, &right)),
            Self::Failed(error) => Err(Finding::of_error(check, &error)),
        }
    }
}

/// Does something with each object of a kind, page by page.
pub(super) async fn each<K>(api: &Api<K>, mut one: impl FnMut(K)) -> Result<(), kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut page = ListParams::default().limit(500);
    loop {
        let list = api.list(&page).await?;
        list.items.into_iter().for_each(&mut one);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(()),
        }
    }
}
