//! `privyseal diff`

mod compare;
mod report;

use super::unseal::does_not_open;
use crate::documents::{Located, collect};
use crate::error::{CommandError, ErrorKind, Shown};
use crate::input::Source;
use crate::key_files::KeyFileOptions;
use crate::output::{to_stdout, wiped_text};
use compare::{Comparison, Side};
use privyseal_keys::Keyring;
use privyseal_manifest::names::SEALED_SECRET_KIND;
use privyseal_manifest::{Document, SealedSecret};
use privyseal_seal::{DEFAULT_ATTEMPTS, open};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Compare the SealedSecrets of two files, for those who hold an opening key
///
/// Objects are matched by namespace and name. Which values differ is told, and the values only with --show-values.
/// What is not sealed is compared in the clear. Without a key, it is told which sealed values differ: a value that was
/// sealed anew looks like another one then.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal diff old.yaml new.yaml --key backup.pem
  git show HEAD:db.yaml | privyseal diff - db.yaml --key keys.yaml --show-values

Exit status: 0 no difference; 1 a difference; 2 a file that cannot be read, or a value that does not open.")]
pub(super) struct Args {
    /// The first file, the old one; `-` is stdin
    a: PathBuf,

    /// The second file, the new one; `-` is stdin
    b: PathBuf,

    #[command(flatten)]
    keys: KeyFileOptions,

    /// Write the values that differ, in the clear
    #[arg(long, requires = "opening_key")]
    show_values: bool,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let sources = Source::from_arguments(&[args.a.clone(), args.b.clone()])?;
    args.keys.refuse_stdin_twice(&sources)?;
    let names: Vec<_> = sources.iter().map(|source| Shown(&source.name()).to_string()).collect();
    let mut files = collect(sources.into_iter().map(sealed_secrets))?;
    if files.iter().all(BTreeMap::is_empty) {
        return Err(CommandError::input(format!("{}: there is no SealedSecret in them", names.join(", "))));
    }
    let keyring = if args.keys.is_given() { Some(args.keys.load()?) } else { None };
    let (b, a) = (files.pop().unwrap_or_default(), files.pop().unwrap_or_default());
    let comparisons = compare_all(&a, &b, keyring.as_ref(), args.show_values)?;
    let head = |index: usize| names.get(index).map_or("", String::as_str);
    to_stdout(
        wiped_text(|out| {
            comparisons.iter().try_for_each(|(id, comparison)| {
                report::write(out, &id.to_string(), [head(0), head(1)], comparison, args.show_values)
            })
        })
        .as_bytes(),
    )?;
    match comparisons.iter().any(|(_, comparison)| comparison.is_different()) {
        true => Err(CommandError::different()),
        false => Ok(()),
    }
}

/// What objects are matched by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    namespace: Option<String>,
    name: String,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{}/", Shown(namespace))?;
        }
        Shown(&self.name).fmt(f)
    }
}

type Objects = BTreeMap<Id, Located<SealedSecret>>;

/// All SealedSecrets of a file. Other documents are left out, and one without any is as good as none: so a file that is
/// new can be compared with `/dev/null`.
fn sealed_secrets(source: Source) -> Result<Objects, CommandError> {
    let documents = privyseal_manifest::read(&source.read()?, &source.name())?;
    let documents = documents.into_iter().filter(|document| document.kind() == Some(SEALED_SECRET_KIND));
    let mut objects = Objects::new();
    for document in documents {
        let sealed = Located::from_document(document, Document::into_sealed_secret)?;
        let metadata = &sealed.object.metadata;
        let id = Id {
            namespace: metadata.namespace.clone().filter(|namespace| !namespace.is_empty()),
            name: metadata.name.clone().unwrap_or_default(),
        };
        if objects.contains_key(&id) {
            return Err(CommandError::input(
                sealed.message(format_args!("the file holds SealedSecret {id} twice")),
            ));
        }
        objects.insert(id, sealed);
    }
    Ok(objects)
}

/// Compares object by object. Only what differs is opened.
fn compare_all(
    a: &Objects,
    b: &Objects,
    keyring: Option<&Keyring>,
    show_values: bool,
) -> Result<Vec<(Id, Comparison)>, CommandError> {
    let ids: std::collections::BTreeSet<_> = a.keys().chain(b.keys()).collect();
    let differing = ids.into_iter().filter(|id| match (a.get(id), b.get(id)) {
        (Some(a), Some(b)) => a.object.metadata != b.object.metadata || a.object.spec != b.object.spec,
        _ => true,
    });
    collect(differing.map(|id| {
        let (a, b) = (a.get(id), b.get(id));
        // Of an object that the other side does not have, the names tell all that is asked, unless values are.
        let opening = keyring.filter(|_| show_values || a.is_some() && b.is_some());
        let side = |sealed: Option<&Located<SealedSecret>>| {
            sealed.map(|sealed| Ok(Side { object: sealed.object.clone(), values: opened(sealed, opening)? }))
        };
        let sides = collect([side(a).transpose(), side(b).transpose()].into_iter())?;
        let [a, b] = <[Option<Side>; 2]>::try_from(sides).unwrap_or_default();
        Ok((id.clone(), Comparison::new(a, b)))
    }))
}

fn opened(
    sealed: &Located<SealedSecret>,
    keyring: Option<&Keyring>,
) -> Result<Option<compare::Values>, CommandError> {
    let Some(keyring) = keyring else { return Ok(None) };
    let opened = open(&sealed.object, keyring, DEFAULT_ATTEMPTS)
        // Status 1 is a difference.
        .map_err(|error| does_not_open(sealed, &error).of_kind(ErrorKind::Input))?;
    Ok(Some(opened.values.into_iter().map(|(item, value)| (item.as_str().to_owned(), value)).collect()))
}
