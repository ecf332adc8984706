//! A container image, unpacked and started as a container engine would, without one.
//!
//! An engine believes nothing that it has not checked: every blob must have the size and the digest by which it was
//! called for, and so must each layer once more after it was unpacked.

use std::fs::Permissions;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest;
use flate2::read::GzDecoder;
use serde_json::Value;
use tar::{Archive, EntryType};

use crate::{process, scratch};

/// An image that was unpacked.
#[derive(Clone, Debug)]
pub struct Image {
    root: PathBuf,
    config: Value,
    entries: Vec<Entry>,
}

/// One entry of a layer, as its archive has it: what the file system made of it depends on who unpacked it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the root, without a slash at the end.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryType,
    /// Its permissions, with the bits for setuid, setgid and sticky.
    pub mode: u32,
    /// Its user and group.
    pub owner: (u64, u64),
    /// Where a link leads.
    pub link: Option<PathBuf>,
}

impl Image {
    /// Unpacks the one image of an OCI layout into a folder of its own.
    pub fn unpack(layout: &Path) -> Self {
        Self::try_unpack(layout).unwrap_or_else(|error| panic!("{}: {error}", layout.display()))
    }

    /// As [`unpack`](Self::unpack), for what an engine refuses.
    pub fn try_unpack(layout: &Path) -> Result<Self, String> {
        let version = json(&read(&layout.join("oci-layout"))?)?;
        expect(&version["imageLayoutVersion"], "1.0.0")?;
        let index = json(&read(&layout.join("index.json"))?)?;
        let [descriptor] = list(&index["manifests"])? else { return Err("not one manifest".to_owned()) };
        expect(&descriptor["platform"]["os"], "linux")?;
        let manifest = json(&blob(layout, descriptor, MANIFEST)?)?;
        expect(&manifest["mediaType"], MANIFEST)?;
        let config = json(&blob(layout, &manifest["config"], CONFIG)?)?;
        for field in ["os", "architecture"] {
            expect(&config[field], text(&descriptor["platform"][field])?)?;
        }

        let (layers, diff_ids) = (list(&manifest["layers"])?, list(&config["rootfs"]["diff_ids"])?);
        if layers.len() != diff_ids.len() {
            return Err(format!("{} layers, {} diff_ids", layers.len(), diff_ids.len()));
        }
        let (root, mut entries) = (new_root()?, Vec::new());
        for (layer, diff_id) in layers.iter().zip(diff_ids) {
            let mut archive = Vec::new();
            let gzip = blob(layout, layer, LAYER)?;
            GzDecoder::new(gzip.as_slice()).read_to_end(&mut archive).map_err(|e| e.to_string())?;
            expect(diff_id, &sha256(&archive))?;
            entries.extend(entries_of(&archive).map_err(|e| e.to_string())?);
            let mut archive = Archive::new(archive.as_slice());
            archive.set_preserve_permissions(true);
            archive.unpack(&root).map_err(|e| e.to_string())?;
        }
        Ok(Self { root, config: config["config"].clone(), entries })
    }

    /// Where its files are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// How it asks to be started: `Entrypoint`, `Env`, `User` and the like.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// What its layers hold.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the image starts, without arguments: with its root as the root, which cannot be written, as its user, with
    /// its environment, and with folders of ours in places of it. There is no `/proc` and no `/dev`, which is less
    /// than an engine gives.
    ///
    /// Root becomes the image's user. Somebody else cannot become a third; they are root in a user namespace, which is
    /// nobody but themselves outside of it.
    pub(crate) fn command(&self, folders: &[(&Path, &str)], home: &Path) -> Command {
        let is_root = rustix::process::geteuid().is_root();
        let user = text(&self.config["User"]).unwrap_or_else(|error| panic!("User: {error}"));
        let (uid, gid) = user.split_once(':').unwrap_or_else(|| panic!("{user}: no group"));
        let mut command = process::hermetic(Path::new("unshare"), home);
        command.args([if is_root { "-m" } else { "-Urm" }, "sh", "-c", ENTER, "enter"]).arg(&self.root);
        command.args([if is_root { uid } else { "" }, gid]);
        command.arg(self.config["WorkingDir"].as_str().unwrap_or("/"));

        command.arg(folders.len().to_string());
        for (folder, place) in folders {
            let place = self.root.join(place);
            // An engine makes what it mounts upon.
            std::fs::create_dir_all(&place).unwrap_or_else(|error| panic!("{}: {error}", place.display()));
            if is_root {
                give(folder, uid, gid);
            }
            command.arg(folder).arg(place);
        }

        // Engines make HOME of the image's passwd.
        command.env("HOME", "/").env_remove("TMPDIR");
        let mut search = "";
        for variable in list(&self.config["Env"]).unwrap_or_default() {
            match variable.as_str().and_then(|text| text.split_once('=')) {
                Some(("PATH", value)) => search = value,
                Some((name, value)) => _ = command.env(name, value),
                None => panic!("Env: {variable}"),
            }
        }
        command.arg(search);
        let entrypoint =
            list(&self.config["Entrypoint"]).unwrap_or_else(|error| panic!("Entrypoint: {error}"));
        command.args(entrypoint.iter().filter_map(Value::as_str));
        command
    }
}

/// Root, user (empty: the one we are), group, folder to start in, number of folders, each folder and its place, search
/// path, program. The search path comes last, since the tools before it are not in the image. The root is entered
/// before the user changes, since only we may pass through the folders above it. To make it the root is a right; it is
/// the one that is left to the program.
const ENTER: &str = r#"root=$1 user=$2 group=$3 start=$4 count=$5; shift 5
mount -o bind,ro "$root" "$root" || exit
while [ "$count" -gt 0 ]; do
    mount -o bind,ro "$1" "$2" || exit
    shift 2; count=$((count - 1))
done
cd "$root" || exit
setpriv=$(command -v setpriv) unshare=$(command -v unshare) rights=-all,+sys_chroot
PATH=$1; shift
exec "$setpriv" ${user:+--reuid "$user" --regid "$group" --clear-groups} \
    --inh-caps "$rights" --ambient-caps "$rights" --bounding-set "$rights" --no-new-privs --pdeathsig KILL \
    -- "$unshare" --root . --wd "$start" -- "$@""#;

/// A folder and its files to a user, as a kubelet gives a token to the user of the pod.
fn give(folder: &Path, uid: &str, gid: &str) {
    let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("User: {text} is no number"));
    let entries = folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = entries.map(|entry| entry.map(|entry| entry.path()));
    for path in files.chain([Ok(folder.to_path_buf())]) {
        path.and_then(|path| std::os::unix::fs::chown(path, Some(number(uid)), Some(number(gid))))
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    }
}

/// A root that others may enter, as an engine makes it.
fn new_root() -> Result<PathBuf, String> {
    let root = scratch::folder("image");
    std::fs::set_permissions(&root, Permissions::from_mode(0o755)).map_err(|error| error.to_string())?;
    Ok(root)
}

fn entries_of(archive: &[u8]) -> std::io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in Archive::new(archive).entries()? {
        let entry = entry?;
        let header = entry.header();
        entries.push(Entry {
            path: entry.path()?.components().collect(),
            kind: header.entry_type(),
            mode: header.mode()?,
            owner: (header.uid()?, header.gid()?),
            link: entry.link_name()?.map(std::borrow::Cow::into_owned),
        });
    }
    Ok(entries)
}

/// A blob by its descriptor, checked.
fn blob(layout: &Path, descriptor: &Value, media_type: &str) -> Result<Vec<u8>, String> {
    expect(&descriptor["mediaType"], media_type)?;
    let digest = text(&descriptor["digest"])?;
    let bytes = read(&layout.join("blobs").join(digest.replace(':', "/")))?;
    if descriptor["size"] != bytes.len() {
        return Err(format!("{digest}: {} bytes, not {}", bytes.len(), descriptor["size"]));
    }
    expect(&descriptor["digest"], &sha256(&bytes))?;
    Ok(bytes)
}

fn sha256(bytes: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, bytes);
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn json(bytes: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(bytes).map_err(|error| error.to_string())
}

fn list(value: &Value) -> Result<&[Value], String> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| format!("no list: {value}"))
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("no text: {value}"))
}

fn expect(found: &Value, wanted: &str) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{found}, not {wanted}")) }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::process::Process;

    /// What a program in an empty root says of this machine's shell: the shell is not there.
    #[test]
    fn a_program_sees_the_image_and_nothing_else() {
        let config = json!({"User": "65532:65532", "Env": ["PATH=/bin"], "Entrypoint": ["sh"]});
        let image = Image { root: new_root().unwrap(), config, entries: Vec::new() };
        let home = scratch::folder("engine");
        let mut command = image.command(&[], &home);
        command.args(["-c", "echo there"]);
        let mut process = Process::start("sh", &command, &home.join("log"));
        let status = process.wait(Duration::from_secs(20)).unwrap();
        let log = process.log();
        assert!(!status.success() && log.contains("No such file"), "{status}: {log}");
        assert!(!log.contains("there\n"), "{log}");
    }
}
