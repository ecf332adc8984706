//! What is read from files: streams, lists, encodings, bounds, and what is wrong with broken ones.

use privyseal_envelope::DecodeError;
use privyseal_manifest::{
    Document, DocumentError, Encoding, Found, Limit, Position, Problem, Secret, read, read_at_most,
};

pub(crate) fn secrets(text: impl AsRef<[u8]>) -> Result<Vec<Secret>, DocumentError> {
    read(text.as_ref(), "in.yaml")?.into_iter().map(Document::into_secret).collect()
}

pub(crate) fn secret(text: impl AsRef<[u8]>) -> Result<Secret, DocumentError> {
    secrets(text).map(|mut secrets| secrets.remove(0))
}

/// Place, field and problem of the error that a text gives.
#[track_caller]
pub(crate) fn error(text: impl AsRef<[u8]>) -> (usize, usize, Option<String>, Problem) {
    let error = secrets(text).err().expect("an error");
    let Position { line, column } = error.position();
    (line, column, error.field().map(str::to_owned), error.problem().clone())
}

pub(crate) fn value(secret: &Secret, item: &str) -> String {
    String::from_utf8(secret.data[item].expose().to_vec()).unwrap()
}

const HEAD: &str = "apiVersion: v1\nkind: Secret\n";

#[test]
fn a_plain_secret_has_all_its_parts() {
    let secret = secret(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n  namespace: team-a\n  labels: {app: x}\n  \
         annotations:\n    a/b: c\n  creationTimestamp: null\ntype: Opaque\nimmutable: true\n\
         data:\n  a: aGk=\n  both: aGk=\nstringData:\n  both: wins\n  multi: |\n    x\n    y\n  quoted: \"a\\tb\"\n",
    )
    .unwrap();
    assert_eq!(secret.metadata.name.as_deref(), Some("db"));
    assert_eq!(secret.metadata.namespace.as_deref(), Some("team-a"));
    assert_eq!(secret.metadata.labels.as_ref().unwrap()["app"], "x");
    assert_eq!(secret.metadata.annotations.as_ref().unwrap()["a/b"], "c");
    assert_eq!(secret.metadata.creation_timestamp, None);
    assert_eq!((secret.type_.as_deref(), secret.immutable), (Some("Opaque"), Some(true)));
    assert_eq!(value(&secret, "a"), "hi");
    assert_eq!(value(&secret, "both"), "wins");
    assert_eq!(value(&secret, "multi"), "x\ny\n");
    assert_eq!(value(&secret, "quoted"), "a\tb");
}

#[test]
fn name_and_namespace_may_be_absent() {
    for text in ["metadata: {}", "metadata: null", "metadata: {name: null, namespace: \"\"}", "type: null"] {
        let secret = secret(format!("{HEAD}{text}\n")).unwrap();
        assert_eq!((secret.metadata.name, secret.metadata.namespace), (None, None), "{text}");
        assert!(secret.data.is_empty());
    }
}

#[test]
fn metadata_of_a_live_object_is_kept() {
    let secret = secret(
        r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a","uid":"u","resourceVersion":"12","generation":3,
            "creationTimestamp":"2026-01-02T03:04:05Z","finalizers":["x/y"],"clusterName":"gone",
            "ownerReferences":[{"apiVersion":"bitnami.com/v1alpha1","kind":"SealedSecret","name":"a","uid":"u2"}],
            "managedFields":[{"manager":"m","operation":"Update","fieldsType":"FieldsV1","fieldsV1":{"f:data":{}}}]}}"#,
    )
    .unwrap();
    assert_eq!(
        String::from_utf8(secret.to_json().to_vec()).unwrap(),
        r#"{"apiVersion":"v1","kind":"Secret","metadata":{"creationTimestamp":"2026-01-02T03:04:05Z","finalizers":["x/y"],"generation":3,"managedFields":[{"fieldsType":"FieldsV1","fieldsV1":{"f:data":{}},"manager":"m","operation":"Update"}],"name":"a","ownerReferences":[{"apiVersion":"bitnami.com/v1alpha1","kind":"SealedSecret","name":"a","uid":"u2"}],"resourceVersion":"12","uid":"u"}}"#
    );
}

#[test]
fn streams_and_their_places() {
    let text = format!(
        "\u{feff}# a comment\n---\n---\n{HEAD}metadata: {{name: a}}\n--- # another\n~\n---\n\n{HEAD}metadata: {{name: b}}\n...\n"
    );
    let documents = read(text.as_bytes(), "in.yaml").unwrap();
    let places: Vec<_> = documents.iter().map(|d| (d.number(), d.item(), d.line(), d.encoding())).collect();
    assert_eq!(places, [(1, None, 4, Encoding::Yaml), (2, None, 11, Encoding::Yaml)]);
    assert!(documents.iter().all(|d| d.kind() == Some("Secret") && d.api_version() == Some("v1")));
    assert_eq!(documents[0].source_name(), "in.yaml");
    for nothing in ["", "\n", "# only\n", "---\n---\n", "\u{feff}", "null\n", " \t\n"] {
        assert_eq!(read(nothing.as_bytes(), "in.yaml").map(|all| all.len()).ok(), Some(0), "{nothing:?}");
    }
}

#[test]
fn json_objects_one_after_the_other() {
    let one = r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"a"},"stringData":{"k":"\/\ud83d\ude00\u00e4\n"}}"#;
    for text in [
        format!("{one}{one}"),
        format!("\u{feff}{one}\n{one}\n"),
        format!("\t{one}\n---\n{one}"),
        format!("{one}\r\n\r\n{one}"),
        one.replace(',', ",\n\t").repeat(2),
    ] {
        let documents = read(text.as_bytes(), "in.json").unwrap();
        assert!(documents.iter().all(|document| document.encoding() == Encoding::Json), "{text}");
        let all = secrets(&text).unwrap();
        assert_eq!(all.len(), 2, "{text}");
        assert_eq!(value(&all[1], "k"), "/😀ä\n");
    }
}

#[test]
fn flow_style_and_json_beside_yaml_are_yaml() {
    let json = r#"{"apiVersion":"v1","kind":"Secret","stringData":{"k":"v"}}"#;
    for text in
        ["{apiVersion: v1, kind: Secret, stringData: {k: v}}".to_owned(), format!("{json}\n---\n{HEAD}")]
    {
        let documents = read(text.as_bytes(), "in.yaml").unwrap();
        assert_eq!(documents[0].encoding(), Encoding::Yaml);
        assert_eq!(value(&secret(&text).unwrap(), "k"), "v");
    }
}

#[test]
fn lists_are_replaced_by_their_items() {
    let items = "items:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: a}\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: b}\n";
    let documents = read(format!("apiVersion: v1\nkind: List\n{items}").as_bytes(), "in.yaml").unwrap();
    assert_eq!(
        documents.iter().map(|d| (d.number(), d.item(), d.line())).collect::<Vec<_>>(),
        [(1, Some(0), 4), (1, Some(1), 7)]
    );
    let typed =
        r#"{"kind":"SecretList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"a"}}]}"#;
    assert_eq!(secret(typed).unwrap().metadata.name.as_deref(), Some("a"));
    let sealed =
        r#"{"kind":"SealedSecretList","items":[{"metadata":{"name":"a"},"spec":{"encryptedData":{}}}]}"#;
    assert!(read(sealed.as_bytes(), "in.json").unwrap().remove(0).into_sealed_secret().is_ok());
    for empty in ["kind: List\nitems: []\n", "kind: List\nitems: null\n", "kind: List\n"] {
        assert_eq!(secrets(empty).map(|all| all.len()).ok(), Some(0), "{empty}");
    }
}

#[test]
fn one_bad_item_is_named_and_nothing_is_returned() {
    let text = format!(
        "kind: List\nitems:\n- {{{good}}}\n- {{{good}, data: {{k: \"%\"}}}}\n",
        good = "apiVersion: v1, kind: Secret"
    );
    let error = secrets(&text).err().unwrap();
    assert_eq!(error.item(), Some(1));
    assert_eq!(error.field(), Some("items[1].data.k"));
    assert_eq!(
        error.to_string(),
        "in.yaml:4:44: document 1: items[1].data.k: not standard base64: unexpected character at byte 0"
    );
    let scalar_item = "kind: List\nitems:\n- {apiVersion: v1, kind: Secret}\n- oops\n";
    let (line, column, field, problem) = self::error(scalar_item);
    assert_eq!((line, column, field.as_deref()), (4, 3, Some("items[1]")));
    assert_eq!(problem, Problem::WrongType { expected: "a mapping", found: Found::Text });
}

#[test]
fn aliases_and_merge_keys_work_within_a_document() {
    let text = format!(
        "{HEAD}metadata:\n  labels: &l {{a: x, b: lost}}\n  annotations: *l\nstringData:\n  <<: [*l, {{a: lost, c: z}}]\n  b: own\n  d: &d text\n  e: *d\n"
    );
    let secret = secret(&text).unwrap();
    assert_eq!(secret.metadata.labels, secret.metadata.annotations);
    let values: Vec<_> = secret.data.keys().map(|item| value(&secret, item.as_str())).collect();
    assert_eq!(values, ["x", "own", "z", "text", "text"]);
}

#[test]
fn other_kinds_are_refused_by_name() {
    let cases = [
        ("apiVersion: v1\nkind: ConfigMap\n", (2, 7, "kind", "expected Secret, found ConfigMap")),
        ("apiVersion: v2\nkind: Secret\n", (1, 13, "apiVersion", "expected v1, found v2")),
        ("apiVersion: v1\nkind: my password\n", (2, 7, "kind", "expected Secret, found something else")),
        ("apiVersion: v1\n", (1, 1, "kind", "missing")),
        ("kind: Secret\n", (1, 1, "apiVersion", "missing")),
        ("kind: null\n", (1, 1, "kind", "missing")),
        ("kind: yes\n", (1, 7, "kind", "expected text, found a boolean")),
        ("apiVersion: v1\nkind: List\nitems: {}\n", (2, 7, "kind", "expected Secret, found List")),
    ];
    for (text, (line, column, field, message)) in cases {
        let (at_line, at_column, at_field, problem) = error(text);
        assert_eq!((at_line, at_column, at_field.as_deref()), (line, column, Some(field)), "{text}");
        assert_eq!(problem.to_string(), message, "{text}");
    }
    let sealed = read(b"apiVersion: v1\nkind: Secret\n", "x").unwrap().remove(0).into_sealed_secret();
    assert_eq!(sealed.err().unwrap().problem().to_string(), "expected SealedSecret, found Secret");
}

#[test]
fn fields_that_would_be_lost_are_refused() {
    let unknown = |suggestion| Problem::UnknownField { suggestion };
    for (text, line, field, suggestion) in [
        ("stringdata: {a: b}\n", 3, None, Some("stringData")),
        ("Data: {a: b}\n", 3, None, Some("data")),
        ("metdata: {a: b}\n", 3, None, Some("metadata")),
        ("spec: {}\n", 3, None, None),
        ("metadata:\n  annotation: {a: b}\n", 4, Some("metadata"), Some("annotations")),
        ("metadata:\n  Labels: {a: b}\n", 4, Some("metadata"), Some("labels")),
        ("metadata:\n  lables: {a: b}\n", 4, Some("metadata"), Some("labels")),
    ] {
        let (at, _, at_field, problem) = error(format!("{HEAD}{text}"));
        assert_eq!((at, at_field.as_deref(), problem), (line, field, unknown(suggestion)), "{text}");
    }
    assert!(secret(format!("{HEAD}metadata: {{clusterName: x}}\n")).is_ok(), "Kubernetes drops it, so do we");
    let hint = secrets(format!("{HEAD}stringdata: {{}}\n")).err().unwrap().hint();
    assert_eq!(hint.as_deref(), Some("did you mean `stringData`?"));
}

#[test]
fn names_are_checked() {
    for (text, line, field) in [
        ("metadata: {name: Db}\n", 3, "metadata.name"),
        ("metadata: {name: db, namespace: a.b}\n", 3, "metadata.namespace"),
        ("stringData: {\"a b\": x}\n", 3, "stringData"),
        ("data:\n  ..x: aGk=\n", 4, "data[..x]"),
    ] {
        let (at, _, at_field, problem) = error(format!("{HEAD}{text}"));
        assert_eq!((at, at_field.as_deref()), (line, Some(field)), "{text}");
        assert!(matches!(problem, Problem::Name(_)), "{text}");
    }
}

#[test]
fn data_is_base64_and_errors_say_where() {
    for (text, problem) in [
        ("aGk", Problem::Base64(DecodeError::Padding)),
        ("hunter2!", Problem::Base64(DecodeError::NotBase64 { offset: 7 })),
        ("a-_=", Problem::Base64(DecodeError::NotBase64 { offset: 1 })),
    ] {
        let (line, column, field, found) = error(format!("{HEAD}data:\n  tls.key: {text}\n"));
        assert_eq!((line, column, field.as_deref(), found), (4, 12, Some("data[tls.key]"), problem));
    }
    assert_eq!(value(&secret(format!("{HEAD}data:\n  k: |\n    aGVs\n    bG8=\n")).unwrap(), "k"), "hello");
}

#[test]
fn a_mebibyte_is_the_most() {
    let of = |len: usize| format!("{HEAD}stringData:\n  a: x\n  b: {}\n", "y".repeat(len));
    assert!(secret(of((1 << 20) - 1)).is_ok());
    let (line, column, field, problem) = error(of(1 << 20));
    assert_eq!((line, column, field, problem), (1, 1, None, Problem::TooMuchData { bytes: (1 << 20) + 1 }));
}

#[test]
fn bytes_that_are_not_utf8_are_named() {
    assert_eq!(error(b"\xff\xfea\0").3, Problem::Utf16);
    assert_eq!(error(b"\xfe\xff\0a").3, Problem::Utf16);
    assert_eq!(error(b"a: \xc3\xa4\nbc: \xc3\xa4\xe4 x\n"), (2, 6, None, Problem::NotUtf8));
    let error = read(b"\xff", "x").err().unwrap();
    assert_eq!((error.to_string().as_str(), error.document()), ("x:1:1: not UTF-8", None));
    assert!(error.hint().unwrap().contains("UTF-8"));
}

#[test]
fn broken_syntax_gives_a_place_and_a_fixed_reason() {
    for (text, line, reason) in [
        ("a: b: c\n", 1, "YAML"),
        ("a: [b\n", 1, "YAML"),
        ("a: 'b\n", 1, "YAML"),
        ("a: b\n\tc: d\n", 1, "YAML"),
        ("a: *nowhere\n", 1, "YAML"),
        ("a: &a [*a]\n", 1, "YAML"),
        ("a: @b\n", 1, "YAML"),
        ("{[a]: b}\n", 1, "YAML"),
        ("a: b\n# \u{2028}c: d\n", 2, "YAML"),
        ("a: \"\u{85}\"\n", 1, "YAML"),
        ("a: {<<: b}\n", 1, "YAML"),
        ("{\"a\": \"b\",}\n", 1, "JSON"),
        ("{\"a\":\n \"b\n\"}\n", 2, "JSON"),
        ("{\"a\": yes}\n", 1, "JSON"),
        ("{\"a\": 01}\n", 1, "JSON"),
        ("{\"a\": -}\n", 1, "JSON"),
        ("{\"a\": \"\\ud83d\"}\n", 1, "JSON"),
        ("{\"a\": \"\\ud83d\\u0041\"}\n", 1, "JSON"),
        ("{\"a\": \"\\udc00\"}\n", 1, "JSON"),
        ("{\"a\": \"\\x\"}\n", 1, "JSON"),
        ("{\"a\": \"\\u+123\"}\n", 1, "JSON"),
        ("{\"a\" 1}\n", 1, "JSON"),
        ("{\"a\": 1\n", 2, "JSON"),
        ("{\"a\": [1 2]}\n", 1, "JSON"),
        ("{\"a\": nul}\n", 1, "JSON"),
    ] {
        let (at, _, field, problem) = error(text);
        let Problem::Syntax { encoding, reason: why } = &problem else { panic!("{text}: {problem}") };
        assert_eq!((at, field, encoding.to_string().as_str()), (line, None, reason), "{text}: {why}");
    }
    assert_eq!(
        error("- a\n"),
        (1, 1, None, Problem::WrongType { expected: "a mapping", found: Found::List })
    );
    assert_eq!(error("a b\n").3, Problem::WrongType { expected: "a mapping", found: Found::Text });
}

#[test]
fn duplicate_keys_are_refused_everywhere() {
    let duplicate = |line, column| Problem::DuplicateKey { first: Position { line, column } };
    for (text, line, column, problem) in [
        ("a: 1\nb: 2\na: 3\n", 3, 1, duplicate(1, 1)),
        ("a:\n  x: 1\n  'x': 2\n", 3, 3, duplicate(2, 3)),
        ("a: {x: 1, \"x\": 2}\n", 1, 11, duplicate(1, 5)),
        ("a: &a {x: 1}\nb: {x: 2, <<: *a}\n", 2, 11, duplicate(2, 5)),
        ("a: &a {x: 1}\nb: {<<: *a, <<: *a}\n", 2, 13, duplicate(2, 5)),
        ("{\"a\": 1,\n \"\\u0061\": 2}\n", 2, 2, duplicate(1, 2)),
        ("{\"a\": [{\"ä\": 1, \"ä\": 2}]}\n", 1, 17, duplicate(1, 9)),
    ] {
        assert_eq!(error(text), (line, column, None, problem), "{text}");
    }
}

#[test]
fn a_lower_bound_on_nodes_holds_in_yaml_and_json() {
    // A mapping, a list and its three numbers; in YAML the key counts as well.
    for text in ["a: [1, 2, 3]\n", "{\"a\": [1, 2, 3]}"] {
        assert!(read_at_most(text.as_bytes(), "x", 6).is_ok(), "{text}");
        let error = read_at_most(text.as_bytes(), "x", 4).err().unwrap();
        assert_eq!(*error.problem(), Problem::Limit(Limit::Nodes), "{text}");
    }
}

#[test]
fn hostile_documents_meet_a_limit() {
    let laughs = {
        let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for n in 1..10 {
            let aliases = vec![format!("*a{}", n - 1); 9].join(", ");
            text.push_str(&format!("a{n}: &a{n} [{aliases}]\n"));
        }
        text
    };
    let long = "x".repeat(1 << 20);
    let quadratic = format!("a: &a {long}\nb: [{}]\n", vec!["*a"; 100].join(","));
    let merges = format!(
        "a: &a {{{}}}\nb: [{}]\n",
        (0..1000).map(|n| format!("k{n}: v,")).collect::<String>(),
        "{<<: *a},".repeat(1000)
    );
    let deep_aliases =
        (1..200).fold("a0: &a0 [x]\n".to_owned(), |text, n| format!("{text}a{n}: &a{n} [*a{}]\n", n - 1));
    let indented: String = (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    for (text, limits) in [
        (laughs, &[Limit::Aliases][..]),
        (quadratic, &[Limit::Aliases]),
        (merges, &[Limit::Aliases]),
        (deep_aliases, &[Limit::Depth, Limit::Aliases]),
        (format!("a: {}", "[".repeat(100_000)), &[Limit::Depth]),
        ("- ".repeat(100_000), &[Limit::Depth]),
        (indented, &[Limit::Depth]),
        (format!("{{\"a\": {}", "[".repeat(100_000)), &[Limit::Depth]),
        ("{\"a\": ".repeat(100_000), &[Limit::Depth]),
        (format!("a: [{}]", "1,".repeat(1_000_001)), &[Limit::Nodes]),
        (" ".repeat((64 << 20) + 1), &[Limit::Input]),
    ] {
        match error(&text).3 {
            Problem::Limit(limit) => assert!(limits.contains(&limit), "{limit}"),
            other => panic!("{other}: {}", &text[..text.len().min(60)]),
        }
    }
    assert_eq!(Limit::Depth.to_string(), "more than 100 collections within one another");
}

#[test]
fn crlf_and_missing_final_newline() {
    let text = format!("{HEAD}stringData:\n  a: |\n    x\n    y\n  b: z").replace('\n', "\r\n");
    let secret = secret(text).unwrap();
    assert_eq!(value(&secret, "a"), "x\ny\n");
    assert_eq!(value(&secret, "b"), "z");
}
