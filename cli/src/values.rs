//! A Secret straight from values, by the rules of `kubectl create secret generic`.
//!
//! No error repeats what was typed: a forgotten `=` would show the value.

use crate::documents::collect;
use crate::error::{CommandError, Shown};
use crate::input::{Source, cannot_read};
use privyseal_envelope::{Item, Plaintext};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Values on the command line.
#[derive(clap::Args)]
#[command(
    next_help_heading = "Straight from values, like `kubectl create secret generic` (with --name and -n)"
)]
pub(crate) struct ValueOptions {
    /// An item and its value. Other users of this machine can see it in the list of processes, and the shell keeps it
    /// in its history: prefer --from-file
    #[arg(long, value_name = "ITEM=VALUE", conflicts_with = "files")]
    from_literal: Vec<OsString>,

    /// A file as the value of an item, byte for byte; the item is named as the file unless ITEM= says otherwise. A
    /// folder gives one item per regular file in it. `ITEM=-` reads stdin
    #[arg(long, value_name = "[ITEM=]PATH", conflicts_with = "files")]
    from_file: Vec<OsString>,

    /// A file of NAME=VALUE lines, one item each. Nothing is unquoted; `#` begins a comment; a line that is only a
    /// NAME takes the value of that environment variable
    #[arg(long, value_name = "PATH", conflicts_with = "files")]
    from_env_file: Vec<PathBuf>,

    /// The Secret's type [default: Opaque]
    #[arg(long = "type", value_name = "TYPE", conflicts_with = "files")]
    type_: Option<String>,
}

/// What a Secret made of values holds.
pub(crate) type Data = BTreeMap<Item, Plaintext>;

impl ValueOptions {
    /// Whether values were given instead of manifests.
    pub(crate) fn are_given(&self) -> bool {
        let Self { from_literal, from_file, from_env_file, type_ } = self;
        !from_literal.is_empty() || !from_file.is_empty() || !from_env_file.is_empty() || type_.is_some()
    }

    /// The Secret's type, if one was named.
    pub(crate) fn type_(&self) -> Option<&str> {
        self.type_.as_deref()
    }

    /// Reads all values. An item that is given twice is an error.
    pub(crate) fn read(&self) -> Result<Data, CommandError> {
        let mut found = Vec::new();
        for text in &self.from_literal {
            found.push(literal(text)?);
        }
        let from_files = collect(self.from_file.iter().map(|text| from_file(text)))?;
        found.extend(from_files.into_iter().flatten());
        for path in &self.from_env_file {
            let source = Source::from_argument(path);
            let text = source.read()?;
            found.extend(env_file(&text, &source.name(), |name| std::env::var_os(name))?);
        }
        let mut data = Data::new();
        for (item, value) in found {
            match data.entry(item) {
                std::collections::btree_map::Entry::Vacant(entry) => entry.insert(value),
                std::collections::btree_map::Entry::Occupied(entry) => {
                    return Err(CommandError::input(format!("the item {} is given twice", entry.key()))
                        .hint("an item has one value; leave one of the two out"));
                }
            };
        }
        if data.is_empty() {
            return Err(CommandError::input("no value is given")
                .hint("give --from-literal, --from-file or --from-env-file"));
        }
        Ok(data)
    }
}

fn literal(text: &OsStr) -> Result<(Item, Plaintext), CommandError> {
    let bytes = text.as_encoded_bytes();
    let wrong = |what: &str| {
        Err(CommandError::input(format!("--from-literal: {what}")).hint("write --from-literal ITEM=VALUE"))
    };
    let Some(equals) = bytes.iter().position(|b| *b == b'=') else { return wrong("there is no `=` in it") };
    let (key, value) = (&bytes[..equals], &bytes[equals + 1..]);
    if key.is_empty() {
        return wrong("the item before the `=` is missing");
    }
    let item = str::from_utf8(key).map_err(drop).and_then(|key| Item::parse(key).map_err(drop));
    let Ok(item) = item else { return wrong("what stands before the `=` is not an item name") };
    Ok((item, Plaintext::from(value)))
}

fn from_file(text: &OsStr) -> Result<Vec<(Item, Plaintext)>, CommandError> {
    let bytes = text.as_encoded_bytes();
    let wrong = |what: &str| {
        CommandError::input(format!("--from-file {}: {what}", Shown(&text.to_string_lossy())))
            .hint("write --from-file PATH or --from-file ITEM=PATH")
    };
    let mut parts = bytes.split(|b| *b == b'=');
    let (key, path) = match (parts.next(), parts.next(), parts.next()) {
        (_, _, Some(_)) => return Err(wrong("neither items nor paths may hold `=`")),
        (Some([]), Some(_), None) => return Err(wrong("the item before the `=` is missing")),
        (Some(_), Some([]), None) => return Err(wrong("the path after the `=` is missing")),
        (Some(key), Some(_), None) => (Some(key), os_tail(text, key.len() + 1)),
        _ => (None, PathBuf::from(text)),
    };
    if fs::metadata(&path).is_ok_and(|metadata| metadata.is_dir()) {
        return match key {
            Some(_) => Err(wrong("a folder gives several items, so it takes no item name")),
            None => folder(&path),
        };
    }
    let item = match key {
        Some(key) => String::from_utf8_lossy(key).into_owned(),
        None if path == Path::new("-") => return Err(wrong("stdin has no name: write ITEM=-")),
        None => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
    };
    let item = item_name(&item, || format!("--from-file {}", Shown(&text.to_string_lossy())))?;
    Ok(vec![(item, Plaintext::from(Source::from_argument(&path).read()?))])
}

/// Every regular file of a folder; links and what lies deeper are left out, as kubectl does.
fn folder(path: &Path) -> Result<Vec<(Item, Plaintext)>, CommandError> {
    let failed = |error: std::io::Error| cannot_read(&path.to_string_lossy(), &error);
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    collect(files.into_iter().map(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let item = item_name(&name, || Shown(&file.to_string_lossy()).to_string())?;
        Ok((item, Plaintext::from(Source::File(file).read()?)))
    }))
}

fn item_name(name: &str, whose: impl Fn() -> String) -> Result<Item, CommandError> {
    Item::parse(name).map_err(|error| {
        CommandError::input(format!("{}: the name of the item is {error}", whose()))
            .hint("name the item: --from-file ITEM=PATH")
    })
}

/// The rules of kubectl's `--from-env-file`, but that a variable that is not set is an error instead of an empty
/// value.
fn env_file(
    bytes: &[u8],
    name: &str,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<(Item, Plaintext)>, CommandError> {
    let mut values = Vec::new();
    for (index, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let wrong = |what: &str| CommandError::input(format!("{}:{}: {what}", Shown(name), index + 1));
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Ok(line) = str::from_utf8(line) else { return Err(wrong("not UTF-8")) };
        let line = if index == 0 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (key, Some(value)),
            None => (line, None),
        };
        let is_variable = !key.starts_with(|first: char| first.is_ascii_digit());
        let Some(item) = Item::parse(key).ok().filter(|_| is_variable) else {
            return Err(wrong("what stands before the `=` is not the name of an environment variable")
                .hint("a line is NAME=VALUE, without `export` and without blanks around NAME"));
        };
        let value = match value {
            Some(value) => Plaintext::from(value.as_bytes()),
            None => match environment(key) {
                Some(value) => Plaintext::from(Zeroizing::new(value.into_encoded_bytes())),
                None => {
                    return Err(wrong("there is no `=`, and no environment variable of that name is set"));
                }
            },
        };
        values.push((item, value));
    }
    Ok(values)
}

#[cfg(unix)]
fn os_tail(text: &OsStr, from: usize) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(OsStr::from_bytes(&text.as_bytes()[from..]))
}

#[cfg(not(unix))]
fn os_tail(text: &OsStr, from: usize) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(&text.as_encoded_bytes()[from..]).into_owned())
}
