//! `privyseal inspect`

use super::ReportFormat;
use super::unseal::sealed_secret;
use crate::documents::{Input, Located, Place, collect};
use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::key_files::KeyFileOptions;
use crate::output::to_stdout;
use privyseal_envelope::{Binding, Format, Name, Namespace, Scope};
use privyseal_manifest::{SealedSecret, names};
use privyseal_seal::{Inspection, ItemInspection, Names, Verdict};
use serde::Serialize;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Say what a SealedSecret is bound to, and who can open it
///
/// Works offline. Without a key it tells what the file claims: nobody can know more. With --key each value is tried,
/// and one that does not open is tried again under the other scopes, the template's names and those given with --as,
/// so that a renamed or moved SealedSecret says so.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal inspect sealed.yaml
  privyseal inspect --key keys.yaml sealed.yaml
  privyseal inspect --key keys.yaml --as team-a/old-name sealed.yaml
  privyseal inspect -o json sealed.yaml | jq '.objects[].items[].claimedKeyId'

Exit status: 0 if everything that was asked holds; 1 if a value is damaged or no Secret can be made of an object, or
if, with --key, a value does not open.")]
pub(super) struct Args {
    /// SealedSecret manifests; none, or `-`, is stdin
    files: Vec<PathBuf>,

    #[command(flatten)]
    keys: KeyFileOptions,

    /// Another namespace and name to try, such as those it had before. May be repeated
    #[arg(long = "as", value_name = "NAMESPACE/NAME", requires = "opening_key", value_parser = parse_names)]
    other_names: Vec<OtherNames>,

    /// The format to write
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: ReportFormat,
}

#[derive(Clone)]
struct OtherNames {
    namespace: Namespace,
    name: Name,
}

fn parse_names(text: &str) -> Result<OtherNames, String> {
    let (namespace, name) = text.split_once('/').ok_or("not NAMESPACE/NAME: there is no `/` in it")?;
    Ok(OtherNames {
        namespace: Namespace::parse(namespace).map_err(|error| error.to_string())?,
        name: Name::parse(name).map_err(|error| error.to_string())?,
    })
}

pub(super) fn run(args: &Args) -> Result<(), CommandError> {
    let sources = Source::from_arguments(&args.files)?;
    args.keys.refuse_stdin_twice(&sources)?;
    let inputs = Input::read_all(sources)?;
    let sealed = collect(inputs.into_iter().flat_map(|input| input.documents).map(sealed_secret))?;
    let keyring = if args.keys.is_given() { Some(args.keys.load()?) } else { None };
    let other_names: Vec<Names> = args
        .other_names
        .iter()
        .map(|OtherNames { namespace, name }| {
            (Some(namespace.as_str().to_owned()), Some(name.as_str().to_owned()))
        })
        .collect();
    let report = Report {
        objects: sealed
            .iter()
            .map(|sealed| {
                let inspection = privyseal_seal::inspect(&sealed.object, keyring.as_ref(), &other_names);
                ObjectReport::new(sealed, &inspection)
            })
            .collect(),
    };
    let text = match args.output {
        ReportFormat::Text => report.to_text(),
        ReportFormat::Json => serde_json::to_string_pretty(&report).map_err(CommandError::failed)? + "\n",
    };
    to_stdout(text.as_bytes())?;
    report.verdict()
}

/// What is written with `-o json`. Fields are added, and never change their meaning.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    objects: Vec<ObjectReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectReport {
    source: String,
    line: usize,
    document: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    list_item: Option<usize>,
    namespace: Option<String>,
    name: Option<String>,
    scope: &'static str,
    /// What the values must have been sealed for.
    bound_to: Option<BoundTo>,
    /// Why there is no binding, or why no Secret is made of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    items: Vec<ItemReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BoundTo {
    scope: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemReport {
    item: String,
    /// `classic` or `age`.
    format: Option<&'static str>,
    /// Classic: the size of the RSA key that the value claims to be sealed to.
    rsa_bits: Option<usize>,
    /// The key that a hint names.
    claimed_key_id: Option<String>,
    /// Why it is no sealed value.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// With `--key`: what trying the keys told.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<VerdictReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", tag = "result")]
enum VerdictReport {
    Opens { fingerprint: String, key_id: String },
    OpensUnder { fingerprint: String, key_id: String, bound_to: BoundTo },
    DoesNotOpen,
}

impl ObjectReport {
    fn new(sealed: &Located<SealedSecret>, inspection: &Inspection) -> Self {
        let Located { place, object: SealedSecret { metadata, .. } } = sealed;
        let place = place.as_ref();
        Self {
            source: place.map(|place| place.source.clone()).unwrap_or_default(),
            line: place.map_or(1, |place| place.line),
            document: place.map_or(1, |place| place.document),
            list_item: place.and_then(|place| place.item),
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone(),
            scope: metadata.annotations.as_ref().map_or(Scope::Strict, names::scope_of).as_str(),
            bound_to: inspection.binding.as_ref().ok().map(BoundTo::new),
            problem: inspection
                .binding
                .as_ref()
                .err()
                .map(ToString::to_string)
                .or(inspection.obstacle.clone()),
            items: inspection.items.iter().map(ItemReport::new).collect(),
        }
    }
}

impl BoundTo {
    fn new(binding: &Binding) -> Self {
        let scope = binding.scope().as_str();
        match binding {
            Binding::Strict { namespace, name } => {
                Self { scope, namespace: Some(namespace.to_string()), name: Some(name.to_string()) }
            }
            Binding::NamespaceWide { namespace } => {
                Self { scope, namespace: Some(namespace.to_string()), name: None }
            }
            Binding::ClusterWide => Self { scope, namespace: None, name: None },
        }
    }

    fn to_text(&self) -> String {
        let Self { scope, namespace, name } = self;
        let mut text = format!("scope {scope}");
        if let Some(namespace) = namespace {
            let _ = write!(text, ", namespace {namespace}");
        }
        if let Some(name) = name {
            let _ = write!(text, ", name {name}");
        }
        text
    }
}

impl ItemReport {
    fn new(inspection: &ItemInspection) -> Self {
        let ItemInspection { item, format, rsa_bits, recipients: _, claimed, verdict } = inspection;
        let problem = match format {
            Err(error) => Some(error.to_string()),
            Ok(Format::Classic) if !rsa_bits.is_some_and(|bits| RSA_BITS.contains(&bits)) => {
                Some("damaged: no RSA key could have made it".to_owned())
            }
            Ok(_) => None,
        };
        Self {
            item: item.clone(),
            format: format.as_ref().ok().map(|format| format.as_str()),
            rsa_bits: *rsa_bits,
            claimed_key_id: claimed.first().map(|key| key.to_string()),
            problem,
            verdict: verdict.as_ref().map(VerdictReport::new),
        }
    }

    /// Whether there is anything to act on.
    fn is_bad(&self) -> bool {
        self.problem.is_some()
            || matches!(self.verdict, Some(VerdictReport::OpensUnder { .. } | VerdictReport::DoesNotOpen))
    }

    fn to_text(&self) -> String {
        if let Some(problem) = &self.problem {
            return problem.clone();
        }
        let mut text = self.format.unwrap_or("unknown format").to_owned();
        if let Some(bits) = self.rsa_bits {
            let _ = write!(text, ", RSA {bits}");
        }
        let _ = match &self.claimed_key_id {
            Some(key) => write!(text, "; key {key} (claimed by hint)"),
            None => write!(text, "; key not named"),
        };
        match &self.verdict {
            None => {}
            Some(VerdictReport::Opens { fingerprint, .. }) => {
                let _ = write!(text, "; opens with {fingerprint} (verified)");
            }
            Some(VerdictReport::OpensUnder { fingerprint, bound_to, .. }) => {
                let _ = write!(
                    text,
                    "; DOES NOT OPEN: {fingerprint} is the right key, but it was sealed for {}",
                    bound_to.to_text()
                );
            }
            Some(VerdictReport::DoesNotOpen) => {
                let _ = write!(text, "; DOES NOT OPEN with the keys given, under any name tried");
            }
        }
        text
    }
}

impl VerdictReport {
    fn new(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Opens { key } => {
                Self::Opens { fingerprint: key.to_string(), key_id: key.key_id().to_string() }
            }
            Verdict::OpensUnder { key, binding, .. } => Self::OpensUnder {
                fingerprint: key.to_string(),
                key_id: key.key_id().to_string(),
                bound_to: BoundTo::new(binding),
            },
            _ => Self::DoesNotOpen,
        }
    }
}

impl Report {
    fn to_text(&self) -> String {
        let mut out = String::new();
        for (index, object) in self.objects.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            object.write_text(&mut out);
        }
        out
    }

    /// Status 1 if something is to be acted on; what it is stands in the report.
    fn verdict(&self) -> Result<(), CommandError> {
        let items = || self.objects.iter().flat_map(|object| &object.items);
        let bad_items = items().filter(|item| item.is_bad()).count();
        let bad_objects = self.objects.iter().filter(|object| object.problem.is_some()).count();
        match (bad_items, bad_objects) {
            (0, 0) => Ok(()),
            (0, bad) => Err(CommandError::failed(format!(
                "objects that no Secret can be made of: {bad} of {}",
                self.objects.len()
            ))),
            (bad, _) => Err(CommandError::failed(format!(
                "items that are damaged or do not open: {bad} of {}",
                items().count()
            ))),
        }
    }
}

/// The sizes of key that there are.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

impl ObjectReport {
    fn write_text(&self, out: &mut String) {
        let place = Place {
            source: self.source.clone(),
            line: self.line,
            document: self.document,
            item: self.list_item,
        };
        let name = self.name.as_deref().unwrap_or("(no name)");
        let namespace =
            self.namespace.as_deref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let _ = writeln!(out, "SealedSecret {namespace}{name} ({place})");
        if let Some(bound_to) = &self.bound_to {
            let _ = writeln!(out, "  bound to: {}", bound_to.to_text());
        }
        let _ = match (&self.problem, &self.bound_to) {
            (Some(problem), None) => writeln!(out, "  bound to: nothing it could be opened under: {problem}"),
            (Some(problem), Some(_)) => writeln!(out, "  NO SECRET IS MADE OF IT: {problem}"),
            (None, _) => Ok(()),
        };
        for item in &self.items {
            let _ = writeln!(out, "  {}: {}", Shown(&item.item), item.to_text());
        }
        if self.items.is_empty() {
            out.push_str("  no items\n");
        }
    }
}
