//! The unwrapper against a vault that is a few lines of memory, on a clock that is paused.
#![allow(clippy::unwrap_used, reason = "clippy allows it in test functions, not in what they share")]

use super::versions::{Public, Version, Versions};
use super::*;
use crate::custody::FailureKind;
use crate::key_vault::{Collection, Config as VaultConfig, Credential, VaultUrl};
use privyseal_envelope::Fingerprint;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

static_assertions::assert_not_impl_any!(Answer: std::fmt::Debug);

const SECOND: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_secs(300);

fn target() -> Target {
    let config = Config { key: "values".into(), versions: Vec::new(), settings: Settings::default() };
    Target::parse(config).unwrap()
}

fn url() -> VaultUrl {
    VaultUrl::parse("https://team.vault.azure.net", None, false).unwrap()
}

/// The version with that number, of 2048 bits in hardware.
fn version(number: u8) -> Version {
    let id = format!("https://team.vault.azure.net/keys/values/{number:032x}");
    let id = VersionId::stored(&id, &url(), Collection::Keys, &target().key).unwrap();
    Version {
        id,
        public: Public::Known { fingerprint: fingerprint(number), bits: 2048, hardware: true },
        obstacle: None,
    }
}

fn without(number: u8, kind: FailureKind) -> Version {
    Version { obstacle: Some(Failure::new(kind, "it is not to be had")), ..version(number) }
}

fn fingerprint(number: u8) -> Fingerprint {
    Fingerprint::of(&[number])
}

/// What the vault makes of a stanza.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sealed {
    /// A file key.
    Well = 1,
    /// It was never wrapped for the key.
    Badly = 2,
    /// Something else was wrapped for the key.
    Long = 3,
    /// The vault fails at it.
    Never = 4,
}

fn stanza_of(number: u8, sealed: Sealed, name: &str) -> VaultStanza {
    let mut wrapped = vec![sealed as u8];
    wrapped.extend(Fingerprint::of(name.as_bytes()).to_string().into_bytes());
    wrapped.resize(256, 0);
    VaultStanza { key: fingerprint(number), wrapped }
}

fn stanza(name: &str) -> VaultStanza {
    stanza_of(1, Sealed::Well, name)
}

/// The values `NAME-0`, `NAME-1`, …, each with one stanza.
fn values(name: &str, count: usize) -> Vec<Vec<VaultStanza>> {
    (0..count).map(|at| vec![stanza(&format!("{name}-{at}"))]).collect()
}

fn owner(namespace: &str, name: &str) -> Owner {
    Owner { namespace: namespace.into(), name: name.into() }
}

/// The vault, and the objects of a cluster.
struct World {
    versions: Mutex<Result<Vec<Version>, Failure>>,
    /// What every call gets, while it is set.
    trouble: Mutex<Option<Failure>>,
    latency: Mutex<Duration>,
    /// When each call came, and what it was to unwrap.
    calls: Mutex<Vec<(Instant, VersionId, Vec<u8>)>>,
    polls: Mutex<usize>,
    gone: Mutex<BTreeSet<Owner>>,
    called_back: Mutex<BTreeMap<Owner, usize>>,
    all_called_back: Mutex<usize>,
    bell: Notify,
    seen: Mutex<Vec<Seen>>,
    warnings: Mutex<Vec<String>>,
}

/// As the unwrapper is given it.
struct Shared(Arc<World>);

#[async_trait]
impl Calls for Shared {
    async fn versions(&self) -> Result<Vec<Version>, Failure> {
        *self.0.polls.lock().unwrap() += 1;
        self.0.versions.lock().unwrap().clone()
    }

    async fn unwrap(&self, id: &VersionId, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        self.0.calls.lock().unwrap().push((Instant::now(), id.clone(), wrapped.to_vec()));
        let latency = *self.0.latency.lock().unwrap();
        tokio::time::sleep(latency).await;
        if let Some(trouble) = &*self.0.trouble.lock().unwrap() {
            return Err(trouble.clone());
        }
        match wrapped[0] {
            1 => Ok(Zeroizing::new(wrapped[10..26].to_vec())),
            2 => Err(Failure::new(FailureKind::Damaged, "canary")),
            4 => Err(Failure::new(FailureKind::Unavailable, "500")),
            _ => Ok(Zeroizing::new(wrapped[10..42].to_vec())),
        }
    }
}

impl Objects for World {
    fn is_there(&self, owner: &Owner) -> bool {
        !self.gone.lock().unwrap().contains(owner)
    }

    fn again(&self, owner: &Owner) {
        *self.called_back.lock().unwrap().entry(owner.clone()).or_default() += 1;
        self.bell.notify_waiters();
    }

    fn all_again(&self) {
        *self.all_called_back.lock().unwrap() += 1;
        self.bell.notify_waiters();
    }

    fn saw(&self, seen: Seen) {
        self.seen.lock().unwrap().push(seen);
    }

    fn warn(&self, message: &str) {
        self.warnings.lock().unwrap().push(message.to_owned());
    }
}

struct Setup {
    world: Arc<World>,
    unwrapper: Arc<Unwrapper>,
    running: tokio::task::JoinHandle<()>,
}

impl Drop for Setup {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Setup {
    /// With the vault as it is, before it was asked.
    fn unasked(settings: Settings, versions: Result<Vec<Version>, Failure>) -> Self {
        let world = Arc::new(World {
            versions: Mutex::new(versions),
            trouble: Mutex::default(),
            latency: Mutex::new(Duration::from_millis(20)),
            calls: Mutex::default(),
            polls: Mutex::default(),
            gone: Mutex::default(),
            called_back: Mutex::default(),
            all_called_back: Mutex::default(),
            bell: Notify::new(),
            seen: Mutex::default(),
            warnings: Mutex::default(),
        });
        let known = Versions::new(&target(), &url());
        let calls = Box::new(Shared(Arc::clone(&world)));
        let objects = Arc::clone(&world) as Arc<dyn Objects>;
        let unwrapper = Arc::new(Unwrapper::new(calls, objects, settings, known));
        let runs = Arc::clone(&unwrapper);
        let running = tokio::spawn(async move { runs.run(POLL).await });
        Self { world, unwrapper, running }
    }

    async fn with(settings: Settings) -> Self {
        let setup = Self::unasked(settings, Ok(vec![version(1)]));
        setup.unwrapper.asked().await;
        setup
    }

    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    fn calls(&self) -> usize {
        self.world.calls.lock().unwrap().len()
    }

    fn called_back(&self, owner: &Owner) -> usize {
        self.world.called_back.lock().unwrap().get(owner).copied().unwrap_or_default()
    }

    fn set(&self, versions: Vec<Version>) {
        *self.world.versions.lock().unwrap() = Ok(versions);
    }

    fn trouble(&self, trouble: Option<Failure>) {
        *self.world.trouble.lock().unwrap() = trouble;
    }

    fn slow(&self, latency: Duration) {
        *self.world.latency.lock().unwrap() = latency;
    }

    /// Waits until the vault was asked for its versions once more.
    async fn next_poll(&self) {
        let before = *self.world.polls.lock().unwrap();
        while *self.world.polls.lock().unwrap() == before {
            tokio::time::sleep(SECOND).await;
        }
        tokio::time::sleep(SECOND).await;
    }

    /// As the controller does: asks again whenever it is called back, and gives what came of it.
    async fn open(&self, owner: &Owner, values: &[Vec<VaultStanza>]) -> Answer {
        loop {
            let bell = self.world.bell.notified();
            match self.unwrapper.ask(owner, values).await {
                Answer::Waiting { .. } => bell.await,
                answer => {
                    self.unwrapper.done(owner);
                    return answer;
                }
            }
        }
    }
}

fn ready(answer: Answer) -> usize {
    match answer {
        Answer::Ready(file_keys) => file_keys.len(),
        Answer::Waiting { values, .. } => panic!("{values} wait"),
        Answer::Refused(refused) => panic!("refused: {refused:?}"),
        Answer::TooMany => panic!("too many"),
    }
}

fn refused(answer: Answer) -> Vec<(usize, FailureKind)> {
    match answer {
        Answer::Refused(refused) => {
            assert!(refused.iter().all(|(_, failure)| !failure.to_string().contains("canary")));
            refused.into_iter().map(|(at, failure)| (at, failure.kind())).collect()
        }
        _ => panic!("not refused"),
    }
}

fn waiting(answer: &Answer) -> Option<Option<FailureKind>> {
    match answer {
        Answer::Waiting { trouble, .. } => Some(trouble.as_ref().map(Failure::kind)),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_costs_one_call_and_none_while_it_is_kept() {
    let setup = Setup::new().await;
    let one = owner("a", "one");
    let Answer::Ready(file_keys) = setup.open(&one, &values("x", 3)).await else { panic!("not ready") };
    let stanzas: Vec<_> = file_keys.into_iter().map(|(stanza, _)| vec![stanza]).collect();
    assert_eq!(stanzas, values("x", 3));
    assert_eq!(setup.calls(), 3);
    // The same values in another object: the cache does not ask whose they are. What they are bound to, the opener checks.
    assert_eq!(ready(setup.open(&owner("b", "two"), &values("x", 3)).await), 3);
    assert_eq!(setup.calls(), 3);
    tokio::time::advance(DEFAULT_CACHE_TTL).await;
    assert_eq!(ready(setup.open(&one, &values("x", 3)).await), 3);
    assert_eq!(setup.calls(), 6);
    let seen = setup.world.seen.lock().unwrap();
    let count = |wanted| seen.iter().filter(|seen| **seen == wanted).count();
    assert_eq!((count(Seen::InCache), count(Seen::NotInCache)), (3, 6));
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_for_twice_at_once_is_called_once() {
    // Without a cache nothing else would spare the second call.
    let setup = Setup::with(Settings { cache: 0, ..Settings::default() }).await;
    setup.slow(5 * SECOND);
    let owners: Vec<_> = (0..10).map(|n| owner(&format!("ns-{n}"), "x")).collect();
    let same_values = values("same", 2);
    let all = owners.iter().map(|owner| setup.open(owner, &same_values));
    for answer in futures::future::join_all(all).await {
        assert_eq!(ready(answer), 2);
    }
    assert_eq!(setup.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn without_a_cache_an_object_still_opens_as_a_whole_and_pays_again_when_it_is_done() {
    let settings = Settings { cache: 0, budget: Some(2), ..Settings::default() };
    let setup = Setup::with(settings).await;
    let (one, three) = (owner("a", "one"), values("x", 3));
    assert_eq!(waiting(&setup.unwrapper.ask(&one, &three).await), Some(None));
    tokio::time::sleep(11 * SECOND).await;
    assert_eq!((setup.calls(), setup.called_back(&one)), (3, 1));
    // It is held over as many passes as it takes, as when the API server refuses a write.
    for _ in 0..3 {
        assert_eq!(ready(setup.unwrapper.ask(&one, &three).await), 3);
    }
    assert_eq!(setup.calls(), 3);
    setup.unwrapper.done(&one);
    assert_eq!(waiting(&setup.unwrapper.ask(&one, &three).await), Some(None));
    tokio::time::sleep(20 * SECOND).await;
    assert_eq!(setup.calls(), 6);
}

#[tokio::test(start_paused = true)]
async fn nobody_comes_for_it_and_it_is_dropped() {
    let setup = Setup::with(Settings { cache: 0, ..Settings::default() }).await;
    let one = owner("a", "one");
    assert_eq!(ready(setup.unwrapper.ask(&one, &values("x", 1)).await), 1);
    tokio::time::sleep(700 * SECOND).await;
    assert_eq!(ready(setup.unwrapper.ask(&one, &values("x", 1)).await), 1);
    assert_eq!(setup.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn no_ten_seconds_see_more_calls_than_the_budget_and_namespaces_take_turns() {
    let setup = Setup::with(Settings { budget: Some(10), ..Settings::default() }).await;
    let began = Instant::now();
    let big: Vec<_> = (0..100).map(|n| (owner("big", &n.to_string()), values(&format!("b{n}"), 3))).collect();
    let opened = Mutex::new(Vec::new());
    let opening = |owner: Owner, values: Vec<Vec<VaultStanza>>| {
        let (setup, opened) = (&setup, &opened);
        async move {
            assert_eq!(ready(setup.open(&owner, &values).await), values.len());
            opened.lock().unwrap().push((owner, began.elapsed()));
        }
    };
    let crowd = big.into_iter().map(|(owner, values)| opening(owner, values));
    let late = async {
        tokio::time::sleep(SECOND).await;
        let small = ["one", "two"].map(|name| opening(owner("small", name), values(name, 2)));
        futures::future::join_all(small).await;
    };
    futures::future::join(futures::future::join_all(crowd), late).await;
    let calls: Vec<_> = setup.world.calls.lock().unwrap().iter().map(|(at, ..)| *at).collect();
    assert_eq!(calls.len(), 304);
    for (first, eleventh) in calls.iter().zip(&calls[10..]) {
        // A timer wakes up to a millisecond late.
        assert!(*eleventh - *first >= 10 * SECOND - Duration::from_millis(2));
    }
    // None of the budget was left unused: 304 calls take 30 spans.
    assert!(calls[303] - calls[0] <= 301 * SECOND, "{:?}", calls[303] - calls[0]);
    let opened = opened.into_inner().unwrap();
    for (owner, after) in opened.iter().filter(|(owner, _)| owner.namespace == "small") {
        // Four values, each after one of the crowd's.
        assert!(*after < 21 * SECOND, "{owner:?} after {after:?}");
    }
    // Of the crowd the first come are the first served, each as a whole.
    let crowd: Vec<_> = opened.iter().filter(|(owner, _)| owner.namespace == "big").collect();
    assert!(crowd[0].1 < 11 * SECOND && crowd.windows(2).all(|pair| pair[0].1 <= pair[1].1));
    assert_eq!(crowd[49].0.name, "49");
}

/// As many as a large cluster has at its first start.
#[tokio::test(start_paused = true)]
async fn ten_thousand_objects_are_no_burden() {
    let settings = Settings { cache: 100, budget: Some(500), ..Settings::default() };
    let setup = Setup::with(settings).await;
    let owners: Vec<_> = (0..10_000).map(|n| owner(&format!("ns-{}", n % 7), &n.to_string())).collect();
    let ask = |owner: &Owner| setup.unwrapper.ask_now(owner, &values(&owner.name, 3));
    for owner in &owners {
        assert_eq!(waiting(&ask(owner)), Some(None));
    }
    // Half are through when the version turns out to be disabled; the others are told so, and called for no more.
    setup.set(vec![without(1, FailureKind::Disabled)]);
    setup.next_poll().await;
    let calls = setup.calls();
    assert!((14_500..=15_500).contains(&calls), "{calls}");
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(setup.calls(), calls);
    let told = setup.world.called_back.lock().unwrap().len();
    assert_eq!(told, owners.len());
    for owner in &owners {
        assert_eq!(refused(ask(owner)).len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_never_wrapped_for_the_key_costs_one_call_and_no_more() {
    let setup = Setup::new().await;
    let one = owner("a", "one");
    for (sealed, calls) in [(Sealed::Badly, 1), (Sealed::Long, 2)] {
        let values = [vec![stanza("good")], vec![stanza_of(1, sealed, "bad")]];
        for _ in 0..3 {
            assert_eq!(refused(setup.open(&one, &values).await), [(1, FailureKind::Damaged)]);
        }
        // The good one was asked for beside it, and is kept.
        assert_eq!(setup.calls(), calls + 1);
    }
    // Another stanza of the same value may be the one.
    let values = [vec![stanza_of(1, Sealed::Badly, "bad"), stanza("other")]];
    assert_eq!(ready(setup.open(&one, &values).await), 1);
    assert_eq!(setup.calls(), 4);
    // What has another length than the key is not even called for.
    let mut short = stanza("short");
    short.wrapped.pop();
    assert_eq!(refused(setup.open(&one, &[vec![short]]).await), [(0, FailureKind::Damaged)]);
    assert_eq!(setup.calls(), 4);
    // With other versions it is worth another try.
    setup.set(vec![version(2), version(1)]);
    setup.next_poll().await;
    let bad = [vec![stanza_of(1, Sealed::Badly, "bad")]];
    assert_eq!(refused(setup.open(&one, &bad).await), [(0, FailureKind::Damaged)]);
    assert_eq!(setup.calls(), 5);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_does_not_open_anyway_is_not_paid_for() {
    let setup = Setup::new().await;
    let one = owner("a", "one");
    let unknown = stanza_of(9, Sealed::Well, "x");
    let values = [vec![stanza("good")], vec![unknown]];
    assert_eq!(refused(setup.unwrapper.ask(&one, &values).await), [(1, FailureKind::NotFound)]);
    let many = vec![vec![stanza("x")]; 2049];
    assert!(matches!(setup.unwrapper.ask(&one, &many).await, Answer::TooMany));
    tokio::time::sleep(SECOND).await;
    assert_eq!(setup.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_leaves_or_is_gone_is_not_called_for() {
    let setup = Setup::with(Settings { budget: Some(1), ..Settings::default() }).await;
    let [first, leaves, gone, stays] = ["first", "leaves", "gone", "stays"].map(|name| owner("a", name));
    for (owner, name) in [(&first, "1"), (&leaves, "2"), (&gone, "3"), (&stays, "4")] {
        let _ = setup.unwrapper.ask(owner, &values(name, 1)).await;
    }
    // One of whose values changed wants the old one no longer.
    let _ = setup.unwrapper.ask(&stays, &values("5", 1)).await;
    setup.unwrapper.done(&leaves);
    setup.world.gone.lock().unwrap().insert(gone.clone());
    tokio::time::sleep(60 * SECOND).await;
    let called: Vec<_> =
        setup.world.calls.lock().unwrap().iter().map(|(.., wrapped)| wrapped.clone()).collect();
    assert_eq!(called, ["1-0", "5-0"].map(|name| stanza(name).wrapped));
    assert_eq!(setup.called_back(&stays), 1);
}

#[tokio::test(start_paused = true)]
async fn a_vault_that_is_down_is_asked_less_and_less_and_all_is_opened_when_it_is_back() {
    let setup = Setup::new().await;
    setup.trouble(Some(Failure::new(FailureKind::Unavailable, "down")));
    let owners: Vec<_> = (0..200).map(|n| (owner("a", &n.to_string()), values(&n.to_string(), 2))).collect();
    for (owner, values) in &owners {
        let _ = setup.unwrapper.ask(owner, values).await;
    }
    tokio::time::sleep(300 * SECOND).await;
    let calls = setup.calls();
    // 32 at once, then 1, 2, 4, … 60 s apart.
    assert!(calls < 32 + 12, "{calls}");
    for (owner, values) in &owners {
        // Each was told once that there is more to it than its turn.
        assert_eq!(setup.called_back(owner), 1, "{owner:?}");
        let answer = setup.unwrapper.ask(owner, values).await;
        assert_eq!(waiting(&answer), Some(Some(FailureKind::Unavailable)));
    }
    setup.trouble(None);
    tokio::time::sleep(61 * SECOND).await;
    // They were told that they wait for nothing but their turn now, and then that it is there.
    assert_eq!(setup.called_back(&owners[199].0), 3);
    for (owner, values) in &owners {
        assert_eq!(ready(setup.unwrapper.ask(owner, values).await), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn one_failure_alone_is_told_to_nobody_and_a_pause_is_kept() {
    let setup = Setup::new().await;
    let throttled = Failure::new(FailureKind::Throttled, "fewer").retry_after(17 * SECOND);
    setup.trouble(Some(throttled));
    let one = owner("a", "one");
    assert_eq!(waiting(&setup.unwrapper.ask(&one, &values("x", 1)).await), Some(None));
    tokio::time::sleep(10 * SECOND).await;
    setup.trouble(None);
    assert_eq!((setup.calls(), setup.called_back(&one)), (1, 0));
    tokio::time::sleep(8 * SECOND).await;
    assert_eq!((setup.calls(), setup.called_back(&one)), (2, 1));
    assert_eq!(ready(setup.unwrapper.ask(&one, &values("x", 1)).await), 1);
}

/// As one whose answer is always a server error, while others are answered.
#[tokio::test(start_paused = true)]
async fn a_stanza_that_always_fails_lets_others_go_first() {
    let setup = Setup::new().await;
    let stubborn = owner("a", "stubborn");
    let never = [vec![stanza_of(1, Sealed::Never, "x")]];
    assert_eq!(waiting(&setup.unwrapper.ask(&stubborn, &never).await), Some(None));
    let other = owner("a", "other");
    let three = values("other", 3);
    let opened = setup.open(&other, &three);
    assert_eq!(tokio::time::timeout(40 * SECOND, opened).await.map(ready), Ok(3));
    // It is tried again all the same, less and less often.
    tokio::time::sleep(600 * SECOND).await;
    let calls = setup.calls();
    assert!((10..25).contains(&calls), "{calls}");
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_in_place_for_long() {
    let setup = Setup::new().await;
    // A quick vault is worth half a second.
    let began = Instant::now();
    assert_eq!(ready(setup.unwrapper.ask(&owner("a", "quick"), &values("x", 8)).await), 8);
    assert!(began.elapsed() < SECOND / 10);
    setup.slow(9 * SECOND);
    let mut waited = Duration::ZERO;
    for n in 0..20 {
        let began = Instant::now();
        let answer = setup.unwrapper.ask(&owner("a", &n.to_string()), &values(&n.to_string(), 1)).await;
        assert_eq!(waiting(&answer), Some(None));
        assert!(began.elapsed() <= SECOND / 2);
        waited += began.elapsed();
    }
    assert!(waited < 6 * SECOND, "{waited:?}");
    tokio::time::sleep(20 * SECOND).await;
    // It is known to be slow now.
    let began = Instant::now();
    let _ = setup.unwrapper.ask(&owner("a", "slow"), &values("slow", 1)).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_version_that_turns_out_to_be_disabled_is_not_called_again_until_a_poll() {
    let setup = Setup::with(Settings { budget: Some(1), ..Settings::default() }).await;
    setup.trouble(Some(Failure::new(FailureKind::Disabled, "the version is disabled")));
    setup.slow(5 * SECOND);
    let owners = ["one", "two", "three"].map(|name| owner("a", name));
    for owner in &owners {
        let _ = setup.unwrapper.ask(owner, &values(&owner.name, 1)).await;
    }
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(setup.calls(), 1);
    for owner in &owners {
        assert_eq!(setup.called_back(owner), 1);
        let answer = setup.unwrapper.ask(owner, &values(&owner.name, 1)).await;
        let Answer::Refused(refused) = answer else { panic!("not refused") };
        let text = refused[0].1.to_string();
        assert!(text.contains(&fingerprint(1).to_string()) && text.contains("is disabled"), "{text}");
    }
    setup.trouble(None);
    let before = *setup.world.all_called_back.lock().unwrap();
    setup.next_poll().await;
    assert!(*setup.world.all_called_back.lock().unwrap() > before, "whoever was refused comes again");
    assert_eq!(ready(setup.open(&owners[0], &values("one", 1)).await), 1);
}

#[tokio::test(start_paused = true)]
async fn versions_come_and_go_at_polls_and_what_is_disabled_opens_nothing_from_the_cache_either() {
    let setup = Setup::new().await;
    let one = owner("a", "one");
    let both = [vec![stanza("old")], vec![stanza_of(2, Sealed::Well, "new")]];
    let Answer::Refused(refused_for) = setup.unwrapper.ask(&one, &both).await else { panic!("not refused") };
    let text = refused_for[0].1.to_string();
    for part in [&fingerprint(2).to_string(), "HSM key values", "team.vault.azure.net", "--enabled true"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let names = setup.unwrapper.name();
    setup.set(vec![version(2), version(1)]);
    setup.next_poll().await;
    assert_ne!(setup.unwrapper.name(), names);
    assert_eq!(ready(setup.open(&one, &both).await), 2);
    let called: BTreeSet<_> =
        setup.world.calls.lock().unwrap().iter().map(|(_, id, _)| id.version().to_owned()).collect();
    assert_eq!(called, [1, 2].map(|number| format!("{number:032x}")).into());

    setup.set(vec![version(2), without(1, FailureKind::Disabled)]);
    setup.next_poll().await;
    assert_eq!(refused(setup.open(&one, &both).await), [(0, FailureKind::Disabled)]);
    setup.set(vec![version(2), version(1)]);
    setup.next_poll().await;
    assert_eq!(ready(setup.open(&one, &both).await), 2);
    assert_eq!(setup.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_to_be_gone_counts_as_there() {
    let down = Failure::new(FailureKind::Unavailable, "down");
    let setup = Setup::unasked(Settings::default(), Err(down.clone()));
    let (ours, theirs) = (fingerprint(1).key_id(), fingerprint(9).key_id());
    setup.unwrapper.asked().await;
    assert!(setup.unwrapper.holds(ours) && setup.unwrapper.holds(theirs));
    let one = owner("a", "one");
    let answer = setup.unwrapper.ask(&one, &values("x", 1)).await;
    assert_eq!(waiting(&answer), Some(Some(FailureKind::Unavailable)));
    assert_eq!(setup.world.warnings.lock().unwrap().len(), 1);

    setup.set(vec![version(1)]);
    tokio::time::sleep(61 * SECOND).await;
    assert!(setup.unwrapper.holds(ours) && !setup.unwrapper.holds(theirs));
    assert_eq!(ready(setup.open(&one, &values("x", 1)).await), 1);

    // Down again: what is known stays known, and opens from the cache.
    *setup.world.versions.lock().unwrap() = Err(down);
    setup.next_poll().await;
    setup.next_poll().await;
    assert!(setup.unwrapper.holds(ours) && !setup.unwrapper.holds(theirs));
    assert_eq!(ready(setup.open(&one, &values("x", 1)).await), 1);

    // Disabled, or deleted as a whole: what was opened stays as it is, and nothing more is.
    setup.set(vec![without(1, FailureKind::Disabled)]);
    setup.next_poll().await;
    assert!(setup.unwrapper.holds(ours) && !setup.unwrapper.holds(theirs));
    *setup.world.versions.lock().unwrap() = Err(Failure::new(FailureKind::NotFound, "recover it"));
    setup.next_poll().await;
    assert!(setup.unwrapper.holds(ours) && setup.unwrapper.holds(theirs));
    assert_eq!(refused(setup.open(&one, &values("x", 1)).await), [(0, FailureKind::NotFound)]);

    // One that the vault does not show may be any.
    setup.set(vec![Version { public: Public::Hidden, ..without(2, FailureKind::Disabled) }, version(1)]);
    setup.next_poll().await;
    assert!(setup.unwrapper.holds(theirs));
    setup.set(vec![Version { public: Public::Other, ..without(2, FailureKind::Damaged) }, version(1)]);
    setup.next_poll().await;
    assert!(!setup.unwrapper.holds(theirs));
}

#[tokio::test(start_paused = true)]
async fn a_budget_above_half_of_the_limit_is_cut_and_told_once() {
    let setup = Setup::with(Settings { budget: Some(1500), ..Settings::default() }).await;
    assert!(setup.world.seen.lock().unwrap().contains(&Seen::Budget(1000)));
    setup.next_poll().await;
    setup.next_poll().await;
    let warnings = setup.world.warnings.lock().unwrap().clone();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("--hsm-budget 1500") && warnings[0].contains("1000"), "{}", warnings[0]);
    // A larger version beside it is dearer, and both draw from one purse.
    let large = Public::Known { fingerprint: fingerprint(2), bits: 4096, hardware: true };
    setup.set(vec![Version { public: large, ..version(2) }, version(1)]);
    setup.next_poll().await;
    assert_eq!(
        setup.world.seen.lock().unwrap().iter().rfind(|seen| matches!(seen, Seen::Budget(_))),
        Some(&Seen::Budget(125))
    );
}

#[test]
fn the_configuration_is_checked() {
    let vault = |key: &str, versions: &[&str]| {
        let versions = versions.iter().map(|&version| version.to_owned()).collect();
        let hsm = Config { key: key.into(), versions, settings: Settings::default() };
        let credential = Credential::AzureCli { tenant: None };
        let config =
            VaultConfig { hsm: Some(hsm), ..VaultConfig::new("https://team.vault.azure.net", credential) };
        KeyVault::new(config, Arc::new(()))
    };
    let version = "0123456789ABCDEF0123456789abcdef";
    let good = vault("Values", &[version]).ok().unwrap();
    assert_eq!(good.hsm_key().unwrap().as_str(), "values");
    assert!(matches!(vault("privyseal", &[]), Err(ConfigError::SameKey)));
    assert!(matches!(vault("PrivySeal", &[]), Err(ConfigError::SameKey)));
    assert!(matches!(vault("a/b", &[]), Err(ConfigError::ObjectName)));
    for bad in ["", "latest", "../x", &version[1..]] {
        assert!(matches!(vault("values", &[bad]), Err(ConfigError::Version)), "{bad}");
    }
    let target = good.0.hsm.clone().unwrap();
    let id = |version: &str| {
        let id = format!("https://team.vault.azure.net/keys/values/{}", version.to_lowercase());
        VersionId::stored(&id, good.vault(), Collection::Keys, &target.key).unwrap()
    };
    assert!(target.allows(&id(version)) && !target.allows(&id(&"0".repeat(32))));
}
