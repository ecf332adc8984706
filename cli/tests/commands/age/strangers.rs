//! Values with recipients of kinds that Privyseal does not know, which whoever has stock `age` and a plugin can seal.

use super::repository::{Repository, ids, new_b, old_a};
use crate::harness::{CANARY, Done, has, key};
use age_core::format::{FileKey, Stanza};
use privyseal_envelope::age::hybrid::HybridRecipient;
use privyseal_envelope::age::{File, Recipient};
use serde_json::json;
use std::collections::HashSet;
use std::io::Write as _;

const STRANGERS: [&str; 3] = ["ssh-ed25519", "piv-p256", "piv-p256"];
const SHOWN: &str = "3 of a kind that Privyseal does not know: piv-p256, ssh-ed25519";

/// A recipient, with a hint, and strangers after it.
struct WithStrangers<'a>(&'a Recipient);

impl age::Recipient for WithStrangers<'_> {
    fn wrap_file_key(&self, file_key: &FileKey) -> Result<(Vec<Stanza>, HashSet<String>), age::EncryptError> {
        let text = self.0.to_string();
        let (own, labels) = match self.0 {
            Recipient::Hybrid(_) => text.parse::<HybridRecipient>().unwrap().wrap_file_key(file_key)?,
            _ => text.parse::<age::x25519::Recipient>().unwrap().wrap_file_key(file_key)?,
        };
        let stanza = |tag: &str, args: Vec<String>| Stanza { tag: tag.to_owned(), args, body: Vec::new() };
        let mut stanzas = vec![stanza("privyseal.dev/key", ids([self.0]))];
        stanzas.extend(own);
        stanzas.extend(STRANGERS.map(|tag| stanza(tag, vec!["AAAA".to_owned()])));
        Ok((stanzas, labels))
    }
}

fn write(repository: &Repository, file: &str, recipient: &Recipient) {
    let recipient = WithStrangers(recipient);
    let encryptor = age::Encryptor::with_recipients(std::iter::once(&recipient as _)).unwrap();
    let mut bytes = Vec::new();
    let mut writer = encryptor.wrap_output(&mut bytes).unwrap();
    write!(writer, "privyseal.dev/v1 scope=strict namespace=ns name=db key=password\n{CANARY}").unwrap();
    writer.finish().unwrap();
    let sealed = repository.seal(file, "--for a --format age");
    let was = &repository.object(file).spec.encrypted_data["password"];
    let base64 = serde_json::to_value(k8s_openapi::ByteString(bytes)).unwrap();
    repository.scene.file(file, sealed.replace(was, base64.as_str().unwrap()));
}

fn strangers(repository: &Repository, file: &str) -> Vec<String> {
    let value = repository.value(file, "password");
    File::parse(&value).unwrap().strangers().map(str::to_owned).collect()
}

fn reseal(repository: &Repository, arguments: &str) -> Done {
    repository.run(&format!("reseal {arguments}")).succeeds()
}

#[test]
fn inspect_shows_them_and_says_of_no_such_value_that_it_is_post_quantum() {
    let repository = Repository::new();
    for (recipient, word, is) in [
        (&key().hybrid, ", not known to be post-quantum; opens with", json!(null)),
        (&key().x25519, ", NOT post-quantum; opens with", json!(false)),
    ] {
        write(&repository, "x.yaml", recipient);
        let done = repository.run("inspect x.yaml --key a.key").succeeds();
        has(
            &done.stdout,
            &[word, "bound to this item (verified)", "\n    recipient: ", &format!("\n    and {SHOWN}\n")],
        );
        let report = repository.run("inspect x.yaml -o json").succeeds().stdout;
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        let item = &report["objects"][0]["items"][0];
        assert_eq!((&item["strangers"], &item["postQuantum"]), (&json!(STRANGERS), &is));
    }
}

#[test]
fn reseal_keeps_them_and_says_so() {
    let repository = Repository::new();
    for (old, new) in [(&old_a().hybrid, &key().hybrid), (&old_a().x25519, &key().x25519)] {
        write(&repository, "one/x.yaml", old);
        let told = "warning: one/x.yaml:1: document 1: ns/db: recipients stay as they were that";
        for arguments in ["one --key old-a.key", "one --key a.key"] {
            let done = reseal(&repository, arguments);
            has(&done.stderr, &[told, SHOWN, "--format age, with all whom they are for"]);
            assert!(!done.stderr.contains("gone"), "{}", done.stderr);
            assert_eq!(repository.named("one/x.yaml"), ids([new]));
            assert_eq!(strangers(&repository, "one/x.yaml"), STRANGERS);
            assert!(repository.opens("one/x.yaml", "a.key"));
        }
    }
}

/// A rule alone has nothing sealed anew for their sake. Where post-quantum recipients take the place of all others, that
/// they go is told.
#[test]
fn format_age_under_a_rule_drops_them_with_classical_recipients_only() {
    let repository = Repository::new();
    write(&repository, "one/x.yaml", &key().hybrid);
    let done = reseal(&repository, "one --key a.key --format age");
    has(&done.stderr, &["recipients stay as they were that", SHOWN]);
    assert_eq!(strangers(&repository, "one/x.yaml"), STRANGERS);
    write(&repository, "one/x.yaml", &key().x25519);
    let done = reseal(&repository, "one --key a.key --format age");
    has(&done.stderr, &["3 recipients of a kind that Privyseal does not know are gone"]);
    assert_eq!(strangers(&repository, "one/x.yaml"), [""; 0]);
    assert_eq!(repository.named("one/x.yaml"), ids([&key().hybrid]));
}

#[test]
fn format_age_seals_anew_without_them_for_whom_the_command_line_names() {
    let repository = Repository::new();
    for recipient in [&old_a().hybrid, &key().hybrid] {
        write(&repository, "one/x.yaml", recipient);
        let anew = "one/x.yaml --key a.key --key old-a.key --format age --for a";
        let done = reseal(&repository, &format!("{anew} --dry-run"));
        has(&done.stderr, &["3 recipients of a kind that Privyseal does not know would be gone"]);
        assert_eq!(strangers(&repository, "one/x.yaml"), STRANGERS);
        let done = reseal(&repository, anew);
        has(&done.stderr, &["3 recipients of a kind that Privyseal does not know are gone"]);
        assert!(!done.stderr.contains("stay as they were that"), "{}", done.stderr);
        assert_eq!(strangers(&repository, "one/x.yaml"), [""; 0]);
        assert_eq!(repository.named("one/x.yaml"), ids([&key().hybrid]));
        assert!(repository.opens("one/x.yaml", "a.key"));
    }
    // Nobody of a kind that we know may fall by the way.
    write(&repository, "one/x.yaml", &new_b().hybrid);
    let before = repository.scene.read("one/x.yaml");
    let error = repository.run("reseal one/x.yaml --key b.key --format age --for a").fails(1);
    has(&error, &["recipients cannot be dropped one by one that are 3 of a kind", "name that one too"]);
    assert_eq!(repository.scene.read("one/x.yaml"), before);
    reseal(&repository, "one/x.yaml --key b.key --format age --for a --for b");
    assert_eq!(repository.named("one/x.yaml"), ids([&key().hybrid, &new_b().hybrid]));
}
