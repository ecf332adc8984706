//! Objects that tell Flux what to do, watched as it does it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use futures::StreamExt as _;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::runtime::watcher::watch_object;
use kube::{Client, Error};
use serde_json::{Value, json};

use super::git::{Repository, Revision};
use crate::objects::{self, Condition};

/// From a commit to what Flux makes of it, on a busy machine: it looks at health every 5 s, and retries by itself.
const LIMIT: Duration = Duration::from_secs(120);

/// A GitRepository that is fetched only when somebody asks, and by then at once.
pub fn git_repository(name: &str, repository: &Repository) -> Value {
    json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
        "metadata": {"name": name},
        "spec": {"url": repository.url(), "ref": {"branch": "main"}, "interval": "1h", "timeout": "30s"},
    })
}

/// A Kustomization of a folder that waits until all is well, and prunes. Between commits it does nothing by itself.
pub fn kustomization(name: &str, source: &str, path: &str) -> Value {
    json!({
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": name},
        "spec": {
            "sourceRef": {"kind": "GitRepository", "name": source}, "path": path,
            "interval": "1h", "timeout": "2m", "prune": true, "wait": true,
        },
    })
}

/// A HelmRelease of a chart in a folder of the source, whose every commit is a new version.
pub fn helm_release(name: &str, source: &str, path: &str) -> Value {
    json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": name},
        "spec": {
            "chart": {"spec": {
                "chart": path, "interval": "1h", "reconcileStrategy": "Revision",
                "sourceRef": {"kind": "GitRepository", "name": source},
            }},
            "interval": "1h", "timeout": "2m",
        },
    })
}

/// An object of Flux in the cluster.
#[derive(Clone, Debug)]
pub struct Watched {
    api: Api<DynamicObject>,
    kind: String,
    name: String,
}

/// What was seen, and when.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When the watch told it.
    pub at: Instant,
    /// The object's condition `Ready`.
    pub ready: Condition,
    /// All of it.
    pub object: DynamicObject,
}

impl Watched {
    /// Applies it, in this namespace if it names none.
    pub async fn apply(client: &Client, namespace: &str, object: &Value) -> Self {
        objects::apply(client, Some(namespace), object).await;
        Self::of(client, namespace, object).await
    }

    /// One that somebody else applies, such as Flux itself.
    pub async fn of(client: &Client, namespace: &str, object: &Value) -> Self {
        let (api, name) = objects::api_of(client, Some(namespace), object).await;
        Self { api, kind: object["kind"].as_str().unwrap_or_default().to_owned(), name }
    }

    /// The object as it is.
    pub async fn get(&self) -> DynamicObject {
        self.api.get(&self.name).await.unwrap_or_else(|error| panic!("get {}: {error}", self.title()))
    }

    /// Whether there is one.
    pub async fn is_there(&self) -> bool {
        let found = self.api.get_opt(&self.name).await;
        found.unwrap_or_else(|error| panic!("get {}: {error}", self.title())).is_some()
    }

    /// Asks for a look at it now, as `flux reconcile` does, and returns what Flux repeats in
    /// `status.lastHandledReconcileAt` when it has looked.
    pub async fn reconcile(&self) -> String {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let token = format!("{now}-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.patch(json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": token}}})).await;
        token
    }

    /// As [`reconcile`](Self::reconcile), and waits until Flux has looked, whatever it finds.
    pub async fn reconciled(&self) -> Seen {
        let token = json!(self.reconcile().await);
        self.wait_until(|object, ready| {
            ready.status != "Unknown" && object.data.pointer("/status/lastHandledReconcileAt") == Some(&token)
        })
        .await
    }

    /// As [`reconcile`](Self::reconcile), and waits until Flux has looked and finds it ready.
    pub async fn reconcile_until_ready(&self) -> Seen {
        let token = json!(self.reconcile().await);
        self.wait_until(|object, ready| {
            ready.status == "True" && object.data.pointer("/status/lastHandledReconcileAt") == Some(&token)
        })
        .await
    }

    /// Suspends it, or resumes it.
    pub async fn suspend(&self, suspend: bool) {
        self.patch(json!({"spec": {"suspend": suspend}})).await;
    }

    /// Merges something into it.
    pub async fn patch(&self, change: Value) {
        let patched = self.api.patch(&self.name, &PatchParams::default(), &Patch::Merge(change)).await;
        patched.unwrap_or_else(|error| panic!("patch {}: {error}", self.title()));
    }

    /// Deletes it and waits until it is gone, with what it made if it prunes.
    pub async fn delete(&self) {
        let deleted = self.api.delete(&self.name, &kube::api::DeleteParams::default()).await;
        deleted.unwrap_or_else(|error| panic!("delete {}: {error}", self.title()));
        crate::eventually(LIMIT, async || match self.api.get(&self.name).await {
            Err(Error::Api(status)) if status.code == 404 => Ok(()),
            Ok(object) => Err(format!("it is there: {:?}", object.metadata)),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    /// Waits until it is ready, for this revision if one is named.
    pub async fn wait_ready<'a>(&self, revision: impl Into<Option<&'a Revision>>) -> Seen {
        let revision = revision.into();
        self.wait_until(|object, ready| {
            ready.status == "True" && revision.is_none_or(|revision| self.speaks_of(object, revision, true))
        })
        .await
    }

    /// Waits until it is not ready, for this revision if one is named, with a message that contains a text.
    pub async fn wait_not_ready<'a>(&self, revision: impl Into<Option<&'a Revision>>, message: &str) -> Seen {
        let revision = revision.into();
        self.wait_until(|object, ready| {
            ready.status == "False"
                && ready.message.contains(message)
                && revision.is_none_or(|revision| self.speaks_of(object, revision, false))
        })
        .await
    }

    /// Waits until a Kustomization has applied what it builds and looks at whether that is well.
    pub async fn wait_checking(&self) -> Seen {
        self.wait_until(|object, ready| {
            let healthy = objects::conditions(object).into_iter().find(|entry| entry.kind == "Healthy");
            ready.status == "Unknown" && healthy.is_some_and(|healthy| healthy.status == "Unknown")
        })
        .await
    }

    /// Waits until the object, of which Flux has seen all that was written, and its condition `Ready` are as wanted.
    ///
    /// It watches, so what is seen is seen at once.
    pub async fn wait_until(&self, wanted: impl Fn(&DynamicObject, &Condition) -> bool) -> Seen {
        let mut last = "nothing".to_owned();
        let mut states = Box::pin(watch_object(self.api.clone(), &self.name));
        let found = tokio::time::timeout(LIMIT, async {
            while let Some(state) = states.next().await {
                let at = Instant::now();
                let object = match state {
                    Ok(Some(object)) => object,
                    Ok(None) => {
                        "it is not there".clone_into(&mut last);
                        continue;
                    }
                    // The watch begins anew.
                    Err(error) => {
                        last = error.to_string();
                        continue;
                    }
                };
                let ready = objects::conditions(&object).into_iter().find(|entry| entry.kind == "Ready");
                // The condition's own: that of the status stays behind when Flux fails.
                if let Some(ready) = ready
                    && ready.observed_generation == object.metadata.generation
                    && wanted(&object, &ready)
                {
                    return Seen { at, ready, object };
                }
                last = format!("{}", object.data.get("status").unwrap_or(&Value::Null));
            }
            unreachable!("a watch goes on");
        })
        .await;
        found.unwrap_or_else(|_| panic!("{}: not within {LIMIT:?}; last seen: {last}", self.title()))
    }

    /// Whether its verdict is about this commit.
    fn speaks_of(&self, object: &DynamicObject, revision: &Revision, ready: bool) -> bool {
        let text = |pointer: &str| object.data.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        match (self.kind.as_str(), ready) {
            ("GitRepository", _) => revision.is(text("/status/artifact/revision")),
            ("Kustomization", true) => revision.is(text("/status/lastAppliedRevision")),
            ("Kustomization", false) => revision.is(text("/status/lastAttemptedRevision")),
            // A version of the chart, with the beginning of the commit after its `+`.
            ("HelmRelease", _) => text("/status/lastAttemptedRevision")
                .split_once('+')
                .is_some_and(|(_, begin)| !begin.is_empty() && revision.to_string().starts_with(begin)),
            (other, _) => panic!("{other} says nothing of a revision"),
        }
    }

    fn title(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }
}
