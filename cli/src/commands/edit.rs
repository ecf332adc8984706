//! `privyseal edit`

mod buffer;
mod editor;

use super::set::{cannot_seal, fill_in_namespace, own_format, warn_of_sealed};
use super::unseal::does_not_open;
use crate::arguments::{parse_name, parse_namespace};
use crate::error::{CommandError, ErrorKind, Shown};
use crate::interrupt::{self, Manner};
use crate::key_files::KeyFileOptions;
use crate::key_source::SealingOptions;
use crate::plaintext_file::{Medium, PlaintextFile};
use crate::sealed_file::SealedFile;
use crate::speech;
use buffer::{Changes, Items};
use editor::Editor;
use jiff::Timestamp;
use privyseal_envelope::{Name, Namespace};
use privyseal_seal::hints::Hints;
use privyseal_seal::{BindingError, DEFAULT_ATTEMPTS, OpenError, open, seal_item};
use std::path::PathBuf;

/// Edit the values of a SealedSecret, for those who hold an opening key
///
/// Opens the values in $VISUAL, else $EDITOR, else vi, and seals again what was changed. A value that stays as it is
/// keeps its sealed value, and every other byte of the file stays too.
///
/// The plaintext lies in memory (tmpfs), in a file that only you can read, while the editor runs.
#[derive(clap::Args)]
#[command(mut_group("opening_key", |group| group.required(true)), after_help = "\
Examples:
  privyseal edit clusters/prod/db.yaml --key backup.pem
  EDITOR='code --wait' privyseal edit db.yaml --key keys.yaml --cert prod.pem")]
pub(super) struct Args {
    /// The file with the SealedSecret
    file: PathBuf,

    #[command(flatten)]
    keys: KeyFileOptions,

    /// Which SealedSecret, if the file holds several
    #[arg(long, value_parser = parse_name)]
    name: Option<Name>,

    /// The namespace, for a SealedSecret that names none. One that names another is an error
    #[arg(short, long, value_parser = parse_namespace)]
    namespace: Option<Namespace>,

    /// Where no memory file system is at hand, put the plaintext into the folder for temporary files
    #[arg(long)]
    insecure_temp: bool,

    #[command(flatten)]
    sealing: SealingOptions,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let mut file = SealedFile::read(&args.file, args.name.as_ref().map(Name::as_str))?;
    fill_in_namespace(&mut file, args.namespace.as_ref())?;
    let keyring = args.keys.load()?;
    let opened = open(&file.sealed.object, &keyring, DEFAULT_ATTEMPTS).map_err(|error| {
        let this = does_not_open(&file.sealed, &error);
        match error {
            OpenError::Binding(BindingError::NoNamespace { .. }) => {
                this.hint("give -n NAMESPACE, where it will be applied")
            }
            _ => this,
        }
    })?;
    let items = opened.values;

    let editor = Editor::chosen();
    editor.warn();
    interrupt::watch();
    let medium = if args.insecure_temp { Medium::Anything } else { Medium::Memory };
    let plaintext =
        PlaintextFile::create("secret.yaml", buffer::write(&file.sealed, &items).as_bytes(), medium)?;
    loop {
        editor.run(plaintext.path())?;
        match args.take_over(&file, &items, &plaintext) {
            Ok(()) => return Ok(()),
            Err(error) => once_more(error, args)?,
        }
    }
}

impl Args {
    /// Seals what was changed, and writes it.
    fn take_over(
        &self,
        file: &SealedFile,
        items: &Items,
        plaintext: &PlaintextFile,
    ) -> Result<(), CommandError> {
        let shown = Shown(&self.file.to_string_lossy()).to_string();
        let wanted = buffer::read(&plaintext.read()?, &file.sealed.object)?;
        let changes = Changes::between(items, wanted);
        if changes.is_empty() {
            speech::note(format_args!("{shown}: nothing was changed"));
            return Ok(());
        }
        let mut object = file.sealed.object.clone();
        let mut hints = Hints::read(object.metadata.annotations.as_ref());
        changes.removed.iter().for_each(|item| hints.forget(item.as_str()));
        let (mut sealed, mut used) = (Vec::new(), Vec::new());
        let mut target = None;
        if !changes.set.is_empty() {
            let now = Timestamp::now();
            // It may ask the person or the network, and wait for either.
            let chosen = interrupt::treated(Manner::Exit, || {
                interrupt::check()?;
                let choice = self.sealing.choose(Some(&self.file))?;
                self.sealing.find(&mut self.sealing.finder(now), &choice, false)
            })?;
            for (item, value) in &changes.set {
                hints.write(object.metadata.annotations.get_or_insert_default());
                let keys = chosen.keys(own_format(file, item.as_str()), now)?;
                let (value, noted) = seal_item(&object, item, value, keys.seal_to())
                    .map_err(|error| cannot_seal(file, &error))?;
                used.push(keys);
                hints = noted;
                sealed.push((item.as_str(), value.to_base64()));
            }
            target = Some(chosen);
        }
        interrupt::check()?;
        file.write(|mut edit| {
            for (item, value) in &sealed {
                edit = edit.set_item(item, value.clone());
            }
            for item in &changes.removed {
                edit = edit.remove_item(item.as_str());
            }
            edit.sealed_with(hints.to_text())
        })?;
        if let Some(target) = target {
            target.announce(&used);
            let items = changes.set.iter().map(|(item, _)| item.as_str());
            target.warn_of_kept(items.map(|item| (item, own_format(file, item))));
            changes.removed.iter().for_each(|item| _ = object.spec.encrypted_data.remove(item.as_str()));
            warn_of_sealed(&mut object, &self.file, sealed, &hints, &target);
        }
        let word = |item| if items.contains_key(item) { "changed" } else { "added" };
        for (item, _) in &changes.set {
            speech::note(format_args!("{shown}: {item} is {}", word(item)));
        }
        for item in &changes.removed {
            speech::note(format_args!("{shown}: {item} is dropped"));
        }
        Ok(())
    }
}

/// Asks whether to edit again, so that nothing typed is lost; whoever cannot be asked has an error.
fn once_more(error: CommandError, args: &Args) -> Result<(), CommandError> {
    if matches!(error.kind(), ErrorKind::Interrupted(_)) {
        return Err(error);
    }
    let mut question = String::new();
    for (message, hints) in error.reports() {
        question.push_str(&format!("{message}\n"));
        hints.iter().for_each(|hint| question.push_str(&format!("{hint}\n")));
    }
    question.push_str("Edit again? Otherwise what was typed is lost");
    let answer = interrupt::treated(Manner::Exit, || {
        interrupt::check()?;
        Ok::<_, CommandError>(speech::confirm(&question))
    })?;
    match answer {
        Some(true) => Ok(()),
        Some(false) => {
            let shown = Shown(&args.file.to_string_lossy()).to_string();
            Err(CommandError::failed(format!("{shown}: nothing was written")).of_kind(error.kind()))
        }
        None => Err(error),
    }
}
