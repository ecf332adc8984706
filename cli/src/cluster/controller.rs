//! The controller's own endpoints, through the API server's proxy of its Service: whoever has the right to reach them
//! can have values verified and resealed, and sees no plaintext.

use super::Session;
use crate::error::{CommandError, Shown};
use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::ListParams;
use privyseal_envelope::{KeyId, Name};
use privyseal_manifest::{Document, SealedSecret, names};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The controller of a cluster, found.
pub(crate) struct Controller<'a> {
    session: &'a Session,
    /// `NAMESPACE/NAME` of the Service.
    service: String,
    /// `http:NAME:PORT`, as rights on `services/proxy` name it.
    proxied: String,
}

/// The controller's Service was looked for in vain.
pub(crate) struct NotFound {
    /// What was looked for.
    pub(crate) what: String,
    /// What came of it.
    pub(crate) error: kube::Error,
}

/// Which key opens each item.
pub(crate) type OpenedWith = BTreeMap<String, KeyId>;

/// What the controller says of an object.
pub(crate) enum Verdict {
    /// All its items open.
    Opens(OpenedWith),
    /// One of them does not. Which, and why, it tells nobody.
    DoesNotOpen,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VerifyAnswer {
    opened_with: BTreeMap<String, String>,
}

impl Session {
    /// Finds the controller's Service: the one that is named, else by what our chart labels it with, else by the names
    /// that our chart and `kubeseal` give it.
    pub(crate) async fn controller(&self) -> Result<Controller<'_>, CommandError> {
        self.find_controller().await.map_err(|NotFound { what, error }| {
            self.error(&what, &error)
                .hint("name the controller with --controller-namespace and --controller-name")
        })
    }

    /// The same, for who asks why it is not there.
    pub(crate) async fn find_controller(&self) -> Result<Controller<'_>, NotFound> {
        let services = Api::<Service>::namespaced(self.client.clone(), self.namespace());
        let named = match &self.connection.controller_name {
            Some(name) => Some(name.as_str().to_owned()),
            None => self.labelled_service(&services).await,
        };
        match named {
            Some(name) => self.service(&services, &name).await,
            // Who may reach the controller may not always list: then by the names that are usual.
            None => match self.service(&services, OUR_NAME).await {
                Err(_) => self.service(&services, PEER_NAME).await,
                found => found,
            },
        }
    }

    async fn service(&self, services: &Api<Service>, name: &str) -> Result<Controller<'_>, NotFound> {
        let service = format!("{}/{name}", self.namespace());
        let what = format!("the Service {service}");
        let found = services.get(name).await.map_err(|error| NotFound { what, error })?;
        let port = found.spec.and_then(|spec| spec.ports?.into_iter().next()?.name).unwrap_or_default();
        Ok(Controller { session: self, service, proxied: format!("http:{name}:{port}") })
    }

    /// Nothing if it may not be looked for.
    async fn labelled_service(&self, services: &Api<Service>) -> Option<String> {
        let labels = ListParams::default()
            .labels("app.kubernetes.io/name=privyseal,app.kubernetes.io/component!=metrics");
        let found = services.list(&labels).await.ok()?;
        let name = found.items.into_iter().next()?.metadata.name?;
        Name::parse(&name).ok().map(|name| name.as_str().to_owned())
    }
}

impl Controller<'_> {
    /// The Service's name.
    pub(crate) fn service_name(&self) -> &str {
        self.service.split_once('/').map_or("", |(_, name)| name)
    }

    /// `NAMESPACE/NAME` of the Service.
    pub(crate) fn service(&self) -> &str {
        &self.service
    }

    /// What a right to reach it names: the Service, and how it is reached.
    pub(crate) fn proxied(&self) -> &str {
        &self.proxied
    }

    /// Asks whether an object opens, and with which key each item does. The peer's controller, which does not say with
    /// which, is none that could be asked this.
    pub(crate) async fn verify(&self, object: &SealedSecret) -> Result<Verdict, CommandError> {
        match self.opens(object).await? {
            Verdict::Opens(keys) if keys.is_empty() && !object.spec.encrypted_data.is_empty() => {
                Err(self.odd_answer())
            }
            verdict => Ok(verdict),
        }
    }

    /// Asks whether an object opens. Where the controller names no keys, as the peer's, the map is empty: that is no
    /// knowledge of keys.
    pub(crate) async fn opens(&self, object: &SealedSecret) -> Result<Verdict, CommandError> {
        let mut all = OpenedWith::new();
        for part in parts(object) {
            match self.part_opens(&part).await? {
                Verdict::Opens(keys) => all.extend(keys),
                Verdict::DoesNotOpen => return Ok(Verdict::DoesNotOpen),
            }
        }
        Ok(Verdict::Opens(all))
    }

    async fn part_opens(&self, object: &SealedSecret) -> Result<Verdict, CommandError> {
        let Some(text) = self.post("/v1/verify", object).await? else { return Ok(Verdict::DoesNotOpen) };
        if text.trim().is_empty() {
            return Ok(Verdict::Opens(OpenedWith::new()));
        }
        let answer: VerifyAnswer = serde_json::from_str(&text).map_err(|_| self.odd_answer())?;
        let keys = answer.opened_with.into_iter().map(|(item, key)| Some((item, key.parse().ok()?)));
        let keys: Option<OpenedWith> = keys.collect();
        // Each item, and nothing else: callers rely on it.
        let keys = keys.filter(|keys| keys.keys().eq(object.spec.encrypted_data.keys()));
        keys.map(Verdict::Opens).ok_or_else(|| self.odd_answer())
    }

    /// Has all values of an object sealed to the newest key. None if it does not open.
    pub(crate) async fn rotate(&self, object: &SealedSecret) -> Result<Option<SealedSecret>, CommandError> {
        let mut whole = bare(object);
        for mut part in parts(object) {
            // Each answer says the keys of its own values beside what was said before.
            part.metadata.annotations.clone_from(&whole.metadata.annotations);
            let Some(rotated) = self.rotate_part(&part).await? else { return Ok(None) };
            whole.metadata.annotations = rotated.metadata.annotations;
            whole.spec.encrypted_data.extend(rotated.spec.encrypted_data);
        }
        Ok(Some(whole))
    }

    async fn rotate_part(&self, object: &SealedSecret) -> Result<Option<SealedSecret>, CommandError> {
        let Some(text) = self.post("/v1/rotate", object).await? else { return Ok(None) };
        let mut documents =
            privyseal_manifest::read(text.as_bytes(), "controller").map_err(|_| self.odd_answer())?;
        let document = documents.pop().ok_or_else(|| self.odd_answer())?;
        Document::into_sealed_secret(document).map(Some).map_err(|_| self.odd_answer())
    }

    /// None if the object does not open. A controller that has too much to do is asked again.
    async fn post(&self, path: &str, object: &SealedSecret) -> Result<Option<String>, CommandError> {
        let body = serde_json::to_vec(object).map_err(|_| self.odd_answer())?;
        let what = format!("the Service {}, {path}", self.service);
        let mut wait = FIRST_WAIT;
        loop {
            let (namespace, proxied) = (self.session.namespace(), &self.proxied);
            let uri = format!("/api/v1/namespaces/{namespace}/services/{proxied}/proxy{path}");
            let request = http::Request::post(uri)
                .header(http::header::CONTENT_TYPE, "application/json")
                .body(body.clone())
                .map_err(|error| self.session.error(&what, &kube::Error::HttpError(error)))?;
            match self.session.client.request_text(request).await {
                Ok(text) => return Ok(Some(text)),
                Err(kube::Error::Api(status)) if status.code == 409 => return Ok(None),
                Err(kube::Error::Api(status)) if matches!(status.code, 429 | 503) && wait <= LAST_WAIT => {
                    tokio::time::sleep(wait).await;
                    wait *= 2;
                }
                Err(kube::Error::Api(status)) if status.code == 403 => {
                    return Err(self.session.error(&what, &kube::Error::Api(status)).hint(
                        "it takes the right to `create` services/proxy of the controller's Service: the chart's \
                         `rbac.resealer.subjects`",
                    ));
                }
                Err(error) => return Err(self.session.error(&what, &error)),
            }
        }
    }

    fn odd_answer(&self) -> CommandError {
        CommandError::failed(format!(
            "the Service {}: the answer is not one of our controller",
            Shown(&self.service)
        ))
        .hint("the controller of sealed-secrets says less: reseal with --key, or with our controller")
    }
}

/// What our chart calls it, installed as its documentation says.
const OUR_NAME: &str = "privyseal";
/// An object in parts of so few items that each is within what the controller does for one request, even if every value
/// takes several attempts. One without items is one part.
fn parts(object: &SealedSecret) -> impl Iterator<Item = SealedSecret> {
    let bare = bare(object);
    let items: Vec<_> = object.spec.encrypted_data.iter().collect();
    let chunks: Vec<_> =
        if items.is_empty() { vec![Vec::new()] } else { items.chunks(PART).map(<[_]>::to_vec).collect() };
    chunks.into_iter().map(move |items| {
        let mut part = bare.clone();
        part.spec.encrypted_data =
            items.into_iter().map(|(item, text)| (item.clone(), text.clone())).collect();
        part
    })
}

/// What decides whether an object opens, and nothing else: a template, or what `kubectl apply` noted, may hold plaintext.
fn bare(object: &SealedSecret) -> SealedSecret {
    let mut bare = SealedSecret::new("", Default::default());
    bare.metadata.name.clone_from(&object.metadata.name);
    bare.metadata.namespace.clone_from(&object.metadata.namespace);
    let annotations = object.metadata.annotations.iter().flatten();
    let kept = [names::CLUSTER_WIDE, names::NAMESPACE_WIDE, names::SEALED_WITH];
    let annotations = annotations.filter(|(name, _)| kept.contains(&name.as_str()));
    bare.metadata.annotations =
        Some(annotations.map(|(name, value)| (name.clone(), value.clone())).collect());
    // The deprecated form of all values in one: no controller of ours opens it, and it must not seem to.
    bare.spec.data.clone_from(&object.spec.data);
    bare
}

const PART: usize = 32;
/// What the peer's manifests call it.
const PEER_NAME: &str = "sealed-secrets-controller";
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LAST_WAIT: Duration = Duration::from_secs(10);
