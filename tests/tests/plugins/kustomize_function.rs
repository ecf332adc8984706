//! `privyseal plugin kustomize` within the real Kustomize, and what comes of it on a control plane.

use crate::kustomize::Folder;
use privyseal_tests::world::Place;
use privyseal_tests::{objects, tools};
use serde_json::Value;
use std::fs;

const EXEC: [&str; 2] = ["--enable-alpha-plugins", "--enable-exec"];
const CANARY: &str = "canary-of-the-kustomization";

/// A folder with a Secret, one that a generator makes, and a Pod that refers to both.
struct Base<'a> {
    folder: Folder,
    place: &'a Place,
}

impl<'a> Base<'a> {
    fn new(place: &'a Place) -> Self {
        let folder = Folder::new();
        folder.write(
            "base/secret.yaml",
            &format!(
                "apiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\nstringData: {{password: {CANARY}}}\n"
            ),
        );
        folder.write("base/api.env", &format!("token={CANARY}\n"));
        let references = tools::repository().join("deploy/kustomize/name-references.yaml");
        folder.write("base/name-references.yaml", &fs::read_to_string(references).unwrap());
        folder.write(
            "base/pod.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - name: web\n    image: web\n    envFrom: [{secretRef: {name: db}}, {secretRef: {name: api}}]\n",
        );
        Self { folder, place }
    }

    /// Declares the function, as `deploy/kustomize/seal.yaml` does.
    fn function(&self, path: &str, spec: &str) {
        let certificate = self.place.world.sealer.certificate().display();
        self.folder.write(
            path,
            &format!(
                "apiVersion: privyseal.dev/v1alpha1\nkind: SealSecrets\nmetadata:\n  name: seal\n  annotations:\n    config.kubernetes.io/function: |\n      exec:\n        path: privyseal\n        args: [plugin, kustomize, --cert, {certificate}]\nspec: {{{spec}}}\n"
            ),
        );
    }

    fn kustomization(&self, folder: &str, text: &str) {
        let namespace = &self.place.namespace;
        self.folder.write(&format!("{folder}/kustomization.yaml"), &text.replace("NAMESPACE", namespace));
    }

    fn build(&self, folder: &str) -> Result<Vec<Value>, String> {
        self.folder.build_in(folder, &EXEC)
    }

    /// Applies the SealedSecrets of a build, and waits until their Secrets have what was sealed.
    async fn opens(&self, built: &[Value], names: &[(&str, &str)]) {
        let Place { client, namespace, .. } = self.place;
        let sealed: Vec<&Value> = built.iter().filter(|object| object["kind"] == "SealedSecret").collect();
        assert_eq!(sealed.len(), names.len(), "{sealed:#?}");
        assert!(built.iter().all(|object| object["kind"] != "Secret"));
        for object in sealed {
            objects::apply(client, Some(namespace), object).await;
        }
        for (name, item) in names {
            objects::wait_for_secret(client, namespace, name, &[(item, CANARY.as_bytes())]).await;
        }
    }
}

/// The Secrets that the Pod refers to.
fn references(built: &[Value]) -> Vec<&str> {
    let pod = built.iter().find(|object| object["kind"] == "Pod").unwrap();
    let from = pod["spec"]["containers"][0]["envFrom"].as_array().unwrap();
    from.iter().map(|from| from["secretRef"]["name"].as_str().unwrap()).collect()
}

const GENERATOR: &str = "secretGenerator: [{name: api, envs: [api.env]}]\n";
const ALL: &str = "resources: [secret.yaml, pod.yaml]\nconfigurations: [name-references.yaml]\n";

#[tokio::test]
async fn prefix_and_namespace_of_the_own_kustomization_come_before_the_seal() {
    let place = Place::new("kustomize").await;
    let base = Base::new(&place);
    base.function("base/seal.yaml", "");
    base.kustomization(
        "base",
        &format!(
            "namespace: NAMESPACE\nnamePrefix: web-\n{ALL}{GENERATOR}generatorOptions: {{disableNameSuffixHash: true}}\ntransformers: [seal.yaml]\n"
        ),
    );
    let built = base.build("base").unwrap();
    assert_eq!(references(&built), ["web-db", "web-api"]);
    base.opens(&built, &[("web-db", "password"), ("web-api", "token")]).await;
}

#[tokio::test]
async fn a_hash_is_refused_in_scope_strict_and_followed_in_a_wider_one() {
    let place = Place::new("kustomize-hash").await;
    let base = Base::new(&place);
    base.function("base/seal.yaml", "");
    base.kustomization("base", &format!("namespace: NAMESPACE\n{ALL}{GENERATOR}transformers: [seal.yaml]\n"));
    let refused = base.build("base").unwrap_err();
    assert!(refused.contains("hash") && refused.contains("namespace-wide"), "{refused}");
    assert!(!refused.contains(CANARY), "{refused}");

    base.function("base/seal.yaml", "scope: namespace-wide");
    let built = base.build("base").unwrap();
    let references = references(&built);
    let hashed = references[1];
    assert!(hashed.starts_with("api-") && hashed.len() > "api-".len(), "{hashed}");
    base.opens(&built, &[("db", "password"), (hashed, "token")]).await;
}

/// Functions of a base run before the overlay, so only what is not bound to the name opens.
#[tokio::test]
async fn a_prefix_of_an_overlay_comes_after_the_seal_of_its_base() {
    let place = Place::new("kustomize-overlay").await;
    let base = Base::new(&place);
    base.kustomization("base", &format!("namespace: NAMESPACE\n{ALL}transformers: [seal.yaml]\n"));
    base.kustomization("overlay", "namePrefix: late-\nresources: [../base]\n");
    base.function("base/seal.yaml", "scope: namespace-wide");
    let built = base.build("overlay").unwrap();
    assert_eq!(references(&built), ["late-db", "api"]);
    base.opens(&built, &[("late-db", "password")]).await;

    base.function("base/seal.yaml", "");
    base.kustomization("overlay", "namePrefix: strict-\nresources: [../base]\n");
    let built = base.build("overlay").unwrap();
    let sealed = built.iter().find(|object| object["kind"] == "SealedSecret").unwrap();
    assert_eq!(sealed["metadata"]["name"], "strict-db");
    let Place { client, namespace, .. } = &place;
    objects::apply(client, Some(namespace), sealed).await;
    objects::wait_for_condition(client, namespace, "strict-db", "Synced", "False").await;
    assert!(objects::secret_data(client, namespace, "strict-db").await.is_none());

    // In the overlay itself the function sees the final name.
    base.kustomization("base", &format!("namespace: NAMESPACE\n{ALL}"));
    base.function("overlay/seal.yaml", "");
    base.kustomization("overlay", "namePrefix: early-\nresources: [../base]\ntransformers: [seal.yaml]\n");
    let built = base.build("overlay").unwrap();
    assert_eq!(references(&built), ["early-db", "api"]);
    base.opens(&built, &[("early-db", "password")]).await;
}

#[tokio::test]
async fn as_a_generator_it_gives_the_secrets_of_files() {
    let place = Place::new("kustomize-files").await;
    let base = Base::new(&place);
    base.function("base/seal.yaml", &format!("namespace: {}, files: [secret.yaml]", place.namespace));
    base.kustomization("base", "resources: [pod.yaml]\ngenerators: [seal.yaml]\n");
    let built = base.build("base").unwrap();
    base.opens(&built, &[("db", "password")]).await;
}
