//! age identities: what opens values of the age format, ours or of SOPS.

use super::code::Code;
use super::file::contains;
use super::finding::{Finding, Text};
use privyseal_envelope::age::Identity;
use privyseal_manifest::Position;

const START: &str = "AGE-SECRET-KEY-";

/// Whether a file may hold one.
pub(super) fn may_hold_one(bytes: &[u8]) -> bool {
    contains(bytes, START.as_bytes())
}

/// Looks for whole identities: their checksum must fit, so none that a page only mentions is told.
pub(super) fn check(text: &Text<'_>, out: &mut Vec<Finding>) {
    for (index, line) in text.as_str().split('\n').enumerate() {
        for (at, _) in line.match_indices(START) {
            let rest = &line[at..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
            if rest[..end].parse::<Identity>().is_err() {
                continue;
            }
            let at = Position { line: index + 1, column: line[..at].chars().count() + 1 };
            let message = "an age identity: whoever has it opens all that is sealed for its recipient";
            out.push(text.at_position(Code::PlainIdentity, None, None, at, message).cure(
                "take it out of Git, and take it for known to others: make a new one, seal for that, and change the values",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_identities_are_found_and_words_about_them_are_not() {
        let [one, two] = [Identity::generate_x25519(), Identity::generate_hybrid().unwrap()];
        let [one, two] = [one.to_text(), two.to_text()];
        let [one, two] = [one.trim_end(), two.trim_end()];
        let cut = &one[..one.len() - 1];
        let text = format!("# created\n{one}\nkey: \"{two}\"\nAGE-SECRET-KEY-1…\n{cut}\n{one}x\n");
        let mut found = Vec::new();
        check(&Text::new("keys.txt", &text), &mut found);
        let lines: Vec<usize> = found.iter().map(|finding| finding.spot.as_ref().unwrap().line).collect();
        assert_eq!(lines, [2, 3]);
        let shown = format!("{found:?}");
        assert!(!shown.contains(START), "{shown}");
    }
}
