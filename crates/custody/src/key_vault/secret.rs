//! Custody `key-vault-secret`: private halves in secrets of a Key Vault, a version each.
//!
//! Whoever may set secrets of that name makes versions; which of them count is decided by whoever asks
//! [`found`](custody::Custody::found), as with key Secrets that appear in the cluster.

use super::client::now;
use super::{Collection, KeyVault, ObjectName, SecretVersion, VersionId, check_version};
use crate::MakerMark;
use crate::custody::{self, Failure, FailureKind, Found, Half, Kind, Public, Purpose, Subject, VaultSecret};
use async_trait::async_trait;
use privyseal_envelope::Plaintext;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};
use zeroize::Zeroizing;

/// Key Vault's own word for PEM.
const CONTENT_TYPE: &str = "application/x-pem-file";
/// What a version is: `sealing-key` or `publisher-key`.
const TAG_KIND: &str = "privyseal";
const TAG_FINGERPRINT: &str = "fingerprint";
const TAG_MADE_BY: &str = "made-by";
/// Versions that are got at one time: the rest comes at the next poll, and the budget is left to others.
const MOST_AT_ONCE: usize = 32;

/// The custody.
pub(super) struct InSecrets {
    vault: KeyVault,
    /// Ids of versions that hold no key: they are told and got once.
    passed_over: Mutex<HashSet<String>>,
}

impl InSecrets {
    pub(super) fn new(vault: KeyVault) -> Self {
        Self { vault, passed_over: Mutex::default() }
    }

    fn passed_over(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.passed_over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A key in a version, or nothing if there is none in it.
    async fn look_into(&self, name: &ObjectName, version: &SecretVersion) -> Result<Option<Found>, Failure> {
        let got = self.vault.get_secret(name, &version.id).await?;
        if first_private_key(&got.value).is_none() {
            return Ok(None);
        }
        Ok(Some(Found {
            reference: custody::Reference::KeyVaultSecret(VaultSecret {
                version: 1,
                secret: version.id.as_str().to_owned(),
            }),
            pem: Plaintext::from(got.value),
            mark: got.version.tags.get(TAG_MADE_BY).cloned().map(MakerMark::claimed),
        }))
    }
}

#[async_trait]
impl custody::Custody for InSecrets {
    fn kind(&self) -> Kind {
        Kind::KeyVaultSecret
    }

    async fn keep(&self, subject: &Subject, private: &[u8]) -> Result<Half, Failure> {
        let name = name_of(&self.vault, &subject.public);
        let private = std::str::from_utf8(private)
            .map_err(|_| Failure::new(FailureKind::Damaged, "the private half is no PEM text"))?;
        let (kind, certificate) = match &subject.public {
            Public::Sealing(public) => ("sealing-key", public.to_text()),
            Public::Publisher(_) => ("publisher-key", String::new()),
        };
        // The whole capacity at once: growing would leave a copy behind.
        let mut value = Zeroizing::new(String::with_capacity(certificate.len() + private.len() + 1));
        value.push_str(&certificate);
        if !certificate.is_empty() && !certificate.ends_with('\n') {
            value.push('\n');
        }
        value.push_str(private);

        let mut tags = BTreeMap::from([
            (TAG_KIND.to_owned(), kind.to_owned()),
            (TAG_FINGERPRINT.to_owned(), subject.public.fingerprint().to_string()),
        ]);
        if let Some(mark) = &subject.mark {
            tags.insert(TAG_MADE_BY.to_owned(), mark.as_str().to_owned());
        }
        let id = self.vault.set_secret(name, &value, CONTENT_TYPE, tags).await?;
        let back = self.vault.get_secret(name, &id).await?;
        if back.value.as_slice() != value.as_bytes() {
            return Err(Failure::new(
                FailureKind::Damaged,
                format!("vault secret {id} gives back another value than it was given"),
            ));
        }
        Ok(Half::Kept(custody::Reference::KeyVaultSecret(VaultSecret {
            version: 1,
            secret: id.as_str().to_owned(),
        })))
    }

    async fn fetch(&self, subject: &Subject, reference: &custody::Reference) -> Result<Plaintext, Failure> {
        self.vault.fetch(subject, reference).await
    }

    async fn is_current(&self, reference: &custody::Reference) -> Result<bool, Failure> {
        let custody::Reference::KeyVaultSecret(reference) = reference else { return Ok(false) };
        let is_of = |name| {
            VersionId::stored(&reference.secret, self.vault.vault(), Collection::Secrets, name).is_ok()
        };
        Ok(is_of(self.vault.secret_name()) || is_of(self.vault.publisher_name()))
    }

    async fn found(&self, purpose: Purpose, known: &[custody::Reference]) -> Result<Vec<Found>, Failure> {
        let name = match purpose {
            Purpose::Sealing => self.vault.secret_name(),
            Purpose::Publisher => self.vault.publisher_name(),
        };
        let known: HashSet<&str> = known
            .iter()
            .filter_map(|reference| match reference {
                custody::Reference::KeyVaultSecret(reference) => Some(reference.secret.as_str()),
                custody::Reference::KeyVaultWrapped(_) => None,
            })
            .collect();
        let now = now();
        let mut versions = match self.vault.secret_versions(name).await {
            Ok(versions) => versions,
            // Before the first key there is no secret.
            Err(failure) if failure.kind() == FailureKind::NotFound => return Ok(Vec::new()),
            Err(failure) => return Err(failure),
        };
        {
            let passed_over = self.passed_over();
            versions.retain(|version| {
                let id = version.id.as_str();
                version.enabled
                    && version.expires.is_none_or(|end| end > now)
                    && !known.contains(id)
                    && !passed_over.contains(id)
            });
        }
        let mut found = Vec::new();
        for version in versions.iter().take(MOST_AT_ONCE) {
            match self.look_into(name, version).await {
                Ok(Some(one)) => found.push(one),
                Ok(None) => {
                    self.passed_over().insert(version.id.as_str().to_owned());
                    self.vault.0.observer.passed_over(&format!(
                        "vault secret {} holds no private key in PEM and is passed over",
                        version.id
                    ));
                }
                // One that was disabled or deleted meanwhile is no matter of the others.
                Err(failure) if !failure.kind().is_of_the_vault() => continue,
                // What was got is given, else a long list would never come to its end.
                Err(_) if !found.is_empty() => break,
                Err(failure) => return Err(failure),
            }
        }
        Ok(found)
    }
}

/// Gets a version: one call.
pub(super) async fn fetch(
    vault: &KeyVault,
    subject: &Subject,
    reference: &VaultSecret,
) -> Result<Plaintext, Failure> {
    check_version(reference.version)?;
    let name = name_of(vault, &subject.public);
    let id = VersionId::stored(&reference.secret, vault.vault(), Collection::Secrets, name)?;
    let got = vault.get_secret(name, &id).await?;
    private_half(&got.value).ok_or_else(|| {
        Failure::new(FailureKind::Damaged, format!("vault secret {id} holds no private key in PEM"))
    })
}

fn name_of<'a>(vault: &'a KeyVault, public: &Public) -> &'a ObjectName {
    match public {
        Public::Sealing(_) => vault.secret_name(),
        Public::Publisher(_) => vault.publisher_name(),
    }
}

/// The first private key of a PEM text and the age identities beside it: what [`custody::Custody::keep`] was given, without
/// the public half.
fn private_half(text: &[u8]) -> Option<Plaintext> {
    let block = first_private_key(text)?;
    let identities = || lines_outside_blocks(text).filter(|line| line.starts_with(b"AGE-SECRET-KEY-"));
    let line_feed: &[u8] = if block.ends_with(b"\n") || identities().next().is_none() { b"" } else { b"\n" };
    let len = identities().map(|line| line.len() + 1).sum::<usize>() + block.len() + line_feed.len();
    // The whole capacity at once: growing would leave a copy behind.
    let mut half = Zeroizing::new(Vec::with_capacity(len));
    half.extend_from_slice(block);
    half.extend_from_slice(line_feed);
    for line in identities() {
        half.extend_from_slice(line);
        half.push(b'\n');
    }
    Some(half.into())
}

fn first_private_key(pem: &[u8]) -> Option<&[u8]> {
    let find = |text: &[u8], wanted: &[u8]| text.windows(wanted.len()).position(|window| window == wanted);
    ["RSA PRIVATE KEY", "PRIVATE KEY"]
        .into_iter()
        .filter_map(|label| {
            let start = find(pem, format!("-----BEGIN {label}-----").as_bytes())?;
            let end_line = format!("-----END {label}-----");
            let end = start + find(&pem[start..], end_line.as_bytes())? + end_line.len();
            let end = if pem.get(end) == Some(&b'\n') { end + 1 } else { end };
            Some((start, &pem[start..end]))
        })
        .min_by_key(|(start, _)| *start)
        .map(|(_, block)| block)
}

/// Trimmed. Base64 may look like anything.
fn lines_outside_blocks(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut in_block = false;
    text.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(move |line| {
        in_block |= line.starts_with(b"-----BEGIN ");
        let is_outside = !in_block;
        in_block &= !line.starts_with(b"-----END ");
        is_outside
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_private_half_is_the_first_private_key() {
        let rsa = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let pkcs8 = "-----BEGIN PRIVATE KEY-----\nBBBB\n-----END PRIVATE KEY-----\n";
        let certificate = "-----BEGIN CERTIFICATE-----\nCCCC\n-----END CERTIFICATE-----\n";
        for (text, half) in [
            (rsa.to_owned(), Some(rsa)),
            (format!("{certificate}{rsa}"), Some(rsa)),
            (format!("{rsa}{certificate}"), Some(rsa)),
            (format!("{certificate}{pkcs8}{rsa}"), Some(pkcs8)),
            (rsa.trim_end().to_owned(), Some(rsa.trim_end())),
            (certificate.to_owned(), None),
            ("-----BEGIN PRIVATE KEY-----\nBBBB\n".to_owned(), None),
            (String::new(), None),
        ] {
            let found = private_half(text.as_bytes());
            assert_eq!(found.as_ref().map(Plaintext::expose), half.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn identities_stay_with_the_private_key_and_recipients_do_not() {
        let rsa = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
        let certificate = "-----BEGIN CERTIFICATE-----\nAGE-SECRET-KEY-1NONE\n-----END CERTIFICATE-----\n";
        let identities = "AGE-SECRET-KEY-PQ-1A\nAGE-SECRET-KEY-1B\n";
        for text in [
            format!("{certificate}age1pq1a\nage1b\n{rsa}{identities}"),
            format!("{identities}{certificate}{rsa}"),
            format!("{rsa}{}\r\n", identities.trim_end().replace('\n', "\r\n")),
        ] {
            let found = private_half(text.as_bytes()).unwrap();
            assert_eq!(str::from_utf8(found.expose()).unwrap(), format!("{rsa}{identities}"), "{text}");
        }
    }
}
