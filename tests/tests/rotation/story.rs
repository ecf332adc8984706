//! One story, over three clusters and a tree of 200 files: rotate, reseal in the cluster and offline, report, retire,
//! delete, and restore into a new cluster.

use super::{Cluster, Tree};
use privyseal_tests::age_keys::{keeper, write_identity};
use privyseal_tests::{eventually, network};
use std::collections::BTreeMap;
use std::path::Path;

const A: usize = 80;
const B: usize = 80;
const C: usize = 40;

fn texts(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn keys_are_rotated_retired_lost_and_restored() {
    network::alone(async || {
        let (a, b, c) = (Cluster::start("a").await, Cluster::start("b").await, Cluster::start("c").await);
        let tree = Tree::new(&[&a, &b, &c]);
        for (cluster, count) in [(&a, A), (&b, B), (&c, C)] {
            tree.seal_new(cluster.name, count);
            cluster.reconcile(&tree.file(&format!("clusters/{}", cluster.name)), count).await;
        }
        let of_c = texts(&tree.file("clusters/c"));

        // A new key in two of the clusters.
        let old: Vec<_> = ["a", "b"].map(|name| tree.keys(name)[0].clone()).into();
        for name in ["a", "b"] {
            let said = tree.succeeds(&format!("keys rotate --for {name}"));
            assert!(said.starts_with("key SHA256:"), "{said}");
            let keys = tree.keys(name);
            assert_eq!(
                keys.iter().map(|key| key.1.as_str()).collect::<Vec<_>>(),
                ["sealing", "opening-only"]
            );
        }
        assert_eq!((a.active_keys().await, b.active_keys().await, c.active_keys().await), (2, 2, 1));
        let refused = tree.fails(&format!("keys retire {} . --for a", old[0].0));
        assert!(refused.contains("cannot be retired: 320 values need it"), "{refused}");

        // In the cluster, and with keys at hand.
        let report = tree.json("reseal clusters/a");
        assert_eq!((&report["resealed"], &report["kept"]), (&(2 * A).into(), &0.into()));
        let keys = b.kubectl(&[
            "get",
            "secrets",
            "-n",
            "privyseal",
            "-l",
            "sealedsecrets.bitnami.com/sealed-secrets-key",
            "-o",
            "yaml",
        ]);
        std::fs::write(tree.path("keys-of-b.yaml"), keys).unwrap();
        let report = tree.json(&format!("reseal clusters/b --key {}", tree.path("keys-of-b.yaml").display()));
        assert_eq!((&report["resealed"], &report["kept"]), (&(2 * B).into(), &0.into()));
        assert_eq!(texts(&tree.file("clusters/c")), of_c, "nobody touched it");

        // What is in the cluster is still the old.
        let report = tree.json("keys report . --for a");
        assert_eq!(tree.opened_with(&report, &old[0].0), 2 * A as u64);
        for (cluster, count, old) in [(&a, A, &old[0]), (&b, B, &old[1])] {
            let name = cluster.name;
            cluster.reconcile(&tree.file(&format!("clusters/{name}")), count).await;
            let report = tree.json(&format!("keys report . --for {name}"));
            assert_eq!(tree.opened_with(&report, &old.0), 0, "{report}");
            assert_eq!(report["unreadable"], serde_json::json!([]));
            let unknown =
                report["values"].as_array().unwrap().iter().filter(|value| value["unknown"].is_string());
            assert_eq!(unknown.count(), 0);
            tree.succeeds(&format!("keys retire {} . --for {name}", old.0));
            assert_eq!(tree.keys(name)[1].1, "retired");
        }
        std::fs::remove_file(tree.path("keys-of-b.yaml")).unwrap();

        // Retired, then deleted: all goes on, also after a restart that opens everything again.
        a.kubectl(&["delete", "secret", "-n", "privyseal", &old[0].2]);
        let mut a = a;
        a.controller.stop();
        a.kubectl(&["annotate", "--overwrite", "-n", "apps", "sealedsecrets", "--all", "note=again"]);
        a.controller.start_again().await;
        a.all_open(A).await;
        eventually::eventually(super::LONG, async || {
            let held = a.controller.metrics().await.value("privyseal_keys_held", &[]);
            if held == Some(1.0) { Ok(()) } else { Err(format!("{held:?}")) }
        })
        .await;

        // The cluster is lost. From its backup another one opens all that is in Git, and has no key more.
        let (backup, identity) = (tree.path("a.backup"), tree.path("identity.txt"));
        write_identity(&identity);
        let (backup, identity) = (backup.display(), identity.display());
        tree.succeeds(&format!(
            "keys backup --context a --for a --recipient {} --out-file {backup}",
            keeper().recipient
        ));
        drop(a);
        let proof = format!("keys restore {backup} --for a --identity {identity} --check clusters/a");
        tree.succeeds(&proof);
        tree.fails(&proof.replace("clusters/a", "clusters/b"));
        let (control_plane, release) = Cluster::without_controller().await;
        let kubeconfig = control_plane.kubeconfig().display();
        let context = control_plane.kubectl_ok(&["config", "current-context"], "");
        tree.succeeds(&format!(
            "keys restore {backup} --for a --identity {identity} --kubeconfig {kubeconfig} --context {context}"
        ));
        let restored = Cluster::with_controller("a", control_plane, release).await;
        restored.reconcile(&tree.file("clusters/a"), A).await;
        assert_eq!(restored.active_keys().await, 1);
        // Everybody who trusted the old cluster trusts this one.
        std::fs::copy(Tree::new(&[&restored]).path("kubeconfig"), tree.path("kubeconfig")).unwrap();
        assert_eq!(tree.json("reseal clusters/a")["kept"], 2 * A);
    });
}
