//! What differs where a vault keeps the keys: what lies in the cluster, what a restart asks for, and a vault that is away.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Custody;
use super::cluster::Controller;
use super::offline::PASSWORD;
use super::online::{Stage, TEAM};
use super::vault::Vault;
use crate::generate::NAMESPACE;

const KEY_LABEL: &str = "sealedsecrets.bitnami.com/sealed-secrets-key";
/// How many keys there are at this point of the story: one that seals, and the publisher's.
const KEYS: &str = "2";

pub(super) fn tell(stage: &Stage<'_>, vault: &Vault, controller: &mut Option<Controller>) -> Result<()> {
    in_the_cluster(stage, vault)?;
    restarted(stage, vault, controller)?;
    away(stage, vault, controller)
}

/// What is there instead of a private key.
fn in_the_cluster(stage: &Stage<'_>, vault: &Vault) -> Result<()> {
    let story = stage.story;
    story.chapter("What lies in the cluster");
    story.say(match vault.custody() {
        Custody::KeyVaultWrapped => {
            "The key's Secret has its certificate and, in custody.json, the private half encrypted by a key that is \
             itself encrypted by a key of the vault, which never leaves the vault."
        }
        _ => {
            "The key's Secret has its certificate and, in custody.json, the name and version of the secret in the vault \
             that is the private half."
        }
    });
    let key = |item: &str| {
        format!(
            "kubectl -n {NAMESPACE} get secret -l {KEY_LABEL} -o jsonpath='{{.items[0].data.{item}}}' | base64 -d"
        )
    };
    let lines = r#"sed 's/":"/": "/g; s/,"/,\n"/g'"#;
    let reference = story.run(&format!("{} | {lines}", key(r"custody\.json")))?;
    let reference: Value = serde_json::from_str(&reference).context("custody.json is JSON")?;
    story.claim("it names the custody", reference["custody"] == vault.custody().name())?;
    let private = story.run(&format!("{} | wc --bytes", key(r"tls\.key")))?;
    story.claim("where the private key would be is nothing", private.trim() == "0")?;
    let publisher = format!(
        "kubectl -n {NAMESPACE} get secret privyseal-publisher-key -o jsonpath='{{.data.publisher\\.key}}' | wc --bytes"
    );
    let private = story.run(&publisher)?;
    story.claim("nor is the key that signs certificates", private.trim() == "0")?;
    let all = "{{range .items}}{{range .data}}{{base64decode .}}{{end}}{{end}}";
    story
        .run(&format!("! kubectl -n {NAMESPACE} get secrets -o go-template='{all}' | grep 'PRIVATE KEY'"))?;
    story.conclude("no Secret of that namespace holds a private key");
    Ok(())
}

/// One call for each key.
fn restarted(stage: &Stage<'_>, vault: &Vault, controller: &mut Option<Controller>) -> Result<()> {
    let story = stage.story;
    story.chapter("Restarted");
    story.say(
        "The controller has keys in memory only. When it starts it asks the vault once for each key, however many objects \
         there are. The vault writes down what it is asked; from here on it begins anew, and the controller is started \
         again.",
    );
    *controller = None;
    story.run(": > vault/calls")?;
    *controller = Some(stage.start_controller()?);
    story.run(&format!("kubectl -n {TEAM} delete secret db"))?;
    stage.the_password_is_there()?;
    story.conclude("it opens again");
    let fetching = vault.fetching();
    story.until(&format!("grep --count '^controller {fetching} ' vault/calls"), |calls| {
        calls.trim() == KEYS
    })?;
    story.run("sort vault/calls | uniq --count")?;
    story.say("Calls without a token are how a client learns where to get one.");
    story.conclude("one call for the sealing key, and one for the publisher key");
    Ok(())
}

/// What happens when the vault cannot be reached.
fn away(stage: &Stage<'_>, vault: &Vault, controller: &mut Option<Controller>) -> Result<()> {
    let story = stage.story;
    story.chapter("Without the vault");
    story.say(
        "Now the vault cannot be reached, and the controller is started again: the worst moment for it.",
    );
    story.run("touch vault/away")?;
    vault.is(story, "away")?;
    *controller = None;
    *controller = Some(stage.start_controller()?);
    story.say("Sealing needs no vault: the certificate is enough.");
    let secret = format!(
        "kubectl create secret generic api -n {TEAM} --from-literal=token=t --dry-run=client -o yaml"
    );
    story.run(&format!(
        "{secret} | privyseal seal --cert cluster.pem > api.yaml && kubectl apply -f api.yaml"
    ))?;
    let conditions = r#"{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}"#;
    let status = format!("kubectl -n {TEAM} get sealedsecret api -o jsonpath='{conditions}'");
    story.until(&status, |status| status.contains("Reconciling=True KeyVaultUnavailable"))?;
    let there = story
        .run(&format!("kubectl -n {TEAM} get secret db -o jsonpath='{{.data.password}}' | base64 -d"))?;
    story.claim(
        "the new one waits and says why; the Secret that was there stays as it is",
        there == PASSWORD,
    )?;
    story.say("The vault is back, and nobody touches the controller.");
    story.run("rm vault/away")?;
    vault.is(story, "there")?;
    story.run(&format!("kubectl -n {TEAM} wait sealedsecret/api --for condition=Ready --timeout 60s"))?;
    let token = format!("kubectl -n {TEAM} get secret api -o jsonpath='{{.data.token}}' | base64 -d");
    story.until(&token, |token| token == "t")?;
    story.conclude("it opened as soon as it could");
    story.run(&format!("kubectl -n {TEAM} delete sealedsecret api"))?;
    Ok(())
}
