//! Many values and few calls: turns, a cache that is off, and how fast it is.

use super::{Scene, sealed};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, ListParams};
use privyseal_tests::ControlPlane;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{conditions, sealed_secrets, wait_for_condition_within, wait_for_secret};
use privyseal_tests::vaulted::HSM_KEY;
use std::time::{Duration, Instant};

impl Scene<'_> {
    /// Applies so many objects of so many values.
    async fn apply_many(&self, namespace: &str, objects: usize, values: usize) {
        let key = [self.hsm_key()];
        for n in 0..objects {
            let name = format!("object-{n}");
            let items: Vec<_> = (0..values).map(|at| format!("item-{at}")).collect();
            let values =
                items.iter().map(|item| (item.as_str(), sealed(&key, (namespace, &name, item), item)));
            self.apply_values(namespace, &name, values.collect()).await;
        }
    }

    /// How many objects of a namespace are ready, and how many wait in line.
    async fn ready_and_queued(&self, namespace: &str) -> (usize, usize) {
        let all = sealed_secrets(&self.client, namespace).list(&ListParams::default()).await.unwrap().items;
        let with = |kind: &str, reason: &str| {
            let is = |object: &&kube::api::DynamicObject| {
                conditions(object).iter().any(|c| c.kind == kind && c.status == "True" && c.reason == reason)
            };
            all.iter().filter(is).count()
        };
        (with("Ready", "Unsealed"), with("Reconciling", "KeyVaultQueued"))
    }
}

/// A crowd and a late-comer share a budget of 5 calls in 10 seconds.
#[tokio::test]
async fn within_the_budget_namespaces_take_turns_and_who_waits_says_so() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::with_hsm_key(&control_plane, "cluster", &["--hsm-budget=5"]).await;
    let (crowd, late) = (scene.namespace.clone(), control_plane.namespace("late").await);
    scene.apply_many(&crowd, 13, 2).await;
    eventually(PATIENCE, async || {
        let (ready, queued) = scene.ready_and_queued(&crowd).await;
        if queued >= 10 { Ok(()) } else { Err((ready, queued)) }
    })
    .await;
    let message = scene.says("object-12", "Reconciling", "KeyVaultQueued").await;
    assert!(message.contains("2 values wait") && message.contains("budget"), "{message}");
    let metrics = scene.controller.metrics().await;
    assert!(metrics.value("privyseal_hsm_waiting", &[]).is_some_and(|waiting| waiting >= 20.0));
    assert_eq!(metrics.value("privyseal_hsm_budget", &[]), Some(5.0));
    // Nobody who needs no vault waits behind them.
    scene.apply("classic", "1").await;
    scene.is_right("classic", "1").await;

    // 4 values of the late-comer against some 20 of the crowd: turn by turn they take two spans, not five.
    let came = Instant::now();
    scene.apply_many(&late, 2, 2).await;
    for n in 0..2 {
        let limit = Duration::from_secs(60);
        wait_for_condition_within(limit, &scene.client, &late, &format!("object-{n}"), "Ready", "True").await;
    }
    assert!(came.elapsed() < Duration::from_secs(35), "{:?}", came.elapsed());
    let (ready, _) = scene.ready_and_queued(&crowd).await;
    // With `classic` in the same namespace.
    assert!((2..13).contains(&ready), "{ready} of the crowd are ready");

    let calls: Vec<_> = scene
        .vaulted
        .vault
        .calls()
        .into_iter()
        .filter(|call| call.operation == "unwrapKey" && call.name == HSM_KEY && !call.challenged)
        .map(|call| call.at)
        .collect();
    // They are counted here as they arrive, and there as they leave.
    let span = Duration::from_millis(9500);
    assert!(calls.iter().zip(&calls[5..]).all(|(first, sixth)| *sixth - *first > span), "{calls:?}");

    // With a budget that is worth the name all is done in a moment, and nothing twice.
    scene.restart_with("--hsm-budget=1000").await;
    eventually(PATIENCE, async || {
        let (ready, queued) = scene.ready_and_queued(&crowd).await;
        if ready == 14 { Ok(()) } else { Err((ready, queued)) }
    })
    .await;
    wait_for_secret(&scene.client, &crowd, "object-12", &[("item-0", b"item-0"), ("item-1", b"item-1")])
        .await;
}

#[tokio::test]
async fn without_a_cache_each_opening_costs_its_calls() {
    let control_plane = ControlPlane::start();
    let scene = Scene::with_hsm_key(&control_plane, "cluster", &["--hsm-cache=0"]).await;
    scene.apply_hsm("db", &[("a", "1"), ("b", "2"), ("c", "3")]).await;
    let expected: [(&str, &[u8]); 3] = [("a", b"1"), ("b", b"2"), ("c", b"3")];
    wait_for_secret(&scene.client, &scene.namespace, "db", &expected).await;
    scene.says("db", "Ready", "Unsealed").await;
    assert_eq!(scene.unwraps(), 3);
    let secrets = Api::<Secret>::namespaced(scene.client.clone(), &scene.namespace);
    secrets.delete("db", &DeleteParams::default()).await.unwrap();
    wait_for_secret(&scene.client, &scene.namespace, "db", &expected).await;
    assert_eq!(scene.unwraps(), 6);
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
async fn many_new_values_cost_one_call_each() {
    const OBJECTS: usize = 100;
    const VALUES: usize = 4;
    let control_plane = ControlPlane::start();
    let mut scene = Scene::with_hsm_key(&control_plane, "cluster", &[]).await;
    scene.controller.stop();
    let namespace = scene.namespace.clone();
    scene.apply_many(&namespace, OBJECTS, VALUES).await;
    scene.vaulted.vault.forget_calls();
    let began = Instant::now();
    scene.controller.start_again().await;
    eventually(Duration::from_secs(90), async || {
        let (ready, queued) = scene.ready_and_queued(&namespace).await;
        if ready == OBJECTS { Ok(()) } else { Err((ready, queued)) }
    })
    .await;
    let took = began.elapsed().as_secs_f64();
    let calls: Vec<_> = scene
        .vaulted
        .vault
        .calls()
        .iter()
        .filter(|call| call.operation == "unwrapKey")
        .map(|call| call.at)
        .collect();
    assert_eq!(calls.len(), OBJECTS * VALUES, "one call for each value");
    let span = (calls[calls.len() - 1] - calls[0]).as_secs_f64();
    let metrics = scene.controller.metrics().await;
    let budget = metrics.value("privyseal_hsm_budget", &[]).unwrap();
    println!(
        "{} values of {OBJECTS} objects: {:.0} unwraps a second while they were called, {:.0} values a second from the \
         start to ready; the budget is {:.0} a second ({budget} in 10 s)",
        OBJECTS * VALUES,
        calls.len() as f64 / span,
        (OBJECTS * VALUES) as f64 / took,
        budget / 10.0,
    );
}
