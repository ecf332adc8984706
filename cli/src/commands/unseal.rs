//! `privyseal unseal`

use super::ManifestFormat;
use crate::documents::{Input, Located, collect};
use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::key_files::KeyFileOptions;
use crate::output::{Content, Destination};
use privyseal_envelope::Scope;
use privyseal_keys::Keyring;
use privyseal_manifest::{Document, DocumentError, Problem, SealedSecret, Secret, names};
use privyseal_seal::{DEFAULT_ATTEMPTS, IntoSecretError, ItemFailure, OpenError, open};
use std::fmt::Write as _;
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Open SealedSecrets, for those who hold an opening key
///
/// Writes the Secrets to stdout, or to a file that only its owner can read. One that does not open fails the whole
/// run, and nothing is written.
#[derive(clap::Args)]
#[command(mut_group("opening_key", |group| group.required(true)), after_help = "\
Examples:
  privyseal unseal --key key.pem sealed.yaml
  privyseal unseal --key ~/age.txt sealed.yaml
  privyseal unseal --key prod.backup --identity ~/age.txt sealed.yaml
  kubectl get secret -n privyseal -o yaml -l sealedsecrets.bitnami.com/sealed-secrets-key > k.yaml
  privyseal unseal --key k.yaml sealed.yaml --out-file secret.yaml
  privyseal unseal --key-vault https://NAME.vault.azure.net sealed.yaml
  privyseal unseal --key k.yaml --key-vault https://NAME.vault.azure.net sealed.yaml")]
pub(super) struct Args {
    /// SealedSecret manifests; none, or `-`, is stdin
    files: Vec<PathBuf>,

    #[command(flatten)]
    keys: KeyFileOptions,

    /// The format to write [default: as the first input]
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<ManifestFormat>,

    /// Write to this file instead of stdout; a new one can be read by its owner only
    #[arg(long, value_name = "FILE")]
    out_file: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let sources = Source::from_arguments(&args.files)?;
    args.keys.refuse_stdin_twice(&sources)?;
    let inputs = Input::read_all(sources)?;
    let format =
        args.output.or(inputs.first().map(|input| input.encoding().into())).unwrap_or(ManifestFormat::Yaml);
    let sealed = sealed_secrets(inputs)?;
    let keyring = args.keys.load()?;

    let secrets = collect(sealed.iter().map(|sealed| unseal(sealed, &keyring)))?;
    let text = write(&secrets, format);
    Destination::from_option(args.out_file.as_deref()).write(text.as_bytes(), Content::Secret)
}

/// The SealedSecrets of all inputs. Where an input has some, what stands beside them is left out: a manifest that a tool
/// rendered has much else in it. One that has none is an error.
pub(super) fn sealed_secrets(inputs: Vec<Input>) -> Result<Vec<Located<SealedSecret>>, CommandError> {
    let is_sealed = |document: &Document| document.kind() == Some(names::SEALED_SECRET_KIND);
    let documents = inputs.into_iter().flat_map(|input| {
        let some = input.documents.iter().any(is_sealed);
        input.documents.into_iter().filter(move |document| !some || is_sealed(document))
    });
    let read = |document| Located::from_document(document, Document::into_sealed_secret).map_err(explain);
    collect(documents.map(read))
}

fn explain(error: DocumentError) -> CommandError {
    let is_secret = matches!(error.problem(), Problem::WrongKind { found, .. } if found == "Secret");
    let this = CommandError::from(error);
    if is_secret { this.hint("it is not sealed; `privyseal seal` seals it") } else { this }
}

fn unseal(sealed: &Located<SealedSecret>, keyring: &Keyring) -> Result<Secret, CommandError> {
    let opened =
        open(&sealed.object, keyring, DEFAULT_ATTEMPTS).map_err(|error| does_not_open(sealed, &error))?;
    opened.into_secret(&sealed.object).map_err(|error| {
        let this = CommandError::failed(sealed.message(error));
        match error {
            IntoSecretError::TemplateUnsupported => this.hint(
                "its values may be fine; only the controller will render templates, in a later release",
            ),
            _ => this,
        }
    })
}

/// Names the object, each item, and what to check. It cannot say which of the causes it is.
pub(super) fn does_not_open(sealed: &Located<SealedSecret>, error: &OpenError) -> CommandError {
    let object = object_name(&sealed.object);
    let OpenError::Items { failures, .. } = error else {
        let message = sealed.message(format_args!("{object}: {error}"));
        return match error {
            OpenError::Binding(_) => CommandError::input(message),
            _ => CommandError::failed(message),
        };
    };
    let count = sealed.object.spec.encrypted_data.len();
    let mut message =
        sealed.message(format_args!("{object}: {} of {count} items do not open", failures.len()));
    for failure in failures {
        let _ = write!(message, "\n  {}: {}", Shown(&failure.item), failure.failure);
    }
    let mut this = CommandError::failed(message);
    let not_a_recipient = |failure: &ItemFailure| matches!(failure, ItemFailure::NotARecipient { .. });
    if failures.iter().any(|failure| not_a_recipient(&failure.failure)) {
        this = this.hint("`privyseal inspect FILE` says who its recipients are");
    }
    let no_key_opens = |failure: &ItemFailure| matches!(failure, ItemFailure::NoKeyOpens { .. });
    if !failures.iter().any(|failure| no_key_opens(&failure.failure)) {
        return this;
    }
    let bound_to =
        match names::scope_of(sealed.object.metadata.annotations.as_ref().unwrap_or(&Default::default())) {
            Scope::Strict => "that namespace, name and scope are those it was sealed for",
            Scope::NamespaceWide => "that namespace and scope are those it was sealed for",
            Scope::ClusterWide => "that it was sealed cluster-wide",
        };
    this.hint(format!("check that the key is the one it was sealed to, and {bound_to}"))
        .hint("`privyseal inspect --key KEY FILE` tries each of them")
}

pub(super) fn object_name(sealed: &SealedSecret) -> String {
    let name = sealed.metadata.name.as_deref().unwrap_or("(no name)");
    match sealed.metadata.namespace.as_deref() {
        Some(namespace) => format!("SealedSecret {namespace}/{name}"),
        None => format!("SealedSecret {name}"),
    }
}

fn write(secrets: &[Secret], format: ManifestFormat) -> Zeroizing<String> {
    let texts: Vec<_> = secrets
        .iter()
        .map(|secret| match format {
            ManifestFormat::Yaml => secret.to_yaml(),
            ManifestFormat::Json => secret.to_json_pretty(),
        })
        .collect();
    let separator = if format == ManifestFormat::Yaml && secrets.len() > 1 { "---\n" } else { "" };
    let len = texts.iter().map(|text| separator.len() + text.len()).sum();
    // The whole capacity at once: growing would leave a copy behind.
    let mut out = Zeroizing::new(String::with_capacity(len));
    for text in &texts {
        out.push_str(separator);
        out.push_str(text);
    }
    out
}
