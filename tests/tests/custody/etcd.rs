//! What etcd holds. It keeps what was overwritten for a while, and backups of it keep that for good: so its files are
//! searched, not what the API server shows.

use super::{CUSTODIES, Scene, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::{ControlPlane, Controller};
use std::path::Path;

/// All files of etcd, one after the other.
fn dump(control_plane: &ControlPlane) -> Vec<u8> {
    fn add(folder: &Path, to: &mut Vec<u8>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                add(&path, to);
            } else if path.is_file() {
                to.extend(std::fs::read(&path).unwrap());
            }
        }
    }
    let mut all = Vec::new();
    add(&control_plane.data_dir(), &mut all);
    all
}

/// The parts of a private half: the PEM, and each age identity.
fn parts(private: &str) -> Vec<String> {
    let (identities, pem): (Vec<_>, Vec<_>) =
        private.lines().partition(|line| line.starts_with("AGE-SECRET-KEY-"));
    identities.into_iter().map(str::to_owned).chain([pem.join("\n")]).collect()
}

/// How often a private key is in there: a line of its PEM or its age identity, in the clear or as base64 once more (as
/// `data` of a document has it), or any 24 bytes in the middle of its DER.
fn finds(dump: &[u8], key: &str) -> usize {
    let line = key.lines().nth(key.lines().count() / 2).unwrap().as_bytes();
    let mut needles = vec![line.to_vec()];
    if key.starts_with("-----") {
        let body: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(&body).unwrap();
        needles.push(der[der.len() / 2..][..24].to_vec());
    }
    // Base64 of the same bytes looks different at each of three offsets.
    for offset in 0..3 {
        let encoded = STANDARD.encode(&line[offset..]);
        needles.push(encoded.as_bytes()[..encoded.len() - 4].to_vec());
    }
    needles.iter().map(|needle| count(dump, needle)).sum()
}

fn count(haystack: &[u8], needle: &[u8]) -> usize {
    memchr::memmem::find_iter(haystack, needle).count()
}

/// The search is shown to find a key where there is one: the very same keys, moved into the cluster afterwards.
#[tokio::test]
async fn etcd_holds_no_private_key_until_it_is_moved_there() {
    for custody in CUSTODIES {
        let control_plane = ControlPlane::start();
        let mut scene = Scene::set(&control_plane, custody).await;
        scene.apply("db", "1").await;
        scene.is_right("db", "1").await;
        let before = dump(&control_plane);
        assert!(count(&before, b"custody.json") > 0, "{custody}: the dump holds the key Secrets");

        // Back to the cluster: with nothing but another flag.
        scene.controller.stop();
        let options = scene.vaulted.options().arg("--custody=cluster");
        scene.controller = Controller::start(&scene.vaulted.release, options).await;
        let private = eventually(PATIENCE, async || {
            let keys = scene.keys().await;
            let key = keys.values().next().and_then(|key| text(key, "tls.key")).unwrap_or_default();
            if key.is_empty() { Err("still in the vault") } else { Ok(key) }
        })
        .await;
        let publisher = eventually(PATIENCE, async || {
            let key = scene.item("privyseal-publisher-key", "publisher.key").await.unwrap_or_default();
            if key.is_empty() { Err("still in the vault") } else { Ok(key) }
        })
        .await;
        let keys = scene.keys().await;
        assert_eq!(text(keys.values().next().unwrap(), "custody.json"), None);
        scene.apply("moved", "2").await;
        scene.is_right("moved", "2").await;

        let after = dump(&control_plane);
        let all = [parts(&private), parts(&publisher)].concat();
        assert_eq!(all.len(), 4, "an RSA key, two identities, and the publisher key");
        for key in all {
            assert!(finds(&after, &key) > 0, "{custody}: the search finds a key that is there");
            assert_eq!(finds(&before, &key), 0, "{custody}: etcd held a private key");
        }
    }
}
