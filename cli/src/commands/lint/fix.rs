//! `--fix`: what can be changed without anybody noticing but those who asked for it.

use super::counted;
use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::output::{Content, Staged};
use crate::speech;
use privyseal_manifest::edit::{self, Edit, Edited};
use privyseal_repo::lint::{Finding, Fix};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Applies all fixes, or says what they would be. All files are written before the first takes its place. Whether any
/// file is another now.
pub(super) fn run(findings: &[Finding], dry_run: bool) -> Result<bool, CommandError> {
    let mut by_path: BTreeMap<&str, Vec<(&Finding, &Fix)>> = BTreeMap::new();
    for finding in findings {
        if let Some(fix) = &finding.fix {
            by_path.entry(&finding.path).or_default().push((finding, fix));
        }
    }
    let (mut staged, mut fixed) = (Vec::new(), 0);
    for (path, fixes) in &by_path {
        let bytes = Source::File(PathBuf::from(path)).read()?;
        let (text, done) = apply(path, &bytes, fixes);
        let verb = if dry_run { "would be fixed" } else { "fixed" };
        for (finding, fix) in &done {
            let line = finding.spot.as_ref().map_or(1, |spot| spot.line);
            speech::note(format_args!(
                "{}:{line}: {verb}: {} {}",
                Shown(path),
                finding.code,
                Shown(&fix.what)
            ));
        }
        fixed += done.len();
        if let Some(text) = text.filter(|_| !dry_run) {
            staged.push(Staged::new(&PathBuf::from(path), text.as_str().as_bytes(), Content::Public)?);
        }
    }
    if fixed == 0 {
        speech::note("there is nothing to fix");
    } else {
        let verb = if dry_run { "would be fixed" } else { "fixed" };
        speech::note(format_args!("{verb}: {}", counted(fixed, "finding", "findings")));
    }
    let changed = !staged.is_empty();
    staged.into_iter().try_for_each(Staged::commit)?;
    Ok(changed)
}

/// The text with the fixes that can be made in it, and which ones those are. Each is tried alone if not all can be made.
fn apply<'f>(
    path: &str,
    bytes: &[u8],
    fixes: &[(&'f Finding, &'f Fix)],
) -> (Option<Edited>, Vec<(&'f Finding, &'f Fix)>) {
    let edits: Vec<Edit> = fixes.iter().map(|(_, fix)| fix.edit.clone()).collect();
    if let Ok(edited) = edit::apply(bytes, path, &edits) {
        return (Some(edited), fixes.to_vec());
    }
    let (mut text, mut done): (Option<Edited>, Vec<_>) = (None, Vec::new());
    for &(finding, fix) in fixes {
        let before = text.as_ref().map_or(bytes, |text| text.as_str().as_bytes());
        match edit::apply(before, path, std::slice::from_ref(&fix.edit)) {
            Ok(edited) => {
                text = Some(edited);
                done.push((finding, fix));
            }
            Err(error) => {
                speech::warning(format_args!("{} is not fixed: {}", finding.code, Shown(&error.to_string())));
            }
        }
    }
    (text, done)
}
