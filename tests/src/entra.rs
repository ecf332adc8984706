//! A double of Microsoft Entra's token endpoint, for workload identity and client secrets.
//!
//! It holds an assertion against what is registered as Entra does, and answers with Entra's error numbers. The keys of
//! a control plane's ServiceAccount tokens come from the control plane itself; [`Issuer`] is an issuer of a test's own.
//! Its access tokens are what [`KeyVault`](crate::KeyVault) lets in.
//!
//! ```no_run
//! # async fn example() {
//! use privyseal_tests::entra::{Entra, ProjectedToken, TENANT};
//! # let control_plane = privyseal_tests::ControlPlane::shared();
//! let entra = Entra::start();
//! let issuer = entra.trust_control_plane(&control_plane).await;
//! let client_id = "11111111-2222-3333-4444-555555555555";
//! entra.registered(client_id, TENANT, &issuer, "system:serviceaccount:some-namespace:some-account");
//! let token = ProjectedToken::write(&control_plane, "some-namespace", "some-account").await;
//! // AZURE_AUTHORITY_HOST={entra.authority()} AZURE_FEDERATED_TOKEN_FILE={token.path()} …
//! # }
//! ```
//!
//! The SDK asks for no OpenID discovery, so there is none.

mod directory;
mod issuer;
pub(crate) mod jwt;
mod projected_token;
mod refusal;
mod server;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::call_log::{CallLog, locked};
use crate::control_plane::ControlPlane;
use crate::kubeconfig;
use crate::scratch;
use crate::tls_server::TlsServer;
use crate::trouble::{CallFault, Troubled, Troubles};

pub use issuer::Issuer;
pub use projected_token::ProjectedToken;

pub(crate) use directory::issuer_of;

use directory::{Application, Directory, Federated};
use issuer::Keys;
use jwt::Signer;

/// A tenant for tests that need no particular one.
pub const TENANT: &str = "7a3c1a60-9a57-4d5e-8d57-1b6f0a4c2e11";

/// The audience of an assertion, `aud` of a projected token.
pub const EXCHANGE_AUDIENCE: &str = "api://AzureADTokenExchange";

/// Entra's own is between 60 and 90 minutes.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3599);

/// A running token endpoint.
#[derive(Debug)]
pub struct Entra {
    shared: Arc<Shared>,
    listening: TlsServer,
    ca_file: PathBuf,
}

/// What the test's thread and the server's share.
#[derive(Debug)]
pub(crate) struct Shared {
    directory: Mutex<Directory>,
    signer: Signer,
    troubles: Arc<Troubles>,
    log: CallLog<Exchange>,
    /// All access tokens that clients asked for and got.
    issued: Mutex<Vec<String>>,
}

/// A request for a token.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// When, counted from the start of the double.
    pub at: Duration,
    /// The tenant that was asked; empty for a managed identity.
    pub tenant: String,
    /// Who asks.
    pub client_id: Option<String>,
    /// By what.
    pub credential: Credential,
    /// For what: `https://vault.azure.net/.default`.
    pub scope: String,
    /// The status that the client got; `None` when it got none, or not yet.
    pub status: Option<u16>,
    /// The number behind `AADSTS` of a refusal.
    pub error: Option<u32>,
}

/// By what a client shows who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// An assertion of another issuer, about this subject as far as it could be read.
    Federated {
        /// The claim `sub`.
        subject: String,
    },
    /// A client secret.
    Secret,
    /// The machine on which it runs.
    ManagedIdentity,
    /// Nothing that is known.
    None,
}

impl Entra {
    /// Starts one that knows nobody.
    pub fn start() -> Self {
        let shared = Arc::new(Shared {
            directory: Mutex::default(),
            signer: Signer::generate(),
            troubles: Arc::default(),
            log: CallLog::default(),
            issued: Mutex::default(),
        });
        let listening = TlsServer::start("Entra double", {
            let shared = Arc::clone(&shared);
            move || server::Endpoint { shared }
        });
        let ca_file = scratch::folder("entra").join("ca.crt");
        kubeconfig::write_private(&ca_file, listening.ca_pem().as_bytes());
        Self { shared, listening, ca_file }
    }

    /// `https://127.0.0.1:PORT`, for AZURE_AUTHORITY_HOST.
    pub fn authority(&self) -> String {
        self.listening.url()
    }

    /// The CA by which it is known, a PEM file.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// The CA by which it is known.
    pub fn ca_pem(&self) -> &str {
        self.listening.ca_pem()
    }

    /// Where a managed identity asks for tokens, for IDENTITY_ENDPOINT (the SDK asks there when IDENTITY_HEADER is set
    /// to anything too). Without it the SDK asks at 169.254.169.254, which cannot be changed.
    pub fn identity_endpoint(&self) -> String {
        format!("{}{}", self.authority(), server::IDENTITY_PATH)
    }

    /// Registers an application with a federated credential: who holds an assertion of this issuer about this subject
    /// gets its tokens. Once more adds another credential.
    pub fn registered(&self, client_id: &str, tenant: &str, issuer: &str, subject: &str) {
        let federated = Federated { issuer: issuer.to_owned(), subject: subject.to_owned() };
        self.change(client_id, tenant, |application| application.federated.push(federated));
    }

    /// Registers an application with a client secret. Once more adds another secret.
    pub fn registered_with_secret(&self, client_id: &str, tenant: &str, secret: &str) {
        self.change(client_id, tenant, |application| application.secrets.push(secret.to_owned()));
    }

    /// Registers an identity of the machine.
    pub fn registered_managed(&self, client_id: &str, tenant: &str) {
        self.change(client_id, tenant, |application| application.managed = true);
    }

    /// Forgets an application. Its tokens are valid until they end.
    pub fn unregister(&self, client_id: &str) {
        locked(&self.shared.directory).applications.remove(client_id);
    }

    /// Takes an application's secrets back.
    pub fn revoke_secrets(&self, client_id: &str) {
        if let Some(application) = locked(&self.shared.directory).applications.get_mut(client_id) {
            application.secrets.clear();
        }
    }

    /// From now on knows the keys of a test's own issuer.
    pub fn trust(&self, issuer: &Issuer) {
        self.trust_keys(issuer.url(), issuer.jwks());
    }

    /// From now on knows the keys of an issuer, a JSON Web Key Set.
    pub fn trust_keys(&self, issuer: &str, jwks: Value) {
        locked(&self.shared.directory).issuers.insert(issuer.to_owned(), Keys::Fixed(jwks));
    }

    /// From now on asks a control plane for the keys of its ServiceAccount tokens; the name of that issuer.
    pub async fn trust_control_plane(&self, control_plane: &ControlPlane) -> String {
        let config = kubeconfig::config(control_plane.kubeconfig());
        let issuer = issuer::of_api_server(&config).await.expect("an API server says which issuer it is");
        let keys = Keys::ApiServer { config: Box::new(config), seen: None };
        locked(&self.shared.directory).issuers.insert(issuer.clone(), keys);
        issuer
    }

    /// How long its tokens are valid from now on. The SDK asks for a new one 5 minutes before the end.
    pub fn set_token_lifetime(&self, lifetime: Duration) {
        locked(&self.shared.directory).lifetime = lifetime;
    }

    /// An access token without any exchange. The application must be registered.
    pub fn token(&self, client_id: &str, resource: &str) -> String {
        let token = locked(&self.shared.directory).token(&self.shared.signer, client_id, resource);
        token.unwrap_or_else(|| panic!("{client_id} is not registered")).0
    }

    /// From now on troubles the requests that the fault names; their operation is `token`.
    pub fn inject(&self, fault: CallFault) -> Troubled {
        self.shared.troubles.inject(fault)
    }

    /// Takes all faults back; an [`outage`](Self::outage) goes on.
    pub fn clear(&self) {
        self.shared.troubles.clear();
    }

    /// Cuts all connections and refuses new ones, until it is called with `false`.
    pub fn outage(&self, down: bool) {
        self.listening.outage(down);
    }

    /// Shows a certificate of an unknown CA, until it is called with `false`.
    pub fn untrusted(&self, untrusted: bool) {
        self.listening.untrusted(untrusted);
    }

    /// All requests for tokens so far, in the order of their arrival.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.shared.log.all()
    }

    /// All access tokens that clients asked for and got, with their whole text.
    pub fn issued(&self) -> Vec<String> {
        locked(&self.shared.issued).clone()
    }

    /// Forgets the requests so far.
    pub fn forget_exchanges(&self) {
        self.shared.log.forget();
    }

    /// By which [`KeyVault`](crate::KeyVault) knows its tokens.
    pub(crate) fn jwks(&self) -> Value {
        self.shared.signer.jwks()
    }

    fn change(&self, client_id: &str, tenant: &str, change: impl FnOnce(&mut Application)) {
        let mut directory = locked(&self.shared.directory);
        let application =
            directory.applications.entry(client_id.to_owned()).or_insert_with(|| Application::of(tenant));
        assert_eq!(application.tenant, tenant, "{client_id} is registered in another tenant");
        change(application);
    }
}
