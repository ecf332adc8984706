//! The chart, rendered: what a custody in Key Vault makes of the pod, and which values are refused.

use std::process::Command;

use privyseal_tests::{objects, tools};
use serde_json::{Value, json};

use crate::helm;

const WORKLOAD: &[&str] = &[
    "custody=key-vault-wrapped",
    "keyVault.url=https://v.vault.azure.net",
    "azure.clientId=client",
    "azure.tenantId=tenant",
];

fn with(more: &[&'static str]) -> Vec<&'static str> {
    WORKLOAD.iter().chain(more).copied().collect()
}

fn pod(objects: &[Value]) -> &Value {
    &helm::one(objects, "Deployment")["spec"]["template"]
}

fn args(objects: &[Value]) -> Vec<&str> {
    let args = pod(objects)["spec"]["containers"][0]["args"].as_array().unwrap();
    args.iter().map(|arg| arg.as_str().unwrap()).collect()
}

fn env<'a>(objects: &'a [Value], name: &str) -> Option<&'a Value> {
    let env = pod(objects)["spec"]["containers"][0]["env"].as_array().unwrap();
    let found: Vec<_> = env.iter().filter(|entry| entry["name"] == name).collect();
    assert!(found.len() < 2, "{name} twice: {found:?}");
    found.first().map(|entry| entry.get("value").unwrap_or(&entry["valueFrom"]))
}

/// The ports that a rule of the NetworkPolicy lets out to, with the address that it is for.
fn ways_out(objects: &[Value]) -> Vec<(u64, Option<&str>)> {
    let rules = helm::one(objects, "NetworkPolicy")["spec"]["egress"].as_array().unwrap();
    rules
        .iter()
        .flat_map(|rule| {
            let to = rule["to"][0]["ipBlock"]["cidr"].as_str();
            rule["ports"].as_array().unwrap().iter().map(move |port| (port["port"].as_u64().unwrap(), to))
        })
        .collect()
}

#[test]
fn without_a_vault_nothing_speaks_of_azure() {
    // Values that only mean something with a vault do nothing without one.
    let objects = helm::template(&["keyVault.key=other", "azure.clientId=client", "azure.ca.configMap=ca"]);
    let objects = objects.unwrap();
    assert_eq!(args(&objects), ["--key-prefix=sealed-secrets-key"]);
    assert!(pod(&objects)["spec"].get("volumes").is_none());
    let text = pod(&objects).to_string();
    assert!(!text.to_lowercase().contains("azure") && !text.contains("vault"), "{text}");
    let objects = helm::template(&["networkPolicy.enabled=true"]).unwrap();
    assert_eq!(ways_out(&objects), [(443, None), (6443, None)]);
}

#[test]
fn workload_identity_brings_a_token_of_its_own_and_asks_no_webhook() {
    let objects = helm::template(&with(&["azure.tokenExpirationSeconds=7200"])).unwrap();
    let pod = pod(&objects);
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let [volume] = &volumes[..] else { panic!("{volumes:?}") };
    let token = &volume["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(token["audience"], "api://AzureADTokenExchange");
    assert_eq!(token["expirationSeconds"], 7200);
    let mounts = pod["spec"]["containers"][0]["volumeMounts"].as_array().unwrap();
    let [mount] = &mounts[..] else { panic!("{mounts:?}") };
    assert_eq!((&mount["name"], &mount["readOnly"]), (&volume["name"], &json!(true)));
    let file = format!("{}/{}", mount["mountPath"].as_str().unwrap(), token["path"].as_str().unwrap());
    assert_eq!(env(&objects, "AZURE_FEDERATED_TOKEN_FILE"), Some(&json!(file)));
    assert_eq!(env(&objects, "AZURE_CLIENT_ID"), Some(&json!("client")));
    assert_eq!(env(&objects, "AZURE_TENANT_ID"), Some(&json!("tenant")));
    assert_eq!(env(&objects, "AZURE_AUTHORITY_HOST"), None);
    // The webhook, where there is one, is not asked, and what it would mount lies elsewhere.
    assert!(pod["metadata"]["labels"].get("azure.workload.identity/use").is_none());
    assert!(!file.starts_with("/var/run/secrets/azure/"), "{file}");
    assert_ne!(volume["name"], "azure-identity-token");
}

#[test]
fn a_flag_is_made_of_each_value_that_is_set_and_of_no_other() {
    let least = helm::template(WORKLOAD).unwrap();
    let wanted = [
        "--key-prefix=sealed-secrets-key",
        "--azure-credential=workload-identity",
        "--custody=key-vault-wrapped",
        "--key-vault-url=https://v.vault.azure.net",
    ];
    assert_eq!(args(&least), wanted);

    let all = helm::template(&with(&[
        "keyVault.key=k",
        "keyVault.secret=s",
        "keyVault.pollInterval=1m",
        "keyVault.budget=7",
        "keyVault.hsm.key=values",
        "keyVault.hsm.versions={00000000000000000000000000000001,00000000000000000000000000000002}",
        "keyVault.hsm.budget=9",
        "keyVault.hsm.cache=0",
        "keyVault.hsm.cacheTtl=5m",
        "azure.cloud=china",
        "azure.authorityHost=https://login.example.com",
        "azure.ca.configMap=roots",
        "azure.ca.key=bundle.pem",
    ]));
    let all = all.unwrap();
    for flag in [
        "--key-vault-key=k",
        "--key-vault-secret=s",
        "--key-vault-poll-interval=1m",
        "--key-vault-budget=7",
        "--hsm-key=values",
        "--hsm-key-version=00000000000000000000000000000001",
        "--hsm-key-version=00000000000000000000000000000002",
        "--hsm-budget=9",
        "--hsm-cache=0",
        "--hsm-cache-ttl=5m",
        "--azure-cloud=china",
    ] {
        assert!(args(&all).contains(&flag), "{flag} is not in {:?}", args(&all));
    }
    assert_eq!(env(&all, "AZURE_AUTHORITY_HOST"), Some(&json!("https://login.example.com")));
    let spec = &pod(&all)["spec"];
    let volume = spec["volumes"].as_array().unwrap().iter().find(|volume| !volume["configMap"].is_null());
    let (volume, mount) = (volume.unwrap(), &spec["containers"][0]["volumeMounts"][1]);
    assert_eq!((&mount["name"], &mount["readOnly"]), (&volume["name"], &json!(true)));
    assert_eq!(
        (&volume["configMap"]["name"], &volume["configMap"]["items"][0]["key"]),
        (&json!("roots"), &json!("bundle.pem"))
    );
    let file = format!(
        "--azure-ca-file={}/{}",
        mount["mountPath"].as_str().unwrap(),
        volume["configMap"]["items"][0]["path"].as_str().unwrap()
    );
    assert!(args(&all).contains(&file.as_str()), "{file} is not in {:?}", args(&all));
}

#[test]
fn on_the_way_back_custody_is_cluster_and_the_vault_is_there() {
    let objects = helm::template(&with(&["custody=cluster"])).unwrap();
    assert!(args(&objects).contains(&"--key-vault-url=https://v.vault.azure.net"));
    assert!(!args(&objects).iter().any(|arg| arg.starts_with("--custody")), "{:?}", args(&objects));
    assert!(env(&objects, "AZURE_FEDERATED_TOKEN_FILE").is_some());
}

#[test]
fn a_client_secret_is_neither_a_flag_nor_a_value() {
    let objects =
        helm::template(&with(&["azure.credential=client-secret", "azure.clientSecret.secret=application"]))
            .unwrap();
    let reference = json!({"secretKeyRef": {"name": "application", "key": "client-secret"}});
    assert_eq!(env(&objects, "AZURE_CLIENT_SECRET"), Some(&reference));
    assert_eq!(env(&objects, "AZURE_FEDERATED_TOKEN_FILE"), None);
    assert!(pod(&objects)["spec"].get("volumes").is_none());
}

#[test]
fn the_network_policy_lets_out_to_what_the_credential_needs() {
    let policy = "networkPolicy.enabled=true";
    let workload = helm::template(&with(&[policy])).unwrap();
    let wanted = [(443, None), (6443, None), (443, None), (53, None), (53, None)];
    assert_eq!(ways_out(&workload), wanted);
    let managed = helm::template(&with(&[policy, "azure.credential=managed-identity"])).unwrap();
    let mut wanted = wanted.to_vec();
    wanted.push((80, Some("169.254.169.254/32")));
    assert_eq!(ways_out(&managed), wanted);
}

#[test]
fn values_that_cannot_work_are_refused_with_their_name_and_the_cure() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["custody=key-vault-secret"], &["keyVault.url is empty", "custody key-vault-secret", "set it to"]),
        (&["custody=key-vault-wrapped"], &["keyVault.url is empty", "custody key-vault-wrapped"]),
        (&["keyVault.url=http://v.vault.azure.net"], &["keyVault.url is \"http://v.v", "set it to https://"]),
        (&["keyVault.url=https://v.vault.azure.net/keys/k"], &["keyVault.url is", "nothing behind it"]),
        (&["keyVault.url=https://user@v.vault.azure.net"], &["keyVault.url is"]),
        (
            &["keyVault.url=https://v.vault.azure.net", "azure.tenantId=tenant"],
            &["azure.clientId is empty", "workload-identity", "ServiceAccount"],
        ),
        (
            &["keyVault.url=https://v.vault.azure.net", "azure.clientId=client"],
            &["azure.tenantId is empty", "workload-identity", "set it to the tenant's id"],
        ),
        (
            &["keyVault.url=https://v.vault.azure.net", "azure.credential=client-secret"],
            &["azure.clientId is empty", "client-secret", "application"],
        ),
        (
            &[
                "keyVault.url=https://v.vault.azure.net",
                "azure.credential=client-secret",
                "azure.clientId=client",
                "azure.tenantId=tenant",
            ],
            &["azure.clientSecret.secret is empty", "namespace there", "item client-secret"],
        ),
        // What has no cure to tell is left to the schema.
        (&["custody=key-vault-hsm"], &["/custody", "'key-vault-wrapped'"]),
        (&["azure.credential=azure-cli"], &["/azure/credential"]),
        (&["azure.tokenExpirationSeconds=60"], &["/azure/tokenExpirationSeconds"]),
        (&["keyVault.budget=0"], &["/keyVault/budget"]),
        (&["keyVault.hsm.key=values"], &["keyVault.url is empty", "keyVault.hsm.key needs it"]),
        (&["keyVault.hsm.versions={latest}"], &["/keyVault/hsm/versions/0"]),
        (&["keyVault.hsm.budget=0"], &["/keyVault/hsm/budget"]),
        (&["keyVault.vault=v"], &["/keyVault", "vault"]),
    ];
    for (values, words) in cases {
        let refusal = helm::template(values).expect_err(&format!("{values:?} is taken"));
        for word in *words {
            assert!(refusal.contains(word), "{word:?} is not in the refusal of {values:?}:\n{refusal}");
        }
    }
    // Each refusal is of what is wrong and of nothing else: with managed identity an address is enough.
    let least = [
        "custody=key-vault-secret",
        "keyVault.url=https://v.vault.azure.net/",
        "azure.credential=managed-identity",
    ];
    assert_eq!(env(&helm::template(&least).unwrap(), "AZURE_CLIENT_ID"), None);
}

/// Of all values that the chart is tried with.
#[test]
fn every_flag_that_the_chart_makes_is_one_of_the_controllers() {
    let help = Command::new(tools::privyseal_controller()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let known: Vec<&str> = help.split(|c: char| c.is_whitespace() || ",=[".contains(c)).collect();
    let mut seen = 0;
    for entry in std::fs::read_dir(tools::repository().join("charts/privyseal/ci")).unwrap() {
        let path = entry.unwrap().path();
        let values = objects::documents(&std::fs::read_to_string(&path).unwrap()).remove(0);
        let objects = helm::template_values("here", "there", &values).unwrap();
        for arg in args(&objects) {
            let flag = arg.split('=').next().unwrap();
            assert!(known.contains(&flag), "{}: the controller has no flag {flag}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 20, "{seen}");
}
