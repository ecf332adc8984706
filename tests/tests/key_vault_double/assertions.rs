//! Entra's answers to assertions and client secrets, by its error numbers.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use azure_core::credentials::TokenCredential as _;
use azure_identity::{ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId};
use privyseal_tests::entra::{Credential, EXCHANGE_AUDIENCE, Entra, Issuer, TENANT};
use privyseal_tests::key_vault::{CallFault, Trouble};

use crate::client::{CLIENT, aadsts, http, options, setup, with_secret, with_token_file};

const ISSUER: &str = "https://issuer.example";
const SUBJECT: &str = "system:serviceaccount:privyseal:controller";
const SCOPE: &str = "https://vault.azure.net/.default";

struct Federation {
    entra: Entra,
    issuer: Issuer,
    folder: tempfile::TempDir,
}

fn federation() -> Federation {
    let (entra, issuer) = (Entra::start(), Issuer::new(ISSUER));
    entra.trust(&issuer);
    entra.registered(CLIENT, TENANT, ISSUER, SUBJECT);
    Federation { entra, issuer, folder: tempfile::tempdir().unwrap() }
}

impl Federation {
    /// A token for an assertion; or the error's number.
    async fn exchange(&self, assertion: &str) -> Result<String, String> {
        self.exchange_in(TENANT, assertion).await
    }

    async fn exchange_in(&self, tenant: &str, assertion: &str) -> Result<String, String> {
        let file = self.folder.path().join("token");
        std::fs::write(&file, assertion).unwrap();
        let outcome = with_token_file(&self.entra, &file, tenant).get_token(&[SCOPE], None).await;
        match outcome {
            Ok(token) => Ok(token.token.secret().to_owned()),
            outcome => Err(aadsts(outcome)),
        }
    }

    async fn error(&self, assertion: &str) -> String {
        self.exchange(assertion).await.unwrap_err()
    }
}

#[tokio::test]
async fn an_assertion_of_the_registered_subject_is_exchanged() {
    let it = federation();
    it.exchange(&it.issuer.assertion(SUBJECT)).await.unwrap();
    it.exchange(&format!("{}\n", it.issuer.assertion(SUBJECT))).await.unwrap();
    let exchange = it.entra.exchanges().remove(0);
    let credential = Credential::Federated { subject: SUBJECT.to_owned() };
    assert_eq!((exchange.status, exchange.error, exchange.credential), (Some(200), None, credential));
    assert_eq!(
        (&*exchange.tenant, exchange.client_id.as_deref(), &*exchange.scope),
        (TENANT, Some(CLIENT), SCOPE)
    );
}

#[tokio::test]
async fn what_does_not_match_is_refused_by_its_number() {
    let it = federation();
    let hour = Duration::from_secs(3600);
    let other = Issuer::new("https://other.example");
    assert_eq!(it.error(&other.assertion(SUBJECT)).await, "700211");
    assert_eq!(it.error(&it.issuer.assertion("system:serviceaccount:privyseal:other")).await, "700213");
    let elsewhere = it.issuer.assertion_for(SUBJECT, "https://kubernetes.default.svc", 0, hour);
    assert_eq!(it.error(&elsewhere).await, "700212");
    let expired = it.issuer.assertion_for(SUBJECT, EXCHANGE_AUDIENCE, 7200, hour);
    assert_eq!(it.error(&expired).await, "700024");
    let early = it.issuer.assertion_for(SUBJECT, EXCHANGE_AUDIENCE, -600, hour);
    assert_eq!(it.error(&early).await, "700024");
    // Somebody else who says that he is the issuer.
    assert_eq!(it.error(&Issuer::new(ISSUER).assertion(SUBJECT)).await, "7000272");
    assert_eq!(it.error("garbage").await, "50027");

    let good = it.issuer.assertion(SUBJECT);
    let elsewhere = "0d5f0b0e-2f4b-4c63-9d3e-1a5f4f5b7e22";
    assert_eq!(it.exchange_in(elsewhere, &good).await.unwrap_err(), "90002");
    it.entra.registered_with_secret("another", elsewhere, "secret");
    assert_eq!(it.exchange_in(elsewhere, &good).await.unwrap_err(), "700016");
    it.entra.unregister(CLIENT);
    assert_eq!(it.error(&good).await, "90002");
    assert_eq!(it.entra.exchanges().last().unwrap().error, Some(90_002));
}

#[tokio::test]
async fn a_client_secret_must_be_one_of_the_applications() {
    let it = setup(&[]);
    let token = async |client_id, secret| {
        with_secret(&it.entra, &it.vault, client_id, secret).get_token(&[SCOPE], None).await
    };
    assert!(token(CLIENT, crate::client::SECRET).await.is_ok());
    assert_eq!(aadsts(token(CLIENT, "wrong").await), "7000215");
    assert_eq!(aadsts(token("unknown", "wrong").await), "700016");
    it.entra.registered_with_secret(CLIENT, TENANT, "rotated");
    assert!(token(CLIENT, "rotated").await.is_ok());
    it.entra.revoke_secrets(CLIENT);
    assert_eq!(aadsts(token(CLIENT, "rotated").await), "7000215");
    assert_eq!(it.entra.exchanges()[0].credential, Credential::Secret);
    it.entra.forget_exchanges();
    assert!(it.entra.exchanges().is_empty());
}

#[tokio::test]
async fn a_token_lives_as_long_as_it_is_told_to() {
    let it = setup(&[]);
    let credential = with_secret(&it.entra, &it.vault, CLIENT, crate::client::SECRET);
    let get = async || credential.get_token(&[SCOPE], None).await.unwrap().token.secret().to_owned();
    // The SDK asks anew 5 minutes before the end.
    it.entra.set_token_lifetime(Duration::from_secs(60));
    assert_ne!(get().await, get().await);
    it.entra.set_token_lifetime(Duration::from_secs(600));
    assert_eq!(get().await, get().await);
    assert_eq!(it.entra.exchanges().len(), 3);
}

#[tokio::test]
async fn trouble_with_entra_is_told_from_a_refusal() {
    let it = federation();
    let good = it.issuer.assertion(SUBJECT);
    let unavailable = it.entra.inject(CallFault::new("token", Trouble::Status(503)).next(1));
    assert_eq!(it.error(&good).await, "90033");
    assert!(it.exchange(&good).await.is_ok());
    assert_eq!(unavailable.hits(), 1);
    it.entra.inject(CallFault::new("token", Trouble::Throttled { retry_after: Some(7) }).of(CLIENT));
    assert_eq!(it.error(&good).await, "50196");
    it.entra.clear();
    assert!(it.exchange(&good).await.is_ok());

    let file = it.folder.path().join("token");
    let reached = async || with_token_file(&it.entra, &file, TENANT).get_token(&[SCOPE], None).await.is_ok();
    it.entra.outage(true);
    assert!(!reached().await);
    it.entra.outage(false);
    assert!(reached().await);
    it.entra.untrusted(true);
    assert!(!reached().await);
    it.entra.untrusted(false);
    assert!(reached().await);
}

/// The SDK takes the address from the environment, which belongs to the whole process: so this one starts another.
#[tokio::test]
async fn a_managed_identity_is_that_of_the_machine() {
    const CA_FILE: &str = "PRIVYSEAL_TEST_CA_FILE";
    const IDENTITY: &str = "PRIVYSEAL_TEST_IDENTITY";
    if let Ok(ca_file) = std::env::var(CA_FILE) {
        let user_assigned_id = std::env::var(IDENTITY).ok().map(UserAssignedId::ClientId);
        let options = options(&PathBuf::from(ca_file), None);
        let credential = ManagedIdentityCredential::new(Some(ManagedIdentityCredentialOptions {
            user_assigned_id,
            client_options: options,
        }));
        credential.unwrap().get_token(&[SCOPE], None).await.unwrap();
        return;
    }
    let entra = Entra::start();
    let works = async |identity: Option<&str>| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["assertions::a_managed_identity_is_that_of_the_machine", "--exact"]);
        command.env(CA_FILE, entra.ca_file()).env("IDENTITY_HEADER", "any");
        command.env("IDENTITY_ENDPOINT", entra.identity_endpoint());
        command.envs(identity.map(|identity| (IDENTITY, identity)));
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("running 1 test"), "{text}");
        output.status.success()
    };
    entra.registered_with_secret("an application", TENANT, "secret");
    assert!(!works(None).await);
    entra.registered_managed(CLIENT, TENANT);
    assert!(works(None).await && works(Some(CLIENT)).await);
    assert!(!works(Some("an application")).await);
    entra.registered_managed("a second", TENANT);
    assert!(!works(None).await, "of two, one has to be named");
    assert!(works(Some("a second")).await);
    assert!(entra.exchanges().iter().all(|exchange| exchange.credential == Credential::ManagedIdentity));

    // Without the header it may be a request that somebody was tricked into.
    let url = format!("{}?resource=https://vault.azure.net&client_id={CLIENT}", entra.identity_endpoint());
    assert_eq!(http(entra.ca_file()).get(url).send().await.unwrap().status(), 400);
}
