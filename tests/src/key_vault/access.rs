//! Who calls, and whether he may: tokens first, then roles.

use http::header::AUTHORIZATION;
use http::request::Parts;

use super::operation::Asked;
use super::refusal::Refusal;
use super::role::action;
use super::{RESOURCE, Shared};
use crate::call_log::locked;
use crate::entra::issuer_of;
use crate::entra::jwt::{Token, now};

/// Who calls, by a good token.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) client_id: String,
    object_id: String,
    issuer: String,
}

/// What a token is worth.
#[derive(Debug)]
pub(super) enum Entry {
    /// There is none.
    Absent,
    /// It is refused.
    Refused(Refusal),
    /// It is good.
    Caller(Caller),
}

impl Shared {
    pub(super) fn entry(&self, head: &Parts) -> Entry {
        let header = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        match header.and_then(|value| value.strip_prefix("Bearer ")) {
            None => Entry::Absent,
            Some(token) => self.caller(token).map_or_else(Entry::Refused, Entry::Caller),
        }
    }

    /// Checks a token in the order in which the service complains.
    fn caller(&self, token: &str) -> Result<Caller, Refusal> {
        let malformed = "Error validating token: IDX12741: JWT must have three segments (JWS).";
        let token = Token::parse(token).ok_or_else(|| Refusal::unauthorized(malformed))?;
        if !token.is_signed_by(&self.entra_keys) {
            return Err(Refusal::unauthorized(
                "Error validating token: IDX10511: Signature validation failed.",
            ));
        }
        let (issuer, expected) = (token.text("iss"), issuer_of(&self.options.tenant));
        if issuer != expected {
            let message = format!("AKV10032: Invalid issuer. Expected one of {expected}, found {issuer}.");
            return Err(Refusal::unauthorized(&message));
        }
        if !token.is_for(RESOURCE) {
            let found = token.audiences().join(", ");
            let message = format!("AKV10022: Invalid audience. Expected {RESOURCE}, found: {found}.");
            return Err(Refusal::unauthorized(&message));
        }
        if !token.is_valid_at(now()) {
            let message =
                "Error validating token: IDX10223: Lifetime validation failed. The token is expired.";
            return Err(Refusal::unauthorized(message));
        }
        let text = |claim| token.text(claim).to_owned();
        Ok(Caller { client_id: text("appid"), object_id: text("oid"), issuer: text("iss") })
    }

    /// Where to get a token, the value of `WWW-Authenticate`. `error` is what is wrong with the one that was shown.
    pub(super) fn challenge(&self, error: Option<&str>) -> String {
        let to = format!("{}/{}", self.authority, self.options.tenant);
        let mut challenge = format!("Bearer authorization=\"{to}\", resource=\"{RESOURCE}\"");
        if let Some(error) = error {
            challenge.push_str(&format!(", error=\"invalid_token\", error_description=\"{error}\""));
        }
        challenge
    }

    /// Whether a role of the caller allows it.
    pub(super) fn authorize(&self, caller: &Caller, asked: &Asked) -> Result<(), Refusal> {
        let (action, object) = (action(asked.operation), asked.object());
        let assignments = locked(&self.assignments);
        if assignments.iter().any(|one| one.allows(&caller.client_id, action, object.as_deref())) {
            return Ok(());
        }
        let vault = "/subscriptions/0/resourcegroups/tests/providers/microsoft.keyvault/vaults/tests";
        let resource = object.map_or_else(|| vault.to_owned(), |object| format!("{vault}/{object}"));
        let Caller { client_id, object_id, issuer } = caller;
        let caller = format!("appid={client_id};oid={object_id};iss={issuer}");
        Err(Refusal::by_rbac(&caller, action, &resource))
    }
}
