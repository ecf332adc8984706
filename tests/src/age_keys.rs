//! Sealing values of the age format, and the age keys of people.

use crate::Controller;
use privyseal_envelope::age::{self, Identity, Kind, Recipient, Recipients};
use privyseal_envelope::{Binding, Item, Name, Namespace, Scope};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::LazyLock;

/// Somebody outside of the cluster who keeps backups: one post-quantum key, as `age-keygen -pq` makes it.
pub struct Keeper {
    /// The identity file.
    pub identity: String,
    /// The recipient.
    pub recipient: String,
}

/// The same one for all tests of a process.
pub fn keeper() -> &'static Keeper {
    static KEEPER: LazyLock<Keeper> = LazyLock::new(|| {
        let identity = Identity::generate_hybrid().unwrap_or_else(|error| panic!("a key: {error}"));
        Keeper { identity: identity.to_text().to_string(), recipient: identity.recipient().to_string() }
    });
    &KEEPER
}

/// Seals to recipients.
pub struct AgeSealer {
    recipients: Recipients,
}

impl AgeSealer {
    /// To the recipient of that kind that a controller serves.
    pub async fn of(controller: &Controller, kind: Kind) -> Self {
        Self::to([recipient_of(controller, kind).await])
    }

    /// To these recipients.
    pub fn to(recipients: impl IntoIterator<Item = Recipient>) -> Self {
        let recipients = Recipients::new(recipients);
        Self { recipients: recipients.unwrap_or_else(|error| panic!("recipients: {error}")) }
    }

    /// One value for an item, as base64.
    pub fn value(&self, scope: Scope, namespace: &str, name: &str, item: &str, value: &str) -> String {
        let namespace = Namespace::parse(namespace).unwrap_or_else(|error| panic!("{namespace}: {error}"));
        let name = Name::parse(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let item = Item::parse(item).unwrap_or_else(|error| panic!("{item}: {error}"));
        let binding = match scope {
            Scope::Strict => Binding::Strict { namespace, name },
            Scope::NamespaceWide => Binding::NamespaceWide { namespace },
            Scope::ClusterWide => Binding::ClusterWide,
        };
        let sealed = age::seal(value.as_bytes(), &self.recipients, &binding, &item);
        sealed.unwrap_or_else(|error| panic!("seal: {error}")).to_base64()
    }

    /// A strict SealedSecret of these items.
    pub fn seal(&self, namespace: &str, name: &str, items: &[(&str, &str)]) -> Value {
        self.seal_with(Scope::Strict, namespace, name, items)
    }

    /// A SealedSecret of these items with a scope.
    pub fn seal_with(&self, scope: Scope, namespace: &str, name: &str, items: &[(&str, &str)]) -> Value {
        let values: serde_json::Map<_, _> = items
            .iter()
            .map(|(item, value)| ((*item).to_owned(), json!(self.value(scope, namespace, name, item, value))))
            .collect();
        let annotations = match scope {
            Scope::Strict => json!({}),
            wider => json!({format!("sealedsecrets.bitnami.com/{wider}"): "true"}),
        };
        json!({
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "metadata": {"name": name, "namespace": namespace, "annotations": annotations},
            "spec": {"encryptedData": values},
        })
    }
}

/// The recipient of that kind that a controller serves.
pub async fn recipient_of(controller: &Controller, kind: Kind) -> Recipient {
    let answer = controller.http("/v1/recipients").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let all = answer.text();
    let all = all.lines().map(|line| line.parse().unwrap_or_else(|error| panic!("{line}: {error}")));
    let found = all.into_iter().find(|recipient: &Recipient| recipient.kind() == kind);
    found.unwrap_or_else(|| panic!("no {kind} recipient"))
}

/// A file with the keeper's identity.
pub fn write_identity(path: &Path) {
    std::fs::write(path, &keeper().identity).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
