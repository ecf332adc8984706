//! The codes: what a finding is called, for ever. One row each; docs/lint.md has a section for each.

use std::fmt;
use std::str::FromStr;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Wrong: a secret is readable, or something cannot work.
    Error,
    /// Most likely wrong.
    Warning,
    /// Worth knowing. Notes fail a run only if that is asked for.
    Note,
}

impl Severity {
    /// The word for messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $severity:ident, $title:literal;)*) => {
        /// What a finding is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All of them, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Such as `PS001`. A code is never given to anything else.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id),* }
            }

            /// How bad it is.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity),* }
            }

            /// What it is about, in a few words.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

codes! {
    /// A Secret whose values can be read.
    PlainSecret = "PS001", Error, "a Secret in plain text";
    /// The same, and sealed beside it.
    PlainBesideSealed = "PS002", Error, "a Secret in plain text beside the SealedSecret made of it";
    /// `kubectl apply` keeps the whole object in an annotation.
    PlainAnnotation = "PS003", Error, "plain text in an annotation of a SealedSecret";
    /// `spec.template.data` without `{{`.
    TemplateLiteral = "PS004", Note, "a literal in the template whose name sounds secret";
    /// A key Secret: what opens all the others.
    PlainKey = "PS005", Error, "an opening key in plain text";
    /// The same of age.
    PlainIdentity = "PS006", Error, "an age identity in plain text";
    /// `secretGenerator` with values, or with files of them.
    PlainLiteral = "PS007", Error, "plain text that a secretGenerator makes a Secret of";

    /// Not what the schema asks for.
    Schema = "PS010", Error, "a SealedSecret that cannot be read";
    /// The file is no YAML or JSON.
    NotADocument = "PS011", Warning, "a Secret or SealedSecret in a file that cannot be read";
    /// Too large, or not UTF-8.
    NotLookedAt = "PS012", Note, "a file that was not looked at";
    /// In a string, or in the values of another object.
    Embedded = "PS013", Note, "a SealedSecret within another object, which is not checked";
    /// `spec.data`.
    LegacyData = "PS014", Warning, "the deprecated form of one sealed value for the whole Secret";

    /// Both annotations.
    TwoScopes = "PS020", Warning, "annotations for two scopes";
    /// Such as `True`.
    ScopeValue = "PS021", Warning, "a scope annotation that does not count";
    /// Another scope in the template.
    TemplateScope = "PS022", Warning, "another scope in the template";
    /// Another name or namespace in the template.
    TemplateName = "PS023", Warning, "another name or namespace in the template";
    /// Nobody sets one.
    NoNamespace = "PS024", Note, "no namespace, and the scope binds to it";
    /// What Argo CD, Flux or Helm write on what they apply.
    Tracking = "PS025", Warning, "the mark of another tool in the template";
    /// Nobody applies it.
    Unlisted = "PS026", Note, "a SealedSecret that no kustomization lists";

    /// A kustomization moves it.
    KustomizeNamespace = "PS030", Warning, "a kustomization that changes the namespace";
    /// A kustomization renames it.
    KustomizeName = "PS031", Warning, "a kustomization that changes the name";
    /// Twice the same object.
    Duplicate = "PS032", Error, "two SealedSecrets of one name";
    /// `secretGenerator`.
    Generated = "PS033", Warning, "a kustomization that makes a Secret of the same name";
    /// A function seals before the name is final.
    SealedTooEarly = "PS034", Warning, "a function that seals, and a name that changes afterwards";
    /// `nameReference` is lacking.
    LeftBehind = "PS035", Warning, "references that do not follow a renamed SealedSecret";
    /// `replacements`.
    MovedValue = "PS036", Warning, "a sealed value that Kustomize copies to another object";
    /// Neither `wait` nor `healthChecks`.
    FluxDoesNotWait = "PS037", Note, "Flux does not wait for SealedSecrets";
    /// `wait` and `healthChecks`.
    FluxIgnoresChecks = "PS038", Note, "health checks that Flux ignores";
    /// `force`.
    FluxForces = "PS039", Warning, "Flux may delete SealedSecrets to change them";

    /// None of the cluster's.
    UnknownKey = "PS040", Warning, "sealed with a key that the cluster does not publish";
    /// Another cluster's.
    OtherCluster = "PS041", Error, "sealed for another cluster";
    /// Not the newest.
    StaleKey = "PS042", Note, "sealed with an old key";
    /// Its certificate is over.
    ExpiredKey = "PS043", Warning, "sealed with an expired key";
    /// Revoked.
    RevokedKey = "PS044", Error, "sealed with a revoked key";
    /// No key has this size.
    KeySize = "PS045", Warning, "sealed with a key of a size that the cluster has none of";
    /// A hint that is not about this value.
    StaleHint = "PS046", Note, "a hint about a value that is not there any more";

    /// Some of those whom the rule names cannot open it.
    MissingRecipient = "PS047", Warning, "not sealed for all that the rule names";
    /// Somebody else can.
    ForeignRecipient = "PS048", Warning, "sealed for somebody whom the rule does not name";
    /// Nobody knows who can.
    UnnamedRecipient = "PS049", Note, "recipients that are not named";

    /// Another publisher than the one trusted.
    KeyFileChanged = "PS050", Error, "a key file that is not to be trusted";
    /// Not a key file.
    KeyFileUnusable = "PS051", Error, "a key file that cannot be used";
    /// All keys are over.
    NoSealingKey = "PS052", Warning, "a key file without a key that may seal";

    /// No sealed value.
    Damaged = "PS060", Error, "a damaged value";
    /// A Secret cannot have such an item.
    ItemName = "PS061", Error, "an item that a Secret cannot have";
    /// More than Kubernetes takes.
    TooLarge = "PS062", Error, "larger than Kubernetes takes";
    /// Nearly.
    NearlyTooLarge = "PS063", Warning, "nearly larger than Kubernetes takes";
    /// More than an annotation takes.
    LargeForApply = "PS064", Note, "too large for `kubectl apply`";

    /// Nearly.
    NearlyLargeForApply = "PS065", Note, "nearly too large for `kubectl apply`";

    /// `creationTimestamp: null`.
    NullTimestamp = "PS070", Note, "`creationTimestamp: null`";
    /// Fields that the API server writes.
    ServerFields = "PS071", Note, "fields that the cluster writes";

    /// An unknown code in a comment.
    UnknownCode = "PS080", Note, "a comment that ignores a code which is not known";

    /// The rule asks for another.
    OtherFormat = "PS090", Warning, "sealed in another format than the rule asks for";
    /// Classical recipients.
    NotPostQuantum = "PS091", Note, "classical recipients where there are post-quantum ones";
}

/// Not one of [`Code::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotACode;

impl fmt::Display for NotACode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a code of `privyseal lint`: PS and three digits, as docs/lint.md lists them")
    }
}

impl std::error::Error for NotACode {}

impl FromStr for Code {
    type Err = NotACode;

    fn from_str(text: &str) -> Result<Self, NotACode> {
        Self::ALL.iter().copied().find(|code| code.id() == text).ok_or(NotACode)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_sorted_and_read_back() {
        let ids: Vec<_> = Code::ALL.iter().map(|code| code.id()).collect();
        assert!(ids.is_sorted_by(|a, b| a < b), "{ids:?}");
        for code in Code::ALL {
            assert_eq!(code.id().parse(), Ok(*code));
        }
        for bad in ["", "PS", "PS000", "ps001", "PS0011"] {
            assert_eq!(bad.parse::<Code>(), Err(NotACode), "{bad}");
        }
    }
}
