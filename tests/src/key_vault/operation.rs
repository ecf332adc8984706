//! What a request asks for, by its method and path.

use http::Method;

use super::store::Kind;

/// An operation of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    CreateKey,
    GetKey,
    ListKeys,
    ListKeyVersions,
    RotateKey,
    UpdateKey,
    WrapKey,
    UnwrapKey,
    Encrypt,
    Decrypt,
    DeleteKey,
    GetDeletedKey,
    RecoverKey,
    PurgeKey,
    SetSecret,
    GetSecret,
    ListSecrets,
    ListSecretVersions,
    UpdateSecret,
    DeleteSecret,
    GetDeletedSecret,
    RecoverSecret,
    PurgeSecret,
}

/// An operation and what it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) operation: Operation,
    /// Empty for a list of all.
    pub(super) name: String,
    pub(super) version: Option<String>,
}

impl Operation {
    /// As the log of calls names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CreateKey => "createKey",
            Self::GetKey => "getKey",
            Self::ListKeys => "listKeys",
            Self::ListKeyVersions => "listKeyVersions",
            Self::RotateKey => "rotateKey",
            Self::UpdateKey => "updateKey",
            Self::WrapKey => "wrapKey",
            Self::UnwrapKey => "unwrapKey",
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
            Self::DeleteKey => "deleteKey",
            Self::GetDeletedKey => "getDeletedKey",
            Self::RecoverKey => "recoverKey",
            Self::PurgeKey => "purgeKey",
            Self::SetSecret => "setSecret",
            Self::GetSecret => "getSecret",
            Self::ListSecrets => "listSecrets",
            Self::ListSecretVersions => "listSecretVersions",
            Self::UpdateSecret => "updateSecret",
            Self::DeleteSecret => "deleteSecret",
            Self::GetDeletedSecret => "getDeletedSecret",
            Self::RecoverSecret => "recoverSecret",
            Self::PurgeSecret => "purgeSecret",
        }
    }

    pub(super) fn kind(self) -> Kind {
        match self {
            Self::SetSecret
            | Self::GetSecret
            | Self::ListSecrets
            | Self::ListSecretVersions
            | Self::UpdateSecret
            | Self::DeleteSecret
            | Self::GetDeletedSecret
            | Self::RecoverSecret
            | Self::PurgeSecret => Kind::Secret,
            _ => Kind::Key,
        }
    }
}

impl Asked {
    /// `None` for what the double does not know. Fixed parts of a path may be in any case; the SDK writes `wrapkey`.
    pub(super) fn of(method: &Method, path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let (collection, parts) = parts.split_first()?;
        let is = |part: &str, fixed: &str| part.eq_ignore_ascii_case(fixed);
        let (operation, name, version) = match (method.as_str(), &*collection.to_ascii_lowercase(), parts) {
            ("GET", "keys", []) => (Operation::ListKeys, "", None),
            ("GET", "keys", [name, last]) if is(last, "versions") => {
                (Operation::ListKeyVersions, *name, None)
            }
            ("GET", "keys", [name, version @ ..]) => (Operation::GetKey, *name, one(version)?),
            ("POST", "keys", [name, last]) if is(last, "create") => (Operation::CreateKey, *name, None),
            ("POST", "keys", [name, last]) if is(last, "rotate") => (Operation::RotateKey, *name, None),
            ("POST", "keys", [name, version @ .., last]) => (use_of_key(last)?, *name, one(version)?),
            ("PATCH", "keys", [name, version @ ..]) => (Operation::UpdateKey, *name, one(version)?),
            ("DELETE", "keys", [name]) => (Operation::DeleteKey, *name, None),
            ("GET", "deletedkeys", [name]) => (Operation::GetDeletedKey, *name, None),
            ("POST", "deletedkeys", [name, last]) if is(last, "recover") => {
                (Operation::RecoverKey, *name, None)
            }
            ("DELETE", "deletedkeys", [name]) => (Operation::PurgeKey, *name, None),

            ("GET", "secrets", []) => (Operation::ListSecrets, "", None),
            ("GET", "secrets", [name, last]) if is(last, "versions") => {
                (Operation::ListSecretVersions, *name, None)
            }
            ("GET", "secrets", [name, version @ ..]) => (Operation::GetSecret, *name, one(version)?),
            ("PUT", "secrets", [name]) => (Operation::SetSecret, *name, None),
            ("PATCH", "secrets", [name, version @ ..]) => (Operation::UpdateSecret, *name, one(version)?),
            ("DELETE", "secrets", [name]) => (Operation::DeleteSecret, *name, None),
            ("GET", "deletedsecrets", [name]) => (Operation::GetDeletedSecret, *name, None),
            ("POST", "deletedsecrets", [name, last]) if is(last, "recover") => {
                (Operation::RecoverSecret, *name, None)
            }
            ("DELETE", "deletedsecrets", [name]) => (Operation::PurgeSecret, *name, None),
            _ => return None,
        };
        Some(Self { operation, name: name.to_owned(), version: version.map(str::to_owned) })
    }

    /// `keys/NAME` or `secrets/NAME`.
    pub(super) fn object(&self) -> Option<String> {
        (!self.name.is_empty()).then(|| format!("{}/{}", self.operation.kind().collection(), self.name))
    }
}

/// A version, which may be left out.
fn one<'a>(version: &[&'a str]) -> Option<Option<&'a str>> {
    match version {
        [] => Some(None),
        [version] => Some(Some(version)),
        _ => None,
    }
}

fn use_of_key(text: &str) -> Option<Operation> {
    match &*text.to_ascii_lowercase() {
        "wrapkey" => Some(Operation::WrapKey),
        "unwrapkey" => Some(Operation::UnwrapKey),
        "encrypt" => Some(Operation::Encrypt),
        "decrypt" => Some(Operation::Decrypt),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(method: Method, path: &str) -> Option<(&'static str, String, Option<String>)> {
        Asked::of(&method, path).map(|asked| (asked.operation.name(), asked.name, asked.version))
    }

    #[test]
    fn paths_are_operations() {
        let version = || Some("v1".to_owned());
        for (method, path, operation, given) in [
            (Method::GET, "/keys/a", "getKey", None),
            (Method::GET, "/keys/a/", "getKey", None),
            (Method::GET, "/keys/a/v1", "getKey", version()),
            (Method::GET, "/keys/a/versions", "listKeyVersions", None),
            (Method::POST, "/keys/a/create", "createKey", None),
            (Method::POST, "/keys/a/v1/unwrapkey", "unwrapKey", version()),
            (Method::POST, "/keys/a//wrapKey", "wrapKey", None),
            (Method::GET, "/secrets/a/v1", "getSecret", version()),
            (Method::PUT, "/secrets/a", "setSecret", None),
            (Method::POST, "/deletedsecrets/a/recover", "recoverSecret", None),
        ] {
            assert_eq!(asked(method, path), Some((operation, "a".to_owned(), given)), "{path}");
        }
        assert_eq!(asked(Method::GET, "/keys/a/v1/more"), None);
        assert_eq!(asked(Method::POST, "/keys/a/v1/sign"), None);
        assert_eq!(asked(Method::GET, "/"), None);
    }
}
