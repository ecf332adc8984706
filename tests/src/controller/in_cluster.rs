//! A pod's view of its API server, without a pod.
//!
//! Programs find it in two variables and in three files below `/var/run/secrets/kubernetes.io/serviceaccount`, a path
//! that the peer's controller knows alone. So the program gets a mount namespace of its own in which the files are
//! there, and in which nobody else sees them. Root needs only that; everybody else a user namespace around it, in
//! which they are root. A program that runs from an [`Image`] gets them at the same place below the image's root.

use std::path::Path;
use std::process::Command;

use crate::image::Image;
use crate::kubeconfig::{Server, write_private};
use crate::process;

/// A ServiceAccount and where its API server is.
#[derive(Clone, Debug)]
pub struct Account {
    pub(crate) server: Server,
    pub(crate) namespace: String,
    pub(crate) token: String,
}

/// Where a pod finds its account.
const FILES: &str = "var/run/secrets/kubernetes.io/serviceaccount";

/// `$1` is the folder that the program sees as `/var/run`, the rest is the program. The whole folder is covered, since
/// who is root only in a user namespace can make none in the real one. `setpriv` comes again, because the kernel takes
/// the leash off whoever changes its rights.
const ENTER: &str = r#"run=$1; shift
mount --bind "$run" "$(readlink -f /var/run)" && exec setpriv --pdeathsig KILL -- "$@""#;

impl Account {
    /// The program as it would run in a pod of this account. Its files are kept in `home`, and what is written to
    /// them later is seen by the program, as a kubelet renews a token.
    pub(crate) fn command(&self, program: &Path, home: &Path) -> Command {
        let run = home.join("run");
        self.write_files(&run.join("secrets/kubernetes.io/serviceaccount"));

        let mut command = process::hermetic(Path::new("unshare"), home);
        let namespaces = if rustix::process::geteuid().is_root() { "-m" } else { "-Urm" };
        command.args([namespaces, "sh", "-c", ENTER, "enter"]).arg(&run).arg(program);
        self.point(&mut command);
        command
    }

    /// What the image starts, as a pod of this account: the image's files, the account's, and no others.
    pub(crate) fn command_in(&self, image: &Image, home: &Path) -> Command {
        let files = home.join("account");
        self.write_files(&files);
        let mut command = image.command(&[(&files, FILES)], home);
        self.point(&mut command);
        command
    }

    fn write_files(&self, folder: &Path) {
        std::fs::create_dir_all(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        write_private(&folder.join("token"), self.token.as_bytes());
        write_private(&folder.join("ca.crt"), self.server.ca_pem.as_bytes());
        write_private(&folder.join("namespace"), self.namespace.as_bytes());
    }

    fn point(&self, command: &mut Command) {
        let (host, port) = self.server.host_and_port();
        command.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::Process;
    use crate::scratch;

    #[test]
    fn the_program_alone_sees_the_files() {
        const FOLDER: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
        let home = scratch::folder("in-cluster");
        let account = Account {
            server: Server { url: "https://127.0.0.1:6443".to_owned(), ca_pem: "CA".to_owned() },
            namespace: "there".to_owned(),
            token: "secret".to_owned(),
        };
        let mut command = account.command(Path::new("/bin/sh"), &home);
        let script = format!(
            "cat {FOLDER}/token {FOLDER}/ca.crt {FOLDER}/namespace; \
             echo \" $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT\"; exec setpriv --dump"
        );
        command.args(["-c", &script]);
        let mut process = Process::start("sh", &command, &home.join("log"));
        let status = process.wait(Duration::from_secs(20)).unwrap();
        let log = process.log();
        assert!(status.success() && log.starts_with("secretCAthere 127.0.0.1:6443\n"), "{log}");
        let told = log.lines().find(|line| line.starts_with("Parent death signal"));
        assert!(told.is_some_and(|line| line.ends_with("KILL")), "{log}");
        let outside = std::fs::read_to_string(Path::new(FOLDER).join("token")).unwrap_or_default();
        assert_ne!(outside, "secret");
    }
}
