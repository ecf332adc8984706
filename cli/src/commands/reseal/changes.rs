//! What the command line asks for beyond newer keys.

use super::recipients::all_ids;
use crate::error::CommandError;
use crate::key_source::{Found, KeyFinder, SealingOptions, named_origins};
use privyseal_envelope::age::Recipient;
use privyseal_envelope::{Fingerprint, Format, KeyId};
use privyseal_keys::Keyring;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Options that change for whom values are sealed.
#[derive(clap::Args)]
#[command(next_help_heading = "Recipients")]
pub(super) struct ChangeOptions {
    /// Let somebody else open the values of format age too: a recipient, a file of recipients, or a name of the
    /// configuration. May be repeated
    #[arg(long, value_name = "RECIPIENT|FILE|NAME")]
    add_recipient: Vec<String>,

    /// Let somebody open the values of format age no more: a recipient, a file of recipients, a name of the configuration,
    /// or a key id that `inspect` shows. What was opened before was seen. May be repeated
    #[arg(long, value_name = "RECIPIENT|FILE|NAME|KEYID")]
    drop_recipient: Vec<String>,
}

/// What is to change about values, beyond newer keys.
pub(super) struct Changes {
    /// Who is to open them too.
    pub(super) add: Vec<Arc<Found>>,
    /// Whose keys are to open them no more.
    pub(super) drop: BTreeSet<KeyId>,
    /// What the command line calls them, each with its keys.
    dropped: Vec<(String, BTreeSet<KeyId>)>,
    /// The format.
    pub(super) format: Option<Format>,
}

impl ChangeOptions {
    /// What is asked for. Names of the configuration are found as for the folder that the command runs in.
    pub(super) fn read(
        &self,
        sealing: &SealingOptions,
        finder: &mut KeyFinder<'_>,
    ) -> Result<Changes, CommandError> {
        let mut add = Vec::new();
        for argument in &self.add_recipient {
            add.extend(find(argument, "--add-recipient", sealing, finder)?);
        }
        let mut dropped = Vec::new();
        for argument in &self.drop_recipient {
            let keys = if let Ok(key) = argument.parse::<KeyId>() {
                BTreeSet::from([key])
            } else if let Ok(key) = argument.parse::<Fingerprint>() {
                BTreeSet::from([key.key_id()])
            } else {
                let found = find(argument, "--drop-recipient", sealing, finder)?;
                found.iter().flat_map(|found| found.key_ids()).copied().collect()
            };
            dropped.push((argument.clone(), keys));
        }
        let drop = dropped.iter().flat_map(|(_, keys)| keys).copied().collect();
        Ok(Changes { add, drop, dropped, format: sealing.format() })
    }
}

/// What `--recipient` takes, or a name of the configuration. A recipient means itself: the configuration is part of the
/// repository, and no name in it may put somebody else in its place.
fn find(
    argument: &str,
    option: &str,
    sealing: &SealingOptions,
    finder: &mut KeyFinder<'_>,
) -> Result<Vec<Arc<Found>>, CommandError> {
    let is_recipient = argument.starts_with("age1") && argument.parse::<Recipient>().is_ok();
    if !is_recipient && let Some(origin) = sealing.places().by_name(argument, option)? {
        return Ok(vec![finder.find(&origin)?]);
    }
    let names = sealing.places().names()?;
    let origins = named_origins(option, argument).map_err(|error| match names.is_empty() {
        true => error,
        false => error.hint(format!("the configuration has: {}", names.join(", "))),
    })?;
    origins.iter().map(|origin| finder.find(origin)).collect()
}

impl Changes {
    /// What the command line wants dropped and no value names, going by these keys.
    pub(super) fn dropped_in_vain(&self, claimed: &BTreeSet<KeyId>, keyring: &Keyring) -> Vec<&str> {
        let is_there = |keys: &BTreeSet<KeyId>| !all_ids(keyring, keys.iter().copied()).is_disjoint(claimed);
        self.dropped.iter().filter(|(_, keys)| !is_there(keys)).map(|(name, _)| name.as_str()).collect()
    }

    /// Whether values have to be opened here for it.
    pub(super) fn need_keys(&self) -> bool {
        self.format.is_some() || !self.add.is_empty() || !self.drop.is_empty()
    }
}
