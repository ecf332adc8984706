//! A backup as a file, and whether whoever signed it is trusted.

use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::speech;
use crate::trust_file::TrustOptions;
use privyseal_custody::backup::Archive;
use privyseal_envelope::Fingerprint;
use privyseal_repo::{ClusterName, Subject};
use std::path::Path;

/// A backup whose signature fits the publisher that it names.
pub(super) struct ArchiveFile {
    name: String,
    pub(super) archive: Archive,
}

impl ArchiveFile {
    pub(super) fn read(path: &Path) -> Result<Self, CommandError> {
        let source = Source::from_argument(path);
        Self::of(source.name(), &source.read()?)
    }

    pub(super) fn of(name: String, text: &[u8]) -> Result<Self, CommandError> {
        let archive = Archive::verify(text)
            .map_err(|error| CommandError::input(format!("{}: {error}", Shown(&name))))?;
        Ok(Self { name, archive })
    }

    /// For messages.
    pub(super) fn name(&self) -> Shown<'_> {
        Shown(&self.name)
    }

    fn publisher(&self) -> Fingerprint {
        self.archive.publisher().fingerprint()
    }
}

/// Options that say whose signature a backup must bear.
#[derive(clap::Args)]
pub(super) struct ClusterTrust {
    /// The cluster that the backup is of, by the name that the trust file has [default: the context]
    #[arg(long = "for", value_name = "NAME", value_parser = parse_cluster, help_heading = "Trust")]
    cluster: Option<String>,

    #[command(flatten)]
    trust: TrustOptions,
}

impl ClusterTrust {
    /// The name of the cluster, if it is given.
    pub(super) fn name(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    fn subject(&self, context: Option<&str>) -> Option<Subject> {
        let cluster = self.cluster.clone().map(Subject::Cluster);
        cluster.or_else(|| context.map(|context| Subject::Context(context.to_owned())))
    }

    /// Whether its signer is trusted as the cluster named, or as that of the context.
    pub(super) fn judge(&self, file: &ArchiveFile, context: &str) -> Result<(), CommandError> {
        self.judge_each([file], context)?.into_iter().collect()
    }

    /// The same of several: one decision is enough for all of one signer.
    pub(super) fn judge_each<'a>(
        &self,
        files: impl IntoIterator<Item = &'a ArchiveFile>,
        context: &str,
    ) -> Result<Vec<Result<(), CommandError>>, CommandError> {
        let subject =
            self.cluster.clone().map_or_else(|| Subject::Context(context.to_owned()), Subject::Cluster);
        let mut trust = self.trust.open()?;
        let judged =
            files.into_iter().map(|file| trust.decide_publisher(&subject, file.publisher(), &file.name));
        Ok(judged.collect())
    }

    /// The same if a cluster is named; says what is known of the signer.
    pub(super) fn judge_if_named(
        &self,
        file: &ArchiveFile,
        context: Option<&str>,
    ) -> Result<String, CommandError> {
        let mut trust = self.trust.open()?;
        if let Some(subject) = self.subject(context) {
            trust.decide_publisher(&subject, file.publisher(), &file.name)?;
        }
        let known_as = trust.known_as(file.publisher());
        if known_as.is_empty() {
            speech::warning(format_args!(
                "{}: it is whole, but its publisher is not in the trust file: anybody may have signed it",
                file.name()
            ));
            return Ok("not in the trust file".to_owned());
        }
        Ok(format!("trusted as {}", known_as.join(", ")))
    }
}

fn parse_cluster(text: &str) -> Result<String, &'static str> {
    ClusterName::parse(text).map(|name| name.to_string())
}
