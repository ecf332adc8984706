//! Whom the values of each file are sealed for, and what is to change about it.

use super::changes::Changes;
use crate::cluster::Connection;
use crate::error::CommandError;
use crate::key_source::{Choice, Found, KeyFinder, SealingOptions, Target};
use jiff::Timestamp;
use privyseal_envelope::Fingerprint;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// Those whom the values of some files are sealed for.
pub(super) struct Destination {
    /// Found and trusted.
    pub(super) target: Target,
    /// The keys whose values may move to theirs; none means that the command line names them, and so any may.
    pub(super) from: Option<BTreeSet<Fingerprint>>,
    /// The clusters that can be asked, with their newest keys.
    pub(super) clusters: Vec<(Connection, Arc<Found>)>,
    /// Whether the rule or the command line says the format, or names several, who are then all meant.
    pub(super) is_explicit: bool,
}

/// Finds them, each once.
pub(super) struct Destinations<'a> {
    options: &'a SealingOptions,
    changes: &'a Changes,
    finder: KeyFinder<'a>,
    live: bool,
    known: Vec<Choice>,
    all: Vec<Destination>,
}

impl<'a> Destinations<'a> {
    /// With `live` each cluster is asked itself.
    pub(super) fn new(options: &'a SealingOptions, changes: &'a Changes, now: Timestamp, live: bool) -> Self {
        let finder = options.finder(now);
        Self { options, changes, finder, live, known: Vec::new(), all: Vec::new() }
    }

    /// The number of a file's destination.
    pub(super) fn of(&mut self, file: &Path, now: Timestamp) -> Result<usize, CommandError> {
        let choice = self.options.choose(Some(file))?;
        if let Some(index) = self.known.iter().position(|known| *known == choice) {
            return Ok(index);
        }
        let connections: Vec<_> =
            choice.origins.iter().map(|origin| origin.connection().filter(|_| self.live)).collect();
        if self.live && connections.iter().all(Option::is_none) {
            return Err(CommandError::input("no opening key is given, and no cluster that could be asked").hint(
                "give --key FILE to open the values here, or --context CONTEXT for the cluster's controller to do it",
            ));
        }
        let target = self.options.find(&mut self.finder, &choice, self.live)?;
        target.found().iter().try_for_each(|found| found.check(now))?;
        let from = if choice.named { None } else { Some(siblings(target.found())?) };
        match target.keys(None, now) {
            Ok(keys) => target.announce(&keys),
            // The values may be of the other format; whose they are is told with them.
            Err(_) => target.found().iter().for_each(|found| found.provenance.announce()),
        }
        let clusters = connections.into_iter().zip(target.found());
        let clusters = clusters.filter_map(|(connection, found)| Some((connection?, Arc::clone(found))));
        self.all.push(Destination {
            clusters: clusters.collect(),
            from,
            is_explicit: choice.ruled.is_some() || target.found().len() > 1 || self.changes.format.is_some(),
            target,
        });
        self.known.push(choice);
        Ok(self.all.len() - 1)
    }

    /// All of them, by number.
    pub(super) fn into_all(self) -> Vec<Destination> {
        self.all
    }
}

/// A rule is part of the repository: who can change it must not have values of one cluster sealed for another.
fn siblings(found: &[Arc<Found>]) -> Result<BTreeSet<Fingerprint>, CommandError> {
    let mut all = BTreeSet::new();
    for found in found {
        all.extend(found.siblings.clone().ok_or_else(|| {
            CommandError::failed(format!(
                "{}: a bare certificate does not say which keys the cluster had before, and only a rule of the repository \
                 names it: values of another cluster could be sealed for this one",
                found.provenance
            ))
            .hint("say it on the command line: --for CLUSTER or --cert FILE, with the paths that are that cluster's")
        })?);
    }
    Ok(all)
}
