//! The service's errors.

use http::StatusCode;
use serde_json::{Value, json};

use super::store::Kind;
use crate::trouble::Trouble;

/// Why a call is not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    code: String,
    message: String,
    inner: Option<&'static str>,
}

impl Refusal {
    fn new(status: StatusCode, code: &str, message: String) -> Self {
        Self { status, code: code.to_owned(), message, inner: None }
    }

    fn forbidden(inner: &'static str, message: String) -> Self {
        Self { inner: Some(inner), ..Self::new(StatusCode::FORBIDDEN, "Forbidden", message) }
    }

    pub(super) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", message.to_owned())
    }

    /// No role allows it.
    pub(super) fn by_rbac(caller: &str, action: &str, object: &str) -> Self {
        let message = format!(
            "Caller is not authorized to perform action on resource.\r\nIf role assignments, deny assignments or role \
             definitions were changed recently, please observe propagation time.\r\nCaller: {caller}\r\nAction: \
             '{action}'\r\nResource: '{object}'\r\nAssignment: (not found)\r\nDecisionReason: null\r\n"
        );
        Self::forbidden("ForbiddenByRbac", message)
    }

    /// The name or the version is not there.
    pub(super) fn not_found(kind: Kind, name: &str) -> Self {
        let (what, code) = (kind.word(), format!("{}NotFound", kind.capital()));
        let message = format!(
            "A {what} with (name/id) {name} was not found in this key vault. If you recently deleted this {what} you \
             may be able to recover it using the correct recovery command."
        );
        Self::new(StatusCode::NOT_FOUND, &code, message)
    }

    pub(super) fn unknown_operation() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFound", "The double knows no such operation.".to_owned())
    }

    /// The name belongs to something deleted.
    pub(super) fn deleted_but_recoverable(kind: Kind, name: &str) -> Self {
        let (what, capital) = (kind.word(), kind.capital());
        let message = format!(
            "{capital} {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this \
             state, the {what} can only be recovered or purged."
        );
        Self {
            inner: Some("ObjectIsDeletedButRecoverable"),
            ..Self::new(StatusCode::CONFLICT, "Conflict", message)
        }
    }

    /// What is deleted stays until its time.
    pub(super) fn purge_protected() -> Self {
        let message = "Operation \"purge\" is not allowed because purge protection is enabled for this vault. Key \
                       Vault service will automatically purge it after the retention period has passed.";
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message.to_owned())
    }

    pub(super) fn disabled(kind: Kind, operation: &str) -> Self {
        let inner = match kind {
            Kind::Key => "KeyDisabled",
            Kind::Secret => "SecretDisabled",
        };
        Self::forbidden(inner, format!("Operation {operation} is not allowed on a disabled {}.", kind.word()))
    }

    pub(super) fn not_yet_valid(operation: &str) -> Self {
        let message = format!("Operation {operation} is not allowed on a key that is not yet valid.");
        Self::forbidden("KeyNotYetValid", message)
    }

    pub(super) fn expired(operation: &str) -> Self {
        Self::forbidden("KeyExpired", format!("Operation {operation} is not allowed on an expired key."))
    }

    /// The key is not made for this.
    pub(super) fn not_permitted(operation: &str) -> Self {
        let message = format!("Operation {operation} is not permitted on this key.");
        Self::forbidden("KeyOperationForbidden", message)
    }

    pub(super) fn bad_parameter(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadParameter", message.to_owned())
    }

    /// What a fault makes of a call.
    pub(super) fn trouble(status: StatusCode, trouble: Trouble) -> Self {
        if matches!(trouble, Trouble::Firewall) {
            let message = "Client address is not authorized and caller is not a trusted service.\r\nClient address: \
                           203.0.113.7\r\n";
            return Self::forbidden("ForbiddenByFirewall", message.to_owned());
        }
        let (code, message) = match status.as_u16() {
            401 => ("Unauthorized", "Error validating token: it was troubled by the test."),
            403 => ("Forbidden", "The call was troubled by the test."),
            429 => (
                "Throttled",
                "Request was not processed because too many requests were received. Reason: \
                 VaultRequestTypeLimitReached",
            ),
            503 => ("ServiceUnavailable", "The service is not available. It was troubled by the test."),
            _ => ("InternalServerError", "Internal server error. It was troubled by the test."),
        };
        Self::new(status, code, message.to_owned())
    }

    pub(super) fn body(&self) -> Value {
        let mut error = json!({"code": self.code, "message": self.message});
        if let Some(inner) = self.inner {
            error["innererror"] = json!({"code": inner});
        }
        json!({"error": error})
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}
