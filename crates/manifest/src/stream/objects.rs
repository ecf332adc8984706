//! What Kubernetes takes for a Secret, and where it looks for objects: in the items of anything that has some, be its kind
//! `ConfigMapList` or `Foo`.

use crate::document::{Kind, Node};
use crate::error::{Position, Problem};
use crate::names::SECRET_KIND;

/// Whether this is a Secret of the core API. One without a version is none to the cluster, but it holds what it holds.
pub(super) fn is_secret(object: &Node) -> bool {
    // `/v1` is read as `v1`, and `/` as nothing at all.
    let is_core = |version: &str| !version.contains('/') || version.starts_with('/');
    object.child("kind").and_then(Node::text) == Some(SECRET_KIND)
        && object.child("apiVersion").and_then(Node::text).is_none_or(is_core)
}

/// Whether the items of something hold a Secret, at any depth.
pub(super) fn hold_secret(list: &Node) -> bool {
    let kind = list.child("kind").and_then(Node::text).unwrap_or_default();
    // An item that does not say what it is has the list's kind without `List`.
    let are_secrets = kind.strip_suffix("List").unwrap_or(kind) == SECRET_KIND;
    items(list)
        .iter()
        .any(|item| is_secret(item) || are_secrets && is_untold(item.child("kind")) || hold_secret(item))
}

/// A tag that hides what something is: readers differ on what a tag makes of text, and on the names of tags. Gives the field
/// too.
pub(super) fn hidden(object: &Node, may_hold_secret: bool) -> Option<(Position, &'static str, Problem)> {
    let tagged = |name: &'static str| {
        let value = object.child(name).filter(|value| matches!(value.kind, Kind::Tagged))?;
        Some((value.at, name, Problem::UnsupportedTag))
    };
    let item = || {
        let tagged = items(object).iter().find(|item| matches!(item.kind, Kind::Tagged));
        tagged.map(|item| (item.at, "items", Problem::UnsupportedTag)).filter(|_| may_hold_secret)
    };
    let within = || {
        let found = items(object).iter().find_map(|item| hidden(item, may_hold_secret));
        found.map(|(at, _, problem)| (at, "items", problem))
    };
    tagged("kind")
        .or_else(|| tagged("apiVersion"))
        .or_else(|| tagged("items").filter(|_| may_hold_secret))
        .or_else(item)
        .or_else(within)
}

/// Whether a field says nothing.
pub(super) fn is_untold(value: Option<&Node>) -> bool {
    value.is_none_or(|value| matches!(value.kind, Kind::Null) || value.text() == Some(""))
}

fn items(object: &Node) -> &[Node] {
    match object.child("items").map(|items| &items.kind) {
        Some(Kind::List(items)) => items,
        _ => &[],
    }
}
