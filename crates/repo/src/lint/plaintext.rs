//! Secrets that anybody can read.

use super::code::Code;
use super::file::contains;
use super::finding::{Finding, Show, Text};
use super::placeholder::{is_placeholder, is_public};
use privyseal_envelope::{Item, Plaintext};
use privyseal_manifest::{Document, View, names};

/// A Secret with values in plain text. What it is called is known; the finding waits until all files are read, since a
/// SealedSecret may lie beside it.
pub(super) struct PlainSecret {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) finding: Finding,
}

/// Whether it is a Secret of Kubernetes.
pub(super) fn is_secret(document: &Document) -> bool {
    document.kind() == Some(names::SECRET_KIND) && document.api_version() == Some(names::SECRET_API_VERSION)
}

/// Looks for values that are neither empty, nor encrypted, nor references.
pub(super) fn check(text: &Text<'_>, document: &Document) -> Option<PlainSecret> {
    let root = document.view();
    // A file of SOPS: what is to be encrypted is so, or SOPS would not have written it.
    if root.field(&["sops"]).is_some_and(|sops| sops.value.is_mapping()) {
        return None;
    }
    let mut plain: Vec<(&str, &str)> = Vec::new();
    for field in ["stringData", "data"] {
        for item in root.field(&[field]).into_iter().flat_map(|field| field.value.fields()) {
            if is_plain(item.value, field == "data") && !is_of_argo(root, item.key, item.value) {
                plain.push((field, item.key));
            }
        }
    }
    let &(field, first) = plain.first()?;
    let name = root.text_at(&["metadata", "name"]).unwrap_or_default();
    let items: Vec<_> = plain.iter().map(|(_, item)| shown_item(item)).collect();
    let items = items.join(", ");
    let finding = |code, message: String| text.at_field(code, document, &[field, first], Show::Key, message);
    let finding = if root.field(&["metadata", "labels", names::SEALED_SECRETS_KEY]).is_some() {
        finding(Code::PlainKey, format!("a key Secret, with an opening key in {items}")).cure(
            "take it out of Git, and never seal it: whoever has the repository can open all that was sealed for it; \
             `privyseal keys compromised` says what to do",
        )
    } else {
        finding(Code::PlainSecret, format!("a Secret with plain text in {items}")).cure(
            "seal it with `privyseal seal --in-place`, and change the values: whoever has the repository has them",
        )
    };
    Some(PlainSecret {
        namespace: root.text_at(&["metadata", "namespace"]).map(str::to_owned),
        name: name.to_owned(),
        finding,
    })
}

/// What of a file can be read, if a Secret is made of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Readable {
    /// As the value of one item.
    pub(super) whole: bool,
    /// As an item in each line.
    pub(super) lines: bool,
}

/// Looks at a file that is no manifest. What a tool has encrypted says so in its name or its text.
pub(super) fn readable(path: &str, bytes: &[u8]) -> Readable {
    const ENCRYPTED: [&[u8]; 6] = [
        b"ENC[",
        b"age-encryption.org/v1",
        b"BEGIN AGE ENCRYPTED FILE",
        b"BEGIN PGP MESSAGE",
        b"$ANSIBLE_VAULT",
        b"GITCRYPT",
    ];
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_encrypted =
        name.split('.').any(|part| matches!(part, "enc" | "sops" | "encrypted" | "age" | "gpg"))
            || ENCRYPTED.iter().any(|mark| contains(bytes, mark));
    let Ok(text) = str::from_utf8(bytes) else { return Readable::default() };
    let is_value = |text: &str| !is_placeholder(text.trim_matches(['"', '\''])) && !is_public(text);
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let mut values = lines.filter_map(|line| Some(line.split_once('=')?.1));
    Readable { whole: !is_encrypted && is_value(text), lines: !is_encrypted && values.any(is_value) }
}

/// Looks for values of Secrets in a kustomization itself. Those in the files that it names wait until all files are read.
pub(super) fn check_generators(text: &Text<'_>, document: &Document, out: &mut Vec<Finding>) {
    let generators = document.view().field(&["secretGenerator"]);
    for (index, generator) in generators.into_iter().flat_map(|field| field.value.items()).enumerate() {
        let Some(literals) = generator.field(&["literals"]) else { continue };
        let plain = literals.value.items().filter_map(|literal| literal.text()?.split_once('='));
        // Quotes around a value are Kustomize's.
        let value = |text: &str| !is_placeholder(text.trim_matches(['"', '\''])) && !is_public(text);
        let items: Vec<_> = plain.filter(|(_, text)| value(text)).map(|(item, _)| shown_item(item)).collect();
        if !items.is_empty() {
            let at = text.anchor_in_list(document, &format!("secretGenerator[{index}].literals"), literals);
            let message = format!("a Secret is made of plain text in {}", items.join(", "));
            out.push(at.finding(Code::PlainLiteral, message).cure(
                "seal the Secret and list that, and change the values: whoever has the repository has them",
            ));
        }
    }
}

/// An item by its name, if it can be one: in a broken document a key may be plain text.
pub(super) fn shown_item(item: &str) -> String {
    match Item::parse(item) {
        Ok(item) => item.to_string(),
        Err(_) => "an item without a usable name".to_owned(),
    }
}

fn is_plain(value: View<'_>, base64: bool) -> bool {
    let Some(text) = value.text() else {
        // A number or boolean is a mistake, and readable all the same; null and a tag hold nothing.
        return !value.is_null() && !value.is_mapping() && value.items().next().is_none();
    };
    if is_placeholder(text) || is_public(text) {
        return false;
    }
    let decoded = Plaintext::from_base64(text).ok().filter(|_| base64);
    match decoded.as_ref().map(|plaintext| str::from_utf8(plaintext.expose())) {
        // Argo CD Vault Plugin looks into base64 too.
        Some(Ok(inner)) => !is_placeholder(inner) && !is_public(inner),
        Some(Err(_)) | None => true,
    }
}

/// Argo CD keeps the addresses of public repositories in Secrets.
fn is_of_argo(root: View<'_>, item: &str, value: View<'_>) -> bool {
    const LABEL: [&str; 3] = ["metadata", "labels", "argocd.argoproj.io/secret-type"];
    const PUBLIC: [&str; 10] = [
        "type",
        "url",
        "name",
        "project",
        "server",
        "namespaces",
        "clusterResources",
        "enableOCI",
        "enableLfs",
        "insecure",
    ];
    let text = value.text().unwrap_or_default();
    let has_user = text.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
    let decoded = Plaintext::from_base64(text).ok();
    let inner = decoded.as_ref().and_then(|plaintext| str::from_utf8(plaintext.expose()).ok());
    let has_inner_user =
        inner.and_then(|text| text.split_once("://")).is_some_and(|(_, rest)| rest.contains('@'));
    root.text_at(&LABEL).is_some() && PUBLIC.contains(&item) && !has_user && !has_inner_user
}
