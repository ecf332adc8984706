//! A cluster is lost, and comes back from its backup: before its controller first starts, and after.

use super::key_secrets;
use super::ring::{named, new_key};
use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::Api;
use privyseal_tests::age_keys::{keeper, write_identity};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::{Sealer, privyseal_command, run};
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

/// A person with a folder, who keeps a trust file and the backup there.
pub(crate) struct Desk {
    folder: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        write_identity(&this.file("identity.txt"));
        this
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `privyseal` in the folder; the arguments are separated by blanks.
    pub(crate) fn run(&self, arguments: &str) -> Output {
        let mut command = privyseal_command();
        command.current_dir(self.folder.path()).env("PRIVYSEAL_TRUST", self.file("trust.yaml"));
        run(command.args(arguments.split_whitespace()), "")
    }

    pub(crate) fn does(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let said = told(&output);
        assert!(output.status.success(), "{arguments}: {said}");
        said
    }

    pub(crate) fn fails(&self, arguments: &str, status: i32) -> String {
        let output = self.run(arguments);
        let said = told(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments}: {said}");
        said
    }
}

/// Both streams.
fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The options that name a cluster.
pub(crate) fn cluster(release: &Release<'_>, kubeconfig: &Path) -> String {
    format!(
        "--context it --kubeconfig {} --controller-namespace {}",
        kubeconfig.display(),
        release.namespace()
    )
}

/// The fingerprint that follows a word.
pub(crate) fn fingerprint<'a>(said: &'a str, word: &str) -> &'a str {
    let rest = said.split_once(word).unwrap_or_else(|| panic!("no {word} in {said}")).1;
    rest.split_whitespace().next().unwrap()
}

pub(crate) async fn published(release: &Release<'_>) -> Option<(Value, String)> {
    let maps: Api<ConfigMap> = Api::namespaced(release.control_plane().client(), release.namespace());
    let data = maps.get_opt("privyseal-sealing-keys").await.unwrap()?.data?;
    Some((serde_json::from_str(data.get("status.json")?).unwrap(), data.get("publisher.pub")?.clone()))
}

/// A cluster with one active and one retired key, and an object that its controller opened. All but backup and object
/// is lost again.
struct Lost {
    desk: Desk,
    object: Value,
    namespace: String,
    publisher: String,
    publisher_key: String,
    key: String,
}

async fn lost_cluster() -> Lost {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let mut controller = Controller::start(&release, ControllerOptions::default()).await;
    let sealer = Sealer::of(&controller).await;
    let namespace = "backed-up".to_owned();
    objects::apply(
        &client,
        None,
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": &namespace}}),
    )
    .await;
    let object = sealer.seal(&namespace, "db", &[("password", "1"), ("user", "2")], &[]);
    objects::apply(&client, None, &object).await;
    wait_for_secret(&client, &namespace, "db", &[("password", b"1"), ("user", b"2")]).await;
    let mut retired = named(new_key(release.namespace()), "an-old-key");
    retired["metadata"]["labels"] = json!({"sealedsecrets.bitnami.com/sealed-secrets-key": "retired"});
    objects::apply(&client, None, &retired).await;

    let desk = Desk::new();
    let options = cluster(&release, &control_plane.admin_kubeconfig_with_token().await);
    // Whoever may not read Secrets is told which right it takes.
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let account = serde_json::from_value(json!({"metadata": {"name": "somebody"}})).unwrap();
    accounts.create(&Default::default(), &account).await.unwrap();
    let somebody = control_plane.kubeconfig_for("default", "somebody").await;
    let recipient = &keeper().recipient;
    let back_up = format!("keys backup --recipient {recipient} --out-file prod.backup");
    let said = desk.fails(&format!("{back_up} {}", cluster(&release, &somebody)), 1);
    assert!(said.contains("it takes the right to get `secrets` in namespace"), "{said}");
    assert!(!desk.file("prod.backup").exists());

    // A backup must not be the weakest place of the keys in it, unless somebody says so.
    let classical = "keys backup --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
    let said = desk.fails(&format!("{classical} --out-file c.backup --for prod {options}"), 2);
    assert!(said.contains("--allow-classical") && said.contains("age-keygen -pq"), "{said}");
    assert!(!desk.file("c.backup").exists());
    desk.does(&format!("{classical} --allow-classical --out-file c.backup --for prod {options}"));
    std::fs::remove_file(desk.file("c.backup")).unwrap();

    let said = desk.does(&format!("{back_up} --for prod {options}"));
    let publisher = fingerprint(&said, "signed by publisher").to_owned();
    assert!(said.contains("2 keys, 1 of them active"), "{said}");
    let (status, publisher_key) =
        eventually(PATIENCE, async || published(&release).await.ok_or("not published")).await;
    let key = status["fingerprint"].as_str().unwrap().to_owned();
    let shown = desk.does("keys backup --show prod.backup");
    for part in [&publisher, &key, "an-old-key", " retired ", " active ", recipient, "not in the trust file"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    controller.stop();
    std::fs::write(desk.file("db.json"), object.to_string()).unwrap();
    Lost { desk, object, namespace, publisher, publisher_key, key }
}

async fn all_keys(release: &Release<'_>) -> Vec<(String, String)> {
    let api: Api<Secret> = Api::namespaced(release.control_plane().client(), release.namespace());
    let label = "sealedsecrets.bitnami.com/sealed-secrets-key";
    let secrets = api.list(&kube::api::ListParams::default().labels(label)).await.unwrap().items;
    let state =
        |secret: Secret| (secret.metadata.name.unwrap(), secret.metadata.labels.unwrap()[label].clone());
    secrets.into_iter().map(state).collect()
}

#[tokio::test]
async fn a_restore_before_the_first_start_is_as_if_nothing_was_lost() {
    let lost = lost_cluster().await;
    let Lost { desk, publisher, key, .. } = &lost;
    // It would open what Git holds, which is known before there is a cluster.
    let checked = desk.does("keys restore prod.backup --identity identity.txt --check .");
    assert!(checked.contains("opens: ./db.json:1: document 1: backed-up/db"), "{checked}");

    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let options = cluster(&release, &control_plane.admin_kubeconfig_with_token().await);
    let restore = format!("keys restore prod.backup --identity identity.txt --for prod {options}");
    // Nobody is asked here: what is not trusted is refused.
    let said = desk.fails(&restore, 1);
    assert!(said.contains(&format!("--yes-trust {publisher}")), "{said}");
    let nowhere = restore.replace(
        &format!("--controller-namespace {}", release.namespace()),
        "--controller-namespace nowhere",
    );
    let said = desk.fails(&format!("{nowhere} --yes-trust {publisher}"), 1);
    assert!(said.contains("there is no namespace nowhere"), "{said}");
    // From here on it is pinned, as the line before decided.
    let said = desk.does(&format!("{restore} --dry-run"));
    assert!(said.contains("would be restored, retired, as Secret an-old-key"), "{said}");
    assert_eq!(all_keys(&release).await, []);

    desk.does(&restore);
    let restored = all_keys(&release).await;
    let states: Vec<_> = restored.iter().map(|(_, state)| state.as_str()).collect();
    assert_eq!(states.len(), 2);
    assert!(states.contains(&"retired") && states.contains(&"active"), "{restored:?}");
    let said = desk.does(&restore);
    assert_eq!(said.matches("there already").count(), 3, "{said}");
    assert_eq!(all_keys(&release).await, restored);

    let mut controller = Controller::start(&release, ControllerOptions::default()).await;
    objects::apply(
        &client,
        None,
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": &lost.namespace}}),
    )
    .await;
    objects::apply(&client, None, &lost.object).await;
    wait_for_secret(&client, &lost.namespace, "db", &[("password", b"1"), ("user", b"2")]).await;
    let (status, signer) =
        eventually(PATIENCE, async || published(&release).await.ok_or("not published")).await;
    assert_eq!((&signer, status["reason"].as_str()), (&lost.publisher_key, Some("MadeByLeader")));
    assert_eq!(status["fingerprint"].as_str(), Some(key.as_str()), "the old key goes on sealing");
    assert_eq!(all_keys(&release).await, restored, "no key was made");
    assert_eq!(controller.metrics().await.sum("privyseal_keys_made_total", &[]), 0.0);
    controller.stop();
}

#[tokio::test]
async fn a_restore_after_the_first_start_asks_and_replaces_the_publisher() {
    let lost = lost_cluster().await;
    let Lost { desk, publisher, .. } = &lost;
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let mut controller = Controller::start(&release, ControllerOptions::default()).await;
    let (before, own_signer) =
        eventually(PATIENCE, async || published(&release).await.ok_or("not published")).await;
    assert_ne!(own_signer, lost.publisher_key);
    let own = Sealer::of(&controller).await;
    let namespace = control_plane.namespace("own").await;
    objects::apply(&client, None, &own.seal(&namespace, "own", &[("a", "1")], &[])).await;
    wait_for_secret(&client, &namespace, "own", &[("a", b"1")]).await;
    objects::apply(
        &client,
        None,
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": &lost.namespace}}),
    )
    .await;
    objects::apply(&client, None, &lost.object).await;
    wait_for_condition(&client, &lost.namespace, "db", "Synced", "False").await;

    let options = cluster(&release, &control_plane.admin_kubeconfig_with_token().await);
    let restore = format!(
        "keys restore prod.backup --identity identity.txt --for prod --yes-trust {publisher} {options}"
    );
    let said = desk.fails(&restore, 1);
    for part in ["a controller has run there", "Nothing was restored", "--replace-publisher", publisher] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(key_secrets(&client, release.namespace()).await.items.len(), 1);

    let said = desk.does(&format!("{restore} --replace-publisher"));
    assert!(said.contains("put in the place of SHA256:"), "{said}");
    wait_for_secret(&client, &lost.namespace, "db", &[("password", b"1"), ("user", b"2")]).await;
    let (status, _) = eventually(PATIENCE, async || match published(&release).await {
        Some((status, signer)) if signer == lost.publisher_key => Ok((status, signer)),
        other => Err(format!("{other:?}")),
    })
    .await;
    // The newest key seals as before, and is still known as one that a leader made.
    assert_eq!(status["fingerprint"], before["fingerprint"]);
    assert_eq!(status["reason"], "MadeByLeader");
    let logs = controller.logs();
    assert!(logs.contains("the publisher key was replaced") && logs.contains(publisher.as_str()), "{logs}");
    objects::apply(&client, None, &own.seal(&namespace, "later", &[("a", "2")], &[])).await;
    wait_for_secret(&client, &namespace, "later", &[("a", b"2")]).await;
    assert_eq!(key_secrets(&client, release.namespace()).await.items.len(), 2, "no key was made");

    controller.kill();
    controller.start_again().await;
    objects::apply(&client, None, &own.seal(&namespace, "last", &[("a", "3")], &[])).await;
    wait_for_secret(&client, &namespace, "last", &[("a", b"3")]).await;
    assert_eq!(all_keys(&release).await.len(), 3);
    controller.stop();
}
