//! The image as a pod: its files alone, read-only, as its user, configured by the files of its account.

use privyseal_tests::controller::Program;
use privyseal_tests::objects::{self, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{
    ControlPlane, Controller, ControllerOptions, Image, Release, ReleaseOptions, process, tools,
};

#[tokio::test]
async fn it_opens_from_that_root_alone_with_what_a_pod_is_given() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let image = Image::unpack(&tools::image());
    // Without the variable of the chart its namespace is that of the account, as in the peer's manifests.
    let options = ControllerOptions::default().program(Program::Image(image)).without_env("POD_NAMESPACE");
    let mut controller = Controller::start(&release, options).await;

    let status = std::fs::read_to_string(format!("/proc/{}/status", controller.id())).unwrap();
    let line =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
    assert_eq!(line("NoNewPrivs:"), "1", "{status}");
    let is_root = line("Uid:").split_whitespace().any(|id| id == "0");
    assert!(!is_root && !line("Groups:").split_whitespace().any(|id| id == "0"), "{status}");

    let namespace = control_plane.namespace("image").await;
    let sealer = Sealer::of(&controller).await;
    objects::apply(&client, None, &sealer.seal(&namespace, "db", &[("a", "1")], &[])).await;
    wait_for_secret(&client, &namespace, "db", &[("a", b"1")]).await;
    wait_for_condition(&client, &namespace, "db", "Ready", "True").await;

    // Its key and its Lease are where it is.
    let keys =
        control_plane.kubectl_ok(&["get", "secrets,leases", "-o", "name", "-n", release.namespace()], "");
    for kind in ["secret/sealed-secrets-key", "lease.coordination.k8s.io/privyseal-controller"] {
        assert!(keys.contains(kind), "{keys}");
    }
    let log = controller.logs();
    // A young API server may ask for patience, which is a warning.
    assert!(!log.contains("ERROR"), "{log}");
    // It is the first process of its container: who does not handle SIGTERM there is killed.
    let ended = controller.stop();
    assert!(ended.success() && !process::was_killed(ended), "{ended}");
}
