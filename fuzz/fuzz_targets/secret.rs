//! Documents as Secrets: YAML and JSON in, YAML and JSON out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privyseal_manifest::{Encoding, MAX_DATA_BYTES, Secret, read};

fuzz_target!(|data: &[u8]| {
    let documents = match read(data, "fuzz") {
        Ok(documents) => documents,
        Err(error) => {
            let _ = (error.to_string(), error.hint());
            return;
        }
    };
    if let [document] = documents.as_slice()
        && (document.encoding(), document.item()) == (Encoding::Json, None)
        && let Ok(value) = serde_json::from_slice::<serde_json::Value>(data)
    {
        assert_eq!(document.kind(), value["kind"].as_str(), "serde_json reads the same");
        assert_eq!(document.api_version(), value["apiVersion"].as_str(), "serde_json reads the same");
    }
    for document in documents {
        assert!(document.number() > 0 && document.line() > 0);
        match document.into_secret() {
            Ok(secret) => exercise(&secret),
            Err(error) => {
                let _ = (error.to_string(), error.hint());
            }
        }
    }
});

fn exercise(secret: &Secret) {
    assert!(secret.data_len() <= MAX_DATA_BYTES);
    for text in [secret.to_yaml().as_bytes(), &secret.to_json(), secret.to_json_pretty().as_bytes()] {
        let mut documents = read(text, "fuzz").expect("what is written is a document");
        assert_eq!(documents.len(), 1);
        let again = documents.remove(0).into_secret().expect("what is written is a Secret");
        // No `assert_eq`: a Secret cannot be printed. The text tells the rest of the metadata: Kubernetes writes
        // times in whole seconds, so that what is read back may differ from what was read in a fraction.
        assert!(again.to_json() == secret.to_json(), "what is written reads back");
        assert!(again.data == secret.data && again.type_ == secret.type_);
        let (after, before) = (&again.metadata, &secret.metadata);
        assert!(after.annotations == before.annotations && after.labels == before.labels);
    }
}
