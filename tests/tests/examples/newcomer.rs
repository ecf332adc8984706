//! Somebody copies the example, does what its README says, and has two clusters that open it.

use super::privyseal;
use privyseal_tests::eventually::PATIENCE;
use privyseal_tests::example::{Example, fingerprint};
use privyseal_tests::{
    ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions, eventually, objects,
};
use serde_json::json;

async fn release<'a>(control_plane: &'a ControlPlane, values: &[String]) -> Release<'a> {
    let options = ReleaseOptions::default().place("privyseal", "privyseal");
    let options = values.iter().fold(options, |options, value| options.set(value));
    let release = Release::install(control_plane, options).await;
    for name in ["shop", "flux-system"] {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        objects::apply(&control_plane.client(), None, &namespace).await;
    }
    release
}

/// The fingerprint that somebody who knows the cluster reads to others, once the cluster has published its keys.
async fn publisher(example: &Example, cluster: &str) -> String {
    eventually(PATIENCE, async || {
        let output =
            example.sh(&format!("privyseal keys fetch --context {cluster} --trust ../home/known.yaml"));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(fingerprint(&said).to_owned()) } else { Err(said) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_readme_says_makes_the_example_ones_own() {
    let shared = ControlPlane::shared();
    let other = tokio::task::spawn_blocking(ControlPlane::start).await.unwrap();
    let clusters: [(&str, &ControlPlane); 2] = [("staging", &shared), ("production", &other)];
    let example = Example::copy(&clusters);

    example.step("### 1. Names");
    let said = example.step("### 2. A key for the safe");
    example.compared(fingerprint(&said));
    let safe = example.read(".privyseal.yaml");
    let safe = safe.lines().find_map(|line| line.trim().strip_prefix("age: ")).unwrap();
    assert!(example.read("infrastructure/production/kustomization.yaml").contains(safe));
    assert!(example.read("../break-glass.txt").contains(safe), "the one that was made");

    let mut running = Vec::new();
    for (name, control_plane) in clusters {
        let values = match name {
            "staging" => vec!["replicas=1".to_owned()],
            _ => vec![format!("escrow.recipients[0]={safe}")],
        };
        let release = release(control_plane, &values).await;
        running.push(Controller::start(&release, ControllerOptions::default()).await);
    }

    // Until somebody has compared the fingerprints nothing is fetched.
    let refused = example.sh("privyseal keys fetch --for staging --published --out-file keys/staging.keys");
    assert_eq!(refused.status.code(), Some(1));
    for (cluster, _) in clusters {
        example.compared(&publisher(&example, cluster).await);
    }
    example.step("### 3. The keys of the clusters");
    example.step("### 4. Secrets");
    let lint = privyseal(example.root(), None).args(["lint", "--strict"]).output().unwrap();
    assert!(lint.status.success() && lint.stdout.is_empty(), "{lint:?}");

    for (cluster, control_plane) in clusters {
        let rendered = super::build(&example.root().join("secrets").join(cluster));
        assert_eq!(rendered.len(), 3);
        for object in &rendered {
            objects::apply(&control_plane.client(), None, object).await;
        }
        let client = control_plane.client();
        let opened = async |namespace: &str, name: &str, item: &str| {
            eventually(PATIENCE, async || {
                let data = objects::secret_data(&client, namespace, name).await;
                data.and_then(|mut data| data.remove(item)).ok_or("no such item")
            })
            .await
        };
        assert_eq!(opened("shop", "db", "user").await, b"shop");
        assert_eq!(opened("shop", "db", "password").await.len(), 24);
        let values = opened("flux-system", "mailer-values", "values.yaml").await;
        assert!(
            values.starts_with(b"smtp:\n  user: mailer\n  password: "),
            "{}",
            String::from_utf8_lossy(&values)
        );
        // The same file, opened by each with its own key.
        assert_eq!(opened("shop", "licence", "licence.key").await.len(), 24);
    }

    // The key in the safe opens production, and not staging.
    let opens = |file: &str| {
        example.sh(&format!("privyseal unseal --key ../break-glass.txt {file}")).status.success()
    };
    assert!(opens("secrets/production/shop/db.yaml") && opens("secrets/shared/licence.yaml"));
    assert!(!opens("secrets/staging/shop/db.yaml"));
}
