//! What sets up Azure: `deploy/azure` says one thing in three languages, and the chart takes what it is given.
//!
//! None of it runs here: no Azure is asked. What goes stale without one is compared: names, roles, variables, values.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use privyseal_tests::{objects, tools};
use serde_json::{Value, json};

use crate::helm;

/// Azure's roles that we name, with what Azure calls them for good.
const ROLES: &[(&str, &str)] = &[
    ("Key Vault Crypto Officer", "14b46e9e-c2b7-41b4-b07b-48a6ebf60603"),
    ("Key Vault Crypto Service Encryption User", "e147488a-f6f5-4113-8e2d-b22465e65bf6"),
    ("Key Vault Secrets Officer", "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"),
    ("Key Vault Secrets User", "4633458b-17de-408a-b874-0445c86b69e6"),
];

const CUSTODIES: [&str; 2] = ["key-vault-wrapped", "key-vault-secret"];

fn folder() -> PathBuf {
    tools::repository().join("deploy/azure")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// What each of the three is written in, all its files together.
fn languages() -> BTreeMap<&'static str, String> {
    let mut languages: BTreeMap<&str, String> = BTreeMap::new();
    for file in files(&folder()) {
        let language = match file.extension().and_then(|extension| extension.to_str()) {
            Some("bicep") => "bicep",
            Some("tf") => "terraform",
            Some("sh") => "shell",
            _ => continue,
        };
        languages.entry(language).or_default().push_str(&read(&file));
    }
    assert_eq!(languages.len(), 3, "{:?}", languages.keys());
    languages
}

/// The words of a text that are made of `allowed` and that `is_one` takes.
fn words(text: &str, allowed: fn(char) -> bool, is_one: fn(&str) -> bool) -> BTreeSet<&str> {
    text.split(|c| !allowed(c)).filter(|word| is_one(word)).collect()
}

fn guids(text: &str) -> BTreeSet<&str> {
    words(
        text,
        |c| c.is_ascii_hexdigit() || c == '-',
        |word| {
            let lengths: Vec<usize> = word.split('-').map(str::len).collect();
            lengths == [8, 4, 4, 4, 12]
        },
    )
}

fn variables(text: &str) -> BTreeSet<&str> {
    words(
        text,
        |c| c.is_ascii_lowercase() || c == '_',
        |word| word.starts_with("privyseal_") && word.len() > "privyseal_".len(),
    )
}

/// The HelmRelease, with Flux's variables put in.
fn release(custody: &str) -> Value {
    let mut text = read(&folder().join("flux/helmrelease.yaml"));
    for (variable, value) in [
        ("privyseal_custody", custody),
        // As Azure gives it.
        ("privyseal_key_vault_url", "https://example.vault.azure.net/"),
        ("privyseal_key_vault_key", "privyseal"),
        ("privyseal_key_vault_secret", "privyseal-sealing-key"),
        ("privyseal_client_id", "00000000-0000-0000-0000-000000000001"),
        ("privyseal_tenant_id", "00000000-0000-0000-0000-000000000002"),
        ("privyseal_azure_cloud", "public"),
        ("privyseal_image_registry", "registry.example.com"),
    ] {
        let variable = format!("${{{variable}}}");
        assert!(text.contains(&variable), "{variable} is not used");
        text = text.replace(&variable, value);
    }
    assert!(!text.contains("${"), "{text}");
    let mut documents = objects::documents(&text);
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

/// What the HelmRelease makes in the cluster.
fn installed(custody: &str) -> Vec<Value> {
    let spec = &release(custody)["spec"];
    let name = spec["releaseName"].as_str().unwrap();
    let namespace = spec["targetNamespace"].as_str().unwrap();
    helm::template_values(name, namespace, &spec["values"]).unwrap()
}

#[test]
fn flux_gets_each_variable_that_it_uses_and_no_other() {
    let flux = files(&folder().join("flux")).iter().map(|file| read(file)).collect::<String>();
    let used = variables(&flux);
    assert!(used.len() > 5, "{used:?}");
    for (language, text) in languages() {
        assert_eq!(variables(&text), used, "{language}");
    }
}

#[test]
fn the_release_gives_the_chart_values_that_it_takes() {
    let defaults =
        objects::documents(&read(&tools::repository().join("charts/privyseal/values.yaml"))).remove(0);
    for custody in CUSTODIES {
        let release = release(custody);
        for path in paths(&release["spec"]["values"], "") {
            assert!(defaults.pointer(&path).is_some(), "the chart has no value {path}");
        }
        let objects = installed(custody);
        let args =
            helm::one(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["args"].clone();
        for flag in [
            format!("--custody={custody}"),
            "--key-vault-url=https://example.vault.azure.net/".to_owned(),
            "--key-vault-key=privyseal".to_owned(),
            "--key-vault-secret=privyseal-sealing-key".to_owned(),
            "--azure-credential=workload-identity".to_owned(),
            "--azure-cloud=public".to_owned(),
        ] {
            assert!(args.as_array().unwrap().contains(&json!(flag)), "{flag} is not in {args}");
        }
    }
}

/// JSON pointers to all values.
fn paths(value: &Value, here: &str) -> Vec<String> {
    match value.as_object() {
        Some(map) => map.iter().flat_map(|(key, value)| paths(value, &format!("{here}/{key}"))).collect(),
        None => vec![here.to_owned()],
    }
}

#[test]
fn azure_trusts_the_account_and_the_audience_that_the_chart_makes() {
    let objects = installed("key-vault-wrapped");
    let account = &helm::one(&objects, "ServiceAccount")["metadata"];
    let (namespace, name) = (account["namespace"].as_str().unwrap(), account["name"].as_str().unwrap());
    let pod = &helm::one(&objects, "Deployment")["spec"]["template"]["spec"];
    let audience = pod["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["audience"].clone();
    let audience = audience.as_str().unwrap();

    let languages = languages();
    let wanted = [
        ("bicep", format!("var namespace = '{namespace}'\n")),
        ("bicep", format!("var serviceAccount = '{name}'\n")),
        ("bicep", "subject: 'system:serviceaccount:${namespace}:${serviceAccount}'\n".to_owned()),
        ("bicep", format!("audiences: [\n      '{audience}'\n    ]")),
        ("terraform", format!("namespace       = \"{namespace}\"\n")),
        ("terraform", format!("service_account = \"{name}\"\n")),
        ("terraform", "= \"system:serviceaccount:${local.namespace}:${local.service_account}\"\n".to_owned()),
        ("terraform", format!("= [\"{audience}\"]\n")),
        ("shell", format!("subject=system:serviceaccount:{namespace}:{name}\n")),
        ("shell", format!("audience={audience}\n")),
    ];
    for (language, line) in wanted {
        assert_eq!(languages[language].matches(&line).count(), 1, "{language}: {line}");
    }
}

#[test]
fn flux_objects_share_a_namespace_that_is_not_the_controllers() {
    let release = release("key-vault-wrapped");
    let namespace = release["metadata"]["namespace"].as_str().unwrap();
    let controller = release["spec"]["targetNamespace"].as_str().unwrap();
    assert_ne!(namespace, controller);
    assert_eq!(release["spec"]["storageNamespace"], controller);
    // The namespace is made with it, and its keys do not go with what is taken out of Git.
    let made = objects::documents(&read(&folder().join("flux/namespace.yaml"))).remove(0);
    assert_eq!(made["metadata"]["name"], controller);
    assert_eq!(made["metadata"]["annotations"]["kustomize.toolkit.fluxcd.io/prune"], "disabled");
    let source = &release["spec"]["chart"]["spec"]["sourceRef"];
    assert_eq!((&source["kind"], source.get("namespace")), (&json!("GitRepository"), None));
    let source = source["name"].as_str().unwrap();
    let chart = release["spec"]["chart"]["spec"]["chart"].as_str().unwrap();
    assert!(tools::repository().join(chart).join("Chart.yaml").is_file(), "{chart}");

    let languages = languages();
    let wanted = [
        ("bicep", format!("namespace: '{namespace}'\n")),
        ("bicep", format!("name: '{source}'\n  scope: cluster\n")),
        ("terraform", format!("namespace = \"{namespace}\"\n")),
        ("terraform", format!("name       = \"{source}\"\n  cluster_id")),
        ("shell", format!("\\\"namespace\\\":\\\"{namespace}\\\"")),
        ("shell", format!("/fluxConfigurations/{source}?")),
    ];
    for (language, line) in wanted {
        assert!(languages[language].contains(&line), "{language}: {line}");
    }
    // All three lead Flux to the same folder, which is there.
    for (language, text) in languages {
        assert_eq!(text.matches("./deploy/azure/flux").count(), 1, "{language}");
    }
    assert!(folder().join("flux/kustomization.yaml").is_file());
}

#[test]
fn roles_are_called_by_their_names_and_are_the_same_everywhere() {
    let all: BTreeSet<&str> = ROLES.iter().map(|(_, guid)| *guid).collect();
    let mut by_language = BTreeMap::new();
    let languages = languages();
    for (language, text) in &languages {
        by_language.insert(*language, guids(text));
    }
    // Only terraform makes the key with a role of the person's own.
    let mut terraform = by_language.remove("terraform").unwrap();
    assert!(terraform.remove("14b46e9e-c2b7-41b4-b07b-48a6ebf60603"));
    assert_eq!(by_language["bicep"], terraform);
    assert_eq!(by_language["shell"], terraform);

    // Wherever a role is named by its number, its name stands in the same paragraph.
    let mut seen = 0;
    let docs = tools::repository().join("docs/azure.md");
    for file in files(&folder()).into_iter().chain(docs.is_file().then_some(docs)) {
        let text = read(&file);
        for paragraph in text.split("\n\n") {
            for guid in guids(paragraph) {
                if guid.starts_with("00000000-") {
                    continue;
                }
                assert!(all.contains(guid), "{}: {guid} is no role of ours", file.display());
                let (name, _) = ROLES.iter().find(|(_, known)| known == &guid).unwrap();
                let short = name.strip_prefix("Key Vault ").unwrap();
                let plain = paragraph.replace("\n#", "").replace("\n//", "").replace("  ", " ");
                assert!(plain.contains(short), "{}: {guid} without its name {name}", file.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 9, "{seen}");
}

/// Runs `create.sh` with an `az` that answers as an Azure in which nothing is there, or gives the answers that `say` adds
/// to it. The answers are the words that a dry run puts in their place.
fn create(arguments: &[&str], say: &str) -> (Output, String) {
    let home = tempfile::tempdir().unwrap();
    let mut az = String::from("#!/usr/bin/env bash\n");
    write!(
        az,
        r#"
log() {{ printf '%q ' az "$@" >> {home}/log; printf '\n' >> {home}/log; }}
{say}
case "$*" in
    *"show-deleted"*) exit 3 ;;
    *"show"*"--query oidcIssuerProfile.issuerUrl"*) log "$@"; echo ISSUER ;;
    *"--query clientId"*) log "$@"; echo CLIENT_ID ;;
    *"--query principalId"*) log "$@"; echo PRINCIPAL_ID ;;
    *"--query tenantId"*) log "$@"; echo TENANT_ID ;;
    "aks show"*"--query id"*) log "$@"; echo CLUSTER_ID ;;
    "keyvault show"*"--query id"*) log "$@"; echo VAULT_ID ;;
    *"--query properties.vaultUri"*) log "$@"; echo VAULT_URL ;;
    "cloud show"*) log "$@"; echo AzureCloud ;;
    *"--query properties.provisioningState"*) log "$@"; echo Succeeded ;;
    *" show "*) exit 3 ;;
    *) log "$@" ;;
esac
"#,
        home = home.path().display()
    )
    .unwrap();
    let program = home.path().join("az");
    fs::write(&program, az).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", home.path().display(), std::env::var("PATH").unwrap());
    let mut bash = Command::new("bash");
    bash.arg(folder().join("create.sh")).args(arguments).env("PATH", path);
    let output = bash.output().unwrap();
    (output, fs::read_to_string(home.path().join("log")).unwrap_or_default())
}

fn arguments<'a>(custody: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let arguments = ["--custody", custody, "--resource-group", "rg", "--vault", "v", "--cluster", "c"];
    arguments.iter().chain(more).copied().collect()
}

#[test]
fn a_dry_run_prints_what_would_be_run_and_asks_no_azure() {
    for custody in CUSTODIES {
        for cluster in [&[][..], &["--create-cluster"]] {
            let more = [cluster, &["--git-url", "https://git.example.com/privyseal.git"]].concat();
            let (done, ran) = create(&arguments(custody, &more), "");
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            let dry = [&more[..], &["--dry-run"]].concat();
            let (printed, asked) = create(&arguments(custody, &dry), "");
            assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
            assert_eq!(asked, "");
            assert_eq!(String::from_utf8_lossy(&printed.stdout), ran);
            // The role for what the custody needs, and for nothing else.
            let scopes: Vec<&str> = ran
                .lines()
                .filter(|line| line.starts_with("az role assignment create "))
                .filter_map(|line| line.split("--scope ").nth(1)?.split(' ').next())
                .collect();
            let wanted: &[&str] = match custody {
                "key-vault-wrapped" => &["VAULT_ID/keys/privyseal"],
                _ => &[
                    "VAULT_ID/secrets/privyseal-sealing-key",
                    "VAULT_ID/secrets/privyseal-sealing-key-publisher",
                ],
            };
            assert_eq!(scopes, wanted);
        }
    }
}

#[test]
fn without_flux_the_values_of_the_chart_are_printed() {
    let (done, _) = create(&arguments("key-vault-secret", &[]), "");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let text = String::from_utf8(done.stdout).unwrap();
    let values: Vec<String> = text
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .map(|line| line.replace("VAULT_URL", "https://v.vault.azure.net/").replace("_ID", "-ID"))
        .collect();
    assert!(values.len() > 5, "{text}");
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    helm::template(&values).unwrap();
}

#[test]
fn what_is_there_already_is_looked_at_before_it_is_used() {
    let arguments = arguments("key-vault-wrapped", &[]);
    // A vault that was deleted may hold the key that opens everything.
    let (done, ran) = create(&arguments, r#"case "$*" in "keyvault show-deleted"*) exit 0 ;; esac"#);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("az keyvault recover --name v"), "{said}");
    assert!(!ran.contains("keyvault create"), "{ran}");

    let there = |by_roles: &str| {
        format!(
            r#"case "$*" in
                *enableRbacAuthorization*) echo {by_roles}; exit 0 ;;
                "keyvault show "*--query*) ;;
                "keyvault show "*) exit 0 ;;
            esac"#
        )
    };
    // One that goes by access policies would not know the role.
    let (done, ran) = create(&arguments, &there("false"));
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("goes by access policies"), "{said}");
    assert!(!ran.contains("role assignment"), "{ran}");
    // One that will do is protected, and not made again.
    let (done, ran) = create(&arguments, &there("true"));
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert!(ran.contains("keyvault update") && ran.contains("--enable-purge-protection true"), "{ran}");
    assert!(!ran.contains("keyvault create"), "{ran}");
}

#[test]
fn the_readme_names_every_file() {
    let readme = read(&folder().join("README.md"));
    for file in files(&folder()) {
        let name = file.strip_prefix(folder()).unwrap().display().to_string();
        let is_named = name == "README.md" || readme.contains(&format!("`{name}`"));
        assert!(is_named, "deploy/azure/README.md does not name {name}");
    }
}

/// In the docs, what is given to the chart by `--set` is a value of it.
#[test]
fn values_that_the_docs_set_are_the_charts() {
    let root = tools::repository();
    let defaults = objects::documents(&read(&root.join("charts/privyseal/values.yaml"))).remove(0);
    let mut docs = files(&root.join("docs"));
    docs.extend([
        root.join("README.md"),
        root.join("charts/privyseal/README.md"),
        folder().join("README.md"),
    ]);
    let mut seen = 0;
    for file in docs.iter().filter(|file| file.extension().is_some_and(|extension| extension == "md")) {
        for after in read(file).split("--set ").skip(1) {
            // `--set a.b=c` and `--set 'a.b={c}'`; elsewhere it is spoken of.
            let name: String = after
                .trim_start_matches('\'')
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '.')
                .collect();
            if after.trim_start_matches('\'')[name.len()..].starts_with('=') {
                let pointer = format!("/{}", name.replace('.', "/"));
                assert!(defaults.pointer(&pointer).is_some(), "{}: no value {name}", file.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 5, "{seen}");
}
