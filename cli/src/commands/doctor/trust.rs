//! The trust file: who can change it, where it lies, and whether it pins what the configuration names.

use super::finding::{Check, Finding};
use crate::config_file::Configuration;
use crate::error::{CommandError, Shown};
use crate::trust_file::TrustFile;
use privyseal_repo::{Evidence, Judgement, Subject, Trust};
use std::path::Path;

/// All about the file itself.
pub(super) fn examine(
    opened: &Result<TrustFile<'_>, CommandError>,
    configuration: Option<&Configuration>,
) -> Vec<Finding> {
    let trust = match opened {
        Ok(trust) => trust,
        Err(error) => return vec![Finding::of_error(Check::TrustFile, error)],
    };
    let mut findings = Vec::new();
    if let Some(Err(error)) = configuration.map(|it| trust.must_be_outside(&it.folder)) {
        findings.push(Finding::of_error(Check::TrustFile, &error));
    }
    match trust.file() {
        None => findings.push(Finding::warning(
            Check::TrustFile,
            "there is no home folder, and so no place to remember what is trusted",
            "name a file with --trust FILE or PRIVYSEAL_TRUST",
        )),
        Some(file) => findings.push(judge_file(file, &Access::of(file))),
    }
    if let Some(configuration) = configuration {
        findings.extend(judge_pins(configuration, trust.pins()));
    }
    findings
}

/// Who can change the trust file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// It is not there.
    Missing,
    /// Its owner alone.
    Owner,
    /// Others, by its mode or by that of its folder.
    Others {
        /// The mode that lets them.
        mode: u32,
        of_folder: bool,
    },
    /// Another user owns it.
    Foreign,
}

impl Access {
    #[cfg(unix)]
    fn of(file: &Path) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        let Ok(metadata) = std::fs::metadata(file) else { return Self::Missing };
        let folder = file.parent().and_then(|folder| std::fs::metadata(folder).ok());
        if ![0, rustix::process::geteuid().as_raw()].contains(&metadata.uid()) {
            return Self::Foreign;
        }
        if metadata.mode() & OTHERS_WRITE != 0 {
            return Self::Others { mode: metadata.mode() & 0o7777, of_folder: false };
        }
        match folder.map(|folder| folder.mode()) {
            Some(mode) if mode & OTHERS_WRITE != 0 && mode & STICKY == 0 => {
                Self::Others { mode: mode & 0o7777, of_folder: true }
            }
            _ => Self::Owner,
        }
    }

    #[cfg(not(unix))]
    fn of(file: &Path) -> Self {
        if file.exists() { Self::Owner } else { Self::Missing }
    }
}

#[cfg(unix)]
const OTHERS_WRITE: u32 = 0o022;
#[cfg(unix)]
const STICKY: u32 = 0o1000;

fn judge_file(file: &Path, access: &Access) -> Finding {
    let name = file.to_string_lossy();
    let name = Shown(&name);
    match access {
        Access::Missing => Finding::ok(
            Check::TrustFile,
            format!("{name} is not there yet: each cluster is asked about at first use"),
        ),
        Access::Owner => Finding::ok(Check::TrustFile, format!("{name}: you alone can change it")),
        Access::Others { mode, of_folder: false } => Finding::problem(
            Check::TrustFile,
            format!("{name}: others than its owner can change it (mode {mode:04o})"),
            format!("chmod 600 {name}, and compare what it pins"),
        ),
        Access::Others { mode, of_folder: true } => Finding::problem(
            Check::TrustFile,
            format!("{name}: others than its owner can replace it (its folder has mode {mode:04o})"),
            "chmod go-w the folder, and compare what the file pins",
        ),
        Access::Foreign => Finding::problem(
            Check::TrustFile,
            format!("{name}: it belongs to another user"),
            "name another with --trust FILE or PRIVYSEAL_TRUST",
        ),
    }
}

/// Whether all that the configuration names is pinned.
fn judge_pins(configuration: &Configuration, trust: &Trust) -> Vec<Finding> {
    let judge = |subject: Subject, cure: &str| match trust.pinned(&subject) {
        Some(pin) => Finding::ok(Check::TrustPin, format!("{subject}: pinned to {pin}")),
        None => Finding::warning(
            Check::TrustPin,
            format!("{subject} is not pinned: its first use asks, and fails where nobody can answer"),
            cure,
        ),
    };
    let cluster = |name: &str| {
        judge(
            Subject::Cluster(name.to_owned()),
            "compare the fingerprint that `privyseal keys fetch` shows with somebody who knows the cluster, then give it \
             to --yes-trust",
        )
    };
    let recipient = |name: &str| {
        judge(
            Subject::Recipient(name.to_owned()),
            "compare the fingerprint that the first sealing to it shows with whoever holds its key, then give it to \
             --yes-trust",
        )
    };
    let clusters = configuration.config.clusters().map(|(name, _)| cluster(name.as_str()));
    clusters.chain(configuration.config.recipients().map(|(name, _)| recipient(name.as_str()))).collect()
}

/// What the trust file says of keys that were found; `place` says where. None if it knows nothing of them.
pub(super) fn judge_keys(
    check: Check,
    place: &str,
    trust: &Trust,
    subject: &Subject,
    evidence: &Evidence,
) -> Option<Finding> {
    Some(match trust.judge(subject, evidence) {
        Judgement::Trusted { .. } => Finding::ok(check, format!("{place}: {evidence}, as it is pinned")),
        Judgement::Unknown => return None,
        Judgement::Changed { pinned } => Finding::problem(
            check,
            format!(
                "{place}: it has {evidence}, but {pinned} is pinned: somebody may be giving you a key of their own"
            ),
            format!(
                "ask somebody who knows the cluster; if its key did change, remove {} from the trust file",
                Shown(&subject.to_string())
            ),
        ),
        Judgement::Outdated { newest } => Finding::problem(
            check,
            format!(
                "{place}: the list is older than list {newest}, which was seen before: a key in it may have leaked since"
            ),
            "get the current list: `privyseal keys fetch --published`",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;
    use privyseal_envelope::Fingerprint;

    #[test]
    fn whoever_else_can_change_it_is_a_problem() {
        let level = |access| judge_file(Path::new("/trust.yaml"), &access).level;
        assert_eq!(level(Access::Missing), Level::Ok);
        assert_eq!(level(Access::Owner), Level::Ok);
        for of_folder in [false, true] {
            assert_eq!(level(Access::Others { mode: 0o666, of_folder }), Level::Problem);
        }
        assert_eq!(level(Access::Foreign), Level::Problem);
    }

    #[cfg(unix)]
    #[test]
    fn modes_of_file_and_folder_tell_who_can() {
        use std::os::unix::fs::PermissionsExt as _;
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("trust.yaml");
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        assert_eq!(Access::of(&file), Access::Missing);
        std::fs::write(&file, "version: 1\n").unwrap();
        mode(&file, 0o644);
        assert_eq!(Access::of(&file), Access::Owner);
        mode(&file, 0o664);
        assert_eq!(Access::of(&file), Access::Others { mode: 0o664, of_folder: false });
        mode(&file, 0o600);
        mode(scratch.path(), 0o777);
        assert_eq!(Access::of(&file), Access::Others { mode: 0o777, of_folder: true });
        mode(scratch.path(), 0o1777);
        assert_eq!(Access::of(&file), Access::Owner);
    }

    #[test]
    fn all_that_the_configuration_names_is_to_be_pinned() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join(".privyseal.yaml");
        let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
        let text = format!(
            "version: 1\nclusters: {{prod: {{keys: prod.keys}}}}\nrecipients: {{safe: {{age: {recipient}}}}}\n"
        );
        std::fs::write(&file, text).unwrap();
        let configuration = Configuration::read(&file).unwrap();
        let mut trust = Trust::default();
        let levels = |trust: &Trust| -> Vec<_> {
            judge_pins(&configuration, trust).iter().map(|finding| finding.level).collect()
        };
        assert_eq!(levels(&trust), [Level::Warning, Level::Warning]);
        let fingerprint = recipient.parse::<privyseal_envelope::age::Recipient>().unwrap().fingerprint();
        trust.pin(Subject::Recipient("safe".to_owned()), Evidence::Recipient { fingerprint });
        assert_eq!(levels(&trust), [Level::Warning, Level::Ok]);
    }

    #[test]
    fn keys_are_judged_as_sealing_would() {
        let key = |text: &str, serial| Evidence::Publisher {
            fingerprint: Fingerprint::of(text.as_bytes()),
            serial,
        };
        let subject = Subject::Cluster("prod".to_owned());
        let mut trust = Trust::default();
        let judge = |trust: &Trust, evidence| {
            judge_keys(Check::KeyFile, "prod.keys", trust, &subject, &evidence).map(|finding| finding.level)
        };
        assert_eq!(judge(&trust, key("a", 3)), None);
        trust.pin(subject.clone(), key("a", 3));
        assert_eq!(judge(&trust, key("a", 4)), Some(Level::Ok));
        assert_eq!(judge(&trust, key("a", 2)), Some(Level::Problem));
        assert_eq!(judge(&trust, key("b", 4)), Some(Level::Problem));
    }
}
