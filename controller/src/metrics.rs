//! Prometheus metrics. Labels come from fixed sets of words: no object's name, and no value, is ever one.

use crate::outcome::Reason;
use axum::http::StatusCode;
use privyseal_custody::key_vault::hsm::Seen;
use privyseal_custody::key_vault::{Answer, Operation};
use privyseal_manifest::names::DeletionPolicy;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};

/// All of them.
pub(crate) struct Metrics {
    registry: Registry,
    /// Passes over objects by reason.
    passes: Family<[(&'static str, &'static str); 1], Counter>,
    /// Passes that needed nothing, told by the marker.
    pub passes_in_sync: Counter,
    /// Private-key operations.
    pub private_operations: Counter,
    /// Time of one pass that was not in sync.
    pub pass_seconds: Histogram,
    /// Secrets created or replaced.
    secret_writes: Family<[(&'static str, &'static str); 1], Counter>,
    /// Status writes.
    pub status_writes: Counter,
    /// SealedSecrets known.
    pub objects: Gauge,
    /// SealedSecrets that say `Synced=True`.
    pub objects_synced: Gauge,
    /// Secrets of SealedSecrets, by what becomes of them.
    secrets: Family<[(&'static str, &'static str); 1], Gauge>,
    /// Objects that wait for a pass.
    pub queue: Gauge,
    /// Keys in the ring.
    pub keys_held: Gauge,
    /// Secrets that say they are keys and are none.
    pub keys_left_out: Gauge,
    /// Keys that their vault does not give now.
    pub keys_waiting: Gauge,
    /// Keys made by this process.
    pub keys_made: Counter,
    /// Keys that began to seal and that no leader of ours made.
    pub foreign_keys: Counter,
    /// 1 while we lead and the key that seals is such a key.
    pub sealing_key_foreign: Gauge,
    /// 1 while the API server drops the markers that we write.
    pub marker_dropped: Gauge,
    /// Start of validity of the sealing key.
    pub sealing_key_since: Gauge,
    /// 1 while this replica leads.
    pub leading: Gauge,
    /// Objects that another controller opened, and that we leave to it.
    pub foreign_objects: Counter,
    /// Backups of new keys that could not be stored.
    pub escrow_failures: Counter,
    /// Whether a new key waits for its backup to be stored.
    pub escrow_pending: Gauge,
    /// Calls of the Key Vault, and for tokens, by operation and answer.
    key_vault_calls: Family<[(&'static str, &'static str); 2], Counter>,
    /// Calls that the vault refused as too many, or that were not made since they would be.
    key_vault_throttled: Counter,
    /// Calls that the budget allows now.
    pub key_vault_budget_left: Gauge,
    /// File keys that the HSM key's vault was to unwrap, by whether they were kept.
    hsm_file_keys: Family<[(&'static str, &'static str); 1], Counter>,
    /// Values that wait for a call of the vault, or for its answer.
    hsm_waiting: Gauge,
    /// How long objects wait for their file keys.
    hsm_wait_seconds: Histogram,
    /// Calls with the HSM key in any 10 seconds, at most.
    hsm_budget: Gauge,
    /// Versions of the HSM key that open.
    hsm_versions: Gauge,
    /// Answers on the public port by route and status code.
    answers: Family<[(&'static str, &'static str); 2], Counter>,
}

/// What was written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SecretWrite {
    /// A new Secret.
    Create,
    /// One of ours that differed.
    Replace,
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("privyseal");
        let of = &mut registry;
        let passes: Family<_, Counter> =
            registered(of, "passes", "Passes over SealedSecrets that were not in sync");
        for reason in Reason::ALL {
            drop(passes.get_or_create(&[("reason", reason.as_str())]));
        }
        let pass_seconds = Histogram::new(exponential_buckets(0.001, 2.0, 15));
        of.register_with_unit("pass", "Time of one pass", Unit::Seconds, pass_seconds.clone());
        let sealing_key_since = Gauge::default();
        of.register_with_unit(
            "sealing_key_not_before",
            "Start of validity of the sealing key, since 1970",
            Unit::Seconds,
            sealing_key_since.clone(),
        );
        let hsm_wait_seconds = Histogram::new(exponential_buckets(0.01, 4.0, 10));
        of.register_with_unit(
            "hsm_wait",
            "Time that objects wait for the Key Vault to unwrap their file keys",
            Unit::Seconds,
            hsm_wait_seconds.clone(),
        );
        Self {
            passes,
            passes_in_sync: registered(of, "passes_in_sync", "Passes that needed nothing"),
            private_operations: registered(of, "private_operations", "Private-key operations"),
            pass_seconds,
            secret_writes: registered(of, "secret_writes", "Secrets written"),
            status_writes: registered(of, "status_writes", "Statuses written"),
            objects: registered(of, "objects", "SealedSecrets known"),
            objects_synced: registered(of, "objects_synced", "SealedSecrets that say Synced=True"),
            secrets: registered(
                of,
                "secrets",
                "Secrets of SealedSecrets, by what becomes of them when these go",
            ),
            queue: registered(of, "queue", "SealedSecrets that wait for a pass"),
            keys_held: registered(of, "keys_held", "Opening keys in memory"),
            keys_left_out: registered(of, "keys_left_out", "Key Secrets that are not usable"),
            keys_waiting: registered(of, "keys_waiting", "Keys that their vault does not give now"),
            keys_made: registered(of, "keys_made", "Sealing keys made by this process"),
            foreign_keys: registered(of, "foreign_keys", "Keys that began to seal and that no leader made"),
            sealing_key_foreign: registered(
                of,
                "sealing_key_foreign",
                "Whether the key that seals is one that no leader made",
            ),
            marker_dropped: registered(
                of,
                "marker_dropped",
                "Whether the CustomResourceDefinition drops status.marker",
            ),
            sealing_key_since,
            leading: registered(of, "leading", "Whether this replica leads"),
            foreign_objects: registered(of, "foreign_objects", "Objects left to another controller"),
            escrow_failures: registered(of, "escrow_failures", "Backups of new keys that were not stored"),
            escrow_pending: registered(
                of,
                "escrow_pending",
                "Whether a new key waits for its backup to be stored",
            ),
            key_vault_calls: registered(of, "key_vault_calls", "Calls of the Key Vault and for its tokens"),
            key_vault_throttled: registered(
                of,
                "key_vault_throttled",
                "Calls that were too many for the Key Vault",
            ),
            key_vault_budget_left: registered(
                of,
                "key_vault_budget_left",
                "Key Vault calls that the budget allows now",
            ),
            hsm_file_keys: registered(of, "hsm_file_keys", "File keys of values that the HSM key opens"),
            hsm_waiting: registered(of, "hsm_waiting", "Values that wait for the HSM key"),
            hsm_wait_seconds,
            hsm_budget: registered(of, "hsm_budget", "Calls with the HSM key in 10 seconds, at most"),
            hsm_versions: registered(of, "hsm_versions", "Versions of the HSM key that open"),
            answers: registered(of, "http_answers", "Answers on the public port"),
            registry,
        }
    }

    /// Counts a pass.
    pub(crate) fn pass(&self, reason: Reason) {
        self.passes.get_or_create(&[("reason", reason.as_str())]).inc();
    }

    /// Counts a Secret written.
    pub(crate) fn secret_written(&self, write: SecretWrite) {
        let verb = match write {
            SecretWrite::Create => "create",
            SecretWrite::Replace => "replace",
        };
        self.secret_writes.get_or_create(&[("verb", verb)]).inc();
    }

    /// Notes how many Secrets are deleted, or stay, when their SealedSecrets go.
    pub(crate) fn secrets_on_deletion(&self, policy: DeletionPolicy, count: i64) {
        self.secrets.get_or_create(&[("deletion_policy", policy.as_str())]).set(count);
    }

    /// Counts a call of the Key Vault.
    pub(crate) fn vault_called(&self, operation: Operation, answer: Answer) {
        let labels = [("operation", operation.as_str()), ("answer", answer.as_str())];
        self.key_vault_calls.get_or_create(&labels).inc();
        if matches!(answer, Answer::Throttled | Answer::Held) {
            self.key_vault_throttled.inc();
        }
    }

    /// Notes what the HSM key's vault is asked for.
    pub(crate) fn hsm(&self, seen: Seen) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        match seen {
            Seen::InCache => _ = self.hsm_file_keys.get_or_create(&[("from", "cache")]).inc(),
            Seen::NotInCache => _ = self.hsm_file_keys.get_or_create(&[("from", "vault")]).inc(),
            Seen::Waiting(values) => _ = self.hsm_waiting.set(gauge(values)),
            Seen::Waited(time) => self.hsm_wait_seconds.observe(time.as_secs_f64()),
            Seen::Budget(calls) => _ = self.hsm_budget.set(i64::from(calls)),
            Seen::Versions(versions) => _ = self.hsm_versions.set(gauge(versions)),
        }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, route: &'static str, code: StatusCode) {
        let code = match code.as_u16() {
            200 => "200",
            400 => "400",
            404 => "404",
            405 => "405",
            408 => "408",
            409 => "409",
            413 => "413",
            503 => "503",
            _ => "other",
        };
        self.answers.get_or_create(&[("route", route), ("code", code)]).inc();
    }

    /// The text format of OpenMetrics 1.0.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

/// Made and registered in one step, so that no metric is counted and not shown.
fn registered<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_in_the_text() {
        let metrics = Metrics::new();
        metrics.secret_written(SecretWrite::Create);
        metrics.pass(Reason::NotOpened);
        metrics.secrets_on_deletion(DeletionPolicy::Retain, 3);
        metrics.answered("verify", StatusCode::CONFLICT);
        metrics.hsm(Seen::InCache);
        metrics.hsm(Seen::Waited(std::time::Duration::from_secs(3)));
        let text = metrics.text();
        assert!(text.contains("privyseal_passes_total{reason=\"NotOpened\"} 1"), "{text}");
        assert!(text.contains("privyseal_secret_writes_total{verb=\"create\"} 1"), "{text}");
        assert!(text.contains("privyseal_sealing_key_not_before_seconds 0"), "{text}");
        assert!(text.contains("privyseal_pass_seconds_bucket{"), "{text}");
        assert!(text.contains("privyseal_leading 0"), "{text}");
        assert!(text.contains("privyseal_secrets{deletion_policy=\"Retain\"} 3"), "{text}");
        assert!(text.contains("privyseal_hsm_file_keys_total{from=\"cache\"} 1"), "{text}");
        assert!(text.contains("privyseal_hsm_wait_seconds_sum 3.0"), "{text}");
        let answers = "privyseal_http_answers_total{route=\"verify\",code=\"409\"} 1";
        assert!(text.contains(answers), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
