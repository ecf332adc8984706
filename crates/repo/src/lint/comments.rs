//! Comments that ignore findings: `# privyseal:ignore PS001 why`, on the line or above it.

use super::code::Code;
use super::finding::{Finding, Text};
use privyseal_manifest::Position;

/// A comment that ignores codes on some lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comment {
    codes: Vec<Code>,
    /// Its own line, and the first below it that is no comment.
    lines: [usize; 2],
}

const MARK: &str = "privyseal:ignore";

/// All such comments of a file, and what is wrong with them.
pub(super) fn read(text: &Text<'_>) -> (Vec<Comment>, Vec<Finding>) {
    let (mut comments, mut findings) = (Vec::new(), Vec::new());
    if !text.as_str().contains(MARK) {
        return (comments, findings);
    }
    let lines: Vec<&str> = text.as_str().lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let Some((before, after)) = line.split_once(MARK) else { continue };
        if !before.contains('#') {
            continue;
        }
        let mut codes = Vec::new();
        let words = after.split([' ', '\t', ',', ':']).filter(|word| !word.is_empty());
        for word in words.take_while(|word| looks_like_code(word)) {
            match word.parse() {
                Ok(code) => codes.push(code),
                Err(_) => {
                    let at = Position { line: index + 1, column: before.chars().count() + 1 };
                    let message = format!("there is no code {word}");
                    findings.push(
                        text.at_position(Code::UnknownCode, None, None, at, message)
                            .cure("docs/lint.md lists the codes"),
                    );
                }
            }
        }
        let is_skipped = |line: &str| line.is_empty() || line.starts_with('#') || line.starts_with("---");
        let below = lines.iter().skip(index + 1).position(|line| !is_skipped(line.trim_start()));
        // Behind something, it is about that line only.
        let alone = before.trim_start().starts_with('#');
        let below = below.filter(|_| alone).map_or(index, |more| index + 1 + more);
        comments.push(Comment { codes, lines: [index + 1, below + 1] });
    }
    (comments, findings)
}

fn looks_like_code(word: &str) -> bool {
    word.strip_prefix("PS").is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

impl Comment {
    /// Whether it ignores this code on one of these lines: that of the finding, or that where the document begins.
    pub(super) fn ignores(&self, code: Code, lines: &[usize]) -> bool {
        self.codes.contains(&code) && lines.iter().any(|line| self.lines.contains(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_about_its_line_or_the_next() {
        let text = "\
a: b # privyseal:ignore PS001 test data
# privyseal:ignore PS002, PS003: two
# more words

c: d
# privyseal:ignore PS999
e: privyseal:ignore PS001
# privyseal:ignore
---
f: g
";
        let (comments, findings) = read(&Text::new("x", text));
        let lines: Vec<_> = comments.iter().map(|comment| (comment.codes.clone(), comment.lines)).collect();
        assert_eq!(
            lines,
            [
                (vec![Code::PlainSecret], [1, 1]),
                (vec![Code::PlainBesideSealed, Code::PlainAnnotation], [2, 5]),
                (vec![], [6, 7]),
                (vec![], [8, 10]),
            ]
        );
        let told: Vec<_> = findings.iter().map(|finding| finding.message.as_str()).collect();
        assert_eq!(told, ["there is no code PS999"]);
    }
}
