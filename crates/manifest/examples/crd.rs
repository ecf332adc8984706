//! Prints the CustomResourceDefinition: `cargo xtask generate` writes it into the chart.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(privyseal_manifest::sealed_secret::crd_yaml().as_bytes())
}
