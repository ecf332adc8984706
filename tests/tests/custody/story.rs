//! From nothing to an opened value, a restart, and keys that are rotated, in both custodies.

use super::{CUSTODIES, Scene, text};
use privyseal_tests::ControlPlane;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::vaulted::{KEY, PUBLISHER, SECRET};
use serde_json::Value;

#[tokio::test]
async fn keys_are_made_kept_and_fetched_once() {
    for custody in CUSTODIES {
        let control_plane = ControlPlane::start();
        let mut scene = Scene::set(&control_plane, custody).await;
        scene.apply("db", "correct-horse").await;
        scene.is_right("db", "correct-horse").await;

        // What is in the cluster says where the private half is, and is not it.
        let keys = scene.keys().await;
        assert_eq!(keys.len(), 1, "{custody}");
        let key = keys.values().next().unwrap();
        assert_eq!(text(key, "tls.key").as_deref(), Some(""), "{custody}");
        let reference: Value = serde_json::from_str(&text(key, "custody.json").unwrap()).unwrap();
        assert_eq!(reference["custody"], custody);
        let (field, id) = match custody {
            "key-vault-secret" => ("secret", format!("{}/secrets/{SECRET}/", scene.vaulted.vault.url())),
            _ => ("key", format!("{}/keys/{KEY}/", scene.vaulted.vault.url())),
        };
        assert!(reference[field].as_str().unwrap().starts_with(&id), "{reference}");
        assert_eq!(scene.item("privyseal-publisher-key", "publisher.key").await.as_deref(), Some(""));
        if custody == "key-vault-secret" {
            let versions = scene.vaulted.vault.secret_versions(SECRET);
            assert_eq!(versions.len(), 1);
            assert_eq!(versions[0].content_type.as_deref(), Some("application/x-pem-file"));
            assert_eq!(scene.vaulted.vault.secret_versions(PUBLISHER).len(), 1);
        }

        // A restart asks once for each key, however many objects there are.
        scene.controller.stop();
        scene.vaulted.vault.forget_calls();
        scene.vaulted.entra.forget_exchanges();
        scene.controller.start_again().await;
        scene.apply("again", "1").await;
        scene.is_right("again", "1").await;
        scene.is_right("db", "correct-horse").await;
        let operation = if custody == "key-vault-secret" { "getSecret" } else { "unwrapKey" };
        // The sealing key and the publisher key.
        assert_eq!(scene.vaulted.vault.count(operation), 2, "{custody}: {:?}", scene.vaulted.vault.calls());
        assert_eq!(scene.vaulted.entra.exchanges().len(), 1, "{custody}");
        let metrics = scene.controller.metrics().await;
        let name = if custody == "key-vault-secret" { "get-secret" } else { "unwrap-key" };
        let labels = [("operation", name), ("answer", "ok")];
        assert_eq!(metrics.value("privyseal_key_vault_calls_total", &labels), Some(2.0), "{custody}");
        assert!(metrics.value("privyseal_key_vault_budget_left", &[]).is_some_and(|left| left > 0.0));

        // A rotation makes one more key, in the same custody; what was sealed to the old one still opens.
        let (name, _) = keys.into_iter().next().unwrap();
        let namespace = scene.vaulted.release.namespace().to_owned();
        let mark = ["annotate", "secret", &name, "privyseal.dev/rotate=now", "-n", &namespace];
        control_plane.kubectl_ok(&mark, "");
        eventually(PATIENCE, async || {
            let keys = scene.keys().await;
            if keys.len() == 2 { Ok(()) } else { Err(keys.len()) }
        })
        .await;
        scene.keys_are(2.0, 0.0).await;
        for key in scene.keys().await.values() {
            assert_eq!(text(key, "tls.key").as_deref(), Some(""));
            assert!(!key.metadata.annotations.as_ref().unwrap().contains_key("privyseal.dev/was-in-clear"));
        }
        scene.apply("rotated", "2").await;
        scene.is_right("rotated", "2").await;
    }
}
