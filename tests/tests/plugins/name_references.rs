//! `deploy/kustomize/name-references.yaml`: references to a Secret follow a SealedSecret that Kustomize renames.

use crate::kustomize::{Folder, write};
use privyseal_tests::tools;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fs;

const FILE: &str = "deploy/kustomize/name-references.yaml";
const SEALED: &str = "\
apiVersion: bitnami.com/v1alpha1
kind: SealedSecret
metadata: {name: db, namespace: shop}
spec: {encryptedData: {password: AgB0b3A=}}
";

/// One field by which Kustomize finds references.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Field {
    group: Option<String>,
    version: Option<String>,
    kind: String,
    path: String,
}

fn text() -> String {
    fs::read_to_string(tools::repository().join(FILE)).unwrap()
}

fn fields(list: &Value) -> Vec<Field> {
    let text = |field: &Value, name: &str| field[name].as_str().map(str::to_owned);
    let fields = list["fieldSpecs"].as_array().unwrap().iter().map(|field| Field {
        group: text(field, "group"),
        version: text(field, "version"),
        kind: text(field, "kind").unwrap(),
        path: text(field, "path").unwrap(),
    });
    fields.collect()
}

fn ours() -> Vec<Field> {
    let file: Value = serde_saphyr::from_str(&text()).unwrap();
    let lists = file["nameReference"].as_array().unwrap();
    let kinds: Vec<_> = lists.iter().map(|list| list["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["SealedSecret", "Secret"]);
    assert!(lists.iter().all(|list| list["group"] == "bitnami.com"));
    assert_eq!(lists[0]["fieldSpecs"], lists[1]["fieldSpecs"]);
    fields(&lists[0])
}

/// What the program itself follows for a Secret. It is a text within it, and no command prints it.
fn builtin() -> Vec<Field> {
    let program = fs::read(tools::kustomize()).unwrap();
    let start = memchr::memmem::find(&program, b"\n- kind: Secret\n")
        .expect("kustomize has no references to a Secret");
    let section = &program[start + 1..];
    let end = memchr::memmem::find(section, b"\n- kind: ").expect("the list of kustomize has no end");
    let text = str::from_utf8(&section[..end]).unwrap();
    let lists: Value = serde_saphyr::from_str(text).unwrap();
    fields(&lists[0])
}

#[test]
fn the_file_names_every_field_that_kustomize_follows_for_a_secret() {
    let [ours, builtin] = [ours(), builtin()];
    assert!(builtin.len() > 60, "{builtin:#?}");
    let [listed, wanted] = [&ours, &builtin].map(|fields| fields.iter().cloned().collect::<BTreeSet<_>>());
    assert_eq!(listed.len(), ours.len(), "a field stands there twice");
    let lacking: Vec<_> = wanted.difference(&listed).collect();
    let more: Vec<_> = listed.difference(&wanted).collect();
    assert!(lacking.is_empty() && more.is_empty(), "{FILE} lacks {lacking:#?}\nand has besides {more:#?}");
}

#[test]
fn every_reference_follows_a_sealed_secret_that_is_renamed() {
    let fields = ours();
    let folder = Folder::new();
    folder.write("sealed.yaml", SEALED);
    let objects: Vec<String> = fields.iter().enumerate().map(|(index, field)| object(field, index)).collect();
    folder.write("users.yaml", &objects.join("---\n"));
    folder.write("name-references.yaml", &text());
    let build = |configurations: &str| {
        folder.write(
            "kustomization.yaml",
            &format!(
                "namePrefix: p-\nnameSuffix: -s\nresources: [sealed.yaml, users.yaml]\n{configurations}"
            ),
        );
        let built = folder.build(&[]).unwrap();
        let sealed = built.iter().find(|object| object["kind"] == "SealedSecret").unwrap();
        assert_eq!(sealed["metadata"]["name"], "p-db-s");
        let of = |index: usize| {
            let name = format!("p-user-{index}-s");
            let user = built.iter().find(|object| object["metadata"]["name"] == *name).unwrap();
            referenced(user, &parts(&fields[index].path)).unwrap().to_owned()
        };
        (0..fields.len()).map(of).collect::<Vec<_>>()
    };
    for (field, name) in fields.iter().zip(build("configurations: [name-references.yaml]\n")) {
        assert_eq!(name, "p-db-s", "{field:?}");
    }
    // It is the file that does it.
    for (field, name) in fields.iter().zip(build("")) {
        assert_eq!(name, "db", "{field:?}");
    }
}

/// What the head of the file says of several kustomizations.
#[test]
fn one_component_with_the_file_serves_many_overlays() {
    let folder = Folder::new();
    folder.write("app/sealed.yaml", SEALED);
    folder.write("app/users.yaml", &object(&ours()[0], 0));
    folder.write("app/kustomization.yaml", "resources: [sealed.yaml, users.yaml]\n");
    folder.write("references/name-references.yaml", &text());
    folder.write(
        "references/kustomization.yaml",
        "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nconfigurations: [name-references.yaml]\n",
    );
    for overlay in ["one", "two"] {
        let text = format!("namePrefix: {overlay}-\nresources: [../app]\ncomponents: [../references]\n");
        folder.write(&format!("{overlay}/kustomization.yaml"), &text);
        let built = folder.build_in(overlay, &[]).unwrap();
        let user = built.iter().find(|object| object["kind"] != "SealedSecret").unwrap();
        assert_eq!(referenced(user, &parts(&ours()[0].path)), Some(&*format!("{overlay}-db")));
    }
    folder.write(
        "one/kustomization.yaml",
        "resources: [../app]\nconfigurations: [../references/name-references.yaml]\n",
    );
    let refused = folder.build_in("one", &[]).unwrap_err();
    assert!(refused.contains("is not in or below"), "{refused}");
}

/// An object of the kind with `db` at the path.
fn object(field: &Field, index: usize) -> String {
    let version = field.version.as_deref().unwrap_or("v1");
    let group = field.group.as_deref().unwrap_or(match field.kind.as_str() {
        "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet" => "apps",
        "Job" | "CronJob" => "batch",
        "Ingress" => "networking.k8s.io",
        "StorageClass" => "storage.k8s.io",
        "Role" | "ClusterRole" => "rbac.authorization.k8s.io",
        _ => "",
    });
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let mut object = json!({
        "apiVersion": api_version,
        "kind": field.kind,
        "metadata": {"name": format!("user-{index}"), "namespace": "shop"},
    });
    put(object.as_object_mut().unwrap(), &parts(&field.path));
    write(&object)
}

/// The parts of a path of Kustomize. A slash within a key has a backslash before it.
fn parts(path: &str) -> Vec<String> {
    const WITHIN: &str = "\u{1}";
    path.replace("\\/", WITHIN).split('/').map(|part| part.replace(WITHIN, "/")).collect()
}

/// Lists, which a path of Kustomize goes through without saying so.
const LISTS: [&str; 10] = [
    "containers",
    "env",
    "envFrom",
    "imagePullSecrets",
    "initContainers",
    "resourceNames",
    "rules",
    "sources",
    "tls",
    "volumes",
];

fn put(into: &mut Map<String, Value>, path: &[String]) {
    let (first, rest) = path.split_first().unwrap();
    let is_list = LISTS.contains(&first.as_str());
    let inner = match rest {
        [] => json!("db"),
        rest => {
            let mut inner = into.get(first).and_then(Value::as_object).cloned().unwrap_or_default();
            put(&mut inner, rest);
            Value::Object(inner)
        }
    };
    into.insert(first.clone(), if is_list { json!([inner]) } else { inner });
}

fn referenced<'a>(value: &'a Value, path: &[String]) -> Option<&'a str> {
    let value = value.as_array().map_or(value, |items| &items[0]);
    match path.split_first() {
        None => value.as_str(),
        Some((first, rest)) => referenced(value.get(first)?, rest),
    }
}
