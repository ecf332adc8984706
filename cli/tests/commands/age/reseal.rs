//! `reseal` with keys at hand: newest keys take the places of older ones, whoever else is there goes on opening, and
//! nothing is added, dropped or converted that the command line does not name.

use super::repository::{Repository, identity, ids, named, new_b, old_a, old_b, vault_key};
use crate::harness::{Done, has, key};
use privyseal_envelope::age::{File, Kind, Recipient};
use privyseal_envelope::{Format, SealedValue};

/// Seals to these, however many.
fn seal(repository: &Repository, file: &str, to: &[&Recipient], more: &str) -> String {
    let text: String = to.iter().map(|recipient| format!("{recipient}\n")).collect();
    repository.scene.file("to.txt", text);
    repository.seal(file, &format!("--recipient to.txt {more}"))
}

fn reseal(repository: &Repository, arguments: &str) -> Done {
    repository.run(&format!("reseal {arguments}")).succeeds()
}

#[track_caller]
fn refuses(repository: &Repository, file: &str, arguments: &str, told: &[&str]) {
    let before = repository.scene.read(file);
    has(&repository.run(&format!("reseal {file} {arguments}")).fails(1), told);
    assert_eq!(repository.scene.read(file), before);
}

/// The text of the header.
fn header(value: &SealedValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
    text.split("\n--- ").next().unwrap().to_owned()
}

#[test]
fn a_newer_key_takes_the_place_of_an_older_one_of_its_kind_and_all_else_stays() {
    let repository = Repository::new();
    let (_, x25519) = identity(Kind::X25519);
    for (kind, stranger) in [(Kind::Hybrid, repository.glass.clone()), (Kind::X25519, x25519)] {
        let [new, old, b] = [key(), old_a(), new_b()].map(|key| match kind {
            Kind::Hybrid => &key.hybrid,
            _ => &key.x25519,
        });
        seal(&repository, "one/x.yaml", &[b, old, &stranger], "");
        let before = repository.value("one/x.yaml", "password");
        let done = reseal(&repository, "one --key old-a.key");
        let after = repository.value("one/x.yaml", "password");
        assert_eq!(named(&after), ids([b, new, &stranger]));
        let [was, is] = [&before, &after].map(|value| named(value).join("+"));
        has(&done.stdout, &[&format!("one/x.yaml:1: ns/db: password: {was} -> {is}\n")]);
        has(&done.stderr, &["1 values in 1 files are sealed anew, 0 stay"]);
        // Only one recipient was exchanged, and it opens; who was there opens it, who was replaced does not.
        let exchanged = File::parse(&before).unwrap().exchanged(&File::parse(&after).unwrap()).unwrap();
        assert_eq!(exchanged.len(), 1);
        assert!(repository.opens("one/x.yaml", "a.key") && repository.opens("one/x.yaml", "b.key"));
        assert!(!repository.opens("one/x.yaml", "old-a.key"));
        // Again: nothing to do, byte for byte.
        let text = repository.scene.read("one/x.yaml");
        has(&reseal(&repository, "one --key a.key").stderr, &["0 values in 0 files", "1 stay"]);
        assert_eq!(repository.scene.read("one/x.yaml"), text);
    }
}

#[test]
fn one_clusters_key_renews_all_whom_the_rule_names() {
    let repository = Repository::new();
    seal(&repository, "all/x.yaml", &[&old_a().hybrid, &old_b().hybrid, &repository.glass], "");
    let before = repository.scene.read("all/x.yaml");
    let done = reseal(&repository, "all --key old-a.key --dry-run");
    has(&done.stderr, &["1 values in 1 files would be sealed anew"]);
    assert_eq!(repository.scene.read("all/x.yaml"), before);
    reseal(&repository, "all --key old-a.key");
    assert_eq!(repository.named("all/x.yaml"), ids([&key().hybrid, &new_b().hybrid, &repository.glass]));
    for (key, opens) in [("a.key", true), ("b.key", true), ("glass.txt", true), ("old-b.key", false)] {
        assert_eq!(repository.opens("all/x.yaml", key), opens, "{key}");
    }
    // The key in the safe can do it too; an older key beside the newest one goes.
    seal(
        &repository,
        "all/x.yaml",
        &[&old_a().hybrid, &key().hybrid, &old_b().hybrid, &repository.glass],
        "",
    );
    reseal(&repository, "all --key glass.txt");
    assert_eq!(repository.named("all/x.yaml"), ids([&key().hybrid, &new_b().hybrid, &repository.glass]));
}

/// Who can change the rule, which is part of the repository, has nobody come in.
#[test]
fn a_rule_that_asks_for_more_is_listed_and_nothing_is_opened() {
    let repository = Repository::new();
    seal(&repository, "all/x.yaml", &[&old_a().hybrid, &new_b().hybrid], "");
    repository.seal("all/classic.yaml", "--cert a.pem");
    repository.seal("aged/classic.yaml", "--cert a.pem");
    let error = repository.run("reseal all aged --key nowhere.key").fails(1);
    has(
        &error,
        &[
            "all/x.yaml:1: document 1: ns/db: password: glass (rule 4, all/**, of ",
            "is not among its recipients",
            "hint: --add-recipient adds it",
            "all/classic.yaml:1: document 1: ns/db: password: it is of format classic, but age is asked for",
            "aged/classic.yaml:1",
            "hint: --format age changes it",
            "nothing was opened",
        ],
    );
    assert!(!error.contains("nowhere.key"), "the key was read: {error}");
    // Nor for two that the command line names, nor backwards.
    seal(&repository, "one/x.yaml", &[&key().hybrid], "");
    refuses(
        &repository,
        "one/x.yaml",
        "--key a.key --for a --for b",
        &["b (--for) is not among its recipients"],
    );
    refuses(&repository, "one/x.yaml", "--key a.key --for b", &["b (--for) is not among its recipients"]);
    repository.config(|text| text.replace("'one/**', for: [a]", "'one/**', for: [a], format: classic"));
    refuses(&repository, "one/x.yaml", "--key a.key", &["it is of format age, but classic is asked for"]);
    repository.config(|text| text.replace("'one/**', for: [a]", "'one/**', for: [b]"));
    refuses(&repository, "one/x.yaml", "--key a.key", &["b (rule 1", "is not among its recipients"]);
}

#[test]
fn recipients_are_added_and_dropped_by_whatever_names_them() {
    let repository = Repository::new();
    let glass = &repository.glass;
    let (own, hybrid) = identity(Kind::Hybrid);
    repository.scene.file("own.txt", own);
    repository.scene.file("hybrid.txt", hybrid.to_string());
    let add = |argument: &str, expected: &[&Recipient]| {
        seal(&repository, "aged/x.yaml", &[&old_a().hybrid], "");
        let run = format!("aged --key old-a.key --add-recipient {argument}");
        reseal(&repository, &run);
        let expected: Vec<_> = expected.iter().flat_map(|one| ids([one])).collect();
        assert_eq!(repository.named("aged/x.yaml"), expected, "{argument}");
        let again = reseal(&repository, &run.replace("old-a.key", "a.key"));
        has(&again.stderr, &["0 values in 0 files"]);
    };
    add(&hybrid.to_string(), &[&key().hybrid, &hybrid]);
    add("hybrid.txt", &[&key().hybrid, &hybrid]);
    assert!(repository.opens("aged/x.yaml", "own.txt") && repository.opens("aged/x.yaml", "a.key"));
    add("glass", &[&key().hybrid, glass]);
    add("b", &[&key().hybrid, &new_b().hybrid]);
    add("b --add-recipient glass --add-recipient b", &[&key().hybrid, &new_b().hybrid, glass]);

    let id = |recipient: &Recipient| ids([recipient]).remove(0);
    repository.scene.file("b.txt", new_b().hybrid.to_string());
    for argument in [
        new_b().hybrid.to_string(),
        "b.txt".to_owned(),
        "b".to_owned(),
        id(&new_b().hybrid),
        new_b().hybrid.fingerprint().to_string(),
    ] {
        seal(&repository, "aged/x.yaml", &[&new_b().hybrid, &key().hybrid, glass], "");
        reseal(&repository, &format!("aged --key glass.txt --for a --drop-recipient {argument}"));
        assert_eq!(repository.named("aged/x.yaml"), ids([&key().hybrid, glass]), "{argument}");
        assert!(!repository.opens("aged/x.yaml", "b.key") && repository.opens("aged/x.yaml", "glass.txt"));
    }
    // The name of a whole key too, where the key is at hand; and all keys of a cluster.
    for argument in [&new_b().fingerprint, &new_b().key_id, "b"] {
        seal(&repository, "aged/x.yaml", &[&new_b().hybrid, &old_b().hybrid, &key().hybrid], "");
        reseal(&repository, &format!("aged --key b.key --for a --drop-recipient {argument}"));
        let left = if argument == "b" { ids([&key().hybrid]) } else { ids([&old_b().hybrid, &key().hybrid]) };
        assert_eq!(repository.named("aged/x.yaml"), left, "{argument}");
    }
    // An older key goes and the newer comes.
    seal(&repository, "aged/x.yaml", &[&old_b().hybrid, &key().hybrid], "");
    let exchange = format!("aged --key a.key --drop-recipient {} --add-recipient b", id(&old_b().hybrid));
    reseal(&repository, &exchange);
    assert_eq!(repository.named("aged/x.yaml"), ids([&key().hybrid, &new_b().hybrid]));

    seal(&repository, "aged/x.yaml", &[&key().hybrid], "");
    refuses(&repository, "aged/x.yaml", "--key a.key --drop-recipient a", &["nobody would be left"]);
    let (_, x25519) = identity(Kind::X25519);
    let told = ["the value is post-quantum, and x25519 recipient SHA256:", "--format age"];
    refuses(&repository, "aged/x.yaml", &format!("--key a.key --add-recipient {x25519}"), &told);
    seal(&repository, "aged/x.yaml", &[&key().x25519], "");
    let told = ["the value is not post-quantum, and glass (--add-recipient) has no other recipient"];
    refuses(&repository, "aged/x.yaml", "--key a.key --add-recipient glass", &told);
    reseal(&repository, "aged --key a.key --add-recipient b");
    assert_eq!(repository.named("aged/x.yaml"), ids([&key().x25519, &new_b().x25519]));

    for option in ["add", "drop"] {
        let run = repository.run(&format!("reseal aged --key a.key --{option}-recipient nobody"));
        let expected = [
            &format!("--{option}-recipient: nobody is neither a recipient nor a file"),
            "the configuration has: a, b",
        ];
        has(&run.fails(2), &expected);
        let identity = repository.scene.read("glass.txt");
        let run =
            repository.run(&format!("reseal aged --key a.key --{option}-recipient {}", identity.trim()));
        let error = run.fails(2);
        has(&error, &["this is an identity"]);
        assert!(!error.contains("AGE-SECRET"), "{error}");
        let run = repository.run(&format!("reseal aged --context prod --{option}-recipient glass"));
        has(&run.fails(2), &["take the opening keys"]);
    }
    repository.seal("one/x.yaml", "--cert a.pem");
    let told = ["it is of format classic, which opens for nobody else", "--format age"];
    refuses(&repository, "one/x.yaml", "--key a.key --add-recipient glass", &told);
}

/// A name of the configuration, which is part of the repository, puts nobody in the place of the recipient that is named.
#[test]
fn attack_a_name_that_is_a_recipient() {
    let repository = Repository::new();
    let (own, x25519) = identity(Kind::X25519);
    repository.scene.file("own.txt", own);
    seal(&repository, "one/x.yaml", &[&key().x25519], "");
    let before = repository.scene.read("one/x.yaml");
    repository.add_recipient(&x25519.to_string(), &format!("age: {}", repository.glass));
    let add = format!("reseal one/x.yaml --key a.key --add-recipient {x25519}");
    has(&repository.run(&add).fails(2), &["a name that looks like a recipient"]);
    assert_eq!(repository.scene.read("one/x.yaml"), before);
    // Nor does a file of that name.
    repository.config(|text| text);
    repository.scene.file(&x25519.to_string(), repository.glass.to_string());
    repository.run(&add).succeeds();
    assert_eq!(repository.named("one/x.yaml"), ids([&key().x25519, &x25519]));
    assert!(repository.opens("one/x.yaml", "own.txt"));
}

#[test]
fn values_without_hints_are_known_by_what_opens_them() {
    let repository = Repository::new();
    let glass = &repository.glass;
    seal(&repository, "one/x.yaml", &[glass, &old_a().hybrid], "--no-hints");
    let before = repository.value("one/x.yaml", "password");
    reseal(&repository, "one --key old-a.key");
    let after = repository.value("one/x.yaml", "password");
    assert_eq!(named(&after), ["-", "-"], "it stays without");
    assert_eq!(header(&before).len(), header(&after).len());
    assert!(repository.opens("one/x.yaml", "a.key") && repository.opens("one/x.yaml", "glass.txt"));
    assert!(!repository.opens("one/x.yaml", "old-a.key"));
    let text = repository.scene.read("one/x.yaml");
    has(&reseal(&repository, "one --key a.key").stderr, &["0 values in 0 files"]);
    assert_eq!(repository.scene.read("one/x.yaml"), text);

    let told = ["it does not name its recipients (--no-hints)"];
    refuses(&repository, "one/x.yaml", "--key a.key --add-recipient b", &told);
    refuses(&repository, "one/x.yaml", "--key a.key --drop-recipient glass", &told);
    seal(&repository, "one/x.yaml", &[&key().hybrid], "--no-hints");
    reseal(&repository, "one --key a.key --add-recipient glass");
    assert!(repository.opens("one/x.yaml", "a.key") && repository.opens("one/x.yaml", "glass.txt"));
}

#[test]
fn what_is_asked_in_vain_is_told() {
    let repository = Repository::new();
    let glass = &repository.glass;
    seal(&repository, "one/x.yaml", &[glass, &key().hybrid], "");
    for nobody in ["0000000000000000", "b"] {
        let done = reseal(&repository, &format!("one --key a.key --drop-recipient {nobody}"));
        has(&done.stderr, &[&format!("--drop-recipient {nobody}: no value has it among its recipients")]);
    }
    // By whichever id the key goes.
    let done =
        reseal(&repository, &format!("one --key a.key --key glass.txt --drop-recipient {}", ids([glass])[0]));
    assert!(!done.stderr.contains("no value has it"), "{}", done.stderr);
    seal(&repository, "one/x.yaml", &[glass, &key().hybrid], "--no-hints");
    let done = reseal(&repository, "one --key a.key --format age --recipient glass.pub");
    has(
        &done.stderr,
        &["1 values of format age do not name their recipients", "who else opens them is not known"],
    );
    // A bare identity is a key of whom the rule names, too.
    seal(&repository, "all/x.yaml", &[&old_a().hybrid, &new_b().hybrid, glass], "");
    reseal(&repository, "all --key glass.txt");
    assert_eq!(repository.named("all/x.yaml"), ids([&key().hybrid, &new_b().hybrid, glass]));
}

#[test]
fn another_clusters_certificate_is_a_recipient_as_it_is() {
    let repository = Repository::new();
    repository.seal("x.yaml", "--cert a.pem --recipient b.pem");
    assert_eq!(repository.named("x.yaml"), ids([&key().hybrid, &new_b().hybrid]));
    reseal(&repository, "x.yaml --key a.key --cert a.pem --drop-recipient b.pem --add-recipient glass.pub");
    assert_eq!(repository.named("x.yaml"), ids([&key().hybrid, &repository.glass]));
}

/// A bare certificate does not say which keys its cluster had before.
#[test]
fn with_a_bare_certificate_it_must_be_plain_whose_place_its_key_takes() {
    let repository = Repository::new();
    let glass = &repository.glass;
    repository.scene.file("keys.pem", format!("{}\n{}", old_a().private_half, old_b().private_half));
    seal(&repository, "x.yaml", &[&old_a().hybrid], "");
    reseal(&repository, "x.yaml --key keys.pem --cert a.pem");
    assert_eq!(repository.named("x.yaml"), ids([&key().hybrid]));
    has(&reseal(&repository, "x.yaml --key a.key --cert a.pem").stderr, &["0 values"]);

    // Where its newest key is there already, whoever else can open the value is somebody else, and stays.
    for keys in ["--key glass.txt", "--key a.key --key glass.txt", "--key old-b.key"] {
        seal(&repository, "x.yaml", &[&key().hybrid, glass, &old_b().hybrid], "");
        reseal(&repository, &format!("x.yaml {keys} --cert a.pem"));
        assert_eq!(repository.named("x.yaml"), ids([&key().hybrid, glass, &old_b().hybrid]), "{keys}");
        seal(&repository, "x.yaml", &[&key().hybrid, glass], "");
        reseal(&repository, &format!("x.yaml {} --cert a.pem", keys.replace("old-b.key", "a.key")));
        assert_eq!(repository.named("x.yaml"), ids([&key().hybrid, glass]), "{keys}");
    }

    // A stranger's place is not taken.
    seal(&repository, "x.yaml", &[&old_b().hybrid, &old_a().hybrid, glass], "");
    let told = ["which of its recipients is an older key of a.pem is not known", "--only-key KEYID"];
    refuses(&repository, "x.yaml", "--key keys.pem --cert a.pem", &told);
    let id = |recipient: &Recipient| ids([recipient]).remove(0);
    for only in [id(&old_a().hybrid), id(&old_a().x25519), old_a().key_id.clone()] {
        seal(&repository, "x.yaml", &[&old_b().hybrid, &old_a().hybrid, glass], "");
        reseal(&repository, &format!("x.yaml --key keys.pem --cert a.pem --only-key {only}"));
        assert_eq!(repository.named("x.yaml"), ids([&old_b().hybrid, &key().hybrid, glass]), "{only}");
    }
    seal(&repository, "x.yaml", &[&old_a().hybrid, glass], "");
    reseal(&repository, "x.yaml --key keys.pem --cert a.pem --recipient glass.pub");
    assert_eq!(repository.named("x.yaml"), ids([&key().hybrid, glass]));
    // A certificate without recipients has none to give.
    seal(&repository, "x.yaml", &[&old_a().hybrid], "");
    refuses(&repository, "x.yaml", "--key keys.pem --cert cert.pem", &["cert.pem names no hybrid recipient"]);
}

#[test]
fn only_the_values_of_one_key() {
    let repository = Repository::new();
    seal(&repository, "all/x.yaml", &[&old_a().hybrid, &old_b().hybrid, &repository.glass], "");
    let other = ids([&repository.glass]).remove(0);
    has(
        &reseal(&repository, &format!("all --key old-a.key --only-key {other}")).stderr,
        &["0 values in 0 files"],
    );
    reseal(&repository, &format!("all --key old-a.key --only-key {}", old_a().key_id));
    assert_eq!(repository.named("all/x.yaml"), ids([&key().hybrid, &old_b().hybrid, &repository.glass]));
    let stranger = ids([&old_a().hybrid]).remove(0);
    has(
        &reseal(&repository, &format!("all --key a.key --only-key {stranger}")).stderr,
        &["0 values in 0 files"],
    );
    reseal(&repository, &format!("all --key a.key --only-key {}", ids([&old_b().hybrid])[0]));
    assert_eq!(repository.named("all/x.yaml"), ids([&key().hybrid, &new_b().hybrid, &repository.glass]));
    repository.seal("one/x.yaml", "--cert old-a.pem");
    let one = format!("one --key old-a.key --only-key {}", ids([&old_a().x25519])[0]);
    has(&reseal(&repository, &one).stderr, &["1 values in 1 files"]);
}

#[test]
fn format_age_says_what_it_takes_for_given_and_for_whom_it_opens() {
    let repository = Repository::new();
    repository.scene.file("keys.pem", format!("{}\n{}", old_a().private_half, key().private_half));
    repository.seal("all/x.yaml", "--cert old-a.pem");
    repository.seal("all/y.yaml", "--cert a.pem");
    // A rule alone widens nothing, whether or not the value says whose it is.
    let unhinted: String = repository
        .scene
        .read("all/y.yaml")
        .lines()
        .filter(|line| !line.contains("annotations") && !line.contains("sealed-with"))
        .map(|line| format!("{line}\n"))
        .collect();
    repository.scene.file("two/z.yaml", unhinted);
    let error = repository.run("reseal all two --key nowhere.key --format age").fails(1);
    has(
        &error,
        &[
            "all/x.yaml:1: document 1: ns/db: password: in format age it would open for b (rule 4",
            "glass (rule 4",
            "two/z.yaml:1: document 1: ns/db: password: in format age it would open for a (rule 3",
            "only a rule says so",
            "--for NAME",
        ],
    );
    let convert = "reseal all --key keys.pem --format age --for a --for b --for glass";
    let told = |would: &str| {
        [
            format!(
                "2 values {would} converted from format classic, which does not bind the name of the item"
            ),
            format!(
                "each opened with one key, and {would} sealed for 3 now: a (--for), b (--for), glass (--for)"
            ),
        ]
    };
    let before = repository.scene.read("all/x.yaml");
    let done = repository.run(&format!("{convert} --dry-run")).succeeds();
    told("would be").iter().for_each(|told| has(&done.stderr, &[told]));
    assert_eq!(repository.scene.read("all/x.yaml"), before);
    let done = repository.run(convert).succeeds();
    told("are").iter().for_each(|told| has(&done.stderr, &[told]));
    for file in ["all/x.yaml", "all/y.yaml"] {
        assert_eq!(repository.named(file), ids([&key().hybrid, &new_b().hybrid, &repository.glass]));
        assert!(!repository.scene.read(file).contains("sealed-with"));
        assert!(repository.opens(file, "b.key") && repository.opens(file, "glass.txt"));
    }
    let done = repository.run(convert).succeeds();
    has(&done.stderr, &["0 values in 0 files", "2 stay"]);
    assert!(!done.stderr.contains("converted"), "{}", done.stderr);

    // Those who are new can be named beside the rule.
    repository.seal("two/z.yaml", "--cert a.pem");
    reseal(&repository, "two --key a.key --format age --add-recipient b --add-recipient glass");
    assert_eq!(repository.named("two/z.yaml"), ids([&key().hybrid, &new_b().hybrid, &repository.glass]));
    // Where the rule names one, nobody is new.
    repository.seal("one/x.yaml", "--cert old-a.pem");
    let done = reseal(&repository, "one --key old-a.key --format age");
    has(&done.stderr, &["sealed for 1 now: a (rule 1"]);
    assert_eq!(repository.named("one/x.yaml"), ids([&key().hybrid]));
}

#[test]
fn format_classic_is_the_way_back() {
    let repository = Repository::new();
    seal(&repository, "one/x.yaml", &[&key().hybrid, &repository.glass], "");
    let done = reseal(&repository, "one --key a.key --format classic");
    assert_eq!(repository.value("one/x.yaml", "password").format(), Format::Classic);
    has(&repository.scene.read("one/x.yaml"), &[&format!("password={}:", key().key_id)]);
    has(
        &done.stderr,
        &[
            "1 values are converted to format classic: the names of their items are bound no more",
            &format!(
                "a (rule 1, one/**, of {}) alone opens them",
                repository.scene.path("").canonicalize().unwrap().join(".privyseal.yaml").display()
            ),
            &format!("until now {} did too", ids([&repository.glass])[0]),
        ],
    );
    assert!(repository.opens("one/x.yaml", "a.key") && !repository.opens("one/x.yaml", "glass.txt"));
    has(&reseal(&repository, "one --key a.key --format classic").stderr, &["0 values in 0 files"]);
    let run = repository.run("reseal two one --key a.key --format classic --for a --for b");
    has(&run.fails(2), &["a value of format classic opens in one cluster only, but 2 are named"]);
}

#[test]
fn post_quantum_comes_and_goes_by_name_only() {
    let repository = Repository::new();
    let (pem, vault) = vault_key();
    repository.scene.file("vault.pem", pem);
    // What the rule names can be post-quantum now: on demand.
    seal(&repository, "two/x.yaml", &[&old_a().x25519, &new_b().x25519], "");
    reseal(&repository, "two --key old-a.key");
    assert_eq!(repository.named("two/x.yaml"), ids([&key().x25519, &new_b().x25519]));
    reseal(&repository, "two --key a.key --format age");
    assert_eq!(repository.named("two/x.yaml"), ids([&key().hybrid, &new_b().hybrid]));
    // Where no hint says who could open it before, a rule alone lets nobody in.
    seal(&repository, "two/x.yaml", &[&key().x25519], "--no-hints");
    let told = ["is among its recipients is not known, and a rule alone adds nobody", "--for"];
    refuses(&repository, "two/x.yaml", "--key a.key --format age", &told);
    reseal(&repository, "two --key a.key --format age --for a --for b");
    assert!(repository.opens("two/x.yaml", "a.key") && repository.opens("two/x.yaml", "b.key"));
    // All who could open it make room for one who is post-quantum.
    seal(&repository, "x.yaml", &[&key().x25519], "");
    reseal(&repository, "x.yaml --key a.key --format age --recipient glass.pub --drop-recipient a.pem");
    assert_eq!(repository.named("x.yaml"), ids([&repository.glass]));
    // Who could open it and is not named is not left out in silence.
    seal(&repository, "two/x.yaml", &[&key().x25519, &new_b().x25519], "--recipient vault.pem");
    let told = [&format!("{} would open it no more", ids([&vault])[0])[..], "--drop-recipient"];
    refuses(&repository, "two/x.yaml", "--key a.key --format age", &told);
    reseal(&repository, &format!("two --key a.key --format age --drop-recipient {}", ids([&vault])[0]));
    assert_eq!(repository.named("two/x.yaml"), ids([&key().hybrid, &new_b().hybrid]));

    // Dropping it takes all names.
    let done = reseal(&repository, "two --key a.key --format age --for a --for b --recipient vault.pem");
    assert_eq!(repository.named("two/x.yaml"), ids([&key().x25519, &new_b().x25519, &vault]));
    has(&done.stderr, &["warning: the values are not protected against a future quantum computer"]);
    // A rule does not.
    repository.list(
        "a.keys",
        &repository.a,
        vec![format!("{}{}\n", key().certificate, key().x25519), old_a().public_half.clone()],
        &[],
    );
    seal(&repository, "one/x.yaml", &[&old_a().hybrid], "");
    let told = ["a (rule 1", "names no hybrid recipient that could take the place of its older one"];
    refuses(&repository, "one/x.yaml", "--key old-a.key", &told);
    refuses(&repository, "one/x.yaml", "--key old-a.key --format age", &told);
    reseal(&repository, "one --key old-a.key --format age --for a");
    assert_eq!(repository.named("one/x.yaml"), ids([&key().x25519]));
}

#[test]
fn formats_beside_each_other_in_one_object() {
    let repository = Repository::new();
    seal(&repository, "one/x.yaml", &[&old_a().hybrid, &repository.glass], "");
    repository.run("set one/x.yaml classic --cert old-a.pem").stdin("x").succeeds();
    let done = reseal(&repository, "one --key old-a.key -o json");
    let report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let items = &report["objects"][0]["items"];
    assert_eq!(items["classic"]["to"], key().key_id.as_str());
    assert_eq!(items["password"]["to"], ids([&key().hybrid, &repository.glass]).join("+").as_str());
    assert!(repository.opens("one/x.yaml", "a.key"));
    assert!(!repository.opens("one/x.yaml", "old-a.key"));
    assert!(repository.scene.read("one/x.yaml").contains(&format!("classic={}:", key().key_id)));
}

/// A signal at any moment: each file is old or new as a whole.
#[test]
fn what_is_stopped_is_whole() {
    let repository = Repository::new();
    let one = seal(&repository, "x.yaml", &[&old_a().hybrid, &repository.glass], "");
    let many = vec![one; 10].join("---\n");
    let files: Vec<_> = (0..20).map(|number| format!("one/{number}.yaml")).collect();
    let new = ids([&key().hybrid, &repository.glass]);
    let mut stopped = 0;
    for delay in [5, 20, 50, 100, 200] {
        files.iter().for_each(|file| _ = repository.scene.file(file, &many));
        let script =
            format!("$PRIVYSEAL reseal one --key old-a.key & sleep 0.{delay:03}; kill -INT $!; wait $!");
        stopped += usize::from(repository.scene.shell(&script).done().status != Some(0));
        assert_eq!(std::fs::read_dir(repository.scene.path("one")).unwrap().count(), files.len());
        for file in &files {
            let text = repository.scene.read(file);
            assert!(text == many || repository.named(file) == new, "{file}");
        }
    }
    assert!(stopped > 0, "no run was stopped");
    reseal(&repository, "one --key old-a.key --key a.key");
    let done = reseal(&repository, "one --key a.key");
    has(&done.stderr, &["0 values in 0 files are sealed anew, 200 stay"]);
}

/// The tree has one file that a key at hand does not open.
#[test]
fn one_that_does_not_open_hinders_all_unless_asked() {
    let repository = Repository::new();
    seal(&repository, "one/x.yaml", &[&old_a().hybrid], "");
    let text = repository.scene.read("one/x.yaml");
    repository.scene.file("one/moved.yaml", text.replace("name: db", "name: moved"));
    let error = repository.run("reseal one --key old-a.key").fails(1);
    has(&error, &["one/moved.yaml:1", "it was sealed for", "nothing was written"]);
    assert_eq!(repository.scene.read("one/x.yaml"), text);
    let done = repository.run("reseal one --key old-a.key --keep-going").done();
    assert_eq!(done.status, Some(1));
    assert_eq!(repository.named("one/x.yaml"), ids([&key().hybrid]));
}
