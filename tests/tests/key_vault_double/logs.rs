//! What the SDK and the libraries below it say in a log. The controller lets nothing of it through below WARN
//! (`controller/src/logging.rs`); here it is listened to from inside, at every level.

use std::io::Write;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use privyseal_tests::key_vault::{CallFault, Role, Trouble};
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::client::{CLIENT, SECRET, clients, setup, with_secret};
use crate::keys::{unwrap, wrap};

const NAME: &str = "privyseal";
const WRAPPED: &[u8] = b"CANARY-a wrapping key of 32 byte";
const VALUE: &str = "CANARY-value-of-a-secret";
const WRONG: &str = "CANARY-wrong-client-secret";

/// What was said.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// On the test's own thread, as all that the SDK does is: the doubles have threads of theirs.
fn listen(level: LevelFilter, heard: &Heard) -> impl tracing_subscriber::Layer<tracing_subscriber::Registry> {
    let heard = heard.clone();
    tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || heard.clone()).with_filter(level)
}

#[tokio::test]
async fn at_warn_the_sdk_says_nothing_that_is_secret() {
    let (everything, warnings) = (Heard::default(), Heard::default());
    let listening = |level, heard: &Heard| {
        tracing::subscriber::set_default(tracing_subscriber::registry().with(listen(level, heard)))
    };
    let mut secrets = vec![SECRET.to_owned(), WRONG.to_owned(), VALUE.to_owned()];
    secrets.push(SECRET.replace(' ', "+"));
    secrets.extend([STANDARD.encode(WRAPPED), URL_SAFE_NO_PAD.encode(WRAPPED), format!("{WRAPPED:?}")]);
    for (level, heard) in [(LevelFilter::TRACE, &everything), (LevelFilter::WARN, &warnings)] {
        let listening = listening(level, heard);
        secrets.extend(all_that_the_product_asks().await);
        drop(listening);
    }
    let found = |heard: &Heard| {
        let text = heard.text();
        secrets.iter().filter(|secret| text.contains(secret.as_str())).count()
    };
    let text = everything.text();
    for said in ["typespec_client_core::http::policies::logging", "azure_identity", "/keys/privyseal"] {
        assert!(text.contains(said), "{said} was not heard:\n{text}");
    }
    assert_eq!(found(&warnings), 0, "{}", warnings.text());
    for quiet in [" INFO ", " DEBUG ", " TRACE "] {
        assert!(!warnings.text().contains(quiet));
    }
    // Nor does this release below; a later one may, and is not heard.
    assert_eq!(found(&everything), 0, "the SDK logs secrets below WARN:\n{text}");

    // The proof that it would have been heard.
    for (level, heard) in [(LevelFilter::TRACE, &everything), (LevelFilter::WARN, &warnings)] {
        let listening = listening(level, heard);
        secrets.iter().for_each(|secret| tracing::warn!(target: "azure_core", "{secret}"));
        drop(listening);
        assert_eq!(found(heard), secrets.len());
    }
}

/// Every call and every kind of refusal; the tokens that were issued for them.
async fn all_that_the_product_asks() -> Vec<String> {
    let it = setup(&[Role::KeyVaultCryptoUser, Role::KeyVaultSecretsOfficer]);
    let version = it.vault.create_key(NAME);
    let troubles = [
        Trouble::Status(401),
        Trouble::Status(403),
        Trouble::Status(404),
        Trouble::Throttled { retry_after: Some(1) },
        Trouble::Status(500),
        Trouble::Garbage,
        Trouble::Cut,
    ];
    it.vault.put_secret(NAME, VALUE);
    let wrapped = wrap(&it.keys, &version, WRAPPED).await.unwrap();
    unwrap(&it.keys, &version, &wrapped).await.unwrap();
    it.secrets.get_secret(NAME, None).await.unwrap();
    for trouble in troubles {
        it.vault.inject(CallFault::new("*", trouble));
        assert!(it.keys.get_key(NAME, None).await.and_then(|key| key.into_model()).is_err(), "{trouble:?}");
        assert!(unwrap(&it.keys, &version, &wrapped).await.is_err(), "{trouble:?}");
        let secret = it.secrets.get_secret(NAME, None).await.and_then(|secret| secret.into_model());
        assert!(secret.is_err(), "{trouble:?}");
        it.vault.clear();
    }
    it.vault.untrusted(true);
    assert!(it.keys.get_key(NAME, None).await.is_err());
    it.vault.untrusted(false);
    let (keys, _) = clients(&it.vault, &with_secret(&it.entra, &it.vault, CLIENT, WRONG));
    assert!(keys.get_key(NAME, None).await.is_err());
    for trouble in [Trouble::Status(400), Trouble::Garbage, Trouble::Cut] {
        it.entra.inject(CallFault::new("*", trouble));
        let (keys, _) = clients(&it.vault, &with_secret(&it.entra, &it.vault, CLIENT, SECRET));
        assert!(keys.get_key(NAME, None).await.is_err(), "{trouble:?}");
        it.entra.clear();
    }
    let issued = it.entra.issued();
    assert!(!issued.is_empty());
    issued.into_iter().map(|token| token.rsplit_once('.').unwrap().1.to_owned()).collect()
}
