//! Months of renewal, on a clock that stands still while anything is done and jumps when nothing is.

mod api_server;
mod identities;

use super::*;
use api_server::{ApiServer, Death};
use privyseal_custody::backup::{Archive, BackupRecipients};
use privyseal_custody::escrow;
use privyseal_custody::key_secret;
use privyseal_custody::key_secrets::Custodies;
use privyseal_custody::published::from_config_map;
use privyseal_envelope::age::{Identity, Kind, Recipient, Recipients};
use privyseal_envelope::rsa::KeySize;
use privyseal_manifest::names;
use std::sync::LazyLock;
use tokio::time::Instant;

/// A second of tokio's clock is two minutes of ours: a month is some 70 looks at the keys, not 4 000.
const SPEED: u32 = 120;
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// The time of the test's world.
fn now() -> Timestamp {
    thread_local! {
        static START: LazyLock<Instant> = const { LazyLock::new(Instant::now) };
    }
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + START.with(|start| start.elapsed()) * SPEED
}

async fn days(count: u32) {
    tokio::time::sleep(Duration::from_secs(u64::from(count) * 24 * 3600) / SPEED).await;
}

fn duties(api_server: &ApiServer) -> Duties {
    duties_with(api_server, &[])
}

fn duties_with(api_server: &ApiServer, recipients: &[Recipient]) -> Duties {
    duties_in(api_server, recipients, Custodies::cluster())
}

fn duties_in(api_server: &ApiServer, recipients: &[Recipient], custodies: Custodies) -> Duties {
    let client = api_server.client();
    let metrics = Arc::new(Metrics::new());
    Duties {
        keys: KeyConfig {
            prefix: "key".to_owned(),
            size: KeySize::Rsa2048,
            ttl: DAY * 3650,
            common_name: String::new(),
            renew_period: Some(DAY * 30),
            escrow_recipients: to(recipients),
        },
        store: Arc::new(KeyStore::new(
            client.clone(),
            api_server::NAMESPACE,
            "key",
            custodies,
            Arc::clone(&metrics),
        )),
        leadership: Leadership::unquestioned(),
        escrow: Escrow::new(client.clone(), api_server::NAMESPACE, to(recipients)),
        publisher: Publisher::new(client.clone(), api_server::NAMESPACE),
        events: Events::new(client, api_server::NAMESPACE, "test"),
        metrics,
        now,
    }
}

fn to(recipients: &[Recipient]) -> Option<BackupRecipients> {
    let recipients = Recipients::new(recipients.iter().cloned()).ok()?;
    Some(BackupRecipients::new(recipients, false))
}

/// Runs a leader for so long. It ends as a process ends that is killed.
async fn lead(api_server: &ApiServer, publisher_key: &PublisherKey, count: u32) {
    work(&duties(api_server), publisher_key, count).await;
}

async fn work(duties: &Duties, publisher_key: &PublisherKey, count: u32) {
    tokio::select! {
        () = duties.run(publisher_key) => panic!("a leader's duties never end"),
        () = days(count) => {}
    }
}

#[tokio::test(start_paused = true)]
async fn keys_are_renewed_by_age_for_months_whoever_leads() {
    let api_server = ApiServer::new();
    let publisher_key = PublisherKey::generate().ok().unwrap();
    let mut serials = Vec::new();
    // One key at once, and one after each 30 days: 5 at day 0, 30, 60, 90 and 120, whatever leader there is, and none
    // because of a restart.
    for (leads, keys) in [(1, 1), (28, 1), (10, 2), (0, 2), (55, 4), (30, 5)] {
        lead(&api_server, &publisher_key, leads).await;
        assert_eq!(api_server.made().len(), keys, "at {}", now());
        let published = api_server.published().map(|config_map| from_config_map(&config_map).unwrap().0);
        if leads > 0 {
            let list = published.unwrap();
            assert_eq!(list.keys.len(), keys);
            serials.push(list.serial);
        }
    }
    assert!(serials.is_sorted(), "{serials:?}");
    for pair in api_server.made().windows(2) {
        let age = pair[1].duration_since(pair[0]);
        assert!(age >= DAY * 30 && age < DAY * 31, "a key was renewed after {age:#}");
    }

    // A cluster that was switched off for three months gets one key, not three.
    days(90).await;
    lead(&api_server, &publisher_key, 1).await;
    assert_eq!(api_server.made().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_delays_a_key_and_makes_no_second_one() {
    let api_server = ApiServer::new();
    let publisher_key = PublisherKey::generate().ok().unwrap();
    lead(&api_server, &publisher_key, 29).await;
    api_server.fail(true);
    lead(&api_server, &publisher_key, 10).await;
    assert_eq!(api_server.made().len(), 1);
    api_server.fail(false);
    lead(&api_server, &publisher_key, 10).await;
    assert_eq!(api_server.made().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_term_ends_when_the_publisher_key_is_replaced_and_the_next_one_makes_no_key() {
    let api_server = ApiServer::new();
    let [ours, restored] = [0, 1].map(|_| PublisherKey::generate().ok().unwrap());
    api_server.put_publisher(&ours);
    lead(&api_server, &ours, 1).await;
    api_server.put_publisher(&restored);
    let term = duties(&api_server);
    tokio::select! {
        () = term.run(&ours) => {}
        () = days(1) => panic!("the term goes on with a key that was replaced"),
    }
    let next = duties(&api_server).publisher_key(&watch::Sender::new(None)).await;
    assert!(next.public_key() == restored.public_key());
    lead(&api_server, &next, 5).await;
    assert_eq!(api_server.made().len(), 1);
    let (_, by) = from_config_map(&api_server.published().unwrap()).unwrap();
    assert!(by == restored.public_key());
}

/// Keys that are in use, and those that are not yet.
fn states(api_server: &ApiServer) -> (usize, usize) {
    let keys = api_server.keys();
    let count = |state: &str| keys.iter().filter(|(_, label)| label == state).count();
    (count(names::KEY_ACTIVE), count(names::KEY_PENDING))
}

#[tokio::test(start_paused = true)]
async fn each_step_of_a_new_key_may_be_the_last_one_of_a_leader() {
    let identity = Identity::generate_hybrid().unwrap();
    let recipients = [identity.recipient()];
    let publisher_key = PublisherKey::generate().ok().unwrap();
    // The Secret, its backup, its activation, the published list.
    for (step, death) in (0..4).flat_map(|step| [(step, Death::Before), (step, Death::After)]) {
        let api_server = ApiServer::new();
        api_server.die_at(step, death);
        work(&duties_with(&api_server, &recipients), &publisher_key, 1).await;
        let used = states(&api_server).0;
        assert_eq!(used, usize::from((step, death) >= (2, Death::After)), "{step} {death:?}");
        assert!(used == 0 || api_server.backups().len() == 1, "{step} {death:?}: in use without a backup");

        api_server.fail(false);
        work(&duties_with(&api_server, &recipients), &publisher_key, 1).await;
        assert_eq!(states(&api_server), (1, 0), "{step} {death:?}");
        assert_eq!(api_server.made().len(), 1, "{step} {death:?}: made once");
        let [backup] = <[_; 1]>::try_from(api_server.backups()).unwrap();
        let archive = Archive::verify(escrow::text(&backup).unwrap().as_bytes()).unwrap();
        let opened = archive.open(std::slice::from_ref(&identity)).ok().unwrap();
        let list = from_config_map(&api_server.published().unwrap()).unwrap().0;
        let sealing = list.keys[0].certificate.fingerprint();
        assert_eq!(opened.keys()[0].entry().fingerprint(), sealing);
        assert_eq!(backup.metadata.name.unwrap(), escrow::name(sealing));
    }
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_is_not_the_one_is_made_anew_before_the_key_is_used() {
    let recipients = [Identity::generate_hybrid().unwrap().recipient()];
    let publisher_key = PublisherKey::generate().ok().unwrap();
    let api_server = ApiServer::new();
    api_server.die_at(2, Death::Before);
    work(&duties_with(&api_server, &recipients), &publisher_key, 1).await;
    api_server.damage_backups();
    api_server.fail(false);
    work(&duties_with(&api_server, &recipients), &publisher_key, 1).await;
    assert_eq!((states(&api_server), api_server.made().len()), ((1, 0), 1));
    let [backup] = <[_; 1]>::try_from(api_server.backups()).unwrap();
    assert!(Archive::verify(escrow::text(&backup).unwrap().as_bytes()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn no_key_is_used_whose_backup_cannot_be_stored_and_the_old_one_goes_on() {
    let recipients = [Identity::generate_hybrid().unwrap().recipient()];
    let publisher_key = PublisherKey::generate().ok().unwrap();
    let sealing = |api_server: &ApiServer| {
        let list = from_config_map(&api_server.published().unwrap()).unwrap().0;
        list.keys.iter().map(|key| key.certificate.fingerprint()).collect::<Vec<_>>()
    };

    // Not even the first one.
    let api_server = ApiServer::new();
    api_server.refuse_backups(true);
    let duties = duties_with(&api_server, &recipients);
    work(&duties, &publisher_key, 5).await;
    assert_eq!((states(&api_server), api_server.made().len()), ((0, 1), 1));
    assert_eq!(sealing(&api_server), []);
    let failures = duties.metrics.escrow_failures.get();
    assert!((3..100).contains(&failures), "it is tried again, and not all the time: {failures}");
    assert_eq!(duties.metrics.escrow_pending.get(), 1);
    assert_eq!(api_server.events(), ["EscrowFailed"], "told once, not at each try");
    api_server.refuse_backups(false);
    work(&duties, &publisher_key, 1).await;
    assert_eq!((states(&api_server), api_server.made().len()), ((1, 0), 1));
    assert_eq!(duties.metrics.escrow_pending.get(), 0);
    let first = sealing(&api_server);

    // Nor the next: the first goes on sealing for as long as it takes.
    api_server.refuse_backups(true);
    work(&duties_with(&api_server, &recipients), &publisher_key, 50).await;
    assert_eq!((states(&api_server), api_server.made().len()), ((1, 1), 2));
    assert_eq!(sealing(&api_server), first);
    // Whoever gives escrow up has that key at once, and no other.
    lead(&api_server, &publisher_key, 1).await;
    assert_eq!(states(&api_server), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_strangers_pending_key_is_left_alone() {
    let api_server = ApiServer::new();
    let [ours, theirs] = [0, 1].map(|_| PublisherKey::generate().ok().unwrap());
    let pair = KeyPair::generate(KeySize::Rsa2048, "", now(), DAY).ok().unwrap();
    for (name, maker) in [("planted", None), ("foreign", Some(&theirs))] {
        let mut secret = key_secret::to_secret(&pair, "", None).unwrap();
        secret.metadata.name = Some(name.to_owned());
        let label = (names::SEALED_SECRETS_KEY.to_owned(), names::KEY_PENDING.to_owned());
        secret.metadata.labels = Some([label].into());
        secret.metadata.annotations = maker.map(|maker| {
            let mark = MakerMark::make(maker, &pair.public_half()).as_str().to_owned();
            [(privyseal_custody::MADE_BY.to_owned(), mark)].into()
        });
        api_server.plant(&secret);
    }
    work(&duties_with(&api_server, &[Identity::generate_hybrid().unwrap().recipient()]), &ours, 2).await;
    assert_eq!((states(&api_server), api_server.made().len()), ((1, 2), 1));
    assert_eq!(api_server.backups().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_does_not_read_back_is_none() {
    let recipients = [Identity::generate_hybrid().unwrap().recipient()];
    let publisher_key = PublisherKey::generate().ok().unwrap();
    let api_server = ApiServer::new();
    api_server.lose_backups(true);
    let duties = duties_with(&api_server, &recipients);
    work(&duties, &publisher_key, 2).await;
    assert_eq!((states(&api_server), api_server.made().len()), ((0, 1), 1));
    assert!(duties.metrics.escrow_failures.get() > 0);
    api_server.lose_backups(false);
    work(&duties, &publisher_key, 1).await;
    assert_eq!((states(&api_server), api_server.backups().len()), ((1, 0), 1));
}
