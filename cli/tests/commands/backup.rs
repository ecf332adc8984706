//! Backups without a cluster: what they show, whom they convince, and what they open.

use crate::harness::{CANARY_BASE64, Scene, TestKey, has, key, other_key, secret};
use jiff::Timestamp;
use privyseal_custody::backup::{Backup, BackupRecipients};
use privyseal_custody::key_secrets::publisher_secret;
use privyseal_envelope::age::{Identity, Recipients};
use privyseal_keys::PublisherKey;
use privyseal_manifest::{Secret, read};

/// A folder with `prod.backup`, which holds the test key, and `id.txt`, which opens it.
struct Vault {
    scene: Scene,
    publisher: PublisherKey,
    identity: Identity,
}

impl Vault {
    fn new() -> Self {
        let scene = Scene::new();
        scene.seal(&secret(Some("ns"), Some("db")));
        let this = Self {
            scene,
            publisher: PublisherKey::generate().unwrap(),
            identity: Identity::generate_hybrid().unwrap(),
        };
        this.scene.file("id.txt", this.identity.to_text().as_bytes());
        this.scene.file("wrong.txt", Identity::generate_hybrid().unwrap().to_text().as_bytes());
        let backup = this.backup(&this.publisher, &[(key(), "active")]);
        this.scene.file("prod.backup", backup);
        this
    }

    fn backup(&self, publisher: &PublisherKey, keys: &[(&TestKey, &str)]) -> String {
        let secrets = keys.iter().map(|(key, state)| key_secret(key, state)).collect();
        let backup = Backup::new(publisher_secret(publisher, "privyseal"), secrets).ok().unwrap();
        backup.seal("prod-eu", "privyseal", &self.recipients(), Timestamp::now()).unwrap()
    }

    fn recipients(&self) -> BackupRecipients {
        BackupRecipients::new(Recipients::new([self.identity.recipient()]).unwrap(), false)
    }

    /// As the controller stores one, which knows no name of its cluster.
    fn escrowed(&self) -> String {
        let secrets = vec![key_secret(key(), "active")];
        let backup = Backup::new(publisher_secret(&self.publisher, "privyseal"), secrets).ok().unwrap();
        backup.seal("", "privyseal", &self.recipients(), Timestamp::now()).unwrap()
    }

    fn trust(&self, cluster: &str, publisher: &PublisherKey) {
        let fingerprint = publisher.public_key().fingerprint();
        let text =
            format!("version: 1\nclusters:\n  {cluster}:\n    publisher: {fingerprint}\n    serial: 7\n");
        let folder = self.scene.home().join(".config/privyseal");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("trust.yaml"), text).unwrap();
    }

    fn fingerprint(&self) -> String {
        self.publisher.public_key().fingerprint().to_string()
    }
}

fn key_secret(key: &TestKey, state: &str) -> Secret {
    let yaml = key.secret.replace(": active", &format!(": {state}"));
    read(yaml.as_bytes(), "key").unwrap().remove(0).into_secret().unwrap()
}

#[test]
fn a_backup_and_its_identity_are_a_key() {
    let vault = Vault::new();
    let scene = &vault.scene;
    let opened = scene.run("unseal --key prod.backup --identity id.txt sealed.yaml").succeeds();
    has(&opened.stdout, &["kind: Secret", CANARY_BASE64]);
    let said = format!("prod.backup: backup of prod-eu, signed by publisher {}", vault.fingerprint());
    has(&opened.stderr, &[&said]);
    // Any identity of several, from several files, one of them stdin.
    let identity = vault.identity.to_text();
    let opened = scene
        .run("unseal --key prod.backup --identity wrong.txt --identity - sealed.yaml")
        .stdin(identity.as_bytes());
    has(&opened.succeeds().stdout, &[CANARY_BASE64]);
    let inspected = scene.run("inspect --key prod.backup --identity id.txt sealed.yaml").succeeds();
    has(&inspected.stdout, &[&key().key_id]);
    scene.file("escrowed", vault.escrowed());
    let opened = scene.run("unseal --key escrowed --identity id.txt sealed.yaml").succeeds();
    has(&opened.stderr, &["escrowed: backup, signed by publisher"]);
    let shown = scene.run("keys backup --show escrowed").succeeds().stdout;
    assert!(shown.starts_with("namespace:"), "{shown}");
    // Beside other keys.
    scene.run("unseal --key key.pem --key prod.backup --identity id.txt sealed.yaml").succeeds();
}

#[test]
fn without_the_identity_a_backup_opens_nothing() {
    let vault = Vault::new();
    let scene = &vault.scene;
    let told = scene.run("unseal --key prod.backup sealed.yaml").fails(2);
    has(&told, &["prod.backup: a backup is encrypted", "--identity FILE"]);
    let told = scene.run("unseal --key prod.backup --identity wrong.txt sealed.yaml").fails(1);
    has(&told, &["none of the identities opens it", &vault.identity.recipient().to_string()]);
    let told = scene.run("unseal --key prod.backup --identity key.pem sealed.yaml").fails(2);
    has(&told, &["key.pem: line 1 is not an age identity", "age-keygen"]);
    assert!(!told.contains("BEGIN RSA"), "no line of it is shown");
    scene.file("locked.txt", "-----BEGIN AGE ENCRYPTED FILE-----\n");
    let told = scene.run("unseal --key prod.backup --identity locked.txt sealed.yaml").fails(2);
    has(&told, &["locked.txt: the identities are encrypted", "age --decrypt"]);
    has(&scene.run("unseal --identity id.txt sealed.yaml").fails(2), &["--key <PATH>"]);
    let twice = "unseal --key prod.backup --identity - -";
    has(&scene.run(twice).fails(2), &["stdin cannot be both"]);
}

#[test]
fn one_flipped_bit_is_refused_everywhere() {
    let vault = Vault::new();
    let scene = &vault.scene;
    let good = scene.read("prod.backup").into_bytes();
    let find = |text: &str| {
        good.windows(text.len()).position(|window| window == text.as_bytes()).unwrap() + text.len()
    };
    for (region, place) in [
        ("publisher", find("\"publisher\": \"") + 3),
        ("signature", find("\"signature\": \"") + 3),
        ("contents", find("prod-e")),
        ("archive", find("BEGIN AGE ENCRYPTED FILE-----") + 200),
        ("the end", good.len() - 60),
    ] {
        let mut flipped = good.clone();
        flipped[place] ^= 1;
        scene.file("bad.backup", flipped);
        for command in [
            "keys backup --show bad.backup",
            "unseal --key bad.backup --identity id.txt sealed.yaml",
            "keys restore bad.backup --identity id.txt --check sealed.yaml",
        ] {
            let told = scene.run(command).fails(2);
            assert!(told.contains("bad.backup: "), "{region}: {told}");
        }
    }
    scene.file("junk", vec![b'x'; 1 << 20]);
    has(&scene.run("keys backup --show junk").fails(2), &["junk: not a backup of privyseal"]);
    scene.file("short", &good[..good.len() / 2]);
    has(&scene.run("keys backup --show short").fails(2), &["short: not a backup of privyseal"]);
    let later = String::from_utf8(good).unwrap().replacen("\"version\": 1", "\"version\": 2", 1);
    scene.file("later", later);
    has(&scene.run("keys backup --show later").fails(2), &["version 2 is not known to this release"]);
}

#[test]
fn whoever_has_no_identity_sees_what_is_in_it_and_whose_it_is() {
    let vault = Vault::new();
    let scene = &vault.scene;
    let shown = scene.run("keys backup --show prod.backup").succeeds();
    let key_line = format!("{} active (key-a)", key().fingerprint);
    has(
        &shown.stdout,
        &["prod-eu", &vault.fingerprint(), &vault.identity.recipient().to_string(), &key_line],
    );
    has(&shown.stderr, &["its publisher is not in the trust file: anybody may have signed it"]);
    vault.trust("prod", &vault.publisher);
    let shown = scene.run("keys backup --show prod.backup --for prod").succeeds();
    has(&shown.stdout, &["trusted as clusters.prod"]);
    assert_eq!(shown.stderr, "");
}

#[test]
fn a_strangers_backup_convinces_nobody_who_trusts_the_cluster() {
    let vault = Vault::new();
    let scene = &vault.scene;
    vault.trust("prod", &vault.publisher);
    let stranger = PublisherKey::generate().unwrap();
    scene.file("theirs", vault.backup(&stranger, &[(key(), "active")]));
    for command in [
        "keys backup --show theirs --for prod",
        "keys restore theirs --identity id.txt --for prod --check sealed.yaml",
        // Trust comes before the cluster, and before the identity.
        "keys restore theirs --identity missing.txt --for prod --context nowhere --kubeconfig missing",
    ] {
        has(&scene.run(command).fails(1), &["Somebody may be giving you keys of their own", "clusters.prod"]);
    }
    // A context that nobody has trusted yet vouches for no file.
    let restore = "keys restore theirs --identity id.txt --context new --kubeconfig missing";
    let told = scene.run(restore).fails(1);
    has(&told, &["contexts.new is not in", &stranger.public_key().fingerprint().to_string(), "--yes-trust"]);
    has(&scene.run("keys restore theirs --identity id.txt").fails(2), &["no cluster is named", "--context"]);
}

#[test]
fn a_check_says_what_would_open_and_what_not() {
    let vault = Vault::new();
    let scene = &vault.scene;
    let check = "keys restore prod.backup --identity id.txt --check";
    scene.file("tree/good.yaml", scene.read("sealed.yaml"));
    scene.file("tree/values.yaml", "a: {{ .Values.b }}\n");
    scene.file("tree/notes.txt", "kind: SealedSecret\n");
    let done = scene.run(&format!("{check} tree")).succeeds();
    assert_eq!(done.stdout, "opens: tree/good.yaml:1: document 1: ns/db\n");

    scene.file("other.pem", &other_key().certificate);
    let other = scene.run("seal --cert other.pem").stdin(secret(Some("ns"), Some("other"))).succeeds().stdout;
    scene.file("tree/sub/other.yaml", other);
    let done = scene.run(&format!("{check} tree")).done();
    assert_eq!(done.status, Some(1), "{}", done.stderr);
    has(
        &done.stdout,
        &[
            "opens: tree/good.yaml",
            "does not open: tree/sub/other.yaml:1: document 1: ns/other: items password",
        ],
    );
    has(&done.stderr, &["1 of 2 SealedSecrets do not open"]);
    done.assert_speaks_well();

    // What speaks of SealedSecrets and cannot be read may be one.
    scene.file("tree/sub/other.yaml", "kind: SealedSecret\nspec: {encryptedData: [\n");
    let done = scene.run(&format!("{check} tree")).done();
    assert_eq!(done.status, Some(2), "{}", done.stderr);
    has(&done.stderr, &["tree/sub/other.yaml:"]);
    let told = scene.run(&format!("{check} tree/values.yaml")).fails(2);
    has(&told, &["tree/values.yaml:"]);
    std::fs::create_dir(scene.path("empty")).unwrap();
    has(&scene.run(&format!("{check} empty")).fails(2), &["there is no SealedSecret below the paths given"]);

    scene.file("prod.backup", vault.backup(&vault.publisher, &[(key(), "retired"), (other_key(), "active")]));
    scene.run(&format!("{check} sealed.yaml")).succeeds();
    let done = scene.run(&format!("{check} sealed.yaml --only-active")).done();
    assert_eq!(done.status, Some(1), "{}", done.stderr);
}

#[test]
fn an_identity_that_is_given_as_recipient_is_not_shown() {
    let vault = Vault::new();
    let scene = &vault.scene;
    let identity = vault.identity.to_text();
    let identity = identity.trim();
    scene.file("recipients.txt", format!("# team\n{}\n{identity}\n", vault.identity.recipient()));
    let back_up = "keys backup --context c --kubeconfig missing --out-file new.backup";
    let told = scene.run(&format!("{back_up} --recipients-file recipients.txt")).fails(2);
    has(&told, &["recipients.txt:3: this is an identity, the private half"]);
    assert!(!told.contains(identity));
    has(&scene.run(back_up).fails(2), &["nobody is named who could open the backup", "age-keygen"]);
    has(&scene.run(&format!("{back_up} --recipient age1pq1x")).fails(2), &["not an age recipient"]);
    assert!(!scene.path("new.backup").exists());
}
