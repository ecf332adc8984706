//! `cargo xtask krew`: the manifest of the kubectl plugin, with the version and the digests of a release.

use crate::workspace::Workspace;
use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Print the krew manifest of a release
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The release, without `v`
    #[arg(long)]
    version: String,
    /// Where the archives can be fetched
    #[arg(long, value_name = "URL")]
    base_url: String,
    /// The folder with the archives, privyseal-VERSION-OS-ARCH.tar.gz
    #[arg(long, value_name = "DIR")]
    archives: PathBuf,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<()> {
    let template = fs::read_to_string(workspace.root().join(TEMPLATE)).context(TEMPLATE)?;
    let base = args.base_url.trim_end_matches('/');
    print!("{}", fill(&template, &args.version, base, |name| digest(&args.archives.join(name)))?);
    Ok(())
}

fn digest(archive: &Path) -> Result<String> {
    let bytes = fs::read(archive).with_context(|| archive.display().to_string())?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Without the comment on how it is made. `digest` is asked for each archive.
fn fill(
    template: &str,
    version: &str,
    base_url: &str,
    digest: impl Fn(&str) -> Result<String>,
) -> Result<String> {
    let mut text: String =
        template.lines().skip_while(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    for (os, arch) in PLATFORMS {
        let digest = digest(&format!("privyseal-{version}-{os}-{arch}.tar.gz"))?;
        let variable = format!("${{SHA256_{}_{}}}", os.to_uppercase(), arch.to_uppercase());
        text = text.replace(&variable, &digest);
    }
    text = text.replace("${VERSION}", version).replace("${BASE_URL}", base_url);
    match text.find("${") {
        Some(at) => {
            bail!("{TEMPLATE}: nothing is known for {}", text[at..].lines().next().unwrap_or_default())
        }
        None => Ok(text),
    }
}

const TEMPLATE: &str = "deploy/krew/privyseal.yaml";
const PLATFORMS: [(&str, &str); 4] =
    [("linux", "amd64"), ("linux", "arm64"), ("darwin", "amd64"), ("darwin", "arm64")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_filled_and_nothing_is_left_open() {
        let template = include_str!("../../deploy/krew/privyseal.yaml");
        let filled = fill(template, "1.2.3", "https://a/b", |name| Ok(format!("digest of {name}"))).unwrap();
        assert!(filled.starts_with("apiVersion: "), "{filled}");
        for (os, arch) in PLATFORMS {
            let archive = format!("privyseal-1.2.3-{os}-{arch}.tar.gz");
            let entry = format!("uri: \"https://a/b/{archive}\"\n      sha256: \"digest of {archive}\"\n");
            assert!(filled.contains(&entry), "{filled}");
        }
        assert!(filled.contains("version: \"v1.2.3\""));
        assert!(fill("${OTHER}", "1", "u", |_| Ok(String::new())).is_err());
        assert!(fill(template, "1", "u", |_| bail!("no archive")).is_err());
    }

    #[test]
    fn a_digest_is_that_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "abc").unwrap();
        assert_eq!(
            digest(&file).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
