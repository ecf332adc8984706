//! The table of docs/gitops.md, from the readers' answers.
//!
//! After a change that is meant, `PRIVYSEAL_STATUS=overwrite` writes it anew; read the difference.

use crate::cases::{self, Case, Class, State};
use crate::expected::{Reader, is_met};
use crate::kubectl;
use crate::readers::answers;
use privyseal_tests::tools;

const BEGIN: &str = "<!-- begin: states, generated -->\n";
const LINE: usize = 126;
const END: &str = "<!-- end: states -->";

const LEGEND: [&str; 5] = [
    "- *+ message*: it shows what the controller says.",
    "- *Flux*: what it takes the object for. With Failed the Kustomization is not ready at once; with InProgress, once its \
     timeout has passed. Its condition names the object and this word, and never a message.",
    "- *Flux, expressions*: `healthCheckExprs` as Flux documents them for SealedSecrets. *Unknown*: they fail without a \
     status, and Flux waits until its timeout.",
    "- *Argo CD*: its own check since v3.3.19, v3.4.13, v3.5.7 and v3.6.0. *Argo CD before*: the one of older versions, which \
     does not look at `observedGeneration`. *Our check* is in [deploy/argocd](../deploy/argocd/README.md).",
    "- *`kubectl wait`* with `--for=condition=Ready` or `--for=condition=Synced`. *waits*: until its timeout, then it fails. \
     `--for=condition=Stalled` is met by what is stalled. `--for=jsonpath` knows nothing of generations: it is met by the \
     verdict of before too.",
];

/// One state that can be told from others, and all cases of it.
struct Row {
    label: String,
    cases: Vec<Case>,
}

fn rows() -> Vec<Row> {
    use Class::{Done, Retried, Stalled};
    let all = cases::all();
    let row = |label: String, belongs: &dyn Fn(&Case) -> bool| {
        let cases: Vec<Case> = all.iter().filter(|case| belongs(case)).cloned().collect();
        assert!(!cases.is_empty(), "{label}");
        Row { label, cases }
    };
    let mut rows = vec![
        row("new, under the CRD of sealed-secrets".into(), &|case| {
            case.state == State::New && !case.has_status()
        }),
        row("new".into(), &|case| case.state == State::New && case.has_status()),
    ];
    let classes = [(Done, "done"), (Stalled, "stalled"), (Retried, "retried")];
    for (class, word) in classes {
        rows.push(row(word.into(), &|case| case.state == State::Status(class)));
    }
    for (class, word) in classes {
        let label = format!("changed and not yet looked at, was {word}");
        rows.push(row(label, &|case| case.state == State::Changed(class)));
    }
    rows.push(row("being deleted".into(), &|case| matches!(case.state, State::Deleted(_))));
    assert_eq!(rows.iter().map(|row| row.cases.len()).sum::<usize>(), all.len(), "a case is in no row");
    rows
}

#[tokio::test]
async fn the_page_shows_what_the_readers_say() {
    let rows = rows();
    let representatives: Vec<Case> = rows.iter().map(|row| row.cases[0].clone()).collect();
    let waited = kubectl::wait(&representatives).await;
    let mut lines = vec![
        "| state of the object | Flux, `wait: true` | Flux, expressions | Argo CD | Argo CD before | Argo CD, our check | \
         `kubectl wait` |"
            .to_owned(),
        "|---|---|---|---|---|---|---|".to_owned(),
    ];
    for (row, waited) in rows.iter().zip(&waited) {
        let case = &row.cases[0];
        for ((what, _), waited) in kubectl::WAITS.iter().zip(waited) {
            assert_eq!(waited.met, is_met(case, what), "{}, {what}: {waited:?}", row.label);
            let said = if waited.met { "condition met" } else { "timed out waiting for the condition" };
            assert!(waited.said.contains(said), "{}, {what}: {waited:?}", row.label);
        }
        let mut cells = vec![row.label.clone()];
        cells.extend(Reader::ALL.map(|reader| cell(reader, row)));
        cells.push(if waited[0].met { "met" } else { "waits" }.to_owned());
        lines.push(format!("| {} |", cells.join(" | ")));
    }
    lines.push(String::new());
    lines.extend(LEGEND.map(wrapped));
    for (class, word) in [(Class::Done, "done"), (Class::Stalled, "stalled"), (Class::Retried, "retried")] {
        let reasons: Vec<String> = cases::reasons(class).iter().map(|reason| format!("`{reason}`")).collect();
        lines.push(wrapped(&format!("- *{word}*: {}.", reasons.join(", "))));
    }
    compare(&format!("{}\n", lines.join("\n")));
}

/// What a reader says of a state: the same of each case, or it is no state.
fn cell(reader: Reader, row: &Row) -> String {
    let mut cells: Vec<String> = row
        .cases
        .iter()
        .zip(answers(reader, &row.cases))
        .map(|(case, answer)| {
            // Flux has it from kstatus and keeps it to itself: tests/tests/flux/verdicts.rs.
            let shows = answer.tells(case) && reader != Reader::Kstatus;
            let message = if shows { " + message" } else { "" };
            format!("{}{message}", answer.status)
        })
        .collect();
    cells.dedup();
    assert_eq!(cells.len(), 1, "{reader:?}, {}: {cells:?}", row.label);
    cells.remove(0)
}

/// An item of a list, in lines as long as those of the page.
fn wrapped(item: &str) -> String {
    let mut lines = vec![String::new()];
    for word in item.split(' ') {
        let line = lines.last_mut().unwrap();
        if line.chars().count() + 1 + word.chars().count() > LINE {
            lines.push(format!("  {word}"));
        } else {
            let gap = if line.is_empty() { "" } else { " " };
            line.push_str(&format!("{gap}{word}"));
        }
    }
    lines.join("\n")
}

fn compare(table: &str) {
    let path = tools::repository().join("docs/gitops.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) =
        page.split_once(BEGIN).unwrap_or_else(|| panic!("{} has no {BEGIN}", path.display()));
    let (found, after) = rest.split_once(END).unwrap_or_else(|| panic!("{} has no {END}", path.display()));
    if std::env::var("PRIVYSEAL_STATUS").is_ok_and(|wanted| wanted == "overwrite") {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(found, table, "{} is not what the readers say", path.display());
}
