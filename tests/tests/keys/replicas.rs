//! Several replicas of one release, and what is lost with one of them.

use super::key_secrets;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, wait_for_condition, wait_for_secret};
use privyseal_tests::process;
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, FaultProxy, Release, ReleaseOptions};

fn replica(name: &str) -> ControllerOptions {
    ControllerOptions::default().pod_name(name)
}

async fn holder(release: &Release<'_>) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(release.control_plane().client(), release.namespace());
    leases
        .get_opt("privyseal-controller")
        .await
        .unwrap()?
        .spec?
        .holder_identity
        .filter(|name| !name.is_empty())
}

#[tokio::test]
async fn two_replicas_make_one_key_and_the_second_takes_over() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let mut replicas = [
        Controller::launch(&release, replica("one")).await,
        Controller::launch(&release, replica("two")).await,
    ];
    for replica in &mut replicas {
        replica.wait_until_ready().await;
    }
    assert_eq!(key_secrets(&client, release.namespace()).await.items.len(), 1);
    // Either of them serves the same certificate.
    let sealer = Sealer::of(&replicas[0]).await;
    let served =
        [replicas[0].http("/v1/cert.pem").await.text(), replicas[1].http("/v1/cert.pem").await.text()];
    assert_eq!(served[0], served[1]);

    let namespace = control_plane.namespace("ha").await;
    objects::apply(&client, None, &sealer.seal(&namespace, "first", &[("a", "1")], &[])).await;
    wait_for_secret(&client, &namespace, "first", &[("a", b"1")]).await;

    let leader = holder(&release).await.unwrap();
    let (leading, other): (Vec<_>, Vec<_>) =
        replicas.iter_mut().partition(|replica| replica.pod_name() == leader);
    for replica in leading {
        replica.kill();
    }
    objects::apply(&client, None, &sealer.seal(&namespace, "second", &[("a", "2")], &[])).await;
    wait_for_secret(&client, &namespace, "second", &[("a", b"2")]).await;
    assert_ne!(holder(&release).await.unwrap(), leader);
    assert_eq!(key_secrets(&client, release.namespace()).await.items.len(), 1);

    // A graceful stop gives the Lease up at once.
    for replica in other {
        let status = replica.stop();
        assert!(status.success() && !process::was_killed(status), "{status}");
    }
    assert_eq!(holder(&release).await, None);
}

#[tokio::test]
async fn a_restart_costs_no_write_no_read_and_no_private_operation() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let proxy = FaultProxy::start(&control_plane.admin_kubeconfig_with_token().await);
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let mut controller = Controller::start(&release, ControllerOptions::default().through(&proxy)).await;
    let sealer = Sealer::of(&controller).await;
    let namespace = control_plane.namespace("many").await;
    let names: Vec<_> = (0..20).map(|n| format!("s{n}")).collect();
    for name in &names {
        objects::apply(&client, None, &sealer.seal(&namespace, name, &[("a", "1"), ("b", "2")], &[])).await;
    }
    for name in &names {
        wait_for_condition(&client, &namespace, name, "Ready", "True").await;
    }
    let metrics = controller.metrics().await;
    assert_eq!(metrics.sum("privyseal_private_operations_total", &[]), 40.0, "one for each value");
    assert_eq!(metrics.sum("privyseal_secret_writes_total", &[]), 20.0);

    // Killed, not stopped: nothing may depend on a last word.
    controller.kill();
    proxy.forget_requests();
    controller.start_again().await;
    eventually(PATIENCE, async || {
        let seen = controller.metrics().await.sum("privyseal_passes_in_sync_total", &[]);
        if seen >= 20.0 { Ok(()) } else { Err(seen) }
    })
    .await;
    let metrics = controller.metrics().await;
    assert_eq!(metrics.sum("privyseal_private_operations_total", &[]), 0.0);
    assert_eq!(metrics.sum("privyseal_secret_writes_total", &[]), 0.0);
    assert_eq!(metrics.sum("privyseal_status_writes_total", &[]), 0.0);
    let per_object: Vec<_> = proxy
        .requests()
        .into_iter()
        .filter(|request| request.path.contains(&format!("/namespaces/{namespace}/")))
        .collect();
    assert!(per_object.is_empty(), "{per_object:#?}");
    assert_eq!(key_secrets(&client, release.namespace()).await.items.len(), 1);
}
