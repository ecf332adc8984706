//! The controller is killed at each step of making, rotating and moving keys. No key is lost, none is made twice, and none
//! is in use before it is stored.

use super::{CUSTODIES, Scene, text};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::key_vault::{CallFault, Trouble};
use privyseal_tests::objects;
use privyseal_tests::vaulted::{KEY, PUBLISHER, SECRET, Vaulted};
use privyseal_tests::{Action, ControlPlane, Controller, Fault, FaultProxy, Requests};
use std::time::Duration;

/// A step, which is done or not, and whose answer the controller never sees.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A call of the vault about that key or secret that is not done.
    VaultBefore(&'static str, &'static str),
    /// One that is.
    VaultAfter(&'static str, &'static str),
    /// A write to the API server that is done; the n-th of its kind.
    Api(&'static str, usize),
}

/// The way to the vault and to the API server, on which steps are held.
struct Way<'a> {
    vaulted: &'a Vaulted<'a>,
    proxy: &'a FaultProxy,
}

impl Way<'_> {
    /// Starts a controller with these flags and kills it at that step.
    async fn die_at(&self, step: Step, flags: &[&str]) -> Controller {
        let options = self.vaulted.options().through(self.proxy);
        let options = flags.iter().fold(options, |options, flag| options.arg(flag));
        let hold = Action::Delay(Duration::from_secs(5));
        let (in_vault, in_api) = match step {
            Step::VaultBefore(operation, object) => {
                (Some(CallFault::new(operation, Trouble::Hang).on(object).next(1)), None)
            }
            Step::VaultAfter(operation, object) => {
                (Some(CallFault::new(operation, Trouble::CutAfter).on(object).next(1)), None)
            }
            Step::Api(call, number) => (None, Some(Fault::new(Requests::call(call), hold).every(number))),
        };
        let in_vault = in_vault.map(|fault| self.vaulted.vault.inject(fault));
        let in_api = in_api.map(|fault| self.proxy.inject(fault));
        let mut controller = Controller::launch(&self.vaulted.release, options).await;
        eventually(PATIENCE, async || {
            let hits = in_vault.as_ref().map_or(0, |fault| fault.hits())
                + in_api.as_ref().map_or(0, |fault| fault.hits());
            if hits > 0 { Ok(()) } else { Err(format!("{step:?} was not reached\n{}", controller.logs())) }
        })
        .await;
        controller.kill();
        self.vaulted.vault.clear();
        self.proxy.clear();
        controller
    }
}

impl Scene<'_> {
    /// What is in use is stored: a key Secret without its private half says where that is, and there it is.
    async fn all_is_stored(&self, step: Step) {
        for (name, key) in self.keys().await {
            if !text(&key, "tls.key").unwrap().is_empty() {
                continue;
            }
            let reference = text(&key, "custody.json").unwrap_or_else(|| panic!("{step:?}: {name} is empty"));
            if reference.contains("key-vault-secret") {
                let versions = self.vaulted.vault.secret_versions(SECRET);
                assert!(versions.iter().any(|one| reference.contains(&one.version)), "{step:?}: {reference}");
            }
        }
    }

    /// All that was ever sealed opens, and what is sealed now does.
    async fn nothing_is_lost(&self, step: Step, number: usize, keys: usize) {
        self.keys_are(keys as f64, 0.0).await;
        assert_eq!(self.keys().await.len(), keys, "{step:?}");
        let versions = self.vaulted.vault.secret_versions(SECRET).len();
        let name = format!("sealed-{number}");
        self.apply(&name, "1").await;
        self.is_right(&name, "1").await;
        // What was right before is opened anew: a value that still opens, under another name of the same value.
        for before in 0..number {
            let sealed = objects::sealed_secrets(&self.client, &self.namespace);
            drop(sealed.get(&format!("sealed-{before}")).await.unwrap());
            self.reopen(&format!("sealed-{before}")).await;
        }
        assert_eq!(
            self.vaulted.vault.secret_versions(SECRET).len(),
            versions,
            "{step:?}: keys are still being made"
        );
        assert_eq!(self.item("privyseal-publisher-key-moving", "publisher.key").await, None, "{step:?}");
    }

    /// Takes a Secret away, so that it has to be opened once more.
    async fn reopen(&self, name: &str) {
        let secrets =
            kube::Api::<k8s_openapi::api::core::v1::Secret>::namespaced(self.client.clone(), &self.namespace);
        secrets.delete(name, &Default::default()).await.unwrap();
        objects::wait_for_secret(&self.client, &self.namespace, name, &[("a", b"1")]).await;
    }
}

/// From nothing: the publisher key, the sealing key, the published list.
#[tokio::test]
async fn while_keys_are_made() {
    let control_plane = ControlPlane::start();
    let proxy = FaultProxy::start(&control_plane.admin_kubeconfig_with_token().await);
    let in_secrets = [
        Step::VaultBefore("listSecretVersions", PUBLISHER),
        Step::VaultBefore("setSecret", PUBLISHER),
        Step::VaultAfter("setSecret", PUBLISHER),
        Step::VaultAfter("getSecret", PUBLISHER),
        Step::Api("create secrets", 1),
        Step::VaultAfter("setSecret", SECRET),
        Step::VaultAfter("getSecret", SECRET),
        Step::Api("create secrets", 2),
        Step::Api("create configmaps", 1),
    ];
    let wrapped = [
        Step::VaultAfter("getKey", KEY),
        Step::VaultBefore("unwrapKey", KEY),
        Step::Api("create secrets", 1),
        Step::Api("create secrets", 2),
    ];
    for (custody, steps) in CUSTODIES.into_iter().zip([&in_secrets[..], &wrapped]) {
        for &step in steps {
            let vaulted = Vaulted::install(&control_plane, custody).await;
            let way = Way { vaulted: &vaulted, proxy: &proxy };
            let mut controller = way.die_at(step, &[]).await;
            controller.start_again().await;
            let namespace = control_plane.namespace("killed").await;
            let mut scene = Scene { client: control_plane.client(), vaulted, controller, namespace };
            scene.all_is_stored(step).await;
            scene.nothing_is_lost(step, 0, 1).await;
            if custody == "key-vault-secret" {
                for name in [SECRET, PUBLISHER] {
                    let versions = scene.vaulted.vault.secret_versions(name).len();
                    assert_eq!(versions, 1, "{step:?}: {name} was made twice");
                }
            }
            scene.controller.stop();
        }
    }
}

/// A successor that is asked for.
#[tokio::test]
async fn while_a_key_is_rotated() {
    let control_plane = ControlPlane::start();
    let proxy = FaultProxy::start(&control_plane.admin_kubeconfig_with_token().await);
    let in_secrets = [
        Step::VaultBefore("setSecret", SECRET),
        Step::VaultAfter("setSecret", SECRET),
        Step::VaultAfter("getSecret", SECRET),
        Step::Api("create secrets", 1),
    ];
    let wrapped = [
        Step::VaultAfter("getKey", KEY),
        Step::VaultBefore("unwrapKey", KEY),
        Step::Api("create secrets", 1),
    ];
    for (custody, steps) in CUSTODIES.into_iter().zip([&in_secrets[..], &wrapped]) {
        let mut scene = Scene::set(&control_plane, custody).await;
        for (number, &step) in steps.iter().enumerate() {
            let before = scene.keys().await;
            scene.nothing_is_lost(step, number, before.len()).await;
            scene.controller.stop();
            let newest = before.values().max_by_key(|key| key.metadata.creation_timestamp.clone()).unwrap();
            let (name, namespace) =
                (newest.metadata.name.as_deref().unwrap(), scene.vaulted.release.namespace());
            // Keys are dated to the second.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            control_plane
                .kubectl_ok(&["annotate", "secret", name, "privyseal.dev/rotate=now", "-n", namespace], "");
            let way = Way { vaulted: &scene.vaulted, proxy: &proxy };
            scene.controller = way.die_at(step, &[]).await;
            scene.all_is_stored(step).await;
            scene.controller.start_again().await;
            scene.keys_are(before.len() as f64 + 1.0, 0.0).await;
        }
        let keys = scene.keys().await.len();
        assert_eq!(keys, steps.len() + 1, "{custody}");
        scene.nothing_is_lost(steps[0], steps.len(), keys).await;
        scene.controller.stop();
    }
}

/// The controller lives on, and an answer is lost, or the API server does not take the Secret: the key that is in the vault
/// gets its Secret later, and no other key is made.
#[tokio::test]
async fn what_is_in_the_vault_is_found_again_by_who_put_it_there() {
    let control_plane = ControlPlane::start();
    let proxy = FaultProxy::start(&control_plane.admin_kubeconfig_with_token().await);
    let vaulted = Vaulted::install(&control_plane, "key-vault-secret").await;
    let lost =
        |operation, name| vaulted.vault.inject(CallFault::new(operation, Trouble::CutAfter).on(name).next(1));
    let mut lost = vec![lost("setSecret", PUBLISHER), lost("getSecret", SECRET)];
    // The first two would be the publisher key's, the rest the sealing key's: three times it is not taken.
    let refused = proxy.inject(Fault::new(Requests::call("create secrets"), Action::status(500)).next(5));
    let controller = Controller::start(&vaulted.release, vaulted.options().through(&proxy)).await;
    let namespace = control_plane.namespace("lost").await;
    let scene = Scene { client: control_plane.client(), vaulted, controller, namespace };
    scene.nothing_is_lost(Step::VaultAfter("setSecret", PUBLISHER), 0, 1).await;
    // And once more, for a successor.
    lost.push(scene.vaulted.vault.inject(CallFault::new("setSecret", Trouble::CutAfter).on(SECRET).next(1)));
    let name = scene.keys().await.into_keys().next().unwrap();
    let release = scene.vaulted.release.namespace();
    control_plane.kubectl_ok(&["annotate", "secret", &name, "privyseal.dev/rotate=now", "-n", release], "");
    scene.keys_are(2.0, 0.0).await;
    scene.nothing_is_lost(Step::VaultAfter("setSecret", SECRET), 1, 2).await;
    assert!(lost.iter().all(|fault| fault.hits() == 1) && refused.hits() == 5);
    assert_eq!(scene.vaulted.vault.secret_versions(PUBLISHER).len(), 1, "no publisher key was made twice");
    assert_eq!(scene.vaulted.vault.secret_versions(SECRET).len(), 2, "no key was made twice");
    let foreign = scene.controller.metrics().await.value("privyseal_sealing_key_foreign", &[]);
    assert_eq!(foreign, Some(0.0), "it is known who made it");
}

/// Into the vault and back into the cluster.
#[tokio::test]
async fn while_keys_are_moved() {
    let control_plane = ControlPlane::start();
    let proxy = FaultProxy::start(&control_plane.admin_kubeconfig_with_token().await);
    let publisher = [
        // The second Secret is there; the first one is gone; it is there again; the second one is gone.
        Step::Api("create secrets", 2),
        Step::Api("delete secrets", 1),
        Step::Api("create secrets", 3),
        Step::Api("delete secrets", 2),
    ];
    let in_secrets = [
        Step::VaultAfter("setSecret", SECRET),
        Step::VaultAfter("setSecret", PUBLISHER),
        Step::Api("update secrets", 1),
    ];
    let wrapped = [Step::VaultAfter("unwrapKey", KEY), Step::Api("update secrets", 1)];
    for (custody, steps) in CUSTODIES.into_iter().zip([&in_secrets[..], &wrapped]) {
        // The way of the publisher key is the same for both.
        let steps: Vec<_> = if custody == "key-vault-wrapped" {
            steps.iter().chain(&publisher).copied().collect()
        } else {
            steps.to_vec()
        };
        let mut scene = Scene::set(&control_plane, custody).await;
        for (number, step) in steps.into_iter().enumerate() {
            scene.restart_with("--custody=cluster").await;
            scene.settled("cluster").await;
            let keys = scene.keys().await.len();
            scene.nothing_is_lost(step, number, keys).await;
            scene.controller.stop();
            // Keys are dated to the second: so the successor is made first, and then keys are moved.
            tokio::time::sleep(Duration::from_millis(1100)).await;
            let way = Way { vaulted: &scene.vaulted, proxy: &proxy };
            scene.controller = way.die_at(step, &[]).await;
            scene.all_is_stored(step).await;
            scene.controller.start_again().await;
            // One more: what lay in the cluster does not go on sealing.
            scene.keys_are(keys as f64 + 1.0, 0.0).await;
            scene.settled(custody).await;
            assert_eq!(scene.keys().await.len(), keys + 1, "{step:?}");
        }
        // And half-way back.
        for step in [Step::Api("update secrets", 1), Step::Api("update secrets", 2)] {
            scene.controller.stop();
            let keys = scene.keys().await.len();
            let way = Way { vaulted: &scene.vaulted, proxy: &proxy };
            scene.controller = way.die_at(step, &["--custody=cluster"]).await;
            scene.all_is_stored(step).await;
            scene.controller.start_again().await;
            scene.settled("cluster").await;
            assert_eq!(scene.keys().await.len(), keys, "{step:?}");
            tokio::time::sleep(Duration::from_millis(1100)).await;
            scene.restart_with(&format!("--custody={custody}")).await;
            scene.keys_are(keys as f64 + 1.0, 0.0).await;
            scene.settled(custody).await;
        }
        scene.controller.stop();
    }
}
