//! One file for several clusters and a key in a safe: it opens in both clusters and not in a third; keys rotate in one of
//! them, and nobody else notices; one is dropped, and opens the new file no more.

use super::{Cluster, LONG, Tree};
use privyseal_tests::eventually::eventually;
use privyseal_tests::{network, objects};
use serde_json::{Value, json};

const FILE: &str = "shared/db.yaml";

impl Cluster {
    /// Applies the file as Git has it, and waits until the controller has looked at it: its reason and message.
    async fn looks_at(&self, tree: &Tree) -> (String, String) {
        self.kubectl(&[
            "apply",
            "--server-side",
            "--force-conflicts",
            "-f",
            &tree.file(FILE).to_string_lossy(),
        ]);
        let api = objects::sealed_secrets(&self.control_plane.client(), "apps");
        let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        eventually(LONG, async || {
            let object = api.get("db").await.unwrap();
            let status = &object.data["status"];
            let ready =
                status["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == "Ready");
            match ready.filter(|_| status["observedGeneration"] == json!(object.metadata.generation)) {
                Some(ready) => Ok((text(ready, "reason"), text(ready, "message"))),
                None => Err(format!("not looked at yet: {status}")),
            }
        })
        .await
    }

    fn value(&self) -> String {
        self.kubectl(&["get", "secret", "db", "-n", "apps", "-o", "jsonpath={.data.password}"])
    }
}

impl Tree {
    /// Key ids that the values of the file name, the same for each.
    fn named_in_file(&self) -> Vec<String> {
        let report = self.json(&format!("inspect {FILE}"));
        let items = report["objects"][0]["items"].as_array().unwrap();
        let ids = |item: &Value| -> Vec<String> {
            let all = item["recipients"].as_array().unwrap().iter();
            all.map(|recipient| recipient["claimedKeyId"].as_str().unwrap_or_default().to_owned()).collect()
        };
        let first = ids(&items[0]);
        assert!(items.iter().all(|item| ids(item) == first), "{report}");
        first
    }

    fn rule(&self, names: &[&str], recipient: &str) {
        let config = json!({
            "version": 1,
            "clusters": {"a": {"context": "a"}, "b": {"context": "b"}, "c": {"context": "c"}},
            "recipients": {"safe": {"age": recipient}},
            "rules": [{"path": "shared/**", "for": names}],
        });
        std::fs::write(self.file(".privyseal.yaml"), config.to_string()).unwrap();
    }
}

#[test]
fn one_file_opens_in_two_clusters_and_from_a_safe() {
    network::alone(async || {
        let (a, b, c) = (Cluster::start("a").await, Cluster::start("b").await, Cluster::start("c").await);
        let tree = Tree::new(&[&a, &b, &c]);
        tree.succeeds("keys generate --age --out-file ../safe.txt");
        let identity = std::fs::read_to_string(tree.path("safe.txt")).unwrap();
        let recipient = identity.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
        tree.rule(&["a", "b", "safe"], recipient);

        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "namespace": "apps"},
            "stringData": {"password": "one", "user": "app"},
        });
        std::fs::create_dir_all(tree.file("shared")).unwrap();
        std::fs::write(tree.file(FILE), secret.to_string()).unwrap();
        let refused = tree.fails(&format!("seal --in-place {FILE}"));
        assert!(refused.contains("--yes-trust"), "nobody is trusted yet: {refused}");
        let safe = refused_fingerprint(&tree.fails(&format!(
            "seal --in-place --yes-trust {} --yes-trust {} {FILE}",
            tree.fingerprint("a"),
            tree.fingerprint("b")
        )));
        tree.succeeds(&format!("seal --in-place --yes-trust {safe} {FILE}"));

        // The same file in three clusters: two of them open it, and the third says whose it is.
        for cluster in [&a, &b] {
            assert_eq!(cluster.looks_at(&tree).await.0, "Unsealed", "{}", cluster.name);
            assert_eq!(cluster.value(), "b25l");
        }
        let before = tree.named_in_file();
        assert_eq!(before.len(), 3);
        let (reason, message) = c.looks_at(&tree).await;
        assert_eq!(reason, "NotARecipient", "{message}");
        assert!(before.iter().all(|key| message.contains(key)), "{message}");
        let unsealed = tree.succeeds(&format!("unseal {FILE} --key ../safe.txt"));
        assert!(unsealed.contains("b25l"), "{unsealed}");

        // A new key in one cluster. Its controller makes room for it in the file, and leaves the others as they are.
        tree.succeeds("keys rotate --for a");
        let report = tree.json("reseal shared");
        assert_eq!((&report["resealed"], &report["kept"]), (&2.into(), &0.into()), "{report}");
        let after = tree.named_in_file();
        assert_ne!(after[0], before[0]);
        assert_eq!(after[1..], before[1..]);
        for cluster in [&a, &b] {
            assert_eq!(cluster.looks_at(&tree).await.0, "Unsealed", "{}", cluster.name);
        }
        tree.succeeds(&format!("unseal {FILE} --key ../safe.txt"));
        assert_eq!(tree.json("reseal shared")["kept"], 2, "the second time nothing is left to do");

        // A rule that asks for one more changes nothing by itself.
        tree.rule(&["a", "b", "c", "safe"], recipient);
        let text = std::fs::read(tree.file(FILE)).unwrap();
        let listed =
            tree.fails(&format!("reseal shared --key ../safe.txt --yes-trust {}", tree.fingerprint("c")));
        assert!(
            listed.contains("not among its recipients") && listed.contains("--add-recipient"),
            "{listed}"
        );
        assert_eq!(std::fs::read(tree.file(FILE)).unwrap(), text);

        // One is dropped: what is in its cluster stays, what is new it opens no more.
        tree.rule(&["a", "safe"], recipient);
        let report = tree.json("reseal shared --key ../safe.txt --drop-recipient b");
        assert_eq!(report["resealed"], 2, "{report}");
        assert_eq!(tree.named_in_file(), [&after[0], &after[2]].map(String::clone));
        tree.succeeds_with(&format!("set {FILE} password"), "two");
        assert_eq!(a.looks_at(&tree).await.0, "Unsealed");
        assert_eq!(a.value(), "dHdv");
        let (reason, message) = b.looks_at(&tree).await;
        assert_eq!(reason, "NotARecipient", "{message}");
        assert_eq!(b.value(), "b25l", "a Secret that was there is not taken away");
        assert!(tree.succeeds(&format!("unseal {FILE} --key ../safe.txt")).contains("dHdv"));
    });
}

/// What an error tells to give to `--yes-trust`.
fn refused_fingerprint(told: &str) -> String {
    let (_, rest) = told.split_once("--yes-trust ").unwrap_or_else(|| panic!("{told}"));
    rest.split(|c: char| c == '`' || c.is_whitespace()).next().unwrap().to_owned()
}
