//! What is in the vault: names with versions, which go on after deletion until they are purged.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::refusal::Refusal;
use super::rsa_key::RsaKey;
use crate::entra::jwt::{base64url, now, random_id};

/// Keys and secrets have names of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Key,
    Secret,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Secret => "secret",
        }
    }

    pub(super) fn capital(self) -> &'static str {
        match self {
            Self::Key => "Key",
            Self::Secret => "Secret",
        }
    }

    /// As it stands in paths and ids.
    pub(super) fn collection(self) -> &'static str {
        match self {
            Self::Key => "keys",
            Self::Secret => "secrets",
        }
    }
}

pub(super) type Tags = BTreeMap<String, String>;

/// What keys and secrets have in common. Times are Unix seconds.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    pub(super) enabled: bool,
    pub(super) not_before: Option<i64>,
    pub(super) expires: Option<i64>,
    pub(super) created: i64,
    pub(super) updated: i64,
}

impl Default for Attributes {
    fn default() -> Self {
        let now = now();
        Self { enabled: true, not_before: None, expires: None, created: now, updated: now }
    }
}

/// A version of a key or a secret.
#[derive(Clone, Debug)]
pub(super) struct Version<T> {
    pub(super) version: String,
    pub(super) attributes: Attributes,
    pub(super) tags: Tags,
    pub(super) content: T,
}

impl<T> Version<T> {
    pub(super) fn new(content: T) -> Self {
        Self { version: random_id(), attributes: Attributes::default(), tags: Tags::new(), content }
    }
}

/// What a version of a key holds.
#[derive(Clone, Debug)]
pub(super) struct KeyContent {
    pub(super) key: RsaKey,
    pub(super) operations: Vec<String>,
}

impl KeyContent {
    /// For everything that the service lets RSA keys do.
    pub(super) fn new(key: RsaKey) -> Self {
        let all = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"];
        Self { key, operations: all.map(str::to_owned).to_vec() }
    }
}

/// What a version of a secret holds.
#[derive(Clone, Debug)]
pub(super) struct SecretContent {
    pub(super) value: String,
    pub(super) content_type: Option<String>,
}

/// A name with its versions, the newest last.
#[derive(Clone, Debug)]
struct Object<T> {
    versions: Vec<Version<T>>,
    /// When it was deleted.
    deleted: Option<i64>,
}

/// All names of a kind.
#[derive(Debug)]
pub(super) struct Collection<T> {
    kind: Kind,
    objects: BTreeMap<String, Object<T>>,
}

/// The vault.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) keys: Collection<KeyContent>,
    pub(super) secrets: Collection<SecretContent>,
    pub(super) purge_protection: bool,
    /// All that was unwrapped or decrypted, for tests that look for it elsewhere.
    pub(super) unwrapped: Vec<Vec<u8>>,
}

impl Store {
    pub(super) fn new(purge_protection: bool) -> Self {
        let (keys, secrets) = (Collection::new(Kind::Key), Collection::new(Kind::Secret));
        Self { keys, secrets, purge_protection, unwrapped: Vec::new() }
    }
}

impl<T> Collection<T> {
    fn new(kind: Kind) -> Self {
        Self { kind, objects: BTreeMap::new() }
    }

    fn live(&self, name: &str) -> Result<&Object<T>, Refusal> {
        let object = self.objects.get(name).filter(|object| object.deleted.is_none());
        object.ok_or_else(|| Refusal::not_found(self.kind, name))
    }

    /// A version, or the newest.
    pub(super) fn version(&self, name: &str, version: Option<&str>) -> Result<&Version<T>, Refusal> {
        let versions = &self.live(name)?.versions;
        let found = match version {
            None => versions.last(),
            Some(wanted) => versions.iter().find(|one| one.version == wanted),
        };
        found.ok_or_else(|| Refusal::not_found(self.kind, &id_path(name, version)))
    }

    /// As [`version`](Self::version), to change it.
    pub(super) fn version_mut(
        &mut self,
        name: &str,
        version: Option<&str>,
    ) -> Result<&mut Version<T>, Refusal> {
        let found = self.version(name, version)?.version.clone();
        let object = self.objects.get_mut(name).into_iter().flat_map(|object| &mut object.versions);
        let mut same = object.filter(|one| one.version == found);
        same.next().ok_or_else(|| Refusal::not_found(self.kind, name))
    }

    /// All versions in the order of their making.
    pub(super) fn versions(&self, name: &str) -> Result<&[Version<T>], Refusal> {
        Ok(&self.live(name)?.versions)
    }

    /// The names that are not deleted, each with its newest version.
    pub(super) fn newest(&self) -> impl Iterator<Item = (&String, &Version<T>)> {
        let live = self.objects.iter().filter(|(_, object)| object.deleted.is_none());
        live.filter_map(|(name, object)| object.versions.last().map(|version| (name, version)))
    }

    /// Adds a version, and the name if need be.
    pub(super) fn add(&mut self, name: &str, version: Version<T>) -> Result<&Version<T>, Refusal> {
        let new = || Object { versions: Vec::new(), deleted: None };
        let object = self.objects.entry(name.to_owned()).or_insert_with(new);
        if object.deleted.is_some() {
            return Err(Refusal::deleted_but_recoverable(self.kind, name));
        }
        object.versions.push(version);
        Ok(object.versions.last().expect("one was added"))
    }

    pub(super) fn delete(&mut self, name: &str) -> Result<(), Refusal> {
        self.live(name)?;
        if let Some(object) = self.objects.get_mut(name) {
            object.deleted = Some(now());
        }
        Ok(())
    }

    /// The newest version of a deleted name, and when that was.
    pub(super) fn deleted(&self, name: &str) -> Result<(&Version<T>, i64), Refusal> {
        let object = self.objects.get(name);
        let found = object.and_then(|object| Some((object.versions.last()?, object.deleted?)));
        found.ok_or_else(|| Refusal::not_found(self.kind, name))
    }

    pub(super) fn recover(&mut self, name: &str) -> Result<(), Refusal> {
        self.deleted(name)?;
        if let Some(object) = self.objects.get_mut(name) {
            object.deleted = None;
        }
        Ok(())
    }

    pub(super) fn purge(&mut self, name: &str) -> Result<(), Refusal> {
        self.deleted(name)?;
        self.objects.remove(name);
        Ok(())
    }
}

fn id_path(name: &str, version: Option<&str>) -> String {
    version.map_or_else(|| name.to_owned(), |version| format!("{name}/{version}"))
}

/// Writes versions as the service does.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer<'a> {
    /// The vault's URL.
    pub(super) url: &'a str,
    pub(super) purge_protection: bool,
}

/// Days that a deleted name can be recovered.
const RETENTION: i64 = 90;
const DAY: i64 = 24 * 3600;

impl Writer<'_> {
    pub(super) fn id(&self, kind: Kind, name: &str, version: &str) -> String {
        format!("{}/{}/{name}/{version}", self.url, kind.collection())
    }

    fn attributes(&self, attributes: &Attributes) -> Value {
        let level = if self.purge_protection { "Recoverable" } else { "Recoverable+Purgeable" };
        let mut written = json!({
            "enabled": attributes.enabled, "created": attributes.created, "updated": attributes.updated,
            "recoveryLevel": level, "recoverableDays": RETENTION,
        });
        for (name, time) in [("nbf", attributes.not_before), ("exp", attributes.expires)] {
            if let Some(time) = time {
                written[name] = json!(time);
            }
        }
        written
    }

    /// A key with its public half.
    pub(super) fn key(&self, name: &str, version: &Version<KeyContent>) -> Value {
        let KeyContent { key, operations } = &version.content;
        json!({
            "key": {
                "kid": self.id(Kind::Key, name, &version.version), "kty": "RSA", "key_ops": operations,
                "n": base64url(&key.modulus()), "e": base64url(&key.exponent()),
            },
            "attributes": self.attributes(&version.attributes),
            "tags": version.tags,
        })
    }

    /// A line of a list of versions.
    pub(super) fn key_item(&self, name: &str, version: &Version<KeyContent>) -> Value {
        json!({
            "kid": self.id(Kind::Key, name, &version.version),
            "attributes": self.attributes(&version.attributes),
            "tags": version.tags,
        })
    }

    /// A line of a list of versions: all but the value.
    pub(super) fn secret_item(&self, name: &str, version: &Version<SecretContent>) -> Value {
        let mut written = json!({
            "id": self.id(Kind::Secret, name, &version.version),
            "attributes": self.attributes(&version.attributes),
            "tags": version.tags,
        });
        if let Some(content_type) = &version.content.content_type {
            written["contentType"] = json!(content_type);
        }
        written
    }

    /// A secret with its value.
    pub(super) fn secret(&self, name: &str, version: &Version<SecretContent>) -> Value {
        let mut written = self.secret_item(name, version);
        written["value"] = json!(version.content.value);
        written
    }

    /// Adds what is said of something deleted.
    pub(super) fn deleted(&self, mut written: Value, kind: Kind, name: &str, when: i64) -> Value {
        written["recoveryId"] = json!(format!("{}/deleted{}/{name}", self.url, kind.collection()));
        written["deletedDate"] = json!(when);
        written["scheduledPurgeDate"] = json!(when + RETENTION * DAY);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(value: &str) -> Version<SecretContent> {
        Version::new(SecretContent { value: value.to_owned(), content_type: None })
    }

    #[test]
    fn a_deleted_name_is_gone_and_taken_until_it_is_recovered_or_purged() {
        let mut secrets = Collection::new(Kind::Secret);
        let gone =
            |secrets: &Collection<_>| secrets.version("a", None).is_err_and(|error| error.status == 404);
        assert!(gone(&secrets));
        secrets.add("a", secret("one")).unwrap();
        secrets.add("a", secret("two")).unwrap();
        assert_eq!(secrets.version("a", None).unwrap().content.value, "two");

        secrets.delete("a").unwrap();
        assert!(gone(&secrets));
        assert_eq!(secrets.add("a", secret("three")).unwrap_err().status, 409);
        secrets.recover("a").unwrap();
        assert_eq!(secrets.versions("a").unwrap().len(), 2);

        assert!(secrets.purge("a").is_err(), "what lives is not purged");
        secrets.delete("a").unwrap();
        secrets.purge("a").unwrap();
        secrets.add("a", secret("three")).unwrap();
        assert_eq!(secrets.versions("a").unwrap().len(), 1);
    }
}
