//! `privyseal keys rotate`

use super::{await_new_key, say_new_key};
use crate::cluster::KeyState;
use crate::error::CommandError;
use crate::key_source::ClusterOptions;
use crate::speech;
use jiff::Timestamp;
use privyseal_custody::key_secret;

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
        speech::note(format_args!(
            "key {} opens only from now on; `privyseal reseal PATHS` moves what is committed to the new one",
            old.key_id()
        ));
        Ok(())
    })
}
