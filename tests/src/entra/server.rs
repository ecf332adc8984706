//! The endpoint itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::jwt::Token;
use super::refusal::Refusal;
use super::{Credential, Exchange, Shared, jwt};
use crate::call_log::locked;
use crate::tls_server::{Answer, Body, Dropped, whole};
use crate::trouble::suffer;

/// Where a managed identity asks, as at Azure's instance metadata service.
pub(super) const IDENTITY_PATH: &str = "/metadata/identity/oauth2/token";

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub(super) struct Endpoint {
    pub(super) shared: Arc<Shared>,
}

/// A form or a query.
type Fields = BTreeMap<String, String>;

/// What is answered: a token's JSON, or why not.
type Outcome = Result<Value, Refusal>;

impl Answer for Endpoint {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Dropped> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| Dropped)?.to_bytes();
        let path = head.uri.path();
        if path == IDENTITY_PATH && head.method == Method::GET {
            let query = fields(head.uri.query().unwrap_or_default().as_bytes());
            let has_header = head.headers.contains_key("metadata");
            return self.managed_identity(&query, has_header).await;
        }
        match path.strip_prefix('/').and_then(|path| path.strip_suffix("/oauth2/v2.0/token")) {
            Some(tenant) if head.method == Method::POST && !tenant.contains('/') => {
                self.token(tenant, &fields(&body)).await
            }
            _ => Ok(json_response(StatusCode::NOT_FOUND, &json!({"error": "not_found"}))),
        }
    }
}

impl Endpoint {
    async fn token(&self, tenant: &str, form: &Fields) -> Result<Response<Body>, Dropped> {
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        let client_id = form.get("client_id").cloned();
        let credential = if let Some(assertion) = form.get("client_assertion") {
            let subject =
                Token::parse(assertion).map(|token| token.text("sub").to_owned()).unwrap_or_default();
            Credential::Federated { subject }
        } else if form.contains_key("client_secret") {
            Credential::Secret
        } else {
            Credential::None
        };
        let scope = field("scope").to_owned();
        self.logged(tenant, client_id, credential, scope, self.grant(tenant, form)).await
    }

    async fn grant(&self, tenant: &str, form: &Fields) -> Outcome {
        let field = |name: &str| form.get(name).map_or("", String::as_str);
        let (client_id, scope) = (field("client_id"), field("scope"));
        // Copied: the directory is locked by the test's thread too, and keys may have to be fetched.
        let application = locked(&self.shared.directory).application(tenant, client_id)?.clone();
        if field("grant_type") != "client_credentials" {
            return Err(Refusal::bad_grant(field("grant_type")));
        }
        let resource = scope.strip_suffix("/.default").ok_or_else(|| Refusal::bad_scope(scope))?;
        match (form.get("client_assertion"), form.get("client_secret")) {
            (Some(text), _) if field("client_assertion_type") == ASSERTION_TYPE => {
                // A file may end with a line feed.
                let assertion = Token::parse(text.trim_end()).ok_or_else(Refusal::malformed)?;
                application.check_claims(&assertion)?;
                self.check_signature(&assertion).await?;
            }
            (_, Some(secret)) => application.check_secret(client_id, secret)?,
            _ => return Err(Refusal::no_credential()),
        }
        let token = locked(&self.shared.directory).token(&self.shared.signer, client_id, resource);
        let (token, lifetime) = token.ok_or_else(|| Refusal::no_application(client_id, tenant))?;
        locked(&self.shared.issued).push(token.clone());
        Ok(json!({
            "token_type": "Bearer", "expires_in": lifetime, "ext_expires_in": lifetime, "access_token": token,
        }))
    }

    async fn check_signature(&self, assertion: &Token<'_>) -> Result<(), Refusal> {
        let issuer = assertion.text("iss");
        let keys = locked(&self.shared.directory).issuers.get(issuer).cloned();
        let mut keys = keys.ok_or_else(|| Refusal::no_keys(issuer))?;
        let jwks = keys.for_token(assertion).await.map_err(|_| Refusal::no_keys(issuer))?;
        locked(&self.shared.directory).issuers.insert(issuer.to_owned(), keys);
        if assertion.is_signed_by(&jwks) { Ok(()) } else { Err(Refusal::bad_signature(&assertion.kid)) }
    }

    async fn managed_identity(&self, query: &Fields, has_header: bool) -> Result<Response<Body>, Dropped> {
        let scope = query.get("resource").cloned().unwrap_or_default();
        let client_id = query.get("client_id").cloned();
        let outcome = async {
            let directory = locked(&self.shared.directory);
            let found = directory.managed(query.get("client_id").map(String::as_str)).filter(|_| has_header);
            let asked = query.get("client_id").map_or("", String::as_str);
            let (client_id, _) = found.ok_or_else(|| Refusal::no_application(asked, "this machine"))?;
            let token = directory.token(&self.shared.signer, client_id, &scope);
            let (token, lifetime) =
                token.ok_or_else(|| Refusal::no_application(client_id, "this machine"))?;
            locked(&self.shared.issued).push(token.clone());
            Ok(json!({
                "access_token": token, "expires_on": (jwt::now() + lifetime).to_string(), "resource": scope,
                "token_type": "Bearer", "client_id": client_id,
            }))
        };
        self.logged("", client_id, Credential::ManagedIdentity, scope.clone(), outcome).await
    }

    async fn logged(
        &self,
        tenant: &str,
        client_id: Option<String>,
        credential: Credential,
        scope: String,
        outcome: impl Future<Output = Outcome> + Send,
    ) -> Result<Response<Body>, Dropped> {
        let trouble = self.shared.troubles.of("token", "", client_id.as_deref());
        let tenant = tenant.to_owned();
        let ticket = self.shared.log.add(|at| Exchange {
            at,
            tenant,
            client_id,
            credential,
            scope,
            status: None,
            error: None,
        });
        let refused = |refusal: &Refusal| {
            self.shared.log.amend(ticket, |exchange| exchange.error = Some(refusal.number));
            json_response(refusal.status, &refusal.body())
        };
        let answer = async {
            match outcome.await {
                Ok(token) => json_response(StatusCode::OK, &token),
                Err(refusal) => refused(&refusal),
            }
        };
        let response = suffer(trouble, |status, _| refused(&Refusal::trouble(status)), answer).await?;
        let status = response.status().as_u16();
        self.shared.log.amend(ticket, |exchange| exchange.status = Some(status));
        Ok(response)
    }
}

fn fields(text: &[u8]) -> Fields {
    form_urlencoded::parse(text).into_owned().collect()
}

fn json_response(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(whole(value.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
    response
}
