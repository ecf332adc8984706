//! `privyseal init`

use crate::cluster::{self, Answer, ConnectionOptions};
use crate::config_file::{self, Configuration};
use crate::error::{CommandError, Shown};
use crate::output::{Content, Staged};
use crate::speech;
use crate::trust_file::TrustOptions;
use privyseal_repo::{CONFIG_FILE, ClusterName, Config, KeyFile, Subject};
use std::path::{Path, PathBuf};

/// Write a .privyseal.yaml from a live cluster
///
/// Asks the cluster for its signed list of sealing keys, or for its certificate where there is no list, writes that to a
/// file in the repository, and a configuration with the cluster and a rule for it. Both are for the commit. From then
/// on `privyseal seal FILE` works without any option, without the cluster and for everybody.
///
/// Before anything is written the cluster's fingerprint is shown, and has to be trusted.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal init --context admin@prod --name prod
  privyseal init --context lab --path 'clusters/lab/**'
  privyseal init --context prod --yes-trust SHA256:…")]
pub(super) struct Args {
    /// What the cluster is called in this and every other repository [default: the name of the context]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// The files that are sealed for it: a pattern, relative to the repository's root
    #[arg(long, value_name = "PATTERN", default_value = "**")]
    path: String,

    #[command(flatten)]
    cluster: ConnectionOptions,

    #[command(flatten)]
    trust: TrustOptions,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let connection = args.cluster.connection().ok_or_else(|| {
        CommandError::input("no cluster is given")
            .hint("give --context CONTEXT; the current context is never used unnamed")
    })?;
    let name = cluster_name(args.name.as_deref().unwrap_or(&connection.context))?;
    let root = config_file::repository_root(Path::new("."))?;
    if let Some(there) = Configuration::for_file(&root.join(CONFIG_FILE))? {
        return Err(CommandError::failed(format!(
            "{}: there is a configuration already",
            Shown(&there.file.to_string_lossy())
        ))
        .hint(
            "`privyseal keys fetch --published` writes the file of another cluster; name it under `clusters`",
        ));
    }

    let answer = cluster::ask(&connection)?;
    let mut trust = args.trust.open()?;
    trust.must_be_outside(&root)?;
    let subject = Subject::Cluster(name.as_str().to_owned());
    trust.decide(&subject, answer.evidence(), answer.server())?;

    let (field, key_file, text) = match &answer {
        Answer::Published { texts, .. } => {
            ("keys", format!("{FOLDER}/{name}.keys"), KeyFile(texts.clone()).to_text())
        }
        Answer::Served { certificate, .. } => {
            speech::warning(
                "the cluster publishes no signed list: its certificate is pinned, and has to be again when it is renewed",
            );
            ("certificate", format!("{FOLDER}/{name}.pem"), certificate.to_pem())
        }
    };
    let config = configuration(&name, field, &key_file, &connection, &args.path)?;
    write(&root, &key_file, &text, &config)?;
    speech::note(format_args!(
        "commit {CONFIG_FILE} and {key_file}; then `privyseal seal FILE` needs no option"
    ));
    Ok(())
}

fn cluster_name(text: &str) -> Result<ClusterName, CommandError> {
    ClusterName::parse(text).map_err(|error| {
        CommandError::input(format!("{}: {error}", Shown(text))).hint("give a shorter one with --name NAME")
    })
}

/// The text of the configuration, which our own reader must take.
fn configuration(
    name: &ClusterName,
    field: &str,
    key_file: &str,
    connection: &cluster::Connection,
    path: &str,
) -> Result<String, CommandError> {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut text = format!(
        "# Which files are sealed for which cluster. Nothing here is trusted about keys: see your own trust file.\n\
         version: 1\n\
         clusters:\n  {}:\n    {field}: {key_file}\n    context: {}\n",
        quoted(name.as_str()),
        quoted(&connection.context)
    );
    if let Some(namespace) = &connection.controller_namespace {
        text += &format!("    controllerNamespace: {}\n", quoted(namespace.as_str()));
    }
    if let Some(name) = &connection.controller_name {
        text += &format!("    controllerName: {}\n", quoted(name.as_str()));
    }
    text += &format!("rules:\n  - path: {}\n    for: [{}]\n", quoted(path), quoted(name.as_str()));
    match Config::parse(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(CommandError::input(format!("--path: {}", Shown(&error.problem)))),
    }
}

/// Both files, or none.
fn write(root: &Path, key_file: &str, keys: &str, config: &str) -> Result<(), CommandError> {
    let key_file: PathBuf = root.join(key_file);
    std::fs::create_dir_all(root.join(FOLDER)).map_err(|error| {
        CommandError::failed(format!("{FOLDER}: cannot be made: {}", crate::input::reason(&error)))
    })?;
    let staged = [
        Staged::new(&key_file, keys.as_bytes(), Content::Public)?,
        Staged::new(&root.join(CONFIG_FILE), config.as_bytes(), Content::Public)?,
    ];
    staged.into_iter().try_for_each(Staged::commit)
}

/// Where key files go.
const FOLDER: &str = ".privyseal";
