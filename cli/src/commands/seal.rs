//! `privyseal seal`

mod replaced;

use super::ManifestFormat;
use super::reseal::name_of;
use crate::arguments::{parse_name, parse_namespace, scope_parser};
use crate::documents::{Input, Located, collect};
use crate::error::CommandError;
use crate::input::Source;
use crate::key_source::{Keys, SealingOptions};
use crate::object_size;
use crate::output::{Content, Destination, Staged};
use crate::sealer::{self, Advice};
use crate::speech;
use crate::values::ValueOptions;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use privyseal_envelope::{Name, Namespace, Scope};
use privyseal_manifest::{Document, DocumentError, Problem, SealedSecret, Secret, emit};
use std::path::{Path, PathBuf};

/// Seal Secrets, so that they can be committed
///
/// Reads Secret manifests (YAML or JSON, many documents, Lists) from the files, or from stdin if there is none, and
/// writes a SealedSecret for each to stdout. One that cannot be sealed fails the whole run, and nothing is written.
///
/// A sealed value is bound to its scope: strict values open only under the same namespace and name, namespace-wide
/// ones under any name of the namespace, cluster-wide ones anywhere in the cluster. The namespace comes from the
/// manifest or from -n, never from the kubeconfig.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal seal --cert prod.pem secret.yaml > sealed.yaml
  kubectl create secret generic db -n team-a --from-file=password.txt --dry-run=client -o yaml |
    privyseal seal --cert prod.pem
  privyseal seal --cert prod.pem --name db -n team-a --from-file password=password.txt > sealed.yaml
  privyseal seal --cert prod.pem --in-place secrets/*.yaml")]
pub(super) struct Args {
    /// Secret manifests; none, or `-`, is stdin
    files: Vec<PathBuf>,

    /// What the values are bound to [default: as the Secret's annotations say, else strict]
    #[arg(long, value_parser = scope_parser())]
    scope: Option<Scope>,

    /// The namespace of Secrets that name none. A Secret that names another one is an error
    #[arg(short, long, value_parser = parse_namespace)]
    namespace: Option<Namespace>,

    /// The name, for a single Secret; replaces the one that it has
    #[arg(long, value_parser = parse_name)]
    name: Option<Name>,

    /// The format to write [default: as the first input]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<ManifestFormat>,

    /// Write to this file instead of stdout
    #[arg(long, value_name = "FILE", conflicts_with = "in_place")]
    out_file: Option<PathBuf>,

    /// Replace each file by its sealed form
    #[arg(long, requires = "files")]
    in_place: bool,

    #[command(flatten)]
    key: SealingOptions,

    #[command(flatten)]
    values: ValueOptions,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    // What is wrong with the command line is told before anything is read, and what cannot be read before a cluster
    // is asked.
    let sources = Source::from_arguments(&args.files)?;
    if args.in_place && sources.contains(&Source::Stdin) {
        return Err(CommandError::input("--in-place needs files; stdin (`-`) cannot be replaced"));
    }
    let choices = sources
        .iter()
        .map(|source| args.key.choose(args.written_file(source)))
        .collect::<Result<Vec<_>, _>>()?;
    let mut batches = if args.values.are_given() {
        vec![Batch::from_values(args)?]
    } else {
        collect(Input::read_all(sources)?.into_iter().map(Batch::from_input))?
    };
    fill_in(&mut batches, args)?;

    let now = Timestamp::now();
    let chosen = sealer::find_each_once(&args.key, &choices, now)?;
    let sealed = collect(batches.iter().zip(&choices).map(|(batch, choice)| {
        let found = chosen.iter().find(|(known, ..)| *known == choice);
        let (_, _, keys) = found.expect("every choice was found");
        batch.seal(keys, args.scope, choice.scope)
    }))?;
    for (_, target, keys) in &chosen {
        target.announce(std::slice::from_ref(keys));
    }
    for (secret, sealed) in batches.iter().flat_map(|batch| &batch.secrets).zip(sealed.iter().flatten()) {
        object_size::warn(&secret.message(name_of(sealed)), sealed);
    }
    if args.in_place {
        replace_files(&batches, &sealed, args.output)
    } else {
        let format =
            args.output.or(batches.first().map(|batch| batch.format)).unwrap_or(ManifestFormat::Yaml);
        let text = write(sealed.iter().flatten(), format);
        if let Some(file) = &args.out_file {
            replaced::tell(file, &sealed.iter().flatten().collect::<Vec<_>>());
        }
        Destination::from_option(args.out_file.as_deref()).write(text.as_bytes(), Content::Public)
    }
}

impl Args {
    /// The file that a source is sealed into, or at least the one that it comes from: the rules go by it.
    fn written_file<'a>(&'a self, source: &'a Source) -> Option<&'a Path> {
        match (&self.out_file, source) {
            (Some(file), _) if file != Path::new("-") => Some(file),
            (_, Source::File(path)) => Some(path),
            (_, Source::Stdin) => None,
        }
    }
}

/// The Secrets of one input.
struct Batch {
    source: Source,
    format: ManifestFormat,
    secrets: Vec<Located<Secret>>,
}

impl Batch {
    fn from_input(input: Input) -> Result<Self, CommandError> {
        let format = input.encoding().into();
        let secrets = input
            .documents
            .into_iter()
            .map(|document| Located::from_document(document, Document::into_secret).map_err(explain));
        Ok(Self { source: input.source, format, secrets: collect(secrets)? })
    }

    fn from_values(args: &Args) -> Result<Self, CommandError> {
        let Some(name) = &args.name else {
            return Err(CommandError::input("a Secret made of values needs a name").hint("give --name NAME"));
        };
        let secret = Secret {
            metadata: ObjectMeta { name: Some(name.as_str().to_owned()), ..ObjectMeta::default() },
            type_: args.values.type_().map(str::to_owned),
            immutable: None,
            data: args.values.read()?,
        };
        Ok(Self {
            source: Source::Stdin,
            format: ManifestFormat::Yaml,
            secrets: vec![Located { place: None, object: secret }],
        })
    }

    /// `asked` is the command line's scope; `ruled` is for Secrets that name none.
    fn seal(
        &self,
        keys: &Keys,
        asked: Option<Scope>,
        ruled: Option<Scope>,
    ) -> Result<Vec<SealedSecret>, CommandError> {
        let seal = |secret: &Located<Secret>| {
            let sealed = sealer::seal(secret, keys, asked, ruled, &ADVICE)?;
            let marks = privyseal_seal::tracking(&secret.object.metadata);
            if !marks.is_empty() {
                // Each is one of a few names that are known.
                let what =
                    format!("left out, since it marks what another tool applied: {}", marks.join(", "));
                speech::note(secret.message(what));
            }
            Ok(sealed)
        };
        collect(self.secrets.iter().map(seal))
    }
}

const ADVICE: Advice = Advice {
    no_name: "name the Secret, or give --name NAME",
    no_namespace: "give -n NAMESPACE; only --scope cluster-wide needs none",
};

/// Puts the command line's name and namespace where they are missing.
fn fill_in(batches: &mut [Batch], args: &Args) -> Result<(), CommandError> {
    let count: usize = batches.iter().map(|batch| batch.secrets.len()).sum();
    if count > 1 && args.name.is_some() {
        return Err(CommandError::input(format!("--name is for one Secret, and the input holds {count}")));
    }
    let secrets = batches.iter_mut().flat_map(|batch| &mut batch.secrets);
    collect(secrets.map(|secret| {
        if let Some(name) = &args.name {
            secret.object.metadata.name = Some(name.as_str().to_owned());
        }
        let Some(asked) = args.namespace.as_ref().map(Namespace::as_str) else { return Ok(()) };
        match secret.object.metadata.namespace.as_deref() {
            None => secret.object.metadata.namespace = Some(asked.to_owned()),
            Some(own) if own == asked => {}
            Some(own) => {
                return Err(CommandError::input(
                    secret.message(format_args!("metadata.namespace: it is {own}, but -n says {asked}")),
                )
                .hint("seal for the namespace that the manifest names, or correct the manifest"));
            }
        }
        Ok(())
    }))
    .map(drop)
}

/// What is to be said of a document that is no Secret.
fn explain(error: DocumentError) -> CommandError {
    let hint = match error.problem() {
        Problem::WrongKind { found, .. } if found == "SealedSecret" => Some("it is sealed already"),
        Problem::WrongKind { .. } => {
            Some("only Secrets are sealed; keep other objects in files of their own")
        }
        _ => None,
    };
    let this = CommandError::from(error);
    match hint {
        Some(hint) => this.hint(hint),
        None => this,
    }
}

fn write<'a>(sealed: impl Iterator<Item = &'a SealedSecret>, format: ManifestFormat) -> String {
    let sealed: Vec<_> = sealed.collect();
    match (format, sealed.as_slice()) {
        (ManifestFormat::Yaml, [only]) => emit::to_yaml(only),
        (ManifestFormat::Yaml, all) => emit::yaml_documents(all.iter().copied()),
        (ManifestFormat::Json, all) => emit::json_documents(all.iter().copied()),
    }
}

/// All are staged before the first is replaced.
fn replace_files(
    batches: &[Batch],
    sealed: &[Vec<SealedSecret>],
    format: Option<ManifestFormat>,
) -> Result<(), CommandError> {
    let staged = batches.iter().zip(sealed).filter_map(|(batch, sealed)| match &batch.source {
        Source::File(path) => {
            let text = write(sealed.iter(), format.unwrap_or(batch.format));
            Some(Staged::new(path, text.as_bytes(), Content::Public))
        }
        Source::Stdin => None,
    });
    collect(staged)?.into_iter().try_for_each(Staged::commit)
}
