//! The doubles of Key Vault and Entra for a cluster that is there: `cargo xtask demo --custody key-vault-…` starts it.
//!
//! ```text
//! key-vault-double KUBECONFIG NAMESPACE SERVICE_ACCOUNT FOLDER
//! ```
//!
//! Entra trusts the cluster's own issuer and knows two clients: the controller, by a token of the ServiceAccount, and an
//! operator, by a client secret. Both have the least roles. It says `ready` on stdout, and ends with its stdin.
//!
//! | in FOLDER | |
//! |---|---|
//! | `url`, `authority`, `tenant`, `client` | vault, Entra, and who the controller is to them: values of the chart |
//! | `ca.pem` | by which both are known |
//! | `token` | of the ServiceAccount, for Entra: written when that account is there, and again long before it ends |
//! | `operator.env` | for a shell: who the operator is |
//! | `calls` | a line for each call of the vault: who, what, status. Whoever empties it begins to count anew |
//! | `away` | for as long as somebody puts this file there the vault cannot be reached; `state` says when that is so |
#![allow(clippy::print_stdout, reason = "it tells whoever started it that it is ready")]

use privyseal_tests::entra::{ProjectedToken, TENANT};
use privyseal_tests::key_vault::{Call, Role};
use privyseal_tests::vaulted::{CLIENT_ID, KEY, PUBLISHER, SECRET};
use privyseal_tests::{ControlPlane, Entra, KeyVault};
use std::collections::hash_map::RandomState;
use std::error::Error;
use std::fs::File;
use std::hash::BuildHasher as _;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

const OPERATOR: &str = "0e4a70e5-0000-4000-8000-0000000000e5";
/// How often the folder and the vault are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Tokens are valid for an hour.
const TOKEN_AGE: Duration = Duration::from_secs(20 * 60);
/// A call that has no status by then gets none.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kubeconfig, namespace, account, folder] = &arguments[..] else {
        return Err("usage: key-vault-double KUBECONFIG NAMESPACE SERVICE_ACCOUNT FOLDER".into());
    };
    let control_plane = ControlPlane::running(Path::new(kubeconfig));
    let doubles = Doubles::start(&control_plane, namespace, account, folder.into()).await?;
    println!("ready");
    tokio::select! {
        () = end_of_stdin() => Ok(()),
        ended = doubles.serve(&control_plane, namespace, account) => ended,
    }
}

struct Doubles {
    // Dropped, it would end.
    _entra: Entra,
    vault: KeyVault,
    folder: PathBuf,
}

impl Doubles {
    async fn start(
        control_plane: &ControlPlane,
        namespace: &str,
        account: &str,
        folder: PathBuf,
    ) -> Result<Self, Box<dyn Error>> {
        let entra = Entra::start();
        let vault = KeyVault::start(&entra);
        vault.create_key(KEY);
        let issuer = entra.trust_control_plane(control_plane).await;
        entra.registered(CLIENT_ID, TENANT, &issuer, &format!("system:serviceaccount:{namespace}:{account}"));
        // Not a secret of anything but this process.
        let secret =
            format!("{:016x}{:016x}", RandomState::new().hash_one(1), RandomState::new().hash_one(2));
        entra.registered_with_secret(OPERATOR, TENANT, &secret);
        for client in [CLIENT_ID, OPERATOR] {
            vault.grant_on(client, Role::KeyVaultCryptoServiceEncryptionUser, &format!("keys/{KEY}"));
        }
        for name in [SECRET, PUBLISHER] {
            vault.grant_on(CLIENT_ID, Role::KeyVaultSecretsOfficer, &format!("secrets/{name}"));
        }
        vault.grant_on(OPERATOR, Role::KeyVaultSecretsUser, &format!("secrets/{SECRET}"));

        let authority = entra.authority();
        let operator = format!(
            "export AZURE_TENANT_ID={TENANT} AZURE_CLIENT_ID={OPERATOR}\n\
             export AZURE_CLIENT_SECRET={secret} AZURE_AUTHORITY_HOST={authority}\n"
        );
        let ca = std::fs::read_to_string(vault.ca_file())?;
        for (name, text) in [
            ("url", vault.url()),
            ("authority", &authority),
            ("tenant", TENANT),
            ("client", CLIENT_ID),
            ("ca.pem", &ca),
            ("operator.env", &operator),
            ("calls", ""),
            ("state", "there"),
        ] {
            write(&folder.join(name), text)?;
        }
        Ok(Self { _entra: entra, vault, folder })
    }

    /// Never ends by itself.
    async fn serve(
        &self,
        control_plane: &ControlPlane,
        namespace: &str,
        account: &str,
    ) -> Result<(), Box<dyn Error>> {
        let tokens = async {
            let token = ProjectedToken::write(control_plane, namespace, account).await;
            std::os::unix::fs::symlink(token.path(), self.folder.join("token"))?;
            loop {
                sleep(TOKEN_AGE).await;
                token.refresh().await;
            }
        };
        let folder = async {
            let (mut away, mut told) = (false, 0);
            loop {
                let wanted = self.folder.join("away").exists();
                if wanted != away {
                    self.vault.outage(wanted);
                    away = wanted;
                    write(&self.folder.join("state"), if away { "away" } else { "there" })?;
                }
                self.tell_calls(&mut told).await?;
                sleep(LOOK).await;
            }
        };
        tokio::select! { ended = tokens => ended, ended = folder => ended }
    }

    /// Appends the calls since the last time, in the order of their arrival.
    async fn tell_calls(&self, told: &mut usize) -> Result<(), Box<dyn Error>> {
        let waiting = Instant::now();
        while let Some(call) = self.vault.calls().get(*told) {
            if call.status.is_none() && waiting.elapsed() < ANSWER_LIMIT && !self.folder.join("away").exists()
            {
                sleep(LOOK).await;
                continue;
            }
            let mut calls = File::options().append(true).create(true).open(self.folder.join("calls"))?;
            writeln!(calls, "{}", line(call))?;
            *told += 1;
        }
        Ok(())
    }
}

fn line(call: &Call) -> String {
    let who = match call.client_id.as_deref() {
        Some(CLIENT_ID) => "controller",
        Some(OPERATOR) => "operator",
        Some(_) => "somebody",
        None => "(without a token)",
    };
    let status = call.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    format!("{who} {} {} {status}", call.operation, call.name)
}

/// Only for us to read.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// On a thread of its own, since reading stdin cannot be interrupted: the process would wait for a read of its own runtime.
async fn end_of_stdin() {
    let (ended, end) = oneshot::channel::<()>();
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        drop(ended);
    });
    let _ = end.await;
}
