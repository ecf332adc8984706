//! `privyseal keys …`

mod archive_file;
mod backup;
mod compromised;
mod evidence;
mod fetch;
mod generate;
mod history;
mod list;
mod namespace_secrets;
mod report;
mod restore;
mod retire;
mod rotate;

use crate::cluster::{Replicas, Session};
use crate::error::{CommandError, Shown};
use crate::output::to_stdout;
use crate::speech;
use clap::Subcommand;
use privyseal_envelope::Fingerprint;
use privyseal_keys::Certificate;
use std::time::{Duration, Instant};

/// The life of keys: fetch, make, rotate, report, retire, back up, restore
#[derive(clap::Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    List(list::Args),
    Fetch(fetch::Args),
    Generate(generate::Args),
    Rotate(rotate::Args),
    Report(report::Args),
    Retire(retire::Args),
    Compromised(compromised::Args),
    Backup(Box<backup::Args>),
    Restore(Box<restore::Args>),
}

/// How long to wait for the controller.
#[derive(clap::Args)]
struct WaitOptions {
    /// How long to wait for the controller, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    timeout: u64,
}

impl WaitOptions {
    /// Looks again and again until it is so.
    async fn until(
        &self,
        mut so: impl AsyncFnMut() -> Result<bool, CommandError>,
    ) -> Result<(), CommandError> {
        let started = Instant::now();
        loop {
            if so().await? {
                return Ok(());
            }
            if started.elapsed() > Duration::from_secs(self.timeout) {
                return Err(CommandError::failed(format!("the controller did not do it within {} s", self.timeout))
                    .hint("the mark stays: a controller that runs will do it. Look at its log, then `privyseal keys list`"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Waits until another key than the old one seals, and every replica that can be asked serves it.
async fn await_new_key(
    session: &Session,
    old: Fingerprint,
    wait: &WaitOptions,
) -> Result<Certificate, CommandError> {
    let mut new = None;
    wait.until(async || {
        let list = session.sealing_keys().await?;
        new = list.keys.first().map(|key| key.certificate.clone()).filter(|new| new.fingerprint() != old);
        Ok(new.is_some())
    })
    .await?;
    let Some(new) = new else { return Err(CommandError::failed("no key seals")) };
    let mut said = Replicas::Unknown;
    let waited = wait.until(async || {
        said = session.replicas_that_serve(new.fingerprint()).await;
        Ok(!matches!(said, Replicas::Some { .. }))
    });
    match (waited.await, said) {
        (_, Replicas::All { count }) => speech::note(format_args!("{count} replicas serve the new key")),
        (_, Replicas::Unknown) => speech::warning(
            "whether every replica has the new key cannot be seen: it takes the rights to list EndpointSlices and to get \
             pods/proxy in the controller's namespace",
        ),
        (_, Replicas::Some { behind }) => {
            return Err(CommandError::failed(format!(
                "key {} seals, but {} replicas do not serve it yet: {}",
                new.fingerprint().key_id(),
                behind.len(),
                behind.iter().map(|pod| Shown(pod).to_string()).collect::<Vec<_>>().join(", ")
            ))
            .hint("look at their logs; the key stays, and `privyseal keys list` shows it"));
        }
    }
    Ok(new)
}

/// The new key on stdout, as people compare it.
fn say_new_key(certificate: &Certificate) -> Result<(), CommandError> {
    to_stdout(format!("{}\n", describe(certificate)).as_bytes())
}

const LOOK_AGAIN: Duration = Duration::from_millis(300);

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    match &args.command {
        Command::List(args) => list::run(args),
        Command::Fetch(args) => fetch::run(args),
        Command::Generate(args) => generate::run(args),
        Command::Rotate(args) => rotate::run(args),
        Command::Report(args) => report::run(args),
        Command::Retire(args) => retire::run(args),
        Command::Compromised(args) => compromised::run(args),
        Command::Backup(args) => backup::run(args),
        Command::Restore(args) => restore::run(args),
    }
}

/// A key as people compare it.
fn describe(certificate: &Certificate) -> String {
    format!(
        "key {} (id {}), RSA {}, valid {} to {}",
        certificate.fingerprint(),
        certificate.fingerprint().key_id(),
        certificate.sealing_key().bits(),
        certificate.not_before(),
        certificate.not_after()
    )
}
