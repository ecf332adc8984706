//! The custodies that a process was started with.

use crate::InCluster;
use crate::custody::{Custody, Failure, Kind, Reference, Subject};
use privyseal_envelope::Plaintext;
use std::sync::Arc;
use std::time::Duration;

/// The custodies that a process was started with.
#[derive(Clone)]
pub struct Custodies {
    pub(super) keeping: Arc<dyn Custody>,
    vaults: Vec<Arc<dyn Custody>>,
    pub(super) poll_interval: Duration,
}

impl Custodies {
    /// The cluster alone.
    pub fn cluster() -> Self {
        Self { keeping: Arc::new(InCluster), vaults: Vec::new(), poll_interval: HOUR }
    }

    /// New private halves go to `keeping`; what any of `vaults` keeps is still read. A vault is asked again for what it
    /// did not give, and looked at for what is new, after `poll_interval`.
    pub fn new(keeping: Kind, vaults: Vec<Arc<dyn Custody>>, poll_interval: Duration) -> Self {
        let keeping = vaults.iter().find(|vault| vault.kind() == keeping).cloned();
        Self { keeping: keeping.unwrap_or_else(|| Arc::new(InCluster)), vaults, poll_interval }
    }

    /// Where new private halves go.
    pub fn keeping(&self) -> Kind {
        self.keeping.kind()
    }

    /// How often a vault is looked at; none without a vault.
    pub fn poll_interval(&self) -> Option<Duration> {
        (!self.vaults.is_empty()).then_some(self.poll_interval)
    }

    pub(super) async fn fetch(&self, subject: &Subject, reference: &Reference) -> Result<Plaintext, Failure> {
        let vault = self.vaults.iter().find(|vault| vault.kind() == reference.kind());
        vault.unwrap_or(&self.keeping).fetch(subject, reference).await
    }
}

/// What only another configuration can heal needs no looking at; a time that can be added to others all the same.
const HOUR: Duration = Duration::from_secs(3600);
