//! `.privyseal.yaml`: which clusters there are, and which paths are sealed for which.
//!
//! ```yaml
//! version: 1
//! clusters:
//!   prod-eu:
//!     keys: .privyseal/prod-eu.keys    # the published list, committed; or `certificate: prod-eu.pem`
//!     context: admin@prod-eu           # for commands that ask the cluster itself
//! rules:                               # the first that matches decides
//!   - path: clusters/prod-eu/**
//!     for: [prod-eu]
//! ```

use crate::document::{self, DocumentError};
use globset::{GlobBuilder, GlobMatcher};
use privyseal_envelope::{Name, Namespace, Scope};
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
    rules: Vec<Rule>,
    lint_ignores: Vec<LintIgnore>,
}

/// The name that a repository and a trust file give to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterName(String);

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
    /// Whom to seal for.
    pub cluster: ClusterName,
    /// The format, if the rule says one.
    pub format: Option<RuleFormat>,
    /// The scope of Secrets that name none.
    pub scope: Option<Scope>,
    matcher: GlobMatcher,
}

impl Config {
    /// Reads the text of a `.privyseal.yaml`.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let ConfigText { version: _, clusters, rules, lint } = document::read(text)?;
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
        let rules = rules
            .into_iter()
            .enumerate()
            .map(|(index, rule)| rule.parse(index + 1, &clusters))
            .collect::<Result<_, _>>()?;
        let lint_ignores = lint.parse()?;
        Ok(Self { clusters, rules, lint_ignores })
    }

    /// A cluster by its name.
    pub fn cluster(&self, name: &str) -> Option<(&ClusterName, &Cluster)> {
        self.clusters.iter().find(|(key, _)| key.0 == name)
    }

    /// All clusters, by name.
    pub fn clusters(&self) -> impl Iterator<Item = (&ClusterName, &Cluster)> {
        self.clusters.iter()
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

impl ClusterName {
    /// At most 63 of A-Z, a-z, 0-9, `-`, `_` and `.`, beginning with a letter or digit.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        match text.len() <= 63
            && text.bytes().all(allowed)
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        {
            true => Ok(Self(text.to_owned())),
            false => Err(
                "not the name of a cluster: at most 63 of A-Z, a-z, 0-9, '-', '_' and '.', beginning with a letter or digit",
            ),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
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

/// What holds for the paths that a pattern matches.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuleText {
    /// A pattern over paths relative to this file, as in .gitignore: `*` stays within a folder, `**` does not.
    #[schemars(with = "String")]
    path: Spanned<String>,
    /// The cluster to seal for, by its name.
    #[serde(rename = "for")]
    #[schemars(with = "Vec<String>", length(min = 1, max = 1))]
    clusters: Spanned<Vec<String>>,
    /// The format of new values.
    format: Option<RuleFormat>,
    /// The scope of Secrets whose annotations name none.
    scope: Option<ScopeText>,
}

/// Formats that a rule can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RuleFormat {
    /// RSA and AES, which every controller opens.
    Classic,
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

impl RuleText {
    fn parse(self, number: usize, clusters: &BTreeMap<ClusterName, Cluster>) -> Result<Rule, DocumentError> {
        let Self { path, clusters: named, format, scope } = self;
        let error =
            |at: Location, what: String| Err(DocumentError::new(at, format!("rules[{}]{what}", number - 1)));
        let matcher = match matcher(&path.value) {
            Ok(matcher) => matcher,
            Err(problem) => return error(path.referenced, format!(".path: {problem}")),
        };
        let cluster = match named.value.as_slice() {
            [] => return error(named.referenced, ".for: name the cluster to seal for".to_owned()),
            [only] => clusters.keys().find(|name| name.0 == *only).cloned().ok_or(only),
            [..] => {
                let what = ".for: a classic value opens in one cluster only: make a file and a rule for each";
                return error(named.referenced, what.to_owned());
            }
        };
        match cluster {
            Ok(cluster) => Ok(Rule {
                number,
                pattern: path.value,
                cluster,
                format,
                scope: scope.map(Scope::from),
                matcher,
            }),
            Err(unknown) => {
                error(named.referenced, format!(".for: there is no cluster {unknown} under `clusters`"))
            }
        }
    }
}

#[cfg(test)]
mod tests;
