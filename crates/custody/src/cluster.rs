//! Custody `cluster`: opening keys in Secrets of the controller's own namespace.

use crate::key_secret::{self, NotAKey};
use crate::{ApiError, SecretApi, Unreadable};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use privyseal_envelope::{Item, KeyError, Plaintext};
use privyseal_keys::{KeyPair, KeyringEntry, PublisherError, PublisherKey};
use privyseal_manifest::{Secret, names};
use std::collections::BTreeMap;

/// The Secret that keeps the publisher key.
pub const PUBLISHER_SECRET: &str = "privyseal-publisher-key";
const PUBLISHER_ITEM: &str = "publisher.key";
const FIELD_MANAGER: &str = "privyseal-custody";

/// Key Secrets of one namespace.
#[derive(Clone)]
pub struct ClusterCustody {
    secrets: SecretApi,
    namespace: String,
    prefix: String,
}

/// What a look at the key Secrets gave.
#[derive(Default)]
pub struct Loaded {
    /// Usable keys.
    pub entries: Vec<KeyringEntry>,
    /// Secrets that say they are keys and are none.
    pub left_out: Vec<LeftOut>,
}

/// A Secret that says it is a key, and why it is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why, without a byte of it.
    pub reason: String,
}

impl ClusterCustody {
    /// For the namespace that holds the keys; new ones get names with this prefix.
    pub fn new(client: Client, namespace: &str, prefix: &str) -> Self {
        Self {
            secrets: SecretApi::new(client, namespace),
            namespace: namespace.to_owned(),
            prefix: prefix.to_owned(),
        }
    }

    /// The label selector of usable keys.
    pub fn selector() -> String {
        format!("{}={}", names::SEALED_SECRETS_KEY, names::KEY_ACTIVE)
    }

    /// Reads all usable keys. A bad one is left out and told; the others are used.
    pub async fn load(&self) -> Result<Loaded, CustodyError> {
        let mut loaded = Loaded::default();
        for secret in self.secrets.list(&Self::selector()).await? {
            match secret.map_err(LeftOut::from).and_then(|secret| usable(&secret)) {
                Ok(entry) => loaded.entries.push(entry),
                Err(left_out) => loaded.left_out.push(left_out),
            }
        }
        Ok(loaded)
    }

    /// Stores a new key; gives the name that the API server chose.
    pub async fn create(&self, pair: &KeyPair) -> Result<String, CustodyError> {
        let secret = key_secret::to_secret(pair, &self.prefix, Some(&self.namespace))?;
        let metadata = self.secrets.create(&secret, FIELD_MANAGER).await?;
        Ok(metadata.name.unwrap_or_default())
    }

    /// The publisher key, if there is one.
    pub async fn publisher(&self) -> Result<Option<PublisherKey>, CustodyError> {
        let Some(secret) = self.secrets.get(PUBLISHER_SECRET).await? else { return Ok(None) };
        if key_secret::is_made_by_sealed_secret(&secret.metadata) {
            return Err(CustodyError::Publisher { reason: NotAKey::MadeBySealedSecret.to_string() });
        }
        let pem = secret.data.get(PUBLISHER_ITEM).ok_or_else(|| CustodyError::Publisher {
            reason: NotAKey::ItemMissing { item: PUBLISHER_ITEM }.to_string(),
        })?;
        let key = PublisherKey::from_pem(pem.expose());
        key.map(Some).map_err(|error: PublisherError| CustodyError::Publisher { reason: error.to_string() })
    }

    /// Stores a new publisher key; fails if there is one already.
    pub async fn create_publisher(&self, key: &PublisherKey) -> Result<(), CustodyError> {
        let item = Item::parse(PUBLISHER_ITEM).expect("a constant that is an item name");
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(PUBLISHER_SECRET.to_owned()),
                namespace: Some(self.namespace.clone()),
                ..ObjectMeta::default()
            },
            type_: Some("Opaque".to_owned()),
            immutable: Some(true),
            data: BTreeMap::from([(item, Plaintext::from(key.to_pem().as_bytes()))]),
        };
        self.secrets.create(&secret, FIELD_MANAGER).await?;
        Ok(())
    }
}

fn usable(secret: &Secret) -> Result<KeyringEntry, LeftOut> {
    key_secret::from_secret(secret).map_err(|reason| LeftOut {
        name: secret.metadata.name.clone().unwrap_or_default(),
        reason: reason.to_string(),
    })
}

impl From<Unreadable> for LeftOut {
    fn from(Unreadable { name, error }: Unreadable) -> Self {
        Self { name, reason: error.to_string() }
    }
}

/// Keys cannot be read or stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CustodyError {
    /// The API server.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// A key cannot be encoded.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The Secret with the publisher key is damaged.
    #[error("the Secret {PUBLISHER_SECRET} holds no usable publisher key: {reason}")]
    Publisher {
        /// What is wrong with it.
        reason: String,
    },
}
