//! Why a vault does not give, or does not take, a private half.

use std::time::Duration;

/// A vault did not do what was asked. The message is ours, says what to do, and holds no byte of a key, a token or an
/// answer.
///
/// Two are equal if they say the same, whenever each of them asks to be asked again.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    kind: FailureKind,
    message: String,
    code: Option<String>,
    retry_after: Option<Duration>,
}

/// What kind of failure it is: it decides whether objects that wait for the key say that they wait or that somebody
/// has to act, and when the vault is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureKind {
    /// No token, or one that the vault does not take. Tokens, tenants and federated credentials heal by themselves or
    /// take minutes to come into force.
    Unauthenticated,
    /// A right is missing, or a firewall is in between. Role assignments take minutes to come into force.
    Forbidden,
    /// Too many calls, by the vault's word or by our own budget.
    Throttled,
    /// No answer, or one that says "later".
    Unavailable,
    /// The version is disabled.
    Disabled,
    /// The version, or the vault, does not exist or is deleted.
    NotFound,
    /// Its certificate does not verify: somebody is in between, or a root is missing.
    Untrusted,
    /// It is kept by a vault that this process was not configured with: a replica of before a change, or a flag that was
    /// taken away too early.
    Unconfigured,
    /// What is stored does not fit: another vault, another key, or changed.
    Damaged,
}

impl FailureKind {
    /// Whether it may heal without anybody's doing: then it is tried again with growing waits. The others are tested
    /// again at each poll.
    pub fn heals(self) -> bool {
        match self {
            Self::Unauthenticated | Self::Forbidden | Self::Throttled | Self::Unavailable => true,
            Self::Disabled | Self::NotFound | Self::Untrusted | Self::Unconfigured | Self::Damaged => false,
        }
    }

    /// Whether it is about the vault as a whole: then asking for the next key now would fail too.
    pub fn is_of_the_vault(self) -> bool {
        match self {
            Self::Unauthenticated
            | Self::Forbidden
            | Self::Throttled
            | Self::Unavailable
            | Self::Untrusted => true,
            Self::Disabled | Self::NotFound | Self::Unconfigured | Self::Damaged => false,
        }
    }

    /// Whether the key is there for all that is known, out of our reach alone: then no other one is made in its place, and
    /// one that is in memory stays in use.
    pub fn is_out_of_reach(self) -> bool {
        self.is_of_the_vault() || self == Self::Unconfigured
    }

    /// The word for it in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Throttled => "throttled",
            Self::Unavailable => "unavailable",
            Self::Disabled => "disabled",
            Self::NotFound => "not-found",
            Self::Untrusted => "untrusted",
            Self::Unconfigured => "unconfigured",
            Self::Damaged => "damaged",
        }
    }
}

impl PartialEq for Failure {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.code, &self.message) == (other.kind, &other.code, &other.message)
    }
}

impl Eq for Failure {}

impl Failure {
    /// A failure in our words.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), code: None, retry_after: None }
    }

    /// The vault says when to ask again.
    #[must_use]
    pub fn retry_after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// The service gives this code for it, of a checked alphabet.
    #[must_use]
    pub fn with_code(self, code: &str) -> Self {
        Self { code: Some(code.to_owned()), ..self }
    }

    /// The code that the service gave for it, the most specific one: `ForbiddenByRbac`, `AADSTS700213`.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Its kind.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// How long the vault asks to wait.
    pub fn wait(&self) -> Option<Duration> {
        self.retry_after
    }
}

/// How long to wait before a vault is asked again after so many failures in a row: 1, 2, 4, 8, 16, 32 and then 60 s.
pub fn back_off(failures: u32) -> Duration {
    Duration::from_secs(2_u64.saturating_pow(failures.saturating_sub(1)).min(60))
}
