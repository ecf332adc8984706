//! The checks of `lint`: any bytes that stand in a repository.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use privyseal_fuzz::age_identities;
use privyseal_manifest::edit;
use privyseal_repo::lint::{
    Expected, FileInput, KnownRecipient, Selection, check_file, conclude, judge_recipient,
};
use privyseal_repo::{Config, RecipientSource, Trust};
use std::sync::LazyLock;

fuzz_target!(|data: &[u8]| {
    let report = look(data);
    // A carriage return ends a line of YAML too.
    let lines = data.split(|byte| matches!(byte, b'\n' | b'\r')).count();
    for finding in &report.findings {
        if let Some(spot) = &finding.spot {
            assert!((1..=lines + 1).contains(&spot.line), "a finding is in the file");
        }
        let Some(fix) = &finding.fix else { continue };
        // A fix may be refused. One that is not mends what it is about, and leaves a file that can be read.
        let Ok(edited) = edit::apply(data, "a.yaml", std::slice::from_ref(&fix.edit)) else { continue };
        let of_code = |report: &privyseal_repo::lint::Report| {
            report.findings.iter().filter(|other| other.code == finding.code).count()
        };
        assert!(
            of_code(&look(edited.as_str().as_bytes())) < of_code(&report),
            "a fix mends what it is about"
        );
    }
});

/// A rule for one of two recipients.
static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    let [safe, other] = [0, 1].map(|index: usize| age_identities()[index].recipient());
    let text = format!(
        "version: 1\nrecipients:\n  safe: {{ age: {safe} }}\n  other: {{ age: {other} }}\n\
         rules:\n  - path: '**'\n    for: [safe]\n"
    );
    Config::parse(&text).expect("a configuration")
});

static RECIPIENTS: LazyLock<Vec<KnownRecipient>> = LazyLock::new(|| {
    let known = CONFIG.recipients().filter_map(|(name, source)| match source {
        RecipientSource::Age(recipient) => judge_recipient(name, recipient, "a", &Trust::default()).recipient,
        RecipientSource::PublicKey(_) => None,
    });
    known.collect()
});

fn look(data: &[u8]) -> privyseal_repo::lint::Report {
    let input = FileInput {
        path: "a.yaml",
        within: "a.yaml",
        bytes: data,
        expected: Expected { rule: CONFIG.rule_for("a.yaml"), known: &[], recipients: &RECIPIENTS },
        ignored: &[],
        asked_for: true,
    };
    conclude(vec![check_file(&input, Timestamp::UNIX_EPOCH)], Vec::new(), &Selection::default())
}
