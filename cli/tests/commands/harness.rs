//! One run of the binary in an empty environment, and test keys made once.

use jiff::{SignedDuration, Timestamp};
use privyseal_custody::key_secret;
use privyseal_envelope::age::{Kind, Recipient, Recipients};
use privyseal_envelope::rsa::KeySize;
use privyseal_keys::{KeyPair, private_key};
use privyseal_manifest::emit;
use privyseal_seal::{SealTo, Sealing, seal};
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// The plaintext of every test. No failing run may show it.
pub(crate) const CANARY: &str = "hunter2-canary-plaintext";
/// [`CANARY`] in base64.
pub(crate) const CANARY_BASE64: &str = "aHVudGVyMi1jYW5hcnktcGxhaW50ZXh0";

/// A key in all forms that commands take.
pub(crate) struct TestKey {
    pub(crate) certificate: String,
    pub(crate) private: String,
    pub(crate) secret: String,
    pub(crate) fingerprint: String,
    pub(crate) key_id: String,
    /// The public half as one text: the certificate, and its recipients.
    pub(crate) public_half: String,
    /// The private half as one text: the RSA key, and its age identities.
    pub(crate) private_half: String,
    pub(crate) hybrid: Recipient,
    pub(crate) x25519: Recipient,
}

impl TestKey {
    pub(crate) fn generate(not_before: Timestamp, name: &str) -> Self {
        let hour = SignedDuration::from_hours(1);
        let pair = KeyPair::generate(KeySize::Rsa2048, "", not_before, hour).ok().unwrap();
        let mut secret = key_secret::to_secret(&pair, "", Some("privyseal")).unwrap();
        secret.metadata.generate_name = None;
        secret.metadata.name = Some(name.to_owned());
        let public = pair.public_half();
        let recipient = |kind| public.recipient(kind).unwrap().clone();
        Self {
            public_half: public.to_text(),
            private_half: pair.private_text().unwrap().to_string(),
            hybrid: recipient(Kind::Hybrid),
            x25519: recipient(Kind::X25519),
            certificate: pair.certificate().to_pem(),
            private: private_key::to_pkcs1_pem(pair.opening_key()).unwrap().to_string(),
            secret: secret.to_yaml().to_string(),
            fingerprint: pair.fingerprint().to_string(),
            key_id: pair.fingerprint().key_id().to_string(),
        }
    }
}

/// The key that tests seal with.
pub(crate) fn key() -> &'static TestKey {
    static KEY: OnceLock<TestKey> = OnceLock::new();
    KEY.get_or_init(|| TestKey::generate(Timestamp::now(), "key-a"))
}

/// Another one, of the same size.
pub(crate) fn other_key() -> &'static TestKey {
    static KEY: OnceLock<TestKey> = OnceLock::new();
    KEY.get_or_init(|| TestKey::generate(Timestamp::now(), "key-b"))
}

/// One whose certificate has expired.
pub(crate) fn expired_key() -> &'static TestKey {
    static KEY: OnceLock<TestKey> = OnceLock::new();
    KEY.get_or_init(|| TestKey::generate("2020-01-01T00:00:00Z".parse().unwrap(), "expired"))
}

/// One whose certificate is from the future.
pub(crate) fn future_key() -> &'static TestKey {
    static KEY: OnceLock<TestKey> = OnceLock::new();
    KEY.get_or_init(|| TestKey::generate("2049-01-01T00:00:00Z".parse().unwrap(), "future"))
}

/// The key id of a recipient, as hints of the age format have it.
pub(crate) fn id_of(recipient: &Recipient) -> String {
    recipient.fingerprint().key_id().to_string()
}

/// A Secret manifest sealed in the age format.
pub(crate) fn seal_age(secret: &str, recipients: &Recipients) -> String {
    let documents = privyseal_manifest::read(secret.as_bytes(), "secret").unwrap();
    let sealed = documents.into_iter().map(|document| {
        let secret = document.into_secret().unwrap();
        let how = Sealing { to: SealTo::Age(recipients), scope: None, allow_empty: false };
        emit::to_yaml(&seal(&secret, &how).unwrap())
    });
    sealed.collect::<Vec<_>>().join("---\n")
}

/// Recipients that one value can be sealed to.
pub(crate) fn recipients<const N: usize>(of: [&Recipient; N]) -> Recipients {
    Recipients::new(of.map(Clone::clone)).unwrap()
}

/// One object with the values of two: their items must be others, and annotations are those of the first.
pub(crate) fn joined(first: &str, second: &str) -> String {
    let values = second.split("  encryptedData:\n").nth(1).unwrap();
    let values: String =
        values.lines().take_while(|line| line.starts_with("    ")).map(|line| format!("{line}\n")).collect();
    first.replacen("  encryptedData:\n", &format!("  encryptedData:\n{values}"), 1)
}

/// A folder of its own with the certificate in `cert.pem` and the private key in `key.pem`.
pub(crate) struct Scene {
    folder: TempDir,
    home: TempDir,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let scene = Self { folder: TempDir::new().unwrap(), home: TempDir::new().unwrap() };
        scene.file("cert.pem", &key().certificate);
        scene.file("key.pem", &key().private);
        scene
    }

    /// The home folder, which is empty at first.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Names of all files, hidden ones included.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// A run in this folder; the arguments are separated by blanks.
    pub(crate) fn run(&self, arguments: &str) -> Run {
        self.run_with(arguments.split_whitespace())
    }

    pub(crate) fn run_with<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_privyseal"));
        command.args(arguments);
        Run::new(command, self)
    }

    /// A run of a shell script in which `$PRIVYSEAL` is the binary.
    pub(crate) fn shell(&self, script: &str) -> Run {
        let mut command = Command::new("bash");
        command.args(["-c", script]);
        Run::new(command, self)
    }

    /// Seals `secret.yaml` with the test key into `sealed.yaml`.
    pub(crate) fn seal(&self, secret: &str) -> String {
        let sealed = self.run("seal --cert cert.pem").stdin(secret).succeeds().stdout;
        self.file("sealed.yaml", &sealed);
        sealed
    }
}

/// A command that is about to run.
pub(crate) struct Run {
    command: Command,
    stdin: Vec<u8>,
}

impl Run {
    fn new(mut command: Command, scene: &Scene) -> Self {
        command
            .current_dir(scene.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", scene.home())
            .env("PRIVYSEAL", env!("CARGO_BIN_EXE_privyseal"));
        Self { command, stdin: Vec::new() }
    }

    pub(crate) fn stdin(mut self, text: impl AsRef<[u8]>) -> Self {
        self.stdin = text.as_ref().to_vec();
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end.
    pub(crate) fn done(mut self) -> Done {
        let mut child =
            self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A command that fails early does not read it.
        let _ = child.stdin.take().unwrap().write_all(&self.stdin);
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Done { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs it; it must succeed.
    pub(crate) fn succeeds(self) -> Done {
        let done = self.done();
        assert_eq!(done.status, Some(0), "{}", done.stderr);
        done
    }

    /// Runs it; it must fail with this status, write nothing to stdout, and show no plaintext.
    pub(crate) fn fails(self, status: i32) -> String {
        let done = self.done();
        assert_eq!(done.status, Some(status), "stderr: {}\nstdout: {}", done.stderr, done.stdout);
        assert_eq!(done.stdout, "", "nothing may be on stdout");
        done.assert_speaks_well();
        done.stderr
    }
}

/// A command that has run.
pub(crate) struct Done {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Done {
    /// Errors say what is wrong, hold no plaintext and nothing that moves a terminal.
    pub(crate) fn assert_speaks_well(&self) {
        let stderr = &self.stderr;
        assert!(stderr.contains("error: "), "{stderr}");
        assert!(!stderr.contains("panicked"), "{stderr}");
        assert!(!leaks(stderr), "plaintext on stderr: {stderr}");
        assert!(stderr.chars().all(|c| c == '\n' || !c.is_control()), "{stderr:?}");
    }
}

/// Whether a text holds the canary, in the clear or in base64.
pub(crate) fn leaks(text: &str) -> bool {
    text.contains("canary") || text.contains(CANARY) || text.contains(&CANARY_BASE64[..16])
}

/// A Secret manifest with the canary under `stringData`.
pub(crate) fn secret(namespace: Option<&str>, name: Option<&str>) -> String {
    let field = |key: &str, value: Option<&str>| value.map_or(String::new(), |v| format!("  {key}: {v}\n"));
    let metadata = format!("{}{}", field("namespace", namespace), field("name", name));
    let metadata =
        if metadata.is_empty() { "metadata: {}\n".to_owned() } else { format!("metadata:\n{metadata}") };
    format!("apiVersion: v1\nkind: Secret\n{metadata}stringData:\n  password: {CANARY}\n")
}

/// `needle` must be in `text`.
#[track_caller]
pub(crate) fn has(text: &str, needles: &[&str]) {
    for needle in needles {
        assert!(text.contains(needle), "{needle:?} is not in:\n{text}");
    }
}
