//! The table of stages.

use std::time::Duration;

/// How a stage ended, if it began.
pub(super) enum Outcome {
    /// With what is worth saying beside it.
    Passed(String),
    Failed(String),
    Quick,
    NotNamed,
    NotReached,
}

/// One stage.
pub(super) struct Row {
    pub(super) stage: &'static str,
    pub(super) took: Duration,
    pub(super) outcome: Outcome,
}

impl Row {
    pub(super) fn failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }

    fn ran(&self) -> bool {
        matches!(self.outcome, Outcome::Passed(_) | Outcome::Failed(_))
    }

    fn result(&self) -> String {
        match &self.outcome {
            Outcome::Passed(note) if note.is_empty() => "ok".to_owned(),
            Outcome::Passed(note) => format!("ok: {note}"),
            Outcome::Failed(reason) => format!("FAILED: {}", reason.lines().next().unwrap_or_default()),
            Outcome::Quick => "left out by --quick".to_owned(),
            Outcome::NotNamed => "not asked for".to_owned(),
            Outcome::NotReached => "not reached".to_owned(),
        }
    }
}

/// All rows, and the sum of their times.
pub(super) fn render(rows: &[Row]) -> String {
    let mut lines = vec![line("stage", "seconds", "result")];
    for row in rows {
        let seconds = if row.ran() { seconds(row.took) } else { "-".to_owned() };
        lines.push(line(row.stage, &seconds, &row.result()));
    }
    lines.push(line("total", &seconds(rows.iter().map(|row| row.took).sum()), ""));
    lines.join("\n")
}

fn line(stage: &str, seconds: &str, result: &str) -> String {
    format!("{stage:<14} {seconds:>8}  {result}").trim_end().to_owned()
}

fn seconds(took: Duration) -> String {
    format!("{:.1}", took.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_a_row() {
        let row = |stage, millis, outcome| Row { stage, took: Duration::from_millis(millis), outcome };
        let rows = [
            row("fmt", 1240, Outcome::Passed(String::new())),
            row("unit", 61_000, Outcome::Passed("12 passed, 0 failed".to_owned())),
            row("doc", 300, Outcome::Failed("`cargo doc` failed\nand more".to_owned())),
            row("go-tools", 0, Outcome::Quick),
            row("e2e", 0, Outcome::NotReached),
        ];
        let expected = "\
stage           seconds  result
fmt                 1.2  ok
unit               61.0  ok: 12 passed, 0 failed
doc                 0.3  FAILED: `cargo doc` failed
go-tools              -  left out by --quick
e2e                   -  not reached
total              62.5";
        assert_eq!(render(&rows), expected);
    }
}
