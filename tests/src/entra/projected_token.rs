//! A ServiceAccount token in a file, as a projected volume puts it before a container.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::EXCHANGE_AUDIENCE;
use super::jwt::{Signer, Token, now};
use crate::control_plane::ControlPlane;
use crate::{kubeconfig, scratch};

/// What the kubelet asks for unless it is told otherwise.
const LIFETIME: Duration = Duration::from_secs(3600);

/// A file with a token of a ServiceAccount for one audience.
#[derive(Debug)]
pub struct ProjectedToken<'a> {
    control_plane: &'a ControlPlane,
    namespace: String,
    service_account: String,
    audience: String,
    path: PathBuf,
}

impl<'a> ProjectedToken<'a> {
    /// Has the control plane issue a token for Entra's exchange, and writes it. It waits for the account.
    pub async fn write(control_plane: &'a ControlPlane, namespace: &str, service_account: &str) -> Self {
        Self::write_for(control_plane, namespace, service_account, EXCHANGE_AUDIENCE).await
    }

    /// As [`write`](Self::write), for any audience.
    pub async fn write_for(
        control_plane: &'a ControlPlane,
        namespace: &str,
        service_account: &str,
        audience: &str,
    ) -> Self {
        let projected = Self {
            control_plane,
            namespace: namespace.to_owned(),
            service_account: service_account.to_owned(),
            audience: audience.to_owned(),
            path: scratch::folder("projected").join("token"),
        };
        projected.refresh().await;
        projected
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The token that is there now.
    pub fn token(&self) -> String {
        std::fs::read_to_string(&self.path).unwrap_or_else(|error| panic!("{}: {error}", self.path.display()))
    }

    /// Puts a new token in its place.
    pub async fn refresh(&self) {
        self.put(&self.issue().await);
    }

    /// Puts a token in its place that ended an hour ago, and is else as the control plane issues it. The API issues
    /// none under 10 minutes, so this one is signed with the control plane's key.
    pub async fn expire(&self) {
        let token = self.issue().await;
        let token = Token::parse(&token).expect("a ServiceAccount's token is signed with RS256");
        let mut claims: Value = token.claims.clone();
        let begin = now() - 7200;
        for (claim, time) in [("iat", begin), ("nbf", begin), ("exp", begin + 3600)] {
            claims[claim] = json!(time);
        }
        let key = self.control_plane.data_dir().join("sa.key");
        let pem = std::fs::read_to_string(&key).unwrap_or_else(|error| panic!("{}: {error}", key.display()));
        self.put(&Signer::of_pem(&pem, &token.kid).sign(&claims));
    }

    async fn issue(&self) -> String {
        let audiences = [&*self.audience];
        self.control_plane.token_for(&self.namespace, &self.service_account, &audiences, LIFETIME).await
    }

    /// Puts any text in its place.
    pub fn put(&self, text: &str) {
        // As the kubelet does: whoever reads sees the old or the new one, never a part.
        let new = self.path.with_extension("new");
        kubeconfig::write_private(&new, text.as_bytes());
        std::fs::rename(&new, &self.path).unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));
    }
}
