//! Each trouble, as the SDK sees it.

use std::time::{Duration, Instant};

use azure_core::Bytes;
use azure_core::error::ErrorKind;
use privyseal_tests::key_vault::{CallFault, RESOURCE, Role, Trouble};
use reqwest::header::RETRY_AFTER;

use crate::client::{CLIENT, Setup, http, refusal, setup};

const NAME: &str = "privyseal";
const ANY: &str = "*";

fn one_key() -> Setup {
    let it = setup(&[Role::KeyVaultCryptoServiceEncryptionUser, Role::KeyVaultSecretsUser]);
    it.vault.create_key(NAME);
    it.vault.put_secret(NAME, "value");
    it
}

impl Setup {
    async fn get(&self) -> azure_core::Result<()> {
        self.keys.get_key(NAME, None).await?.into_model().map(drop)
    }
}

#[tokio::test]
async fn an_error_of_the_service_has_its_form() {
    let it = one_key();
    for (trouble, expected) in [
        (Trouble::Status(500), (500, "InternalServerError", "")),
        (Trouble::Status(503), (503, "ServiceUnavailable", "")),
        (Trouble::Status(401), (401, "Unauthorized", "")),
        (Trouble::Status(403), (403, "Forbidden", "")),
        (Trouble::Throttled { retry_after: None }, (429, "Throttled", "")),
        (Trouble::Firewall, (403, "Forbidden", "ForbiddenByFirewall")),
    ] {
        let injected = it.vault.inject(CallFault::new("getKey", trouble));
        let (status, code, inner) = refusal(it.get().await);
        assert_eq!((status, &*code, &*inner), expected, "{trouble:?}");
        assert!(injected.hits() > 0);
        assert_eq!(it.vault.calls().pop().unwrap().status, Some(expected.0));
        it.vault.clear();
    }
    assert!(it.get().await.is_ok());
}

#[tokio::test]
async fn throttling_says_how_long() {
    let it = one_key();
    let ask = async || {
        let url = format!("{}/keys/{NAME}?api-version=7.6", it.vault.url());
        let token = it.entra.token(CLIENT, RESOURCE);
        http(it.vault.ca_file()).get(url).bearer_auth(token).send().await.unwrap()
    };
    it.vault.inject(CallFault::new(ANY, Trouble::Throttled { retry_after: Some(7) }).next(1));
    it.vault.inject(CallFault::new(ANY, Trouble::Throttled { retry_after: None }).next(1));
    let response = ask().await;
    assert_eq!((response.status().as_u16(), response.headers()[RETRY_AFTER].to_str().unwrap()), (429, "7"));
    assert_eq!(ask().await.headers().get(RETRY_AFTER), None);
    assert_eq!(ask().await.status(), 200);
}

#[tokio::test]
async fn a_fault_ends_by_number_by_time_or_when_it_is_taken_back() {
    let it = one_key();
    let twice = it.vault.inject(CallFault::new("getKey", Trouble::Status(500)).next(2));
    assert!(it.get().await.is_err() && it.get().await.is_err() && it.get().await.is_ok());
    assert_eq!(twice.hits(), 2);

    let time = Duration::from_millis(700);
    let began = Instant::now();
    it.vault.inject(CallFault::new("getKey", Trouble::Status(500)).during(time));
    while it.get().await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= time);

    let always = it.vault.inject(CallFault::new("getKey", Trouble::Status(500)));
    assert!(it.get().await.is_err());
    assert!(it.secrets.get_secret(NAME, None).await.is_ok(), "it is for another operation");
    always.remove();
    assert!(it.get().await.is_ok());
    let others = it.vault.inject(CallFault::new(ANY, Trouble::Status(500)).of("somebody else"));
    assert!(it.get().await.is_ok());
    assert_eq!(others.hits(), 0);
}

#[tokio::test]
async fn an_answer_may_never_come_or_come_late() {
    let it = one_key();
    it.get().await.unwrap();
    it.vault.inject(CallFault::new(ANY, Trouble::Hang).next(1));
    assert!(tokio::time::timeout(Duration::from_millis(300), it.get()).await.is_err());
    assert_eq!(it.vault.calls().pop().unwrap().status, None);
    let late = Duration::from_millis(300);
    it.vault.inject(CallFault::new(ANY, Trouble::Slow(late)).next(1));
    let began = Instant::now();
    assert!(it.get().await.is_ok());
    assert!(began.elapsed() >= late);
}

#[tokio::test]
async fn a_cut_call_is_done_or_not() {
    let it = setup(&[Role::KeyVaultSecretsOfficer]);
    let set = async |value: &str| {
        let body = serde_json::json!({"value": value}).to_string();
        it.secrets.set_secret(NAME, Bytes::from(body).into(), None).await.map(drop)
    };
    set("one").await.unwrap();
    it.vault.inject(CallFault::new("setSecret", Trouble::Cut).next(1));
    assert!(matches!(set("two").await.unwrap_err().kind(), ErrorKind::Io | ErrorKind::Connection));
    assert_eq!(it.vault.secret_versions(NAME).len(), 1);
    it.vault.inject(CallFault::new("setSecret", Trouble::CutAfter).next(1));
    assert!(set("three").await.is_err());
    assert_eq!(it.vault.secret_versions(NAME)[1].value, "three");
}

#[tokio::test]
async fn an_answer_may_be_garbage_or_huge() {
    let it = one_key();
    it.get().await.unwrap();
    it.vault.inject(CallFault::new(ANY, Trouble::Garbage).next(1));
    assert!(it.get().await.is_err());
    it.vault.inject(CallFault::new(ANY, Trouble::Huge(3_000_000)).next(1));
    let body = it.keys.get_key(NAME, None).await.unwrap().into_body();
    assert!(body.as_ref().len() > 3_000_000);
}

#[tokio::test]
async fn the_vault_may_be_away_or_somebody_else() {
    let it = one_key();
    assert!(it.get().await.is_ok());
    it.vault.outage(true);
    assert!(matches!(it.get().await.unwrap_err().kind(), ErrorKind::Connection | ErrorKind::Io));
    it.vault.outage(false);
    assert!(it.get().await.is_ok());

    let before = it.vault.calls().len();
    it.vault.untrusted(true);
    // The first may only find that its old connection is cut.
    assert!(it.get().await.is_err() && it.get().await.is_err());
    assert_eq!(it.vault.calls().len(), before, "nothing is said to a stranger");
    it.vault.untrusted(false);
    assert!(it.get().await.is_ok());
}
