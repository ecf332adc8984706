//! SealedSecrets as types, and the CRD.

use privyseal_manifest::{SealedSecret, emit, read, sealed_secret};
use serde_json::{Value, json};

fn sealed_secret_of(text: &str) -> SealedSecret {
    read(text.as_bytes(), "in.yaml").unwrap().remove(0).into_sealed_secret().unwrap()
}

/// As kubeseal 0.31 and older wrote it, and as the peer's controller leaves it in the cluster.
const PEERS: &str = r#"{"kind":"SealedSecret","apiVersion":"bitnami.com/v1alpha1",
  "metadata":{"name":"db","namespace":"team-a","creationTimestamp":null,"generation":1,
    "annotations":{"sealedsecrets.bitnami.com/namespace-wide":"true"}},
  "spec":{"template":{"metadata":{"name":"db","namespace":"team-a","creationTimestamp":null,"generateName":"db-",
      "labels":{"app":"x"},"annotations":{"a":"b"},"finalizers":["f/x"],"managedFields":[{"manager":"m"}]},
      "type":"Opaque","immutable":true,"data":{"conf":"u={{ .user }}","user":null}},
    "encryptedData":{"user":"AgB0","pass":"AgB1"}},
  "status":{"observedGeneration":1,"conditions":[{"type":"Synced","status":"True",
    "lastUpdateTime":"2026-01-02T03:04:05Z","lastTransitionTime":"2026-01-02T03:04:05Z"}]}}"#;

#[test]
fn what_the_peer_wrote_fits_through_the_api_server_and_through_files() {
    let from_server: SealedSecret = serde_json::from_str(PEERS).unwrap();
    assert_eq!(from_server, sealed_secret_of(PEERS));
    let template = from_server.spec.template.as_ref().unwrap();
    let metadata = template.metadata.as_ref().unwrap();
    assert_eq!(template.data["user"], None);
    assert_eq!(metadata.other.keys().collect::<Vec<_>>(), ["generateName", "managedFields"]);

    let mut expected: Value = serde_json::from_str(PEERS).unwrap();
    expected["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    expected["spec"]["template"]["metadata"].as_object_mut().unwrap().remove("creationTimestamp");
    assert_eq!(serde_json::to_value(&from_server).unwrap(), expected);
}

#[test]
fn odd_but_legal_objects_fit() {
    for object in [
        json!({"metadata": {}, "spec": {"encryptedData": {}}}),
        json!({"metadata": {}, "spec": {"encryptedData": null}}),
        json!({"metadata": {}, "spec": {"data": "AgB0"}}),
        json!({"metadata": {}, "spec": {"encryptedData": {}, "template": null}}),
        json!({"metadata": {}, "spec": {"encryptedData": {}, "template": {}}}),
        json!({"metadata": {}, "spec": {"encryptedData": {}, "template": {"metadata": null, "data": null}}}),
        json!({"metadata": {}, "spec": {"encryptedData": {}, "template": {"metadata": {"labels": null, "finalizers": null}}}}),
        json!({"metadata": {}, "spec": {"encryptedData": {}}, "status": null}),
        json!({"metadata": {}, "spec": {"encryptedData": {}}, "status": {"observedGeneration": -1}}),
        json!({"metadata": {}, "spec": {"encryptedData": {}}, "status": {"conditions": null, "later": 1}}),
        json!({"metadata": {}, "spec": {"encryptedData": {}}, "status": {"conditions": [
            {"type": "Synced", "status": "False", "lastUpdateTime": null, "message": "m", "reason": "r"}]}}),
    ] {
        let mut object = object;
        object["apiVersion"] = json!("bitnami.com/v1alpha1");
        object["kind"] = json!("SealedSecret");
        let from_server: SealedSecret =
            serde_json::from_value(object.clone()).unwrap_or_else(|e| panic!("{object}: {e}"));
        assert_eq!(from_server, sealed_secret_of(&object.to_string()), "{object}");
    }
}

#[test]
fn fields_come_in_order_and_empty_ones_not_at_all() {
    let text = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata:\n  name: db\n  namespace: team-a\nspec:\n  \
                template:\n    type: Opaque\n    immutable: false\n    data:\n      conf: \"a\\nb\\n\"\n      none: null\n    \
                metadata:\n      name: db\n      labels:\n        app: x\n      generateName: db-\n  data: AgA=\n  \
                encryptedData:\n    a: AgB0\nstatus:\n  observedGeneration: 3\n  conditions:\n  - type: Synced\n    \
                status: \"True\"\n    lastUpdateTime: \"2026-01-02T03:04:05Z\"\n  marker: m\n  openedWith:\n  - 0a1b2c3d4e5f6071\n  \
                lastHandledReconcileAt: now\n";
    assert_eq!(emit::to_yaml(&sealed_secret_of(text)), text);
    let bare =
        "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {}\nspec:\n  encryptedData: {}\n";
    assert_eq!(emit::to_yaml(&sealed_secret_of(bare)), bare);
}

#[test]
fn fields_that_would_be_lost_are_refused() {
    let head = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\n";
    for (text, message) in [
        ("data: {}\nspec: {}\n", "in.yaml:3:1: document 1: unknown field"),
        ("metadata: {}\n", "in.yaml:1:1: document 1: spec: missing"),
        ("spec: {encrypteddata: {}}\n", "in.yaml:3:8: document 1: spec: unknown field"),
        ("spec: {template: {stringData: {}}}\n", "in.yaml:3:19: document 1: spec.template: unknown field"),
        (
            "spec: {template: {metadata: {label: {}}}}\n",
            "in.yaml:3:30: document 1: spec.template.metadata: unknown field",
        ),
        (
            "spec: {encryptedData: {a: 5}}\n",
            "in.yaml:3:27: document 1: spec.encryptedData.a: expected text, found a number",
        ),
        (
            "spec: {template: {metadata: {annotations: {a/b: on}}}}\n",
            "in.yaml:3:49: document 1: spec.template.metadata.annotations[a/b]: expected text, found a boolean",
        ),
    ] {
        let error =
            read(format!("{head}{text}").as_bytes(), "in.yaml").unwrap().remove(0).into_sealed_secret().err();
        assert_eq!(error.map(|e| e.to_string()).as_deref(), Some(message), "{text}");
    }
}

#[test]
fn the_crd_is_the_peers_and_a_little_more() {
    let crd = serde_json::to_value(sealed_secret::crd()).unwrap();
    assert_eq!(crd["metadata"]["name"], "sealedsecrets.bitnami.com");
    assert_eq!(crd["spec"]["scope"], "Namespaced");
    let version = &crd["spec"]["versions"][0];
    assert_eq!(version["subresources"], json!({"status": {}}));
    let columns: Vec<_> =
        version["additionalPrinterColumns"].as_array().unwrap().iter().map(|c| &c["jsonPath"]).collect();
    assert_eq!(
        columns,
        [".status.conditions[0].message", ".status.conditions[0].status", ".metadata.creationTimestamp"]
    );

    let root = &version["schema"]["openAPIV3Schema"];
    let mut found = Vec::new();
    walk(root, "", &mut found);
    let text_map = "object additionalProperties";
    assert_eq!(
        found,
        [
            (String::new(), "object required=[\"spec\"]".to_owned()),
            (".spec".to_owned(), "object required=[\"encryptedData\"]".to_owned()),
            (".spec.data".to_owned(), "string format=byte".to_owned()),
            (".spec.encryptedData".to_owned(), format!("{text_map} preserve")),
            (".spec.encryptedData.*".to_owned(), "string".to_owned()),
            (".spec.template".to_owned(), "object".to_owned()),
            (".spec.template.data".to_owned(), format!("{text_map} nullable")),
            (".spec.template.data.*".to_owned(), "string nullable".to_owned()),
            (".spec.template.immutable".to_owned(), "boolean".to_owned()),
            (".spec.template.metadata".to_owned(), "object nullable preserve".to_owned()),
            (".spec.template.metadata.annotations".to_owned(), format!("{text_map} nullable")),
            (".spec.template.metadata.annotations.*".to_owned(), "string".to_owned()),
            (".spec.template.metadata.finalizers".to_owned(), "array nullable".to_owned()),
            (".spec.template.metadata.finalizers[]".to_owned(), "string".to_owned()),
            (".spec.template.metadata.labels".to_owned(), format!("{text_map} nullable")),
            (".spec.template.metadata.labels.*".to_owned(), "string".to_owned()),
            (".spec.template.metadata.name".to_owned(), "string".to_owned()),
            (".spec.template.metadata.namespace".to_owned(), "string".to_owned()),
            (".spec.template.type".to_owned(), "string".to_owned()),
            (".status".to_owned(), "object default={\"observedGeneration\":-1}".to_owned()),
            (".status.conditions".to_owned(), "array".to_owned()),
            (".status.conditions[]".to_owned(), "object required=[\"status\",\"type\"]".to_owned()),
            (".status.conditions[].lastTransitionTime".to_owned(), "string format=date-time".to_owned()),
            (".status.conditions[].lastUpdateTime".to_owned(), "string format=date-time".to_owned()),
            (".status.conditions[].message".to_owned(), "string".to_owned()),
            (".status.conditions[].reason".to_owned(), "string".to_owned()),
            (".status.conditions[].status".to_owned(), "string".to_owned()),
            (".status.conditions[].type".to_owned(), "string".to_owned()),
            (".status.lastHandledReconcileAt".to_owned(), "string".to_owned()),
            (".status.marker".to_owned(), "string".to_owned()),
            (".status.observedGeneration".to_owned(), "integer format=int64".to_owned()),
            (".status.openedWith".to_owned(), "array".to_owned()),
            (".status.openedWith[]".to_owned(), "string".to_owned()),
        ]
    );
}

/// Every keyword of a schema but its descriptions, one line for each path.
fn walk(schema: &Value, path: &str, found: &mut Vec<(String, String)>) {
    let mut line = schema["type"].as_str().unwrap_or("any").to_owned();
    for (keyword, value) in schema.as_object().unwrap() {
        match keyword.as_str() {
            "type" | "description" | "properties" | "items" => {}
            "format" => line.push_str(&format!(" format={}", value.as_str().unwrap())),
            "nullable" => line.push_str(" nullable"),
            "additionalProperties" => line.push_str(" additionalProperties"),
            "x-kubernetes-preserve-unknown-fields" => line.push_str(" preserve"),
            other => line.push_str(&format!(" {other}={value}")),
        }
    }
    found.push((path.to_owned(), line));
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), found);
    }
    if schema["additionalProperties"].is_object() {
        walk(&schema["additionalProperties"], &format!("{path}.*"), found);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &format!("{path}[]"), found);
    }
}

#[test]
fn the_crd_as_yaml_is_the_same_every_time() {
    let yaml = sealed_secret::crd_yaml();
    assert_eq!(yaml, sealed_secret::crd_yaml());
    assert!(yaml.starts_with("apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: sealedsecrets.bitnami.com\n"));
    assert!(!yaml.contains("title:") && !yaml.contains("status: null"));
    let document = read(yaml.as_bytes(), "crd.yaml").unwrap().remove(0);
    assert_eq!(document.kind(), Some("CustomResourceDefinition"));
}
