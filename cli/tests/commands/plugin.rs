//! `plugin helm` and `plugin kustomize`: Secrets are sealed, all else passes, and what cannot be sealed stops the tool.

use crate::harness::{CANARY, Done, Scene, has, key, leaks, other_key, secret};

/// Documents that are nobody's business, one of them such that not even `kubectl` agrees with itself.
const OTHERS: [&str; 3] = [
    "---\n# Source: app/templates/config.yaml\napiVersion: v1\nkind: ConfigMap   # a comment\ndata: {a: 010, b: \"x\"}\n\n",
    "---\r\n# Source: app/templates/twice.yaml\r\nkind: Deployment\r\nkind: Deployment\r\n",
    "---\n# Source: app/crds/crd.yaml\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n...\n",
];

fn rendered(namespace: Option<&str>) -> String {
    let [config, twice, crd] = OTHERS;
    let secret = secret(namespace, Some("db"));
    format!("{config}---\n# Source: app/templates/secret.yaml\n# {CANARY}\n{secret}{twice}{crd}")
}

#[test]
fn the_secret_of_a_chart_is_sealed_and_every_other_byte_stays() {
    let scene = Scene::new();
    let done = scene.run("plugin helm --cert cert.pem").stdin(rendered(Some("ns"))).succeeds();
    let [config, twice, crd] = OTHERS;
    let rest = done.stdout.strip_prefix(config).and_then(|rest| rest.strip_suffix(&format!("{twice}{crd}")));
    let sealed = rest.unwrap_or_else(|| panic!("{}", done.stdout));
    has(
        sealed,
        &["---\n# Source: app/templates/secret.yaml\napiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\n"],
    );
    assert!(!leaks(sealed) && !leaks(&done.stderr));
    assert_eq!(done.stderr.matches("warning: each run makes new sealed values").count(), 1);
    has(&done.stderr, &[&key().fingerprint]);
    let opened = scene.run("unseal --key key.pem").stdin(sealed).succeeds();
    has(&opened.stdout, &["name: db\n", "namespace: ns\n"]);
    assert!(leaks(&opened.stdout));

    // Once more: nothing is left to be sealed, so no key is asked for either.
    let again = scene.run("plugin helm").stdin(&done.stdout).succeeds();
    assert_eq!(again.stdout, done.stdout);
    assert_eq!(again.stderr, "");
    assert_eq!(scene.run("plugin helm").stdin("").succeeds().stdout, "");
}

#[test]
fn a_namespace_is_filled_in_and_never_replaced() {
    let scene = Scene::new();
    let error = scene.run("plugin helm --cert cert.pem").stdin(rendered(None)).fails(2);
    has(
        &error,
        &[
            "stdin:10: document 2: Secret db: metadata.namespace is missing",
            "write `namespace: {{ .Release.Namespace }}` in the chart's template, or pass `--post-renderer-args -n",
        ],
    );
    let both = rendered(None) + "---\n" + &secret(Some("other"), Some("b"));
    let done = scene.run("plugin helm --cert cert.pem -n team-a").stdin(&both).succeeds();
    has(&done.stdout, &["namespace: team-a\n", "namespace: other\n"]);
    // A namespace of the environment is Helm's default, which its own -n overrules: it says nothing of the release.
    let run = scene.run("plugin helm --cert cert.pem").env("HELM_NAMESPACE", "team-a");
    run.stdin(rendered(None)).fails(2);
    let done = scene.run("plugin helm --cert cert.pem --scope cluster-wide").stdin(rendered(None)).succeeds();
    has(&done.stdout, &["cluster-wide: \"true\""]);
}

#[test]
fn what_is_said_to_tools_is_on_the_sealed_secret_and_not_in_the_template() {
    let scene = Scene::new();
    let tools = [
        "helm.sh/hook: pre-install",
        "postrenderer.helm.sh/postrender-filename: app/templates/secret.yaml",
        "argocd.argoproj.io/sync-wave: \"1\"",
        "kustomize.toolkit.fluxcd.io/prune: disabled",
        "internal.config.kubernetes.io/id: \"1\"",
        "kustomize.config.k8s.io/behavior: merge",
        "privyseal.dev/deletion-policy: Retain",
    ];
    let own = [
        "reconcile.fluxcd.io/watch: Enabled",
        "helm.shop/x: \"1\"",
        "sealedsecrets.bitnami.com/managed: \"true\"",
    ];
    let annotations: Vec<_> = tools.iter().chain(&own).map(|line| format!("    {line}\n")).collect();
    let metadata = format!(
        "metadata:\n  labels:\n    app: shop\n    kustomize.toolkit.fluxcd.io/name: apps\n  annotations:\n{}    kubectl.kubernetes.io/last-applied-configuration: {CANARY}\n    kapp.k14s.io/original: {CANARY}\n    objectset.rio.cattle.io/applied: {CANARY}\n",
        annotations.concat()
    );
    let secret = secret(Some("ns"), Some("db")).replacen("metadata:\n", &metadata, 1);
    let done = scene.run("plugin helm --cert cert.pem").stdin(&secret).succeeds();
    assert!(!leaks(&done.stdout), "{}", done.stdout);
    let (outer, template) = done.stdout.split_once("  template:\n").unwrap();
    has(outer, &tools);
    has(outer, &["  labels:\n    app: shop\n    kustomize.toolkit.fluxcd.io/name: apps\n"]);
    assert!(!template.contains("toolkit"), "{template}");
    has(template, &own);
    has(template, &["labels:\n", "app: shop\n"]);
    for line in tools {
        assert!(!template.contains(line.split(':').next().unwrap()), "{template}");
    }
    assert!(!outer.contains("watch"), "{outer}");
}

#[test]
fn secrets_without_values_pass_and_those_that_must_not_be_sealed_are_refused() {
    let scene = Scene::new();
    let token = "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/service-account-token\nmetadata:\n  name: t # kept\n";
    let done = scene.run("plugin helm").stdin(token).succeeds();
    assert_eq!(done.stdout, token);
    has(&done.stderr, &["note: stdin:1: document 1: Secret t: no value in it"]);

    for (more, told) in [
        ("type: kubernetes.io/service-account-token\n", "a token of a service account"),
        ("type: helm.sh/release.v1\n", "Helm's record of a release"),
        ("labels", "an opening key is never sealed"),
    ] {
        let secret = match more {
            "labels" => secret(Some("ns"), Some("a")).replace(
                "metadata:\n",
                "metadata:\n  labels: {sealedsecrets.bitnami.com/sealed-secrets-key: active}\n",
            ),
            more => secret(Some("ns"), Some("a")) + more,
        };
        has(
            &scene.run("plugin helm --cert cert.pem").stdin(secret).fails(2),
            &["Secret a: ", told, "hint: "],
        );
    }
    for name in [
        "kubectl.kubernetes.io/last-applied-configuration",
        "kapp.k14s.io/original",
        "objectset.rio.cattle.io/applied",
    ] {
        let applied = format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\n  annotations: {{{name}: {CANARY}}}\n"
        );
        has(&scene.run("plugin helm").stdin(applied).fails(2), &["as it was once applied"]);
    }
}

#[test]
fn a_digest_of_the_plain_secret_is_told() {
    let scene = Scene::new();
    let pods = |path: &str, name: &str| {
        format!(
            "---\napiVersion: v1\nkind: X\nspec: {{{path}template: {{metadata: {{annotations: {{{name}: abc}}}}}}}}\n"
        )
    };
    let secret = "---\n".to_owned() + &secret(Some("ns"), Some("db"));
    for (others, told) in [
        (pods("", "checksum/secret"), Some("stdin:4:")),
        (
            pods("jobTemplate: {spec: {", "checksum/app-Secrets").replace("}\n", "}}}\n"),
            Some("annotation checksum/app-Secrets: a digest"),
        ),
        (pods("", "checksum/config"), None),
        (pods("", "rollme-secret"), None),
    ] {
        let done = scene.run("plugin helm --cert cert.pem").stdin(others.clone() + &secret).succeeds();
        assert!(done.stdout.starts_with(&others));
        assert_eq!(
            done.stderr.contains("lets anybody who reads it test guesses"),
            told.is_some(),
            "{others}"
        );
        has(&done.stderr, &told.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn broken_streams_stop_helm_and_say_where() {
    let scene = Scene::new();
    let good = "---\napiVersion: v1\nkind: ConfigMap\n";
    for (broken, told) in [
        (secret(Some("ns"), Some("a")) + "kind: Secret\n", "stdin:12:1: document 2: this key is a duplicate"),
        (format!("kind: Secret\nstringData: [{CANARY}\n"), "stdin:6:13: document 2: not valid YAML"),
        (
            secret(Some("ns"), Some("a")).replace("stringData", "data"),
            "document 2: data.password: not standard base64",
        ),
        (secret(Some("ns"), Some("a")).replace("apiVersion: v1\n", ""), "document 2: apiVersion: missing"),
        (secret(Some("ns"), Some("a")) + "spec: {}\n", "document 2: unknown field"),
        (secret(Some("ns"), None), "document 2: metadata.name is missing"),
        (
            secret(Some("ns"), Some("a")) + "...\nkind: Other\napiVersion: v1\n",
            "more than one document without `---`",
        ),
        (
            format!(
                "kind: SecretList\napiVersion: v1\nitems: [{{metadata: {{name: a, namespace: b}}, stringData: {{a: {CANARY}}}}}]\n"
            ),
            "a list that may hold nothing but Secrets",
        ),
        (format!("- kind: Secret\n  a: {CANARY}\n"), "expected a mapping, found a list"),
        // What `kubectl` takes for a Secret, and a stricter reader does not.
        (
            secret(Some("ns"), Some("a")).replace("apiVersion: v1\n", "apiVersion: /v1\n"),
            "document 2: apiVersion: expected v1, found ",
        ),
        (
            secret(Some("ns"), Some("a")).replace("apiVersion: v1\n", "apiVersion: \"\"\n"),
            "document 2: apiVersion: expected v1, found ",
        ),
        (
            secret(Some("ns"), Some("a")).replace("kind: Secret", "kind: !!bin%61ry U2VjcmV0"),
            "document 2: kind: a YAML tag that Kubernetes does not know",
        ),
        (
            format!(
                "apiVersion: v1\nkind: ConfigMapList\nitems:\n- {}",
                as_item(&secret(Some("ns"), Some("a")))
            ),
            "a Secret among the items of what is no `List` by its kind\nhint: write the objects as documents of their own",
        ),
        (
            format!("apiVersion: v1\nkind: List\nitems: !x\n- {}", as_item(&secret(Some("ns"), Some("a")))),
            "document 2: items: a YAML tag that Kubernetes does not know",
        ),
        (
            format!(
                "apiVersion: v1\nkind: List\nx: &a\n  {}\nitems:\n- *a\n",
                as_item(&secret(Some("ns"), Some("a")))
            ),
            "document 2: items[0]: not edited in place: an alias stands here for what is written elsewhere\n\
             hint: write the fields out where they are used",
        ),
        (
            format!(
                "apiVersion: v1\nkind: List\nx: &a {{a: {CANARY}}}\nitems:\n- apiVersion: v1\n  kind: Secret\n  \
                 metadata: {{name: a, namespace: b}}\n  stringData: *a\n"
            ),
            "document 2: items[0]: not edited in place: an alias stands here",
        ),
    ] {
        let error = scene.run("plugin helm --cert cert.pem").stdin(format!("{good}---\n{broken}")).fails(2);
        has(&error, &[told]);
    }
    has(&scene.run("plugin helm --cert cert.pem").stdin(b"kind: \xff\n").fails(2), &["not UTF-8"]);
    has(&scene.run("plugin helm --cert missing.pem").stdin(rendered(Some("a"))).fails(2), &["missing.pem"]);
    has(&scene.run("plugin helm").stdin(rendered(Some("a"))).fails(2), &["no sealing key is given"]);
}

/// Manifest text behind a dash.
fn as_item(text: &str) -> String {
    text.trim_end().replace('\n', "\n  ")
}

/// What kustomize hands to a function: two items, the second a Secret.
fn resource_list(annotations: &str, config: &str) -> String {
    let secret = secret(Some("ns"), Some("db"))
        .replace("metadata:\n", &format!("metadata:\n  annotations: {{{annotations}}}\n"));
    let secret = as_item(&secret);
    format!(
        "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- apiVersion: v1\n  kind: ConfigMap # kept\n  \
         metadata: {{name: a}}\n- {secret} # {CANARY}\n- {{apiVersion: v1, kind: Service}}\n{config}"
    )
}

fn function_config(spec: &str) -> String {
    format!(
        "functionConfig:\n  apiVersion: privyseal.dev/v1alpha1\n  kind: SealSecrets\n  metadata: {{name: x}}\n  spec:\n    {spec}\n"
    )
}

/// What is left of a list when its SealedSecrets are taken out.
fn without_sealed(list: &str) -> (String, Vec<String>) {
    let (mut rest, mut sealed) = (String::new(), Vec::new());
    for line in list.split_inclusive('\n') {
        match line {
            _ if line.starts_with("- apiVersion: bitnami.com/") => sealed.push(line[2..].to_owned()),
            _ if line.starts_with("  ") && rest.ends_with("#\n") => {
                sealed.last_mut().unwrap().push_str(&line[2..]);
            }
            line => {
                rest = rest.trim_end_matches("#\n").to_owned() + line;
                continue;
            }
        }
        if !rest.ends_with("#\n") {
            rest.push_str("#\n");
        }
    }
    (rest.replace("#\n", ""), sealed)
}

#[test]
fn the_secrets_of_a_build_are_sealed_in_their_place() {
    let scene = Scene::new();
    for config in ["", &function_config("scope: strict")] {
        let list = resource_list("", config);
        let Done { stdout, stderr, .. } =
            scene.run("plugin kustomize --cert cert.pem").stdin(&list).succeeds();
        let (rest, sealed) = without_sealed(&stdout);
        let (before, after) = list.split_once("- apiVersion: v1\n  kind: Secret\n").unwrap();
        let after = after.split_once(&format!("# {CANARY}\n")).unwrap().1;
        assert_eq!(rest, format!("{before}{after}"));
        assert!(!leaks(&stdout) && !leaks(&stderr));
        let opened = scene.run("unseal --key key.pem").stdin(&sealed[0]).succeeds();
        assert!(leaks(&opened.stdout));
        let again = scene.run("plugin kustomize").stdin(&stdout).succeeds();
        assert_eq!(again.stdout, stdout);
    }
}

#[test]
fn files_of_the_function_are_sealed_and_added() {
    let scene = Scene::new();
    scene.file("secrets/two.yaml", format!("{}---\n{}", secret(None, Some("a")), secret(None, Some("b"))));
    let config = function_config("files: [secrets/two.yaml]\n    namespace: team-a");
    for items in ["items: []\n", "items:\n- kind: SealSecrets\n  apiVersion: privyseal.dev/v1alpha1\n", ""] {
        for version in ["v1", "v1beta1"] {
            let list =
                format!("apiVersion: config.kubernetes.io/{version}\nkind: ResourceList\n{items}{config}");
            let done = scene.run("plugin kustomize --cert cert.pem").stdin(&list).succeeds();
            let (_, sealed) = without_sealed(&done.stdout);
            let opened = scene.run("unseal --key key.pem").stdin(sealed.join("---\n")).succeeds();
            has(&opened.stdout, &["name: a\n", "name: b\n", "namespace: team-a\n"]);
            has(&done.stdout, &[&format!("config.kubernetes.io/{version}\n"), config.trim_end()]);
        }
    }
    // The command line wins.
    let list = format!("apiVersion: v1\nkind: List\n{config}");
    let arguments = "plugin kustomize --cert cert.pem -n team-b --scope namespace-wide";
    let done = scene.run(arguments).stdin(list).succeeds();
    has(&done.stdout, &["namespace: team-b\n", "namespace-wide: \"true\""]);
    assert!(!done.stdout.contains("namespace: team-a\n    type"), "{}", done.stdout);

    scene.file("secrets/other.yaml", "apiVersion: v1\nkind: ConfigMap\n");
    for (file, told) in [
        ("missing.yaml", "missing.yaml: No such file"),
        ("secrets/other.yaml", "expected Secret, found ConfigMap"),
    ] {
        let list = format!("kind: List\n{}", function_config(&format!("files: [{file}]")));
        has(&scene.run("plugin kustomize --cert cert.pem").stdin(list).fails(2), &[told]);
    }
}

#[test]
fn a_hash_in_the_name_and_scope_strict_do_not_go_together() {
    let scene = Scene::new();
    for annotation in [
        "kustomize.config.k8s.io/needs-hash: \"true\"",
        "kustomize.config.k8s.io/needs-hash: \"1\"",
        "internal.config.kubernetes.io/needsHashSuffix: enabled",
    ] {
        let list = resource_list(annotation, "");
        let error = scene.run("plugin kustomize --cert cert.pem").stdin(&list).fails(2);
        has(
            &error,
            &["Secret db: kustomize adds a hash", "disableNameSuffixHash: true", "--scope namespace-wide"],
        );
        let run = scene.run("plugin kustomize --cert cert.pem --scope namespace-wide");
        has(&run.stdin(&list).succeeds().stdout, &[&annotation.replace('"', "")[..30]]);
    }
    let list = resource_list("kustomize.config.k8s.io/needs-hash: \"false\"", "");
    scene.run("plugin kustomize --cert cert.pem").stdin(&list).succeeds();
}

#[test]
fn a_function_is_configured_strictly_and_brings_no_key() {
    let scene = Scene::new();
    let version = "functionConfig: {apiVersion: v1, kind: ConfigMap}\n".to_owned();
    for (config, told) in [
        (version, "functionConfig: expected SealSecrets of privyseal.dev/v1alpha1"),
        (function_config("{}").replace("spec:", "specs:"), "functionConfig: unknown field"),
        (function_config("[]"), "functionConfig.spec: expected a mapping"),
        (function_config("froms: [prod]"), "functionConfig.spec: unknown field"),
        (function_config("for: prod"), "functionConfig.spec.for: expected a list of texts"),
        (function_config("for: [1]"), "functionConfig.spec.for: expected a list of texts"),
        (function_config("scope: wide"), "functionConfig.spec.scope: "),
        (function_config("namespace: Team"), "functionConfig.spec.namespace: not a namespace"),
        (function_config("cert: cert.pem"), "functionConfig.spec.cert: nobody vouches"),
        (function_config("recipients: [age1x]"), "functionConfig.spec.recipients: nobody vouches"),
        (function_config("for: [prod]"), "there is no .privyseal.yaml that could name a cluster"),
    ] {
        has(&scene.run("plugin kustomize").stdin(resource_list("", &config)).fails(2), &[told]);
    }
    for no_list in
        ["", "kind: ConfigMap\n", "kind: List\n---\nkind: List\n", "kind: ResourceList\nitems: []\n"]
    {
        let error = scene.run("plugin kustomize --cert cert.pem").stdin(no_list).fails(2);
        has(&error, &["expected a ResourceList"]);
    }
}

#[test]
fn the_repository_names_for_whom_and_the_trust_file_says_whether_it_may() {
    let scene = Scene::new();
    std::fs::create_dir(scene.path(".git")).unwrap();
    scene.file("other.pem", &other_key().certificate);
    scene.file(
        ".privyseal.yaml",
        "version: 1\nclusters:\n  prod: {certificate: cert.pem}\n  dev: {certificate: other.pem}\nrules:\n\
         - {path: kustomization.yaml, for: [prod], scope: namespace-wide}\n- {path: 'dev/**', for: [dev]}\n",
    );
    let list = resource_list("", "");
    let named = resource_list("", &function_config("for: [dev]"));
    let error = scene.run("plugin kustomize").stdin(&named).fails(1);
    has(&error, &[&other_key().fingerprint]);
    let yes = |key: &str| format!("plugin kustomize --yes-trust {key}");
    let done = scene.run(&yes(&other_key().fingerprint)).stdin(&named).succeeds();
    has(&done.stdout, &[&other_key().key_id]);
    // The command line wins over what the function says, and this over the rule for the folder.
    let done = scene.run("plugin kustomize --cert cert.pem").stdin(&named).succeeds();
    has(&done.stdout, &[&key().key_id]);
    let done = scene.run(&yes(&key().fingerprint)).stdin(&list).succeeds();
    has(&done.stdout, &[&key().key_id, "namespace-wide: \"true\""]);
    has(&done.stderr, &["rule 1, kustomization.yaml"]);
    let error = scene.run("plugin kustomize --rule-for dev/x.yaml").stdin(&list).fails(2);
    has(&error, &["--rule-for: dev/x.yaml: there is no such folder"]);
    std::fs::create_dir(scene.path("dev")).unwrap();
    let done = scene.run("plugin kustomize --rule-for dev/x.yaml").stdin(&list).succeeds();
    has(&done.stdout, &[&other_key().key_id]);
    let done = scene.run("plugin helm --rule-for dev/app.yaml").stdin(rendered(Some("ns"))).succeeds();
    has(&done.stdout, &[&other_key().key_id]);
    has(&scene.run("plugin helm").stdin(rendered(Some("ns"))).fails(2), &["manifests.yaml: no rule of "]);
}

#[test]
fn what_is_there_to_copy_fits_this_program() {
    let deploy = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let plugin = std::fs::read_to_string(deploy.join("helm-plugin/plugin.yaml")).unwrap();
    has(
        &plugin,
        &[
            concat!("version: ", env!("CARGO_PKG_VERSION"), "\n"),
            "command: privyseal\n      args: [plugin, helm]\n",
        ],
    );

    let function = std::fs::read_to_string(deploy.join("kustomize/seal.yaml")).unwrap();
    has(&function, &["path: privyseal\n        args: [plugin, kustomize]\n"]);
    let scene = Scene::new();
    scene.file(".privyseal.yaml", "version: 1\nclusters: {prod: {certificate: cert.pem}}\n");
    let config = format!("functionConfig:\n  {}", function.trim_end().replace('\n', "\n  "));
    let run = scene.run(&format!("plugin kustomize --yes-trust {}", key().fingerprint));
    has(&run.stdin(resource_list("", &config)).succeeds().stdout, &["kind: SealedSecret"]);
}
