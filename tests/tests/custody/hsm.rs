//! Custody `key-vault-hsm`: values that a key opens which never leaves the vault, one call each. They are sealed here with the
//! public half alone, as people do it offline.

mod budget;
mod faults;
mod story;

use super::Scene;
use kube::ResourceExt as _;
use privyseal_envelope::age::{self, Recipient, Recipients};
use privyseal_envelope::rsa::SealingKey;
use privyseal_envelope::{Binding, Item, Name, Namespace};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, sealed_secrets};
use privyseal_tests::vaulted::HSM_KEY;
use privyseal_tests::{ControlPlane, Controller, Vaulted};
use serde_json::{Value, json};

impl<'a> Scene<'a> {
    /// A release with an HSM key beside the keys of that custody, and these flags.
    async fn with_hsm_key(control_plane: &'a ControlPlane, custody: &str, flags: &[&str]) -> Self {
        let vaulted = Vaulted::with_hsm_key(control_plane, custody).await;
        let options = flags.iter().fold(vaulted.options(), |options, flag| options.arg(flag));
        let controller = Controller::start(&vaulted.release, options).await;
        let namespace = control_plane.namespace("hsm").await;
        Self { client: control_plane.client(), vaulted, controller, namespace }
    }

    /// The public half of the newest version of the HSM key.
    fn hsm_key(&self) -> Recipient {
        let versions = self.vaulted.vault.key_versions(HSM_KEY);
        self.hsm_key_of(versions.last().unwrap())
    }

    fn hsm_key_of(&self, version: &str) -> Recipient {
        let der = self.vaulted.vault.key_public(HSM_KEY, version);
        Recipient::KeyVault(SealingKey::from_spki_der(&der).unwrap())
    }

    /// Applies an object whose items are sealed to the newest version.
    async fn apply_hsm(&self, name: &str, items: &[(&str, &str)]) {
        self.apply_to(&self.hsm_key(), name, items).await;
    }

    async fn apply_to(&self, recipient: &Recipient, name: &str, items: &[(&str, &str)]) {
        let values = items.iter().map(|(item, value)| {
            (*item, sealed(std::slice::from_ref(recipient), (&self.namespace, name, item), value))
        });
        self.apply_values(&self.namespace, name, values.collect()).await;
    }

    /// Applies an object that is made of sealed values.
    async fn apply_values(&self, namespace: &str, name: &str, values: Vec<(&str, String)>) {
        objects::apply(&self.client, None, &sealed_secret(namespace, name, values)).await;
    }

    /// Unwraps so far.
    fn unwraps(&self) -> usize {
        self.vaulted
            .vault
            .calls()
            .iter()
            .filter(|call| call.operation == "unwrapKey" && call.name == HSM_KEY)
            .count()
    }

    /// Waits until a condition of an object has that status for that reason. Gives its message.
    async fn says(&self, name: &str, kind: &str, reason: &str) -> String {
        let api = sealed_secrets(&self.client, &self.namespace);
        eventually(PATIENCE, async || {
            let object = api.get(name).await.map_err(|error| error.to_string())?;
            let conditions = objects::conditions(&object);
            let is = |c: &&objects::Condition| c.kind == kind && c.status == "True" && c.reason == reason;
            conditions.iter().find(is).map(|c| c.message.clone()).ok_or_else(|| format!("{conditions:#?}"))
        })
        .await
    }

    /// All of the status, with its times, and the version of the Secret.
    async fn state(&self, name: &str) -> (Value, String) {
        let object = sealed_secrets(&self.client, &self.namespace).get(name).await.unwrap();
        let api =
            kube::Api::<k8s_openapi::api::core::v1::Secret>::namespaced(self.client.clone(), &self.namespace);
        let secret = api.get(name).await.unwrap();
        (object.data["status"].clone(), secret.resource_version().unwrap())
    }
}

/// A value for one item, strictly bound.
fn sealed(recipients: &[Recipient], (namespace, name, item): (&str, &str, &str), value: &str) -> String {
    let binding =
        Binding::Strict { namespace: Namespace::parse(namespace).unwrap(), name: Name::parse(name).unwrap() };
    let recipients = Recipients::new(recipients.to_vec()).unwrap();
    age::seal(value.as_bytes(), &recipients, &binding, &Item::parse(item).unwrap()).unwrap().to_base64()
}

fn sealed_secret(namespace: &str, name: &str, values: Vec<(&str, String)>) -> Value {
    let values: serde_json::Map<_, _> =
        values.into_iter().map(|(item, value)| (item.to_owned(), json!(value))).collect();
    json!({
        "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"encryptedData": values},
    })
}

/// The base64 of a value whose stanza for the vault's key holds something else than what was wrapped.
fn spoiled(value: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let mut bytes = STANDARD.decode(value).unwrap();
    let stanza = b"-> privyseal.dev/akv RSA-OAEP-256 ";
    let start = bytes.windows(stanza.len()).position(|window| window == stanza).unwrap();
    let line = start + bytes[start..].iter().position(|&byte| byte == b'\n').unwrap() + 1;
    // In the middle of its first line, so that the number stays below the modulus.
    bytes[line + 30] = if bytes[line + 30] == b'A' { b'B' } else { b'A' };
    STANDARD.encode(bytes)
}
