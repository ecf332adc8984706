//! The same with a vault: keys made, moved, rotated and waited for, while all that can say something says as much as it may.
//! Beside plaintext and private keys it is looked for what only a vault has: wrapping keys, access tokens, the token that is
//! exchanged for them, the client secret, and what lies in a vault's secret by mistake.

use super::leak;
use super::search::{Canaries, Channels};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use privyseal_tests::entra::{Entra, TENANT};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::key_vault::{CallFault, KeyVault, Trouble};
use privyseal_tests::objects::{self, conditions, sealed_secrets, wait_for_condition, wait_for_secret};
use privyseal_tests::sealing::{Sealer, privyseal};
use privyseal_tests::vaulted::{CLIENT_ID, KEY, PUBLISHER, SECRET, Vaulted};
use privyseal_tests::{ControlPlane, Controller, ControllerOptions};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const VALUE: &str = "CANARY-correct-horse-5d0e91";
const CLIENT_SECRET: &str = "CANARY-client-secret-88c1f0";
const NO_KEY: &str = "CANARY-not-a-key-3b7a42";
/// An object's name, which may be told: it shows that logs and statuses are searched.
const TOLD: &str = "canary-in-the-open";

#[tokio::test]
async fn nothing_leaks_while_a_vault_keeps_keys_in_secrets() {
    for format in ["text", "json"] {
        nothing_leaks("key-vault-secret", format).await;
    }
}

#[tokio::test]
async fn nothing_leaks_while_a_vault_wraps_keys() {
    for format in ["text", "json"] {
        nothing_leaks("key-vault-wrapped", format).await;
    }
}

async fn nothing_leaks(custody: &'static str, format: &'static str) {
    let control_plane = ControlPlane::start();
    let mut run = Run::begin(&control_plane, custody, format).await;
    run.move_in_and_rotate().await;
    run.suffer_faults().await;
    run.use_a_client_secret().await;
    // What is in the cluster while the vault keeps the keys; afterwards they are there, and known.
    let kept = run.in_the_cluster().await;
    run.move_out().await;
    let told = run.told().await;

    let (values, keys) = (Canaries::of(&[VALUE.as_bytes(), NO_KEY.as_bytes()]), run.canaries());
    assert_eq!(keys.find(&kept.keys_data), Vec::<String>::new(), "{custody}, {format}");
    for channels in [&kept.metadata, &told] {
        assert_eq!(keys.find(channels), Vec::<String>::new(), "{custody}, {format}");
        assert_eq!(values.find(channels), Vec::<String>::new(), "{custody}, {format}");
    }
    assert_eq!(values.find(&kept.own_data), Vec::<String>::new(), "{custody}, {format}");
    others_are_quiet(&run.logs, format);

    // The proof that it would have been found: each needle planted in each channel, then leaks on purpose where anybody can
    // make them, and for the rest what may be told.
    for channels in [&kept.keys_data, &kept.metadata, &told] {
        keys.prove(channels);
        values.prove(channels);
    }
    let may_be_told = Canaries::of(&[TOLD.as_bytes(), b"privyseal_key_vault_calls_total"]);
    let found = may_be_told.find(&told).join("\n");
    for channel in ["log", "metrics", "SealedSecrets", "http"] {
        assert!(found.contains(&format!("{channel}: ")), "{channel} is not searched:\n{found}");
    }
    run.leak_on_purpose().await;
    let found = keys.find(&run.told().await).join("\n");
    for channel in ["events", "ConfigMaps", "SealedSecrets"] {
        assert!(
            found.contains(&format!("{channel}: an access token")),
            "{channel} is not searched:\n{found}"
        );
    }
    let leaked = run.in_the_cluster().await;
    let found = keys.find(&leaked.metadata).join("\n");
    assert!(found.contains("metadata of Secrets: a federated token"), "{found}");
    let found = keys.find(&leaked.keys_data).join("\n");
    // They were moved there.
    assert!(found.contains("data of Secrets: a private key"), "{found}");
    assert!(values.find(&leaked.own_data).join("\n").contains("data of Secrets: the value"));
}

/// What Secrets hold, in the namespaces of controller and objects.
struct InTheCluster {
    /// All of them, as they are and decoded.
    keys_data: Channels,
    /// Those of the controller's namespace: an object's Secret is there to hold the value.
    own_data: Channels,
    /// Labels and annotations of all.
    metadata: Channels,
}

/// A release under way. Each controller of it is as loud as it can be made.
struct Run<'a> {
    client: Client,
    vaulted: Vaulted<'a>,
    custody: &'static str,
    format: &'static str,
    controller: Controller,
    namespace: String,
    objects: Vec<Value>,
    /// What controllers before this one said.
    logs: String,
    metrics: String,
    http: String,
    /// Private keys that lay in the cluster, PEM.
    keys: BTreeSet<String>,
    federated: BTreeSet<String>,
}

impl<'a> Run<'a> {
    /// In the cluster: a key, and an object.
    async fn begin(control_plane: &'a ControlPlane, custody: &'static str, format: &'static str) -> Self {
        let entra = Entra::start();
        let vault = KeyVault::start(&entra);
        vault.create_key(KEY);
        let vaulted = Vaulted::with(control_plane, entra, vault, "cluster").await;
        let controller = Controller::start(&vaulted.release, loud(&vaulted, format)).await;
        let namespace = control_plane.namespace("canary").await;
        let mut run = Self {
            client: control_plane.client(),
            vaulted,
            custody,
            format,
            controller,
            namespace,
            objects: Vec::new(),
            logs: String::new(),
            metrics: String::new(),
            http: String::new(),
            keys: BTreeSet::new(),
            federated: BTreeSet::new(),
        };
        run.apply(TOLD).await;
        run.is_right(TOLD).await;
        run.note_keys(1).await;
        run
    }

    async fn move_in_and_rotate(&mut self) {
        self.restart(&[]).await;
        self.controller.wait_until_ready().await;
        let custody = self.custody;
        eventually(PATIENCE, async || {
            let kept = self.items(&["custody.json"]).await;
            // The key that was, the one that follows it, and the publisher key.
            if kept.len() == 3 && kept.iter().all(|item| item.contains(custody)) { Ok(()) } else { Err(kept) }
        })
        .await;
        let control_plane = self.vaulted.release.control_plane();
        let namespace = self.vaulted.release.namespace().to_owned();
        let label = "sealedsecrets.bitnami.com/sealed-secrets-key";
        let all = ["annotate", "secret", "-l", label, "privyseal.dev/rotate=now", "-n", &namespace];
        control_plane.kubectl_ok(&all, "");
        eventually(PATIENCE, async || {
            let kept = self.items(&["custody.json"]).await.len();
            if kept >= 4 { Ok(()) } else { Err(kept) }
        })
        .await;
        if self.custody == "key-vault-wrapped" {
            let new = self.vaulted.vault.rotate_key(KEY);
            eventually(PATIENCE, async || {
                let kept = self.items(&["custody.json"]).await;
                if kept.iter().all(|item| item.contains(&new)) { Ok(()) } else { Err(kept) }
            })
            .await;
        }
        self.restart(&[]).await;
        self.controller.wait_until_ready().await;
        self.apply("after-rotation").await;
        self.is_right("after-rotation").await;
    }

    async fn suffer_faults(&mut self) {
        let (status, throttled) = (Trouble::Status, Trouble::Throttled { retry_after: None });
        for (number, trouble) in [
            status(401),
            status(403),
            status(404),
            throttled,
            status(500),
            Trouble::Garbage,
            Trouble::Huge(100_000),
        ]
        .into_iter()
        .enumerate()
        {
            self.vaulted.vault.inject(CallFault::new("*", trouble));
            self.waits(&format!("vault-{number}"), &[]).await;
            self.vaulted.vault.clear();
            self.heals(&format!("vault-{number}")).await;
        }
        for (number, trouble) in [status(401), status(500), Trouble::Garbage].into_iter().enumerate() {
            self.vaulted.entra.inject(CallFault::new("*", trouble));
            self.waits(&format!("entra-{number}"), &[]).await;
            self.vaulted.entra.clear();
            self.heals(&format!("entra-{number}")).await;
        }
        self.federated.insert(self.vaulted.token.token());
        self.vaulted.token.expire().await;
        self.waits("expired", &[]).await;
        self.federated.insert(self.vaulted.token.token());
        self.vaulted.token.refresh().await;
        self.heals("expired").await;
        if self.custody == "key-vault-secret" {
            // No key, and somebody else's: it is neither quoted nor used.
            let other = privyseal(&["keys", "generate", "--size", "2048", "-n", "any", "-o", "json"], "");
            let other: Value = serde_json::from_slice(&other.stdout).unwrap();
            let other = decoded(&other["data"]["tls.key"]);
            for (name, value) in [("no-key", NO_KEY), ("other-key", &other)] {
                let versions = self.vaulted.vault.secret_versions(SECRET);
                for version in &versions {
                    self.vaulted.vault.falsify_secret(SECRET, &version.version, value);
                }
                self.waits(name, &[]).await;
                for version in &versions {
                    self.vaulted.vault.falsify_secret(SECRET, &version.version, &version.value);
                }
                self.heals(name).await;
            }
            self.keys.insert(other);
        }
    }

    async fn use_a_client_secret(&mut self) {
        let credential = ["--azure-credential=client-secret"];
        self.waits("wrong-secret", &credential).await;
        self.vaulted.entra.registered_with_secret(CLIENT_ID, TENANT, CLIENT_SECRET);
        self.heals("wrong-secret").await;
        self.restart(&credential).await;
        self.controller.wait_until_ready().await;
        self.apply("by-secret").await;
        self.is_right("by-secret").await;
    }

    async fn move_out(&mut self) {
        self.restart(&["--custody=cluster"]).await;
        self.controller.wait_until_ready().await;
        self.note_keys(3).await;
        self.is_right(TOLD).await;
    }

    /// Starts anew, with an object that nobody has opened yet, where that must wait.
    async fn waits(&mut self, name: &str, flags: &[&str]) {
        let sealed = self.sealed(name).await;
        self.restart(flags).await;
        objects::apply(&self.client, None, &sealed).await;
        let api = sealed_secrets(&self.client, &self.namespace);
        eventually(PATIENCE, async || {
            let object = api.get(name).await.unwrap();
            let conditions = conditions(&object);
            // Or the key is left out, with all that it would open.
            let told = |reason: &str| reason.starts_with("KeyVault") || reason == "NotOpened";
            if conditions.iter().any(|condition| told(&condition.reason)) { Ok(()) } else { Err(conditions) }
        })
        .await;
        self.post_all().await;
    }

    async fn heals(&self, name: &str) {
        self.is_right(name).await;
    }

    async fn sealed(&mut self, name: &str) -> Value {
        let sealer = Sealer::of(&self.controller).await;
        let object = sealer.seal(&self.namespace, name, &[("password", VALUE)], &[]);
        self.objects.push(object.clone());
        object
    }

    async fn apply(&mut self, name: &str) {
        let object = self.sealed(name).await;
        objects::apply(&self.client, None, &object).await;
    }

    async fn is_right(&self, name: &str) {
        wait_for_secret(&self.client, &self.namespace, name, &[("password", VALUE.as_bytes())]).await;
        wait_for_condition(&self.client, &self.namespace, name, "Ready", "True").await;
    }

    /// Starts another controller, in the vault's custody unless a flag says otherwise, and does not wait for it.
    async fn restart(&mut self, flags: &[&str]) {
        self.metrics += self.controller.metrics().await.text();
        self.controller.stop();
        self.logs += &self.controller.logs();
        let mut options = loud(&self.vaulted, self.format)
            .arg(&format!("--custody={}", self.custody))
            .env("AZURE_CLIENT_SECRET", CLIENT_SECRET);
        for flag in flags {
            options = options.arg(flag);
        }
        self.controller = Controller::launch(&self.vaulted.release, options).await;
    }

    /// Has all objects verified and resealed, and keeps the answers.
    async fn post_all(&mut self) {
        for path in ["/v1/verify", "/v1/rotate"] {
            for object in &self.objects {
                let body = object.to_string().into_bytes();
                let answer = self.controller.request(http::Method::POST, path, body).await;
                self.http += &format!("{path}: {} {:?} {}\n", answer.status, answer.headers, answer.text());
            }
        }
        for path in ["/healthz", "/readyz", "/v1/cert.pem", "/nothing"] {
            self.http += &format!("{path}: {:?}\n", self.controller.http(path).await);
        }
    }

    /// These items of the key Secrets and of the publisher key's, where they are not empty.
    async fn items(&self, names: &[&str]) -> Vec<String> {
        let secrets = self.secrets(self.vaulted.release.namespace()).await;
        let data = secrets.into_iter().flat_map(|secret| secret.data.unwrap_or_default());
        let wanted = data.filter(|(name, value)| names.contains(&name.as_str()) && !value.0.is_empty());
        wanted.map(|(_, value)| String::from_utf8(value.0).unwrap()).collect()
    }

    /// Notes the private keys in the cluster, when there are at least so many sealing keys and the publisher key.
    async fn note_keys(&mut self, sealing: usize) {
        let found = eventually(PATIENCE, async || {
            let (keys, publisher) = (self.items(&["tls.key"]).await, self.items(&["publisher.key"]).await);
            let kept = self.items(&["custody.json"]).await.len();
            if keys.len() >= sealing && publisher.len() == 1 && kept == 0 {
                return Ok([keys, publisher].concat());
            }
            Err((keys.len(), publisher.len(), kept))
        })
        .await;
        self.keys.extend(found);
    }

    /// All keys, tokens and secrets that there ever were.
    fn canaries(&self) -> Canaries {
        let mut canaries = Canaries::of(&[]);
        let vault = &self.vaulted.vault;
        let stored = [SECRET, PUBLISHER].into_iter().flat_map(|name| vault.secret_versions(name));
        let stored = stored.filter_map(|version| {
            let begin = version.value.find("-----BEGIN PRIVATE KEY")?;
            let key = &version.value[begin..];
            let end = key.find("-----END PRIVATE KEY-----\n")?;
            Some(format!("{}-----END PRIVATE KEY-----\n", &key[..end]))
        });
        let keys: BTreeSet<String> = stored.chain(self.keys.iter().cloned()).collect();
        assert!(keys.len() >= 4, "two or more sealing keys and a publisher key, some in two forms");
        for key in &keys {
            canaries.add_private_key(key.as_bytes());
        }
        let unwrapped: BTreeSet<_> = vault.unwrapped().into_iter().collect();
        assert_eq!(unwrapped.is_empty(), self.custody == "key-vault-secret");
        for key in unwrapped {
            canaries.add(&key, "a wrapping key");
        }
        let issued: BTreeSet<_> = self.vaulted.entra.issued().into_iter().collect();
        assert!(issued.len() > 3, "{}", issued.len());
        for token in issued {
            canaries.add_token(&token, "an access token");
        }
        assert!(self.federated.len() >= 2);
        for token in self.federated.iter().cloned().chain([self.vaulted.token.token()]) {
            canaries.add_token(&token, "a federated token");
        }
        canaries.add(CLIENT_SECRET.as_bytes(), "the client secret");
        canaries
    }

    async fn secrets(&self, namespace: &str) -> Vec<Secret> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        api.list(&ListParams::default()).await.unwrap().items
    }

    async fn in_the_cluster(&self) -> InTheCluster {
        let (mut keys_data, mut own_data, mut metadata) =
            (Channels::default(), Channels::default(), Channels::default());
        for namespace in [self.vaulted.release.namespace(), &self.namespace] {
            for secret in self.secrets(namespace).await {
                let data = secret.data.unwrap_or_default();
                let decoded = data.values().map(|value| String::from_utf8_lossy(&value.0).into_owned());
                let all = format!("{}\n{}", json!(data), decoded.collect::<Vec<_>>().join("\n"));
                metadata.add("metadata of Secrets", json!(secret.metadata).to_string());
                keys_data.add("data of Secrets", all.clone());
                if namespace == self.vaulted.release.namespace() {
                    own_data.add("data of Secrets", all);
                }
            }
        }
        assert!(keys_data.len() > 6, "{}", keys_data.len());
        InTheCluster { keys_data, own_data, metadata }
    }

    /// All that somebody without a right to Secrets may come to read.
    async fn told(&mut self) -> Channels {
        self.post_all().await;
        let mut channels = Channels::default();
        self.logs += &self.controller.logs();
        self.metrics += self.controller.metrics().await.text();
        channels.add("log", self.logs.clone());
        channels.add("metrics", self.metrics.clone());
        channels.add("http", self.http.clone());
        for place in [self.vaulted.release.namespace(), &self.namespace] {
            let (client, params) = (&self.client, ListParams::default());
            let events = Api::<Event>::namespaced(client.clone(), place).list(&params).await.unwrap();
            let maps = Api::<ConfigMap>::namespaced(client.clone(), place).list(&params).await.unwrap();
            let sealed = sealed_secrets(client, place).list(&params).await.unwrap();
            channels.add("events", json!(events.items).to_string());
            channels.add("ConfigMaps", json!(maps.items).to_string());
            channels.add("SealedSecrets", json!(sealed.items).to_string());
        }
        channels
    }

    async fn leak_on_purpose(&self) {
        let token = self.vaulted.entra.issued().pop().unwrap();
        leak(&self.client, &self.namespace, TOLD, &token).await;
        let secret = json!({
            "metadata": {"name": "leak", "annotations": {"leak": self.vaulted.token.token()}},
            "stringData": {"leak": VALUE},
        });
        let api: Api<Secret> = Api::namespaced(self.client.clone(), self.vaulted.release.namespace());
        api.create(&PostParams::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    }
}

/// As loud as it goes, and louder than it listens to.
fn loud(vaulted: &Vaulted<'_>, format: &str) -> ControllerOptions {
    vaulted
        .options()
        .arg("--log-level=debug")
        .arg(&format!("--log-format={format}"))
        .env("RUST_LOG", "trace")
        .env("RUST_BACKTRACE", "full")
}

fn decoded(value: &Value) -> String {
    String::from_utf8(STANDARD.decode(value.as_str().unwrap()).unwrap()).unwrap()
}

/// Below WARN nobody speaks but us, whatever RUST_LOG says.
fn others_are_quiet(logs: &str, format: &str) {
    let mut ours = 0;
    for line in logs.lines() {
        let (level, target) = if format == "json" {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
            (text("level"), text("target"))
        } else {
            let mut words = line.split_whitespace().skip(1).map(str::to_owned);
            (words.next().unwrap_or_default(), words.next().unwrap_or_default())
        };
        match level.as_str() {
            "INFO" | "DEBUG" | "TRACE" => {
                assert!(target.starts_with("privyseal"), "{line}");
                ours += 1;
            }
            "WARN" | "ERROR" => {}
            _ => panic!("no line of a log: {line}"),
        }
    }
    assert!(ours > 10, "{ours} lines");
}
