//! Programs that run beside a test and end with it.
//!
//! A test binary can be killed (a time limit, Ctrl-C twice), and statics are never dropped. So every process is put
//! on a leash: `setpriv --pdeathsig KILL`, which has the kernel kill it when the *thread* that started it ends.
//! That thread is one of our own which lives as long as the process: a test's thread ends with the test.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How many lines of a log a failed test shows.
const TAIL: usize = 40;

/// A program that was started, whose output goes to a file.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` on a leash; stdout and stderr are appended to `log`.
    pub fn start(name: &str, command: &Command, log: &Path) -> Self {
        let mut leashed = leash(command);
        let output = append_to(log);
        let errors = output.try_clone().unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        leashed.stdin(Stdio::null()).stdout(output).stderr(errors);
        let child = spawn(leashed).unwrap_or_else(|error| panic!("{name}: {command:?}: {error}"));
        Self { name: name.to_owned(), child, log: log.to_path_buf(), ended: None }
    }

    /// One that was started in another way.
    pub(crate) fn adopt(name: &str, child: Child, log: &Path) -> Self {
        Self { name: name.to_owned(), child, log: log.to_path_buf(), ended: None }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended =
                self.child.try_wait().unwrap_or_else(|error| panic!("waiting for {}: {error}", self.name));
        }
        self.ended
    }

    /// Asks it to end with SIGTERM and waits. One that has not ended after `limit` is killed and fails the test.
    pub fn stop(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        if let Some(status) = self.wait(limit) {
            return status;
        }
        self.kill();
        panic!("{} went on for {limit:?} after SIGTERM\n{}", self.name, self.tail());
    }

    /// Ends it with SIGKILL.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let status = self.child.wait().unwrap_or_else(|error| panic!("waiting for {}: {error}", self.name));
        self.ended = Some(status);
    }

    /// Waits until it ends by itself; `None` when it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        read_log(&self.log)
    }

    /// The last lines of its log, under a headline.
    pub fn tail(&self) -> String {
        tail(&self.name, &self.log)
    }

    fn signal(&mut self, signal: Signal) {
        // One that was waited for has given its number back.
        if self.ended().is_some() {
            return;
        }
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("{signal:?} to {}: {error}", self.name));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            show(&self.tail());
        }
        if self.ended().is_none() {
            self.kill();
        }
    }
}

/// Writes to the output of the test that fails; libtest captures it with the rest.
#[expect(clippy::print_stderr, reason = "libtest captures only what the print macros write")]
pub(crate) fn show(text: &str) {
    eprintln!("{text}");
}

/// The last lines of a log file, under a headline.
pub(crate) fn tail(name: &str, log: &Path) -> String {
    let text = read_log(log);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines[lines.len().saturating_sub(TAIL)..].join("\n");
    format!("---- {name}: the last of {} lines ({})\n{last}", lines.len(), log.display())
}

/// Whether a process ended because of SIGKILL.
pub fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::KILL.as_raw())
}

pub(crate) fn append_to(log: &Path) -> File {
    File::options()
        .create(true)
        .append(true)
        .open(log)
        .unwrap_or_else(|error| panic!("{}: {error}", log.display()))
}

fn read_log(log: &Path) -> String {
    match std::fs::read(log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("{}: {error}", log.display()),
    }
}

/// A program alone with what it is given: nothing of the caller's environment that could lead it elsewhere.
pub(crate) fn hermetic(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().current_dir(home).env("HOME", home).env("RUST_BACKTRACE", "1");
    for kept in ["PATH", "TMPDIR"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

/// As [`hermetic`], with the caller's environment: for another process of the same tests.
pub(crate) fn inheriting(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.envs(std::env::vars_os());
    command
}

fn leash(command: &Command) -> Command {
    let mut leashed = Command::new("setpriv");
    leashed.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    // Commands name their whole environment: see `hermetic` and `inheriting`.
    leashed.env_clear();
    leashed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(folder) = command.get_current_dir() {
        leashed.current_dir(folder);
    }
    leashed
}

/// Starts a process from the thread that all of them are tied to.
fn spawn(command: Command) -> io::Result<Child> {
    type Answer = mpsc::Sender<io::Result<Child>>;
    static SPAWNER: LazyLock<mpsc::Sender<(Command, Answer)>> = LazyLock::new(|| {
        let (requests, received) = mpsc::channel::<(Command, Answer)>();
        thread::Builder::new()
            .name("spawner".to_owned())
            .spawn(move || {
                for (mut command, answer) in received {
                    // The asker waits, so the answer arrives.
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("a thread");
        requests
    });
    let (answer, answered) = mpsc::channel();
    SPAWNER.send((command, answer)).expect("the spawner lives as long as the process");
    answered.recv().expect("the spawner answers")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (Process, PathBuf) {
        let home = crate::scratch::folder("process");
        let mut command = hermetic(Path::new("/bin/sh"), &home);
        command.args(["-c", script]);
        (Process::start("sh", &command, &home.join("log")), home)
    }

    #[test]
    fn output_goes_to_the_log() {
        let (mut process, _) = shell("echo out; echo err >&2; env");
        assert!(process.wait(Duration::from_secs(10)).unwrap().success());
        let log = process.log();
        assert!(log.starts_with("out\nerr\n"), "{log}");
        assert!(!log.contains("CARGO_MANIFEST_DIR"), "{log}");
        assert!(process.tail().contains("err"));
    }

    #[test]
    fn stop_asks_and_kill_does_not() {
        let script = "trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
        let (mut process, home) = shell(script);
        while !read_log(&home.join("log")).contains("ready") {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(process.stop(Duration::from_secs(10)).code(), Some(7));
        assert!(process.log().contains("asked"));

        let (mut process, _) = shell(script);
        process.kill();
        assert!(was_killed(process.ended().unwrap()));
        assert!(!process.log().contains("asked"));
    }

    #[test]
    fn a_process_outlives_the_thread_that_asked_for_it() {
        let (mut process, _) = thread::spawn(|| shell("sleep 60")).join().unwrap();
        assert_eq!(process.wait(Duration::from_millis(200)), None);
        let pid = process.id();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn it_ends_with_the_test_process() {
        // setpriv tells the kernel; what the kernel was told can be read from the program itself.
        let (mut process, _) = shell("exec setpriv --dump");
        process.wait(Duration::from_secs(10));
        let log = process.log();
        let told = log.lines().find(|line| line.starts_with("Parent death signal"));
        assert!(told.is_some_and(|line| line.ends_with("KILL")), "{log}");
    }
}
