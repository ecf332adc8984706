//! The vault of the story, where one keeps its keys: a program of the tests with doubles of Key Vault and Entra.
//!
//! All that passes between it and us lies in a folder beside the story's files, so that what the story does with the
//! vault is a command that can be shown: `tests/examples/key-vault-double.rs` says what is there.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::cluster::end;
use super::story::Story;
use super::{Custody, programs};
use crate::generate::{NAMESPACE, RELEASE};
use crate::workspace::Workspace;

/// The program.
pub(super) const DOUBLE: &str = "key-vault-double";
/// Its folder, as the story's commands call it.
const FOLDER: &str = "vault";

/// A vault that runs.
pub(super) struct Vault {
    child: Child,
    /// Kept open: a program that writes into a closed pipe dies of it.
    _stdout: BufReader<ChildStdout>,
    folder: PathBuf,
    custody: Custody,
}

impl Vault {
    /// Starts it for the cluster of this kubeconfig. It waits for the ServiceAccount, whose name is the release's.
    pub(super) fn start(
        workspace: &Workspace,
        story: &Story,
        kubeconfig: &Path,
        custody: Custody,
    ) -> Result<Self> {
        let folder = story.work().join(FOLDER);
        fs::create_dir(&folder)?;
        let mut child = Command::new(programs(workspace).join("examples").join(DOUBLE))
            .arg(kubeconfig)
            .args([NAMESPACE, RELEASE])
            .arg(&folder)
            // It ends with its stdin, and so also when we are killed.
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the vault's double")?;
        let mut stdout = BufReader::new(child.stdout.take().context("its stdout is piped")?);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        if line.trim_end() != "ready" {
            bail!("the vault's double did not start: {}", child.wait()?);
        }
        Ok(Self { child, _stdout: stdout, folder, custody })
    }

    /// What the chart is told of it, as more of a `helm` command.
    pub(super) fn values(&self) -> String {
        let custody = self.custody.name();
        // New versions are looked for every five minutes, otherwise: nobody wants to wait so long for the story's end.
        format!(
            " --set custody={custody} --set keyVault.url=$(cat {FOLDER}/url) --set keyVault.pollInterval=2s \
             --set azure.tenantId=$(cat {FOLDER}/tenant) --set azure.clientId=$(cat {FOLDER}/client) \
             --set azure.authorityHost=$(cat {FOLDER}/authority)"
        )
    }

    /// How somebody with the operator's role names it to the command line.
    pub(super) fn options(&self) -> String {
        format!(
            "--key-vault $(cat {FOLDER}/url) --key-vault-emulator --azure-ca-file {FOLDER}/ca.pem \
             --azure-credential client-secret"
        )
    }

    /// What a controller does once for each key when it starts, as the vault calls it.
    pub(super) fn fetching(&self) -> &'static str {
        match self.custody {
            Custody::KeyVaultWrapped => "unwrapKey",
            _ => "getSecret",
        }
    }

    pub(super) fn custody(&self) -> Custody {
        self.custody
    }

    /// Waits until the vault can be reached, or cannot.
    pub(super) fn is(&self, story: &Story, state: &str) -> Result<()> {
        story.backstage_until(&format!("cat {FOLDER}/state"), |now| now == state)
    }

    /// Gives a controller the flags and the environment that the chart's Deployment has for a vault. A pod has its token
    /// from the kubelet, and the roots that all know.
    pub(super) fn configure(&self, story: &Story, deployment: &Value, command: &mut Command) -> Result<()> {
        let pod = &deployment["spec"]["template"]["spec"];
        let account = pod["serviceAccountName"].as_str().unwrap_or_default();
        if account != RELEASE {
            bail!("the vault's double waits for ServiceAccount {RELEASE}, and the chart's is {account}");
        }
        let container = &pod["containers"][0];
        let flags = container["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let of_vaults = ["--custody=", "--key-vault-", "--azure-"];
        command.args(flags.filter(|flag| of_vaults.iter().any(|start| flag.starts_with(start))));
        let variables = container["env"].as_array().into_iter().flatten();
        for (name, value) in
            variables.filter_map(|variable| Some((variable["name"].as_str()?, variable["value"].as_str()?)))
        {
            command.env(name, value);
        }
        let token = self.folder.join("token");
        story.backstage_until(&format!("cat {FOLDER}/token"), |token| !token.is_empty())?;
        command.arg("--key-vault-emulator").arg("--azure-ca-file").arg(self.folder.join("ca.pem"));
        command.env("AZURE_FEDERATED_TOKEN_FILE", token);
        Ok(())
    }
}

impl Drop for Vault {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        end(&mut self.child);
    }
}
