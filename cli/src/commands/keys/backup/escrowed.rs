//! `keys backup --escrowed`: the backups that the controller stored before it used a key.

use super::super::archive_file::{ArchiveFile, ClusterTrust};
use crate::cluster::{Connection, Session};
use crate::error::{CommandError, Shown};
use crate::input::reason;
use crate::output::{Content, Staged};
use crate::speech;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use privyseal_custody::escrow;
use std::fs;
use std::path::Path;

/// Writes each that is whole and signed by the cluster into the folder, one file for each key, and tells of the others.
/// Reads no Secret.
pub(super) fn run(connection: &Connection, trust: &ClusterTrust, folder: &Path) -> Result<(), CommandError> {
    let (namespace, stored) = connection.session(list)?;
    if stored.is_empty() {
        return Err(CommandError::failed(format!(
            "namespace {} holds no escrowed backup",
            Shown(&namespace)
        ))
        .hint("the controller stores them if it has --escrow-recipient (chart: escrow.recipients)"));
    }
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    for (name, text) in stored {
        match ArchiveFile::of(format!("the ConfigMap {name}"), text.as_bytes()) {
            Ok(file) => files.push((name, text, file)),
            Err(error) => errors.push(error),
        }
    }
    let judged = trust.judge_each(files.iter().map(|(_, _, file)| file), &connection.context)?;
    fs::create_dir_all(folder).map_err(|error| {
        CommandError::failed(format!("{}: {}", Shown(&folder.to_string_lossy()), reason(&error)))
    })?;
    for ((name, text, file), judged) in files.into_iter().zip(judged) {
        match judged.and_then(|()| write(&folder.join(format!("{name}.backup")), &text)) {
            Ok(()) => speech::note(format_args!(
                "{}: {}",
                Shown(&name),
                file.archive
                    .contents()
                    .keys
                    .iter()
                    .map(|key| key.fingerprint.to_string())
                    .collect::<Vec<_>>()
                    .join(", ")
            )),
            Err(error) => errors.push(error),
        }
    }
    CommandError::all(errors)
}

/// What is there already is left, so that its time tells when it came.
fn write(path: &Path, text: &str) -> Result<(), CommandError> {
    if fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    Staged::new(path, text.as_bytes(), Content::Secret)?.commit()?;
    super::read_back(path, text)
}

/// Names and texts, unchecked. A name is one of Kubernetes', and so of a file too.
async fn list(session: &Session) -> Result<(String, Vec<(String, String)>), CommandError> {
    let namespace = session.namespace().to_owned();
    let api = Api::<ConfigMap>::namespaced(session.client.clone(), &namespace);
    let listed = api.list(&ListParams::default().labels(&escrow::selector())).await;
    let what = format!("the escrowed backups of namespace {namespace}");
    let listed = listed.map_err(|error| session.error(&what, &error))?;
    let texts = listed.items.into_iter().filter_map(|config_map| {
        let text = escrow::text(&config_map).unwrap_or_default().to_owned();
        Some((config_map.metadata.name?, text))
    });
    Ok((namespace, texts.collect()))
}
