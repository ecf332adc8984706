//! The published list of sealing keys as a ConfigMap that every authenticated user may read by name.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Api, Client};
use privyseal_keys::{Published, PublishedError, PublishedKeys, PublisherPublicKey};
use std::collections::BTreeMap;

/// Name of the ConfigMap.
pub const CONFIG_MAP: &str = "privyseal-sealing-keys";
const LIST: &str = "sealing-keys.json";
const SIGNATURE: &str = "sealing-keys.json.sig";
const PUBLISHER: &str = "publisher.pub";
const CERTIFICATE: &str = "cert.pem";

/// The ConfigMap of a list. `cert.pem`, the certificate that seals now, is there for people and for the peer's
/// tools; what is signed is the list.
pub fn to_config_map(namespace: &str, published: &Published, sealing_pem: Option<String>) -> ConfigMap {
    let mut data = BTreeMap::from([
        (LIST.to_owned(), published.list.clone()),
        (SIGNATURE.to_owned(), published.signature.clone()),
        (PUBLISHER.to_owned(), published.publisher.clone()),
    ]);
    data.extend(sealing_pem.map(|pem| (CERTIFICATE.to_owned(), pem)));
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
