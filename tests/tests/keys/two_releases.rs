//! Two releases by mistake: each has keys of its own, and both look at the whole cluster.

use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::objects::{self, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use std::time::Duration;

#[tokio::test]
async fn they_do_no_harm_but_a_warning() {
    let control_plane = ControlPlane::start();
    let client = control_plane.client();
    let ours = Release::install(&control_plane, ReleaseOptions::default()).await;
    let theirs = Release::install(&control_plane, ReleaseOptions::default().without_crds()).await;
    let a = Controller::start(&ours, ControllerOptions::default()).await;
    let b = Controller::start(&theirs, ControllerOptions::default()).await;
    let namespace = control_plane.namespace("both").await;
    for (controller, name) in [(&a, "for-a"), (&b, "for-b")] {
        let sealed = Sealer::of(controller).await.seal(&namespace, name, &[("a", name)], &[]);
        objects::apply(&client, None, &sealed).await;
    }
    for name in ["for-a", "for-b"] {
        wait_for_secret(&client, &namespace, name, &[("a", name.as_bytes())]).await;
        wait_for_condition(&client, &namespace, name, "Ready", "True").await;
    }
    // They settle: whoever cannot open leaves the word to who can.
    let writes = async || {
        a.metrics().await.sum("privyseal_status_writes_total", &[])
            + b.metrics().await.sum("privyseal_status_writes_total", &[])
    };
    let mut last = writes().await;
    eventually(PATIENCE, async || {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = writes().await;
        if now == last {
            Ok(())
        } else {
            last = now;
            Err(format!("{now} status writes and more"))
        }
    })
    .await;
    for name in ["for-a", "for-b"] {
        wait_for_condition(&client, &namespace, name, "Ready", "True").await;
    }
    let warned = a.logs().contains("two controllers") || b.logs().contains("two controllers");
    assert!(warned, "{}\n{}", a.logs(), b.logs());
}
