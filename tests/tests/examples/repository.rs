//! The files as they are committed: what lint says, what is sealed for whom, and what must not be in them.

use super::{privyseal, read};
use privyseal_tests::{example, tools};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Whose the keys of the example are. Their private halves were destroyed.
const TRUST: &str = "\
version: 1
clusters:
  production:
    publisher: SHA256:3kWVudxGF9/K0eVFUeawGstxdZAnwwuRqJoxLS7Sx0E
    serial: 1796060206
  staging:
    publisher: SHA256:tQhQIvikIJJ4QR9fuF3TMvR5c6W4At89RzsmSXmP8L4
    serial: 1796060198
recipients:
  break-glass:
    recipient: SHA256:dtai7Cp9GV6dCCokOkQOx2QUPiXrZgxAwJOJ1LEbIag
";

/// Which path is sealed for whom, and which Secret lies there.
const SEALED: [(&str, &str, &[&str]); 5] = [
    (
        "secrets/production/flux-system/mailer-values.yaml",
        "flux-system/mailer-values",
        &["production", "break-glass"],
    ),
    ("secrets/production/shop/db.yaml", "shop/db", &["production", "break-glass"]),
    ("secrets/shared/licence.yaml", "shop/licence", &["break-glass", "production", "staging"]),
    ("secrets/staging/flux-system/mailer-values.yaml", "flux-system/mailer-values", &["staging"]),
    ("secrets/staging/shop/db.yaml", "shop/db", &["staging"]),
];

fn text_files() -> Vec<(PathBuf, String)> {
    let read = |path: PathBuf| (path.clone(), std::fs::read_to_string(path).unwrap());
    example::files(&example::original()).into_iter().map(read).collect()
}

fn lint(folder: &Path, trust: Option<&Path>, arguments: &[&str]) -> (String, String) {
    let output = privyseal(folder, trust).arg("lint").args(arguments).output().unwrap();
    let (found, said) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{found}{said}");
    (found, said)
}

#[test]
fn lint_finds_nothing_not_even_a_note() {
    let folder = tempfile::tempdir().unwrap();
    let trust = folder.path().join("trust.yaml");
    std::fs::write(&trust, TRUST).unwrap();
    let (found, said) = lint(&example::original(), Some(&trust), &["--strict"]);
    assert_eq!(found, "");
    assert!(said.contains(&format!("and {} SealedSecrets", SEALED.len())), "{said}");
    assert!(!said.contains("trust file"), "each key is pinned: {said}");
}

#[test]
fn somebody_who_has_just_copied_it_is_told_that_nothing_vouches_for_its_keys() {
    // Another repository, and a person without a trust file.
    let copy = example::Example::copy(&[]);
    let (found, said) = lint(copy.root(), None, &["--strict"]);
    assert_eq!(found, "");
    for name in ["clusters.production", "clusters.staging", "recipients.break-glass"] {
        assert!(said.contains(name) && said.contains("is not in the trust file"), "{said}");
    }
}

#[test]
fn lint_sees_what_is_put_into_a_copy() {
    let copy = example::Example::copy(&[]);
    copy.replace("secrets/staging/kustomization.yaml", "  - shop\n", "  - shop\n  - plain.yaml\n");
    copy.write(
        "secrets/staging/plain.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n  namespace: shop\nstringData:\n  password: hunter22\n",
    );
    std::fs::copy(
        copy.root().join("secrets/staging/shop/db.yaml"),
        copy.root().join("secrets/production/shop/db.yaml"),
    )
    .unwrap();
    let output = privyseal(copy.root(), None).args(["lint"]).output().unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{found}");
    for (file, code) in
        [("secrets/staging/plain.yaml:", "PS00"), ("secrets/production/shop/db.yaml:", "PS041")]
    {
        assert!(
            found.lines().any(|line| line.starts_with(file) && line.contains(code)),
            "{file} {code}: {found}"
        );
    }
}

#[test]
fn each_value_is_sealed_for_those_whom_the_rule_names_and_bound_to_its_object() {
    let root = example::original();
    let is_sealed = |path: &&PathBuf| {
        path.extension().is_some_and(|extension| extension == "yaml")
            && path.starts_with(root.join("secrets"))
            && read(path).iter().any(|object| object["kind"] == "SealedSecret")
    };
    let files = example::files(&root);
    let sealed: Vec<_> = files.iter().filter(is_sealed).collect();
    let expected: Vec<_> = SEALED.iter().map(|(path, ..)| root.join(path)).collect();
    assert_eq!(sealed, expected.iter().collect::<Vec<_>>());

    let keys = |name: &str| std::fs::read_to_string(root.join(format!("keys/{name}.keys"))).unwrap();
    let config = std::fs::read_to_string(root.join(".privyseal.yaml")).unwrap();
    let whose_ids = [
        ("staging", key_ids(&keys("staging"))),
        ("production", key_ids(&keys("production"))),
        ("break-glass", key_ids(&config)),
    ];
    for (path, object, for_whom) in SEALED {
        let mut inspect = privyseal(&root, None);
        let output = inspect.args(["inspect", "--output", "json", path]).output().unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = &report["objects"][0];
        let name = format!("{}/{}", found["namespace"].as_str().unwrap(), found["name"].as_str().unwrap());
        assert_eq!((name.as_str(), &found["scope"]), (object, &json!("strict")), "{path}");
        for item in found["items"].as_array().unwrap() {
            let claimed = item["claimedKeyIds"].as_array().unwrap();
            let whose = |id: &Value| {
                let has = |(_, ids): &&(&str, BTreeSet<String>)| ids.contains(id.as_str().unwrap());
                whose_ids.iter().find(has).expect("a key of the example").0
            };
            let whose: BTreeSet<_> = claimed.iter().map(whose).collect();
            assert_eq!(whose, for_whom.iter().copied().collect(), "{path}: {item}");
            assert_eq!(claimed.len(), for_whom.len(), "{path}: {item}");
        }
    }
}

/// The ids of the keys whose fingerprints or age recipients are in a text.
fn key_ids(text: &str) -> BTreeSet<String> {
    use base64::Engine as _;
    use sha2::Digest as _;
    let engine = base64::prelude::BASE64_STANDARD_NO_PAD;
    let of_rsa = text.split("SHA256:").skip(1).map(|rest| engine.decode(&rest[..43]).unwrap());
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    let recipients = words.filter(|word| word.starts_with("age1") && word.len() > 60);
    let of_age = recipients.map(|recipient| sha2::Sha256::digest(recipient).to_vec());
    let hex = |digest: Vec<u8>| digest[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    of_rsa.chain(of_age).map(hex).collect()
}

#[test]
fn all_that_is_yaml_can_be_read() {
    let is_yaml =
        |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let is_template = |path: &PathBuf| path.iter().any(|part| part == "templates");
    let files = example::files(&example::original());
    let files: Vec<_> = files.into_iter().filter(|path| is_yaml(path) && !is_template(path)).collect();
    assert!(files.len() > 40);
    for path in files {
        assert!(!read(&path).is_empty(), "{}", path.display());
    }
}

#[test]
fn no_private_half_is_in_it() {
    let files = text_files();
    assert!(files.len() > 50);
    for (path, text) in files {
        for mark in ["PRIVATE KEY", "AGE-SECRET-KEY-", "AGE PLUGIN"] {
            assert!(!text.to_uppercase().contains(mark), "{}: {mark}", path.display());
        }
    }
}

#[test]
fn it_asks_for_the_version_that_it_is_released_with() {
    let version = env!("CARGO_PKG_VERSION");
    let mut seen = 0;
    for (path, text) in text_files() {
        let is_about_us = |line: &&str| {
            ["tag:", "targetRevision: v", "PRIVYSEAL_VERSION:", "privysealVersion:"]
                .iter()
                .any(|key| line.contains(key))
        };
        for line in text.lines().filter(is_about_us) {
            assert!(line.trim_end().ends_with(&format!("v{version}")), "{}: {line}", path.display());
            seen += 1;
        }
    }
    assert_eq!(seen, 5, "the GitRepository, the Application, and three pipelines");
}

/// What has to be replaced is found by the command of the README's first step, and named in its table.
#[test]
fn each_placeholder_is_in_the_table_of_the_readme() {
    let readme = std::fs::read_to_string(example::original().join("README.md")).unwrap();
    let step = readme.split("### 1. Names").nth(1).unwrap().split("### 2.").next().unwrap();
    for (path, text) in text_files() {
        let name = path.strip_prefix(example::original()).unwrap().to_str().unwrap();
        if name == "README.md" {
            continue;
        }
        for word in text.split([' ', '\n', '"', '\'']) {
            let is_placeholder = word.contains("example.com") || word.contains("@example/");
            assert!(
                !is_placeholder || step.contains(&format!("`{word}`")),
                "{name}: {word} is not in the README"
            );
        }
    }
}

/// pre-commit hands over the files that are to be committed, all at once.
#[test]
fn the_hooks_are_those_that_are_shipped_and_find_nothing() {
    let root = example::original();
    let config = &read(&root.join(".pre-commit-config.yaml"))[0];
    let shipped = std::fs::read_to_string(tools::repository().join(".pre-commit-hooks.yaml")).unwrap();
    let shipped: Value = serde_saphyr::from_str(&shipped).unwrap();
    let hooks = config["repos"][0]["hooks"].as_array().unwrap();
    assert_eq!(hooks.len(), shipped.as_array().unwrap().len());
    for (hook, shipped) in hooks.iter().zip(shipped.as_array().unwrap()) {
        for field in ["id", "name", "entry", "language", "types", "types_or", "files", "require_serial"] {
            assert_eq!(hook[field], shipped[field], "{}: {field}", hook["id"]);
        }
        let mut arguments: Vec<_> =
            hook["entry"].as_str().unwrap().split(' ').skip(1).map(str::to_owned).collect();
        let is_manifest = |path: &PathBuf| {
            path.extension()
                .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|wanted| extension == *wanted))
        };
        let files = example::files(&root).into_iter().filter(is_manifest);
        arguments.extend(files.map(|path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned()));
        let output = privyseal(&root, None).args(&arguments).output().unwrap();
        assert!(output.status.success() && output.stdout.is_empty(), "{}: {output:?}", hook["id"]);
    }
}
