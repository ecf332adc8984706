//! The publisher key as a Secret, in whatever custody.

use crate::custody::{Failure, FailureKind, Half, Kind, Public, Reference, Subject};
use crate::key_secret::{self, NotAKey, put_half};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::{Item, Plaintext};
use privyseal_keys::{PublisherKey, PublisherPublicKey};
use privyseal_manifest::Secret;
use std::collections::BTreeMap;

/// The Secret that keeps the publisher key.
pub const PUBLISHER_SECRET: &str = "privyseal-publisher-key";
/// The second Secret, while the publisher key is moved.
pub const MOVING_SECRET: &str = "privyseal-publisher-key-moving";
const PRIVATE_ITEM: &str = "publisher.key";
const PUBLIC_ITEM: &str = "publisher.pub";

/// The Secret that keeps a publisher key in the clear.
pub fn publisher_secret(key: &PublisherKey, namespace: &str) -> Secret {
    let half = Half::Clear(Plaintext::from(key.to_pem().as_bytes()));
    secret_of(&key.public_key(), half, PUBLISHER_SECRET, namespace)
}

/// The publisher key in a Secret that holds it in the clear, and which no SealedSecret made.
pub fn publisher_of(secret: &Secret) -> Result<PublisherKey, NotAPublisher> {
    let (_, half) = look_at(secret)?;
    match half {
        Half::Clear(private) => key_of(&private),
        Half::Kept(reference) => Err(unusable(NotAKey::Elsewhere { kind: reference.kind() })),
    }
}

/// The public half of the publisher key in a Secret, wherever the private one is. Where a vault keeps that, it is what the
/// Secret says: a claim, as long as nobody has seen the private half.
pub fn publisher_public_of(secret: &Secret) -> Result<PublisherPublicKey, NotAPublisher> {
    Ok(match Whereabouts::of(secret)? {
        Whereabouts::Here(key) => key.public_key(),
        Whereabouts::Kept(public, _) => public,
    })
}

/// Which custody keeps the private half of the publisher key in a Secret.
pub fn publisher_kept_by(secret: &Secret) -> Result<Kind, NotAPublisher> {
    Ok(look_at(secret)?.1.kind())
}

/// What a Secret says of a publisher key.
pub(crate) enum Whereabouts {
    /// It is in the Secret.
    Here(PublisherKey),
    /// A vault keeps its private half.
    Kept(PublisherPublicKey, Reference),
}

impl Whereabouts {
    pub(crate) fn of(secret: &Secret) -> Result<Self, NotAPublisher> {
        let (public, half) = look_at(secret)?;
        match half {
            Half::Clear(private) => key_of(&private).map(Self::Here),
            Half::Kept(reference) => {
                let public = public.ok_or_else(|| unusable(NotAKey::ItemMissing { item: PUBLIC_ITEM }))?;
                Ok(Self::Kept(public, reference))
            }
        }
    }
}

/// The publisher key with this public half, if what a vault gave is that.
pub(crate) fn key_for(public: PublisherPublicKey, private: &Plaintext) -> Result<PublisherKey, Failure> {
    match PublisherKey::from_pem(private.expose()) {
        Ok(key) if key.public_key() == public => Ok(key),
        _ => Err(Failure::new(FailureKind::Damaged, "what its vault keeps is not this publisher key")),
    }
}

pub(crate) fn secret_of(public: &PublisherPublicKey, half: Half, name: &str, namespace: &str) -> Secret {
    let item = |name| Item::parse(name).expect("a constant that is an item name");
    let mut data = BTreeMap::new();
    let is_clear = matches!(half, Half::Clear(_));
    if !is_clear {
        data.insert(item(PUBLIC_ITEM), Plaintext::from(public.to_string().as_bytes()));
    }
    put_half(&mut data, PRIVATE_ITEM, half);
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        // Under a key of a vault it is kept anew when that key has a successor.
        immutable: is_clear.then_some(true),
        data,
    }
}

/// The public half, if it stands in the Secret by itself, and what stands for the private one.
pub(crate) fn look_at(secret: &Secret) -> Result<(Option<PublisherPublicKey>, Half), NotAPublisher> {
    if key_secret::is_made_by_sealed_secret(&secret.metadata) {
        return Err(unusable(NotAKey::MadeBySealedSecret));
    }
    let half = key_secret::half_of(&secret.data, PRIVATE_ITEM).map_err(unusable)?;
    let public =
        secret.data.get(PUBLIC_ITEM).and_then(|text| std::str::from_utf8(text.expose()).ok()?.parse().ok());
    Ok((public, half))
}

fn key_of(private: &Plaintext) -> Result<PublisherKey, NotAPublisher> {
    PublisherKey::from_pem(private.expose()).map_err(unusable)
}

fn unusable(reason: impl ToString) -> NotAPublisher {
    NotAPublisher { reason: reason.to_string() }
}

/// A Secret holds no usable publisher key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the Secret {PUBLISHER_SECRET} holds no usable publisher key: {reason}")]
pub struct NotAPublisher {
    /// What is wrong with it.
    pub reason: String,
}

pub(crate) fn subject(public: PublisherPublicKey, secret: &str) -> Subject {
    Subject { secret: secret.to_owned(), public: Public::Publisher(public), mark: None }
}
