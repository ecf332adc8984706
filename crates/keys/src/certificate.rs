//! The certificate that carries a sealing key: self-signed, and read for its key and its dates only.
//!
//! Nobody checks its signature or extensions: whoever could plant a certificate could plant its key. Trust compares
//! fingerprints. We still write what the peer writes, field by field, so that a cluster's keys look alike.

use der::asn1::{BitString, OctetString, Uint};
use der::oid::ObjectIdentifier;
use der::{Decode as _, Encode as _, Sequence};
use jiff::{SignedDuration, Timestamp};
use privyseal_envelope::rsa::{OpeningKey, SealingKey};
use privyseal_envelope::{Fingerprint, KeyError};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use std::str::FromStr as _;
use x509_cert::ext::Extension;
use x509_cert::name::Name;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::{Time, Validity};

/// How far a sealer's clock may lag behind the one that made the certificate.
pub const CLOCK_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A certificate over an RSA sealing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    sealing_key: SealingKey,
    not_before: Timestamp,
    not_after: Timestamp,
}

impl Certificate {
    /// Reads the first `CERTIFICATE` of a PEM text; what stands around it is ignored, as the peer does.
    pub fn from_pem(pem: &[u8]) -> Result<Self, CertificateError> {
        let mut found_private_key = false;
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            match section.map_err(|_| CertificateError::BadPem)? {
                (SectionKind::Certificate, der) => return Self::from_der(der),
                (SectionKind::RsaPrivateKey | SectionKind::PrivateKey | SectionKind::EcPrivateKey, _) => {
                    found_private_key = true;
                }
                _ => {}
            }
        }
        Err(if found_private_key {
            CertificateError::PrivateKeyGiven
        } else {
            CertificateError::NoCertificate
        })
    }

    fn from_der(der: Vec<u8>) -> Result<Self, CertificateError> {
        let parsed = x509_cert::Certificate::from_der(&der).map_err(|_| CertificateError::BadDer)?;
        let tbs = parsed.tbs_certificate();
        let spki = tbs.subject_public_key_info();
        if spki.algorithm.oid != RSA_ENCRYPTION {
            return Err(CertificateError::NotRsa { algorithm: algorithm_name(&spki.algorithm.oid) });
        }
        let spki_der = spki.to_der().map_err(|_| CertificateError::BadDer)?;
        Ok(Self {
            sealing_key: SealingKey::from_spki_der(&spki_der).map_err(CertificateError::Key)?,
            not_before: timestamp(tbs.validity().not_before),
            not_after: timestamp(tbs.validity().not_after),
            der,
        })
    }

    /// Issues the self-signed certificate of an opening key, valid from `now` (whole seconds) for `validity`.
    ///
    /// Fields are the peer's: random serial below 2^128, issuer = subject = `common_name` (an empty one gives an
    /// empty name), sha256WithRSAEncryption, key usage encipherOnly (critical), CA (critical), and as subject key
    /// identifier the first 20 bytes of SHA-256 over the PKCS#1 public key.
    pub fn issue(
        key: &OpeningKey,
        common_name: &str,
        now: Timestamp,
        validity: SignedDuration,
    ) -> Result<Self, CertificateError> {
        let spki = SubjectPublicKeyInfoOwned::from_der(key.sealing_key().spki_der())
            .map_err(|_| CertificateError::BadDer)?;
        let subject = subject(common_name).map_err(|_| CertificateError::CommonName)?;
        let not_after = now.checked_add(validity).map_err(|_| CertificateError::Dates)?;
        let tbs = TbsCertificate {
            version: 2, // v3
            serial_number: random_serial().map_err(|_| CertificateError::BadDer)?,
            signature: sha256_with_rsa(),
            issuer: subject.clone(),
            validity: Validity::new(x509_time(now)?, x509_time(not_after)?),
            subject,
            extensions: extensions(&spki).map_err(|_| CertificateError::BadDer)?,
            subject_public_key_info: spki,
        };
        let encode = || -> Result<Vec<u8>, der::Error> {
            let signature = key.sign_pkcs1_sha256(&tbs.to_der()?).map_err(|_| der::ErrorKind::Failed)?;
            let signature = BitString::from_bytes(&signature)?;
            SignedCertificate { tbs_certificate: tbs, signature_algorithm: sha256_with_rsa(), signature }
                .to_der()
        };
        Self::from_der(encode().map_err(|_| CertificateError::BadDer)?)
    }

    /// The PEM text, as a `tls.crt` holds it.
    pub fn to_pem(&self) -> String {
        der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, &self.der)
            .expect("a DER that fits in memory fits in PEM")
    }

    /// The sealing key, whatever the dates say: for naming and comparing. To seal, ask [`Certificate::usable_at`].
    pub fn sealing_key(&self) -> &SealingKey {
        &self.sealing_key
    }

    /// The sealing key, if one may seal with it at `now`.
    pub fn usable_at(&self, now: Timestamp) -> Result<&SealingKey, NotUsable> {
        if now >= self.not_after {
            return Err(NotUsable::Expired { not_after: self.not_after });
        }
        if now + CLOCK_SKEW < self.not_before {
            return Err(NotUsable::NotYetValid { not_before: self.not_before });
        }
        Ok(&self.sealing_key)
    }

    /// The fingerprint of the sealing key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.sealing_key.fingerprint()
    }

    /// From when it may seal.
    pub fn not_before(&self) -> Timestamp {
        self.not_before
    }

    /// Until when it may seal.
    pub fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

/// A certificate cannot be read or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// No `CERTIFICATE` block.
    #[error("no PEM block CERTIFICATE in it")]
    NoCertificate,
    /// A private key where a certificate was wanted.
    #[error("this is a private key, not a certificate; it must not leave its place")]
    PrivateKeyGiven,
    /// Damaged PEM.
    #[error("damaged PEM")]
    BadPem,
    /// The block is no X.509 certificate.
    #[error("the CERTIFICATE block is not an X.509 certificate")]
    BadDer,
    /// Another algorithm.
    #[error("the certificate's key is {algorithm}; sealing needs RSA")]
    NotRsa {
        /// Its name or object identifier.
        algorithm: String,
    },
    /// The RSA key in it is not usable.
    #[error("the certificate's key: {0}")]
    Key(#[source] KeyError),
    /// The common name cannot be encoded.
    #[error("the common name cannot be written into a certificate")]
    CommonName,
    /// Dates outside what X.509 can hold.
    #[error("the validity does not fit into a certificate")]
    Dates,
}

/// The certificate's dates forbid sealing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotUsable {
    /// Its time is over.
    #[error("expired on {not_after}")]
    Expired {
        /// The end of its validity.
        not_after: Timestamp,
    },
    /// Its time has not come.
    #[error("not valid before {not_before}")]
    NotYetValid {
        /// The start of its validity.
        not_before: Timestamp,
    },
}

// x509-cert reads certificates, but builds them only with signers of its own traits: these two structures are
// RFC 5280, section 4.1, without the fields that we never write.

#[derive(Sequence)]
struct SignedCertificate {
    tbs_certificate: TbsCertificate,
    signature_algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

#[derive(Sequence)]
struct TbsCertificate {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial_number: Uint,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Name,
    subject_public_key_info: SubjectPublicKeyInfoOwned,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Vec<Extension>,
}

fn sha256_with_rsa() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: SHA256_WITH_RSA, parameters: Some(der::Any::null()) }
}

fn random_serial() -> der::Result<Uint> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| der::ErrorKind::Failed)?;
    Uint::new(&bytes)
}

fn subject(common_name: &str) -> der::Result<Name> {
    if common_name.is_empty() {
        return Ok(Name::default());
    }
    // RFC 4514, section 2.4: every special character escaped, so that the text stays one attribute.
    let escaped = common_name.chars().fold(String::new(), |mut out, c| {
        if !c.is_ascii_alphanumeric() && c.is_ascii() {
            out.push('\\');
        }
        out.push(c);
        out
    });
    Name::from_str(&format!("CN={escaped}"))
}

fn extensions(spki: &SubjectPublicKeyInfoOwned) -> der::Result<Vec<Extension>> {
    let pkcs1_public_key = spki.subject_public_key.as_bytes().ok_or(der::ErrorKind::Failed)?;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, pkcs1_public_key);
    let extension = |extn_id, critical, der: Vec<u8>| -> der::Result<Extension> {
        Ok(Extension { extn_id, critical, extn_value: OctetString::new(der)? })
    };
    Ok(vec![
        // encipherOnly is bit 7 of KeyUsage (RFC 5280, section 4.2.1.3).
        extension(KEY_USAGE, true, BitString::new(0, [0b0000_0001])?.to_der()?)?,
        extension(BASIC_CONSTRAINTS, true, BasicConstraints { ca: true }.to_der()?)?,
        extension(SUBJECT_KEY_IDENTIFIER, false, OctetString::new(&digest.as_ref()[..20])?.to_der()?)?,
    ])
}

#[derive(Sequence)]
struct BasicConstraints {
    ca: bool,
}

fn timestamp(time: Time) -> Timestamp {
    let seconds = i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

/// UTCTime until 2049, GeneralizedTime after (RFC 5280, section 4.1.2.5).
fn x509_time(at: Timestamp) -> Result<Time, CertificateError> {
    let seconds = u64::try_from(at.as_second()).map_err(|_| CertificateError::Dates)?;
    let date = der::DateTime::from_unix_duration(std::time::Duration::from_secs(seconds))
        .map_err(|_| CertificateError::Dates)?;
    match der::asn1::UtcTime::from_date_time(date) {
        Ok(utc) => Ok(Time::UtcTime(utc)),
        Err(_) => Ok(Time::GeneralTime(der::asn1::GeneralizedTime::from_date_time(date))),
    }
}

fn algorithm_name(oid: &ObjectIdentifier) -> String {
    match *oid {
        EC_PUBLIC_KEY => "an elliptic curve key".to_owned(),
        ED25519 => "an Ed25519 key".to_owned(),
        other => format!("of algorithm {other}"),
    }
}

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const SHA256_WITH_RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
const SUBJECT_KEY_IDENTIFIER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");

#[cfg(test)]
mod tests;
