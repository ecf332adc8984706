//! A chart that takes its values from a Secret.

use super::Place;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::flux::{helm_release, kustomization};
use serde_json::json;

const CHART: &str = "apiVersion: v2\nname: app\nversion: 0.1.0\n";
/// Nothing runs here, so a ConfigMap has to show what came of the values.
const TEMPLATE: &str = r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}
data:
  url: postgres://app:{{ required "a password is needed" .Values.password }}@db
"#;

#[tokio::test]
async fn a_release_takes_values_from_a_sealed_secret_and_follows_it() {
    let place = Place::new("helm").await;
    let (charts, source_of_charts) = place.repository("charts").await;
    charts.write("app/Chart.yaml", CHART);
    charts.write("app/values.yaml", "{}\n");
    charts.write("app/templates/map.yaml", TEMPLATE);
    let chart = charts.commit("a chart");
    source_of_charts.reconcile().await;
    let mut release = helm_release("app", "charts", "./app");
    release["spec"]["valuesFrom"] =
        json!([{"kind": "Secret", "name": "db", "valuesKey": "password", "targetPath": "password"}]);
    let release = place.watched(&release).await;

    // The Secret is not there yet; when it comes the release goes on by itself.
    release.wait_not_ready(None, "db").await;
    place.repository.write("sealed/db.yaml", &place.sealed_and_watched("db", "first"));
    let sealed = place.repository.commit("a password");
    place.source.reconcile().await;
    let secrets = place.watched(&kustomization("secrets", "team", "./sealed")).await;
    secrets.wait_ready(&sealed).await;
    release.wait_ready(&chart).await;
    assert_eq!(place.url("app").await.as_deref(), Some("postgres://app:first@db"));

    place.repository.write("sealed/db.yaml", &place.sealed_and_watched("db", "second"));
    place.repository.commit("another password");
    place.source.reconcile().await;
    eventually(PATIENCE, async || match place.url("app").await.as_deref() {
        Some("postgres://app:second@db") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let second = release
        .wait_until(|object, ready| {
            ready.status == "True" && object.data.pointer("/status/history/0/version") == Some(&json!(2))
        })
        .await;
    assert_eq!(second.ready.reason, "UpgradeSucceeded");
}
