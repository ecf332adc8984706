//! The configuration of the repository: that there is one, that it holds, and that Git keeps it.

use super::finding::{Check, Finding};
use crate::config_file::{Configuration, repository_root};
use crate::error::{CommandError, Shown};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use privyseal_repo::KeySource;
use std::path::{Path, PathBuf};

/// Whether there is a configuration that holds.
pub(super) fn judge(found: &Result<Option<Configuration>, CommandError>) -> Finding {
    match found {
        Ok(Some(configuration)) => {
            let clusters: Vec<_> =
                configuration.config.clusters().map(|(name, _)| name.to_string()).collect();
            let what = match clusters.as_slice() {
                [] => "no cluster".to_owned(),
                names => format!("clusters {}", names.join(", ")),
            };
            Finding::ok(Check::Configuration, format!("{}: {what}", shown(&configuration.file)))
        }
        Ok(None) => Finding::warning(
            Check::Configuration,
            "there is no .privyseal.yaml: every command has to be told the key or the cluster",
            "write one with `privyseal init --context CONTEXT`",
        ),
        Err(error) => Finding::of_error(Check::Configuration, error),
    }
}

/// Whether Git keeps the configuration and its key files: one that it ignores is there for nobody else.
pub(super) fn git_ignores(configuration: &Configuration) -> Finding {
    let Ok(root) = repository_root(&configuration.folder) else {
        return Finding::ok(Check::GitIgnore, "the folder of the configuration is in no repository");
    };
    if root.join(".git").symlink_metadata().is_err() {
        return Finding::ok(Check::GitIgnore, "the configuration is in no repository");
    }
    let folder =
        std::fs::canonicalize(&configuration.folder).unwrap_or_else(|_| configuration.folder.clone());
    let files = std::iter::once(configuration.file.file_name().map(PathBuf::from))
        .chain(key_files(configuration).map(Some))
        .flatten();
    let ignored: Vec<_> = files.filter(|file| is_ignored(&root, &folder.join(file))).collect();
    match ignored.as_slice() {
        [] => Finding::ok(Check::GitIgnore, "Git keeps the configuration and its key files"),
        files => {
            let names: Vec<_> = files.iter().map(|file| shown(file)).collect();
            Finding::problem(
                Check::GitIgnore,
                format!("Git ignores {}: whoever clones the repository does not get it", names.join(", ")),
                "take it out of .gitignore, or add it with a `!` in front; then commit it",
            )
        }
    }
}

/// Relative to the folder of the configuration.
fn key_files(configuration: &Configuration) -> impl Iterator<Item = PathBuf> {
    let sources = configuration.config.clusters().filter_map(|(_, cluster)| cluster.keys.as_ref());
    sources.map(|(KeySource::Published(path) | KeySource::Certificate(path))| PathBuf::from(path))
}

/// As Git decides: a folder that it ignores hides all that is in it, and nothing in there can take that back. What the
/// user alone ignores counts as well, since it is the user who would commit it.
fn is_ignored(root: &Path, file: &Path) -> bool {
    let mut exclude = GitignoreBuilder::new(root);
    // One that is not there excludes nothing.
    let _ = exclude.add(root.join(".git/info/exclude"));
    let exclude = exclude.build().unwrap_or_else(|_| Gitignore::empty());
    let mut within = file.ancestors().take_while(|path| path.starts_with(root) && *path != root);
    within.any(|path| {
        // The nearest file that says something of it decides.
        let folders = path.ancestors().skip(1).take_while(|folder| folder.starts_with(root));
        let rules = folders.map(|folder| Gitignore::new(folder.join(".gitignore")).0);
        let mut said = rules.chain([exclude.clone()]).filter_map(|rules| {
            let said = rules.matched(path, path != file);
            (!said.is_none()).then(|| said.is_ignore())
        });
        said.next().unwrap_or(false)
    })
}

fn shown(path: &Path) -> String {
    Shown(&path.to_string_lossy()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;
    use std::fs;

    const CONFIG: &str = "version: 1\nclusters: {prod: {keys: .privyseal/prod.keys}}\n";

    fn level(ignores: &[(&str, &str)]) -> Level {
        let scratch = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(scratch.path()).unwrap();
        fs::create_dir_all(root.join(".git/info")).unwrap();
        fs::create_dir_all(root.join("deploy")).unwrap();
        fs::write(root.join("deploy/.privyseal.yaml"), CONFIG).unwrap();
        for (file, text) in ignores {
            fs::write(root.join(file), text).unwrap();
        }
        git_ignores(&Configuration::read(&root.join("deploy/.privyseal.yaml")).unwrap()).level
    }

    #[test]
    fn a_key_file_that_git_ignores_is_a_problem() {
        assert_eq!(level(&[]), Level::Ok);
        assert_eq!(level(&[(".gitignore", "*.pem\n/privyseal/\n")]), Level::Ok);
        for ignores in [
            (".gitignore", "*.keys\n"),
            (".gitignore", ".privyseal/\n"),
            (".gitignore", ".*\n"),
            ("deploy/.gitignore", "prod.keys\n"),
            (".git/info/exclude", "*.keys\n"),
        ] {
            assert_eq!(level(&[ignores]), Level::Problem, "{ignores:?}");
        }
        // A folder that is ignored hides what a file in it would take back.
        assert_eq!(
            level(&[(".gitignore", "/deploy/\n"), ("deploy/.gitignore", "!*.keys\n")]),
            Level::Problem
        );
        // The nearest file decides.
        assert_eq!(level(&[(".gitignore", "*.keys\n"), ("deploy/.gitignore", "!*.keys\n")]), Level::Ok);
    }

    #[test]
    fn none_is_a_warning_and_a_broken_one_a_problem() {
        assert_eq!(judge(&Ok(None)).level, Level::Warning);
        let broken = Err(CommandError::input("x.yaml:1:2: bad").hint("mend it"));
        let finding = judge(&broken);
        assert_eq!((finding.level, finding.what.as_str()), (Level::Problem, "x.yaml:1:2: bad"));
        assert_eq!(finding.cure.as_deref(), Some("mend it"));
    }
}
