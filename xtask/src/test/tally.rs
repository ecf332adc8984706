//! Counting test results from what the runners print.

use std::fmt;

/// How many tests there were.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    /// Takes a line of a runner's output into account: cargo's summary of one test program, or one test of Go.
    pub(super) fn add_line(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            // "ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s"
            let Some((_, counts)) = counts.split_once(". ") else { return };
            for count in counts.split("; ") {
                let Some((number, what)) = count.split_once(' ') else { continue };
                let Ok(number) = number.parse::<u64>() else { continue };
                match what {
                    "passed" => self.passed += number,
                    "failed" => self.failed += number,
                    "ignored" => self.skipped += number,
                    _ => {}
                }
            }
        } else if line.starts_with("--- PASS: ") {
            // Subtests are indented, and part of their test.
            self.passed += 1;
        } else if line.starts_with("--- FAIL: ") {
            self.failed += 1;
        } else if line.starts_with("--- SKIP: ") {
            self.skipped += 1;
        }
    }

    /// What came since then.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            passed: self.passed - before.passed,
            failed: self.failed - before.failed,
            skipped: self.skipped - before.skipped,
        }
    }

    /// True if no test was run: then a green stage says nothing.
    pub(super) fn ran_nothing(self) -> bool {
        self.passed + self.failed == 0
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.add_line(line));
        tally
    }

    #[test]
    fn cargo_is_counted_over_all_programs() {
        let output = "running 2 tests\n\
            test a ... ok\n\
            test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
            test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 7 filtered out; finished in 1.20s\n";
        assert_eq!(tally(output).to_string(), "5 passed, 1 failed, 2 skipped");
    }

    #[test]
    fn go_is_counted_without_subtests() {
        let output = "=== RUN   TestControlPlane\n\
            --- PASS: TestControlPlane (21.30s)\n    --- PASS: TestControlPlane/gc (1.00s)\n\
            --- FAIL: TestFailures (0.10s)\nFAIL\n";
        assert_eq!(tally(output).to_string(), "1 passed, 1 failed");
    }

    #[test]
    fn what_a_test_prints_is_not_counted() {
        assert_eq!(
            tally("the test result: ok. 9 passed; 0 failed\ntest result: garbage\n"),
            Tally::default()
        );
    }

    #[test]
    fn only_ignored_tests_are_none() {
        assert!(
            tally("test result: ok. 0 passed; 0 failed; 4 ignored; 0 measured; 0 filtered out").ran_nothing()
        );
    }
}
