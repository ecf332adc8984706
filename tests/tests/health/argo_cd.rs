//! Argo CD: the checks that it ships, and what we have for its ConfigMap.

use crate::cases::{self, State};
use crate::expected::Reader;
use crate::flux::follow_the_rule;
use crate::readers::ask;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use privyseal_tests::{ControlPlane, objects, tools};
use serde_json::{Value, json};

const ANNOTATION: &str = "reconcile.fluxcd.io/requestedAt";

/// The patch of `deploy/argocd`.
fn our_patch() -> Value {
    let path = tools::repository().join("deploy/argocd/argocd-cm.yaml");
    let mut documents = objects::documents(&std::fs::read_to_string(path).unwrap());
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn ours(what: &str) -> String {
    let key = format!("resource.customizations.{what}.bitnami.com_SealedSecret");
    our_patch()["data"][&key].as_str().unwrap_or_else(|| panic!("no {key}")).to_owned()
}

/// Our health check.
pub(crate) fn our_check() -> String {
    ours("health")
}

#[test]
fn argo_cd_sees_every_status_as_it_is_meant() {
    follow_the_rule(&[Reader::ArgoCd, Reader::ArgoCdBefore, Reader::ArgoCdOurs]);
}

/// That the interpreter is set up as Argo CD does is shown by what Argo CD holds its own checks against.
#[test]
fn argo_cds_own_test_data_gives_what_argo_cd_says() {
    for (check, most) in [("built-in", 6), ("built-in-before", 3)] {
        let answer = ask(&tools::argo_health(), &[json!({"ask": "files", "check": check})]).remove(0);
        let file = |path: &str| {
            let text = answer["files"][path].as_str().unwrap_or_else(|| panic!("{check}: no {path}"));
            objects::documents(text).remove(0)
        };
        let tests = file("health_test.yaml")["tests"].as_array().unwrap().clone();
        assert!(tests.len() >= most, "{check}: {tests:?}");
        let question = |test: &Value| {
            let object = file(test["inputPath"].as_str().unwrap());
            json!({"ask": "health", "check": check, "object": object})
        };
        let questions: Vec<Value> = tests.iter().map(question).collect();
        for (test, answer) in tests.iter().zip(ask(&tools::argo_health(), &questions)) {
            assert_eq!(answer, test["healthStatus"], "{check}: {}", test["inputPath"]);
        }
    }
}

/// Where the peer's controller runs, or did: `Synced` is all that it writes, and it may lack `observedGeneration`.
#[test]
fn our_check_understands_the_peers_statuses() {
    let object =
        |generation: i64, status: Value| json!({"metadata": {"generation": generation}, "status": status});
    let synced = |status: &str| json!([{"type": "Synced", "status": status, "message": "told"}]);
    let rows = [
        (object(1, json!({"observedGeneration": 1, "conditions": synced("True")})), "Healthy", "told"),
        (object(1, json!({"conditions": synced("True")})), "Healthy", "told"),
        (object(1, json!({"observedGeneration": 1, "conditions": synced("False")})), "Degraded", "told"),
        (object(2, json!({"observedGeneration": 1, "conditions": synced("True")})), "Progressing", "Waiting"),
        (object(1, json!({"conditions": []})), "Progressing", "Waiting"),
        (object(1, json!({"conditions": [{"type": "Synced", "status": "True"}]})), "Healthy", ""),
    ];
    let questions: Vec<Value> = rows
        .iter()
        .map(|(object, ..)| json!({"ask": "health", "lua": our_check(), "object": object}))
        .collect();
    for ((object, status, message), answer) in rows.iter().zip(ask(&tools::argo_health(), &questions)) {
        assert_eq!(answer["status"], *status, "{object}: {answer}");
        let said = answer["message"].as_str().unwrap();
        assert!(
            said == *message || (*message == "Waiting" && said.starts_with("Waiting for the controller"))
        );
    }
}

#[test]
fn the_action_asks_for_a_refresh_and_changes_nothing_else() {
    let actions = objects::documents(&ours("actions")).remove(0);
    let definitions = actions["definitions"].as_array().unwrap();
    assert_eq!(definitions.len(), 1);
    let (name, lua) = (&definitions[0]["name"], definitions[0]["action.lua"].as_str().unwrap());
    assert_eq!(name, "refresh");
    let mut cases = cases::all();
    let mut questions = Vec::new();
    for case in &mut cases {
        // An action replaces what is there, and Lua must not spoil what is empty.
        case.object["spec"]["template"] = json!({"metadata": {"labels": {}}, "data": {}});
        let discovery = &actions["discovery.lua"];
        questions.push(json!({"ask": "discovery", "lua": discovery, "object": case.object}));
        questions.push(json!({"ask": "action", "lua": lua, "object": case.object}));
        questions.push(json!({"ask": "action", "lua": lua, "object": annotated(&case.object)}));
    }
    let answers = ask(&tools::argo_health(), &questions);
    for (case, answers) in cases.into_iter().zip(answers.chunks(3)) {
        let disabled = matches!(case.state, State::Deleted(_));
        assert_eq!(answers[0]["actions"], json!({"refresh": {"disabled": disabled}}), "{}", case.name);
        let before = [case.object.clone(), annotated(&case.object)];
        for (answer, mut wanted) in answers[1..].iter().zip(before) {
            let set = answer["object"]["metadata"]["annotations"][ANNOTATION].as_str().unwrap();
            assert!(is_a_timestamp(set), "{}: {set}", case.name);
            wanted["metadata"]["annotations"][ANNOTATION] = json!(set);
            assert_eq!(answer["object"], wanted, "{}", case.name);
        }
    }
}

/// The two ways to install that deploy/argocd/README.md names.
#[tokio::test]
async fn our_patch_for_argo_cd_leaves_all_other_keys() {
    let control_plane = ControlPlane::shared();
    let namespace = control_plane.namespace("argocd").await;
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm", "namespace": namespace},
        "data": {"url": "https://argocd.example.com"},
    });
    let mut wanted = our_patch()["data"].clone();
    wanted["url"] = config["data"]["url"].clone();

    objects::apply(&control_plane.client(), None, &config).await;
    let text = std::fs::read_to_string(tools::repository().join("deploy/argocd/argocd-cm.yaml")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let patch = folder.path().join("argocd-cm.yaml");
    // The namespace of the tests is none that an installation would have.
    std::fs::write(&patch, text.replace("namespace: argocd\n", &format!("namespace: {namespace}\n")))
        .unwrap();
    let patch = patch.to_str().unwrap();
    control_plane
        .kubectl_ok(&["-n", &namespace, "patch", "configmap", "argocd-cm", "--patch-file", patch], "");
    let maps: Api<ConfigMap> = Api::namespaced(control_plane.client(), &namespace);
    assert_eq!(json!(maps.get("argocd-cm").await.unwrap().data), wanted);

    let folder = tempfile::tempdir().unwrap();
    let component = folder.path().join("component");
    std::fs::create_dir(&component).unwrap();
    for file in ["kustomization.yaml", "argocd-cm.yaml"] {
        std::fs::copy(tools::repository().join("deploy/argocd").join(file), component.join(file)).unwrap();
    }
    let mut config = config;
    // Argo CD's own manifests name no namespace: the kustomization does.
    for named in ["metadata", "kustomization"] {
        let mut base = json!({"resources": ["argocd-cm.json"], "components": ["component"]});
        config["metadata"].as_object_mut().unwrap().remove("namespace");
        match named {
            "metadata" => config["metadata"]["namespace"] = json!("argocd"),
            _ => base["namespace"] = json!("argocd"),
        }
        std::fs::write(folder.path().join("argocd-cm.json"), config.to_string()).unwrap();
        std::fs::write(folder.path().join("kustomization.yaml"), base.to_string()).unwrap();
        let built = control_plane.kubectl_ok(&["kustomize", folder.path().to_str().unwrap()], "");
        let built = objects::documents(&built);
        assert_eq!(built.len(), 1, "{named}");
        assert_eq!(built[0]["metadata"]["namespace"], "argocd", "{named}");
        assert_eq!(built[0]["data"], wanted, "{named}");
    }
}

/// One that was refreshed before, and has an annotation of somebody else.
fn annotated(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]["annotations"] = json!({ANNOTATION: "before", "note": "kept"});
    object
}

/// As `2026-01-02T03:04:05Z`.
fn is_a_timestamp(text: &str) -> bool {
    let pattern = "2026-01-02T03:04:05Z";
    text.len() == pattern.len()
        && text.bytes().zip(pattern.bytes()).all(|(is, like)| match like.is_ascii_digit() {
            true => is.is_ascii_digit(),
            false => is == like,
        })
}
