//! The OCI image layout: a folder of blobs named by their digests, and an index that points at the manifest.
//!
//! <https://github.com/opencontainers/image-spec>: `image-layout.md`, `manifest.md`, `config.md`. `skopeo`,
//! `crane`, `podman load` and `ctr` read it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::rootfs::RootFs;
use super::{DESCRIPTION, LICENSE, PROGRAM, TITLE, USER, architecture};

/// What the source tree knows of itself.
pub(super) struct Meta {
    pub(super) revision: Option<String>,
    /// The commit's time, not the build's: the same source gives the same image.
    pub(super) created: Option<String>,
}

/// What was written.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Image {
    /// The manifest's digest, by which the image is pinned.
    pub(super) digest: String,
    /// The name that the index gives it.
    pub(super) reference: String,
    pub(super) layer_size: u64,
}

/// Writes the layout, in place of an older one.
pub(super) fn write_layout(files: &RootFs, meta: &Meta, out: &Path) -> Result<Image> {
    make_room(out)?;
    let blobs = Blobs { folder: out.join("blobs/sha256") };
    fs::create_dir_all(&blobs.folder).with_context(|| format!("cannot make {}", blobs.folder.display()))?;

    let mut tar = Vec::new();
    files.write_tar(&mut tar)?;
    let diff_id = digest(&tar);
    // flate2 writes no time and no file name into the header.
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    std::io::copy(&mut tar.as_slice(), &mut gzip)?;
    let layer = blobs.add("application/vnd.oci.image.layer.v1.tar+gzip", &gzip.finish()?)?;
    let layer_size = layer["size"].as_u64().unwrap_or_default();

    let config = blobs.add_json("application/vnd.oci.image.config.v1+json", &config(meta, &diff_id)?)?;
    let mut manifest = blobs.add_json(
        MANIFEST,
        &json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
                 "annotations": labels(meta) }),
    )?;
    let digest = manifest["digest"].as_str().unwrap_or_default().to_owned();
    manifest["platform"] = json!({ "architecture": architecture()?, "os": "linux" });
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": VERSION });
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                        "manifests": [manifest] });
    fs::write(out.join("index.json"), serde_json::to_vec(&index)?)?;
    fs::write(out.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    Ok(Image { digest, reference: VERSION.to_owned(), layer_size })
}

/// Only what is a layout is removed: a mistyped folder stays.
fn make_room(out: &Path) -> Result<()> {
    if out.join("oci-layout").is_file() {
        fs::remove_dir_all(out).with_context(|| format!("cannot remove {}", out.display()))?;
    } else if out.read_dir().is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} is not empty and no OCI layout: nothing was written", out.display());
    }
    Ok(())
}

fn config(meta: &Meta, diff_id: &str) -> Result<Value> {
    let mut config = json!({
        "architecture": architecture()?,
        "os": "linux",
        "config": {
            "User": USER,
            "Env": ["PATH=/usr/local/bin"],
            "Entrypoint": [format!("/{PROGRAM}")],
            "WorkingDir": "/",
            "ExposedPorts": { "8080/tcp": {}, "8081/tcp": {} },
            "Labels": labels(meta),
        },
        "rootfs": { "type": "layers", "diff_ids": [diff_id] },
        "history": [{ "created_by": "cargo xtask image" }],
    });
    if let Some(created) = &meta.created {
        config["created"] = json!(created);
    }
    Ok(config)
}

fn labels(meta: &Meta) -> Value {
    let mut labels = json!({
        "org.opencontainers.image.title": TITLE,
        "org.opencontainers.image.description": DESCRIPTION,
        "org.opencontainers.image.licenses": LICENSE,
        "org.opencontainers.image.version": VERSION,
    });
    if let Some(revision) = &meta.revision {
        labels["org.opencontainers.image.revision"] = json!(revision);
    }
    labels
}

/// The folder of the blobs.
struct Blobs {
    folder: std::path::PathBuf,
}

impl Blobs {
    /// Writes a blob and gives its descriptor.
    fn add(&self, media_type: &str, bytes: &[u8]) -> Result<Value> {
        let digest = digest(bytes);
        let path = self.folder.join(digest.trim_start_matches("sha256:"));
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() }))
    }

    fn add_json(&self, media_type: &str, value: &Value) -> Result<Value> {
        self.add(media_type, &serde_json::to_vec(value)?)
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// All packages of the workspace have one version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> Meta {
        Meta { revision: Some("abc".to_owned()), created: Some("2026-01-02T03:04:05Z".to_owned()) }
    }

    fn blob(out: &Path, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let bytes = fs::read(out.join("blobs").join(digest.replace(':', "/"))).unwrap();
        assert_eq!(super::digest(&bytes), digest);
        assert_eq!(bytes.len() as u64, descriptor["size"].as_u64().unwrap());
        bytes
    }

    fn json_blob(out: &Path, descriptor: &Value) -> Value {
        serde_json::from_slice(&blob(out, descriptor)).unwrap()
    }

    #[test]
    fn the_same_files_give_the_same_digest() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        let first = write_layout(&RootFs::small(), &meta(), &one).unwrap();
        assert_eq!(first, write_layout(&RootFs::small(), &meta(), &two).unwrap());
        // Over an older layout too.
        assert_eq!(first, write_layout(&RootFs::small(), &meta(), &one).unwrap());
    }

    #[test]
    fn every_descriptor_leads_to_its_blob() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("layout");
        let image = write_layout(&RootFs::small(), &meta(), &out).unwrap();
        let index: Value = serde_json::from_slice(&fs::read(out.join("index.json")).unwrap()).unwrap();
        assert_eq!(index["manifests"][0]["digest"], image.digest.as_str());
        let manifest = json_blob(&out, &index["manifests"][0]);
        let config = json_blob(&out, &manifest["config"]);
        let mut tar = Vec::new();
        let gzip = blob(&out, &manifest["layers"][0]);
        std::io::copy(&mut flate2::read::GzDecoder::new(gzip.as_slice()), &mut tar).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], super::digest(&tar).as_str());
        assert_eq!(config["config"]["User"], "65532:65532");
        assert_eq!(config["created"], "2026-01-02T03:04:05Z");
    }

    #[test]
    fn a_folder_that_is_no_layout_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("thesis.txt"), "years").unwrap();
        assert!(write_layout(&RootFs::small(), &meta(), folder.path()).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
