//! `privyseal keys retire`

use super::evidence::{Evidence, gather};
use crate::cluster::KeyState;
use crate::error::{CommandError, Shown};
use crate::key_files::KeyFileOptions;
use crate::key_source::ClusterOptions;
use crate::speech;
use privyseal_custody::custody::Kind;
use privyseal_repo::report::{Needs, Value};
use std::path::PathBuf;

/// Stop opening with an old key
///
/// Refuses as long as a value is known to need the key, or nobody knows that it does not: values in the cluster as the
/// controller opened them, and values in the Git trees that are given. A hint's word is not enough for that; the
/// controller is asked about each value in Git that it has not opened in this very form, or the keys of --key try it. A
/// value of the age format that was opened, and is for another of the cluster's keys too, does not need this one.
///
/// Old commits stop opening too: a revert to one of them needs the retired key. To undo it, set the label of the key's
/// Secret to `active` again.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal keys retire 0123456789abcdef . --context prod
  privyseal keys retire 0123456789abcdef ~/fleet ~/apps --for prod")]
pub(super) struct Args {
    /// The key: an id or fingerprint of it or of one of its recipients, or its Secret
    #[arg(value_name = "KEY")]
    retired: String,

    /// The Git trees with what is sealed for this cluster, all of them
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// There is no Git tree: what is in the cluster is all there is
    #[arg(long, conflicts_with = "paths")]
    cluster_only: bool,

    /// Retire it in spite of what breaks, which is listed
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    keys: KeyFileOptions,

    #[command(flatten)]
    cluster: ClusterOptions,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    if args.paths.is_empty() && !args.cluster_only {
        return Err(CommandError::input(
            "no Git tree is given: what is committed and not applied would not be seen",
        )
        .hint(
            "give the trees that hold what is sealed for this cluster, or --cluster-only if there are none",
        ));
    }
    let tree = Evidence::read(&args.paths, &args.keys, &args.cluster)?;
    args.cluster.session(async |session| {
        let keys = session.keys().await?;
        let key = session.named(&keys, &args.retired)?;
        match key.state {
            KeyState::Retired => {
                speech::note(format_args!("key {} is retired already", key.key_id()));
                return Ok(());
            }
            KeyState::Sealing => {
                return Err(CommandError::failed(format!("key {} is the one that seals", key.key_id()))
                    .hint("make a new one first: `privyseal keys rotate`"));
            }
            KeyState::Pending => {
                return Err(CommandError::failed(format!("key {} waits for its backup and opens nothing", key.key_id()))
                    .hint("`privyseal doctor` and the controller's log say what hinders the backup"));
            }
            KeyState::OpeningOnly | KeyState::Compromised => {}
        }
        let report = gather(session, tree, &keys).await?;
        let needs = report.needs(key.key_id());
        if !needs.is_empty() {
            let refused = refusal(&key.key_id().to_string(), &needs);
            if !args.force {
                return Err(refused);
            }
            for (message, _) in refused.reports() {
                speech::warning(message);
            }
        }
        session.retire_key(key).await?;
        speech::note(format_args!("key {} is retired: the controller stops opening with it within seconds", key.key_id()));
        if key.secret.as_ref().is_some_and(|secret| secret.custody == Some(Kind::KeyVaultSecret)) {
            speech::note(
                "its vault holds it still, and the controller takes over what it finds there: before you delete its Secret, \
                 disable the version that custody.json in it names, with `az keyvault secret set-attributes --id ID --enabled \
                 false`",
            );
        }
        if let Some(secret) = &key.secret {
            let secret = Shown(&secret.name);
            let kubectl = format!("kubectl --context {} -n {}", Shown(session.context()), session.namespace());
            speech::note(format_args!(
                "old commits and reverts to them need it: keep a backup. To undo: {kubectl} label --overwrite secret {secret} \
                 sealedsecrets.bitnami.com/sealed-secrets-key=active; to delete: {kubectl} delete secret {secret}"
            ));
        }
        Ok(())
    })
}

fn refusal(key: &str, needs: &Needs<'_>) -> CommandError {
    let mut message = format!(
        "key {key} cannot be retired: {} values need it, of {} it is not known that they do not, and {} files cannot be read",
        needs.known.len(),
        needs.unknown.len(),
        needs.unreadable.len()
    );
    let line = |value: &&Value, what: &str| {
        format!("\n  {}: {}: {}: {what}", Shown(&value.place), Shown(&value.object), Shown(&value.item))
    };
    let known = needs.known.iter().map(|value| line(value, "opened with it"));
    let unknown = needs.unknown.iter().map(|value| line(value, "unknown"));
    let unreadable = needs.unreadable.iter().map(|place| format!("\n  {}", Shown(place)));
    let lines: Vec<_> = known.chain(unknown).chain(unreadable).collect();
    message.extend(lines.iter().take(SHOWN).cloned());
    if lines.len() > SHOWN {
        message += &format!("\n  and {} more", lines.len() - SHOWN);
    }
    CommandError::failed(message)
        .hint("`privyseal reseal PATHS` moves values to the newest key; commit, and wait until the cluster has them")
        .hint("`privyseal keys report PATHS` lists all; --force retires it in spite of that, and the values above stop opening")
}

/// Enough to see what kind of thing it is.
const SHOWN: usize = 20;
