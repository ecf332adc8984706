//! `edit`: what an editor can do, and what is left of the plaintext. The editors are shell scripts.

use crate::harness::{
    CANARY, Done, Run, Scene, has, joined, key, leaks, other_key, recipients, seal_age, secret,
};
use std::os::unix::fs::{PermissionsExt, symlink};
use tempfile::TempDir;

/// A scene with a memory file system of its own, which must be empty after each run.
struct Desk {
    scene: Scene,
    memory: TempDir,
}

const SECRET: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: db, namespace: ns, labels: {app: db}}
type: Opaque
stringData:
  password: hunter2-canary-plaintext
  user: canary-user
  notes: |
    canary line one
      line two
data:
  blob: AP8A
";

impl Desk {
    fn new() -> Self {
        let memory = TempDir::new_in("/dev/shm").unwrap();
        std::fs::set_permissions(memory.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let this = Self { scene: Scene::new(), memory };
        this.scene.seal(SECRET);
        this
    }

    /// Edits by a script, in which `$1` is the file.
    fn edit(&self, script: &str, arguments: &str) -> Run {
        self.scene.file("editor.sh", script);
        self.run(&format!("edit sealed.yaml --key key.pem {arguments}")).env("EDITOR", "sh editor.sh")
    }

    fn run(&self, arguments: &str) -> Run {
        self.scene.run(arguments).env("XDG_RUNTIME_DIR", self.memory.path())
    }

    #[track_caller]
    fn assert_nothing_is_left(&self) {
        let left: Vec<_> =
            std::fs::read_dir(self.memory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// A run that succeeds, shows nothing and leaves nothing.
    #[track_caller]
    fn succeeds(&self, run: Run) -> Done {
        let done = run.succeeds();
        assert_eq!(done.stdout, "");
        assert!(!leaks(&done.stderr), "{}", done.stderr);
        self.assert_nothing_is_left();
        done
    }

    /// A run that fails, shows nothing, leaves nothing and writes nothing.
    #[track_caller]
    fn fails(&self, run: Run, status: i32, told: &[&str]) {
        let before = self.scene.read("sealed.yaml");
        has(&run.fails(status), told);
        self.assert_nothing_is_left();
        assert_eq!(self.scene.read("sealed.yaml"), before);
    }

    fn opened(&self) -> String {
        self.scene.run("unseal --key key.pem sealed.yaml").succeeds().stdout
    }

    /// The sealed value of an item, as the file has it.
    fn sealed(&self, item: &str) -> Option<String> {
        let prefix = format!("    {item}: ");
        let file = self.scene.read("sealed.yaml");
        file.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
    }
}

#[test]
fn each_value_keeps_its_format() {
    let desk = Desk::new();
    let token = SECRET.replace("password:", "token:").replace("user:", "name:").replace("blob:", "raw:");
    let token = token.replace("  notes: |\n    canary line one\n      line two\n", "");
    let age = seal_age(&token, &recipients([&key().hybrid]));
    desk.scene.file("sealed.yaml", joined(&desk.scene.read("sealed.yaml"), &age));
    desk.scene.file("half.pem", &key().public_half);
    desk.scene.file("half.txt", &key().private_half);
    let items = ["password", "token", "name", "user"];
    let before = items.map(|item| desk.sealed(item).unwrap());
    desk.scene.file("editor.sh", "sed -i 's/hunter2/hunter3/' \"$1\"");
    let run = desk.run("edit sealed.yaml --key half.txt --cert half.pem").env("EDITOR", "sh editor.sh");
    let done = desk.succeeds(run);
    has(&done.stderr, &["sealed.yaml: password is changed", "sealed.yaml: token is changed"]);
    let after = items.map(|item| desk.sealed(item).unwrap());
    assert_eq!(before[2..], after[2..]);
    assert!(before[0] != after[0] && before[1] != after[1]);
    let report = desk.scene.run("inspect sealed.yaml --key half.txt -o json").succeeds().stdout;
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    for item in report["objects"][0]["items"].as_array().unwrap() {
        let is_age = ["token", "name", "raw"].contains(&item["item"].as_str().unwrap());
        assert_eq!(item["format"], if is_age { "age" } else { "classic" }, "{item}");
    }
}

#[test]
fn only_what_was_changed_is_sealed_anew() {
    let desk = Desk::new();
    let before = ["password", "user", "notes", "blob"].map(|item| desk.sealed(item).unwrap());
    let script =
        "sed -i -e 's/hunter2/hunter3/' -e '/^  user:/d' -e \"s/^stringData:/&\\n  new: it's/\" \"$1\"";
    desk.scene.file("other-cert.pem", &other_key().certificate);
    let done = desk.succeeds(desk.edit(script, "--cert other-cert.pem"));
    has(
        &done.stderr,
        &[
            "sealing with key",
            "sealed.yaml: new is added",
            "sealed.yaml: password is changed",
            "sealed.yaml: user is dropped",
        ],
    );
    assert_ne!(desk.sealed("password").unwrap(), before[0]);
    assert_eq!(desk.sealed("user"), None);
    assert_eq!(desk.sealed("notes").unwrap(), before[2]);
    assert_eq!(desk.sealed("blob").unwrap(), before[3]);
    let file = desk.scene.read("sealed.yaml");
    let (ours, theirs) = (&key().key_id, &other_key().key_id);
    has(&file, &[&format!("new={theirs}:"), &format!("password={theirs}:"), &format!("notes={ours}:")]);
    assert!(!file.contains("user="), "{file}");

    desk.scene.file("both.pem", format!("{}{}", key().private, other_key().private));
    let opened = desk.scene.run("unseal --key both.pem sealed.yaml").succeeds().stdout;
    has(
        &opened,
        &["new: aXQncw==", "password: aHVudGVyMy1jYW5hcnktcGxhaW50ZXh0", "blob: AP8A", "type: Opaque"],
    );
}

#[test]
fn nothing_changed_is_nothing_written_and_no_key_is_looked_for() {
    let desk = Desk::new();
    let file = desk.scene.path("sealed.yaml");
    let modified = || std::fs::metadata(&file).unwrap().modified().unwrap();
    let (before, then) = (desk.scene.read("sealed.yaml"), modified());
    // Saved as it is, not saved at all, and saved by an editor with habits.
    for script in
        ["touch \"$1\"", "true", "cp \"$1\" t && mv t \"$1\"", "echo >> \"$1\"; sed -i 's/ *$/\\r/' \"$1\""]
    {
        let done = desk.succeeds(desk.edit(script, ""));
        has(&done.stderr, &["sealed.yaml: nothing was changed"]);
        assert_eq!((desk.scene.read("sealed.yaml"), modified()), (before.clone(), then), "{script}");
    }
    // To drop an item takes no key either.
    desk.succeeds(desk.edit("sed -i '/^  user:/d' \"$1\"", ""));
    assert!(!desk.opened().contains("user:"));
    desk.fails(desk.edit("sed -i s/hunter2/x/ \"$1\"", ""), 2, &["no sealing key is given"]);
}

#[test]
fn every_other_byte_of_the_file_stays() {
    let desk = Desk::new();
    let value = desk.sealed("password").unwrap();
    let file = format!(
        "# Ours.\r\napiVersion: bitnami.com/v1alpha1\r\nkind: SealedSecret # yes\r\nmetadata: {{name: db, namespace: ns}}\r\n\
         spec:\r\n  encryptedData:\r\n    # by hand\r\n    password: \"{value}\"   # old\r\n---\r\n\
         apiVersion: bitnami.com/v1alpha1\r\nkind: SealedSecret\r\nmetadata: {{name: other, namespace: ns}}\r\n\
         spec: {{encryptedData: {{a: AgA=}}}}\r\n"
    );
    desk.scene.file("sealed.yaml", &file);
    let script = "sed -i 's/hunter2/hunter3/' \"$1\"";
    desk.fails(desk.edit(script, "--cert cert.pem"), 2, &["it holds 2 SealedSecrets", "hint: --name NAME"]);
    desk.succeeds(desk.edit(script, "--cert cert.pem --name db"));
    let after = desk.scene.read("sealed.yaml");
    let lines = file.split('\n').zip(after.split('\n'));
    let differ: Vec<_> = lines.filter(|(a, b)| a != b).map(|(_, b)| b).collect();
    assert_eq!(after.split('\n').count(), file.split('\n').count());
    let [hints, password] = differ.as_slice() else { panic!("{after}") };
    has(hints, &["metadata: {annotations: {", "namespace: ns}\r"]);
    assert!(password.starts_with("    password: \"AQ") && password.ends_with("\"   # old\r"), "{password}");
    // The other one does not open, and that stops nobody.
    desk.fails(desk.edit("true", "--name other"), 1, &["SealedSecret ns/other: 1 of 1 items do not open"]);
}

#[test]
fn the_plaintext_lies_in_memory_and_only_its_owner_reaches_it() {
    let desk = Desk::new();
    let script = "stat -c %a \"$1\" \"$(dirname \"$1\")\" > told; stat -f -c %T \"$1\" >> told; ulimit -c >> told\n\
                  cat \"$1\" > text; cp \"$1\" \"$1~\"; mkdir \"$(dirname \"$1\")/undo\"; cp \"$1\" \"$(dirname \"$1\")/undo/.x\"";
    desk.succeeds(desk.edit(script, ""));
    assert_eq!(desk.scene.read("told"), "600\n700\ntmpfs\n0\n");
    has(
        &desk.scene.read("text"),
        &[
            "# SealedSecret ns/db, scope strict, type Opaque\n# sealed.yaml:1: document 1\n",
            "stringData:\n  notes: |\n    canary line one\n      line two\n  password: 'hunter2-canary-plaintext'\n",
            "data:\n  blob: AP8A\n",
        ],
    );
}

#[test]
fn a_disk_takes_a_flag_and_a_warning() {
    let desk = Desk::new();
    let temporary = desk.scene.path("temporary");
    std::fs::create_dir(&temporary).unwrap();
    let run = desk.edit("echo \"$1\" > told", "--insecure-temp").env("TMPDIR", &temporary);
    let done = desk.succeeds(run);
    assert!(desk.scene.read("told").starts_with(temporary.to_str().unwrap()));
    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0);
    let is_memory = desk.scene.shell("stat -f -c %T .").succeeds().stdout == "tmpfs\n";
    assert_eq!(done.stderr.contains("warning: the plaintext lies in"), !is_memory, "{}", done.stderr);
}

#[test]
fn what_is_refused_is_told_by_its_place() {
    let desk = Desk::new();
    for (script, status, told) in [
        ("sed -i \"s/'hunter2/{hunter2/\" \"$1\"", 2, &["the edited text:", "not valid YAML"][..]),
        (
            "sed -i 's/^  password: .*/  password: 4711/' \"$1\"",
            2,
            &["stringData.password: expected text, found a number"],
        ),
        ("sed -i 's/AP8A/canary!/' \"$1\"", 2, &["data.blob"]),
        ("sed -i 's/^  password: /  pass word: /' \"$1\"", 2, &["not an item name", "the edited text:"]),
        (
            "echo 'metadata: {name: other}' >> \"$1\"",
            2,
            &["metadata.name: only stringData and data are edited here"],
        ),
        ("echo 'metadata: {namespace: other}' >> \"$1\"", 2, &["metadata.namespace: only"]),
        ("echo 'type: kubernetes.io/tls' >> \"$1\"", 2, &["type: only stringData"]),
        ("echo 'canary: hunter2-canary-plaintext' >> \"$1\"", 2, &["unknown field"]),
        ("printf '\\377' >> \"$1\"", 2, &["not UTF-8"]),
        (": > \"$1\"", 2, &["there is no document in it", "hint: to drop all items"]),
        ("rm \"$1\"", 1, &["the editor left no file there"]),
        ("ln -sf /etc/passwd \"$1\"", 1, &["the editor left no file there"]),
    ] {
        desk.scene.file("editor.sh", script);
        let run = desk.edit(script, "--cert cert.pem");
        let before = desk.scene.read("sealed.yaml");
        let done = run.done();
        assert_eq!(done.status, Some(status), "{script}: {}", done.stderr);
        has(&done.stderr, told);
        assert!(!done.stderr.contains(CANARY) && !done.stderr.contains("canary-user"), "{}", done.stderr);
        desk.assert_nothing_is_left();
        assert_eq!(desk.scene.read("sealed.yaml"), before);
    }
}

#[test]
fn an_editor_that_fails_changes_nothing() {
    let desk = Desk::new();
    let change = "sed -i s/hunter2/x/ \"$1\"";
    let failing = format!("{change}; exit 3");
    desk.fails(desk.edit(&failing, "--cert cert.pem"), 1, &["the editor sh editor.sh ended with status 3"]);
    let killed = format!("{change}; kill -KILL $$");
    desk.fails(desk.edit(&killed, "--cert cert.pem"), 1, &["ended with a signal"]);
    for editor in ["none-such-editor", "'none such' -x"] {
        let run = desk.edit("", "").env("VISUAL", editor);
        desk.fails(run, 1, &["the editor ", "hint: $VISUAL, else $EDITOR"]);
    }
}

#[test]
fn the_variable_may_hold_what_a_shell_understands() {
    let desk = Desk::new();
    desk.scene.file("my editor.sh", "sed -i \"s/hunter2/$1/\" \"$2\"");
    for (value, editor) in [
        ("one", "sh 'my editor.sh' one"),
        ("two", "V=two; sh 'my editor.sh' $V"),
        ("three", "V=three sh -c 'sh \"my editor.sh\" $V \"$@\"' x"),
    ] {
        desk.scene.seal(SECRET);
        // VISUAL goes before EDITOR, and an empty one does not count.
        for (visual, other) in [(editor, "false"), ("", editor)] {
            let run = desk.run("edit sealed.yaml --key key.pem --cert cert.pem");
            desk.succeeds(run.env("VISUAL", visual).env("EDITOR", other));
        }
        let text = desk.edit("cat \"$1\" > text", "");
        desk.succeeds(text);
        has(&desk.scene.read("text"), &[&format!("password: '{value}-canary-plaintext'")]);
    }
}

#[test]
fn a_file_that_was_changed_meanwhile_is_not_overwritten() {
    let desk = Desk::new();
    let script = "sed -i s/hunter2/x/ \"$1\"; echo '# theirs' >> sealed.yaml";
    let before = desk.scene.read("sealed.yaml");
    let error = desk.edit(script, "--cert cert.pem").fails(1);
    has(&error, &["sealed.yaml: it was changed meanwhile"]);
    assert_eq!(desk.scene.read("sealed.yaml"), before + "# theirs\n");
    desk.assert_nothing_is_left();
}

#[test]
fn a_link_stays_a_link() {
    let desk = Desk::new();
    std::fs::rename(desk.scene.path("sealed.yaml"), desk.scene.path("target.yaml")).unwrap();
    symlink("target.yaml", desk.scene.path("sealed.yaml")).unwrap();
    desk.succeeds(desk.edit("sed -i s/hunter2/x/ \"$1\"", "--cert cert.pem"));
    assert!(std::fs::symlink_metadata(desk.scene.path("sealed.yaml")).unwrap().is_symlink());
    has(&desk.opened(), &["password: eC1jYW5hcnktcGxhaW50ZXh0"]);
}

#[test]
fn an_object_without_a_namespace_is_edited_under_the_one_that_is_given() {
    let desk = Desk::new();
    let bare = desk.scene.read("sealed.yaml").replace("\n  namespace: ns\n", "\n");
    desk.scene.file("sealed.yaml", &bare);
    let script = "sed -i s/hunter2/x/ \"$1\"";
    desk.fails(
        desk.edit(script, "--cert cert.pem"),
        2,
        &["metadata.namespace is missing", "hint: give -n NAMESPACE"],
    );
    desk.fails(desk.edit(script, "--cert cert.pem -n elsewhere"), 1, &["items do not open"]);
    desk.succeeds(desk.edit(script, "--cert cert.pem -n ns"));
    let after = desk.scene.read("sealed.yaml");
    assert!(!after.contains("\n  namespace: ns"), "{after}");
    desk.scene.file("sealed.yaml", after.replacen("  name: db\n", "  name: db\n  namespace: ns\n", 1));
    has(&desk.opened(), &["password: eC1jYW5hcnktcGxhaW50ZXh0"]);
}

/// On a terminal: `script` of util-linux makes one, which types what it reads once the question is there.
#[test]
fn what_is_refused_can_be_edited_again_and_a_signal_ends_the_question() {
    let editor = "echo x >> runs\n\
                  case $(cat runs) in x) sed -i \"s/'hunter2/{hunter3/\" \"$1\";; *) sed -i \"s/{hunter3/'hunter3/\" \"$1\";; esac";
    for (typed, status, changed) in [("y\\n", "0", true), ("n\\n", "2", false), ("\\003", "130", false)] {
        let desk = Desk::new();
        desk.scene.file("editor.sh", editor);
        desk.scene.file(
            "terminal.sh",
            "$PRIVYSEAL edit sealed.yaml --key key.pem --cert cert.pem; echo $? > status",
        );
        let question = format!(
            "(for i in $(seq 200); do grep -qs 'Edit again' typescript && break; sleep 0.05; done; printf '{typed}'; for i in $(seq 200); do [ -s status ] && break; sleep 0.05; done) |\n\
             timeout 30 script --quiet --flush --command 'trap : INT; . ./terminal.sh' typescript"
        );
        let run = desk
            .scene
            .shell(&question)
            .env("XDG_RUNTIME_DIR", desk.memory.path())
            .env("EDITOR", "sh editor.sh");
        let done = run.env("SHELL", "/bin/sh").done();
        assert!(desk.scene.path("status").exists(), "{}{}", done.stdout, done.stderr);
        assert_eq!(desk.scene.read("status").trim(), status, "{}", desk.scene.read("typescript"));
        desk.assert_nothing_is_left();
        let told = desk.scene.read("typescript");
        has(&told, &["the edited text:", "not valid YAML", "Otherwise what was typed is lost"]);
        assert!(!told.contains("canary"), "{told}");
        assert_eq!(desk.opened().contains("password: aHVudGVyMy"), changed, "{typed}");
    }
}

/// Runs `edit` with an editor that waits, sends signals to it alone, and tells its exit status.
fn signalled(desk: &Desk, editor: &str, signals: &str) -> Done {
    desk.scene.file("editor.sh", editor);
    let script = format!(
        "$PRIVYSEAL edit sealed.yaml --key key.pem --cert cert.pem & pid=$!\n\
         for i in $(seq 500); do [ -s ready ] && break; sleep 0.02; done\n{signals}\nwait $pid; echo $?"
    );
    let run = desk.scene.shell(&script).env("XDG_RUNTIME_DIR", desk.memory.path());
    let done = run.env("EDITOR", "sh editor.sh").succeeds();
    assert!(!leaks(&done.stderr), "{}", done.stderr);
    desk.assert_nothing_is_left();
    done
}

#[test]
fn a_signal_ends_the_editor_and_leaves_nothing() {
    let wait = "sed -i s/hunter2/x/ \"$1\"; echo $$ > ready; exec sleep 60";
    for (signal, status) in [("TERM", "143\n"), ("HUP", "129\n")] {
        let desk = Desk::new();
        let before = desk.scene.read("sealed.yaml");
        let done = signalled(&desk, wait, &format!("kill -{signal} $pid"));
        assert_eq!(done.stdout, status);
        has(&done.stderr, &[&format!("error: ended by SIG{signal}")]);
        assert_eq!(desk.scene.read("sealed.yaml"), before);
        let editor = desk.scene.read("ready");
        assert_eq!(desk.scene.shell(&format!("kill -0 {editor}")).done().status, Some(1), "the editor lives");
    }
}

#[test]
fn an_editor_that_does_not_listen_is_ended_too() {
    let desk = Desk::new();
    let deaf = "trap '' TERM; echo $$ > ready; while :; do sleep 1; done";
    assert_eq!(signalled(&desk, deaf, "kill -TERM $pid").stdout, "143\n");
    let desk = Desk::new();
    let stopped = "echo $$ > ready; kill -STOP $$; sleep 60";
    assert_eq!(signalled(&desk, stopped, "sleep 0.2; kill -TERM $pid").stdout, "143\n");
    // The second signal does not wait for the editor.
    let desk = Desk::new();
    assert_eq!(
        signalled(
            &desk,
            deaf,
            "kill -TERM $pid; sleep 0.2; kill -HUP $pid; sleep 0.2; kill -KILL $(cat ready)"
        )
        .stdout,
        "129\n"
    );
}

#[test]
fn an_interrupt_belongs_to_the_editor() {
    let desk = Desk::new();
    let editor = "echo $$ > ready; until [ -e go ]; do sleep 0.02; done; sed -i s/hunter2/x/ \"$1\"";
    let done = signalled(&desk, editor, "kill -INT $pid; sleep 0.2; kill -INT $pid; touch go");
    assert_eq!(done.stdout, "0\n", "{}", done.stderr);
    has(&desk.opened(), &["password: eC1jYW5hcnktcGxhaW50ZXh0"]);
}

#[test]
fn an_editor_that_does_not_wait_or_keeps_copies_gets_a_warning() {
    let desk = Desk::new();
    let folder = desk.scene.path("bin");
    desk.scene.file("bin/code", "#!/bin/sh\ntrue\n");
    std::fs::set_permissions(folder.join("code"), PermissionsExt::from_mode(0o755)).unwrap();
    let code = |flags: &str| {
        let run = desk.run("edit sealed.yaml --key key.pem");
        desk.succeeds(run.env("EDITOR", format!("{}/code {flags}", folder.display()))).stderr
    };
    has(&code(""), &["returns before anything is edited, unless it is called with --wait", "localHistory"]);
    assert!(!code("--wait").contains("returns before"));
}

#[test]
fn without_the_right_key_nothing_is_edited() {
    let desk = Desk::new();
    desk.scene.file("other.pem", &other_key().private);
    let run = |arguments: &str| desk.scene.run(arguments).env("EDITOR", "touch started; true");
    has(&run("edit sealed.yaml --key other.pem").fails(1), &["items do not open"]);
    has(&run("edit sealed.yaml").fails(2), &["--key"]);
    has(&run("edit - --key key.pem").fails(2), &["stdin cannot be edited in place"]);
    desk.scene.file("secret.yaml", secret(Some("ns"), Some("db")));
    has(&run("edit secret.yaml --key key.pem").fails(2), &["there is no SealedSecret in it"]);
    assert!(!desk.scene.names().contains(&"started".to_owned()));
}
