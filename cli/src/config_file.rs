//! Finding `.privyseal.yaml`: upwards from a file, and never beyond its repository.
//!
//! There is one configuration for a file, or none. Two of them on the way up are an error and not a precedence, so that
//! nobody can change what holds for a folder by planting a second one in it.

use crate::error::{CommandError, Shown};
use crate::input::{Source, cannot_read};
use privyseal_repo::{CONFIG_FILE, Config, DocumentError};
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// A configuration and where it was found.
#[derive(Clone)]
pub(crate) struct Configuration {
    /// What it says.
    pub(crate) config: Config,
    /// The file, for messages.
    pub(crate) file: PathBuf,
    /// The folder that its paths are relative to.
    pub(crate) folder: PathBuf,
}

impl Configuration {
    /// The one that holds for a file, which need not be there yet.
    pub(crate) fn for_file(file: &Path) -> Result<Option<Self>, CommandError> {
        let Some(folder) = folder_of(file) else { return Ok(None) };
        let mut found = Vec::new();
        for folder in within_repository(&folder) {
            let candidate = folder.join(CONFIG_FILE);
            match fs::symlink_metadata(&candidate) {
                Ok(metadata) => found.push((candidate, metadata)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(cannot_read(&candidate.to_string_lossy(), &error)),
            }
        }
        match found.as_slice() {
            [] => Ok(None),
            [(file, metadata)] => {
                check_owner(file, metadata)?;
                Self::read(file).map(Some)
            }
            [(inner, _), .., (outer, _)] => Err(CommandError::input(format!(
                "{} and {}: two configurations hold for one file",
                Shown(&inner.to_string_lossy()),
                Shown(&outer.to_string_lossy())
            ))
            .hint("keep one of them; --config FILE names the one to use this time")),
        }
    }

    /// The one that the command line names.
    pub(crate) fn read(file: &Path) -> Result<Self, CommandError> {
        let bytes = Source::File(file.to_owned()).read_at_most(MAX_BYTES)?;
        let config = parse(file, &bytes, Config::parse)?;
        let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let folder = absolute.parent().map_or_else(PathBuf::new, Path::to_owned);
        Ok(Self { config, file: file.to_owned(), folder })
    }

    /// A file's path as the rules see it: relative to the folder, its parts separated by `/`.
    pub(crate) fn relative(&self, file: &Path) -> Option<String> {
        let folder = fs::canonicalize(&self.folder).ok()?;
        let file = folder_of(file)?.join(file.file_name()?);
        let parts = file.strip_prefix(folder).ok()?.components();
        let parts: Option<Vec<_>> = parts.map(|part| part.as_os_str().to_str()).collect();
        Some(parts?.join("/"))
    }
}

/// Reads a document of ours; the error says in which file and where.
pub(crate) fn parse<T>(
    file: &Path,
    bytes: &[u8],
    parse: impl FnOnce(&str) -> Result<T, DocumentError>,
) -> Result<T, CommandError> {
    let name = file.to_string_lossy();
    let text =
        str::from_utf8(bytes).map_err(|_| CommandError::input(format!("{}: not UTF-8", Shown(&name))))?;
    parse(text).map_err(|DocumentError { at, problem }| {
        let place = at.map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
        CommandError::input(format!("{}{place}: {}", Shown(&name), Shown(&problem)))
    })
}

/// The root of the repository that a folder is in; outside of one, the folder itself.
pub(crate) fn repository_root(folder: &Path) -> Result<PathBuf, CommandError> {
    let name = folder.to_string_lossy();
    let folder = fs::canonicalize(folder).map_err(|error| cannot_read(&name, &error))?;
    Ok(within_repository(&folder).last().unwrap_or(&folder).to_owned())
}

/// Whether a folder, links resolved, is in a repository.
pub(crate) fn is_in_repository(folder: &Path) -> bool {
    folder.ancestors().any(|folder| folder.join(".git").symlink_metadata().is_ok())
}

/// The folder that a file is in or will be in, links resolved: a link does not carry a file into another repository.
pub(crate) fn folder_of(file: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(file).ok()?;
    fs::canonicalize(absolute.parent()?).ok()
}

/// The folder and those above it, up to the root of the repository. Outside of one, the folder alone: what lies above
/// may be anybody's.
fn within_repository(folder: &Path) -> impl Iterator<Item = &Path> {
    let depth = folder.ancestors().position(|folder| folder.join(".git").symlink_metadata().is_ok());
    folder.ancestors().take(depth.unwrap_or(0) + 1)
}

/// A configuration that another user can change decides nothing for us.
#[cfg(unix)]
fn check_owner(file: &Path, metadata: &Metadata) -> Result<(), CommandError> {
    use std::os::unix::fs::MetadataExt as _;
    let refused = |what: &str| {
        Err(CommandError::input(format!("{}: {what}", Shown(&file.to_string_lossy())))
            .hint("name it with --config FILE if you trust it"))
    };
    if !metadata.is_file() {
        return refused("not a file; a configuration may not be a link");
    }
    match metadata.uid() {
        0 => Ok(()),
        uid if uid == rustix::process::geteuid().as_raw() => Ok(()),
        _ => refused("it belongs to another user"),
    }
}

#[cfg(not(unix))]
fn check_owner(_: &Path, _: &Metadata) -> Result<(), CommandError> {
    Ok(())
}

/// More than any configuration.
const MAX_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_ends_at_the_repository() {
        let scratch = tempfile::tempdir().unwrap();
        let deep = scratch.path().join("repository/a/b");
        fs::create_dir_all(&deep).unwrap();
        let found = || within_repository(&deep).count();
        assert_eq!(found(), 1);
        fs::create_dir(scratch.path().join("repository/.git")).unwrap();
        assert_eq!(found(), 3);
        // A worktree or a submodule has a file there.
        fs::write(deep.join(".git"), "gitdir: elsewhere\n").unwrap();
        assert_eq!(found(), 1);
    }
}
