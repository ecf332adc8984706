//! A hint that is stale or a lie loses nothing, and a key that is needed is not retired.

use super::{Cluster, LONG, Tree};
use privyseal_tests::eventually::eventually;
use privyseal_tests::sealing::run;
use privyseal_tests::{Controller, ControllerOptions, network, objects, tools};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Command;

/// May see SealedSecrets and keys, and not reach the controller. Gives the kubeconfig.
async fn reader(cluster: &Cluster) -> PathBuf {
    let client = cluster.control_plane.client();
    let object = |kind: &str, more: Value| {
        let mut object = json!({"kind": kind, "metadata": {"name": "reader"}});
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    let rbac = "rbac.authorization.k8s.io";
    for object in [
        object(
            "ServiceAccount",
            json!({"apiVersion": "v1", "metadata": {"name": "reader", "namespace": "default"}}),
        ),
        object(
            "ClusterRole",
            json!({"apiVersion": format!("{rbac}/v1"), "rules": [
                {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "patch"]},
                {"apiGroups": ["bitnami.com"], "resources": ["sealedsecrets"], "verbs": ["list"]},
            ]}),
        ),
        object(
            "ClusterRoleBinding",
            json!({"apiVersion": format!("{rbac}/v1"),
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "reader"},
                "subjects": [{"kind": "ServiceAccount", "name": "reader", "namespace": "default"}],
            }),
        ),
    ] {
        objects::apply(&client, None, &object).await;
    }
    cluster.control_plane.kubeconfig_for("default", "reader").await
}

#[test]
fn a_colleagues_kubeseal_and_a_lying_hint_keep_a_key_from_being_retired() {
    network::alone(async || {
        let cluster = Cluster::start("a").await;
        let tree = Tree::new(&[&cluster]);
        tree.seal_new("a", 2);
        let old_certificate = tree.succeeds("keys fetch --for a");
        std::fs::write(tree.path("old.pem"), old_certificate).unwrap();
        let old = tree.keys("a")[0].clone();
        let folder = tree.file("clusters/a");
        cluster.reconcile(&folder, 2).await;
        tree.succeeds("keys rotate --for a");
        tree.succeeds("reseal clusters");
        cluster.reconcile(&folder, 2).await;

        // More values than the controller opens for one request.
        let items: Vec<_> = (0..300).map(|number| format!("--from-literal i{number}={number}")).collect();
        let seal = format!(
            "seal --cert {} --name many -n apps -o json {}",
            tree.path("old.pem").display(),
            items.join(" ")
        );
        std::fs::write(tree.file("many.json"), tree.succeeds(&seal)).unwrap();
        let report = tree.json("reseal many.json --for a");
        assert_eq!(report["resealed"], 300);
        assert_eq!(tree.json("reseal many.json --for a")["kept"], 300);
        std::fs::remove_file(tree.file("many.json")).unwrap();

        // A colleague, with the certificate of yesterday and the peer's tool: nothing says which key that was.
        let mut kubeseal = Command::new(tools::kubeseal());
        kubeseal.args(["--cert"]).arg(tree.path("old.pem")).args(["--merge-into"]).arg(folder.join("0.json"));
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a-0", "namespace": "apps"},
            "stringData": {"password": "new"},
        });
        let merged = run(&mut kubeseal, &secret.to_string());
        assert!(merged.status.success(), "{}", String::from_utf8_lossy(&merged.stderr));
        let refused = tree.fails(&format!("keys retire {} . --for a", old.0));
        assert!(refused.contains("1 values need it"), "{refused}");
        assert!(refused.contains("apps/a-0: password: opened with it"), "{refused}");
        assert_eq!(tree.opened_with(&tree.json("keys report . --for a"), &old.0), 1);
        // Whoever may not ask the controller does not know it, and that is as good as needed.
        let admin = std::fs::read(tree.path("kubeconfig")).unwrap();
        tree.log_in_as(&cluster, &reader(&cluster).await);
        let refused = tree.fails(&format!("keys retire {} . --for a", old.0));
        assert!(
            refused.contains("the controller cannot be asked") && refused.contains("rbac.resealer.subjects"),
            "{refused}"
        );
        assert!(refused.contains("0 values need it, of 1 it is not known"), "{refused}");
        assert!(refused.contains("apps/a-0: password: unknown"), "{refused}");
        std::fs::write(tree.path("kubeconfig"), admin).unwrap();

        // A hint that lies: it says the new key of a value that is sealed to the old one.
        let new = tree.keys("a")[0].0.clone();
        let sealed = tree.succeeds(&format!(
            "seal --cert {} --from-literal x=y --name lie -n apps -o json",
            tree.path("old.pem").display()
        ));
        std::fs::write(folder.join("lie.json"), sealed.replace(&old.0, &new)).unwrap();
        let refused = tree.fails(&format!("keys retire {} clusters --for a", old.0));
        assert!(
            refused.contains("2 values need it") && refused.contains("apps/lie: x: opened with it"),
            "{refused}"
        );

        // Sealed for other names than it has there: nobody can say what it needs.
        let lost = sealed.replace("\"lie\"", "\"lost\"");
        std::fs::write(folder.join("lost.json"), &lost).unwrap();
        let refused = tree.fails(&format!("keys retire {} clusters --for a", old.0));
        assert!(refused.contains("apps/lost: x: unknown"), "{refused}");
        // And so with a file that says it is one and cannot be read.
        std::fs::write(folder.join("lost.json"), "kind: SealedSecret\nencryptedData: [\n").unwrap();
        let refused = tree.fails(&format!("keys retire {} clusters --for a", old.0));
        assert!(refused.contains("1 files cannot be read") && refused.contains("lost.json"), "{refused}");
        let patch = "kind: Kustomization # of a SealedSecret\npatches: [{patch: \"{spec: {encryptedData: {a: AgA=}}}\"}]\n";
        std::fs::write(folder.join("lost.json"), patch).unwrap();
        let refused = tree.fails(&format!("keys retire {} clusters --for a", old.0));
        assert!(refused.contains("lost.json: sealed values within another object"), "{refused}");
        std::fs::remove_file(folder.join("lost.json")).unwrap();

        // Resealing finds both, whatever is claimed of them.
        let report = tree.json("reseal clusters");
        assert_eq!(report["resealed"], 2, "{report}");
        cluster.reconcile(&folder, 3).await;
        // No tree is no answer.
        let none = tree.run(&format!("keys retire {} --for a", old.0));
        assert_eq!(none.status.code(), Some(2));
        tree.succeeds(&format!("keys retire {} clusters --for a", old.0));
        assert!(
            tree.succeeds(&format!("keys retire {} clusters --for a", old.0)).is_empty(),
            "twice is once"
        );
        // The key that seals is not retired, nor one that is gone since it was read.
        assert!(tree.fails(&format!("keys retire {new} clusters --for a")).contains("is the one that seals"));
        cluster.kubectl(&["delete", "secret", "-n", "privyseal", &old.2]);
        assert_eq!(tree.run(&format!("keys retire {} clusters --for a", old.0)).status.code(), Some(2));
    });
}

#[test]
fn a_key_that_leaked_is_revoked_and_its_values_are_listed() {
    network::alone(async || {
        let cluster = Cluster::start("a").await;
        let tree = Tree::new(&[&cluster]);
        tree.seal_new("a", 2);
        let old = tree.keys("a")[0].clone();
        tree.succeeds(&format!("keys compromised {} --for a", old.0));
        let states: Vec<_> = tree.keys("a").into_iter().map(|key| key.1).collect();
        assert_eq!(states, ["sealing", "compromised"]);
        // It opens until it is retired, and a mark that is taken off changes nothing.
        cluster.reconcile(&tree.file("clusters/a"), 2).await;
        cluster
            .patch_secret(&old.2, json!({"metadata": {"annotations": {"privyseal.dev/compromised": null}}}))
            .await;
        let fetched = tree.succeeds("keys fetch --for a --published");

        let list: serde_json::Value = serde_json::from_str(&fetched).unwrap();
        let list: serde_json::Value = serde_json::from_str(list["list"].as_str().unwrap()).unwrap();
        assert_eq!(list["revoked"].as_array().unwrap().len(), 3, "the certificate and both recipients");
    });
}

#[test]
fn another_cluster_under_the_same_context_is_left_alone() {
    network::alone(async || {
        let (known, other) = (Cluster::start("a").await, Cluster::start("a").await);
        let (tree, elsewhere) = (Tree::new(&[&known]), Tree::new(&[&other]));
        tree.seal_new("a", 1);
        tree.succeeds("keys list --context a");
        let key = elsewhere.keys("a")[0].0.clone();
        std::fs::copy(elsewhere.path("kubeconfig"), tree.path("kubeconfig")).unwrap();
        let before = std::fs::read(tree.file("clusters/a/0.json")).unwrap();
        for cluster in ["--context a", "--for a"] {
            for command in [
                "keys list",
                "keys rotate",
                "keys report clusters",
                &format!("keys retire {key} clusters --force"),
                &format!("keys compromised {key}"),
                "reseal clusters",
                "keys fetch",
            ] {
                let said = tree.fails(&format!("{command} {cluster}"));
                assert!(said.contains("Somebody may be giving you a key of their own"), "{command}: {said}");
            }
        }
        assert_eq!(elsewhere.keys("a").iter().map(|key| key.1.as_str()).collect::<Vec<_>>(), ["sealing"]);
        assert_eq!(std::fs::read(tree.file("clusters/a/0.json")).unwrap(), before);
    });
}

#[test]
fn every_replica_is_waited_for() {
    network::alone(async || {
        let cluster = Cluster::start("a").await;
        let tree = Tree::new(&[&cluster]);
        let rotate = |more: &str| {
            let output = tree.run(&format!("keys rotate --context a {more}"));
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        let (status, said) = rotate("");
        assert_eq!(status, Some(0), "{said}");
        assert!(said.contains("1 replicas serve the new key"), "{said}");

        let other = ControllerOptions::default().reachable().pod_name("other");
        let mut other = Controller::start(&cluster.release, other).await;
        cluster.release.lead_to(&other).await;
        eventually(LONG, async || {
            let (status, said) = rotate("");
            assert_eq!(status, Some(0), "{said}");
            if said.contains("2 replicas serve the new key") { Ok(()) } else { Err(said) }
        })
        .await;

        // It is gone, and its pod still says that it is ready.
        other.kill();
        let (status, said) = rotate("--timeout 5");
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("1 replicas do not serve it yet: other"), "{said}");
    });
}
