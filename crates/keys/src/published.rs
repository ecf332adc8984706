//! The list of a cluster's sealing keys as it is published: one JSON text and a signature over its bytes.
//!
//! ```json
//! {"version":1,"serial":7,"time":"2026-11-24T12:00:00Z",
//!  "keys":[{"fingerprint":"SHA256:…","certificate":"-----BEGIN CERTIFICATE-----…","recipients":["age1pq1…","age1…"]}],
//!  "revoked":["SHA256:…"]}
//! ```
//!
//! `keys` is newest first: the first one seals. `revoked` names certificates and recipients. `serial` grows with every change, so that an old list is noticed.
//! The signature is Ed25519 over `privyseal.dev/sealing-keys/v1` + LF + the JSON text.

use crate::{Certificate, CertificateError, PublicHalf, PublisherError, PublisherKey, PublisherPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use privyseal_envelope::Fingerprint;
use privyseal_envelope::age::Recipient;
use serde::{Deserialize, Serialize};

/// Keeps a signature over this list from being one over anything else.
const DOMAIN: &[u8] = b"privyseal.dev/sealing-keys/v1\n";

/// The list in the clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedKeys {
    /// Grows with every change.
    pub serial: u64,
    /// When it was written.
    pub time: Timestamp,
    /// Keys that may seal, newest first.
    pub keys: Vec<PublicHalf>,
    /// Keys that nobody may seal to any more.
    pub revoked: Vec<Fingerprint>,
}

/// The list as its three texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The JSON text that is signed.
    pub list: String,
    /// Base64 of the signature.
    pub signature: String,
    /// Base64 of the publisher's public key.
    pub publisher: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListText {
    version: u32,
    serial: u64,
    time: String,
    keys: Vec<KeyText>,
    revoked: Vec<String>,
}

#[derive(Deserialize)]
struct VersionText {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct KeyText {
    fingerprint: String,
    certificate: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recipients: Vec<String>,
}

impl PublishedKeys {
    /// Writes and signs the list.
    pub fn publish(&self, publisher: &PublisherKey) -> Published {
        let text = ListText {
            version: 1,
            serial: self.serial,
            time: self.time.to_string(),
            keys: self
                .keys
                .iter()
                .map(|key| KeyText {
                    fingerprint: key.certificate.fingerprint().to_string(),
                    certificate: key.certificate.to_pem(),
                    recipients: key.recipients.iter().map(Recipient::to_string).collect(),
                })
                .collect(),
            revoked: self.revoked.iter().map(Fingerprint::to_string).collect(),
        };
        let list = serde_json::to_string(&text).expect("strings and numbers are JSON");
        let signature = STANDARD.encode(publisher.sign(&signed_bytes(&list)));
        Published { list, signature, publisher: publisher.public_key().to_string() }
    }

    /// Reads a published list whose signature fits the publisher that it names.
    ///
    /// Who that publisher is, is for trust to decide: the caller compares the key returned.
    pub fn verify(published: &Published) -> Result<(Self, PublisherPublicKey), PublishedError> {
        let publisher: PublisherPublicKey = published.publisher.parse().map_err(PublishedError::Publisher)?;
        let signature = STANDARD.decode(published.signature.trim()).map_err(|_| PublisherError::Signature);
        publisher
            .verify(&signed_bytes(&published.list), &signature.map_err(PublishedError::Publisher)?)
            .map_err(PublishedError::Publisher)?;
        Ok((Self::parse(&published.list)?, publisher))
    }

    fn parse(list: &str) -> Result<Self, PublishedError> {
        // The version first: a later one may have fields that this release does not know.
        let VersionText { version } = serde_json::from_str(list).map_err(|_| PublishedError::Malformed)?;
        if version != 1 {
            return Err(PublishedError::Version { version });
        }
        let text: ListText = serde_json::from_str(list).map_err(|_| PublishedError::Malformed)?;
        let keys = text.keys.iter().map(|key| {
            let certificate = Certificate::from_pem(key.certificate.as_bytes())?;
            if certificate.fingerprint().to_string() != key.fingerprint {
                return Err(PublishedError::Malformed);
            }
            let recipients = key.recipients.iter().map(|text| text.parse());
            let recipients = recipients.collect::<Result<_, _>>().map_err(|_| PublishedError::Malformed)?;
            Ok(PublicHalf { certificate, recipients })
        });
        Ok(Self {
            serial: text.serial,
            time: text.time.parse().map_err(|_| PublishedError::Malformed)?,
            keys: keys.collect::<Result<_, _>>()?,
            revoked: text
                .revoked
                .iter()
                .map(|fingerprint| fingerprint.parse().map_err(|_| PublishedError::Malformed))
                .collect::<Result<_, _>>()?,
        })
    }
}

fn signed_bytes(list: &str) -> Vec<u8> {
    [DOMAIN, list.as_bytes()].concat()
}

/// A published list cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishedError {
    /// The key or the signature.
    #[error("{0}")]
    Publisher(#[source] PublisherError),
    /// The text is not such a list.
    #[error("not a list of sealing keys")]
    Malformed,
    /// Written by a later release.
    #[error("version {version} of the list is not known to this release")]
    Version {
        /// What it says.
        version: u32,
    },
    /// A certificate of the list.
    #[error("certificate: {0}")]
    Certificate(#[from] CertificateError),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyPair;
    use jiff::SignedDuration;
    use privyseal_envelope::rsa::KeySize;

    fn published() -> (PublishedKeys, PublisherKey) {
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let pair = KeyPair::generate(KeySize::Rsa2048, "", now, SignedDuration::from_hours(1)).ok().unwrap();
        let keys = vec![pair.public_half(), pair.certificate().clone().into()];
        let list = PublishedKeys { serial: 7, time: now, keys, revoked: vec![Fingerprint::of(b"leaked")] };
        (list, PublisherKey::generate().ok().unwrap())
    }

    #[test]
    fn a_list_round_trips() {
        let (list, publisher) = published();
        let (read, by) = PublishedKeys::verify(&list.publish(&publisher)).unwrap();
        assert_eq!(read, list);
        assert_eq!(by, publisher.public_key());
    }

    #[test]
    fn a_later_version_is_told_as_such() {
        let (list, publisher) = published();
        let text = list.publish(&publisher).list.replace("\"version\":1", "\"version\":2,\"new\":true");
        assert!(matches!(PublishedKeys::parse(&text), Err(PublishedError::Version { version: 2 })));
    }

    #[test]
    fn any_change_is_noticed() {
        let (list, publisher) = published();
        let good = list.publish(&publisher);
        let stranger = PublisherKey::generate().ok().unwrap();
        let changed = [
            Published { list: good.list.replace("\"serial\":7", "\"serial\":8"), ..good.clone() },
            Published { signature: STANDARD.encode([7; 64]), ..good.clone() },
            Published { publisher: stranger.public_key().to_string(), ..good.clone() },
        ];
        for published in changed {
            assert!(matches!(PublishedKeys::verify(&published), Err(PublishedError::Publisher(_))));
        }
    }
}
