//! Each fault, as a kube client sees it.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use futures::{AsyncReadExt as _, Stream, StreamExt as _};
use http::Method;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::config::Kubeconfig;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, watcher::InitialListStrategy};
use kube::{Client, Config, Error, ResourceExt};
use privyseal_tests::control_plane::Shared;
use privyseal_tests::eventually::{PATIENCE, eventually};
use privyseal_tests::fault_proxy::{After, Ending, Request};
use privyseal_tests::{Action, ControlPlane, Fault, FaultProxy, Requests};
use serde_json::json;

const CREATE: &str = "create configmaps";
const LIST: &str = "list configmaps";
const WATCH: &str = "watch configmaps";

/// A proxy before the shared control plane, and ConfigMaps of a namespace of its own seen through it.
struct Setup {
    proxy: FaultProxy,
    /// Past the proxy.
    direct: Api<ConfigMap>,
    through: Api<ConfigMap>,
    namespace: String,
    control_plane: Shared,
}

async fn setup(name: &str) -> Setup {
    let control_plane = ControlPlane::shared();
    let proxy = FaultProxy::start(control_plane.kubeconfig());
    let namespace = control_plane.namespace(name).await;
    let client = proxy.admin_client(&control_plane).await;
    Setup {
        proxy,
        direct: Api::namespaced(control_plane.client(), &namespace),
        through: Api::namespaced(client, &namespace),
        namespace,
        control_plane,
    }
}

async fn create(api: &Api<ConfigMap>, name: &str) -> Result<ConfigMap, Error> {
    let map = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    api.create(&PostParams::default(), &map).await
}

fn code(error: &Error) -> Option<u16> {
    match error {
        Error::Api(status) => Some(status.code),
        _ => None,
    }
}

/// The names of the ConfigMaps that a test made; `kube-root-ca.crt` comes by itself.
async fn names(api: &Api<ConfigMap>) -> Vec<String> {
    let list = api.list(&ListParams::default()).await.unwrap();
    list.iter().map(ResourceExt::name_any).filter(|name| name != "kube-root-ca.crt").collect()
}

fn statuses(proxy: &FaultProxy, call: &str) -> Vec<Option<u16>> {
    proxy.requests().iter().filter(|request| request.call == call).map(|request| request.status).collect()
}

#[tokio::test]
async fn everything_passes_as_who_the_token_says() {
    let Setup { proxy, through, namespace, control_plane, .. } = setup("passes").await;
    create(&through, "large").await.unwrap();
    let large = "x".repeat(700_000);
    let patch = kube::api::Patch::Merge(json!({"data": {"large": large}}));
    through.patch("large", &Default::default(), &patch).await.unwrap();
    assert_eq!(through.get("large").await.unwrap().data.unwrap()["large"], large);
    through.delete("large", &DeleteParams::default()).await.unwrap();

    let kubeconfig = proxy.kubeconfig_for(&control_plane, &namespace, "default").await;
    let account = client(&kubeconfig, false);
    let review: SelfSubjectReview = serde_json::from_value(json!({})).unwrap();
    let review = Api::all(account).create(&PostParams::default(), &review).await.unwrap();
    let user = review.status.unwrap().user_info.unwrap().username.unwrap();
    assert_eq!(user, format!("system:serviceaccount:{namespace}:default"));

    // Go's client offers HTTP/2 and has to make do with 1.1.
    let kubeconfig = kubeconfig.to_str().unwrap();
    const USER: &str = "-o=jsonpath={.status.userInfo.username}";
    let seen = control_plane.kubectl_ok(&["--kubeconfig", kubeconfig, "auth", "whoami", USER], "");
    assert_eq!(seen, user);

    for call in [CREATE, "patch configmaps", "get configmaps", "delete configmaps"] {
        assert_eq!(proxy.count(call), 1, "{call}");
    }
    let mut reviews: Vec<Request> = proxy.requests();
    reviews.retain(|request| request.call == "create selfsubjectreviews.authentication.k8s.io");
    assert_eq!(reviews.len(), 2);
    assert!(reviews[1].user_agent.as_ref().unwrap().starts_with("kubectl/"), "{reviews:?}");
    assert!(reviews.iter().all(|request| request.status == Some(201) && !request.spoiled), "{reviews:?}");
}

#[tokio::test]
async fn who_has_no_token_is_nobody() {
    let control_plane = ControlPlane::shared();
    // This kubeconfig holds a client certificate of the administrator: it must not be lent to anyone.
    let proxy = FaultProxy::start(control_plane.kubeconfig());
    let kubeconfig = proxy.kubeconfig_through(&written_with_token("not a token"));
    let maps: Api<ConfigMap> = Api::default_namespaced(client(&kubeconfig, false));
    let refused = maps.list(&ListParams::default()).await.unwrap_err();
    assert_eq!(code(&refused), Some(401), "{refused}");
}

fn written_with_token(token: &str) -> std::path::PathBuf {
    let path = tempfile::tempdir().unwrap().keep().join("kubeconfig");
    let config = json!({
        "contexts": [{"name": "it", "context": {"namespace": "default"}}],
        "users": [{"name": "it", "user": {"token": token}}],
    });
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

#[tokio::test]
async fn a_conflict_comes_as_often_as_asked() {
    let Setup { proxy, direct, through, .. } = setup("conflict").await;
    let conflict = proxy.inject(Fault::new(Requests::call(CREATE), Action::status(409)).next(2));
    for _ in 0..2 {
        let refused = create(&through, "wanted").await.unwrap_err();
        let Error::Api(status) = refused else { panic!("{refused}") };
        assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
        assert_eq!(names(&direct).await, [""; 0]);
    }
    create(&through, "wanted").await.unwrap();
    assert_eq!(conflict.hits(), 2);
    assert_eq!(statuses(&proxy, CREATE), [Some(409), Some(409), Some(201)]);
    assert_eq!(names(&through).await, ["wanted"]);
}

#[tokio::test]
async fn every_status_is_one_that_kube_understands() {
    let Setup { proxy, through, .. } = setup("status").await;
    for wanted in [401, 403, 404, 409, 410, 422, 429, 500, 503, 504] {
        let fault = proxy.inject(Fault::new(Requests::all().method(Method::GET), Action::status(wanted)));
        let refused = through.list(&ListParams::default()).await.unwrap_err();
        let Error::Api(status) = refused else { panic!("{wanted}: {refused}") };
        assert_eq!(status.code, wanted);
        assert!(!status.reason.is_empty() && status.message.contains("fault proxy"), "{status:?}");
        fault.remove();
        assert!(through.list(&ListParams::default()).await.is_ok(), "{wanted}");
    }
}

#[tokio::test]
async fn a_client_that_retries_waits_as_long_as_it_is_told() {
    let Setup { proxy, through, namespace, control_plane, .. } = setup("throttled").await;
    let fault = Fault::new(Requests::call(LIST), Action::too_many_requests(1));
    let injected = proxy.inject(fault.clone());
    let refused = through.list(&ListParams::default()).await.unwrap_err();
    let Error::Api(status) = refused else { panic!("{refused}") };
    assert_eq!((status.code, status.details.unwrap().retry_after_seconds), (429, 1));
    assert_eq!(injected.hits(), 1, "the harness's own clients do not retry");
    injected.remove();

    // kube's own retry reads the header.
    let admin = control_plane.admin_kubeconfig_with_token().await;
    let retrying: Api<ConfigMap> =
        Api::namespaced(client(&proxy.kubeconfig_through(&admin), true), &namespace);
    proxy.forget_requests();
    proxy.inject(fault.next(2));
    retrying.list(&ListParams::default()).await.unwrap();
    assert_eq!(statuses(&proxy, LIST), [Some(429), Some(429), Some(200)]);
    let times: Vec<Duration> = proxy.requests().iter().map(|request| request.at).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_millis(950)), "{times:?}");
}

#[tokio::test]
async fn a_dropped_request_is_not_applied_and_a_lost_answer_is() {
    let Setup { proxy, direct, through, .. } = setup("dropped").await;
    proxy.inject(Fault::new(Requests::call(CREATE), Action::Drop).next(1));
    let refused = create(&through, "dropped").await.unwrap_err();
    assert_eq!(code(&refused), None, "{refused}");
    assert_eq!(names(&direct).await, [""; 0]);

    proxy.inject(Fault::new(Requests::call(CREATE), Action::DropAfter).next(1));
    let lost = create(&through, "lost").await.unwrap_err();
    assert_eq!(code(&lost), None, "{lost}");
    assert_eq!(names(&direct).await, ["lost"]);

    // It is there, as whoever tries again learns.
    let again = create(&through, "lost").await.unwrap_err();
    assert_eq!(code(&again), Some(409), "{again}");
    assert_eq!(statuses(&proxy, CREATE), [None, None, Some(409)]);
    let spoiled: Vec<bool> = proxy
        .requests()
        .iter()
        .filter(|request| request.call == CREATE)
        .map(|request| request.spoiled)
        .collect();
    assert_eq!(spoiled, [true, true, false]);
}

#[tokio::test]
async fn a_delayed_request_arrives_later() {
    let Setup { proxy, through, .. } = setup("delayed").await;
    let delay = Duration::from_millis(1500);
    proxy.inject(Fault::new(Requests::all().path("/configmaps"), Action::Delay(delay)).next(1));
    let began = Instant::now();
    create(&through, "late").await.unwrap();
    assert!(began.elapsed() >= delay);
    // A test may block while the proxy works: it has a thread of its own.
    proxy.clear();
    assert_eq!(names(&through).await, ["late"]);
}

/// kube's watcher, started and done with its initial list.
async fn watching(
    api: &Api<ConfigMap>,
) -> impl Stream<Item = watcher::Result<Event<ConfigMap>>> + Unpin + use<> {
    let config =
        watcher::Config { initial_list_strategy: InitialListStrategy::ListWatch, ..Default::default() };
    let mut events = Box::pin(watcher(api.clone(), config).default_backoff());
    loop {
        match next(&mut events).await {
            Ok(Event::InitDone) => return events,
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

async fn next<S: Stream + Unpin>(events: &mut S) -> S::Item {
    let event = tokio::time::timeout(PATIENCE, events.next()).await;
    event.expect("an event").expect("a watcher never ends")
}

/// Follows a watcher until it has seen `name`, and returns what kinds of events came on the way.
async fn follow_until<S>(events: &mut S, name: &str) -> Vec<&'static str>
where
    S: Stream<Item = watcher::Result<Event<ConfigMap>>> + Unpin,
{
    let mut seen = Vec::new();
    let follow = async {
        loop {
            match next(events).await {
                Ok(Event::Apply(map) | Event::InitApply(map)) if map.name_any() == name => return,
                // Its controller makes it at its own time.
                Ok(Event::Apply(map) | Event::InitApply(map)) if map.name_any() == "kube-root-ca.crt" => {}
                Ok(Event::Apply(_)) => seen.push("apply"),
                Ok(Event::Delete(_)) => seen.push("delete"),
                Ok(Event::Init) => seen.push("init"),
                Ok(Event::InitApply(_)) => seen.push("init-apply"),
                Ok(Event::InitDone) => seen.push("init-done"),
                Err(_) => seen.push("error"),
            }
        }
    };
    // A watcher that only fails tells something all the time.
    let followed = tokio::time::timeout(PATIENCE, follow).await;
    assert!(followed.is_ok(), "no {name}, but {seen:?}");
    seen
}

/// Waits for the ConfigMap that comes by itself, so that it is no event of the watch.
async fn settled(api: &Api<ConfigMap>) {
    eventually(PATIENCE, async || api.get("kube-root-ca.crt").await.map(drop)).await;
}

/// Watches under a fault that spoils the first watch after its first event.
async fn watch_spoiled(name: &str, ending: Ending) -> (Vec<&'static str>, FaultProxy) {
    let Setup { proxy, direct, through, .. } = setup(name).await;
    settled(&direct).await;
    let after = After::Events(1);
    let fault = proxy.inject(Fault::new(Requests::call(WATCH), Action::EndWatch { after, ending }).next(1));
    let mut events = watching(&through).await;
    create(&direct, "first").await.unwrap();
    assert_eq!(follow_until(&mut events, "first").await, [""; 0]);
    create(&direct, "second").await.unwrap();
    let told = follow_until(&mut events, "second").await;
    assert_eq!(fault.hits(), 1);
    (told, proxy)
}

#[tokio::test]
async fn a_watch_that_is_cut_or_ends_is_resumed() {
    for (name, ending) in [("cut", Ending::Cut), ("closed", Ending::Close)] {
        let (told, proxy) = watch_spoiled(name, ending).await;
        // From where it was: nothing is listed again and no event comes twice. kube does not tell the two apart.
        assert_eq!(told, [""; 0], "{name}");
        assert_eq!((proxy.count(LIST), proxy.count(WATCH)), (1, 2), "{name}");
    }
}

#[tokio::test]
async fn a_watch_that_is_gone_starts_over() {
    let (told, proxy) = watch_spoiled("gone", Ending::Gone).await;
    assert_eq!(told[..2], ["error", "init"]);
    assert_eq!(proxy.count(LIST), 2);
}

/// Beneath kube's watcher: a cut is an error of the connection, an end in order is none.
#[tokio::test]
async fn a_cut_breaks_the_connection_and_an_end_does_not() {
    let Setup { proxy, direct, through, namespace, .. } = setup("broken").await;
    settled(&direct).await;
    for (ending, whole) in [(Ending::Cut, false), (Ending::Close, true)] {
        let after = After::Events(1);
        proxy.inject(Fault::new(Requests::call(WATCH), Action::EndWatch { after, ending }).next(1));
        let path = format!("/api/v1/namespaces/{namespace}/configmaps?watch=true");
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        let body = through.clone().into_client().request_stream(request).await.unwrap();
        let mut text = String::new();
        let read = std::pin::pin!(body).read_to_string(&mut text).await;
        assert_eq!(read.is_ok(), whole, "{ending:?}: {read:?}");
        // Without a resource version a watch begins with what is there.
        assert!(text.contains("kube-root-ca.crt") && text.ends_with('\n'), "{ending:?}: {text}");
    }
}

#[tokio::test]
async fn a_silent_watch_is_cut_after_a_time() {
    let Setup { proxy, direct, through, .. } = setup("silent").await;
    settled(&direct).await;
    let cut = Action::cut_watch(After::Time(Duration::from_millis(300)));
    proxy.inject(Fault::new(Requests::call(WATCH), cut).next(1));
    let mut events = watching(&through).await;
    let follower = tokio::spawn(async move { follow_until(&mut events, "later").await });
    eventually(PATIENCE, async || match proxy.count(WATCH) {
        2 => Ok(()),
        other => Err(other),
    })
    .await;
    create(&direct, "later").await.unwrap();
    assert_eq!(follower.await.unwrap(), [""; 0]);
    assert_eq!(proxy.count(LIST), 1);
}

#[tokio::test]
async fn an_outage_refuses_all_and_ends() {
    let Setup { proxy, direct, through, .. } = setup("outage").await;
    settled(&direct).await;
    let mut events = watching(&through).await;
    let address = address(&proxy);

    proxy.outage(true);
    let before = proxy.requests().len();
    let refused = TcpStream::connect(address).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let failed = through.list(&ListParams::default()).await.unwrap_err();
    assert_eq!(code(&failed), None, "{failed}");
    assert!(next(&mut events).await.is_err(), "the watch is cut");
    create(&direct, "meanwhile").await.unwrap();
    assert_eq!(proxy.requests().len(), before);

    proxy.outage(false);
    follow_until(&mut events, "meanwhile").await;
    assert_eq!(names(&through).await, ["meanwhile"]);
}

/// Where the proxy listens.
fn address(proxy: &FaultProxy) -> std::net::SocketAddr {
    let kubeconfig = proxy.kubeconfig_through(&written_with_token("any"));
    let url = config(&kubeconfig).cluster_url;
    format!("{}:{}", url.host().unwrap(), url.port_u16().unwrap()).parse().unwrap()
}

fn config(kubeconfig: &std::path::Path) -> Config {
    Config::try_from(Kubeconfig::read_from(kubeconfig).unwrap()).unwrap()
}

fn client(kubeconfig: &std::path::Path, retry: bool) -> Client {
    let mut config = config(kubeconfig);
    config.default_retry = retry;
    Client::try_from(config).unwrap()
}
