//! What is sealed in `tests/lint`, and the key files there: made once, with keys that nobody kept.

use super::fixtures;
use crate::harness::{CANARY, CANARY_BASE64};
use jiff::{SignedDuration, Timestamp};
use privyseal_envelope::Scope;
use privyseal_envelope::age::{Identity, Kind, Recipient, Recipients};
use privyseal_envelope::rsa::{KeySize, SealingKey};
use privyseal_keys::{KeyPair, PublishedKeys, PublisherKey};
use privyseal_manifest::emit;
use privyseal_repo::{Evidence, KeyFile, Subject, Trust};
use privyseal_seal::{SealTo, Sealing, seal};
use std::fs;
use std::path::Path;

/// Makes them anew, with new keys.
pub(super) fn make() {
    let keys = Keys::new();
    good(&fixtures().join("tree"), &keys);
    bad(&fixtures().join("bad"), &keys);
    keys.trust(&fixtures().join("trust.yaml"));
}

struct Keys {
    publishers: [PublisherKey; 3],
    prod: KeyPair,
    prod_old: KeyPair,
    prod_expired: KeyPair,
    prod_revoked: KeyPair,
    staging: KeyPair,
    unknown: KeyPair,
    larger: KeyPair,
    /// The recipient of nobody's cluster.
    glass: Recipient,
    /// The same, and classical.
    legacy: Recipient,
    /// A key of a Key Vault.
    vault: SealingKey,
}

impl Keys {
    fn new() -> Self {
        let pair = |size, from: &str, years: i64| {
            let from: Timestamp = from.parse().unwrap();
            KeyPair::generate(size, "", from, SignedDuration::from_hours(years * 365 * 24)).ok().unwrap()
        };
        let [new, old] = ["2026-01-01T00:00:00Z", "2020-01-01T00:00:00Z"];
        Self {
            publishers: [0, 1, 2].map(|_| PublisherKey::generate().unwrap()),
            prod: pair(KeySize::Rsa2048, new, 100),
            prod_old: pair(KeySize::Rsa2048, old, 100),
            prod_expired: pair(KeySize::Rsa2048, old, 1),
            prod_revoked: pair(KeySize::Rsa2048, old, 100),
            staging: pair(KeySize::Rsa2048, new, 100),
            unknown: pair(KeySize::Rsa2048, new, 100),
            larger: pair(KeySize::Rsa3072, new, 100),
            glass: Identity::generate_hybrid().unwrap().recipient(),
            legacy: Identity::generate_x25519().recipient(),
            vault: pair(KeySize::Rsa2048, new, 1).certificate().sealing_key().clone(),
        }
    }

    fn trust(&self, path: &Path) {
        let mut trust = Trust::default();
        for (name, publisher) in
            [("prod", 0), ("staging", 1), ("changed", 2), ("over", 1)].map(|(n, p)| (n, &self.publishers[p]))
        {
            let fingerprint = publisher.public_key().fingerprint();
            trust.pin(Subject::Cluster(name.to_owned()), Evidence::Publisher { fingerprint, serial: 3 });
        }
        for (name, recipient) in [
            ("glass", &self.glass),
            ("legacy", &self.legacy),
            ("other", &self.legacy),
            ("vault", &Recipient::KeyVault(self.vault.clone())),
        ] {
            let fingerprint = recipient.fingerprint();
            trust.pin(Subject::Recipient(name.to_owned()), Evidence::Recipient { fingerprint });
        }
        fs::write(path, trust.to_text()).unwrap();
    }

    fn list(&self, path: &Path, publisher: usize, keys: &[&KeyPair], revoked: &[&KeyPair]) {
        let keys = keys.iter().map(|pair| pair.public_half()).collect();
        let revoked =
            revoked.iter().flat_map(|pair| pair.public_half().fingerprints().collect::<Vec<_>>()).collect();
        let time = "2026-01-01T00:00:00Z".parse().unwrap();
        let list = PublishedKeys { serial: 3, time, keys, revoked };
        write(path, &KeyFile(list.publish(&self.publishers[publisher])).to_text());
    }
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn sealed(pair: &KeyPair, scope: Scope, namespace: &str, name: &str) -> String {
    sealed_to(SealTo::Classic(pair.certificate().sealing_key()), scope, namespace, name)
}

fn sealed_to(to: SealTo<'_>, scope: Scope, namespace: &str, name: &str) -> String {
    let yaml = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\nstringData: {{password: secret, user: app}}\n"
    );
    let secret =
        privyseal_manifest::read(yaml.as_bytes(), "x").unwrap().remove(0).into_secret().ok().unwrap();
    emit::to_yaml(&seal(&secret, &Sealing { to, scope: Some(scope), allow_empty: false }).unwrap())
}

/// In the age format.
fn sealed_age(recipients: &Recipients, name: &str) -> String {
    sealed_to(SealTo::Age(recipients), Scope::Strict, "shop", name)
}

fn recipients(kind: Kind, pairs: &[&KeyPair], more: &[&Recipient]) -> Recipients {
    let of_pairs = pairs.iter().map(|pair| pair.public_half().recipient(kind).unwrap().clone());
    Recipients::new(of_pairs.chain(more.iter().map(|recipient| (*recipient).clone()))).unwrap()
}

/// A text with one change, which must be possible.
fn with(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from:?} is not in\n{text}");
    text.replacen(from, to, 1)
}

fn good(root: &Path, keys: &Keys) {
    keys.list(&root.join(".privyseal/prod.keys"), 0, &[&keys.prod, &keys.prod_old], &[&keys.prod_revoked]);
    keys.list(&root.join(".privyseal/staging.keys"), 1, &[&keys.staging], &[]);
    let config = format!(
        "version: 1\nclusters:\n  prod: {{keys: .privyseal/prod.keys}}\n  staging: {{keys: .privyseal/staging.keys}}\nrecipients:\n  glass: {{age: {}}}\n  legacy: {{age: {}}}\nrules:\n  - {{path: 'apps/*/overlays/staging/**', for: [staging]}}\n  - {{path: 'clusters/staging/**', for: [staging]}}\n  - {{path: 'many/legacy.yaml', for: [legacy]}}\n  - {{path: 'many/**', for: [prod, staging, glass]}}\n  - {{path: '**', for: [prod]}}\n",
        keys.glass, keys.legacy
    );
    write(&root.join(".privyseal.yaml"), &config);
    let many = recipients(Kind::Hybrid, &[&keys.prod, &keys.staging], &[&keys.glass]);
    write(&root.join("many/sealed.yaml"), &sealed_age(&many, "many"));
    let legacy = recipients(Kind::X25519, &[], &[&keys.legacy]);
    write(&root.join("many/legacy.yaml"), &sealed_age(&legacy, "legacy"));
    let prod = recipients(Kind::Hybrid, &[&keys.prod], &[]);
    write(&root.join("clusters/prod/age.yaml"), &sealed_age(&prod, "age"));
    let strict = |namespace: &str, name: &str| sealed(&keys.prod, Scope::Strict, namespace, name);
    let without_namespace =
        |text: &str, namespace: &str| with(text, &format!("  namespace: {namespace}\n"), "");
    let file = |path: &str, text: &str| write(&root.join(path), text);

    file("apps/shop/base/sealed.yaml", &without_namespace(&strict("shop", "shop"), "shop"));
    file("apps/shop/overlays/prod/extra.yaml", &strict("shop", "extra"));
    let staging = |name: &str| {
        let text = sealed(&keys.staging, Scope::Strict, "shop-staging", &format!("staging-{name}"));
        with(&text, &format!("  name: staging-{name}\n"), &format!("  name: {name}\n"))
    };
    file(
        "apps/shop/overlays/staging/sealed.patch.yaml",
        &without_namespace(&staging("shop"), "shop-staging"),
    );
    file("apps/shop/overlays/staging/extra.yaml", &staging("extra"));

    let all =
        Scope::ALL.map(|scope| sealed(&keys.prod, scope, "shop", &format!("shop-{scope}"))).join("---\n");
    let all =
        format!("# All three scopes.\n{all}---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\n");
    file("clusters/prod/secrets.yaml", &all.replace('\n', "\r\n"));
    let items = ["one", "two"].map(|name| {
        let text = strict("shop", name);
        let lines: Vec<_> = text.lines().map(|line| format!("    {line}")).collect();
        format!("  -\n{}\n", lines.join("\n"))
    });
    file("clusters/prod/list.yaml", &format!("apiVersion: v1\nkind: List\nitems:\n{}", items.concat()));
    let document = privyseal_manifest::read(strict("shop", "json").as_bytes(), "x").unwrap().remove(0);
    file("clusters/prod/one.json", &emit::to_json(&document.into_sealed_secret().unwrap()));
    file("clusters/staging/db.yaml", &sealed(&keys.staging, Scope::Strict, "shop", "db"));
    let hint = |text: &str| text.lines().find(|line| line.contains("sealed-with")).unwrap().to_owned() + "\n";
    let text = strict("shop", "kubeseal");
    let text = with(&text, &hint(&text), "");
    file("clusters/prod/kubeseal.yaml", &with(&text, "  annotations:\n", ""));
    let data = "  template:\n    data:\n      username: admin\n      url: https://db\n      config: |\n        password = {{ .password }}\n";
    file("clusters/prod/templated.yaml", &with(&strict("shop", "templated"), "  template:\n", data));
    let anchors = without_namespace(&strict("shop", "anchors"), "shop");
    let anchors = with(&anchors, "metadata:\n", "metadata:\n  labels: &labels {app: shop}\n");
    file(
        "apps/argo/anchors.yaml",
        &with(&anchors, "    metadata:\n", "    metadata:\n      labels: *labels\n"),
    );
    file("tenants/one/nameless.yaml", &without_namespace(&strict("tenant-one", "nameless"), "tenant-one"));
    file("sets/blue/sealed.yaml", &without_namespace(&strict("blue", "sealed"), "blue"));
}

fn bad(root: &Path, keys: &Keys) {
    let file = |path: &str, text: &str| write(&root.join(path), text);
    file(
        ".privyseal.yaml",
        &format!(
            "version: 1\nclusters:\n  prod: {{keys: .privyseal/prod.keys}}\n  staging: {{keys: .privyseal/staging.keys}}\n  changed: {{keys: .privyseal/changed.keys}}\n  broken: {{keys: .privyseal/broken.keys}}\n  missing: {{certificate: .privyseal/missing.pem}}\n  over: {{keys: .privyseal/over.keys}}\nrecipients:\n  glass: {{age: {glass}}}\n  legacy: {{age: {legacy}}}\n  other: {{age: {glass}}}\n  vault: {{publicKey: .privyseal/vault.pem}}\n  gone: {{publicKey: .privyseal/gone.pem}}\nrules:\n  - {{path: 'age/many/**', for: [prod, staging, glass]}}\n  - {{path: 'age/one/**', for: [prod], format: age}}\n  - {{path: 'age/legacy/**', for: [prod, legacy]}}\n  - {{path: 'age/vault/**', for: [prod, vault]}}\n  - {{path: '**', for: [prod]}}\n",
            glass = keys.glass,
            legacy = keys.legacy
        ),
    );
    let list = |name: &str, publisher, keys_: &[&KeyPair], revoked: &[&KeyPair]| {
        keys.list(&root.join(format!(".privyseal/{name}.keys")), publisher, keys_, revoked);
    };
    list("prod", 0, &[&keys.prod, &keys.prod_old, &keys.prod_expired], &[&keys.prod_revoked]);
    list("staging", 1, &[&keys.staging], &[]);
    list("changed", 0, &[&keys.staging], &[]);
    list("over", 1, &[&keys.prod_expired], &[]);
    file(".privyseal/broken.keys", "{\"version\": 1}\n");

    let strict = |name: &str| sealed(&keys.prod, Scope::Strict, "shop", name);
    let scoped = |name: &str, scope| sealed(&keys.prod, scope, "shop", name);
    let plain = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n  namespace: shop\nstringData:\n  user: {CANARY}\n  password: '{CANARY}'\ndata: {{token: {CANARY_BASE64}}}\n"
        )
    };
    file("plain/secret.yaml", &plain("db"));
    file(
        "plain/list.json",
        &format!(
            "{{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [{{\"kind\": \"Secret\", \"apiVersion\": \"v1\", \"metadata\": {{\"name\": \"x\"}}, \"data\": {{\"password\": \"{CANARY_BASE64}\"}}}}]}}\n"
        ),
    );
    file("plain/ünï – code.yaml", &plain("unicode").replace("  password:", "  \"pass.word\":"));
    file("beside/db.yaml", &plain("db"));
    file("beside/db.sealed.yaml", &strict("db"));
    let applied =
        format!("{{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"stringData\":{{\"password\":\"{CANARY}\"}}}}");
    let annotations = format!(
        "    metadata:\n      annotations:\n        kubectl.kubernetes.io/last-applied-configuration: |\n          {applied}\n"
    );
    file("annotation/sealed.yaml", &with(&strict("applied"), "    metadata:\n", &annotations));
    let data = format!("  template:\n    data:\n      db-password: {CANARY}\n");
    file("literal/sealed.yaml", &with(&strict("literal"), "  template:\n", &data));

    file("schema/field.yaml", &with(&strict("field"), "  encryptedData:\n", "  encryptedDta:\n"));
    file("schema/type.yaml", &with(&strict("type"), "    password: ", "    on: x\n    password: "));
    file("broken/sealed.yaml", &with(&strict("broken"), "spec:\n", "spec:\n - x\n"));
    fs::write(root.join("broken/latin1.yaml"), b"kind: Secret\n# caf\xe9\n").unwrap();
    let inner: String = strict("inner").lines().map(|line| format!("    {line}\n")).collect();
    file(
        "embedded/config.yaml",
        &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: x}}\ndata:\n  sealed.yaml: |\n{inner}"),
    );
    let inner: String = strict("inner").lines().map(|line| format!("      {line}\n")).collect();
    file(
        "embedded/release.yaml",
        &format!(
            "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: x, namespace: shop}}\nspec:\n  values:\n    extra:\n{inner}"
        ),
    );
    file("legacy/sealed.yaml", &with(&strict("legacy"), "spec:\n", "spec:\n  data: AgBhYmM=\n"));

    let wide = "    sealedsecrets.bitnami.com/cluster-wide: \"true\"\n";
    let narrow = "    sealedsecrets.bitnami.com/namespace-wide: \"true\"\n";
    let both = with(&scoped("both", Scope::ClusterWide), wide, &format!("{wide}{narrow}"));
    file("scope/both.yaml", &both);
    let value =
        scoped("value", Scope::NamespaceWide).replace("namespace-wide: \"true\"", "namespace-wide: \"True\"");
    file("scope/value.yaml", &value);
    file("scope/template.yaml", &with(&scoped("template", Scope::NamespaceWide), narrow, ""));
    file("names/renamed.yaml", &with(&strict("before"), "  name: before\n", "  name: after\n"));
    file(
        "names/moved.yaml",
        &with(&scoped("moved", Scope::NamespaceWide), "  namespace: shop\n", "  namespace: other\n"),
    );
    file("names/nowhere.yaml", &with(&strict("nowhere"), "  namespace: shop\n", ""));
    file("names/twice.yaml", &format!("{}---\n{}", strict("twice"), strict("twice")));

    file("kustomize/base/kustomization.yaml", "resources: [sealed.yaml, wide.yaml]\n");
    file("kustomize/base/sealed.yaml", &strict("base"));
    file("kustomize/base/wide.yaml", &scoped("wide", Scope::ClusterWide));
    for stage in ["one", "two"] {
        file(
            &format!("kustomize/{stage}/kustomization.yaml"),
            &format!("namespace: {stage}\nnamePrefix: {stage}-\nresources: [../base]\n"),
        );
    }
    let hash = "  annotations:\n    kustomize.config.k8s.io/needs-hash: \"true\"\n";
    file("kustomize/hash.yaml", &with(&strict("hash"), "  annotations:\n", hash));

    for (name, pair) in [
        ("unknown", &keys.unknown),
        ("other-cluster", &keys.staging),
        ("stale", &keys.prod_old),
        ("expired", &keys.prod_expired),
        ("revoked", &keys.prod_revoked),
        ("larger", &keys.larger),
    ] {
        file(&format!("keys/{name}.yaml"), &sealed(pair, Scope::Strict, "shop", name));
    }
    bad_age(root, keys);
    // Somebody changed a value with a tool that does not know the annotation, and removed another.
    let value = |text: &str, item: &str| {
        let prefix = format!("    {item}: ");
        text.lines().find(|line| line.starts_with(&prefix)).unwrap().to_owned()
    };
    let [text, other] = [strict("hint"), strict("hint")];
    let text = with(&text, &value(&text, "password"), &value(&other, "password"));
    file("keys/hint.yaml", &text);
    let text = strict("hint-gone");
    file("keys/hint-gone.yaml", &with(&text, &(value(&text, "password") + "\n"), ""));

    let text = strict("damaged");
    let password = value(&text, "password");
    let damaged = format!(
        "    cut: {}\n    short: AgBh\n    text: not base64\n    plain: {CANARY_BASE64}\n{password}",
        &password[14..114]
    );
    file("damaged/values.yaml", &with(&text, &password, &damaged));
    file("damaged/name.yaml", &with(&text, &password, &format!("{password}\n    a/b: {}", &password[14..])));

    let litter = with(&strict("litter"), "metadata:\n", "metadata:\n  creationTimestamp: null # kubeseal\n");
    let litter = with(&litter, "    metadata:\n", "    metadata:\n      creationTimestamp: null\n");
    file("litter/sealed.yaml", &litter);
    let exported = with(
        &strict("exported"),
        "metadata:\n",
        "metadata:\n  creationTimestamp: \"2026-01-01T00:00:00Z\"\n  generation: 3\n  resourceVersion: \"17\"\n  uid: 0b3ee1f5-7c8f-4d4b-8d0c-3d6f4f2f3a10\n",
    );
    let exported = with(
        &exported,
        "  annotations:\n",
        "  annotations:\n    kubectl.kubernetes.io/last-applied-configuration: '{\"kind\":\"SealedSecret\"}'\n",
    );
    file("litter/exported.yaml", &format!("{exported}status:\n  observedGeneration: 3\n"));
    file(
        "comment/sealed.yaml",
        &format!(
            "# privyseal:ignore PS070 PS999 as ever\n{}",
            with(&strict("comment"), "metadata:\n", "metadata:\n  creationTimestamp: null\n")
        ),
    );
}

/// What there is to find of the age format alone.
fn bad_age(root: &Path, keys: &Keys) {
    let age = |path: &str, kind, pairs: &[&KeyPair], more: &[&Recipient]| {
        let name = path.rsplit_once('/').unwrap().1;
        write(&root.join(format!("age/{path}.yaml")), &sealed_age(&recipients(kind, pairs, more), name));
    };
    age("many/missing", Kind::Hybrid, &[&keys.prod], &[&keys.glass]);
    age("many/foreign", Kind::Hybrid, &[&keys.prod, &keys.staging, &keys.unknown], &[&keys.glass]);
    age("one/other-too", Kind::Hybrid, &[&keys.prod, &keys.staging], &[]);
    age("one/other-cluster", Kind::Hybrid, &[&keys.staging], &[]);
    age("one/unknown", Kind::Hybrid, &[&keys.unknown], &[]);
    age("one/stale", Kind::Hybrid, &[&keys.prod_old], &[]);
    age("one/expired", Kind::X25519, &[&keys.prod_expired], &[]);
    age("one/both", Kind::Hybrid, &[&keys.prod_old, &keys.prod], &[]);
    age("one/revoked", Kind::Hybrid, &[&keys.prod_revoked, &keys.prod], &[]);
    age("one/classical", Kind::X25519, &[&keys.prod], &[]);
    let der = serde_json::to_value(k8s_openapi::ByteString(keys.vault.spki_der().to_vec())).unwrap();
    let lines: String = der
        .as_str()
        .unwrap()
        .as_bytes()
        .chunks(64)
        .map(|line| format!("{}\n", str::from_utf8(line).unwrap()))
        .collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{lines}-----END PUBLIC KEY-----\n");
    write(&root.join(".privyseal/vault.pem"), &pem);
    let vault = Recipient::KeyVault(keys.vault.clone());
    age("vault/classical", Kind::X25519, &[&keys.prod], &[&vault]);
    age("vault/missing", Kind::X25519, &[&keys.prod], &[]);
    age("legacy/classical", Kind::X25519, &[&keys.prod], &[&keys.legacy]);
    let all = recipients(Kind::Hybrid, &[&keys.prod, &keys.staging], &[&keys.glass]).without_hints();
    write(&root.join("age/many/unnamed.yaml"), &sealed_age(&all, "unnamed"));
    for path in ["many", "one"] {
        let text = sealed(&keys.prod, Scope::Strict, "shop", "classic");
        write(&root.join(format!("age/{path}/classic.yaml")), &text);
    }
    let text = sealed_age(&recipients(Kind::X25519, &[&keys.prod], &[]), "cut");
    let password = text.lines().find(|line| line.starts_with("    password: ")).unwrap();
    let cut =
        format!("    header: {}\n    payload: {}", &password[14..114], &password[14..password.len() - 100]);
    write(&root.join("age/one/cut.yaml"), &with(&text, password, &cut));
}
