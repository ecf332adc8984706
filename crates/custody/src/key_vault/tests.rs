//! The two custodies against a vault that is a few lines of memory behind the SDK: everything but TLS is the real way.

mod double;

use super::*;
use crate::MakerMark;
use crate::custody::{Envelope, Half, Public, Purpose, VaultSecret};
use double::{Double, Observed, Tokens, answer};
use jiff::Timestamp;
use privyseal_envelope::rsa::{KeySize, OpeningKey};
use privyseal_keys::{Certificate, PublisherKey, private_key};
use std::sync::LazyLock;
use zeroize::Zeroizing;

static_assertions::assert_not_impl_any!(KeyVault: std::fmt::Debug, std::fmt::Display);
static_assertions::assert_not_impl_any!(SecretValue: std::fmt::Debug, std::fmt::Display);
static_assertions::assert_not_impl_any!(Half: std::fmt::Debug, std::fmt::Display);
static_assertions::assert_not_impl_any!(crate::custody::Found: std::fmt::Debug, std::fmt::Display);

const CANARY: &str = "canary";

struct Made {
    subject: Subject,
    private: Zeroizing<Vec<u8>>,
}

fn made(secret: &str) -> Made {
    let key = OpeningKey::generate(KeySize::Rsa2048).unwrap();
    let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
    let certificate = Certificate::issue(&key, "", now, jiff::SignedDuration::from_hours(1)).unwrap();
    let publisher = PublisherKey::generate().ok().unwrap();
    let mark = MakerMark::make(&publisher, &certificate.clone().into());
    let pem = private_key::to_pkcs1_pem(&key).unwrap();
    Made {
        subject: Subject {
            secret: secret.to_owned(),
            public: Public::Sealing(certificate.into()),
            mark: Some(mark),
        },
        private: Zeroizing::new(pem.as_bytes().to_vec()),
    }
}

static ONE: LazyLock<Made> = LazyLock::new(|| made("sealed-secrets-key-one"));
static TWO: LazyLock<Made> = LazyLock::new(|| made("sealed-secrets-key-two"));
static PUBLISHER: LazyLock<Made> = LazyLock::new(|| {
    let key = PublisherKey::generate().ok().unwrap();
    Made {
        subject: Subject {
            secret: "privyseal-publisher-key".to_owned(),
            public: Public::Publisher(key.public_key()),
            mark: None,
        },
        private: Zeroizing::new(key.to_pem().as_bytes().to_vec()),
    }
});

struct Setup {
    double: Arc<Double>,
    tokens: Arc<Tokens>,
    observed: Arc<Observed>,
    vault: KeyVault,
}

fn config() -> Config {
    let credential = Credential::ClientSecret {
        tenant: "tenant".to_owned(),
        client: "client".to_owned(),
        secret: Zeroizing::new(format!("{CANARY}-secret")),
    };
    Config::new("https://team.vault.azure.net", credential)
}

fn setup_with(config: Config) -> Setup {
    let double = Arc::new(Double::new());
    let tokens = Arc::new(Tokens::default());
    let observed = Arc::new(Observed::default());
    let vault = KeyVault::with_http(
        config,
        Arc::clone(&observed) as Arc<dyn Observer>,
        Arc::clone(&double) as Arc<dyn HttpClient>,
        Arc::clone(&tokens) as Arc<dyn HttpClient>,
    );
    Setup { double, tokens, observed, vault: vault.unwrap() }
}

fn setup() -> Setup {
    setup_with(config())
}

fn kept(half: Half) -> Reference {
    match half {
        Half::Kept(reference) => reference,
        Half::Clear(_) => panic!("a private half in the clear"),
    }
}

async fn kind_of(vault: &KeyVault, subject: &Subject, reference: &Reference) -> Option<FailureKind> {
    vault.fetch(subject, reference).await.err().map(|failure| {
        assert!(!failure.to_string().contains(CANARY), "{failure}");
        failure.kind()
    })
}

/// With one bit of that byte, or of the last one, changed.
fn flipped(base64: &str, at: usize) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let mut bytes = STANDARD.decode(base64).unwrap();
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 1;
    STANDARD.encode(bytes)
}

#[tokio::test]
async fn both_custodies_give_back_what_they_took() {
    let setup = setup();
    let custodies =
        [Kind::KeyVaultWrapped, Kind::KeyVaultSecret].map(|kind| setup.vault.custody(kind).unwrap());
    for custody in &custodies {
        for made in [&*ONE, &*TWO, &*PUBLISHER] {
            let reference = kept(custody.keep(&made.subject, &made.private).await.unwrap());
            assert_eq!(reference.kind(), custody.kind());
            let reference = Reference::from_json(reference.to_json().as_bytes()).unwrap();
            assert!(custody.is_current(&reference).await.unwrap());
            // Either custody gives it back, so that one can be exchanged for the other.
            for custody in &custodies {
                let back = custody.fetch(&made.subject, &reference).await.unwrap();
                assert!(back.expose() == made.private.as_slice());
                assert_eq!(custody.is_current(&reference).await.unwrap(), custody.kind() == reference.kind());
            }
        }
    }
}

#[tokio::test]
async fn an_envelope_opens_for_its_secret_and_its_certificate_alone() {
    let setup = setup();
    let custody = setup.vault.custody(Kind::KeyVaultWrapped).unwrap();
    let reference = kept(custody.keep(&ONE.subject, &ONE.private).await.unwrap());
    let Reference::KeyVaultWrapped(envelope) = reference else { panic!() };
    let text = serde_json::to_string(&envelope).unwrap();
    assert!(!text.contains("PRIVATE"), "{text}");

    let renamed = Subject { secret: "sealed-secrets-key-oneX".to_owned(), ..ONE.subject.clone() };
    let exchanged = Subject { secret: ONE.subject.secret.clone(), ..TWO.subject.clone() };
    let right = Reference::KeyVaultWrapped(envelope.clone());
    assert_eq!(kind_of(&setup.vault, &ONE.subject, &right).await, None);
    for subject in [&renamed, &exchanged, &TWO.subject, &PUBLISHER.subject] {
        assert_eq!(kind_of(&setup.vault, subject, &right).await, Some(FailureKind::Damaged));
    }

    // The same fresh key, wrapped for another version of the vault key: the vault unwraps it, and the id is bound.
    let other = setup.double.rotate();
    let rewrapped = setup.double.rewrap(&envelope.wrapped, &other);
    let other_id = format!("https://team.vault.azure.net/keys/privyseal/{other}");
    let changed = [
        Envelope { key: other_id.clone(), ..envelope.clone() },
        Envelope { key: other_id, wrapped: rewrapped, ..envelope.clone() },
        Envelope { ciphertext: flipped(&envelope.ciphertext, 0), ..envelope.clone() },
        Envelope { ciphertext: flipped(&envelope.ciphertext, usize::MAX), ..envelope.clone() },
        Envelope { wrapped: flipped(&envelope.wrapped, 0), ..envelope.clone() },
        Envelope { wrapped: flipped(&envelope.wrapped, usize::MAX), ..envelope.clone() },
        Envelope { wrapped: String::new(), ..envelope.clone() },
        Envelope { ciphertext: String::new(), ..envelope.clone() },
        Envelope { ciphertext: "no base64!".to_owned(), ..envelope.clone() },
        Envelope { version: 2, ..envelope.clone() },
    ];
    for changed in changed {
        let text = changed.wrapped.len() + changed.ciphertext.len();
        let kind = kind_of(&setup.vault, &ONE.subject, &Reference::KeyVaultWrapped(changed)).await;
        assert_eq!(kind, Some(FailureKind::Damaged), "{text}");
    }
}

#[tokio::test]
async fn what_is_stored_chooses_neither_vault_nor_name() {
    let setup = setup();
    let version = setup.double.current();
    for id in [
        format!("https://evil.vault.azure.net/keys/privyseal/{version}"),
        format!("https://team.vault.azure.net/keys/other/{version}"),
        format!("https://team.vault.azure.net/keys/privyseal/../other/{version}"),
    ] {
        let envelope = Envelope {
            version: 1,
            key: id.clone(),
            wrapped: "AAAA".to_owned(),
            ciphertext: "AAAA".to_owned(),
        };
        let reference = Reference::KeyVaultWrapped(envelope);
        let kind = if id.contains("..") { FailureKind::Damaged } else { FailureKind::Unconfigured };
        assert_eq!(kind_of(&setup.vault, &ONE.subject, &reference).await, Some(kind), "{id}");
        let custody = setup.vault.custody(Kind::KeyVaultWrapped).unwrap();
        assert!(!custody.is_current(&reference).await.unwrap());
    }
    for id in [
        format!("https://evil.vault.azure.net/secrets/privyseal-sealing-key/{version}"),
        format!("https://team.vault.azure.net/secrets/somebody-elses/{version}"),
        // The publisher's secret is none of a sealing key's.
        format!("https://team.vault.azure.net/secrets/privyseal-sealing-key-publisher/{version}"),
    ] {
        let reference = Reference::KeyVaultSecret(VaultSecret { version: 1, secret: id.clone() });
        let kind = kind_of(&setup.vault, &ONE.subject, &reference).await;
        assert_eq!(kind, Some(FailureKind::Unconfigured), "{id}");
    }
    assert_eq!(setup.double.requests(), Vec::<String>::new());
}

#[tokio::test]
async fn keeping_reads_back_through_the_vault() {
    // Wrapping needs no right; unwrapping does, and a missing one is found at once.
    let setup = setup();
    let custody = setup.vault.custody(Kind::KeyVaultWrapped).unwrap();
    setup.double.script("unwrapkey", answer(403, r#"{"error":{"code":"Forbidden","message":"canary"}}"#));
    let failure = custody.keep(&ONE.subject, &ONE.private).await.err().unwrap();
    assert_eq!(failure.kind(), FailureKind::Forbidden);
    assert!(failure.to_string().contains("Key Vault Crypto Service Encryption User"), "{failure}");

    let custody = setup.vault.custody(Kind::KeyVaultSecret).unwrap();
    setup.double.garble_values();
    let failure = custody.keep(&ONE.subject, &ONE.private).await.err().unwrap();
    assert_eq!(failure.kind(), FailureKind::Damaged, "{failure}");
}

#[tokio::test]
async fn a_vault_key_that_will_not_unwrap_wraps_nothing() {
    let setup = setup();
    let custody = setup.vault.custody(Kind::KeyVaultWrapped).unwrap();
    for (change, kind) in [
        (r#""enabled":false"#, FailureKind::Disabled),
        (r#""enabled":true,"exp":1000000000"#, FailureKind::Disabled),
        (r#""enabled":true,"nbf":4000000000"#, FailureKind::Disabled),
    ] {
        setup.vault.forget_current_key().await;
        setup.double.set_key_attributes(change);
        let failure = custody.keep(&ONE.subject, &ONE.private).await.err().unwrap();
        assert_eq!(failure.kind(), kind, "{change}: {failure}");
    }
    setup.vault.forget_current_key().await;
    setup.double.set_key_attributes(r#""enabled":true,"exp":4000000000,"recoveryLevel":"Recoverable""#);
    setup.double.set_key_operations(r#"["wrapKey"]"#);
    let failure = custody.keep(&ONE.subject, &ONE.private).await.err().unwrap();
    assert_eq!(failure.kind(), FailureKind::Forbidden, "{failure}");
    setup.double.set_key_operations(r#"["wrapKey","unwrapKey"]"#);
    setup.vault.forget_current_key().await;
    custody.keep(&ONE.subject, &ONE.private).await.unwrap();

    let key = setup.vault.current_key().await.unwrap();
    assert_eq!(key.recovery_level.as_deref(), Some("Recoverable"));
    assert_eq!(key.expires.map(|time| time.as_second()), Some(4_000_000_000));
    assert!(key.enabled && !key.hardware && key.public.bits() == 2048);
}

#[tokio::test]
async fn only_a_fit_key_of_the_configured_name_is_the_vault_key() {
    let setup = setup();
    let version = setup.double.current();
    let kid = format!("https://team.vault.azure.net/keys/privyseal/{version}");
    let n = setup.double.modulus();
    let short = &n[..160];
    for (key, kind) in [
        (format!(r#"{{"kid":"{kid}","kty":"EC","crv":"P-256"}}"#), Some(FailureKind::Damaged)),
        (format!(r#"{{"kid":"{kid}","kty":"RSA","n":"{short}","e":"AQAB"}}"#), Some(FailureKind::Damaged)),
        (format!(r#"{{"kid":"{kid}","kty":"RSA","n":"{n}"}}"#), Some(FailureKind::Damaged)),
        (format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#), Some(FailureKind::Unavailable)),
        (
            format!(
                r#"{{"kid":"https://evil.vault.azure.net/keys/privyseal/{version}","kty":"RSA","n":"{n}","e":"AQAB"}}"#
            ),
            Some(FailureKind::Unavailable),
        ),
        (format!(r#"{{"kid":"{kid}","kty":"RSA","n":"{n}","e":"AQAB"}}"#), None),
        (
            format!(
                r#"{{"kid":"{}","kty":"RSA-HSM","n":"{n}","e":"AAEAAQ"}}"#,
                kid.to_uppercase().replace("HTTPS", "https")
            ),
            None,
        ),
    ] {
        setup.double.script("keys", answer(200, &format!(r#"{{"key":{key}}}"#)));
        let got = setup.vault.get_key(None).await;
        assert_eq!(got.as_ref().err().map(Failure::kind), kind, "{key}");
        assert!(got.is_err() || got.unwrap().id.as_str() == kid);
    }
}

#[tokio::test(start_paused = true)]
async fn the_current_key_is_asked_for_once_in_a_poll_interval() {
    let setup = setup();
    let custody = setup.vault.custody(Kind::KeyVaultWrapped).unwrap();
    let (one, two) = tokio::join!(setup.vault.current_key(), setup.vault.current_key());
    assert_eq!(one.unwrap().id, two.unwrap().id);
    let reference = kept(custody.keep(&ONE.subject, &ONE.private).await.unwrap());
    assert_eq!(setup.observed.count(Operation::GetKey, Answer::Ok), 1);

    setup.double.rotate();
    assert!(custody.is_current(&reference).await.unwrap(), "not asked again yet");
    tokio::time::advance(DEFAULT_POLL_INTERVAL).await;
    assert!(!custody.is_current(&reference).await.unwrap());
    assert_eq!(setup.observed.count(Operation::GetKey, Answer::Ok), 2);
    // The old version still opens what it wrapped.
    assert_eq!(kind_of(&setup.vault, &ONE.subject, &reference).await, None);
}

#[tokio::test]
async fn a_secret_says_what_it_is() {
    let setup = setup();
    let custody = setup.vault.custody(Kind::KeyVaultSecret).unwrap();
    custody.keep(&ONE.subject, &ONE.private).await.unwrap();
    custody.keep(&PUBLISHER.subject, &PUBLISHER.private).await.unwrap();
    let [sealing] = &*setup.vault.secret_versions(setup.vault.secret_name()).await.unwrap() else { panic!() };
    assert_eq!(sealing.content_type.as_deref(), Some("application/x-pem-file"));
    assert_eq!(sealing.tags["privyseal"], "sealing-key");
    assert_eq!(sealing.tags["fingerprint"], ONE.subject.public.fingerprint().to_string());
    assert_eq!(sealing.tags["made-by"], ONE.subject.mark.as_ref().unwrap().as_str());
    assert!(sealing.tags.values().all(|value| value.len() <= 256));
    let value = setup.vault.get_secret(setup.vault.secret_name(), &sealing.id).await.unwrap().value;
    let text = std::str::from_utf8(&value).unwrap();
    assert!(text.starts_with("-----BEGIN CERTIFICATE-----\n"));
    assert!(privyseal_keys::KeyPair::from_texts(text.as_bytes(), text.as_bytes()).is_ok());

    let name = setup.vault.publisher_name();
    assert_eq!(name.as_str(), "privyseal-sealing-key-publisher");
    let [publisher] = &*setup.vault.secret_versions(name).await.unwrap() else { panic!() };
    assert_eq!(publisher.tags["privyseal"], "publisher-key");
    assert!(!publisher.tags.contains_key("made-by"));
}

#[tokio::test]
async fn keys_that_nobody_knows_of_are_found_until_they_are_known() {
    let setup = setup();
    let custody = setup.vault.custody(Kind::KeyVaultSecret).unwrap();
    let found = async |known: &[Reference]| {
        let found = custody.found(Purpose::Sealing, known).await.unwrap();
        found.into_iter().map(|one| one.reference).collect::<Vec<_>>()
    };
    assert_eq!(found(&[]).await, []);

    let name = "privyseal-sealing-key";
    let pem = std::str::from_utf8(&ONE.private).unwrap();
    let reference = |id: String| Reference::KeyVaultSecret(VaultSecret { version: 1, secret: id });
    let oldest = reference(setup.double.put_secret(name, pem, r#""enabled":true,"created":1000"#));
    let known = reference(setup.double.put_secret(name, pem, r#""enabled":true,"created":1500"#));
    let newest =
        reference(setup.double.put_secret(name, pem, r#""enabled":true,"created":3000,"exp":4000000000"#));
    setup.double.put_secret(name, pem, r#""enabled":false,"created":2000"#);
    setup.double.put_secret(name, pem, r#""enabled":true,"created":2000,"exp":1000000000"#);
    setup.double.put_secret(name, "canary: no key", r#""enabled":true,"created":2500"#);
    setup.double.put_secret("privyseal-sealing-key-publisher", pem, r#""enabled":true,"created":2500"#);

    assert_eq!(found(std::slice::from_ref(&known)).await, [newest.clone(), oldest.clone()]);
    assert_eq!(setup.observed.passed_over().len(), 1);
    assert!(!setup.observed.passed_over()[0].contains(CANARY));
    // Whoever could not make use of one gets it again.
    assert_eq!(found(std::slice::from_ref(&known)).await, [newest.clone(), oldest.clone()]);
    let all = [known, newest, oldest];
    assert_eq!(found(&all).await, []);
    assert_eq!(setup.observed.passed_over().len(), 1, "told once");

    // What it kept itself is found too, as long as nobody says that it is known; and by another process.
    let Half::Kept(kept) = custody.keep(&TWO.subject, &TWO.private).await.unwrap() else { panic!() };
    assert_eq!(found(&all).await, [kept]);
    let other = setup.vault.custody(Kind::KeyVaultSecret).unwrap();
    let all = other.found(Purpose::Sealing, &[]).await.unwrap();
    assert_eq!(all.len(), 4);
    let marked = all.iter().filter_map(|one| one.mark.as_ref()).collect::<Vec<_>>();
    assert_eq!(marked, [TWO.subject.mark.as_ref().unwrap()]);
    let known: Vec<_> = all.into_iter().map(|one| one.reference).collect();
    assert!(other.found(Purpose::Sealing, &known).await.unwrap().is_empty());
    assert_eq!(other.found(Purpose::Publisher, &[]).await.unwrap().len(), 1);
}

#[tokio::test]
async fn of_many_keys_those_that_were_got_are_given_though_the_next_fails() {
    let setup = setup_with(Config { budget: 1000, ..config() });
    let custody = setup.vault.custody(Kind::KeyVaultSecret).unwrap();
    let pem = std::str::from_utf8(&ONE.private).unwrap();
    for created in 1000..1040 {
        let attributes = format!(r#""enabled":true,"created":{created}"#);
        setup.double.put_secret("privyseal-sealing-key", pem, &attributes);
    }
    let known = std::sync::Mutex::new(Vec::new());
    let count = async || {
        let so_far = known.lock().unwrap().clone();
        let found = custody.found(Purpose::Sealing, &so_far).await?;
        let count = found.len();
        known.lock().unwrap().extend(found.into_iter().map(|one| one.reference));
        Ok::<_, Failure>(count)
    };
    setup.double.script_after(3, "secrets/privyseal-sealing-key/0", answer(503, ""));
    assert_eq!(count().await.unwrap(), 3);
    assert_eq!(count().await.unwrap(), 32, "at one time");
    setup.double.script_after(0, "secrets/privyseal-sealing-key/0", answer(503, ""));
    assert_eq!(count().await.unwrap_err().kind(), FailureKind::Unavailable);
    assert_eq!(count().await.unwrap(), 5);
    assert_eq!(count().await.unwrap(), 0);
}

#[tokio::test]
async fn calls_are_counted_with_their_answers() {
    let setup = setup();
    setup.vault.current_key().await.unwrap();
    setup.vault.forget_current_key().await;
    setup.vault.current_key().await.unwrap();
    assert_eq!(
        setup.observed.calls(),
        [
            (Operation::GetKey, Answer::Challenge),
            (Operation::Token, Answer::Ok),
            (Operation::GetKey, Answer::Ok),
            (Operation::GetKey, Answer::Ok),
        ]
    );
    assert_eq!(setup.observed.least_budget(), Some(97));
    let ahead = setup.vault.clock_ahead().unwrap();
    assert!((3500..3700).contains(&ahead.as_secs()), "the double's clock is an hour ahead: {ahead}");
}

#[tokio::test]
async fn no_answer_leads_a_call_to_another_host() {
    let setup = setup();
    setup.vault.current_key().await.unwrap();
    for next in [
        "https://evil.example/secrets/privyseal-sealing-key/versions?page=2",
        "https://team.vault.azure.net:8443/secrets/privyseal-sealing-key/versions?page=2",
        "https://user@team.vault.azure.net/secrets/privyseal-sealing-key/versions?page=2",
        "http://team.vault.azure.net/secrets/privyseal-sealing-key/versions?page=2",
        "https://team.vault.azure.net/certificates",
    ] {
        let page = format!(r#"{{"value":[],"nextLink":"{next}"}}"#);
        setup.double.script("versions", answer(200, &page));
        let failure = setup.vault.secret_versions(setup.vault.secret_name()).await.unwrap_err();
        assert_ne!(failure.kind(), FailureKind::NotFound, "{next}: {failure}");
    }
    let requests = setup.double.requests();
    let ours = |url: &String| {
        url.contains(" https://team.vault.azure.net/keys/")
            || url.contains(" https://team.vault.azure.net/secrets/")
    };
    assert!(requests.iter().all(ours), "{requests:?}");

    // A redirect is an answer like any other.
    setup.double.script("keys", answer(307, ""));
    let failure = setup.vault.get_key(None).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Unavailable);
    assert!(failure.to_string().contains("redirect"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_too_late_or_too_long_is_none() {
    let setup = setup();
    setup.vault.current_key().await.unwrap();
    let before = tokio::time::Instant::now();
    setup.double.script("keys", double::Scripted::Never);
    let failure = setup.vault.get_key(None).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Unavailable, "{failure}");
    assert_eq!(before.elapsed(), Duration::from_secs(10));

    setup.double.script("keys", answer(200, &" ".repeat(300 * 1024)));
    let failure = setup.vault.get_key(None).await.unwrap_err();
    assert!(failure.to_string().contains("too long"), "{failure}");
    for unreadable in ["", "canary", "{}", "[]", r#"{"key":{}}"#] {
        setup.double.script("keys", answer(200, unreadable));
        let failure = setup.vault.get_key(None).await.unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Unavailable, "{unreadable}");
        assert!(!format!("{failure} {failure:?}").contains(CANARY));
    }
    assert_eq!(setup.observed.count(Operation::GetKey, Answer::NoAnswer), 1);
    assert_eq!(setup.observed.count(Operation::GetKey, Answer::Unreadable), 1);
}

#[tokio::test(start_paused = true)]
async fn while_the_vault_asks_for_a_pause_it_is_not_called() {
    let setup = setup();
    setup.vault.current_key().await.unwrap();
    setup
        .double
        .script("keys", double::Scripted::Answer(429, vec![("retry-after", "30".to_owned())], String::new()));
    let failure = setup.vault.get_key(None).await.unwrap_err();
    assert_eq!((failure.kind(), failure.wait()), (FailureKind::Throttled, Some(Duration::from_secs(30))));
    let before = setup.double.requests().len();
    for _ in 0..5 {
        let failure = setup.vault.get_key(None).await.unwrap_err();
        assert_eq!((failure.kind(), failure.wait()), (FailureKind::Throttled, Some(Duration::from_secs(30))));
    }
    assert_eq!(setup.double.requests().len(), before);
    assert_eq!(setup.observed.count(Operation::GetKey, Answer::Held), 5);
    tokio::time::advance(Duration::from_secs(30)).await;
    setup.vault.get_key(None).await.unwrap();

    // A date is read on the clock of who says it: the double's is an hour ahead of ours.
    let date = double::http_date(double::AHEAD + 60);
    setup.double.script("keys", double::Scripted::Answer(429, vec![("retry-after", date)], String::new()));
    let wait = setup.vault.get_key(None).await.unwrap_err().wait().unwrap();
    assert!((58..=61).contains(&wait.as_secs()), "{wait:?}");
    tokio::time::advance(wait).await;
    setup.double.script("keys", answer(503, ""));
    assert_eq!(setup.vault.get_key(None).await.unwrap_err().kind(), FailureKind::Unavailable);
    setup.vault.get_key(None).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn our_own_budget_throttles_too() {
    let setup = setup_with(Config { budget: 5, ..config() });
    let mut outcomes = Vec::new();
    for _ in 0..6 {
        outcomes.push(setup.vault.get_key(None).await.err().map(|failure| failure.kind()));
    }
    // The challenge is a call too.
    assert_eq!(
        outcomes,
        [None, None, None, None, Some(FailureKind::Throttled), Some(FailureKind::Throttled)]
    );
    assert_eq!(setup.double.requests().len(), 5);
    assert_eq!(setup.observed.least_budget(), Some(0));
}

#[tokio::test]
async fn a_refused_token_says_why_through_the_sdk() {
    for (status, body, words) in [
        (401, r#"{"error":"invalid_client","error_description":"canary","error_codes":[700024]}"#, "expired"),
        (
            400,
            r#"{"error":"invalid_request","error_description":"canary","error_codes":[90002]}"#,
            "AZURE_TENANT_ID",
        ),
        (400, "<html>canary</html>", "no code"),
    ] {
        let setup = setup();
        setup.tokens.script(answer(status, body));
        let failure = setup.vault.get_key(None).await.unwrap_err();
        assert_eq!(failure.kind(), FailureKind::Unauthenticated, "{failure}");
        assert!(failure.to_string().contains(words) && !failure.to_string().contains(CANARY), "{failure}");
        assert_eq!(setup.observed.count(Operation::Token, Answer::Unauthenticated), u32::from(status == 401));
        // It heals by itself.
        setup.vault.get_key(None).await.unwrap();
    }
    for (status, kind) in [(503, FailureKind::Unavailable), (429, FailureKind::Throttled)] {
        let setup = setup();
        setup.tokens.script(answer(status, "canary"));
        assert_eq!(setup.vault.get_key(None).await.unwrap_err().kind(), kind);
        assert_eq!(setup.tokens.count(), 1, "the SDK tries nothing again");
    }
    let setup = setup();
    setup.tokens.script(double::Scripted::Untrusted);
    let failure = setup.vault.get_key(None).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Untrusted);
    assert!(failure.to_string().contains("login.microsoftonline.com"), "{failure}");
}

#[tokio::test]
async fn the_authority_is_the_clouds_or_the_configured_one() {
    for (config, authority) in [
        (config(), "https://login.microsoftonline.com/tenant/"),
        (
            Config { url: "https://team.vault.azure.cn".to_owned(), ..config() },
            "https://login.chinacloudapi.cn/tenant/",
        ),
        (
            Config { authority_host: Some("https://login.example:8443".to_owned()), ..config() },
            "https://login.example:8443/tenant/",
        ),
    ] {
        let resource = config.url.replace("team.", "");
        let setup = setup_with(config);
        setup.double.challenge_with(&resource);
        // The double answers for one vault only: what comes of it does not matter here.
        let _ = setup.vault.get_key(None).await;
        assert_eq!(setup.tokens.requests(), [format!("POST {authority}oauth2/v2.0/token")]);
    }
}

#[tokio::test]
async fn a_missing_token_file_is_a_failure_that_heals() {
    let folder = std::env::temp_dir().join(format!("privyseal-vault-token-{}", std::process::id()));
    let token_file = folder.join("token");
    let setup = setup_with(Config {
        credential: Credential::WorkloadIdentity {
            tenant: "tenant".to_owned(),
            client: "client".to_owned(),
            token_file: token_file.clone(),
        },
        ..config()
    });
    let failure = setup.vault.get_key(None).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Unauthenticated);
    assert!(failure.to_string().contains("api://AzureADTokenExchange"), "{failure}");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(&token_file, "canary-assertion").unwrap();
    let result = setup.vault.get_key(None).await;
    std::fs::remove_dir_all(&folder).unwrap();
    result.unwrap();
}

#[tokio::test]
async fn managed_identity_asks_the_metadata_service_once_and_says_what_to_do() {
    let setup = setup_with(Config {
        credential: Credential::ManagedIdentity { client: Some("client".to_owned()) },
        ..config()
    });
    setup.tokens.script(answer(400, r#"{"error":"invalid_request","error_description":"canary"}"#));
    let failure = setup.vault.get_key(None).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Unauthenticated);
    assert!(failure.to_string().contains("assign the managed identity"), "{failure}");
    setup.tokens.script(answer(500, ""));
    assert_eq!(setup.vault.get_key(None).await.unwrap_err().kind(), FailureKind::Unavailable);
    setup.vault.get_key(None).await.unwrap();
    let requests = setup.tokens.requests();
    assert_eq!(requests.len(), 3, "the SDK's own retries are off: {requests:?}");
    assert!(
        requests.iter().all(|url| url.starts_with("GET http://169.254.169.254/metadata/")),
        "{requests:?}"
    );
}

#[tokio::test]
async fn a_vault_that_asks_for_a_token_of_something_else_gets_none() {
    let setup = setup();
    setup.double.challenge_with("https://management.azure.com");
    let failure = setup.vault.get_key(None).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Untrusted, "{failure}");
    assert_eq!(setup.tokens.count(), 0);

    // An emulator may.
    let setup = setup_with(Config { emulator: true, ..config() });
    setup.double.challenge_with("https://localhost:8443");
    setup.vault.get_key(None).await.unwrap();
}

#[tokio::test]
async fn a_second_401_is_told_as_what_it_is() {
    let setup = setup();
    let body = r#"{"error":{"code":"Unauthorized","message":"AKV10032: Invalid issuer. canary"}}"#;
    setup.double.refuse_tokens(body);
    let failure = setup.vault.get_key(None).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Unauthenticated);
    assert!(failure.to_string().contains("another tenant"), "{failure}");
    assert!(!format!("{failure:?}").contains(CANARY));
}

#[tokio::test]
async fn no_text_holds_a_secret() {
    let shown = format!("{:?}", config());
    assert!(!shown.contains(CANARY), "{shown}");
    let setup = setup();
    let custody = setup.vault.custody(Kind::KeyVaultSecret).unwrap();
    let reference = kept(custody.keep(&ONE.subject, &ONE.private).await.unwrap());
    let key = setup.vault.current_key().await.unwrap();
    let versions = setup.vault.secret_versions(setup.vault.secret_name()).await.unwrap();
    let shown =
        format!("{reference:?} {} {key:?} {versions:?} {:?}", reference.to_json(), setup.observed.calls());
    assert!(!shown.contains("PRIVATE") && !shown.contains(CANARY), "{shown}");
    let pem = String::from_utf8(ONE.private.to_vec()).unwrap();
    assert!(pem.lines().skip(1).take(5).all(|line| !shown.contains(line)));
}

#[test]
fn configurations_that_cannot_work_are_refused_at_once() {
    let new = |config: Config| KeyVault::new(config, Arc::new(())).err();
    assert_eq!(new(config()), None);
    let long = "a".repeat(118);
    let client_secret = |tenant: &str, secret: &str| Credential::ClientSecret {
        tenant: tenant.to_owned(),
        client: "client".to_owned(),
        secret: Zeroizing::new(secret.to_owned()),
    };
    for (bad, expected) in [
        (Config { budget: 0, ..config() }, ConfigError::Budget),
        (Config { key_name: "a/b".to_owned(), ..config() }, ConfigError::ObjectName),
        (Config { secret_name: long, ..config() }, ConfigError::SecretName),
        (Config { authority_host: Some("login".to_owned()), ..config() }, ConfigError::AuthorityHost),
        (Config { credential: client_secret("../x", "s"), ..config() }, ConfigError::Tenant),
        (Config { credential: client_secret("t", ""), ..config() }, ConfigError::ClientSecret),
        (Config { extra_roots: b"canary".to_vec(), ..config() }, ConfigError::ExtraRoots),
    ] {
        assert_eq!(new(bad), Some(expected));
    }
    let hsm = Config { url: "https://team.managedhsm.azure.net".to_owned(), ..config() };
    let hsm = KeyVault::new(hsm, Arc::new(())).ok().unwrap();
    assert_eq!(hsm.custody(Kind::KeyVaultSecret).err(), Some(ConfigError::NoSecrets));
    assert!(hsm.custody(Kind::KeyVaultWrapped).is_ok());
}

/// Over real TLS, since this is about the error that reqwest makes of it.
#[tokio::test]
async fn a_certificate_that_does_not_verify_is_untrusted_and_the_right_root_is_enough() {
    let root = double::TlsVault::start().await;
    let vault = |extra: &str| {
        let config = Config {
            url: format!("https://localhost:{}", root.port),
            emulator: true,
            extra_roots: extra.as_bytes().to_vec(),
            ..config()
        };
        KeyVault::new(config, Arc::new(())).ok().unwrap()
    };
    let failure = vault("").get_key(None).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Untrusted, "{failure}");
    assert!(failure.to_string().contains("its issuer is not known"), "{failure}");
    let failure = vault(&root.certificate).get_key(None).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Unavailable, "{failure}");
    assert!(failure.to_string().contains("status 503"), "{failure}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unavailable() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://127.0.0.1:{}", nobody.local_addr().unwrap().port());
    drop(nobody);
    let vault = KeyVault::new(Config { url, emulator: true, ..config() }, Arc::new(())).ok().unwrap();
    let failure = vault.get_key(None).await.unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Unavailable);
    assert!(failure.to_string().contains("cannot be reached"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn however_many_wait_for_the_same_token_each_gives_up_in_time() {
    let setup = setup();
    for _ in 0..20 {
        setup.tokens.script(double::Scripted::Never);
    }
    let before = tokio::time::Instant::now();
    let mut all = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let vault = setup.vault.clone();
        all.spawn(async move { vault.get_key(None).await.err().map(|failure| failure.kind()) });
    }
    assert!(all.join_all().await.into_iter().all(|one| one == Some(FailureKind::Unavailable)));
    assert!(before.elapsed() <= Duration::from_secs(45), "{:?}", before.elapsed());
}
