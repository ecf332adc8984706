//! The custodies that the flags ask for, and what is counted of a vault.

use crate::config::CustodyConfig;
use crate::metrics::Metrics;
use privyseal_custody::custody::Kind;
use privyseal_custody::key_secrets::Custodies;
use privyseal_custody::key_vault::{Answer, ConfigError, KeyVault, Observer, Operation};
use std::sync::Arc;

/// What the flags ask for.
pub(crate) struct Vaults {
    /// Where private halves are kept.
    pub custodies: Custodies,
    /// The vault, if one is configured.
    pub key_vault: Option<KeyVault>,
}

/// Sets vault and custodies up. Nobody is called yet.
pub(crate) fn set_up(config: &CustodyConfig, metrics: &Arc<Metrics>) -> Result<Vaults, ConfigError> {
    let CustodyConfig { keeping, key_vault: Some(key_vault) } = config else {
        return Ok(Vaults { custodies: Custodies::cluster(), key_vault: None });
    };
    let poll_interval = key_vault.poll_interval;
    let vault = KeyVault::new(key_vault.clone(), Arc::new(Counted(Arc::clone(metrics))))?;
    let mut vaults = vec![vault.custody(Kind::KeyVaultWrapped)?];
    match vault.custody(Kind::KeyVaultSecret) {
        Ok(secrets) => vaults.push(secrets),
        // A Managed HSM is fit for the other one.
        Err(ConfigError::NoSecrets) if *keeping != Kind::KeyVaultSecret => {}
        Err(error) => return Err(error),
    }
    Ok(Vaults { custodies: Custodies::new(*keeping, vaults, poll_interval), key_vault: Some(vault) })
}

/// Counts what a vault is asked and answers.
struct Counted(Arc<Metrics>);

impl Observer for Counted {
    fn called(&self, operation: Operation, answer: Answer) {
        self.0.vault_called(operation, answer);
    }

    fn budget_left(&self, calls: u32) {
        self.0.key_vault_budget_left.set(i64::from(calls));
    }

    fn passed_over(&self, message: &str) {
        tracing::warn!("{message}");
    }
}
