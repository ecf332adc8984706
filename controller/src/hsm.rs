//! Values that only a key in a Key Vault opens: which ones these are, and what their object says while it waits.
//!
//! ```text
//!   open ──fails for want of a key──▶ stanzas of the Key Vault's key ──▶ Unwrapper
//!     ▲                                                                     ├── file keys ──▶ open once more, with them
//!     │                                                                     ├── wait ──▶ the place in work is free
//!     └──────────────── queue ◀── called back, when all of them are there ──┘
//!                                                                           └── none ──▶ an outcome
//! ```
//!
//! What the keyring opens costs no call: the vault is asked for the rest alone, and for nothing if another item of the
//! object does not open whatever the vault gives. It is part of leading: who does not lead asks nobody.

use crate::failure;
use crate::index::SharedIndex;
use crate::keystore::Held;
use crate::metrics::Metrics;
use crate::outcome::{Outcome, Reason, shown_list};
use crate::queue::{Key, Priority, Queue};
use privyseal_custody::custody::{Failure, FailureKind};
use privyseal_custody::key_vault::KeyVault;
use privyseal_custody::key_vault::hsm::{Answer, Objects, Owner, Seen, Unwrapper};
use privyseal_envelope::age::{File, FileKey, VaultStanza};
use privyseal_envelope::{Fingerprint, KeyId, SealedValue};
use privyseal_manifest::SealedSecret;
use privyseal_seal::{ItemError, ItemFailure, OpenError};
use std::sync::Arc;
use std::time::Duration;

/// The vault key, for as long as we lead.
pub(crate) struct Hsm {
    unwrapper: Unwrapper,
    poll_interval: Duration,
}

/// What the vault has for an object.
pub(crate) enum FileKeys {
    /// Nothing that would help.
    None,
    /// A file key for each value that the keyring does not open.
    There(Vec<(VaultStanza, FileKey)>),
    /// They are waited for. The object comes back into the queue.
    Awaited(Outcome),
    /// The vault does not open it.
    Refused(Outcome),
}

/// An item that nothing but the vault may open, and its stanzas for keys of a vault.
pub(crate) struct Sought {
    item: String,
    stanzas: Vec<VaultStanza>,
}

impl Hsm {
    /// With the HSM key of a vault; nothing if it has none.
    pub(crate) fn new(
        vault: &KeyVault,
        poll_interval: Duration,
        index: SharedIndex,
        queue: Arc<Queue>,
        metrics: Arc<Metrics>,
    ) -> Option<Self> {
        let unwrapper = vault.unwrapper(Arc::new(Known { index, queue, metrics }))?;
        Some(Self { unwrapper, poll_interval })
    }

    /// Runs for ever: asks the vault.
    pub(crate) async fn run(&self) {
        self.unwrapper.run(self.poll_interval).await;
    }

    /// Waits until it is known which versions there are, for a while: what has to wait for them then says so.
    pub(crate) async fn ready(&self) {
        let _ = tokio::time::timeout(FIRST_ANSWER, self.unwrapper.asked()).await;
    }

    /// Whether a marker's key may be one of the vault's: what is not known to be gone counts as there, so that an outage
    /// opens nothing anew and turns no status.
    pub(crate) fn holds(&self, key: KeyId) -> bool {
        self.unwrapper.holds(key)
    }

    /// A name for what can be opened with these keys and the vault's.
    pub(crate) fn ring(&self, held: &Held) -> Fingerprint {
        Fingerprint::of(format!("{}\n{}", held.fingerprint(), self.unwrapper.name()).as_bytes())
    }

    /// Has file keys unwrapped. What is there is held for the object until it is done, so that it opens as a whole.
    pub(crate) async fn file_keys(&self, key: &Key, sought: Vec<Sought>) -> FileKeys {
        if sought.is_empty() {
            self.done(key);
            return FileKeys::None;
        }
        let values: Vec<_> = sought.iter().map(|one| one.stanzas.clone()).collect();
        match self.unwrapper.ask(&owner(key), &values).await {
            Answer::Ready(file_keys) => FileKeys::There(file_keys),
            Answer::Waiting { values, trouble } => FileKeys::Awaited(awaited(values, trouble.as_ref())),
            Answer::Refused(refused) => FileKeys::Refused(not_opened(&sought, &refused)),
            Answer::TooMany => FileKeys::Refused(Outcome::failed(
                Reason::TooExpensive,
                "opening it takes more calls of the Key Vault than one object may cost: seal it to fewer of its keys",
            )),
        }
    }

    /// An object needs nothing of the vault any more.
    pub(crate) fn done(&self, key: &Key) {
        self.unwrapper.done(&owner(key));
    }
}

/// The items of an object that only a vault can open: those that the keyring does not, if each of these has a stanza for a
/// key of a vault. Otherwise the object does not open whatever a vault gives, and none is asked.
pub(crate) fn sought(object: &SealedSecret, error: &OpenError) -> Vec<Sought> {
    let OpenError::Items { failures, .. } = error else { return Vec::new() };
    let seek = |failed: &ItemError| {
        let ItemFailure::NotARecipient { .. } = failed.failure else { return None };
        let value = SealedValue::from_base64(object.spec.encrypted_data.get(&failed.item)?).ok()?;
        let file = File::parse(&value).ok()?;
        let stanzas: Vec<_> = file.recipients().filter_map(|one| file.vault_stanza(one.at)).collect();
        (!stanzas.is_empty()).then(|| Sought { item: failed.item.clone(), stanzas })
    };
    failures.iter().map(seek).collect::<Option<_>>().unwrap_or_default()
}

fn awaited(values: usize, trouble: Option<&Failure>) -> Outcome {
    let wait = if values == 1 { "1 value waits".to_owned() } else { format!("{values} values wait") };
    match trouble {
        Some(trouble) => failure::of_vault(trouble, &format!("{wait} for the Key Vault to unwrap it")),
        None => Outcome::failed(
            Reason::KeyVaultQueued,
            format!(
                "{wait} for a turn at the Key Vault, which unwraps one by one and within a budget; the Secret stays as it is"
            ),
        ),
    }
}

/// What nobody can repair comes first: an object with such a value does not open, whatever becomes of the others.
fn not_opened(sought: &[Sought], refused: &[(usize, Failure)]) -> Outcome {
    let is_final = |failure: &Failure| failure.kind() == FailureKind::Damaged;
    let first = refused.iter().find(|(_, failure)| is_final(failure)).or_else(|| refused.first());
    let Some((_, first)) = first else { return Outcome::failed(Reason::NotARecipient, "no key opens it") };
    let alike = refused.iter().filter(|(_, failure)| is_final(failure) == is_final(first));
    let items = shown_list(alike.filter_map(|(at, _)| sought.get(*at)).map(|one| one.item.as_str()));
    match is_final(first) {
        true => Outcome::failed(
            Reason::Altered,
            format!("{items}: changed after sealing, so that nobody can trust it ({first}); seal it again"),
        ),
        false => failure::of_vault(first, &format!("{items} cannot be opened")),
    }
}

fn owner(key: &Key) -> Owner {
    Owner { namespace: key.namespace.clone(), name: key.name.clone() }
}

/// The objects, for the unwrapper.
struct Known {
    index: SharedIndex,
    queue: Arc<Queue>,
    metrics: Arc<Metrics>,
}

impl Objects for Known {
    fn is_there(&self, owner: &Owner) -> bool {
        self.index.lock().has_object(&key(owner))
    }

    fn again(&self, owner: &Owner) {
        self.queue.add(key(owner), Priority::Change);
    }

    fn all_again(&self) {
        let keys: Vec<_> = self.index.lock().keys().cloned().collect();
        keys.into_iter().for_each(|key| self.queue.add(key, Priority::Resync));
    }

    fn saw(&self, seen: Seen) {
        self.metrics.hsm(seen);
    }

    fn warn(&self, message: &str) {
        tracing::warn!("{message}");
    }
}

fn key(owner: &Owner) -> Key {
    Key { namespace: owner.namespace.clone(), name: owner.name.clone() }
}

/// For one list, and a call for each version.
const FIRST_ANSWER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use privyseal_envelope::age::{self, Identity, Recipient, Recipients};
    use privyseal_envelope::rsa::{KeySize, OpeningKey};
    use privyseal_envelope::{Binding, Item};
    use privyseal_keys::{Keyring, KeyringEntry};
    use privyseal_seal::open;

    fn value(recipients: Vec<Recipient>, item: &str) -> String {
        let recipients = Recipients::new(recipients).unwrap();
        let item = Item::parse(item).unwrap();
        age::seal(b"v", &recipients, &Binding::ClusterWide, &item).unwrap().to_base64()
    }

    fn object(values: Vec<(&str, String)>) -> SealedSecret {
        let mut object = SealedSecret::new("db", privyseal_manifest::SealedSecretSpec::default());
        object.metadata.namespace = Some("team-a".into());
        let wide = (privyseal_manifest::names::CLUSTER_WIDE.to_owned(), "true".to_owned());
        object.metadata.annotations = Some([wide].into());
        object.spec.encrypted_data =
            values.into_iter().map(|(item, value)| (item.to_owned(), value)).collect();
        object
    }

    #[test]
    fn the_vault_is_asked_for_what_nobody_else_opens_and_for_nothing_in_vain() {
        let vault =
            || Recipient::KeyVault(OpeningKey::generate(KeySize::Rsa2048).unwrap().sealing_key().clone());
        let (ours, theirs) = (Identity::generate_x25519(), Identity::generate_x25519());
        let keyring =
            Keyring::new(vec![KeyringEntry::from_identity("ours", ours.to_text().trim().parse().unwrap())]);
        let items = |values: Vec<(&str, String)>| {
            let object = object(values);
            let error = open(&object, &keyring, 10).err();
            let sought = error.map(|error| sought(&object, &error)).unwrap_or_default();
            sought.into_iter().map(|one| (one.item, one.stanzas.len())).collect::<Vec<_>>()
        };
        let of_vault = value(vec![vault()], "a");
        let of_both = value(vec![ours.recipient(), vault()], "b");
        let of_two = value(vec![theirs.recipient(), vault(), vault()], "c");
        let of_nobody = value(vec![theirs.recipient()], "d");
        assert_eq!(items(vec![("b", of_both.clone())]), []);
        let three = vec![("a", of_vault.clone()), ("b", of_both), ("c", of_two)];
        assert_eq!(items(three), [("a".to_owned(), 1), ("c".to_owned(), 2)]);
        for hopeless in [of_nobody, "AAAA".to_owned(), "!".to_owned()] {
            assert_eq!(items(vec![("a", of_vault.clone()), ("d", hopeless)]), []);
        }
    }

    #[test]
    fn what_nobody_can_repair_is_told_before_what_may_heal() {
        let sought = ["a", "b"].map(|item| Sought { item: item.into(), stanzas: Vec::new() });
        let damaged = Failure::new(FailureKind::Damaged, "is none");
        let disabled = Failure::new(FailureKind::Disabled, "is disabled");
        let both = not_opened(&sought, &[(0, disabled.clone()), (1, damaged)]);
        assert_eq!(both.reason, Reason::Altered);
        assert!(
            both.message.starts_with("b: changed") && both.message.contains("(is none)"),
            "{}",
            both.message
        );
        let one = not_opened(&sought, &[(0, disabled)]);
        assert_eq!(one.reason, Reason::KeyVaultRefuses);
        assert!(one.message.starts_with("a cannot be opened: is disabled"), "{}", one.message);
    }

    #[test]
    fn who_waits_says_for_what() {
        assert_eq!(awaited(3, None).reason, Reason::KeyVaultQueued);
        let down = Failure::new(FailureKind::Unavailable, "vault v cannot be reached");
        let outcome = awaited(1, Some(&down));
        assert_eq!(outcome.reason, Reason::KeyVaultUnavailable);
        assert!(outcome.message.contains("1 value waits") && outcome.message.contains("v cannot be reached"));
    }
}
