//! `privyseal plugin helm` within Helm 3 and Helm 4, on a chart with a bit of everything.

use privyseal_tests::sealing::privyseal_command;
use privyseal_tests::world::Place;
use privyseal_tests::{eventually, objects, tools};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

const CANARY: &str = "canary-of-the-chart";
const MAJORS: [u8; 2] = [3, 4];

/// One of the two, with a home of its own.
struct Helm {
    major: u8,
    home: TempDir,
    chart: PathBuf,
}

impl Helm {
    fn new(major: u8) -> Self {
        let home = tempfile::tempdir().unwrap();
        let chart = home.path().join("chart");
        for (name, text) in CHART {
            let path = chart.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.replace("CANARY", CANARY)).unwrap();
        }
        let this = Self { major, home, chart };
        if major == 4 {
            this.install_plugin(&tools::repository().join("deploy/helm-plugin"));
        }
        this
    }

    fn install_plugin(&self, folder: &Path) {
        let output = self.command().args(["plugin", "install"]).arg(folder).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }

    fn command(&self) -> Command {
        let mut command = Command::new(if self.major == 3 { tools::helm() } else { tools::helm4() });
        let programs = tools::privyseal().parent().unwrap().display().to_string();
        // The home of nobody is for `privyseal`: Helm has folders of its own.
        command
            .env_clear()
            .env("HOME", "/proc")
            .env("PATH", format!("{programs}:/usr/bin:/bin"))
            .env("HELM_CACHE_HOME", self.home.path().join("cache"))
            .env("HELM_CONFIG_HOME", self.home.path().join("config"))
            .env("HELM_DATA_HOME", self.home.path().join("data"));
        command
    }

    /// What makes Helm seal with this certificate.
    fn post_renderer(&self, certificate: &Path, more: &[&str]) -> Vec<String> {
        let mut arguments = vec!["--post-renderer".to_owned(), "privyseal".to_owned()];
        let fixed: &[&str] = if self.major == 3 { &["plugin", "helm"] } else { &[] };
        let certificate = format!("--cert={}", certificate.display());
        let all = fixed.iter().copied().chain([certificate.as_str()]).chain(more.iter().copied());
        arguments.extend(all.map(|argument| format!("--post-renderer-args={argument}")));
        arguments
    }

    fn template(&self, arguments: &[String]) -> Output {
        let mut command = self.command();
        command.args(["template", "app"]).arg(&self.chart).args(["-n", "shop", "--include-crds"]);
        command.args(arguments).output().unwrap()
    }
}

/// Secrets, and what must stay as it is: comments, blank lines, odd layout, a list, a hook, a definition.
const CHART: [(&str, &str); 8] = [
    ("Chart.yaml", "apiVersion: v2\nname: app\nversion: 0.1.0\n"),
    ("values.yaml", "password: CANARY\n"),
    (
        "crds/widgets.yaml",
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: widgets.example.com\nspec:\n  group: example.com\n  scope: Namespaced\n  names: {kind: Widget, plural: widgets}\n  versions:\n  - name: v1\n    served: true\n    storage: true\n    schema: {openAPIV3Schema: {type: object}}\n",
    ),
    (
        "templates/secret.yaml",
        "# Not the only one.\napiVersion: v1\nkind: Secret\nmetadata:\n  name: {{ .Release.Name }}-db\n  namespace: {{ .Release.Namespace }}\n  labels: {app: shop}\ntype: Opaque\nstringData:\n  password: {{ .Values.password | quote }} # for the database\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: {{ .Release.Name }}-api, namespace: {{ .Release.Namespace }}}\ndata: {token: {{ .Values.password | b64enc }}}\n",
    ),
    (
        "templates/config.yaml",
        "apiVersion: v1\nkind:   ConfigMap\nmetadata:   {name: {{ .Release.Name }}-config,   namespace: {{ .Release.Namespace }}}\ndata:\n\n  # A comment, and a word: Secret.\n  text: |\n    kind: Secret\n    ---\n    stays: as it is   \n\n  on: 'yes'\n",
    ),
    (
        "templates/list.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: {{ .Release.Name }}-listed, namespace: {{ .Release.Namespace }}}   # one of a list\n  data: {a: 'b'}\n",
    ),
    (
        "templates/hook.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-hook\n  namespace: {{ .Release.Namespace }}\n  annotations: {helm.sh/hook: pre-install, helm.sh/hook-delete-policy: hook-succeeded}\ndata: {a: b}\n",
    ),
    ("templates/NOTES.txt", "kind: Secret, says the chart.\n"),
];

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}", said(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Documents, without the line feeds at their end.
fn documents(text: &str) -> Vec<&str> {
    text.split("\n---\n").map(|text| text.trim_end_matches('\n')).collect()
}

/// The template that a document comes from.
fn source(document: &str) -> String {
    document.lines().find(|line| line.starts_with("# Source: ")).unwrap_or_default().to_owned()
}

/// A certificate, for what nobody opens.
fn certificate() -> PathBuf {
    tools::repository().join("tests/vectors/classic/rsa2048/tls.crt")
}

#[test]
fn everything_but_secrets_is_byte_for_byte_what_it_is_without_the_plugin() {
    for major in MAJORS {
        let helm = Helm::new(major);
        let certificate = certificate();
        // Helm 4 writes all manifests anew for a post-renderer, so it is compared with one that changes nothing.
        let without = match major {
            3 => helm.template(&[]),
            _ => {
                let folder = helm.home.path().join("same");
                fs::create_dir(&folder).unwrap();
                let plugin = "apiVersion: v1\nname: same\ntype: postrenderer/v1\nruntime: subprocess\nversion: 0.1.0\nruntimeConfig:\n  platformCommand:\n  - command: cat\n";
                fs::write(folder.join("plugin.yaml"), plugin).unwrap();
                helm.install_plugin(&folder);
                helm.template(&["--post-renderer".to_owned(), "same".to_owned()])
            }
        };
        let sealed = text(&helm.template(&helm.post_renderer(&certificate, &[])));
        let before = text(&without);
        assert!(before.contains(CANARY));
        assert!(!sealed.contains(CANARY), "helm {major}: {sealed}");
        let [mut before, mut after] = [&before, &sealed].map(|text| documents(text));
        if major == 4 {
            // It sorts after the post-renderer, and puts kinds that it does not know last.
            let is_secret =
                |text: &str| text.contains("\nkind: Secret\n") || text.contains("\nkind: SealedSecret\n");
            for all in [&mut before, &mut after] {
                all.sort_by_key(|text| (is_secret(text), source(text)));
            }
        }
        assert_eq!(before.len(), after.len(), "helm {major}: {sealed}");
        let mut secrets = 0;
        for (before, after) in before.iter().zip(after) {
            if before.contains("\nkind: Secret\n") {
                secrets += 1;
                assert!(after.contains("\nkind: SealedSecret\n"), "helm {major}: {after}");
                assert_eq!(source(before), source(after), "helm {major}: {after}");
            } else {
                assert_eq!(*before, after, "helm {major}");
            }
        }
        assert_eq!(secrets, 2, "helm {major}");
        for word in ["CustomResourceDefinition", "app-listed", "app-hook", "# A comment, and a word: Secret."]
        {
            assert!(sealed.contains(word), "helm {major} has no {word}: {sealed}");
        }
    }
}

#[test]
fn a_secret_without_a_namespace_stops_helm() {
    for major in MAJORS {
        let helm = Helm::new(major);
        let certificate = certificate();
        let path = helm.chart.join("templates/secret.yaml");
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: db}\nstringData: {password: CANARY}\n";
        fs::write(path, secret.replace("CANARY", CANARY)).unwrap();
        let refused = helm.template(&helm.post_renderer(&certificate, &[]));
        let said = said(&refused);
        assert!(!refused.status.success() && !said.contains(CANARY), "helm {major}: {said}");
        // Helm 4 shows nothing of what a plugin says.
        let why = if major == 3 { "namespace" } else { "exited with error" };
        assert!(said.contains(why), "helm {major}: {said}");
        let named = helm.template(&helm.post_renderer(&certificate, &["--namespace=shop"]));
        assert!(text(&named).contains("kind: SealedSecret"), "helm {major}");
    }
}

/// Install, upgrade, uninstall: what the controller opens is what the chart says.
#[tokio::test]
async fn a_release_that_is_sealed_on_the_way_opens_and_goes() {
    let place = Place::new("helm").await;
    for major in MAJORS {
        let helm = Helm::new(major);
        let release = format!("app{major}");
        let namespace = place.namespace.as_str();
        let certificate = place.world.sealer.certificate();
        let run = |arguments: &[&str], seals: bool| {
            let mut command = helm.command();
            command.env("KUBECONFIG", place.control_plane.kubeconfig());
            command.args(arguments).args(["-n", namespace]);
            if seals {
                command.args(helm.post_renderer(certificate, &[]));
            }
            text(&command.output().unwrap())
        };
        let chart = helm.chart.display().to_string();
        let notes = run(&["install", &release, &chart], true);
        assert!(notes.contains("kind: Secret, says the chart."), "helm {major}: {notes}");
        let [db, api] = ["db", "api"].map(|name| format!("{release}-{name}"));
        objects::wait_for_secret(&place.client, namespace, &db, &[("password", CANARY.as_bytes())]).await;
        objects::wait_for_secret(&place.client, namespace, &api, &[("token", CANARY.as_bytes())]).await;

        // Each upgrade seals anew; what did not change opens to the same.
        run(&["upgrade", &release, &chart, "--set", "password=canary-of-the-upgrade"], true);
        objects::wait_for_secret(&place.client, namespace, &db, &[("password", b"canary-of-the-upgrade")])
            .await;
        run(&["upgrade", &release, &chart, "--set", "password=canary-of-the-upgrade"], true);
        objects::wait_for_condition(&place.client, namespace, &db, "Synced", "True").await;
        objects::wait_for_secret(&place.client, namespace, &db, &[("password", b"canary-of-the-upgrade")])
            .await;

        // What Helm keeps of a release has the manifests as they were applied.
        let manifest = run(&["get", "manifest", &release], false);
        assert!(manifest.contains("kind: SealedSecret") && !manifest.contains("canary"), "{manifest}");

        run(&["uninstall", &release], false);
        eventually(Duration::from_secs(30), async || {
            let left = [&db, &api].map(|name| objects::secret_data(&place.client, namespace, name));
            let [db, api] = left;
            if db.await.is_some() || api.await.is_some() { Err("a Secret is still there") } else { Ok(()) }
        })
        .await;
    }
}

/// What docs/plugins.md calls the simplest way: a pipe, in which hooks are seen too.
#[test]
fn in_a_pipe_hooks_are_sealed_by_either_version() {
    for major in MAJORS {
        let helm = Helm::new(major);
        let certificate = certificate();
        let hook = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: hook\n  annotations: {helm.sh/hook: pre-install}\nstringData: {password: CANARY}\n";
        fs::write(helm.chart.join("templates/hook-secret.yaml"), hook.replace("CANARY", CANARY)).unwrap();
        let rendered = text(&helm.template(&[]));
        let mut command = privyseal_command();
        command.args(["plugin", "helm", "-n", "shop", "--cert"]).arg(certificate);
        let sealed = text(&privyseal_tests::sealing::run(&mut command, &rendered));
        assert!(!sealed.contains(CANARY), "helm {major}: {sealed}");
        let documents = objects::documents(&sealed);
        let hook = documents.iter().find(|object| object["metadata"]["name"] == "hook").unwrap();
        assert_eq!(hook["kind"], "SealedSecret", "helm {major}");
        assert_eq!(hook["metadata"]["annotations"]["helm.sh/hook"], "pre-install", "helm {major}");
    }
}
