//! What a request asks for, in words that tests can compare.

use http::Method;

/// `VERB RESOURCE`, as in `list secrets`, `watch sealedsecrets.bitnami.com` or `patch deployments.apps/scale`: verb
/// and resource as RBAC names them, whatever the namespace. Other requests are `METHOD /PATH`.
pub(super) fn of(method: &Method, path: &str, query: Option<&str>) -> String {
    match resource(path) {
        Some((resource, named)) => format!("{} {resource}", verb(method, named, query)),
        None => format!("{method} {path}"),
    }
}

/// Whether the answer is a stream of events.
pub(super) fn is_watch(method: &Method, query: Option<&str>) -> bool {
    let asks = |pair: &str| matches!(pair, "watch=true" | "watch=1");
    *method == Method::GET && query.is_some_and(|query| query.split('&').any(asks))
}

fn verb(method: &Method, named: bool, query: Option<&str>) -> String {
    let verb = match (method.as_str(), named) {
        ("GET", _) if is_watch(method, query) => "watch",
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        (other, _) => other,
    };
    verb.to_owned()
}

/// The resource with its group and subresource, and whether the path names one object of it.
fn resource(path: &str) -> Option<(String, bool)> {
    let mut parts = path.trim_matches('/').split('/').filter(|part| !part.is_empty());
    let group = match parts.next()? {
        "api" => String::new(),
        "apis" => format!(".{}", parts.next()?),
        _ => return None,
    };
    let _version = parts.next()?;
    let mut rest: Vec<&str> = parts.collect();
    // In `namespaces/NS/secrets` the namespace says where; in `namespaces/NS` and `namespaces/NS/status` it is what.
    if rest.len() > 2 && rest[0] == "namespaces" && !matches!(rest[2], "status" | "finalize") {
        rest.drain(..2);
    }
    let (resource, rest) = rest.split_first()?;
    let subresource = rest.get(1).map(|name| format!("/{name}")).unwrap_or_default();
    Some((format!("{resource}{group}{subresource}"), !rest.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_named_as_rbac_names_them() {
        let cases = [
            ("GET", "/api/v1/namespaces/a/secrets", "list secrets"),
            ("GET", "/api/v1/secrets?limit=50&watch=true", "watch secrets"),
            ("GET", "/api/v1/secrets?watchful=true", "list secrets"),
            ("GET", "/api/v1/namespaces/a/secrets/b", "get secrets"),
            ("POST", "/api/v1/namespaces/a/secrets", "create secrets"),
            (
                "PUT",
                "/apis/coordination.k8s.io/v1/namespaces/a/leases/b",
                "update leases.coordination.k8s.io",
            ),
            (
                "PATCH",
                "/apis/bitnami.com/v1alpha1/namespaces/a/sealedsecrets/b/status",
                "patch sealedsecrets.bitnami.com/status",
            ),
            ("POST", "/api/v1/namespaces/a/serviceaccounts/b/token", "create serviceaccounts/token"),
            ("DELETE", "/api/v1/namespaces/a/secrets/b", "delete secrets"),
            ("DELETE", "/api/v1/namespaces/a/secrets", "deletecollection secrets"),
            ("GET", "/api/v1/namespaces", "list namespaces"),
            ("GET", "/api/v1/namespaces/a", "get namespaces"),
            ("PUT", "/api/v1/namespaces/a/finalize", "update namespaces/finalize"),
            ("GET", "/apis/bitnami.com/v1alpha1", "GET /apis/bitnami.com/v1alpha1"),
            ("GET", "/readyz", "GET /readyz"),
        ];
        for (method, target, expected) in cases {
            let (path, query) =
                target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
            let method: Method = method.parse().unwrap();
            assert_eq!(of(&method, path, query), expected, "{target}");
        }
    }
}
