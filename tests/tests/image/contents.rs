//! One program, its libraries, three files for libc; nobody's shell and nobody's rights.

use std::collections::BTreeSet;
use std::path::Path;

use privyseal_tests::image::Entry;
use privyseal_tests::{Image, tools};
use serde_json::{Value, json};
use tar::EntryType;

const PROGRAM: &str = "usr/local/bin/privyseal-controller";

fn is_library(entry: &Entry) -> bool {
    let name = entry.path.file_name().unwrap().to_string_lossy().into_owned();
    name.ends_with(".so") || name.contains(".so.")
}

fn paths<'a>(entries: impl Iterator<Item = &'a Entry>) -> BTreeSet<String> {
    entries.map(|entry| entry.path.display().to_string()).collect()
}

#[test]
fn it_holds_the_program_its_libraries_and_no_shell() {
    let image = Image::unpack(&tools::image());
    let all = image.entries();
    assert_eq!(paths(all.iter()).len(), all.len(), "an entry comes twice: {all:#?}");
    let kinds = [EntryType::Regular, EntryType::Directory, EntryType::Symlink];
    assert!(all.iter().all(|entry| kinds.contains(&entry.kind)), "{all:#?}");

    let files = || all.iter().filter(|entry| entry.kind == EntryType::Regular);
    let own = paths(files().filter(|entry| !is_library(entry)));
    let expected = [PROGRAM, "etc/passwd", "etc/group", "etc/nsswitch.conf"];
    assert_eq!(own, expected.map(str::to_owned).into());
    // A few of the C library; one more means that somebody has linked something.
    let libraries = paths(files().filter(|entry| is_library(entry)));
    assert!((2..=5).contains(&libraries.len()), "{libraries:#?}");
    for library in &libraries {
        assert!(std::fs::read(image.root().join(library)).unwrap().starts_with(b"\x7fELF"), "{library}");
    }

    let built = std::fs::read(tools::privyseal_controller()).unwrap();
    let inside = std::fs::read(image.root().join(PROGRAM)).unwrap();
    assert!(inside == built, "the image is of another build: cargo xtask test e2e writes it anew");
}

#[test]
fn its_program_can_change_nothing_and_gains_no_rights() {
    let image = Image::unpack(&tools::image());
    for entry in image.entries() {
        assert_eq!(entry.owner, (0, 0), "{entry:?}");
        let (special, writable) = (entry.mode & 0o7000, entry.mode & 0o022);
        match entry.kind {
            // Nobody looks at the mode of a link.
            EntryType::Symlink => continue,
            _ if entry.path == Path::new("tmp") => assert_eq!(entry.mode, 0o1777, "{entry:?}"),
            _ => assert_eq!((special, writable), (0, 0), "{entry:?}"),
        }
        let is_program = entry.path == Path::new(PROGRAM) || is_library(entry);
        let wanted = if entry.kind == EntryType::Regular && !is_program { 0o644 } else { 0o755 };
        assert_eq!(entry.mode & 0o755, wanted, "{entry:?}");
    }
}

#[test]
fn it_says_who_it_is_and_how_it_is_started() {
    let image = Image::unpack(&tools::image());
    let config = image.config();
    // A number: Kubernetes cannot tell whether a name is root.
    assert_eq!(config["User"], "65532:65532");
    assert_eq!(config["Entrypoint"], json!([format!("/{PROGRAM}")]));
    assert_eq!(config["Cmd"], Value::Null);
    assert_eq!(config["Env"], json!(["PATH=/usr/local/bin"]));
    assert_eq!(config["ExposedPorts"], json!({"8080/tcp": {}, "8081/tcp": {}}));

    // The peer's manifests start `controller` from the search path.
    let links: Vec<_> =
        image.entries().iter().filter(|entry| entry.kind == EntryType::Symlink).cloned().collect();
    let [link] = links.as_slice() else { panic!("{links:#?}") };
    assert_eq!(link.path, Path::new("usr/local/bin/controller"));
    assert_eq!(link.path.with_file_name(link.link.as_ref().unwrap()), Path::new(PROGRAM));
}

/// Each blob is checked by size and digest: if it were not, this would pass for any image.
#[test]
fn a_layout_with_one_wrong_byte_is_none() {
    let layout = tools::image();
    let blobs: Vec<_> = layout.join("blobs/sha256").read_dir().unwrap().map(|blob| blob.unwrap()).collect();
    assert_eq!(blobs.len(), 3, "manifest, config and layer");
    for spoiled in &blobs {
        let copy = tempfile::tempdir().unwrap();
        let folder = copy.path().join("blobs/sha256");
        std::fs::create_dir_all(&folder).unwrap();
        for name in ["oci-layout", "index.json"] {
            std::fs::copy(layout.join(name), copy.path().join(name)).unwrap();
        }
        for blob in &blobs {
            let mut bytes = std::fs::read(blob.path()).unwrap();
            if blob.file_name() == spoiled.file_name() {
                *bytes.last_mut().unwrap() ^= 1;
            }
            std::fs::write(folder.join(blob.file_name()), bytes).unwrap();
        }
        let error = Image::try_unpack(copy.path()).unwrap_err();
        assert!(error.contains(", not "), "{error}");
    }
}
