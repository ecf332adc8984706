//! Entra's errors, by their AADSTS numbers.

use http::StatusCode;
use serde_json::{Value, json};

use super::jwt::{Token, now, random_id};

/// Why there is no token.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// The error of OAuth (RFC 6749, section 5.2).
    error: &'static str,
    /// The number behind `AADSTS`.
    pub(super) number: u32,
    description: String,
}

impl Refusal {
    fn new(error: &'static str, number: u32, description: String) -> Self {
        // As Entra does; RFC 6749 asks for 401 only for a client that is not known.
        let status =
            if error == "invalid_client" { StatusCode::UNAUTHORIZED } else { StatusCode::BAD_REQUEST };
        Self { status, error, number, description }
    }

    /// What a fault makes of a request.
    pub(super) fn trouble(status: StatusCode) -> Self {
        let (error, number) = match status.as_u16() {
            401 => ("invalid_client", 700_016),
            403 => ("access_denied", 53_003),
            429 => ("temporarily_unavailable", 50_196),
            _ => ("temporarily_unavailable", 90_033),
        };
        let description = "The request was troubled by the test.".to_owned();
        Self { status, ..Self::new(error, number, description) }
    }

    pub(super) fn no_tenant(tenant: &str) -> Self {
        let text = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the \
             correct cloud."
        );
        Self::new("invalid_request", 90_002, text)
    }

    pub(super) fn no_application(client_id: &str, tenant: &str) -> Self {
        let text =
            format!("Application with identifier '{client_id}' was not found in the directory '{tenant}'.");
        Self::new("unauthorized_client", 700_016, text)
    }

    pub(super) fn bad_secret(client_id: &str) -> Self {
        let text = format!("Invalid client secret provided for app '{client_id}'.");
        Self::new("invalid_client", 7_000_215, text)
    }

    pub(super) fn no_credential() -> Self {
        let text =
            "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        Self::new("invalid_client", 7_000_218, text.to_owned())
    }

    pub(super) fn no_issuer(issuer: &str) -> Self {
        let text =
            format!("No matching federated identity record found for presented assertion issuer '{issuer}'.");
        Self::new("invalid_client", 700_211, text)
    }

    pub(super) fn no_subject(subject: &str) -> Self {
        let text = format!(
            "No matching federated identity record found for presented assertion subject '{subject}'."
        );
        Self::new("invalid_client", 700_213, text)
    }

    pub(super) fn bad_audience(assertion: &Token<'_>) -> Self {
        let text = format!(
            "No matching federated identity record found for presented assertion audience '{}'.",
            assertion.audiences().join(", ")
        );
        Self::new("invalid_client", 700_212, text)
    }

    pub(super) fn expired(assertion: &Token<'_>) -> Self {
        let text = format!(
            "Client assertion is not within its valid time range. Current time: {}, assertion valid from {}, expiry \
             time of assertion {}.",
            now(),
            assertion.claims["nbf"],
            assertion.claims["exp"]
        );
        Self::new("invalid_client", 700_024, text)
    }

    pub(super) fn bad_signature(kid: &str) -> Self {
        let text = format!("Signature validation of the client assertion failed. Key id: '{kid}'.");
        Self::new("invalid_client", 7_000_272, text)
    }

    pub(super) fn malformed() -> Self {
        Self::new("invalid_request", 50_027, "JWT token is invalid or malformed.".to_owned())
    }

    pub(super) fn no_keys(issuer: &str) -> Self {
        Self::new("invalid_request", 50_166, format!("Request to External OIDC endpoint failed: '{issuer}'."))
    }

    pub(super) fn bad_grant(grant: &str) -> Self {
        Self::new(
            "unsupported_grant_type",
            70_003,
            format!("The app requested an unsupported grant type '{grant}'."),
        )
    }

    pub(super) fn bad_scope(scope: &str) -> Self {
        let text = format!("The provided value for the input parameter 'scope' is not valid: '{scope}'.");
        Self::new("invalid_scope", 70_011, text)
    }

    /// As Entra words it.
    pub(super) fn body(&self) -> Value {
        let (trace, correlation) = (random_id(), random_id());
        json!({
            "error": self.error,
            "error_description": format!(
                "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation}", self.number, self.description
            ),
            "error_codes": [self.number],
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": format!("https://login.microsoftonline.com/error?code={}", self.number),
        })
    }
}
