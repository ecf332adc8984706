//! Flux: kstatus, and expressions in CEL.

use crate::cases::{self, Case, State};
use crate::expected::{Reader, expected};
use crate::readers::{answers, ask};
use privyseal_tests::tools;
use serde_json::{Value, json};

/// The expressions that Flux's documentation has for SealedSecrets, and users therefore have.
pub(crate) fn documented() -> Value {
    json!({
        "failed": "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'False')",
        "current": "status.conditions.filter(e, e.type == 'Synced').all(e, e.status == 'True')",
    })
}

/// Each of these says of each case what the rule says.
pub(crate) fn follow_the_rule(readers: &[Reader]) {
    let cases = cases::all();
    for &reader in readers {
        for (case, answer) in cases.iter().zip(answers(reader, &cases)) {
            let wanted = expected(reader, case);
            assert_eq!(answer.status, wanted.word, "{reader:?}, {}: {answer:?}", case.name);
            assert_eq!(answer.tells(case), wanted.tells, "{reader:?}, {}: {answer:?}", case.name);
        }
    }
}

#[test]
fn flux_sees_every_status_as_it_is_meant() {
    follow_the_rule(&[Reader::Kstatus, Reader::Expressions]);
}

#[test]
fn expressions_only_fail_where_there_is_no_status_at_all() {
    let cases = cases::all();
    for (case, answer) in cases.iter().zip(answers(Reader::Expressions, &cases)) {
        let no_status = case.state == State::New && !case.has_status();
        assert_eq!(answer.error.is_some(), no_status, "{}: {answer:?}", case.name);
    }
}

/// `all` of nothing is true, and `failed` is asked first. So `Synced` has to be there whenever conditions are.
#[test]
fn conditions_without_synced_are_a_failure_to_the_documented_expressions() {
    let mut case = cases::all().into_iter().find(|case| case.reason.is_some()).unwrap();
    let of = |case: &Case| answers(Reader::Expressions, std::slice::from_ref(case)).remove(0).status;
    assert_eq!(of(&case), "Current");
    let conditions = case.object.pointer_mut("/status/conditions").unwrap().as_array_mut().unwrap();
    conditions.retain(|condition| condition["type"] != "Synced");
    assert_eq!(conditions.len(), 1);
    assert_eq!(of(&case), "Failed");
}

#[test]
fn a_program_that_cannot_read_an_expression_says_so() {
    let case = cases::all().remove(0);
    let question = json!({"object": case.object, "expressions": {"current": "status."}});
    let failed = std::panic::catch_unwind(|| ask(&tools::kstatus(), &[question])).unwrap_err();
    let message = failed.downcast::<String>().unwrap();
    assert!(message.contains("failed to parse the expression Current"), "{message}");
}
