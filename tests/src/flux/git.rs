//! Git as a team has it: repositories on a server, and a work tree from which somebody commits and pushes.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::controller::http;
use crate::process::{self, Process};
use crate::{ports, scratch, tools};

const READY_LIMIT: Duration = Duration::from_secs(30);
const BRANCH: &str = "main";

/// A server of bare repositories over HTTP on the loopback address.
#[derive(Debug)]
pub struct GitServer {
    folder: PathBuf,
    port: u16,
    command: Command,
    process: Process,
    log: PathBuf,
}

impl GitServer {
    /// Starts one without repositories.
    pub async fn start() -> Self {
        let home = scratch::folder("git-server");
        let folder = home.join("repositories");
        std::fs::create_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let (port, log) = (ports::free(), home.join("log"));
        let mut command = process::hermetic(&tools::flux("git-server"), &home);
        command.arg(&folder).arg(format!("127.0.0.1:{port}"));
        let process = Process::start("git-server", &command, &log);
        let mut server = Self { folder, port, command, process, log };
        server.wait_until_ready().await;
        server
    }

    /// A new repository with one empty commit.
    pub fn repository(&self, name: &str) -> Repository {
        let bare = self.folder.join(format!("{name}.git"));
        let work = scratch::folder(&format!("{name}-work"));
        git(
            &self.folder,
            &["init", "--quiet", "--bare", "--initial-branch", BRANCH, &bare.to_string_lossy()],
        );
        git(&work, &["init", "--quiet", "--initial-branch", BRANCH]);
        git(&work, &["remote", "add", "origin", &bare.to_string_lossy()]);
        let url = format!("http://127.0.0.1:{}/{name}.git", self.port);
        let repository = Repository { work, url };
        repository.commit("begin");
        repository
    }

    /// Ends it: from now on its repositories cannot be reached, and commits to them still can be made.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// Starts it again with the same address and repositories.
    pub async fn start_again(&mut self) {
        assert!(self.process.ended().is_some(), "git-server runs");
        self.process = Process::start("git-server", &self.command, &self.log);
        self.wait_until_ready().await;
    }

    async fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + READY_LIMIT;
        // What it says of a path without a repository matters to nobody.
        while http::get(self.port, "/").await.is_err() {
            assert!(Instant::now() < deadline, "git-server does not answer\n{}", self.process.tail());
            if let Some(status) = self.process.ended() {
                panic!("git-server ended: {status}\n{}", self.process.tail());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// A repository and somebody's work tree of it.
#[derive(Debug)]
pub struct Repository {
    work: PathBuf,
    url: String,
}

impl Repository {
    /// Where Flux finds it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The work tree, for programs that change files in it.
    pub fn folder(&self) -> &Path {
        &self.work
    }

    /// Writes a file of the work tree.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.work.join(path);
        let written = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let written = written.and_then(|()| std::fs::write(&path, text));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Removes a file of the work tree.
    pub fn remove(&self, path: &str) {
        let path = self.work.join(path);
        std::fs::remove_file(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Commits all that changed, which may be nothing, and pushes it.
    pub fn commit(&self, message: &str) -> Revision {
        git(&self.work, &["add", "--all"]);
        git(&self.work, &["commit", "--quiet", "--allow-empty", "--message", message]);
        git(&self.work, &["push", "--quiet", "origin", BRANCH]);
        self.head()
    }

    /// Takes a commit back with one of its own, and pushes that.
    pub fn revert(&self, commit: &Revision) -> Revision {
        git(&self.work, &["revert", "--no-edit", &commit.0]);
        git(&self.work, &["push", "--quiet", "origin", BRANCH]);
        self.head()
    }

    fn head(&self) -> Revision {
        Revision(git(&self.work, &["rev-parse", "HEAD"]).trim().to_owned())
    }
}

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(String);

impl Revision {
    /// Whether a revision in the words of Flux, `main@sha1:…`, is this one.
    pub fn is(&self, of_flux: &str) -> bool {
        of_flux == format!("{BRANCH}@sha1:{}", self.0)
    }
}

impl Display for Revision {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Runs git as nobody's, with nobody's configuration.
fn git(folder: &Path, args: &[&str]) -> String {
    let mut git = process::hermetic(Path::new("git"), folder);
    git.env("HOME", "/proc").env("GIT_CONFIG_NOSYSTEM", "1");
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "team").env(format!("GIT_{role}_EMAIL"), "team@example.com");
    }
    let output = git.args(args).output().unwrap_or_else(|error| panic!("git {args:?}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {args:?}: {}\n{errors}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}
