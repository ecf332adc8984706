//! The readers' own code, asked.

use crate::cases::Case;
use crate::expected::Reader;
use privyseal_tests::tools;
use serde_json::{Value, json};
use std::fs::File;
use std::path::Path;
use std::process::Command;

/// What a reader says of a case.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: String,
    pub(crate) message: String,
    /// Why an expression could not be evaluated.
    pub(crate) error: Option<String>,
}

/// What one reader says of each of these, in their order.
pub(crate) fn answers(reader: Reader, cases: &[Case]) -> Vec<Answer> {
    let ours = match reader {
        Reader::ArgoCdOurs => crate::argo_cd::our_check(),
        _ => String::new(),
    };
    let questions: Vec<Value> = cases
        .iter()
        .map(|case| match reader {
            Reader::Kstatus => json!({"object": case.object}),
            Reader::Expressions => json!({"object": case.object, "expressions": crate::flux::documented()}),
            Reader::ArgoCd => json!({"ask": "health", "check": "built-in", "object": case.object}),
            Reader::ArgoCdBefore => {
                json!({"ask": "health", "check": "built-in-before", "object": case.object})
            }
            Reader::ArgoCdOurs => json!({"ask": "health", "lua": ours, "object": case.object}),
        })
        .collect();
    let program = match reader {
        Reader::Kstatus | Reader::Expressions => tools::kstatus(),
        Reader::ArgoCd | Reader::ArgoCdBefore | Reader::ArgoCdOurs => tools::argo_health(),
    };
    let answers = ask(&program, &questions);
    cases.iter().zip(answers).map(|(case, answer)| Answer::of(case, &answer)).collect()
}

impl Answer {
    fn of(case: &Case, answer: &Value) -> Self {
        let text = |field: &str| {
            let found = answer[field].as_str();
            found.unwrap_or_else(|| panic!("{}: {answer}", case.name)).to_owned()
        };
        Self {
            status: text("status"),
            message: text("message"),
            error: answer["error"].as_str().map(str::to_owned),
        }
    }

    /// Whether it is what the controller says.
    pub(crate) fn tells(&self, case: &Case) -> bool {
        case.message() == Some(self.message.as_str())
    }
}

/// What a program that answers in JSON lines says to these questions.
pub(crate) fn ask(program: &Path, questions: &[Value]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    // From a file: a pipe would have to be fed and emptied at once.
    let input = folder.path().join("questions");
    let lines: Vec<String> = questions.iter().map(Value::to_string).collect();
    std::fs::write(&input, lines.join("\n")).unwrap();
    let output = Command::new(program).env_clear().stdin(File::open(&input).unwrap()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {}\n{errors}", program.display(), output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), questions.len());
    answers
}
