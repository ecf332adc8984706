//! What is text and what is not, where text is wanted. The cases come from `kubectl annotate --local`.

use crate::documents::{error, secret, value};
use privyseal_manifest::{Found, Problem, read};

#[test]
fn unquoted_scalars_that_are_no_text_are_refused_where_text_is_wanted() {
    let boolean = ["yes", "Yes", "YES", "no", "on", "Off", "y", "n", "Y", "N", "true", "False"];
    let number = [
        "5", "-1", "010", "08", "0x10", "0o7", "1e3", "1.5", "1_000", ".5", ".inf", ".nan", "0b1", "+1", "1.",
    ];
    let cases = boolean
        .map(|text| (text, Found::Boolean))
        .into_iter()
        .chain(number.map(|text| (text, Found::Number)));
    for (text, found) in cases {
        for (before, field, line, column) in [
            ("metadata:\n  annotations:\n    a: ", "metadata.annotations.a", 5, 8),
            (
                "metadata:\n  labels:\n    app.kubernetes.io/name: ",
                "metadata.labels[app.kubernetes.io/name]",
                5,
                29,
            ),
            ("metadata:\n  finalizers: [x, ", "metadata.finalizers[1]", 4, 19),
            ("metadata:\n  name: ", "metadata.name", 4, 9),
            ("stringData:\n  password: ", "stringData.password", 4, 13),
            ("data:\n  tls.key: ", "data[tls.key]", 4, 12),
            ("type: ", "type", 3, 7),
        ] {
            let after = if before.ends_with("[x, ") { "]" } else { "" };
            let document = format!("apiVersion: v1\nkind: Secret\n{before}{text}{after}\n");
            let wrong = Problem::WrongType { expected: "text", found };
            assert_eq!(error(&document), (line, column, Some(field.to_owned()), wrong), "{document}");
            let quoted = document.replace(&format!("{before}{text}"), &format!("{before}'{text}'"));
            assert!(!matches!(
                secret(&quoted).err().map(|e| e.problem().clone()),
                Some(Problem::WrongType { .. })
            ));
        }
    }
    let hint = secret("apiVersion: v1\nkind: Secret\nstringData: {a: 5}\n").err().unwrap().hint().unwrap();
    assert!(hint.starts_with("put the value in quotes"), "{hint}");
}

#[test]
fn scalars_that_only_look_odd_are_text() {
    for text in [
        "2026-01-01",
        "12:30",
        "12:30:45",
        "1.2.3",
        "0x",
        "08x",
        "1,000",
        "yEs",
        "nUll",
        "inf",
        "=",
        "a#b",
        "-a",
        "?a",
        "0.0.0.0/0",
        "1e",
        "_1",
        "é",
        "/",
        "http://a:b@c",
        "!!str 5",
        "! 5",
        "!!str yes",
    ] {
        let document = format!("apiVersion: v1\nkind: Secret\nstringData:\n  a: {text}\n");
        let expected = text.rsplit_once("! ").or(text.rsplit_once(" ")).map_or(text, |(_, text)| text);
        assert_eq!(secret(&document).map(|s| value(&s, "a")).ok().as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn null_is_absent_for_a_map_and_empty_for_its_text() {
    for null in ["", "~", "null", "Null", "NULL", "!!null ''"] {
        let text = format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  labels: {null}\n  annotations:\n    a: {null}\nstringData:\n  a: {null}\ndata:\n  b: {null}\n"
        );
        let secret = secret(&text).unwrap();
        assert_eq!(secret.metadata.labels, None);
        assert_eq!(secret.metadata.annotations.as_ref().unwrap()["a"], "");
        assert_eq!((value(&secret, "a"), value(&secret, "b")), (String::new(), String::new()));
        let absent =
            format!("apiVersion: v1\nkind: Secret\ndata: {null}\nstringData: {null}\nimmutable: {null}\n");
        assert!(crate::documents::secret(&absent).unwrap().data.is_empty());
    }
}

#[test]
fn collections_where_text_is_wanted_and_the_other_way_round() {
    let wrong = |expected, found| Problem::WrongType { expected, found };
    for (text, field, problem) in [
        ("stringData: {a: {b: c}}", "stringData.a", wrong("text", Found::Mapping)),
        ("stringData: {a: [b]}", "stringData.a", wrong("text", Found::List)),
        ("stringData: [a]", "stringData", wrong("a mapping", Found::List)),
        ("data: text", "data", wrong("a mapping", Found::Text)),
        ("metadata: text", "metadata", wrong("a mapping", Found::Text)),
        ("immutable: 'true'", "immutable", wrong("a boolean", Found::Text)),
        ("metadata: {finalizers: a}", "metadata.finalizers", wrong("a list", Found::Text)),
        ("metadata: {generation: a}", "metadata.generation", wrong("an integer", Found::Text)),
        ("metadata: {creationTimestamp: a}", "metadata.creationTimestamp", wrong("a time", Found::Text)),
        (
            "metadata: {ownerReferences: [a]}",
            "metadata.ownerReferences",
            wrong("owner references", Found::List),
        ),
        ("stringData: {a: !vault x}", "stringData.a", Problem::UnsupportedTag),
        ("data: {a: !!binary aGk=}", "data.a", Problem::UnsupportedTag),
        ("stringData: {a: !!int x}", "stringData.a", Problem::UnsupportedTag),
        ("stringData: !foo {a: x}", "stringData", Problem::UnsupportedTag),
        ("metadata: {managedFields: [!x a]}", "metadata.managedFields", Problem::UnsupportedTag),
    ] {
        let (_, _, at, found) = error(format!("apiVersion: v1\nkind: Secret\n{text}\n"));
        assert_eq!((at.as_deref(), found), (Some(field), problem), "{text}");
    }
}

/// jiff reads them, with six digits and a sign, and would write them so that nobody reads them.
#[test]
fn times_of_years_that_kubernetes_does_not_have_are_refused() {
    let wrong = Problem::WrongType { expected: "a time", found: Found::Text };
    let document =
        |time| format!("apiVersion: v1\nkind: Secret\nmetadata: {{creationTimestamp: \"{time}\"}}\n");
    for time in ["-000001-01-01T00:00:00Z", "-009998-01-01T00:00:00Z"] {
        assert_eq!(error(document(time)).3, wrong, "{time}");
    }
    for time in ["0001-01-01T00:00:00Z", "2026-11-24T12:00:00.5Z", "9999-12-30T00:00:00Z"] {
        assert!(secret(document(time)).is_ok(), "{time}");
    }
}

#[test]
fn keys_that_kubernetes_would_rename_are_refused() {
    for (key, found) in [
        ("y", Found::Boolean),
        ("on", Found::Boolean),
        ("No", Found::Boolean),
        ("~", Found::Null),
        ("010", Found::Number),
        ("0x1", Found::Number),
        ("1e3", Found::Number),
        ("1.10", Found::Number),
    ] {
        let (line, column, field, problem) =
            error(format!("apiVersion: v1\nkind: Secret\nstringData:\n  {key}: x\n"));
        assert_eq!((line, column, field.as_deref()), (4, 3, Some("stringData")), "{key}");
        assert_eq!(problem, Problem::KeyNotText { found }, "{key}");
    }
    for key in ["5", "1.5", "'on'", "\"010\"", "!!str y", "a"] {
        let secret = secret(format!("apiVersion: v1\nkind: Secret\nstringData:\n  {key}: x\n")).unwrap();
        assert_eq!(value(&secret, key.trim_start_matches("!!str ").trim_matches(['\'', '"'])), "x");
    }
}

#[test]
fn files_of_other_programs_can_be_looked_at() {
    for text in ["on: push\njobs: {}\n", "a: !reference [x, y]\n", "a: !vault |\n  x\n", "1: a\n"] {
        assert_eq!(read(text.as_bytes(), "x").map(|all| all.len()).ok(), Some(1), "{text}");
    }
}
