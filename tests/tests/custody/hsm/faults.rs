//! A vault that fails while values wait for it: what objects say, what stays as it is, and how it heals.

use super::Scene;
use privyseal_envelope::age::Recipient;
use privyseal_envelope::rsa::{KeySize, OpeningKey};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::key_vault::{CallFault, Role, Trouble};
use privyseal_tests::objects::wait_for_condition_within;
use privyseal_tests::vaulted::{CLIENT_ID, HSM_KEY};
use privyseal_tests::{ControlPlane, Controller};
use std::time::Duration;

/// After the longest wait between two calls of a vault that fails.
const LONG: Duration = Duration::from_secs(90);
const ROLE: Role = Role::KeyVaultCryptoServiceEncryptionUser;

impl Scene<'_> {
    async fn is_right_at_last(&self, name: &str, value: &str) {
        wait_for_condition_within(LONG, &self.client, &self.namespace, name, "Ready", "True").await;
        self.is_right(name, value).await;
    }

    fn allow(&self, allowed: bool) {
        let vault = &self.vaulted.vault;
        if allowed {
            vault.grant_on(CLIENT_ID, ROLE, &format!("keys/{HSM_KEY}"));
        } else {
            vault.revoke(CLIENT_ID, ROLE);
        }
    }
}

#[tokio::test]
async fn a_vault_that_fails_while_values_wait_delays_and_never_deletes() {
    let control_plane = ControlPlane::start();
    let scene = Scene::with_hsm_key(&control_plane, "cluster", &[]).await;
    scene.apply_hsm("db", &[("a", "1")]).await;
    scene.is_right("db", "1").await;
    let before = scene.state("db").await;
    let vault = &scene.vaulted.vault;
    let calls = |trouble| drop(vault.inject(CallFault::new("unwrapKey", trouble)));

    calls(Trouble::Status(503));
    scene.apply_hsm("status", &[("a", "2"), ("b", "3")]).await;
    let message = scene.says("status", "Reconciling", "KeyVaultUnavailable").await;
    assert!(message.contains("2 values wait") && message.contains("503"), "{message}");
    vault.clear();
    scene.says("status", "Ready", "Unsealed").await;

    scene.allow(false);
    scene.apply_hsm("role", &[("a", "2")]).await;
    let message = scene.says("role", "Reconciling", "KeyVaultUnavailable").await;
    assert!(message.contains("Key Vault Crypto Service Encryption User"), "{message}");
    scene.allow(true);
    scene.is_right_at_last("role", "2").await;

    vault.outage(true);
    scene.apply_hsm("down", &[("a", "2")]).await;
    let message = scene.says("down", "Reconciling", "KeyVaultUnavailable").await;
    assert!(message.contains("cannot be reached"), "{message}");
    // A value that is changed meanwhile keeps the Secret that it had.
    scene.apply_hsm("role", &[("a", "3")]).await;
    scene.says("role", "Reconciling", "KeyVaultUnavailable").await;
    let secret =
        privyseal_tests::objects::secret_data(&scene.client, &scene.namespace, "role").await.unwrap();
    assert_eq!(secret["a"], b"2");
    vault.outage(false);
    scene.is_right_at_last("down", "2").await;
    scene.is_right_at_last("role", "3").await;

    // Throttled: it waits as it is told to, and is not told anew each time.
    vault.forget_calls();
    let throttled = Trouble::Throttled { retry_after: Some(4) };
    vault.inject(CallFault::new("unwrapKey", throttled).next(1));
    scene.apply_hsm("throttled", &[("a", "2"), ("b", "2")]).await;
    scene.says("throttled", "Reconciling", "KeyVaultQueued").await;
    scene.says("throttled", "Ready", "Unsealed").await;
    let unwraps: Vec<_> = vault.calls().into_iter().filter(|call| call.operation == "unwrapKey").collect();
    let refused = unwraps.iter().find(|call| call.status == Some(429)).unwrap().at;
    let next =
        unwraps.iter().map(|call| call.at).find(|at| *at > refused + Duration::from_millis(500)).unwrap();
    assert!(next - refused >= Duration::from_secs(3), "{unwraps:?}");

    // Slow: other objects do not wait for it.
    calls(Trouble::Slow(Duration::from_secs(5)));
    for n in 0..20 {
        scene.apply_hsm(&format!("slow-{n}"), &[("a", "2")]).await;
    }
    scene.apply("classic", "1").await;
    scene.is_right("classic", "1").await;
    scene.says("slow-0", "Reconciling", "KeyVaultQueued").await;
    for n in 0..20 {
        scene.is_right_at_last(&format!("slow-{n}"), "2").await;
    }
    vault.clear();
    assert_eq!(scene.state("db").await, before, "it flapped");
}

#[tokio::test]
async fn a_vault_that_is_down_at_the_start_is_waited_for() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::with_hsm_key(&control_plane, "cluster", &[]).await;
    scene.apply_hsm("db", &[("a", "1")]).await;
    scene.is_right("db", "1").await;
    let before = scene.state("db").await;
    scene.controller.stop();
    scene.apply_hsm("waiting", &[("a", "2")]).await;
    scene.vaulted.vault.outage(true);
    scene.controller = Controller::start(&scene.vaulted.release, scene.vaulted.options()).await;
    let message = scene.says("waiting", "Reconciling", "KeyVaultUnavailable").await;
    assert!(message.contains("cannot be reached"), "{message}");
    // What needs no vault does not wait.
    scene.apply("classic", "3").await;
    scene.is_right("classic", "3").await;
    assert_eq!(scene.state("db").await, before);
    scene.vaulted.vault.outage(false);
    scene.is_right_at_last("waiting", "2").await;
    assert_eq!(scene.state("db").await, before);
}

#[tokio::test]
async fn a_version_that_is_disabled_deleted_or_unknown_is_told_with_its_cure_and_heals_at_a_poll() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::with_hsm_key(&control_plane, "cluster", &[]).await;
    let key = scene.hsm_key();
    let version = scene.vaulted.vault.key_versions(HSM_KEY).remove(0);
    scene.vaulted.vault.rotate_key(HSM_KEY);
    scene.apply_to(&key, "db", &[("a", "1")]).await;
    scene.is_right("db", "1").await;
    let before = scene.state("db").await;

    scene.vaulted.vault.set_key_enabled(HSM_KEY, &version, false);
    scene.apply_to(&key, "disabled", &[("a", "2")]).await;
    let message = scene.says("disabled", "Stalled", "KeyVaultRefuses").await;
    for part in [&key.fingerprint().to_string(), "disabled", "--enabled true", "a cannot be opened"] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // Also after a start, when nobody knows which key that version was.
    scene.controller.stop();
    scene.controller.start_again().await;
    scene.apply_hsm("other", &[("a", "3")]).await;
    scene.is_right("other", "3").await;
    scene.says("disabled", "Stalled", "KeyVaultRefuses").await;
    assert_eq!(scene.state("db").await, before, "what was opened stays as it is");
    scene.vaulted.vault.set_key_enabled(HSM_KEY, &version, true);
    scene.is_right("disabled", "2").await;

    // A version that may not unwrap has the others go on.
    scene.vaulted.vault.set_key_operations(HSM_KEY, &version, &["wrapKey"]);
    scene.apply_to(&key, "forbidden", &[("a", "4")]).await;
    let message = scene.says("forbidden", "Reconciling", "KeyVaultUnavailable").await;
    assert!(message.contains(&key.fingerprint().to_string()) && message.contains("--ops"), "{message}");
    scene.apply_hsm("allowed", &[("a", "5")]).await;
    scene.is_right("allowed", "5").await;
    scene.vaulted.vault.set_key_operations(HSM_KEY, &version, &["wrapKey", "unwrapKey"]);
    scene.is_right("forbidden", "4").await;

    scene.vaulted.vault.delete_key(HSM_KEY);
    scene.apply_to(&key, "deleted", &[("a", "4")]).await;
    let message = scene.says("deleted", "Stalled", "KeyVaultRefuses").await;
    assert!(message.contains("az keyvault key recover"), "{message}");
    assert_eq!(scene.state("db").await, before);
    scene.vaulted.vault.recover_key(HSM_KEY);
    scene.is_right("deleted", "4").await;

    let stranger = OpeningKey::generate(KeySize::Rsa2048).unwrap();
    let stranger = Recipient::KeyVault(stranger.sealing_key().clone());
    let calls = scene.unwraps();
    scene.apply_to(&stranger, "unknown", &[("a", "5")]).await;
    let message = scene.says("unknown", "Stalled", "KeyVaultRefuses").await;
    assert!(message.contains(&stranger.fingerprint().to_string()) && message.contains(HSM_KEY), "{message}");
    assert_eq!(scene.unwraps(), calls, "the vault is not asked for a key that it does not have");
    assert_eq!(scene.state("db").await, before);
}

#[tokio::test]
async fn versions_that_are_not_allowed_are_not_used() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::with_hsm_key(&control_plane, "cluster", &[]).await;
    let old = scene.hsm_key();
    let allowed = scene.vaulted.vault.rotate_key(HSM_KEY);
    scene.restart_with(&format!("--hsm-key-version={allowed}")).await;
    scene.apply_hsm("new", &[("a", "1")]).await;
    scene.is_right("new", "1").await;
    scene.apply_to(&old, "old", &[("a", "2")]).await;
    scene.says("old", "Stalled", "KeyVaultRefuses").await;
    assert_eq!(scene.unwraps(), 1);
    let metrics = scene.controller.metrics().await;
    assert_eq!(metrics.value("privyseal_hsm_versions", &[]), Some(1.0));
    eventually(PATIENCE, async || {
        let polls = scene.vaulted.vault.count("listKeyVersions");
        if polls > 1 { Ok(()) } else { Err(polls) }
    })
    .await;
}
