//! A repository of two clusters, each with an older and a newer key, and a key in a safe; and what its values say.

use crate::harness::{Run, Scene, TestKey, key, other_key, secret};
use jiff::Timestamp;
use privyseal_envelope::SealedValue;
use privyseal_envelope::age::{File, Identity, Kind, Recipient};
use privyseal_envelope::rsa::{KeySize, OpeningKey};
use privyseal_keys::{PublicHalf, PublishedKeys, PublisherKey};
use privyseal_manifest::SealedSecret;
use privyseal_repo::{KeyFile, Pin, Subject, Trust};
use std::sync::OnceLock;

/// Cluster `a` seals with [`key()`], and did with [`other_key()`] before.
pub(crate) fn old_a() -> &'static TestKey {
    other_key()
}

/// Cluster `b` seals with this.
pub(crate) fn new_b() -> &'static TestKey {
    static KEY: OnceLock<TestKey> = OnceLock::new();
    KEY.get_or_init(|| TestKey::generate(Timestamp::now(), "new-b"))
}

/// And did with this before.
pub(crate) fn old_b() -> &'static TestKey {
    static KEY: OnceLock<TestKey> = OnceLock::new();
    KEY.get_or_init(|| TestKey::generate(Timestamp::now(), "old-b"))
}

/// Half an identity: the text of a file that opens, and its recipient.
pub(crate) fn identity(kind: Kind) -> (String, Recipient) {
    let identity = match kind {
        Kind::Hybrid => Identity::generate_hybrid().unwrap(),
        _ => Identity::generate_x25519(),
    };
    (identity.to_text().to_string(), identity.recipient())
}

/// The public half of a Key Vault key, as a vault gives it.
pub(crate) fn vault_key() -> (String, Recipient) {
    let key = OpeningKey::generate(KeySize::Rsa2048).unwrap().sealing_key().clone();
    let body = serde_json::to_value(k8s_openapi::ByteString(key.spki_der().to_vec())).unwrap();
    let body = body.as_str().unwrap();
    (format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"), Recipient::KeyVault(key))
}

/// See [`CONFIG`].
pub(crate) struct Repository {
    pub(crate) scene: Scene,
    pub(crate) a: PublisherKey,
    pub(crate) b: PublisherKey,
    /// The recipient of the key in the safe, `glass`, whose identity is in `glass.txt`.
    pub(crate) glass: Recipient,
}

pub(crate) const TRUST: &str = ".config/privyseal/trust.yaml";

const CONFIG: &str = "\
version: 1
clusters:
  a: {keys: a.keys}
  b: {keys: b.keys}
recipients:
  glass: {age: GLASS}
rules:
  - {path: 'one/**', for: [a]}
  - {path: 'aged/**', for: [a], format: age}
  - {path: 'two/**', for: [a, b]}
  - {path: 'all/**', for: [a, b, glass]}
";

impl Repository {
    /// One in which nobody has trusted anything yet.
    pub(crate) fn strange() -> Self {
        let scene = Scene::new();
        std::fs::create_dir(scene.path(".git")).unwrap();
        let [a, b] = [0, 1].map(|_| PublisherKey::generate().unwrap());
        let (text, glass) = identity(Kind::Hybrid);
        scene.file("glass.txt", text);
        scene.file("glass.pub", glass.to_string());
        let this = Self { scene, a, b, glass };
        this.keys("a.keys", &this.a, &[key(), old_a()], &[]);
        this.keys("b.keys", &this.b, &[new_b(), old_b()], &[]);
        this.config(|text| text);
        for (name, key) in [("a", key()), ("old-a", old_a()), ("b", new_b()), ("old-b", old_b())] {
            this.scene.file(&format!("{name}.key"), &key.private_half);
            this.scene.file(&format!("{name}.pem"), &key.public_half);
        }
        this
    }

    /// One whose clusters and recipients are all trusted.
    pub(crate) fn new() -> Self {
        let this = Self::strange();
        this.trust([("glass", &this.glass)]);
        this
    }

    pub(crate) fn config(&self, change: impl FnOnce(String) -> String) {
        let text = CONFIG.replace("GLASS", &self.glass.to_string());
        self.scene.file(".privyseal.yaml", change(text));
    }

    /// Adds a recipient to the configuration, and a rule for its folder, for it and cluster `a`.
    pub(crate) fn add_recipient(&self, name: &str, source: &str) {
        self.config(|text| {
            let text = text.replace("rules:\n", &format!("  {name}: {{{source}}}\nrules:\n"));
            format!("{text}  - {{path: '{name}/**', for: [a, {name}]}}\n")
        });
    }

    pub(crate) fn keys(
        &self,
        file: &str,
        publisher: &PublisherKey,
        keys: &[&TestKey],
        revoked: &[&Recipient],
    ) {
        self.list(file, publisher, keys.iter().map(|key| key.public_half.clone()).collect(), revoked);
    }

    /// A list of keys, newest first, each as the text of its public half.
    pub(crate) fn list(
        &self,
        file: &str,
        publisher: &PublisherKey,
        keys: Vec<String>,
        revoked: &[&Recipient],
    ) {
        let keys = keys.iter().map(|text| PublicHalf::from_text(text.as_bytes()).unwrap()).collect();
        let revoked = revoked.iter().map(|recipient| recipient.fingerprint()).collect();
        let list = PublishedKeys { serial: 7, time: Timestamp::now(), keys, revoked };
        self.scene.file(file, KeyFile(list.publish(publisher)).to_text());
    }

    /// Writes a trust file with both clusters and these recipients.
    pub(crate) fn trust<const N: usize>(&self, recipients: [(&str, &Recipient); N]) {
        let mut trust = Trust::default();
        for (name, publisher) in [("a", &self.a), ("b", &self.b)] {
            let fingerprint = publisher.public_key().fingerprint();
            trust.pin(Subject::Cluster(name.to_owned()), Pin::Publisher { fingerprint, serial: 7 });
        }
        for (name, recipient) in recipients {
            let pin = Pin::Recipient { fingerprint: recipient.fingerprint() };
            trust.pin(Subject::Recipient(name.to_owned()), pin);
        }
        let file = self.scene.home().join(TRUST);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, trust.to_text()).unwrap();
    }

    pub(crate) fn trusted(&self) -> String {
        std::fs::read_to_string(self.scene.home().join(TRUST)).unwrap_or_default()
    }

    pub(crate) fn run(&self, arguments: &str) -> Run {
        self.scene.run(arguments)
    }

    /// Seals the Secret of all tests into a file.
    pub(crate) fn seal(&self, file: &str, arguments: &str) -> String {
        let run = self.run(&format!("seal {arguments}")).stdin(secret(Some("ns"), Some("db")));
        let sealed = run.succeeds().stdout;
        self.scene.file(file, &sealed);
        sealed
    }

    /// Whether a key file opens it.
    #[track_caller]
    pub(crate) fn opens(&self, file: &str, key: &str) -> bool {
        let done = self.run(&format!("unseal --key {key} {file}")).done();
        assert!(matches!(done.status, Some(0 | 1)), "{}", done.stderr);
        done.status == Some(0)
    }

    /// The values of a file.
    pub(crate) fn object(&self, file: &str) -> SealedSecret {
        let text = self.scene.read(file);
        privyseal_manifest::read(text.as_bytes(), file).unwrap().remove(0).into_sealed_secret().unwrap()
    }

    pub(crate) fn value(&self, file: &str, item: &str) -> SealedValue {
        SealedValue::from_base64(&self.object(file).spec.encrypted_data[item]).unwrap()
    }

    /// Whom the value of `password` names, in order.
    pub(crate) fn named(&self, file: &str) -> Vec<String> {
        named(&self.value(file, "password"))
    }
}

/// Whom a value names, in order: `-` for one that it does not name.
pub(crate) fn named(value: &SealedValue) -> Vec<String> {
    let file = File::parse(value).unwrap();
    file.recipients()
        .map(|place| place.claimed.map_or_else(|| "-".to_owned(), |key| key.to_string()))
        .collect()
}

/// As [`named`] has them.
pub(crate) fn ids<const N: usize>(recipients: [&Recipient; N]) -> Vec<String> {
    recipients.map(|recipient| recipient.fingerprint().key_id().to_string()).to_vec()
}
