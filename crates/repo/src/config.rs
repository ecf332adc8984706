//! `.privyseal.yaml`: which clusters there are, and which paths are sealed for which.
//!
//! ```yaml
//! version: 1
//! clusters:
//!   prod-eu:
//!     keys: .privyseal/prod-eu.keys    # the published list, committed; or `certificate: prod-eu.pem`
//!     context: admin@prod-eu           # for commands that ask the cluster itself
//! recipients:
//!   break-glass:
//!     age: age1pq1…                    # or `publicKey: vault.pem`, of a Key Vault key
//! rules:                               # the first that matches decides
//!   - path: clusters/prod-eu/**
//!     for: [prod-eu, break-glass]      # several can open only what is sealed in format age
//! ```

use crate::document::{self, DocumentError};
use globset::{GlobBuilder, GlobMatcher};
use privyseal_envelope::age::Recipient;
use privyseal_envelope::{Format, Name, Namespace, Scope};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use std::collections::BTreeMap;
use std::fmt;

mod lint;

pub use lint::LintIgnore;
use lint::LintText;

/// What a repository asks for. Nothing in it is trusted: see [`crate::Trust`].
#[derive(Clone, Debug)]
pub struct Config {
    clusters: BTreeMap<ClusterName, Cluster>,
    recipients: BTreeMap<RecipientName, RecipientSource>,
    rules: Vec<Rule>,
    lint_ignores: Vec<LintIgnore>,
}

/// The name that a repository and a trust file give to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

/// The name that a repository and a trust file give to a recipient that is no cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecipientName(String);

/// A recipient that is no cluster: somebody's backup key, or a key of a Key Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipientSource {
    /// The recipient itself.
    Age(Recipient),
    /// A file with the public half of a Key Vault key, PEM. The path is relative to the configuration.
    PublicKey(String),
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Where its sealing key is found without asking it; if nowhere, it is asked.
    pub keys: Option<KeySource>,
    /// Its context in the kubeconfig of whoever asks it.
    pub context: Option<String>,
    /// The namespace of its controller, if not the usual one.
    pub controller_namespace: Option<Namespace>,
    /// The Service of its controller, if not the usual one.
    pub controller_name: Option<Name>,
}

/// A file with a cluster's sealing key. The path is relative to the configuration, and never leaves its folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeySource {
    /// The published list, signed: a [`crate::KeyFile`].
    Published(String),
    /// A certificate, which nobody signed.
    Certificate(String),
}

/// What holds for the paths that a pattern matches.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its number in the file, from 1, for messages.
    pub number: usize,
    /// The pattern as it is written.
    pub pattern: String,
    /// The clusters to seal for.
    pub clusters: Vec<ClusterName>,
    /// The other recipients to seal for. Together with the clusters there is at least one.
    pub recipients: Vec<RecipientName>,
    /// The format, if the rule says one. It is not `classic` where there is more than one cluster.
    pub format: Option<Format>,
    /// The scope of Secrets that name none.
    pub scope: Option<Scope>,
    matcher: GlobMatcher,
}

impl Config {
    /// Reads the text of a `.privyseal.yaml`.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let ConfigText { version: _, clusters, recipients, rules, lint } = document::read(text)?;
        let clusters = clusters
            .into_iter()
            .map(|(name, cluster)| {
                let at = cluster.referenced;
                let name = ClusterName::parse(&name)
                    .map_err(|error| DocumentError::new(at, format!("clusters.{name}: {error}")))?;
                match cluster.value.parse() {
                    Ok(cluster) => Ok((name, cluster)),
                    Err((within, problem)) => {
                        let at = if within == Location::UNKNOWN { at } else { within };
                        Err(DocumentError::new(at, format!("clusters.{name}{problem}")))
                    }
                }
            })
            .collect::<Result<BTreeMap<_, _>, DocumentError>>()?;
        let recipients = recipients
            .into_iter()
            .map(|(name, recipient)| {
                let error = |at, problem| Err(DocumentError::new(at, format!("recipients.{name}{problem}")));
                if clusters.contains_key(name.as_str()) {
                    return error(recipient.referenced, ": a cluster has that name".to_owned());
                }
                let parsed = match RecipientName::parse(&name) {
                    Ok(parsed) => parsed,
                    Err(problem) => return error(recipient.referenced, format!(": {problem}")),
                };
                let at = recipient.referenced;
                match recipient.value.parse() {
                    Ok(source) => Ok((parsed, source)),
                    Err((within, problem)) if within == Location::UNKNOWN => error(at, problem),
                    Err((within, problem)) => error(within, problem),
                }
            })
            .collect::<Result<BTreeMap<_, _>, DocumentError>>()?;
        let names = Names { clusters: &clusters, recipients: &recipients };
        let rules = rules
            .into_iter()
            .enumerate()
            .map(|(index, rule)| rule.parse(index + 1, names))
            .collect::<Result<_, _>>()?;
        let lint_ignores = lint.parse()?;
        Ok(Self { clusters, recipients, rules, lint_ignores })
    }

    /// A cluster by its name.
    pub fn cluster(&self, name: &str) -> Option<(&ClusterName, &Cluster)> {
        self.clusters.iter().find(|(key, _)| key.0 == name)
    }

    /// All clusters, by name.
    pub fn clusters(&self) -> impl Iterator<Item = (&ClusterName, &Cluster)> {
        self.clusters.iter()
    }

    /// A recipient by its name.
    pub fn recipient(&self, name: &str) -> Option<(&RecipientName, &RecipientSource)> {
        self.recipients.get_key_value(name)
    }

    /// All recipients, by name.
    pub fn recipients(&self) -> impl Iterator<Item = (&RecipientName, &RecipientSource)> {
        self.recipients.iter()
    }

    /// The first rule that matches a path: relative to the configuration, its parts separated by `/`.
    pub fn rule_for(&self, path: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.matcher.is_match(path))
    }

    /// What `privyseal lint` is not to tell of a path.
    pub fn lint_ignores(&self, path: &str) -> impl Iterator<Item = &LintIgnore> {
        self.lint_ignores.iter().filter(move |ignore| ignore.matches(path))
    }

    /// JSON Schema (2020-12) of the file, for editors.
    pub fn json_schema() -> serde_json::Value {
        let mut schema = schemars::schema_for!(ConfigText);
        schema.insert("title".to_owned(), "Privyseal: .privyseal.yaml".into());
        schema.to_value()
    }
}

macro_rules! configured_name {
    ($name:ident, $what:literal) => {
        impl $name {
            /// At most 63 of A-Z, a-z, 0-9, `-`, `_` and `.`, beginning with a letter or digit, and not with `age1`.
            pub fn parse(text: &str) -> Result<Self, &'static str> {
                match is_name(text) {
                    true if looks_like_a_recipient(text) => Err(concat!(
                        "not the name of a ",
                        $what,
                        ": a name that looks like a recipient; it must not begin with 'age1'"
                    )),
                    true => Ok(Self(text.to_owned())),
                    false => Err(concat!(
                        "not the name of a ",
                        $what,
                        ": at most 63 of A-Z, a-z, 0-9, '-', '_' and '.', beginning with a letter or digit"
                    )),
                }
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

configured_name!(ClusterName, "cluster");
configured_name!(RecipientName, "recipient");

fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    text.len() <= 63
        && text.bytes().all(allowed)
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
}

/// An X25519 recipient is short enough for a name. Where people give either, each must be plainly one or the other.
fn looks_like_a_recipient(text: &str) -> bool {
    text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("age1"))
}

/// Which clusters there are, and which paths are sealed for which.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ConfigText {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    #[expect(dead_code, reason = "it is read first, and then known to be 1")]
    version: u64,
    /// Clusters by name. The trust file of whoever seals pins the keys of each under the same name, so choose names that
    /// mean the same cluster in every repository.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, ClusterText>")]
    clusters: BTreeMap<String, Spanned<ClusterText>>,
    /// Recipients that are no clusters, by name: a key in a safe that opens in an emergency, or a key of a Key Vault. The
    /// trust file pins each under the same name.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, RecipientText>")]
    recipients: BTreeMap<String, Spanned<RecipientText>>,
    /// What holds for which paths. The first rule that matches decides.
    #[serde(default)]
    rules: Vec<RuleText>,
    /// What `privyseal lint` takes into account.
    #[serde(default)]
    lint: LintText,
}

/// One cluster, and where its sealing key is found.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ClusterText {
    /// The file with the published list of sealing keys, relative to this file. `privyseal init` and
    /// `privyseal keys fetch --published` write it.
    #[schemars(with = "Option<String>")]
    keys: Option<Spanned<String>>,
    /// The file with a certificate, relative to this file, where no list is published.
    #[schemars(with = "Option<String>")]
    certificate: Option<Spanned<String>>,
    /// The context in your kubeconfig. It is asked for the key if there is no file.
    context: Option<String>,
    /// The namespace of the controller.
    #[schemars(with = "Option<String>")]
    controller_namespace: Option<Spanned<String>>,
    /// The Service of the controller.
    #[schemars(with = "Option<String>")]
    controller_name: Option<Spanned<String>>,
}

/// One recipient. Only values of format age can be sealed to it.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecipientText {
    /// An age recipient: `age1pq1…`, or `age1…` where there is no post-quantum one.
    #[schemars(with = "Option<String>")]
    age: Option<Spanned<String>>,
    /// The file with the public half of a Key Vault key, PEM, relative to this file. The key itself never leaves the vault.
    #[schemars(with = "Option<String>")]
    public_key: Option<Spanned<String>>,
}

/// What holds for the paths that a pattern matches.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuleText {
    /// A pattern over paths relative to this file, as in .gitignore: `*` stays within a folder, `**` does not.
    #[schemars(with = "String")]
    path: Spanned<String>,
    /// The clusters and recipients to seal for, by their names. More than one cluster, and any recipient, takes the
    /// format age.
    #[serde(rename = "for")]
    #[schemars(with = "Vec<String>", length(min = 1))]
    destinations: Spanned<Vec<String>>,
    /// The format of new values. Without it: classic for one cluster, else age.
    format: Option<FormatText>,
    /// The scope of Secrets whose annotations name none.
    scope: Option<ScopeText>,
}

/// Formats that a rule can ask for.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum FormatText {
    /// RSA and AES, which every controller opens.
    Classic,
    /// age: several clusters and recipients, post-quantum, the item's name bound.
    Age,
}

impl From<FormatText> for Format {
    fn from(text: FormatText) -> Self {
        match text {
            FormatText::Classic => Self::Classic,
            FormatText::Age => Self::Age,
        }
    }
}

#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum ScopeText {
    /// Opens under the same namespace and name only.
    Strict,
    /// Opens under any name of the namespace.
    NamespaceWide,
    /// Opens anywhere in the cluster.
    ClusterWide,
}

impl From<ScopeText> for Scope {
    fn from(text: ScopeText) -> Self {
        match text {
            ScopeText::Strict => Self::Strict,
            ScopeText::NamespaceWide => Self::NamespaceWide,
            ScopeText::ClusterWide => Self::ClusterWide,
        }
    }
}

impl ClusterText {
    fn parse(self) -> Result<Cluster, (Location, String)> {
        let Self { keys, certificate, context, controller_namespace, controller_name } = self;
        let keys = match (keys, certificate) {
            (Some(_), Some(certificate)) => {
                let problem = ": give `keys` or `certificate`, not both".to_owned();
                return Err((certificate.referenced, problem));
            }
            (Some(keys), None) => field("keys", Some(keys), inner_path)?.map(KeySource::Published),
            (None, certificate) => field("certificate", certificate, inner_path)?.map(KeySource::Certificate),
        };
        if keys.is_none() && context.is_none() {
            let problem =
                ": give `keys`, `certificate` or `context`: nothing says where its key is".to_owned();
            return Err((Location::UNKNOWN, problem));
        }
        Ok(Cluster {
            keys,
            context,
            controller_namespace: field("controllerNamespace", controller_namespace, |text| {
                Namespace::parse(text)
            })?,
            controller_name: field("controllerName", controller_name, |text| Name::parse(text))?,
        })
    }
}

impl RecipientText {
    fn parse(self) -> Result<RecipientSource, (Location, String)> {
        match (self.age, self.public_key) {
            (Some(_), Some(public_key)) => {
                Err((public_key.referenced, ": give `age` or `publicKey`, not both".to_owned()))
            }
            (Some(age), None) => {
                let parsed = age.value.parse();
                parsed.map(RecipientSource::Age).map_err(|error| (age.referenced, format!(".age: {error}")))
            }
            (None, Some(path)) => match inner_path(&path.value) {
                Ok(inner) => Ok(RecipientSource::PublicKey(inner)),
                Err(problem) => Err((path.referenced, format!(".publicKey: {problem}"))),
            },
            (None, None) => {
                Err((Location::UNKNOWN, ": give `age` or `publicKey`: nothing says who it is".to_owned()))
            }
        }
    }
}

/// Parses a field where it stands.
fn field<T, E: fmt::Display>(
    name: &str,
    text: Option<Spanned<String>>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<Option<T>, (Location, String)> {
    let parsed = |text: Spanned<String>| {
        parse(&text.value).map_err(|error| (text.referenced, format!(".{name}: {error}")))
    };
    text.map(parsed).transpose()
}

/// A path below the folder of the configuration: what a repository names is in the repository.
fn inner_path(path: &str) -> Result<String, &'static str> {
    let inside = !path.is_empty()
        && !path.contains('\\')
        && !path.contains(':')
        && path.split('/').all(|part| !part.is_empty() && part != "..");
    match inside {
        true => Ok(path.to_owned()),
        false => Err("not a path relative to this file, separated by `/`, without `..`"),
    }
}

/// A pattern over paths, as in .gitignore.
fn matcher(pattern: &str) -> Result<GlobMatcher, String> {
    let glob = GlobBuilder::new(pattern).literal_separator(true).build();
    glob.map(|glob| glob.compile_matcher()).map_err(|reason| reason.kind().to_string())
}

/// What rules can name.
#[derive(Clone, Copy)]
struct Names<'a> {
    clusters: &'a BTreeMap<ClusterName, Cluster>,
    recipients: &'a BTreeMap<RecipientName, RecipientSource>,
}

impl RuleText {
    fn parse(self, number: usize, names: Names<'_>) -> Result<Rule, DocumentError> {
        let Self { path, destinations, format, scope } = self;
        let error =
            |at: Location, what: String| Err(DocumentError::new(at, format!("rules[{}]{what}", number - 1)));
        let matcher = match matcher(&path.value) {
            Ok(matcher) => matcher,
            Err(problem) => return error(path.referenced, format!(".path: {problem}")),
        };
        let at = destinations.referenced;
        let (mut clusters, mut recipients) = (Vec::new(), Vec::new());
        for (index, name) in destinations.value.iter().enumerate() {
            if destinations.value[..index].contains(name) {
                return error(at, format!(".for: {name} is there twice"));
            }
            let cluster = names.clusters.get_key_value(name.as_str());
            let recipient = names.recipients.get_key_value(name.as_str());
            match (cluster, recipient) {
                (Some((cluster, _)), _) => clusters.push(cluster.clone()),
                (None, Some((recipient, _))) => recipients.push(recipient.clone()),
                (None, None) => {
                    let what = format!(".for: there is no {name} under `clusters` or `recipients`");
                    return error(at, what);
                }
            }
        }
        let format = format.map(Format::from);
        if clusters.is_empty() && recipients.is_empty() {
            return error(at, ".for: name a cluster or recipient to seal for".to_owned());
        }
        if format == Some(Format::Classic) && (clusters.len() > 1 || !recipients.is_empty()) {
            let what = ".format: a classic value opens in one cluster only, and for nobody else: say age, or make a file \
                        and a rule for each cluster";
            return error(at, what.to_owned());
        }
        let scope = scope.map(Scope::from);
        Ok(Rule { number, pattern: path.value, clusters, recipients, format, scope, matcher })
    }
}

impl Rule {
    /// The format of new values: what the rule says, or what those can open whom it names.
    pub fn format(&self) -> Format {
        self.format.unwrap_or(match (self.clusters.len(), self.recipients.is_empty()) {
            (1, true) => Format::Classic,
            _ => Format::Age,
        })
    }
}

#[cfg(test)]
mod tests;
