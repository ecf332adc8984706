//! What docs/break-glass.md tells to do without us, done as it stands there: the tests take the commands out of the page,
//! and give them age, coreutils and sed, kubectl where they ask for it, and nothing else.

use super::peers::{GoAge, Ours, Peer, generate};
use privyseal_envelope::age::{self, Identity, Kind, Recipients};
use privyseal_envelope::{Binding, Item, Name, Namespace};
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::sealing::privyseal_command;
use privyseal_tests::{ControlPlane, Controller, ControllerOptions, Release, ReleaseOptions, tools};
use serde_json::{Value, json};
use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Output};
use tempfile::TempDir;

/// The commands below a heading of the page.
fn commands(heading: &str) -> Vec<String> {
    let page = std::fs::read_to_string(tools::repository().join("docs/break-glass.md")).unwrap();
    let below = page.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no {heading}")).1;
    let section = below.split("\n## ").next().unwrap();
    let blocks = section.split("```sh\n").skip(1);
    let commands: Vec<_> = blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect();
    assert!(!commands.is_empty(), "no commands below {heading}");
    commands
}

/// Somebody with a folder and an identity, at a machine that has none of our programs.
struct Desk {
    folder: TempDir,
    identity: Identity,
}

impl Desk {
    fn new() -> Self {
        let text = GoAge::new().keygen(Kind::Hybrid);
        let this = Self { folder: tempfile::tempdir().unwrap(), identity: text.parse().unwrap() };
        std::fs::create_dir(this.file("bin")).unwrap();
        symlink(tools::age(), this.file("bin/age")).unwrap();
        this.write("identity.txt", &format!("# public key: …\n{text}\n"));
        this
    }

    fn with_kubectl(self, control_plane: &ControlPlane) -> Self {
        let (program, config) = (tools::control_plane(), control_plane.kubeconfig().display());
        let program = program.display();
        self.write(
            "bin/kubectl",
            &format!("#!/bin/sh\nexec {program} kubectl --kubeconfig {config} \"$@\"\n"),
        );
        std::fs::set_permissions(self.file("bin/kubectl"), Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).unwrap();
    }

    fn sh(&self, commands: &str) -> Output {
        let mut shell = Command::new("sh");
        shell.args(["-c", commands]).current_dir(self.folder.path());
        let path = format!("{}:/usr/bin:/bin", self.file("bin").display());
        shell.env_clear().env("PATH", path).env("HOME", self.folder.path()).output().unwrap()
    }

    /// What comes out where nothing goes wrong.
    fn does(&self, commands: &str) -> Vec<u8> {
        let output = self.sh(commands);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "{commands}\n{}: {said}", output.status);
        output.stdout
    }
}

const LABEL: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";

/// The item and the object that the page opens.
const ITEM: &str = "password";

fn binding() -> Binding {
    Binding::Strict { namespace: Namespace::parse("team-a").unwrap(), name: Name::parse("db").unwrap() }
}

fn seal(value: &[u8], item: &str, to: &[&Identity]) -> String {
    let recipients = Recipients::new(to.iter().map(|identity| identity.recipient())).unwrap();
    age::seal(value, &recipients, &binding(), &Item::parse(item).unwrap()).unwrap().to_base64()
}

/// Values that a careless line of shell would change.
fn values() -> Vec<(&'static str, Vec<u8>)> {
    let lines = b"privyseal.dev/v1 scope=strict\n\npassword: YWdlLWVu\n".to_vec();
    let long = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    vec![
        (ITEM, b"correct horse".to_vec()),
        ("empty", Vec::new()),
        ("newline", b"\n".to_vec()),
        ("lines.txt", lines),
        ("binary", (0..=255).collect()),
        ("tls.crt", long),
        ("password_old", b"another".to_vec()),
        ("old-password", b"a third".to_vec()),
    ]
}

/// The object as `privyseal seal` writes it, and beside the values all that could be taken for one.
fn sealed_secret(desk: &Desk) -> Value {
    let stranger = generate(Kind::Hybrid);
    let values: serde_json::Map<String, Value> = values()
        .into_iter()
        .map(|(item, value)| (item.to_owned(), json!(seal(&value, item, &[&stranger, &desk.identity]))))
        .collect();
    json!({
        "apiVersion": "bitnami.com/v1alpha1",
        "kind": "SealedSecret",
        "metadata": {
            "annotations": {"note": "password: none here", ITEM: "none"},
            "name": "db",
            "namespace": "team-a",
        },
        "spec": {
            "template": {"type": "Opaque", "data": {ITEM: "{{ .password }}"}},
            "encryptedData": values,
        },
    })
}

/// YAML as `privyseal`, `kubeseal` and `kubectl` write such an object.
fn yaml(object: &Value, depth: usize, key: &dyn Fn(&str) -> String) -> String {
    let mut text = String::new();
    for (name, value) in object.as_object().unwrap() {
        let indent = "  ".repeat(depth);
        match value {
            Value::Object(_) => {
                text += &format!("{indent}{}:\n{}", key(name), yaml(value, depth + 1, key));
            }
            value => text += &format!("{indent}{}: {}\n", key(name), scalar(value.as_str().unwrap())),
        }
    }
    text
}

fn scalar(text: &str) -> String {
    if text.contains([' ', '{', ':']) { json!(text).to_string() } else { text.to_owned() }
}

#[test]
fn one_line_of_shell_opens_a_value() {
    let desk = Desk::new();
    let object = sealed_secret(&desk);
    let [line] = &commands("One value")[..] else { panic!("one line") };
    assert_eq!(line.lines().count(), 1);
    let block = yaml(&object, 0, &str::to_owned);
    let bare = yaml(&json!({"encryptedData": object["spec"]["encryptedData"]}), 0, &str::to_owned);
    let shapes = [
        ("YAML", block.clone()),
        ("YAML with quoted keys", yaml(&object, 0, &|key| format!("{key:?}"))),
        ("YAML with the line ends of Windows", block.replace('\n', "\r\n")),
        ("YAML without its last line feed", bare.trim_end().to_owned()),
        ("JSON", serde_json::to_string_pretty(&object).unwrap()),
    ];
    for (shape, text) in shapes {
        desk.write("db.yaml", &text);
        for (item, value) in values() {
            // As the page says: a dot is escaped.
            let opened = desk.does(&line.replace(ITEM, &item.replace('.', r"\.")));
            assert!(opened == value, "{shape}, {item}: {} bytes", opened.len());
        }
    }
}

#[test]
fn the_first_line_says_what_it_was_sealed_for() {
    let desk = Desk::new();
    desk.write("db.yaml", &yaml(&sealed_secret(&desk), 0, &str::to_owned));
    let [line] = &commands("What it was sealed for")[..] else { panic!("one line") };
    let said = String::from_utf8(desk.does(line)).unwrap();
    assert_eq!(said, "privyseal.dev/v1 scope=strict namespace=team-a name=db key=password\n");
    let page = std::fs::read_to_string(tools::repository().join("docs/break-glass.md")).unwrap();
    assert!(page.contains(&format!("`{}`", said.trim_end())));
}

#[test]
fn what_age_does_not_open_is_not_taken_for_a_value() {
    let desk = Desk::new();
    let [line] = &commands("One value")[..] else { panic!("one line") };
    let refused = |value: &str| {
        desk.write("db.yaml", &yaml(&json!({ITEM: value}), 0, &str::to_owned));
        let output = desk.sh(line);
        assert!(output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let strangers = seal(b"correct horse", ITEM, &[&generate(Kind::Hybrid)]);
    assert!(refused(&strangers).contains("no identity matched any of the recipients"));
    let mut changed = seal(b"correct horse", ITEM, &[&desk.identity]);
    let at = changed.len() - 12;
    let other = if &changed[at..=at] == "A" { "B" } else { "A" };
    changed.replace_range(at..=at, other);
    let said = refused(&changed);
    assert!(said.contains("failed to decrypt"), "{said}");
    // A value of the other format: nothing is found, and nothing comes out.
    let said = refused("AgBy3i4OJSWK");
    assert!(said.contains("age: error"), "{said}");
}

#[test]
fn all_values_of_an_object_go_back_into_a_cluster() {
    let control_plane = ControlPlane::shared();
    let desk = Desk::new().with_kubectl(&control_plane);
    let mut object = sealed_secret(&desk);
    object["spec"].as_object_mut().unwrap().remove("template");
    // The last item must not get lost where a file lacks its last line feed: `read` does not count that as a line.
    desk.write("db.yaml", yaml(&object, 0, &str::to_owned).trim_end());
    let [open, create] = &commands("All values of an object")[..] else { panic!("two blocks") };
    desk.does(open);
    for (item, value) in values() {
        let file = desk.file("opened").join(item);
        assert!(std::fs::read(&file).unwrap() == value, "{item}");
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(desk.file("opened").read_dir().unwrap().count(), values().len());

    control_plane.kubectl_ok(&["create", "namespace", "team-a"], "");
    desk.does(create);
    let get = ["--namespace", "team-a", "get", "secret", "db", "--output", "json"];
    let secret: Value = serde_json::from_str(&control_plane.kubectl_ok(&get, "")).unwrap();
    let data = secret["data"].as_object().unwrap();
    assert_eq!(data.len(), values().len());
    for (item, value) in values() {
        assert!(decode(&data[item]) == value, "{item}");
    }
}

/// Two keys with identities, one of them retired, and one of the peer's without.
#[test]
fn the_identities_of_a_cluster_open_values() {
    let control_plane = ControlPlane::shared();
    let desk = Desk::new().with_kubectl(&control_plane);
    std::fs::remove_file(desk.file("identity.txt")).unwrap();
    let kinds = [Kind::Hybrid, Kind::X25519].map(|kind| GoAge::new().keygen(kind));
    let old = GoAge::new().keygen(Kind::Hybrid);
    let vectors = tools::repository().join("tests/vectors/classic/rsa2048");
    let [certificate, rsa] =
        ["tls.crt", "tls.key"].map(|name| std::fs::read_to_string(vectors.join(name)).unwrap());
    assert!(rsa.ends_with('\n'));
    control_plane.kubectl_ok(&["create", "namespace", "privyseal"], "");
    for (name, state, key) in [
        ("new", "active", format!("{rsa}{}\n{}\n", kinds[0], kinds[1])),
        ("old", "retired", format!("{rsa}{old}\n")),
        ("peers", "active", rsa),
    ] {
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": "privyseal",
                "labels": {LABEL: state},
            },
            "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": &certificate, "tls.key": key},
        });
        // This kubectl writes the whole object into an annotation, where the key stands once more.
        control_plane.kubectl_ok(&["apply", "--filename", "-"], &secret.to_string());
    }
    let [fetch] = &commands("Identities from a cluster")[..] else { panic!("one block") };
    desk.does(fetch);
    let fetched = std::fs::read_to_string(desk.file("identity.txt")).unwrap();
    let expected = [&kinds[0], &kinds[1], &old].map(String::as_str);
    assert_eq!(sorted(fetched.lines()), sorted(expected.into_iter()));
    assert_eq!(desk.file("identity.txt").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(desk.file("keys.yaml").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    opens_with_each(&desk, expected.into_iter());
}

/// Two keys of a real controller's cluster, one of them retired, out of a real backup.
#[tokio::test]
async fn the_identities_of_a_backup_open_values() {
    let control_plane = ControlPlane::shared();
    let release = Release::install(&control_plane, ReleaseOptions::default()).await;
    let namespace = release.namespace();
    let mut old: Value = serde_json::from_slice(&done(privyseal_command().args([
        "keys",
        "generate",
        "--size",
        "2048",
        "--namespace",
        namespace,
        "--output",
        "json",
    ])))
    .unwrap();
    old["metadata"] = json!({"name": "old", "namespace": namespace, "labels": {LABEL: "retired"}});
    control_plane.kubectl_ok(&["create", "--filename", "-"], &old.to_string());
    let controller = Controller::start(&release, ControllerOptions::default()).await;
    let selector = format!("{LABEL}=active");
    let get = ["--namespace", namespace, "get", "secrets", "--selector", &selector, "--output", "json"];
    let new = eventually(PATIENCE, async || {
        let list: Value = serde_json::from_str(&control_plane.kubectl_ok(&get, "")).unwrap();
        list["items"].get(0).cloned().ok_or("no key")
    })
    .await;

    let desk = Desk::new();
    std::fs::remove_file(desk.file("identity.txt")).unwrap();
    let escrow = GoAge::new().keygen(Kind::Hybrid);
    desk.write("escrow.txt", &escrow);
    let mut command = privyseal_command();
    command.current_dir(desk.folder.path()).env("PRIVYSEAL_TRUST", desk.file("trust.yaml"));
    command.args(["keys", "backup", "--for", "prod", "--out-file", "prod.backup", "--context", "it"]);
    command.args(["--controller-namespace", namespace, "--kubeconfig"]);
    command.arg(control_plane.admin_kubeconfig_with_token().await);
    done(command.args(["--recipient", &Ours.recipient(&escrow).unwrap()]));
    drop(controller);

    let [open] = &commands("Identities from a backup")[..] else { panic!("one block") };
    desk.does(open);
    let fetched = std::fs::read_to_string(desk.file("identity.txt")).unwrap();
    let identities = |key: &Value| {
        let text = String::from_utf8(decode(&key["data"]["tls.key"])).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("AGE-SECRET-KEY-"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = [identities(&new), identities(&old)].concat();
    assert_eq!(expected.len(), 4, "a hybrid and a classical one of each key");
    assert_eq!(sorted(fetched.lines()), sorted(expected.iter().map(String::as_str)));
    assert_eq!(desk.file("identity.txt").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    opens_with_each(&desk, expected.iter().map(String::as_str));
}

/// What opens one value that is sealed to each of these alone.
fn opens_with_each<'a>(desk: &Desk, identities: impl Iterator<Item = &'a str>) {
    let [line] = &commands("One value")[..] else { panic!("one line") };
    for identity in identities {
        let value = seal(b"correct horse", ITEM, &[&identity.parse().unwrap()]);
        desk.write("db.yaml", &yaml(&json!({ITEM: value}), 0, &str::to_owned));
        assert_eq!(desk.does(line), b"correct horse");
    }
}

fn sorted<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    lines
}

fn done(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn decode(text: &Value) -> Vec<u8> {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.decode(text.as_str().unwrap()).unwrap()
}
