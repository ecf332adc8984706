//! The harness of the end-to-end tests: everything they talk to is real, but for Azure.
//!
//! ```text
//!   test ──kube client──────────────────▶ ControlPlane    etcd, kube-apiserver and controllers in one process
//!     │                                     ▲     ▲
//!     ├─▶ FaultProxy ──passes or spoils──────┘     │        409, 429, 500, cut watches, lost answers, outages
//!     │       ▲                                   │
//!     └─▶ Controller ──ServiceAccount and RBAC of─┘        ours or the peer's, as a process beside it
//!          │           the chart (Release)
//!          └─▶ KeyVault, Entra     doubles of Azure's services, over real TLS
//! ```
//!
//! Three rules keep tests short and honest:
//!
//! - **It panics.** A harness that cannot do its work fails the test with a reason; nothing is skipped.
//! - **Processes are blocking, the API is async.** Starting and stopping block the calling thread; whatever a test
//!   talks to runs in another process or on a thread of its own, so blocking holds nothing up.
//! - **Nothing outlives the test process**, however it ends: see `process` and `scratch`.
//!
//! Each file of `tests/tests` is one family and one binary. Tests of a family share one control plane
//! ([`ControlPlane::shared`]) and use a namespace each; what stops, kills or restarts it starts its own.

pub mod age_keys;
mod call_log;
mod connect_proxy;
pub mod control_plane;
pub mod controller;
pub mod entra;
pub mod eventually;
pub mod example;
pub mod fault_proxy;
pub mod flux;
pub mod image;
pub mod key_vault;
mod kubeconfig;
pub mod network;
pub mod objects;
mod ports;
pub mod process;
mod scratch;
pub mod sealing;
mod tls_server;
pub mod tools;
mod trouble;
pub mod vaulted;
pub mod world;

pub use connect_proxy::ConnectProxy;
pub use control_plane::ControlPlane;
pub use controller::{Controller, ControllerOptions, Release, ReleaseOptions};
pub use entra::Entra;
pub use eventually::eventually;
pub use fault_proxy::{Action, Fault, FaultProxy, Requests};
pub use image::Image;
pub use key_vault::KeyVault;
pub use vaulted::Vaulted;
