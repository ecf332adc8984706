//! The CustomResourceDefinition of SealedSecrets: ours keeps all that our controller writes into the status.

use super::finding::{Check, Finding};
use super::seen::Seen;
use crate::cluster::Session;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;

pub(super) async fn examine(session: &Session) -> Finding {
    let api = Api::<CustomResourceDefinition>::all(session.client.clone());
    let right = format!("get customresourcedefinitions {NAME}");
    judge(Seen::of(session, "the CustomResourceDefinition", &right, api.get(NAME).await))
}

fn judge(seen: Seen<CustomResourceDefinition>) -> Finding {
    let install =
        "apply charts/privyseal/crds/sealedsecrets.yaml: Helm installs it once and never changes it";
    let missing = || Finding::problem(Check::Definition, format!("{NAME} is not there"), install);
    match seen.there(Check::Definition, missing) {
        Ok(definition) if keeps_marker(&definition) => {
            Finding::ok(Check::Definition, format!("{NAME} keeps what the controller writes"))
        }
        Ok(_) => Finding::warning(
            Check::Definition,
            format!(
                "{NAME} is an older one, which drops status.marker: every restart opens every value again"
            ),
            install,
        ),
        Err(finding) => finding,
    }
}

/// Where a field that our schema has is not in theirs, the API server drops it, unless it keeps all.
fn keeps_marker(definition: &CustomResourceDefinition) -> bool {
    let mut versions = definition.spec.versions.iter().filter(|version| version.served);
    versions.any(|version| {
        let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
        let keeps_all = |preserves: Option<bool>| preserves == Some(true);
        let Some(root) = schema else { return false };
        let status = root.properties.as_ref().and_then(|properties| properties.get("status"));
        match status {
            Some(status) => {
                keeps_all(status.x_kubernetes_preserve_unknown_fields)
                    || status.properties.as_ref().is_some_and(|it| it.contains_key("marker"))
            }
            None => keeps_all(root.x_kubernetes_preserve_unknown_fields),
        }
    })
}

const NAME: &str = "sealedsecrets.bitnami.com";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;
    use serde_json::{Value, json};

    fn level(schema: Value) -> Level {
        let definition = json!({
            "metadata": {"name": NAME},
            "spec": {
                "group": "bitnami.com", "scope": "Namespaced",
                "names": {"kind": "SealedSecret", "plural": "sealedsecrets"},
                "versions": [{
                    "name": "v1alpha1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": schema},
                }],
            },
        });
        judge(Seen::There(serde_json::from_value(definition).unwrap())).level
    }

    #[test]
    fn a_definition_that_drops_the_marker_is_told() {
        let status = |status: Value| json!({"type": "object", "properties": {"status": status}});
        assert_eq!(level(status(json!({"properties": {"marker": {"type": "string"}}}))), Level::Ok);
        assert_eq!(level(status(json!({"x-kubernetes-preserve-unknown-fields": true}))), Level::Ok);
        assert_eq!(level(json!({"x-kubernetes-preserve-unknown-fields": true})), Level::Ok);
        assert_eq!(level(status(json!({"properties": {"conditions": {"type": "array"}}}))), Level::Warning);
        assert_eq!(level(json!({"type": "object"})), Level::Warning);
        assert_eq!(judge(Seen::Missing).level, Level::Problem);
    }

    #[test]
    fn the_one_of_this_release_is_fine() {
        assert_eq!(judge(Seen::There(privyseal_manifest::sealed_secret::crd())).level, Level::Ok);
    }
}
