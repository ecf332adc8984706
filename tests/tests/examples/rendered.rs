//! What comes of the files: as Flux, Argo CD and Helm would have them, with the real kustomize and Helm.

use super::{build, one, read};
use privyseal_tests::sealing::run;
use privyseal_tests::{example, objects, tools};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

const CLUSTERS: [&str; 2] = ["staging", "production"];
/// What has no namespace.
const CLUSTER_WIDE: [&str; 1] = ["Namespace"];

fn kustomizations() -> Vec<PathBuf> {
    let files = example::files(&example::original());
    let is_one = |path: &PathBuf| path.file_name().is_some_and(|name| name == "kustomization.yaml");
    files.into_iter().filter(is_one).map(|path| path.parent().unwrap().to_path_buf()).collect()
}

#[test]
fn each_kustomization_builds_to_whole_objects() {
    let folders = kustomizations();
    assert!(folders.len() >= 20, "{folders:?}");
    for folder in folders {
        let objects = build(&folder);
        assert!(!objects.is_empty(), "{}", folder.display());
        let mut seen = BTreeSet::new();
        for object in &objects {
            let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let [kind, name, namespace] = ["/kind", "/metadata/name", "/metadata/namespace"].map(text);
            assert!(!text("/apiVersion").is_empty() && !kind.is_empty() && !name.is_empty(), "{object}");
            assert_eq!(
                namespace.is_empty(),
                CLUSTER_WIDE.contains(&kind),
                "{}: {kind}/{name}",
                folder.display()
            );
            assert_ne!(kind, "Secret", "{}: in plain text", folder.display());
            assert!(seen.insert([kind, namespace, name].map(str::to_owned)), "{kind}/{name} is there twice");
        }
    }
}

#[test]
fn flux_begins_with_folders_that_are_there_in_an_order_that_ends() {
    for cluster in CLUSTERS {
        let folder = example::original().join("clusters").join(cluster);
        // Flux makes a kustomization of all files where there is none.
        let objects: Vec<_> = example::files(&folder).iter().flat_map(|path| read(path)).collect();
        let names = objects.iter().map(|object| object["metadata"]["name"].as_str().unwrap());
        assert_eq!(names.collect::<BTreeSet<_>>(), ["apps", "infrastructure", "secrets"].into());
        for object in &objects {
            let (name, spec) = (&object["metadata"]["name"], &object["spec"]);
            assert_eq!(object["apiVersion"], "kustomize.toolkit.fluxcd.io/v1");
            assert_eq!(object["metadata"]["namespace"], "flux-system");
            assert_eq!(spec["sourceRef"], json!({"kind": "GitRepository", "name": "flux-system"}));
            let path = format!("./{}/{cluster}", name.as_str().unwrap());
            assert_eq!(spec["path"], path);
            assert!(example::original().join(path).join("kustomization.yaml").is_file());
            // What is wrong must show, and what nothing can bring back must stay.
            assert_eq!((&spec["wait"], &spec["prune"]), (&json!(true), &json!(*name != "infrastructure")));
            assert!(spec["timeout"].is_string() && spec.get("force").is_none());
        }
        let depends =
            |name: &str| one(&objects, "Kustomization", name)["spec"]["dependsOn"][0]["name"].clone();
        assert_eq!(depends("apps"), "secrets");
        assert_eq!(depends("secrets"), "infrastructure");
        assert_eq!(depends("infrastructure"), Value::Null);
    }
}

/// Where Flux is locked down, as in AKS, no reference may lead into another namespace.
#[test]
fn objects_of_flux_refer_to_their_own_namespace() {
    for cluster in CLUSTERS {
        let parts = ["infrastructure", "secrets", "apps"]
            .map(|part| build(&example::original().join(part).join(cluster)));
        let objects = parts.concat();
        let releases: Vec<_> = objects.iter().filter(|object| object["kind"] == "HelmRelease").collect();
        assert_eq!(releases.len(), 2);
        for release in releases {
            assert_eq!(release["metadata"]["namespace"], "flux-system");
            let source = &release["spec"]["chart"]["spec"]["sourceRef"];
            assert_eq!((source["kind"].as_str(), source.get("namespace")), (Some("GitRepository"), None));
            assert!(["flux-system", "privyseal"].contains(&source["name"].as_str().unwrap()));
            for from in release["spec"]["valuesFrom"].as_array().into_iter().flatten() {
                let sealed = one(&objects, "SealedSecret", from["name"].as_str().unwrap());
                assert_eq!(sealed["metadata"]["namespace"], "flux-system");
                let item = from["valuesKey"].as_str().unwrap();
                assert!(sealed["spec"]["encryptedData"][item].is_string(), "{item}");
                // Or Flux would see a new value at the next interval only.
                assert_eq!(
                    sealed["spec"]["template"]["metadata"]["labels"]["reconcile.fluxcd.io/watch"],
                    "Enabled"
                );
            }
        }
    }
}

/// Every Secret that the shop names is sealed, with the item, in its own namespace.
#[test]
fn what_the_shop_uses_is_there() {
    for cluster in CLUSTERS {
        let part = |name: &str| build(&example::original().join(name).join(cluster).join("shop"));
        let (apps, secrets) = (part("apps"), part("secrets"));
        let pod = &one(&apps, "Deployment", "shop")["spec"]["template"]["spec"];
        let sealed = |name: &str| {
            let object = one(&secrets, "SealedSecret", name);
            assert_eq!(object["metadata"]["namespace"], "shop");
            object
        };
        for variable in pod["containers"][0]["env"].as_array().unwrap() {
            let reference = &variable["valueFrom"]["secretKeyRef"];
            let object = sealed(reference["name"].as_str().unwrap());
            assert!(object["spec"]["encryptedData"][reference["key"].as_str().unwrap()].is_string());
        }
        let volume = sealed(pod["volumes"][0]["secret"]["secretName"].as_str().unwrap());
        assert!(volume["spec"]["encryptedData"]["licence.key"].is_string());
        one(&apps, "ConfigMap", pod["containers"][0]["envFrom"][0]["configMapRef"]["name"].as_str().unwrap());
    }
}

/// What Argo CD applies is what Flux applies, but for what only Flux knows.
#[test]
fn the_applications_of_argo_cd_lead_to_the_same() {
    for cluster in CLUSTERS {
        let root = &read(&example::original().join(format!("argocd/{cluster}.yaml")))[0];
        assert_eq!(root["spec"]["source"]["path"], format!("argocd/{cluster}"));
        let applications = build(&example::original().join("argocd").join(cluster));
        let wave = |name: &str| {
            let annotations = &one(&applications, "Application", name)["metadata"]["annotations"];
            annotations["argocd.argoproj.io/sync-wave"].as_str().unwrap().parse::<i32>().unwrap()
        };
        let waves = ["namespaces", "privyseal", "secrets", "shop"].map(wave);
        assert!(waves.is_sorted() && waves.windows(2).all(|pair| pair[0] < pair[1]), "{waves:?}");

        let mut by_argo = BTreeSet::new();
        for application in &applications {
            let source = &application["spec"]["source"];
            let is_ours = source["repoURL"] == root["spec"]["source"]["repoURL"];
            assert_eq!(is_ours, application["metadata"]["name"] != "privyseal");
            if is_ours {
                let path = source["path"].as_str().unwrap();
                assert!(path.starts_with("infrastructure/") || path.contains(cluster), "{path}");
                by_argo.extend(build(&example::original().join(path)).iter().map(Value::to_string));
            }
        }
        let by_flux = ["infrastructure", "secrets", "apps"]
            .map(|part| build(&example::original().join(part).join(cluster)));
        let is_for_flux = |object: &&Value| {
            object["metadata"]["namespace"] == "flux-system" || object["metadata"]["name"] == "privyseal"
        };
        let by_flux =
            by_flux.concat().iter().filter(|object| !is_for_flux(object)).map(Value::to_string).collect();
        assert_eq!(by_argo, by_flux);
    }
}

/// Argo CD's own rules no longer give an Application a health, without which a wave would not wait.
#[test]
fn an_application_is_as_healthy_as_argo_cd_found_it() {
    let entries = &read(&example::original().join("argocd/argocd-cm.yaml"))[0]["data"];
    let lua = &entries["resource.customizations.health.argoproj.io_Application"];
    let questions = [
        json!({"status": {"health": {"status": "Healthy"}}}),
        json!({"status": {"health": {"status": "Degraded", "message": "why"}}}),
        json!({"status": {"sync": {}}}),
        json!({"metadata": {"name": "new"}}),
    ];
    let questions =
        questions.map(|object| json!({"ask": "health", "lua": lua, "object": object}).to_string());
    let output = run(&mut Command::new(tools::argo_health()), &(questions.join("\n") + "\n"));
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let shown = answers
        .iter()
        .map(|answer| (answer["status"].as_str().unwrap(), answer["message"].as_str().unwrap()));
    let new = ("Progressing", "not looked at yet");
    assert_eq!(shown.collect::<Vec<_>>(), [("Healthy", ""), ("Degraded", "why"), new, new]);
}

#[test]
fn our_chart_takes_the_values_of_both() {
    for cluster in CLUSTERS {
        let objects = build(&example::original().join("infrastructure").join(cluster));
        let release = one(&objects, "HelmRelease", "privyseal");
        let rendered = template("privyseal", &release["spec"]["values"]);
        let deployment = one(&rendered, "Deployment", "privyseal");
        assert_eq!(deployment["spec"]["replicas"], if cluster == "staging" { 1 } else { 2 });
        let container = &deployment["spec"]["template"]["spec"]["containers"][0];
        assert!(
            container["image"].as_str().unwrap().starts_with("registry.example.com/privyseal-controller:")
        );
        let escrowed = container["args"].to_string().contains("--escrow-recipient");
        assert_eq!(escrowed, cluster == "production");

        let applications = build(&example::original().join("argocd").join(cluster));
        let helm = &one(&applications, "Application", "privyseal")["spec"]["source"]["helm"];
        assert!(!template("privyseal", &helm["valuesObject"]).is_empty());
    }
}

/// The key in the safe is the same in both places, so that one command of the README replaces both.
#[test]
fn backups_of_production_are_for_the_key_in_the_safe() {
    let objects = build(&example::original().join("infrastructure/production"));
    let values = &one(&objects, "HelmRelease", "privyseal")["spec"]["values"];
    let config = &read(&example::original().join(".privyseal.yaml"))[0];
    assert_eq!(values["escrow"]["recipients"], json!([config["recipients"]["break-glass"]["age"]]));
}

#[test]
fn the_mailer_takes_what_is_sealed_for_it() {
    let objects = build(&example::original().join("apps/staging"));
    let release = one(&objects, "HelmRelease", "mailer");
    let mut values = release["spec"]["values"].clone();
    values["smtp"]["user"] = json!("mailer");
    values["smtp"]["password"] = json!("hunter22");
    let rendered = template("example", &values);
    let conf = one(&rendered, "Secret", "mailer")["stringData"]["smtp.conf"].as_str().unwrap();
    assert_eq!(conf, "host=smtp.staging.example.com\nuser=mailer\npassword=hunter22\n");
    one(&rendered, "CronJob", "mailer");
    // Without the Secret it says what is missing, and Flux is not ready.
    let said = helm("example", &release["spec"]["values"]).unwrap_err();
    assert!(said.contains("smtp.user"), "{said}");
}

fn template(chart: &str, values: &Value) -> Vec<Value> {
    helm(chart, values).unwrap_or_else(|said| panic!("{said}"))
}

fn helm(chart: &str, values: &Value) -> Result<Vec<Value>, String> {
    let (name, chart) = match chart {
        "privyseal" => ("privyseal", tools::repository().join("charts/privyseal")),
        _ => ("mailer", example::original().join("charts/mailer")),
    };
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("values.json");
    std::fs::write(&file, values.to_string()).unwrap();
    let mut command = Command::new(tools::helm());
    command.env_clear().env("HOME", home.path()).args(["template", name, "--namespace", "shop", "--values"]);
    let output = command.arg(file).arg(chart).output().unwrap();
    match output.status.success() {
        true => Ok(objects::documents(str::from_utf8(&output.stdout).unwrap())),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
