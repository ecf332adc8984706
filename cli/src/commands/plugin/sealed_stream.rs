//! The Secrets that a tool hands over, sealed: one choice of keys for all that stand in one place.

use super::secrets::Found;
use crate::arguments::{parse_namespace, scope_parser};
use crate::config_file::folder_of;
use crate::documents::collect;
use crate::error::{CommandError, Shown};
use crate::key_source::SealingOptions;
use crate::object_size;
use crate::sealer::{self, Advice};
use crate::speech;
use jiff::Timestamp;
use privyseal_envelope::{Namespace, Scope};
use privyseal_manifest::SealedSecret;
use std::path::PathBuf;

/// Options that both plugins take.
#[derive(clap::Args)]
pub(super) struct Options {
    /// What the values are bound to [default: as the Secret's annotations say, else as the rule says, else strict]
    #[arg(long, value_parser = scope_parser())]
    pub(super) scope: Option<Scope>,

    /// The namespace of Secrets that name none
    #[arg(short, long, value_parser = parse_namespace)]
    pub(super) namespace: Option<Namespace>,

    /// The path whose rule in .privyseal.yaml decides where no key is named, such as the file that the output goes to
    /// [default: a file in the working directory]
    #[arg(long, value_name = "PATH")]
    rule_for: Option<PathBuf>,

    #[command(flatten)]
    pub(super) key: SealingOptions,
}

impl Options {
    /// The path that the rules go by.
    pub(super) fn rule_path(&self, otherwise: &str) -> Result<PathBuf, CommandError> {
        match &self.rule_for {
            None => Ok(PathBuf::from(otherwise)),
            Some(path) if folder_of(path).is_some() => Ok(path.clone()),
            Some(path) => {
                let path = path.to_string_lossy();
                Err(CommandError::input(format!("--rule-for: {}: there is no such folder", Shown(&path))))
            }
        }
    }
}

/// The command line, and what the tool's own configuration adds to it.
pub(super) struct Settings<'a> {
    pub(super) options: &'a Options,
    pub(super) scope: Option<Scope>,
    pub(super) namespace: Option<&'a Namespace>,
    /// Whom to seal for, if the command line says nothing: names of `.privyseal.yaml`.
    pub(super) names: &'a [String],
    pub(super) advice: &'a Advice,
}

/// Seals Secrets, each group by the rule for its path, and says what there is to say. The order stays.
pub(super) fn seal_found(
    groups: Vec<(PathBuf, Vec<Found>)>,
    settings: &Settings<'_>,
) -> Result<Vec<Vec<SealedSecret>>, CommandError> {
    let key = &settings.options.key;
    let choices = collect(groups.iter().map(|(path, _)| key.choose_or(Some(path), settings.names)))?;
    let chosen = sealer::find_each_once(key, &choices, Timestamp::now())?;
    let sealed = collect(groups.into_iter().zip(&choices).map(|((_, secrets), choice)| {
        let found = chosen.iter().find(|(known, ..)| *known == choice);
        let (_, _, keys) = found.expect("every choice was found");
        collect(secrets.into_iter().map(|mut secret| {
            let metadata = &mut secret.secret.object.metadata;
            if metadata.namespace.is_none() {
                metadata.namespace = settings.namespace.map(|namespace| namespace.as_str().to_owned());
            }
            let sealed = sealer::seal(&secret.secret, keys, settings.scope, choice.scope, settings.advice)?;
            let sealed = secret.finish(sealed)?;
            object_size::warn(&secret.secret.message(""), &sealed);
            Ok(sealed)
        }))
    }))?;
    for (_, target, keys) in &chosen {
        target.announce(std::slice::from_ref(keys));
    }
    speech::warning(
        "each run makes new sealed values, so the output is never twice the same: render once and commit it, or the \
         cluster sees a change at each render",
    );
    Ok(sealed)
}
