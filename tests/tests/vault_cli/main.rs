//! The command line and a Key Vault: keys that it keeps, backup and restore through it, and what is wrong with it.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod cluster;
mod doctor;
mod keys;

use privyseal_tests::entra::{Entra, TENANT};
use privyseal_tests::key_vault::{KeyVault, RESOURCE, Role, VaultOptions};
use privyseal_tests::objects;
use privyseal_tests::sealing::{privyseal_command, run};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Output;
use tempfile::TempDir;

/// Who is logged in to the Azure CLI.
const PERSON: &str = "aaaaaaaa-0000-0000-0000-000000000001";
/// The controller, and pipelines.
const MACHINE: &str = "bbbbbbbb-0000-0000-0000-000000000002";
const MACHINE_SECRET: &str = "canary-client-secret";
const KEY: &str = "privyseal";
const SECRET: &str = "privyseal-sealing-key";

/// Entra, a vault, and who may do what there.
struct Azure {
    entra: Entra,
    vault: KeyVault,
}

impl Azure {
    /// A vault in which the person and the machine may do everything that the product asks for, with a vault key.
    fn start() -> Self {
        Self::start_with(VaultOptions::default())
    }

    fn start_with(options: VaultOptions) -> Self {
        let entra = Entra::start();
        let vault = KeyVault::start_with(&entra, options);
        for client in [PERSON, MACHINE] {
            entra.registered_with_secret(client, TENANT, MACHINE_SECRET);
        }
        let this = Self { entra, vault };
        this.vault.create_key(KEY);
        this.let_in(&this.vault);
        this
    }

    fn let_in(&self, vault: &KeyVault) {
        for client in [PERSON, MACHINE] {
            vault.grant(client, Role::KeyVaultCryptoServiceEncryptionUser);
            vault.grant(client, Role::KeyVaultSecretsOfficer);
        }
    }

    /// Another vault, where the first one is lost.
    fn second_vault(&self) -> KeyVault {
        let vault = KeyVault::start(&self.entra);
        vault.create_key(KEY);
        self.let_in(&vault);
        vault
    }

    fn flags(&self) -> String {
        flags(&self.vault)
    }
}

fn flags(vault: &KeyVault) -> String {
    format!("--key-vault {} --key-vault-emulator --azure-ca-file {}", vault.url(), vault.ca_file().display())
}

/// Somebody's folder, in which `az` is logged in.
struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new(azure: &Azure) -> Self {
        let this = Self { folder: tempfile::tempdir().unwrap() };
        this.log_in(azure);
        this
    }

    /// From now on `az` gives a token of the person, as the true one does.
    fn log_in(&self, azure: &Azure) {
        let token = azure.entra.token(PERSON, RESOURCE);
        let answer = json!({
            "accessToken": token, "expiresOn": "2099-01-01 00:00:00.000000", "expires_on": 4_070_908_800_i64,
            "subscription": "s", "tenant": TENANT, "tokenType": "Bearer",
        });
        self.write("az.json", &answer.to_string());
        let file = self.file("az.json");
        self.az(&format!(
            "case \"$*\" in\n*'account get-access-token'*'--scope {RESOURCE}/.default'*) cat {} ;;\n*) exit 2 ;;\nesac",
            file.display()
        ));
    }

    /// From now on nobody is.
    fn log_out(&self) {
        // Whatever it says is not passed on.
        self.az("echo \"ERROR: Please run 'az login' to setup account. eyJhbGciOi\" >&2; exit 1");
    }

    fn az(&self, script: &str) {
        std::fs::create_dir_all(self.file("bin")).unwrap();
        self.write("bin/az", &format!("#!/bin/sh\n{script}\n"));
        std::fs::set_permissions(self.file("bin/az"), std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        std::fs::write(self.file(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap()
    }

    /// Runs `privyseal` in the folder; the arguments are separated by blanks.
    fn run(&self, arguments: &str) -> Output {
        self.run_with(arguments, &[])
    }

    fn run_with(&self, arguments: &str, environment: &[(&str, &str)]) -> Output {
        let mut command = privyseal_command();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(self.file("bin")).chain(std::env::split_paths(&path));
        for name in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"] {
            command.env_remove(name);
        }
        for name in ["TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "FEDERATED_TOKEN_FILE", "AUTHORITY_HOST"] {
            command.env_remove(format!("AZURE_{name}"));
        }
        command
            .current_dir(self.folder.path())
            .env("PATH", std::env::join_paths(folders).unwrap())
            .env("PRIVYSEAL_TRUST", self.file("trust.yaml"))
            // Nothing of the command line listens to this, nor lets the SDK speak.
            .env("RUST_LOG", "trace")
            .envs(environment.iter().copied());
        let output = run(command.args(arguments.split_whitespace()), "");
        let said = told(&output);
        // Neither a token nor the client secret, whatever happens. A token's head is always the same.
        assert!(!said.contains("eyJ") && !said.contains(MACHINE_SECRET), "{arguments}: {said}");
        output
    }

    /// What it says on both streams.
    fn does(&self, arguments: &str) -> String {
        let output = self.run(arguments);
        let said = told(&output);
        assert!(output.status.success(), "{arguments}: {said}");
        said
    }

    fn fails(&self, arguments: &str, status: i32) -> String {
        let output = self.run(arguments);
        let said = told(&output);
        assert_eq!(output.status.code(), Some(status), "{arguments}: {said}");
        said
    }

    /// The findings of a doctor, each with its check, level, what and cure.
    fn doctor(&self, arguments: &str) -> (Vec<Finding>, i32) {
        let output = self.run(&format!("doctor {arguments} -o json"));
        let report: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{arguments}: {error}: {}", told(&output)));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let findings = report["findings"].as_array().unwrap().iter().map(|finding| Finding {
            check: text(&finding["check"]),
            level: text(&finding["level"]),
            what: text(&finding["what"]),
            cure: text(&finding["cure"]),
        });
        (findings.collect(), output.status.code().unwrap())
    }

    /// Makes a key: its certificate becomes `NAME.pem`, its Secret `NAME.yaml`. Gives certificate and private half, PEM.
    fn make_key(&self, name: &str) -> (String, String) {
        self.does(&format!(
            "keys generate --size 2048 --name {name} --namespace privyseal --out-file {name}.yaml --cert-out {name}.pem"
        ));
        let secret = objects::documents(&self.read(&format!("{name}.yaml"))).remove(0);
        let item = |item: &str| decoded(&secret["data"][item]);
        (item("tls.crt"), item("tls.key"))
    }

    /// Seals a value to the certificate `NAME.pem`.
    fn seal(&self, name: &str, value: &str, file: &str) {
        let said = self.does(&format!(
            "seal --cert {name}.pem --name db --namespace apps --from-literal password={value} --out-file {file}"
        ));
        assert!(!said.contains(value), "{said}");
    }
}

/// One finding.
#[derive(Clone, Debug)]
struct Finding {
    check: String,
    level: String,
    what: String,
    cure: String,
}

#[track_caller]
fn of<'a>(findings: &'a [Finding], check: &str) -> &'a Finding {
    findings.iter().find(|finding| finding.check == check).unwrap_or_else(|| panic!("{check}: {findings:#?}"))
}

/// Both streams.
fn told(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn decoded(base64: &Value) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(base64.as_str().unwrap()).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn encoded(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}
