//! Rules on what Flux and Argo CD apply.

use super::{NAMES, codes, now, sealed};
use crate::lint::{Code, Expected, FileInput, Selection, check_file, check_other, conclude};

/// A Kustomization of Flux.
fn flux(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: {name}, namespace: flux-system}}\nspec: {{{spec}}}\n"
    )
}

fn git_repository(name: &str, namespace: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{url: 'https://example.com/x'}}\n"
    )
}

#[test]
fn nothing_is_said_of_what_comes_of_another_source() {
    let text = sealed(NAMES, "encryptedData: {}");
    let repositories = ["flux-system", "other"].map(|name| git_repository(name, "flux-system")).join("---\n");
    for (source, told) in [
        ("kind: GitRepository, name: flux-system", true),
        ("kind: GitRepository, name: not-declared", true),
        ("kind: GitRepository, name: other, namespace: elsewhere", true),
        ("kind: GitRepository, name: other", false),
        ("kind: GitRepository, name: other, namespace: flux-system", false),
        ("kind: OCIRepository, name: flux-system", false),
        ("kind: Bucket, name: flux-system", false),
        ("kind: ExternalArtifact, name: x", false),
    ] {
        for path in ["./", "./apps"] {
            let flux = flux("x", &format!("path: {path}, sourceRef: {{{source}}}, force: true"));
            let files = [
                ("apps/x.yaml", text.as_str()),
                ("clusters/flux.yaml", &flux),
                ("clusters/sources.yaml", &repositories),
            ];
            let expected: &[&str] = if told { &["PS037", "PS039"] } else { &[] };
            assert_eq!(codes(&files), expected, "{source} {path}");
        }
    }
}

#[test]
fn nothing_is_said_where_a_patch_may_make_flux_wait() {
    let text = sealed(NAMES, "encryptedData: {}");
    let apps = flux("apps", "path: ./apps");
    const WAIT: &str = "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps}\nspec: {wait: true}\n";
    let listing = "resources: [apps.yaml]\n";
    let covers = |spec: &str| flux("all", &format!("path: ./clusters, wait: true, {spec}"));
    for (kustomization, patch, more, told) in [
        (listing.to_owned(), "", String::new(), true),
        (format!("{listing}patches: [{{path: p.yaml}}]\n"), WAIT, String::new(), false),
        (format!("{listing}patchesStrategicMerge: [p.yaml]\n"), WAIT, String::new(), false),
        (
            format!("{listing}patches: [{{path: p.yaml, target: {{kind: Kustomization}}}}]\n"),
            "- {op: add}\n",
            String::new(),
            false,
        ),
        (
            format!("{listing}patches: [{{path: p.yaml, target: {{name: apps}}}}]\n"),
            "- {op: add}\n",
            String::new(),
            false,
        ),
        (
            format!("{listing}patches: [{{path: p.yaml, target: {{kind: 'HelmRelease|Kustomization'}}}}]\n"),
            "- {op: add}\n",
            String::new(),
            false,
        ),
        (
            format!("{listing}patches: [{{path: p.yaml, target: {{kind: HelmRelease}}}}]\n"),
            "- {op: add}\n",
            String::new(),
            true,
        ),
        (
            format!(
                "{listing}patches:\n  - patch: |\n      kind: Kustomization\n      spec: {{wait: true}}\n"
            ),
            "",
            String::new(),
            false,
        ),
        // A component changes what lies beside it.
        (format!("{listing}components: [wait]\n"), WAIT, "patches: [{path: ../p.yaml}]\n".to_owned(), false),
        // Flux itself does.
        (String::new(), "", covers("patches: [{patch: x, target: {kind: Kustomization}}]"), false),
        (String::new(), "", covers("patches: [{patch: 'kind: Kustomization'}]"), false),
        (String::new(), "", covers("patches: [{patch: x, target: {kind: Deployment}}]"), true),
        (
            String::new(),
            "",
            covers("patches: [{target: {kind: Kustomization}}]").replace("./clusters", "./o"),
            true,
        ),
    ] {
        let mut files = vec![("apps/x.yaml", text.as_str()), ("clusters/apps.yaml", &apps)];
        for (path, text) in
            [("clusters/kustomization.yaml", kustomization.as_str()), ("clusters/p.yaml", patch)]
        {
            if !text.is_empty() {
                files.push((path, text));
            }
        }
        let path = if kustomization.contains("components") {
            "clusters/wait/kustomization.yaml"
        } else {
            "all.yaml"
        };
        files.push((path, &more));
        let expected: &[&str] = if told { &["PS037"] } else { &[] };
        assert_eq!(codes(&files), expected, "{kustomization}{patch}{more}");
    }
    // What it lists from elsewhere is patched, too.
    let all = covers("patches: [{target: {kind: Kustomization}}]");
    let files = [
        ("apps/x.yaml", text.as_str()),
        ("o/apps.yaml", &apps),
        ("clusters/kustomization.yaml", "resources: [../o/apps.yaml]\n"),
        ("all.yaml", &all),
    ];
    assert_eq!(codes(&files), [""; 0]);
}

#[test]
fn flux_changes_names_and_namespaces_as_a_kustomization_does() {
    const SOURCE: &str = "wait: true, sourceRef: {kind: GitRepository, name: flux-system}";
    for (scope, spec, kustomization, expected) in [
        ("strict", "", "", &[][..]),
        ("strict", "targetNamespace: b", "", &[]),
        ("strict", "targetNamespace: c", "", &["PS030"][..]),
        ("strict", "namePrefix: p-", "", &["PS031"]),
        ("strict", "nameSuffix: -s", "", &["PS031"]),
        ("strict", "namePrefix: p-, targetNamespace: c", "", &["PS031", "PS030"]),
        ("strict", "targetNamespace: '${x}'", "", &[]),
        ("strict", "targetNamespace: c, suspend: true", "", &[]),
        ("strict", "targetNamespace: c, patches: [{target: {kind: SealedSecret}}]", "", &[]),
        ("strict", "targetNamespace: c, patches: [{target: {kind: Deployment}}]", "", &["PS030"]),
        ("strict", "targetNamespace: c, components: [../x]", "", &[]),
        ("namespace-wide", "targetNamespace: c", "", &["PS030"]),
        ("namespace-wide", "namePrefix: p-", "", &[]),
        ("cluster-wide", "targetNamespace: c, namePrefix: p-", "", &[]),
        // What Flux says stands in the place of what the kustomization says.
        ("strict", "targetNamespace: b", "namespace: c\nresources: [x.yaml]\n", &[]),
        ("strict", "targetNamespace: c", "namespace: b\nresources: [x.yaml]\n", &["PS030"]),
        ("strict", "", "namespace: c\nresources: [x.yaml]\n", &["PS030"]),
        ("strict", "namePrefix: p-", "resources: [x.yaml]\n", &["PS031"]),
    ] {
        let annotation = match scope {
            "strict" => String::new(),
            scope => format!(", annotations: {{sealedsecrets.bitnami.com/{scope}: 'true'}}"),
        };
        let text = sealed(&format!("{NAMES}{annotation}"), "encryptedData: {}");
        let flux = flux("x", &format!("path: ./apps/k, {SOURCE}, {spec}"));
        let mut files = vec![("apps/k/x.yaml", text.as_str()), ("clusters/flux.yaml", &flux)];
        if !kustomization.is_empty() {
            files.push(("apps/k/kustomization.yaml", kustomization));
        }
        assert_eq!(codes(&files), expected, "{scope} {spec} {kustomization}");
        // Of a folder above, too, whether there is a kustomization or not: Flux makes one.
        let above = flux.replace("./apps/k", "./apps");
        files[1].1 = &above;
        assert_eq!(codes(&files), expected, "{scope} {spec} {kustomization}");
        // Another source, and another folder, change nothing.
        let other = flux.replace("kind: GitRepository", "kind: OCIRepository");
        let elsewhere = flux.replace("./apps/k", "./apps/other");
        for text in [&other, &elsewhere] {
            files[1].1 = text;
            if !kustomization.contains("namespace: c") {
                assert_eq!(codes(&files), [""; 0], "{scope} {spec} {kustomization}");
            }
        }
    }
}

/// A tenant's folder that is applied twice opens in one of the two namespaces only.
#[test]
fn every_one_that_applies_a_folder_counts() {
    let text = sealed(NAMES, "template: {metadata: {name: p-a}}, encryptedData: {}");
    let [one, two] = ["b", "c"].map(|namespace| {
        let source = "wait: true, sourceRef: {kind: GitRepository, name: flux-system}";
        flux(namespace, &format!("path: apps, {source}, namePrefix: p-, targetNamespace: {namespace}"))
    });
    let files = |flux: &str| codes(&[("apps/x.yaml", &text), ("flux.yaml", flux)]);
    assert_eq!(files(&one), [""; 0]);
    assert_eq!(files(&two), ["PS030"]);
    assert_eq!(files(&format!("{one}---\n{two}")), ["PS030"]);
    // A base with a suffix of its own, under a prefix of Flux and one of an overlay.
    let all = [
        ("k/base/x.yaml", text.as_str()),
        ("k/base/kustomization.yaml", "resources: [x.yaml]\n"),
        ("k/o/kustomization.yaml", "namePrefix: q-\nresources: [../base]\n"),
        ("flux.yaml", &one.replace("path: apps", "path: k/o")),
    ];
    assert_eq!(codes(&all), [""; 0], "a prefix of Flux stands in the place of the outermost one");
}

#[test]
fn argo_cd_changes_names_and_namespaces_of_kustomizations() {
    let text = sealed(NAMES, "encryptedData: {}");
    for (source, expected) in [
        ("path: k", &[][..]),
        ("path: k, kustomize: {namespace: b}", &[]),
        ("path: k, kustomize: {namespace: c}", &["PS030"][..]),
        ("path: k, kustomize: {namePrefix: p-}", &["PS031"]),
        ("path: k, kustomize: {nameSuffix: '-{{x}}'}", &[]),
        ("path: '{{x}}', kustomize: {nameSuffix: -s}", &[]),
        ("path: ., kustomize: {nameSuffix: -s}", &[]),
        ("path: other, kustomize: {nameSuffix: -s}", &[]),
        ("path: k, kustomize: {nameSuffix: -s, patches: [{target: {kind: SealedSecret}}]}", &[]),
    ] {
        for (kind, before, after) in [
            ("Application", format!("source: {{{source}}}"), ""),
            ("Application", format!("sources: [{{chart: x}}, {{{source}}}]"), ""),
            ("ApplicationSet", format!("template: {{spec: {{source: {{{source}}}"), "}}"),
        ] {
            let argo = format!(
                "apiVersion: argoproj.io/v1alpha1\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{{before}{after}}}\n"
            );
            let mut files = vec![("k/x.yaml", text.as_str()), ("argo.yaml", &argo)];
            assert_eq!(codes(&files), [""; 0], "without a kustomization nothing is changed: {argo}");
            files.push(("k/kustomization.yaml", "resources: [x.yaml]\n"));
            assert_eq!(codes(&files), expected, "{argo}");
        }
    }
}

#[test]
fn flux_may_be_told_to_force_one_object() {
    for (field, value, told) in [
        ("annotations", "Enabled", true),
        ("annotations", "enabled", true),
        ("labels", "enabled", true),
        ("annotations", "Disabled", false),
        ("annotations", "${force}", false),
    ] {
        let metadata = format!("{NAMES}, {field}: {{kustomize.toolkit.fluxcd.io/force: '{value}'}}");
        let expected: &[&str] = if told { &["PS039"] } else { &[] };
        assert_eq!(
            codes(&[("x.yaml", &sealed(&metadata, "encryptedData: {}"))]),
            expected,
            "{field} {value}"
        );
    }
}

#[test]
fn a_file_that_nobody_lists_is_told() {
    let text = sealed(NAMES, "encryptedData: {}");
    let argo = |path: &str| {
        format!(
            "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {{name: x}}\nspec: {{source: {{path: {path}}}, destination: {{namespace: b}}}}\n"
        )
    };
    let above = flux("x", "path: ./, wait: true, sourceRef: {kind: GitRepository, name: flux-system}");
    for (kustomization, more, told) in [
        ("resources: [y.yaml]\n", None, true),
        ("resources: []\n", Some(("flux.yaml", above)), true),
        ("resources: [y.yaml]\n", Some(("o/kustomization.yaml", "resources: [../a/k]\n".to_owned())), true),
        ("resources: [y.yaml]\n", Some(("argo.yaml", argo("a/k"))), true),
        ("resources: [x.yaml]\n", None, false),
        ("patches: [{path: ./x.yaml}]\n", None, false),
        ("configMapGenerator: [{name: c, files: [n=x.yaml]}]\n", None, false),
        ("generators: [y.yaml]\n", None, false),
        ("components: [../c]\n", None, false),
        ("resources: ['${stage}.yaml']\n", None, false),
        ("resources: ['*.yaml']\n", None, false),
        ("resources: []\n", Some(("o/kustomization.yaml", "resources: [../a/k/x.yaml]\n".to_owned())), false),
        ("resources: []\n", Some(("o/kustomization.yaml", "resources: [../a]\n".to_owned())), false),
        ("resources: []\n", Some(("o/kustomization.yaml", "resources: ['../a/${x}']\n".to_owned())), false),
        ("resources: []\n", Some(("argo.yaml", argo("a"))), false),
        ("resources: []\n", Some(("argo.yaml", argo("'a/{{x}}'"))), false),
        // A chart's, say.
        ("resources: {{ x }}\n", None, false),
    ] {
        let mut files = vec![("a/k/x.yaml", text.as_str()), ("a/k/kustomization.yaml", kustomization)];
        files.extend(more.as_ref().map(|(path, text)| (*path, text.as_str())));
        let expected: &[&str] = if told { &["PS026"] } else { &[] };
        assert_eq!(codes(&files), expected, "{kustomization} {more:?}");
    }
    // Without a kustomization in the folder nothing is known.
    let files = [("a/k/x.yaml", text.as_str()), ("a/kustomization.yaml", "resources: []\n")];
    assert_eq!(codes(&files), [""; 0]);
}

#[test]
fn a_secret_of_a_file_is_plain_if_the_file_is() {
    const PEM: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (generator, path, text, told) in [
        ("envs: [a.env]", "k/a.env", "# x\npassword=hunter2\n", true),
        ("env: a.env", "k/a.env", "password=hunter2\n", true),
        ("files: [../a.txt]", "a.txt", "hunter2\n", true),
        ("files: [password=a.txt]", "k/a.txt", "hunter2\n", true),
        ("envs: [a.env]", "k/a.env", "# password=hunter2\na=changeme\nb=${B}\nc=\nd=\"\"\n", false),
        ("envs: [a.env]", "k/a.env", "password=ENC[AES256_GCM,data:x]\nother=x\n", false),
        ("envs: [a.enc.env]", "k/a.enc.env", "password=hunter2\n", false),
        ("envs: [a.sops.env]", "k/a.sops.env", "password=hunter2\n", false),
        ("files: [a.key]", "k/a.key", "-----BEGIN AGE ENCRYPTED FILE-----\n", false),
        ("files: [tls.crt=a.pem]", "k/a.pem", PEM, false),
        ("files: [a.txt]", "k/a.txt", "", false),
        // Another one, or none that is in Git.
        ("envs: [a.env]", "a.env", "password=hunter2\n", false),
    ] {
        let kustomization = format!("secretGenerator: [{{name: a, {generator}}}]\n");
        let found = |kustomization: &str| {
            let input = |path, text: &'static str| FileInput {
                path,
                within: path,
                bytes: text.as_bytes(),
                expected: Expected::default(),
                ignored: &[],
                asked_for: true,
            };
            let other = check_other(&input(path, text));
            let bytes = kustomization.as_bytes();
            let input = FileInput { bytes, ..input("k/kustomization.yaml", "") };
            let files = vec![check_file(&input, now()), other];
            conclude(files, Vec::new(), &Selection::default()).findings
        };
        let told_now = found(&kustomization);
        let wanted = if told { vec![Code::PlainLiteral] } else { vec![] };
        assert_eq!(
            told_now.iter().map(|finding| finding.code).collect::<Vec<_>>(),
            wanted,
            "{generator} {text}"
        );
        assert!(!format!("{told_now:?}").contains("hunter2"));
        // A ConfigMap is no secret.
        assert!(found(&kustomization.replace("secretGenerator", "configMapGenerator")).is_empty());
    }
}
