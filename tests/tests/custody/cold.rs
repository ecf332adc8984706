//! A thousand objects, a cold start, and a vault that throttles.

use super::{Scene, text};
use futures::StreamExt as _;
use kube::api::ListParams;
use privyseal_tests::ControlPlane;
use privyseal_tests::eventually::eventually;
use privyseal_tests::key_vault::{CallFault, Trouble};
use privyseal_tests::objects::{self, conditions, sealed_secrets};
use privyseal_tests::sealing::{privyseal_command, run};
use privyseal_tests::{Controller, Vaulted};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const OBJECTS: usize = 1000;
const THROTTLED: Duration = Duration::from_secs(20);

/// Half of the objects are right before the restart and half are new. The vault is asked once for each key and now and then
/// while it throttles, however many objects wait; those wait in plain sight, and nothing that was right is touched.
#[allow(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
async fn a_thousand_objects_wait(custody: &str) {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::set(&control_plane, custody).await;
    let sealed = seal_all(&scene).await;
    apply_all(&scene, &sealed[..OBJECTS / 2]).await;
    scene.are_ready(OBJECTS / 2).await;
    let before = scene.versions().await;

    scene.controller.stop();
    apply_all(&scene, &sealed[OBJECTS / 2..]).await;
    let Vaulted { vault, entra, .. } = &scene.vaulted;
    vault.forget_calls();
    entra.forget_exchanges();
    let throttled = Trouble::Throttled { retry_after: None };
    let throttling = vault.inject(CallFault::new("*", throttled));
    let began = Instant::now();
    scene.controller = Controller::launch(&scene.vaulted.release, scene.vaulted.options()).await;
    let limit = Duration::from_secs(90);
    eventually(limit, async || {
        let waiting = scene.count(|c| c.kind == "Reconciling" && c.reason == "KeyVaultUnavailable").await;
        if waiting == OBJECTS / 2 { Ok(()) } else { Err(waiting) }
    })
    .await;
    // None was told twice. (One whose answer was lost on a busy machine is not counted.)
    let told = scene.controller.metrics().await.value("privyseal_status_writes_total", &[]);
    assert!(told <= Some(OBJECTS as f64 / 2.0), "{custody}: {told:?}");
    tokio::time::sleep(THROTTLED.saturating_sub(began.elapsed())).await;
    throttling.remove();
    let throttled = began.elapsed();
    eventually(Duration::from_secs(90), async || {
        let ready = scene.count(|c| c.kind == "Ready" && c.status == "True").await;
        if ready == OBJECTS { Ok(()) } else { Err(ready) }
    })
    .await;
    let took = began.elapsed();
    let after = scene.versions().await;
    let flapped: Vec<_> = before.iter().filter(|(name, version)| after.get(*name) != Some(version)).collect();
    assert!(flapped.is_empty(), "{custody}: {} flapped", flapped.len());
    scene.values_are_right().await;

    let metrics = scene.controller.metrics().await;
    let value = |name: &str| metrics.value(name, &[]).unwrap_or_default();
    let (private, writes) =
        (value("privyseal_private_operations_total"), value("privyseal_status_writes_total"));
    assert_eq!(private, OBJECTS as f64 / 2.0, "{custody}: what was right is not opened again");
    assert!(
        writes <= OBJECTS as f64,
        "{custody}: a new one says that it waits, and that it is done: {writes}"
    );
    let operation = if custody == "key-vault-secret" { "getSecret" } else { "unwrapKey" };
    let calls = scene.vaulted.vault.calls();
    let with_token = calls.iter().filter(|call| !call.challenged).count();
    let refused = calls.iter().filter(|call| call.status == Some(429)).count();
    let good = calls.iter().filter(|call| call.operation == operation && call.status == Some(200)).count();
    let exchanges = scene.vaulted.entra.exchanges().len();
    println!(
        "{custody}: {OBJECTS} objects, throttled for {:.1} s: all right after {:.1} s; {with_token} calls of the \
         vault ({refused} answered 429, {good} {operation} answered), {exchanges} tokens, {private} private operations",
        throttled.as_secs_f64(),
        took.as_secs_f64()
    );
    // The sealing key and the publisher key, once each.
    assert_eq!(good, 2, "{custody}: {calls:?}");
    assert_eq!(exchanges, 1, "{custody}");
    // 1, 2, 4, 8, 16 s: a handful, from all that asks together.
    assert!(refused <= 15, "{custody}: {refused} refused calls in {throttled:?}");
    assert!(value("privyseal_key_vault_throttled_total") >= refused as f64);
}

#[tokio::test]
async fn a_thousand_objects_wait_for_a_throttled_vault_and_ask_it_nothing_of_keys_in_it() {
    a_thousand_objects_wait("key-vault-secret").await;
}

#[tokio::test]
async fn a_thousand_objects_wait_for_a_throttled_vault_and_ask_it_nothing_of_keys_under_its_key() {
    a_thousand_objects_wait("key-vault-wrapped").await;
}

/// One call of the command line seals all.
async fn seal_all(scene: &Scene<'_>) -> Vec<Value> {
    let secret = |number: usize| {
        json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name(number), "namespace": scene.namespace},
            "stringData": {"a": number.to_string()},
        })
    };
    let list =
        json!({"apiVersion": "v1", "kind": "List", "items": (0..OBJECTS).map(secret).collect::<Vec<_>>()});
    let sealer = privyseal_tests::sealing::Sealer::of(&scene.controller).await;
    let mut command = privyseal_command();
    command.args(["seal", "-", "-o", "json", "--cert"]).arg(sealer.certificate());
    let output = run(&mut command, &list.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sealed = serde_json::Deserializer::from_slice(&output.stdout).into_iter();
    sealed.collect::<Result<_, _>>().unwrap()
}

fn name(number: usize) -> String {
    format!("cold-{number:04}")
}

async fn apply_all(scene: &Scene<'_>, objects: &[Value]) {
    let applied = objects.iter().map(|object| objects::apply(&scene.client, None, object));
    futures::stream::iter(applied).buffer_unordered(16).for_each(|_| async {}).await;
}

impl Scene<'_> {
    async fn count(&self, wanted: impl Fn(&objects::Condition) -> bool) -> usize {
        let list = sealed_secrets(&self.client, &self.namespace).list(&ListParams::default()).await.unwrap();
        list.items.iter().filter(|object| conditions(object).iter().any(&wanted)).count()
    }

    async fn are_ready(&self, count: usize) {
        eventually(Duration::from_secs(90), async || {
            let ready = self.count(|c| c.kind == "Ready" && c.status == "True").await;
            if ready == count { Ok(()) } else { Err(ready) }
        })
        .await;
    }

    /// Name and resourceVersion of each object: any write of a status changes it.
    async fn versions(&self) -> BTreeMap<String, String> {
        let list = sealed_secrets(&self.client, &self.namespace).list(&ListParams::default()).await.unwrap();
        let pair = |object: kube::core::DynamicObject| {
            (object.metadata.name.unwrap(), object.metadata.resource_version.unwrap())
        };
        list.items.into_iter().map(pair).collect()
    }

    async fn values_are_right(&self) {
        let api =
            kube::Api::<k8s_openapi::api::core::v1::Secret>::namespaced(self.client.clone(), &self.namespace);
        let secrets = api.list(&ListParams::default()).await.unwrap().items;
        let values: BTreeMap<_, _> = secrets
            .iter()
            .filter_map(|secret| Some((secret.metadata.name.clone()?, text(secret, "a")?)))
            .collect();
        let expected: BTreeMap<_, _> =
            (0..OBJECTS).map(|number| (name(number), number.to_string())).collect();
        assert!(values == expected, "{} Secrets, and not all are right", values.len());
    }
}
