//! Keys that a vault holds and no Secret tells of.

use super::{CustodyError, KeySecrets};
use crate::MakerMark;
use crate::custody::{Found, Half, Public, Purpose, Reference, Subject};
use crate::key_secret::{self, Look};
use privyseal_envelope::Fingerprint;
use privyseal_envelope::rsa::OpeningKey;
use privyseal_keys::{Certificate, KeyPair, KeyringEntry, PublicHalf, private_key};
use privyseal_manifest::names;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// A key that was found in a vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adopted {
    /// The name of its new Secret, which follows from the key.
    pub secret: String,
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// Whether it got none, since something else has that name. It is looked at again by the next process.
    pub taken: bool,
}

/// A key of the vault that gets a Secret.
struct Candidate {
    subject: Subject,
    certificate: Certificate,
    entry: KeyringEntry,
    reference: Reference,
}

impl KeySecrets {
    /// Makes Secrets of keys that the vault holds and no Secret tells of: keys that people brought, keys whose maker was
    /// lost before it made the Secret, keys of a cluster that was lost. `certify` makes the certificate of one that has
    /// none. What is no key is told by the vault's custody and left there.
    ///
    /// The newest of all is not used yet if `is_pending` says so of its public half and the mark of its maker.
    pub async fn adopt(
        &self,
        certify: impl Fn(&OpeningKey) -> Option<Certificate>,
        is_pending: impl Fn(&PublicHalf, &MakerMark) -> bool,
    ) -> Result<Vec<Adopted>, CustodyError> {
        if self.custodies.poll_interval().is_none() {
            return Ok(Vec::new());
        }
        let secrets = self.secrets.list(Self::selector()).await?;
        let looks: Vec<_> =
            secrets.into_iter().flatten().filter_map(|secret| Look::at(&secret).ok()).collect();
        let referred_to = looks.iter().filter_map(|look| match &look.half {
            Half::Kept(reference) => Some(reference.clone()),
            Half::Clear(_) => None,
        });
        let mut declined = self.declined.lock().await;
        let known: Vec<_> = referred_to.chain(declined.iter().cloned()).collect();
        let found = self.custodies.keeping.found(Purpose::Sealing, &known).await;
        let found = found.map_err(|failure| CustodyError::Vault { secret: String::new(), failure })?;
        // A certificate alone is a claim, and must not keep the key that it speaks of out.
        let kept = looks.iter().filter(|look| matches!(look.half, Half::Kept(_)));
        let in_clear = looks.iter().filter(|look| match &look.half {
            Half::Clear(private) => key_secret::entry_of(&look.subject, private).is_ok(),
            Half::Kept(_) => false,
        });
        let mut held: BTreeSet<_> =
            kept.chain(in_clear).map(|look| look.subject.public.fingerprint()).collect();
        let mut candidates = Vec::new();
        for one in found {
            let reference = one.reference.clone();
            match self.candidate(one, &certify) {
                Some(candidate) if held.insert(candidate.certificate.fingerprint()) => {
                    candidates.push(candidate);
                }
                // It is no key after all, or one that has a Secret: nobody has to look at it again.
                _ => declined.push(reference),
            }
        }
        candidates.sort_by_key(|candidate| Reverse(candidate.certificate.not_before()));
        let mut newest = looks.iter().filter_map(Look::certificate).map(Certificate::not_before).max();
        let mut adopted = Vec::new();
        for Candidate { subject, certificate, entry, reference } in candidates {
            let is_newest = newest < Some(certificate.not_before());
            newest = newest.max(Some(certificate.not_before()));
            let pending = is_newest
                && subject
                    .mark
                    .as_ref()
                    .zip(entry.public_half())
                    .is_some_and(|(mark, key)| is_pending(&key, mark));
            let label = if pending { names::KEY_PENDING } else { names::KEY_ACTIVE };
            match self.create_secret(&subject, &entry, Half::Kept(reference.clone()), label).await {
                Ok(_) => {}
                // Something else has the name: it hinders no other key.
                Err(CustodyError::Api(error)) if error.status().is_some_and(|status| status.code == 409) => {
                    declined.push(reference);
                    adopted.push(Adopted {
                        secret: subject.secret,
                        fingerprint: certificate.fingerprint(),
                        taken: true,
                    });
                    continue;
                }
                Err(error) => return Err(error),
            }
            adopted.push(Adopted {
                secret: subject.secret,
                fingerprint: certificate.fingerprint(),
                taken: false,
            });
        }
        Ok(adopted)
    }

    /// None if it is no key that can be used.
    fn candidate(
        &self,
        found: Found,
        certify: impl Fn(&OpeningKey) -> Option<Certificate>,
    ) -> Option<Candidate> {
        let Found { reference, pem, mark } = found;
        let opening_key = private_key::first_from_pem(pem.expose()).ok()?;
        let certificate = match Certificate::from_pem(pem.expose()) {
            Ok(certificate) if certificate.fingerprint() == opening_key.fingerprint() => certificate,
            _ => certify(&opening_key)?,
        };
        let secret = self.name_for(certificate.fingerprint());
        let pair = KeyPair::new(certificate.clone().into(), pem.expose()).ok()?;
        let subject = Subject { secret, public: Public::Sealing(pair.public_half()), mark };
        let entry = KeyringEntry::from_pair(&subject.secret, pair);
        Some(Candidate { subject, certificate, entry, reference })
    }
}
