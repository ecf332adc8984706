//! Sealing as people do it: with the command line, from a certificate that was fetched.

use crate::{Controller, tools};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// Seals to one certificate.
#[derive(Debug)]
pub struct Sealer {
    certificate: PathBuf,
    _home: tempfile::TempDir,
}

impl Sealer {
    /// To the certificate that a controller serves.
    pub async fn of(controller: &Controller) -> Self {
        Self::to(&controller.http("/v1/cert.pem").await.text())
    }

    /// To this certificate, PEM.
    pub fn to(pem: &str) -> Self {
        let home = tempfile::tempdir().unwrap_or_else(|error| panic!("a temporary folder: {error}"));
        let certificate = home.path().join("cert.pem");
        std::fs::write(&certificate, pem).unwrap_or_else(|error| panic!("cert.pem: {error}"));
        Self { certificate, _home: home }
    }

    /// The certificate's file.
    pub fn certificate(&self) -> &std::path::Path {
        &self.certificate
    }

    /// A Secret with these items to a SealedSecret, with more flags for `privyseal seal`.
    pub fn seal(&self, namespace: &str, name: &str, items: &[(&str, &str)], flags: &[&str]) -> Value {
        let items: serde_json::Map<_, _> =
            items.iter().map(|(item, value)| ((*item).to_owned(), json!(value))).collect();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name, "namespace": namespace}, "stringData": items,
        });
        self.seal_secret(&secret, flags)
    }

    /// A whole Secret to a SealedSecret.
    pub fn seal_secret(&self, secret: &Value, flags: &[&str]) -> Value {
        let certificate = self.certificate.to_string_lossy();
        let mut args = vec!["seal", "--cert", &certificate, "-o", "json"];
        args.extend(flags);
        let output = privyseal(&args, &secret.to_string());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("privyseal seal: {error}"))
    }
}

/// Runs the command line with a home and a kubeconfig of nobody.
pub fn privyseal(args: &[&str], input: &str) -> Output {
    run(privyseal_command().args(args), input)
}

/// The command line, to be run with a home and a kubeconfig of nobody. In `/proc` nobody can make a file: a trust file
/// would make each test remember the clusters of those before it.
pub fn privyseal_command() -> Command {
    let mut command = Command::new(tools::privyseal());
    for name in ["KUBECONFIG", "XDG_CONFIG_HOME", "PRIVYSEAL_TRUST"] {
        command.env_remove(name);
    }
    command.env("HOME", "/proc");
    command
}

/// Runs a command with this standard input.
pub fn run(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    // A command that reads no input closes it early: that is no failure of ours.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input.as_bytes()));
    child.wait_with_output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
