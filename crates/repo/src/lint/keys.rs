//! Who can open values, held against whom the repository's rules name. Hints prove nothing, and the messages say so. A
//! classic value's RSA size is no claim but a fact. So is which stanzas an age value has, but it tells for whom they are
//! only if we know their kind: what a stanza of another kind takes to open is not known here, so nothing good is said of
//! a value that has one.
//!
//! ```text
//!   ids that a value claims ──┐
//!   rule: clusters, recipients ├──▶ revoked, matched, missing, foreign ──▶ findings
//!   keys of key files ─────────┘
//! ```

use super::code::Code;
use super::known::{ClusterKeys, KnownKey, KnownRecipient};
use crate::{ClusterName, RecipientName, Rule};
use jiff::{SignedDuration, Timestamp};
use privyseal_envelope::{Format, KeyId};
use privyseal_seal::ItemInspection;
use std::collections::BTreeMap;
use std::fmt;

/// What holds for one file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected<'a> {
    /// The rule for its path.
    pub rule: Option<&'a Rule>,
    /// The keys of all clusters of the configuration that the repository knows any of.
    pub known: &'a [ClusterKeys],
    /// The recipients of the configuration.
    pub recipients: &'a [KnownRecipient],
}

/// What is told of the keys of some items.
pub(super) struct Told {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) cure: &'static str,
}

/// Holds items against the keys. What many items share is told once, at the first.
pub(super) fn check<'i>(
    items: &[&'i ItemInspection],
    expected: &Expected<'_>,
    now: Timestamp,
) -> Vec<(&'i str, Told)> {
    let mut told: BTreeMap<(Code, String), (&'i str, usize, Told)> = BTreeMap::new();
    for inspected in items {
        for one in (Judge { inspected, expected, now }).all() {
            let entry = told.entry((one.code, one.message.clone()));
            entry.or_insert((inspected.item.as_str(), 0, one)).1 += 1;
        }
    }
    told.into_values()
        .map(|(item, count, mut one)| {
            if count > 1 {
                one.message.push_str(&format!(" (and {} more)", count - 1));
            }
            (item, one)
        })
        .collect()
}

/// One that a rule names, and what the repository knows of it; nothing if that is none of its keys.
enum Party<'a> {
    Cluster(&'a ClusterName, Option<&'a ClusterKeys>),
    Recipient(&'a RecipientName, Option<&'a KnownRecipient>),
}

impl Party<'_> {
    fn name(&self) -> &str {
        match self {
            Self::Cluster(name, _) => name.as_str(),
            Self::Recipient(name, _) => name.as_str(),
        }
    }

    fn goes_by(&self, id: KeyId) -> bool {
        match self {
            Self::Cluster(_, keys) => keys.is_some_and(|keys| keys.find(id).is_some()),
            Self::Recipient(_, recipient) => recipient.is_some_and(|recipient| recipient.id == id),
        }
    }

    fn revoked(&self, id: KeyId) -> bool {
        matches!(self, Self::Cluster(_, Some(keys)) if keys.revoked.contains(&id))
    }

    /// Whether a key that is none of those known cannot be its.
    fn is_complete(&self) -> bool {
        match self {
            Self::Cluster(_, keys) => keys.is_some_and(|keys| keys.complete),
            Self::Recipient(_, recipient) => recipient.is_some(),
        }
    }

    /// Whether it has a post-quantum recipient; nothing if that is not known.
    fn is_post_quantum(&self) -> Option<bool> {
        match self {
            Self::Cluster(_, keys) => keys.map(ClusterKeys::is_post_quantum),
            Self::Recipient(_, recipient) => recipient.map(|recipient| recipient.kind.is_post_quantum()),
        }
    }
}

struct Judge<'a> {
    inspected: &'a ItemInspection,
    expected: &'a Expected<'a>,
    now: Timestamp,
}

const RESEAL: &str = "seal the value anew for the cluster";
const RECIPIENTS: &str = "seal the value anew for whom the rule names, or correct the rule";
const CURRENT_LIST: &str = "get the current list with `privyseal keys fetch --published`; if it lacks the key too, seal the value anew";

impl<'a> Judge<'a> {
    fn all(&self) -> Vec<Told> {
        let mut told: Vec<_> = self.claimed().filter_map(|id| self.revoked(id)).collect();
        if let Some(rule) = self.expected.rule {
            let parties = self.parties(rule);
            self.age_of_keys(&parties, &mut told);
            self.who(rule, &parties, &mut told);
            told.extend(self.size(&parties));
            told.extend(self.format(rule));
            told.extend(self.post_quantum(rule, &parties));
        }
        told
    }

    fn claimed(&self) -> impl Iterator<Item = KeyId> {
        self.inspected.claimed.iter().copied()
    }

    fn is_age(&self) -> bool {
        self.inspected.format == Ok(Format::Age)
    }

    /// Recipients of kinds that we know, and that no hint names.
    fn unnamed(&self) -> usize {
        match self.is_age() {
            true => self.inspected.recipients.iter().filter(|recipient| recipient.claimed.is_none()).count(),
            false => usize::from(self.inspected.claimed.is_empty()),
        }
    }

    fn parties(&self, rule: &'a Rule) -> Vec<Party<'a>> {
        let Expected { known, recipients, .. } = *self.expected;
        let clusters = rule.clusters.iter();
        let clusters =
            clusters.map(|name| Party::Cluster(name, known.iter().find(|keys| keys.name == *name)));
        let recipients = rule
            .recipients
            .iter()
            .map(|name| Party::Recipient(name, recipients.iter().find(|recipient| recipient.name == *name)));
        clusters.chain(recipients).collect()
    }

    fn revoked(&self, id: KeyId) -> Option<Told> {
        let by = self.expected.known.iter().find(|cluster| cluster.revoked.contains(&id))?;
        Some(Told {
            code: Code::RevokedKey,
            message: format!("its hint claims key {id}, which {} has revoked", by.name),
            cure: "change the value where it is used, then seal it anew: whoever has the key can open it",
        })
    }

    /// Of each cluster the newest key that is claimed: whether it should go on sealing.
    fn age_of_keys(&self, parties: &[Party<'a>], told: &mut Vec<Told>) {
        for party in parties {
            let Party::Cluster(name, Some(keys)) = party else { continue };
            let claimed = |key: &&KnownKey| self.claimed().any(|id| key.goes_by(id));
            let Some(key) = keys.keys.iter().find(claimed) else { continue };
            let Some(id) = self.claimed().find(|id| key.goes_by(*id)) else { continue };
            if keys.revoked.contains(&id) {
                continue;
            }
            let due = key.not_before.checked_add(RENEWAL).unwrap_or(Timestamp::MAX);
            if key.not_after < self.now {
                told.push(Told {
                    code: Code::ExpiredKey,
                    message: format!(
                        "its hint claims key {id} of {name}, which expired on {}",
                        key.not_after
                    ),
                    cure: RESEAL,
                });
            } else if keys.keys.first().is_some_and(|newest| newest.id != key.id) && due < self.now {
                told.push(Told {
                    code: Code::StaleKey,
                    message: format!("its hint claims key {id} of {name}, which has a newer one since"),
                    cure: RESEAL,
                });
            }
        }
    }

    /// Who can open it, and who cannot.
    fn who(&self, rule: &Rule, parties: &[Party<'a>], told: &mut Vec<Told>) {
        told.extend(self.strangers(rule, parties));
        let is_revoked = |id: &KeyId| self.expected.known.iter().any(|keys| keys.revoked.contains(id));
        let matches = |party: &&Party<'_>| self.claimed().any(|id| party.goes_by(id) || party.revoked(id));
        let foreign: Vec<_> = self
            .claimed()
            .filter(|id| !is_revoked(id) && !parties.iter().any(|party| party.goes_by(*id)))
            .collect();
        if !foreign.is_empty() && !parties.iter().any(|party| matches(&party)) {
            told.extend(self.for_nobody(rule, parties, &foreign));
            return;
        }
        if !self.is_age() {
            return;
        }
        let complete = parties.iter().all(Party::is_complete);
        for id in foreign {
            let owner = self.owner_elsewhere(id);
            if owner.is_none() && !complete {
                continue;
            }
            let owner = owner
                .map_or_else(|| format!("key {id}, whose is not known"), |name| format!("a key of {name}"));
            told.push(Told {
                code: Code::ForeignRecipient,
                message: format!(
                    "its hint claims {owner}, and rule {} is for {}: who has that key can open it",
                    rule.number,
                    Listed(parties)
                ),
                cure: RECIPIENTS,
            });
        }
        let unnamed = self.unnamed();
        if unnamed > 0 {
            told.push(Told {
                code: Code::UnnamedRecipient,
                message: format!("{unnamed} of its recipients are not named: who can open it is not known"),
                cure: "seal it anew without --no-hints, or ignore the note where that is meant",
            });
            return;
        }
        for party in parties.iter().filter(|party| party.is_complete() && !matches(party)) {
            told.push(Told {
                code: Code::MissingRecipient,
                message: format!(
                    "rule {} is for {} too, and no hint claims a key of it: it will not open there",
                    rule.number,
                    party.name()
                ),
                cure: RECIPIENTS,
            });
        }
    }

    /// Whom no rule can name: a rule's recipients are all of kinds that we know.
    fn strangers(&self, rule: &Rule, parties: &[Party<'a>]) -> Option<Told> {
        let strangers = &self.inspected.strangers;
        (!strangers.is_empty()).then(|| Told {
            code: Code::ForeignRecipient,
            message: format!(
                "it has recipients that rule {}, for {}, cannot name, and that can open it: {strangers}",
                rule.number,
                Listed(parties)
            ),
            cure: "`privyseal reseal --format age`, with all whom it is for named by --for, seals it anew without them",
        })
    }

    /// It claims keys, and none of them is of whom the rule names.
    fn for_nobody(&self, rule: &Rule, parties: &[Party<'a>], foreign: &[KeyId]) -> Option<Told> {
        let names = Listed(parties);
        if let Some(other) = foreign.iter().find_map(|id| self.owner_elsewhere(*id)) {
            return Some(Told {
                code: Code::OtherCluster,
                message: format!("its hint claims a key of {other}, and rule {} is for {names}", rule.number),
                cure: RESEAL,
            });
        }
        let ids: Vec<_> = foreign.iter().map(KeyId::to_string).collect();
        let ids = ids.join(", ");
        match parties {
            [Party::Cluster(_, Some(keys))] if !keys.complete => Some(Told {
                code: Code::StaleKey,
                message: format!(
                    "its hint claims key {ids}, which is not that of the certificate of {names}"
                ),
                cure: RESEAL,
            }),
            [Party::Cluster(..)] => parties[0].is_complete().then(|| Told {
                code: Code::UnknownKey,
                message: format!("its hint claims key {ids}, which {names} does not publish"),
                cure: CURRENT_LIST,
            }),
            _ => parties.iter().all(Party::is_complete).then(|| Told {
                code: Code::UnknownKey,
                message: format!("its hints claim key {ids}, which is of none of {names}"),
                cure: CURRENT_LIST,
            }),
        }
    }

    /// The name of a cluster or recipient of the configuration that an id is of.
    fn owner_elsewhere(&self, id: KeyId) -> Option<String> {
        let Expected { known, recipients, .. } = *self.expected;
        let cluster = known.iter().find(|keys| keys.find(id).is_some()).map(|keys| keys.name.to_string());
        let recipient = || recipients.iter().find(|recipient| recipient.id == id);
        cluster.or_else(|| recipient().map(|recipient| recipient.name.to_string()))
    }

    /// A classic value is for one key, and so for one of the clusters.
    fn size(&self, parties: &[Party<'a>]) -> Option<Told> {
        let bits = self.inspected.rsa_bits?;
        let mut keys = Vec::new();
        for party in parties {
            match party {
                Party::Cluster(_, Some(known)) if known.complete => keys.extend(&known.keys),
                Party::Cluster(..) => return None,
                Party::Recipient(..) => {}
            }
        }
        let fits = keys.iter().any(|key| key.bits.div_ceil(8) == bits.div_ceil(8));
        (!fits && !keys.is_empty()).then(|| Told {
            code: Code::KeySize,
            message: format!(
                "sealed with a key of {bits} bits, and {} publishes none of that size",
                Listed(parties)
            ),
            cure: RESEAL,
        })
    }

    /// A rule that neither says a format nor needs one leaves it to whoever seals.
    fn format(&self, rule: &Rule) -> Option<Told> {
        let own = self.inspected.format.as_ref().ok()?;
        let wanted = rule.format();
        let asked_for = rule.format.is_some() || wanted == Format::Age;
        (asked_for && *own != wanted).then(|| Told {
            code: Code::OtherFormat,
            message: match wanted {
                Format::Age if rule.format.is_none() => format!(
                    "sealed in format {}, which opens in one cluster only, and rule {} is for more",
                    own.as_str(),
                    rule.number
                ),
                _ => format!(
                    "sealed in format {}, and rule {} asks for {}",
                    own.as_str(),
                    rule.number,
                    wanted.as_str()
                ),
            },
            cure: match wanted {
                Format::Age => {
                    "`privyseal reseal --format age --key KEY`, with all whom it is for named by --for"
                }
                Format::Classic => "`privyseal reseal --format classic`",
            },
        })
    }

    /// Classical recipients where all, or some, of those whom the rule names have post-quantum ones.
    fn post_quantum(&self, rule: &Rule, parties: &[Party<'a>]) -> Option<Told> {
        let recipients = &self.inspected.recipients;
        if recipients.is_empty() || recipients.iter().all(|recipient| recipient.kind.is_post_quantum()) {
            return None;
        }
        let known: Option<Vec<bool>> = parties.iter().map(Party::is_post_quantum).collect();
        let known = known?;
        let without: Vec<&str> =
            parties.iter().zip(&known).filter(|(_, has)| !**has).map(|(party, _)| party.name()).collect();
        if without.len() == parties.len() {
            return None;
        }
        let (because, cure) = match without.is_empty() {
            true => (
                format!("though all that rule {} is for have post-quantum ones", rule.number),
                "seal the value anew: post-quantum recipients are taken where all have them",
            ),
            false => (
                format!("since {} has no post-quantum one", without.join(", ")),
                "a cluster makes a post-quantum recipient with each new key; a key in a Key Vault has none",
            ),
        };
        Some(Told {
            code: Code::NotPostQuantum,
            message: format!("its recipients are classical, {because}: a quantum computer would open it"),
            cure,
        })
    }
}

/// The names of all that a rule is for.
struct Listed<'p, 'a>(&'p [Party<'a>]);

impl fmt::Display for Listed<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(Party::name).collect();
        f.write_str(&names.join(", "))
    }
}

/// How long a key seals before the controller makes the next one, by default.
const RENEWAL: SignedDuration = SignedDuration::from_hours(24 * 30);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use privyseal_envelope::Fingerprint;
    use privyseal_envelope::age::{Kind, RecipientStanza};
    use privyseal_seal::Strangers;

    const CONFIG: &str = "version: 1
clusters: {a: {context: a}, b: {context: b}, c: {context: c}}
recipients: {glass: {age: RECIPIENT}}
rules:
  - {path: one, for: [a]}
  - {path: two, for: [a, b]}
  - {path: glass, for: [a, glass]}
  - {path: c, for: [c]}
  - {path: age, for: [a], format: age}
";

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn id(name: &str) -> KeyId {
        Fingerprint::of(name.as_bytes()).key_id()
    }

    /// A key whose RSA half is called `name`, and its recipients `name-pq` and `name-x`.
    fn key(name: &str, not_before: &str) -> KnownKey {
        KnownKey {
            id: id(name),
            recipients: vec![
                (id(&format!("{name}-pq")), Kind::Hybrid),
                (id(&format!("{name}-x")), Kind::X25519),
            ],
            bits: 4096,
            not_before: not_before.parse().unwrap(),
            not_after: "2030-01-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn cluster(name: &str, keys: Vec<KnownKey>, complete: bool) -> ClusterKeys {
        let revoked = vec![id("gone"), id("gone-pq")];
        ClusterKeys { name: ClusterName::parse(name).unwrap(), keys, revoked, complete }
    }

    fn age(kind: Kind, claimed: &[Option<&str>]) -> ItemInspection {
        let recipients: Vec<_> = claimed
            .iter()
            .enumerate()
            .map(|(at, name)| RecipientStanza { at, kind, claimed: name.map(id) })
            .collect();
        ItemInspection {
            item: "x".to_owned(),
            format: Ok(Format::Age),
            bytes: Some(500),
            rsa_bits: None,
            claimed: recipients.iter().filter_map(|recipient| recipient.claimed).collect(),
            recipients,
            strangers: Strangers::default(),
            verdict: None,
        }
    }

    fn classic(claimed: Option<&str>) -> ItemInspection {
        ItemInspection {
            format: Ok(Format::Classic),
            rsa_bits: Some(4096),
            recipients: Vec::new(),
            claimed: claimed.map(id).into_iter().collect(),
            ..age(Kind::Hybrid, &[])
        }
    }

    #[test]
    fn who_can_open_is_held_against_whom_the_rule_names() {
        let recipient = privyseal_envelope::age::Identity::generate_x25519().recipient();
        let config = Config::parse(&CONFIG.replace("RECIPIENT", &recipient.to_string())).unwrap();
        let [old, new] = ["2026-01-01T00:00:00Z", "2026-11-01T00:00:00Z"];
        let known = [
            cluster("a", vec![key("a2", new), key("a1", old)], true),
            cluster("b", vec![key("b1", new)], true),
            cluster("c", vec![key("c1", new)], false),
        ];
        let glass = KnownRecipient {
            name: RecipientName::parse("glass").unwrap(),
            id: id("glass"),
            kind: Kind::X25519,
        };
        let recipients = [glass];
        let told = |path: &str, item: ItemInspection| -> Vec<(Code, String)> {
            let rule = config.rule_for(path);
            let expected = Expected { rule, known: &known, recipients: &recipients };
            let told = check(&[&item], &expected, now()).into_iter();
            told.map(|(_, told)| (told.code, told.message)).collect()
        };
        let codes = |path: &str, item| -> Vec<&'static str> {
            told(path, item).into_iter().map(|(code, _)| code.id()).collect()
        };
        let pq =
            |claimed: &[&str]| age(Kind::Hybrid, &claimed.iter().map(|name| Some(*name)).collect::<Vec<_>>());
        let x =
            |claimed: &[&str]| age(Kind::X25519, &claimed.iter().map(|name| Some(*name)).collect::<Vec<_>>());
        for (path, item, expected) in [
            ("one", pq(&["a2-pq"]), &[][..]),
            // Of two keys of one cluster the newer one counts.
            ("one", pq(&["a1-pq", "a2-pq"]), &[]),
            ("one", pq(&["a1-pq"]), &["PS042"]),
            ("one", pq(&["b1-pq"]), &["PS041"]),
            ("one", pq(&["a2-pq", "b1-pq"]), &["PS048"]),
            ("one", pq(&["a2-pq", "nobody"]), &["PS048"]),
            ("one", pq(&["nobody", "else"]), &["PS040"]),
            ("one", pq(&["glass"]), &["PS041"]),
            ("one", pq(&["a2-pq", "gone-pq"]), &["PS044"]),
            ("one", pq(&["gone-pq"]), &["PS044"]),
            ("one", x(&["a2-x"]), &["PS091"]),
            ("one", age(Kind::Hybrid, &[None]), &["PS049"]),
            ("one", age(Kind::Hybrid, &[Some("a2-pq"), None]), &["PS049"]),
            ("two", pq(&["a2-pq", "b1-pq"]), &[]),
            ("two", pq(&["b1-pq"]), &["PS047"]),
            ("two", pq(&["b1-pq", "nobody"]), &["PS047", "PS048"]),
            ("two", pq(&["nobody"]), &["PS040"]),
            // It may be the one that is not named.
            ("two", age(Kind::Hybrid, &[Some("b1-pq"), None]), &["PS049"]),
            ("two", classic(Some("b1")), &["PS090"]),
            ("glass", x(&["a2-x", "glass"]), &["PS091"]),
            ("glass", x(&["a2-x"]), &["PS047", "PS091"]),
            // Of a cluster with one certificate another key may be an older one, or a newer.
            ("c", pq(&["c1-pq"]), &[]),
            ("c", pq(&["nobody"]), &["PS042"]),
            ("c", pq(&["c1-pq", "nobody"]), &[]),
            ("c", pq(&["c1-pq", "a2-pq"]), &["PS048"]),
            ("age", classic(Some("a2")), &["PS090"]),
            ("age", pq(&["a2-pq"]), &[]),
            // Without a rule only what is revoked is wrong.
            ("none", pq(&["nobody", "a2-pq"]), &[]),
            ("none", pq(&["gone-pq"]), &["PS044"]),
            ("one", classic(Some("a2")), &[]),
            ("one", classic(Some("a1")), &["PS042"]),
            ("one", classic(None), &[]),
        ] {
            assert_eq!(codes(path, item.clone()), expected, "{path} {:?}", item.recipients);
        }
        // Whatever the others are, and whether a hint names them.
        let with_strangers = |item: ItemInspection| {
            let strangers = ["ssh-ed25519", "piv-p256"].map(str::to_owned).into_iter().collect();
            ItemInspection { strangers, ..item }
        };
        for (path, item, expected) in [
            ("one", pq(&["a2-pq"]), &["PS048"][..]),
            ("one", age(Kind::Hybrid, &[None]), &["PS048", "PS049"]),
            ("one", age(Kind::Hybrid, &[]), &["PS047", "PS048"]),
            ("one", pq(&["b1-pq"]), &["PS041", "PS048"]),
            ("c", pq(&["c1-pq"]), &["PS048"]),
            ("none", pq(&["a2-pq"]), &[]),
        ] {
            assert_eq!(codes(path, with_strangers(item)), expected, "{path}");
        }
        let [(_, message)] = &told("one", with_strangers(pq(&["a2-pq"])))[..] else { panic!() };
        assert!(
            message.contains("2 of a kind that Privyseal does not know: piv-p256, ssh-ed25519"),
            "{message}"
        );
        let [(_, message)] = &told("glass", x(&["a2-x", "glass"]))[..] else { panic!() };
        assert!(message.contains("since glass has no post-quantum one"), "{message}");
    }
}
