//! Rules on small texts. Whole repositories, with real seals, are in the tests of the command line.

use super::*;
use crate::{ClusterName, KeyFile, KeySource, Pin, Subject, Trust};
use jiff::Timestamp;
use privyseal_envelope::Item;
use privyseal_envelope::age::{Identity, Recipients};
use privyseal_envelope::rsa::KeySize;
use privyseal_keys::{KeyPair, PublishedKeys, PublisherKey};
use privyseal_manifest::{Secret, emit};
use privyseal_seal::{SealTo, Sealing, seal};

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn check(files: &[(&str, &str)]) -> Vec<Finding> {
    let checked = files.iter().map(|(path, text)| {
        let input = FileInput {
            path,
            within: path,
            bytes: text.as_bytes(),
            expected: Expected::default(),
            ignored: &[],
            asked_for: true,
        };
        check_file(&input, now())
    });
    conclude(checked.collect(), Vec::new(), &Selection::default()).findings
}

fn codes(files: &[(&str, &str)]) -> Vec<&'static str> {
    check(files).iter().map(|finding| finding.code.id()).collect()
}

fn secret(data: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a, namespace: b}}\n{data}\n")
}

fn sealed(metadata: &str, spec: &str) -> String {
    format!(
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {{{metadata}}}\nspec: {{{spec}}}\n"
    )
}

const NAMES: &str = "name: a, namespace: b";

#[test]
fn a_secret_is_plain_if_a_value_is() {
    for (data, found) in [
        ("stringData: {a: hunter2}", true),
        ("data: {a: aHVudGVyMg==}", true),
        ("data: {a: not base64}", true),
        ("data: {a: \"/w==\"}", true),
        ("stringData: {a: 12345}", true),
        ("stringData: {a: changeme, b: hunter2}", true),
        ("stringData: &x {a: hunter2}", true),
        ("sops: text\nstringData: {a: hunter2}", true),
        ("stringData: {}", false),
        ("data:", false),
        ("stringData: {a: null, b: ''}", false),
        ("data: {a: PHBhc3N3b3JkPg==}", false),
        ("data: {a: 'ENC[AES256_GCM,data:x]'}", false),
        ("sops: {mac: x}\nstringData: {a: hunter2}", false),
        ("type: Opaque", false),
    ] {
        let expected: &[&str] = if found { &["PS001"] } else { &[] };
        assert_eq!(codes(&[("x.yaml", &secret(data))]), expected, "{data}");
    }
    let other = secret("stringData: {a: b}").replace("apiVersion: v1", "apiVersion: example.com/v1");
    assert_eq!(codes(&[("x.yaml", &other)]), [""; 0]);
}

#[test]
fn no_finding_holds_a_value() {
    let texts = [
        secret("stringData: {hunter2 x: hunter2, a: hunter2}"),
        secret("stringData: hunter2"),
        secret("stringData: {a: hunter2}").replace("name: a", "name: hunter2 hunter2"),
        sealed(NAMES, "encryptedData: {a: hunter2, hunter2 x: hunter2, b: aHVudGVyMg==}"),
        sealed(NAMES, "encryptedData: [hunter2]"),
        sealed(NAMES, "hunter2 x: hunter2"),
        sealed("name: hunter2 x", "encryptedData: {}"),
        sealed(
            "name: a, namespace: b, annotations: {kubectl.kubernetes.io/last-applied-configuration: hunter2}",
            "template: {data: {password: hunter2}}, encryptedData: {}",
        ),
        sealed(
            "name: a, namespace: b, annotations: {kapp.k14s.io/original: '{\"data\":{\"a\":\"aHVudGVyMg==\"}}'}",
            "encryptedData: {a: AgB}",
        ),
        sealed(
            "name: a, namespace: b, annotations: {sealedsecrets.bitnami.com/cluster-wide: 'hunter2\n x'}",
            "encryptedData: {}",
        ),
        format!("{}: hunter2\n  - hunter2", secret("stringData: {a: hunter2}")),
    ];
    let mut told = 0;
    for text in &texts {
        for finding in check(&[("x.yaml", text)]) {
            let shown = format!("{finding:?}");
            assert!(!shown.contains("hunter2") && !shown.contains("aHVudGVy"), "{text}\n{shown}");
            told += 1;
        }
    }
    assert!(told >= 10, "{told}");
}

#[test]
fn templates_are_left_alone() {
    for text in [
        sealed("name: 'x-{{ .Release.Name }}', namespace: b", "encryptedData: {a: AgB}"),
        sealed("name: '${cluster}-x', namespace: b", "encryptedData: {a: AgB}"),
        sealed(NAMES, "encryptedData: {a: '{{ .Values.a }}', b: '${B}', c: '<path:x#y>'}"),
        sealed(NAMES, "template: {data: {password: '{{ .password }}'}}, encryptedData: {}"),
        "{{ if x }}\nkind: Secret\n{{ end }}\n".to_owned(),
        "kind: Secret\nmetadata: {{ toYaml .x }}\n".to_owned(),
    ] {
        assert_eq!(codes(&[("x.yaml", &text)]), [""; 0], "{text}");
    }
}

#[test]
fn files_of_something_else_are_left_alone() {
    for (path, text) in [
        ("x.yaml", "- kind: Secret\n  stringData: {a: b}\n"),
        ("x.json", "[{\"kind\": \"Secret\"}]"),
        ("x.md", "kind: Secret\n  broken: [\n"),
        ("x.yaml", "Secret: [\n"),
        ("x.yaml", ""),
        ("x.yaml", "# kind: Secret\n"),
    ] {
        assert_eq!(codes(&[(path, text)]), [""; 0], "{text}");
    }
    assert_eq!(codes(&[("x.yaml", "kind: Secret\n  broken: [\n")]), ["PS011"]);
    assert_eq!(codes(&[("x.JSON", "{\"kind\": \"SealedSecret\",,}")]), ["PS011"]);
}

#[test]
fn names_count_as_far_as_the_scope_binds_to_them() {
    let annotation = |scope: &str| match scope {
        "strict" => String::new(),
        scope => format!(", annotations: {{sealedsecrets.bitnami.com/{scope}: 'true'}}"),
    };
    for (scope, template, kustomization, expected) in [
        ("strict", "name: a, namespace: b", "", &[][..]),
        ("strict", "name: c", "", &["PS023"][..]),
        ("strict", "namespace: c", "", &["PS023"]),
        ("strict", "name: p-a", "namePrefix: p-", &[]),
        ("strict", "name: a", "namePrefix: p-", &["PS031"]),
        ("strict", "name: a", "namespace: c", &["PS030"]),
        ("strict", "name: a, namespace: c", "namespace: c", &[]),
        ("strict", "name: a", "namespace: '${x}'", &[]),
        ("namespace-wide", "name: c", "namePrefix: p-", &[]),
        ("namespace-wide", "namespace: c", "", &["PS023"]),
        ("namespace-wide", "", "namespace: c", &["PS030"]),
        ("cluster-wide", "name: c, namespace: d", "namePrefix: p-\nnamespace: c", &[]),
    ] {
        let text = sealed(
            &format!("{NAMES}{}", annotation(scope)),
            &format!("template: {{metadata: {{{template}}}}}, encryptedData: {{}}"),
        );
        let kustomization = format!("resources: [x.yaml]\n{kustomization}\n");
        let files = [("k/x.yaml", text.as_str()), ("k/kustomization.yaml", &kustomization)];
        assert_eq!(codes(&files), expected, "{scope} {template} {kustomization}");
    }
}

#[test]
fn one_name_in_two_overlays_is_no_duplicate() {
    let text = sealed(NAMES, "encryptedData: {}");
    let list = "resources: [x.yaml]\n";
    let apart = [
        ("a/x.yaml", &*text),
        ("b/x.yaml", &*text),
        ("a/kustomization.yaml", list),
        ("b/kustomization.yaml", list),
    ];
    assert_eq!(codes(&apart), [""; 0]);
    let both = "resources: [a, b/x.yaml]\n";
    let together = [apart[0], apart[1], apart[2], ("kustomization.yaml", both)];
    let found = check(&together);
    assert_eq!(
        found.iter().map(|f| (f.code.id(), f.path.as_str())).collect::<Vec<_>>(),
        [("PS032", "b/x.yaml")]
    );
}

/// A backup of a key that somebody committed must not be sealed with that key.
#[test]
fn an_opening_key_is_not_to_be_sealed() {
    let key = secret("data: {tls.key: aHVudGVyMg==}")
        .replace("namespace: b", "namespace: b, labels: {sealedsecrets.bitnami.com/sealed-secrets-key: ''}");
    let beside = sealed(NAMES, "encryptedData: {}");
    let found = check(&[("x.yaml", &key), ("y.yaml", &beside)]);
    let [finding] = &found[..] else { panic!("{found:?}") };
    assert_eq!(finding.code, Code::PlainKey);
    let cure = finding.cure.as_deref().unwrap();
    assert!(cure.contains("never seal") && cure.contains("keys compromised"), "{cure}");
    let filled = key.replace("aHVudGVyMg==", "'{{ .key }}'");
    assert_eq!(codes(&[("x.yaml", &filled)]), [""; 0]);
}

#[test]
fn literals_of_a_generator_are_plain_if_a_value_is() {
    for (literals, found) in [
        ("[password=hunter2]", true),
        ("['password=\"hunter2\"', a=changeme]", true),
        ("[a=changeme, b=${B}, c=, 'd=\"\"', e='{{ x }}', f]", false),
        ("[]", false),
    ] {
        let text = format!("secretGenerator: [{{name: a, literals: {literals}}}]\n");
        let found_now = check(&[("k/kustomization.yaml", &text)]);
        assert_eq!(
            found_now.iter().map(|finding| finding.code).collect::<Vec<_>>(),
            if found { vec![Code::PlainLiteral] } else { vec![] },
            "{literals}"
        );
        assert!(!format!("{found_now:?}").contains("hunter2"));
        // A ConfigMap is no secret.
        let text = text.replace("secretGenerator", "configMapGenerator");
        assert_eq!(codes(&[("k/kustomization.yaml", &text)]), [""; 0]);
    }
}

#[test]
fn what_was_sealed_lies_beside_in_any_file_of_the_folder() {
    let [plain, other] = [secret("stringData: {a: hunter2}"), secret("stringData: {a: hunter3}")];
    let several = format!("{}---\n{plain}", other.replace("name: a", "name: z"));
    let beside = format!("kind: ConfigMap\n---\n{}", sealed(NAMES, "encryptedData: {}"));
    let found =
        check(&[("k/plain.yaml", &several), ("k/other.yaml", "kind: Secret\n"), ("k/all.yaml", &beside)]);
    let told: Vec<_> = found.iter().map(|finding| (finding.code.id(), finding.path.as_str())).collect();
    assert_eq!(told, [("PS001", "k/plain.yaml"), ("PS002", "k/plain.yaml")]);
    let elsewhere = [("k/plain.yaml", plain.as_str()), ("j/all.yaml", &beside)];
    assert_eq!(codes(&elsewhere), ["PS001"]);
    let of_another_namespace = beside.replace("namespace: b", "namespace: c");
    assert_eq!(codes(&[("k/plain.yaml", &plain), ("k/all.yaml", &of_another_namespace)]), ["PS001"]);
}

/// Files of a folder `k` with this kustomization, a SealedSecret `a`, and a Pod that refers to it.
fn folder(kustomization: &str, more: &[(&str, &str)]) -> Vec<&'static str> {
    let wide = "name: a, namespace: b, annotations: {sealedsecrets.bitnami.com/namespace-wide: 'true'}";
    let text = sealed(wide, "encryptedData: {}");
    let pod = "kind: Pod\nmetadata: {name: p, namespace: b}\nspec: {volumes: [{secret: {secretName: a}}]}\n";
    let kustomization = format!("resources: [x.yaml, pod.yaml]\n{kustomization}\n");
    let mut files = vec![("k/x.yaml", text.as_str()), ("k/pod.yaml", pod)];
    files.push(("k/kustomization.yaml", &kustomization));
    files.extend(more);
    codes(&files)
}

#[test]
fn references_follow_a_renamed_object_or_that_is_told() {
    const NAMES: (&str, &str) = ("k/names.yaml", "nameReference: [{kind: SealedSecret, fieldSpecs: []}]\n");
    for (kustomization, more, expected) in [
        ("", &[][..], &[][..]),
        ("namePrefix: p-", &[], &["PS035"]),
        ("nameSuffix: -s", &[], &["PS035"]),
        ("nameSuffix: '${s}'", &[], &[]),
        ("namePrefix: p-\nconfigurations: [names.yaml]", &[NAMES], &[]),
        ("namePrefix: p-\nconfigurations: [names.yaml]", &[], &["PS035"]),
        (
            "namePrefix: p-\nconfigurations: [n.yaml]",
            &[("k/n.yaml", "varReference: [{kind: SealedSecret}]\n")],
            &["PS035"],
        ),
        // A component brings it along.
        (
            "namePrefix: p-\ncomponents: [../c]",
            &[("c/kustomization.yaml", "configurations: [names.yaml]\n"), ("c/names.yaml", NAMES.1)],
            &[],
        ),
        ("", &[("o/kustomization.yaml", "namePrefix: p-\nresources: [../k]\n")], &["PS035"]),
    ] {
        assert_eq!(folder(kustomization, more), expected, "{kustomization} {more:?}");
    }
}

/// A hook of Git names the files of a commit; what makes references follow may lie elsewhere.
#[test]
fn what_makes_references_follow_counts_where_it_was_not_asked_for() {
    let text = sealed(NAMES, "encryptedData: {}")
        .replace("name: a", "name: a, annotations: {sealedsecrets.bitnami.com/namespace-wide: 'true'}");
    let pod = "kind: Pod\nmetadata: {name: p, namespace: b}\nspec: {imagePullSecrets: [{name: a}]}\n";
    for (names, expected) in [("SealedSecret", 0), ("Secret", 1)] {
        let names = format!("nameReference: [{{kind: {names}}}]\n");
        let files = [
            ("k/x.yaml", text.as_str(), true),
            ("k/pod.yaml", pod, true),
            (
                "k/kustomization.yaml",
                "namePrefix: p-\nresources: [x.yaml, pod.yaml]\ncomponents: [../c]\n",
                false,
            ),
            ("c/kustomization.yaml", "configurations: [names.yaml]\n", false),
            ("c/names.yaml", &names, false),
        ];
        let checked = files.iter().map(|&(path, text, asked_for)| {
            let (bytes, expected) = (text.as_bytes(), Expected::default());
            let input = FileInput { path, within: path, bytes, expected, ignored: &[], asked_for };
            if asked_for { check_file(&input, now()) } else { check_neighbour(&input, now()) }
        });
        let found = conclude(checked.collect(), Vec::new(), &Selection::default()).findings;
        assert_eq!(
            found.iter().filter(|finding| finding.code == Code::LeftBehind).count(),
            expected,
            "{found:?}"
        );
    }
}

#[test]
fn a_generated_secret_of_the_same_name_is_told_in_one_build_only() {
    let generator = |text: &str| format!("secretGenerator: [{{{text}}}]");
    for (kustomization, more, expected) in [
        (generator("name: a"), &[][..], &["PS033"][..]),
        (generator("name: a, options: {disableNameSuffixHash: true}"), &[], &["PS033"]),
        (generator("name: c"), &[], &[]),
        (generator("name: a, namespace: c"), &[], &[]),
        (format!("namespace: b\n{}", generator("name: a, namespace: c")), &[], &["PS033"]),
        // One makes it for development, another has it sealed.
        (String::new(), &[("dev/kustomization.yaml", "secretGenerator: [{name: a}]\n")], &[]),
        (
            String::new(),
            &[("o/kustomization.yaml", "resources: [../k]\nsecretGenerator: [{name: a}]\n")],
            &["PS033"],
        ),
        (
            String::new(),
            &[
                ("o/kustomization.yaml", "resources: [../k, ../g]\n"),
                ("g/kustomization.yaml", "namePrefix: p-\nsecretGenerator: [{name: a}]\n"),
            ],
            &[],
        ),
    ] {
        assert_eq!(folder(&kustomization, more), expected, "{kustomization} {more:?}");
    }
}

#[test]
fn a_function_must_seal_for_the_name_that_comes_of_it() {
    let function = |more: &str, spec: &str| {
        format!(
            "kind: SealSecrets\nmetadata: {{name: x, annotations: {{config.kubernetes.io/function: 'exec: {{path: privyseal, args: [plugin, kustomize{more}]}}'}}}}\nspec: {{{spec}}}\n"
        )
    };
    const NO_HASH: &str = "generatorOptions: {disableNameSuffixHash: true}\n";
    for (more, spec, before, generator, outer, expected) in [
        ("", "", "", "name: g", "", &["PS034"][..]),
        ("", "", NO_HASH, "name: g", "", &[]),
        ("", "", NO_HASH, "name: g", "namePrefix: p-\n", &["PS034"]),
        ("", "", "namePrefix: p-\ngeneratorOptions: {disableNameSuffixHash: true}\n", "name: g", "", &[]),
        ("", "scope: namespace-wide", "", "name: g", "namePrefix: p-\n", &[]),
        (", --scope, cluster-wide", "", "", "name: g", "", &[]),
        (
            "",
            "",
            "",
            "name: g, options: {annotations: {sealedsecrets.bitnami.com/cluster-wide: 'true'}}",
            "",
            &[],
        ),
    ] {
        let text = function(more, spec);
        let kustomization = format!("{before}secretGenerator: [{{{generator}}}]\ntransformers: [f.yaml]\n");
        let files = [
            ("k/kustomization.yaml", kustomization.as_str()),
            ("k/f.yaml", &text),
            ("o/kustomization.yaml", &format!("{outer}resources: [../k]\n")),
        ];
        assert_eq!(codes(&files), expected, "{files:?}");
        // Written in place it is the same.
        let lines: Vec<String> = text.lines().map(|line| format!("    {line}\n")).collect();
        let inline = kustomization.replace("[f.yaml]", &format!("\n  - |\n{}", lines.concat()));
        assert_eq!(codes(&[("k/kustomization.yaml", inline.as_str()), files[2]]), expected, "{inline}");
    }
    let other = function("", "").replace("privyseal", "another");
    let kustomization = "secretGenerator: [{name: g}]\ntransformers: [f.yaml]\n";
    assert_eq!(codes(&[("k/kustomization.yaml", kustomization), ("k/f.yaml", &other)]), [""; 0]);
}

#[test]
fn a_sealed_value_is_not_to_be_copied_to_another_name() {
    let strict = sealed(NAMES, "encryptedData: {}");
    let replace = |path: &str, target: &str| {
        format!(
            "resources: [x.yaml]\nreplacements: [{{source: {{kind: SealedSecret, name: a, fieldPath: {path}}}, targets: [{{select: {{kind: SealedSecret, name: {target}}}}}]}}]\n"
        )
    };
    for (path, target, expected) in [
        ("spec.encryptedData.password", "c", &["PS036"][..]),
        ("spec.encryptedData.password", "a", &[]),
        ("metadata.name", "c", &[]),
    ] {
        let files = [("k/x.yaml", strict.as_str()), ("k/kustomization.yaml", &replace(path, target))];
        assert_eq!(codes(&files), expected, "{path} {target}");
    }
    let wide = sealed(
        "name: a, namespace: b, annotations: {sealedsecrets.bitnami.com/namespace-wide: 'true'}",
        "encryptedData: {}",
    );
    let files =
        [("k/x.yaml", wide.as_str()), ("k/kustomization.yaml", &replace("spec.encryptedData.x", "c"))];
    assert_eq!(codes(&files), [""; 0]);
}

#[test]
fn flux_waits_for_what_it_applies_or_that_is_told() {
    let text = sealed(NAMES, "encryptedData: {}");
    for (spec, more, expected) in [
        ("path: ./apps", "", &["PS037"][..]),
        ("path: /apps/", "", &["PS037"]),
        ("path: ./apps/k", "", &["PS037"]),
        ("", "", &["PS037"]),
        ("path: ./apps, wait: true", "", &[]),
        ("path: ./apps, wait: false", "", &["PS037"]),
        ("path: ./apps, healthChecks: [{kind: x}]", "", &[]),
        ("path: ./apps, healthCheckExprs: [{kind: x}]", "", &["PS037"]),
        ("path: ./apps, wait: true, healthChecks: [{kind: x}]", "", &["PS038"]),
        ("path: ./apps, suspend: true", "", &[]),
        ("path: ./apps, wait: true, force: true", "", &["PS039"]),
        ("path: ./apps, wait: true, force: false", "", &[]),
        ("path: ./apps, force: true", "", &["PS037", "PS039"]),
        ("path: ./other, wait: true, force: true", "", &[]),
        ("path: './apps/${stage}'", "", &[]),
        ("path: ./other", "", &[]),
        ("path: ./app", "", &[]),
        // What the folder's own kustomization does not list is not applied.
        ("path: ./apps", "resources: []\n", &[]),
        ("path: ./apps", "resources: [k/x.yaml]\n", &["PS037"]),
    ] {
        let flux = format!(
            "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {{name: x}}\nspec: {{{spec}}}\n"
        );
        let mut files = vec![("apps/k/x.yaml", text.as_str()), ("clusters/flux.yaml", &flux)];
        if !more.is_empty() {
            files.push(("apps/kustomization.yaml", more));
        }
        assert_eq!(codes(&files), expected, "{spec} {more}");
    }
}

#[test]
fn marks_of_other_tools_in_the_template_are_told_and_removed() {
    for (name, told) in [
        ("argocd.argoproj.io/tracking-id", true),
        ("argocd.argoproj.io/sync-wave", false),
        ("kustomize.toolkit.fluxcd.io/name", true),
        ("kustomize.toolkit.fluxcd.io/prune", false),
        ("helm.toolkit.fluxcd.io/namespace", true),
        ("meta.helm.sh/release-name", true),
        ("app.kubernetes.io/instance", false),
    ] {
        for field in ["labels", "annotations"] {
            let template = format!("template: {{metadata: {{{field}: {{{name}: x}}}}}}, encryptedData: {{}}");
            let found = check(&[("x.yaml", &sealed(NAMES, &template))]);
            assert_eq!(found.len(), usize::from(told), "{name}: {found:?}");
            assert!(found.iter().all(|finding| finding.code == Code::Tracking && finding.fix.is_some()));
            // On the SealedSecret itself it belongs.
            let outside = sealed(&format!("{NAMES}, {field}: {{{name}: x}}"), "encryptedData: {}");
            assert_eq!(codes(&[("x.yaml", &outside)]), [""; 0]);
        }
    }
}

/// What makes an object large is told: recipients cost something in each value.
#[test]
fn a_large_object_of_the_age_format_says_what_it_is_made_of() {
    let recipients = |count| {
        let one = || Identity::generate_hybrid().unwrap().recipient();
        Recipients::new((0..count).map(|_| one())).unwrap()
    };
    let object = |values: usize, to: &Recipients| {
        let mut secret = Secret::default();
        secret.metadata.namespace = Some("b".to_owned());
        secret.metadata.name = Some("a".to_owned());
        for index in 0..values {
            secret.data.insert(Item::parse(format!("item-{index}")).unwrap(), b"hunter2"[..].into());
        }
        let how = Sealing { to: SealTo::Age(to), scope: None, allow_empty: false };
        emit::to_yaml(&seal(&secret, &how).unwrap())
    };
    let [five, one] = [5, 1].map(recipients);
    let cost = (object(1, &five).len() - object(1, &one).len()) / 4;
    assert!((1900..2300).contains(&cost), "{cost} bytes for a recipient");
    assert_eq!(codes(&[("x.yaml", &object(10, &five))]), [""; 0]);
    for (values, code) in [(21, "PS065"), (30, "PS064"), (125, "PS063"), (150, "PS062")] {
        let found = check(&[("x.yaml", &object(values, &five))]);
        let [finding] = &found[..] else { panic!("{found:?}") };
        assert_eq!(finding.code.id(), code, "{}", finding.message);
        let made_of = format!("({values} values of the age format for up to 5 recipients; ");
        assert!(finding.message.contains(&made_of), "{}", finding.message);
    }
}

#[test]
fn what_was_not_asked_for_is_not_told() {
    let plain = secret("stringData: {a: hunter2}");
    let input = FileInput {
        path: "x.yaml",
        within: "x.yaml",
        bytes: plain.as_bytes(),
        expected: Expected::default(),
        ignored: &[],
        asked_for: false,
    };
    let report = conclude(vec![check_file(&input, now())], Vec::new(), &Selection::default());
    assert_eq!((report.findings.len(), report.files), (0, 0));
}

#[test]
fn a_key_file_is_believed_as_far_as_trust_goes() {
    let cluster = ClusterName::parse("prod").unwrap();
    let publisher = PublisherKey::generate().unwrap();
    let day = jiff::SignedDuration::from_hours(24);
    let pair = KeyPair::generate(KeySize::Rsa2048, "", now(), day).ok().unwrap();
    let list = PublishedKeys { serial: 4, time: now(), keys: vec![pair.public_half()], revoked: Vec::new() };
    let source = KeySource::Published("prod.keys".to_owned());
    let text = KeyFile(list.publish(&publisher)).to_text();
    let judge = |trust: &Trust, text: &str, now| {
        let judged = judge_key_file(&cluster, &source, "prod.keys", text.as_bytes(), trust, now);
        let code = judged.finding.map(|finding| finding.code);
        (judged.keys.is_some(), code, judged.unpinned.is_some())
    };
    let pinned = |fingerprint, serial| {
        let mut trust = Trust::default();
        trust.pin(Subject::Cluster("prod".to_owned()), Pin::Publisher { fingerprint, serial });
        trust
    };
    let own = publisher.public_key().fingerprint();
    assert_eq!(judge(&pinned(own, 4), &text, now()), (true, None, false));
    assert_eq!(judge(&Trust::default(), &text, now()), (true, None, true));
    assert_eq!(judge(&pinned(own, 5), &text, now()), (false, Some(Code::KeyFileChanged), false));
    let other = PublisherKey::generate().unwrap().public_key().fingerprint();
    assert_eq!(judge(&pinned(other, 1), &text, now()), (false, Some(Code::KeyFileChanged), false));
    assert_eq!(judge(&pinned(own, 4), &text, now() + day * 2), (true, Some(Code::NoSealingKey), false));
    // Whoever changes the list cannot sign it.
    let forged = text.replace("\\\"serial\\\":4", "\\\"serial\\\":5");
    assert_ne!(forged, text);
    assert_eq!(judge(&Trust::default(), &forged, now()), (false, Some(Code::KeyFileUnusable), false));
}

/// The page that findings link to.
#[test]
fn every_code_has_a_row_and_a_section_in_the_docs() {
    let docs = include_str!("../../../../docs/lint.md");
    let row = |code: &Code| {
        let (id, severity, title) = (code.id(), code.severity(), code.title());
        format!("| [{id}](#{}) | {severity} | {title} |\n", id.to_ascii_lowercase())
    };
    let table: String = Code::ALL.iter().map(row).collect();
    assert!(docs.contains(&table), "the table of docs/lint.md is to be:\n{table}");
    assert_eq!(docs.matches("| [PS").count(), Code::ALL.len());
    let sections: Vec<&str> = docs.lines().filter_map(|line| line.strip_prefix("### PS")).collect();
    let ids: Vec<&str> = Code::ALL.iter().map(|code| &code.id()[2..]).collect();
    assert_eq!(sections, ids);
    for code in Code::ALL {
        let section = docs.split(&format!("### {}\n", code.id())).nth(1).unwrap_or_default();
        let section = section.split("\n### ").next().unwrap_or_default();
        assert!(section.contains("**Cure:** "), "{code}");
        assert!(section.to_lowercase().contains(&format!("{}.", code.severity())), "{code}");
        let fixes = ["PS003", "PS025", "PS046", "PS070", "PS071"].contains(&code.id());
        assert_eq!(section.contains("lint --fix"), fixes, "{code}");
    }
}

#[test]
fn the_hook_and_the_action_have_the_fields_that_their_readers_ask_for() {
    let yaml = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text).unwrap();
    let hooks = yaml(include_str!("../../../../.pre-commit-hooks.yaml"));
    for hook in hooks.as_array().unwrap() {
        for field in ["id", "name", "description", "entry", "language"] {
            assert!(hook[field].is_string(), "{field}");
        }
        let mut words = hook["entry"].as_str().unwrap().split(' ');
        assert_eq!([words.next(), words.next()], [Some("privyseal"), Some("lint")]);
        if words.next() == Some("--only") {
            words.next().unwrap().split(',').for_each(|code| assert!(code.parse::<Code>().is_ok(), "{code}"));
        }
        assert_eq!(words.next(), None);
        assert_eq!(hook["language"], "system");
        assert_eq!(hook["require_serial"], true);
    }
    let ids: Vec<_> = hooks.as_array().unwrap().iter().map(|hook| hook["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["privyseal-plaintext", "privyseal-lint"]);
    let action = yaml(include_str!("../../../../actions/lint/action.yml"));
    assert!(action["name"].is_string() && action["description"].is_string());
    assert_eq!(action["runs"]["using"], "composite");
    let inputs = action["inputs"].as_object().unwrap();
    for (name, input) in inputs {
        assert!(input["description"].is_string() && input["default"].is_string(), "{name}");
    }
    let step = &action["runs"]["steps"][0];
    assert_eq!(step["shell"], "bash");
    // An input in the text of the script would be part of it.
    assert!(!step["run"].as_str().unwrap().contains("${{"));
    for value in step["env"].as_object().unwrap().values() {
        let name = value.as_str().unwrap().trim_start_matches("${{ inputs.").trim_end_matches(" }}");
        assert!(inputs.contains_key(name), "{name}");
    }
}
