//! Recipients of the configuration, which a pull request can change: for each command that seals.

use super::repository::{Repository, identity, ids, named, vault_key};
use crate::harness::{has, key, secret};
use privyseal_envelope::age::{Kind, Recipient};

/// The commands that seal, in a folder.
fn commands(folder: &str) -> [String; 4] {
    [
        format!("seal {folder}/secret.yaml"),
        format!("set {folder}/sealed.yaml password --from-file glass.txt"),
        format!("edit {folder}/sealed.yaml --key keys.pem"),
        format!("reseal {folder} --key keys.pem"),
    ]
}

impl Repository {
    fn prepare(&self, folder: &str, to: &str) -> String {
        self.scene.file(&format!("{folder}/secret.yaml"), secret(Some("ns"), Some("db")));
        self.scene.file("keys.pem", &key().private_half);
        self.scene.file("editor.sh", "sed -i 's/canary/changed/' \"$1\"\n");
        self.seal(&format!("{folder}/sealed.yaml"), to)
    }

    /// Each command refuses, changes nothing and pins nothing.
    #[track_caller]
    fn each_refuses(&self, folder: &str, to: &str, status: i32, more: &str, told: &[&str]) {
        let sealed = self.prepare(folder, to);
        let trusted = self.trusted();
        for command in commands(folder) {
            let run = self.run(&format!("{command} {more}")).env("EDITOR", "sh editor.sh");
            has(&run.fails(status), told);
            assert_eq!(self.scene.read(&format!("{folder}/sealed.yaml")), sealed, "{command}");
            assert_eq!(self.trusted(), trusted, "{command}");
        }
    }
}

fn a_and(recipient: &Recipient) -> String {
    format!("--recipient {} --recipient {recipient}", key().hybrid)
}

#[test]
fn the_first_use_of_a_recipient_needs_somebody_who_decides() {
    let repository = Repository::strange();
    repository.trust([]);
    let fingerprint = repository.glass.fingerprint();
    let file = repository.scene.path(".privyseal.yaml");
    let told = [
        &format!("{}: recipients.glass is not in ", file.canonicalize().unwrap().display())[..],
        &format!("It has recipient {fingerprint}"),
        &format!("with somebody who knows whose key it is, then add `--yes-trust {fingerprint}`"),
    ];
    let to = a_and(&repository.glass);
    repository.each_refuses("all", &to, 1, "", &told);
    let other = key().hybrid.fingerprint();
    repository.each_refuses("all", &to, 1, &format!("--yes-trust {other}"), &told);

    for command in commands("all") {
        repository.trust([]);
        repository.prepare("all", "--for a --for b --recipient glass.pub");
        let run = |more: &str| {
            let run = repository.run(&format!("{command} {more}")).env("EDITOR", "sh editor.sh");
            run.succeeds()
        };
        has(&run(&format!("--yes-trust {fingerprint}")).stderr, &["recipients.glass is pinned in"]);
        has(&repository.trusted(), &["recipients:", "glass:", &format!("recipient: {fingerprint}")]);
        repository.prepare("all", "--for a --for b --recipient glass.pub");
        run("");
    }
}

#[test]
fn attack_another_recipient_under_a_known_name() {
    let repository = Repository::new();
    let (_, mallory) = identity(Kind::Hybrid);
    let to = a_and(&repository.glass);
    let text = repository.scene.read(".privyseal.yaml");
    repository
        .scene
        .file(".privyseal.yaml", text.replace(&repository.glass.to_string(), &mallory.to_string()));
    let was = repository.glass.fingerprint();
    let is = mallory.fingerprint();
    let told = [&format!("recipients.glass has recipient {is}, but recipient {was} is trusted")[..]];
    repository.each_refuses("all", &to, 1, "", &told);
    // Nobody can say yes to that.
    repository.each_refuses("all", &to, 1, &format!("--yes-trust {is}"), &told);
    for more in ["--add-recipient glass", "--drop-recipient glass"] {
        let run = repository.run(&format!("reseal one --key keys.pem {more}"));
        has(&run.fails(1), &told);
    }
}

#[test]
fn attack_another_public_key_in_the_file() {
    let repository = Repository::new();
    let [(pem, vault), (other, mallory)] = [vault_key(), vault_key()];
    repository.scene.file("vault.pem", &pem);
    repository.add_recipient("hsm", "publicKey: vault.pem");
    repository.trust([("glass", &repository.glass), ("hsm", &vault)]);
    repository.scene.file("hsm/secret.yaml", secret(Some("ns"), Some("db")));
    repository.run("seal hsm/secret.yaml").succeeds();
    repository.scene.file("outside.pem", &pem);
    repository.scene.file("vault.pem", other);
    let told = [&format!("recipients.hsm has recipient {}", mallory.fingerprint())[..], "is trusted"];
    let to = format!("--recipient {} --recipient outside.pem", key().x25519);
    repository.each_refuses("hsm", &to, 1, "", &told);
    // What is no such key, and a file that is not there.
    repository.scene.file("vault.pem", &key().certificate);
    repository.each_refuses("hsm", &to, 2, "", &["vault.pem: no PEM block PUBLIC KEY"]);
    std::fs::remove_file(repository.scene.path("vault.pem")).unwrap();
    repository.each_refuses("hsm", &to, 2, "", &["vault.pem: "]);
}

#[test]
fn attack_a_cluster_and_a_recipient_exchange_their_names() {
    let repository = Repository::new();
    let to = a_and(&repository.glass);
    let (_, mallory) = identity(Kind::Hybrid);
    // Cluster b becomes a recipient of that name, and the recipient a cluster.
    repository.config(|text| {
        text.replace("  b: {keys: b.keys}\n", "")
            .replace("recipients:\n", &format!("recipients:\n  b: {{age: {mallory}}}\n"))
    });
    repository.each_refuses("all", &to, 1, "", &["recipients.b is not in "]);
    let line = format!("  glass: {{age: {}}}\n", repository.glass);
    repository.config(|text| {
        text.replace(&line, "  x: {age: age1}\n").replace("  b: {", "  glass: {keys: b.keys}\n  b: {")
    });
    repository.each_refuses("all", &to, 2, "", &["recipients.x.age: not an age recipient"]);
    repository.config(|text| {
        text.replace(&format!("recipients:\n{line}"), "").replace("  b: {", "  glass: {keys: b.keys}\n  b: {")
    });
    repository.each_refuses("all", &to, 1, "", &["clusters.glass is not in "]);
    // Both of one name are none.
    repository.config(|text| text.replace("  b: {", "  glass: {keys: b.keys}\n  b: {"));
    repository.each_refuses("all", &to, 2, "", &["recipients.glass: a cluster has that name"]);
}

#[test]
fn attack_a_rule_with_one_more_recipient() {
    let repository = Repository::new();
    let (_, mallory) = identity(Kind::Hybrid);
    repository.add_recipient("mallory", &format!("age: {mallory}"));
    repository.each_refuses("mallory", "--for a --format age", 1, "", &["recipients.mallory is not in "]);
    // One who is trusted comes in where values are sealed, which is told, and not where they are resealed.
    repository.config(|text| text.replace("'aged/**', for: [a]", "'aged/**', for: [a, glass]"));
    let sealed = repository.prepare("aged", "--for a --format age");
    let done = repository.run("seal aged/secret.yaml").succeeds();
    has(&done.stderr, &["sealing for glass (rule 2, aged/**"]);
    has(
        &repository.run("reseal aged --key keys.pem").fails(1),
        &["glass (rule 2, aged/**", "is not among its recipients"],
    );
    assert_eq!(repository.scene.read("aged/sealed.yaml"), sealed);
}

#[test]
fn attack_a_list_whose_recipients_were_changed() {
    let repository = Repository::new();
    let (_, mallory) = identity(Kind::Hybrid);
    let text = repository.scene.read("a.keys");
    repository.scene.file("a.keys", text.replace(&key().hybrid.to_string(), &mallory.to_string()));
    assert_ne!(repository.scene.read("a.keys"), text);
    repository.scene.file("x.pem", &key().public_half);
    let told = ["a.keys: ", "the publisher's signature does not fit"];
    repository.each_refuses("aged", "--cert x.pem --format age", 2, "", &told);
}

/// What is pinned is the certificate: recipients beside it could be anybody's.
#[test]
fn attack_recipients_beside_a_pinned_certificate() {
    let repository = Repository::new();
    let (_, mallory) = identity(Kind::Hybrid);
    repository.scene.file("bare.pem", format!("{}{mallory}\n", key().certificate));
    repository.scene.file("x.pem", &key().public_half);
    repository.config(|text| text.replace("a: {keys: a.keys}", "a: {certificate: bare.pem}"));
    let trust = format!(
        "version: 1\nclusters: {{a: {{certificate: \"{}\"}}}}\nrecipients: {{glass: {{recipient: \"{}\"}}}}\n",
        key().fingerprint,
        repository.glass.fingerprint()
    );
    std::fs::write(repository.scene.home().join(super::repository::TRUST), trust).unwrap();
    repository.scene.file("one/secret.yaml", secret(Some("ns"), Some("db")));
    has(&repository.run("seal one/secret.yaml").succeeds().stdout, &["sealed-with"]);
    let sealed = repository.prepare("aged", "--cert x.pem --format age");
    for command in &commands("aged")[..3] {
        let run = repository.run(command).env("EDITOR", "sh editor.sh");
        has(&run.fails(2), &["bare.pem: it names no age recipients", "a certificate is pinned alone"]);
    }
    let told = ["a bare certificate does not say which keys the cluster had before"];
    has(&repository.run("reseal aged --key keys.pem").fails(1), &told);
    assert_eq!(repository.scene.read("aged/sealed.yaml"), sealed);
    // Whoever names the file on the command line trusts all of it.
    let run = repository.run("seal aged/secret.yaml --cert bare.pem --format age").succeeds();
    let value =
        run.stdout.lines().find_map(|line| line.trim().strip_prefix("password: ")).unwrap().to_owned();
    let value = privyseal_envelope::SealedValue::from_base64(&value).unwrap();
    assert_eq!(named(&value), ids([&mallory]));
}

#[test]
fn attack_a_trust_file_in_the_repository() {
    let repository = Repository::new();
    repository.config(|text| text.replace("'all/**', for: [a, b, glass]", "'all/**', for: [glass]"));
    repository.scene.file("inside.yaml", repository.trusted());
    let trust = format!("--trust {}", repository.scene.path("inside.yaml").display());
    let told = ["the trust file lies in the repository"];
    repository.prepare("all", "--recipient glass.pub");
    repository.scene.file("keys.pem", repository.scene.read("glass.txt"));
    for command in commands("all") {
        let run = repository.run(&format!("{command} {trust}")).env("EDITOR", "sh editor.sh");
        has(&run.fails(2), &told);
    }
}
