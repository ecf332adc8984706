//! `set` and `edit`: a value keeps its format, and siblings that are sealed otherwise are told.

use super::repository::{Repository, ids, named, new_b, old_a};
use crate::harness::{Done, has, key};
use privyseal_envelope::Format;

const OTHERWISE: &str = "other items of the object are sealed otherwise, for others or in another format: ";

fn set(repository: &Repository, arguments: &str) -> Done {
    repository.run(&format!("set {arguments}")).stdin("x").succeeds()
}

fn said(repository: &Repository, file: &str, item: &str) -> Vec<String> {
    named(&repository.value(file, item))
}

#[test]
fn a_value_keeps_its_format_and_a_new_one_takes_the_rules() {
    let repository = Repository::new();
    let all = || ids([&key().hybrid, &new_b().hybrid, &repository.glass]);
    repository.seal("all/x.yaml", "--for a --format age");
    let done = set(&repository, "all/x.yaml password");
    assert_eq!(repository.named("all/x.yaml"), all());
    has(&done.stderr, &["sealing for glass (rule 4", "all/x.yaml: password is set"]);
    assert!(!done.stderr.contains(OTHERWISE), "there is no other item: {}", done.stderr);
    set(&repository, "all/x.yaml new");
    assert_eq!(said(&repository, "all/x.yaml", "new"), all());

    // One cluster: what is there stays what it is, a new one is classic.
    repository.seal("one/x.yaml", "--for a --format age");
    assert!(!set(&repository, "one/x.yaml password").stderr.contains(OTHERWISE));
    assert_eq!(repository.named("one/x.yaml"), ids([&key().hybrid]));
    let done = set(&repository, "one/x.yaml new");
    has(&done.stderr, &[&format!("{OTHERWISE}password;")]);
    assert_eq!(repository.value("one/x.yaml", "new").format(), Format::Classic);
    has(&repository.scene.read("one/x.yaml"), &[&format!("new={}:", key().key_id)]);
    // In both directions, by the command line.
    let done = set(&repository, "one/x.yaml new --format age --no-hints");
    assert_eq!(said(&repository, "one/x.yaml", "new"), ["-"]);
    assert!(!repository.scene.read("one/x.yaml").contains("sealed-with"));
    has(&done.stderr, &[&format!("{OTHERWISE}password;")]);
    set(&repository, "one/x.yaml new --format age");
    assert!(!set(&repository, "one/x.yaml password --format age").stderr.contains(OTHERWISE));
    assert!(repository.opens("one/x.yaml", "a.key"));
    set(&repository, "one/x.yaml password --format classic");
    assert_eq!(repository.value("one/x.yaml", "password").format(), Format::Classic);
    assert!(repository.opens("one/x.yaml", "a.key"));
}

/// A rule that asks for format age since: a change of the value takes no account of it, and must not seem to.
#[test]
fn a_value_that_keeps_another_format_than_the_rule_says_is_told() {
    let repository = Repository::new();
    let kept = "keeps format classic, though the rule says age; --format age changes it";
    repository.seal("aged/x.yaml", "--cert a.pem --format classic");
    let done = set(&repository, "aged/x.yaml password");
    has(&done.stderr, &[&format!("warning: password {kept}")]);
    assert_eq!(repository.value("aged/x.yaml", "password").format(), Format::Classic);
    // Not of a new one, nor of what the command line says, nor where no rule decides.
    for arguments in
        ["aged/x.yaml new", "aged/x.yaml password --format classic", "aged/x.yaml password --for a"]
    {
        assert!(!set(&repository, arguments).stderr.contains("keeps format"), "{arguments}");
    }
    assert!(!said(&repository, "aged/x.yaml", "new").is_empty());
    repository.run("set aged/x.yaml other --format classic").stdin("x-canary").succeeds();
    repository.run("set aged/x.yaml password --format classic").stdin("y-canary").succeeds();
    repository.scene.file("editor.sh", "sed -i 's/canary/changed/' \"$1\"\n");
    let edit = repository.run("edit aged/x.yaml --key a.key").env("EDITOR", "sh editor.sh").succeeds();
    has(&edit.stderr, &[&format!("warning: other, password {kept}")]);
    let done = set(&repository, "aged/x.yaml password --format age");
    assert!(!done.stderr.contains("keeps format"), "{}", done.stderr);
    // The other way round.
    repository.config(|text| text.replace("'one/**', for: [a]", "'one/**', for: [a], format: classic"));
    repository.seal("one/x.yaml", "--for a --format age");
    let done = set(&repository, "one/x.yaml password");
    has(
        &done.stderr,
        &["password keeps format age, though the rule says classic; --format classic changes it"],
    );
}

#[test]
fn a_classic_value_under_a_rule_with_several_is_refused() {
    let repository = Repository::new();
    let before = repository.seal("two/x.yaml", "--cert a.pem");
    let error = repository.run("set two/x.yaml password").stdin("x").fails(2);
    has(
        &error,
        &[
            "the value is of format classic, and such a value opens in one cluster only, but 2 are named",
            "--format age",
        ],
    );
    assert_eq!(repository.scene.read("two/x.yaml"), before);
    repository.scene.file("editor.sh", "sed -i 's/canary/changed/' \"$1\"\n");
    let edit = repository.run("edit two/x.yaml --key a.key").env("EDITOR", "sh editor.sh");
    has(&edit.fails(2), &["the value is of format classic"]);
    assert_eq!(repository.scene.read("two/x.yaml"), before);
    set(&repository, "two/x.yaml password --format age");
    assert_eq!(repository.named("two/x.yaml"), ids([&key().hybrid, &new_b().hybrid]));
}

/// An item on an older key of the same cluster is nobody else's.
#[test]
fn a_sibling_of_an_older_key_is_no_difference_and_one_of_others_is() {
    let repository = Repository::new();
    repository.seal("aged/x.yaml", "--cert old-a.pem --format age");
    assert!(!set(&repository, "aged/x.yaml new").stderr.contains(OTHERWISE));
    assert_eq!(said(&repository, "aged/x.yaml", "new"), ids([&key().hybrid]));
    assert_eq!(repository.named("aged/x.yaml"), ids([&old_a().hybrid]));
    // A bare certificate does not know it.
    has(
        &set(&repository, "aged/x.yaml new --cert a.pem --format age").stderr,
        &[&format!("{OTHERWISE}password;")],
    );
    has(&set(&repository, "aged/x.yaml new --for a --for b").stderr, &[&format!("{OTHERWISE}password;")]);
    assert!(!repository.opens("aged/x.yaml", "a.key") && !repository.opens("aged/x.yaml", "b.key"));
}

#[test]
fn an_edit_seals_each_value_in_its_own_format_and_tells_of_the_others() {
    let repository = Repository::new();
    repository.seal("aged/x.yaml", "--cert old-a.pem --format age");
    repository.run("set aged/x.yaml classic --format classic").stdin("first-value").succeeds();
    set(&repository, "aged/x.yaml foreign --for a --for glass");
    repository.scene.file("keys.pem", format!("{}\n{}", key().private_half, old_a().private_half));
    repository.scene.file("editor.sh", "sed -i 's/canary/changed/; s/first-value/second-value/' \"$1\"\n");
    let before = repository.object("aged/x.yaml");
    let edit = repository.run("edit aged/x.yaml --key keys.pem").env("EDITOR", "sh editor.sh").succeeds();
    let after = repository.object("aged/x.yaml");
    assert_eq!(repository.named("aged/x.yaml"), ids([&key().hybrid]));
    assert_eq!(repository.value("aged/x.yaml", "classic").format(), Format::Classic);
    assert_eq!(before.spec.encrypted_data["foreign"], after.spec.encrypted_data["foreign"]);
    assert_ne!(before.spec.encrypted_data["classic"], after.spec.encrypted_data["classic"]);
    has(
        &edit.stderr,
        &[
            &format!("sealing with key {}", key().fingerprint),
            &format!("sealing to hybrid recipient {}", key().hybrid.fingerprint()),
            &format!("{OTHERWISE}foreign;"),
        ],
    );
    assert_eq!(edit.stderr.matches("sealing for a").count(), 1, "{}", edit.stderr);
    assert!(repository.opens("aged/x.yaml", "a.key"));
}
