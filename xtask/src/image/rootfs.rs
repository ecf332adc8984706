//! The files of the image, in memory, with everything that varies between machines and runs taken out.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use tar::{Builder, EntryType, Header};

use super::{PEERS_NAME, PROGRAM};
use crate::process;

/// What a path of the image is.
enum Entry {
    Folder { mode: u32 },
    File { mode: u32, bytes: Vec<u8> },
    Link { to: &'static str },
}

/// Paths without a leading slash, sorted, so that a folder comes before what is in it.
pub(super) struct RootFs(BTreeMap<PathBuf, Entry>);

impl RootFs {
    /// The program, the libraries that it is linked to, and what libc reads.
    pub(super) fn around(program: &Path) -> Result<Self> {
        let mut files = Self(BTreeMap::new());
        files.add_copy(program, Path::new(PROGRAM))?;
        files.add(PEERS_NAME, Entry::Link { to: "privyseal-controller" });
        // Cargo sets LD_LIBRARY_PATH for what it runs; the loader in the image will know nothing of that.
        let ldd = process::output(Command::new("ldd").arg(program).env_remove("LD_LIBRARY_PATH"))?;
        for library in libraries(&ldd)? {
            files.add_copy(library, library.strip_prefix("/").context("ldd gave no absolute path")?)?;
        }
        files.add_system_files();
        Ok(files)
    }

    fn add_system_files(&mut self) {
        let text = |text: &str| Entry::File { mode: 0o644, bytes: text.as_bytes().to_vec() };
        self.add("etc/passwd", text(PASSWD));
        self.add("etc/group", text(GROUP));
        self.add("etc/nsswitch.conf", text(NSSWITCH));
        self.add("tmp", Entry::Folder { mode: 0o1777 });
    }

    fn add_copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let bytes = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.add(to, Entry::File { mode: 0o755, bytes });
        Ok(())
    }

    fn add(&mut self, path: impl AsRef<Path>, entry: Entry) {
        let path = path.as_ref();
        for folder in path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty()) {
            self.0.entry(folder.to_owned()).or_insert(Entry::Folder { mode: 0o755 });
        }
        self.0.insert(path.to_owned(), entry);
    }

    /// As a tar archive: owned by root, so that the program cannot change itself, and without times.
    pub(super) fn write_tar(&self, out: impl Write) -> Result<()> {
        let mut tar = Builder::new(out);
        for (path, entry) in &self.0 {
            let mut header = Header::new_ustar();
            header.set_mtime(0);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(0);
            match entry {
                Entry::Folder { mode } => {
                    header.set_entry_type(EntryType::Directory);
                    header.set_mode(*mode);
                    tar.append_data(&mut header, path.join(""), std::io::empty())?;
                }
                Entry::File { mode, bytes } => {
                    header.set_mode(*mode);
                    header.set_size(bytes.len() as u64);
                    tar.append_data(&mut header, path, bytes.as_slice())?;
                }
                Entry::Link { to } => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_mode(0o777);
                    tar.append_link(&mut header, path, to)?;
                }
            }
        }
        tar.into_inner()?.flush()?;
        Ok(())
    }

    /// As a new folder, for the Dockerfile.
    pub(super) fn write_to(&self, folder: &Path) -> Result<()> {
        fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (path, entry) in &self.0 {
            let path = folder.join(path);
            match entry {
                Entry::Folder { mode } => {
                    fs::create_dir(&path)?;
                    fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
                }
                Entry::File { mode, bytes } => {
                    fs::write(&path, bytes)?;
                    fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
                }
                Entry::Link { to } => symlink(to, &path)?,
            }
        }
        Ok(())
    }
}

/// The files that ldd names. The kernel's own (`linux-vdso`) is none.
fn libraries(ldd: &str) -> Result<Vec<&Path>> {
    let mut libraries = Vec::new();
    for line in ldd.lines().map(str::trim) {
        if line.ends_with("=> not found") {
            bail!("a library is not installed: {line}");
        }
        if line.starts_with("linux-vdso") || line == "statically linked" {
            continue;
        }
        let path = line.split_once("=> ").map_or(line, |(_, path)| path);
        let path = path.rsplit_once(" (").map_or(path, |(path, _)| path);
        if !path.starts_with('/') {
            bail!("cannot read what ldd says: {line}");
        }
        libraries.push(Path::new(path));
    }
    Ok(libraries)
}

const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnonroot:x:65532:\n";
/// Both ways to resolve a name are inside libc; the order is the usual one.
const NSSWITCH: &str = "hosts: files dns\n";

#[cfg(test)]
impl RootFs {
    /// A root with one small file as its program.
    pub(super) fn small() -> Self {
        let mut files = Self(BTreeMap::new());
        files.add(PROGRAM, Entry::File { mode: 0o755, bytes: b"#!".to_vec() });
        files.add(PEERS_NAME, Entry::Link { to: "privyseal-controller" });
        files.add_system_files();
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_is_read() {
        let ldd = "\tlinux-vdso.so.1 (0x00007ffe)\n\
                   \tlibgcc_s.so.1 => /lib/x86_64-linux-gnu/libgcc_s.so.1 (0x00007f8d)\n\
                   \t/lib64/ld-linux-x86-64.so.2 (0x00007f8d)\n";
        let paths = ["/lib/x86_64-linux-gnu/libgcc_s.so.1", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(libraries(ldd).unwrap(), paths.map(Path::new));
        assert_eq!(libraries("\tstatically linked\n").unwrap(), Vec::<&Path>::new());
    }

    #[test]
    fn what_ldd_does_not_find_is_an_error() {
        assert!(libraries("\tlibfoo.so.1 => not found\n").is_err());
        assert!(libraries("\tsomething else\n").is_err());
    }

    #[test]
    fn the_archive_names_folders_first_and_nobody_but_root() {
        let mut tar = Vec::new();
        RootFs::small().write_tar(&mut tar).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let mut paths = Vec::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, 0));
            paths.push(entry.path().unwrap().display().to_string());
        }
        assert_eq!(
            paths,
            [
                "etc/",
                "etc/group",
                "etc/nsswitch.conf",
                "etc/passwd",
                "tmp/",
                "usr/",
                "usr/local/",
                "usr/local/bin/",
                "usr/local/bin/controller",
                "usr/local/bin/privyseal-controller"
            ]
        );
    }
}
