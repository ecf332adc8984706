//! What becomes of the recipients of a value of format age that was opened.
//!
//! Each cluster's older key makes room for its newest one of the same kind; whoever else is there stays, byte for byte, and
//! goes on opening it. Whose a stanza is, its hint says, or the key at hand that opened it.

use super::changes::Changes;
use super::destination::Destination;
use crate::key_source::{Found, Keys};
use privyseal_envelope::age::{File, Recipient, RecipientStanza, Rewrap};
use privyseal_envelope::{KeyId, SealedValue};
use privyseal_keys::Keyring;
use privyseal_seal::{Change, Strangers, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What is asked of the values of one destination.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) destination: &'a Destination,
    pub(super) changes: &'a Changes,
    /// The keys at hand.
    pub(super) keyring: &'a Keyring,
    /// Only values of this key, which goes by any of these.
    pub(super) only: Option<&'a BTreeSet<KeyId>>,
    /// Whose keys are to open them no more, by all ids that they go by.
    pub(super) drop: &'a BTreeSet<KeyId>,
}

/// A recipient of a value.
struct Place {
    stanza: RecipientStanza,
    /// What its key goes by; nothing if neither a hint nor a key at hand says it.
    ids: BTreeSet<KeyId>,
}

impl Place {
    fn is(&self, ids: &BTreeSet<KeyId>) -> bool {
        !self.ids.is_disjoint(ids)
    }
}

impl<'a> Asked<'a> {
    /// What becomes of the value; `anew` is what it would be sealed to, if it cannot be kept.
    ///
    /// # Errors
    /// Says why that cannot be told, or done.
    pub(super) fn change(&self, value: &Value<'_>, anew: Option<&'a Keys>) -> Result<Change<'a>, String> {
        let places = value.recipients.iter().map(|stanza| self.place(*stanza, value));
        let (gone, stay): (Vec<_>, Vec<_>) = places.partition(|place| place.is(self.drop));
        if self.only.is_some_and(|only| !gone.iter().chain(&stay).any(|place| place.is(only))) {
            return Ok(Change::Keep);
        }
        let changes_who = !self.drop.is_empty() || !self.changes.add.is_empty();
        if changes_who && stay.iter().any(|place| place.ids.is_empty()) {
            return Err("it does not name its recipients (--no-hints), so who of them is to be added or dropped is not known; \
                        seal it anew, with `privyseal unseal` and `privyseal seal`"
                .to_owned());
        }
        // Of a value whose recipients are all dropped it counts what it was.
        let post_quantum = match stay.is_empty() {
            true => gone.iter().all(|place| place.stanza.kind.is_post_quantum()),
            false => stay.iter().all(|place| place.stanza.kind.is_post_quantum()),
        };
        let exchanges_all = self.destination.exchanges_all(post_quantum, value.strangers, self.changes);
        if let Some(anew) = anew.filter(|_| exchanges_all) {
            self.nobody_comes_in_by_rule(&stay)?;
            return self.sealed_anew(&stay, anew, value.strangers);
        }
        let mut rewrap =
            Rewrap { drop: gone.iter().map(|place| place.stanza).collect(), ..Rewrap::default() };
        self.renew(&stay, &mut rewrap)?;
        for found in &self.changes.add {
            let comes = rewrap.add.iter().any(|recipient| found.recipients.contains(recipient));
            if !comes && !stay.iter().any(|place| place.is(found.key_ids())) {
                rewrap.add.push(self.fitting(found, &stay)?);
            }
        }
        Ok(if rewrap.is_empty() { Change::Keep } else { Change::Rewrap(rewrap) })
    }

    /// A value without hints does not say for whom it is, and a rule alone has it sealed for nobody new.
    fn nobody_comes_in_by_rule(&self, stay: &[Place]) -> Result<(), String> {
        if self.destination.is_named() {
            return Ok(());
        }
        let is_there = |found: &Arc<Found>| {
            let owns = |place: &Place| self.owner(place, stay).is_some_and(|owner| Arc::ptr_eq(owner, found));
            stay.iter().any(owns) || self.changes.add.iter().any(|added| added.key_ids() == found.key_ids())
        };
        match self.destination.target.found().iter().find(|found| !is_there(found)) {
            Some(found) => Err(format!(
                "that {} is among its recipients is not known, and a rule alone adds nobody: name all of them with --for",
                found.who()
            )),
            None => Ok(()),
        }
    }

    fn place(&self, stanza: RecipientStanza, value: &Value<'_>) -> Place {
        let opener = (value.opened_by.stanza == Some(stanza.at)).then(|| value.opened_by.key.key_id());
        Place { stanza, ids: all_ids(self.keyring, stanza.claimed.into_iter().chain(opener)) }
    }

    /// Puts newest keys in the places of older ones of the same clusters.
    fn renew(&self, stay: &[Place], rewrap: &mut Rewrap<'a>) -> Result<(), String> {
        let owned: Vec<_> = stay.iter().map(|place| (place, self.owner(place, stay))).collect();
        let is_newest = |(place, owner): &(&Place, Option<&Arc<Found>>)| {
            owner.is_some_and(|owner| is_newest(place, owner))
        };
        let mut up_to_date: Vec<_> =
            owned.iter().filter(|owned| is_newest(owned)).filter_map(|(_, owner)| *owner).collect();
        for (place, owner) in owned.iter().filter(|owned| !is_newest(owned)) {
            let Some(owner) = owner else { continue };
            if self.only.is_some_and(|only| !place.is(only)) {
                continue;
            }
            if up_to_date.iter().any(|other| Arc::ptr_eq(other, owner)) {
                rewrap.drop.push(place.stanza);
                continue;
            }
            let kind = place.stanza.kind;
            let newest = owner.recipient(kind).ok_or_else(|| {
                format!(
                    "{} names no {kind} recipient that could take the place of its older one",
                    owner.who()
                )
            })?;
            rewrap.replace.push((place.stanza, newest));
            up_to_date.push(owner);
        }
        let lost = self.destination.target.found().iter().find(|found| {
            let is_there =
                owned.iter().filter_map(|(_, owner)| *owner).any(|owner| Arc::ptr_eq(owner, found));
            found.is_unlisted() && !is_there && stay.iter().all(|place| !place.ids.is_empty())
        });
        match lost {
            Some(found) if !self.changes.add.iter().any(|added| added.key_ids() == found.key_ids()) => {
                Err(format!(
                    "which of its recipients is an older key of {} is not known: --only-key KEYID says it, or --add-recipient \
                     adds the new one",
                    found.who()
                ))
            }
            _ => Ok(()),
        }
    }

    /// Whose a recipient is, of those whom values are sealed for.
    fn owner(&self, place: &Place, stay: &[Place]) -> Option<&'a Arc<Found>> {
        let found = self.destination.target.found();
        let by_id = |place: &Place| found.iter().find(|found| place.is(found.key_ids()));
        by_id(place).or_else(|| {
            // A bare certificate does not say which keys its cluster had before. It is that of a key at hand which the command
            // line names, or which is the only one that it can be.
            let mut unlisted = found.iter().filter(|found| found.is_unlisted());
            let only = unlisted.next().filter(|_| unlisted.next().is_none())?;
            // Where its newest key is there already, whoever is not known is somebody else.
            let is_there = stay.iter().filter_map(by_id).any(|owner| Arc::ptr_eq(owner, only));
            let unknown = stay.iter().filter(|place| by_id(place).is_none()).count();
            let at_hand =
                self.keyring.entries().iter().any(|entry| place.ids.iter().any(|id| entry.goes_by(*id)));
            let by_elimination = unknown == 1 && !is_there;
            (at_hand && (by_elimination || self.only.is_some_and(|only| place.is(only)))).then_some(only)
        })
    }

    /// All of it, for those whom the command line names. Who could open it until now must be among them.
    fn sealed_anew(
        &self,
        stay: &[Place],
        anew: &'a Keys,
        strangers: &Strangers,
    ) -> Result<Change<'a>, String> {
        let is_named = |place: &Place| {
            self.owner(place, stay).is_some()
                || self.changes.add.iter().any(|found| place.is(found.key_ids()))
        };
        let others: Vec<_> = stay.iter().filter(|place| !is_named(place)).map(|place| place.stanza).collect();
        if others.is_empty() {
            return Ok(Change::Seal(anew.seal_to()));
        }
        let because = match strangers.is_empty() {
            true => "post-quantum and classical recipients do not mix".to_owned(),
            false => format!("recipients cannot be dropped one by one that are {strangers}"),
        };
        Err(format!(
            "{because}, so it would have to be sealed anew, and {} would open it no more: name that one too, or drop it with \
             --drop-recipient",
            described(&others)
        ))
    }

    /// The recipient of somebody that goes with those who stay.
    fn fitting(&self, found: &'a Found, stay: &[Place]) -> Result<&'a Recipient, String> {
        let post_quantum = match stay.is_empty() {
            true => self.changes.add.iter().all(|found| found.can_post_quantum()),
            false => stay.iter().all(|place| place.stanza.kind.is_post_quantum()),
        };
        let fits = |recipient: &&Recipient| recipient.kind().is_post_quantum() == post_quantum;
        found.recipients.iter().find(fits).ok_or_else(|| {
            let (is, has) =
                if post_quantum { ("post-quantum", "no such") } else { ("not post-quantum", "no other") };
            format!(
                "the value is {is}, and {} has {has} recipient; `--format age`, with all whom it is for named by --for or \
                 --recipient, seals it anew",
                found.who()
            )
        })
    }
}

/// Whether it is the newest key of its kind, or of the whole of which only the certificate is known.
fn is_newest(place: &Place, owner: &Found) -> bool {
    let newest = owner.recipient(place.stanza.kind).map(Recipient::fingerprint);
    let certificate = owner.certificate.as_ref().map(privyseal_keys::Certificate::fingerprint);
    newest.into_iter().chain(certificate).any(|key| place.ids.contains(&key.key_id()))
}

/// All that the keys go by that go by any of these: each of a key's parts has an id of its own.
pub(super) fn all_ids(keyring: &Keyring, ids: impl IntoIterator<Item = KeyId>) -> BTreeSet<KeyId> {
    let mut all: BTreeSet<_> = ids.into_iter().collect();
    for entry in keyring.entries() {
        if all.iter().any(|id| entry.goes_by(*id)) {
            all.extend(entry.fingerprints().iter().map(|part| part.key_id()));
        }
    }
    all
}

/// The recipients of an age value, for the report: the keys that its hints name.
pub(super) fn recipients_of(value: &SealedValue) -> String {
    File::parse(value)
        .map_or_else(|_| String::new(), |file| described(&file.recipients().collect::<Vec<_>>()))
}

fn described(recipients: &[RecipientStanza]) -> String {
    let names = recipients.iter().map(|recipient| match recipient.claimed {
        Some(key) => key.to_string(),
        None => format!("({})", recipient.kind),
    });
    names.collect::<Vec<_>>().join("+")
}
