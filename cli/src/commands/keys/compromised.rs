//! `privyseal keys compromised`

use super::{await_new_key, say_new_key};
use crate::cluster::KeyState;
use crate::error::CommandError;
use crate::key_source::ClusterOptions;
use crate::speech;
use jiff::Timestamp;
use privyseal_custody::key_secret;
use privyseal_keys::PublishedKeys;

/// Say that a key leaked
///
/// The key is published as revoked, so that nobody seals to it any more, and if it is the one that seals, the controller
/// makes a new one at once. It goes on opening until it is retired. There is no way back: what leaked stays leaked.
///
/// A key is its RSA half and its age identities together: whichever of them leaked, all are given up.
///
/// Whoever has the key can open everything that was ever sealed with it and is still in a Git history. Resealing does not
/// help against that: change the values at their source. `privyseal keys report --compromised KEY PATHS` lists them.
#[derive(clap::Args)]
#[command(after_help = "\
Example:
  privyseal keys compromised 0123456789abcdef --context prod
  privyseal keys report . --compromised 0123456789abcdef --context prod")]
pub(super) struct Args {
    /// The key: an id or fingerprint of it or of one of its recipients, or its Secret
    key: String,

    #[command(flatten)]
    wait: super::WaitOptions,

    #[command(flatten)]
    cluster: ClusterOptions,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    args.cluster.session(async |session| {
        let key = session.key(&args.key).await?;
        session.mark_key(&key, key_secret::COMPROMISED, Timestamp::now()).await?;
        // Who seals for age recipients looks for these in the list, not for the RSA key beside them.
        let revoked = |list: &PublishedKeys| key.fingerprints().all(|half| list.revoked.contains(&half));
        args.wait.until(async || Ok(revoked(&session.sealing_keys().await?))).await?;
        speech::note(format_args!("key {} is published as revoked", key.key_id()));
        if key.state == KeyState::Sealing {
            say_new_key(&await_new_key(session, key.fingerprint(), &args.wait).await?)?;
        }
        speech::note(format_args!(
            "change the values that were sealed with it at their source: `privyseal keys report PATHS --compromised {}`",
            key.key_id()
        ));
        Ok(())
    })
}
