//! What every use of the network needs: TLS, a runtime while it lasts, and the cause of a failure.

use crate::error::CommandError;

/// The cause of all causes: what the system or the TLS library said.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Runs to the end on this thread. The runtime exists only while the network is needed.
pub(crate) fn run_async<T>(future: impl Future<Output = T>) -> Result<T, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::failed(format!("the runtime does not start: {error}")))?;
    Ok(runtime.block_on(future))
}

/// aws-lc-rs for every TLS connection of this process.
pub(crate) fn install_crypto_provider() {
    // Fails only if it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
