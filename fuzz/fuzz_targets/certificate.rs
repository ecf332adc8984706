//! A certificate: as PEM text, and as the DER in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use privyseal_fuzz::{TEST_KEY, pem};
use privyseal_keys::{Certificate, KeyPair, NotUsable};

fuzz_target!(|data: &[u8]| {
    exercise(data);
    exercise(&pem("CERTIFICATE", data));
});

fn exercise(text: &[u8]) {
    let certificate = match Certificate::from_pem(text) {
        Ok(certificate) => certificate,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let again = Certificate::from_pem(certificate.to_pem().as_bytes());
    assert_eq!(again.ok().as_ref(), Some(&certificate), "what is written reads back");
    let fingerprint = certificate.fingerprint();
    assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    let bits = certificate.sealing_key().bits();
    assert!((2048..=8192).contains(&bits), "a key of {bits} bits");

    let end = certificate.not_after();
    assert_eq!(certificate.usable_at(end).err(), Some(NotUsable::Expired { not_after: end }));
    if let Ok(pair) = KeyPair::from_texts(text, TEST_KEY) {
        assert_eq!(pair.opening_key().fingerprint(), fingerprint, "the halves match");
    }
}
