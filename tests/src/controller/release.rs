//! What a chart installs, as far as it matters without a kubelet.
//!
//! The chart is rendered by the real Helm and applied as it is, with one change: its Deployment gets no replicas. The
//! controllers that tests start take account, flags and environment from that Deployment, so that a chart which
//! forgets one of them fails the tests.

use std::path::PathBuf;
use std::process::Command;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::Controller;
use crate::control_plane::ControlPlane;
use crate::kubeconfig::Server;
use crate::{network, objects, process, scratch, tools};

/// Which chart.
#[derive(Clone, Debug, Default)]
pub enum Chart {
    /// Ours.
    #[default]
    Privyseal,
    /// The peer's, out of its Go module.
    Peer,
}

/// How a chart is installed.
#[derive(Clone, Debug, Default)]
pub struct ReleaseOptions {
    chart: Chart,
    place: Option<(String, String)>,
    values: Vec<String>,
    without_crds: bool,
}

impl ReleaseOptions {
    /// Another chart than ours.
    pub fn chart(mut self, chart: Chart) -> Self {
        self.chart = chart;
        self
    }

    /// Name and namespace, which is made if need be. Otherwise both are new, and of one name.
    pub fn place(mut self, name: &str, namespace: &str) -> Self {
        self.place = Some((name.to_owned(), namespace.to_owned()));
        self
    }

    /// A value, as after `helm --set`.
    pub fn set(mut self, value: &str) -> Self {
        self.values.push(value.to_owned());
        self
    }

    /// Leaves the CustomResourceDefinition alone that is there.
    pub fn without_crds(mut self) -> Self {
        self.without_crds = true;
        self
    }
}

/// A chart that was installed.
#[derive(Debug)]
pub struct Release<'a> {
    control_plane: &'a ControlPlane,
    name: String,
    namespace: String,
    objects: Vec<Value>,
    deployment: Value,
}

impl<'a> Release<'a> {
    /// Renders a chart and applies it.
    pub async fn install(control_plane: &'a ControlPlane, options: ReleaseOptions) -> Self {
        Self::install_edited(control_plane, options, |_| {}).await
    }

    /// As [`install`](Self::install), with a change to what was rendered: a right less, for example.
    pub async fn install_edited(
        control_plane: &'a ControlPlane,
        options: ReleaseOptions,
        edit: impl FnOnce(&mut Vec<Value>),
    ) -> Self {
        let client = control_plane.client();
        let (name, namespace) = match &options.place {
            Some((name, namespace)) => {
                make_namespace(&client, namespace).await;
                (name.clone(), namespace.clone())
            }
            None => {
                let namespace = control_plane.namespace("privyseal").await;
                (namespace.clone(), namespace)
            }
        };
        let mut objects = render(&options, &name, &namespace);
        edit(&mut objects);
        let mut deployment = None;
        for object in &mut objects {
            if object["kind"] == "Deployment" {
                assert!(deployment.is_none(), "the chart has several Deployments");
                object["spec"]["replicas"] = json!(0);
                deployment = Some(object.clone());
            }
            objects::apply_strictly(&client, &namespace, object).await;
        }
        let deployment = deployment.unwrap_or_else(|| panic!("the chart has no Deployment"));
        Self { control_plane, name, namespace, objects, deployment }
    }

    /// What somebody else installed, as Flux does: the Deployment of that name is asked for what the chart gives.
    pub async fn found(control_plane: &'a ControlPlane, name: &str, namespace: &str) -> Self {
        let deployments: Api<Deployment> = Api::namespaced(control_plane.client(), namespace);
        let deployment = deployments.get(name).await;
        let deployment = deployment.unwrap_or_else(|error| panic!("Deployment {namespace}/{name}: {error}"));
        let deployment = json!({"spec": deployment.spec});
        let (name, namespace) = (name.to_owned(), namespace.to_owned());
        Self { control_plane, name, namespace, objects: Vec::new(), deployment }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// All that was rendered and applied; nothing of a release that was [found](Self::found).
    pub fn objects(&self) -> &[Value] {
        &self.objects
    }

    /// The control plane that it was installed in.
    pub fn control_plane(&self) -> &'a ControlPlane {
        self.control_plane
    }

    /// The account under which its controllers run.
    pub fn service_account(&self) -> &str {
        self.pod_spec()["serviceAccountName"].as_str().expect("the pod has a ServiceAccount of its own")
    }

    /// Leads the chart's Service to a controller, through a Pod that stands for it: of the Deployment's labels,
    /// ready, and at the address that only a [`network`] of the test's own has.
    pub async fn lead_to(&self, controller: &Controller) {
        let client = self.control_plane.client();
        // Endpoints want a pod to be on a node, and nobody asks the node.
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "none"}});
        objects::apply(&client, None, &node).await;
        let labels = &self.deployment["spec"]["template"]["metadata"]["labels"];
        let mut ports = self.container()["ports"].clone();
        for port in ports.as_array_mut().into_iter().flatten() {
            let is_metrics = port["name"].as_str().is_some_and(|name| name.contains("metrics"));
            port["containerPort"] =
                json!(if is_metrics { controller.metrics_port() } else { controller.port() });
        }
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": controller.pod_name(), "labels": labels},
            "spec": {
                "nodeName": "none", "automountServiceAccountToken": false,
                "serviceAccountName": self.service_account(),
                // As the chart's, for namespaces that refuse others.
                "securityContext": self.pod_spec()["securityContext"],
                "containers": [{
                    "name": "it", "image": "it", "ports": ports,
                    "securityContext": self.container()["securityContext"],
                }],
            },
        });
        let applied = objects::apply(&client, Some(&self.namespace), &pod).await;
        let status = json!({"status": {
            "phase": "Running", "podIP": network::ADDRESS, "podIPs": [{"ip": network::ADDRESS}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }});
        let pods: Api<Pod> = Api::namespaced(client, &self.namespace);
        let patched =
            pods.patch_status(&applied.name_any(), &PatchParams::default(), &Patch::Merge(status)).await;
        patched.unwrap_or_else(|error| panic!("status of pod {}: {error}", controller.pod_name()));
    }

    pub(super) async fn token(&self) -> String {
        self.control_plane.token(&self.namespace, self.service_account()).await
    }

    pub(super) fn server(&self) -> Server {
        self.control_plane.server()
    }

    /// The flags of its container.
    pub(super) fn args(&self) -> Vec<String> {
        let args = self.container()["args"].as_array().cloned().unwrap_or_default();
        args.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// The environment of its container, as far as it is written there: what comes from a pod's fields or resources
    /// has no value here.
    pub(super) fn env(&self) -> Vec<(String, String)> {
        let env = self.container()["env"].as_array().cloned().unwrap_or_default();
        let pair =
            |entry: &Value| Some((entry["name"].as_str()?.to_owned(), entry["value"].as_str()?.to_owned()));
        env.iter().filter_map(pair).collect()
    }

    fn pod_spec(&self) -> &Value {
        &self.deployment["spec"]["template"]["spec"]
    }

    fn container(&self) -> &Value {
        &self.pod_spec()["containers"][0]
    }
}

async fn make_namespace(client: &Client, name: &str) {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    objects::apply(client, None, &namespace).await;
}

fn render(options: &ReleaseOptions, name: &str, namespace: &str) -> Vec<Value> {
    let chart = match options.chart {
        Chart::Privyseal => tools::repository().join("charts/privyseal"),
        Chart::Peer => peer_chart(),
    };
    let mut helm = process::hermetic(&tools::helm(), &scratch::folder("helm"));
    helm.args(["template", name]).arg(chart).args(["--namespace", namespace]);
    if !options.without_crds {
        helm.arg("--include-crds");
    }
    for value in &options.values {
        helm.args(["--set", value]);
    }
    let mut objects = objects::documents(&run(helm));
    // What others are made of comes first.
    objects.sort_by_key(|object| object["kind"] != "CustomResourceDefinition");
    objects
}

/// The folder of the peer's chart in Go's module cache.
fn peer_chart() -> PathBuf {
    let mut go = Command::new("go");
    go.args(["list", "-m", "-f", "{{.Dir}}", "github.com/bitnami/sealed-secrets"]);
    go.current_dir(tools::repository().join("tests/peers/sealed-secrets"));
    let folder = run(go);
    assert!(!folder.trim().is_empty(), "the peer's module is not there\nrun: cargo xtask test");
    PathBuf::from(folder.trim()).join("helm/sealed-secrets")
}

fn run(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
