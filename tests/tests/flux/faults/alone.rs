//! What would disturb the other tests: a definition that changes, and our controller gone.

use super::super::measured;
use privyseal_tests::controller::Chart;
use privyseal_tests::flux::{Flux, GitServer, Watched, git_repository, kustomization};
use privyseal_tests::objects::{sealed_secrets, secret_data, wait_for_condition};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions, tools};
use serde_json::Value;
use std::time::Instant;

#[tokio::test]
async fn no_verdict_is_false_while_flux_upgrades_the_definition_and_while_we_are_down() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    // Installed for its definition.
    Release::install(&control_plane, ReleaseOptions::default().chart(Chart::Peer)).await;
    let release = Release::install(&control_plane, ReleaseOptions::default().without_crds()).await;
    let mut controller = Controller::launch(&release, ControllerOptions::default()).await;
    let _flux = Flux::start(&control_plane).await;
    let git = GitServer::start().await;
    controller.wait_until_ready().await;
    let sealer = Sealer::of(&controller).await;
    let namespace = control_plane.namespace("alone").await;
    let repository = git.repository("alone");
    let seal = |name: &str, password: &str| {
        let sealed = sealer.seal(&namespace, name, &[("password", password)], &[]);
        repository.write(&format!("sealed/{name}.yaml"), &sealed.to_string());
    };
    let password = async |name: &str| {
        let mut data = secret_data(&client, &namespace, name).await?;
        data.remove("password").map(|password| String::from_utf8(password).unwrap())
    };
    seal("one", "first");
    seal("two", "first");
    let revision = repository.commit("under the peer's definition");
    let source = Watched::apply(&client, &namespace, &git_repository("team", &repository)).await;
    let app = Watched::apply(&client, &namespace, &kustomization("sealed", "team", "./sealed")).await;
    app.wait_ready(&revision).await;
    for name in ["one", "two"] {
        wait_for_condition(&client, &namespace, name, "Ready", "True").await;
    }

    // The definition and SealedSecrets in one commit, by two Kustomizations that know nothing of each other.
    let definition = tools::repository().join("charts/privyseal/crds/sealedsecrets.yaml");
    repository.write("crds/sealedsecrets.yaml", &std::fs::read_to_string(definition).unwrap());
    seal("one", "second");
    seal("three", "second");
    let revision = repository.commit("our definition");
    let mut crds = kustomization("crds", "team", "./crds");
    crds["spec"]["prune"] = Value::from(false);
    source.reconcile().await;
    source.wait_ready(&revision).await;
    let crds = Watched::apply(&client, &namespace, &crds).await;
    let (_, _) = tokio::join!(crds.wait_ready(&revision), app.wait_ready(&revision));
    for (name, expected) in [("one", "second"), ("two", "first"), ("three", "second")] {
        wait_for_condition(&client, &namespace, name, "Ready", "True").await;
        assert_eq!(password(name).await.as_deref(), Some(expected), "{name}");
    }

    controller.kill();
    seal("two", "third");
    seal("four", "third");
    let revision = repository.commit("nobody opens this");
    source.reconcile().await;
    source.wait_ready(&revision).await;
    let checking = app.wait_checking().await.object.data["status"]["lastAttemptedRevision"].clone();
    assert!(revision.is(checking.as_str().unwrap_or_default()), "{checking}");
    // Flux looks at health as soon as all is applied. By the time it is through with what is well, it has seen these.
    crds.wait_ready(&revision).await;
    let sealed = sealed_secrets(&client, &namespace);
    let (changed, new) = (sealed.get("two").await.unwrap(), sealed.get("four").await.unwrap());
    assert_eq!(new.data["status"]["observedGeneration"], -1);
    assert_eq!(changed.metadata.generation, Some(2));
    assert_eq!(changed.data["status"]["observedGeneration"], 1);
    app.wait_until(|_, ready| {
        assert_eq!(ready.status, "Unknown", "{}: with nobody to open them", ready.message);
        true
    })
    .await;
    let began = Instant::now();
    controller.start_again().await;
    let ready = began.elapsed();
    let green = app.wait_ready(&revision).await;
    measured("our controller is back", &[("ready", ready), ("green", green.at - began)], &green);
    for (name, expected) in [("two", "third"), ("four", "third")] {
        assert_eq!(password(name).await.as_deref(), Some(expected), "{name}");
    }
}
