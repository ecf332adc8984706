//! Byte-preserving edits, case by case: the text before, the change, the text after.

use privyseal_manifest::edit::{Edit, apply};
use privyseal_manifest::{Document, DocumentError, read};

pub(crate) const HEAD: &str = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\n";

pub(crate) fn try_edit(text: &str, change: impl Fn(Edit) -> Edit) -> Result<String, DocumentError> {
    let documents = read(text.as_bytes(), "in.yaml")?;
    let sealed = documents.iter().find(|document| document.kind() == Some("SealedSecret"));
    let id = sealed.or(documents.first()).map(Document::id).unwrap();
    Ok(apply(text.as_bytes(), "in.yaml", &[change(Edit::of(id))])?.as_str().to_owned())
}

#[track_caller]
pub(crate) fn edited(text: &str, change: impl Fn(Edit) -> Edit) -> String {
    try_edit(text, change).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// What follows [`HEAD`] before and after, with LF and with CRLF, and with and without a last line break.
#[track_caller]
fn case(before: &str, change: impl Fn(Edit) -> Edit, after: &str) {
    let all = |text: &str| {
        let text = format!("{HEAD}{text}");
        let open = text.strip_suffix('\n').unwrap_or(&text).to_owned();
        [text.replace('\n', "\r\n"), open.replace('\n', "\r\n"), open, text]
    };
    for (before, after) in all(before).iter().zip(all(after)) {
        assert_eq!(edited(before, &change), after);
    }
}

#[track_caller]
fn set(before: &str, after: &str) {
    case(before, |edit| edit.set_item("b", "NEW="), after);
}

#[track_caller]
fn unset(before: &str, after: &str) {
    case(before, |edit| edit.remove_item("b"), after);
}

#[test]
fn a_scalar_keeps_its_style_and_its_comment() {
    for (before, after) in [
        ("OLD=", "NEW="),
        ("OLD= # why", "NEW= # why"),
        ("  OLD=", "  NEW="),
        ("\tOLD=", "\tNEW="),
        ("'OLD='", "'NEW='"),
        ("\"OLD=\"  # why", "\"NEW=\"  # why"),
        ("\"O\\\n      LD=\"", "\"NEW=\""),
        ("OLD\n      LD # why", "NEW= # why"),
        ("\n      OLD=", "\n      NEW="),
        ("&x OLD=", "&x NEW="),
        ("null", "NEW="),
        ("12", "NEW="),
        ("\"\"", "\"NEW=\""),
        ("NEW=", "NEW="),
        ("NE\n      W=", "NEW="),
        (">-\n      NEW=", ">-\n      NEW="),
    ] {
        let text = |value: &str| format!("spec:\n  encryptedData:\n    a: x\n    b: {value}\n    c: y\n");
        set(&text(before), &text(after));
    }
    set("spec:\n  encryptedData:\n    b:\n    c: x\n", "spec:\n  encryptedData:\n    b: NEW=\n    c: x\n");
    set("spec:\n  encryptedData:\n    b: # c\n", "spec:\n  encryptedData:\n    b: NEW= # c\n");
    set("spec:\n  encryptedData:\n    \"b\" : x\n", "spec:\n  encryptedData:\n    \"b\" : NEW=\n");
    set("spec:\n  encryptedData: {a: x, b: y}\n", "spec:\n  encryptedData: {a: x, b: NEW=}\n");
    set("spec:\n  encryptedData: {a: x, 'b':  'y' }\n", "spec:\n  encryptedData: {a: x, 'b':  'NEW=' }\n");
}

#[test]
fn a_block_scalar_becomes_one_line() {
    for (header, lines) in [
        ("|", "      OL\n      D=\n"),
        (">-", "      OL\n      D=\n"),
        ("|-", "      OL\n\n      D=\n"),
        (">2-", "      OL\n      D=\n"),
        ("|+", "      OL\n      D=\n"),
        (">-", "        OL\n        D=\n"),
        ("|\n", ""),
    ] {
        for tail in ["", "    c: y\n", "    # about c\n    c: y\n", "  # less\n", "\n\n    c: y\n"] {
            for comment in ["", " # why"] {
                if header.ends_with('\n') && lines.is_empty() && tail.is_empty() {
                    continue;
                }
                let header = header.trim_end();
                // What `+` keeps is part of the value.
                let kept = if header == "|+" { tail.trim_start_matches('\n') } else { tail };
                set(
                    &format!("spec:\n  encryptedData:\n    b: {header}{comment}\n{lines}{tail}"),
                    &format!("spec:\n  encryptedData:\n    b: NEW={comment}\n{kept}"),
                );
            }
        }
    }
    set(
        "spec:\n  encryptedData:\n    b: # one\n      # two\n      >-\n        OLD\n    c: x\n",
        "spec:\n  encryptedData:\n    b: # one\n      # two\n      NEW=\n    c: x\n",
    );
    set(
        "spec:\n  encryptedData:\n    b: &x |\n      OLD\n    c: x\n",
        "spec:\n  encryptedData:\n    b: &x NEW=\n    c: x\n",
    );
}

#[test]
fn an_item_comes_to_its_place() {
    for (before, after) in [
        ("    a: x\n    c: y\n", "    a: x\n    b: NEW=\n    c: y\n"),
        ("    a: x # a\n    # c\n    c: y\n", "    a: x # a\n    b: NEW=\n    # c\n    c: y\n"),
        ("    # c\n    c: y\n", "    b: NEW=\n    # c\n    c: y\n"),
        ("    c: y\n    a: x\n", "    c: y\n    a: x\n    b: NEW=\n"),
        ("    c: y\n    a: x\n  # end\n", "    c: y\n    a: x\n    b: NEW=\n  # end\n"),
        ("    a: x\n\n\n", "    a: x\n    b: NEW=\n\n\n"),
        ("    a: |\n      x\n\n    c: y\n", "    a: |\n      x\n    b: NEW=\n\n    c: y\n"),
        ("    a: |+\n      x\n\n    c: y\n", "    a: |+\n      x\n\n    b: NEW=\n    c: y\n"),
        ("    a: >-\n      x\n    # c\n    c: y\n", "    a: >-\n      x\n    b: NEW=\n    # c\n    c: y\n"),
        ("    a: x\n      y\n    c: z\n", "    a: x\n      y\n    b: NEW=\n    c: z\n"),
        ("    a:\n    c: z\n", "    a:\n    b: NEW=\n    c: z\n"),
        ("    a: &x y # c\n", "    a: &x y # c\n    b: NEW=\n"),
        ("    'a': x\n", "    'a': x\n    'b': NEW=\n"),
        ("            a: x\n", "            a: x\n            b: NEW=\n"),
        ("    a: what?\n    c: {d: what?, e: ?f}\n", "    a: what?\n    b: NEW=\n    c: {d: what?, e: ?f}\n"),
        (" a: x\n", " a: x\n b: NEW=\n"),
    ] {
        let (before, after) = match before.starts_with("    ") {
            true => {
                (format!("spec:\n  encryptedData:\n{before}"), format!("spec:\n  encryptedData:\n{after}"))
            }
            false => (
                format!("spec:\n encryptedData:\n {before}"),
                format!("spec:\n encryptedData:\n{}", after.replace(" a", "  a").replace(" b", "  b")),
            ),
        };
        set(&before, &after);
    }
}

#[test]
fn maps_that_are_missing_are_made() {
    let full = "metadata:\n  name: n\nspec:\n  encryptedData:\n    b: NEW=\n";
    for before in [
        "metadata:\n  name: n\nspec:\n  encryptedData:\n",
        "metadata:\n  name: n\nspec:\n  encryptedData: {}\n",
        "metadata:\n  name: n\nspec:\n  encryptedData: null\n",
        "metadata:\n  name: n\nspec:\n  encryptedData:   ~\n",
        "metadata:\n  name: n\nspec: {}\n",
        "metadata:\n  name: n\nspec:\n",
        "metadata:\n  name: n\n",
    ] {
        set(before, full);
    }
    set(
        "spec:\n    encryptedData: {} # none\n    # then\n    template: {}\n",
        "spec:\n    encryptedData: # none\n        b: NEW=\n    # then\n    template: {}\n",
    );
    set(
        "spec:\n    template:\n        type: Opaque\n",
        "spec:\n    encryptedData:\n        b: NEW=\n    template:\n        type: Opaque\n",
    );
    let hints = |edit: Edit| edit.sealed_with(Some("b=0123456789abcdef:01234567".to_owned()));
    let line = "privyseal.dev/sealed-with: b=0123456789abcdef:01234567";
    case(
        "metadata:\n  name: n\n  namespace: m\nspec: {}\n",
        hints,
        &format!("metadata:\n  annotations:\n    {line}\n  name: n\n  namespace: m\nspec: {{}}\n"),
    );
    case(
        "metadata:\n  annotations: # who\n    a/b: c\n  name: n\n",
        hints,
        &format!("metadata:\n  annotations: # who\n    a/b: c\n    {line}\n  name: n\n"),
    );
    case(
        "metadata: {name: n}\nspec: {}\n",
        hints,
        "metadata: {annotations: {privyseal.dev/sealed-with: \"b=0123456789abcdef:01234567\"}, name: n}\nspec: {}\n",
    );
    case(
        "metadata:\n  annotations:\n    privyseal.dev/sealed-with: 'x'\n",
        hints,
        "metadata:\n  annotations:\n    privyseal.dev/sealed-with: 'b=0123456789abcdef:01234567'\n",
    );
}

#[test]
fn what_a_reader_could_mistake_is_quoted() {
    for (value, written) in [
        ("AgB/+=", "AgB/+="),
        ("yes", "\"yes\""),
        ("012", "\"012\""),
        ("", "\"\""),
        ("a: b", "\"a: b\""),
        ("a\nb\u{85}\\", "\"a\\nb\\u0085\\\\\""),
        ("it's", "it's"),
        ("\"", "\"\\\"\""),
    ] {
        let text = |value: &str| format!("spec:\n  encryptedData:\n    a: x\n    b: {value}\n");
        case(&text("old"), |edit| edit.set_item("b", value), &text(written));
    }
    for (name, written) in
        [("on", "\"on\""), ("012", "\"012\""), ("a.b", "a.b"), ("-a", "-a"), ("~", "\"~\"")]
    {
        case(
            "spec:\n  encryptedData:\n    a: x\n    zz: x\n    a1: x\n",
            |edit| edit.set_item(name, "v"),
            &format!("spec:\n  encryptedData:\n    a: x\n    zz: x\n    a1: x\n    {written}: v\n"),
        );
    }
    case(
        "spec:\n  encryptedData: {b: 'x'}\n",
        |edit| edit.set_item("b", "it's"),
        "spec:\n  encryptedData: {b: 'it''s'}\n",
    );
    case(
        "spec:\n  encryptedData: {b: x}\n",
        |edit| edit.set_item("b", "x, y"),
        "spec:\n  encryptedData: {b: \"x, y\"}\n",
    );
}

#[test]
fn flow_style_keeps_its_layout() {
    for (before, after) in [
        ("{a: x}", "{a: x, b: \"NEW=\"}"),
        ("{ a: x }", "{ a: x, b: \"NEW=\" }"),
        ("{c: x}", "{b: \"NEW=\", c: x}"),
        ("{a: x, c: y}", "{a: x, b: \"NEW=\", c: y}"),
        ("{a: x ,  c: y}", "{a: x ,  b: \"NEW=\" ,  c: y}"),
        ("{\"a\":\"x\",\"c\":\"y\"}", "{\"a\":\"x\",\"b\":\"NEW=\",\"c\":\"y\"}"),
        ("{a: x,}", "{a: x, b: \"NEW=\",}"),
        ("{\n    a: x # a\n  }", "{\n    a: x, # a\n    b: \"NEW=\"\n  }"),
        ("{\n    a: x, # a\n  }", "{\n    a: x, # a\n    b: \"NEW=\",\n  }"),
        ("{\n    a: x, # a\n    # c\n    c: y }", "{\n    a: x, # a\n    b: \"NEW=\",\n    # c\n    c: y }"),
        ("{\n    a: x\n  }", "{\n    a: x,\n    b: \"NEW=\"\n  }"),
        ("{\n    a: x,\n    c: y}", "{\n    a: x,\n    b: \"NEW=\",\n    c: y}"),
        ("{ # first\n    c: y }", "{ # first\n    b: \"NEW=\",\n    c: y }"),
    ] {
        set(&format!("spec:\n  encryptedData: {before}\n"), &format!("spec:\n  encryptedData: {after}\n"));
    }
    case(
        "spec:\n  encryptedData: {\n    a: x }\n",
        |edit| edit.set_item("b", "v").set_item("c", "v").set_item("A", "v"),
        "spec:\n  encryptedData: {\n    A: \"v\",\n    a: x, b: \"v\", c: \"v\" }\n",
    );
    case(
        "spec:\n  encryptedData: {\n    a: x # a\n  }\n",
        |edit| edit.set_item("b", "v").set_item("c", "v"),
        "spec:\n  encryptedData: {\n    a: x, # a\n    b: \"v\",\n    c: \"v\"\n  }\n",
    );
    set("spec: {encryptedData: {}}\n", "spec: {encryptedData: {b: \"NEW=\"}}\n");
    set("spec: {encryptedData: null, data: x}\n", "spec: {encryptedData: {b: \"NEW=\"}, data: x}\n");
    set("spec: {template: {}}\n", "spec: {encryptedData: {b: \"NEW=\"}, template: {}}\n");
}

#[test]
fn an_entry_is_removed_and_nothing_else() {
    for (before, after) in [
        ("\n    a: x\n    b: y\n    c: z", "\n    a: x\n    c: z"),
        (
            "\n    # a\n    a: x\n    # b\n    b: y # gone\n    # c\n    c: z",
            "\n    # a\n    a: x\n    # b\n    # c\n    c: z",
        ),
        ("\n    b: y\n    c: z", "\n    c: z"),
        ("\n    a: x\n    b: y", "\n    a: x"),
        ("\n    a: x\n    b: >-\n      y\n      z\n\n    c: z", "\n    a: x\n\n    c: z"),
        ("\n    b: y", " {}"),
        (" # all\n    # b\n    b: y\n    # end", " {} # all\n    # b\n    # end"),
        (" {a: x, b: y, c: z}", " {a: x, c: z}"),
        (" {b: y, c: z}", " {c: z}"),
        (" {a: x, b: y}", " {a: x}"),
        (" {a: x, b: y,}", " {a: x,}"),
        (" { b: y }", " {}"),
        (" {\n      a: x, # a\n      b: y # b\n    }", " {\n      a: x # a\n    }"),
        (" {\n      a: x,\n      b: y,\n    }", " {\n      a: x,\n    }"),
        (" {\n      # b\n      b: y, # gone\n      c: z }", " {\n      # b\n      c: z }"),
        (" { # all\n      b: y\n    }", " { # all\n    }"),
        ("\n    a: x", "\n    a: x"),
        (" {}", " {}"),
        ("", ""),
    ] {
        unset(&format!("spec:\n  encryptedData:{before}\n"), &format!("spec:\n  encryptedData:{after}\n"));
    }
    let no_hints = |edit: Edit| edit.sealed_with(None);
    let hints = "privyseal.dev/sealed-with: x";
    case(&format!("metadata:\n  annotations:\n    {hints}\n  name: n\n"), no_hints, "metadata:\n  name: n\n");
    case(&format!("metadata:\n  name: n\n  annotations:\n    {hints}\n"), no_hints, "metadata:\n  name: n\n");
    case(&format!("metadata: {{annotations: {{{hints}}}, name: n}}\n"), no_hints, "metadata: {name: n}\n");
    case(
        &format!("metadata:\n  annotations:\n    {hints}\nspec: {{}}\n"),
        no_hints,
        "metadata: {}\nspec: {}\n",
    );
    case(
        "spec:\n  encryptedData:\n    a: x\n    b: y\n    c: z\n",
        |edit| edit.remove_item("a").remove_item("b").set_item("d", "D"),
        "spec:\n  encryptedData:\n    c: z\n    d: D\n",
    );
    case(
        "spec:\n  encryptedData:\n    b: y\n",
        |edit| edit.remove_item("b").set_item("a", "A"),
        "spec:\n  encryptedData:\n    a: A\n",
    );
}

#[test]
fn json_keeps_its_layout() {
    let head = r#"{"kind":"SealedSecret","apiVersion":"bitnami.com/v1alpha1""#;
    let both = |edit: Edit| edit.set_item("b", "NEW=").sealed_with(Some("b=1:2".to_owned()));
    assert_eq!(
        edited(&format!(r#"{head},"spec":{{"encryptedData":{{"a":"x"}}}}}}"#), both),
        format!(
            r#"{head},"spec":{{"encryptedData":{{"a":"x","b":"NEW="}}}},"metadata":{{"annotations":{{"privyseal.dev/sealed-with":"b=1:2"}}}}}}"#
        )
    );
    let pretty = |unit: &str, middle: &str| {
        let lines = format!(
            "{{\n_\"kind\": \"SealedSecret\",\n_\"apiVersion\": \"bitnami.com/v1alpha1\",\n_\"metadata\": {{\n__\"name\": \"n\"{}\n}}\n",
            middle.replace("  ", "_")
        );
        lines.replace('_', unit)
    };
    for unit in ["  ", "    ", "\t"] {
        for line_break in ["\n", "\r\n"] {
            let before =
                pretty(unit, "\n_},\n_\"spec\": {\n__\"encryptedData\": {\n___\"a\": \"x\"\n__}\n_}");
            let after = pretty(
                unit,
                "\n_},\n_\"spec\": {\n__\"encryptedData\": {\n___\"a\": \"x\",\n___\"b\": \"NEW=\"\n__}\n_}",
            );
            let hints = "__\"annotations\": {\n___\"privyseal.dev/sealed-with\": \"b=1:2\"\n__},\n__\"name\""
                .replace('_', unit);
            let after = after.replace(&format!("{unit}{unit}\"name\""), &hints);
            let [before, after] = [before, after].map(|text| text.replace('\n', line_break));
            assert_eq!(edited(&before, both), after);
            let back = edited(&after, |edit| edit.remove_item("b").sealed_with(None));
            assert_eq!(back, before);
        }
    }
    let escaped = r#"{"kind":"SealedSecret","apiVersion":"bitnami.com/v1alpha1","spec":{"encryptedData":{"\u0062":"x"}}}"#;
    assert_eq!(
        edited(escaped, |edit| edit.set_item("b", "a\"\u{1}")),
        escaped.replace("\"x\"", "\"a\\\"\\u0001\"")
    );
}

#[test]
fn other_documents_stay_as_they_are() {
    let stream = |value: &str| {
        format!(
            "\u{feff}# top\n%YAML 1.2\n--- # one\nkind:   ConfigMap\ndata: {{x: 'y'}}\n...\n---\n# nothing\n---\n{HEAD}spec:\n  encryptedData:\n    b: {value}\n...\n# after\n--- \nkind: Secret\nstringData:\n  p: \"\\x41\"\n---\n"
        )
    };
    assert_eq!(edited(&stream("old"), |edit| edit.set_item("b", "new")), stream("new"));
    let json = |value: &str| {
        format!(
            "\u{feff}{{ \"kind\":\"X\" }}\n---\n{{\"kind\":\"SealedSecret\" ,\"apiVersion\":\"bitnami.com/v1alpha1\",\"spec\":{{\"encryptedData\":{{\"b\" : \"{value}\"}}}}}}{{\"kind\":\"Y\"}}"
        )
    };
    assert_eq!(edited(&json("old"), |edit| edit.set_item("b", "new")), json("new"));
}

#[test]
fn items_of_lists_are_edited_where_they_stand() {
    let list = |first: &str, second: &str| {
        format!(
            "kind: List\napiVersion: v1\nitems:\n# one\n- apiVersion: bitnami.com/v1alpha1\n  kind: SealedSecret\n  spec:\n    encryptedData:\n      a: x{first}\n- # two\n  kind: SealedSecret\n  apiVersion: bitnami.com/v1alpha1\n  spec: {{encryptedData: {{a: x{second}}}}}\n"
        )
    };
    let text = list("", "");
    let edits: Vec<_> = read(text.as_bytes(), "x")
        .unwrap()
        .iter()
        .map(|document| Edit::of(document.id()).set_item("b", "NEW="))
        .collect();
    let after = apply(text.as_bytes(), "x", &edits).unwrap();
    assert_eq!(after.as_str(), list("\n      b: NEW=", ", b: \"NEW=\""));
    let typed = |value: &str| {
        format!("kind: SealedSecretList\nitems:\n  - spec:\n      encryptedData:\n        b: {value}\n")
    };
    assert_eq!(edited(&typed("old"), |edit| edit.set_item("b", "new")), typed("new"));
}

#[test]
fn mixed_line_ends_stay_mixed() {
    let text = format!("{HEAD}spec:\r\n  encryptedData:\r\n    a: x\r\n    c: y\n");
    let text = edited(&text, |edit| edit.set_item("b", "B").set_item("d", "D"));
    assert!(text.ends_with("    a: x\r\n    b: B\r\n    c: y\n    d: D\n"), "{text:?}");
}

#[test]
fn no_change_is_no_change() {
    let text = format!("{HEAD}spec:\n  encryptedData:\n    b: \"x\"   \n \t\n");
    assert_eq!(edited(&text, |edit| edit), text);
    assert_eq!(edited(&text, |edit| edit.set_item("b", "x").remove_item("zz").sealed_with(None)), text);
}

/// Nothing here may look at all of the text for each change.
#[test]
fn thousands_of_changes_at_once_are_quick() {
    let value = "A".repeat(300);
    let entries = |from: usize, colon: &str, quote: &str, between: &str| {
        let entry = |index| format!("{quote}i{index:05}{quote}{colon}{quote}{value}{quote}");
        (from..from + 5_000).map(entry).collect::<Vec<_>>().join(between)
    };
    for text in [
        format!("{HEAD}spec:\n  encryptedData:\n    {}\n", entries(0, ": ", "", "\n    ")),
        format!("{HEAD}spec:\n  encryptedData: {{{}}}\n", entries(0, ": ", "", ", ")),
        format!("{HEAD}spec:\n  encryptedData: {{\n{}}}\n", entries(0, ": ", "", ",\n")),
        format!(
            r#"{{"kind":"SealedSecret","apiVersion":"bitnami.com/v1alpha1","spec":{{"encryptedData":{{{}}}}}}}"#,
            entries(0, ":", "\"", ",")
        ),
    ] {
        let after = edited(&text, |edit| {
            (0..5_000).fold(edit, |edit, index| match index % 3 {
                0 => edit.set_item(&format!("i{index:05}"), "NEW="),
                1 => edit.remove_item(&format!("i{index:05}")),
                _ => edit.set_item(&format!("i{index:05}x"), "NEW="),
            })
        });
        assert_eq!(after.matches("NEW=").count(), 3333);
        assert_eq!(after.matches(&value).count(), 1666);
    }
}
