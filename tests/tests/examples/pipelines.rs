//! Pipelines and hooks of the example, as their services read them.

use super::read;
use privyseal_tests::example;
use serde_json::{Value, json};

/// Each file with the commands in it.
pub(crate) fn scripts() -> Vec<(&'static str, Vec<String>)> {
    let files = [
        ".github/workflows/secrets.yaml",
        ".gitlab-ci.yml",
        "azure-pipelines.yml",
        ".pre-commit-config.yaml",
    ];
    let scripts = files.map(|name| {
        let mut found = Vec::new();
        collect(&pipeline(name), &mut found);
        assert!(!found.is_empty(), "{name} runs nothing");
        (name, found)
    });
    scripts.to_vec()
}

fn pipeline(name: &str) -> Value {
    let mut documents = read(&example::original().join(name));
    assert_eq!(documents.len(), 1, "{name}");
    documents.remove(0)
}

/// What stands where a service looks for a script: `run` at GitHub, `script` and `before_script` at GitLab, `script` and
/// `bash` at Azure DevOps, `entry` of pre-commit.
fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Object(fields) => {
            for (key, value) in fields {
                let is_script = ["run", "script", "before_script", "bash", "entry"].contains(&key.as_str());
                match value {
                    Value::String(text) if is_script => found.push(text.clone()),
                    Value::Array(lines) if is_script && lines.iter().all(Value::is_string) => {
                        let lines: Vec<_> = lines.iter().filter_map(Value::as_str).collect();
                        found.push(lines.join("\n"));
                    }
                    value => collect(value, found),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn each_looks_at_pull_requests_and_once_a_week() {
    let github = pipeline(".github/workflows/secrets.yaml");
    assert!(github["on"].as_object().unwrap().contains_key("pull_request"), "{github}");
    assert_eq!(github["on"]["schedule"][0]["cron"], "17 5 * * 1");
    // Read is all that it may, whatever the settings of the repository are.
    assert_eq!(github["permissions"], json!({"contents": "read"}));

    let gitlab = pipeline(".gitlab-ci.yml");
    let rules = gitlab["secrets"]["rules"].to_string();
    assert!(rules.contains("merge_request_event"), "{rules}");
    assert!(gitlab["old-keys"]["rules"].to_string().contains("schedule"));
    for job in ["secrets", "old-keys"] {
        let template = gitlab[job]["extends"].as_str().unwrap();
        assert!(gitlab[template].is_object(), "{template}");
    }

    let azure = pipeline("azure-pipelines.yml");
    assert_eq!(azure["pr"]["branches"]["include"], json!(["main"]));
    assert_eq!(azure["schedules"][0]["cron"], "17 5 * * 1");
}

/// Annotations are those of the service that reads them.
#[test]
fn each_says_it_in_the_words_of_its_service() {
    let scripts = scripts();
    let of = |wanted: &str| scripts.iter().find(|(name, _)| *name == wanted).unwrap().1.join("\n");
    assert_eq!(of(".github/workflows/secrets.yaml").matches("lint --format github").count(), 2);
    assert_eq!(of("azure-pipelines.yml").matches("lint --format azure-devops").count(), 2);
    assert_eq!(of(".gitlab-ci.yml").matches("lint --format gitlab > gl-code-quality-report.json").count(), 1);
    let report = &pipeline(".gitlab-ci.yml")["secrets"]["artifacts"];
    assert_eq!(report["reports"]["codequality"], "gl-code-quality-report.json");
    assert_eq!(report["when"], "always", "a job that fails has something to show");
}

/// The crate that they build is there, under that name.
#[test]
fn what_they_install_is_in_this_workspace() {
    let manifest =
        std::fs::read_to_string(privyseal_tests::tools::repository().join("cli/Cargo.toml")).unwrap();
    assert!(manifest.contains("\nname = \"privyseal\"\n"));
    for (name, scripts) in scripts() {
        let installs = scripts.join("\n").matches("cargo install --locked").count();
        assert_eq!(installs, usize::from(name != ".pre-commit-config.yaml"), "{name}");
    }
}
