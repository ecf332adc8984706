//! Keys that Azure Key Vault keeps: the whole way from a pod's token to an opened value, and every way on which it may
//! fail. The vault and Entra are doubles of ours; the control plane that signs the token is real.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod age;
mod cold;
mod credentials;
mod etcd;
mod faults;
mod killed;
mod replicas;
mod rotation;
mod story;

use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, Client};
use privyseal_tests::entra::Entra;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::key_vault::KeyVault;
use privyseal_tests::objects::{self, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, Vaulted};
use serde_json::Value;
use std::collections::BTreeMap;

/// The two custodies of a vault.
pub(crate) const CUSTODIES: [&str; 2] = ["key-vault-secret", "key-vault-wrapped"];

/// A release whose keys a vault keeps, a controller of it, and a namespace to seal for.
pub(crate) struct Scene<'a> {
    pub(crate) client: Client,
    pub(crate) vaulted: Vaulted<'a>,
    pub(crate) controller: Controller,
    pub(crate) namespace: String,
}

impl<'a> Scene<'a> {
    pub(crate) async fn set(control_plane: &'a ControlPlane, custody: &str) -> Self {
        Self::of(control_plane, Vaulted::install(control_plane, custody).await).await
    }

    /// With a vault that is there.
    pub(crate) async fn with(
        control_plane: &'a ControlPlane,
        entra: Entra,
        vault: KeyVault,
        custody: &str,
    ) -> Self {
        Self::of(control_plane, Vaulted::with(control_plane, entra, vault, custody).await).await
    }

    async fn of(control_plane: &'a ControlPlane, vaulted: Vaulted<'a>) -> Self {
        let controller = vaulted.controller().await;
        let namespace = control_plane.namespace("vaulted").await;
        Self { client: control_plane.client(), vaulted, controller, namespace }
    }

    /// Starts the controller anew, with one more flag.
    pub(crate) async fn restart_with(&mut self, flag: &str) {
        self.controller.stop();
        self.controller = Controller::start(&self.vaulted.release, self.vaulted.options().arg(flag)).await;
    }

    /// Seals a value to the key that seals now.
    pub(crate) async fn sealed(&self, name: &str, value: &str) -> Value {
        Sealer::of(&self.controller).await.seal(&self.namespace, name, &[("a", value)], &[])
    }

    /// Seals a value to the key that seals now, and applies it.
    pub(crate) async fn apply(&self, name: &str, value: &str) {
        objects::apply(&self.client, None, &self.sealed(name, value).await).await;
    }

    pub(crate) async fn is_right(&self, name: &str, value: &str) {
        wait_for_secret(&self.client, &self.namespace, name, &[("a", value.as_bytes())]).await;
        wait_for_condition(&self.client, &self.namespace, name, "Ready", "True").await;
    }

    /// The key Secrets, by name.
    pub(crate) async fn keys(&self) -> BTreeMap<String, Secret> {
        let api = Api::<Secret>::namespaced(self.client.clone(), self.vaulted.release.namespace());
        let label = ListParams::default().labels("sealedsecrets.bitnami.com/sealed-secrets-key");
        let keys = api.list(&label).await.unwrap().items;
        keys.into_iter().map(|key| (key.metadata.name.clone().unwrap(), key)).collect()
    }

    /// One item of a Secret of the controller's namespace, as text.
    pub(crate) async fn item(&self, secret: &str, item: &str) -> Option<String> {
        let data = objects::secret_data(&self.client, self.vaulted.release.namespace(), secret).await?;
        data.get(item).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Waits until every private half is where that custody keeps it.
    pub(crate) async fn settled(&self, custody: &str) {
        eventually(PATIENCE, async || {
            let keys = self.keys().await;
            let mut kept: Vec<_> =
                keys.values().map(|key| text(key, "custody.json").unwrap_or_default()).collect();
            kept.push(self.item("privyseal-publisher-key", "custody.json").await.unwrap_or_default());
            let moving = self.item("privyseal-publisher-key-moving", "publisher.key").await;
            let is_kept = |reference: &String| match custody {
                "cluster" => reference.is_empty(),
                _ => reference.contains(custody),
            };
            if kept.iter().all(is_kept) && moving.is_none() { Ok(()) } else { Err((kept, moving.is_some())) }
        })
        .await;
    }

    /// Waits until as many keys are held and waited for.
    pub(crate) async fn keys_are(&self, held: f64, waiting: f64) {
        eventually(PATIENCE, async || {
            let metrics = self.controller.metrics().await;
            let is =
                (metrics.value("privyseal_keys_held", &[]), metrics.value("privyseal_keys_waiting", &[]));
            if is == (Some(held), Some(waiting)) { Ok(()) } else { Err(is) }
        })
        .await;
    }
}

/// What is in an item of a Secret.
pub(crate) fn text(secret: &Secret, item: &str) -> Option<String> {
    let value = secret.data.as_ref()?.get(item)?;
    Some(String::from_utf8_lossy(&value.0).into_owned())
}
