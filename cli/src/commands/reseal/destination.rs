//! Whom the values of each file are sealed for, and what is to change about it.

use super::changes::Changes;
use crate::cluster::Connection;
use crate::error::CommandError;
use crate::key_source::{Choice, Found, KeyFinder, Keys, SealingOptions, Target};
use crate::speech;
use jiff::Timestamp;
use privyseal_envelope::{Fingerprint, Format};
use privyseal_seal::Strangers;
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
    /// Whether the rule or the command line says the format, or names several, which takes format age.
    pub(super) is_explicit: bool,
    /// What values of format classic, and of format age, are sealed anew to; none if that cannot be.
    anew: [Option<Keys>; 2],
}

impl Destination {
    fn new(
        choice: &Choice,
        target: Target,
        clusters: Vec<(Connection, Arc<Found>)>,
        changes: &Changes,
        now: Timestamp,
    ) -> Result<Self, CommandError> {
        let from = if choice.named { None } else { Some(siblings(target.found())?) };
        let is_explicit = choice.ruled.is_some() || target.found().len() > 1 || changes.format.is_some();
        let mut this = Self { target, from, clusters, is_explicit, anew: [None, None] };
        this.anew = [Format::Classic, Format::Age].map(|own| this.keys(own, changes, now).ok());
        Ok(this)
    }

    /// Whether the command line says for whom values are sealed; else a rule of the repository does.
    pub(super) fn is_named(&self) -> bool {
        self.from.is_none()
    }

    /// What values of a format are sealed anew to, if they are.
    ///
    /// # Errors
    /// Says why they cannot be.
    pub(super) fn keys(&self, own: Format, changes: &Changes, now: Timestamp) -> Result<Keys, CommandError> {
        match self.target.format(Some(own)) {
            Format::Classic => self.target.keys(Some(own), now),
            Format::Age => self.target.and(&changes.add).without(&changes.drop).keys(Some(own), now),
        }
    }

    /// The same, without the reason.
    pub(super) fn anew(&self, own: Format) -> Option<&Keys> {
        let [classic, age] = &self.anew;
        match own {
            Format::Classic => classic.as_ref(),
            Format::Age => age.as_ref(),
        }
    }

    /// Whether all recipients of a value of format age are to be exchanged for others: `--format age` names post-quantum
    /// ones where it has none, or the other way round; or the value has strangers too, which nobody can name to drop them.
    /// The latter two take a command line that names whom the value is for.
    pub(super) fn exchanges_all(
        &self,
        is_post_quantum: bool,
        strangers: &Strangers,
        changes: &Changes,
    ) -> bool {
        let Some(Keys::Age(anew)) = self.anew(Format::Age) else { return false };
        let other_kind = anew.are_post_quantum() != is_post_quantum && (!is_post_quantum || self.is_named());
        let drops_strangers = !strangers.is_empty() && self.is_named();
        changes.format == Some(Format::Age) && (other_kind || drops_strangers)
    }
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
        let clusters: Vec<_> = connections
            .iter()
            .zip(target.found())
            .filter_map(|(connection, found)| Some((connection.clone()?, Arc::clone(found))))
            .collect();
        let unasked = target.found().iter().filter(|found| {
            found.certificate.is_some() && !clusters.iter().any(|(_, other)| Arc::ptr_eq(other, found))
        });
        if self.live {
            unasked.for_each(|found| {
                speech::note(format_args!(
                    "{} is not asked: older keys of it stay in the values",
                    found.who()
                ));
            });
        }
        let destination = Destination::new(&choice, target, clusters, self.changes, now)?;
        match destination.keys(destination.target.format(None), self.changes, now) {
            Ok(keys) => destination.target.and(&self.changes.add).announce(&[keys]),
            // The format that is asked for is that of all values.
            Err(error) if self.changes.format.is_some() => return Err(error),
            // They may be of the other format; whose they are is told with them.
            Err(_) => destination.target.found().iter().for_each(|found| found.provenance.announce()),
        }
        self.all.push(destination);
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
