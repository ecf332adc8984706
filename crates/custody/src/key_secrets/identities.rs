//! Age identities for a key that has none: one that the peer made, or an older release, or that people brought.
//!
//! They are random, so a key gets them once: with one write, that of its Secret, which is refused if anybody else was faster.
//! Whoever is lost before it leaves the key as it was, and the next one makes others. Nobody may seal to them before that
//! write, and so what must come first, such as a backup, is done between the two steps.

use super::{CustodyError, KeySecrets, StoredKey, not_opened};
use crate::custody::{Half, Kind, Public, Subject};
use crate::key_secret::{self, CERTIFICATE_ITEM, Look};
use crate::{MADE_BY, MakerMark};
use privyseal_envelope::{Fingerprint, Item, Plaintext};
use privyseal_keys::{KeyPair, KeyringEntry, PublicHalf, PublisherKey};
use privyseal_manifest::Secret;

/// A key with new identities, which its Secret does not hold yet. No `Debug`, `Display` or `Serialize`.
pub struct NewIdentities {
    /// The Secret as it was read but for its public half, and the key as it will be.
    key: StoredKey,
    look: Look,
}

impl NewIdentities {
    /// The key as it will be.
    pub fn key(&self) -> &StoredKey {
        &self.key
    }
}

impl KeySecrets {
    /// Makes identities for the key in a Secret, and writes nothing. Nothing is made if that Secret holds another key or
    /// is gone, if the key has identities, is not in use, is compromised, is to have a successor, or if its private half is
    /// about to be moved: then another key seals, or soon will.
    ///
    /// A key that the publisher marked as made by it is marked anew; of any other nothing is said.
    pub async fn new_identities(
        &self,
        secret: &str,
        key: Fingerprint,
        publisher: &PublisherKey,
    ) -> Result<Option<NewIdentities>, CustodyError> {
        let Some(mut secret) = self.secrets.get(secret).await? else { return Ok(None) };
        let metadata = &secret.metadata;
        let seals = key_secret::is_active(metadata)
            && !key_secret::is_compromised(metadata)
            && !key_secret::is_rotation_asked(metadata);
        let Ok(mut look) = Look::at(&secret) else { return Ok(None) };
        let stays = matches!(look.half, Half::Kept(_)) || self.custodies.keeping() == Kind::Cluster;
        if !seals || !stays || look.subject.public.fingerprint() != key {
            return Ok(None);
        }
        let Public::Sealing(public) = &look.subject.public else { return Ok(None) };
        let name = look.subject.secret.clone();
        let entry = self.opened(&look).await.map_err(|error| not_opened(&name, error))?;
        if !entry.identities().is_empty() {
            return Ok(None);
        }
        let private = entry.private_text()?;
        let with_identities = |pair: KeyPair| pair.with_identities();
        let pair = KeyPair::new(public.clone(), private.as_bytes()).and_then(with_identities);
        let pair =
            pair.map_err(|reason| CustodyError::NotAKey { secret: name.clone(), reason: reason.into() })?;
        let is_ours =
            look.subject.mark.as_ref().is_some_and(|mark| mark.proves(&publisher.public_key(), public));
        put_public_half(&mut secret, &pair.public_half());
        if is_ours {
            let mark = MakerMark::make(publisher, &pair.public_half());
            let annotations = secret.metadata.annotations.get_or_insert_default();
            annotations.insert(MADE_BY.to_owned(), mark.as_str().to_owned());
            look.subject.mark = Some(mark);
        }
        let key = StoredKey::new(secret, KeyringEntry::from_pair(name, pair));
        Ok(Some(NewIdentities { key, look }))
    }

    /// Keeps a key with its new identities, if its Secret is still the one that was read.
    pub async fn give_identities(&self, new: NewIdentities) -> Result<(), CustodyError> {
        let NewIdentities { key, look } = new;
        let Look { subject: Subject { secret: name, mark, .. }, half: before } = look;
        let (secret, entry) = key.into_parts();
        let public = entry.public_half().ok_or(privyseal_envelope::KeyError::Rejected)?;
        let half = match &before {
            Half::Clear(private) => Half::Clear(with_identities(private, &entry)?),
            Half::Kept(_) => {
                let subject = Subject {
                    secret: name.clone(),
                    public: Public::Sealing(public.clone()),
                    mark: mark.clone(),
                };
                let private = entry.private_text()?;
                let kept = self.custodies.keeping.keep(&subject, private.as_bytes()).await;
                kept.map_err(|failure| CustodyError::Vault { secret: name.clone(), failure })?
            }
        };
        let subject = Subject { secret: name, public: Public::Sealing(public), mark };
        self.rewrite(secret, &subject, half, entry).await?;
        // What stood there before is still in its vault, and is no key that wants a Secret.
        if let Half::Kept(reference) = before {
            self.declined.lock().await.push(reference);
        }
        Ok(())
    }
}

/// Puts the recipients behind what stands there: people's chain of certificates stays as it is.
fn put_public_half(secret: &mut Secret, public: &PublicHalf) {
    let item = Item::parse(CERTIFICATE_ITEM).expect("a constant that is an item name");
    let there = secret.data.get(&item).map(Plaintext::expose).unwrap_or_default();
    let recipients = public.recipients_text().unwrap_or_default();
    let joined = joined(there, recipients.as_bytes());
    let text = match PublicHalf::from_text(joined.expose()) {
        Ok(read) if read == *public => joined,
        _ => Plaintext::from(public.to_text().as_bytes()),
    };
    secret.data.insert(item, text);
}

/// The identities behind what stands there. The peer goes on reading the very bytes that it wrote.
fn with_identities(private: &Plaintext, entry: &KeyringEntry) -> Result<Plaintext, CustodyError> {
    let identities = entry.identities().iter().map(|identity| identity.to_text());
    let text = identities
        .fold(Plaintext::from(private.expose()), |text, identity| joined(text.expose(), identity.as_bytes()));
    let is_the_key = |text: &Plaintext| {
        let read = KeyPair::new(entry.public_half()?, text.expose()).ok()?;
        Some(read.public_half().recipients.len() == entry.identities().len())
    };
    match is_the_key(&text) {
        Some(true) => Ok(text),
        // Something stands there that swallows what follows, such as a block without its end.
        _ => Ok(Plaintext::from(entry.private_text()?.as_bytes())),
    }
}

/// Two texts, the second on a line of its own.
fn joined(first: &[u8], second: &[u8]) -> Plaintext {
    let line_feed: &[u8] = if first.is_empty() || first.ends_with(b"\n") { b"" } else { b"\n" };
    // The whole capacity at once: growing would leave a copy behind.
    let mut text = zeroize::Zeroizing::new(Vec::with_capacity(first.len() + line_feed.len() + second.len()));
    for part in [first, line_feed, second] {
        text.extend_from_slice(part);
    }
    Plaintext::from(text.as_slice())
}
