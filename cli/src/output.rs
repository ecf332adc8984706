//! Bytes out: data on stdout, and files replaced in one step.
//!
//! A file is staged first: written in full to a temporary file beside it, with the mode and owner that it will have,
//! and synced. Only then is it renamed into place, and the folder synced. Whatever fails before the rename leaves the
//! old file as it was. When several files are written, all are staged before the first is renamed.

use crate::error::{CommandError, Shown};
use crate::input::reason;
use crate::speech;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile};
use zeroize::Zeroizing;

/// What a file holds, which decides who may read it when it is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Anybody may see it.
    Public,
    /// Plaintext or a private key: for the owner only.
    Secret,
}

/// Where output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Destination {
    /// No file was named, or `-`.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl Destination {
    /// The file of an option; none, or `-`, is stdout.
    pub(crate) fn from_option(path: Option<&Path>) -> Self {
        match path {
            Some(path) if path != Path::new("-") => Self::File(path.to_owned()),
            _ => Self::Stdout,
        }
    }

    /// Writes it all, or fails and leaves a file that was there as it was.
    pub(crate) fn write(&self, bytes: &[u8], content: Content) -> Result<(), CommandError> {
        match self {
            Self::Stdout => to_stdout(bytes),
            Self::File(path) => Staged::new(path, bytes, content)?.commit(),
        }
    }
}

/// Data on stdout.
pub(crate) fn to_stdout(bytes: &[u8]) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => CommandError::broken_pipe(),
        _ => CommandError::failed(format!("stdout: {}", reason(&error))),
    })
}

/// A text that may hold plaintext, written twice: first to know its length, since growing leaves copies behind.
pub(crate) fn wiped_text(write: impl Fn(&mut dyn fmt::Write) -> fmt::Result) -> Zeroizing<String> {
    struct Length(usize);
    impl fmt::Write for Length {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }
    let mut length = Length(0);
    write(&mut length).expect("counting does not fail");
    let mut text = Zeroizing::new(String::with_capacity(length.0));
    write(&mut *text).expect("memory does not fail");
    text
}

/// A file that is written, and not yet in its place. Dropped without [`Staged::commit`], it leaves nothing behind.
pub(crate) struct Staged {
    name: String,
    state: State,
}

enum State {
    /// To be renamed onto the path.
    Ready { temporary: NamedTempFile, target: PathBuf },
    /// A pipe or device: there is nothing to replace, so it is written when its turn comes.
    Direct { target: PathBuf, bytes: Zeroizing<Vec<u8>> },
}

impl Staged {
    /// Writes the bytes beside `path`, ready to take its place.
    pub(crate) fn new(path: &Path, bytes: &[u8], content: Content) -> Result<Self, CommandError> {
        let name = path.to_string_lossy().into_owned();
        let state = stage(path, bytes, content).map_err(|error| cannot_write(&name, &error))?;
        Ok(Self { name, state })
    }

    /// Puts the file into its place.
    pub(crate) fn commit(self) -> Result<(), CommandError> {
        Self::commit_all(vec![self])
    }

    /// Puts files into their places, one after the other, and syncs each folder once. The first that cannot be ends it:
    /// those before it are new, the others as they were, and all are whole.
    pub(crate) fn commit_all(all: Vec<Self>) -> Result<(), CommandError> {
        let mut folders = BTreeMap::new();
        for staged in all {
            let name = staged.name.clone();
            if let Some(target) = staged.rename()? {
                folders.insert(folder(&target).to_owned(), name);
            }
        }
        for (folder, name) in folders {
            sync_folder(&folder).map_err(|error| cannot_write(&name, &error))?;
        }
        Ok(())
    }

    /// Gives the path that was replaced.
    fn rename(self) -> Result<Option<PathBuf>, CommandError> {
        let done = match self.state {
            State::Ready { temporary, target } => match temporary.persist(&target) {
                Ok(_) => return Ok(Some(target)),
                Err(error) => Err(error.error),
            },
            State::Direct { target, bytes } => {
                File::options().write(true).open(target).and_then(|mut file| file.write_all(&bytes))
            }
        };
        match done {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(CommandError::broken_pipe()),
            done => done.map(|()| None).map_err(|error| cannot_write(&self.name, &error)),
        }
    }
}

fn cannot_write(name: &str, error: &io::Error) -> CommandError {
    CommandError::failed(format!("{}: cannot be written: {}", Shown(name), reason(error)))
}

fn stage(path: &Path, bytes: &[u8], content: Content) -> io::Result<State> {
    let (target, old) = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Ok(metadata) if !metadata.is_file() => {
            return Ok(State::Direct { target: path.to_owned(), bytes: bytes.to_vec().into() });
        }
        Ok(metadata) => (fs::canonicalize(path)?, Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (missing_target(path)?, None),
        Err(error) => return Err(error),
    };
    let mut builder = Builder::new();
    builder.prefix(".privyseal-").suffix(".tmp");
    if old.is_none() && content == Content::Public {
        public_mode(&mut builder);
    }
    let mut temporary = builder.tempfile_in(folder(&target))?;
    temporary.write_all(bytes)?;
    if let Some(old) = old {
        refuse_if_read_only(&target)?;
        take_over(temporary.as_file(), &old)?;
        warn_about(path, &old, content);
    }
    temporary.as_file().sync_all()?;
    Ok(State::Ready { temporary, target })
}

/// Where a file is to be made: a link to a file that does not exist yet is followed too.
fn missing_target(path: &Path) -> io::Result<PathBuf> {
    const MOST_LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_symlink() => path = folder(&path).join(fs::read_link(&path)?),
            Ok(_) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(path),
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::other("too many links in a row"))
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// A rename asks the folder's permission only; a file that says it must not be written is left alone all the same.
fn refuse_if_read_only(target: &Path) -> io::Result<()> {
    File::options().append(true).open(target).map(drop)
}

/// Mode and owner of the file that is replaced.
#[cfg(unix)]
fn take_over(file: &File, old: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    let new = file.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(file, Some(old.uid()), Some(old.gid())).map_err(|error| {
            io::Error::new(error.kind(), format!("its owner cannot be kept: {}", reason(&error)))
        })?;
    }
    // After the owner: changing that one clears set-id bits.
    file.set_permissions(old.permissions())
}

#[cfg(not(unix))]
fn take_over(file: &File, old: &Metadata) -> io::Result<()> {
    file.set_permissions(old.permissions())
}

/// What the umask makes of it, as for any new file.
#[cfg(unix)]
fn public_mode(builder: &mut Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt as _;
    builder.permissions(fs::Permissions::from_mode(0o666));
}

#[cfg(not(unix))]
fn public_mode(_: &mut Builder<'_, '_>) {}

#[cfg(unix)]
fn warn_about(path: &Path, old: &Metadata, content: Content) {
    use std::os::unix::fs::MetadataExt as _;
    let name = path.to_string_lossy();
    if old.nlink() > 1 {
        speech::warning(format_args!("{}: other hard links to it keep the old contents", Shown(&name)));
    }
    if content == Content::Secret && old.mode() & 0o077 != 0 {
        let mode = old.mode() & 0o7777;
        speech::warning(format_args!(
            "{}: others than its owner can reach it (mode {mode:04o})",
            Shown(&name)
        ));
    }
}

#[cfg(not(unix))]
fn warn_about(_: &Path, _: &Metadata, _: Content) {}

/// Makes the rename last through a power failure.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    // The files are in place already: a folder that cannot be opened, or that knows no sync, is no failure.
    let Ok(folder) = File::open(folder) else { return Ok(()) };
    match folder.sync_all() {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        done => done,
    }
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}
