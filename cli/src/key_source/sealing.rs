//! The options of commands that seal: for whom, and in which format.

use super::{KeyFinder, Origin, PlaceOptions, Target, from_cert, named_origins};
use crate::arguments::format_parser;
use crate::error::{CommandError, Shown};
use jiff::Timestamp;
use privyseal_envelope::{Format, Scope};
use privyseal_repo::Rule;
use std::path::Path;

/// Options that choose whom values are sealed for.
#[derive(clap::Args)]
#[command(next_help_heading = "Sealing key")]
pub(crate) struct SealingOptions {
    /// The cluster's certificate: a file, or an https:// or file:// URL
    #[arg(long, value_name = "PATH|URL", conflicts_with_all = ["clusters", "context", "kubeconfig"])]
    cert: Option<String>,

    /// Somebody else who is to open the values, in format age: age1pq1…, age1…, a file of these, another cluster's
    /// certificate with its recipients, or a file with the public key of a Key Vault key (PEM). May be repeated
    #[arg(long = "recipient", value_name = "RECIPIENT|FILE")]
    recipients: Vec<String>,

    /// A cluster or recipient of the configuration, whatever its rules say. May be repeated; several take format age
    #[arg(long = "for", id = "clusters", value_name = "NAME", conflicts_with = "context")]
    names: Vec<String>,

    /// The format [default: that of the value in its place, else what the rule says, else classic for one cluster and age
    /// for several]
    #[arg(long, value_parser = format_parser())]
    format: Option<Format>,

    /// Do not say in the values of format age whose keys open them: nobody can then tell offline
    #[arg(long)]
    no_hints: bool,

    #[command(flatten)]
    places: PlaceOptions,
}

/// What the options and the rules ask for.
#[derive(Clone, PartialEq)]
pub(crate) struct Choice {
    /// Where the keys of each who is to open are to be had; at least one.
    pub(crate) origins: Vec<Origin>,
    /// Whether the command line names them; else a rule of the repository does.
    pub(crate) named: bool,
    /// The scope that a rule gives to Secrets that name none.
    pub(crate) scope: Option<Scope>,
    /// The format that the rule asks for.
    pub(crate) ruled: Option<Format>,
}

impl SealingOptions {
    /// What is asked for, for a file that is to be written; none if there is none. Reads the configuration, and files of
    /// recipients that the command line names.
    pub(crate) fn choose(&self, file: Option<&Path>) -> Result<Choice, CommandError> {
        self.choose_or(file, &[])
    }

    /// The same, but where the command line names nobody, what the configuration calls so is asked for before any rule.
    pub(crate) fn choose_or(&self, file: Option<&Path>, names: &[String]) -> Result<Choice, CommandError> {
        let mut origins = Vec::new();
        origins.extend(self.cert.as_deref().map(from_cert).transpose()?);
        origins.extend(self.places.connection.connection().map(Origin::Context));
        for name in &self.names {
            origins.push(self.places.named(name, file)?);
        }
        for argument in &self.recipients {
            origins.extend(named_origins("--recipient", argument)?);
        }
        if origins.is_empty() {
            for name in names {
                origins.push(self.places.named(name, file)?);
            }
        }
        match origins.is_empty() {
            true => by_rule(&self.places, file),
            // Recipients are of format age, a cluster's certificate among them too.
            false => {
                let ruled = (!self.recipients.is_empty()).then_some(Format::Age);
                Ok(Choice { origins, named: true, scope: None, ruled })
            }
        }
    }

    /// Finds keys, each once.
    pub(crate) fn finder(&self, now: Timestamp) -> KeyFinder<'_> {
        self.places.finder(now)
    }

    /// The keys of a choice. With `live` clusters that can be asked are asked themselves.
    pub(crate) fn find(
        &self,
        finder: &mut KeyFinder<'_>,
        choice: &Choice,
        live: bool,
    ) -> Result<Target, CommandError> {
        let found = choice.origins.iter().map(|origin| match live && origin.connection().is_some() {
            true => finder.find_live(origin),
            false => finder.find(origin),
        });
        Ok(Target::new(found.collect::<Result<_, _>>()?, self.format, choice.ruled, !self.no_hints))
    }

    /// The format that the command line names.
    pub(crate) fn format(&self) -> Option<Format> {
        self.format
    }

    /// What `--for` could name.
    pub(crate) fn places(&self) -> &PlaceOptions {
        &self.places
    }
}

/// What the rule for a file says.
pub(super) fn by_rule(places: &PlaceOptions, file: Option<&Path>) -> Result<Choice, CommandError> {
    let nothing = |why: String| {
        CommandError::input(why).hint(
            "give --cert FILE, --for CLUSTER of the configuration, --recipient RECIPIENT, or --context CONTEXT to ask a \
             cluster; the current context is never used unnamed",
        )
    };
    let Some(configuration) = places.configuration(file)? else {
        if let Some(missing) = file.and_then(missing_folder) {
            let folder = missing.to_string_lossy();
            return Err(CommandError::input(format!("{}: there is no such folder", Shown(&folder)))
                .hint("make it first; which rule holds for a file is looked up from its folder"));
        }
        return Err(nothing("no sealing key is given".to_owned()));
    };
    let config_file = configuration.file.to_string_lossy().into_owned();
    let Some(file) = file else {
        return Err(nothing(format!(
            "no sealing key is given, and without a file no rule of {} decides",
            Shown(&config_file)
        )));
    };
    let path = configuration.relative(file);
    let Some(rule) = path.as_deref().and_then(|path| configuration.config.rule_for(path)) else {
        return Err(nothing(format!(
            "{}: no rule of {} matches it",
            Shown(&file.to_string_lossy()),
            Shown(&config_file)
        )));
    };
    let Rule { number, pattern, clusters, recipients, scope, format, .. } = rule;
    let because = format!("rule {number}, {pattern}, of {config_file}");
    let names = clusters.iter().map(|name| name.as_str()).chain(recipients.iter().map(|name| name.as_str()));
    let origins = names.map(|name| places.configured(&configuration, name, &because));
    Ok(Choice { origins: origins.collect::<Result<_, _>>()?, named: false, scope: *scope, ruled: *format })
}

/// The folder of a file, if it is not there.
fn missing_folder(file: &Path) -> Option<&Path> {
    file.parent().filter(|folder| !folder.as_os_str().is_empty() && !folder.exists())
}
