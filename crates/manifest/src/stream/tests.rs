use super::*;
use crate::sealed_secret::SealedSecretSpec;
use proptest::prelude::*;

/// Parts that hold no Secret: every byte of them stays.
const OTHERS: [&str; 26] = [
    "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  a: |\n    kind: Secret\n    stringData: {a: b}\n",
    "---\n# Source: app/templates/x.yaml\n# a comment\n\napiVersion: apps/v1   # here too\nkind: Deployment\n\n\n",
    "---\r\napiVersion: v1\r\nkind: Service\r\nmetadata:\r\n  name: crlf\r\n",
    "---\n",
    "--- \n# nothing but a comment on a Secret\n",
    "---\t# Source: with a comment\nkind: ConfigMap\napiVersion: v1\n",
    "---\n{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"data\": {\"a\":   \"Secret\"}}\n",
    "--- {apiVersion: v1, kind: ConfigMap}\n",
    "---\napiVersion: v1\nkind: ConfigMap\ndata: {a: one}\ndata: {a: the same key twice}\n",
    "---\njust text\n",
    "---\njust text\n%of it\n",
    "---\n- a\n- list\n",
    "---\nkind: Deployment\nspec:\n\timagePullSecrets: tabs are no YAML\n",
    "---\nkind: Certificate\nspec: {secretName: x, secretName: twice}\n",
    "---\nspec: !unknown Thing\nkind: X\n",
    "---\nkind: Foo\nitems: !unknown\n- kind: X\n",
    "---\nkind: ConfigMapList\nitems:\n- {kind: ConfigMap} # comment\n- {apiVersion: example.com/v1, kind: Secret}\n",
    "---\nkind: Foo\napiVersion: v1\nitems: {kind: Secret}\n",
    "---\nno: kind\n",
    "---\napiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: sealed}\nspec: {encryptedData: {a: AgA=}}\n",
    "---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap}\n# comment\n- {apiVersion: v1, kind: Service}\n",
    "---\napiVersion: example.com/v1\nkind: Secret\nmetadata: {name: of another group}\n",
    "---\napiVersion: v1\nkind: ConfigMap\ndata:\n  x: \"\\u0053ecret\"\n...\n# after the end\n",
    "---\nkind: &k ConfigMap\nother: *k\napiVersion: v1\n",
    "---\napiVersion: v1\nkind: List\n",
    "---\n--- # two separators\n---\n",
];

/// Parts that are a Secret: all that may stay of them is separator and source.
const SECRETS: [(&str, &str); 9] = [
    ("---\napiVersion: v1\nkind: Secret\nstringData: {a: hunter2}\n", "---\n"),
    (
        "---\n# Source: app/templates/s.yaml\n# hunter2\nkind: Secret\n# was: hunter2\napiVersion: v1\n# hunter2\n",
        "---\n# Source: app/templates/s.yaml\n",
    ),
    ("--- # hunter2\nkind: Secret\napiVersion: v1\n...\n# hunter2\n", "---\n"),
    ("--- {kind: Secret, stringData: {a: hunter2}}\n", "---\n"),
    ("---\n{\"kind\": \"Secret\",\n \"stringData\": {\"a\": \"hunter2\"}}\n\n", "---\n"),
    ("---\n\"kind\": \"S\\x65cret\"\ndata: {a: aHVudGVyMg==}\n", "---\n"),
    ("---\n  kind: Secret\n  stringData:\n    a: |\n      hunter2\n", "---\n"),
    ("---\nkind: !!str Secret\nstringData: {a: hunter2}\n", "---\n"),
    ("---\nx: &k Secret\nkind: *k\nstringData: {a: hunter2}\n", "---\n"),
];

fn sealed(name: &str) -> SealedSecret {
    let mut sealed = SealedSecret::new(name, SealedSecretSpec::default());
    sealed.spec.encrypted_data.insert("password".into(), "AgC=".into());
    sealed
}

fn secrets(stream: &Stream) -> Vec<DocumentId> {
    stream.secrets().map(Document::id).collect()
}

/// With every Secret replaced.
fn replaced(text: &str) -> Result<String, String> {
    let stream = Stream::read(text.as_bytes(), "in").map_err(|error| error.to_string())?;
    let ids = secrets(&stream);
    let replacements = ids.into_iter().map(|id| (id, sealed("db"))).collect();
    let new = stream.replace(&replacements, &[]).map_err(|error| error.to_string())?;
    Ok(new.as_str().to_owned())
}

#[test]
fn a_secret_goes_with_all_its_comments_but_the_source() {
    for (secret, head) in SECRETS {
        assert_eq!(replaced(secret).unwrap(), format!("{head}{}", emit::to_yaml(&sealed("db"))), "{secret}");
        let first = secret.strip_prefix("---\n").unwrap_or(secret);
        let new = replaced(first).unwrap();
        assert!(!new.contains("hunter2"), "{new}");
    }
    // A carriage return ends a line for YAML too.
    let new = replaced("# Source: s.yaml\rkind: Secret\rstringData: {a: hunter2}\n").unwrap();
    assert_eq!(new, format!("# Source: s.yaml\n{}", emit::to_yaml(&sealed("db"))));
    let crlf = "\u{feff}---\r\n# Source: s.yaml\r\nkind: Secret\r\n";
    let expected =
        format!("\u{feff}---\n# Source: s.yaml\n{}", emit::to_yaml(&sealed("db"))).replace('\n', "\r\n");
    assert_eq!(replaced(crlf).unwrap(), expected);
}

#[test]
fn json_stays_json() {
    let new = replaced("{\"kind\": \"Secret\", \"stringData\": {\"a\": \"hunter2\"}}").unwrap();
    assert_eq!(new, emit::to_json(&sealed("db")));
    let list = r#"{"kind": "List", "items": [{"kind":"Secret"}, {"kind":"Other","a": 1.50}], "x": [ ]}"#;
    let one = serde_json::to_string(&sealed("db")).unwrap();
    assert_eq!(replaced(list).unwrap(), list.replace(r#"{"kind":"Secret"}"#, &one));
}

proptest! {
    #[test]
    fn every_byte_of_the_others_stays(order in proptest::collection::vec((any::<bool>(), 0_usize..100), 0..12)) {
        let (mut before, mut after) = (String::new(), String::new());
        for (is_secret, index) in order {
            if is_secret {
                let (secret, head) = SECRETS[index % SECRETS.len()];
                before.push_str(secret);
                after.push_str(&format!("{head}{}", emit::to_yaml(&sealed("db"))));
            } else {
                let other = OTHERS[index % OTHERS.len()];
                before.push_str(other);
                after.push_str(other);
            }
        }
        prop_assert_eq!(replaced(&before).unwrap(), after);
    }

    #[test]
    fn what_is_let_pass_holds_no_secret(text in "(---\n|kind: Secret\n|kind|: |Secret|List|items|\n|- |\\{|\\}|\"|'|&a |\\*a|!!str |\\.\\.\\.\n|a| |#|\\|\n){0,24}") {
        // Whatever was not refused is read by `read` without a Secret in it, once each is replaced.
        if let Ok(new) = replaced(&text)
            && let Ok(documents) = crate::read(new.as_bytes(), "new")
        {
            let mut secrets = documents.iter().filter(|document| document.kind() == Some("Secret"));
            prop_assert!(secrets.next().is_none(), "{text:?}\n{new:?}");
        }
    }
}

#[test]
fn items_of_lists_are_replaced_in_their_place() {
    let yaml = |indent: &str| emit::to_yaml(&sealed("db")).trim_end().replace('\n', &format!("\n{indent}"));
    for (list, expected) in [
        (
            "kind: List\nitems:\n- kind: A # c\n  n: 1.50\n# of a secret: hunter2\n- kind: Secret\n  a: |\n    hunter2\n# hunter2\n- kind: B\n  x: 010\n",
            format!("kind: List\nitems:\n- kind: A # c\n  n: 1.50\n- {}\n- kind: B\n  x: 010\n", yaml("  ")),
        ),
        (
            "# Source: a.yaml\n# hunter2\nkind: List # hunter2\nitems: # hunter2\n# hunter2\n- # kept\n  kind: A\n  # kept\n  x: # kept\n    y: |\n      # text\n    # hunter2\n  # deep: hunter2\n\n# hunter2\n- # hunter2\n  kind: Secret\n- kind: B # kept\n# hunter2\nz: # hunter2\n",
            format!(
                "# Source: a.yaml\nkind: List\nitems:\n- # kept\n  kind: A\n  # kept\n  x: # kept\n    y: |\n      # text\n\n- {}\n- kind: B # kept\nz:\n",
                yaml("  ")
            ),
        ),
        (
            "kind: List\nitems: [ # hunter2\n  {kind: A, # kept\n  x: \"# text\"}, # hunter2\n  {kind: Secret, # hunter2\n  a: b} # hunter2\n# hunter2\n] # hunter2",
            format!(
                "kind: List\nitems: [\n  {{kind: A, # kept\n  x: \"# text\"}},\n  {}\n]",
                serde_json::to_string(&sealed("db")).unwrap()
            ),
        ),
        (
            "kind: List\nitems:\n- kind: Secret\n  a: &a {b: hunter2}\n  c: *a\n- kind: B\n  c: &a x\n  d: *a\n",
            format!("kind: List\nitems:\n- {}\n- kind: B\n  c: &a x\n  d: *a\n", yaml("  ")),
        ),
        (
            "kind: List\nitems:\n  -\n    kind: Secret\n  -   kind: Secret # hunter2\n      a: hunter2\nmetadata: {}\n",
            format!("kind: List\nitems:\n  - {0}\n  - {0}\nmetadata: {{}}\n", yaml("    ")),
        ),
        (
            "---\r\nitems:\r\n- kind: Secret\r\n- kind: B\r\nkind: List\r\n",
            format!("---\nitems:\n- {}\n- kind: B\nkind: List\n", yaml("  ")).replace('\n', "\r\n"),
        ),
        (
            "items: [{kind: Secret, a: hunter2}, {kind: B, a: 0x1}]\nkind: List",
            format!(
                "items: [{}, {{kind: B, a: 0x1}}]\nkind: List",
                serde_json::to_string(&sealed("db")).unwrap()
            ),
        ),
        (
            "kind: List\nitems:\n- kind: A\n  text: |\n    x\n    # deeper than the dash: text\n- kind: Secret",
            format!(
                "kind: List\nitems:\n- kind: A\n  text: |\n    x\n    # deeper than the dash: text\n- {}\n",
                yaml("  ")
            ),
        ),
    ] {
        assert_eq!(replaced(list).unwrap(), expected, "{list}");
    }
}

#[test]
fn objects_are_added_at_the_end_of_a_list() {
    let added = [sealed("a"), sealed("b")];
    let item = |name| format!("- {}\n", emit::to_yaml(&sealed(name)).trim_end().replace('\n', "\n  "));
    let both = format!("{}{}", item("a"), item("b"));
    let json = added.each_ref().map(|sealed| serde_json::to_string(sealed).unwrap()).join(",");
    for (list, expected) in [
        ("kind: List\nitems: []\nz: 1\n", format!("kind: List\nitems:\n{}\nz: 1\n", both.trim_end())),
        ("kind: List\nitems:\n- kind: A\nz: 1\n", format!("kind: List\nitems:\n- kind: A\n{both}z: 1\n")),
        ("kind: List\nitems:\n- kind: A", format!("kind: List\nitems:\n- kind: A\n{both}")),
        ("kind: List", format!("kind: List\nitems:\n{both}")),
        ("{\"kind\": \"List\", \"items\": []}", format!("{{\"kind\": \"List\", \"items\": [{json}]}}")),
        ("kind: List\nitems: [ {kind: A} ]\n", format!("kind: List\nitems: [ {{kind: A}} ,{json}]\n")),
    ] {
        let stream = Stream::read(list.as_bytes(), "in").unwrap();
        let new = stream.replace(&Replacements::new(), &added).unwrap();
        assert_eq!(new.as_str(), expected, "{list}");
    }
    let stream = Stream::read(b"kind: A\n", "in").unwrap();
    assert!(stream.replace(&Replacements::new(), &added).is_err());
}

#[test]
fn what_stands_beside_the_items_can_be_asked_for() {
    let list =
        "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems: []\nfunctionConfig:\n  kind: X\n";
    let stream = Stream::read(list.as_bytes(), "in").unwrap();
    assert_eq!(stream.list_kind(), Some(("ResourceList", "config.kubernetes.io/v1")));
    assert_eq!(stream.beside_items("functionConfig").unwrap().kind(), Some("X"));
    assert_eq!(stream.beside_items("functionConfig").unwrap().line(), 5);
    assert!(stream.beside_items("results").is_none());
    let two = Stream::read(b"kind: List\n---\nkind: List\n", "in").unwrap();
    assert_eq!(two.list_kind(), None);
}

#[test]
fn what_nobody_can_read_and_may_hold_a_secret_is_refused() {
    for (text, message) in [
        (
            "---\na: 1\n---\nkind: Secret\nkind: Secret\n",
            "in:5:1: document 2: this key is a duplicate of the one at 4:1",
        ),
        ("kind: \"Sec\\\nret\"\nx: [\n", "in:3:4: document 1: not valid YAML"),
        ("kind: !!binary U2VjcmV0\nx: [\n", "in:2:4: document 1: not valid YAML"),
        ("- kind: Secret\n", "in:1:1: document 1: expected a mapping, found a list"),
        ("kind: !x Secret\n", "in:1:10: document 1: kind: a YAML tag that Kubernetes does not know"),
        ("Kind: Secret\n", "in:1:1: document 1: kind: missing"),
        (
            "kind: List\nitems:\n- kind: List\n  items: [{kind: Secret}]\n",
            "in:3:3: document 1: items[0]: not edited in place: a list within a list",
        ),
        (
            "kind: List\nitems:\n- kind: Foo\n  items: [{kind: Foo, items: [{kind: Secret}]}]\n",
            "in:3:3: document 1: items[0]: not edited in place: a list within a list",
        ),
        (
            "kind: ConfigMapList\nitems:\n- kind: Secret\n",
            "in:1:1: document 1: not edited in place: a Secret among the items of what is no `List`",
        ),
        (
            "kind: ResourceList\nitems:\n- kind: SecretList\n  items: [{data: {}}]\n",
            "in:1:1: document 1: not edited in place: a Secret among the items of what is no `List`",
        ),
        ("items:\n- kind: Secret\n  apiVersion: /v1\n", "in:1:1: document 1: kind: missing"),
        (
            "kind: List\nitems: !x\n- kind: Secret\n",
            "in:3:3: document 1: items: a YAML tag that Kubernetes does not know",
        ),
        (
            "kind: Foo\nitems:\n- !x\n  kind: Secret\n",
            "in:4:3: document 1: items: a YAML tag that Kubernetes does not know",
        ),
        ("kind: !unknown Thing\n", "in:1:16: document 1: kind: a YAML tag that Kubernetes does not know"),
        (
            "kind: !!bin%61ry U2VjcmV0\n",
            "in:1:18: document 1: kind: a YAML tag that Kubernetes does not know",
        ),
        (
            "%TAG ! tag:yaml.org,2002:bin\n---\nkind: !ary U2VjcmV0\n",
            "in:3:12: document 1: kind: a YAML tag that Kubernetes does not know",
        ),
        (
            "kind: X\napiVersion: !!bin%61ry djE=\n",
            "in:2:24: document 1: apiVersion: a YAML tag that Kubernetes does not know",
        ),
        ("!!bin%61ry a2luZA==: !!bin%61ry U2VjcmV0\n", "in:1:12: document 1: not valid YAML"),
    ] {
        let error = Stream::read(text.as_bytes(), "in").err().expect(text).to_string();
        assert!(error.starts_with(message), "{text}: {error}");
    }
    for (bytes, problem) in [(&b"\xff\xfe"[..], Problem::Utf16), (b"a: \xff", Problem::NotUtf8)] {
        assert_eq!(*Stream::read(bytes, "in").err().unwrap().problem(), problem);
    }
}

#[test]
fn secrets_are_those_of_the_core_api() {
    for (version, is_secret) in [
        ("v1", true),
        ("/v1", true),
        ("\"\"", true),
        ("/", true),
        ("null", true),
        ("1", true),
        ("example.com/v1", false),
        ("v1/", false),
    ] {
        let text = format!("kind: Secret\napiVersion: {version}\n");
        let stream = Stream::read(text.as_bytes(), "in").unwrap();
        assert_eq!(stream.secrets().count(), usize::from(is_secret), "{version}");
    }
}

#[test]
fn what_cannot_be_replaced_alone_is_refused() {
    for (text, obstacle) in [
        ("kind: Secret\n...\nkind: B\n", Obstacle::NoSeparator),
        ("{\"kind\": \"Secret\"}\n{\"kind\": \"B\"}\n", Obstacle::NoSeparator),
        ("kind: SecretList\nitems: [{data: {a: aHVudGVyMg==}}]\n", Obstacle::TypedList),
        ("kind: List\nitems:\n- &a {kind: Secret}\n- *a\n", Obstacle::SharedAnchor),
        ("kind: List\nitems:\n- kind: Secret\n  x: &a 1\n- kind: B\n  x: *a\n", Obstacle::SharedAnchor),
        ("kind: List\nitems:\n- kind: Secret\n  x: &a 1\nz: *a\n", Obstacle::SharedAnchor),
        ("kind: List\nx: &a {kind: Secret, stringData: {p: hunter2}}\nitems:\n- *a\n", Obstacle::Alias),
        ("kind: List\nx: &a {kind: Secret, stringData: {p: hunter2}}\nitems: [*a]\n", Obstacle::Alias),
        ("kind: List\nx: &a {p: hunter2}\nitems:\n- kind: Secret\n  stringData: *a\n", Obstacle::Alias),
        ("kind: List\nx: &a {p: hunter2}\nitems: [{kind: Secret, stringData: *a}]\n", Obstacle::Alias),
        ("kind: List\nx: &a hunter2\nitems:\n- kind: Secret\n  stringData: {p: *a}\n", Obstacle::Alias),
        (
            "kind: List\nx: &a hunter2\nitems:\n- kind: Secret\n  stringData:\n    ? *a\n    : b\n",
            Obstacle::Alias,
        ),
        (
            "kind: List\nx: &a {p: hunter2}\nitems:\n- kind: Secret\n  stringData:\n    <<: *a\n",
            Obstacle::Alias,
        ),
        (
            "kind: List\nitems:\n- kind: B\n  x: &a hunter2\n- kind: Secret\n  x: &b 1\n  y: [*b, *a]\n",
            Obstacle::Alias,
        ),
        ("kind: List\nitems:\n- !!map\n  kind: Secret\n", Obstacle::Layout),
        (
            "kind: SecretList\nitems: [{kind: \"\", apiVersion: \"\", data: {a: aHVudGVyMg==}}]\n",
            Obstacle::TypedList,
        ),
        ("kind: SecretList\nitems: [{kind: null, data: {a: aHVudGVyMg==}}]\n", Obstacle::TypedList),
    ] {
        let error = replaced(text).unwrap_err();
        assert!(error.ends_with(&format!("not edited in place: {obstacle}")), "{text}: {error}");
    }
}

/// What the splices should do is right already; this is for the day when they do not.
#[test]
fn the_guard_lets_nothing_pass_but_what_was_asked_for() {
    let list = "kind: List\nitems:\n- kind: Secret\n- kind: A\n  x: 1\ny: 2\n";
    let stream = Stream::read(list.as_bytes(), "in").unwrap();
    let (part, db) = (&stream.parts[0], sealed("db"));
    let replaced: BTreeMap<_, _> = [(secrets(&stream)[0], &db)].into();
    let says =
        |text: &str, added: &[SealedSecret]| part.says_what_it_said(text, &"in".into(), &replaced, added);
    let json = serde_json::to_string(&db).unwrap();
    let good = list.replace("- kind: Secret", &format!("- {json}"));
    assert!(says(&good, &[]));
    assert!(says(&good.replace("y: 2", &format!("- {json}\ny: 2")), &[sealed("db")]));
    for wrong in [
        list.to_owned(),
        good.replace("x: 1", "x: 2"),
        good.replace("  x: 1\n", ""),
        good.replace("y: 2", "y: 3"),
        good.replace("y: 2\n", ""),
        good.replace("- kind: A\n  x: 1\n", ""),
        good.replace("y: 2", &format!("- {json}\ny: 2")),
        good.replace("AgC=", "AgD="),
        good.replace("kind: List", "kind: Lists"),
        good.clone() + "---\nkind: B\n",
        good.clone() + "[",
        good.replace(&format!("- {json}\n- kind: A\n  x: 1\n"), &format!("- kind: A\n  x: 1\n- {json}\n")),
    ] {
        assert!(!says(&wrong, &[]), "{wrong}");
    }
    assert!(!says(&good, &[sealed("db")]));
    let one = Stream::read(b"kind: Secret\n", "in").unwrap();
    let says = |text: &str| one.parts[0].says_what_it_said(text, &"in".into(), &replaced, &[]);
    assert!(says(&json));
    assert!(!says("kind: Secret\n") && !says(&json.replace("AgC=", "AgD=")));
}

#[test]
fn documents_are_counted_and_placed_as_in_the_whole_stream() {
    let text =
        "# c\n---\n\n---\nkind: A\n---\nbroken: [\n---\nkind: List\nitems: [{kind: B}]\n---\nkind: C\n";
    let stream = Stream::read(text.as_bytes(), "in").unwrap();
    let found: Vec<_> =
        stream.documents().map(|document| (document.number(), document.item(), document.line())).collect();
    assert_eq!(found, [(1, None, 5), (3, Some(0), 10), (4, None, 12)]);
}

#[test]
fn directives_stay_with_their_document() {
    let text = "%YAML 1.2\n---\nkind: A\n";
    assert_eq!(replaced(text).unwrap(), text);
    assert!(replaced("%YAML 1.2\n---\nkind: Secret\n").unwrap().starts_with("apiVersion"));
}

#[test]
fn what_cannot_be_read_passes_only_if_nothing_in_it_could_spell_the_word() {
    for words in [
        "imagePullSecrets",
        "secretName",
        "MySecret",
        "Secrets",
        "_Secret",
        "Secret_x",
        "SecretListing",
        "a\\n",
    ] {
        let text = format!("kind: X\nkind: {words}\n");
        assert_eq!(replaced(&text).as_deref(), Ok(text.as_str()), "{words}");
    }
    for words in [
        "Secret",
        "SecretList",
        "x-Secret",
        "/Secret",
        "\"\\x53ecret\"",
        "\"\\u0053ecret\"",
        "\"\\U00000053ecret\"",
        "\"Sec\\\r\nret\"",
        "\"Sec\\\nret\"",
        "!<tag:yaml.org,2002:binary> U2VjcmV0",
    ] {
        let text = format!("kind: X\nkind: {words}\n");
        assert!(Stream::read(text.as_bytes(), "in").is_err(), "{words}");
    }
}
