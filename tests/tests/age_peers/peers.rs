//! The peers, and who we are to them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use privyseal_envelope::age::{Identity, Kind, Recipient};
use privyseal_tests::tools;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// Another implementation of age. What it refuses, it refuses in its own words.
pub(crate) trait Peer {
    fn name(&self) -> &'static str;
    /// A new identity.
    fn keygen(&mut self, kind: Kind) -> String;
    /// The recipient of an identity.
    fn recipient(&mut self, identity: &str) -> Result<String, String>;
    fn encrypt(&mut self, recipients: &[String], text: &[u8]) -> Result<Vec<u8>, String>;
    fn decrypt(&mut self, identity: &str, file: &[u8]) -> Result<Vec<u8>, String>;
}

/// The programs `age` and `age-keygen`.
pub(crate) struct GoAge(TempDir);

impl GoAge {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Runs with what is given on standard input, from a file: a pipe would have to be fed and emptied at once.
    fn run(&self, command: &mut Command, input: &[u8]) -> Result<Vec<u8>, String> {
        let path = self.0.path().join("input");
        std::fs::write(&path, input).unwrap();
        let output = command.env_clear().stdin(File::open(&path).unwrap()).output().unwrap();
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Peer for GoAge {
    fn name(&self) -> &'static str {
        "age in Go"
    }

    fn keygen(&mut self, kind: Kind) -> String {
        let mut command = Command::new(tools::age_keygen());
        if kind == Kind::Hybrid {
            command.arg("-pq");
        }
        let file = String::from_utf8(self.run(&mut command, b"").unwrap()).unwrap();
        file.lines().find(|line| !line.starts_with('#')).unwrap().to_owned()
    }

    fn recipient(&mut self, identity: &str) -> Result<String, String> {
        let said = self.run(Command::new(tools::age_keygen()).arg("-y"), identity.as_bytes())?;
        Ok(String::from_utf8(said).unwrap().trim_end().to_owned())
    }

    fn encrypt(&mut self, recipients: &[String], text: &[u8]) -> Result<Vec<u8>, String> {
        let mut command = Command::new(tools::age());
        command.args(recipients.iter().flat_map(|recipient| ["-r", recipient]));
        self.run(&mut command, text)
    }

    fn decrypt(&mut self, identity: &str, file: &[u8]) -> Result<Vec<u8>, String> {
        let path = self.0.path().join("identity");
        std::fs::write(&path, identity).unwrap();
        self.run(Command::new(tools::age()).arg("-d").arg("-i").arg(&path), file)
    }
}

/// The npm package.
pub(crate) struct AgeEncryption(Answerer);

impl AgeEncryption {
    pub(crate) fn new() -> Self {
        let mut node = Command::new("node");
        node.arg(tools::age_encryption());
        Self(Answerer::start(node))
    }

    /// As [`Peer::encrypt`], with a hint before each recipient.
    pub(crate) fn encrypt_with_hints(&mut self, recipients: &[Recipient], text: &[u8]) -> Vec<u8> {
        let hint = |to: &Recipient| json!(["privyseal.dev/key", to.fingerprint().key_id().to_string()]);
        let recipients: Vec<Value> =
            recipients.iter().flat_map(|to| [hint(to), json!(to.to_string())]).collect();
        self.encrypt_to(json!(recipients), text).unwrap()
    }

    fn encrypt_to(&mut self, recipients: Value, text: &[u8]) -> Result<Vec<u8>, String> {
        let question = json!({"ask": "encrypt", "recipients": recipients, "text": BASE64.encode(text)});
        Ok(bytes(&self.0.ask(&question)?, "file"))
    }
}

impl Peer for AgeEncryption {
    fn name(&self) -> &'static str {
        "age-encryption"
    }

    fn keygen(&mut self, kind: Kind) -> String {
        let answer = self.0.ask(&json!({"ask": "keygen", "kind": kind.as_str()})).unwrap();
        answer["identity"].as_str().unwrap().to_owned()
    }

    fn recipient(&mut self, identity: &str) -> Result<String, String> {
        let answer = self.0.ask(&json!({"ask": "recipient", "identity": identity}))?;
        Ok(answer["recipient"].as_str().unwrap().to_owned())
    }

    fn encrypt(&mut self, recipients: &[String], text: &[u8]) -> Result<Vec<u8>, String> {
        self.encrypt_to(json!(recipients), text)
    }

    fn decrypt(&mut self, identity: &str, file: &[u8]) -> Result<Vec<u8>, String> {
        let question = json!({"ask": "decrypt", "identities": [identity], "file": BASE64.encode(file)});
        Ok(bytes(&self.0.ask(&question)?, "text"))
    }
}

/// Ourselves in the part of a peer, so that all three can be asked the same.
pub(crate) struct Ours;

impl Peer for Ours {
    fn name(&self) -> &'static str {
        "Privyseal"
    }

    fn keygen(&mut self, kind: Kind) -> String {
        generate(kind).to_text().trim_end().to_owned()
    }

    fn recipient(&mut self, identity: &str) -> Result<String, String> {
        let identity: Identity = identity.parse().map_err(|error| format!("{error}"))?;
        Ok(identity.recipient().to_string())
    }

    fn encrypt(&mut self, recipients: &[String], text: &[u8]) -> Result<Vec<u8>, String> {
        use privyseal_envelope::age;
        let recipients: Result<Vec<Recipient>, _> = recipients.iter().map(|text| text.parse()).collect();
        let recipients = recipients.map_err(|error| format!("{error}"))?;
        let recipients = age::Recipients::new(recipients).map_err(|error| error.to_string())?;
        age::encrypt(text, &recipients).map_err(|error| error.to_string())
    }

    fn decrypt(&mut self, identity: &str, file: &[u8]) -> Result<Vec<u8>, String> {
        let identity: Identity = identity.parse().map_err(|error| format!("{error}"))?;
        let opened = privyseal_envelope::age::decrypt(file, &[identity]);
        opened.map(|text| text.to_vec()).map_err(|error| error.to_string())
    }
}

/// A new identity of ours.
pub(crate) fn generate(kind: Kind) -> Identity {
    match kind {
        Kind::Hybrid => Identity::generate_hybrid().unwrap(),
        Kind::X25519 => Identity::generate_x25519(),
        Kind::KeyVault => panic!("a vault keeps its keys"),
    }
}

/// All three.
pub(crate) fn all() -> [Box<dyn Peer>; 3] {
    [Box::new(Ours), Box::new(GoAge::new()), Box::new(AgeEncryption::new())]
}

/// A program that answers each line of JSON with one. It ends when its input does, and so with us.
pub(crate) struct Answerer {
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Answerer {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, questions, answers }
    }

    /// The answer, or why it was refused.
    pub(crate) fn ask(&mut self, question: &Value) -> Result<Value, String> {
        writeln!(self.questions.as_mut().unwrap(), "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no answer: {line:?}"));
        match answer["refused"].as_str() {
            None => Ok(answer),
            Some(why) => Err(why.to_owned()),
        }
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        self.questions = None;
        // It has nothing more to do; one that does not end would show as a test that hangs.
        let _ = self.child.wait();
    }
}

/// A field of an answer that holds bytes.
pub(crate) fn bytes(answer: &Value, field: &str) -> Vec<u8> {
    BASE64.decode(answer[field].as_str().unwrap_or_else(|| panic!("no {field} in {answer}"))).unwrap()
}

/// Chance. What it gave is shown by the test that fails, since keys and nonces are random anyway.
pub(crate) fn below(end: usize) -> usize {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    usize::try_from(u64::from_le_bytes(bytes) % u64::try_from(end).unwrap()).unwrap()
}

/// So many random bytes.
pub(crate) fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}
