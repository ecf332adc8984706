//! Folders for what a test run writes.
//!
//! Rust runs no destructor of a static, and none at all when a process is killed, while one control plane leaves more
//! than 100 MB. So all folders of one test process lie below one root, and a small process of its own, which holds
//! the other end of a pipe, removes that root when the test process is gone.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;

/// Waits for the end of the pipe, then removes the folder until nobody writes into it any more.
const JANITOR: &str = r#"cat >/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    rm -rf "$1" 2>/dev/null
    sleep 1
    [ -e "$1" ] || exit 0
done"#;

struct Root {
    path: PathBuf,
    /// Its stdin is the pipe; the kernel closes our end.
    _janitor: Child,
}

static ROOT: LazyLock<Root> = LazyLock::new(|| {
    let path = tempfile::Builder::new()
        .prefix("privyseal-tests-")
        // Kubeconfigs with tokens lie here.
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .unwrap_or_else(|error| panic!("a folder in {}: {error}", std::env::temp_dir().display()))
        .keep();
    let janitor = Command::new("sh")
        .args(["-c", JANITOR, "janitor"])
        .arg(&path)
        .stdin(Stdio::piped())
        // Whoever reads our output must not wait for it.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C in a terminal goes to our group, not to this one.
        .process_group(0)
        .spawn()
        .unwrap_or_else(|error| panic!("sh: {error}"));
    Root { path, _janitor: janitor }
});

/// A new folder, kept until the test process ends.
pub(crate) fn folder(name: &str) -> PathBuf {
    tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .tempdir_in(&ROOT.path)
        .unwrap_or_else(|error| panic!("a folder in {}: {error}", ROOT.path.display()))
        .keep()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_new_and_private() {
        let (one, other) = (folder("same"), folder("same"));
        assert_ne!(one, other);
        let mode = ROOT.path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn the_janitor_removes_the_folder_when_the_pipe_ends() {
        let path = tempfile::tempdir().unwrap().keep();
        std::fs::write(path.join("file"), "").unwrap();
        let mut janitor = Command::new("sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        assert!(path.exists());
        drop(janitor.stdin.take());
        assert!(janitor.wait().unwrap().success());
        assert!(!path.exists());
    }
}
