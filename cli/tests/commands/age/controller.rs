//! `reseal` through controllers: what comes back is the value that was sent, with their newest key in the place of an older
//! one of theirs, and nothing else is taken. API server and controller are doubles; the end-to-end tests have real ones.

use super::repository::{Repository, identity, ids, new_b, old_a, old_b};
use crate::cluster::refusal;
use crate::harness::{TestKey, has, key};
use jiff::Timestamp;
use privyseal_envelope::SealedValue;
use privyseal_envelope::age::{Kind, Recipient, Recipients, Rewrap};
use privyseal_keys::{Keyring, PublicHalf, PublishedKeys, PublisherKey, private_halves};
use privyseal_manifest::SealedSecret;
use privyseal_seal::{Change, SealTo, Value, reseal};
use serde_json::json;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;

/// What a controller makes of an object that it is to reseal.
type Rotate = Arc<dyn Fn(&SealedSecret, &Held) -> SealedSecret + Send + Sync>;

/// The keys of a cluster, newest first.
struct Held {
    keys: [&'static TestKey; 2],
    keyring: Keyring,
}

impl Held {
    fn new(keys: [&'static TestKey; 2]) -> Self {
        let entries = keys.iter().flat_map(|key| private_halves("key", key.private_half.as_bytes()));
        Self { keys, keyring: Keyring::new(entries.map(|entry| entry.ok().unwrap()).collect()) }
    }

    /// What a change makes of all values.
    fn changed<'a>(&self, sealed: &SealedSecret, change: impl Fn(&Value<'_>) -> Change<'a>) -> SealedSecret {
        let mut after = sealed.clone();
        reseal(sealed, &self.keyring, 100, change).unwrap().apply(&mut after);
        after
    }

    /// As our controller does it.
    fn honest(&self, sealed: &SealedSecret) -> SealedSecret {
        let half = PublicHalf::from_text(self.keys[0].public_half.as_bytes()).unwrap();
        let classic = half.certificate.usable_at(Timestamp::now()).unwrap();
        self.changed(sealed, |value| {
            let Some(opened) = value.recipients.iter().find(|place| Some(place.at) == value.opened_by.stanza)
            else {
                return Change::Seal(SealTo::Classic(classic));
            };
            let newest = half.recipient(opened.kind).unwrap();
            Change::Rewrap(Rewrap { replace: vec![(*opened, newest)], ..Rewrap::default() })
        })
    }

    fn answer(&self, path: &str, body: &[u8], rotate: &Rotate) -> (u16, String) {
        if path.ends_with("/services/privyseal") {
            let ports = json!([{"name": "http", "port": 8080}]);
            let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "privyseal"},
                                 "spec": {"ports": ports}});
            return (200, service.to_string());
        }
        let Ok(sealed) = serde_json::from_slice::<SealedSecret>(body) else { return (404, refusal(404)) };
        match path.rsplit_once("/proxy/v1/").map(|(_, verb)| verb) {
            Some("verify") => match privyseal_seal::open(&sealed, &self.keyring, 100) {
                Ok(opened) => {
                    let with = opened.opened_by.iter();
                    let with = with.map(|(item, by)| (item.as_str().to_owned(), by.key.key_id().to_string()));
                    let with: serde_json::Map<_, _> = with.map(|(item, key)| (item, key.into())).collect();
                    (200, json!({"openedWith": with}).to_string())
                }
                Err(_) => (409, refusal(409)),
            },
            Some("rotate") => (200, serde_json::to_string(&rotate(&sealed, self)).unwrap()),
            _ => (404, refusal(404)),
        }
    }
}

/// A cluster that answers, and its address.
fn cluster(publisher: &PublisherKey, keys: [&'static TestKey; 2], rotate: Rotate) -> u16 {
    let halves = keys.map(|key| PublicHalf::from_text(key.public_half.as_bytes()).unwrap()).to_vec();
    let list = PublishedKeys { serial: 7, time: Timestamp::now(), keys: halves, revoked: Vec::new() };
    let published = list.publish(publisher);
    let list = privyseal_custody::published::to_config_map("privyseal", &published, None);
    let list = serde_json::to_string(&list).unwrap();
    let held = Held::new(keys);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
            let length = head
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = Vec::new();
            let _ = reader.by_ref().take(length.unwrap_or(0)).read_to_end(&mut body);
            let path = head.split_whitespace().nth(1).unwrap_or_default().trim_end_matches('?');
            let (status, text) = match path.ends_with("/configmaps/privyseal-sealing-keys") {
                true => (200, list.clone()),
                false => held.answer(path, &body, &rotate),
            };
            let head =
                format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", text.len());
            let _ = reader.get_mut().write_all((head + &text).as_bytes());
        }
    });
    port
}

fn honest() -> Rotate {
    Arc::new(|sealed, held| held.honest(sealed))
}

/// A repository whose clusters have contexts; cluster `a` does what it is told to.
fn repository(rotate: Rotate) -> Repository {
    let repository = Repository::new();
    let a = cluster(&repository.a, [key(), old_a()], rotate);
    let b = cluster(&repository.b, [new_b(), old_b()], honest());
    let server = |name: &str, port: u16| {
        format!("- {{name: {name}, cluster: {{server: 'http://127.0.0.1:{port}'}}}}\n")
    };
    let context = |name: &str| format!("- {{name: {name}, context: {{cluster: {name}, user: u}}}}\n");
    let config = format!(
        "apiVersion: v1\nkind: Config\nclusters:\n{}{}contexts:\n{}{}users: [{{name: u, user: {{}}}}]\n",
        server("a", a),
        server("b", b),
        context("a"),
        context("b")
    );
    repository.scene.file("config", config);
    repository.config(with_contexts);
    repository
}

fn with_contexts(text: String) -> String {
    text.replace("{keys: a.keys}", "{keys: a.keys, context: a}")
        .replace("{keys: b.keys}", "{keys: b.keys, context: b}")
}

fn seal(repository: &Repository, file: &str, to: &[&Recipient], more: &str) {
    let text: String = to.iter().map(|recipient| format!("{recipient}\n")).collect();
    repository.scene.file("to.txt", text);
    repository.seal(file, &format!("--recipient to.txt {more}"));
}

#[test]
fn each_cluster_has_its_turn() {
    let repository = repository(honest());
    let run = |arguments: &str| repository.run(&format!("reseal {arguments} --kubeconfig config"));
    for [old_a, old_b, a, b] in [
        [&old_a().hybrid, &old_b().hybrid, &key().hybrid, &new_b().hybrid],
        [&old_a().x25519, &old_b().x25519, &key().x25519, &new_b().x25519],
    ] {
        seal(&repository, "two/x.yaml", &[old_b, old_a], "");
        run("two").succeeds();
        assert_eq!(repository.named("two/x.yaml"), ids([b, a]));
        assert!(repository.opens("two/x.yaml", "a.key") && repository.opens("two/x.yaml", "b.key"));
        has(&run("two").succeeds().stderr, &["0 values in 0 files", "1 stay"]);
    }
    // Without hints, and beside a classic value, and for one of the two only.
    seal(&repository, "two/x.yaml", &[&old_a().hybrid, &old_b().hybrid, &repository.glass], "--no-hints");
    run("two").succeeds();
    for (key, opens) in
        [("a.key", true), ("b.key", true), ("glass.txt", true), ("old-a.key", false), ("old-b.key", false)]
    {
        assert_eq!(repository.opens("two/x.yaml", key), opens, "{key}");
    }
    seal(&repository, "one/x.yaml", &[&old_a().hybrid, &old_b().hybrid], "");
    repository.run("set one/x.yaml classic --cert old-a.pem").stdin("x").succeeds();
    has(&run("one").succeeds().stderr, &["2 values in 1 files"]);
    assert_eq!(repository.named("one/x.yaml"), ids([&key().hybrid, &old_b().hybrid]));
    has(&repository.scene.read("one/x.yaml"), &[&format!("classic={}:", key().key_id)]);

    // Only the values of one key, by any name of it.
    seal(&repository, "one/x.yaml", &[&old_a().hybrid], "");
    has(&run(&format!("one --only-key {}", new_b().key_id)).succeeds().stderr, &["0 values"]);
    has(&run(&format!("one --only-key {}", old_a().key_id)).succeeds().stderr, &["1 values"]);
    seal(&repository, "one/x.yaml", &[&old_a().hybrid], "");
    has(&run(&format!("one --only-key {}", ids([&old_a().hybrid])[0])).succeeds().stderr, &["1 values"]);
}

#[test]
fn one_that_cannot_be_asked_is_told_and_a_difference_asks_nobody() {
    let repository = repository(honest());
    repository.config(|text| text.replace("{keys: a.keys}", "{keys: a.keys, context: a}"));
    seal(&repository, "two/x.yaml", &[&old_b().hybrid, &old_a().hybrid], "");
    let done = repository.run("reseal two --kubeconfig config").succeeds();
    has(&done.stderr, &["b (rule 3, two/**", "is not asked: older keys of it stay in the values"]);
    assert_eq!(repository.named("two/x.yaml"), ids([&old_b().hybrid, &key().hybrid]));
    repository.config(with_contexts);
    let before = repository.scene.read("two/x.yaml");
    seal(&repository, "two/y.yaml", &[&old_a().hybrid], "");
    let told = ["two/y.yaml:1", "b (rule 3, two/**", "is not among its recipients", "nothing was opened"];
    has(&repository.run("reseal two --kubeconfig config").fails(1), &told);
    assert_eq!(repository.scene.read("two/x.yaml"), before);
    // What is for somebody else the controller does not open, and says no more.
    seal(&repository, "one/x.yaml", &[&repository.glass], "--no-hints");
    has(&repository.run("reseal one --kubeconfig config").fails(1), &["the controller does not open it"]);
}

/// In base64, which says a hint's key id otherwise.
fn renamed(value: &str, from: &Recipient, to: &Recipient) -> String {
    let [from, to] = [from, to].map(|recipient| ids([recipient]).remove(0));
    let mut bytes = SealedValue::from_base64(value).unwrap().as_bytes().to_vec();
    let at = bytes.windows(16).position(|window| window == from.as_bytes()).unwrap();
    bytes[at..at + 16].copy_from_slice(to.as_bytes());
    serde_json::to_value(k8s_openapi::ByteString(bytes)).unwrap().as_str().unwrap().to_owned()
}

#[test]
fn attack_a_controller_that_gives_back_something_else() {
    let (_, mallory) = identity(Kind::Hybrid);
    let foreign = Repository::new().glass;
    let rewrapped = |change: fn(&Value<'_>, &'static Recipient) -> Rewrap<'static>| -> Rotate {
        let mallory: &'static Recipient = Box::leak(Box::new(mallory.clone()));
        Arc::new(move |sealed, held| {
            held.changed(&held.honest(sealed), |value| Change::Rewrap(change(value, mallory)))
        })
    };
    let (recipient, other) = (mallory.clone(), foreign.clone());
    let attacks: Vec<(&str, Rotate)> = vec![
        ("adds a recipient", rewrapped(|_, mallory| Rewrap { add: vec![mallory], ..Rewrap::default() })),
        (
            "drops another",
            rewrapped(|value, _| Rewrap { drop: vec![value.recipients[1]], ..Rewrap::default() }),
        ),
        (
            "puts one in another's place",
            rewrapped(|value, mallory| Rewrap {
                replace: vec![(value.recipients[1], mallory)],
                ..Rewrap::default()
            }),
        ),
        ("puts one in another's place, under his name", {
            let put = rewrapped(|value, mallory| Rewrap {
                replace: vec![(value.recipients[1], mallory)],
                ..Rewrap::default()
            });
            Arc::new(move |sealed, held| {
                let mut after = put(sealed, held);
                for text in after.spec.encrypted_data.values_mut() {
                    *text = renamed(text, &recipient, &other);
                }
                after
            })
        }),
        (
            "gives its own place away",
            rewrapped(|value, mallory| Rewrap {
                replace: vec![(value.recipients[0], mallory)],
                ..Rewrap::default()
            }),
        ),
        ("adds one under its own name", {
            let put = rewrapped(|_, mallory| Rewrap { add: vec![mallory], ..Rewrap::default() });
            let recipient = mallory.clone();
            Arc::new(move |sealed, held| {
                let mut after = put(sealed, held);
                for text in after.spec.encrypted_data.values_mut() {
                    *text = renamed(text, &recipient, &key().hybrid);
                }
                after
            })
        }),
        ("takes another's place", {
            Arc::new(|sealed, held| {
                let newest: &'static Recipient = &key().hybrid;
                held.changed(&held.honest(sealed), |value| {
                    let replace = vec![(value.recipients[1], newest)];
                    Change::Rewrap(Rewrap { replace, ..Rewrap::default() })
                })
            })
        }),
        ("says of another's place that it is somebody else's", {
            let (recipient, other) = (mallory.clone(), foreign.clone());
            Arc::new(move |sealed, held| {
                let mut after = held.honest(sealed);
                for text in after.spec.encrypted_data.values_mut() {
                    *text = renamed(text, &other, &recipient);
                }
                after
            })
        }),
        ("gives back an older key", Arc::new(|sealed, _| sealed.clone())),
        ("seals something else", {
            let glass = foreign.clone();
            Arc::new(move |sealed, held| {
                let to = Recipients::new([key().hybrid.clone(), glass.clone()]).unwrap();
                held.changed(sealed, |_| Change::Seal(SealTo::Age(Box::leak(Box::new(to.clone())))))
            })
        }),
        (
            "gives back a classic value",
            Arc::new(|sealed, held| {
                let half = PublicHalf::from_text(key().public_half.as_bytes()).unwrap();
                let classic = half.certificate.usable_at(Timestamp::now()).unwrap().clone();
                held.changed(sealed, |_| Change::Seal(SealTo::Classic(Box::leak(Box::new(classic.clone())))))
            }),
        ),
        (
            "loses it",
            Arc::new(|sealed, held| {
                let mut after = held.honest(sealed);
                after.spec.encrypted_data.clear();
                after
            }),
        ),
    ];
    for (what, rotate) in attacks {
        let repository = repository(rotate);
        seal(&repository, "one/x.yaml", &[&old_a().hybrid, &foreign], "");
        let before = repository.scene.read("one/x.yaml");
        let done = repository.run("reseal one --kubeconfig config").done();
        assert_eq!(done.status, Some(1), "{what}: {}", done.stderr);
        has(&done.stderr, &["one/x.yaml:1: document 1: ns/db: the controller", "nothing was written"]);
        assert_eq!(repository.scene.read("one/x.yaml"), before, "{what}");
    }
    // The same without an attack.
    let repository = repository(honest());
    seal(&repository, "one/x.yaml", &[&old_a().hybrid, &foreign], "");
    repository.run("reseal one --kubeconfig config").succeeds();
    assert_eq!(repository.named("one/x.yaml"), ids([&key().hybrid, &foreign]));
}

#[test]
fn keys_are_fetched_with_their_recipients_and_init_goes_by_them() {
    let repository = repository(honest());
    let fetch = |more: &str| repository.run(&format!("keys fetch --for a --kubeconfig config {more}"));
    let done = fetch("").succeeds();
    assert_eq!(done.stdout, key().public_half);
    has(
        &done.stderr,
        &[&format!("hybrid recipient {}", key().hybrid.fingerprint()), "x25519 recipient SHA256:"],
    );
    assert_eq!(fetch("--recipients").succeeds().stdout, format!("{}\n", key().hybrid));
    let done = repository.run("keys fetch --cert cert.pem --recipients");
    has(&done.fails(2), &["cert.pem: it names no age recipients"]);
    let done = repository.run("keys fetch --for glass");
    has(&done.fails(2), &["glass (--for): a recipient of the configuration"]);

    fetch("--published --out-file fetched.keys").succeeds();
    repository.config(|text| with_contexts(text).replace("a.keys", "fetched.keys"));
    repository.seal("x.yaml", "--for a --format age");
    assert_eq!(repository.named("x.yaml"), ids([&key().hybrid]));

    std::fs::remove_file(repository.scene.path(".privyseal.yaml")).unwrap();
    let publisher = repository.a.public_key().fingerprint();
    let init = format!("init --context a --kubeconfig config --yes-trust {publisher}");
    repository.run(&init).succeeds();
    repository.scene.file("secret.yaml", crate::harness::secret(Some("ns"), Some("db")));
    let done = repository.run("seal secret.yaml --format age --out-file y.yaml").succeeds();
    has(&done.stderr, &[&format!("sealing to hybrid recipient {}", key().hybrid.fingerprint())]);
    assert_eq!(repository.named("y.yaml"), ids([&key().hybrid]));
}
