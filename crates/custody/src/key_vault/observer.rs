//! What calls of a vault are, for whoever counts them.

/// What is asked of whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// A token, of Microsoft Entra or of the instance metadata service.
    Token,
    /// The vault key.
    GetKey,
    /// The vault key opens what was wrapped for it.
    UnwrapKey,
    /// The versions of the HSM key, without their public halves.
    ListKeyVersions,
    /// The HSM key opens the file key of one sealed value.
    UnwrapFileKey,
    /// A version of a secret.
    GetSecret,
    /// A new version of a secret.
    SetSecret,
    /// The versions of a secret, without their values.
    ListSecretVersions,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 8] = [
        Self::Token,
        Self::GetKey,
        Self::UnwrapKey,
        Self::ListKeyVersions,
        Self::UnwrapFileKey,
        Self::GetSecret,
        Self::SetSecret,
        Self::ListSecretVersions,
    ];

    /// The word for it in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::GetKey => "get-key",
            Self::UnwrapKey => "unwrap-key",
            Self::ListKeyVersions => "list-key-versions",
            Self::UnwrapFileKey => "unwrap-file-key",
            Self::GetSecret => "get-secret",
            Self::SetSecret => "set-secret",
            Self::ListSecretVersions => "list-secret-versions",
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    /// Done.
    Ok,
    /// The vault asked for a token. The first call of a process gets this, and then is made again.
    Challenge,
    /// 401, or a token endpoint that refuses.
    Unauthenticated,
    /// 403.
    Forbidden,
    /// 404.
    NotFound,
    /// 409.
    Conflict,
    /// 429.
    Throttled,
    /// Another 4xx, or a redirect.
    Refused,
    /// 5xx.
    ServerError,
    /// No answer: no connection, a cut one, or none in time.
    NoAnswer,
    /// A certificate that does not verify.
    Untrusted,
    /// An answer that is too long.
    Unreadable,
    /// Not sent: the budget is used up, or the vault asked for a pause.
    Held,
}

impl Answer {
    /// All answers.
    pub const ALL: [Self; 13] = [
        Self::Ok,
        Self::Challenge,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Conflict,
        Self::Throttled,
        Self::Refused,
        Self::ServerError,
        Self::NoAnswer,
        Self::Untrusted,
        Self::Unreadable,
        Self::Held,
    ];

    /// The word for it in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Challenge => "challenge",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Throttled => "throttled",
            Self::Refused => "refused",
            Self::ServerError => "server-error",
            Self::NoAnswer => "no-answer",
            Self::Untrusted => "untrusted",
            Self::Unreadable => "unreadable",
            Self::Held => "held",
        }
    }
}

/// Is told of every call. It must be quick and must not block.
pub trait Observer: Send + Sync {
    /// A call ended.
    fn called(&self, operation: Operation, answer: Answer);

    /// How many calls of the vault the budget allows now.
    fn budget_left(&self, calls: u32);

    /// Something in the vault was passed over: worth a warning, told once, and free of secrets.
    fn passed_over(&self, message: &str);
}

/// Nobody counts.
impl Observer for () {
    fn called(&self, _: Operation, _: Answer) {}

    fn budget_left(&self, _: u32) {}

    fn passed_over(&self, _: &str) {}
}
