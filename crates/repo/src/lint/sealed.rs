//! What one SealedSecret tells by itself.

use super::code::Code;
use super::finding::{Anchor, Finding, Show, Text};
use super::keys::{self, Expected};
use super::placeholder::{is_placeholder, is_template, sounds_secret};
use super::plaintext::shown_item;
use crate::size::{Bound, Tight, near, tight};
use jiff::Timestamp;
use privyseal_envelope::age::{self, BindingLine};
use privyseal_envelope::{Binding, Format, Item, Scope, SealedValue};
use privyseal_manifest::edit::Edit;
use privyseal_manifest::{Document, MAX_DATA_BYTES, SealedSecret, View, names};
use privyseal_seal::hints::Hints;
use privyseal_seal::{ItemFailure, ItemInspection};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// What of a SealedSecret matters to other files, and where its names stand.
pub(super) struct SealedFact {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) scope: Scope,
    pub(super) template_namespace: Option<String>,
    pub(super) template_name: Option<String>,
    /// Kustomize appends a hash to its name.
    pub(super) needs_hash: bool,
    pub(super) at_name: Anchor,
    pub(super) at_namespace: Anchor,
    pub(super) at_template_name: Anchor,
    pub(super) at_template_namespace: Anchor,
}

/// Whether it says to be a SealedSecret, of whatever version.
pub(super) fn is_sealed_secret(document: &Document) -> bool {
    document.kind() == Some(names::SEALED_SECRET_KIND)
        && document.api_version().is_none_or(|version| version.starts_with("bitnami.com/"))
}

/// What became of it.
pub(super) enum Outcome {
    Checked(Box<SealedFact>),
    /// It is filled in before the cluster sees it.
    Template,
    Unreadable,
}

pub(super) fn check(
    text: &Text<'_>,
    document: &Document,
    expected: &Expected<'_>,
    now: Timestamp,
    out: &mut Vec<Finding>,
) -> Outcome {
    let sealed = match document.to_sealed_secret() {
        Ok(sealed) => sealed,
        Err(error) => {
            let at = error.position();
            if text.line(at.line).is_some_and(is_template) {
                return Outcome::Template;
            }
            let message = format!("not a SealedSecret that can be read: {}", error.problem());
            let mut finding = text.at_position(Code::Schema, Some(document.id()), error.field(), at, message);
            finding.cure = error.hint();
            out.push(finding);
            return Outcome::Unreadable;
        }
    };
    let object = Object { text, document, sealed: &sealed };
    object.annotations(out);
    object.scopes(out);
    object.template_literals(out);
    object.tracking(out);
    object.litter(out);
    object.values(expected, now, out);
    object.sizes(out);
    Outcome::Checked(Box::new(object.fact()))
}

struct Object<'a> {
    text: &'a Text<'a>,
    document: &'a Document,
    sealed: &'a SealedSecret,
}

const ANNOTATIONS: [&str; 2] = ["metadata", "annotations"];
const TEMPLATE_ANNOTATIONS: [&str; 4] = ["spec", "template", "metadata", "annotations"];

impl Object<'_> {
    fn at(&self, code: Code, path: &[&str], message: impl Into<String>) -> Finding {
        self.text.at_field(code, self.document, path, Show::Key, message)
    }

    fn showing(&self, code: Code, path: &[&str], message: impl Into<String>) -> Finding {
        self.text.at_field(code, self.document, path, Show::Value, message)
    }

    fn edit(&self) -> Edit {
        Edit::of(self.document.id())
    }

    fn scope(&self) -> Scope {
        self.sealed.metadata.annotations.as_ref().map_or(Scope::Strict, names::scope_of)
    }

    /// The objects that `kubectl apply` and others keep in an annotation.
    fn annotations(&self, out: &mut Vec<Finding>) {
        for path in [&ANNOTATIONS[..], &TEMPLATE_ANNOTATIONS[..]] {
            for name in names::LAST_APPLIED {
                let path: Vec<&str> = path.iter().copied().chain([name]).collect();
                let Some(applied) = self.document.view().text_at(&path) else { continue };
                if is_template(applied) && serde_json::from_str::<serde_json::Value>(applied).is_err() {
                    continue;
                }
                let remove = self.edit().remove(&path);
                out.push(if holds_no_plaintext(applied) {
                    self.at(
                        Code::ServerFields,
                        &path,
                        "the object as it was applied once, which nobody needs",
                    )
                    .cure("remove it")
                    .fix(format!("remove the annotation {name}"), remove)
                } else {
                    self.at(
                        Code::PlainAnnotation,
                        &path,
                        "the Secret as it was applied once stands here, its values readable",
                    )
                    .cure("remove it, and change the values: whoever has the repository has them")
                    .fix(format!("remove the annotation {name}"), remove)
                });
            }
        }
    }

    fn scopes(&self, out: &mut Vec<Finding>) {
        let none = BTreeMap::new();
        let annotations = self.sealed.metadata.annotations.as_ref().unwrap_or(&none);
        let [wide, narrow] = [names::CLUSTER_WIDE, names::NAMESPACE_WIDE];
        if names::is_true(annotations, wide) && names::is_true(annotations, narrow) {
            let message = "both scope annotations are true, and cluster-wide wins";
            out.push(
                self.showing(Code::TwoScopes, &[&ANNOTATIONS[..], &[narrow]].concat(), message)
                    .cure("remove the one that is not meant"),
            );
        }
        for name in [wide, narrow] {
            let Some(value) = annotations.get(name) else { continue };
            if !matches!(value.as_str(), "true" | "false") && !is_template(value) {
                let message = "only the exact value \"true\" counts, so this scope does not hold";
                // What else stands there is somebody's mistake, and may be anything.
                let show = if value.eq_ignore_ascii_case("true") { Show::Value } else { Show::Key };
                let path = [&ANNOTATIONS[..], &[name]].concat();
                out.push(
                    self.text
                        .at_field(Code::ScopeValue, self.document, &path, show, message)
                        .cure("write \"true\", or remove the annotation"),
                );
            }
        }
        let template = self.sealed.spec.template.as_ref().and_then(|template| template.metadata.as_ref());
        let Some(template) = template.map(|metadata| &metadata.annotations) else { return };
        let [own, other] = [self.scope(), names::scope_of(template)];
        if names::names_scope(template) && own != other {
            let name = if template.contains_key(wide) { wide } else { narrow };
            let message = format!(
                "the template says {other}, but the object's own annotations decide, and they say {own}"
            );
            out.push(
                self.showing(Code::TemplateScope, &[&TEMPLATE_ANNOTATIONS[..], &[name]].concat(), message)
                    .cure("make both say the scope that the values were sealed for"),
            );
        }
    }

    fn template_literals(&self, out: &mut Vec<Finding>) {
        let Some(template) = &self.sealed.spec.template else { return };
        for (item, value) in &template.data {
            let Some(value) = value else { continue };
            let is_word = value.len() >= 4 && !value.contains(char::is_whitespace) && !value.contains("://");
            let is_key = value.contains("PRIVATE KEY-----") && !is_template(value);
            if is_key || sounds_secret(item) && is_word && !is_placeholder(value) {
                let message = format!("{} is a literal: nothing of it is sealed", shown_item(item));
                out.push(
                    self.at(Code::TemplateLiteral, &["spec", "template", "data", item], message)
                        .cure("if it is secret, seal it and write `{{ index . \"ITEM\" }}`"),
                );
            }
        }
    }

    /// What a tool writes on the objects that it applies, to know them again. The controller's Secret is not one of them.
    fn tracking(&self, out: &mut Vec<Finding>) {
        let metadata = self.sealed.spec.template.as_ref().and_then(|template| template.metadata.as_ref());
        let Some(metadata) = metadata else { return };
        for (field, names) in [("labels", &metadata.labels), ("annotations", &metadata.annotations)] {
            for name in names.keys() {
                let Some(tool) = privyseal_seal::tracked_by(name) else { continue };
                let path = ["spec", "template", "metadata", field, name];
                let message = format!(
                    "{name} is how {tool} knows what it applied, and it did not apply the Secret: it may delete it"
                );
                out.push(
                    self.at(Code::Tracking, &path, message)
                        .cure("remove it")
                        .fix(format!("remove {name} of the template"), self.edit().remove(&path)),
                );
            }
        }
    }

    fn litter(&self, out: &mut Vec<Finding>) {
        let root = self.document.view();
        for path in [&["metadata"][..], &["spec", "template", "metadata"][..]] {
            let path: Vec<&str> = path.iter().copied().chain(["creationTimestamp"]).collect();
            if root.field(&path).is_some_and(|field| field.value.is_null()) {
                let message = "null is no time: schema checks refuse it, and nobody needs it";
                out.push(
                    self.showing(Code::NullTimestamp, &path, message)
                        .cure("remove it")
                        .fix(format!("remove {}", path.join(".")), self.edit().remove(&path)),
                );
            }
        }
        let mut edit = self.edit();
        let mut there: Vec<Vec<&str>> = Vec::new();
        for name in ["creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"]
        {
            there.push(vec!["metadata", name]);
        }
        there.push(vec!["status"]);
        let holds = |field: View<'_>| !field.is_null();
        there.retain(|path| root.field(path).is_some_and(|field| holds(field.value)));
        let Some(first) = there.first() else { return };
        for path in &there {
            edit = edit.remove(path);
        }
        let names: Vec<_> = there.iter().map(|path| path.join(".")).collect();
        let names = names.join(", ");
        let message = format!("{names}: written by a cluster, and of no use in Git");
        out.push(
            self.at(Code::ServerFields, first, message)
                .cure("remove them")
                .fix(format!("remove {names}"), edit),
        );
    }

    fn values(&self, expected: &Expected<'_>, now: Timestamp, out: &mut Vec<Finding>) {
        if self.sealed.spec.data.is_some() {
            out.push(
                self.at(
                    Code::LegacyData,
                    &["spec", "data"],
                    "one sealed value for the whole Secret: Privyseal does not open it",
                )
                .cure("seal the Secret anew: each item is a value of its own in spec.encryptedData"),
            );
        }
        let inspection = privyseal_seal::inspect(self.sealed, None, &[]);
        let mut sound: Vec<&ItemInspection> = Vec::new();
        for inspected in &inspection.items {
            let item = inspected.item.as_str();
            let value = self.sealed.spec.encrypted_data.get(item).map_or("", String::as_str);
            if !value.is_empty() && is_reference(value) {
                continue;
            }
            match damage(inspected, value) {
                None => sound.push(inspected),
                Some((code, problem)) => {
                    let cure = match code {
                        Code::ItemName => {
                            "a name has letters, digits, '-', '_' and '.', and at most 253 of them"
                        }
                        _ => "seal it anew with `privyseal set`, or take it from an earlier commit",
                    };
                    let message = format!("{}: {problem}", shown_item(item));
                    out.push(self.at(code, &["spec", "encryptedData", item], message).cure(cure));
                }
            }
        }
        self.hints(out);
        for (item, told) in keys::check(&sound, expected, now) {
            let path = ["spec", "encryptedData", item];
            let finding = self.at(told.code, &path, format!("{}: {}", shown_item(item), told.message));
            out.push(finding.cure(told.cure));
        }
    }

    fn hints(&self, out: &mut Vec<Finding>) {
        let annotations = self.sealed.metadata.annotations.as_ref();
        let mut hints = Hints::read(annotations);
        let values = &self.sealed.spec.encrypted_data;
        let stale: Vec<String> = hints
            .items()
            .filter(|item| match values.get(*item) {
                None => true,
                Some(text) => match SealedValue::from_base64(text) {
                    Ok(value) => hints.key_of(item, &value).is_none(),
                    // Told already.
                    Err(_) => false,
                },
            })
            .map(str::to_owned)
            .collect();
        if stale.is_empty() {
            return;
        }
        stale.iter().for_each(|item| hints.forget(item));
        let items: Vec<_> = stale.iter().map(|item| shown_item(item)).collect();
        let items = items.join(", ");
        let path = [&ANNOTATIONS[..], &[names::SEALED_WITH]].concat();
        let message = format!("the hint of {items} is not about the value that is there");
        out.push(
            self.at(Code::StaleHint, &path, message)
                .cure("remove it; a hint is worth nothing to the controller, and misleads people")
                .fix(format!("forget the hint of {items}"), self.edit().sealed_with(hints.to_text())),
        );
    }

    fn sizes(&self, out: &mut Vec<Finding>) {
        // Below this nothing is near any bound, and most objects are.
        let rough: usize = self.sealed.spec.encrypted_data.values().map(String::len).sum::<usize>()
            + self.text.as_str().len();
        if rough < near(Bound::Annotations.bytes()) {
            return;
        }
        let path = ["spec", "encryptedData"];
        let inspection = privyseal_seal::inspect(self.sealed, None, &[]);
        let binding = inspection.binding.as_ref().ok();
        let values = self.sealed.spec.encrypted_data.iter();
        let plain: usize = values.filter_map(|(item, text)| plaintext_len(binding, item, text)).sum();
        let tight = tight(self.sealed);
        let of_etcd = tight.filter(|tight| tight.bound == Bound::Etcd);
        let (code, message, cure) = if plain > MAX_DATA_BYTES {
            let message = format!("its values are {plain} bytes; a Secret takes at most {MAX_DATA_BYTES}");
            (Code::TooLarge, message, Bound::Etcd.cure())
        } else if let Some(tight) = of_etcd.filter(Tight::is_over) {
            (Code::TooLarge, tight.to_string(), tight.bound.cure())
        } else if plain > near(MAX_DATA_BYTES) {
            let message =
                format!("its values are {plain} bytes, and a Secret takes at most {MAX_DATA_BYTES}");
            (Code::NearlyTooLarge, message, Bound::Etcd.cure())
        } else if let Some(tight) = tight {
            let code = match (tight.bound, tight.is_over()) {
                (Bound::Etcd, _) => Code::NearlyTooLarge,
                (Bound::Annotations, true) => Code::LargeForApply,
                (Bound::Annotations, false) => Code::NearlyLargeForApply,
            };
            (code, tight.to_string(), tight.bound.cure())
        } else {
            return;
        };
        out.push(self.at(code, &path, message).cure(cure));
    }

    fn fact(&self) -> SealedFact {
        let template = self.sealed.spec.template.as_ref().and_then(|template| template.metadata.as_ref());
        let anchor = |path: &[&str]| self.text.anchor(self.document, path, Show::Value);
        let needs_hash = self.sealed.metadata.annotations.as_ref();
        SealedFact {
            namespace: self.sealed.metadata.namespace.clone().filter(|text| !text.is_empty()),
            name: self.sealed.metadata.name.clone().unwrap_or_default(),
            scope: self.scope(),
            template_namespace: template.and_then(|metadata| metadata.namespace.clone()),
            template_name: template.and_then(|metadata| metadata.name.clone()),
            needs_hash: needs_hash
                .is_some_and(|annotations| names::is_true(annotations, "kustomize.config.k8s.io/needs-hash")),
            at_name: anchor(&["metadata", "name"]),
            at_namespace: anchor(&["metadata", "namespace"]),
            at_template_name: anchor(&["spec", "template", "metadata", "name"]),
            at_template_namespace: anchor(&["spec", "template", "metadata", "namespace"]),
        }
    }
}

/// A value that some tool fills in.
fn is_reference(value: &str) -> bool {
    is_template(value) || value.trim().starts_with('<') && value.trim().ends_with('>')
}

fn damage(inspected: &ItemInspection, text: &str) -> Option<(Code, String)> {
    match (&inspected.format, inspected.rsa_bits) {
        (Err(error @ ItemFailure::BadName(_)), _) => Some((Code::ItemName, error.to_string())),
        (Err(ItemFailure::Age(age::OpenError::Damaged)), _) => Some((Code::Damaged, TOO_SHORT.to_owned())),
        (Err(error), _) => Some((Code::Damaged, error.to_string())),
        (Ok(Format::Age), _) if inspected.recipients.is_empty() => {
            Some((Code::Damaged, "none of its recipients is of a kind that Privyseal opens".to_owned()))
        }
        (Ok(Format::Age), _) => None,
        (Ok(Format::Classic), Some(bits)) if RSA_BITS.contains(&bits) => {
            classic_plaintext_len(text).is_none().then(|| (Code::Damaged, TOO_SHORT.to_owned()))
        }
        (Ok(Format::Classic), _) if is_readable(text) => {
            Some((Code::Damaged, "not sealed at all, but text that anybody can read".to_owned()))
        }
        (Ok(Format::Classic), Some(_)) => {
            Some((Code::Damaged, "not a sealed value: no RSA key could have made it".to_owned()))
        }
        (Ok(Format::Classic), None) => Some((Code::Damaged, TOO_SHORT.to_owned())),
    }
}

const TOO_SHORT: &str = "the sealed value ends too early";

/// Whether base64 hides nothing but text.
fn is_readable(text: &str) -> bool {
    let Ok(value) = SealedValue::from_base64(text) else { return false };
    str::from_utf8(value.as_bytes())
        .is_ok_and(|text| text.len() >= 4 && text.chars().all(|c| !c.is_control() || c.is_whitespace()))
}

/// How long the plain text of a value is; none if it is shorter than it can be.
fn plaintext_len(binding: Option<&Binding>, item: &str, text: &str) -> Option<usize> {
    let value = SealedValue::from_base64(text).ok()?;
    if value.format() == Format::Classic {
        return classic_plaintext_len(text);
    }
    let payload = age::File::parse(&value).ok()?.payload_len()?;
    // The line that it begins with if it was sealed for where it stands.
    let item = Item::parse(item).ok()?;
    let line =
        binding.map_or(0, |binding| BindingLine { binding: binding.clone(), item }.to_string().len() + 1);
    Some(payload.saturating_sub(line))
}

fn classic_plaintext_len(text: &str) -> Option<usize> {
    let value = SealedValue::from_base64(text).ok()?;
    let rsa_part = privyseal_envelope::classic::claimed_modulus_len(&value)?;
    value.as_bytes().len().checked_sub(LENGTH_AND_TAG + rsa_part)
}

/// Whether an annotation is a whole object other than a Secret, or a Secret without values.
fn holds_no_plaintext(applied: &str) -> bool {
    let Ok(object) = serde_json::from_str::<serde_json::Value>(applied) else { return false };
    let is_empty = |name: &str| match object.get(name) {
        None | Some(serde_json::Value::Null) => true,
        Some(serde_json::Value::Object(items)) => {
            items.values().all(|value| value.as_str().is_some_and(is_placeholder))
        }
        Some(_) => false,
    };
    object.is_object() && is_empty("data") && is_empty("stringData")
}

/// The two bytes of the length, and the tag of AES-GCM.
const LENGTH_AND_TAG: usize = 2 + 16;
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;
