//! What the values of an object are bound to: the one place where annotations become a binding.

use privyseal_envelope::{Binding, Name, NameError, Namespace, Scope};
use privyseal_manifest::names;
use std::collections::BTreeMap;

/// The binding of an object's values, from the object's own annotations, namespace and name.
///
/// Never from `spec.template`: whoever may change the template must not choose the scope.
pub fn binding_of(
    annotations: Option<&BTreeMap<String, String>>,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Result<Binding, BindingError> {
    let scope = annotations.map_or(Scope::Strict, names::scope_of);
    bind(scope, namespace, name)
}

/// Joins a scope with the names that it fixes.
pub(crate) fn bind(
    scope: Scope,
    namespace: Option<&str>,
    name: Option<&str>,
) -> Result<Binding, BindingError> {
    let namespace = || match namespace {
        None | Some("") => Err(BindingError::NoNamespace { scope }),
        Some(text) => Namespace::parse(text).map_err(|source| BindingError::Namespace { source }),
    };
    let name = || match name {
        None | Some("") => Err(BindingError::NoName),
        Some(text) => Name::parse(text).map_err(|source| BindingError::Name { source }),
    };
    Ok(match scope {
        Scope::Strict => Binding::Strict { name: name()?, namespace: namespace()? },
        Scope::NamespaceWide => Binding::NamespaceWide { namespace: namespace()? },
        Scope::ClusterWide => Binding::ClusterWide,
    })
}

/// An object lacks a name that its scope binds to, or has one that Kubernetes would not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindingError {
    /// No `metadata.name`.
    #[error("metadata.name is missing")]
    NoName,
    /// No `metadata.namespace`, and the scope needs one.
    #[error("metadata.namespace is missing, and scope {scope} binds to it")]
    NoNamespace {
        /// The scope that needs it.
        scope: Scope,
    },
    /// The name is none.
    #[error("metadata.name is {source}")]
    Name {
        /// The grammar.
        source: NameError,
    },
    /// The namespace is none.
    #[error("metadata.namespace is {source}")]
    Namespace {
        /// The grammar.
        source: NameError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_needs_its_own_names() {
        assert_eq!(bind(Scope::ClusterWide, None, None), Ok(Binding::ClusterWide));
        assert_eq!(
            bind(Scope::NamespaceWide, None, Some("a")),
            Err(BindingError::NoNamespace { scope: Scope::NamespaceWide })
        );
        assert_eq!(bind(Scope::Strict, Some("a"), None), Err(BindingError::NoName));
        assert_eq!(bind(Scope::Strict, Some("a"), Some("")), Err(BindingError::NoName));
        assert!(matches!(bind(Scope::Strict, Some("a/b"), Some("c")), Err(BindingError::Namespace { .. })));
        assert!(matches!(bind(Scope::Strict, Some("a"), Some("b/c")), Err(BindingError::Name { .. })));
    }
}
