//! No error says anything of a value.

use privyseal_manifest::{Document, read};

const CANARY: &str = "CANARY-hunter2";

/// Broken documents with the canary wherever a value, or a misplaced piece of one, can stand.
fn broken() -> Vec<Vec<u8>> {
    let head = "apiVersion: v1\nkind: Secret\n";
    let sealed = "apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\n";
    let texts = [
        // Syntax, at and around the value
        "stringData:\n  a: CANARY-hunter2: x\n",
        "stringData:\n  a: 'CANARY-hunter2\n",
        "stringData:\n  a: \"CANARY-hunter2\\q\"\n",
        "stringData:\n  a: [CANARY-hunter2\n",
        "stringData:\n  a: |\n  CANARY-hunter2\n",
        "stringData:\n  a: |\n    x\n  CANARY-hunter2\n  b: c\n",
        "stringData:\n  a: *CANARY-hunter2\n",
        "stringData:\n  a: !CANARY-hunter2 x\n",
        "stringData:\n  a: !<CANARY-hunter2 x\n",
        "stringData:\n  a: !CANARY-hunter2!x x\n",
        "stringData:\n  a: &CANARY-hunter2 [*CANARY-hunter2]\n",
        "stringData:\n  a: @CANARY-hunter2\n",
        "stringData:\n  a: `CANARY-hunter2`\n",
        "%CANARY-hunter2\n",
        "%YAML CANARY-hunter2\n---\na: b\n",
        "%TAG CANARY-hunter2 x\n---\na: b\n",
        "CANARY-hunter2\n",
        "- CANARY-hunter2\n",
        // Types
        "stringData: CANARY-hunter2\n",
        "stringData: [CANARY-hunter2]\n",
        "stringData: {a: {CANARY-hunter2: x}}\n",
        "stringData: {a: [CANARY-hunter2]}\n",
        "stringData: {\"CANARY-hunter2 \": x}\n",
        "stringData: {\"..CANARY-hunter2 \": 5}\n",
        "stringData: {? [CANARY-hunter2] : x}\n",
        "stringData: {<<: CANARY-hunter2}\n",
        "data: {a: CANARY-hunter2}\n",
        "data: {a: \"CANARY-hunter2 \\n\"}\n",
        "data: {a: CANARY}\n",
        "immutable: CANARY-hunter2\n",
        "type: {CANARY-hunter2: x}\n",
        "metadata: CANARY-hunter2\n",
        "metadata: {name: CANARY-hunter2}\n",
        "metadata: {namespace: CANARY-hunter2}\n",
        "metadata: {generation: CANARY-hunter2}\n",
        "metadata: {creationTimestamp: CANARY-hunter2}\n",
        "metadata: {deletionGracePeriodSeconds: CANARY-hunter2}\n",
        "metadata: {ownerReferences: [{CANARY-hunter2: x}]}\n",
        "metadata: {ownerReferences: CANARY-hunter2}\n",
        "metadata: {managedFields: [CANARY-hunter2]}\n",
        "metadata: {labels: CANARY-hunter2}\n",
        "metadata: {labels: {a: [CANARY-hunter2]}}\n",
        "metadata: {annotations: {a: {CANARY-hunter2: x}}}\n",
        "metadata: {finalizers: CANARY-hunter2}\n",
        "metadata: {finalizers: [{CANARY-hunter2: x}]}\n",
        // Misplaced pieces of a value as keys
        "CANARY-hunter2: x\n",
        "CANARY-hunter2: x\nCANARY-hunter2: y\n",
        "stringData:\n  a:\n    CANARY-hunter2: x\n    CANARY-hunter2: y\n",
        "stringData:\n  a: x\n  a: CANARY-hunter2\n",
        "kind: CANARY-hunter2\n",
        "kind: [CANARY-hunter2]\n",
        "kind: CANARY-hunter2\napiVersion: CANARY-hunter2\n",
        "apiVersion: CANARY-hunter2\nkind: Secret\n",
        "kind: List\nitems: [CANARY-hunter2]\n",
        "kind: List\nitems: CANARY-hunter2\n",
        // JSON
        "{\"stringData\": {\"a\": \"CANARY-hunter2}}\n",
        "{\"stringData\": {\"a\": \"CANARY-hunter2\\q\"}}\n",
        "{\"stringData\": {\"a\": CANARY-hunter2}}\n",
        "{\"stringData\": {\"a\": \"CANARY-hunter2\" \"b\"}}\n",
        "{\"stringData\": {\"a\": \"\\ud800CANARY-hunter2\"}}\n",
        "{\"CANARY-hunter2\": 1, \"CANARY-hunter2\": 2}\n",
        "{\"a\": 1} CANARY-hunter2\n",
        // SealedSecrets
        "spec: CANARY-hunter2\n",
        "spec: {encryptedData: CANARY-hunter2}\n",
        "spec: {encryptedData: {a: [CANARY-hunter2]}}\n",
        "spec: {template: CANARY-hunter2, encryptedData: {}}\n",
        "spec: {template: {data: {a: [CANARY-hunter2]}}, encryptedData: {}}\n",
        "spec: {template: {metadata: [CANARY-hunter2]}, encryptedData: {}}\n",
        "spec: {template: {CANARY-hunter2: x}, encryptedData: {}}\n",
        "spec: {CANARY-hunter2: x, encryptedData: {}}\n",
        "spec: {encryptedData: {}}\nstatus: CANARY-hunter2\n",
        "spec: {encryptedData: {}}\nstatus: {conditions: CANARY-hunter2}\n",
        "spec: {encryptedData: {}}\nstatus: {conditions: [{type: a, status: b, lastUpdateTime: CANARY-hunter2}]}\n",
    ];
    let mut all = Vec::new();
    for text in texts {
        for head in ["", head, sealed] {
            all.push(format!("{head}{text}").into_bytes());
        }
    }
    all.push(b"a: CANARY-hunter2\xff\n".to_vec());
    all.push(b"\xff\xfeCANARY-hunter2".to_vec());
    all.push(format!("{head}stringData: {{a: \"{}\"}}\n", CANARY.repeat(100_000)).into_bytes());
    all
}

#[test]
fn no_error_holds_a_value() {
    let mut errors = 0;
    for text in broken() {
        type Check = fn(Document) -> Result<(), privyseal_manifest::DocumentError>;
        let checks: [Check; 2] = [|d| d.into_secret().map(drop), |d| d.into_sealed_secret().map(drop)];
        let shown = String::from_utf8_lossy(&text[..text.len().min(120)]).into_owned();
        let mut failures = 0;
        for check in checks {
            let Err(error) =
                read(&text, "in.yaml").and_then(|documents| documents.into_iter().try_for_each(check))
            else {
                continue;
            };
            failures += 1;
            let said = format!("{error} {error:?} {:?} {:#?}", error.hint(), error.problem());
            assert!(!said.contains("CANARY") && !said.contains("hunter"), "{shown}\n{said}");
        }
        assert!(failures > 0, "nothing is wrong with {shown}");
        errors += failures;
    }
    assert!(errors > 200, "{errors}");
}
