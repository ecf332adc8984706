//! Age identities of keys that a vault keeps.

use super::{CUSTODIES, Scene, text};
use privyseal_envelope::age::Kind;
use privyseal_tests::ControlPlane;
use privyseal_tests::age_keys::AgeSealer;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects;
use privyseal_tests::sealing::privyseal;
use privyseal_tests::vaulted::SECRET;
use serde_json::Value;

impl Scene<'_> {
    async fn apply_age(&self, kind: Kind, name: &str, value: &str) {
        let sealer = AgeSealer::of(&self.controller, kind).await;
        objects::apply(&self.client, None, &sealer.seal(&self.namespace, name, &[("a", value)])).await;
    }

    async fn recipients(&self) -> String {
        let answer = self.controller.http("/v1/recipients").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.text()
    }
}

#[tokio::test]
async fn identities_are_kept_with_the_private_key_and_never_in_the_cluster() {
    let control_plane = ControlPlane::start();
    for custody in CUSTODIES {
        let mut scene = Scene::set(&control_plane, custody).await;
        let served = scene.recipients().await;
        for kind in [Kind::Hybrid, Kind::X25519] {
            scene.apply_age(kind, &kind.to_string(), "1").await;
            scene.is_right(&kind.to_string(), "1").await;
        }
        for key in scene.keys().await.values() {
            assert_eq!(text(key, "tls.key").as_deref(), Some(""));
            assert!(text(key, "tls.crt").unwrap().ends_with(&served), "the public half has the recipients");
        }
        // From the vault alone, to a process that remembers nothing.
        scene.controller.stop();
        scene.controller.start_again().await;
        assert_eq!(scene.recipients().await, served);
        scene.apply_age(Kind::Hybrid, "after", "2").await;
        scene.is_right("after", "2").await;
        scene.controller.stop();
    }
}

#[tokio::test]
async fn a_key_that_people_bring_to_the_vault_gets_identities_there() {
    let control_plane = ControlPlane::start();
    let mut scene = Scene::set(&control_plane, "key-vault-secret").await;
    let first = scene.recipients().await;
    // A certificate is dated to the second.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    let made = privyseal(&["keys", "generate", "--size", "2048", "-n", "any", "-o", "json"], "");
    let key: Value = serde_json::from_slice(&made.stdout).unwrap();
    let pem = {
        use base64::Engine as _;
        let text = key["data"]["tls.key"].as_str().unwrap();
        String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap()
    };
    // As another tool makes one: a private key and nothing beside it.
    let bare =
        pem.split_inclusive('\n').filter(|line| !line.starts_with("AGE-SECRET-KEY-")).collect::<String>();
    scene.vaulted.vault.put_secret(SECRET, &bare);
    let served = eventually(PATIENCE, async || {
        let answer = scene.controller.http("/v1/recipients").await;
        if answer.status == 200 && answer.text() != first { Ok(answer.text()) } else { Err(answer.text()) }
    })
    .await;
    assert_eq!(served.lines().count(), 2);
    assert_eq!(scene.vaulted.vault.secret_versions(SECRET).len(), 3, "made, brought, and with identities");
    scene.apply_age(Kind::Hybrid, "db", "1").await;
    scene.is_right("db", "1").await;
    // Nothing is asked for or given again and again.
    let keys = scene.keys().await.len();
    scene.vaulted.vault.forget_calls();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(scene.vaulted.vault.count("getSecret"), 0, "{:?}", scene.vaulted.vault.calls());
    assert_eq!(scene.vaulted.vault.count("setSecret"), 0);

    scene.controller.stop();
    scene.controller.start_again().await;
    assert_eq!(scene.recipients().await, served);
    assert_eq!(scene.keys().await.len(), keys, "no version of it became another key");
    scene.apply_age(Kind::X25519, "after", "2").await;
    scene.is_right("after", "2").await;
}
