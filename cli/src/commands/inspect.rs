//! `privyseal inspect`

use super::ReportFormat;
use super::unseal::sealed_secrets;
use crate::documents::{Input, Located, Place};
use crate::error::{CommandError, Shown};
use crate::input::Source;
use crate::key_files::KeyFileOptions;
use crate::output::to_stdout;
use privyseal_envelope::age::RecipientStanza;
use privyseal_envelope::{Binding, Fingerprint, Format, Name, Namespace, Scope};
use privyseal_keys::Keyring;
use privyseal_manifest::{SealedSecret, names};
use privyseal_seal::{Inspection, ItemInspection, Names, Strangers, Verdict};
use serde::Serialize;
use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// Say what a SealedSecret is bound to, and who can open it
///
/// Works offline. Without a key it tells what the file claims: nobody can know more. A value of the age format says itself
/// who its recipients are, unless it was sealed without hints. With --key each value is tried, and one that does not open
/// says what it was sealed for: the age format holds that, and a classic value is tried again under the other scopes, the
/// template's names and those given with --as.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  privyseal inspect sealed.yaml
  privyseal inspect --key keys.yaml sealed.yaml
  privyseal inspect --key keys.yaml --as team-a/old-name sealed.yaml
  privyseal inspect -o json sealed.yaml | jq '.objects[].items[].claimedKeyIds[]'

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
    let sealed = sealed_secrets(inputs)?;
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
                ObjectReport::new(sealed, &inspection, keyring.as_ref())
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
    /// The size of the sealed value, decoded.
    bytes: Option<usize>,
    /// Classic: the size of the RSA key that the value claims to be sealed to.
    #[serde(skip_serializing_if = "Option::is_none")]
    rsa_bits: Option<usize>,
    /// The keys that hints name. One key may go by several: each of its recipients has its own.
    claimed_key_ids: Vec<String>,
    /// Age: whether a quantum computer opens it no more easily than today's do, as far as its header says. Not said of a
    /// value that has recipients of a kind that Privyseal does not know, unless another one is classical.
    #[serde(skip_serializing_if = "Option::is_none")]
    post_quantum: Option<bool>,
    /// Age: who can open it, as its header says.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    recipients: Vec<RecipientReport>,
    /// Age: the tags of its stanzas of kinds that Privyseal does not know. Whoever they are for may open it too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    strangers: Vec<String>,
    /// Why it is no sealed value.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    /// With `--key`: what trying the keys told.
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<VerdictReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecipientReport {
    kind: &'static str,
    /// The key id that its hint names; a Key Vault's stanza says it itself.
    claimed_key_id: Option<String>,
    /// The fingerprint of the key of `--key` that goes by this id.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_hand: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "camelCase", tag = "result")]
enum VerdictReport {
    Opens {
        #[serde(flatten)]
        key: KeyReport,
    },
    OpensUnder {
        #[serde(flatten)]
        key: KeyReport,
        bound_to: BoundTo,
        /// Age: the item that it was sealed for.
        #[serde(skip_serializing_if = "Option::is_none")]
        item: Option<String>,
    },
    /// Changed after it was sealed. Without a key if a stanza cannot even be tried.
    Damaged {
        #[serde(flatten)]
        key: Option<KeyReport>,
    },
    /// An age file of somebody else.
    NotBound {
        #[serde(flatten)]
        key: KeyReport,
    },
    DoesNotOpen,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KeyReport {
    fingerprint: String,
    key_id: String,
}

impl ObjectReport {
    fn new(sealed: &Located<SealedSecret>, inspection: &Inspection, keyring: Option<&Keyring>) -> Self {
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
            items: inspection.items.iter().map(|item| ItemReport::new(item, keyring)).collect(),
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
    fn new(inspection: &ItemInspection, keyring: Option<&Keyring>) -> Self {
        let ItemInspection { item, format, bytes, rsa_bits, recipients, strangers, claimed, verdict } =
            inspection;
        let problem = match format {
            Err(error) => Some(error.to_string()),
            Ok(Format::Classic) if !rsa_bits.is_some_and(|bits| RSA_BITS.contains(&bits)) => {
                Some("damaged: no RSA key could have made it".to_owned())
            }
            Ok(_) => None,
        };
        let post_quantum = match recipients.iter().all(|recipient| recipient.kind.is_post_quantum()) {
            true if recipients.is_empty() || !strangers.is_empty() => None,
            all => Some(all),
        };
        Self {
            item: item.clone(),
            format: format.as_ref().ok().map(|format| format.as_str()),
            bytes: *bytes,
            rsa_bits: *rsa_bits,
            claimed_key_ids: claimed.iter().map(|key| key.to_string()).collect(),
            post_quantum,
            recipients: recipients.iter().map(|recipient| RecipientReport::new(recipient, keyring)).collect(),
            strangers: strangers.tags().to_vec(),
            problem,
            verdict: verdict.as_ref().map(VerdictReport::new),
        }
    }

    /// Whether there is anything to act on.
    fn is_bad(&self) -> bool {
        self.problem.is_some()
            || self.verdict.as_ref().is_some_and(|verdict| !matches!(verdict, VerdictReport::Opens { .. }))
    }

    fn to_text(&self) -> String {
        if let Some(problem) = &self.problem {
            return Shown(problem).to_string();
        }
        let mut text = self.format.unwrap_or("unknown format").to_owned();
        if let Some(bits) = self.rsa_bits {
            let _ = write!(text, ", RSA {bits}");
        }
        if let Some(bytes) = self.bytes {
            let _ = write!(text, ", {bytes} bytes");
        }
        let is_age = self.format == Some(Format::Age.as_str());
        let _ = match (self.post_quantum, self.claimed_key_ids.first()) {
            (Some(true), _) => write!(text, ", post-quantum"),
            (Some(false), _) => write!(text, ", NOT post-quantum"),
            (None, _) if is_age && self.recipients.is_empty() => {
                write!(text, "; no recipients of a known kind")
            }
            (None, _) if is_age => write!(text, ", not known to be post-quantum"),
            (None, Some(key)) => write!(text, "; key {key} (claimed by hint)"),
            (None, None) => write!(text, "; key not named"),
        };
        if let Some(verdict) = &self.verdict {
            let _ = write!(text, "; {}", verdict.to_text(&self.item, is_age));
        }
        for recipient in &self.recipients {
            let _ = write!(text, "\n    recipient: {}", recipient.to_text());
        }
        if !self.strangers.is_empty() {
            let strangers: Strangers = self.strangers.iter().cloned().collect();
            let _ = write!(text, "\n    and {}", Shown(&strangers.to_string()));
        }
        text
    }
}

impl RecipientReport {
    fn new(recipient: &RecipientStanza, keyring: Option<&Keyring>) -> Self {
        let entries = keyring.map_or(&[][..], Keyring::entries);
        let known = recipient.claimed.and_then(|id| entries.iter().find(|entry| entry.goes_by(id)));
        Self {
            kind: recipient.kind.as_str(),
            claimed_key_id: recipient.claimed.map(|id| id.to_string()),
            at_hand: known.map(|entry| entry.fingerprint().to_string()),
        }
    }

    fn to_text(&self) -> String {
        let Self { kind, claimed_key_id, at_hand } = self;
        match (claimed_key_id, at_hand) {
            (None, _) => format!("{kind}, key not named"),
            (Some(key), None) => format!("{kind}, key {key} (claimed by hint)"),
            (Some(key), Some(fingerprint)) => {
                format!("{kind}, key {key} (claimed by hint), which is of {fingerprint}")
            }
        }
    }
}

impl VerdictReport {
    fn new(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Opens { key } => Self::Opens { key: KeyReport::new(key) },
            Verdict::OpensUnder { key, binding, item } => Self::OpensUnder {
                key: KeyReport::new(key),
                bound_to: BoundTo::new(binding),
                item: item.as_ref().map(|item| item.as_str().to_owned()),
            },
            Verdict::Damaged { key } => Self::Damaged { key: key.as_ref().map(KeyReport::new) },
            Verdict::NotBound { key } => Self::NotBound { key: KeyReport::new(key) },
            _ => Self::DoesNotOpen,
        }
    }

    /// `binds_item` as the age format does.
    fn to_text(&self, at: &str, binds_item: bool) -> String {
        match self {
            Self::Opens { key } if binds_item => {
                format!("opens with {}, bound to this item (verified)", key.fingerprint)
            }
            Self::Opens { key } => format!("opens with {} (verified)", key.fingerprint),
            Self::OpensUnder { key, bound_to, item } => {
                let other = item.as_ref().filter(|item| *item != at);
                let item = other.map(|item| format!(", item {item}"));
                format!(
                    "DOES NOT OPEN: {} is the right key, but it was sealed for {}{}",
                    key.fingerprint,
                    bound_to.to_text(),
                    item.unwrap_or_default()
                )
            }
            Self::Damaged { key: Some(key) } => format!(
                "DOES NOT OPEN: {} is the right key, but it was changed after it was sealed",
                key.fingerprint
            ),
            Self::Damaged { key: None } => "DOES NOT OPEN: a recipient's stanza is malformed".to_owned(),
            Self::NotBound { key } => format!(
                "DOES NOT OPEN: {} is the right key, but it was not sealed by Privyseal: no binding line",
                key.fingerprint
            ),
            Self::DoesNotOpen if binds_item => {
                "DOES NOT OPEN: none of the keys given is among its recipients".to_owned()
            }
            Self::DoesNotOpen => "DOES NOT OPEN with the keys given, under any name tried".to_owned(),
        }
    }
}

impl KeyReport {
    fn new(key: &Fingerprint) -> Self {
        Self { fingerprint: key.to_string(), key_id: key.key_id().to_string() }
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
            object: None,
        };
        let name = Shown(self.name.as_deref().unwrap_or("(no name)"));
        let namespace =
            self.namespace.as_deref().map(|namespace| format!("{}/", Shown(namespace))).unwrap_or_default();
        let _ = writeln!(out, "SealedSecret {namespace}{name} ({place})");
        if let Some(bound_to) = &self.bound_to {
            let _ = writeln!(out, "  bound to: {}", bound_to.to_text());
        }
        let problem = self.problem.as_deref().map(Shown);
        let _ = match (&problem, &self.bound_to) {
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
