//! The life of keys as people live it: rotate, reseal, report, retire, over Git trees and real clusters.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod hints;
mod recipients;
mod story;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use privyseal_tests::eventually::eventually;
use privyseal_tests::sealing::{privyseal_command, run};
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions, objects};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

/// A cluster whose controller is reached as in any cluster: through the API server, by whoever may.
struct Cluster {
    name: &'static str,
    control_plane: &'static ControlPlane,
    release: Release<'static>,
    controller: Controller,
}

const NAMESPACE: &str = "privyseal";
/// For what takes a whole cluster some time on a busy machine.
const LONG: Duration = Duration::from_secs(120);

impl Cluster {
    async fn start(name: &'static str) -> Self {
        let (control_plane, release) = Self::without_controller().await;
        Self::with_controller(name, control_plane, release).await
    }

    /// What a chart installs, its controller not yet running.
    async fn without_controller() -> (&'static ControlPlane, Release<'static>) {
        let control_plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start()));
        let options = ReleaseOptions::default().place("privyseal", NAMESPACE);
        let release = Release::install(control_plane, options).await;
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "apps"}});
        objects::apply(&control_plane.client(), None, &namespace).await;
        (control_plane, release)
    }

    async fn with_controller(
        name: &'static str,
        control_plane: &'static ControlPlane,
        release: Release<'static>,
    ) -> Self {
        let controller = Controller::start(&release, ControllerOptions::default().reachable()).await;
        release.lead_to(&controller).await;
        // It is ready once it serves its key; what it publishes comes a moment later.
        let published: Api<ConfigMap> = Api::namespaced(control_plane.client(), release.namespace());
        eventually(LONG, async || {
            published.get("privyseal-sealing-keys").await.map_err(|error| error.to_string())
        })
        .await;
        Self { name, control_plane, release, controller }
    }

    fn kubectl(&self, args: &[&str]) -> String {
        self.control_plane.kubectl_ok(args, "")
    }

    /// The keys that the peer's label calls active.
    async fn active_keys(&self) -> usize {
        let secrets: Api<Secret> = Api::namespaced(self.control_plane.client(), self.release.namespace());
        let active = ListParams::default().labels("sealedsecrets.bitnami.com/sealed-secrets-key=active");
        secrets.list(&active).await.unwrap().items.len()
    }

    /// Applies a folder, and waits until each of its objects is a Secret with this value.
    async fn reconcile(&self, folder: &Path, count: usize) {
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-R", "-f", &folder.to_string_lossy()]);
        self.all_open(count).await;
    }

    /// Every SealedSecret is synced as it is now.
    async fn all_open(&self, count: usize) {
        let api = objects::sealed_secrets(&self.control_plane.client(), "apps");
        eventually(LONG, async || {
            let all = api.list(&ListParams::default()).await.unwrap().items;
            let synced = all.iter().filter(|object| {
                let status = &object.data["status"];
                status["observedGeneration"] == json!(object.metadata.generation)
                    && status["conditions"][0]["status"] == "True"
            });
            let synced = synced.count();
            if (all.len(), synced) == (count, count) {
                Ok(())
            } else {
                Err(format!("{synced} of {} are synced", all.len()))
            }
        })
        .await;
    }

    async fn patch_secret(&self, name: &str, patch: Value) {
        let secrets: Api<Secret> = Api::namespaced(self.control_plane.client(), self.release.namespace());
        secrets.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}

/// A Git tree, a kubeconfig with a context for each cluster, and a trust file beside them.
struct Tree {
    scratch: tempfile::TempDir,
}

impl Tree {
    fn new(clusters: &[&Cluster]) -> Self {
        let tree = Self { scratch: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(tree.path("repository/.git")).unwrap();
        let parts = clusters.iter().map(|cluster| {
            let text = std::fs::read_to_string(cluster.control_plane.kubeconfig()).unwrap();
            let config = objects::documents(&text).remove(0);
            let name = cluster.name;
            (
                json!({"name": name, "cluster": config["clusters"][0]["cluster"]}),
                json!({"name": name, "user": config["users"][0]["user"]}),
                json!({"name": name, "context": {"cluster": name, "user": name}}),
            )
        });
        let (all, (users, contexts)): (Vec<_>, (Vec<_>, Vec<_>)) = parts.map(|(a, b, c)| (a, (b, c))).unzip();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "clusters": all, "users": users, "contexts": contexts,
        });
        std::fs::write(tree.path("kubeconfig"), kubeconfig.to_string()).unwrap();
        let names = || clusters.iter().map(|cluster| cluster.name);
        let config = json!({
            "version": 1,
            "clusters": names().map(|name| (name.to_owned(), json!({"context": name}))).collect::<serde_json::Map<_, _>>(),
            "rules": names().map(|name| json!({"path": format!("clusters/{name}/**"), "for": [name]})).collect::<Vec<_>>(),
        });
        std::fs::write(tree.path("repository/.privyseal.yaml"), config.to_string()).unwrap();
        tree
    }

    /// From now on as the user of that kubeconfig.
    fn log_in_as(&self, cluster: &Cluster, kubeconfig: &Path) {
        let read = |path: &Path| objects::documents(&std::fs::read_to_string(path).unwrap()).remove(0);
        let mut config = read(&self.path("kubeconfig"));
        let users = config["users"].as_array_mut().unwrap();
        let user = users.iter_mut().find(|user| user["name"] == cluster.name).unwrap();
        user["user"] = read(kubeconfig)["users"][0]["user"].take();
        std::fs::write(self.path("kubeconfig"), config.to_string()).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path("repository").join(name)
    }

    fn run(&self, args: &str) -> Output {
        self.run_with(args, "")
    }

    fn run_with(&self, args: &str, stdin: &str) -> Output {
        let mut command = privyseal_command();
        command
            .args(args.split_whitespace())
            .current_dir(self.path("repository"))
            .env("KUBECONFIG", self.path("kubeconfig"))
            .env("PRIVYSEAL_TRUST", self.path("trust.yaml"));
        run(&mut command, stdin)
    }

    fn succeeds_with(&self, args: &str, stdin: &str) {
        let output = self.run_with(args, stdin);
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn succeeds(&self, args: &str) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it says when it fails.
    fn fails(&self, args: &str) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    }

    fn json(&self, args: &str) -> Value {
        serde_json::from_str(&self.succeeds(&format!("{args} -o json"))).unwrap()
    }

    /// Writes plain Secrets, and has all of them sealed in place for the clusters that the rules name.
    fn seal_new(&self, cluster: &str, count: usize) {
        std::fs::create_dir_all(self.file(&format!("clusters/{cluster}"))).unwrap();
        for number in 0..count {
            let secret = json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": format!("{cluster}-{number}"), "namespace": "apps"},
                "stringData": {"password": format!("{cluster} {number}"), "user": "app"},
            });
            std::fs::write(self.file(&format!("clusters/{cluster}/{number}.json")), secret.to_string())
                .unwrap();
        }
        let files: Vec<_> = (0..count).map(|number| format!("clusters/{cluster}/{number}.json")).collect();
        let fingerprint = self.fingerprint(cluster);
        self.succeeds(&format!("seal --in-place --yes-trust {fingerprint} {}", files.join(" ")));
    }

    /// Of the publisher, as somebody learns it who knows the cluster.
    fn fingerprint(&self, cluster: &str) -> String {
        let output = self.run(&format!("keys fetch --context {cluster}"));
        let said = String::from_utf8_lossy(&output.stderr);
        let (_, rest) = said.split_once("publisher ").unwrap_or_else(|| panic!("{said}"));
        rest.split_whitespace().next().unwrap().to_owned()
    }

    /// Key ids by state, newest first.
    fn keys(&self, cluster: &str) -> Vec<(String, String, String)> {
        let keys = self.json(&format!("keys list --context {cluster}"))["keys"].take();
        let text = |key: &Value, field: &str| key[field].as_str().unwrap_or_default().to_owned();
        let keys = keys.as_array().unwrap().iter();
        keys.map(|key| (text(key, "keyId"), text(key, "state"), text(key, "secret"))).collect()
    }

    /// How many values are known to need a key.
    fn opened_with(&self, report: &Value, key: &str) -> u64 {
        let keys = report["keys"].as_array().unwrap();
        keys.iter().find(|row| row["keyId"] == key).unwrap()["opened"].as_u64().unwrap()
    }
}
