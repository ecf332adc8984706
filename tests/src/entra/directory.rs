//! What is registered, and the tokens that it entitles to.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::issuer::Keys;
use super::jwt::{Signer, Token, now, random_id, seconds};
use super::refusal::Refusal;
use super::{EXCHANGE_AUDIENCE, TOKEN_LIFETIME};

/// Tenants, applications and issuers.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) applications: BTreeMap<String, Application>,
    pub(super) issuers: BTreeMap<String, Keys>,
    pub(super) lifetime: Duration,
}

/// An application, or a managed identity.
#[derive(Clone, Debug)]
pub(super) struct Application {
    pub(super) tenant: String,
    pub(super) object_id: String,
    pub(super) federated: Vec<Federated>,
    pub(super) secrets: Vec<String>,
    /// Whether it is the identity of the machine too.
    pub(super) managed: bool,
}

/// A federated identity credential.
#[derive(Clone, Debug)]
pub(super) struct Federated {
    pub(super) issuer: String,
    pub(super) subject: String,
}

impl Application {
    pub(super) fn of(tenant: &str) -> Self {
        Self {
            tenant: tenant.to_owned(),
            object_id: uuid(),
            federated: Vec::new(),
            secrets: Vec::new(),
            managed: false,
        }
    }
}

impl Default for Directory {
    fn default() -> Self {
        Self { applications: BTreeMap::new(), issuers: BTreeMap::new(), lifetime: TOKEN_LIFETIME }
    }
}

impl Directory {
    /// The application that asks. Nothing is said of its credentials yet.
    pub(super) fn application(&self, tenant: &str, client_id: &str) -> Result<&Application, Refusal> {
        if !self.applications.values().any(|application| application.tenant == tenant) {
            return Err(Refusal::no_tenant(tenant));
        }
        self.applications
            .get(client_id)
            .filter(|application| application.tenant == tenant)
            .ok_or_else(|| Refusal::no_application(client_id, tenant))
    }

    /// The identity of the machine that is asked for, or its only one.
    pub(super) fn managed(&self, client_id: Option<&str>) -> Option<(&String, &Application)> {
        let mut managed = self.applications.iter().filter(|(_, application)| application.managed);
        match client_id {
            Some(wanted) => managed.find(|(client_id, _)| *client_id == wanted),
            None => managed.next().filter(|_| managed.next().is_none()),
        }
    }

    /// An access token for a resource, and its lifetime in seconds.
    pub(super) fn token(&self, signer: &Signer, client_id: &str, resource: &str) -> Option<(String, i64)> {
        let application = self.applications.get(client_id)?;
        let (begin, lifetime) = (now(), seconds(self.lifetime));
        let token = signer.sign(&json!({
            "aud": resource,
            "iss": issuer_of(&application.tenant),
            "iat": begin, "nbf": begin, "exp": begin + lifetime,
            "appid": client_id, "oid": application.object_id, "sub": application.object_id,
            "tid": application.tenant, "idtyp": "app", "ver": "1.0", "uti": random_id(),
        }));
        Some((token, lifetime))
    }
}

impl Application {
    pub(super) fn check_secret(&self, client_id: &str, secret: &str) -> Result<(), Refusal> {
        if self.secrets.iter().any(|known| known == secret) {
            return Ok(());
        }
        Err(Refusal::bad_secret(client_id))
    }

    /// Holds an assertion against the federated credentials: first who says it, then of whom, for whom, and when. The
    /// signature comes after.
    pub(super) fn check_claims(&self, assertion: &Token<'_>) -> Result<(), Refusal> {
        let (issuer, subject) = (assertion.text("iss"), assertion.text("sub"));
        let mut of_issuer = self.federated.iter().filter(|federated| federated.issuer == issuer).peekable();
        if of_issuer.peek().is_none() {
            return Err(Refusal::no_issuer(issuer));
        }
        if !of_issuer.any(|federated| federated.subject == subject) {
            return Err(Refusal::no_subject(subject));
        }
        if !assertion.is_for(EXCHANGE_AUDIENCE) {
            return Err(Refusal::bad_audience(assertion));
        }
        if !assertion.is_valid_at(now()) {
            return Err(Refusal::expired(assertion));
        }
        Ok(())
    }
}

/// Who issues the tokens of a tenant to Key Vault, which takes the first version of tokens.
pub(crate) fn issuer_of(tenant: &str) -> String {
    format!("https://sts.windows.net/{tenant}/")
}

/// A random id in the form of Azure's.
fn uuid() -> String {
    let id = random_id();
    format!("{}-{}-{}-{}-{}", &id[..8], &id[8..12], &id[12..16], &id[16..20], &id[20..])
}
