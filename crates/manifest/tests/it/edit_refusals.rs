//! What is not edited: where, why, and what to do.

use crate::edits::{HEAD, edited, try_edit};
use privyseal_manifest::edit::{Edit, apply};
use privyseal_manifest::{Obstacle, Problem, read};

#[test]
fn what_cannot_be_edited_safely_is_refused_in_place() {
    let set = |edit: Edit| edit.set_item("b", "NEW=");
    let unset = |edit: Edit| edit.remove_item("b");
    type Case<'a> = (&'a str, fn(Edit) -> Edit, (usize, usize), Option<&'a str>, Obstacle);
    let item = Some("spec.encryptedData.b");
    let map = Some("spec.encryptedData");
    let cases: &[Case<'_>] = &[
        ("spec:\n  data: &x y\n  encryptedData:\n    b: *x\n", set, (6, 8), item, Obstacle::Alias),
        ("x-y: &x {b: c}\nspec:\n  encryptedData: *x\n", set, (5, 18), map, Obstacle::Alias),
        ("spec:\n  encryptedData:\n    b: &x y\n    c: *x\n", set, (5, 11), item, Obstacle::SharedAnchor),
        ("spec:\n  encryptedData:\n    b: &x y\n    c: *x\n", unset, (5, 11), item, Obstacle::SharedAnchor),
        (
            "spec:\n  encryptedData: &x\n    b: y\n  template: {data: *x}\n",
            set,
            (5, 5),
            map,
            Obstacle::SharedAnchor,
        ),
        (
            "spec: &x\n  encryptedData:\n    b: y\nx-y: *x\n",
            set,
            (4, 3),
            Some("spec"),
            Obstacle::SharedAnchor,
        ),
        (
            "x-y: &x {c: d}\nspec:\n  encryptedData:\n    <<: *x\n    b: y\n",
            set,
            (6, 5),
            map,
            Obstacle::MergeKey,
        ),
        ("spec:\n  encryptedData:\n    b: !!str y\n", set, (5, 14), item, Obstacle::Tag),
        ("spec:\n  encryptedData: !!map\n    b: y\n", set, (5, 5), map, Obstacle::Tag),
        ("spec:\n  encryptedData:\n    ? b\n    : y\n", set, (5, 7), map, Obstacle::Key),
        ("spec:\n  encryptedData: {? b : y}\n", set, (4, 21), map, Obstacle::Key),
        ("spec:\n  encryptedData:\n    &k b: y\n", set, (5, 8), map, Obstacle::Key),
        ("spec:\n  encryptedData: {a: x\n  , b: y}\n", unset, (4, 23), map, Obstacle::Layout),
        ("spec:\n  encryptedData: &x {}\n", set, (4, 21), map, Obstacle::Layout),
        ("spec:\n  encryptedData: { # none\n  }\n", set, (4, 18), map, Obstacle::Layout),
        ("spec:\n  encryptedData:\n    b: x\r    c: y\n", set, (5, 9), None, Obstacle::LoneCarriageReturn),
        ("metadata: {name: {{ .Values.name }}}\n", set, (3, 19), None, Obstacle::Template),
    ];
    for (text, change, place, field, obstacle) in cases {
        let text = format!("{HEAD}{text}");
        let error = match text.contains("{{") {
            true => apply(text.as_bytes(), "in.yaml", &[]).err().expect(&text),
            false => try_edit(&text, change).err().unwrap_or_else(|| panic!("edited: {text}")),
        };
        let at = error.position();
        assert_eq!(((at.line, at.column), error.field()), (*place, *field), "{error}\n{text}");
        assert_eq!(error.problem(), &Problem::NotEditable(*obstacle), "{text}");
        assert!(error.hint().is_some(), "{error}");
    }
}

#[test]
fn an_anchor_that_nothing_refers_to_is_no_obstacle() {
    let text = format!("{HEAD}spec: &s\n  encryptedData: &e\n    b: &b x\n");
    assert_eq!(edited(&text, |edit| edit.set_item("b", "new")), text.replace("&b x", "&b new"));
    assert_eq!(edited(&text, |edit| edit.set_item("a", "new")), text.replace("    b:", "    a: new\n    b:"));
    let elsewhere = format!(
        "{HEAD}metadata:\n  labels: &l {{a: b}}\n  annotations: *l\nspec:\n  encryptedData:\n    b: x\n"
    );
    assert_eq!(edited(&elsewhere, |edit| edit.set_item("b", "new")), elsewhere.replace("b: x", "b: new"));
}

#[test]
fn other_problems_keep_their_names() {
    let problem = |text: &str| {
        let text = format!("{HEAD}{text}");
        let error = try_edit(&text, |edit| edit.set_item("b", "x")).err().unwrap();
        error.to_string()
    };
    assert_eq!(
        problem("spec:\n  encryptedData:\n    b: {x: y}\n"),
        "in.yaml:5:8: document 1: spec.encryptedData.b: expected text, found a mapping"
    );
    assert_eq!(
        problem("spec:\n  encryptedData: 12\n"),
        "in.yaml:4:18: document 1: spec.encryptedData: expected a mapping, found a number"
    );
    assert_eq!(
        problem("spec:\n  encryptedData: [b]\n"),
        "in.yaml:4:18: document 1: spec.encryptedData: expected a mapping, found a list"
    );
    assert_eq!(
        problem("spec:\n  encryptedData: {b: x, b: y}\n"),
        "in.yaml:4:25: document 1: this key is a duplicate of the one at 4:19"
    );
    let text = format!("{HEAD}spec:\n  encryptedData:\n    on: x\n");
    let error = try_edit(&text, |edit| edit.set_item("on", "x")).err().unwrap();
    assert_eq!(
        error.to_string(),
        "in.yaml:5:5: document 1: spec.encryptedData.on: expected text as a key, found a boolean"
    );

    let not_ours = "apiVersion: v1\nkind: Secret\nstringData: {b: hunter2}\n";
    let error = try_edit(not_ours, |edit| edit.set_item("b", "x")).err().unwrap();
    assert_eq!(error.to_string(), "in.yaml:2:7: document 1: kind: expected SealedSecret, found Secret");
    assert_eq!(apply(b"a: \xff", "x", &[]).err().unwrap().problem(), &Problem::NotUtf8);
}

#[test]
fn a_change_must_have_a_document_and_a_meaning() {
    let text = format!("{HEAD}spec: {{}}\n");
    let id = read(format!("---\na: b\n---\n{text}").as_bytes(), "x").unwrap()[1].id();
    let error = apply(text.as_bytes(), "x", &[Edit::of(id).set_item("a", "b")]).err().unwrap();
    assert_eq!(error.to_string(), "x:1:1: document 2: not edited in place: no such document");
    for change in [
        |edit: Edit| edit.set_item("a", "b").set_item("a", "c"),
        |edit: Edit| edit.set_item("a", "b").remove_item("a"),
        |edit: Edit| edit.set_item("a", "b").remove(&["spec", "encryptedData"]),
        |edit: Edit| edit.set(&["spec", "a"], "b").set(&["spec", "a", "b"], "c"),
        |edit: Edit| edit.remove(&[]),
    ] {
        let error = try_edit(&text, change).err().unwrap();
        assert_eq!(error.problem(), &Problem::NotEditable(Obstacle::Contradiction));
    }
}

#[test]
fn no_error_holds_a_value() {
    for text in [
        "spec:\n  encryptedData:\n    b: &x hunter2\n    c: *x\n",
        "spec:\n  encryptedData:\n    b: !hunter2 hunter2\n",
        "spec:\n  encryptedData:\n    b: [hunter2]\n",
        "spec:\n  encryptedData: hunter2\n",
    ] {
        let error = try_edit(&format!("{HEAD}{text}"), |edit| edit.set_item("b", "hunter2!")).err().unwrap();
        assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("hunter2"), "{error}");
    }
}
