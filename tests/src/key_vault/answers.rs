//! What the vault does when it is asked by somebody who may.

use http::StatusCode;
use serde_json::{Value, json};

use super::operation::{Asked, Operation};
use super::refusal::Refusal;
use super::rsa_key::RsaKey;
use super::store::{Attributes, Collection, KeyContent, Kind, SecretContent, Store, Tags, Version, Writer};
use crate::entra::jwt::{base64url, now, of_base64url};

/// The service's limits.
const LONGEST_VALUE: usize = 25_600;
const LONGEST_CONTENT_TYPE: usize = 255;
const LONGEST_TAG: usize = 256;
const MOST_TAGS: usize = 15;
const LARGEST_PAGE: usize = 25;

/// What is asked, with all that came with it.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) asked: Asked,
    /// JSON, or null for none.
    pub(super) body: Value,
    pub(super) page: Page,
}

/// Which lines of a list.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// The list, without its query.
    pub(super) path: String,
    pub(super) api_version: String,
    /// The id behind which the page begins.
    pub(super) after: Option<String>,
    pub(super) size: usize,
}

pub(super) type Outcome = Result<(StatusCode, Value), Refusal>;

/// Does what is asked. `key` is a new key where one may be wanted.
pub(super) fn answer(
    store: &mut Store,
    writer: Writer<'_>,
    request: &Request,
    key: Option<RsaKey>,
) -> Outcome {
    let Request { asked, body, page } = request;
    let (name, version) = (&*asked.name, asked.version.as_deref());
    check_name(name)?;
    let kind = asked.operation.kind();
    let purge_protection = store.purge_protection;
    let Store { keys, secrets, unwrapped, .. } = store;
    let value = match asked.operation {
        Operation::CreateKey => create_key(keys, writer, name, body, key)?,
        Operation::RotateKey => rotate_key(keys, writer, name, key)?,
        Operation::GetKey => writer.key(name, enabled(kind, keys.version(name, version)?, "get")?),
        Operation::ListKeys => page.of(
            writer,
            keys.newest().map(|(name, version)| unversioned(writer.key_item(name, version), "kid")),
        ),
        Operation::ListKeyVersions => {
            page.of(writer, keys.versions(name)?.iter().map(|version| writer.key_item(name, version)))
        }
        Operation::UpdateKey => {
            let version = keys.version_mut(name, version)?;
            update(version, body)?;
            if let Some(operations) = operations(body) {
                version.content.operations = operations;
            }
            writer.key(name, version)
        }
        Operation::WrapKey | Operation::UnwrapKey | Operation::Encrypt | Operation::Decrypt => {
            let (value, result) = use_key(keys.version(name, version)?, writer, asked, body)?;
            if matches!(asked.operation, Operation::UnwrapKey | Operation::Decrypt) {
                unwrapped.push(result);
            }
            value
        }
        Operation::DeleteKey => {
            keys.delete(name)?;
            deleted_key(keys, writer, name)?
        }
        Operation::GetDeletedKey => deleted_key(keys, writer, name)?,
        Operation::RecoverKey => {
            keys.recover(name)?;
            writer.key(name, keys.version(name, None)?)
        }
        Operation::PurgeKey => return purge(keys, purge_protection, name),

        Operation::SetSecret => set_secret(secrets, writer, name, body)?,
        Operation::GetSecret => writer.secret(name, enabled(kind, secrets.version(name, version)?, "get")?),
        Operation::ListSecrets => {
            let items = secrets.newest().map(|(name, version)| writer.secret_item(name, version));
            page.of(writer, items.map(|item| unversioned(item, "id")))
        }
        Operation::ListSecretVersions => {
            page.of(writer, secrets.versions(name)?.iter().map(|version| writer.secret_item(name, version)))
        }
        Operation::UpdateSecret => {
            let version = secrets.version_mut(name, version)?;
            update(version, body)?;
            if let Some(content_type) = content_type(body)? {
                version.content.content_type = Some(content_type);
            }
            writer.secret_item(name, version)
        }
        Operation::DeleteSecret => {
            secrets.delete(name)?;
            deleted_secret(secrets, writer, name)?
        }
        Operation::GetDeletedSecret => deleted_secret(secrets, writer, name)?,
        Operation::RecoverSecret => {
            secrets.recover(name)?;
            writer.secret_item(name, secrets.version(name, None)?)
        }
        Operation::PurgeSecret => return purge(secrets, purge_protection, name),
    };
    Ok((StatusCode::OK, value))
}

/// The size of the key that has to be made first, if one has to.
pub(super) fn wanted_key(store: &Store, asked: &Asked, body: &Value) -> Option<u64> {
    match asked.operation {
        Operation::CreateKey if body["key_size"].is_null() => Some(2048),
        Operation::CreateKey => body["key_size"].as_u64(),
        Operation::RotateKey => Some(store.keys.version(&asked.name, None).ok()?.content.key.bits()),
        _ => None,
    }
}

fn create_key(
    keys: &mut Collection<KeyContent>,
    writer: Writer<'_>,
    name: &str,
    body: &Value,
    key: Option<RsaKey>,
) -> Result<Value, Refusal> {
    if body["kty"] != "RSA" {
        return Err(Refusal::bad_parameter("The double makes keys of type RSA only."));
    }
    let key = key.ok_or_else(|| Refusal::bad_parameter("Invalid key size."))?;
    let mut version = Version::new(KeyContent::new(key));
    update(&mut version, body)?;
    if let Some(operations) = operations(body) {
        version.content.operations = operations;
    }
    Ok(writer.key(name, keys.add(name, version)?))
}

fn rotate_key(
    keys: &mut Collection<KeyContent>,
    writer: Writer<'_>,
    name: &str,
    key: Option<RsaKey>,
) -> Result<Value, Refusal> {
    let last = keys.version(name, None)?;
    let key = key.ok_or_else(|| Refusal::not_found(Kind::Key, name))?;
    let content = KeyContent { operations: last.content.operations.clone(), key };
    let version = Version { tags: last.tags.clone(), ..Version::new(content) };
    Ok(writer.key(name, keys.add(name, version)?))
}

/// The answer, and the value in it.
fn use_key(
    version: &Version<KeyContent>,
    writer: Writer<'_>,
    asked: &Asked,
    body: &Value,
) -> Result<(Value, Vec<u8>), Refusal> {
    let operation = asked.operation.name();
    let Version { attributes, content, .. } = enabled(Kind::Key, version, operation)?;
    let makes = matches!(asked.operation, Operation::WrapKey | Operation::Encrypt);
    // What was made before the end can still be opened after it.
    if makes && attributes.not_before.is_some_and(|begin| now() < begin) {
        return Err(Refusal::not_yet_valid(operation));
    }
    if makes && attributes.expires.is_some_and(|end| end <= now()) {
        return Err(Refusal::expired(operation));
    }
    if !content.operations.iter().any(|allowed| allowed == operation) {
        return Err(Refusal::not_permitted(operation));
    }
    if body["alg"] != "RSA-OAEP-256" {
        return Err(Refusal::bad_parameter("The algorithm is not supported. The double knows RSA-OAEP-256."));
    }
    let no_value = || {
        Refusal::bad_parameter("Content of 'value' is not base64url.\r\nProperty 'value' is required.\r\n")
    };
    let value = body["value"].as_str().and_then(of_base64url).ok_or_else(no_value)?;
    let result = if makes { content.key.encrypt(&value) } else { content.key.decrypt(&value) };
    let result = result.ok_or_else(|| Refusal::bad_parameter("The parameter is incorrect.\r\n"))?;
    let id = writer.id(Kind::Key, &asked.name, &version.version);
    Ok((json!({"kid": id, "value": base64url(&result)}), result))
}

fn set_secret(
    secrets: &mut Collection<SecretContent>,
    writer: Writer<'_>,
    name: &str,
    body: &Value,
) -> Result<Value, Refusal> {
    let value =
        body["value"].as_str().ok_or_else(|| Refusal::bad_parameter("Property 'value' is required."))?;
    if value.len() > LONGEST_VALUE {
        return Err(Refusal::bad_parameter("Secret value should have at most 25600 characters."));
    }
    let mut version =
        Version::new(SecretContent { value: value.to_owned(), content_type: content_type(body)? });
    update(&mut version, body)?;
    Ok(writer.secret(name, secrets.add(name, version)?))
}

fn deleted_key(keys: &Collection<KeyContent>, writer: Writer<'_>, name: &str) -> Result<Value, Refusal> {
    let (version, when) = keys.deleted(name)?;
    Ok(writer.deleted(writer.key(name, version), Kind::Key, name, when))
}

fn deleted_secret(
    secrets: &Collection<SecretContent>,
    writer: Writer<'_>,
    name: &str,
) -> Result<Value, Refusal> {
    let (version, when) = secrets.deleted(name)?;
    Ok(writer.deleted(writer.secret_item(name, version), Kind::Secret, name, when))
}

fn purge<T>(collection: &mut Collection<T>, protected: bool, name: &str) -> Outcome {
    collection.deleted(name)?;
    if protected {
        return Err(Refusal::purge_protected());
    }
    collection.purge(name)?;
    Ok((StatusCode::NO_CONTENT, Value::Null))
}

fn enabled<'a, T>(kind: Kind, version: &'a Version<T>, operation: &str) -> Result<&'a Version<T>, Refusal> {
    if version.attributes.enabled { Ok(version) } else { Err(Refusal::disabled(kind, operation)) }
}

/// Takes over what the body says of attributes and tags; the rest stays.
fn update<T>(version: &mut Version<T>, body: &Value) -> Result<(), Refusal> {
    let given = &body["attributes"];
    let Attributes { enabled, not_before, expires, updated, .. } = &mut version.attributes;
    if let Some(wanted) = given["enabled"].as_bool() {
        *enabled = wanted;
    }
    if let Some(begin) = given["nbf"].as_i64() {
        *not_before = Some(begin);
    }
    if let Some(end) = given["exp"].as_i64() {
        *expires = Some(end);
    }
    if let Some(tags) = tags(body)? {
        version.tags = tags;
    }
    *updated = now();
    Ok(())
}

fn tags(body: &Value) -> Result<Option<Tags>, Refusal> {
    if body["tags"].is_null() {
        return Ok(None);
    }
    let tags: Tags = serde_json::from_value(body["tags"].clone())
        .map_err(|_| Refusal::bad_parameter("Tags are text by text."))?;
    if tags.len() > MOST_TAGS {
        return Err(Refusal::bad_parameter("Too many tags: at most 15."));
    }
    if tags.iter().any(|(name, value)| name.len() > LONGEST_TAG || value.len() > LONGEST_TAG) {
        return Err(Refusal::bad_parameter("Tag names and values have at most 256 characters."));
    }
    Ok(Some(tags))
}

fn content_type(body: &Value) -> Result<Option<String>, Refusal> {
    let given = body["contentType"].as_str();
    if given.is_some_and(|text| text.len() > LONGEST_CONTENT_TYPE) {
        return Err(Refusal::bad_parameter("Content type should have at most 255 characters."));
    }
    Ok(given.map(str::to_owned))
}

fn operations(body: &Value) -> Option<Vec<String>> {
    serde_json::from_value(body["key_ops"].clone()).ok()
}

/// Names are a part of URLs; an empty one is that of a list of all.
fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = |character: char| character.is_ascii_alphanumeric() || character == '-';
    if name.len() <= 127 && name.chars().all(fits) {
        return Ok(());
    }
    Err(Refusal::bad_parameter("The name does not match the pattern ^[0-9a-zA-Z-]{1,127}$."))
}

/// A line of a list of names, whose id ends with the name.
fn unversioned(mut item: Value, id: &str) -> Value {
    if let Some((unversioned, _)) = item[id].as_str().and_then(|id| id.rsplit_once('/')) {
        item[id] = json!(unversioned);
    }
    item
}

impl Page {
    /// The lines of this page, in the order of their ids, which says nothing of their age; and where the next begins.
    fn of(&self, writer: Writer<'_>, items: impl Iterator<Item = Value>) -> Value {
        let id = |item: &Value| item["kid"].as_str().or(item["id"].as_str()).unwrap_or_default().to_owned();
        let behind = |item: &Value| self.after.as_ref().is_none_or(|after| id(item) > *after);
        let mut items: Vec<Value> = items.filter(behind).collect();
        items.sort_by_key(id);
        let size = self.size.clamp(1, LARGEST_PAGE);
        let more = items.len() > size;
        items.truncate(size);
        let next = items.last().filter(|_| more).map(|last| {
            let token = base64url(id(last).as_bytes());
            let Self { path, api_version, .. } = self;
            format!("{}{path}?api-version={api_version}&$skiptoken={token}&maxresults={size}", writer.url)
        });
        json!({"value": items, "nextLink": next})
    }
}
