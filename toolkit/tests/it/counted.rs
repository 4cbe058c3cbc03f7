//! `migrate status` counts what a person would count: whatever became of the Ingresses of whichever namespaces.

use crate::apply::{ING, VS, tenants};
use crate::objects::{ingress, service};
use crate::ownership::{AP, annotate};
use crate::standing::gateway_pod;
use crate::support::migrate;
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::End;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What becomes of an Ingress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nobody migrates it.
    Left,
    /// It is migrated, and stays as it is.
    Migrated,
    /// It is migrated, and somebody gives it another path.
    Changed,
    /// It is migrated, and somebody edits its route.
    Edited,
    /// It is migrated, and somebody deletes its route.
    NoRoute,
    /// It is migrated, and somebody takes its mark off.
    Unmarked,
    /// It is migrated with an address list, and somebody deletes the policy.
    NoGuard,
    /// It is migrated, and `cleanup` deletes it.
    Cleaned,
    /// It is migrated, and somebody deletes it.
    Orphaned,
    /// It is another controller's.
    Others,
    /// It solves a challenge for a certificate.
    Solver,
}

use Fate::{Changed, Cleaned, Edited, Left, Migrated, NoGuard, NoRoute, Orphaned, Others, Solver, Unmarked};

impl Fate {
    /// Where it is counted, as people would; none where it does not count.
    fn counts(self) -> Option<&'static str> {
        match self {
            Left => Some("left"),
            Migrated => Some("migrated"),
            Changed => Some("changed"),
            Edited | NoRoute | Unmarked | NoGuard => Some("failed"),
            Cleaned => Some("cleaned"),
            Orphaned => Some("orphaned"),
            Others | Solver => None,
        }
    }

    /// Whether it is migrated to begin with.
    fn applied(self) -> bool {
        !matches!(self, Left | Others | Solver)
    }
}

fn any_fate() -> impl Strategy<Value = Fate> {
    let all = [
        Left, Migrated, Changed, Edited, NoRoute, Unmarked, NoGuard, Cleaned, Orphaned, Others, Solver,
    ];
    prop::sample::select(all.to_vec())
}

fn put(store: &Store, namespace: &str, name: &str, fate: Fate) {
    let mut one = ingress(namespace, name);
    match fate {
        Others => one["spec"]["ingressClassName"] = json!("haproxy"),
        Solver => {
            one["metadata"]["annotations"] = json!({});
            one["metadata"]["labels"] = json!({"acme.cert-manager.io/http01-solver": "true"});
            one["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!("/.well-known/acme-challenge/abc");
        }
        Left | Migrated | Changed | Edited | NoRoute | Unmarked | NoGuard | Cleaned | Orphaned => {}
    }
    store.put(one).unwrap();
    store.put(service(namespace, name)).unwrap();
    if fate == NoGuard {
        annotate(store, namespace, name, "whitelist-source-range", "10.0.0.0/8");
    }
}

/// The object that was made for the host of an Ingress.
fn made(store: &Store, resource: &str, namespace: &str, name: &str) -> Value {
    let from = json!(format!("{namespace}/{name}"));
    let all = store.list(resource);
    let is = |object: &&std::sync::Arc<Value>| {
        object["metadata"]["annotations"]["rollout.sealos.io/converted-from"] == from
    };
    Value::clone(all.iter().find(is).unwrap())
}

fn delete(store: &Store, resource: &str, object: &Value) {
    let text = |field: &str| object["metadata"][field].as_str().unwrap();
    store.delete(resource, text("namespace"), text("name")).unwrap();
}

fn befalls(store: &Store, namespace: &str, name: &str, fate: Fate) {
    let mut own = store.get(ING, namespace, name).map(|own| Value::clone(&own));
    match fate {
        Changed => {
            let own = own.as_mut().unwrap();
            own["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!("/other");
            store.put(own.clone()).unwrap();
        }
        Edited => {
            let mut route = made(store, VS, namespace, name);
            route["spec"]["http"][0]["timeout"] = json!("5s");
            store.put(route).unwrap();
        }
        NoRoute => delete(store, VS, &made(store, VS, namespace, name)),
        NoGuard => delete(store, AP, &made(store, AP, namespace, name)),
        Unmarked => {
            let own = own.as_mut().unwrap();
            own["metadata"]["labels"] = json!({});
            store.put(own.clone()).unwrap();
        }
        Orphaned => delete(store, ING, &own.unwrap()),
        Left | Migrated | Cleaned | Others | Solver => {}
    }
}

type Fates = BTreeMap<(String, String), Fate>;

/// A cluster in which all of that happened.
async fn lived(fates: &Fates) -> (Store, Clock) {
    let names: Vec<&str> = fates.keys().map(|(namespace, _)| namespace.as_str()).collect();
    let (store, clock) = tenants(&[]);
    gateway_pod(&store);
    for name in names {
        store.namespace(name);
    }
    for ((namespace, name), fate) in fates {
        put(&store, namespace, name, *fate);
    }
    let typed = |wanted: &dyn Fn(Fate) -> bool| -> String {
        let all = fates.iter().filter(|(_, fate)| wanted(**fate));
        let all: Vec<String> = all
            .map(|((namespace, name), _)| format!("{namespace}/{name}"))
            .collect();
        all.join(",")
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b").to_str().unwrap().to_owned();
    let end =
        |said: crate::support::Said| assert_eq!(said.end.unwrap(), End::Done, "{}{}", said.err, said.out);
    let applied = typed(&Fate::applied);
    if !applied.is_empty() {
        end(migrate(&store, &clock, &["apply", "--ingress", &applied]).await);
    }
    for ((namespace, name), fate) in fates {
        befalls(&store, namespace, name, *fate);
    }
    // All that is not to go is kept by somebody who would write it again.
    for ((namespace, name), _) in fates.iter().filter(|(_, fate)| **fate != Cleaned) {
        if let Some(own) = store.get(ING, namespace, name) {
            let mut own = Value::clone(&own);
            own["metadata"]["annotations"]["meta.helm.sh/release-name"] = json!("kept");
            own["metadata"]["labels"]["app.kubernetes.io/managed-by"] = json!("Helm");
            store.put(own).unwrap();
        }
    }
    if fates.values().any(|fate| *fate == Cleaned) {
        end(migrate(&store, &clock, &["backup", "--dir", &path]).await);
        let accepted = "CLEANUP-NAME-UNKNOWN,CLEANUP-NOT-PROBED,CLEANUP-COUNT-UNKNOWN,CLEANUP-COUNTING";
        let words = [
            "cleanup", "--all", "--dir", &path, "--soak", "0", "--accept", accepted,
        ];
        migrate(&store, &clock, &words).await.end.unwrap();
    }
    (store, clock)
}

/// By hand: how many of which namespace.
fn by_hand(fates: &Fates) -> BTreeMap<String, BTreeMap<&'static str, usize>> {
    let mut all: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
    for ((namespace, _), fate) in fates {
        if let Some(column) = fate.counts() {
            *all.entry(namespace.clone())
                .or_default()
                .entry(column)
                .or_default() += 1;
        }
    }
    all
}

const COLUMNS: [&str; 6] = ["left", "migrated", "changed", "failed", "cleaned", "orphaned"];

async fn agrees(fates: &Fates) {
    let (store, clock) = lived(fates).await;
    let hand = by_hand(fates);
    let said = migrate(&store, &clock, &["--json", "status"]).await;
    let told: Value = serde_json::from_str(&said.out).unwrap();
    let count = |told: &Value, column: &str| usize::try_from(told[column].as_u64().unwrap()).unwrap();
    let of = |namespace: &str, column: &str| hand[namespace].get(column).copied().unwrap_or_default();
    let namespaces: Vec<&String> = told["namespaces"].as_object().unwrap().keys().collect();
    assert_eq!(namespaces, hand.keys().collect::<Vec<_>>(), "{fates:?}: {told:#}");
    let migrated = fates.values().filter(|fate| **fate == Migrated).count();
    // Each has a host of its own.
    assert_eq!(told["servedByBoth"], json!(migrated), "{fates:?}: {told:#}");
    for column in COLUMNS {
        for namespace in hand.keys() {
            let said = count(&told["namespaces"][namespace], column);
            assert_eq!(
                said,
                of(namespace, column),
                "{column} of {namespace} in {fates:?}: {told:#}"
            );
        }
        let all: usize = hand.keys().map(|namespace| of(namespace, column)).sum();
        assert_eq!(
            count(&told["total"], column),
            all,
            "{column} in {fates:?}: {told:#}"
        );
    }
    // What people read says the same, a line for each namespace.
    let said = migrate(&store, &clock, &["status", "--all"]).await;
    for namespace in hand.keys() {
        let line = said
            .out
            .lines()
            .find(|line| line.split_whitespace().next() == Some(namespace));
        let read: Vec<usize> = line
            .unwrap()
            .split_whitespace()
            .skip(1)
            .map(|word| word.parse().unwrap())
            .collect();
        let hand: Vec<usize> = COLUMNS.iter().map(|column| of(namespace, column)).collect();
        assert_eq!(read, hand, "{namespace} in {fates:?}: {}", said.out);
        // And of one that is named the same is said.
        let alone = migrate(&store, &clock, &["--json", "-n", namespace, "status"]).await;
        let alone: Value = serde_json::from_str(&alone.out).unwrap();
        assert_eq!(
            alone["total"], told["namespaces"][namespace],
            "{namespace} in {fates:?}"
        );
    }
    let done = hand.values().filter(|counts| {
        counts
            .keys()
            .all(|column| matches!(*column, "migrated" | "cleaned"))
    });
    let line = format!("{} namespaces done", done.count());
    assert!(said.out.contains(&line), "{line} in {fates:?}: {}", said.out);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn what_status_counts_of_each_namespace_is_what_a_person_counts(
        all in prop::collection::btree_map((0_u8..3, 0_u8..4), any_fate(), 0..10),
    ) {
        let fates: Fates = all
            .into_iter()
            .map(|((space, number), fate)| ((format!("ns-{space}"), format!("app-{number}")), fate))
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(agrees(&fates));
    }
}
