//! Bytes in: files, and `-` for stdin. What is read may be plaintext, so it is wiped when dropped.

use crate::error::{CommandError, Shown};
use crate::speech;
use privyseal_manifest::Limit;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// `-`.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Source {
    /// The file of a command line argument; `-` is stdin.
    pub(crate) fn from_argument(path: &Path) -> Self {
        if path == Path::new("-") { Self::Stdin } else { Self::File(path.to_owned()) }
    }

    /// The files of a command line; none means stdin. Stdin can be read once only.
    pub(crate) fn from_arguments(paths: &[PathBuf]) -> Result<Vec<Self>, CommandError> {
        let sources: Vec<_> = match paths {
            [] => vec![Self::Stdin],
            paths => paths.iter().map(|path| Self::from_argument(path)).collect(),
        };
        if sources.iter().filter(|source| **source == Self::Stdin).count() > 1 {
            return Err(CommandError::input("stdin (`-`) is given more than once"));
        }
        Ok(sources)
    }

    /// The name for errors.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "stdin".to_owned(),
            Self::File(path) => path.to_string_lossy().into_owned(),
        }
    }

    /// Everything that it holds.
    pub(crate) fn read(&self) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        self.read_at_most(Limit::INPUT_BYTES)
    }

    /// Everything that it holds, unless that is more than `max` bytes.
    pub(crate) fn read_at_most(&self, max: usize) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        let bytes = match self {
            Self::Stdin => {
                if io::stdin().is_terminal() {
                    speech::note("reading from the terminal; end with Ctrl-D");
                }
                read_wiping(&mut io::stdin().lock(), 0, max)
            }
            Self::File(path) => File::open(path).and_then(|mut file| {
                let metadata = file.metadata()?;
                if metadata.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                read_wiping(&mut file, usize::try_from(metadata.len()).unwrap_or(0), max)
            }),
        };
        match bytes {
            Ok(bytes) if bytes.len() > max => {
                Err(CommandError::input(format!("{}: more than {max} bytes", Shown(&self.name()))))
            }
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(cannot_read(&self.name(), &error)),
        }
    }
}

/// An error that names the file.
pub(crate) fn cannot_read(name: &str, error: &io::Error) -> CommandError {
    CommandError::input(format!("{}: {}", Shown(name), reason(error)))
}

/// What the system says, without Rust's number at the end.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Reads to the end, or to one byte more than `max`. A buffer that was outgrown is wiped.
fn read_wiping(from: &mut impl Read, expected: usize, max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    const CHUNK: usize = 64 << 10;
    let limit = max.saturating_add(1);
    // One more than the file's length, so that its end is noticed without growing.
    let mut bytes = Zeroizing::new(vec![0; expected.saturating_add(1).clamp(1, limit)]);
    let mut len = 0;
    loop {
        if len == bytes.len() {
            if len == limit {
                break;
            }
            let mut larger = Zeroizing::new(vec![0; (len * 2).max(CHUNK).min(limit)]);
            larger[..len].copy_from_slice(&bytes);
            bytes = larger;
        }
        match from.read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(len);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_all_whatever_was_expected() {
        let data: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        for expected in [0, 1, 100_000, 200_000, 300_000] {
            let read = read_wiping(&mut data.as_slice(), expected, 1 << 20).unwrap();
            assert_eq!(*read, data, "{expected}");
        }
        assert_eq!(read_wiping(&mut data.as_slice(), 0, 10).unwrap().len(), 11);
        assert_eq!(read_wiping(&mut data.as_slice(), 200_000, 10).unwrap().len(), 11);
        assert_eq!(read_wiping(&mut &b""[..], 0, 10).unwrap().len(), 0);
    }

    #[test]
    fn stdin_is_read_once() {
        let dash = PathBuf::from("-");
        assert_eq!(Source::from_arguments(&[]).unwrap(), [Source::Stdin]);
        assert_eq!(Source::from_arguments(std::slice::from_ref(&dash)).unwrap(), [Source::Stdin]);
        assert!(Source::from_arguments(&[dash.clone(), dash]).is_err());
    }
}
