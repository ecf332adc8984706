//! A key pair as a Kubernetes Secret, as the peer writes and reads it.
//!
//! Where a vault keeps the private half, its item is there and empty, since the type demands it, and one more item says
//! where the private half is ([`Reference`]). Such a Secret is a key like any other for all that asks for its certificate,
//! label or annotations.

use crate::MakerMark;
use crate::custody::{Failure, Half, Kind, Public, Reference, Subject};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::{Item, KeyError, Plaintext};
use privyseal_keys::{Certificate, KeyPair, KeyPairError, KeyringEntry, PublicHalf};
use privyseal_manifest::{Secret, names};
use std::collections::BTreeMap;

/// The prefix that the peer gives to the names of key Secrets.
pub const DEFAULT_PREFIX: &str = "sealed-secrets-key";
/// Type of a key Secret.
pub const TYPE: &str = "kubernetes.io/tls";
/// Item with the certificate, PEM.
pub const CERTIFICATE_ITEM: &str = "tls.crt";
/// Item with the private key, PEM PKCS#1.
pub const PRIVATE_KEY_ITEM: &str = "tls.key";

/// Annotation of a key Secret whose key leaked: it opens until it is retired, and nobody seals to it. Its value is when
/// that became known (RFC 3339), for people; that it is there is what counts.
pub const COMPROMISED: &str = "privyseal.dev/compromised";

/// Annotation of a key Secret that asks for a successor: while this key is the one that seals, the leader makes the next
/// one. Its value is when that was asked (RFC 3339), for people; that it is there is what counts. It may stay: once a
/// newer key seals it asks for nothing.
pub const ROTATE: &str = "privyseal.dev/rotate";

/// Annotation of a key Secret whose private half lay in the cluster in the clear before a vault got it: with whoever could
/// read Secrets or etcd then, and in backups of that. Such a key never seals where a vault keeps keys. Its value is when it
/// was moved (RFC 3339), for people; that it is there is what counts.
pub const WAS_IN_CLEAR: &str = "privyseal.dev/was-in-clear";
/// Item that says where a private half is, JSON, if it is not in the Secret.
pub const REFERENCE_ITEM: &str = "custody.json";

/// The Secret that keeps a key pair, private half included: named by the API server from `prefix`, labelled active.
pub fn to_secret(pair: &KeyPair, prefix: &str, namespace: Option<&str>) -> Result<Secret, KeyError> {
    let half = Half::Clear(Plaintext::from(pair.private_text()?.as_bytes()));
    Ok(secret_of(&pair.public_half(), half, prefix, namespace))
}

/// The Secret of a key with that public half and what stands for the private one.
pub(crate) fn secret_of(public: &PublicHalf, half: Half, prefix: &str, namespace: Option<&str>) -> Secret {
    let mut data = BTreeMap::from([(item(CERTIFICATE_ITEM), Plaintext::from(public.to_text().as_bytes()))]);
    put_half(&mut data, PRIVATE_KEY_ITEM, half);
    Secret {
        metadata: ObjectMeta {
            generate_name: Some(prefix.to_owned()),
            namespace: namespace.map(str::to_owned),
            labels: Some(BTreeMap::from([(
                names::SEALED_SECRETS_KEY.to_owned(),
                names::KEY_ACTIVE.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        type_: Some(TYPE.to_owned()),
        immutable: None,
        data,
    }
}

/// Puts what stands for a private half into the values of a Secret, in place of what stood there.
pub(crate) fn put_half(data: &mut BTreeMap<Item, Plaintext>, private_item: &str, half: Half) {
    let (private, reference) = match half {
        Half::Clear(private) => (private, None),
        Half::Kept(reference) => (Plaintext::from(&b""[..]), Some(reference.to_json())),
    };
    data.insert(item(private_item), private);
    data.remove(REFERENCE_ITEM);
    if let Some(reference) = reference {
        data.insert(item(REFERENCE_ITEM), Plaintext::from(reference.as_bytes()));
    }
}

/// What stands for a private half in a Secret. If the private half itself is there too, it counts: somebody may read it.
pub(crate) fn half_of(data: &BTreeMap<Item, Plaintext>, private_item: &'static str) -> Result<Half, NotAKey> {
    let private = data.get(private_item);
    match (private.filter(|private| !private.expose().is_empty()), data.get(REFERENCE_ITEM)) {
        (Some(private), _) => Ok(Half::Clear(private.clone())),
        (None, Some(reference)) => Ok(Half::Kept(Reference::from_json(reference.expose())?)),
        (None, None) if private.is_some() => Ok(Half::Clear(Plaintext::from(&b""[..]))),
        (None, None) => Err(NotAKey::ItemMissing { item: private_item }),
    }
}

fn item(name: &str) -> Item {
    Item::parse(name).expect("a constant that is an item name")
}

/// What a key Secret says of itself, before anything is opened.
pub struct Look {
    /// The name of the Secret, and the public half.
    pub subject: Subject,
    /// What stands for the private half.
    pub half: Half,
}

impl Look {
    /// Looks at a Secret that says that it is a key.
    ///
    /// # Errors
    /// If it is none.
    pub fn at(secret: &Secret) -> Result<Self, NotAKey> {
        if is_made_by_sealed_secret(&secret.metadata) {
            return Err(NotAKey::MadeBySealedSecret);
        }
        let certificate = secret.data.get(CERTIFICATE_ITEM);
        let certificate = certificate.ok_or(NotAKey::ItemMissing { item: CERTIFICATE_ITEM })?;
        let half = half_of(&secret.data, PRIVATE_KEY_ITEM)?;
        let public = PublicHalf::from_text(certificate.expose()).map_err(KeyPairError::from)?;
        let subject = Subject {
            secret: name_of(secret).to_owned(),
            public: Public::Sealing(public),
            mark: MakerMark::of(&secret.metadata),
        };
        Ok(Self { subject, half })
    }

    /// The certificate.
    pub fn certificate(&self) -> Option<&Certificate> {
        match &self.subject.public {
            Public::Sealing(public) => Some(&public.certificate),
            Public::Publisher(_) => None,
        }
    }
}

fn name_of(secret: &Secret) -> &str {
    let name = secret.metadata.name.as_deref().or(secret.metadata.generate_name.as_deref());
    name.unwrap_or("(no name)")
}

/// The key in a Secret, checked: both halves are there, parse and belong together, and no SealedSecret made it.
pub fn from_secret(secret: &Secret) -> Result<KeyringEntry, NotAKey> {
    let Look { subject, half } = Look::at(secret)?;
    match half {
        Half::Clear(private) => entry_of(&subject, &private),
        Half::Kept(reference) => Err(NotAKey::Elsewhere { kind: reference.kind() }),
    }
}

/// The key of a subject with this private half, if they belong together.
pub(crate) fn entry_of(subject: &Subject, private: &Plaintext) -> Result<KeyringEntry, NotAKey> {
    let Public::Sealing(public) = &subject.public else {
        return Err(NotAKey::ItemMissing { item: CERTIFICATE_ITEM });
    };
    let pair = KeyPair::new(public.clone(), private.expose())?;
    Ok(KeyringEntry::from_pair(&subject.secret, pair))
}

/// Whether the label says that the key is usable; any other value retires it.
pub fn is_active(metadata: &ObjectMeta) -> bool {
    label(metadata) == Some(names::KEY_ACTIVE)
}

/// Sets the label that makes a Secret a key.
pub(crate) fn set_label(metadata: &mut ObjectMeta, label: &str) {
    let labels = metadata.labels.get_or_insert_default();
    labels.insert(names::SEALED_SECRETS_KEY.to_owned(), label.to_owned());
}

/// The value of the label that makes a Secret a key.
pub fn label(metadata: &ObjectMeta) -> Option<&str> {
    metadata.labels.as_ref()?.get(names::SEALED_SECRETS_KEY).map(String::as_str)
}

/// Whether the key is marked as compromised.
pub fn is_compromised(metadata: &ObjectMeta) -> bool {
    is_annotated(metadata, COMPROMISED)
}

/// Whether a successor of the key is asked for.
pub fn is_rotation_asked(metadata: &ObjectMeta) -> bool {
    is_annotated(metadata, ROTATE)
}

/// Whether the private half once lay in the cluster in the clear.
pub fn was_in_clear(metadata: &ObjectMeta) -> bool {
    is_annotated(metadata, WAS_IN_CLEAR)
}

/// Notes that the private half lay in the cluster in the clear, unless that is noted already.
pub fn note_was_in_clear(metadata: &mut ObjectMeta, now: Timestamp) {
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    metadata.annotations.get_or_insert_default().entry(WAS_IN_CLEAR.to_owned()).or_insert(now);
}

fn is_annotated(metadata: &ObjectMeta, name: &str) -> bool {
    metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(name))
}

/// Whether an owner reference names a SealedSecret, of whatever version, or an annotation says that one made it.
pub fn is_made_by_sealed_secret(metadata: &ObjectMeta) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|owner| names::is_sealed_secret(&owner.api_version, &owner.kind))
        || is_annotated(metadata, names::OWNER_UID)
}

/// A Secret is not a usable key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAKey {
    /// A SealedSecret owns it.
    #[error("a SealedSecret made it; such a Secret is never a key")]
    MadeBySealedSecret,
    /// An item is missing.
    #[error("it has no item {item}")]
    ItemMissing {
        /// The item.
        item: &'static str,
    },
    /// The halves do not parse, or differ.
    #[error(transparent)]
    KeyPair(#[from] KeyPairError),
    /// Its private half is not in it.
    #[error("its private half is not in it, but kept by {kind}")]
    Elsewhere {
        /// The custody.
        kind: Kind,
    },
    /// What says where its private half is cannot be used.
    #[error(transparent)]
    Reference(#[from] Failure),
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::SignedDuration;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use privyseal_envelope::rsa::KeySize;

    fn secret() -> Secret {
        let now = "2026-11-24T12:00:00Z".parse().unwrap();
        let pair = KeyPair::generate(KeySize::Rsa2048, "", now, SignedDuration::from_hours(1)).ok().unwrap();
        to_secret(&pair, DEFAULT_PREFIX, Some("kube-system")).unwrap()
    }

    #[test]
    fn a_key_round_trips_and_looks_like_the_peers() {
        let secret = secret();
        assert!(from_secret(&secret).is_ok());
        assert!(is_active(&secret.metadata));
        assert_eq!(secret.metadata.generate_name.as_deref(), Some("sealed-secrets-key"));
        assert_eq!(secret.type_.as_deref(), Some("kubernetes.io/tls"));
        assert!(secret.data["tls.key"].expose().starts_with(b"-----BEGIN RSA PRIVATE KEY-----\n"));
        assert!(secret.data["tls.crt"].expose().starts_with(b"-----BEGIN CERTIFICATE-----\n"));
    }

    #[test]
    fn a_planted_key_is_none() {
        let mut secret = secret();
        secret.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "bitnami.com/v1alpha1".into(),
            kind: "SealedSecret".into(),
            ..OwnerReference::default()
        }]);
        assert!(matches!(from_secret(&secret).err(), Some(NotAKey::MadeBySealedSecret)));

        // One that is retained has no owner reference.
        secret.metadata.owner_references = None;
        assert!(from_secret(&secret).is_ok());
        secret.metadata.annotations = Some(BTreeMap::from([(names::OWNER_UID.into(), "u1".into())]));
        assert!(matches!(from_secret(&secret).err(), Some(NotAKey::MadeBySealedSecret)));
    }

    #[test]
    fn garbage_and_foreign_halves_are_none() {
        let mut garbage = secret();
        garbage.data.insert(Item::parse("tls.key").unwrap(), Plaintext::from(&b"garbage"[..]));
        assert!(matches!(from_secret(&garbage).err(), Some(NotAKey::KeyPair(KeyPairError::PrivateKey(_)))));

        let mut mixed = secret();
        mixed.data.insert(Item::parse("tls.crt").unwrap(), secret().data["tls.crt"].clone());
        assert!(matches!(from_secret(&mixed).err(), Some(NotAKey::KeyPair(KeyPairError::HalvesDiffer))));

        let mut empty = secret();
        empty.data.clear();
        assert!(matches!(from_secret(&empty).err(), Some(NotAKey::ItemMissing { item: "tls.crt" })));
    }
}
