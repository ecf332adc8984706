//! What is known of the keys that values need: what the controller opened, joined with Git trees.
//!
//! ```text
//!   SealedSecrets in the cluster ──status──▶ opened with ─┐
//!   values in Git ── the same text as in the cluster ─────┤
//!                 ── opened here with --key ─────────┼──▶ Report
//!                 ── the controller, asked ───────────────┤
//!                 └─ a hint's word: a claim ──────────────┘
//! ```
//!
//! Whatever calls a key by the id of one of its recipients, the report calls it as the cluster lists it.

use crate::cluster::{ClusterKey, Controller, Session, Verdict};
use crate::commands::reseal::name_of;
use crate::error::{CommandError, Shown};
use crate::key_files::KeyFileOptions;
use crate::key_source::ClusterOptions;
use crate::sealed_tree::SealedTree;
use crate::speech;
use kube::Api;
use kube::api::ListParams;
use kube::core::DeserializeGuard;
use privyseal_envelope::KeyId;
use privyseal_keys::Keyring;
use privyseal_manifest::SealedSecret;
use privyseal_repo::report::{Knowledge, Report, Value};
use privyseal_seal::{DEFAULT_ATTEMPTS, inspect, open};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What is at hand before the cluster is asked.
pub(super) struct Evidence {
    tree: SealedTree,
    keyring: Option<Keyring>,
}

/// Sealed value to the keys of which one opened it.
type Opened = BTreeMap<String, BTreeSet<KeyId>>;

impl Evidence {
    /// Reads the trees, but for files that a rule gives to another cluster than the one that `--for` names.
    pub(super) fn read(
        paths: &[PathBuf],
        keys: &KeyFileOptions,
        cluster: &ClusterOptions,
    ) -> Result<Self, CommandError> {
        let mut tree = SealedTree::read(paths);
        let mut kept = Vec::new();
        for file in tree.files {
            if cluster.concerns(&file.path)? {
                kept.push(file);
            }
        }
        tree.files = kept;
        let keyring = if keys.is_given() { Some(keys.load()?) } else { None };
        Ok(Self { tree, keyring })
    }
}

/// What the cluster alone says.
pub(super) async fn of_cluster(session: &Session) -> Result<Report, CommandError> {
    let mut report = Report::default();
    in_cluster(session, &mut report).await?;
    Ok(report)
}

/// Joins all. `keys` are the cluster's.
pub(super) async fn gather(
    session: &Session,
    evidence: Evidence,
    keys: &[ClusterKey],
) -> Result<Report, CommandError> {
    let mut report = Report::default();
    let opened = in_cluster(session, &mut report).await?;
    let Evidence { tree, keyring } = evidence;
    for error in &tree.unreadable {
        report.unreadable.extend(error.reports().into_iter().map(|(message, _)| message));
    }
    report.unreadable.extend(tree.hidden.iter().map(|file| {
        format!("{}: sealed values within another object, which are not looked at", Shown(file))
    }));
    let controller = match session.controller().await {
        Ok(controller) => Some(controller),
        Err(error) => {
            warn_not_asked(&error);
            None
        }
    };
    let mut asking = controller.as_ref();
    for file in &tree.files {
        for (_, located) in &file.objects {
            let object = &located.object;
            let place = located.place.as_ref().map_or(1, |place| place.line);
            let place = format!("{}:{place}", file.path.to_string_lossy());
            let mut known = known_here(object, &opened, keyring.as_ref());
            if known.len() < object.spec.encrypted_data.len()
                && let Some(controller) = asking
            {
                match ask(controller, object, &mut known).await {
                    Ok(()) => {}
                    Err(error) => {
                        warn_not_asked(&error);
                        asking = None;
                    }
                }
            }
            add(&mut report, &place, object, known, asking.is_some());
        }
    }
    let keys: Vec<_> = keys.iter().map(ClusterKey::for_report).collect();
    Ok(report.named_as(&keys))
}

/// What it takes stands in the hint.
fn warn_not_asked(error: &CommandError) {
    for (message, hints) in error.reports() {
        let hints: String = hints.iter().map(|hint| format!("; {hint}")).collect();
        speech::warning(format_args!("the controller cannot be asked: {message}{hints}"));
    }
}

/// What the controller says in the status of objects that it has opened as they are now.
async fn in_cluster(session: &Session, report: &mut Report) -> Result<Opened, CommandError> {
    let api = Api::<DeserializeGuard<SealedSecret>>::all(session.client.clone());
    let mut opened = Opened::new();
    let mut page = ListParams::default().limit(500);
    loop {
        let list = api
            .list(&page)
            .await
            .map_err(|error| session.error("the SealedSecrets of the cluster", &error))?;
        for DeserializeGuard(object) in list.items {
            match object {
                Ok(object) => in_status(&object, &mut opened, report),
                Err(invalid) => report.unreadable.push(format!(
                    "cluster: {}/{}: not a SealedSecret that can be read",
                    invalid.metadata.namespace.unwrap_or_default(),
                    invalid.metadata.name.unwrap_or_default()
                )),
            }
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(opened),
        }
    }
}

fn in_status(object: &SealedSecret, opened: &mut Opened, report: &mut Report) {
    let mut known = BTreeMap::new();
    if let Some(keys) = opened_with(object) {
        for (item, text) in &object.spec.encrypted_data {
            known.insert(item.clone(), keys.clone());
            opened.entry(text.clone()).and_modify(|all| all.extend(&keys)).or_insert_with(|| keys.clone());
        }
    }
    add(report, "cluster", object, known, true);
}

/// None if the status is not about the object as it is.
fn opened_with(object: &SealedSecret) -> Option<BTreeSet<KeyId>> {
    let status = object.status.as_ref()?;
    let synced =
        status.conditions.iter().any(|condition| condition.type_ == "Synced" && condition.status == "True");
    let current =
        status.observed_generation.is_some() && status.observed_generation == object.metadata.generation;
    let keys: Option<BTreeSet<_>> = status.opened_with.iter().map(|key| key.parse().ok()).collect();
    keys.filter(|keys| synced && current && !keys.is_empty())
}

/// By the same text in the cluster, or by keys at hand.
fn known_here(
    object: &SealedSecret,
    opened: &Opened,
    keyring: Option<&Keyring>,
) -> BTreeMap<String, BTreeSet<KeyId>> {
    let mut known = BTreeMap::new();
    for (item, text) in &object.spec.encrypted_data {
        if let Some(keys) = opened.get(text) {
            known.insert(item.clone(), keys.clone());
        } else if let Some(keyring) = keyring {
            let part = only(object, item);
            let with = open(&part, keyring, DEFAULT_ATTEMPTS).ok();
            let key = with.and_then(|opened| opened.keys().into_iter().next());
            known.extend(key.map(|key| (item.clone(), BTreeSet::from([key.key_id()]))));
        }
    }
    known
}

/// By the controller. Where the whole does not open, each item is asked about alone.
async fn ask(
    controller: &Controller<'_>,
    object: &SealedSecret,
    known: &mut BTreeMap<String, BTreeSet<KeyId>>,
) -> Result<(), CommandError> {
    let mut learn = |opened: BTreeMap<String, KeyId>| {
        for (item, key) in opened {
            known.insert(item, BTreeSet::from([key]));
        }
    };
    if let Verdict::Opens(opened) = controller.verify(object).await? {
        learn(opened);
        return Ok(());
    }
    if object.spec.encrypted_data.len() > 1 {
        for item in object.spec.encrypted_data.keys() {
            if let Verdict::Opens(opened) = controller.verify(&only(object, item)).await? {
                learn(opened);
            }
        }
    }
    Ok(())
}

fn only(object: &SealedSecret, item: &str) -> SealedSecret {
    let mut part = object.clone();
    part.status = None;
    part.spec.encrypted_data.retain(|other, _| other == item);
    part
}

fn add(
    report: &mut Report,
    place: &str,
    object: &SealedSecret,
    mut known: BTreeMap<String, BTreeSet<KeyId>>,
    asked: bool,
) {
    for inspected in inspect(object, None, &[]).items {
        let knowledge = match known.remove(&inspected.item) {
            Some(keys) => Knowledge::Opened(keys),
            None => Knowledge::Unknown {
                why: if asked {
                    "nobody opened it as it stands there"
                } else {
                    "the controller was not asked"
                },
            },
        };
        report.values.push(Value {
            place: Shown(place).to_string(),
            object: name_of(object),
            item: inspected.item,
            format: inspected.format.ok(),
            claimed: inspected.claimed.into_iter().collect(),
            knowledge,
        });
    }
    if object.spec.data.is_some() {
        report.unreadable.push(format!(
            "{}: {}: spec.data, the deprecated form",
            Shown(place),
            name_of(object)
        ));
    }
}
