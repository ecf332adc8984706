//! The configuration of the function: part of the repository, and believed as far as `.privyseal.yaml` is.
//!
//! It names whom to seal for by names of `.privyseal.yaml`, whose keys the trust file must know. It cannot bring a
//! certificate or a recipient of its own: nobody would have vouched for it.

use crate::arguments::parse_namespace;
use crate::error::CommandError;
use privyseal_envelope::{Namespace, Scope};
use privyseal_manifest::{Document, FieldView, View};
use std::path::PathBuf;

/// A `SealSecrets`.
#[derive(Default, Debug)]
pub(super) struct FunctionConfig {
    /// Whom to seal for, if the command line names nobody.
    pub(super) names: Vec<String>,
    pub(super) scope: Option<Scope>,
    pub(super) namespace: Option<Namespace>,
    /// Secret manifests to be sealed and added, relative to the kustomization.
    pub(super) files: Vec<PathBuf>,
}

const API_VERSION: &str = "privyseal.dev/v1alpha1";
const KIND: &str = "SealSecrets";

impl FunctionConfig {
    /// Reads it. A field that it does not know is an error.
    pub(super) fn read(document: &Document) -> Result<Self, CommandError> {
        if (document.api_version(), document.kind()) != (Some(API_VERSION), Some(KIND)) {
            return Err(wrong(document.view(), "", &format!("expected {KIND} of {API_VERSION}")));
        }
        let mut this = Self::default();
        for field in document.view().fields() {
            match field.key {
                "apiVersion" | "kind" | "metadata" => {}
                "spec" if field.value.is_null() => {}
                "spec" if field.value.is_mapping() => this.read_spec(field.value)?,
                "spec" => return Err(wrong(field.value, "spec", "expected a mapping")),
                _ => return Err(unknown(&field, "")),
            }
        }
        Ok(this)
    }

    fn read_spec(&mut self, spec: View<'_>) -> Result<(), CommandError> {
        for field in spec.fields() {
            match field.key {
                "for" => self.names = texts(&field)?,
                "files" => self.files = texts(&field)?.into_iter().map(PathBuf::from).collect(),
                "scope" => self.scope = Some(parsed(&field, str::parse::<Scope>)?),
                "namespace" => self.namespace = Some(parsed(&field, parse_namespace)?),
                "cert" | "recipient" | "recipients" => {
                    return Err(wrong(field.value, &format!("spec.{}", field.key), "nobody vouches for a key in this file").hint(
                        "name a cluster or recipient of .privyseal.yaml under `for`: the trust file knows its keys; or give \
                         --cert or --recipient among the args of `exec`",
                    ));
                }
                _ => return Err(unknown(&field, ".spec").hint("spec has: for, scope, namespace, files")),
            }
        }
        Ok(())
    }
}

fn texts(field: &FieldView<'_>) -> Result<Vec<String>, CommandError> {
    let items: Vec<_> = field.value.items().collect();
    let texts: Option<Vec<_>> = items.iter().map(|item| item.text().map(str::to_owned)).collect();
    texts
        .filter(|texts| !texts.is_empty())
        .ok_or_else(|| wrong(field.value, &format!("spec.{}", field.key), "expected a list of texts"))
}

fn parsed<T, E: std::fmt::Display>(
    field: &FieldView<'_>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, CommandError> {
    let path = format!("spec.{}", field.key);
    let text = field.value.text().ok_or_else(|| wrong(field.value, &path, "expected text"))?;
    parse(text).map_err(|error| wrong(field.value, &path, &error.to_string()))
}

/// A key may be anything, so only its place is told.
fn unknown(field: &FieldView<'_>, parent: &str) -> CommandError {
    CommandError::input(format!("stdin:{}: functionConfig{parent}: unknown field", field.at))
}

fn wrong(at: View<'_>, path: &str, what: &str) -> CommandError {
    let dot = if path.is_empty() { "" } else { "." };
    CommandError::input(format!("stdin:{}: functionConfig{dot}{path}: {what}", at.at()))
}
