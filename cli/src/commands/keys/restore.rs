//! `privyseal keys restore`

mod check;
mod plan;
mod there;

use super::archive_file::{ArchiveFile, ClusterTrust};
use super::namespace_secrets::NamespaceSecrets;
use crate::cluster::{Connection, ConnectionOptions, Session};
use crate::error::{CommandError, Shown};
use crate::identities;
use crate::key_vault::{CustodyName, KeyVaultOptions, patiently, vault_error};
use crate::speech;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use plan::{Placement, Plan, PublisherStep};
use privyseal_custody::ApiError;
use privyseal_custody::backup::{Backup, BackupKey};
use privyseal_custody::custody::Kind;
use privyseal_custody::key_secrets::{Custodies, CustodyError, PUBLISHER_SECRET};
use privyseal_manifest::Secret;
use std::path::PathBuf;
use there::There;

/// Restore opening keys from a backup
///
/// Creates the key Secrets that are missing, and the publisher key if there is none. Nothing that is there is ever
/// overwritten: a key that is there already is left as it is, and a name that is taken gives way to a generated one.
/// Active keys come back active, retired ones retired.
///
/// The backup must bear the signature of a publisher that the trust file holds for the cluster that --for names, or for
/// the context; otherwise it shows the fingerprint and asks.
///
/// A controller that has run in the cluster has a publisher key of its own. Then it says so and stops: with
/// --replace-publisher the backup's takes its place, so that everybody who trusts the old cluster trusts this one; the
/// controller notices, and opens everything again.
///
/// Where the controller keeps private halves in a Key Vault, give --custody and --key-vault as it has them: then they are
/// given to the vault before the Secrets are written, and never lie in the cluster in the clear. That takes the rights that
/// the controller has to the vault.
///
/// With --check nothing is written and no cluster is asked: every SealedSecret below the paths is opened with the keys of
/// the backup, and what does not open is told.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal keys restore prod.backup --identity ~/escrow.txt --context new-prod --for prod --dry-run
  privyseal keys restore prod.backup --identity ~/escrow.txt --context new-prod --for prod
  privyseal keys restore prod.backup --identity ~/escrow.txt --context new-prod --for prod \\
    --custody key-vault-wrapped --key-vault https://NAME.vault.azure.net
  privyseal keys restore prod.backup --identity ~/escrow.txt --check ./clusters/prod

Exit status: 0 done, or all opens; 1 it failed, or something would not open; 2 wrong usage or unreadable input;
3 the cluster, or the vault, cannot be reached.")]
pub(super) struct Args {
    /// The backup; `-` is stdin
    file: PathBuf,

    /// age identities that open it, as `age-keygen` writes them. May be repeated
    #[arg(long, value_name = "FILE", required = true)]
    identity: Vec<PathBuf>,

    /// Open every SealedSecret in these files and folders with the backup's keys instead
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["dry_run", "replace_publisher"])]
    check: Vec<PathBuf>,

    /// Leave out keys that were not active
    #[arg(long)]
    only_active: bool,

    /// Put the backup's publisher key in the place of another one that is there
    #[arg(long)]
    replace_publisher: bool,

    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Where the private halves go [default: cluster]
    #[arg(long, value_enum, value_name = "CUSTODY", conflicts_with = "check", help_heading = "Key Vault")]
    custody: Option<CustodyName>,

    #[command(flatten)]
    vault: KeyVaultOptions,

    #[command(flatten)]
    trust: ClusterTrust,

    #[command(flatten)]
    connection: ConnectionOptions,
}

impl Args {
    fn keeping(&self) -> Kind {
        self.custody.map_or(Kind::Cluster, Kind::from)
    }
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let connection = args.connection.connection();
    if connection.is_none() && args.check.is_empty() {
        return Err(CommandError::input("no cluster is named")
            .hint("name it with --context CONTEXT, or give --check PATH to try the backup without one"));
    }
    refuse_stdin_twice(args)?;
    if args.vault.is_given() && args.custody.is_none() && args.check.is_empty() {
        return Err(CommandError::input("--key-vault names a vault, and --custody does not say what goes there").hint(
            "give the --custody that the controller has: key-vault-wrapped or key-vault-secret; with cluster, the vault is \
             asked for the keys that are there, and what is restored lies in the cluster in the clear",
        ));
    }
    let custodies = args.vault.custodies(args.keeping())?;
    let file = ArchiveFile::read(&args.file)?;
    match &connection {
        Some(Connection { context, .. }) => args.trust.judge(&file, context)?,
        None => drop(args.trust.judge_if_named(&file, None)?),
    }
    let backup = file
        .archive
        .open(&identities::load(&args.identity)?)
        .map_err(|error| CommandError::failed(format!("{}: {}", file.name(), Shown(&error.to_string()))))?;
    let connection = connection.filter(|_| args.check.is_empty());
    match connection {
        Some(connection) => {
            connection.session(async |session| restore(args, session, &backup, &custodies).await)
        }
        None => check::run(&args.check, backup, args.only_active),
    }
}

fn refuse_stdin_twice(args: &Args) -> Result<(), CommandError> {
    let is_stdin = |path: &&PathBuf| path.as_os_str() == "-";
    match std::iter::once(&args.file).chain(&args.identity).filter(is_stdin).count() {
        0 | 1 => Ok(()),
        _ => Err(CommandError::input("stdin (`-`) is given more than once").hint("name the files")),
    }
}

async fn restore(
    args: &Args,
    session: &Session,
    backup: &Backup,
    custodies: &Custodies,
) -> Result<(), CommandError> {
    require_namespace(session).await?;
    let secrets = NamespaceSecrets::of(session);
    let there = There::of(&secrets, custodies).await?;
    let wanted: Vec<_> =
        backup.keys().iter().filter(|key| !args.only_active || plan::is_active(key)).collect();
    let mut taken = Vec::new();
    for key in &wanted {
        if secrets.get(key.name()).await?.is_some() {
            taken.push(key.name());
        }
    }
    let plan = Plan::new(backup.publisher_key(), &wanted, &there.keys, &taken, there.publisher);
    if let PublisherStep::Replace { there } = &plan.publisher
        && !args.replace_publisher
    {
        return Err(other_publisher(session, there, backup));
    }
    if let (Some(kind), Kind::Cluster) = (there.kept_by, custodies.keeping()) {
        speech::warning(format_args!(
            "keys there are kept by {kind}: what is restored lies in the cluster in the clear until the leader moves it, and \
             is marked as having lain there; --custody {kind} --key-vault URL gives it to the vault at once"
        ));
    }
    let doing = if args.dry_run { "would be " } else { "" };
    let kept = match custodies.keeping() {
        Kind::Cluster => String::new(),
        kind => format!(", its private half kept by {kind}"),
    };
    for (key, placement) in wanted.iter().zip(&plan.keys) {
        let fingerprint = key.entry().fingerprint();
        let restored = format!("key {fingerprint}: {doing}restored, {}", key.record().state);
        let told = match placement {
            Placement::There { secret } => {
                let unasked = match there.unasked.contains(secret) {
                    true => ", whose vault was not asked for it: if that is lost, delete the Secret first",
                    false => "",
                };
                format!("key {fingerprint}: there already, as Secret {}{unasked}", Shown(secret))
            }
            Placement::Create => {
                let name = create(args, &secrets, custodies, key, placement).await?;
                let name = name.unwrap_or_else(|| key.name().to_owned());
                format!("{restored}, as Secret {}{kept}", Shown(&name))
            }
            Placement::CreateRenamed => {
                let name = create(args, &secrets, custodies, key, placement).await?;
                let name = name.unwrap_or_else(|| "of a generated name".to_owned());
                format!("{restored}, as Secret {}{kept}: {} is taken", Shown(&name), Shown(key.name()))
            }
        };
        speech::note(told);
    }
    restore_publisher(args, &secrets, backup, plan, custodies).await
}

/// Gives the private half to where it is to be and creates the Secret, unless nothing is to be done; gives its name.
async fn create(
    args: &Args,
    secrets: &NamespaceSecrets<'_>,
    custodies: &Custodies,
    key: &BackupKey,
    placement: &Placement,
) -> Result<Option<String>, CommandError> {
    if args.dry_run {
        return Ok(None);
    }
    let in_vault = custodies.keeping() != Kind::Cluster;
    let mut secret = placement.secret(key, secrets.session.namespace(), in_vault);
    if in_vault {
        let kept = patiently(async || custodies.keep_key(&secret).await).await;
        secret = kept.map_err(|error| not_kept(key.name(), &error))?;
    }
    let created = secrets.api.create(&secret, FIELD_MANAGER).await;
    let metadata = created.map_err(|error| secrets.error("a key Secret", &error, "create"))?;
    Ok(metadata.name)
}

/// Nothing of the key was written into the cluster.
fn not_kept(secret: &str, error: &CustodyError) -> CommandError {
    let about = format!("Secret {}", Shown(secret));
    match error {
        CustodyError::Vault { failure, .. } => vault_error(&about, failure),
        error => CommandError::failed(format!("{about}: {}", Shown(&error.to_string()))),
    }
}

/// Last of all, so that a controller that begins in between finds keys before it could think there are none. Keys that
/// the replaced publisher's leader made are marked anew before, or they would count as planted.
async fn restore_publisher(
    args: &Args,
    secrets: &NamespaceSecrets<'_>,
    backup: &Backup,
    plan: Plan,
    custodies: &Custodies,
) -> Result<(), CommandError> {
    let fingerprint = backup.publisher_key().public_key().fingerprint();
    let doing = if args.dry_run { "would be " } else { "" };
    let told = match &plan.publisher {
        PublisherStep::Keep => format!("publisher {fingerprint}: there already"),
        PublisherStep::Create => format!("publisher {fingerprint}: {doing}restored"),
        PublisherStep::Replace { there } => {
            let there = there.map_or_else(|| "one that cannot be read".to_owned(), |there| there.to_string());
            format!("publisher {fingerprint}: {doing}put in the place of {there}")
        }
    };
    if !args.dry_run && !matches!(plan.publisher, PublisherStep::Keep) {
        // The vault first: if it does not take the key, all is as it was.
        let namespace = secrets.session.namespace();
        let kept =
            patiently(async || custodies.keep_publisher(backup.publisher_key(), namespace).await).await;
        let mut secret = kept.map_err(|error| not_kept(PUBLISHER_SECRET, &error))?;
        if custodies.keeping() == Kind::Cluster {
            secret = backup.publisher().clone();
            secret.metadata.namespace = Some(namespace.to_owned());
        }
        for secret in &plan.marked_anew {
            let replaced = secrets.api.replace(secret, FIELD_MANAGER).await;
            replaced.map_err(|error| secrets.error("the mark of a key", &error, "update"))?;
        }
        put_publisher(secrets, &secret, matches!(plan.publisher, PublisherStep::Replace { .. })).await?;
    }
    speech::note(told);
    Ok(())
}

/// The Secret is immutable where it holds the key, so to replace it is to delete it and make it again. A controller that
/// makes one of its own in between is faster once, and hardly twice.
async fn put_publisher(
    secrets: &NamespaceSecrets<'_>,
    secret: &Secret,
    replace: bool,
) -> Result<(), CommandError> {
    let what = format!("the Secret {PUBLISHER_SECRET}");
    let mut tries = 3;
    loop {
        if replace && let Some(old) = secrets.publisher().await? {
            let deleted = secrets.api.delete(&old.metadata).await;
            deleted.map_err(|error| secrets.error(&what, &error, "delete"))?;
        }
        tries -= 1;
        match secrets.api.create(secret, FIELD_MANAGER).await {
            Ok(_) => return Ok(()),
            Err(error) if replace && tries > 0 && is_conflict(&error) => {}
            Err(error) if is_conflict(&error) => {
                return Err(secrets.error(&what, &error, "create").hint(
                    "a controller made a publisher key meanwhile; the same command says how to go on",
                ));
            }
            Err(error) => return Err(secrets.error(&what, &error, "create")),
        }
    }
}

fn is_conflict(error: &ApiError) -> bool {
    error.status().is_some_and(|status| status.code == 409)
}

/// Lists of a namespace that is not there are empty, so that only the first write would tell. Who may not look goes on.
async fn require_namespace(session: &Session) -> Result<(), CommandError> {
    let name = session.namespace();
    match Api::<Namespace>::all(session.client.clone()).get_opt(name).await {
        Ok(None) => Err(CommandError::failed(format!(
            "{}: there is no namespace {}",
            Shown(&session.server),
            Shown(name)
        ))
        .hint(format!(
            "create it first, `kubectl create namespace {}`, or name the controller's with --controller-namespace",
            Shown(name)
        ))),
        Ok(Some(_)) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(()),
        Err(error) => Err(session.error(&format!("the namespace {name}"), &error)),
    }
}

fn other_publisher(
    session: &Session,
    there: &Option<privyseal_envelope::Fingerprint>,
    backup: &Backup,
) -> CommandError {
    let there = there.map_or_else(
        || "a publisher key that cannot be read".to_owned(),
        |there| format!("publisher {there}"),
    );
    CommandError::failed(format!(
        "{}: namespace {} has {there}, and the backup has {}: a controller has run there, or it is another cluster. \
         Nothing was restored",
        Shown(&session.server),
        Shown(session.namespace()),
        backup.publisher_key().public_key().fingerprint()
    ))
    .hint(
        "if this cluster is to take the old one's place, repeat it with --replace-publisher: who trusts the old one \
         then trusts this one, and who has pinned the key that is there now has to pin it anew",
    )
}

const FIELD_MANAGER: &str = "privyseal-restore";
