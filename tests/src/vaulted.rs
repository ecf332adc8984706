//! A release whose keys a vault keeps: the doubles of Key Vault and Entra, and the real chain from the ServiceAccount's
//! token, which the control plane signs, to the vault.

use crate::control_plane::ControlPlane;
use crate::entra::{Entra, ProjectedToken, TENANT};
use crate::key_vault::{KeyVault, Role};
use crate::{Controller, ControllerOptions, Release, ReleaseOptions};

/// The identity that trusts the controller's ServiceAccount.
pub const CLIENT_ID: &str = "6f1b7d7e-0000-4000-8000-00000000c11e";
const BYSTANDER: &str = "0b57a4de-0000-4000-8000-00000000b157";
/// The vault key.
pub const KEY: &str = "privyseal";
/// The vault key that opens sealed values, where a release has one.
pub const HSM_KEY: &str = "privyseal-values";
/// The vault secret of sealing keys.
pub const SECRET: &str = "privyseal-sealing-key";
/// The vault secret of the publisher key.
pub const PUBLISHER: &str = "privyseal-sealing-key-publisher";

/// A release with a vault.
pub struct Vaulted<'a> {
    /// Where tokens come from.
    pub entra: Entra,
    /// The vault, with the vault key.
    pub vault: KeyVault,
    /// The release.
    pub release: Release<'a>,
    /// The token that its controllers exchange.
    pub token: ProjectedToken<'a>,
    /// The custody that it was installed with.
    pub custody: String,
    issuer: String,
}

impl<'a> Vaulted<'a> {
    /// Installs a release with that custody and gives it its identity and the least roles for it.
    pub async fn install(control_plane: &'a ControlPlane, custody: &str) -> Self {
        let entra = Entra::start();
        let vault = KeyVault::start(&entra);
        vault.create_key(KEY);
        Self::with(control_plane, entra, vault, custody).await
    }

    /// As [`install`](Self::install), with a vault that is there.
    pub async fn with(control_plane: &'a ControlPlane, entra: Entra, vault: KeyVault, custody: &str) -> Self {
        Self::with_values(control_plane, entra, vault, custody, ReleaseOptions::default()).await
    }

    /// As [`with`](Self::with), with more values of the chart.
    pub async fn with_values(
        control_plane: &'a ControlPlane,
        entra: Entra,
        vault: KeyVault,
        custody: &str,
        values: ReleaseOptions,
    ) -> Self {
        let options = values
            .set(&format!("custody={custody}"))
            .set(&format!("keyVault.url={}", vault.url()))
            .set(&format!("azure.clientId={CLIENT_ID}"))
            .set(&format!("azure.tenantId={TENANT}"))
            .set(&format!("azure.authorityHost={}", entra.authority()));
        let release = Release::install(control_plane, options).await;
        let issuer = entra.trust_control_plane(control_plane).await;
        let (namespace, account) = (release.namespace().to_owned(), release.service_account().to_owned());
        vault.grant_on(CLIENT_ID, Role::KeyVaultCryptoServiceEncryptionUser, &format!("keys/{KEY}"));
        for secret in [SECRET, PUBLISHER] {
            vault.grant_on(CLIENT_ID, Role::KeyVaultSecretsOfficer, &format!("secrets/{secret}"));
        }
        let token = ProjectedToken::write(control_plane, &namespace, &account).await;
        let vaulted = Self { entra, vault, release, token, issuer, custody: custody.to_owned() };
        vaulted.register();
        vaulted
    }

    /// As [`install`](Self::install), with an HSM key in the vault that its controllers may use.
    pub async fn with_hsm_key(control_plane: &'a ControlPlane, custody: &str) -> Self {
        let entra = Entra::start();
        let vault = KeyVault::start(&entra);
        for key in [KEY, HSM_KEY] {
            vault.create_key(key);
        }
        vault.grant_on(CLIENT_ID, Role::KeyVaultCryptoServiceEncryptionUser, &format!("keys/{HSM_KEY}"));
        let values = ReleaseOptions::default().set(&format!("keyVault.hsm.key={HSM_KEY}"));
        Self::with_values(control_plane, entra, vault, custody, values).await
    }

    /// Has Entra take tokens of the ServiceAccount for the identity, as a federated credential does.
    pub fn register(&self) {
        let (namespace, account) = (self.release.namespace(), self.release.service_account());
        let subject = format!("system:serviceaccount:{namespace}:{account}");
        self.entra.registered(CLIENT_ID, TENANT, &self.issuer, &subject);
        // A tenant has other applications too, and is there without ours.
        self.entra.registered_with_secret(BYSTANDER, TENANT, "not-ours");
    }

    /// How its controllers are started: the paths of a pod are others here, the vault is at a loopback address, and it is
    /// looked at each second.
    pub fn options(&self) -> ControllerOptions {
        ControllerOptions::default()
            .env("AZURE_FEDERATED_TOKEN_FILE", &self.token.path().display().to_string())
            .arg(&format!("--azure-ca-file={}", self.vault.ca_file().display()))
            .arg("--key-vault-emulator")
            .arg("--key-vault-poll-interval=1s")
    }

    /// Starts a controller and waits until it is ready.
    pub async fn controller(&self) -> Controller {
        Controller::start(&self.release, self.options()).await
    }
}
