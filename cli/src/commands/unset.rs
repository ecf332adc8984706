//! `privyseal unset`

use crate::arguments::{parse_item, parse_name};
use crate::error::{CommandError, Shown};
use crate::sealed_file::SealedFile;
use crate::speech;
use privyseal_envelope::{Item, Name};
use privyseal_seal::hints::Hints;
use std::path::PathBuf;

/// Drop one item of a SealedSecret
///
/// Every other byte of the file stays as it was. Needs no key. The value stays in the history of the repository, where
/// whoever has its key can open it.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  privyseal unset clusters/prod/db.yaml old-password")]
pub(super) struct Args {
    /// The file with the SealedSecret
    file: PathBuf,

    /// The item
    #[arg(value_parser = parse_item)]
    item: Item,

    /// Which SealedSecret, if the file holds several
    #[arg(long, value_parser = parse_name)]
    name: Option<Name>,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let file = SealedFile::read(&args.file, args.name.as_ref().map(Name::as_str))?;
    let (object, item) = (&file.sealed.object, args.item.as_str());
    if !object.spec.encrypted_data.contains_key(item) {
        let items: Vec<_> = object.spec.encrypted_data.keys().map(|item| Shown(item).to_string()).collect();
        return Err(CommandError::failed(file.sealed.message(format_args!("it has no item {item}")))
            .hint(format!("it has: {}", items.join(", "))));
    }
    let mut hints = Hints::read(object.metadata.annotations.as_ref());
    hints.forget(item);
    file.write(|edit| edit.remove_item(item).sealed_with(hints.to_text()))?;
    speech::note(format_args!("{}: {item} is dropped", Shown(&args.file.to_string_lossy())));
    Ok(())
}
