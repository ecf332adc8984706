//! `inspect`: what is claimed, what a key proves, and the statuses.

use crate::harness::{
    CANARY, Done, Scene, has, id_of, joined, key, leaks, other_key, recipients, seal_age, secret,
};
use serde_json::{Value, json};

fn inspect(scene: &Scene, arguments: &str, sealed: &str, status: i32) -> Done {
    let done = scene.run(&format!("inspect {arguments}")).stdin(sealed).done();
    assert_eq!(done.status, Some(status), "{}{}", done.stdout, done.stderr);
    assert!(!leaks(&done.stdout) && !leaks(&done.stderr));
    done
}

fn json_of(done: &Done) -> Value {
    serde_json::from_str(&done.stdout).unwrap()
}

#[test]
fn what_stands_beside_sealed_secrets_is_left_out() {
    let scene = Scene::new();
    let sealed = scene.seal(&secret(Some("ns"), Some("db")));
    let other = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: app}\n";
    let rendered = format!("{other}---\n{sealed}---\n{other}");
    let done = inspect(&scene, "", &rendered, 0);
    has(&done.stdout, &["SealedSecret ns/db (stdin:5: document 2)"]);
    assert_eq!(done.stdout.matches("SealedSecret").count(), 1);
    let opened = scene.run("unseal --key key.pem").stdin(&rendered).succeeds();
    assert_eq!(opened.stdout.matches("kind: ").count(), 1);
    let none = inspect(&scene, "", other, 2);
    has(&none.stderr, &["stdin:2:7", "expected SealedSecret, found ConfigMap"]);
}

#[test]
fn without_a_key_it_tells_what_is_claimed() {
    let scene = Scene::new();
    let sealed = scene.seal(&secret(Some("ns"), Some("db")));
    let done = inspect(&scene, "sealed.yaml", "", 0);
    assert_eq!(
        done.stdout,
        format!(
            "SealedSecret ns/db (sealed.yaml:1: document 1)\n  bound to: scope strict, namespace ns, name db\n  \
             password: classic, RSA 2048, 298 bytes; key {} (claimed by hint)\n",
            key().key_id
        )
    );
    let report = json_of(&inspect(&scene, "-o json", &sealed, 0));
    assert_eq!(
        report,
        json!({"objects": [{
            "source": "stdin", "line": 1, "document": 1, "namespace": "ns", "name": "db", "scope": "strict",
            "boundTo": {"scope": "strict", "namespace": "ns", "name": "db"},
            "items": [{
                "item": "password", "format": "classic", "bytes": 298, "rsaBits": 2048, "claimedKeyIds": [key().key_id],
            }],
        }]})
    );
}

#[test]
fn a_stale_hint_claims_nothing() {
    let scene = Scene::new();
    let sealed = scene.seal(&secret(Some("ns"), Some("db")));
    let stale: String = sealed
        .lines()
        .filter(|line| !line.contains("privyseal.dev/sealed-with"))
        .collect::<Vec<_>>()
        .join("\n");
    let stale = stale.replace("  annotations:\n", "");
    has(&inspect(&scene, "", &stale, 0).stdout, &["key not named"]);
}

#[test]
fn a_key_proves_it() {
    let scene = Scene::new();
    let sealed = scene.seal(&secret(Some("ns"), Some("db")));
    let done = inspect(&scene, "--key key.pem", &sealed, 0);
    has(&done.stdout, &[&format!("opens with {} (verified)", key().fingerprint)]);
    let report = json_of(&inspect(&scene, "--key key.pem -o json", &sealed, 0));
    assert_eq!(
        report["objects"][0]["items"][0]["verdict"],
        json!({"result": "opens", "fingerprint": key().fingerprint, "keyId": key().key_id})
    );
}

#[test]
fn a_wrong_key_and_a_right_key_under_another_name_are_told_apart() {
    let scene = Scene::new();
    scene.file("other.pem", &other_key().private);
    let sealed = scene.seal(&secret(Some("ns"), Some("db")));

    let done = inspect(&scene, "--key other.pem", &sealed, 1);
    has(&done.stdout, &["DOES NOT OPEN with the keys given"]);
    has(&done.stderr, &["error: items that are damaged or do not open: 1 of 1"]);
    let report = json_of(&inspect(&scene, "--key other.pem -o json", &sealed, 1));
    assert_eq!(report["objects"][0]["items"][0]["verdict"], json!({"result": "does-not-open"}));

    // The template still has the old name.
    let renamed = sealed.replacen("name: db", "name: renamed", 1);
    let done = inspect(&scene, "--key key.pem", &renamed, 1);
    has(&done.stdout, &["is the right key, but it was sealed for scope strict, namespace ns, name db"]);
    let report = json_of(&inspect(&scene, "--key key.pem -o json", &renamed, 1));
    assert_eq!(
        report["objects"][0]["items"][0]["verdict"]["boundTo"],
        json!({"scope": "strict", "namespace": "ns", "name": "db"})
    );

    // Nothing has it any more, but the person remembers.
    let moved = sealed.replace("name: db", "name: renamed").replace("namespace: ns", "namespace: moved");
    has(&inspect(&scene, "--key key.pem", &moved, 1).stdout, &["under any name tried"]);
    let done = inspect(&scene, "--key key.pem --as x/y --as ns/db", &moved, 1);
    has(&done.stdout, &["it was sealed for scope strict, namespace ns, name db"]);
}

#[test]
fn damage_is_a_finding() {
    let scene = Scene::new();
    let sealed = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: a}\nspec:\n  encryptedData:\n    \
                  \"\\e[31mk\": '*'\n    v: AAAA\n";
    let done = inspect(&scene, "", sealed, 1);
    has(
        &done.stdout,
        &[
            "SealedSecret a (stdin:1: document 1)",
            "metadata.namespace is missing",
            "\\u{1b}[31mk: the item's name is not",
            "v: damaged: no RSA key could have made it",
        ],
    );
    has(&inspect(&scene, "", "a: 1\n", 2).stderr, &["stdin:1:1: document 1"]);
}

#[test]
fn many_objects_are_told_in_order() {
    let scene = Scene::new();
    let sealed =
        scene.seal(&format!("{}---\n{}", secret(Some("ns"), Some("a")), secret(Some("ns"), Some("b"))));
    let done = inspect(&scene, "", &sealed, 0);
    has(&done.stdout, &["SealedSecret ns/a (stdin:2: document 1)", "\n\nSealedSecret ns/b ("]);
    let report = json_of(&inspect(&scene, "-o json sealed.yaml -", &sealed, 0));
    assert_eq!(report["objects"].as_array().unwrap().len(), 4);
}

#[test]
fn an_object_that_no_secret_is_made_of_is_told() {
    let scene = Scene::new();
    let sealed = scene.seal(&secret(Some("ns"), Some("db")));
    for (line, more, told) in [
        ("\nspec:\n", "  data: AgA=\n", "spec.data, the deprecated form"),
        ("\n  template:\n", "    data: {a: '{{ .password }}'}\n", "spec.template.data is not supported"),
    ] {
        let changed = sealed.replacen(line, &format!("{line}{more}"), 1);
        let done = inspect(&scene, "--key key.pem", &changed, 1);
        has(&done.stdout, &["opens with", "NO SECRET IS MADE OF IT", told]);
        has(&done.stderr, &["error: objects that no Secret can be made of: 1 of 1"]);
    }
    let odd_item = sealed.replacen("    password:", "    pass/word:", 1);
    has(&inspect(&scene, "--key key.pem", &odd_item, 1).stdout, &["the item's name is not"]);
}

/// `ns/db` with a classic value `password` and one of the age format, `token`, for both keys.
fn both_formats(scene: &Scene) -> String {
    let classic = scene.seal(&secret(Some("ns"), Some("db")));
    let token = secret(Some("ns"), Some("db")).replace("password", "token");
    joined(&classic, &seal_age(&token, &recipients([&key().hybrid, &other_key().hybrid])))
}

#[test]
fn both_formats_stand_in_one_report() {
    let scene = Scene::new();
    let sealed = both_formats(&scene);
    let [ours, theirs] = [key(), other_key()].map(|key| id_of(&key.hybrid));
    // age adds a stanza of random length, so that readers learn to pass over what they do not know.
    let token = sealed.split("    token: ").nth(1).unwrap().lines().next().unwrap();
    let bytes = token.len() / 4 * 3 - token.matches('=').count();
    assert!((3000..4000).contains(&bytes), "{bytes}");
    let done = inspect(&scene, "", &sealed, 0);
    assert_eq!(
        done.stdout,
        format!(
            "SealedSecret ns/db (stdin:1: document 1)\n  bound to: scope strict, namespace ns, name db\n  \
             password: classic, RSA 2048, 298 bytes; key {} (claimed by hint)\n  \
             token: age, {bytes} bytes, post-quantum\n    \
             recipient: hybrid, key {ours} (claimed by hint)\n    \
             recipient: hybrid, key {theirs} (claimed by hint)\n",
            key().key_id
        )
    );

    scene.file("private.txt", &key().private_half);
    let done = inspect(&scene, "--key private.txt", &sealed, 0);
    has(
        &done.stdout,
        &[
            &format!("opens with {} (verified)\n", key().fingerprint),
            &format!("post-quantum; opens with {}, bound to this item (verified)\n", key().fingerprint),
            &format!("recipient: hybrid, key {ours} (claimed by hint), which is of {}\n", key().fingerprint),
            &format!("recipient: hybrid, key {theirs} (claimed by hint)\n"),
        ],
    );
    let report = json_of(&inspect(&scene, "--key private.txt -o json", &sealed, 0));
    assert_eq!(
        report["objects"][0]["items"][1],
        json!({
            "item": "token", "format": "age", "bytes": bytes, "postQuantum": true, "claimedKeyIds": [ours, theirs],
            "recipients": [
                {"kind": "hybrid", "claimedKeyId": ours, "atHand": key().fingerprint},
                {"kind": "hybrid", "claimedKeyId": theirs},
            ],
            "verdict": {"result": "opens", "fingerprint": key().fingerprint, "keyId": key().key_id},
        })
    );
}

#[test]
fn an_age_value_that_does_not_open_says_why() {
    let scene = Scene::new();
    scene.file("key.txt", &key().private_half);
    scene.file("other.txt", &other_key().private_half);
    let secret = secret(Some("ns"), Some("db"));
    for (recipient, others) in [(&key().hybrid, &other_key().hybrid), (&key().x25519, &other_key().x25519)] {
        let sealed = seal_age(&secret, &recipients([recipient]));
        let verdict = |sealed: &str, told: &str| {
            let done = inspect(&scene, "--key key.txt", sealed, 1);
            has(&done.stdout, &["DOES NOT OPEN", told]);
            let report = json_of(&inspect(&scene, "--key key.txt -o json", sealed, 1));
            report["objects"][0]["items"][0]["verdict"].clone()
        };
        let (fingerprint, key_id) = (&key().fingerprint, &key().key_id);

        let renamed =
            sealed.replace("name: db", "name: renamed").replace("namespace: ns", "namespace: moved");
        let told = "is the right key, but it was sealed for scope strict, namespace ns, name db\n";
        assert_eq!(
            verdict(&renamed, told),
            json!({
                "result": "opens-under", "fingerprint": fingerprint, "keyId": key_id, "item": "password",
                "boundTo": {"scope": "strict", "namespace": "ns", "name": "db"},
            })
        );
        let moved = sealed.replace("    password:", "    token:");
        let told = "it was sealed for scope strict, namespace ns, name db, item password\n";
        assert_eq!(verdict(&moved, told)["item"], "password");

        let (head, line) = sealed.split_at(sealed.find("    password: ").unwrap() + 14);
        let (value, rest) = line.split_once('\n').unwrap();
        // A character well within the payload.
        let at = value.len() - 30;
        let other = if &value[at..=at] == "A" { "B" } else { "A" };
        let damaged = format!("{head}{}{other}{}\n{rest}", &value[..at], &value[at + 1..]);
        let told = "is the right key, but it was changed after it was sealed\n";
        assert_eq!(
            verdict(&damaged, told),
            json!({"result": "damaged", "fingerprint": fingerprint, "keyId": key_id})
        );

        // Somebody's own file: its first line is not to be shown.
        let file = privyseal_envelope::age::encrypt(CANARY.as_bytes(), &recipients([recipient])).unwrap();
        let base64 = serde_json::to_value(k8s_openapi::ByteString(file)).unwrap();
        let foreign = format!("{head}{}\n{rest}", base64.as_str().unwrap());
        let told = "is the right key, but it was not sealed by Privyseal: no binding line\n";
        assert_eq!(
            verdict(&foreign, told),
            json!({"result": "not-bound", "fingerprint": fingerprint, "keyId": key_id})
        );

        let sealed = seal_age(&secret, &recipients([others]));
        let told = "none of the keys given is among its recipients\n    recipient: ";
        assert_eq!(verdict(&sealed, told), json!({"result": "does-not-open"}));
    }
}

#[test]
fn what_nobody_names_is_told_as_such() {
    let scene = Scene::new();
    let to = recipients([&key().x25519]).without_hints();
    let sealed = seal_age(&secret(Some("ns"), Some("db")), &to);
    let done = inspect(&scene, "", &sealed, 0);
    has(&done.stdout, &["bytes, NOT post-quantum\n    recipient: x25519, key not named\n"]);
}
