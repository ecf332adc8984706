//! Secrets that come from Git by the real Flux. One control plane, one Flux and one controller serve all tests.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod dependencies;
mod example;
mod faults;
mod helm;
mod notification;
mod story;
mod tenant;
mod verdicts;

use k8s_openapi::api::core::v1::Secret;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use privyseal_tests::flux::{Flux, GitServer, Part, Repository, Seen, Watched, git_repository};
use privyseal_tests::sealing::Sealer;
use privyseal_tests::{
    Action, ControlPlane, Controller, ControllerOptions, Fault, FaultProxy, Release, ReleaseOptions,
    Requests, control_plane, fault_proxy, objects,
};
use serde_json::Value;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// What all tests share.
struct World {
    flux: Flux,
    git: GitServer,
    release: Release<'static>,
    /// Our controller reaches the API server through it.
    proxy: FaultProxy,
    _controller: Controller,
    sealer: Sealer,
}

/// What one test has: a namespace, and a team's repository that Flux knows there as `team`.
struct Place {
    world: &'static World,
    control_plane: control_plane::Shared,
    client: Client,
    namespace: String,
    repository: Repository,
    source: Watched,
}

impl Place {
    async fn new(prefix: &str) -> Self {
        let control_plane = ControlPlane::shared();
        // Starting blocks; it must not hold up the runtime that asks.
        let world = tokio::task::spawn_blocking(world).await.unwrap();
        let client = control_plane.client();
        let namespace = control_plane.namespace(prefix).await;
        let repository = world.git.repository(&namespace);
        let source = Watched::apply(&client, &namespace, &git_repository("team", &repository)).await;
        Self { world, control_plane, client, namespace, repository, source }
    }

    /// One more repository, known by this name.
    async fn repository(&self, name: &str) -> (Repository, Watched) {
        let repository = self.world.git.repository(&format!("{}-{name}", self.namespace));
        let object = git_repository(name, &repository);
        let source = Watched::apply(&self.client, &self.namespace, &object).await;
        (repository, source)
    }

    async fn watched(&self, object: &Value) -> Watched {
        Watched::apply(&self.client, &self.namespace, object).await
    }

    /// A SealedSecret with one item `password`, as a file.
    fn sealed(&self, name: &str, password: &str) -> String {
        self.world.sealer.seal(&self.namespace, name, &[("password", password)], &[]).to_string()
    }

    /// From now on our controller cannot make Secrets here, until this is taken back. It goes on trying.
    fn hold_secrets(&self) -> fault_proxy::Injected {
        let here = format!("/namespaces/{}/", self.namespace);
        let requests = Requests::call("create secrets").path(&here);
        self.world.proxy.inject(Fault::new(requests, Action::status(503)))
    }

    /// Waits until a Secret has this password, and says when that was seen.
    async fn password(&self, name: &str, password: &str) -> Instant {
        use futures::StreamExt as _;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut states = Box::pin(watch_object(secrets, name));
        let mut last = None;
        let found = tokio::time::timeout(Duration::from_secs(120), async {
            loop {
                last = states.next().await.and_then(Result::ok).flatten().and_then(|secret| secret.data);
                if is_password(last.as_ref(), password) {
                    return Instant::now();
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("Secret {name} has not {password}"))
    }

    /// Whether a Secret has this password at this moment.
    async fn has_password(&self, name: &str, password: &str) -> bool {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.namespace);
        let secret = secrets.get_opt(name).await.unwrap();
        is_password(secret.and_then(|secret| secret.data).as_ref(), password)
    }
}

fn is_password(
    data: Option<&std::collections::BTreeMap<String, k8s_openapi::ByteString>>,
    password: &str,
) -> bool {
    data.and_then(|data| data.get("password")).is_some_and(|value| value.0 == password.as_bytes())
}

impl Drop for Place {
    fn drop(&mut self) {
        // What all share outlives this test and so would say nothing.
        if std::thread::panicking() {
            for part in [Part::Source, Part::Kustomize, Part::Helm] {
                self.world.flux.show(part, &self.namespace);
            }
        }
    }
}

/// From a commit to what comes of it. Flux fetches, applies and looks at health every 5 s; anything near this is a
/// fault.
const SECONDS: Duration = Duration::from_secs(30);

/// One line of the report, with what Flux says of its own part.
#[expect(clippy::print_stdout, reason = "libtest captures only what the print macros write")]
fn measured(what: &str, times: &[(&str, Duration)], verdict: &Seen) {
    let text: Vec<_> =
        times.iter().map(|(what, time)| format!("{what} {:.2} s", time.as_secs_f64())).collect();
    let conditions = objects::conditions(&verdict.object);
    let healthy =
        conditions.iter().find(|condition| condition.kind == "Healthy" && condition.status == "True");
    let of_flux = healthy.map_or(&*verdict.ready.message, |healthy| &*healthy.message);
    let of_flux = of_flux.split(": ").next().unwrap_or_default();
    println!("measured: {what}: {} (Flux: {of_flux})", text.join(", "));
    for (what, time) in times {
        assert!(*time < SECONDS, "{what} after {time:?}");
    }
}

fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(|| {
        // The world outlives the test that starts it, and so must the runtime that its parts were made on.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let control_plane: &'static control_plane::Shared = Box::leak(Box::new(ControlPlane::shared()));
            let place = ReleaseOptions::default().place("privyseal", "privyseal");
            let release = Release::install(control_plane, place).await;
            let proxy = FaultProxy::start(control_plane.kubeconfig());
            let options = ControllerOptions::default().through(&proxy);
            // It makes its key while Flux starts.
            let mut controller = Controller::launch(&release, options).await;
            let flux = Flux::start(control_plane).await;
            let git = GitServer::start().await;
            controller.wait_until_ready().await;
            let sealer = Sealer::of(&controller).await;
            World { flux, git, release, proxy, _controller: controller, sealer }
        })
    });
    &WORLD
}
