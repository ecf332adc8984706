//! The mark of keys that our leader made: what tells them from keys that somebody put there.
//!
//! Annotation `privyseal.dev/made-by` of a key Secret: `v1:` and standard base64 of an Ed25519 signature of the publisher
//! key over `privyseal.dev/made-by/v1`, LF, and the text of the public half: the certificate as PEM, and the recipients, if there
//! are any, one per line. Whoever may write Secrets but not read the publisher key cannot make one, nor use the mark of one
//! key for another, nor for the same key with other dates or other age identities.
//! A signature and not an HMAC, so that whoever knows the publisher can check it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_keys::{PublicHalf, PublisherKey, PublisherPublicKey};

/// The annotation that holds the mark.
pub const MADE_BY: &str = "privyseal.dev/made-by";
const VERSION: &str = "v1:";
/// Keeps a mark from being a signature over anything else.
const DOMAIN: &str = "privyseal.dev/made-by/v1\n";

/// A mark as it stands on a key Secret: a claim until it is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MakerMark(String);

impl MakerMark {
    /// Marks a key as made by the holder of the publisher key.
    pub fn make(publisher: &PublisherKey, key: &PublicHalf) -> Self {
        Self(format!("{VERSION}{}", STANDARD.encode(publisher.sign(&signed_bytes(key)))))
    }

    /// The mark that a Secret carries.
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        metadata.annotations.as_ref()?.get(MADE_BY).cloned().map(Self)
    }

    /// The mark that a vault claims for a key.
    pub(crate) fn claimed(text: String) -> Self {
        Self(text)
    }

    /// The text of the annotation.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the holder of that publisher key marked that key, as it is.
    pub fn proves(&self, publisher: &PublisherPublicKey, key: &PublicHalf) -> bool {
        let signature = self.0.strip_prefix(VERSION).and_then(|text| STANDARD.decode(text).ok());
        signature.is_some_and(|signature| publisher.verify(&signed_bytes(key), &signature).is_ok())
    }
}

fn signed_bytes(key: &PublicHalf) -> Vec<u8> {
    format!("{DOMAIN}{}", key.to_text()).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{SignedDuration, Timestamp};
    use privyseal_envelope::rsa::{KeySize, OpeningKey};
    use privyseal_keys::{Certificate, KeyPair};

    #[test]
    fn only_the_holder_of_the_publisher_key_marks_and_only_one_certificate() {
        let (ours, theirs) = (PublisherKey::generate().ok().unwrap(), PublisherKey::generate().ok().unwrap());
        let now: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let hour = SignedDuration::from_hours(1);
        let key = OpeningKey::generate(KeySize::Rsa2048).unwrap();
        let certificate = PublicHalf::from(Certificate::issue(&key, "", now, hour).unwrap());
        let later = PublicHalf::from(Certificate::issue(&key, "", now + hour, hour).unwrap());

        let mark = MakerMark::make(&ours, &certificate);
        assert!(mark.proves(&ours.public_key(), &certificate));
        assert!(!mark.proves(&ours.public_key(), &later), "the same key with other dates");
        assert!(!mark.proves(&theirs.public_key(), &certificate));
        assert!(!MakerMark::make(&theirs, &certificate).proves(&ours.public_key(), &certificate));
        let recipients =
            || KeyPair::generate(KeySize::Rsa2048, "", now, hour).ok().unwrap().public_half().recipients;
        let [one, other] = [0, 1].map(|_| PublicHalf { recipients: recipients(), ..certificate.clone() });
        assert!(!mark.proves(&ours.public_key(), &one), "the same key, and identities beside it");
        let of_one = MakerMark::make(&ours, &one);
        assert!(of_one.proves(&ours.public_key(), &one));
        assert!(
            !of_one.proves(&ours.public_key(), &other) && !of_one.proves(&ours.public_key(), &certificate)
        );
        for garbage in ["", "v1:", "v1:AAAA", "true", &mark.as_str()[3..]] {
            assert!(!MakerMark(garbage.to_owned()).proves(&ours.public_key(), &certificate), "{garbage}");
        }
    }
}
