//! A test file that is never compiled passes for ever.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use privyseal_tests::tools;

/// Cargo finds `tests/NAME.rs` and `tests/NAME/main.rs`. Whatever else lies there must be named by a `mod` line of
/// the file that stands for its folder.
#[test]
fn every_test_file_is_compiled() {
    let root = tools::repository().join("tests/tests");
    let mut forgotten = BTreeSet::new();
    let mut seen = 0;
    for file in rust_files(&root) {
        seen += 1;
        if !is_compiled(&root, &file) {
            forgotten.insert(file.strip_prefix(&root).unwrap().to_path_buf());
        }
    }
    assert!(seen >= 5, "{seen} files below {}", root.display());
    assert!(forgotten.is_empty(), "no binary has them: {forgotten:?}");
    assert!(!is_compiled(&root, &root.join("harness/not_named.rs")));
    assert!(!is_compiled(&root, &root.join("no_such_family/some.rs")));
}

fn is_compiled(root: &Path, file: &Path) -> bool {
    let folder = file.parent().unwrap();
    if folder == root {
        return true;
    }
    if folder.parent() == Some(root) && file.file_name().is_some_and(|name| name == "main.rs") {
        return true;
    }
    // `harness/x.rs` belongs to `harness.rs` or to `harness/main.rs`.
    let name = file.file_stem().unwrap().to_string_lossy().into_owned();
    let line = format!("mod {name};");
    [folder.with_extension("rs"), folder.join("main.rs")].iter().any(|parent| {
        let text = std::fs::read_to_string(parent).unwrap_or_default();
        text.lines().any(|found| found.trim().trim_start_matches("pub ") == line)
    })
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
