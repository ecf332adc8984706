//! Links between pages lead somewhere.

use privyseal_tests::{example, tools};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn pages() -> Vec<PathBuf> {
    let root = tools::repository();
    let mut pages = Vec::new();
    for folder in ["docs", "examples", "deploy", "charts", "tests/peers"] {
        pages.extend(example::files(&root.join(folder)));
    }
    let top = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    pages.extend(top.filter(|path| path.is_file()));
    pages.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages
}

/// The page without its blocks of code, in which nothing is a link or a heading.
fn prose(page: &Path) -> String {
    let text = fs::read_to_string(page).unwrap();
    let mut inside = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside;
        } else if !inside {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    assert!(!inside, "{}: a block of code does not end", page.display());
    kept
}

fn links(prose: &str) -> Vec<String> {
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).filter(|target| !target.contains("://")).collect()
}

/// As Git's hosts make anchors: lower case, without marks, and hyphens for blanks; a second one of a name is counted.
fn anchors(prose: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in prose.lines().filter(|line| line.starts_with('#')) {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept =
            heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
        let anchor: String = kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect();
        let numbered = (1..).map(|number| format!("{anchor}-{number}"));
        let free = std::iter::once(anchor.clone()).chain(numbered).find(|name| !found.contains(name));
        found.extend(free);
    }
    found
}

#[test]
fn each_link_of_a_page_leads_to_a_file_and_a_heading_of_it() {
    let (mut seen, mut broken) = (0, Vec::new());
    for page in pages() {
        let text = prose(&page);
        for link in links(&text) {
            seen += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let is_there =
                target.exists() && (anchor.is_empty() || anchors(&prose(&target)).contains(anchor));
            if !is_there {
                broken.push(format!("{}: {link}", page.strip_prefix(tools::repository()).unwrap().display()));
            }
        }
    }
    assert!(seen > 200, "{seen} links");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn anchors_are_made_as_git_hosts_make_them() {
    let page = "# A title\n## What it's, `code` (3)\n## Again\n## Again\n";
    let expected = ["a-title", "what-its-code-3", "again", "again-1"].map(str::to_owned);
    assert_eq!(anchors(page), expected.into());
    assert_eq!(links("[a](b.md#c) and [d](https://example.com)"), ["b.md#c"]);
}
