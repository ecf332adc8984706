//! The Secret: plaintext with a name.

use crate::emit;
use crate::names::{SECRET_API_VERSION, SECRET_KIND};
use crate::wiping::WipingBuffer;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::{Item, Plaintext};
use serde::ser::{SerializeMap as _, SerializeStruct as _};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// What Kubernetes takes at most, all values of one Secret together (`MaxSecretSize`).
pub const MAX_DATA_BYTES: usize = 1 << 20;

/// A Kubernetes Secret.
///
/// It has no `Debug`, `Display` or `Serialize`: the three functions below are the only ways out, and what they
/// return is wiped when dropped. `stringData` exists in documents only; here all values are in `data`.
#[derive(Clone, Default, PartialEq)]
pub struct Secret {
    /// Name, namespace, labels, annotations and the rest. Annotations may hold plaintext
    /// ([`crate::names::KUBECTL_LAST_APPLIED`]): do not print it.
    pub metadata: ObjectMeta,
    /// The type; none means `Opaque`.
    pub type_: Option<String>,
    /// Whether the API server shall refuse changes.
    pub immutable: Option<bool>,
    /// Item name to value.
    pub data: BTreeMap<Item, Plaintext>,
}

impl Secret {
    /// Bytes of all values, to hold against [`MAX_DATA_BYTES`].
    pub fn data_len(&self) -> usize {
        self.data.values().map(|value| value.expose().len()).sum()
    }

    /// Compact JSON, the body of a request to the API server.
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        let mut out = self.buffer();
        serde_json::to_writer(&mut out, &Wire(self))
            .expect("a Secret is representable, and memory does not fail");
        out.into_bytes()
    }

    /// JSON for people: two spaces, one final newline.
    pub fn to_json_pretty(&self) -> Zeroizing<String> {
        let mut out = self.buffer();
        emit::write_json(&mut out, &Wire(self));
        out.into_text()
    }

    /// YAML for people, without a leading `---`.
    pub fn to_yaml(&self) -> Zeroizing<String> {
        let mut out = self.buffer();
        emit::write_yaml(&mut out, &Wire(self));
        out.into_text()
    }

    fn buffer(&self) -> WipingBuffer {
        WipingBuffer::with_capacity(1024 + self.data.len() * 64 + self.data_len() * 4 / 3)
    }
}

/// A Secret on its way into a [`WipingBuffer`]. Private, so that nothing else can serialise a Secret.
struct Wire<'a>(&'a Secret);

impl Serialize for Wire<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Secret { metadata, type_, immutable, data } = self.0;
        let len = 3
            + usize::from(type_.is_some())
            + usize::from(immutable.is_some())
            + usize::from(!data.is_empty());
        let mut out = serializer.serialize_struct(SECRET_KIND, len)?;
        out.serialize_field("apiVersion", SECRET_API_VERSION)?;
        out.serialize_field("kind", SECRET_KIND)?;
        out.serialize_field("metadata", metadata)?;
        if let Some(type_) = type_ {
            out.serialize_field("type", type_)?;
        }
        if let Some(immutable) = immutable {
            out.serialize_field("immutable", immutable)?;
        }
        if !data.is_empty() {
            out.serialize_field("data", &Data(data))?;
        }
        out.end()
    }
}

struct Data<'a>(&'a BTreeMap<Item, Plaintext>);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(self.0.len()))?;
        for (item, plaintext) in self.0 {
            out.serialize_entry(item.as_str(), plaintext.to_base64().as_str())?;
        }
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static_assertions::assert_not_impl_any!(Secret: std::fmt::Debug, std::fmt::Display, Serialize);

    fn secret() -> Secret {
        let mut secret = Secret {
            metadata: ObjectMeta {
                name: Some("db".into()),
                namespace: Some("team-a".into()),
                ..Default::default()
            },
            ..Default::default()
        };
        for (item, value) in
            [("b", &b"hunter2"[..]), ("a", b""), ("c", &[0, 255]), ("n", b"\xd3\x5d\x34\xd3\x5d\x34")]
        {
            secret.data.insert(Item::parse(item).unwrap(), Plaintext::from(value));
        }
        secret
    }

    #[test]
    fn json_is_what_the_api_server_takes() {
        assert_eq!(
            str::from_utf8(&secret().to_json()).unwrap(),
            r#"{"apiVersion":"v1","kind":"Secret","metadata":{"name":"db","namespace":"team-a"},"data":{"a":"","b":"aHVudGVyMg==","c":"AP8=","n":"01000100"}}"#
        );
    }

    #[test]
    fn yaml_and_pretty_json_are_for_people() {
        let secret = Secret { type_: Some("Opaque".into()), immutable: Some(true), ..secret() };
        assert_eq!(
            *secret.to_yaml(),
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n  namespace: team-a\ntype: Opaque\nimmutable: true\n\
             data:\n  a: \"\"\n  b: aHVudGVyMg==\n  c: AP8=\n  \"n\": \"01000100\"\n"
        );
        assert!(secret.to_json_pretty().starts_with("{\n  \"apiVersion\": \"v1\",\n"));
        assert!(secret.to_json_pretty().ends_with("\n  }\n}\n"));
    }

    #[test]
    fn empty_fields_are_left_out() {
        assert_eq!(*Secret::default().to_json(), br#"{"apiVersion":"v1","kind":"Secret","metadata":{}}"#[..]);
    }
}
