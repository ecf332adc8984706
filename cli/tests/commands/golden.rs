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
        let key = release.join("key.yaml");
        for sealed in entries(release) {
            let name = sealed.file_name().unwrap().to_str().unwrap();
            let Some((stem, extension)) = name.split_once(".sealed.") else { continue };
            let expected =
                std::fs::read_to_string(release.join(format!("{stem}.secret.{extension}"))).unwrap();
            let run = scene.run_with([Path::new("unseal"), Path::new("--key"), &key, &sealed]);
            assert_eq!(run.succeeds().stdout, expected, "{}", sealed.display());
            let inspected = scene.run_with([Path::new("inspect"), Path::new("--key"), &key, &sealed]);
            assert!(inspected.succeeds().stdout.contains("(verified)"), "{}", sealed.display());
            opened += 1;
        }
    }
    assert!(opened >= 4, "the corpus is not where it was: {opened} opened");
}
