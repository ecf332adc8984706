//! `privyseal keys rotate`

use super::evidence::of_cluster;
use super::{await_new_key, say_new_key};
use crate::cluster::{KeyState, Session};
use crate::error::CommandError;
use crate::key_source::ClusterOptions;
use crate::speech;
use jiff::Timestamp;
use privyseal_custody::key_secret;
use privyseal_envelope::KeyId;
use privyseal_repo::report::{Knowledge, Value};

/// Have the controller make a new sealing key now
///
/// Marks the key that seals; the leading replica makes its successor, signs it and publishes it. The command waits until
/// every replica serves the new key. Nothing stops opening: the old key goes on opening until it is retired.
#[derive(clap::Args)]
#[command(after_help = "\
Example, from a new key to the end of the old one:
  privyseal keys rotate --context prod
  privyseal reseal . --context prod            # then commit, push, and wait for the reconciliation
  privyseal keys report . --context prod
  privyseal keys retire OLD-KEY . --context prod")]
pub(super) struct Args {
    #[command(flatten)]
    wait: super::WaitOptions,

    #[command(flatten)]
    cluster: ClusterOptions,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    args.cluster.session(async |session| {
        let keys = session.keys().await?;
        let old = keys.iter().find(|key| key.state == KeyState::Sealing).ok_or_else(|| {
            CommandError::failed("no key seals now: the controller makes one by itself")
                .hint("look at the controller's log if it does not")
        })?;
        session.mark_key(old, key_secret::ROTATE, Timestamp::now()).await?;
        let new = await_new_key(session, old.fingerprint(), &args.wait).await?;
        say_new_key(&new)?;
        speech::note(format_args!("key {} opens only from now on", old.key_id()));
        say_what_to_reseal(session, new.fingerprint().key_id()).await;
        Ok(())
    })
}

/// Whoever may not list SealedSecrets is told the same without a number.
async fn say_what_to_reseal(session: &Session, new: KeyId) {
    let left = of_cluster(session).await.ok().map(|report| {
        let on_new =
            |value: &&Value| matches!(&value.knowledge, Knowledge::Opened(keys) if keys.contains(&new));
        report.values.len() - report.values.iter().filter(on_new).count()
    });
    match left {
        Some(0) => {}
        Some(left) => speech::note(format_args!(
            "{left} values in the cluster need an older key: `privyseal reseal PATHS` moves what is committed to the new one"
        )),
        None => speech::note("`privyseal reseal PATHS` moves what is committed to the new key"),
    }
}
