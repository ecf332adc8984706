//! Clusters that were the peer's, or go back to it: keys, definition and Service are taken as they are found. Each test
//! has a control plane of its own, since a controller looks at the whole cluster.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod definition;
mod fetch;
mod peer;
