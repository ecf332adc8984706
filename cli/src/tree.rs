//! The files below the paths of a command line, as Git sees them.
//!
//! A file that is named is taken as it is. A folder is walked: what `.gitignore` ignores is left out, in a repository
//! or not, unless Git tracks it all the same: a pattern that somebody adds hides nothing that is committed. So is `.git`;
//! hidden files and folders are not, since Flux and GitHub keep manifests there. A link is
//! never followed: where it leads is either in the tree as well, or out of it and not ours to read or write.

use crate::config_file::{folder_of, is_in_repository};
use crate::error::{CommandError, Shown};
use crate::git::tracked_but_ignored;
use crate::input::{Source, cannot_read};
use ignore::WalkBuilder;
use privyseal_manifest::Limit;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// One file of a tree.
pub(crate) struct TreeFile {
    /// Its path, as the command line leads to it.
    pub(crate) path: PathBuf,
    /// Whether the command line names the file itself.
    pub(crate) named: bool,
}

/// All files below the paths, each once and in the order of their names, and what cannot be read on the way.
pub(crate) fn walk(paths: &[PathBuf]) -> (Vec<TreeFile>, Vec<CommandError>) {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => walk_folder(path, &mut files, &mut errors),
            // A link that somebody names may lead to a folder all the same.
            Ok(metadata) if metadata.is_symlink() && path.is_dir() => {
                walk_folder(&path.join(""), &mut files, &mut errors);
            }
            Ok(_) => files.push(TreeFile { path: path.clone(), named: true }),
            Err(error) => errors.push(cannot_read(&path.to_string_lossy(), &error)),
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path).then(b.named.cmp(&a.named)));
    files.dedup_by(|a, b| a.path == b.path);
    (files, errors)
}

fn walk_folder(folder: &Path, files: &mut Vec<TreeFile>, errors: &mut Vec<CommandError>) {
    // What lies above a folder that is in no repository may be anybody's, such as a home with a pattern for everything.
    let in_repository = folder_of(&folder.join(".")).is_some_and(|folder| is_in_repository(&folder));
    if in_repository {
        let tracked = tracked_but_ignored(folder).into_iter();
        let tracked = tracked.filter(|path| path.symlink_metadata().is_ok_and(|metadata| metadata.is_file()));
        files.extend(tracked.map(|path| TreeFile { path, named: false }));
    }
    let mut builder = WalkBuilder::new(folder);
    builder
        .hidden(false)
        .parents(in_repository)
        .require_git(false)
        .git_global(false)
        .git_exclude(false)
        .ignore(false)
        .follow_links(false)
        .filter_entry(|entry| entry.file_name() != ".git");
    for entry in builder.build() {
        match entry {
            Ok(entry) if entry.file_type().is_some_and(|kind| kind.is_file()) => {
                files.push(TreeFile { path: entry.into_path(), named: false });
            }
            Ok(_) => {}
            Err(error) => errors.push(CommandError::input(Shown(&error.to_string()).to_string())),
        }
    }
}

impl TreeFile {
    /// Whether it may hold manifests: by its name, unless it was named itself.
    pub(crate) fn may_hold_manifests(&self) -> bool {
        let extension = self.path.extension().and_then(|extension| extension.to_str());
        self.named
            || extension
                .is_some_and(|it| ["yaml", "yml", "json"].iter().any(|known| it.eq_ignore_ascii_case(known)))
    }

    /// Everything that it holds.
    pub(crate) fn read(&self) -> Result<Zeroizing<Vec<u8>>, CommandError> {
        Source::File(self.path.clone()).read_at_most(Limit::INPUT_BYTES)
    }

    /// For messages.
    pub(crate) fn name(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn names(root: &Path, paths: &[&str]) -> Vec<String> {
        let paths: Vec<_> = paths.iter().map(|path| root.join(path)).collect();
        let (files, errors) = walk(&paths);
        assert!(errors.is_empty());
        files
            .iter()
            .map(|file| file.path.strip_prefix(root).unwrap().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_tree_is_what_git_would_commit() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        for (path, text) in [
            (".gitignore", "*.out.yaml\n/build/\n"),
            ("b.yaml", ""),
            ("a/c.yaml", ""),
            ("a/x.out.yaml", ""),
            ("build/d.yaml", ""),
            ("a/build/e.yaml", ""),
            (".flux/f.yaml", ""),
            (".git/g.yaml", ""),
        ] {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        }
        let all = [".flux/f.yaml", ".gitignore", "a/build/e.yaml", "a/c.yaml", "b.yaml"];
        assert_eq!(
            names(root, &["."]).iter().map(|name| name.trim_start_matches("./")).collect::<Vec<_>>(),
            all
        );
        // Each once, and what is named is taken whatever Git says.
        assert_eq!(
            names(root, &["a", "a/c.yaml", "a/x.out.yaml"]),
            ["a/build/e.yaml", "a/c.yaml", "a/x.out.yaml"]
        );
    }

    #[test]
    fn a_pattern_hides_nothing_that_is_committed() {
        let scratch = tempfile::tempdir().unwrap();
        let (home, root) = (scratch.path(), scratch.path().join("repository"));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(home.join(".gitignore"), "*\n").unwrap();
        fs::write(root.join("a/b/c.yaml"), "").unwrap();
        // In no repository what lies above says nothing.
        assert_eq!(names(&root, &["a"]), ["a/b/c.yaml"]);
        let git =
            |args: &[&str]| assert!(crate::git::git(&root).args(args).output().unwrap().status.success());
        git(&["init", "-q"]);
        git(&["add", "a"]);
        fs::write(root.join("a/.gitignore"), "*\n").unwrap();
        fs::write(root.join("a/d.yaml"), "").unwrap();
        assert_eq!(names(&root, &["a"]), ["a/b/c.yaml"]);
        assert_eq!(names(&root, &["a/b"]), ["a/b/c.yaml"]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let (inside, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("a.yaml"), "").unwrap();
        std::os::unix::fs::symlink(outside.path(), inside.path().join("folder")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("a.yaml"), inside.path().join("file.yaml")).unwrap();
        assert_eq!(names(inside.path(), &["."]), [""; 0]);
    }

    #[test]
    fn what_is_not_there_is_told() {
        let (files, errors) = walk(&[PathBuf::from("/nowhere/at/all")]);
        assert_eq!((files.len(), errors.len()), (0, 1));
    }
}
