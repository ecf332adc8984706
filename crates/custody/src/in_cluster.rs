//! Custody `cluster`: private halves in key Secrets, as the peer keeps them.

use crate::custody::{Custody, Failure, FailureKind, Found, Half, Kind, Purpose, Reference, Subject};
use async_trait::async_trait;
use privyseal_envelope::Plaintext;

/// Keeps private halves where they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct InCluster;

#[async_trait]
impl Custody for InCluster {
    fn kind(&self) -> Kind {
        Kind::Cluster
    }

    async fn keep(&self, _: &Subject, private: &[u8]) -> Result<Half, Failure> {
        Ok(Half::Clear(Plaintext::from(private)))
    }

    async fn fetch(&self, _: &Subject, reference: &Reference) -> Result<Plaintext, Failure> {
        // A private half in the cluster has no reference: this one needs a vault that nobody configured.
        let kind = reference.kind();
        Err(Failure::new(
            FailureKind::Unconfigured,
            format!("its private half is kept by {kind}, and no Key Vault is configured (--key-vault-url)"),
        ))
    }

    async fn is_current(&self, reference: &Reference) -> Result<bool, Failure> {
        Ok(reference.kind() == Kind::Cluster)
    }

    async fn found(&self, _: Purpose, _: &[Reference]) -> Result<Vec<Found>, Failure> {
        Ok(Vec::new())
    }
}
