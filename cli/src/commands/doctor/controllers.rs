//! The controller: its Service, its replicas, who leads, and whether another one works beside it.

use super::finding::{Check, Finding};
use super::seen::{Seen, each};
use crate::cluster::{Controller, NotFound, Session};
use crate::error::Shown;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::ListParams;

/// What the controller's namespace and the rest of the cluster have of controllers.
pub(super) async fn examine(
    session: &Session,
    service: &Result<Controller<'_>, NotFound>,
    now: Timestamp,
) -> Vec<Finding> {
    let namespace = session.namespace();
    let deployments = Api::<Deployment>::namespaced(session.client.clone(), namespace);
    let labels = ListParams::default().labels(OURS);
    let ours = deployments.list(&labels).await.map(|list| list.items);
    let ours =
        Seen::of(session, "the Deployments", &format!("list deployments in namespace {namespace}"), ours);

    let leases = Api::<Lease>::namespaced(session.client.clone(), namespace);
    let right = format!("get leases {LEASE} in namespace {namespace}");
    let lease = Seen::of(session, "the Lease", &right, leases.get(LEASE).await);

    let mut others = Vec::new();
    let api = Api::<Deployment>::all(session.client.clone());
    let listed = each(&api, |deployment: Deployment| {
        if is_peers(&deployment) && runs(&deployment) {
            others.push(name_of(&deployment));
        }
    });
    let listed = listed.await.map(|()| others);
    let others = Seen::of(session, "the Deployments", "list deployments in all namespaces", listed);
    vec![
        judge_service(session, service),
        judge_deployments(namespace, ours),
        judge_lease(namespace, lease, now),
        judge_others(others),
    ]
}

fn judge_service(session: &Session, service: &Result<Controller<'_>, NotFound>) -> Finding {
    match service {
        Ok(controller) => Finding::ok(Check::Service, format!("the Service {}", Shown(controller.service()))),
        Err(NotFound { what, error: kube::Error::Api(status) }) if status.code == 403 => {
            Finding::denied(Check::Service, &format!("get {what}"))
        }
        Err(NotFound { what, error: kube::Error::Api(status) }) if status.code == 404 => {
            Finding::problem(Check::Service, format!("{what} is not there"), NAME_IT)
        }
        Err(NotFound { what, error }) => Finding::of_error(Check::Service, &session.error(what, error)),
    }
}

fn judge_deployments(namespace: &str, seen: Seen<Vec<Deployment>>) -> Finding {
    let missing = || {
        let what = format!("no Deployment of our controller is in namespace {namespace}");
        Finding::problem(Check::Deployment, what, NAME_IT)
    };
    let deployments = match seen.there(Check::Deployment, missing) {
        Ok(deployments) => deployments,
        Err(finding) => return finding,
    };
    let Some(deployment) = deployments.first() else { return missing() };
    let name = name_of(deployment);
    let wanted = wanted(deployment);
    let ready = deployment.status.as_ref().and_then(|status| status.ready_replicas).unwrap_or(0);
    let cure = format!("look at `kubectl -n {namespace} describe deployment` and at the log of its pods");
    let what = format!("{name}: {ready} of {wanted} replicas are ready");
    match (wanted, ready) {
        (0, _) => Finding::problem(
            Check::Deployment,
            format!("{name} is scaled to 0: nothing is opened"),
            format!("kubectl -n {namespace} scale deployment … --replicas 2"),
        ),
        (_, 0) => Finding::problem(Check::Deployment, what, cure),
        (wanted, ready) if ready < wanted => Finding::warning(Check::Deployment, what, cure),
        _ => Finding::ok(Check::Deployment, what),
    }
}

/// `now` is the cluster's; the time in the Lease is its holder's.
fn judge_lease(namespace: &str, seen: Seen<Lease>, now: Timestamp) -> Finding {
    let cure = format!("look at the controller's log: kubectl -n {namespace} logs -l {OURS}");
    let missing = || {
        let what = format!("there is no Lease {namespace}/{LEASE}: no controller has ever led");
        Finding::problem(Check::Lease, what, cure.clone())
    };
    let lease = match seen.there(Check::Lease, missing) {
        Ok(lease) => lease.spec.unwrap_or_default(),
        Err(finding) => return finding,
    };
    let holder = lease.holder_identity.filter(|holder| !holder.is_empty());
    let Some((holder, renewed)) = holder.zip(lease.renew_time) else {
        return Finding::problem(Check::Lease, "nobody holds the Lease: no controller leads", cure);
    };
    let holder = Shown(&holder).to_string();
    let seconds = now.duration_since(renewed.0).as_secs();
    match seconds > LEASE_SECONDS {
        true => Finding::problem(
            Check::Lease,
            format!("{holder} holds the Lease and has not renewed it for {seconds} s: no controller leads"),
            cure,
        ),
        false => Finding::ok(Check::Lease, format!("{holder} leads")),
    }
}

fn judge_others(seen: Seen<Vec<String>>) -> Finding {
    match seen.there(Check::OtherController, || Finding::ok(Check::OtherController, NO_OTHER)) {
        Ok(others) if others.is_empty() => Finding::ok(Check::OtherController, NO_OTHER),
        Ok(others) => Finding::warning(
            Check::OtherController,
            format!(
                "the controller of sealed-secrets runs beside ours and watches the same objects: {}",
                others.join(", ")
            ),
            "scale it to 0: both write each Secret and status, and each makes keys",
        ),
        Err(finding) => finding,
    }
}

/// By what its chart and its manifests call it, or by its image: others rename and mirror both.
fn is_peers(deployment: &Deployment) -> bool {
    let labels = deployment.metadata.labels.as_ref();
    let labelled = |key: &str, value: &str| {
        labels.and_then(|labels| labels.get(key)).is_some_and(|found| found == value)
    };
    let template = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let images: Vec<_> = template
        .into_iter()
        .flat_map(|pod| &pod.containers)
        .filter_map(|container| container.image.as_deref())
        .map(program)
        .collect();
    if labelled("app.kubernetes.io/name", "privyseal")
        || images.iter().any(|image| image.contains("privyseal"))
    {
        return false;
    }
    labelled("app.kubernetes.io/name", "sealed-secrets")
        || labelled("name", "sealed-secrets-controller")
        || images.iter().any(|image| ["sealed-secrets-controller", "sealed-secrets"].contains(image))
}

/// The last part of an image's name, without tag and digest.
fn program(image: &str) -> &str {
    let name = image.rsplit('/').next().unwrap_or(image);
    name.split(['@', ':']).next().unwrap_or(name)
}

fn runs(deployment: &Deployment) -> bool {
    wanted(deployment) > 0
}

/// None said is one.
fn wanted(deployment: &Deployment) -> i32 {
    deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1)
}

fn name_of(deployment: &Deployment) -> String {
    let part = |text: &Option<String>| Shown(text.as_deref().unwrap_or_default()).to_string();
    format!("{}/{}", part(&deployment.metadata.namespace), part(&deployment.metadata.name))
}

const OURS: &str = "app.kubernetes.io/name=privyseal";
const LEASE: &str = "privyseal-controller";
/// Far longer than the 10 s after which a Lease is free, since clocks differ.
const LEASE_SECONDS: i64 = 60;
const NO_OTHER: &str = "no controller of sealed-secrets runs beside ours";
const NAME_IT: &str =
    "install the controller, or say where it is with --controller-namespace and --controller-name";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::finding::Level;
    use serde_json::{Value, json};

    fn deployment(labels: Value, image: &str, replicas: i32, ready: i32) -> Deployment {
        serde_json::from_value(json!({
            "metadata": {"name": "it", "namespace": "ns", "labels": labels},
            "spec": {
                "replicas": replicas, "selector": {},
                "template": {"spec": {"containers": [{"name": "c", "image": image}]}},
            },
            "status": {"readyReplicas": ready},
        }))
        .unwrap()
    }

    #[test]
    fn the_peers_controller_is_known_by_labels_or_image_and_ours_is_not_taken_for_it() {
        for (labels, image, is) in [
            (json!({"app.kubernetes.io/name": "sealed-secrets"}), "x", true),
            (json!({"name": "sealed-secrets-controller"}), "x", true),
            (json!({}), "docker.io/bitnami/sealed-secrets-controller:0.38.1", true),
            (json!({}), "mirror:5000/a/sealed-secrets-controller@sha256:ab", true),
            (json!({}), "mirror/sealed-secrets-web:1", false),
            (json!({}), "nginx", false),
            (json!({"app.kubernetes.io/name": "privyseal"}), "x/privyseal-controller:1", false),
            // A chart that took the peer's place under its name.
            (json!({"app.kubernetes.io/name": "sealed-secrets"}), "x/privyseal-controller:1", false),
        ] {
            assert_eq!(is_peers(&deployment(labels, image, 1, 1)), is, "{image}");
        }
        assert!(!runs(&deployment(json!({}), "x", 0, 0)));
        let level = |names: &[&str]| {
            judge_others(Seen::There(names.iter().map(|name| (*name).to_owned()).collect())).level
        };
        assert_eq!((level(&[]), level(&["ns/it"])), (Level::Ok, Level::Warning));
    }

    #[test]
    fn replicas_that_are_not_ready_are_told() {
        let level = |wanted, ready| {
            judge_deployments("ns", Seen::There(vec![deployment(json!({}), "x", wanted, ready)])).level
        };
        assert_eq!(level(2, 2), Level::Ok);
        assert_eq!(level(2, 1), Level::Warning);
        assert_eq!(level(2, 0), Level::Problem);
        assert_eq!(level(0, 0), Level::Problem);
        assert_eq!(judge_deployments("ns", Seen::There(Vec::new())).level, Level::Problem);
        let denied = judge_deployments("ns", Seen::Denied("list deployments".to_owned()));
        assert_eq!(denied.level, Level::Skipped);
        assert!(denied.what.contains("you may not list deployments"));
    }

    #[test]
    fn a_lease_must_be_held_and_fresh() {
        let now: Timestamp = "2026-11-24T12:01:01Z".parse().unwrap();
        let level = |holder: &str, renewed: &str| {
            let lease = json!({"spec": {"holderIdentity": holder, "renewTime": renewed}});
            judge_lease("ns", Seen::There(serde_json::from_value(lease).unwrap()), now).level
        };
        assert_eq!(level("pod", "2026-11-24T12:01:00.000000Z"), Level::Ok);
        assert_eq!(level("pod", "2026-11-24T12:05:00.000000Z"), Level::Ok, "a holder's clock that is ahead");
        assert_eq!(level("pod", "2026-11-24T12:00:00.000000Z"), Level::Problem);
        assert_eq!(level("", "2026-11-24T12:01:00.000000Z"), Level::Problem);
        assert_eq!(judge_lease("ns", Seen::Missing, now).level, Level::Problem);
    }
}
