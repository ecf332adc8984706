//! Log lines to stderr.
//!
//! What other libraries say stays at WARN, kube's client at ERROR, whatever the environment asks for: at WARN it
//! prints the body of an answer that it cannot decode, and that body may be a Secret.

use crate::config::{LogConfig, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Starts logging. Called once.
pub(crate) fn start(config: LogConfig) {
    let registry = tracing_subscriber::registry().with(filter(config.level));
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => registry.with(lines.with_ansi(false)).init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).init(),
    }
}

fn filter(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    Targets::new()
        .with_default(LevelFilter::WARN.min(level))
        .with_target("kube_client", LevelFilter::ERROR)
        .with_target("privyseal", level)
        .with_target("privyseal_controller", level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn other_libraries_are_kept_quiet() {
        let filter = filter(LogLevel::Debug);
        assert!(filter.would_enable("privyseal_controller::reconcile", &Level::DEBUG));
        assert!(!filter.would_enable("hyper", &Level::INFO));
        assert!(filter.would_enable("kube_runtime", &Level::WARN));
        assert!(!filter.would_enable("kube_client::client", &Level::WARN));
        assert!(filter.would_enable("kube_client::client", &Level::ERROR));
    }

    /// What lies between us and a vault sees tokens and keys. RUST_LOG is not asked by anything here; that it is not asked
    /// elsewhere, the canary tests show.
    #[test]
    fn the_way_to_a_vault_is_kept_at_warn() {
        for level in [LogLevel::Warn, LogLevel::Info, LogLevel::Debug] {
            let filter = filter(level);
            for library in [
                "azure_core",
                "azure_identity",
                "azure_security_keyvault_keys",
                "azure_security_keyvault_secrets",
                "typespec",
                "typespec_client_core",
                "reqwest",
                "hyper",
                "hyper_util",
                "h2",
                "rustls",
                "tower",
            ] {
                for target in [library.to_owned(), format!("{library}::http::policies::logging")] {
                    assert!(filter.would_enable(&target, &Level::WARN), "{target}");
                    for quiet in [Level::INFO, Level::DEBUG, Level::TRACE] {
                        assert!(!filter.would_enable(&target, &quiet), "{target} at {quiet}");
                    }
                }
            }
        }
    }
}
