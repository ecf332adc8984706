//! `seal`: whom for, in which format, and what is said of it.

use super::repository::{Repository, identity, ids, named, new_b, vault_key};
use crate::harness::{expired_key, has, key, secret};
use privyseal_envelope::SealedValue;
use privyseal_envelope::age::{Kind, Recipient};

/// Of the value that a run wrote to stdout.
fn said(sealed: &str) -> Vec<String> {
    let line = sealed.lines().find_map(|line| line.trim().strip_prefix("password: ")).unwrap();
    named(&SealedValue::from_base64(line).unwrap())
}

#[test]
fn a_certificate_is_for_classic_and_with_recipients_beside_it_for_both() {
    let repository = Repository::new();
    repository.seal("c.yaml", "--cert a.pem");
    has(&repository.scene.read("c.yaml"), &["privyseal.dev/sealed-with", &key().key_id]);
    repository.seal("x.yaml", "--cert a.pem --format age");
    assert_eq!(repository.named("x.yaml"), ids([&key().hybrid]));
    assert!(!repository.scene.read("x.yaml").contains("sealed-with"), "the value says itself whose it is");
    assert!(repository.opens("x.yaml", "a.key") && !repository.opens("x.yaml", "b.key"));

    let bare = repository.run("seal --cert cert.pem --format age").stdin(secret(Some("ns"), Some("db")));
    has(&bare.fails(2), &["cert.pem: it names no age recipients", "--format classic"]);
    repository.scene.file("expired.pem", &expired_key().public_half);
    let expired =
        repository.run("seal --cert expired.pem --format age").stdin(secret(Some("ns"), Some("db")));
    has(&expired.fails(2), &["expired.pem: the certificate expired on"]);
}

#[test]
fn recipients_are_taken_from_arguments_and_files() {
    let repository = Repository::new();
    let (text, hybrid) = identity(Kind::Hybrid);
    let (_, x25519) = identity(Kind::X25519);
    repository.scene.file("own.txt", &text);
    let sealed = repository.seal("own.yaml", &format!("--recipient {hybrid}"));
    assert_eq!(said(&sealed), ids([&hybrid]));
    assert!(repository.opens("own.yaml", "own.txt"));

    repository.scene.file("team.txt", format!("# the team\n\n{hybrid}\r\n  {}\n", repository.glass));
    let sealed = repository.seal("team.yaml", "--recipient team.txt");
    assert_eq!(said(&sealed), ids([&hybrid, &repository.glass]));
    let piped = repository.run("seal --recipient - --name db -n ns --from-file password=own.txt");
    assert_eq!(said(&piped.stdin(hybrid.to_string()).succeeds().stdout), ids([&hybrid]));

    let done = repository.run(&format!("seal --recipient {x25519}")).stdin(secret(Some("ns"), Some("db")));
    let done = done.succeeds();
    assert_eq!(said(&done.stdout), ids([&x25519]));
    let id = x25519.fingerprint();
    has(
        &done.stderr,
        &[
            &format!("not protected against a future quantum computer, because of x25519 recipient {id}\n"),
            &format!("sealing to x25519 recipient {id}"),
        ],
    );

    let (pem, vault) = vault_key();
    repository.scene.file("vault.pem", pem);
    let done = repository.run("seal --recipient vault.pem").stdin(secret(Some("ns"), Some("db"))).succeeds();
    assert_eq!(said(&done.stdout), ids([&vault]));
    has(&done.stderr, &["because of key-vault-hsm recipient SHA256:"]);
}

#[test]
fn what_is_no_recipient_is_told_and_an_identity_never_shown() {
    let repository = Repository::new();
    let (hybrid, _) = identity(Kind::Hybrid);
    let (x25519, recipient) = identity(Kind::X25519);
    repository.scene.file("identity.txt", format!("# created\n{x25519}"));
    let cut = &recipient.to_string()[..40];
    repository.scene.file("cut.txt", format!("{recipient}\n{cut}\n"));
    repository.scene.file("empty.txt", "# nobody\n");
    let (a, b) = (x25519.trim().to_owned(), hybrid.trim().to_owned());
    for (argument, told) in [
        (a.as_str(), "--recipient: this is an identity, the private half"),
        (&a.to_lowercase(), "this is an identity"),
        (&b, "this is an identity"),
        ("identity.txt", "identity.txt:2: this is an identity"),
        ("cut.txt", "cut.txt:2: not an age recipient"),
        ("empty.txt", "empty.txt: there is no recipient in it"),
        (cut, "--recipient: not an age recipient"),
        ("age1yubikey1q0000", "no plugin and no SSH key"),
        ("nowhere.txt", "nowhere.txt is neither a recipient nor a file"),
        ("cert.pem", "cert.pem: it names no age recipients"),
        ("a.key", "this is a private key"),
    ] {
        let run = repository
            .scene
            .run_with(["seal", "--recipient", argument])
            .stdin(secret(Some("ns"), Some("db")));
        let error = run.fails(2);
        has(&error, &[told]);
        assert!(!error.to_uppercase().contains("AGE-SECRET-KEY"), "{error}");
    }
    repository.scene.file("recipients.txt", recipient.to_string());
    let run = repository.run("seal --cert recipients.txt").stdin(secret(Some("ns"), Some("db")));
    has(&run.fails(2), &["give it as --recipient FILE"]);
}

#[test]
fn names_of_the_configuration_and_rules_with_several() {
    let repository = Repository::new();
    let glass = &repository.glass;
    repository.scene.file("two/secret.yaml", secret(Some("ns"), Some("db")));
    repository.scene.file("all/secret.yaml", secret(Some("ns"), Some("db")));
    repository.scene.file("one/secret.yaml", secret(Some("ns"), Some("db")));
    repository.scene.file("aged/secret.yaml", secret(Some("ns"), Some("db")));
    for (arguments, expected) in [
        ("--for a --for b", ids([&key().hybrid, &new_b().hybrid])),
        ("--for b --for a", ids([&new_b().hybrid, &key().hybrid])),
        ("--for glass", ids([glass])),
        ("--for a --recipient b.txt", ids([&key().hybrid, &new_b().hybrid])),
        ("one/secret.yaml --for a --for b", ids([&key().hybrid, &new_b().hybrid])),
        ("two/secret.yaml", ids([&key().hybrid, &new_b().hybrid])),
        ("all/secret.yaml", ids([&key().hybrid, &new_b().hybrid, glass])),
        ("all/secret.yaml --for b --format age", ids([&new_b().hybrid])),
        ("all/secret.yaml --no-hints", vec!["-".to_owned(); 3]),
        ("aged/secret.yaml", ids([&key().hybrid])),
    ] {
        repository.scene.file("b.txt", new_b().hybrid.to_string());
        assert_eq!(said(&repository.seal("x.yaml", arguments)), expected, "{arguments}");
    }
    let (a, b) = (repository.opens("x.yaml", "a.key"), repository.opens("x.yaml", "b.key"));
    assert_eq!((a, b), (true, false));
    let done = repository.run("seal all/secret.yaml").succeeds();
    has(
        &done.stderr,
        &[
            "sealing for a (rule 4, all/**, of ",
            "sealing for glass (rule 4, all/**, of ",
            &format!("sealing to hybrid recipient {} (until ", key().hybrid.fingerprint()),
        ],
    );
    assert!(!done.stderr.contains("warning"), "{}", done.stderr);
    assert_eq!(done.stderr.matches("sealing to hybrid recipient").count(), 3);

    let done = repository.run("seal one/secret.yaml --for a --no-hints").succeeds();
    has(&done.stderr, &["--no-hints changes nothing in format classic"]);

    // One cluster is for classic, unless somebody says so.
    has(&repository.run("seal one/secret.yaml").succeeds().stdout, &["sealed-with"]);
    has(&repository.run("seal aged/secret.yaml --format classic").succeeds().stdout, &["sealed-with"]);
    let error = repository.run("seal two/secret.yaml --format classic").fails(2);
    has(&error, &["a value of format classic opens in one cluster only, but 2 are named", "--format age"]);
    let error = repository.run("seal one/secret.yaml --for glass --format classic").fails(2);
    has(&error, &["glass (--for): only values of format age can be sealed to it"]);
    // Each file by its own rule.
    repository.run("seal --in-place one/secret.yaml two/secret.yaml").succeeds();
    has(&repository.scene.read("one/secret.yaml"), &["sealed-with"]);
    assert_eq!(repository.named("two/secret.yaml"), ids([&key().hybrid, &new_b().hybrid]));
}

#[test]
fn whoever_forces_post_quantum_out_is_named() {
    let repository = Repository::new();
    let (_, x25519) = identity(Kind::X25519);
    let (pem, vault) = vault_key();
    repository.scene.file("vault.pem", pem);
    repository.add_recipient("hsm", "publicKey: vault.pem");
    repository.trust([("glass", &repository.glass), ("hsm", &vault)]);
    let seal = |arguments: &str| {
        let run = repository.run(&format!("seal {arguments}")).stdin(secret(Some("ns"), Some("db")));
        let done = run.succeeds();
        (said(&done.stdout), done.stderr)
    };
    let (said, told) = seal(&format!("--for a --for b --recipient {x25519}"));
    assert_eq!(said, ids([&key().x25519, &new_b().x25519, &x25519]));
    let fingerprint = x25519.fingerprint();
    let reason = format!("because of x25519 recipient {fingerprint}, though a (--for), b (--for) could");
    has(&told, &[&reason]);
    let (said, told) = seal("--for a --for hsm");
    assert_eq!(said, ids([&key().x25519, &vault]));
    has(&told, &["because of hsm (--for), though a (--for) could"]);

    // What has nothing else does not mix.
    let run = repository.run("seal --for glass --for hsm").stdin(secret(Some("ns"), Some("db")));
    has(&run.fails(2), &["post-quantum and classical recipients do not mix", "keys generate --age"]);
    // Nobody is asked for more than one of his recipients, and nobody gets two stanzas.
    let twice = format!("--for a --recipient {}", key().hybrid);
    assert_eq!(seal(&twice).0, ids([&key().hybrid]));
}

#[test]
fn a_cluster_without_recipients_takes_classic_values_only() {
    let repository = Repository::new();
    repository.list("b.keys", &repository.b, vec![new_b().certificate.clone()], &[]);
    let run = repository.run("seal --for a --for b").stdin(secret(Some("ns"), Some("db")));
    let told = ["b.keys: it names no age recipients", "of this release or newer", "`privyseal keys fetch`"];
    has(&run.fails(2), &told);
    has(&repository.seal("b.yaml", "--for b"), &["sealed-with"]);
    // A list in which a recipient is revoked has no such key any more, in neither format.
    repository.keys("a.keys", &repository.a, &[key(), new_b()], &[&key().x25519]);
    assert_eq!(said(&repository.seal("a.yaml", "--for a --format age")), ids([&new_b().hybrid]));
    has(&repository.seal("a.yaml", "--for a"), &[&new_b().key_id]);
    repository.keys("a.keys", &repository.a, &[key()], &[&key().hybrid]);
    let run = repository.run("seal --for a --for b").stdin(secret(Some("ns"), Some("db")));
    has(&run.fails(2), &["a.keys: no key of the list may seal now"]);
}

#[test]
fn thirty_two_recipients_and_no_more() {
    let repository = Repository::new();
    let many: Vec<Recipient> = (0..33).map(|_| identity(Kind::X25519).1).collect();
    let lines = |count: usize| -> String { many[..count].iter().map(|one| format!("{one}\n")).collect() };
    repository.scene.file("most.txt", lines(32));
    repository.scene.file("many.txt", lines(33));
    assert_eq!(said(&repository.seal("x.yaml", "--recipient most.txt")).len(), 32);
    let run = repository.run("seal --recipient many.txt").stdin(secret(Some("ns"), Some("db")));
    has(&run.fails(2), &["33 recipients are given, and at most 32 can open one value"]);
}

/// Each recipient costs some 2 kB in each value, and `kubectl apply` and etcd take so much and no more.
#[test]
fn what_becomes_large_is_told() {
    let repository = Repository::new();
    let many: String = (0..30).map(|_| format!("{}\n", identity(Kind::Hybrid).1)).collect();
    repository.scene.file("many.txt", many);
    let items: String = (0..5).map(|number| format!("  item{number}: x\n")).collect();
    let manifest = secret(Some("ns"), Some("db")) + &items;
    let done = repository.run("seal --recipient many.txt").stdin(&manifest).succeeds();
    has(
        &done.stderr,
        &[
            "warning: stdin:1: document 1: ns/db: the object is ",
            "(6 values of the age format for up to 30 recipients;",
            "takes at most 262144: apply on the server's side",
        ],
    );
    let done = repository.run("seal --recipient many.txt").stdin(secret(Some("ns"), Some("db"))).succeeds();
    assert!(!done.stderr.contains("the object is"), "{}", done.stderr);

    // The commands that change an object look at all of it.
    repository.scene.file("db.yaml", &done.stdout);
    let set = |number: usize| {
        let run = repository.run(&format!("set db.yaml item{number} --recipient many.txt")).stdin("x");
        run.succeeds().stderr
    };
    assert!(!set(0).contains("the object is"));
    (1..4).for_each(|number| _ = set(number));
    let told = set(4);
    has(&told, &["warning: db.yaml: the object is ", "(6 values of the age format for up to 30 recipients;"]);
}

/// As the page has it.
#[test]
fn the_example_of_the_documentation_does_what_it_says() {
    let page = include_str!("../../../../docs/cli.md");
    let block = page.split("```sh\n").find(|block| block.contains("break-glass.pub")).unwrap();
    let block = block.split("```").next().unwrap().replace("privyseal ", "$PRIVYSEAL ");
    let repository = Repository::new();
    let scene = &repository.scene;
    scene.file("cert.pem", &key().public_half);
    scene.file("key.yaml", &key().secret);
    scene.file("secret.yaml", secret(Some("ns"), Some("db")));
    let (before, after) = block.split_once("$PRIVYSEAL reseal").unwrap();
    scene.shell(&format!("set -e\n{before}")).succeeds();
    assert_eq!(repository.named("several.yaml").len(), 2);
    has(&scene.read("opened-by-glass.yaml"), &["password: aHVudGVyMi1jYW5hcnktcGxhaW50ZXh0"]);
    scene.shell(&format!("$PRIVYSEAL reseal{after}")).succeeds();
    assert_eq!(repository.named("several.yaml"), ids([&key().hybrid]));
    assert!(
        !repository.opens("several.yaml", "break-glass.txt") && repository.opens("several.yaml", "a.key")
    );
}
