//! Two repositories: `tests/lint/tree`, in which there is nothing to find, and `tests/lint/bad`, in which every code is.
//!
//! What is sealed in them was made once; `PRIVYSEAL_LINT=make` makes it anew. What lint says of the bad one stands in
//! `tests/lint/bad.expected`; after a change that is meant, run with `PRIVYSEAL_LINT=overwrite` and read the difference.

mod fixtures;

use crate::harness::{CANARY, Scene, has, leaks};
use privyseal_repo::lint::Code;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const FORMATS: [(&str, &str); 6] = [
    ("text", "text.txt"),
    ("json", "report.json"),
    ("sarif", "report.sarif"),
    ("github", "github.txt"),
    ("azure-devops", "azure-devops.txt"),
    ("gitlab", "gitlab.json"),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// A repository of the fixtures, with the trust file that belongs to both.
fn repository(name: &str) -> Scene {
    let scene = Scene::new();
    copy(&fixtures().join(name), &scene.path(""));
    fs::create_dir(scene.path(".git")).unwrap();
    fs::create_dir_all(scene.home().join(".config/privyseal")).unwrap();
    fs::copy(fixtures().join("trust.yaml"), scene.home().join(".config/privyseal/trust.yaml")).unwrap();
    scene
}

/// The bad one, with what is too large to be kept: values of zeros, which no key made.
fn bad_and_large() -> Scene {
    let scene = repository("bad");
    for (name, bytes) in
        [("apply-near", 165_000), ("apply", 210_000), ("near", 1_045_000), ("over", 1_100_000)]
    {
        large(&scene, name, &[bytes]);
    }
    // Many small values: within what a Secret takes, and beyond what etcd does.
    large(&scene, "etcd", &[1000; 1040]);
    let mut huge = format!("kind: Secret\n# {}\n", "x".repeat(10 << 20));
    huge.push_str(&format!("stringData: {{password: {CANARY}}}\n"));
    scene.file("large/huge.yaml", huge);
    scene
}

fn large(scene: &Scene, name: &str, plain: &[usize]) {
    let mut text = format!(
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata:\n  name: {name}\n  namespace: shop\nspec:\n  encryptedData:\n"
    );
    for (index, plain) in plain.iter().enumerate() {
        // 0x0100 bytes of RSA, then the value and its tag: groups of three zeros are `AAAA`.
        let bytes = 2 + 256 + plain + 16;
        let groups = bytes.div_ceil(3) - 1;
        text.push_str(&format!("    item-{index}: AQAA{}\n", "AAAA".repeat(groups)));
    }
    scene.file(&format!("large/{name}.yaml"), text);
}

#[test]
fn a_repository_without_a_fault_gets_no_finding() {
    let scene = repository("tree");
    // Not in Git, and so not in the way.
    scene.file("apps/argo/db.plain.yaml", crate::harness::secret(Some("shop"), Some("anchors")));
    let done = scene.run("lint --strict").succeeds();
    assert_eq!(done.stdout, "", "{}", done.stderr);
    has(&done.stderr, &["nothing found in ", " and 21 SealedSecrets", "2 templates are not checked"]);
    assert!(!done.stderr.contains("trust file"), "{}", done.stderr);
    // The same from within, for a part of it, and file by file as pre-commit does.
    let shell = "cd apps/shop && $PRIVYSEAL lint --strict && cd ../.. && \
                 find . -name '*.y*ml' -not -path './.git/*' -not -name '*.plain.yaml' -print0 \
                 | xargs -0 -n 200 $PRIVYSEAL lint --strict";
    assert_eq!(scene.shell(shell).succeeds().stdout, "");
}

#[test]
fn the_good_tree_is_worth_something() {
    // Each of these would be found if its reason to be silent went away.
    for (file, from, to, code) in [
        (
            "argocd/repositories.yaml",
            "labels: {argocd.argoproj.io/secret-type: repository}",
            "labels: {}",
            "PS001",
        ),
        ("argocd/repositories.yaml", "<password>", "hunter2", "PS001"),
        ("argocd/repositories.yaml", "${DB_PASSWORD}", "hunter2", "PS001"),
        ("sops/secret.yaml", "sops:\n", "other:\n", "PS001"),
        ("clusters/prod/tenants.yaml", "targetNamespace: tenant-one", "force: false", "PS024"),
        ("clusters/prod/tenants.yaml", "path: ./tenants/one", "path: ./apps/shop/overlays/prod", "PS030"),
        ("clusters/prod/remote.yaml", "kind: OCIRepository, name: shop", "name: flux-system", "PS039"),
        ("clusters/prod/remote.yaml", "name: dashboards}\n", "name: flux-system}\n", "PS037"),
        ("clusters/patched/kustomization.yaml", "kind: Kustomization", "kind: Deployment", "PS037"),
        ("clusters/prod/tenants.yaml", "wait: true", "wait: false", "PS037"),
        ("clusters/prod/tenants.yaml", "wait: true", "wait: true\n  healthChecks: [{kind: x}]", "PS038"),
        ("apps/renamed/sealed.yaml", "app.kubernetes.io/instance", "argocd.argoproj.io/instance", "PS025"),
        ("apps/renamed/kustomization.yaml", "name: session", "name: db", "PS033"),
        ("apps/renamed/kustomization.yaml", "disableNameSuffixHash: true", "immutable: true", "PS034"),
        ("apps/renamed/kustomization.yaml", "configurations: [name-references.yaml]\n", "", "PS035"),
        ("apps/renamed/name-references.yaml", "kind: SealedSecret", "kind: Secret", "PS035"),
        ("argocd/apps.yaml", "path: apps/argo,", "path: apps/other,", "PS024"),
        ("apps/shop/overlays/prod/kustomization.yaml", "namespace: shop", "namespace: other", "PS030"),
        ("apps/shop/overlays/staging/kustomization.yaml", "  - path: sealed.patch.yaml\n", "", "PS030"),
        (
            "apps/shop/overlays/prod/kustomization.yaml",
            "namespace: shop",
            "namespace: shop\nnamePrefix: x-",
            "PS031",
        ),
        ("charts/app/templates/plain.yaml", "{{ randAlphaNum 32 }}", "hunter2", "PS001"),
        ("apps/shop/base/kustomization.yaml", "sealed.yaml", "other.yaml", "PS026"),
        ("apps/shop/overlays/prod/kustomization.yaml", ", extra.yaml", "", "PS026"),
        (".privyseal.yaml", "for: [prod]", "for: [staging]", "PS041"),
        (".privyseal.yaml", "for: [prod, staging, glass]", "for: [prod, staging]", "PS048"),
        (".privyseal.yaml", "for: [prod, staging, glass]", "for: [prod, staging, glass, legacy]", "PS047"),
        (".privyseal.yaml", "'many/legacy.yaml', for: [legacy]", "'many/legacy.yaml', for: [glass]", "PS091"),
        (".privyseal.yaml", "'**', for: [prod]", "'**', for: [prod], format: classic", "PS090"),
        (".privyseal.yaml", "'**', for: [prod]", "'**', for: [prod, glass]", "PS090"),
    ] {
        let scene = repository("tree");
        let text = scene.read(file);
        assert!(text.contains(from), "{file} has no {from:?}");
        scene.file(file, text.replace(from, to));
        let done = scene.run("lint --strict --format github").done();
        assert_eq!(done.status, Some(1), "{file}: {from:?}: {}", done.stderr);
        assert!(done.stdout.contains(code), "{file}: {from:?}: {}", done.stdout);
    }
}

#[test]
fn every_code_is_found_and_told_in_every_format() {
    let wanted = std::env::var("PRIVYSEAL_LINT").unwrap_or_default();
    if wanted == "make" {
        fixtures::make();
    }
    let scene = bad_and_large();
    let overwrite = matches!(wanted.as_str(), "make" | "overwrite");
    for (format, file) in FORMATS {
        let done = scene.run(&format!("lint --format {format}")).done();
        assert_eq!(done.status, Some(1), "{}", done.stderr);
        assert!(!leaks(&done.stdout), "{format}: plain text is shown:\n{}", done.stdout);
        assert!(!leaks(&done.stderr), "{format}: plain text is shown:\n{}", done.stderr);
        let path = fixtures().join("bad.expected").join(file);
        if overwrite {
            fs::write(&path, &done.stdout).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(done.stdout == expected, "{} is not what was written:\n{}", path.display(), done.stdout);
        for code in Code::ALL {
            assert!(done.stdout.contains(code.id()), "{format} has no {code}");
        }
    }
}

#[test]
fn json_and_sarif_are_what_they_say() {
    let scene = bad_and_large();
    let report = |format: &str| -> serde_json::Value {
        let done = scene.run(&format!("lint --format {format}")).done();
        serde_json::from_str(&done.stdout).unwrap()
    };
    let json = report("json");
    let found: BTreeSet<&str> = json["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| finding["code"].as_str().unwrap())
        .collect();
    assert_eq!(found, Code::ALL.iter().map(|code| code.id()).collect());

    let gitlab = report("gitlab");
    let issues = gitlab.as_array().unwrap();
    assert_eq!(issues.len(), json["findings"].as_array().unwrap().len());
    for issue in issues {
        assert!(["info", "major", "critical"].contains(&issue["severity"].as_str().unwrap()));
        assert!(issue["location"]["lines"]["begin"].as_u64().unwrap() > 0);
        for text in ["description", "check_name", "fingerprint"] {
            assert!(issue[text].as_str().is_some_and(|text| !text.is_empty()), "{issue:#}");
        }
    }

    let sarif = report("sarif");
    let run = &sarif["runs"][0];
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    for result in run["results"].as_array().unwrap() {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let location = &result["locations"][0]["physicalLocation"];
        let uri = location["artifactLocation"]["uri"].as_str().unwrap();
        assert!(!uri.starts_with('/') && !uri.contains(' '), "{uri}");
        assert!(!result["partialFingerprints"].as_object().unwrap().is_empty());
    }
}

#[test]
fn places_are_those_of_the_file() {
    let scene = repository("bad");
    let done = scene.run("lint --format json").done();
    let report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let mut checked = 0;
    for finding in report["findings"].as_array().unwrap() {
        let (Some(line), Some(column), Some(field)) =
            (finding["line"].as_u64(), finding["column"].as_u64(), finding["field"].as_str())
        else {
            continue;
        };
        // The field that such an error names is the one that an unknown key stands in.
        if finding["code"] == "PS010" {
            continue;
        }
        let Ok(text) = fs::read_to_string(scene.path(finding["file"].as_str().unwrap())) else { continue };
        let line = text.lines().nth(usize::try_from(line).unwrap() - 1).unwrap();
        let rest: String = line.chars().skip(usize::try_from(column).unwrap() - 1).collect();
        let key = rest.trim_start_matches(['"', '\'']).split([':', '"', '\'']).next().unwrap();
        assert!(field.contains(key), "{finding:#}\n{line}");
        checked += 1;
    }
    assert!(checked > 30, "{checked}");
}

#[test]
fn findings_can_be_chosen_and_ignored() {
    let scene = repository("bad");
    let codes = |arguments: &str| -> BTreeSet<String> {
        let done = scene.run(&format!("lint --format json {arguments}")).done();
        let report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
        let findings = report["findings"].as_array().unwrap();
        findings.iter().map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(codes("--only PS001,PS060"), ["PS001", "PS060"].map(str::to_owned).into());
    let without = codes("--ignore PS001 --ignore PS060");
    assert!(!without.contains("PS001") && !without.contains("PS060") && without.contains("PS002"));
    has(&scene.run("lint --only PS999").fails(2), &["PS999", "not a code"]);

    // Notes alone do not fail, unless that is asked for.
    let done = scene.run("lint --only PS070").succeeds();
    has(&done.stdout, &["note PS070"]);
    assert_eq!(scene.run("lint --only PS070 --strict").done().status, Some(1));

    let secret = scene.read("plain/secret.yaml");
    for comment in ["# privyseal:ignore PS001 test data\n", "---\n# privyseal:ignore PS001\n# see the wiki\n"]
    {
        scene.file("plain/secret.yaml", format!("{comment}{secret}"));
        let done = scene.run("lint plain/secret.yaml --only PS001").succeeds();
        has(&done.stderr, &["1 finding is ignored"]);
    }
    scene.file("plain/secret.yaml", format!("# privyseal:ignore PS002 another\n{secret}"));
    assert_eq!(scene.run("lint plain/secret.yaml --only PS001").done().status, Some(1));
    scene.file("plain/secret.yaml", &secret);
    let config = scene.read(".privyseal.yaml");
    let ignore = "lint:\n  ignore:\n    - {path: 'plain/**', codes: [PS001], reason: test data}\n";
    scene.file(".privyseal.yaml", format!("{config}{ignore}"));
    let done = scene.run("lint plain --only PS001").succeeds();
    has(&done.stderr, &["3 findings are ignored"]);
}

#[test]
fn fixes_change_what_they_say_and_nothing_else() {
    let scene = repository("bad");
    let before = snapshot(&scene);
    let dry = scene.run("lint --fix --dry-run").done();
    has(&dry.stderr, &["litter/sealed.yaml:", "would be fixed: PS070 remove metadata.creationTimestamp"]);
    assert!(!leaks(&dry.stderr), "{}", dry.stderr);
    assert_eq!(snapshot(&scene), before, "a dry run changed something");

    let done = scene.run("lint --fix --format json").done();
    assert!(!leaks(&done.stderr) && !leaks(&done.stdout));
    let report: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let left = report["findings"].as_array().unwrap();
    assert!(left.iter().all(|finding| finding["fix"].is_null()), "{left:#?}");
    for code in ["PS003", "PS046", "PS070", "PS071"] {
        assert!(left.iter().all(|finding| finding["code"] != code), "{code} is left");
    }
    let mut changed = 0;
    for (path, text) in &before {
        let after = scene.read(path);
        if after != *text {
            changed += 1;
            // Lines went, or became another hint; none was added or moved.
            let mut old = text.lines();
            for line in after.lines().filter(|line| !line.contains("sealed-with")) {
                assert!(old.any(|known| known == line), "{path}: {line}");
            }
        }
    }
    assert!(changed >= 3, "{changed}");
    assert!(!scene.read("annotation/sealed.yaml").contains(CANARY));
    // Once more: nothing is left to do.
    let again = snapshot(&scene);
    has(&scene.run("lint --fix").done().stderr, &["there is nothing to fix"]);
    assert_eq!(snapshot(&scene), again);
}

fn snapshot(scene: &Scene) -> Vec<(String, String)> {
    let done = scene.shell("find . -name '*.yaml' -not -path './large/*' | sort").succeeds();
    let paths = done.stdout.lines().map(|line| line.trim_start_matches("./").to_owned());
    paths.filter_map(|path| Some((path.clone(), fs::read_to_string(scene.path(&path)).ok()?))).collect()
}

#[test]
fn what_cannot_be_read_ends_with_2_and_the_rest_is_told() {
    let scene = repository("bad");
    let done = scene.run("lint plain missing.yaml").done();
    assert_eq!(done.status, Some(2));
    has(&done.stdout, &["PS001"]);
    has(&done.stderr, &["missing.yaml: No such file"]);
    scene.file(".privyseal.yaml", "version: 1\nrules: x\n");
    has(&scene.run("lint plain").fails(2), &[".privyseal.yaml:2:8"]);
}

#[test]
fn trust_is_read_and_never_written() {
    let scene = repository("tree");
    let trust = scene.home().join(".config/privyseal/trust.yaml");
    fs::remove_file(&trust).unwrap();
    let done = scene.run("lint").succeeds();
    has(&done.stderr, &["clusters.prod: publisher SHA256:", "is not in the trust file"]);
    assert!(!trust.exists(), "lint pinned something");
    // A trust file in the repository would be changed by the same pull request.
    fs::copy(fixtures().join("trust.yaml"), scene.path("trust.yaml")).unwrap();
    has(&scene.run("lint --trust trust.yaml").fails(2), &["lies in the repository"]);
}

#[cfg(unix)]
#[test]
fn names_of_files_cannot_speak_to_a_terminal_or_a_pipeline() {
    let scene = Scene::new();
    let secret = crate::harness::secret(Some("ns"), Some("db"));
    scene.file("a\n::error::x\n##vso[task.setvariable variable=x]y \x1b[31m.yaml", &secret);
    scene.file("litter.yaml\r##vso[task.complete]", "# privyseal:ignore PS999\nkind: Secret\n");
    for (format, _) in FORMATS {
        let run = ["lint", "--format", format, ".", "litter.yaml\r##vso[task.complete]"];
        let done = scene.run_with(run).done();
        assert_eq!(done.status, Some(1), "{}", done.stderr);
        assert!(done.stdout.chars().all(|c| c == '\n' || !c.is_control()), "{:?}", done.stdout);
        for line in done.stdout.lines() {
            assert!(!line.starts_with("::error::") && !line.starts_with("##vso[task.set"), "{line}");
            if format == "azure-devops" {
                let commands = line.matches("##vso[").count();
                assert_eq!(commands, usize::from(line.starts_with("##vso[task.logissue ")), "{line}");
            }
        }
    }
}

/// A commit touches some files; what the others say of them still counts.
#[test]
fn a_file_alone_is_judged_by_what_lies_around_it() {
    let scene = repository("tree");
    for file in [
        "apps/shop/overlays/staging/sealed.patch.yaml",
        "tenants/one/nameless.yaml",
        "apps/shop/base/sealed.yaml",
    ] {
        let done = scene.run(&format!("lint --strict {file}")).succeeds();
        has(&done.stderr, &["nothing found in 1 file and 1 SealedSecret"]);
    }
    let done = repository("bad").run("lint kustomize/base/sealed.yaml --only PS030,PS031").done();
    has(&done.stdout, &["PS030", "kustomize/one/kustomization.yaml", "PS031"]);
    // What lies beside it, too.
    let done = repository("bad").run("lint beside/db.yaml --only PS001,PS002").done();
    has(&done.stdout, &["PS002"]);
}

/// Keys of age are mostly in no manifest.
#[test]
fn identities_are_found_in_files_that_are_no_manifests() {
    let scene = repository("tree");
    let identity = privyseal_envelope::age::Identity::generate_x25519().to_text();
    for name in ["keys.txt", "age.agekey", "identity", "apps/shop/base/deployment.yaml"] {
        let before = scene.path(name).exists().then(|| scene.read(name));
        scene.file(name, format!("{}# created: today\n{}", before.clone().unwrap_or_default(), *identity));
        let done = scene.run("lint --only PS006").done();
        assert_eq!(done.status, Some(1), "{name}: {}", done.stderr);
        has(&done.stdout, &[&format!("{name}:"), "error PS006"]);
        assert!(!done.stdout.contains("AGE-SECRET"), "{}", done.stdout);
        scene.file(name, before.unwrap_or_default());
    }
    // A page may say what one looks like, and a file that is ignored is not in Git.
    scene.file("notes.txt", "An identity begins with AGE-SECRET-KEY-1 and goes on.\n");
    scene.file(".gitignore", format!("{}/keys.txt\n", scene.read(".gitignore")));
    scene.file("keys.txt", identity.as_str());
    scene.run("lint --strict").succeeds();
}

/// What Git ignores is as it should be: Kustomize makes a Secret of it where it is built.
#[test]
fn files_of_a_generator_are_found_unless_git_ignores_them() {
    let scene = repository("tree");
    scene.file(".gitignore", "");
    scene.file("apps/shop/base/generated.env", format!("# for tests\npassword={CANARY}\n"));
    let done = scene.run("lint").done();
    assert_eq!(done.status, Some(1), "{}", done.stderr);
    has(&done.stdout, &["apps/shop/base/kustomization.yaml:", "error PS007", "apps/shop/base/generated.env"]);
    assert!(!leaks(&done.stdout) && !leaks(&done.stderr), "{}", done.stdout);
    scene.file(".gitignore", "generated.env\n");
    scene.run("lint --strict").succeeds();
}

/// The script of the GitHub action, run as the runner runs it.
#[cfg(unix)]
#[test]
fn the_action_lints_what_it_is_given() {
    let action = include_str!("../../../actions/lint/action.yml");
    let script: String = action
        .split("run: |\n")
        .nth(1)
        .unwrap()
        .lines()
        .map(|line| line.strip_prefix("        ").unwrap_or(line).to_owned() + "\n")
        .collect();
    let scene = repository("bad");
    scene.file("action.sh", script);
    let run = |path: &str, paths: &str, format: &str, version: &str| {
        let scene_run = scene.shell(&format!("{path} bash --noprofile --norc -eo pipefail action.sh"));
        let run = scene_run.env("PATHS", paths).env("FORMAT", format).env("VERSION", version);
        let run = run.env("SARIF_FILE", "out.sarif").env("STRICT", "false").env("GITHUB_OUTPUT", "output");
        run.done()
    };
    let with_binary = "mkdir -p bin && ln -sf $PRIVYSEAL bin/privyseal && PATH=$PWD/bin:$PATH";
    let done = run("PATH=$PATH", ".", "github", "");
    if done.status == Some(2) {
        has(&done.stdout, &["::error::privyseal is not on the PATH", "downloads nothing"]);
    }
    let done = run(with_binary, "plain\nbeside\n", "github", concat!("v", env!("CARGO_PKG_VERSION")));
    assert_eq!(done.status, Some(1), "{}", done.stderr);
    has(&done.stdout, &["::error file=plain/secret.yaml,line=7", "file=beside/db.yaml"]);
    assert!(!done.stdout.contains("file=litter"), "{}", done.stdout);
    let done = run(with_binary, "plain; touch injected", "github", "");
    assert_eq!(done.status, Some(2));
    assert!(!scene.path("injected").exists());
    assert_eq!(run(with_binary, ".", "github", "99.0.0").status, Some(2));
    assert_eq!(run(with_binary, "plain", "sarif", "").status, Some(1));
    assert!(scene.read("out.sarif").contains("PS001"));
    assert_eq!(scene.read("output"), "sarif-file=out.sarif\n");
}
