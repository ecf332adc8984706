//! What packagers and installers take: the chart, what sets up Azure for it, the manifest of the kubectl plugin.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod azure;
mod chart;
mod helm;

use privyseal_tests::{objects, tools};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn manifest() -> Value {
    let text = std::fs::read_to_string(tools::repository().join("deploy/krew/privyseal.yaml")).unwrap();
    let mut documents = objects::documents(&text);
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

#[test]
fn the_krew_manifest_names_the_archive_of_each_platform_and_the_program_in_it() {
    let manifest = manifest();
    assert_eq!(manifest["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!(manifest["kind"], "Plugin");
    // krew links `kubectl-NAME`, and the file must be called as the plugin is.
    assert_eq!(manifest["metadata"]["name"], "privyseal");
    assert_eq!(manifest["spec"]["version"], "v${VERSION}");
    assert!(manifest["spec"]["shortDescription"].as_str().unwrap().len() <= 60);
    let mut seen = BTreeSet::new();
    for platform in manifest["spec"]["platforms"].as_array().unwrap() {
        let labels = &platform["selector"]["matchLabels"];
        let (os, arch) = (labels["os"].as_str().unwrap(), labels["arch"].as_str().unwrap());
        assert_eq!(platform["uri"], format!("${{BASE_URL}}/privyseal-${{VERSION}}-{os}-{arch}.tar.gz"));
        let digest = format!("${{SHA256_{}_{}}}", os.to_uppercase(), arch.to_uppercase());
        assert_eq!(platform["sha256"], digest);
        assert_eq!(platform["bin"], "privyseal");
        let files = json!([{"from": "privyseal", "to": "."}, {"from": "LICENSE", "to": "."}]);
        assert_eq!(platform["files"], files);
        assert!(seen.insert((os.to_owned(), arch.to_owned())));
    }
    let wanted = [("darwin", "amd64"), ("darwin", "arm64"), ("linux", "amd64"), ("linux", "arm64")];
    assert_eq!(seen, wanted.map(|(os, arch)| (os.to_owned(), arch.to_owned())).into());
    assert!(tools::repository().join("LICENSE").is_file());
    assert!(tools::privyseal().is_file());
}
