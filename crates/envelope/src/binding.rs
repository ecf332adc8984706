//! What a sealed value is bound to: its scope, and the names that the scope fixes.

use crate::NameError;
use std::fmt;

/// How far a sealed value may travel and still open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Opens under one namespace and one name only.
    #[default]
    Strict,
    /// Opens under any name of one namespace.
    NamespaceWide,
    /// Opens under any name of any namespace.
    ClusterWide,
}

impl Scope {
    /// All scopes, narrowest first.
    pub const ALL: [Self; 3] = [Self::Strict, Self::NamespaceWide, Self::ClusterWide];

    /// The word used in flags, messages and the age binding line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::NamespaceWide => "namespace-wide",
            Self::ClusterWide => "cluster-wide",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// The text is not one of `strict`, `namespace-wide`, `cluster-wide`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownScope;

impl fmt::Display for UnknownScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a scope: one of strict, namespace-wide, cluster-wide")
    }
}

impl std::error::Error for UnknownScope {}

/// A scope together with the names that it fixes: exactly what a sealed value authenticates, and no more.
///
/// There is no way to hold a strict binding without a namespace and a name, nor a cluster-wide one with either.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Binding {
    /// Bound to `namespace/name`.
    Strict {
        /// The object's namespace.
        namespace: Namespace,
        /// The object's name.
        name: Name,
    },
    /// Bound to the namespace alone.
    NamespaceWide {
        /// The object's namespace.
        namespace: Namespace,
    },
    /// Bound to nothing.
    ClusterWide,
}

impl Binding {
    /// The scope of this binding.
    pub const fn scope(&self) -> Scope {
        match self {
            Self::Strict { .. } => Scope::Strict,
            Self::NamespaceWide { .. } => Scope::NamespaceWide,
            Self::ClusterWide => Scope::ClusterWide,
        }
    }

    /// The RSA-OAEP label of the classic format: `namespace/name`, `namespace`, or nothing (docs/format.md).
    pub(crate) fn label(&self) -> Vec<u8> {
        match self {
            Self::Strict { namespace, name } => format!("{namespace}/{name}").into_bytes(),
            Self::NamespaceWide { namespace } => namespace.as_str().as_bytes().to_vec(),
            Self::ClusterWide => Vec::new(),
        }
    }
}

macro_rules! checked_name {
    ($(#[$doc:meta])* $type:ident, $max:literal, $what:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(String);

        impl $type {
            /// Checks the text against Kubernetes' grammar for this kind of name.
            pub fn parse(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                match $check(&text, $max) {
                    true => Ok(Self(text)),
                    false => Err(NameError { what: $what }),
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

checked_name! {
    /// A namespace: an RFC 1123 label of at most 63 bytes.
    Namespace, 63, "a namespace: at most 63 of a-z, 0-9 and '-', first and last not '-'", is_label
}
checked_name! {
    /// An object's name: an RFC 1123 subdomain of at most 253 bytes.
    Name, 253, "a name: at most 253 of a-z, 0-9, '-' and '.', each part first and last not '-'", is_subdomain
}
checked_name! {
    /// The name of one entry of a Secret's `data`: at most 253 of `A-Z a-z 0-9 - _ .`, neither `.` nor beginning with `..`.
    Item, 253, "an item name: at most 253 of A-Z, a-z, 0-9, '-', '_' and '.', not '.', nor beginning with '..'", is_item
}

fn is_label(text: &str, max: usize) -> bool {
    let lower_alnum = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.len() <= max
        && bytes.first().is_some_and(lower_alnum)
        && bytes.last().is_some_and(lower_alnum)
        && bytes.iter().all(|b| lower_alnum(b) || *b == b'-')
}

fn is_subdomain(text: &str, max: usize) -> bool {
    // A part has no bound of its own: Kubernetes bounds the whole only.
    text.len() <= max && text.split('.').all(|part| is_label(part, max))
}

fn is_item(text: &str, max: usize) -> bool {
    // The grammar of `IsConfigMapKey` in k8s.io/apimachinery.
    !text.is_empty()
        && text.len() <= max
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text != "."
        && !text.starts_with("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespace_follows_rfc_1123_label() {
        for good in ["a", "team-a", "0", &"a".repeat(63)] {
            assert!(Namespace::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", "a b", "a\n", "ä", &"a".repeat(64)] {
            assert!(Namespace::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn name_follows_rfc_1123_subdomain() {
        for good in ["a", "a.b-c.d", &"b".repeat(253)] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "a..b", "a.", ".a", "a.-b", "a_b", "a/b", &"b".repeat(254)] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn item_follows_config_map_key() {
        for good in ["a", "TLS.crt", "_x", "-", ".a", "...a".trim_start_matches("..")] {
            assert!(Item::parse(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "..a", "a b", "a\nb", "a/b", "ü", &"b".repeat(254)] {
            assert!(Item::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn labels_are_the_peers() {
        let namespace = Namespace::parse("myns").unwrap();
        let name = Name::parse("myname").unwrap();
        assert_eq!(Binding::Strict { namespace: namespace.clone(), name }.label(), b"myns/myname");
        assert_eq!(Binding::NamespaceWide { namespace }.label(), b"myns");
        assert_eq!(Binding::ClusterWide.label(), b"");
    }

    #[test]
    fn scope_round_trips_as_text() {
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        assert_eq!("Strict".parse::<Scope>(), Err(UnknownScope));
    }
}
