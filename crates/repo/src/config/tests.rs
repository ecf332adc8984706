use super::*;

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
        |path: &str| config.rule_for(path).map(|rule| (rule.number, rule.cluster.as_str(), rule.scope));
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
            "5:20: rules[0].for: there is no cluster b under `clusters`",
        ),
        (with(good_cluster, "{path: x, for: []}"), "rules[0].for: name the cluster"),
        (
            with(good_cluster, "{path: x, for: [a, a]}"),
            "rules[0].for: a classic value opens in one cluster only",
        ),
        (with(good_cluster, "{path: '[', for: [a]}"), "5:12: rules[0].path: "),
        (with(good_cluster, "{path: x, for: [a], scope: wide}"), "wide"),
        (with(good_cluster, "{path: x, for: [a], format: age}"), "age"),
        ("version: 1\nclusters: {'a/b': {context: c}}\n".to_owned(), "not the name of a cluster"),
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
