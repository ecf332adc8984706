use super::*;
use privyseal_envelope::age::Identity;

const GOOD: &str = "\
version: 1
clusters:
  prod-eu:
    keys: .privyseal/prod-eu.keys
    context: admin@prod-eu
    controllerNamespace: sealing
  dev:
    certificate: keys/dev.pem
  live:
    context: live
rules:
  - path: clusters/prod-eu/**
    for: [prod-eu]
    format: classic
    scope: namespace-wide
  - path: \"*.yaml\"
    for: [dev]
  - path: '**/dev-{a,b}/*'
    for: [live]
";

fn problem(text: &str) -> String {
    Config::parse(text).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn clusters_and_rules_are_read() {
    let config = Config::parse(GOOD).unwrap();
    let (_, prod) = config.cluster("prod-eu").unwrap();
    assert_eq!(prod.keys, Some(KeySource::Published(".privyseal/prod-eu.keys".to_owned())));
    assert_eq!(prod.context.as_deref(), Some("admin@prod-eu"));
    assert_eq!(prod.controller_namespace.as_ref().map(Namespace::as_str), Some("sealing"));
    assert_eq!(config.cluster("live").unwrap().1.keys, None);
    assert!(config.cluster("prod").is_none());
    assert_eq!(config.clusters().count(), 3);
}

#[test]
fn the_first_rule_that_matches_decides() {
    let config = Config::parse(GOOD).unwrap();
    let found =
        |path: &str| config.rule_for(path).map(|rule| (rule.number, rule.clusters[0].as_str(), rule.scope));
    assert_eq!(found("clusters/prod-eu/a/b.yaml"), Some((1, "prod-eu", Some(Scope::NamespaceWide))));
    assert_eq!(found("a.yaml"), Some((2, "dev", None)));
    assert_eq!(found("x/dev-b/s.yaml"), Some((3, "live", None)));
    assert_eq!(found("dev-a/s.yaml"), Some((3, "live", None)));
    // `*` stays within a folder, and a pattern is about the whole path.
    for none in ["a/b.yaml", "clusters/prod-eu", "other/clusters/prod-eu/a.yaml", "dev-a/b/s.yaml"] {
        assert_eq!(found(none), None, "{none}");
    }
}

#[test]
fn several_are_sealed_for_in_format_age() {
    let text = |rule: &str| {
        format!(
            "version: 1\nclusters: {{a: {{certificate: a.pem}}, b: {{context: b}}}}\nrecipients:\n  glass: {{age: {}}}\n  \
             hsm: {{publicKey: keys/hsm.pem}}\nrules:\n  - {rule}\n",
            Identity::generate_x25519().recipient()
        )
    };
    let rule = |text: &str| Config::parse(text).unwrap().rule_for("x").unwrap().clone();
    assert_eq!(rule(&text("{path: x, for: [a]}")).format(), Format::Classic);
    assert_eq!(rule(&text("{path: x, for: [a], format: age}")).format(), Format::Age);
    let all = rule(&text("{path: x, for: [b, glass, a, hsm]}"));
    assert_eq!(all.format(), Format::Age);
    assert_eq!(all.clusters.iter().map(ClusterName::as_str).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(all.recipients.iter().map(RecipientName::as_str).collect::<Vec<_>>(), ["glass", "hsm"]);
    assert_eq!(rule(&text("{path: x, for: [hsm]}")).format(), Format::Age);
    let config = Config::parse(&text("{path: x, for: [a]}")).unwrap();
    assert!(matches!(config.recipient("glass"), Some((_, RecipientSource::Age(_)))));
    assert_eq!(config.recipient("hsm").unwrap().1, &RecipientSource::PublicKey("keys/hsm.pem".into()));
    for bad in ["{path: x, for: [a, b], format: classic}", "{path: x, for: [glass], format: classic}"] {
        assert!(
            problem(&text(bad)).contains("rules[0].format: a classic value opens in one cluster"),
            "{bad}"
        );
    }
}

#[test]
fn what_is_no_recipient_is_told_with_its_place() {
    let text = |recipient: &str| {
        format!("version: 1\nclusters: {{a: {{context: a}}}}\nrecipients:\n  {recipient}\n")
    };
    for (recipient, told) in [
        ("r: {}", "4:6: recipients.r: give `age` or `publicKey`"),
        ("r: {age: age1x, publicKey: a.pem}", "recipients.r: give `age` or `publicKey`, not both"),
        ("r: {age: age1x}", "4:12: recipients.r.age: not an age recipient"),
        ("r: {publicKey: ../a.pem}", "recipients.r.publicKey: not a path relative"),
        ("a: {publicKey: a.pem}", "recipients.a: a cluster has that name"),
        ("-: {publicKey: a.pem}", "recipients.-: not the name of a recipient"),
        (
            "AGE1x: {publicKey: a.pem}",
            "recipients.AGE1x: not the name of a recipient: a name that looks like",
        ),
    ] {
        let problem = problem(&text(recipient));
        assert!(problem.contains(told), "{problem}");
    }
    let another = Identity::generate_x25519().recipient();
    let told = problem(&text(&format!("{another}: {{publicKey: a.pem}}")));
    assert!(told.contains(": a name that looks like a recipient"), "{told}");
    let secret = Identity::generate_x25519().to_text();
    let problem = problem(&text(&format!("r: {{age: {}}}", secret.trim())));
    assert!(problem.contains("private half") && !problem.contains(secret.trim()), "{problem}");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let with =
        |cluster: &str, rule: &str| format!("version: 1\nclusters:\n  a: {cluster}\nrules:\n  - {rule}\n");
    let good_rule = "{path: x, for: [a]}";
    let good_cluster = "{certificate: a.pem}";
    for (text, told) in [
        (with("{}", good_rule), "3:6: clusters.a: give `keys`, `certificate` or `context`"),
        (with("{keys: a, certificate: b}", good_rule), "clusters.a: give `keys` or `certificate`, not both"),
        (with("{keys: ../a}", good_rule), "3:13: clusters.a.keys: not a path relative to this file"),
        (with("{keys: /a}", good_rule), "not a path relative"),
        (with("{certificate: 'c:\\a'}", good_rule), "not a path relative"),
        (with("{context: c, controllerName: A_}", good_rule), "clusters.a.controllerName: not"),
        (with("{context: c, url: x}", good_rule), "url"),
        (
            with(good_cluster, "{path: x, for: [b]}"),
            "5:20: rules[0].for: there is no b under `clusters` or `recipients`",
        ),
        (with(good_cluster, "{path: x, for: []}"), "rules[0].for: name a cluster or recipient"),
        (with(good_cluster, "{path: x, for: [a, a]}"), "rules[0].for: a is there twice"),
        (with(good_cluster, "{path: '[', for: [a]}"), "5:12: rules[0].path: "),
        (with(good_cluster, "{path: x, for: [a], scope: wide}"), "wide"),
        (with(good_cluster, "{path: x, for: [a], format: pgp}"), "pgp"),
        ("version: 1\nclusters: {'a/b': {context: c}}\n".to_owned(), "not the name of a cluster"),
        (
            "version: 1\nclusters: {age1x: {context: c}}\n".to_owned(),
            "clusters.age1x: not the name of a cluster: a name that looks like a recipient",
        ),
        ("version: 3\nanything: new\n".to_owned(), "version 3 is not known to this release"),
        ("rules: []\n".to_owned(), "version"),
        ("version: 1\nrules: [\n".to_owned(), ":"),
    ] {
        let error = problem(&text);
        assert!(error.contains(told), "{error}\nis not: {told}");
    }
}

#[test]
fn the_schema_takes_what_the_reader_takes() {
    let schema = Config::json_schema();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["clusters"]["additionalProperties"]["$ref"], "#/$defs/ClusterText");
    let text = schema.to_string();
    for field in ["controllerNamespace", "certificate", "\"for\"", "namespace-wide"] {
        assert!(text.contains(field), "{field} is not in {text}");
    }
}

#[test]
fn lint_ignores_codes_by_path_and_says_why() {
    let text =
        "version: 1\nlint:\n  ignore:\n    - {path: 'test/**', codes: [PS001, PS070], reason: test data}\n";
    let config = Config::parse(text).unwrap();
    let ignored = |path| config.lint_ignores(path).flat_map(|ignore| ignore.codes.clone()).count();
    assert_eq!((ignored("test/a/b.yaml"), ignored("a/test/b.yaml")), (2, 0));
    for (broken, told) in [
        (text.replace("PS001", "PS999"), "4:33: lint.ignore[0].codes: not a code"),
        (text.replace(", reason: test data", ""), "reason"),
        (text.replace("PS001, PS070", ""), "4:14: lint.ignore[0].codes: name the codes"),
        (text.replace("test/**", "test/["), "4:14: lint.ignore[0].path: "),
    ] {
        let problem = problem(&broken);
        assert!(problem.contains(told), "{problem}");
    }
}
