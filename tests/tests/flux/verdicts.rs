//! What does not open is red, leaves the Secret of before in its place, and its fix is green.

use super::{Place, measured};
use privyseal_tests::flux::kustomization;
use privyseal_tests::objects::wait_for_condition;
use privyseal_tests::sealing::Sealer;
use privyseal_tests::tools;
use serde_json::{Value, json};
use std::time::Instant;

/// One way to go wrong, and what our controller says of it.
struct Mistake {
    name: &'static str,
    sealed: Value,
    reason: &'static str,
    message: &'static str,
}

fn mistakes(place: &Place) -> Vec<Mistake> {
    let seal =
        |sealer: &Sealer, name: &str| sealer.seal(&place.namespace, name, &[("password", "hunter2")], &[]);
    let ours = &place.world.sealer;
    let mut renamed = seal(ours, "somewhere-else");
    renamed["metadata"]["name"] = json!("renamed");
    let mut garbage = seal(ours, "garbage");
    garbage["spec"]["encryptedData"]["password"] = json!("this is not base64");
    let certificate = tools::repository().join("tests/vectors/classic/rsa2048/tls.crt");
    let another_cluster = Sealer::to(&std::fs::read_to_string(certificate).unwrap());
    let foreign = seal(&another_cluster, "foreign");
    let unopened = "no key opens password";
    vec![
        Mistake { name: "renamed", sealed: renamed, reason: "NotOpened", message: unopened },
        Mistake { name: "foreign", sealed: foreign, reason: "NotOpened", message: unopened },
        Mistake { name: "garbage", sealed: garbage, reason: "Malformed", message: "password" },
    ]
}

#[tokio::test]
async fn a_bad_commit_is_red_and_its_fix_green() {
    commits_get_their_verdicts("verdicts", |_, _| {}).await;
}

/// With what Flux' documentation tells users of the peer to write in place of `wait`.
#[tokio::test]
async fn the_documented_health_expressions_come_to_the_same() {
    commits_get_their_verdicts("expressions", |kustomization, name| {
        let spec = &mut kustomization["spec"];
        spec["wait"] = json!(false);
        spec["healthChecks"] = json!([{
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret", "name": name,
            "namespace": spec["targetNamespace"],
        }]);
        spec["healthCheckExprs"] = json!([{
            "apiVersion": "bitnami.com/v1alpha1", "kind": "SealedSecret",
            "failed": "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'False')",
            "current": "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'True')",
        }]);
    })
    .await;
}

async fn commits_get_their_verdicts(prefix: &str, judge: fn(&mut Value, &str)) {
    let place = Place::new(prefix).await;
    let file = |name: &str| format!("{name}/sealed.yaml");
    let mistakes = mistakes(&place);
    for mistake in &mistakes {
        place.repository.write(&file(mistake.name), &place.sealed(mistake.name, "before"));
    }
    let revision = place.repository.commit("all is well");
    place.source.reconcile().await;
    let mut apps = Vec::new();
    for mistake in &mistakes {
        let mut object = kustomization(mistake.name, "team", mistake.name);
        object["spec"]["targetNamespace"] = json!(place.namespace);
        judge(&mut object, mistake.name);
        apps.push(place.watched(&object).await);
    }
    for app in &apps {
        app.wait_ready(&revision).await;
    }

    for mistake in &mistakes {
        place.repository.write(&file(mistake.name), &mistake.sealed.to_string());
    }
    let began = Instant::now();
    let revision = place.repository.commit("all is wrong");
    place.source.reconcile().await;
    let verdicts = apps.iter().zip(&mistakes).map(async |(app, mistake)| {
        let name = mistake.name;
        let failed = format!("SealedSecret/{}/{name} status: 'Failed'", place.namespace);
        let (said, red) = tokio::join!(
            wait_for_condition(&place.client, &place.namespace, name, "Ready", "False"),
            app.wait_not_ready(&revision, &failed)
        );
        assert_eq!((said.reason.as_str(), red.ready.reason.as_str()), (mistake.reason, "HealthCheckFailed"));
        assert!(said.message.contains(mistake.message), "{}", said.message);
        red
    });
    let red = futures::future::join_all(verdicts).await;
    for (mistake, red) in mistakes.iter().zip(red) {
        let what = format!("{prefix}, commit that is {}", mistake.name);
        measured(&what, &[("red", red.at - began)], &red);
        // It may be in use: a mistake in Git takes it away from nobody.
        assert!(place.has_password(mistake.name, "before").await);
    }

    for mistake in &mistakes {
        place.repository.write(&file(mistake.name), &place.sealed(mistake.name, "after"));
    }
    let began = Instant::now();
    let revision = place.repository.commit("all is well again");
    place.source.reconcile().await;
    let green = futures::future::join_all(apps.iter().map(|app| app.wait_ready(&revision))).await;
    for (mistake, green) in mistakes.iter().zip(green) {
        let what = format!("{prefix}, fix of {}", mistake.name);
        measured(&what, &[("green", green.at - began)], &green);
        assert!(place.has_password(mistake.name, "after").await);
    }
}
