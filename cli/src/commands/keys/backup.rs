//! `privyseal keys backup`

mod escrowed;

use super::archive_file::{ArchiveFile, ClusterTrust};
use super::namespace_secrets::NamespaceSecrets;
use crate::cluster::{Connection, ConnectionOptions, Session};
use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::key_vault::{KeyVaultOptions, patiently, vault_error};
use crate::output::{Content, Destination, to_stdout};
use crate::speech;
use jiff::Timestamp;
use privyseal_custody::backup::{Archive, Backup, BackupError, BackupRecipients, Contents, KeyState};
use privyseal_custody::custody::Kind;
use privyseal_custody::key_secret::{self, Look};
use privyseal_custody::key_secrets::{
    Custodies, CustodyError, PUBLISHER_SECRET, publisher_kept_by, publisher_secret,
};
use privyseal_envelope::age::{NotARecipient, Recipient, Recipients};
use privyseal_manifest::Secret;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Back up the opening keys of a cluster, encrypted to age keys and signed by the cluster
///
/// Reads all key Secrets of the controller's namespace, retired ones too, and the publisher key, and writes them into
/// one file. Whoever holds an identity of one of the recipients can open everything that was ever sealed for the
/// cluster. The file says in the clear which keys are in it and for whom it is encrypted, and the cluster's publisher
/// key signs that, so that anybody can list and check it: --show.
///
/// It takes the right to read Secrets in the controller's namespace. Private halves that a Key Vault keeps are read
/// through it: then it takes --key-vault, and the right to what the controller reads there.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("mode").required(true).args(["out_file", "show", "escrowed"]))]
#[command(after_help = "\
Examples:
  age-keygen -pq -o ~/escrow.txt   # once, on a machine that stays offline; keep it well
  privyseal keys backup --context prod --recipients-file escrow.pub --out-file prod.backup
  privyseal keys backup --context prod --key-vault https://NAME.vault.azure.net --recipient age1pq1… --out-file prod.backup
  privyseal keys backup --show prod.backup --for prod
  privyseal keys backup --escrowed --context prod --for prod --out-dir ./escrow
  privyseal keys restore prod.backup --identity ~/escrow.txt --check ./clusters/prod")]
pub(super) struct Args {
    /// An age key to encrypt to: `age1pq1…`. May be repeated; any one of them opens it
    #[arg(long, value_name = "RECIPIENT", value_parser = parse_recipient, conflicts_with = "show")]
    recipient: Vec<Recipient>,

    /// A file of age keys to encrypt to, one a line. May be repeated
    #[arg(long, value_name = "FILE", conflicts_with = "show")]
    recipients_file: Vec<PathBuf>,

    /// Encrypt to classical age keys, `age1…`, too. A quantum computer opens the backup some day then, and the
    /// post-quantum keys in it
    #[arg(long, conflicts_with_all = ["show", "escrowed"])]
    allow_classical: bool,

    /// Write the backup to this file; `-` is stdout
    #[arg(long, value_name = "FILE")]
    out_file: Option<PathBuf>,

    /// Say what is in a backup and who signed it. It needs no identity and no cluster
    #[arg(long, value_name = "FILE")]
    show: Option<PathBuf>,

    /// Fetch the backups of single keys that the controller stored, see its --escrow-recipient. It takes the right to list
    /// ConfigMaps in the controller's namespace, and none to read Secrets
    #[arg(long, requires = "out_dir", conflicts_with_all = ["recipient", "recipients_file"])]
    escrowed: bool,

    /// The folder for them
    #[arg(long, value_name = "DIR", requires = "escrowed")]
    out_dir: Option<PathBuf>,

    #[command(flatten)]
    trust: ClusterTrust,

    #[command(flatten)]
    vault: KeyVaultOptions,

    #[command(flatten)]
    connection: ConnectionOptions,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    if let Some(file) = &args.show {
        return show(args, file);
    }
    let named = || {
        let connection = args.connection.connection();
        connection
            .ok_or_else(|| CommandError::input("no cluster is named").hint("name it with --context CONTEXT"))
    };
    if let Some(folder) = &args.out_dir {
        return escrowed::run(&named()?, &args.trust, folder);
    }
    let recipients = recipients(args)?;
    let connection = named()?;
    let text = connection.session(async |session| back_up(args, session, &recipients).await)?;
    let destination = Destination::from_option(args.out_file.as_deref());
    destination.write(text.as_bytes(), Content::Secret)?;
    if let Destination::File(path) = destination {
        read_back(&path, &text)?;
    }
    Ok(())
}

async fn back_up(
    args: &Args,
    session: &Session,
    recipients: &BackupRecipients,
) -> Result<String, CommandError> {
    let secrets = NamespaceSecrets::of(session);
    let custodies = args.vault.custodies(Kind::Cluster)?;
    let publisher = secrets.publisher().await?.ok_or_else(|| {
        CommandError::failed(format!(
            "{}: there is no Secret {}/{PUBLISHER_SECRET}, whose key signs a backup",
            Shown(&session.server),
            Shown(session.namespace())
        ))
        .hint("the controller makes it when it first runs; --controller-namespace names another namespace")
    })?;
    let found = secrets.keys().await?;
    if custodies.poll_interval().is_none() {
        refuse_without_vault(session, &publisher, &found)?;
    }
    let publisher_key = patiently(async || custodies.open_publisher(&publisher).await).await;
    let publisher_key = publisher_key.map_err(|error| match error {
        CustodyError::Vault { failure, .. } => vault_error(&format!("Secret {PUBLISHER_SECRET}"), &failure),
        error => CommandError::failed(format!("{}: {error}", Shown(&session.server))),
    })?;
    let mut usable = Vec::new();
    for secret in &found {
        usable.extend(in_clear(&custodies, secret).await?);
    }
    let failed = |error: &dyn std::fmt::Display| {
        CommandError::failed(format!("{}: {}", Shown(&session.server), Shown(&error.to_string())))
    };
    let publisher = publisher_secret(&publisher_key, session.namespace());
    let backup = Backup::new(publisher, usable).map_err(|error| failed(&error))?;
    if backup.keys().is_empty() {
        return Err(failed(&format!("namespace {} holds no key to back up", session.namespace())));
    }
    let cluster = args.trust.name().unwrap_or(&session.server);
    let text = backup
        .seal(cluster, session.namespace(), recipients, Timestamp::now())
        .map_err(|error| match error {
            BackupError::Classical(error) => CommandError::input(error).hint(
                "`age-keygen -pq` makes a post-quantum key: give its recipient, age1pq1…; or say --allow-classical",
            ),
            error => failed(&error),
        })?;
    let active = backup.keys().iter().filter(|key| key.record().state == KeyState::Active).count();
    speech::note(format_args!(
        "{} keys, {active} of them active, signed by publisher {}",
        backup.keys().len(),
        backup.publisher_key().public_key().fingerprint()
    ));
    Ok(text)
}

/// What a vault keeps cannot be backed up without it, and a backup of the rest would be taken for one of all.
fn refuse_without_vault(session: &Session, publisher: &Secret, keys: &[Secret]) -> Result<(), CommandError> {
    let of_keys = keys.iter().filter_map(|secret| Some((secret, Look::at(secret).ok()?.half.kind())));
    let of_publisher = publisher_kept_by(publisher).ok().map(|kind| (publisher, kind));
    let kept: Vec<_> =
        of_publisher.into_iter().chain(of_keys).filter(|(_, kind)| *kind != Kind::Cluster).collect();
    let Some((first, kind)) = kept.first() else { return Ok(()) };
    let name = first.metadata.name.as_deref().unwrap_or_default();
    let more = match kept.len() - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Err(CommandError::input(format!(
        "{}: Secret {}{more}: the private half is kept by {kind}, and no vault is named",
        Shown(&session.server),
        Shown(name)
    ))
    .hint("give the vault that the controller was configured with: --key-vault URL"))
}

/// A key with its private half, as a backup holds it; nothing if it is not usable, which is told. A vault that lets nobody
/// in is an error: a backup without its keys would be none.
///
/// One that lies in the cluster in the clear is marked as having done so: should it come back into a cluster whose keys a
/// vault keeps, nobody seals to it there.
async fn in_clear(custodies: &Custodies, secret: &Secret) -> Result<Option<Secret>, CommandError> {
    let name = Shown(secret.metadata.name.as_deref().unwrap_or_default()).to_string();
    let left_out = |reason: &dyn std::fmt::Display| {
        speech::warning(format_args!("left out: Secret {name}: {}", Shown(&reason.to_string())));
        Ok(None)
    };
    let mut clear = match patiently(async || custodies.in_clear(secret).await).await {
        Ok(clear) => clear,
        Err(CustodyError::NotAKey { reason, .. }) => return left_out(&reason),
        Err(CustodyError::Vault { failure, .. }) if failure.kind().is_of_the_vault() => {
            return Err(vault_error(&format!("Secret {name}"), &failure));
        }
        Err(error) => return left_out(&error),
    };
    if Look::at(secret).is_ok_and(|look| look.half.kind() == Kind::Cluster) {
        key_secret::note_was_in_clear(&mut clear.metadata, Timestamp::now());
    }
    Ok(Some(clear))
}

/// A backup that was not written is noticed when it is needed: so it is read at once.
fn read_back(path: &Path, text: &str) -> Result<(), CommandError> {
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Ok(());
    }
    let bytes = Source::File(path.to_owned()).read()?;
    match *bytes == *text.as_bytes() && Archive::verify(&bytes).is_ok() {
        true => Ok(()),
        false => Err(CommandError::failed(format!(
            "{}: what is read back is not what was written",
            Shown(&path.to_string_lossy())
        ))),
    }
}

fn show(args: &Args, file: &Path) -> Result<(), CommandError> {
    let file = ArchiveFile::read(file)?;
    let context = args.connection.connection().map(|Connection { context, .. }| context);
    let trusted_as = args.trust.judge_if_named(&file, context.as_deref())?;
    to_stdout(describe(&file.archive, &trusted_as).as_bytes())
}

fn describe(archive: &Archive, trusted_as: &str) -> String {
    let Contents { time, cluster, namespace, keys, recipients, digest } = archive.contents();
    let mut text = String::new();
    if !cluster.is_empty() {
        let _ = writeln!(text, "cluster:     {}", Shown(cluster));
    }
    let _ = writeln!(text, "namespace:   {}", Shown(namespace));
    let _ = writeln!(text, "time:        {time}");
    let _ = writeln!(text, "publisher:   {} ({trusted_as})", archive.publisher().fingerprint());
    for recipient in recipients {
        let _ = writeln!(text, "recipient:   {}", Shown(recipient));
    }
    let _ = writeln!(text, "age file:    {digest}");
    for key in keys {
        let compromised = if key.compromised { ", compromised" } else { "" };
        let _ = writeln!(
            text,
            "key:         {} {}{compromised} ({})",
            key.fingerprint,
            key.state,
            Shown(&key.secret)
        );
    }
    text
}

fn recipients(args: &Args) -> Result<BackupRecipients, CommandError> {
    let mut recipients = args.recipient.clone();
    for path in &args.recipients_file {
        let source = Source::from_argument(path);
        let name = source.name();
        let bytes = source.read_at_most(MAX_RECIPIENTS_BYTES)?;
        let text = str::from_utf8(&bytes)
            .map_err(|_| CommandError::input(format!("{}: not UTF-8", Shown(&name))))?;
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // Never the line itself: it may be an identity.
            let recipient = line
                .parse()
                .map_err(|error| CommandError::input(format!("{}:{}: {error}", Shown(&name), index + 1)))?;
            recipients.push(recipient);
        }
    }
    if recipients.is_empty() {
        return Err(CommandError::input("nobody is named who could open the backup")
            .hint("give --recipient age1pq1…; `age-keygen -pq` makes a key and says its recipient"));
    }
    let recipients = Recipients::new(recipients).map_err(CommandError::input)?;
    Ok(BackupRecipients::new(recipients, args.allow_classical))
}

fn parse_recipient(text: &str) -> Result<Recipient, NotARecipient> {
    text.parse()
}

/// More than any file of recipients.
const MAX_RECIPIENTS_BYTES: usize = 1 << 20;
