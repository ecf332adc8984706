//! Prints the JSON Schema of `.privyseal.yaml`: `cargo xtask generate` writes it down.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    let schema = privyseal_repo::Config::json_schema();
    writeln!(std::io::stdout(), "{schema:#}")
}
