//! Runs that are killed after any of their writes, and applies that are told to end after any: what they leave is told, and the
//! same command goes on to where it would have come.

use crate::apply::{GW, ING, VS};
use crate::objects::asked;
use crate::ownership::{AP, DR};
use crate::rollback::full;
use crate::standing::gateway_pod;
use crate::support::{Said, migrate, migrate_by, migrate_until};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::End;
use http::{Method, Request};
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::Notify;

const ACCEPTED: &str = "CLEANUP-NAME-UNKNOWN,CLEANUP-NOT-PROBED,CLEANUP-COUNT-UNKNOWN,CLEANUP-COUNTING";
const APPLY: [&str; 2] = ["apply", "--all"];

/// A client whose program is dead after so many writes, and who hears of it: the last is done, and no answer is read any
/// more.
fn dying(store: &Store, after: usize, dead: &Arc<Notify>) -> (kube::Client, Arc<AtomicUsize>) {
    let (inner, count) = (store.client("default"), Arc::new(AtomicUsize::new(0)));
    let (counted, dead) = (count.clone(), dead.clone());
    let service = tower::service_fn(move |request: Request<Body>| {
        let (inner, counted, dead) = (inner.clone(), counted.clone(), dead.clone());
        async move {
            if request.method() == Method::GET {
                if counted.load(Ordering::SeqCst) > after {
                    std::future::pending::<()>().await;
                }
                return inner.send(request).await;
            }
            // What is under way side by side with the last is not done.
            if counted.fetch_add(1, Ordering::SeqCst) >= after {
                dead.notify_one();
                std::future::pending::<()>().await;
            }
            inner.send(request).await
        }
    });
    (kube::Client::new(service, "default"), count)
}

/// Kills a run after so many writes. Whether it came to its end before, and how many it began.
async fn killed(store: &Store, clock: &Clock, words: &[&str], after: usize) -> (Option<Said>, usize) {
    let dead = Arc::new(Notify::new());
    let (client, count) = dying(store, after, &dead);
    // What is under way is done first, and nobody has lost patience with what is not answered by then.
    let death = async {
        dead.notified().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let said = tokio::select! {
        said = migrate_by(client, clock, words) => Some(said),
        () = death => None,
    };
    (said, count.load(Ordering::SeqCst))
}

/// All that the verbs write, as it is asked for; times aside.
fn state(store: &Store) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for resource in [VS, GW, ING, AP, DR, "secrets"] {
        for object in store.list(resource) {
            let meta = &object["metadata"];
            let mut seen = asked(&object);
            if let Some(notes) = seen["metadata"]["annotations"].as_object_mut() {
                // Emptied, or not there: nobody goes back.
                notes.remove("rollout.sealos.io/going-back");
                for time in ["sealos.io/migration-time", "rollout.sealos.io/cleaned-at"] {
                    notes.entry(time).and_modify(|at| *at = json!("some time"));
                }
            }
            all.insert(format!("{resource} {}/{}", meta["namespace"], meta["name"]), seen);
        }
    }
    all
}

/// Says of two states only where they differ.
fn same(is: &BTreeMap<String, Value>, wanted: &BTreeMap<String, Value>, story: &str) {
    let names: BTreeSet<&String> = is.keys().chain(wanted.keys()).collect();
    for name in names {
        assert_eq!(is.get(name), wanted.get(name), "{story}: {name}");
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Whether an object of ours is there for an Ingress; a copy of a certificate for any of its source's namespace.
fn is_for(object: &Value, ingress: &str) -> bool {
    let notes = &object["metadata"]["annotations"];
    if let Some(copied) = notes["rollout.sealos.io/copy-of"].as_str() {
        return copied.split('/').next() == ingress.split('/').next();
    }
    let from = notes["rollout.sealos.io/converted-from"]
        .as_str()
        .unwrap_or_default();
    from.split(',').any(|name| name == ingress)
}

/// What is there and belongs to nothing that is whole is told by `status`, by its own name or by that of its Ingress; and each
/// Ingress is counted as it stands.
async fn told(store: &Store, clock: &Clock, story: &str) -> Value {
    let said = migrate(store, clock, &["--json", "status"]).await;
    assert_eq!(said.end.unwrap(), End::Done, "{story}");
    let told: Value = serde_json::from_str(&said.out).unwrap();
    let left = told["leftOver"].as_array().unwrap();
    let named: BTreeSet<&str> = left.iter().map(|one| text(one, "/object")).collect();
    let states: BTreeMap<String, &str> = told["ingresses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            (
                format!("{}/{}", text(one, "/namespace"), text(one, "/name")),
                text(one, "/state"),
            )
        })
        .collect();
    for resource in [VS, AP, DR, "secrets"] {
        for object in store.list(resource) {
            if text(&object, "/metadata/labels/app.kubernetes.io~1managed-by") != "gradual-rollout" {
                continue;
            }
            let name = format!(
                "{} {}/{}",
                text(&object, "/kind"),
                text(&object, "/metadata/namespace"),
                text(&object, "/metadata/name")
            );
            let of = |wanted: &str| {
                let mut all = states.iter();
                all.any(|(ingress, state)| *state == wanted && is_for(&object, ingress))
            };
            assert!(
                named.contains(name.as_str()) || of("migrated") || of("cleaned") || of("failed"),
                "{story}: nobody is told of {name}: {told:#}"
            );
        }
    }
    // What has its mark is whole, what is marked and gone was cleaned up, and nothing else is.
    for (name, state) in &states {
        let (namespace, ingress) = name.split_once('/').unwrap();
        let there = store.get(ING, namespace, ingress);
        let marked = there
            .as_ref()
            .map(|one| text(one, "/metadata/labels/sealos.io~1migrated-to-istio") == "true");
        let wanted: &[&str] = match marked {
            None => &["cleaned"],
            Some(true) => &["migrated"],
            Some(false) => &["left", "failed"],
        };
        assert!(wanted.contains(state), "{story}: {name} is {state}: {told:#}");
    }
    told
}

fn codes(told: &Value) -> BTreeSet<String> {
    let all = told["ingresses"].as_array().unwrap().iter();
    let all = all.flat_map(|one| one["wrong"].as_array().unwrap());
    all.map(|wrong| text(wrong, "/code").to_owned()).collect()
}

/// Two tenants, one of which has everything, and a backup.
async fn ready() -> (Store, Clock, TempDir, String) {
    let (store, clock) = full();
    gateway_pod(&store);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    let said = migrate(&store, &clock, &["backup", "--dir", &path]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    (store, clock, dir, path)
}

async fn done(store: &Store, clock: &Clock, words: &[&str]) {
    let said = migrate(store, clock, words).await;
    println!("{words:?}\n{}{}{:?}\n", said.err, said.out, said.end);
    assert_eq!(said.end.unwrap(), End::Done, "{words:?}");
}

/// What is done before a verb, and the verb.
async fn at(verb: &str) -> (Store, Clock, TempDir, Vec<String>) {
    let (store, clock, dir, path) = ready().await;
    let cleanup = [
        "cleanup", "--all", "--dir", &path, "--soak", "0", "--accept", ACCEPTED,
    ];
    let rollback = ["rollback", "--all", "--dir", &path];
    let words: &[&str] = match verb {
        "apply" => &APPLY,
        "cleanup" => {
            done(&store, &clock, &APPLY).await;
            &cleanup
        }
        "rollback" => {
            done(&store, &clock, &APPLY).await;
            done(&store, &clock, &[&cleanup[..], &["-n", "ns-a"]].concat()).await;
            &rollback
        }
        other => panic!("{other}"),
    };
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    (store, clock, dir, words)
}

#[tokio::test(start_paused = true)]
async fn whatever_a_run_left_that_was_killed_is_told_and_the_same_command_goes_on_to_the_same_end() {
    for (verb, least) in [("apply", 8), ("cleanup", 4), ("rollback", 8)] {
        let (store, clock, _dir, words) = at(verb).await;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let before = state(&store);
        let (said, writes) = killed(&store, &clock, &words, usize::MAX).await;
        assert_eq!(said.unwrap().end.unwrap(), End::Done, "{verb}");
        assert!(writes >= least, "{verb}: {writes}");
        let after = state(&store);
        told(&store, &clock, verb).await;
        for point in 0..writes {
            let (store, clock, _dir, words) = at(verb).await;
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let story = format!("{verb}, killed after {point} of {writes} writes");
            let (said, _) = killed(&store, &clock, &words, point).await;
            assert!(said.is_none(), "{story}: it ended: {said:?}");
            let left = told(&store, &clock, &story).await;
            let now = state(&store);
            let codes = codes(&left);
            println!("{story}: {} {codes:?} {}", left["total"], left["leftOver"]);
            // Who sees it knows which of the two it was.
            match verb {
                "apply" => assert!(!codes.contains("STATE-GOING-BACK"), "{story}"),
                _ => assert!(!codes.contains("STATE-UNMARKED"), "{story}: {left:#}"),
            }
            assert!(point > 0 || now == before, "{story}: nothing was written");
            done(&store, &clock, &words).await;
            same(&state(&store), &after, &story);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_apply_that_is_told_to_end_after_any_of_its_writes_leaves_what_is_told_and_gone_on_with() {
    let (store, clock, ..) = at("apply").await;
    let begin = store.version();
    done(&store, &clock, &APPLY).await;
    let (after, end) = (state(&store), store.version());
    for point in begin..end {
        let (store, clock, ..) = at("apply").await;
        let story = format!("told to end at {} of {}", point - begin, end - begin);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let stopped = || store.version() >= point;
        let words = [&["--json"], &APPLY[..], &["--rate", "10"]].concat();
        let ended = migrate_until(
            store.client("default"),
            &clock,
            &words,
            &stopped,
            &mut out,
            &mut err,
        )
        .await;
        let said: Value = serde_json::from_slice(&out).unwrap();
        let whole = state(&store) == after;
        assert_eq!(ended.unwrap() == End::Done, whole, "{story}: {said:#}");
        let findings = said["findings"].as_array().unwrap();
        let is = |one: &Value| one["code"] == "APPLY-INTERRUPTED";
        assert!(whole || findings.iter().any(is), "{story}: {said:#}");
        told(&store, &clock, &story).await;
        done(&store, &clock, &APPLY).await;
        same(&state(&store), &after, &story);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollback_that_was_killed_is_not_told_as_an_apply_that_was_and_either_way_goes_on() {
    for (way, open) in [
        ("rollback", true),
        ("apply", true),
        ("rollback", false),
        ("apply", false),
    ] {
        let (store, clock, _dir, _) = ready().await;
        done(&store, &clock, &APPLY).await;
        let whole = state(&store);
        let kind = if open { GW } else { VS };
        let verb = if open { "patch" } else { "delete" };
        let hang = gradual_rollout_apiserver::Fault::new(gradual_rollout_apiserver::Action::Hang);
        let number = store.inject(hang.verb(verb).resource(kind));
        let words = ["-n", "ns-b", "rollback"];
        let run = tokio::time::timeout(Duration::from_secs(60), migrate(&store, &clock, &words));
        assert!(run.await.is_err(), "it hangs");
        store.faults().lift(number);
        let said = migrate(&store, &clock, &["status"]).await;
        println!("{}", said.out);
        assert!(
            said.out
                .contains("STATE-GOING-BACK  Ingress ns-b/shop: a rollback of it"),
            "{}",
            said.out
        );
        assert!(!said.out.contains("apply was ended half-way"), "{}", said.out);
        assert_eq!(said.out.contains("serves it still"), open, "{}", said.out);
        let judged = migrate(&store, &clock, &["validate"]).await;
        println!("{}", judged.err);
        assert!(
            judged.err.contains("warning  STATE-GOING-BACK")
                && judged.err.contains("migrate rollback --ingress ns-b/shop"),
            "{}",
            judged.err
        );
        assert!(
            !judged.err.contains("STATE-CLOSED"),
            "it is to be closed: {}",
            judged.err
        );
        if way == "rollback" {
            done(&store, &clock, &["rollback", "--ingress", "ns-b/shop"]).await;
            assert_eq!(store.list(VS).len(), 1);
        } else {
            done(&store, &clock, &["apply", "--ingress", "ns-b/shop", "--widen"]).await;
            same(&state(&store), &whole, way);
            // What was taken up again is told as what it is, if its mark is lost once more.
            let mut shop = Value::clone(&store.get(ING, "ns-b", "shop").unwrap());
            shop["metadata"]["labels"] = json!({});
            store.put(shop).unwrap();
            let said = migrate(&store, &clock, &["status"]).await;
            assert!(said.out.contains("STATE-UNMARKED"), "{}", said.out);
        }
        let well = migrate(&store, &clock, &["status"]).await;
        assert!(!well.out.contains("STATE-GOING-BACK"), "{}", well.out);
    }
}
