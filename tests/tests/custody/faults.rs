//! A vault that fails: what objects say, what stays as it is, and how it heals without a restart.

use super::Scene;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::key_vault::{CallFault, Role, Trouble};
use privyseal_tests::objects::{conditions, sealed_secrets, wait_for_condition_within, wait_for_secret};
use privyseal_tests::vaulted::{CLIENT_ID, KEY, PUBLISHER, SECRET};
use privyseal_tests::{ControlPlane, Controller};
use std::time::Duration;

/// A call takes 10 s at most, and is tried again after waits that grow.
const LONG: Duration = Duration::from_secs(60);

/// What goes wrong, and what is to be told of it.
#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// The vault does this with every call.
    Calls(Trouble),
    /// The vault cannot be reached.
    Down,
    /// Entra cannot be reached.
    EntraDown,
    /// Our role is taken away.
    NoRole,
    /// The federated token is an old one.
    TokenExpired,
    /// Entra does not know us (in this tenant).
    Unregistered,
    /// Somebody else's certificate.
    Untrusted,
    /// The version that is needed is disabled.
    Disabled,
    /// What is needed is deleted.
    Deleted,
}

impl Scene<'_> {
    async fn wrong(&self, wrong: Wrong, is_wrong: bool) {
        let (vault, entra) = (&self.vaulted.vault, &self.vaulted.entra);
        let is_wrapped = self.vaulted.custody == "key-vault-wrapped";
        match wrong {
            Wrong::Calls(trouble) if is_wrong => drop(vault.inject(CallFault::new("*", trouble))),
            Wrong::Calls(_) => vault.clear(),
            Wrong::Down => vault.outage(is_wrong),
            Wrong::EntraDown => entra.outage(is_wrong),
            Wrong::NoRole if is_wrong => {
                vault.revoke(CLIENT_ID, Role::KeyVaultCryptoServiceEncryptionUser);
                vault.revoke(CLIENT_ID, Role::KeyVaultSecretsOfficer);
            }
            Wrong::NoRole => {
                let (crypto, secrets) =
                    (Role::KeyVaultCryptoServiceEncryptionUser, Role::KeyVaultSecretsOfficer);
                vault.grant_on(CLIENT_ID, crypto, &format!("keys/{KEY}"));
                vault.grant_on(CLIENT_ID, secrets, &format!("secrets/{SECRET}"));
                vault.grant_on(CLIENT_ID, secrets, &format!("secrets/{PUBLISHER}"));
            }
            Wrong::TokenExpired if is_wrong => self.vaulted.token.expire().await,
            Wrong::TokenExpired => self.vaulted.token.refresh().await,
            Wrong::Unregistered if is_wrong => entra.unregister(CLIENT_ID),
            Wrong::Unregistered => self.vaulted.register(),
            Wrong::Untrusted => vault.untrusted(is_wrong),
            Wrong::Disabled if is_wrapped => {
                for version in vault.key_versions(KEY) {
                    vault.set_key_enabled(KEY, &version, !is_wrong);
                }
            }
            Wrong::Disabled => {
                for version in vault.secret_versions(SECRET) {
                    vault.set_secret_enabled(SECRET, &version.version, !is_wrong);
                }
            }
            Wrong::Deleted if is_wrapped && is_wrong => vault.delete_key(KEY),
            Wrong::Deleted if is_wrapped => vault.recover_key(KEY),
            Wrong::Deleted if is_wrong => vault.delete_secret(SECRET),
            Wrong::Deleted => vault.recover_secret(SECRET),
        }
    }

    /// The status of an object, times included.
    async fn status(&self, name: &str) -> serde_json::Value {
        sealed_secrets(&self.client, &self.namespace).get(name).await.unwrap().data["status"].clone()
    }

    /// Starts with an object that is right and one that is new, and with that going wrong; then all heals.
    async fn survives(&mut self, number: usize, wrong: Wrong, condition: &str, told: &[&str], made: usize) {
        let keys = self.keys().await.len();
        let before = self.status("db").await;
        let new = format!("new-{number}");
        self.apply(&new, "1").await;
        self.is_right(&new, "1").await;
        let waiting = format!("waiting-{number}");
        let sealed = self.sealed(&waiting, "2").await;
        self.controller.stop();
        privyseal_tests::objects::apply(&self.client, None, &sealed).await;
        self.wrong(wrong, true).await;
        self.controller = Controller::launch(&self.vaulted.release, self.vaulted.options()).await;
        let is =
            wait_for_condition_within(LONG, &self.client, &self.namespace, &waiting, condition, "True").await;
        let reason = if condition == "Stalled" { "KeyVaultRefuses" } else { "KeyVaultUnavailable" };
        assert_eq!(is.reason, reason, "{wrong:?}: {}", is.message);
        for part in told {
            assert!(is.message.contains(part), "{wrong:?}: {part} is not in: {}", is.message);
        }
        let object = sealed_secrets(&self.client, &self.namespace).get(&waiting).await.unwrap();
        let ready = if condition == "Stalled" { "False" } else { "Unknown" };
        assert!(conditions(&object).iter().any(|c| c.kind == "Ready" && c.status == ready), "{wrong:?}");
        // What was right stays as it is, and says what it said.
        wait_for_secret(&self.client, &self.namespace, "db", &[("a", b"1")]).await;
        assert_eq!(self.status("db").await, before, "{wrong:?}: it flapped");

        eventually(LONG, async || {
            let more = self.keys().await.len() - keys;
            if more == made { Ok(()) } else { Err(more) }
        })
        .await;
        self.wrong(wrong, false).await;
        wait_for_condition_within(LONG, &self.client, &self.namespace, &waiting, "Ready", "True").await;
        self.is_right(&waiting, "2").await;
        assert_eq!(self.status("db").await, before, "{wrong:?}: it flapped");
        self.controller.wait_until_ready().await;
        assert_eq!(self.keys().await.len() - keys, made, "{wrong:?}: keys were made");
    }
}

#[tokio::test]
async fn a_wrapped_key_survives_whatever_the_vault_does() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::set(&control_plane, "key-vault-wrapped").await;
    scene.apply("db", "1").await;
    scene.is_right("db", "1").await;
    let throttled = |retry_after| Wrong::Calls(Trouble::Throttled { retry_after });
    let faults: [(Wrong, &str, &[&str]); 15] = [
        (Wrong::Calls(Trouble::Status(401)), "Reconciling", &[]),
        (Wrong::NoRole, "Reconciling", &["Key Vault Crypto Service Encryption User"]),
        (Wrong::Calls(Trouble::Firewall), "Reconciling", &["firewall"]),
        (throttled(None), "Reconciling", &[]),
        (throttled(Some(1)), "Reconciling", &[]),
        (Wrong::Calls(Trouble::Status(503)), "Reconciling", &[]),
        (Wrong::Calls(Trouble::Hang), "Reconciling", &[]),
        (Wrong::Calls(Trouble::Garbage), "Reconciling", &[]),
        (Wrong::Down, "Reconciling", &[]),
        (Wrong::EntraDown, "Reconciling", &[]),
        (Wrong::Unregistered, "Reconciling", &["AADSTS700016"]),
        (Wrong::TokenExpired, "Reconciling", &["AADSTS700024"]),
        (Wrong::Untrusted, "Stalled", &["certificate"]),
        (Wrong::Disabled, "Stalled", &["disabled"]),
        (Wrong::Deleted, "Stalled", &["recover"]),
    ];
    for (number, (wrong, condition, told)) in faults.into_iter().enumerate() {
        scene.survives(number, wrong, condition, told, 0).await;
    }
}

#[tokio::test]
async fn a_key_in_a_vault_secret_survives_too() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::set(&control_plane, "key-vault-secret").await;
    scene.apply("db", "1").await;
    scene.is_right("db", "1").await;
    let faults: [(Wrong, &str, &[&str], usize); 4] = [
        (Wrong::NoRole, "Reconciling", &["Key Vault Secrets User"], 0),
        (Wrong::Calls(Trouble::Status(500)), "Reconciling", &[], 0),
        // The publisher key is another secret: the leader works, and waits for the sealing key alone. Nothing can be stored
        // under a name that is deleted; where it can, what nobody could open is not sealed to any longer.
        (Wrong::Deleted, "Stalled", &["recover"], 0),
        (Wrong::Disabled, "Stalled", &["disabled"], 1),
    ];
    for (number, (wrong, condition, told, made)) in faults.into_iter().enumerate() {
        scene.survives(number, wrong, condition, told, made).await;
    }
}

#[tokio::test]
async fn who_has_its_keys_in_memory_goes_on() {
    let control_plane = ControlPlane::start();
    let scene = Scene::set(&control_plane, "key-vault-wrapped").await;
    scene.apply("before", "1").await;
    scene.is_right("before", "1").await;
    for (number, wrong) in [Wrong::Down, Wrong::Deleted, Wrong::Untrusted, Wrong::Calls(Trouble::Status(403))]
        .into_iter()
        .enumerate()
    {
        scene.wrong(wrong, true).await;
        // At least one poll.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let name = format!("during-{number}");
        scene.apply(&name, "2").await;
        scene.is_right(&name, "2").await;
        assert_eq!(scene.controller.http("/readyz").await.status, 200, "{wrong:?}");
        scene.is_right("before", "1").await;
        scene.wrong(wrong, false).await;
    }
    // A key that is asked for meanwhile is not made, which is told, and made when the vault is back.
    scene.wrong(Wrong::Down, true).await;
    let name = scene.keys().await.into_keys().next().unwrap();
    let namespace = scene.vaulted.release.namespace();
    control_plane.kubectl_ok(&["annotate", "secret", &name, "privyseal.dev/rotate=now", "-n", namespace], "");
    eventually(PATIENCE, async || {
        let pending = scene.controller.metrics().await.value("privyseal_escrow_pending", &[]);
        if pending == Some(1.0) { Ok(()) } else { Err(pending) }
    })
    .await;
    let events = control_plane.kubectl_ok(&["get", "events", "-n", namespace, "-o", "yaml"], "");
    assert!(events.contains("EscrowFailed") && events.contains("no new key is made"), "{events}");
    assert_eq!(scene.keys().await.len(), 1);
    scene.wrong(Wrong::Down, false).await;
    eventually(LONG, async || {
        let keys = scene.keys().await.len();
        if keys == 2 { Ok(()) } else { Err(keys) }
    })
    .await;
    scene.keys_are(2.0, 0.0).await;
}

/// A key is due, the one that seals is waited for, and the vault asks for a long pause: nobody runs in circles meanwhile.
#[tokio::test]
async fn a_pause_is_waited_for_and_not_run_through() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::set(&control_plane, "key-vault-secret").await;
    scene.apply("db", "1").await;
    scene.is_right("db", "1").await;
    scene.controller.stop();
    for version in scene.vaulted.vault.secret_versions(SECRET) {
        scene.vaulted.vault.set_secret_enabled(SECRET, &version.version, false);
    }
    // The publisher key is given; then the vault wants to be left alone.
    let throttled = Trouble::Throttled { retry_after: Some(20) };
    scene.vaulted.vault.inject(CallFault::new("listSecretVersions", throttled));
    scene.vaulted.vault.inject(CallFault::new("setSecret", throttled));
    scene.vaulted.vault.forget_calls();
    scene.controller = Controller::launch(&scene.vaulted.release, scene.vaulted.options()).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let lines = scene.controller.logs().lines().count();
    assert!(lines < 60, "{lines} lines in 8 s:\n{}", scene.controller.logs());
    let calls = scene.vaulted.vault.count("*");
    assert!(calls < 12, "{:?}", scene.vaulted.vault.calls());
}
