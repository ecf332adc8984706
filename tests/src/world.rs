//! One control plane, one release and one controller, shared by the tests of a family.

use crate::control_plane::Shared;
use crate::sealing::Sealer;
use crate::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions};
use kube::Client;
use std::sync::LazyLock;

/// What a family shares.
pub struct World {
    /// The release.
    pub release: Release<'static>,
    /// The controller.
    pub controller: Controller,
    /// Seals to the controller's certificate.
    pub sealer: Sealer,
}

/// What one test has of it: the world, a client of its own, and a namespace.
pub struct Place {
    /// What all share.
    pub world: &'static World,
    /// The shared control plane.
    pub control_plane: Shared,
    /// An administrator.
    pub client: Client,
    /// A namespace of this test's own.
    pub namespace: String,
}

impl Place {
    /// Starts the world if this is the first test, and makes a namespace.
    pub async fn new(prefix: &str) -> Self {
        let control_plane = ControlPlane::shared();
        // Starting blocks; it must not hold up the runtime that asks.
        let world =
            tokio::task::spawn_blocking(world).await.unwrap_or_else(|panic| panic!("the world: {panic}"));
        let client = control_plane.client();
        let namespace = control_plane.namespace(prefix).await;
        Self { world, control_plane, client, namespace }
    }
}

fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(|| {
        // The world outlives the test that starts it, and so must the runtime that its parts were made on.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.unwrap_or_else(|error| panic!("a runtime: {error}"));
        runtime.block_on(async {
            let control_plane: &'static Shared = Box::leak(Box::new(ControlPlane::shared()));
            let place = ReleaseOptions::default().place("privyseal", "privyseal");
            let release = Release::install(control_plane, place).await;
            let controller = Controller::start(&release, ControllerOptions::default()).await;
            let sealer = Sealer::of(&controller).await;
            World { release, controller, sealer }
        })
    });
    &WORLD
}
