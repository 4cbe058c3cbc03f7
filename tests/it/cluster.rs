//! The cluster room against an API server that misbehaves.

use futures::StreamExt;
use gradual_rollout::clock::Clock;
use gradual_rollout::cluster::cache::{Cache, Cached};
use gradual_rollout::cluster::connect::Clients;
use gradual_rollout::cluster::crd;
use gradual_rollout::cluster::lease::{self, LeaseSettings};
use gradual_rollout::cluster::rollouts::{self, RolloutEvent};
use gradual_rollout::cluster::share::{Share, Terms};
use gradual_rollout::routing::{ObjectKind, ObjectRef};
use gradual_rollout::sandbox::apiserver::{Action, Failure, Fault, Store};
use jiff::Timestamp;
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const ROUTES: &str = "virtualservices.networking.istio.io";
const SLICES: &str = "endpointslices.discovery.k8s.io";

fn clock() -> Clock {
    Clock::simulated("2026-01-05T02:00:00Z".parse().unwrap())
}

fn shop() -> ObjectRef {
    ObjectRef {
        kind: ObjectKind::VirtualService,
        namespace: "apps".into(),
        name: "shop".into(),
    }
}

/// A store with the namespace `apps`, a cache over it, and the task that runs the cache.
fn cached() -> (Store, Cache, JoinSet<()>) {
    let store = Store::new(clock());
    store.namespace("apps");
    let cache = Cache::new(Clients::from_service(store.router()));
    let mut tasks = JoinSet::new();
    tasks.spawn(cache.clone().run(CancellationToken::new()));
    (store, cache, tasks)
}

fn route(store: &Store) {
    let pair =
        json!([{"destination": {"host": "a"}, "weight": 95}, {"destination": {"host": "b"}, "weight": 5}]);
    let route = json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "shop", "namespace": "apps"},
        "spec": {"hosts": ["shop"], "http": [{"name": "primary", "route": pair}]}});
    store.put(route).unwrap();
}

/// Lets virtual time pass until this is so; ten minutes at most.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..6000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("never: {what}");
}

fn forbidden() -> Failure {
    Failure::new(403, "Forbidden", "no")
}

#[tokio::test(start_paused = true)]
async fn a_refused_watch_hides_the_object_only_until_it_is_allowed_again() {
    let (store, cache, _tasks) = cached();
    route(&store);
    cache.want(ObjectKind::VirtualService, "apps");
    until("first seen", || matches!(cache.get(&shop()), Cached::Object(_))).await;
    store
        .faults()
        .inject(Fault::new(Action::Fail(forbidden())).resource(ROUTES));
    store.break_watches();
    until("refused", || matches!(cache.get(&shop()), Cached::Problem(_))).await;
    store.faults().clear();
    until("seen again, though nobody changed it", || {
        matches!(cache.get(&shop()), Cached::Object(_))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_can_no_longer_be_watched_say_nothing() {
    let (store, cache, _tasks) = cached();
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {"name": "shop-x", "namespace": "apps", "labels": {"kubernetes.io/service-name": "shop"}},
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": false}}]});
    store.put(slice).unwrap();
    cache.want_endpoints("apps");
    until("known to have none", || {
        cache.endpoints_ready("apps", "shop") == Some(false)
    })
    .await;
    store
        .faults()
        .inject(Fault::new(Action::Fail(Failure::internal("down"))).resource(SLICES));
    store.break_watches();
    until("stale", || cache.endpoints_ready("apps", "shop").is_none()).await;
    store.faults().clear();
    until("fresh again", || {
        cache.endpoints_ready("apps", "shop") == Some(false)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_ready_pod_in_any_slice_of_a_service_is_enough_and_none_in_all_is_none() {
    let (store, cache, _tasks) = cached();
    let slice = |service: &str, n: u8, ready: &[bool]| {
        let of = |ready: &bool| json!({"addresses": ["10.0.0.1"], "conditions": {"ready": ready}});
        let endpoints: Vec<_> = ready.iter().map(of).collect();
        let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("{service}-{n}"), "namespace": "apps",
                "labels": {"kubernetes.io/service-name": service}},
            "endpoints": endpoints});
        store.put(slice).unwrap();
    };
    // Whichever of them comes first.
    for (service, first, second) in [
        ("a", &[true, false][..], &[false][..]),
        ("b", &[false][..], &[false, true][..]),
        ("c", &[false, false][..], &[][..]),
    ] {
        slice(service, 1, first);
        slice(service, 2, second);
    }
    cache.want_endpoints("apps");
    let ready = |service: &str| cache.endpoints_ready("apps", service);
    until("listed", || ready("c").is_some()).await;
    assert_eq!(
        ["a", "b", "c", "d"].map(ready),
        [Some(true), Some(true), Some(false), None]
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_asked_for_an_object_is_told_that_there_is_none() {
    let (_store, cache, _tasks) = cached();
    let mut changes = cache.changes();
    cache.want(ObjectKind::VirtualService, "apps");
    assert!(matches!(cache.get(&shop()), Cached::Syncing));
    let told = tokio::time::timeout(Duration::from_secs(60), changes.recv())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told, shop());
    assert!(matches!(cache.get(&shop()), Cached::Missing));
}

#[tokio::test(start_paused = true)]
async fn all_is_told_only_when_every_namespace_was_listed() {
    let store = Store::new(clock());
    store.register_crd(&crd::definition()).unwrap();
    store.namespace("open");
    store.namespace("closed");
    let closed = Fault::new(Action::Fail(forbidden())).resource("gradualrollouts.rollout.sealos.io");
    store.faults().inject(Fault {
        namespace: Some("closed".into()),
        ..closed
    });
    let clients = Clients::from_service(store.router());
    let mut events = Box::pin(rollouts::watch(&clients, vec!["open".into(), "closed".into()]));
    for _ in 0..3 {
        let listen = async {
            while let Some(event) = events.next().await {
                assert!(
                    !matches!(event, Ok(RolloutEvent::Synced)),
                    "one namespace was never listed"
                );
            }
        };
        assert!(
            tokio::time::timeout(Duration::from_secs(120), listen)
                .await
                .is_err()
        );
        // The next list of the open one.
        store.forget_history();
        store.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tick", "namespace": "open"}})).unwrap();
        store.forget_history();
        store.break_watches();
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_renew_stands_down_before_another_may_take_over() {
    let clock = clock();
    let store = Store::new(clock.clone());
    store.namespace("apps");
    let share = Share::new(1);
    let mut holds = share.changes();
    let settings = LeaseSettings {
        clients: Clients::from_service(store.router()),
        namespace: "apps".into(),
        name: lease::NAME.into(),
        identity: "me".into(),
        renew: Duration::from_secs(5),
        duration: Duration::from_secs(15),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(lease::run(
        settings,
        share.clone(),
        clock.clone(),
        CancellationToken::new(),
    ));
    holds.wait_for(Terms::leads).await.unwrap();
    tokio::time::sleep(Duration::from_secs(32)).await;
    store
        .faults()
        .inject(Fault::new(Action::Hang).resource("leases.coordination.k8s.io"));
    holds.wait_for(|terms| !terms.leads()).await.unwrap();
    let lease = store
        .get("leases.coordination.k8s.io", "apps", lease::NAME)
        .unwrap();
    let renewed: Timestamp = lease
        .pointer("/spec/renewTime")
        .unwrap()
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let late = clock.now().duration_since(renewed);
    assert!(
        late.as_secs_f64() < 15.0,
        "stood down {late:#} after the last renewal"
    );
}
