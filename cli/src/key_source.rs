//! Where sealing keys come from: one order for every command that seals.
//!
//! ```text
//!   --cert, --recipient │ --for NAME │ --context ──else──▶ the rule for the path ──▶ Choice: Origins
//!                                                                                       │ find, with trust for what
//!                                                                                       ▼ the command line does not name
//!                                      Keys: a certificate's key, or recipients ◀─── Target: Found, format
//! ```
//!
//! None of these: nothing is sealed. The kubeconfig's current context is never taken in silence, since a value that was
//! sealed for the wrong cluster looks like any other.

mod found;
mod recipient;
mod sealing;
mod target;

pub(crate) use found::{Found, Provenance, newest_half, newest_usable};
pub(crate) use recipient::named_origins;
pub(crate) use sealing::{Choice, SealingOptions};
pub(crate) use target::{Keys, Target};

use crate::certificate::public_half;
use crate::cluster::{self, Connection, ConnectionOptions, Session};
use crate::config_file::Configuration;
use crate::download::{self, without_password};
use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::trust_file::TrustOptions;
use jiff::Timestamp;
use privyseal_envelope::age::Recipient;
use privyseal_repo::{CONFIG_FILE, Cluster, ClusterName, Config, Evidence, KeyFile, KeySource, Subject};
use recipient::ConfiguredRecipient;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use url::Url;

/// Options that name one sealing key.
#[derive(clap::Args)]
#[command(next_help_heading = "Sealing key")]
pub(crate) struct KeyOptions {
    /// The cluster's certificate: a file, or an https:// or file:// URL
    #[arg(long, value_name = "PATH|URL", conflicts_with_all = ["cluster", "context", "kubeconfig"])]
    cert: Option<String>,

    #[command(flatten)]
    at: ClusterOptions,
}

/// Options that name a cluster.
#[derive(clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterOptions {
    /// A cluster of the configuration, whatever its rules say
    #[arg(long = "for", id = "cluster", value_name = "CLUSTER", conflicts_with = "context")]
    cluster: Option<String>,

    #[command(flatten)]
    places: PlaceOptions,
}

/// Options that say where the configuration, clusters and trust are found.
#[derive(clap::Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct PlaceOptions {
    /// The configuration, if it is not the .privyseal.yaml of the file's repository
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(flatten)]
    connection: ConnectionOptions,

    #[command(flatten)]
    trust: TrustOptions,
}

/// Where somebody's sealing keys are to be had.
#[derive(Clone, PartialEq)]
pub(crate) enum Origin {
    /// A file, or stdin, that the command line names.
    File(Source),
    /// An https URL that the command line names.
    Url(String),
    /// The cluster of a context that the command line names.
    Context(Connection),
    /// A cluster of the configuration.
    Cluster(Box<ConfiguredCluster>),
    /// A recipient that the command line names.
    Recipient(Recipient),
    /// A recipient of the configuration.
    Configured(Box<ConfiguredRecipient>),
}

impl Origin {
    /// The cluster that can be asked itself; none if only a key is known.
    pub(crate) fn connection(&self) -> Option<Connection> {
        match self {
            Self::File(_) | Self::Url(_) | Self::Recipient(_) | Self::Configured(_) => None,
            Self::Context(connection) => Some(connection.clone()),
            Self::Cluster(cluster) => cluster.connection(),
        }
    }
}

/// A cluster as a configuration has it.
#[derive(Clone, PartialEq)]
pub(crate) struct ConfiguredCluster {
    /// Its name.
    name: ClusterName,
    /// What the configuration says of it.
    cluster: Cluster,
    /// The folder of the configuration.
    folder: PathBuf,
    /// Why it is this one, for people.
    because: String,
    kubeconfig: Option<PathBuf>,
}

impl KeyOptions {
    /// Which key is asked for; by a rule, if it is for a file whose rule names one cluster. Reads the configuration and
    /// nothing else.
    pub(crate) fn choose(&self, file: Option<&Path>) -> Result<Origin, CommandError> {
        let places = &self.at.places;
        match (&self.cert, &self.at.cluster, places.connection.connection()) {
            (Some(cert), _, _) => from_cert(cert),
            (None, Some(name), _) => places.named(name, file),
            (None, None, Some(connection)) => Ok(Origin::Context(connection)),
            (None, None, None) => {
                let mut origins = sealing::by_rule(places, file)?.origins;
                match (origins.pop(), origins.is_empty()) {
                    (Some(only), true) => Ok(only),
                    _ => Err(CommandError::input("the rule for the file names several")
                        .hint("name one with --for")),
                }
            }
        }
    }

    /// Finds keys, each once.
    pub(crate) fn finder(&self, now: Timestamp) -> KeyFinder<'_> {
        self.at.places.finder(now)
    }
}

impl ClusterOptions {
    /// Talks to the cluster that is named, and to no other, once its keys are those that trust knows.
    pub(crate) fn session<T>(
        &self,
        work: impl AsyncFnOnce(&Session) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let origin = match (&self.cluster, self.places.connection.connection()) {
            (Some(name), _) => self.places.named_cluster(name, None)?,
            (None, Some(connection)) => Origin::Context(connection),
            (None, None) => {
                return Err(CommandError::input("no cluster is given").hint(
                    "give --context CONTEXT, or --for CLUSTER of the configuration; \
                     the current context is never used unnamed",
                ));
            }
        };
        // The context may lead to another cluster than it did, or than the configuration means.
        self.places.finder(Timestamp::now()).find_live(&origin)?;
        match origin.connection() {
            Some(connection) => connection.session(work),
            None => Err(CommandError::input("the configuration names no context of the cluster")),
        }
    }

    /// The cluster that is named, if one is, and under what its keys are pinned. `file` says whose configuration holds.
    pub(crate) fn asked(&self, file: Option<&Path>) -> Result<Option<(Subject, Connection)>, CommandError> {
        match (&self.cluster, self.places.connection.connection()) {
            (Some(name), _) => {
                let connection = self.places.named_cluster(name, file)?.connection().ok_or_else(|| {
                    CommandError::input(
                        "--for: the configuration names no context in which the cluster could be asked",
                    )
                    .hint("give --context CONTEXT")
                })?;
                Ok(Some((Subject::Cluster(name.clone()), connection)))
            }
            (None, Some(connection)) => Ok(Some((Subject::Context(connection.context.clone()), connection))),
            (None, None) => Ok(None),
        }
    }

    /// Options about trust.
    pub(crate) fn trust(&self) -> &TrustOptions {
        &self.places.trust
    }

    /// Whether a file is for the cluster that `--for` names: only a rule that does not name it says no.
    pub(crate) fn concerns(&self, file: &Path) -> Result<bool, CommandError> {
        let Some(name) = &self.cluster else { return Ok(true) };
        let Some(configuration) = self.configuration(Some(file))? else { return Ok(true) };
        let path = configuration.relative(file);
        let rule = path.as_deref().and_then(|path| configuration.config.rule_for(path));
        Ok(rule.is_none_or(|rule| rule.clusters.iter().any(|cluster| cluster.as_str() == name)))
    }

    /// The configuration that holds for a file; for none, that of the folder in which the command runs.
    pub(crate) fn configuration(&self, file: Option<&Path>) -> Result<Option<Configuration>, CommandError> {
        self.places.configuration(file)
    }
}

impl PlaceOptions {
    /// Finds keys, each once.
    pub(crate) fn finder(&self, now: Timestamp) -> KeyFinder<'_> {
        KeyFinder { trust: &self.trust, now, found: Vec::new() }
    }

    fn configuration(&self, file: Option<&Path>) -> Result<Option<Configuration>, CommandError> {
        match (&self.config, file) {
            (Some(config), _) => Configuration::read(config).map(Some),
            (None, Some(file)) => Configuration::for_file(file),
            // Where there is no file, the folder that the command runs in is the place.
            (None, None) => Configuration::for_file(Path::new(CONFIG_FILE)),
        }
    }

    /// A cluster or recipient that `--for` names.
    fn named(&self, name: &str, file: Option<&Path>) -> Result<Origin, CommandError> {
        let configuration = self.configuration(file)?.ok_or_else(|| {
            CommandError::input(format!("--for: there is no {CONFIG_FILE} that could name a cluster"))
                .hint("name it with --config FILE, or write one with `privyseal init`")
        })?;
        self.configured(&configuration, name, "--for")
    }

    /// What the configuration of the folder that the command runs in calls so; nothing if there is none that does.
    pub(crate) fn by_name(&self, name: &str, option: &str) -> Result<Option<Origin>, CommandError> {
        let Some(configuration) = self.configuration(None)? else { return Ok(None) };
        let config = &configuration.config;
        match config.cluster(name).is_some() || config.recipient(name).is_some() {
            true => self.configured(&configuration, name, option).map(Some),
            false => Ok(None),
        }
    }

    /// All that the configuration of the folder that the command runs in has names for: clusters, then recipients.
    pub(crate) fn names(&self) -> Result<Vec<String>, CommandError> {
        Ok(self.configuration(None)?.map(|it| known_names(&it.config)).unwrap_or_default())
    }

    /// A cluster that `--for` names; a recipient is none.
    fn named_cluster(&self, name: &str, file: Option<&Path>) -> Result<Origin, CommandError> {
        match self.named(name, file)? {
            Origin::Configured(_) => Err(CommandError::input(format!(
                "--for: {} is a recipient and no cluster: nobody can be asked",
                Shown(name)
            ))),
            origin => Ok(origin),
        }
    }

    fn configured(
        &self,
        configuration: &Configuration,
        name: &str,
        because: &str,
    ) -> Result<Origin, CommandError> {
        let config = &configuration.config;
        if let Some((name, cluster)) = config.cluster(name) {
            return Ok(Origin::Cluster(Box::new(ConfiguredCluster {
                name: name.clone(),
                cluster: cluster.clone(),
                folder: configuration.folder.clone(),
                because: because.to_owned(),
                kubeconfig: self.connection.kubeconfig().map(Path::to_owned),
            })));
        }
        if let Some((name, recipient)) = config.recipient(name) {
            return Ok(Origin::Configured(Box::new(ConfiguredRecipient {
                name: name.clone(),
                recipient: recipient.clone(),
                folder: configuration.folder.clone(),
                file: configuration.file.clone(),
                because: because.to_owned(),
            })));
        }
        Err(CommandError::input(format!(
            "--for: {} has no cluster {}",
            Shown(&configuration.file.to_string_lossy()),
            Shown(name)
        ))
        .hint(format!("it has: {}", known_names(config).join(", "))))
    }
}

fn known_names(config: &Config) -> Vec<String> {
    let clusters = config.clusters().map(|(name, _)| name.to_string());
    clusters.chain(config.recipients().map(|(name, _)| name.to_string())).collect()
}

/// Finds keys, each once, whatever number of files it is for.
pub(crate) struct KeyFinder<'a> {
    trust: &'a TrustOptions,
    now: Timestamp,
    found: Vec<(Origin, Arc<Found>)>,
}

impl KeyFinder<'_> {
    /// The certificate to seal with, and who says so. What the repository or the network says has to be trusted first.
    pub(crate) fn find(&mut self, origin: &Origin) -> Result<Arc<Found>, CommandError> {
        if let Some((_, found)) = self.found.iter().find(|(known, _)| known == origin) {
            return Ok(Arc::clone(found));
        }
        let found = Arc::new(match origin {
            Origin::File(source) => named(source.name(), &source.read_at_most(MAX_CERTIFICATE_BYTES)?)?,
            Origin::Url(url) => named(without_password(url), &download::get(url, MAX_CERTIFICATE_BYTES)?)?,
            Origin::Context(connection) => self.ask_context(connection)?,
            Origin::Cluster(cluster) => match &cluster.cluster.keys {
                Some(keys) => self.read_keys(cluster, keys)?,
                None => self.ask_cluster(cluster)?,
            },
            Origin::Recipient(recipient) => Found::named(recipient.clone()),
            Origin::Configured(recipient) => recipient.find(self.trust)?,
        });
        self.found.push((origin.clone(), Arc::clone(&found)));
        Ok(found)
    }

    /// As [`KeyFinder::find`], but a cluster that has a context is asked itself, whatever files there are.
    pub(crate) fn find_live(&mut self, origin: &Origin) -> Result<Arc<Found>, CommandError> {
        match origin {
            Origin::Cluster(cluster) => self.ask_cluster(cluster).map(Arc::new),
            origin => self.find(origin),
        }
    }

    fn ask_context(&self, connection: &Connection) -> Result<Found, CommandError> {
        let answer = cluster::ask(connection)?;
        // A certificate that nobody signed changes with each renewal: to pin it would be to refuse the next one.
        if let evidence @ Evidence::Publisher { .. } = answer.evidence() {
            let subject = Subject::Context(connection.context.clone());
            self.trust.open()?.decide(&subject, evidence, answer.server())?;
        }
        Found::from_answer(answer, None, self.now)
    }

    fn ask_cluster(&self, configured: &ConfiguredCluster) -> Result<Found, CommandError> {
        let Some(connection) = configured.connection() else {
            return Err(CommandError::input(format!(
                "{}: the configuration names no context in which cluster {} could be asked",
                Shown(&configured.because),
                configured.name
            )));
        };
        let answer = cluster::ask(&connection)?;
        let origin = answer.server().to_owned();
        self.decide(configured, answer.evidence(), &origin)?;
        Found::from_answer(answer, Some(configured.described()), self.now)
    }

    fn read_keys(&self, configured: &ConfiguredCluster, keys: &KeySource) -> Result<Found, CommandError> {
        let (KeySource::Published(path) | KeySource::Certificate(path)) = keys;
        let file = configured.folder.join(path);
        let name = file.to_string_lossy().into_owned();
        let bytes = Source::File(file).read_at_most(MAX_CERTIFICATE_BYTES)?;
        match keys {
            KeySource::Certificate(_) => {
                // What is pinned is the certificate: recipients beside it could be anybody's.
                let certificate = public_half(&name, &bytes)?.certificate;
                let fingerprint = certificate.fingerprint();
                self.decide(configured, Evidence::Certificate { fingerprint }, &name)?;
                let provenance = Provenance::CertificateFile { cluster: configured.described(), file: name };
                Ok(Found::of_half(certificate.into(), provenance))
            }
            KeySource::Published(_) => {
                let (list, publisher) = KeyFile::verify(&bytes).map_err(|error| {
                    CommandError::input(format!("{}: {error}", Shown(&name)))
                        .hint("`privyseal keys fetch --published --out-file FILE` writes it anew")
                })?;
                let evidence =
                    Evidence::Publisher { fingerprint: publisher.fingerprint(), serial: list.serial };
                self.decide(configured, evidence, &name)?;
                let half = newest_half(&list, self.now).ok_or_else(|| {
                    CommandError::input(format!("{}: no key of the list may seal now", Shown(&name)))
                        .hint("get the current list: `privyseal keys fetch --published`")
                })?;
                let provenance = Provenance::KeyFile {
                    cluster: configured.described(),
                    file: name,
                    publisher: publisher.fingerprint(),
                    serial: list.serial,
                    time: list.time,
                };
                Ok(Found::of_half(half, provenance).of_list(&list))
            }
        }
    }

    fn decide(
        &self,
        configured: &ConfiguredCluster,
        evidence: Evidence,
        origin: &str,
    ) -> Result<(), CommandError> {
        let mut trust = self.trust.open()?;
        trust.must_be_outside(&configured.folder)?;
        let subject = Subject::Cluster(configured.name.as_str().to_owned());
        trust.decide(&subject, evidence, origin)
    }
}

impl ConfiguredCluster {
    fn connection(&self) -> Option<Connection> {
        Some(Connection {
            context: self.cluster.context.clone()?,
            kubeconfig: self.kubeconfig.clone(),
            controller_namespace: self.cluster.controller_namespace.clone(),
            controller_name: self.cluster.controller_name.clone(),
        })
    }

    fn described(&self) -> String {
        format!("{} ({})", self.name, self.because)
    }
}

/// A path, or a URL: whatever has `://` after a scheme.
fn from_cert(cert: &str) -> Result<Origin, CommandError> {
    match cert.split_once("://") {
        None => Ok(Origin::File(Source::from_argument(Path::new(cert)))),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("file") => {
            let file = Url::parse(cert).ok().and_then(|url| url.to_file_path().ok());
            file.map(|path| Origin::File(Source::File(path))).ok_or_else(|| {
                CommandError::input(format!(
                    "{}: not the URL of a file on this machine: file:///PATH",
                    Shown(cert)
                ))
            })
        }
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => Ok(Origin::Url(cert.to_owned())),
        Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") => Err(CommandError::input(format!(
            "{}: plain http is refused: whoever is on the way could put a key of their own in its place",
            Shown(&without_password(cert))
        ))
        .hint("use https, or fetch the certificate in a way you trust and give the file")),
        Some(_) => Err(CommandError::input(format!(
            "{}: only https and file URLs are known",
            Shown(&without_password(cert))
        ))),
    }
}

fn named(name: String, pem: &[u8]) -> Result<Found, CommandError> {
    let half = public_half(&name, pem)?;
    Ok(Found::of_half(half, Provenance::Named { name }))
}

/// More than any chain of certificates.
const MAX_CERTIFICATE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(cert: &str) -> Result<Origin, String> {
        from_cert(cert).map_err(|error| error.reports()[0].0.clone())
    }

    #[test]
    fn a_certificate_is_a_path_or_a_url_that_can_be_trusted() {
        for (cert, path) in [
            ("a.pem", "a.pem"),
            ("C:\\a.pem", "C:\\a.pem"),
            ("file:///etc/a.pem", "/etc/a.pem"),
            ("FILE://localhost/a.pem", "/a.pem"),
            ("file:///a%20b.pem", "/a b.pem"),
        ] {
            let origin = origin(cert);
            assert!(
                matches!(origin, Ok(Origin::File(Source::File(found))) if found == Path::new(path)),
                "{cert}"
            );
        }
        assert!(matches!(origin("-"), Ok(Origin::File(Source::Stdin))));
        assert!(matches!(origin("https://a/b"), Ok(Origin::Url(url)) if url == "https://a/b"));
        for bad in ["http://a/b", "HTTP://a/b", "ftp://a/b", "file://host/a", "://"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
