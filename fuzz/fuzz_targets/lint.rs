//! The checks of `lint`: any bytes that stand in a repository.
#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use privyseal_manifest::edit;
use privyseal_repo::lint::{Expected, FileInput, Selection, check_file, conclude};

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

fn look(data: &[u8]) -> privyseal_repo::lint::Report {
    let input = FileInput {
        path: "a.yaml",
        within: "a.yaml",
        bytes: data,
        expected: Expected { cluster: None, known: &[] },
        ignored: &[],
        asked_for: true,
    };
    conclude(vec![check_file(&input, Timestamp::UNIX_EPOCH)], Vec::new(), &Selection::default())
}
