use super::*;
use privyseal_envelope::rsa::KeySize;

const NOW: &str = "2026-11-24T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn issued(common_name: &str) -> (OpeningKey, Certificate) {
    let key = OpeningKey::generate(KeySize::Rsa2048).unwrap();
    let certificate =
        Certificate::issue(&key, common_name, now(), SignedDuration::from_hours(87_600)).unwrap();
    (key, certificate)
}

#[test]
fn issued_certificate_has_the_peers_fields() {
    let (key, certificate) = issued("");
    let parsed = x509_cert::Certificate::from_der(&certificate.der).unwrap();
    let tbs = parsed.tbs_certificate();
    assert_eq!(tbs.subject().to_der().unwrap(), [0x30, 0], "an empty common name is an empty name");
    assert_eq!(tbs.issuer(), tbs.subject());
    assert_eq!(certificate.not_before(), now());
    assert_eq!(certificate.not_after(), now() + SignedDuration::from_hours(87_600));
    assert_eq!(certificate.fingerprint(), key.fingerprint());

    let extensions = tbs.extensions().unwrap();
    let summary: Vec<_> = extensions.iter().map(|e| (e.extn_id, e.critical)).collect();
    assert_eq!(summary, [(KEY_USAGE, true), (BASIC_CONSTRAINTS, true), (SUBJECT_KEY_IDENTIFIER, false)]);
    assert_eq!(extensions[0].extn_value.as_bytes(), [3, 2, 0, 1]);
    assert_eq!(extensions[1].extn_value.as_bytes(), [0x30, 3, 1, 1, 0xff]);
    assert_eq!(extensions[2].extn_value.as_bytes().len(), 22);
}

/// The vectors' certificate was minted by another implementation, in the peer's shape: but for serial, dates, key
/// and signature the bytes must be the same.
#[test]
fn issued_certificate_has_the_shape_of_the_vectors() {
    let theirs =
        Certificate::from_pem(include_bytes!("../../../../tests/vectors/classic/rsa2048/tls.crt")).unwrap();
    let (_, ours) = issued("");
    let shape = |certificate: &Certificate| {
        let parsed = x509_cert::Certificate::from_der(&certificate.der).unwrap();
        let tbs = parsed.tbs_certificate().clone();
        let extensions: Vec<_> = tbs.extensions().unwrap().iter().take(2).cloned().collect();
        (tbs.version(), tbs.signature().clone(), tbs.issuer().clone(), tbs.subject().clone(), extensions)
    };
    assert_eq!(shape(&ours), shape(&theirs));
}

#[test]
fn common_name_stays_one_attribute() {
    let (_, certificate) = issued("a,O=b+c=\"d\"");
    let parsed = x509_cert::Certificate::from_der(&certificate.der).unwrap();
    let subject = parsed.tbs_certificate().subject().clone();
    assert_eq!(subject.iter().count(), 1, "{subject}");
}

#[test]
fn signature_verifies_with_its_own_key() {
    let (key, certificate) = issued("privyseal");
    let parsed = x509_cert::Certificate::from_der(&certificate.der).unwrap();
    let public = aws_lc_rs::signature::UnparsedPublicKey::new(
        &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256,
        key.sealing_key().spki_der(),
    );
    let tbs = parsed.tbs_certificate().to_der().unwrap();
    public.verify(&tbs, parsed.signature().raw_bytes()).unwrap();
}

#[test]
fn pem_round_trips_and_stray_text_is_ignored() {
    let (_, certificate) = issued("");
    let text = format!("a note\n{}\ntrailing\n", certificate.to_pem());
    assert_eq!(Certificate::from_pem(text.as_bytes()).unwrap(), certificate);
}

#[test]
fn dates_decide_whether_it_seals() {
    let (_, certificate) = issued("");
    let not_after = certificate.not_after();
    assert!(certificate.usable_at(now()).is_ok());
    assert!(certificate.usable_at(now() - CLOCK_SKEW).is_ok());
    assert_eq!(
        certificate.usable_at(now() - CLOCK_SKEW - SignedDuration::from_secs(1)),
        Err(NotUsable::NotYetValid { not_before: now() })
    );
    assert_eq!(certificate.usable_at(not_after), Err(NotUsable::Expired { not_after }));
}

#[test]
fn what_is_no_rsa_certificate_is_told_apart() {
    let (key, certificate) = issued("");
    let private = crate::private_key::to_pkcs1_pem(&key).unwrap();
    let error = |pem: &[u8]| Certificate::from_pem(pem).unwrap_err();
    assert!(matches!(error(b"garbage"), CertificateError::NoCertificate));
    assert!(matches!(error(private.as_bytes()), CertificateError::PrivateKeyGiven));
    assert!(matches!(
        error(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        CertificateError::BadDer
    ));
    let cut = &certificate.to_pem()[..200];
    assert!(matches!(error(cut.as_bytes()), CertificateError::BadPem));
    assert!(matches!(error(EC_CERTIFICATE.as_bytes()), CertificateError::NotRsa { .. }));
}

/// A P-256 certificate made with `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256`.
const EC_CERTIFICATE: &str = include_str!("ec.pem");
