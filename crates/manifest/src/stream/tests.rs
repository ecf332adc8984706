#![allow(clippy::unwrap_used, reason = "a test panics to fail")]
use super::*;
