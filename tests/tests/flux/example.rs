//! The repository to copy, deployed: its staging cluster, by a Flux that is locked down as in AKS.
//!
//! What the test puts into the place of what is in Git, and nothing else: the address of Privyseal's repository, which the
//! README says to replace, and two numbers of replicas, which are 0. There is no kubelet, so Helm installs all of the chart but
//! pods, and the controller runs beside the API server with the account, rights and flags that it finds there.

use super::measured;

use kube::Client;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::example::{Example, blocks, fingerprint};
use privyseal_tests::flux::{
    Flux, GitServer, NAMESPACE, Part, Repository, Watched, git_repository, kustomization,
};
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, network, objects, tools};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// What Flux runs with in AKS: no reference leads into another namespace, and nobody is cluster administrator by default.
const LOCKED_DOWN: [(Part, &str); 4] = [
    (Part::Kustomize, "--no-cross-namespace-refs=true"),
    (Part::Kustomize, "--default-service-account=flux-applier"),
    (Part::Helm, "--no-cross-namespace-refs=true"),
    (Part::Helm, "--default-service-account=flux-applier"),
];

#[test]
fn the_example_turns_green_and_stays_so_over_a_new_key() {
    network::alone(async || {
        let control_plane: &'static ControlPlane = Box::leak(Box::new(ControlPlane::start()));
        let client = control_plane.client();
        let flux = Flux::start_with(control_plane, &LOCKED_DOWN).await;
        let git = GitServer::start().await;
        let charts = git.repository("privyseal");
        publish_chart(&charts);
        let fleet = git.repository("fleet");
        let example = Example::copy_into(fleet.folder(), &[("staging", control_plane)]);

        // As the README says.
        example.replace(
            "infrastructure/privyseal/source.yaml",
            "https://git.example.com/platform/privyseal.git",
            charts.url(),
        );
        let safe = example.step("### 2. A key for the safe");
        example.compared(fingerprint(&safe));
        example.without_production();
        // As this machine wants it.
        example.replace("infrastructure/staging/kustomization.yaml", "replicas: 1", "replicas: 0");
        example.replace("apps/base/shop/deployment.yaml", "replicas: 1", "replicas: 0");
        let revision = fleet.commit("the example");

        let (source, cluster) = begin(&client, &fleet).await;
        let [infrastructure, secrets, apps] = watch(&client).await;
        infrastructure.wait_ready(&revision).await;
        let release = Release::found(control_plane, "privyseal", "privyseal").await;
        let mut controller = Controller::start(&release, ControllerOptions::default().reachable()).await;
        release.lead_to(&controller).await;

        // What is sealed in the example is for keys that nobody has.
        let red = secrets.wait_not_ready(&revision, "SealedSecret/").await;
        show("secrets", &red.ready.message);
        assert!(red.ready.message.contains("status: 'Failed'"), "{}", red.ready.message);
        for (namespace, name, reason) in [
            ("shop", "db", "NotOpened"),
            ("shop", "licence", "NotARecipient"),
            (NAMESPACE, "mailer-values", "NotOpened"),
        ] {
            wait_for_reason(&client, namespace, name, reason).await;
        }
        let waits = apps.wait_not_ready(None, "dependency").await;
        show("apps", &waits.ready.message);
        assert!(secret(&client, "shop", "db").await.is_none());
        // It waits for them, so whoever looks at it alone, as Azure does, sees no green either.
        cluster.wait_until(|_, ready| ready.status != "True").await;

        let known = example.sh("privyseal keys fetch --context staging --trust ../known.yaml");
        example.compared(fingerprint(&String::from_utf8_lossy(&known.stderr)));
        example.step("### 3. The keys of the clusters");
        example.step("### 4. Secrets");
        let began = Instant::now();
        let revision = fleet.commit("own keys and own Secrets");
        source.reconcile().await;
        let green = secrets.wait_ready(&revision).await;
        let ready = apps.wait_ready(&revision).await;
        cluster.wait_ready(&revision).await;
        measured("the example, fixed", &[("secrets", green.at - began), ("apps", ready.at - began)], &green);
        let before = whole(&client).await;

        // The page's rotation, with a commit and a push of the harness in the place of its own.
        let page = std::fs::read_to_string(tools::repository().join("docs/gitops.md")).unwrap();
        let [rotation] = &blocks(&page, "### 6. Rotate")[..] else { panic!("one block") };
        let (reseal, retire) = rotation.split_once("git commit").unwrap();
        let retire = retire.split_once('\n').unwrap().1;
        let old = opened_with(&client).await;
        example.does(reseal);
        let began = Instant::now();
        let revision = fleet.commit("Reseal to the newest key of staging");
        source.reconcile().await;
        let rotated = secrets.wait_ready(&revision).await;
        measured("the example, resealed", &[("secrets", rotated.at - began)], &rotated);
        let new = opened_with(&client).await;
        assert_ne!(old, new);
        example.does(&retire.replace("OLD-KEY", &old));
        assert_eq!(whole(&client).await, before, "a new key changes no value");

        // Everything is opened anew without the old key, as after a loss of all that is in memory.
        controller.stop();
        example.does("kubectl --context staging annotate sealedsecrets --all --all-namespaces note=again");
        controller.start_again().await;
        apps.wait_ready(&revision).await;
        assert_eq!(whole(&client).await, before);
        assert_eq!(opened_with(&client).await, new);
        drop(flux);
    });
}

/// Everything that staging's Secrets and releases hold, checked for what must be so.
async fn whole(client: &Client) -> Vec<std::collections::BTreeMap<String, Vec<u8>>> {
    let mut found = Vec::new();
    for (namespace, name) in
        [("shop", "db"), ("shop", "licence"), (NAMESPACE, "mailer-values"), ("shop", "mailer")]
    {
        found.push(
            secret(client, namespace, name).await.unwrap_or_else(|| panic!("no Secret {namespace}/{name}")),
        );
    }
    let [db, licence, values, mailer] = &found[..] else { unreachable!("four were asked for") };
    assert_eq!(db["user"], b"shop");
    assert_eq!((db["password"].len(), licence["licence.key"].len()), (24, 24));
    // What the chart made has the password that was sealed.
    let values = objects::documents(str::from_utf8(&values["values.yaml"]).unwrap()).remove(0);
    let password = values["smtp"]["password"].as_str().unwrap();
    let conf = String::from_utf8_lossy(&mailer["smtp.conf"]);
    assert_eq!(conf, format!("host=smtp.staging.example.com\nuser=mailer\npassword={password}\n"));
    found
}

async fn secret(
    client: &Client,
    namespace: &str,
    name: &str,
) -> Option<std::collections::BTreeMap<String, Vec<u8>>> {
    objects::secret_data(client, namespace, name).await
}

/// Waits until a SealedSecret is not ready for this reason.
async fn wait_for_reason(client: &Client, namespace: &str, name: &str, reason: &str) {
    let api = objects::sealed_secrets(client, namespace);
    eventually(PATIENCE, async || {
        let object = api.get(name).await.map_err(|error| error.to_string())?;
        let ready = objects::conditions(&object).into_iter().find(|condition| condition.kind == "Ready");
        match ready {
            Some(ready) if ready.status == "False" && ready.reason == reason => Ok(()),
            other => Err(format!("{namespace}/{name}: {other:?}")),
        }
    })
    .await;
}

/// The one key with which all classic values of `shop/db` were opened.
async fn opened_with(client: &Client) -> String {
    let api = objects::sealed_secrets(client, "shop");
    eventually(PATIENCE, async || {
        let object = api.get("db").await.map_err(|error| error.to_string())?;
        match object.data["status"]["openedWith"].as_array().map(Vec::as_slice) {
            Some([Value::String(key)]) => Ok(key.clone()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

/// The objects with which `flux bootstrap`, or Azure, begins.
async fn begin(client: &Client, fleet: &Repository) -> (Watched, Watched) {
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"namespace": NAMESPACE, "name": "flux-applier"},
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": "flux-applier"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "namespace": NAMESPACE, "name": "flux-applier"}],
    });
    for object in [account, binding] {
        objects::apply(client, None, &object).await;
    }
    let source = Watched::apply(client, NAMESPACE, &git_repository("flux-system", fleet)).await;
    let cluster = kustomization("flux-system", "flux-system", "./clusters/staging");
    let cluster = Watched::apply(client, NAMESPACE, &cluster).await;
    (source, cluster)
}

/// What Flux finds in `clusters/staging`.
async fn watch(client: &Client) -> [Watched; 3] {
    let of = async |name| {
        let watched = Watched::of(client, NAMESPACE, &kustomization(name, "", "")).await;
        // A watch of an object that is not there yet tells nothing of it.
        eventually(PATIENCE, async || watched.is_there().await.then_some(()).ok_or("it is not there")).await;
        watched
    };
    [of("infrastructure").await, of("secrets").await, of("apps").await]
}

/// Privyseal's own repository, as far as Flux needs it, with the tag that the example asks for.
fn publish_chart(repository: &Repository) {
    let chart = tools::repository().join("charts/privyseal");
    for path in privyseal_tests::example::files(&chart) {
        let name = path.strip_prefix(tools::repository()).unwrap().to_str().unwrap();
        repository.write(name, &std::fs::read_to_string(&path).unwrap());
    }
    repository.commit("the chart");
    let tag = format!("v{}", env!("CARGO_PKG_VERSION"));
    for arguments in [["tag", &tag, "HEAD"], ["push", "origin", &tag]] {
        git(repository.folder(), &arguments);
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(arguments).env("HOME", "/proc").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = git.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[expect(clippy::print_stdout, reason = "libtest captures only what the print macros write")]
fn show(what: &str, message: &str) {
    println!("{what} says: {message}");
}
