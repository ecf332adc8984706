//! Which Secrets the objects of a file refer to, by the fields that Kubernetes itself knows.

use privyseal_manifest::{Document, View};

/// A Secret that an object refers to.
pub(super) struct Reference {
    pub(super) name: String,
    /// The namespace of the object, and so of the Secret.
    pub(super) namespace: Option<String>,
}

/// The kinds in which `deploy/kustomize/name-references.yaml` finds references, but for those that nobody writes by hand.
const KINDS: [&str; 11] = [
    "CronJob",
    "DaemonSet",
    "Deployment",
    "Ingress",
    "Job",
    "Pod",
    "PodTemplate",
    "ReplicaSet",
    "Service",
    "ServiceAccount",
    "StatefulSet",
];

pub(super) fn of(document: &Document) -> Vec<Reference> {
    let mut names = Vec::new();
    if document.kind().is_some_and(|kind| KINDS.contains(&kind)) {
        find(document.view(), &mut names);
    }
    let namespace = document.view().text_at(&["metadata", "namespace"]).filter(|text| !text.is_empty());
    let reference = |name: &str| Reference { name: name.to_owned(), namespace: namespace.map(str::to_owned) };
    names.into_iter().map(reference).collect()
}

fn find<'a>(view: View<'a>, out: &mut Vec<&'a str>) {
    for field in view.fields() {
        match field.key {
            "secretName" => out.extend(field.value.text()),
            "secretKeyRef" | "secretRef" => out.extend(field.value.text_at(&["name"])),
            "imagePullSecrets" => out.extend(field.value.items().filter_map(|item| item.text_at(&["name"]))),
            // Of a projected volume. That of a volume has a `secretName`.
            "secret" => {
                out.extend(field.value.text_at(&["name"]));
                find(field.value, out);
            }
            _ => find(field.value, out),
        }
    }
    view.items().for_each(|item| find(item, out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_where_kubernetes_follows_them() {
        let pod = "{volumes: [{secret: {secretName: a}}, {projected: {sources: [{secret: {name: b}}]}}], imagePullSecrets: [{name: c}], containers: [{envFrom: [{secretRef: {name: d}}, {configMapRef: {name: x}}], env: [{name: x, valueFrom: {secretKeyRef: {name: e, key: x}}}]}]}";
        for (text, names) in [
            (format!("kind: Pod\nmetadata: {{namespace: shop}}\nspec: {pod}\n"), "a b c d e"),
            (format!("kind: Deployment\nspec: {{template: {{spec: {pod}}}}}\n"), "a b c d e"),
            ("kind: Ingress\nspec: {tls: [{secretName: a}]}\n".to_owned(), "a"),
            ("kind: ServiceAccount\nimagePullSecrets: [{name: a}]\n".to_owned(), "a"),
            (format!("kind: Other\nspec: {pod}\n"), ""),
        ] {
            let document = &privyseal_manifest::read(text.as_bytes(), "x").unwrap()[0];
            let found = of(document);
            let mut found_names: Vec<&str> = found.iter().map(|reference| reference.name.as_str()).collect();
            found_names.sort_unstable();
            assert_eq!(found_names.join(" "), names, "{text}");
            let namespace = text.contains("namespace").then_some("shop");
            assert!(found.iter().all(|reference| reference.namespace.as_deref() == namespace));
        }
    }
}
