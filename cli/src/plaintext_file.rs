//! A file of plaintext for another program, such as an editor: in memory, for its owner only, and gone afterwards.
//!
//! ```text
//!   create ──▶ fresh folder 0700 on tmpfs ──▶ file 0600 ──another program──▶ read ──▶ Drop: overwritten, removed
//!                                                        └── signal, panic ──▶ sweep_all ──┘
//! ```
//!
//! The folder is swept as a whole, since editors leave backups beside the file. SIGKILL and a loss of power cannot be
//! answered: then memory's own end is what is left. What tmpfs does not protect from is swap, and root.

use crate::error::{CommandError, Shown};
use crate::input::{Source, reason};
use crate::interrupt;
use crate::speech;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};
use tempfile::Builder;
use zeroize::Zeroizing;

/// Where plaintext may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// A file system that is memory, or nowhere.
    Memory,
    /// Wherever the system keeps temporary files.
    Anything,
}

/// A file of plaintext, and the folder that is its own.
pub(crate) struct PlaintextFile {
    folder: PathBuf,
    file: PathBuf,
}

/// Folders that are to be swept, whatever ends the process.
static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

impl PlaintextFile {
    /// Writes the text to a new file of this name.
    pub(crate) fn create(name: &str, text: &[u8], medium: Medium) -> Result<Self, CommandError> {
        sweep_whatever_ends_us();
        let folder = match medium {
            Medium::Memory => in_memory(memory_folders())?,
            Medium::Anything => anywhere()?,
        };
        lock(&FOLDERS).push(folder.clone());
        // From here on Drop sweeps.
        let this = Self { file: folder.join(name), folder };
        let written = new_file(&this.file).and_then(|mut file| file.write_all(text));
        written.map_err(|error| {
            CommandError::failed(format!("{}: cannot be written: {}", this.shown(), reason(&error)))
        })?;
        Ok(this)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// What it holds now. Another program may have put another file into its place.
    pub(crate) fn read(&self) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        match fs::symlink_metadata(&self.file) {
            Ok(metadata) if metadata.is_file() => Source::File(self.file.clone()).read(),
            _ => Err(CommandError::failed(format!("{}: the editor left no file there", self.shown()))),
        }
    }

    fn shown(&self) -> String {
        Shown(&self.file.to_string_lossy()).to_string()
    }
}

impl Drop for PlaintextFile {
    fn drop(&mut self) {
        sweep_and_tell(&self.folder);
        lock(&FOLDERS).retain(|folder| *folder != self.folder);
    }
}

fn lock(folders: &Mutex<Vec<PathBuf>>) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
    folders.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A signal that does not wait, and a panic where panics abort, run no destructor.
fn sweep_whatever_ends_us() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        interrupt::before_exit(sweep_all);
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            sweep_all();
            default(panic);
        }));
    });
}

fn sweep_all() {
    // Whoever holds the lock is ending, too, or has panicked with it.
    let folders = FOLDERS.try_lock().map(|folders| folders.clone()).unwrap_or_default();
    folders.iter().for_each(|folder| sweep_and_tell(folder));
}

fn sweep_and_tell(folder: &Path) {
    match sweep(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => speech::warning(format_args!(
            "{}: plaintext is left there, remove it: {}",
            Shown(&folder.to_string_lossy()),
            reason(&error)
        )),
        _ => {}
    }
}

/// Overwrites every file, then removes the folder. Links are removed, and what they lead to is let be.
fn sweep(folder: &Path) -> io::Result<()> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let Ok(entry) = entry else { continue };
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                // A file that cannot be overwritten can be removed all the same.
                Ok(kind) if kind.is_file() => drop(overwrite(&entry.path())),
                _ => {}
            }
        }
    }
    fs::remove_dir_all(folder)
}

fn overwrite(file: &Path) -> io::Result<()> {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut file = File::options().write(true).open(file)?;
    let mut left = file.metadata()?.len();
    while left > 0 {
        let len = left.min(ZEROS.len() as u64);
        file.write_all(&ZEROS[..usize::try_from(len).unwrap_or(ZEROS.len())])?;
        left -= len;
    }
    file.sync_data()
}

#[cfg(unix)]
fn new_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    File::options().write(true).create_new(true).mode(0o600).open(path)
}

#[cfg(not(unix))]
fn new_file(path: &Path) -> io::Result<File> {
    File::options().write(true).create_new(true).open(path)
}

fn in_memory(parents: Vec<PathBuf>) -> Result<PathBuf, CommandError> {
    let made = parents.into_iter().find_map(|parent| {
        let folder = fresh_folder(&parent).ok()?;
        match is_memory(&folder) {
            true => Some(folder),
            false => {
                let _ = fs::remove_dir(&folder);
                None
            }
        }
    });
    made.ok_or_else(|| {
        CommandError::failed(
            "there is no file system in memory (tmpfs) for the plaintext: $XDG_RUNTIME_DIR and /dev/shm were looked at",
        )
        .hint("--insecure-temp puts it into the folder for temporary files, from which it can perhaps be restored")
    })
}

fn anywhere() -> Result<PathBuf, CommandError> {
    let parent = std::env::temp_dir();
    let shown = parent.to_string_lossy().into_owned();
    let folder = fresh_folder(&parent)
        .map_err(|error| CommandError::failed(format!("{}: {}", Shown(&shown), reason(&error))))?;
    if !is_memory(&folder) {
        speech::warning(format_args!(
            "the plaintext lies in {} while it is edited; what a disk once held can perhaps be restored",
            Shown(&shown)
        ));
    }
    Ok(folder)
}

/// A folder that only we can reach, in one from which nobody else can take it away.
fn fresh_folder(parent: &Path) -> io::Result<PathBuf> {
    refuse_where_others_may_rename(parent)?;
    let mut builder = Builder::new();
    builder.prefix("privyseal-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o700));
    }
    builder.tempdir_in(parent).map(tempfile::TempDir::keep)
}

#[cfg(unix)]
fn refuse_where_others_may_rename(parent: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    const OTHERS_WRITE: u32 = 0o022;
    const STICKY: u32 = 0o1000;
    let metadata = fs::metadata(parent)?;
    let owners = [0, rustix::process::geteuid().as_raw()];
    let shared = metadata.mode() & OTHERS_WRITE != 0 && metadata.mode() & STICKY == 0;
    match shared || !owners.contains(&metadata.uid()) {
        true => Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may rename what lies there")),
        false => Ok(()),
    }
}

#[cfg(not(unix))]
fn refuse_where_others_may_rename(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Where a file system in memory is usual. Each is looked at before it is used.
#[cfg(target_os = "linux")]
fn memory_folders() -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let own = PathBuf::from(format!("/run/user/{}", rustix::process::geteuid().as_raw()));
    runtime.into_iter().chain([PathBuf::from("/dev/shm"), own]).collect()
}

/// macOS and Windows have none that is there for everybody.
#[cfg(not(target_os = "linux"))]
fn memory_folders() -> Vec<PathBuf> {
    Vec::new()
}

#[cfg(target_os = "linux")]
fn is_memory(folder: &Path) -> bool {
    /// `linux/magic.h`: tmpfs and ramfs. The type of the field is another on each architecture, and always 32 bits.
    const MAGIC: [u64; 2] = [0x0102_1994, 0x8584_58f6];
    rustix::fs::statfs(folder).is_ok_and(|system| MAGIC.contains(&(system.f_type as u64 & 0xffff_ffff)))
}

#[cfg(not(target_os = "linux"))]
fn is_memory(_: &Path) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    static_assertions::assert_not_impl_any!(PlaintextFile: std::fmt::Debug, std::fmt::Display, Clone);

    #[test]
    fn the_folder_is_ours_in_memory_and_gone_with_all_that_was_left_in_it() {
        let outside = tempfile::TempDir::new().unwrap();
        fs::write(outside.path().join("kept"), "kept").unwrap();
        let file = PlaintextFile::create("secret.yaml", b"value", Medium::Memory).ok().unwrap();
        let folder = file.path().parent().unwrap().to_owned();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&folder), mode(file.path())), (0o700, 0o600));
        assert!(is_memory(file.path()));
        assert!(*lock(&FOLDERS) == vec![folder.clone()]);
        assert_eq!(**file.read().ok().unwrap(), *b"value");

        fs::create_dir(folder.join("undo")).unwrap();
        for left in ["secret.yaml~", "undo/1"] {
            fs::write(folder.join(left), vec![7; 10_000]).unwrap();
        }
        // Another name of the same bytes shows what became of them.
        let other_name = folder.parent().unwrap().join(format!("privyseal-test-{}", std::process::id()));
        fs::hard_link(folder.join("undo/1"), &other_name).unwrap();
        symlink(outside.path().join("kept"), folder.join("link")).unwrap();
        symlink(outside.path(), folder.join("folder-link")).unwrap();
        drop(file);
        assert!(!folder.exists());
        let overwritten = fs::read(&other_name).unwrap();
        fs::remove_file(other_name).unwrap();
        assert_eq!(overwritten, [0; 10_000]);
        assert_eq!(fs::read(outside.path().join("kept")).unwrap(), b"kept");
        assert!(lock(&FOLDERS).is_empty());

        // A panic that runs no destructor, as where panics abort. Here, since it sweeps the folders of all tests.
        let file = PlaintextFile::create("secret.yaml", b"value", Medium::Memory).ok().unwrap();
        let folder = file.path().parent().unwrap().to_owned();
        std::mem::forget(file);
        assert!(folder.exists());
        assert!(std::panic::catch_unwind(|| panic!("as asked")).is_err());
        assert!(!folder.exists());
        lock(&FOLDERS).clear();
    }

    #[test]
    fn a_disk_is_not_memory_and_a_folder_of_everybody_is_not_ours() {
        assert!(!is_memory(Path::new("/proc")));
        assert!(!is_memory(Path::new("/none")));
        let error = in_memory(vec!["/none".into(), "/proc".into(), "/".into()]).err().unwrap();
        assert!(error.reports()[0].1[0].starts_with("--insecure-temp"), "{:?}", error.reports());
        let folder = tempfile::TempDir::new().unwrap();
        assert!(fresh_folder(folder.path()).is_ok());
        for (mode, good) in [(0o777, false), (0o770, false), (0o1777, true), (0o755, true)] {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(fresh_folder(folder.path()).is_ok(), good, "{mode:o}");
        }
    }
}
