//! `privyseal set`

use crate::arguments::{parse_item, parse_name, parse_namespace};
use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::key_source::{SealingOptions, Target};
use crate::object_size;
use crate::sealed_file::SealedFile;
use crate::speech;
use jiff::Timestamp;
use privyseal_envelope::{Format, Item, Name, Namespace, Plaintext, SealedValue};
use privyseal_manifest::SealedSecret;
use privyseal_seal::hints::Hints;
use privyseal_seal::{BindingError, SealError, seal_item};
use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Seal one value into a SealedSecret that is there already
///
/// Adds the item, or replaces its value; every other byte of the file stays as it was. Needs no right to read any value:
/// the new one is sealed under the name, namespace and scope of the object.
///
/// The value is asked for without echo; if stdin is no terminal, it is read from there, byte for byte. It is never an
/// argument, where other users and the shell's history would see it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal set clusters/prod/db.yaml password
  openssl rand -base64 24 | privyseal set db.yaml password --trim-newline
  privyseal set db.yaml tls.key --from-file tls.key --cert prod.pem")]
pub(super) struct Args {
    /// The file with the SealedSecret
    file: PathBuf,

    /// The item, as it is called in the Secret
    #[arg(value_parser = parse_item)]
    item: Item,

    /// Take the value from this file; `-` is stdin
    #[arg(long, value_name = "PATH")]
    from_file: Option<PathBuf>,

    /// Drop one newline at the value's end
    #[arg(long)]
    trim_newline: bool,

    /// Seal a value of no bytes
    #[arg(long)]
    allow_empty: bool,

    /// Which SealedSecret, if the file holds several
    #[arg(long, value_parser = parse_name)]
    name: Option<Name>,

    /// The namespace, for a SealedSecret that names none. One that names another is an error
    #[arg(short, long, value_parser = parse_namespace)]
    namespace: Option<Namespace>,

    #[command(flatten)]
    key: SealingOptions,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let choice = args.key.choose(Some(&args.file))?;
    let mut file = SealedFile::read(&args.file, args.name.as_ref().map(Name::as_str))?;
    let item = args.item.as_str();
    fill_in_namespace(&mut file, args.namespace.as_ref())?;
    let value = args.value()?;

    let now = Timestamp::now();
    let target = args.key.find(&mut args.key.finder(now), &choice, false)?;
    let own = own_format(&file, item);
    let keys = target.keys(own, now)?;
    let (sealed, hints) = seal_item(&file.sealed.object, &args.item, &value, keys.seal_to())
        .map_err(|error| cannot_seal(&file, &error))?;
    file.write(|edit| edit.set_item(item, sealed.to_base64()).sealed_with(hints.to_text()))?;
    target.announce(&[keys]);
    target.warn_of_kept([(item, own)]);
    warn_of_sealed(&mut file.sealed.object, &args.file, [(item, sealed.to_base64())], &hints, &target);
    speech::note(format_args!("{}: {item} is set", Shown(&args.file.to_string_lossy())));
    Ok(())
}

impl Args {
    fn value(&self) -> Result<Plaintext, CommandError> {
        let mut value = match &self.from_file {
            Some(path) => Source::from_argument(path).read()?,
            None if io::stdin().is_terminal() => self.ask()?,
            None => Source::Stdin.read()?,
        };
        match (value.strip_suffix(b"\n").map(<[u8]>::len), self.trim_newline) {
            (Some(len), true) => value.truncate(len),
            (Some(_), false) => {
                speech::warning(
                    "the value ends with a newline, which is sealed too; --trim-newline drops it",
                );
            }
            (None, _) => {}
        }
        if value.is_empty() && !self.allow_empty {
            return Err(
                CommandError::input("the value is empty").hint("--allow-empty seals it in spite of that")
            );
        }
        Ok(Plaintext::from(value))
    }

    fn ask(&self) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        let answer = rpassword::prompt_password(format!("Value of {}: ", self.item));
        answer
            .map(|text| Zeroizing::new(text.into_bytes()))
            .map_err(|error| CommandError::input(format!("the terminal: {}", crate::input::reason(&error))))
    }
}

/// The object is bound to the namespace that it will be applied to; the file need not say it.
pub(super) fn fill_in_namespace(
    file: &mut SealedFile,
    asked: Option<&Namespace>,
) -> Result<(), CommandError> {
    let Some(asked) = asked else { return Ok(()) };
    match file.sealed.object.metadata.namespace.as_deref() {
        None | Some("") => file.sealed.object.metadata.namespace = Some(asked.to_string()),
        Some(own) if own == asked.as_str() => {}
        Some(own) => {
            return Err(CommandError::input(
                file.sealed
                    .message(format_args!("metadata.namespace: it is {}, but -n says {asked}", Shown(own))),
            ));
        }
    }
    Ok(())
}

/// The format of the value that an item has; none if it has none yet.
pub(super) fn own_format(file: &SealedFile, item: &str) -> Option<Format> {
    let there = file.sealed.object.spec.encrypted_data.get(item);
    there.and_then(|text| SealedValue::from_base64(text).ok()).map(|value| value.format())
}

/// Says what is noteworthy of an object of which some items were sealed just now: whoever can open one item of it and not
/// the others gets no Secret, which may be meant, and it may be too large.
pub(super) fn warn_of_sealed<'a>(
    object: &mut SealedSecret,
    file: &Path,
    sealed: impl IntoIterator<Item = (&'a str, String)>,
    hints: &Hints,
    target: &Target,
) {
    let mut just_now = BTreeSet::new();
    for (item, value) in sealed {
        object.spec.encrypted_data.insert(item.to_owned(), value);
        just_now.insert(item);
    }
    hints.write(object.metadata.annotations.get_or_insert_default());
    let others = privyseal_seal::sealed_otherwise(object, &just_now, |key| target.owner(key));
    let others: Vec<_> = others.into_iter().map(|name| Shown(name).to_string()).collect();
    if !others.is_empty() {
        speech::warning(format_args!(
            "other items of the object are sealed otherwise, for others or in another format: {}; `privyseal inspect` shows \
             how, `privyseal reseal` can change it",
            others.join(", ")
        ));
    }
    object_size::warn(&file.to_string_lossy(), object);
}

pub(super) fn cannot_seal(file: &SealedFile, error: &SealError) -> CommandError {
    let message = file.sealed.message(error);
    match error {
        SealError::Crypto(_) => CommandError::failed(message),
        SealError::Binding(BindingError::NoNamespace { .. }) => {
            CommandError::input(message).hint("give -n NAMESPACE, where it will be applied")
        }
        _ => CommandError::input(message),
    }
}
