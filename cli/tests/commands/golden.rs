//! What earlier releases sealed opens for ever. The folders are enumerated, so that a new one needs no line here.

use crate::harness::Scene;
use std::path::{Path, PathBuf};

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn what_every_release_sealed_opens() {
    let corpus = std::fs::canonicalize("../tests/vectors/golden").unwrap();
    let scene = Scene::new();
    let mut opened = 0;
    for release in entries(&corpus).iter().filter(|path| path.is_dir()) {
        let is_key = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.ends_with("key.yaml") || name.ends_with("identity.txt")
        };
        let keys: Vec<_> = entries(release).into_iter().filter(is_key).collect();
        for sealed in entries(release) {
            let name = sealed.file_name().unwrap().to_str().unwrap();
            let Some((stem, extension)) = name.split_once(".sealed.") else { continue };
            let expected =
                std::fs::read_to_string(release.join(format!("{stem}.secret.{extension}"))).unwrap();
            let with_keys = |verb: &'static str| {
                let keys = keys.iter().flat_map(|key| [Path::new("--key"), key.as_path()]);
                scene.run_with([Path::new(verb)].into_iter().chain(keys).chain([sealed.as_path()]))
            };
            let run = with_keys("unseal");
            assert_eq!(run.succeeds().stdout, expected, "{}", sealed.display());
            let inspected = with_keys("inspect");
            assert!(inspected.succeeds().stdout.contains("(verified)"), "{}", sealed.display());
            opened += 1;
        }
    }
    assert!(opened >= 8, "the corpus is not where it was: {opened} opened");
}
