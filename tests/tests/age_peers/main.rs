//! The format `age` beside the real peers: age in Go, and `age-encryption` in JavaScript. They seal and we open, we
//! seal and they open; and what the docs tell to do without us is done as it stands there.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

mod break_glass;
mod exchange;
mod kem;
mod key_texts;
mod mixed;
mod peers;
