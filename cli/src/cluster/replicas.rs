//! Which key each replica of the controller serves: after a rotation a value may be sealed to the new key as soon as
//! all of them can open it.

use super::Session;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::ListParams;
use privyseal_envelope::Fingerprint;
use privyseal_keys::Certificate;
use std::collections::BTreeSet;

/// What the replicas said.
pub(crate) enum Replicas {
    /// All of them serve the key.
    All {
        /// How many there are.
        count: usize,
    },
    /// Some do not, or not yet.
    Some {
        /// The pods that do not.
        behind: Vec<String>,
    },
    /// They may not be asked, or there is none that could be.
    Unknown,
}

impl Session {
    /// Asks each pod behind the controller's Service for its certificate.
    pub(crate) async fn replicas_that_serve(&self, key: Fingerprint) -> Replicas {
        let Some(pods) = self.controller_pods().await else { return Replicas::Unknown };
        let mut behind = Vec::new();
        for (pod, port) in &pods {
            match self.served_by(pod, *port).await {
                Ok(served) if served == Some(key) => {}
                Ok(_) => behind.push(pod.clone()),
                Err(()) => return Replicas::Unknown,
            }
        }
        if behind.is_empty() { Replicas::All { count: pods.len() } } else { Replicas::Some { behind } }
    }

    /// Names and ports. None if they may not be looked at, or there are none.
    async fn controller_pods(&self) -> Option<BTreeSet<(String, i32)>> {
        let controller = self.controller().await.ok()?;
        let slices = Api::<EndpointSlice>::namespaced(self.client.clone(), self.namespace());
        let of_service = format!("kubernetes.io/service-name={}", controller.service_name());
        let slices = slices.list(&ListParams::default().labels(&of_service)).await.ok()?;
        let mut pods = BTreeSet::new();
        for slice in slices {
            let port = slice.ports.iter().flatten().find_map(|port| port.port)?;
            for endpoint in slice.endpoints {
                let pod = endpoint.target_ref.filter(|target| target.kind.as_deref() == Some("Pod"));
                pods.extend(pod.and_then(|pod| pod.name).map(|name| (name, port)));
            }
        }
        (!pods.is_empty()).then_some(pods)
    }

    /// An error means that it may not be asked.
    async fn served_by(&self, pod: &str, port: i32) -> Result<Option<Fingerprint>, ()> {
        let namespace = self.namespace();
        let path = format!("/api/v1/namespaces/{namespace}/pods/http:{pod}:{port}/proxy/v1/cert.pem");
        let request = http::Request::get(path).body(Vec::new()).map_err(|_| ())?;
        match self.client.request_text(request).await {
            Ok(pem) => Ok(Certificate::from_pem(pem.as_bytes()).ok().map(|it| it.fingerprint())),
            Err(kube::Error::Api(status)) if status.code == 403 => Err(()),
            Err(_) => Ok(None),
        }
    }
}
