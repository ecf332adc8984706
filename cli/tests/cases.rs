//! Help texts and messages as files: what people read is reviewed like code.
//!
//! After a change that is meant: `TRYCMD=overwrite cargo test -p privyseal --test cases`, and read the difference.

use std::path::Path;

#[test]
fn cases() {
    trycmd::TestCases::new()
        .register_bin("privyseal", Path::new(env!("CARGO_BIN_EXE_privyseal")))
        .env("HOME", "/nonexistent")
        .env("COLUMNS", "100")
        .case("tests/cases/*.trycmd");
}
