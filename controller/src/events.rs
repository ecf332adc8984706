//! Kubernetes Events: for what changed, never for what was merely looked at again.

use crate::outcome::{Class, Outcome};
use crate::plan::FIELD_MANAGER;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use privyseal_custody::published::SealingKeyStatus;
use privyseal_manifest::names;
use std::time::Duration;

/// Writes events. One that cannot be written is dropped: the status says the same.
#[derive(Clone)]
pub(crate) struct Events {
    recorder: Recorder,
    namespace: String,
}

impl Events {
    /// For this replica; `namespace` is our own.
    pub(crate) fn new(client: Client, namespace: &str, identity: &str) -> Self {
        let reporter = Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(identity.to_owned()) };
        Self { recorder: Recorder::new(client, reporter), namespace: namespace.to_owned() }
    }

    /// A SealedSecret's state changed.
    pub(crate) async fn state_changed(&self, object: &ObjectReference, outcome: &Outcome) {
        let type_ = match outcome.reason.class() {
            Class::Done => EventType::Normal,
            Class::Stalled | Class::Retry => EventType::Warning,
        };
        self.publish(object, type_, outcome.reason.as_str(), &outcome.message, "Unseal").await;
    }

    /// The key that seals is not one that we made.
    pub(crate) async fn foreign_key(&self, status: &SealingKeyStatus) {
        let object = self.secret(&status.secret);
        let note = format!("{} ({})", status.message, status.fingerprint);
        self.publish(&object, EventType::Warning, "ForeignSealingKey", &note, "Load").await;
    }

    /// A new key is not used, since its backup could not be stored.
    pub(crate) async fn escrow_failed(&self, secret: &str, note: &str) {
        let object = self.secret(secret);
        self.publish(&object, EventType::Warning, "EscrowFailed", note, "Escrow").await;
    }

    fn secret(&self, name: &str) -> ObjectReference {
        ObjectReference {
            api_version: Some(names::SECRET_API_VERSION.to_owned()),
            kind: Some(names::SECRET_KIND.to_owned()),
            name: Some(name.to_owned()),
            namespace: Some(self.namespace.clone()),
            ..ObjectReference::default()
        }
    }

    async fn publish(
        &self,
        object: &ObjectReference,
        type_: EventType,
        reason: &str,
        note: &str,
        action: &str,
    ) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note.chars().take(MAX_NOTE).collect()),
            action: action.to_owned(),
            secondary: None,
        };
        let written = tokio::time::timeout(TIMEOUT, self.recorder.publish(&event, object)).await;
        if let Ok(Err(error)) = written {
            tracing::debug!(error = %crate::api::brief(&error), "an event was not written");
        }
    }
}

/// The API server refuses longer notes (1 KiB of bytes; our words are ASCII but for names).
const MAX_NOTE: usize = 900;
const TIMEOUT: Duration = Duration::from_secs(10);
