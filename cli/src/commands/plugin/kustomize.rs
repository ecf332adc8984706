//! `privyseal plugin kustomize`

use super::function_config::FunctionConfig;
use super::sealed_stream::{Options, Settings, seal_found};
use super::secrets::{self, Found};
use crate::documents::{Input, collect};
use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::output::to_stdout;
use crate::sealer::Advice;
use privyseal_manifest::stream::{Replacements, Stream};
use std::path::{Path, PathBuf};

/// Seal the Secrets of a build: a KRM function of kustomize
///
/// Reads a ResourceList (or a List) from stdin and writes it to stdout with a SealedSecret in place of each Secret among its
/// items, and one more for each Secret of the files that its functionConfig names. All else passes byte for byte. One Secret
/// that cannot be sealed fails the whole run, and nothing is written.
///
/// List it under `transformers:` of the kustomization that gives names and namespaces; docs/plugins.md says why. Needs
/// `kustomize build --enable-alpha-plugins --enable-exec`.
///
/// Each run makes new sealed values, so the output is never twice the same: build once, and commit that.
#[derive(clap::Args)]
#[command(after_help = "\
Example, a file that kustomization.yaml lists under `transformers:`:
  apiVersion: privyseal.dev/v1alpha1
  kind: SealSecrets
  metadata:
    name: seal
    annotations:
      config.kubernetes.io/function: |
        exec:
          path: privyseal
          args: [plugin, kustomize]
  spec:
    for: [prod]")]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let bytes = Source::Stdin.read()?;
    let stream = Stream::read(&bytes, "stdin")?;
    match stream.list_kind() {
        Some(("ResourceList" | "List", _)) => {}
        _ => {
            return Err(CommandError::input(
                "stdin: expected a ResourceList, as kustomize hands it to functions",
            )
            .hint("`privyseal plugin helm` takes a stream of manifests"));
        }
    }
    let config = match stream.beside_items("functionConfig") {
        Some(config) => FunctionConfig::read(&config)?,
        None => FunctionConfig::default(),
    };
    let found = secrets::find(&stream)?;
    let places: Vec<_> = found.iter().map(|secret| secret.id).collect();
    let mut groups = Vec::new();
    if !found.is_empty() {
        groups.push((args.options.rule_path(&kustomization())?, found));
    }
    groups.extend(collect(config.files.iter().map(|file| from_file(file)))?);
    if groups.iter().all(|(_, secrets)| secrets.is_empty()) {
        return to_stdout(&bytes);
    }

    let settings = Settings {
        options: &args.options,
        scope: args.options.scope.or(config.scope),
        namespace: args.options.namespace.as_ref().or(config.namespace.as_ref()),
        names: &config.names,
        advice: &ADVICE,
    };
    let mut sealed = seal_found(groups, &settings)?.into_iter().flatten();
    let replacements: Replacements = places.into_iter().zip(sealed.by_ref()).collect();
    let added: Vec<_> = sealed.collect();
    to_stdout(stream.replace(&replacements, &added)?.as_bytes())
}

/// The kustomization that runs this: functions work in its folder.
fn kustomization() -> String {
    let known = ["kustomization.yaml", "kustomization.yml", "Kustomization"];
    known.into_iter().find(|name| Path::new(name).exists()).unwrap_or(known[0]).to_owned()
}

/// The Secrets of a file; there is nothing else in it.
fn from_file(file: &Path) -> Result<(PathBuf, Vec<Found>), CommandError> {
    let input = Input::read(Source::File(file.to_owned()))?;
    let secrets = collect(input.documents.iter().map(Found::read))?;
    let all: Vec<_> = secrets.into_iter().flatten().collect();
    if all.is_empty() {
        return Err(CommandError::input(format!(
            "{}: there is nothing in it to be sealed",
            Shown(&file.to_string_lossy())
        )));
    }
    Ok((file.to_owned(), all))
}

const ADVICE: Advice = Advice {
    no_name: "name the Secret",
    no_namespace: "write `namespace:` in the kustomization, or spec.namespace in the function's configuration, or -n NAMESPACE \
                   in its args; only scope cluster-wide needs none",
};
