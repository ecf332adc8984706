//! `.privyseal.yaml` and the trust file: what a repository can ask for, and what it cannot.

use crate::harness::{Scene, TestKey, has, key, other_key, secret};
use jiff::Timestamp;
use privyseal_envelope::Fingerprint;
use privyseal_keys::{Certificate, PublishedKeys, PublisherKey};
use privyseal_repo::KeyFile;

const TRUST: &str = ".config/privyseal/trust.yaml";

/// A repository with the clusters `prod` and `dev`, each with a key file, and a rule for the folder of each.
struct Repository {
    scene: Scene,
    prod: PublisherKey,
    dev: PublisherKey,
}

impl Repository {
    fn new() -> Self {
        let scene = Scene::new();
        std::fs::create_dir(scene.path(".git")).unwrap();
        let [prod, dev] = [0, 1].map(|_| PublisherKey::generate().unwrap());
        let this = Self { scene, prod, dev };
        this.keys("prod.keys", &this.prod, 7, key());
        this.keys("dev.keys", &this.dev, 3, other_key());
        this.config(CONFIG);
        this.scene.file("prod/secret.yaml", secret(Some("ns"), Some("db")));
        this.scene.file("dev/secret.yaml", secret(Some("ns"), Some("db")));
        this
    }

    fn config(&self, text: &str) {
        self.scene.file(".privyseal.yaml", text);
    }

    fn keys(&self, file: &str, publisher: &PublisherKey, serial: u64, key: &TestKey) {
        let certificate = Certificate::from_pem(key.certificate.as_bytes()).unwrap();
        let keys = vec![certificate.into()];
        let list = PublishedKeys { serial, time: Timestamp::now(), keys, revoked: Vec::new() };
        self.scene.file(file, KeyFile(list.publish(publisher)).to_text());
    }

    /// Both clusters are trusted, as by somebody who compared their fingerprints.
    fn trusted() -> Self {
        let this = Self::new();
        for (folder, publisher) in [("prod", &this.prod), ("dev", &this.dev)] {
            let yes = format!("seal {folder}/secret.yaml --yes-trust {}", fingerprint(publisher));
            this.scene.run(&yes).succeeds();
        }
        this
    }

    /// Each command that seals refuses, by whatever words it is given.
    #[track_caller]
    fn refuses(&self, status: i32, more: &str, told: &[&str]) {
        self.scene.file("editor.sh", "sed -i 's/canary/changed/' \"$1\"\n");
        let sealed = self.scene.seal(&secret(Some("ns"), Some("db")));
        for command in [
            "seal prod/secret.yaml",
            "set prod/sealed.yaml password --from-file key.pem",
            "edit prod/sealed.yaml --key key.pem",
            "reseal prod --key key.pem",
        ] {
            self.scene.file("prod/sealed.yaml", &sealed);
            let run = self.scene.run(&format!("{command} {more}")).env("EDITOR", "sh editor.sh");
            has(&run.fails(status), told);
            assert_eq!(self.scene.read("prod/sealed.yaml"), sealed, "{command}");
        }
    }

    fn trust(&self) -> String {
        std::fs::read_to_string(self.scene.home().join(TRUST)).unwrap()
    }
}

fn fingerprint(publisher: &PublisherKey) -> Fingerprint {
    publisher.public_key().fingerprint()
}

const CONFIG: &str = "\
version: 1
clusters:
  prod: {keys: prod.keys}
  dev: {keys: dev.keys}
rules:
  - {path: 'prod/**', for: [prod]}
  - {path: 'dev/**', for: [dev], scope: namespace-wide}
";

#[test]
fn the_rule_for_the_path_chooses_cluster_and_scope() {
    let repository = Repository::trusted();
    let done = repository.scene.run("seal prod/secret.yaml").succeeds();
    has(&done.stdout, &[&key().key_id]);
    has(&done.stderr, &["sealing for prod (rule 1, prod/**, of ", "list 7 of"]);
    let done = repository.scene.run("seal dev/secret.yaml").succeeds();
    has(&done.stdout, &[&other_key().key_id, "namespace-wide: \"true\""]);

    // The file that is written decides, not the one that is read; a rule's scope gives way to the command line's.
    let done =
        repository.scene.run("seal prod/secret.yaml --out-file dev/sealed.yaml --scope strict").succeeds();
    assert_eq!(done.stdout, "");
    let sealed = repository.scene.read("dev/sealed.yaml");
    has(&sealed, &[&other_key().key_id]);
    assert!(!sealed.contains("namespace-wide"), "{sealed}");

    // Files of one run go by their own rules, and each key is told once.
    let done = repository.scene.run("seal --in-place prod/secret.yaml dev/secret.yaml").succeeds();
    has(&repository.scene.read("prod/secret.yaml"), &[&key().key_id]);
    has(&repository.scene.read("dev/secret.yaml"), &[&other_key().key_id]);
    assert_eq!(done.stderr.matches("sealing with key").count(), 2);
}

#[test]
fn the_command_line_wins_over_the_rule() {
    let repository = Repository::trusted();
    let done = repository.scene.run("seal prod/secret.yaml --for dev").succeeds();
    has(&done.stdout, &[&other_key().key_id]);
    has(&done.stderr, &["sealing for dev (--for)"]);
    let done = repository.scene.run("seal dev/secret.yaml --cert cert.pem").succeeds();
    has(&done.stdout, &[&key().key_id]);
    let error = repository.scene.run("seal dev/secret.yaml --for test").fails(2);
    has(&error, &["has no cluster test", "hint: it has: dev, prod"]);
    let error = repository.scene.run("seal").stdin(secret(Some("ns"), Some("db"))).fails(2);
    has(&error, &["without a file no rule of"]);
    let error = repository.scene.run("seal key.pem").fails(2);
    has(&error, &["key.pem: no rule of", "matches it"]);
    let other =
        repository.scene.file("other.yaml", CONFIG.replace("'dev/**'", "'**'").replace("'prod/**'", "x"));
    let done =
        repository.scene.run(&format!("seal prod/secret.yaml --config {}", other.display())).succeeds();
    has(&done.stdout, &[&other_key().key_id]);
}

#[test]
fn the_first_use_needs_somebody_who_decides() {
    let repository = Repository::new();
    let error = repository.scene.run("seal prod/secret.yaml").fails(1);
    let publisher = fingerprint(&repository.prod);
    has(
        &error,
        &[
            "clusters.prod is not in",
            &format!("publisher {publisher}"),
            &format!("`--yes-trust {publisher}`"),
        ],
    );
    let stranger = Fingerprint::of(b"stranger");
    repository.scene.run(&format!("seal prod/secret.yaml --yes-trust {stranger}")).fails(1);
    let done = repository.scene.run(&format!("seal prod/secret.yaml --yes-trust {publisher}")).succeeds();
    has(&done.stderr, &["clusters.prod is pinned in"]);
    has(&repository.trust(), &["prod:", &publisher.to_string(), "serial: 7"]);

    // From now on nobody is asked, and another home knows nothing.
    repository.scene.run("seal prod/secret.yaml").succeeds();
    let elsewhere = repository.scene.run("seal prod/secret.yaml").env("HOME", "/proc");
    has(&elsewhere.fails(1), &["is not in /proc/.config/privyseal/trust.yaml"]);
    let undecided = format!("seal prod/secret.yaml --yes-trust {publisher}");
    let done = repository.scene.run(&undecided).env("HOME", "/proc").succeeds();
    has(&done.stderr, &["warning: the decision could not be written down"]);
}

#[test]
fn a_renewed_key_needs_no_new_trust() {
    let repository = Repository::trusted();
    repository.keys("prod.keys", &repository.prod, 8, other_key());
    has(&repository.scene.run("seal prod/secret.yaml").succeeds().stdout, &[&other_key().key_id]);
    has(&repository.trust(), &["serial: 8"]);
}

// What a pull request can do.

#[test]
fn attack_another_key_file() {
    let repository = Repository::trusted();
    let mallory = PublisherKey::generate().unwrap();
    repository.keys("prod.keys", &mallory, 99, other_key());
    let trust = repository.trust();
    let told = ["clusters.prod has publisher", "is trusted"];
    repository.refuses(1, "", &told);
    repository.refuses(1, "--for prod", &told);
    repository.refuses(1, &format!("--yes-trust {}", fingerprint(&mallory)), &told);
    assert_eq!(repository.trust(), trust);
}

#[test]
fn attack_an_old_list() {
    let repository = Repository::trusted();
    repository.keys("prod.keys", &repository.prod, 6, other_key());
    repository.refuses(1, "", &["is older than list 7"]);
}

#[test]
fn attack_a_changed_list() {
    let repository = Repository::trusted();
    let text = repository.scene.read("prod.keys").replace("serial\\\":7", "serial\\\":8");
    repository.scene.file("prod.keys", &text);
    repository.refuses(2, "", &["the publisher's signature does not fit"]);
}

#[test]
fn attack_a_bare_certificate_in_place_of_the_list() {
    let repository = Repository::trusted();
    repository.scene.file("mallory.pem", &other_key().certificate);
    repository.config(&CONFIG.replace("prod: {keys: prod.keys}", "prod: {certificate: mallory.pem}"));
    repository.refuses(1, "", &["clusters.prod has certificate", "is trusted"]);
}

#[test]
fn attack_a_rule_that_points_to_a_cluster_of_the_attackers() {
    let repository = Repository::trusted();
    let mallory = PublisherKey::generate().unwrap();
    repository.keys("mallory.keys", &mallory, 1, other_key());
    let config = CONFIG
        .replace("  dev: ", "  backup: {keys: mallory.keys}\n  dev: ")
        .replace("for: [prod]", "for: [backup]");
    repository.config(&config);
    repository.refuses(1, "", &["clusters.backup is not in"]);

    // Among clusters that are trusted a rule may choose; it is told which.
    repository.config(&CONFIG.replace("for: [prod]", "for: [dev]"));
    has(
        &repository.scene.run("seal prod/secret.yaml").succeeds().stderr,
        &["sealing for dev (rule 1, prod/**"],
    );
}

#[test]
fn attack_a_second_configuration_in_a_subfolder() {
    let repository = Repository::trusted();
    repository
        .scene
        .file("prod/.privyseal.yaml", CONFIG.replace("'prod/**', for: [prod]", "'**', for: [dev]"));
    repository.refuses(2, "", &["two configurations hold for one file"]);
    // Nor one that is above the repository, or in a repository within.
    std::fs::create_dir(repository.scene.path("prod/.git")).unwrap();
    repository.scene.run("seal prod/secret.yaml --cert cert.pem").succeeds();
}

#[test]
fn attack_a_trust_file_in_the_repository() {
    let repository = Repository::trusted();
    let inside = repository.scene.file("trust.yaml", repository.trust());
    let trust = format!("--trust {}", inside.display());
    repository.refuses(2, &trust, &["the trust file lies in the repository"]);
    let new = format!("seal prod/secret.yaml --trust new.yaml --yes-trust {}", fingerprint(&repository.prod));
    has(&repository.scene.run(&new).fails(2), &["the trust file lies in the repository"]);
    let error = repository.scene.run("seal prod/secret.yaml").env("PRIVYSEAL_TRUST", "trust.yaml").fails(2);
    has(&error, &["the trust file lies in the repository"]);
    // Nor above the configuration, where that is in a part of the repository.
    repository.scene.file("prod/.privyseal.yaml", CONFIG.replace("prod/**", "**"));
    std::fs::remove_file(repository.scene.path(".privyseal.yaml")).unwrap();
    std::fs::rename(repository.scene.path("prod.keys"), repository.scene.path("prod/prod.keys")).unwrap();
    let error = repository.scene.run(&format!("seal prod/secret.yaml --trust {}", inside.display())).fails(2);
    has(&error, &["the trust file lies in the repository"]);
    let outside = repository.scene.home().join("ci-trust.yaml");
    std::fs::copy(&inside, &outside).unwrap();
    let trust = format!("seal prod/secret.yaml --trust {}", outside.display());
    repository.scene.run(&trust).env("HOME", "/proc").succeeds();
}

#[cfg(unix)]
#[test]
fn attack_a_configuration_that_is_a_link() {
    let repository = Repository::trusted();
    let elsewhere = repository.scene.home().join("config.yaml");
    std::fs::rename(repository.scene.path(".privyseal.yaml"), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, repository.scene.path(".privyseal.yaml")).unwrap();
    repository.refuses(2, "", &["a configuration may not be a link"]);
}

#[test]
fn what_is_wrong_with_a_file_is_told_with_its_place() {
    let repository = Repository::trusted();
    repository.config("version: 1\nclusters:\n  prod: {key: prod.keys}\n");
    has(&repository.scene.run("seal prod/secret.yaml").fails(2), &[".privyseal.yaml:3:", "key"]);
    repository.config(CONFIG);
    std::fs::write(repository.scene.home().join(TRUST), "version: 1\nclusters: 7\n").unwrap();
    has(&repository.scene.run("seal prod/secret.yaml").fails(2), &["trust.yaml:2:"]);
}

#[test]
fn outside_of_a_repository_only_the_files_own_folder_counts() {
    let repository = Repository::trusted();
    std::fs::remove_dir(repository.scene.path(".git")).unwrap();
    has(&repository.scene.run("seal prod/secret.yaml").fails(2), &["no sealing key is given"]);
}

/// Whoever may change the rules must not have prod's values sealed for a cluster of their own, even one that is trusted.
#[test]
fn a_rule_moves_no_value_from_one_cluster_to_another() {
    let repository = Repository::trusted();
    let scene = &repository.scene;
    scene.file("keys.pem", format!("{}\n{}", key().private, other_key().private));
    scene.run("seal --in-place prod/secret.yaml").succeeds();
    let sealed = scene.read("prod/secret.yaml");
    repository.config(&CONFIG.replace("for: [prod]", "for: [dev]"));
    let error = scene.run("reseal --key keys.pem prod").fails(1);
    has(
        &error,
        &["none of 1 keys opens it", "a rule of the repository chose the cluster", "nothing was written"],
    );
    assert_eq!(scene.read("prod/secret.yaml"), sealed);

    // A bare certificate does not even say which keys are its cluster's.
    scene.file("dev.pem", &other_key().certificate);
    let bare = CONFIG.replace("for: [prod]", "for: [dev]").replace("keys: dev.keys", "certificate: dev.pem");
    repository.config(&bare);
    std::fs::write(scene.home().join(TRUST), {
        let fingerprint = &other_key().fingerprint;
        format!("version: 1\nclusters: {{dev: {{certificate: \"{fingerprint}\"}}}}\n")
    })
    .unwrap();
    has(&scene.run("reseal --key keys.pem prod").fails(1), &["a bare certificate does not say which keys"]);
    // Who holds the keys may decide it.
    scene.run("reseal --key keys.pem prod --for dev").succeeds();
    assert_ne!(scene.read("prod/secret.yaml"), sealed);
}
