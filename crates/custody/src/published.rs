//! The published list of sealing keys as a ConfigMap that every authenticated user may read by name.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};
use privyseal_keys::{PublicHalf, Published, PublishedError, PublishedKeys, PublisherPublicKey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name of the ConfigMap.
pub const CONFIG_MAP: &str = "privyseal-sealing-keys";
const LIST: &str = "sealing-keys.json";
const SIGNATURE: &str = "sealing-keys.json.sig";
const PUBLISHER: &str = "publisher.pub";
const CERTIFICATE: &str = "cert.pem";
const RECIPIENTS: &str = "recipients";
const STATUS: &str = "status.json";

/// What the leader says of the key that seals now, beside the list. It is not signed: who doubts it checks the key's
/// [`MakerMark`](crate::MakerMark).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealingKeyStatus {
    /// Whose it is.
    pub reason: SealingKeyReason,
    /// A sentence that says what to do.
    pub message: String,
    /// Its fingerprint.
    pub fingerprint: String,
    /// The Secret that holds it.
    pub secret: String,
    /// Since when this is so (RFC 3339).
    pub since: String,
}

/// Whose the sealing key is. The words are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SealingKeyReason {
    /// A leader of this controller made it.
    MadeByLeader,
    /// Somebody else did.
    ForeignSealingKey,
}

/// The ConfigMap of a list. `cert.pem` and `recipients` are those of the key that seals now, for people, stock `age` and the
/// peer's tools; what is signed is the list.
pub fn to_config_map(namespace: &str, published: &Published, sealing: Option<&PublicHalf>) -> ConfigMap {
    let mut data = BTreeMap::from([
        (LIST.to_owned(), published.list.clone()),
        (SIGNATURE.to_owned(), published.signature.clone()),
        (PUBLISHER.to_owned(), published.publisher.clone()),
    ]);
    data.extend(sealing.map(|key| (CERTIFICATE.to_owned(), key.certificate.to_pem())));
    data.extend(sealing.and_then(PublicHalf::recipients_text).map(|text| (RECIPIENTS.to_owned(), text)));
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(CONFIG_MAP.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        data: Some(data),
        ..ConfigMap::default()
    }
}

/// Adds what the leader says of the sealing key.
pub fn set_status(config_map: &mut ConfigMap, status: &SealingKeyStatus) {
    let text = serde_json::to_string(status).expect("strings are JSON");
    config_map.data.get_or_insert_default().insert(STATUS.to_owned(), text);
}

/// What the leader said of the sealing key; none if it said nothing that this release understands.
pub fn status(config_map: &ConfigMap) -> Option<SealingKeyStatus> {
    serde_json::from_str(config_map.data.as_ref()?.get(STATUS)?).ok()
}

/// The list in a ConfigMap, its signature checked against the publisher that it names.
pub fn from_config_map(
    config_map: &ConfigMap,
) -> Result<(PublishedKeys, PublisherPublicKey), PublishedError> {
    PublishedKeys::verify(&texts(config_map)?)
}

/// The list in a ConfigMap as it stands there, unchecked.
pub fn texts(config_map: &ConfigMap) -> Result<Published, PublishedError> {
    let text = |item: &str| {
        config_map.data.as_ref().and_then(|data| data.get(item)).cloned().ok_or(PublishedError::Malformed)
    };
    Ok(Published { list: text(LIST)?, signature: text(SIGNATURE)?, publisher: text(PUBLISHER)? })
}

/// Reads the ConfigMap of a cluster.
pub async fn fetch(client: Client, namespace: &str) -> Result<Option<ConfigMap>, kube::Error> {
    Api::<ConfigMap>::namespaced(client, namespace).get_opt(CONFIG_MAP).await
}
