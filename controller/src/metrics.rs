//! Prometheus metrics. Labels come from fixed sets of words: no object's name, and no value, is ever one.

use crate::outcome::Reason;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

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
    /// Objects that wait for a pass.
    pub queue: Gauge,
    /// Keys in the ring.
    pub keys_held: Gauge,
    /// Secrets that say they are keys and are none.
    pub keys_left_out: Gauge,
    /// Keys made by this process.
    pub keys_made: Counter,
    /// Sealing keys that appeared and that no replica made.
    pub foreign_keys: Counter,
    /// Start of validity of the sealing key.
    pub sealing_key_since: Gauge,
    /// 1 while this replica leads.
    pub leading: Gauge,
    /// Objects that another controller opened, and that we leave to it.
    pub foreign_objects: Counter,
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
        let metrics = Self {
            passes: Family::default(),
            passes_in_sync: Counter::default(),
            private_operations: Counter::default(),
            pass_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 15)),
            secret_writes: Family::default(),
            status_writes: Counter::default(),
            objects: Gauge::default(),
            objects_synced: Gauge::default(),
            queue: Gauge::default(),
            keys_held: Gauge::default(),
            keys_left_out: Gauge::default(),
            keys_made: Counter::default(),
            foreign_keys: Counter::default(),
            sealing_key_since: Gauge::default(),
            leading: Gauge::default(),
            foreign_objects: Counter::default(),
            registry: Registry::default(),
        };
        for reason in Reason::ALL {
            drop(metrics.passes.get_or_create(&[("reason", reason.as_str())]));
        }
        registry.register(
            "passes",
            "Passes over SealedSecrets that were not in sync",
            metrics.passes.clone(),
        );
        registry.register("passes_in_sync", "Passes that needed nothing", metrics.passes_in_sync.clone());
        registry.register("private_operations", "Private-key operations", metrics.private_operations.clone());
        registry.register_with_unit("pass", "Time of one pass", Unit::Seconds, metrics.pass_seconds.clone());
        registry.register("secret_writes", "Secrets written", metrics.secret_writes.clone());
        registry.register("status_writes", "Statuses written", metrics.status_writes.clone());
        registry.register("objects", "SealedSecrets known", metrics.objects.clone());
        registry.register(
            "objects_synced",
            "SealedSecrets that say Synced=True",
            metrics.objects_synced.clone(),
        );
        registry.register("queue", "SealedSecrets that wait for a pass", metrics.queue.clone());
        registry.register("keys_held", "Opening keys in memory", metrics.keys_held.clone());
        registry.register("keys_left_out", "Key Secrets that are not usable", metrics.keys_left_out.clone());
        registry.register("keys_made", "Sealing keys made by this process", metrics.keys_made.clone());
        registry.register("foreign_keys", "Sealing keys that no replica made", metrics.foreign_keys.clone());
        registry.register_with_unit(
            "sealing_key_not_before",
            "Start of validity of the sealing key, since 1970",
            Unit::Seconds,
            metrics.sealing_key_since.clone(),
        );
        registry.register("leading", "Whether this replica leads", metrics.leading.clone());
        registry.register(
            "foreign_objects",
            "Objects left to another controller",
            metrics.foreign_objects.clone(),
        );
        Self { registry, ..metrics }
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

    /// The text format of OpenMetrics 1.0.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_in_the_text() {
        let metrics = Metrics::new();
        metrics.secret_written(SecretWrite::Create);
        metrics.pass(Reason::NotOpened);
        let text = metrics.text();
        assert!(text.contains("privyseal_passes_total{reason=\"NotOpened\"} 1"), "{text}");
        assert!(text.contains("privyseal_secret_writes_total{verb=\"create\"} 1"), "{text}");
        assert!(text.contains("privyseal_sealing_key_not_before_seconds 0"), "{text}");
        assert!(text.ends_with("# EOF\n"));
    }
}
