//! `.privyseal.yaml`, the trust file and key files: what a pull request can write, and what a person did.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privyseal_envelope::Format;
use privyseal_repo::{Config, KeyFile, Trust};

fuzz_target!(|data: &[u8]| {
    if let Err(error) = KeyFile::verify(data) {
        let _ = error.to_string();
    }
    let Ok(text) = str::from_utf8(data) else { return };
    match Config::parse(text) {
        Ok(config) => {
            for path in ["", "a", "clusters/prod/a.yaml", "../a", "a\nb"] {
                if let Some(rule) = config.rule_for(path) {
                    let clusters =
                        rule.clusters.iter().filter(|name| config.cluster(name.as_str()).is_some());
                    let recipients =
                        rule.recipients.iter().filter(|name| config.recipient(name.as_str()).is_some());
                    let known = (clusters.count(), recipients.count());
                    assert_eq!(
                        known,
                        (rule.clusters.len(), rule.recipients.len()),
                        "a rule names what there is"
                    );
                    assert_ne!(known, (0, 0), "a rule names somebody");
                    let classic = rule.format() == Format::Classic;
                    assert!(!classic || known == (1, 0), "classic opens in one cluster only");
                }
            }
        }
        Err(error) => {
            let _ = error.to_string();
        }
    }
    if let Ok(trust) = Trust::parse(text) {
        assert_eq!(Trust::parse(&trust.to_text()).ok(), Some(trust), "what is written down reads back");
    }
});
