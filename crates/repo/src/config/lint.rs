//! `lint` in the configuration: which findings are not told, and why.

use super::matcher;
use crate::document::DocumentError;
use crate::lint::Code;
use globset::GlobMatcher;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_saphyr::Spanned;

/// Findings that are not told, and why.
#[derive(Clone, Debug)]
pub struct LintIgnore {
    /// The codes.
    pub codes: Vec<Code>,
    /// Why, for people.
    pub reason: String,
    matcher: GlobMatcher,
}

impl LintIgnore {
    pub(super) fn matches(&self, path: &str) -> bool {
        self.matcher.is_match(path)
    }
}

/// What `privyseal lint` takes into account.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LintText {
    /// Findings that are not told, and why.
    #[serde(default)]
    ignore: Vec<LintIgnoreText>,
}

/// Findings of some paths that are not told.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct LintIgnoreText {
    /// A pattern over paths relative to this file, as in .gitignore: `*` stays within a folder, `**` does not.
    #[schemars(with = "String")]
    path: Spanned<String>,
    /// The codes, such as PS001.
    #[schemars(with = "Vec<String>", length(min = 1))]
    codes: Vec<Spanned<String>>,
    /// Why, for those who read it later.
    reason: String,
}

impl LintText {
    pub(super) fn parse(self) -> Result<Vec<LintIgnore>, DocumentError> {
        let ignores = self.ignore.into_iter().enumerate();
        ignores.map(|(index, ignore)| ignore.parse(&format!("lint.ignore[{index}]"))).collect()
    }
}

impl LintIgnoreText {
    fn parse(self, name: &str) -> Result<LintIgnore, DocumentError> {
        let Self { path, codes, reason } = self;
        if codes.is_empty() {
            return Err(DocumentError::new(
                path.referenced,
                format!("{name}.codes: name the codes, such as PS001"),
            ));
        }
        let matcher = matcher(&path.value)
            .map_err(|problem| DocumentError::new(path.referenced, format!("{name}.path: {problem}")))?;
        let codes = codes
            .into_iter()
            .map(|code| {
                let parsed = code.value.parse();
                parsed.map_err(|error| DocumentError::new(code.referenced, format!("{name}.codes: {error}")))
            })
            .collect::<Result<_, _>>()?;
        Ok(LintIgnore { codes, reason, matcher })
    }
}
