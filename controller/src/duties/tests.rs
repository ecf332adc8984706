//! Months of renewal, on a clock that stands still while anything is done and jumps when nothing is.

mod api_server;

use super::*;
use api_server::ApiServer;
use privyseal_custody::published::from_config_map;
use privyseal_envelope::rsa::KeySize;
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
    let client = api_server.client();
    let metrics = Arc::new(Metrics::new());
    Duties {
        keys: KeyConfig {
            prefix: "key".to_owned(),
            size: KeySize::Rsa2048,
            ttl: DAY * 3650,
            common_name: String::new(),
            renew_period: Some(DAY * 30),
        },
        store: Arc::new(KeyStore::new(client.clone(), api_server::NAMESPACE, "key", Arc::clone(&metrics))),
        leadership: Leadership::unquestioned(),
        publisher: Publisher::new(client.clone(), api_server::NAMESPACE),
        events: Events::new(client, api_server::NAMESPACE, "test"),
        metrics,
        now,
    }
}

/// Runs a leader for so long. It ends as a process ends that is killed.
async fn lead(api_server: &ApiServer, publisher_key: &PublisherKey, count: u32) {
    let duties = duties(api_server);
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
    let next = duties(&api_server).publisher_key().await;
    assert!(next.public_key() == restored.public_key());
    lead(&api_server, &next, 5).await;
    assert_eq!(api_server.made().len(), 1);
    let (_, by) = from_config_map(&api_server.published().unwrap()).unwrap();
    assert!(by == restored.public_key());
}
