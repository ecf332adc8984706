//! `privyseal plugin helm`

use super::sealed_stream::{Options, Settings, seal_found};
use super::secrets;
use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::output::to_stdout;
use crate::sealer::Advice;
use crate::speech;
use privyseal_manifest::stream::{Replacements, Stream};

/// Seal the Secrets among rendered manifests: a post-renderer of Helm
///
/// Reads manifests (YAML, many documents) from stdin and writes them to stdout with a SealedSecret in place of each Secret.
/// All else passes byte for byte. One Secret that cannot be sealed fails the whole run, and nothing is written.
///
/// Helm 3 runs it as a post-renderer, Helm 4 by the plugin in deploy/helm-plugin. Helm 3 does not show hooks to
/// post-renderers: a Secret that is a hook stays a Secret. In a pipe after `helm template` hooks are sealed too.
///
/// Each run makes new sealed values, so the output is never twice the same: render once, and commit that.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  helm template app ./chart -n team-a | privyseal plugin helm --cert prod.pem -n team-a > app.yaml
  helm template app ./chart -n team-a --post-renderer privyseal \\
    --post-renderer-args plugin --post-renderer-args helm \\
    --post-renderer-args=--cert=prod.pem --post-renderer-args=--namespace=team-a > app.yaml")]
pub(super) struct Args {
    #[command(flatten)]
    options: Options,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let bytes = Source::Stdin.read()?;
    let stream = Stream::read(&bytes, "stdin")?;
    let found = secrets::find(&stream)?;
    if found.is_empty() {
        return to_stdout(&bytes);
    }
    warn_of_digests(&stream);
    let settings = Settings {
        options: &args.options,
        scope: args.options.scope,
        namespace: args.options.namespace.as_ref(),
        names: &[],
        advice: &ADVICE,
    };
    let places: Vec<_> = found.iter().map(|secret| secret.id).collect();
    let path = args.options.rule_path("manifests.yaml")?;
    let sealed = seal_found(vec![(path, found)], &settings)?;
    let replacements: Replacements = places.into_iter().zip(sealed.into_iter().flatten()).collect();
    to_stdout(stream.replace(&replacements, &[])?.as_bytes())
}

/// Charts write a digest of a rendered Secret on pods, so that they restart with it. What is public of it lets anybody test
/// guesses, so it is told; it is not ours to take out.
fn warn_of_digests(stream: &Stream) {
    const PODS: [&[&str]; 2] = [&["spec", "template"], &["spec", "jobTemplate", "spec", "template"]];
    for document in stream.documents() {
        for pods in PODS {
            let path: Vec<_> = pods.iter().chain(&["metadata", "annotations"]).copied().collect();
            let Some(annotations) = document.view().field(&path) else { continue };
            let is_digest =
                |key: &str| key.starts_with("checksum/") && key.to_ascii_lowercase().contains("secret");
            if let Some(field) = annotations.value.fields().find(|field| is_digest(field.key)) {
                speech::warning(format_args!(
                    "stdin:{}: annotation {}: a digest of the plain Secret lets anybody who reads it test guesses; see \
                     docs/plugins.md",
                    field.at,
                    Shown(field.key)
                ));
            }
        }
    }
}

const ADVICE: Advice = Advice {
    no_name: "name the Secret in the chart",
    no_namespace: "Helm does not tell it: write `namespace: {{ .Release.Namespace }}` in the chart's template, or pass \
                   `--post-renderer-args -n --post-renderer-args NAMESPACE`; only --scope cluster-wide needs none",
};
