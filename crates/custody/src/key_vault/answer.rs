//! Answers that are no success, in our words and with the cure.
//!
//! Of an answer's body only codes are used, and shown only if they are of a checked alphabet: what a service says in
//! sentences may hold tokens, ids and addresses, and is for nobody's status or log.

use super::gate::Held;
use super::{Answer, Collection, Operation, VaultUrl};
use crate::custody::{Failure, FailureKind};
use azure_core::error::ErrorKind;
use azure_core::http::AsyncRawResponse;
use serde::Deserialize;
use std::error::Error;
use std::time::Duration;

/// Whose refusals are to be understood.
#[derive(Clone, Copy, Debug)]
pub(super) enum Refusals {
    OfEntra,
    OfInstanceMetadata,
}

/// The longest code that is shown.
const MAX_CODE: usize = 64;
/// How deep errors are looked for in errors.
const MAX_DEPTH: usize = 16;
const MINUTES: &str = "new role assignments take some minutes to come into force";

/// One call, as far as messages need it.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    /// Of a vault.
    Vault {
        /// What for.
        operation: Operation,
        /// The vault.
        vault: VaultUrl,
        /// The key or secret.
        name: String,
    },
    /// Of whoever gives tokens.
    Token {
        /// Its origin.
        origin: String,
        /// How it refuses.
        refusals: Refusals,
    },
}

impl Asked {
    pub(super) fn vault(operation: Operation, vault: &VaultUrl, name: &str) -> Self {
        Self::Vault { operation, vault: vault.clone(), name: name.to_owned() }
    }

    pub(super) fn token(origin: &str, refusals: Refusals) -> Self {
        Self::Token { origin: origin.to_owned(), refusals }
    }

    pub(super) fn operation(&self) -> Operation {
        match self {
            Self::Vault { operation, .. } => *operation,
            Self::Token { .. } => Operation::Token,
        }
    }

    /// Whom, for messages.
    fn whom(&self) -> String {
        match self {
            Self::Vault { vault, .. } => format!("vault {}", vault.host()),
            Self::Token { origin, refusals: Refusals::OfEntra } => format!("token endpoint {origin}"),
            Self::Token { origin, refusals: Refusals::OfInstanceMetadata } => {
                format!("the instance metadata service {origin}")
            }
        }
    }

    /// It was not called.
    pub(super) fn held(&self, held: Held) -> Failure {
        let (why, wait) = match held {
            Held::Budget(wait) => ("our own budget of calls is used up (--key-vault-budget)", wait),
            Held::Pause(wait) => ("it asked for a pause", wait),
        };
        // Without the time: it would be another message at each look.
        Failure::new(FailureKind::Throttled, format!("{} is not called now: {why}", self.whom()))
            .retry_after(wait)
    }

    pub(super) fn too_long(&self) -> Failure {
        Failure::new(
            FailureKind::Unavailable,
            format!("the answer of {} is too long; is something between us and it?", self.whom()),
        )
    }

    pub(super) fn late(&self) -> Failure {
        Failure::new(FailureKind::Unavailable, format!("{} did not answer in time", self.whom()))
    }

    /// There is no answer.
    pub(super) fn no_answer(&self, error: &azure_core::Error) -> (Answer, Result<AsyncRawResponse, Failure>) {
        let whom = self.whom();
        if let Some(why) = certificate_error(error) {
            let message = format!(
                "the certificate of {whom} does not verify ({why}): somebody is in between, or a root is missing \
                 (--azure-ca-file)"
            );
            return (Answer::Untrusted, Err(Failure::new(FailureKind::Untrusted, message)));
        }
        let cure = match self {
            Self::Vault { .. } => {
                "check DNS, the proxy, network policies and the vault's private endpoint; a deleted vault has no name \
                 in DNS either"
            }
            Self::Token { refusals: Refusals::OfEntra, .. } => "check DNS, the proxy and network policies",
            Self::Token { refusals: Refusals::OfInstanceMetadata, .. } => {
                "is this an Azure node, and do network policies allow it?"
            }
        };
        let what = if matches!(error.kind(), ErrorKind::Connection) {
            "cannot be reached"
        } else {
            "broke the connection off"
        };
        let message = format!("{whom} {what}; {cure}");
        (Answer::NoAnswer, Err(Failure::new(FailureKind::Unavailable, message)))
    }

    /// It answered with something else than success.
    pub(super) fn refused(&self, status: u16, body: &[u8], wait: Option<Duration>) -> Failure {
        let codes = match self {
            Self::Vault { .. } => Codes::of_vault(body),
            Self::Token { refusals: Refusals::OfEntra, .. } => Codes::of_entra(body),
            Self::Token { refusals: Refusals::OfInstanceMetadata, .. } => Codes::default(),
        };
        let failure = match status {
            429 => Failure::new(
                FailureKind::Throttled,
                format!("{} asks for fewer calls (status 429)", self.whom()),
            ),
            408 | 500..=599 => Failure::new(
                FailureKind::Unavailable,
                format!("{} cannot answer now (status {status})", self.whom()),
            ),
            _ => match self {
                Self::Vault { operation, vault, name } => {
                    refused_by_vault(*operation, vault, name, status, &codes)
                }
                Self::Token { refusals: Refusals::OfEntra, .. } => refused_by_entra(&codes),
                Self::Token { refusals: Refusals::OfInstanceMetadata, .. } => {
                    refused_by_instance_metadata(status)
                }
            },
        };
        let failure = codes.on(failure);
        match wait {
            Some(wait) => failure.retry_after(wait),
            None => failure,
        }
    }
}

/// The answer that a status is.
pub(super) fn of_status(status: u16) -> Answer {
    match status {
        200..=299 => Answer::Ok,
        401 => Answer::Unauthenticated,
        403 => Answer::Forbidden,
        404 => Answer::NotFound,
        409 => Answer::Conflict,
        429 => Answer::Throttled,
        408 => Answer::NoAnswer,
        500..=599 => Answer::ServerError,
        _ => Answer::Refused,
    }
}

/// Why the SDK gives up.
pub(super) fn failure(asked: &Asked, error: &azure_core::Error) -> Failure {
    if let Some(failure) = chain(error).find_map(|error| error.downcast_ref::<Failure>()) {
        return failure.clone();
    }
    // Statuses that the transport handed to the SDK, which asked once more: a second 401.
    let response = chain(error).find_map(|error| match error.downcast_ref::<azure_core::Error>()?.kind() {
        ErrorKind::HttpResponse { status, raw_response, .. } => Some((*status, raw_response)),
        _ => None,
    });
    if let Some((status, response)) = response {
        let body = response.as_ref().map(|response| response.body().as_ref()).unwrap_or_default();
        return asked.refused(u16::from(status), body, None);
    }
    match error.kind() {
        // Only the Azure CLI gets here: all others go through our transport.
        ErrorKind::Credential => refused_by_azure_cli(&error.to_string()),
        // The SDK's own check; it has no other mark than these words.
        ErrorKind::Other if error.to_string().contains("challenge resource") => Failure::new(
            FailureKind::Untrusted,
            format!(
                "{} asks for a token for a service that is not Key Vault: is something between us and it? (An emulator \
                 needs --key-vault-emulator.)",
                asked.whom()
            ),
        ),
        _ => unreadable(asked),
    }
}

/// An answer that does not say what it should.
pub(super) fn unreadable(asked: &Asked) -> Failure {
    Failure::new(
        FailureKind::Unavailable,
        format!("the answer of {} cannot be read; is something between us and it?", asked.whom()),
    )
}

fn refused_by_vault(
    operation: Operation,
    vault: &VaultUrl,
    name: &str,
    status: u16,
    codes: &Codes,
) -> Failure {
    let host = vault.host();
    let one = collection(operation).one();
    let what = format!("{one} {name} of vault {host}");
    let code = codes.shown();
    let bracketed = codes.0.first().map(|code| format!(" ({code})")).unwrap_or_default();
    let has = |wanted: &str| codes.has(wanted);
    let ends_disabled = ["SecretDisabled", "KeyDisabled"];
    let out_of_dates = ["KeyNotYetValid", "SecretNotYetValid", "KeyExpired", "SecretExpired"];
    match status {
        401 if has("AKV10032") => Failure::new(
            FailureKind::Unauthenticated,
            format!(
                "vault {host} is of another tenant than our token (AKV10032): correct --azure-tenant-id, or use an \
                 identity of the vault's tenant"
            ),
        ),
        401 => Failure::new(
            FailureKind::Unauthenticated,
            format!(
                "vault {host} does not take our token (status 401{code}): check tenant and cloud, and that our clock \
                 is right"
            ),
        ),
        403 | 404 if ends_disabled.into_iter().any(has) => Failure::new(
            FailureKind::Disabled,
            format!(
                "the version of {what} is disabled; enable it: {}",
                command(one, "set-attributes --enabled true", vault, name)
            ),
        ),
        403 if out_of_dates.into_iter().any(has) => Failure::new(
            FailureKind::Disabled,
            format!("the version of {what} is outside its dates; change its --expires and --not-before"),
        ),
        403 if has("ForbiddenByFirewall") || has("ForbiddenByConnection") || has("ForbiddenByNsp") => {
            Failure::new(
                FailureKind::Forbidden,
                format!(
                    "the firewall of vault {host} does not let us in{bracketed}: allow our addresses or subnet, or use its \
                     private endpoint"
                ),
            )
        }
        403 if has("KeyOperationForbidden") => Failure::new(
            FailureKind::Forbidden,
            format!("{what} does not allow {}: add it to the key's operations (--ops)", verb(operation)),
        ),
        403 => Failure::new(
            FailureKind::Forbidden,
            format!(
                "we may not {} {what}{bracketed}: assign the role {} to our identity there ({MINUTES}), or in a vault with \
                 access policies {}",
                verb(operation),
                role(operation, vault),
                access_policy(operation),
            ),
        ),
        404 => Failure::new(
            FailureKind::NotFound,
            format!(
                "{what}, or the version, does not exist; if it was deleted: {}",
                command(one, "recover", vault, name)
            ),
        ),
        409 if has("ObjectIsDeletedButRecoverable") => Failure::new(
            FailureKind::NotFound,
            format!("{what} is deleted and its name is blocked: {}", command(one, "recover", vault, name)),
        ),
        409 => Failure::new(
            FailureKind::Unavailable,
            format!("{what} is being changed by somebody else (status 409{code})"),
        ),
        400 if operation == Operation::UnwrapKey && has("BadParameter") => Failure::new(
            FailureKind::Damaged,
            format!("{what} does not open what was wrapped for it (status 400{code}): restore a backup"),
        ),
        400 if operation == Operation::UnwrapFileKey && has("BadParameter") => {
            Failure::new(FailureKind::Damaged, format!("{what} does not unwrap it (status 400{code})"))
        }
        300..=399 => Failure::new(
            FailureKind::Unavailable,
            format!(
                "vault {host} answers with a redirect (status {status}): is something between us and it?"
            ),
        ),
        _ => Failure::new(
            FailureKind::Unavailable,
            format!("vault {host} does not {} {one} {name} (status {status}{code})", verb(operation)),
        ),
    }
}

fn collection(operation: Operation) -> Collection {
    match operation {
        Operation::GetKey
        | Operation::UnwrapKey
        | Operation::ListKeyVersions
        | Operation::UnwrapFileKey
        | Operation::Token => Collection::Keys,
        Operation::GetSecret | Operation::SetSecret | Operation::ListSecretVersions => Collection::Secrets,
    }
}

fn verb(operation: Operation) -> &'static str {
    match operation {
        Operation::Token => "get a token for",
        Operation::GetKey | Operation::GetSecret => "get",
        Operation::UnwrapKey | Operation::UnwrapFileKey => "unwrap with",
        Operation::SetSecret => "set",
        Operation::ListKeyVersions | Operation::ListSecretVersions => "list the versions of",
    }
}

fn role(operation: Operation, vault: &VaultUrl) -> &'static str {
    match operation {
        _ if vault.is_managed_hsm() => "Managed HSM Crypto Service Encryption User",
        Operation::GetKey
        | Operation::UnwrapKey
        | Operation::ListKeyVersions
        | Operation::UnwrapFileKey
        | Operation::Token => "Key Vault Crypto Service Encryption User",
        Operation::GetSecret | Operation::ListSecretVersions => "Key Vault Secrets User",
        Operation::SetSecret => "Key Vault Secrets Officer",
    }
}

fn access_policy(operation: Operation) -> &'static str {
    match operation {
        Operation::GetKey | Operation::UnwrapKey | Operation::Token => {
            "the key permissions get and unwrapKey"
        }
        Operation::ListKeyVersions | Operation::UnwrapFileKey => {
            "the key permissions get, list and unwrapKey"
        }
        Operation::GetSecret | Operation::SetSecret | Operation::ListSecretVersions => {
            "the secret permissions get, list and set"
        }
    }
}

/// What to type.
pub(super) fn command(one: &str, what: &str, vault: &VaultUrl, name: &str) -> String {
    let flag = if vault.is_managed_hsm() { "--hsm-name" } else { "--vault-name" };
    format!("az keyvault {one} {what} {flag} {} --name {name}", vault.name())
}

/// <https://learn.microsoft.com/entra/identity-platform/reference-error-codes>
fn refused_by_entra(codes: &Codes) -> Failure {
    let federated = "the federated credential of our identity";
    let (code, cure): (&str, String) = codes
        .0
        .iter()
        .find_map(|code| {
            let cure = match code.strip_prefix("AADSTS").unwrap_or(code) {
                "700024" => "our service-account token has expired, or clocks differ: check the projected volume and \
                             the node's clock"
                    .to_owned(),
                "700211" => format!("{federated} has another issuer: it must be the cluster's OIDC issuer URL, exactly"),
                "700212" => {
                    format!("{federated} has another audience: it must be api://AzureADTokenExchange")
                }
                "700213" | "70021" => format!(
                    "{federated} has another subject: it must be system:serviceaccount:NAMESPACE:SERVICEACCOUNT; new \
                     ones take some minutes to come into force"
                ),
                "50027" => "our service-account token is none that it can read: check AZURE_FEDERATED_TOKEN_FILE".to_owned(),
                "700016" => "no application of that client id in that tenant: check AZURE_CLIENT_ID and \
                             AZURE_TENANT_ID"
                    .to_owned(),
                "7000229" => "our application has no service principal in that tenant".to_owned(),
                "90002" | "900023" => "that tenant does not exist in this cloud: check AZURE_TENANT_ID and the cloud".to_owned(),
                "7000215" => "the client secret is wrong: check AZURE_CLIENT_SECRET (the secret, not its id)".to_owned(),
                "7000222" => "the client secret has expired: make a new one".to_owned(),
                _ => return None,
            };
            Some((code.as_str(), cure))
        })
        .unwrap_or_else(|| {
            let code = codes.0.first().map_or("no code", String::as_str);
            (code, "look the code up in Microsoft's list of AADSTS error codes".to_owned())
        });
    Failure::new(FailureKind::Unauthenticated, format!("Microsoft Entra gives no token ({code}): {cure}"))
}

fn refused_by_instance_metadata(status: u16) -> Failure {
    match status {
        404 | 410 => Failure::new(
            FailureKind::Unavailable,
            format!("the instance metadata service cannot answer now (status {status})"),
        ),
        _ => Failure::new(
            FailureKind::Unauthenticated,
            format!(
                "the instance metadata service gives no token (status {status}): assign the managed identity to the \
                 nodes, and name it with AZURE_CLIENT_ID if there are several"
            ),
        ),
    }
}

fn refused_by_azure_cli(text: &str) -> Failure {
    let mut codes = Codes::default();
    codes.take_marked(text, "AADSTS");
    let why = match codes.0.first() {
        Some(code) => format!(" ({code})"),
        None if text.contains("not found on PATH") => ": it is not installed".to_owned(),
        None => String::new(),
    };
    codes.on(Failure::new(
        FailureKind::Unauthenticated,
        format!("the Azure CLI gives no token{why}: run az login, in the vault's tenant (--azure-tenant-id)"),
    ))
}

/// Codes of an answer, the most specific one first.
#[derive(Debug, Default)]
struct Codes(Vec<String>);

impl Codes {
    /// `{"error": {"code", "message", "innererror": {"code", …}}}`; of the message a code `AKV…` alone.
    fn of_vault(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body {
            error: Detail,
        }
        #[derive(Deserialize)]
        struct Detail {
            code: Option<String>,
            message: Option<String>,
            #[serde(alias = "innerError")]
            innererror: Option<Box<Detail>>,
        }
        let mut codes = Self::default();
        let mut next = serde_json::from_slice::<Body>(body).ok().map(|body| Box::new(body.error));
        for _ in 0..MAX_DEPTH {
            let Some(detail) = next else { break };
            codes.take_marked(detail.message.as_deref().unwrap_or_default(), "AKV");
            codes.take(detail.code.as_deref().unwrap_or_default());
            next = detail.innererror;
        }
        codes.0.reverse();
        codes
    }

    /// `{"error": "invalid_client", "error_codes": [700024], …}`
    fn of_entra(body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body {
            error: Option<String>,
            #[serde(default)]
            error_codes: Vec<u64>,
        }
        let mut codes = Self::default();
        if let Ok(body) = serde_json::from_slice::<Body>(body) {
            for code in body.error_codes {
                codes.take(&format!("AADSTS{code}"));
            }
            codes.take(body.error.as_deref().unwrap_or_default());
        }
        codes
    }

    fn take(&mut self, code: &str) {
        let of_alphabet = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        if (1..=MAX_CODE).contains(&code.len()) && code.bytes().all(of_alphabet) {
            self.0.push(code.to_owned());
        }
    }

    /// A code in a sentence: the mark, and the digits behind it.
    fn take_marked(&mut self, text: &str, mark: &str) {
        if let Some((_, rest)) = text.split_once(mark) {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if (4..=9).contains(&digits) {
                self.take(&format!("{mark}{}", &rest[..digits]));
            }
        }
    }

    fn has(&self, code: &str) -> bool {
        self.0.iter().any(|found| found == code)
    }

    /// A failure with the most specific of them.
    fn on(&self, failure: Failure) -> Failure {
        match self.0.first() {
            Some(code) => failure.with_code(code),
            None => failure,
        }
    }

    fn shown(&self) -> String {
        self.0.first().map(|code| format!(", {code}")).unwrap_or_default()
    }
}

/// What TLS says against a certificate.
fn certificate_error(error: &azure_core::Error) -> Option<&'static str> {
    use rustls::CertificateError as Why;
    chain(error).find_map(|error| match error.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(why) => Some(match why {
            Why::Expired | Why::ExpiredContext { .. } => "it has expired",
            Why::NotValidYet | Why::NotValidYetContext { .. } => "it is not valid yet",
            Why::UnknownIssuer => "its issuer is not known",
            Why::NotValidForName | Why::NotValidForNameContext { .. } => "it is for another name",
            Why::Revoked => "it is revoked",
            _ => "it is refused",
        }),
        rustls::Error::NoCertificatesPresented => Some("there is none"),
        _ => None,
    })
}

/// An error and what it holds, outermost first. An `io::Error` hides what it was made of from [`Error::source`].
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        match error.downcast_ref::<std::io::Error>() {
            Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        }
    }
    std::iter::successors(Some(error), |error| inner(*error)).take(MAX_DEPTH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use FailureKind as K;
    use Operation as O;

    fn vault() -> VaultUrl {
        VaultUrl::parse("https://team.vault.azure.net", None, false).unwrap()
    }

    fn body(code: &str, inner: Option<&str>, message: &str) -> String {
        match inner {
            Some(inner) => format!(
                r#"{{"error":{{"code":"{code}","message":"{message}","innererror":{{"code":"{inner}"}}}}}}"#
            ),
            None => format!(r#"{{"error":{{"code":"{code}","message":"{message}"}}}}"#),
        }
    }

    /// Every answer of a vault: what kind it is, and which words tell the cure.
    #[test]
    fn refusals_of_a_vault_name_cause_and_cure() {
        let crypto = "Key Vault Crypto Service Encryption User";
        let recover_key = "az keyvault key recover --vault-name team --name it";
        let recover_secret = "az keyvault secret recover --vault-name team --name it";
        #[rustfmt::skip]
        let rows = [
            (O::GetKey, 401, "Unauthorized", None, "AKV10032: Invalid issuer. canary", K::Unauthenticated, "another tenant"),
            (O::GetKey, 401, "Unauthorized", None, "canary", K::Unauthenticated, "does not take our token"),
            (O::GetKey, 403, "Forbidden", Some("ForbiddenByRbac"), "canary", K::Forbidden, crypto),
            (O::UnwrapKey, 403, "Forbidden", Some("ForbiddenByRbac"), "canary", K::Forbidden, crypto),
            (O::UnwrapKey, 403, "Forbidden", Some("AccessDenied"), "canary", K::Forbidden, "get and unwrapKey"),
            (O::UnwrapKey, 403, "Forbidden", Some("ForbiddenByPolicy"), "canary", K::Forbidden, crypto),
            (O::GetSecret, 403, "Forbidden", Some("ForbiddenByRbac"), "canary", K::Forbidden, "Key Vault Secrets User"),
            (O::ListSecretVersions, 403, "Forbidden", Some("ForbiddenByRbac"), "canary", K::Forbidden, "Key Vault Secrets User"),
            (O::SetSecret, 403, "Forbidden", Some("ForbiddenByRbac"), "canary", K::Forbidden, "Key Vault Secrets Officer"),
            (O::SetSecret, 403, "Forbidden", Some("ForbiddenByRbac"), "canary", K::Forbidden, "minutes"),
            (O::GetSecret, 403, "Forbidden", None, "canary", K::Forbidden, "Key Vault Secrets User"),
            (O::GetSecret, 403, "Forbidden", Some("ForbiddenByFirewall"), "canary", K::Forbidden, "firewall"),
            (O::GetSecret, 403, "Forbidden", Some("ForbiddenByConnection"), "canary", K::Forbidden, "private endpoint"),
            (O::UnwrapKey, 403, "Forbidden", Some("KeyOperationForbidden"), "canary", K::Forbidden, "--ops"),
            (O::GetSecret, 403, "Forbidden", Some("SecretDisabled"), "canary", K::Disabled, "az keyvault secret set-attributes --enabled true --vault-name team --name it"),
            (O::UnwrapKey, 403, "Forbidden", Some("KeyDisabled"), "canary", K::Disabled, "az keyvault key set-attributes --enabled true --vault-name team --name it"),
            (O::GetSecret, 403, "Forbidden", Some("SecretNotYetValid"), "canary", K::Disabled, "--not-before"),
            (O::UnwrapKey, 404, "KeyNotFound", None, "canary", K::NotFound, recover_key),
            (O::GetSecret, 404, "SecretNotFound", None, "canary", K::NotFound, recover_secret),
            (O::SetSecret, 409, "Conflict", Some("ObjectIsDeletedButRecoverable"), "canary", K::NotFound, recover_secret),
            (O::SetSecret, 409, "Conflict", Some("ObjectIsBeingRecovered"), "canary", K::Unavailable, "ObjectIsBeingRecovered"),
            (O::UnwrapKey, 400, "BadParameter", None, "canary", K::Damaged, "restore a backup"),
            // As from a proxy: that says nothing of what is kept.
            (O::UnwrapKey, 400, "RequestTooLarge", None, "canary", K::Unavailable, "400"),
            (O::GetKey, 400, "BadParameter", None, "canary", K::Unavailable, "BadParameter"),
            (O::GetKey, 302, "", None, "canary", K::Unavailable, "redirect"),
            (O::GetKey, 418, "", None, "canary", K::Unavailable, "418"),
            (O::GetKey, 408, "", None, "canary", K::Unavailable, "408"),
            (O::GetKey, 429, "Throttled", None, "canary", K::Throttled, "fewer calls"),
            (O::GetKey, 500, "InternalServerError", None, "canary", K::Unavailable, "500"),
            (O::GetKey, 503, "", None, "canary", K::Unavailable, "503"),
        ];
        for (operation, status, code, inner, message, kind, words) in rows {
            let asked = Asked::vault(operation, &vault(), "it");
            let failure = asked.refused(status, body(code, inner, message).as_bytes(), None);
            let text = failure.to_string();
            assert_eq!(failure.kind(), kind, "{status} {code} {inner:?}: {text}");
            let specific = inner.or(Some(code).filter(|code| !code.is_empty()));
            assert_eq!(failure.code(), specific, "{status} {code} {inner:?}");
            assert!(text.contains(words), "{status} {code} {inner:?}: {text}");
            assert!(text.contains("team.vault.azure.net") || text.contains("it "), "{text}");
            assert!(!text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn a_managed_hsm_has_other_roles_and_other_flags() {
        let hsm = VaultUrl::parse("https://team.managedhsm.azure.net", None, false).unwrap();
        let asked = Asked::vault(O::UnwrapKey, &hsm, "it");
        let text = asked.refused(403, body("Forbidden", None, "").as_bytes(), None).to_string();
        assert!(text.contains("Managed HSM Crypto Service Encryption User"), "{text}");
        let text = asked.refused(404, b"", None).to_string();
        assert!(text.contains("az keyvault key recover --hsm-name team --name it"), "{text}");
    }

    #[test]
    fn refusals_of_entra_name_cause_and_cure() {
        let asked = Asked::token("https://login.microsoftonline.com", Refusals::OfEntra);
        for (number, words) in [
            (700_024, "expired"),
            (700_211, "issuer"),
            (700_212, "audience"),
            (700_213, "subject"),
            (70_021, "subject"),
            (700_016, "AZURE_CLIENT_ID"),
            (90_002, "tenant does not exist"),
            (7_000_215, "client secret is wrong"),
            (7_000_222, "client secret has expired"),
            (123_456, "look the code up"),
        ] {
            let body = format!(
                r#"{{"error":"invalid_client","error_description":"AADSTS{number}: canary","error_codes":[{number}]}}"#
            );
            for status in [400, 401] {
                let failure = asked.refused(status, body.as_bytes(), None);
                let text = failure.to_string();
                assert_eq!(failure.kind(), K::Unauthenticated);
                assert!(text.contains(words) && text.contains(&number.to_string()), "{text}");
                assert!(!text.contains("canary"), "{text}");
            }
        }
        for garbage in ["", "<html>canary</html>", "{}", r#"{"error":"can ary<script>"}"#] {
            let failure = asked.refused(400, garbage.as_bytes(), None);
            assert_eq!(failure.kind(), K::Unauthenticated);
            assert!(failure.to_string().contains("no code"), "{failure}");
        }
        assert_eq!(asked.refused(503, b"", None).kind(), K::Unavailable);
        assert_eq!(asked.refused(429, b"", None).kind(), K::Throttled);
    }

    #[test]
    fn the_instance_metadata_service_says_little_and_we_say_what_to_do() {
        let asked = Asked::token(super::super::transport::INSTANCE_METADATA, Refusals::OfInstanceMetadata);
        let failure = asked.refused(
            400,
            br#"{"error":"invalid_request","error_description":"Identity not found"}"#,
            None,
        );
        assert_eq!(failure.kind(), K::Unauthenticated);
        assert!(failure.to_string().contains("assign the managed identity"));
        for status in [404, 410, 500] {
            assert_eq!(asked.refused(status, b"", None).kind(), K::Unavailable);
        }
    }

    #[test]
    fn only_codes_of_the_alphabet_are_shown() {
        let asked = Asked::vault(O::GetKey, &vault(), "it");
        for code in ["can ary", "canary\\n", "<canary>", "canary/..", &"canary".repeat(20)] {
            let text = asked.refused(418, body(code, None, "canary").as_bytes(), None).to_string();
            assert!(!text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn the_azure_cli_is_not_quoted_but_for_its_code() {
        for (text, words) in [
            ("AADSTS50076: canary, use multi-factor", "(AADSTS50076)"),
            ("az not found on PATH canary", "not installed"),
            ("canary", "run az login"),
        ] {
            let failure = refused_by_azure_cli(text);
            assert_eq!(failure.kind(), K::Unauthenticated);
            assert!(
                failure.to_string().contains(words) && !failure.to_string().contains("canary"),
                "{failure}"
            );
        }
    }

    #[test]
    fn a_certificate_that_does_not_verify_is_found_however_deep() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let io = std::io::Error::other(std::io::Error::other(tls));
        let error = azure_core::Error::with_error(ErrorKind::Connection, io, "canary");
        for asked in [
            Asked::vault(O::GetKey, &vault(), "it"),
            Asked::token("https://login.microsoftonline.com", Refusals::OfEntra),
        ] {
            let (answer, result) = asked.no_answer(&error);
            let failure = result.err().unwrap();
            assert_eq!((answer, failure.kind()), (Answer::Untrusted, K::Untrusted));
            assert!(failure.to_string().contains("its issuer is not known"), "{failure}");
            assert!(!failure.to_string().contains("canary"));
        }
        let refused = azure_core::Error::with_message(ErrorKind::Connection, "canary");
        let (answer, result) = Asked::vault(O::GetKey, &vault(), "it").no_answer(&refused);
        assert_eq!((answer, result.err().unwrap().kind()), (Answer::NoAnswer, K::Unavailable));
    }
}
