//! The half on a real control plane: install, commit, apply, open, repair, rotate, reseal, refuse.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::cluster::{ControlPlane, Controller};
use super::offline::{PASSWORD, SECRET};
use super::story::Story;
use super::vault::Vault;
use super::{Custody, keys_in_a_vault};
use crate::generate::{CHART, NAMESPACE, RELEASE};
use crate::workspace::Workspace;

/// Where the developer's Secret lives; the same as in the first half.
pub(super) const TEAM: &str = "privyseal-demo";
/// Where somebody else would like to have it.
const THIEF: &str = "privyseal-demo-thief";

pub(super) fn tell(
    workspace: &Workspace,
    story: &mut Story,
    kubeconfig: Option<&Path>,
    custody: Custody,
) -> Result<()> {
    // Each is dropped before the one above it: the controller, then what the demo made, the vault, the control plane.
    let own_cluster = match kubeconfig {
        Some(file) => {
            story.chapter("Your cluster");
            story.use_kubeconfig(file);
            None
        }
        None => {
            story.chapter("A real control plane");
            story.say(
                "etcd, kube-apiserver and kube-controller-manager of one Kubernetes release, in one process, from \
                 their own sources. There is no kubelet, so no pod will run.",
            );
            let control_plane = ControlPlane::start(workspace, &story.backstage().join("control-plane"))?;
            story.use_kubeconfig(&control_plane.kubeconfig);
            Some(control_plane)
        }
    };
    story.run("kubectl version")?;
    // Before there is a stage, whose end removes things.
    refuse_a_cluster_in_use(story)?;
    let vault = match (custody, &own_cluster) {
        (Custody::Cluster, _) | (_, None) => None,
        (custody, Some(control_plane)) => {
            story.chapter("A vault");
            story.say(
                "This is not Azure: vault and identity provider are doubles that the tests of Privyseal use too, on \
                 this machine, and they forget everything at the end. What speaks to them is the real thing: the controller \
                 with the official SDK, over TLS, with a token of its ServiceAccount that this control plane signs and \
                 the identity provider verifies.",
            );
            let vault = Vault::start(workspace, story, &control_plane.kubeconfig, custody)?;
            story.run("cat vault/url")?;
            Some(vault)
        }
    };
    let stage = Stage { workspace, story, vault: vault.as_ref(), remove_at_the_end: own_cluster.is_none() };
    let mut controller = Some(stage.install()?);
    let told = stage
        .the_path()
        .and_then(|()| {
            vault.as_ref().map_or(Ok(()), |vault| keys_in_a_vault::tell(&stage, vault, &mut controller))
        })
        .and_then(|()| stage.keys_and_thieves());
    if let Err(error) = told {
        if let Some(controller) = controller {
            // Why it went wrong is often in there.
            eprintln!("The end of the controller's log:\n{}", controller.last_words());
        }
        return Err(error);
    }
    stage.story.chapter("The end");
    stage.story.say(
        "Everything that the demo made goes now. `cargo xtask up` leaves a control plane running to work with by \
         hand; README.md tells how to install Privyseal in a cluster.",
    );
    Ok(())
}

/// Two controllers for one kind of object would quarrel, and removing the CRD would remove all its objects.
fn refuse_a_cluster_in_use(story: &Story) -> Result<()> {
    let there = story.backstage_run("kubectl get customresourcedefinitions,namespaces -o name")?;
    let ours = [NAMESPACE, TEAM, THIEF].map(|namespace| format!("namespace/{namespace}"));
    let crd = "customresourcedefinition.apiextensions.k8s.io/sealedsecrets.bitnami.com".to_owned();
    for name in ours.into_iter().chain([crd]) {
        ensure!(
            !there.lines().any(|line| line == name),
            "this cluster has a {name} already: take another one or, if it is from a demo that was interrupted, \
             remove it with `kubectl delete {name}`"
        );
    }
    Ok(())
}

/// The cluster with our things in it.
pub(super) struct Stage<'a> {
    workspace: &'a Workspace,
    pub(super) story: &'a Story,
    /// What keeps the keys, if the cluster does not.
    vault: Option<&'a Vault>,
    /// True in a cluster that lives on.
    remove_at_the_end: bool,
}

impl Stage<'_> {
    /// Applies the chart and starts the controller.
    fn install(&self) -> Result<Controller> {
        let story = self.story;
        story.chapter("Installed");
        story.say("The chart brings the CRD, the ServiceAccount and its rights, and a Deployment.");
        let chart = self.workspace.root().join(CHART);
        let custody = self.vault.map(Vault::values).unwrap_or_default();
        story.run(&format!("kubectl create namespace {NAMESPACE}"))?;
        story.run(&format!(
            "helm template {RELEASE} {} --namespace {NAMESPACE} --include-crds --set replicas=0{custody} \
             > privyseal.yaml",
            chart.display()
        ))?;
        story.run("kubectl apply -f privyseal.yaml")?;
        story.say(
            "Without a registry there is no image to run, hence no replicas. The controller runs here, as a process, with a token of \
             that ServiceAccount and nothing more. It finds no key, so it makes one and publishes its certificate.",
        );
        let mut controller = self.start_controller()?;
        let published = format!("kubectl -n {NAMESPACE} get configmap privyseal-sealing-keys");
        story.until(&published, |_| true).inspect_err(|_| eprintln!("{}", controller.last_words()))?;
        controller.check()?;
        Ok(controller)
    }

    /// Starts a controller; it may not be ready yet.
    pub(super) fn start_controller(&self) -> Result<Controller> {
        Controller::start(self.workspace, self.story, self.vault)
    }

    /// Seal, commit, apply, open, repair.
    fn the_path(&self) -> Result<()> {
        let story = self.story;
        let context = self.context()?;
        story.chapter("Sealed and committed");
        story.say(
            "A developer gets the certificate once, seals, and commits. None of it needs a right to read \
             Secrets.",
        );
        story.run(&format!("privyseal keys fetch --context {context} --out-file cluster.pem"))?;
        story.file("secret.yaml", SECRET)?;
        story.run("mkdir repository")?;
        story.run("privyseal seal --cert cluster.pem secret.yaml --out-file repository/db.yaml")?;
        story.run("git -C repository init --quiet --initial-branch main && git -C repository add db.yaml")?;
        story.run(
            "git -C repository -c user.name=dev -c user.email=dev@example.com commit --quiet -m 'Add a password'",
        )?;
        story.run("git -C repository log --stat --format='%an: %s'")?;
        story.chapter("Applied and opened");
        story.say("Flux or Argo CD would apply it from here. We do it by hand.");
        story.run(&format!("kubectl create namespace {TEAM}"))?;
        story.run("kubectl apply -f repository/db.yaml")?;
        story.run(&format!("kubectl -n {TEAM} wait sealedsecret/db --for condition=Ready --timeout 60s"))?;
        story.run(&format!("kubectl -n {TEAM} get sealedsecret,secret"))?;
        self.the_password_is_there()?;
        story.conclude("the Secret in the cluster holds the password");

        story.chapter("Changed by hand");
        story.say("Somebody changes the Secret.");
        story.run(&format!(
            "kubectl -n {TEAM} patch secret db -p '{{\"stringData\":{{\"password\":\"changed\"}}}}'"
        ))?;
        self.the_password_is_there()?;
        story.conclude("the controller put it right");
        story.say("Somebody deletes it.");
        story.run(&format!("kubectl -n {TEAM} delete secret db"))?;
        self.the_password_is_there()?;
        story.conclude("the controller made it again");
        Ok(())
    }

    /// A new key, and a value in the wrong place.
    fn keys_and_thieves(&self) -> Result<()> {
        let story = self.story;
        let context = self.context()?;
        story.chapter("Rotated");
        story.say("A new sealing key, made and signed by the controller; the old key goes on opening.");
        story.run(&format!("privyseal keys rotate --context {context}"))?;
        story.run(&format!("kubectl -n {TEAM} delete secret db"))?;
        self.the_password_is_there()?;
        story.conclude("what was sealed with the old key still opens");

        story.chapter("Resealed and retired");
        match self.vault {
            None => story.say(
                "What is in Git moves to the new key. Somebody who holds the keys does it here; without --key the \
                 controller would.",
            ),
            Some(_) => story.say(
                "What is in Git moves to the new key. Somebody with a role in the vault does it here: with Azure it \
                 would be `az login` and --key-vault, and nothing else. Without --key the controller would.",
            ),
        }
        story.run(&format!(
            "kubectl -n {NAMESPACE} get secrets -l sealedsecrets.bitnami.com/sealed-secrets-key -o yaml > keys.yaml"
        ))?;
        let (operator, vault) = match self.vault {
            None => ("", String::new()),
            Some(vault) => (". vault/operator.env && ", format!(" {}", vault.options())),
        };
        story.run(&format!(
            "{operator}privyseal reseal repository --context {context} --key keys.yaml{vault} && rm keys.yaml"
        ))?;
        story.run("git -C repository diff --stat")?;
        story.run("kubectl apply -f repository/db.yaml")?;
        let nothing_left = |report: &str| {
            let old = report.lines().find(|line| line.contains("opening only"));
            old.is_some_and(|line| line.split_whitespace().rev().nth(1) == Some("0"))
        };
        story.until(&format!("privyseal keys report repository --context {context}"), nothing_left)?;
        let old = format!("privyseal keys list --context {context} | awk '/opening only/ {{print $1}}'");
        story.run(&format!("privyseal keys retire $({old}) repository --context {context}"))?;
        story.run(&format!("kubectl -n {TEAM} delete secret db"))?;
        self.the_password_is_there()?;
        story.conclude("the old key opens nothing any more, and nothing needs it");

        story.chapter("Stolen");
        story.say(
            "Somebody applies the sealed value, which all can read in Git, in a namespace of their own.",
        );
        story.run(&format!("kubectl create namespace {THIEF}"))?;
        story.run(&format!(
            "sed 's/namespace: {TEAM}/namespace: {THIEF}/' repository/db.yaml | kubectl apply -f -"
        ))?;
        story.run(&format!(
            "kubectl -n {THIEF} wait sealedsecret/db --for condition=Ready=false --timeout 60s"
        ))?;
        let conditions = r#"{range .status.conditions[*]}{.type}={.status} {.reason}: {.message}{"\n"}{end}"#;
        story.run(&format!("kubectl -n {THIEF} get sealedsecret db -o jsonpath='{conditions}'"))?;
        let secrets = story.run(&format!("kubectl -n {THIEF} get secrets -o name"))?;
        story.claim("there is no Secret in that namespace", secrets.is_empty())
    }

    pub(super) fn the_password_is_there(&self) -> Result<()> {
        let command = format!("kubectl -n {TEAM} get secret db -o jsonpath='{{.data.password}}' | base64 -d");
        self.story.until(&command, |password| password == PASSWORD)?;
        Ok(())
    }

    fn context(&self) -> Result<String> {
        let context = self.story.backstage_run("kubectl config current-context")?;
        let context = context.trim();
        // It becomes part of a shell command; the names that clusters get are tame enough.
        let tame = |c: char| c.is_ascii_alphanumeric() || "-_.:/@".contains(c);
        ensure!(
            context.chars().all(tame),
            "the context {context:?} has characters that the demo does not take"
        );
        Ok(context.to_owned())
    }
}

impl Drop for Stage<'_> {
    fn drop(&mut self) {
        if !self.remove_at_the_end {
            return;
        }
        eprintln!("Removing what the demo made in your cluster …");
        for command in [
            format!("kubectl delete namespace {TEAM} {THIEF} --ignore-not-found"),
            "test ! -e privyseal.yaml || kubectl delete -f privyseal.yaml --ignore-not-found".to_owned(),
            format!("kubectl delete namespace {NAMESPACE} --ignore-not-found"),
        ] {
            if let Err(error) = self.story.backstage_run(&command).context("not removed") {
                eprintln!("{error:#}");
            }
        }
    }
}
