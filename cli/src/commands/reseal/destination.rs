//! Which key each file is sealed to.

use crate::cluster::Connection;
use crate::error::CommandError;
use crate::key_source::{Found, KeyFinder, KeyOptions, Origin};
use jiff::Timestamp;
use privyseal_envelope::Fingerprint;
use privyseal_envelope::rsa::SealingKey;
use std::collections::BTreeSet;
use std::path::Path;

/// A key that files are sealed to.
pub(super) struct Destination {
    /// The key.
    pub(super) key: SealingKey,
    /// The keys whose values may move to it; none means that the command line names it, and so any may.
    pub(super) from: Option<BTreeSet<Fingerprint>>,
    /// The cluster, if it can be asked.
    pub(super) connection: Option<Connection>,
}

/// Finds them, each once.
pub(super) struct Destinations<'a> {
    options: &'a KeyOptions,
    finder: KeyFinder<'a>,
    now: Timestamp,
    live: bool,
    known: Vec<(Origin, bool)>,
    all: Vec<Destination>,
}

impl<'a> Destinations<'a> {
    /// With `live` each cluster is asked itself.
    pub(super) fn new(options: &'a KeyOptions, now: Timestamp, live: bool) -> Self {
        Self { options, finder: options.finder(now), now, live, known: Vec::new(), all: Vec::new() }
    }

    /// The number of a file's destination.
    pub(super) fn of(&mut self, file: &Path) -> Result<usize, CommandError> {
        let choice = self.options.choose(Some(file))?;
        let wanted = (choice.origin, choice.named);
        if let Some(index) = self.known.iter().position(|known| *known == wanted) {
            return Ok(index);
        }
        let (origin, named) = &wanted;
        let connection = origin.connection();
        if self.live && connection.is_none() {
            return Err(CommandError::input("no opening key is given, and no cluster that could be asked").hint(
                "give --key FILE to open the values here, or --context CONTEXT for the cluster's controller to do it",
            ));
        }
        let found = if self.live { self.finder.find_live(origin)? } else { self.finder.find(origin)? };
        let key = found.usable_at(self.now)?.clone();
        let from = if *named { None } else { Some(siblings(&found)?) };
        found.announce();
        self.known.push(wanted);
        self.all.push(Destination { key, from, connection });
        Ok(self.all.len() - 1)
    }

    /// All of them, by number.
    pub(super) fn into_all(self) -> Vec<Destination> {
        self.all
    }
}

/// A rule is part of the repository: who can change it must not have values of one cluster sealed for another.
fn siblings(found: &Found) -> Result<BTreeSet<Fingerprint>, CommandError> {
    found.siblings.clone().ok_or_else(|| {
        CommandError::failed(format!(
            "{}: a bare certificate does not say which keys the cluster had before, and only a rule of the repository \
             names it: values of another cluster could be sealed for this one",
            found.provenance
        ))
        .hint("say it on the command line: --for CLUSTER or --cert FILE, with the paths that are that cluster's")
    })
}
