//! A double of Azure Key Vault: its REST interface over TLS, with its access control, its errors and its soft delete.
//!
//! No emulator is at hand that knows Entra's tokens, roles and throttling, so the tests have their own. It speaks to
//! the official SDK, follows the service's documentation, and takes RSA from another library than the product, so that
//! both check each other. It is no vault: it keeps everything in memory and sends its keys nowhere.
//!
//! ```no_run
//! use privyseal_tests::key_vault::{CallFault, KeyVault, Role, Trouble};
//! use privyseal_tests::entra::{Entra, TENANT};
//! let entra = Entra::start();
//! let vault = KeyVault::start(&entra);
//! let client_id = "11111111-2222-3333-4444-555555555555";
//! entra.registered_with_secret(client_id, TENANT, "secret");
//! vault.grant(client_id, Role::KeyVaultCryptoServiceEncryptionUser);
//! let version = vault.create_key("privyseal");
//! let throttled = vault.inject(CallFault::new("unwrapKey", Trouble::Throttled { retry_after: Some(1) }).next(2));
//! // … run what should survive it, with --azure-ca-file {vault.ca_file()} …
//! assert_eq!(throttled.hits(), 2);
//! assert_eq!(vault.count("unwrapKey"), 3);
//! ```
//!
//! Where it differs from the service: deletion and recovery are done at once; names are case-sensitive; lists have
//! small pages; and a caller sees a new role at once, where Azure takes minutes.

mod access;
mod answers;
mod operation;
mod refusal;
mod role;
mod rsa_key;
mod server;
mod store;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use serde_json::Value;

use crate::call_log::{CallLog, locked};
use crate::entra::Entra;
use crate::tls_server::TlsServer;
use crate::trouble::Troubles;
use crate::{kubeconfig, scratch};

pub use crate::trouble::{CallFault, Trouble, Troubled};
pub use role::Role;

use refusal::Refusal;
use role::Assignment;
use rsa_key::RsaKey;
use store::{KeyContent, Kind, SecretContent, Store, Version, Writer};

/// The resource for which the service takes tokens.
pub const RESOURCE: &str = "https://vault.azure.net";

/// How a vault is set up.
#[derive(Clone, Debug)]
pub struct VaultOptions {
    /// The tenant whose tokens it takes.
    pub tenant: String,
    /// Whether what is deleted can be purged before its time.
    pub purge_protection: bool,
    /// How many lines a page of a list has.
    pub page_size: usize,
}

impl Default for VaultOptions {
    fn default() -> Self {
        Self { tenant: crate::entra::TENANT.to_owned(), purge_protection: true, page_size: 2 }
    }
}

/// A running vault.
#[derive(Debug)]
pub struct KeyVault {
    shared: Arc<Shared>,
    listening: TlsServer,
    ca_file: PathBuf,
}

/// What the test's thread and the server's share.
#[derive(Debug)]
struct Shared {
    options: VaultOptions,
    /// Known when it listens.
    url: OnceLock<String>,
    /// By which it knows Entra's tokens.
    entra_keys: Value,
    authority: String,
    store: Mutex<Store>,
    assignments: Mutex<Vec<Assignment>>,
    troubles: Arc<Troubles>,
    log: CallLog<Call>,
}

/// A call that reached the vault.
#[derive(Clone, Debug)]
pub struct Call {
    /// When, counted from the start of the vault.
    pub at: Duration,
    /// What it asks for, by the service's name: `getKey`, `wrapKey`, `unwrapKey`, `listSecretVersions`, `setSecret`, …;
    /// `unknown` for what the double does not know.
    pub operation: &'static str,
    /// Of which key or secret; empty for a list of all.
    pub name: String,
    /// Of which version, if it says so.
    pub version: Option<String>,
    /// Who asks, as far as the token is good.
    pub client_id: Option<String>,
    /// Whether it carried no token: so a client asks where to get one, and is answered 401. Such calls are not
    /// counted.
    pub challenged: bool,
    /// The status that the client got; `None` when it got none, or not yet.
    pub status: Option<u16>,
}

/// A version of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretVersion {
    /// The last part of its id.
    pub version: String,
    /// Its value.
    pub value: String,
    /// What its owner says that the value is.
    pub content_type: Option<String>,
    /// What its owner noted.
    pub tags: BTreeMap<String, String>,
    /// Whether it can be read.
    pub enabled: bool,
}

/// Setting up, and what is known of it.
impl KeyVault {
    /// Starts an empty vault with purge protection that takes tokens of `entra`.
    pub fn start(entra: &Entra) -> Self {
        Self::start_with(entra, VaultOptions::default())
    }

    /// As [`start`](Self::start), set up otherwise.
    pub fn start_with(entra: &Entra, options: VaultOptions) -> Self {
        let shared = Arc::new(Shared {
            store: Mutex::new(Store::new(options.purge_protection)),
            options,
            url: OnceLock::new(),
            entra_keys: entra.jwks(),
            authority: entra.authority(),
            assignments: Mutex::default(),
            troubles: Arc::default(),
            log: CallLog::default(),
        });
        let listening = TlsServer::start("Key Vault double", {
            let shared = Arc::clone(&shared);
            move || server::Vault { shared }
        });
        shared.url.get_or_init(|| listening.url());
        let ca_file = scratch::folder("key-vault").join("ca.crt");
        kubeconfig::write_private(&ca_file, format!("{}{}", listening.ca_pem(), entra.ca_pem()).as_bytes());
        Self { shared, listening, ca_file }
    }

    /// `https://127.0.0.1:PORT`
    pub fn url(&self) -> &str {
        self.shared.url()
    }

    /// The CAs of the vault and of its Entra, a PEM file: all that a client of both must trust.
    pub fn ca_file(&self) -> &Path {
        &self.ca_file
    }

    /// Gives a client a role for the whole vault.
    pub fn grant(&self, client_id: &str, role: Role) {
        self.assign(client_id, role, None);
    }

    /// Gives a client a role for one object: `keys/NAME` or `secrets/NAME`.
    pub fn grant_on(&self, client_id: &str, role: Role, object: &str) {
        self.assign(client_id, role, Some(object.to_owned()));
    }

    /// Takes a role back, for the vault and for all in it.
    pub fn revoke(&self, client_id: &str, role: Role) {
        let theirs = |one: &Assignment| one.client_id == client_id && one.role == role;
        locked(&self.shared.assignments).retain(|one| !theirs(one));
    }

    fn assign(&self, client_id: &str, role: Role, scope: Option<String>) {
        let assignment = Assignment { client_id: client_id.to_owned(), role, scope };
        locked(&self.shared.assignments).push(assignment);
    }
}

/// Trouble, and what the vault saw.
impl KeyVault {
    /// From now on troubles the calls that the fault names.
    pub fn inject(&self, fault: CallFault) -> Troubled {
        self.shared.troubles.inject(fault)
    }

    /// Takes all faults back; an [`outage`](Self::outage) goes on.
    pub fn clear(&self) {
        self.shared.troubles.clear();
    }

    /// Cuts all connections and refuses new ones, until it is called with `false`. It has happened on return.
    pub fn outage(&self, down: bool) {
        self.listening.outage(down);
    }

    /// Cuts all connections and shows new ones a certificate of an unknown CA, until it is called with `false`.
    pub fn untrusted(&self, untrusted: bool) {
        self.listening.untrusted(untrusted);
    }

    /// All calls so far, in the order of their arrival.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.log.all()
    }

    /// How many calls with a token there were of an operation, or of all with `*`.
    pub fn count(&self, operation: &str) -> usize {
        let counts = |call: &&Call| !call.challenged && (operation == "*" || call.operation == operation);
        self.calls().iter().filter(counts).count()
    }

    /// Forgets the calls so far.
    pub fn forget_calls(&self) {
        self.shared.log.forget();
    }
}

/// Keys, as their owner sees to them. All panic where the vault would refuse.
impl KeyVault {
    /// Makes a key of 2048 bits, or a new version of it; the version.
    pub fn create_key(&self, name: &str) -> String {
        self.create_key_of(name, 2048)
    }

    /// As [`create_key`](Self::create_key) with 2048, 3072 or 4096 bits.
    pub fn create_key_of(&self, name: &str, bits: u64) -> String {
        let key = RsaKey::generate(bits).unwrap_or_else(|| panic!("no key of {bits} bits"));
        done(self.store().keys.add(name, Version::new(KeyContent::new(key)))).version.clone()
    }

    /// Makes a new version of a key of the same size; the version.
    pub fn rotate_key(&self, name: &str) -> String {
        let bits = done(self.store().keys.version(name, None)).content.key.bits();
        self.create_key_of(name, bits)
    }

    /// `https://VAULT/keys/NAME/VERSION`
    pub fn key_id(&self, name: &str, version: &str) -> String {
        self.shared.writer().id(Kind::Key, name, version)
    }

    /// The public half of a version of a key: SubjectPublicKeyInfo, DER.
    pub fn key_public(&self, name: &str, version: &str) -> Vec<u8> {
        done(self.store().keys.version(name, Some(version))).content.key.public()
    }

    /// The versions of a key, the newest last.
    pub fn key_versions(&self, name: &str) -> Vec<String> {
        done(self.store().keys.versions(name)).iter().map(|version| version.version.clone()).collect()
    }

    /// Enables or disables a version of a key.
    pub fn set_key_enabled(&self, name: &str, version: &str, enabled: bool) {
        done(self.store().keys.version_mut(name, Some(version))).attributes.enabled = enabled;
    }

    /// Sets when a version of a key begins and ends to be valid, in seconds from now.
    pub fn set_key_times(&self, name: &str, version: &str, begin: Option<i64>, end: Option<i64>) {
        let mut store = self.store();
        let attributes = &mut done(store.keys.version_mut(name, Some(version))).attributes;
        let from_now = |seconds: i64| crate::entra::jwt::now() + seconds;
        attributes.not_before = begin.map(from_now);
        attributes.expires = end.map(from_now);
    }

    /// Lets a version of a key do these operations and no other.
    pub fn set_key_operations(&self, name: &str, version: &str, operations: &[&str]) {
        let operations = operations.iter().map(|&operation| operation.to_owned()).collect();
        done(self.store().keys.version_mut(name, Some(version))).content.operations = operations;
    }

    /// Deletes a key; it can be recovered.
    pub fn delete_key(&self, name: &str) {
        done(self.store().keys.delete(name));
    }

    /// Recovers a deleted key.
    pub fn recover_key(&self, name: &str) {
        done(self.store().keys.recover(name));
    }

    /// All that it has unwrapped or decrypted so far: what no other place should hold.
    pub fn unwrapped(&self) -> Vec<Vec<u8>> {
        self.store().unwrapped.clone()
    }

    /// Ends a deleted key for good, as time does: purge protection is not asked.
    pub fn purge_key(&self, name: &str) {
        done(self.store().keys.purge(name));
    }
}

/// Secrets, as their owner sees to them. All panic where the vault would refuse.
impl KeyVault {
    /// Adds a version to a secret; the version.
    pub fn put_secret(&self, name: &str, value: &str) -> String {
        self.put_secret_with(name, value, None, &[])
    }

    /// As [`put_secret`](Self::put_secret), with a content type and tags.
    pub fn put_secret_with(
        &self,
        name: &str,
        value: &str,
        content_type: Option<&str>,
        tags: &[(&str, &str)],
    ) -> String {
        let content =
            SecretContent { value: value.to_owned(), content_type: content_type.map(str::to_owned) };
        let tags = tags.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        let version = Version { tags, ..Version::new(content) };
        done(self.store().secrets.add(name, version)).version.clone()
    }

    /// `https://VAULT/secrets/NAME/VERSION`
    pub fn secret_id(&self, name: &str, version: &str) -> String {
        self.shared.writer().id(Kind::Secret, name, version)
    }

    /// The versions of a secret, the newest last; none if there is no such secret.
    pub fn secret_versions(&self, name: &str) -> Vec<SecretVersion> {
        let store = self.store();
        let versions = store.secrets.versions(name).unwrap_or_default();
        versions
            .iter()
            .map(|version| SecretVersion {
                version: version.version.clone(),
                value: version.content.value.clone(),
                content_type: version.content.content_type.clone(),
                tags: version.tags.clone(),
                enabled: version.attributes.enabled,
            })
            .collect()
    }

    /// The names of all secrets that are not deleted.
    pub fn secret_names(&self) -> Vec<String> {
        self.store().secrets.newest().map(|(name, _)| name.clone()).collect()
    }

    /// Enables or disables a version of a secret.
    pub fn set_secret_enabled(&self, name: &str, version: &str, enabled: bool) {
        done(self.store().secrets.version_mut(name, Some(version))).attributes.enabled = enabled;
    }

    /// Replaces the value of a version in place, which the service never does.
    pub fn falsify_secret(&self, name: &str, version: &str, value: &str) {
        value.clone_into(&mut done(self.store().secrets.version_mut(name, Some(version))).content.value);
    }

    /// Deletes a secret; it can be recovered.
    pub fn delete_secret(&self, name: &str) {
        done(self.store().secrets.delete(name));
    }

    /// Recovers a deleted secret.
    pub fn recover_secret(&self, name: &str) {
        done(self.store().secrets.recover(name));
    }

    /// Ends a deleted secret for good, as time does: purge protection is not asked.
    pub fn purge_secret(&self, name: &str) {
        done(self.store().secrets.purge(name));
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        locked(&self.shared.store)
    }
}

impl Shared {
    fn url(&self) -> &str {
        self.url.get().expect("it is set before anybody knows where to ask")
    }

    fn writer(&self) -> Writer<'_> {
        Writer { url: self.url(), purge_protection: self.options.purge_protection }
    }
}

fn done<T>(outcome: Result<T, Refusal>) -> T {
    outcome.unwrap_or_else(|refusal| panic!("the vault: {}", refusal.message()))
}
