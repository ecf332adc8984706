//! `privyseal doctor` and `privyseal verify` over real clusters, healthy and sick.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod health;
mod verify;

use privyseal_tests::sealing::{privyseal_command, run};
use privyseal_tests::{ControlPlane, objects};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Somebody's working copy, with a trust file beside it.
struct Desk {
    scratch: tempfile::TempDir,
    kubeconfig: PathBuf,
    /// The context of the kubeconfig.
    context: String,
    /// The controller's namespace.
    namespace: String,
}

impl Desk {
    fn new(kubeconfig: &Path, namespace: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(scratch.path().join("repository/.git")).unwrap();
        let text = std::fs::read_to_string(kubeconfig).unwrap();
        let context = objects::documents(&text)[0]["current-context"].as_str().unwrap().to_owned();
        Self { scratch, kubeconfig: kubeconfig.to_owned(), context, namespace: namespace.to_owned() }
    }

    fn of_admin(control_plane: &ControlPlane, namespace: &str) -> Self {
        Self::new(control_plane.kubeconfig(), namespace)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join("repository").join(name)
    }

    fn run(&self, args: &str) -> Output {
        let mut command = privyseal_command();
        command
            .args(args.split_whitespace())
            .current_dir(self.file(""))
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PRIVYSEAL_TRUST", self.scratch.path().join("trust.yaml"));
        run(&mut command, "")
    }

    /// With the options that name the cluster.
    fn asks(&self, args: &str) -> Output {
        let Self { context, namespace, .. } = self;
        self.run(&format!("{args} --context {context} --controller-namespace {namespace}"))
    }

    /// Writes the configuration from the cluster, as somebody who compared the fingerprint.
    fn init(&self) {
        let fetched = self.asks("keys fetch");
        let said = told(&fetched);
        assert!(fetched.status.success(), "{said}");
        let publisher = said.split("publisher ").nth(1).unwrap().split_whitespace().next().unwrap();
        let init = self.asks(&format!("init --name it --yes-trust {publisher}"));
        assert!(init.status.success(), "{}", told(&init));
    }

    /// What the doctor found, and the exit status.
    fn doctor(&self, args: &str) -> (Vec<Finding>, i32) {
        let output = self.run(&format!("doctor -o json {args}"));
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", told(&output)));
        let text = |finding: &Value, field: &str| finding[field].as_str().unwrap_or_default().to_owned();
        let findings = report["findings"].as_array().unwrap().iter();
        let findings = findings.map(|finding| Finding {
            check: text(finding, "check"),
            level: text(finding, "level"),
            what: text(finding, "what"),
            cure: text(finding, "cure"),
        });
        (findings.collect(), output.status.code().unwrap())
    }

    fn doctor_of_cluster(&self) -> (Vec<Finding>, i32) {
        self.doctor(&format!("--context {} --controller-namespace {}", self.context, self.namespace))
    }
}

#[derive(Clone, Debug)]
struct Finding {
    check: String,
    level: String,
    what: String,
    cure: String,
}

/// All findings of a check.
fn of<'a>(findings: &'a [Finding], check: &str) -> Vec<&'a Finding> {
    findings.iter().filter(|finding| finding.check == check).collect()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
