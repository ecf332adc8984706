//! A key without age identities gets them, once, and nobody seals to what no backup holds.

use super::api_server::{ApiServer, Death, NAMESPACE};
use super::*;
use async_trait::async_trait;
use privyseal_custody::backup::Backup;
use privyseal_custody::custody::{
    Custody, Envelope, FailureKind, Found, Half, Kind as CustodyKind, Purpose, Reference, Subject,
};
use privyseal_custody::key_secrets::publisher_secret;
use privyseal_envelope::{Item, Plaintext};
use privyseal_keys::PublicHalf;
use privyseal_manifest::Secret;

/// A key Secret as the peer makes it, and an older release did.
fn bare(name: &str, age: SignedDuration) -> Secret {
    let pair = KeyPair::generate(KeySize::Rsa2048, "", now() - age, DAY * 3650).ok().unwrap();
    let mut secret = key_secret::to_secret(&pair, "", Some(NAMESPACE)).unwrap();
    secret.metadata.generate_name = None;
    secret.metadata.name = Some(name.to_owned());
    secret.metadata.resource_version = Some("1".to_owned());
    for (item, start) in [("tls.crt", "age1"), ("tls.key", "AGE-SECRET-KEY-")] {
        let text = text(&secret, item);
        let text = Plaintext::from(&text.as_bytes()[..text.find(start).unwrap()]);
        secret.data.insert(Item::parse(item).unwrap(), text);
    }
    secret
}

fn text(secret: &Secret, item: &str) -> String {
    String::from_utf8(secret.data[item].expose().to_vec()).unwrap()
}

/// The key that is published first.
fn sealing(api_server: &ApiServer) -> PublicHalf {
    from_config_map(&api_server.published().unwrap()).unwrap().0.keys.remove(0)
}

/// The public half of the one key in the one backup.
fn backed_up(api_server: &ApiServer, identity: &Identity) -> PublicHalf {
    let [backup] = <[_; 1]>::try_from(api_server.backups()).unwrap();
    let archive = Archive::verify(escrow::text(&backup).unwrap().as_bytes()).unwrap();
    let opened = archive.open(std::slice::from_ref(identity)).ok().unwrap();
    opened.keys()[0].entry().public_half().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_key_that_seals_gets_identities_once_and_keeps_its_own_bytes() {
    let api_server = ApiServer::new();
    let publisher_key = PublisherKey::generate().ok().unwrap();
    let secret = bare("theirs", DAY);
    // Without a final line feed, and with another certificate behind the one that counts.
    let other = text(&bare("other", DAY), "tls.crt");
    let (certificate, private) = (format!("{}{other}", text(&secret, "tls.crt")), text(&secret, "tls.key"));
    let mut planted = secret.clone();
    for (item, text) in [("tls.crt", certificate.as_str()), ("tls.key", private.trim_end())] {
        planted.data.insert(Item::parse(item).unwrap(), Plaintext::from(text.as_bytes()));
    }
    api_server.plant(&planted);
    lead(&api_server, &publisher_key, 1).await;
    let first = sealing(&api_server);
    assert_eq!(
        first.recipients.iter().map(Recipient::kind).collect::<Vec<_>>(),
        [Kind::Hybrid, Kind::X25519]
    );
    let (crt, key) = (api_server.item("theirs", "tls.crt"), api_server.item("theirs", "tls.key"));
    assert!(crt.starts_with(&certificate) && crt[certificate.len()..].starts_with("age1pq1"), "{crt}");
    assert!(key.starts_with(&private) && key[private.len()..].starts_with("AGE-SECRET-KEY-PQ-1"));
    let read = KeyPair::from_texts(crt.as_bytes(), key.as_bytes()).ok().unwrap();
    assert_eq!(read.public_half(), first);

    lead(&api_server, &publisher_key, 5).await;
    assert_eq!((sealing(&api_server), api_server.replaced(), api_server.made().len()), (first, 1, 0));
}

/// A key that an older release made is ours as before; a stranger's does not become it.
#[tokio::test(start_paused = true)]
async fn a_key_of_ours_is_marked_anew_and_no_other() {
    let [ours, theirs] = [0, 1].map(|_| PublisherKey::generate().ok().unwrap());
    for (maker, is_ours) in [(&ours, true), (&theirs, false)] {
        let mut secret = bare("old", DAY);
        let key = key_secret::from_secret(&secret).ok().unwrap().public_half().unwrap();
        let mark = MakerMark::make(maker, &key).as_str().to_owned();
        secret.metadata.annotations = Some([(privyseal_custody::MADE_BY.to_owned(), mark)].into());
        let api_server = ApiServer::new();
        api_server.plant(&secret);
        lead(&api_server, &ours, 1).await;
        let with_identities = sealing(&api_server);
        assert_eq!(with_identities.recipients.len(), 2);
        let status = from_status(&api_server);
        assert_eq!(status, if is_ours { "MadeByLeader" } else { "ForeignSealingKey" });
    }
}

/// What the published ConfigMap says of the key that seals.
fn from_status(api_server: &ApiServer) -> String {
    let status = privyseal_custody::published::status(&api_server.published().unwrap()).unwrap();
    serde_json::to_value(&status).unwrap()["reason"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn no_other_key_is_changed() {
    let publisher_key = PublisherKey::generate().ok().unwrap();
    for (annotation, age, changed) in
        [("a.note", 1, 1), (key_secret::COMPROMISED, 1, 0), (key_secret::ROTATE, 1, 0), ("a.note", 31, 0)]
    {
        let mut sealing = bare("sealing", DAY * age);
        sealing.metadata.annotations =
            Some([(annotation.to_owned(), "2026-01-01T00:00:00Z".to_owned())].into());
        let mut retired = bare("retired", SignedDuration::ZERO);
        retired.metadata.labels = Some([(names::SEALED_SECRETS_KEY.to_owned(), "retired".to_owned())].into());
        let api_server = ApiServer::new();
        for secret in [&sealing, &retired, &bare("older", DAY * 40)] {
            api_server.plant(secret);
        }
        lead(&api_server, &publisher_key, 1).await;
        assert_eq!(api_server.replaced(), changed, "{annotation} {age}");
        // One that is to be replaced is, by a key that has identities from the start.
        assert_eq!(api_server.made().len(), 1 - changed);
        for name in ["retired", "older"] {
            assert!(!api_server.item(name, "tls.key").contains("AGE-SECRET-KEY-"), "{name}");
        }
        assert_eq!(self::sealing(&api_server).recipients.len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn each_step_may_be_the_last_one_of_a_leader_and_no_recipient_is_published_without_its_backup() {
    let identity = Identity::generate_hybrid().unwrap();
    let recipients = [identity.recipient()];
    let publisher_key = PublisherKey::generate().ok().unwrap();
    // The backup, the Secret, the published list.
    for (step, death) in (0..3).flat_map(|step| [(step, Death::Before), (step, Death::After)]) {
        let api_server = ApiServer::new();
        api_server.plant(&bare("old", DAY));
        api_server.die_at(step, death);
        work(&duties_with(&api_server, &recipients), &publisher_key, 1).await;
        let has_identities = api_server.item("old", "tls.key").contains("AGE-SECRET-KEY-");
        assert_eq!(has_identities, (step, death) >= (1, Death::After), "{step} {death:?}");
        if has_identities {
            let secret = api_server.item("old", "tls.crt");
            let public = PublicHalf::from_text(secret.as_bytes()).unwrap();
            assert_eq!(backed_up(&api_server, &identity), public, "{step} {death:?}");
        }

        api_server.fail(false);
        work(&duties_with(&api_server, &recipients), &publisher_key, 1).await;
        let published = sealing(&api_server);
        assert_eq!(published.recipients.len(), 2, "{step} {death:?}");
        assert_eq!(backed_up(&api_server, &identity), published, "{step} {death:?}");
        assert_eq!(api_server.made().len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_holds_other_identities_is_stored_anew() {
    let identity = Identity::generate_hybrid().unwrap();
    let recipients = [identity.recipient()];
    let publisher_key = PublisherKey::generate().ok().unwrap();
    let store = |api_server: &ApiServer, secret: &Secret| {
        let backup =
            Backup::new(publisher_secret(&publisher_key, NAMESPACE), vec![secret.clone()]).ok().unwrap();
        let text = backup.seal("", NAMESPACE, &to(&recipients).unwrap(), now()).unwrap();
        let fingerprint = backup.keys()[0].entry().fingerprint();
        api_server.put_backup(&escrow::to_config_map(fingerprint, NAMESPACE, text));
    };
    // A backup of an older release, without any.
    let api_server = ApiServer::new();
    let secret = bare("old", DAY);
    api_server.plant(&secret);
    store(&api_server, &secret);
    work(&duties_with(&api_server, &recipients), &publisher_key, 1).await;
    let published = sealing(&api_server);
    assert_eq!((published.recipients.len(), backed_up(&api_server, &identity)), (2, published.clone()));

    // Another leader stored its own just before it lost the race for the Secret.
    let pair =
        KeyPair::from_texts(secret.data["tls.crt"].expose(), secret.data["tls.key"].expose()).ok().unwrap();
    let mut theirs =
        key_secret::to_secret(&pair.with_identities().ok().unwrap(), "", Some(NAMESPACE)).unwrap();
    theirs.metadata.name = Some("old".to_owned());
    store(&api_server, &theirs);
    assert_ne!(backed_up(&api_server, &identity), published);
    work(&duties_with(&api_server, &recipients), &publisher_key, 1).await;
    assert_eq!((sealing(&api_server), backed_up(&api_server, &identity)), (published.clone(), published));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_overtaken_looks_again() {
    let api_server = ApiServer::new();
    let publisher_key = PublisherKey::generate().ok().unwrap();
    api_server.plant(&bare("old", DAY));
    api_server.overtake();
    lead(&api_server, &publisher_key, 1).await;
    assert_eq!((api_server.replaced(), sealing(&api_server).recipients.len()), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn while_the_backup_cannot_be_stored_the_certificate_seals_and_no_recipient_does() {
    let identity = Identity::generate_hybrid().unwrap();
    let recipients = [identity.recipient()];
    let publisher_key = PublisherKey::generate().ok().unwrap();
    for lost in [false, true] {
        let api_server = ApiServer::new();
        api_server.plant(&bare("old", DAY));
        api_server.refuse_backups(!lost);
        api_server.lose_backups(lost);
        let duties = duties_with(&api_server, &recipients);
        work(&duties, &publisher_key, 2).await;
        assert!(sealing(&api_server).recipients.is_empty());
        assert_eq!(api_server.replaced(), 0);
        let failures = duties.metrics.escrow_failures.get();
        assert!((3..100).contains(&failures), "it is tried again, and not all the time: {failures}");
        assert_eq!(duties.metrics.escrow_pending.get(), 1);
        let told = api_server.events().iter().filter(|reason| *reason == "EscrowFailed").count();
        assert_eq!(told, 1, "told once, not at each try");

        api_server.refuse_backups(false);
        api_server.lose_backups(false);
        work(&duties, &publisher_key, 1).await;
        assert_eq!(backed_up(&api_server, &identity), sealing(&api_server));
        assert_eq!((sealing(&api_server).recipients.len(), duties.metrics.escrow_pending.get()), (2, 0));
    }
}

/// A vault that keeps what it is given in the reference itself, and gives it back for that key and Secret only.
#[derive(Default)]
struct Shelf {
    kept: std::sync::Mutex<usize>,
    refuses: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Custody for Shelf {
    fn kind(&self) -> CustodyKind {
        CustodyKind::KeyVaultWrapped
    }

    async fn keep(&self, subject: &Subject, private: &[u8]) -> Result<Half, Failure> {
        if self.refuses.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(Failure::new(FailureKind::Unavailable, "down"));
        }
        *self.kept.lock().unwrap() += 1;
        Ok(Half::Kept(Reference::KeyVaultWrapped(Envelope {
            version: 1,
            key: subject.secret.clone(),
            wrapped: subject.public.fingerprint().to_string(),
            ciphertext: Plaintext::from(private).to_base64().to_string(),
        })))
    }

    async fn fetch(&self, subject: &Subject, reference: &Reference) -> Result<Plaintext, Failure> {
        let Reference::KeyVaultWrapped(envelope) = reference else { unreachable!() };
        let is_its_own =
            envelope.key == subject.secret && envelope.wrapped == subject.public.fingerprint().to_string();
        match is_its_own {
            true => Ok(Plaintext::from_base64(&envelope.ciphertext).unwrap()),
            false => Err(Failure::new(FailureKind::Damaged, "of another key")),
        }
    }

    async fn is_current(&self, _: &Reference) -> Result<bool, Failure> {
        Ok(true)
    }

    async fn found(&self, _: Purpose, _: &[Reference]) -> Result<Vec<Found>, Failure> {
        Ok(Vec::new())
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_vault_keeps_is_kept_anew_with_its_identities_and_once() {
    let identity = Identity::generate_hybrid().unwrap();
    let publisher_key = PublisherKey::generate().ok().unwrap();
    for recipients in [vec![], vec![identity.recipient()]] {
        let shelf = Arc::new(Shelf::default());
        let custodies =
            Custodies::new(CustodyKind::KeyVaultWrapped, vec![shelf.clone()], Duration::from_secs(60));
        let api_server = ApiServer::new();
        let kept = custodies.keep_key(&bare("old", DAY)).await.ok().unwrap();
        api_server.plant(&kept);
        let before = api_server.item("old", key_secret::REFERENCE_ITEM);

        // While the vault is down the certificate goes on sealing.
        shelf.refuses.store(true, std::sync::atomic::Ordering::Relaxed);
        let duties = duties_in(&api_server, &recipients, custodies.clone());
        work(&duties, &publisher_key, 1).await;
        assert!(sealing(&api_server).recipients.is_empty());
        assert_eq!((api_server.replaced(), api_server.made().len()), (0, 0));

        shelf.refuses.store(false, std::sync::atomic::Ordering::Relaxed);
        work(&duties, &publisher_key, 1).await;
        let published = sealing(&api_server);
        assert_eq!((published.recipients.len(), api_server.replaced()), (2, 1));
        assert_eq!(*shelf.kept.lock().unwrap(), 2, "once to begin with, and once with identities");
        assert_ne!(api_server.item("old", key_secret::REFERENCE_ITEM), before);
        assert_eq!(api_server.item("old", "tls.key"), "", "no byte of it lies in the cluster");
        let opened = custodies.open(&api_server.secret("old")).await.ok().unwrap();
        assert_eq!(opened.public_half(), Some(published.clone()));
        if !recipients.is_empty() {
            assert_eq!(backed_up(&api_server, &identity), published);
        }
        // As the next leader finds it.
        let next = duties_in(&api_server, &recipients, custodies);
        work(&next, &publisher_key, 1).await;
        assert_eq!((sealing(&api_server), api_server.replaced()), (published, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_about_to_be_moved_to_a_vault_gets_none() {
    let publisher_key = PublisherKey::generate().ok().unwrap();
    let shelf = Arc::new(Shelf::default());
    let custodies = Custodies::new(CustodyKind::KeyVaultWrapped, vec![shelf], Duration::from_secs(60));
    let api_server = ApiServer::new();
    api_server.plant(&bare("clear", DAY));
    work(&duties_in(&api_server, &[], custodies.clone()), &publisher_key, 1).await;
    // It was moved, and another key seals.
    let moved = custodies.open(&api_server.secret("clear")).await.ok().unwrap();
    assert!(moved.identities().is_empty());
    let published = sealing(&api_server);
    assert!(published.fingerprint() != moved.fingerprint() && published.recipients.len() == 2);
}
