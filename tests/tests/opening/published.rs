//! The published list of sealing keys, and `privyseal keys fetch` over it.

use k8s_openapi::api::core::v1::{ConfigMap, ServiceAccount};
use kube::Api;
use kube::api::{Patch, PatchParams};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::sealing::{privyseal_command, run};
use privyseal_tests::tools;
use privyseal_tests::world::Place;
use serde_json::json;
use std::process::Command;

const NAME: &str = "privyseal-sealing-keys";

#[tokio::test]
async fn every_authenticated_user_can_fetch_the_certificate_and_nothing_else() {
    let place = Place::new("fetch").await;
    let accounts: Api<ServiceAccount> = Api::namespaced(place.client.clone(), &place.namespace);
    let somebody = serde_json::from_value(json!({"metadata": {"name": "somebody"}})).unwrap();
    accounts.create(&Default::default(), &somebody).await.unwrap();
    let kubeconfig = place.control_plane.kubeconfig_for(&place.namespace, "somebody").await;
    let context = run(
        Command::new(tools::control_plane())
            .args(["kubectl", "--kubeconfig"])
            .arg(&kubeconfig)
            .args(["config", "current-context"]),
        "",
    );
    let context = String::from_utf8(context.stdout).unwrap().trim().to_owned();
    let namespace = place.world.release.namespace();
    let fetched = eventually(PATIENCE, async || {
        let output = run(
            privyseal_command()
                .args([
                    "keys",
                    "fetch",
                    "--context",
                    &context,
                    "--controller-namespace",
                    namespace,
                    "--kubeconfig",
                ])
                .arg(&kubeconfig),
            "",
        );
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok((output.stdout, stderr)) } else { Err(stderr) }
    })
    .await;
    let certificate = place.world.controller.http("/v1/cert.pem").await.text();
    let recipients = place.world.controller.http("/v1/recipients").await.text();
    assert_eq!(String::from_utf8(fetched.0).unwrap(), certificate + &recipients);
    assert!(fetched.1.contains("SHA256:"), "{}", fetched.1);

    let client = place.control_plane.client_as(&place.namespace, "somebody").await;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    assert!(maps.get(NAME).await.is_ok());
    assert!(maps.list(&Default::default()).await.is_err());
    let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(client, namespace);
    assert!(secrets.list(&Default::default()).await.is_err());
}

#[tokio::test]
async fn the_published_list_is_repaired() {
    let place = Place::new("published").await;
    let maps: Api<ConfigMap> = Api::namespaced(place.client.clone(), place.world.release.namespace());
    let right = eventually(PATIENCE, async || maps.get(NAME).await.map_err(|error| error.to_string())).await;
    let keys = |map: &ConfigMap| {
        let list: serde_json::Value =
            serde_json::from_str(&map.data.as_ref().unwrap()["sealing-keys.json"]).unwrap();
        (list["keys"].clone(), list["serial"].as_u64().unwrap())
    };
    let repaired = async || {
        eventually(PATIENCE, async || {
            let now = maps.get_opt(NAME).await.map_err(|error| error.to_string())?.ok_or("gone")?;
            let good = now.data.as_ref().and_then(|data| data.get("cert.pem"))
                == right.data.as_ref().and_then(|data| data.get("cert.pem"))
                && now.data.as_ref().is_some_and(|data| data.contains_key("sealing-keys.json"))
                && keys(&now).0 == keys(&right).0
                && keys(&now).1 > keys(&right).1;
            if good { Ok(()) } else { Err(format!("{:?}", now.data)) }
        })
        .await;
    };
    let forged = json!({"data": {"cert.pem": "forged", "sealing-keys.json": "{}"}});
    maps.patch(NAME, &PatchParams::default(), &Patch::Merge(forged)).await.unwrap();
    repaired().await;
    maps.delete(NAME, &Default::default()).await.unwrap();
    repaired().await;
}
