//! The trust file of whoever seals, and the question at first use.
//!
//! `privyseal_repo::Trust` decides; this finds the file, asks the person, and writes down the answer.

use crate::config_file::{folder_of, parse, repository_root};
use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::output::{Content, Staged};
use crate::speech;
use privyseal_envelope::Fingerprint;
use privyseal_repo::{Evidence, Judgement, Subject, Trust};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Options about trust.
#[derive(clap::Args)]
#[command(next_help_heading = "Trust")]
pub(crate) struct TrustOptions {
    /// The trust file, which pins the keys of each cluster; it must lie outside the repository
    /// [default: ~/.config/privyseal/trust.yaml]
    #[arg(long, value_name = "FILE", env = "PRIVYSEAL_TRUST", hide_env_values = true)]
    trust: Option<PathBuf>,

    /// Trust a cluster or recipient that is not in the trust file yet, if this is its fingerprint. May be repeated
    #[arg(long, value_name = "FINGERPRINT")]
    yes_trust: Vec<Fingerprint>,
}

/// What is trusted, and where that is written.
pub(crate) struct TrustFile<'a> {
    options: &'a TrustOptions,
    /// None if there is no home.
    file: Option<PathBuf>,
    trust: Trust,
}

impl TrustOptions {
    /// For those who ask nobody and pin nothing: a trust file, or the usual one.
    pub(crate) fn of_file(trust: Option<PathBuf>) -> Self {
        Self { trust, yes_trust: Vec::new() }
    }

    /// Reads the trust file. One that is not there holds nothing.
    pub(crate) fn open(&self) -> Result<TrustFile<'_>, CommandError> {
        let file = self.trust.clone().or_else(default_file);
        let trust = match &file {
            Some(path) if path.symlink_metadata().is_ok() => {
                parse(path, &Source::File(path.clone()).read_at_most(MAX_BYTES)?, Trust::parse)?
            }
            _ => Trust::default(),
        };
        Ok(TrustFile { options: self, file, trust })
    }
}

impl TrustFile<'_> {
    /// What is trusted.
    pub(crate) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// A trust file in the repository of that folder, against which it is to guard, guards nothing.
    pub(crate) fn must_be_outside(&self, folder: &Path) -> Result<(), CommandError> {
        // One that is not there yet would be made there.
        let resolved = |file: &Path| fs::canonicalize(file).ok().or_else(|| folder_of(file));
        let Some(file) = self.file.as_deref().and_then(resolved) else { return Ok(()) };
        match file.starts_with(repository_root(folder)?) {
            false => Ok(()),
            true => Err(CommandError::input(format!(
                "{}: the trust file lies in the repository, where a pull request can change it",
                Shown(&file.to_string_lossy())
            ))
            .hint("keep it outside, for example in a protected variable of the CI")),
        }
    }

    /// The file; none if there is no home.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What is pinned.
    pub(crate) fn pins(&self) -> &Trust {
        &self.trust
    }

    /// Lets keys pass that are pinned, or that somebody decides to trust now. `origin` says where they come from.
    pub(crate) fn decide(
        &mut self,
        subject: &Subject,
        evidence: Evidence,
        origin: &str,
    ) -> Result<(), CommandError> {
        let shown = subject.to_string();
        let (name, origin) = (Shown(&shown), Shown(origin));
        match (self.trust.judge(subject, &evidence), subject) {
            (Judgement::Trusted { newer: false }, _) => Ok(()),
            (Judgement::Trusted { newer: true }, _) => {
                self.remember(subject, evidence, false);
                Ok(())
            }
            // The kubeconfig vouches for the connection, and the command line names the context.
            (Judgement::Unknown, Subject::Context(_)) => {
                speech::note(format_args!("{name}: first use, with {evidence}"));
                self.remember(subject, evidence, false);
                Ok(())
            }
            (Judgement::Unknown, Subject::Cluster(_) | Subject::Recipient(_)) => {
                self.ask(subject, evidence, &origin)?;
                self.remember(subject, evidence, true);
                Ok(())
            }
            (Judgement::Changed { pinned }, _) => Err(CommandError::failed(format!(
                "{origin}: {name} has {evidence}, but {pinned} is trusted. Somebody may be giving you a key of their own"
            ))
            .hint(format!(
                "ask somebody who {}; if the key did change, remove {name} from {}",
                who_knows(subject),
                self.name()
            ))),
            (Judgement::Outdated { newest }, _) => Err(CommandError::failed(format!(
                "{origin}: the list of keys of {name} is older than list {newest}, which was seen before: \
                 a key in it may have leaked since"
            ))
            .hint("get the current list: `privyseal keys fetch --published`")),
        }
    }

    /// Lets pass what that publisher signed, such as a backup. What is not pinned is asked whatever the subject: a file
    /// does not come over the connection that a context vouches for.
    pub(crate) fn decide_publisher(
        &mut self,
        subject: &Subject,
        publisher: Fingerprint,
        origin: &str,
    ) -> Result<(), CommandError> {
        let shown = subject.to_string();
        let (name, origin) = (Shown(&shown), Shown(origin));
        match self.trust.judge_publisher(subject, publisher) {
            Judgement::Unknown => {
                let evidence = Evidence::Publisher { fingerprint: publisher, serial: 0 };
                self.ask(subject, evidence, &origin)?;
                self.remember(subject, evidence, true);
                Ok(())
            }
            Judgement::Changed { pinned } => Err(CommandError::failed(format!(
                "{origin}: signed by publisher {publisher}, but {pinned} is trusted as {name}. \
                 Somebody may be giving you keys of their own"
            ))
            .hint(format!(
                "if it is of another cluster, name that one with --for NAME; {} says what is trusted",
                self.name()
            ))),
            Judgement::Trusted { .. } | Judgement::Outdated { .. } => Ok(()),
        }
    }

    /// Under which names that publisher is trusted.
    pub(crate) fn known_as(&self, publisher: Fingerprint) -> Vec<String> {
        self.trust.known_as(publisher).map(|subject| Shown(&subject.to_string()).to_string()).collect()
    }

    fn ask(&self, subject: &Subject, evidence: Evidence, origin: &Shown<'_>) -> Result<(), CommandError> {
        let (shown, who_knows) = (subject.to_string(), who_knows(subject));
        let name = Shown(&shown);
        let fingerprint = evidence.fingerprint();
        if self.options.yes_trust.contains(&fingerprint) {
            return Ok(());
        }
        let question = format!(
            "{origin}: {name} is not in {}. It has {evidence}.\n\
             Compare that with somebody who {who_knows}. Do you trust it?",
            self.name()
        );
        match speech::confirm(&question) {
            Some(true) => Ok(()),
            Some(false) => Err(CommandError::failed(format!("{name}: not trusted; nothing was done"))),
            None => Err(CommandError::failed(format!(
                "{origin}: {name} is not in {}. It has {evidence}",
                self.name()
            ))
            .hint(format!(
                "compare the fingerprint with somebody who {who_knows}, then add `--yes-trust {fingerprint}`"
            ))),
        }
    }

    /// A decision that cannot be kept has to be made again; that is no reason to fail.
    fn remember(&mut self, subject: &Subject, pin: Evidence, decided: bool) {
        self.trust.pin(subject.clone(), pin);
        let Some(file) = &self.file else { return };
        let text = self.trust.to_text();
        let written = make_folder(file).map_err(|error| error.to_string()).and_then(|()| {
            let staged = Staged::new(file, text.as_bytes(), Content::Secret).and_then(Staged::commit);
            staged.map_err(|error| {
                error.reports().first().map_or_else(String::new, |(message, _)| message.clone())
            })
        });
        match written {
            Ok(()) if decided => {
                speech::note(format_args!("{} is pinned in {}", Shown(&subject.to_string()), self.name()));
            }
            Err(reason) if decided => speech::warning(format_args!(
                "the decision could not be written down and will have to be made again: {reason}"
            )),
            _ => {}
        }
    }

    fn name(&self) -> String {
        match &self.file {
            Some(file) => Shown(&file.to_string_lossy()).to_string(),
            None => "the trust file".to_owned(),
        }
    }
}

fn who_knows(subject: &Subject) -> &'static str {
    match subject {
        Subject::Cluster(_) | Subject::Context(_) => "knows the cluster",
        Subject::Recipient(_) => "knows whose key it is",
    }
}

fn default_file() -> Option<PathBuf> {
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let config = config.or_else(|| Some(std::env::home_dir()?.join(".config")))?;
    Some(config.join("privyseal").join("trust.yaml"))
}

fn make_folder(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(folder) => fs::create_dir_all(folder),
        None => Ok(()),
    }
}

/// More than any trust file.
const MAX_BYTES: usize = 1 << 20;
