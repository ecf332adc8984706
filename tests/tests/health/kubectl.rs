//! `kubectl wait`, and what the API server itself makes of the recorded statuses.

use crate::cases::{Case, State};
use crate::expected::is_met;
use kube::Client;
use kube::api::{DeleteParams, Patch, PatchParams};
use privyseal_tests::controller::Chart;
use privyseal_tests::{ControlPlane, Release, ReleaseOptions, objects};
use serde_json::{Value, json};
use std::thread;

/// What was waited for.
pub(crate) const WAITS: [(&str, &str); 4] = [
    ("Ready", "--for=condition=Ready"),
    ("Synced", "--for=condition=Synced"),
    ("Stalled", "--for=condition=Stalled"),
    ("jsonpath", r#"--for=jsonpath={.status.conditions[?(@.type=="Ready")].status}=True"#),
];

/// How a `kubectl wait` ended.
#[derive(Clone, Debug)]
pub(crate) struct Waited {
    pub(crate) met: bool,
    pub(crate) said: String,
}

/// Puts each case on an object of a real control plane, and waits as [`WAITS`] says. What is not expected is given up
/// soon.
pub(crate) async fn wait(cases: &[Case]) -> Vec<Vec<Waited>> {
    let control_plane = ControlPlane::shared();
    let client = control_plane.client();
    let namespace = control_plane.namespace("health").await;
    let name = |index: usize| format!("case-{index}");
    let waits = |index: usize| -> Vec<Waited> {
        let case = &cases[index];
        WAITS
            .iter()
            .map(|(what, flag)| {
                let timeout = if is_met(case, what) { "--timeout=60s" } else { "--timeout=1s" };
                let object = format!("sealedsecret/{}", name(index));
                let output = control_plane.kubectl(&["-n", &namespace, "wait", &object, flag, timeout]);
                let [stdout, stderr] =
                    [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
                Waited { met: output.status.success(), said: stdout + &stderr }
            })
            .collect()
    };
    // Those without any status come first, under a definition that has no default. Ours comes after.
    let mut waited: Vec<Option<Vec<Waited>>> = vec![None; cases.len()];
    for without_status in [true, false] {
        let chart = if without_status { Chart::Peer } else { Chart::Privyseal };
        // Its definition is all that is needed, and the Deployment that the harness asks for.
        let only = |objects: &mut Vec<Value>| {
            objects.retain(|object| {
                ["CustomResourceDefinition", "Deployment"].map(Value::from).contains(&object["kind"])
            });
        };
        Release::install_edited(&control_plane, ReleaseOptions::default().chart(chart), only).await;
        let now = |index: &usize| cases[*index].has_status() != without_status;
        let now: Vec<usize> = (0..cases.len()).filter(now).collect();
        for &index in &now {
            make(&client, &namespace, &name(index), &cases[index]).await;
        }
        thread::scope(|scope| {
            let threads: Vec<_> =
                now.iter().map(|&index| scope.spawn(move || (index, waits(index)))).collect();
            for thread in threads {
                let (index, ended) = thread.join().unwrap();
                waited[index] = Some(ended);
            }
        });
    }
    waited.into_iter().map(Option::unwrap).collect()
}

/// Makes an object that is as the recorded one, and sees that the API server keeps it so.
async fn make(client: &Client, namespace: &str, name: &str, case: &Case) {
    let mut object = case.object.clone();
    let status = object.as_object_mut().unwrap().remove("status");
    object["metadata"] = json!({"name": name, "finalizers": object["metadata"]["finalizers"]});
    let api = objects::sealed_secrets(client, namespace);
    objects::apply(client, Some(namespace), &object).await;
    // The API server counts a deletion as a change.
    let deleted = case.object["metadata"]["deletionTimestamp"].is_string();
    for generation in 1..case.generation() - i64::from(deleted) {
        let change = json!({"spec": {"encryptedData": {"password": format!("AAA{generation}")}}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    }
    // What the API server gives by itself must be what was recorded.
    if let Some(status) = status.as_ref().filter(|_| case.state != State::New) {
        let written = Patch::Merge(json!({"status": status}));
        api.patch_status(name, &PatchParams::default(), &written).await.unwrap();
    }
    if deleted {
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }
    let found = api.get(name).await.unwrap();
    assert_eq!(found.data.get("status"), status.as_ref(), "{}", case.name);
    assert_eq!(found.metadata.generation, Some(case.generation()), "{}", case.name);
    assert_eq!(found.metadata.deletion_timestamp.is_some(), deleted, "{}", case.name);
}
