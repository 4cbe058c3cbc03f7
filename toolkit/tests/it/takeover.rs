//! A host that goes from one Ingress to another: what stands on it is what nginx serves there now, and what nobody asks for any
//! more keeps nothing as it is.

use crate::apply::{ING, VS, open, tenants};
use crate::objects::{ingress, service};
use crate::ownership::{AP, annotate, edit};
use crate::standing::gateway_pod;
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};

const HOST: &str = "shop.ns-a.example.com";
const ACCEPTED: &str = "CLEANUP-NAME-UNKNOWN,CLEANUP-NOT-PROBED,CLEANUP-COUNT-UNKNOWN,CLEANUP-COUNTING";

async fn run(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = migrate(store, clock, words).await;
    println!("{words:?}\n{}{}{:?}\n", said.err, said.out, said.end);
    said
}

async fn done(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = run(store, clock, words).await;
    assert_eq!(*said.end.as_ref().unwrap(), End::Done, "{words:?}");
    said
}

async fn tells(store: &Store, clock: &Clock, code: &str) -> Said {
    let said = run(store, clock, &["validate"]).await;
    assert!(
        said.err.contains(&format!("blocker  {code}  ")),
        "{code}: {}",
        said.err
    );
    assert_eq!(*said.end.as_ref().unwrap(), End::Partly);
    said
}

/// Does what a finding says is to be done, word by word.
pub(crate) async fn follow(store: &Store, clock: &Clock, said: &Said, code: &str, verb: &str) -> Said {
    let mut lines = said.err.lines();
    assert!(lines.any(|line| line.contains(code)), "{code}: {}", said.err);
    let remedy = lines.next().unwrap();
    let start = format!("migrate {verb} ");
    let at = remedy.find(&start).unwrap_or_else(|| panic!("{start}: {remedy}"));
    let typed = &remedy[at + "migrate ".len()..];
    let typed = typed.split([',', ';']).next().map(|_| typed).unwrap();
    let mut words: Vec<&str> = Vec::new();
    for word in typed.split(' ') {
        let last = word.ends_with(';') || word.ends_with(':') || word.ends_with(',') && verb != "rollback";
        words.push(word.trim_end_matches([';', ':', ',']));
        if last {
            break;
        }
    }
    run(store, clock, &words).await
}

/// A host that is migrated.
async fn migrated() -> (Store, Clock) {
    let (store, clock) = tenants(&["ns-a"]);
    gateway_pod(&store);
    done(&store, &clock, &["apply", "--all"]).await;
    done(&store, &clock, &["validate"]).await;
    (store, clock)
}

/// Another Ingress of the host.
fn another(store: &Store, name: &str, path: &str) {
    let mut other = ingress("ns-a", name);
    other["spec"]["rules"][0]["host"] = json!(HOST);
    other["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!(path);
    store.put(other).unwrap();
    store.put(service("ns-a", name)).unwrap();
}

fn guard(store: &Store, name: &str) {
    annotate(store, "ns-a", name, "auth-type", "basic");
    annotate(store, "ns-a", name, "auth-secret", "users");
}

/// Whether anything of the host is led on.
fn led(store: &Store) -> bool {
    let routes = store.list(VS);
    let mut its = routes
        .iter()
        .filter(|route| route["spec"]["hosts"].to_string().contains(HOST));
    its.any(|route| route["spec"]["http"].to_string().contains("\"route\""))
}

#[tokio::test(start_paused = true)]
async fn a_host_that_a_guarded_ingress_takes_over_is_closed_although_the_last_one_is_gone() {
    let (store, clock) = migrated().await;
    store.delete(ING, "ns-a", "shop").unwrap();
    another(&store, "secure", "/");
    guard(&store, "secure");
    let said = tells(&store, &clock, "STATE-UNPROTECTED").await;
    assert!(
        said.err.contains("Ingress ns-a/secure") && said.err.contains("auth-type"),
        "{}",
        said.err
    );
    let status = done(&store, &clock, &["status"]).await;
    assert!(status.out.contains("STATE-UNPROTECTED"), "{}", status.out);
    let said = run(&store, &clock, &["apply", "--all"]).await;
    assert!(
        said.err.contains("APPLY-CLOSED  Ingress ns-a/secure"),
        "{}",
        said.err
    );
    assert!(!led(&store));
    let told = tells(&store, &clock, "STATE-SHUT").await;
    assert!(!told.err.contains("STATE-UNPROTECTED"), "{}", told.err);
    // The second run says the same, and the way back that is told is one.
    let said = run(&store, &clock, &["apply", "--all"]).await;
    assert!(said.out.contains(" 0 objects written"), "{}", said.out);
    let back = follow(&store, &clock, &said, "APPLY-CLOSED", "rollback").await;
    assert_eq!(back.end.unwrap(), End::Done);
    assert_eq!(open(&store), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_an_ingress_with_a_list_takes_over_is_written_anew_with_it() {
    let (store, clock) = migrated().await;
    store.delete(ING, "ns-a", "shop").unwrap();
    another(&store, "secure", "/");
    annotate(&store, "ns-a", "secure", "whitelist-source-range", "10.0.0.0/8");
    tells(&store, &clock, "STATE-UNPROTECTED").await;
    done(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(store.list(AP).len(), 1);
    assert!(led(&store));
    done(&store, &clock, &["validate"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_its_ingress_left_is_told_and_closed_once_a_guarded_one_has_it() {
    let (store, clock) = migrated().await;
    edit(&store, "ns-a", "shop", |shop| {
        shop["spec"]["rules"][0]["host"] = json!("new.ns-a.example.com");
    });
    done(&store, &clock, &["apply", "--all"]).await;
    let said = done(&store, &clock, &["validate"]).await;
    assert!(
        said.err.contains("STATE-HOST-LEFT") && !said.err.contains("STATE-SOURCE-CHANGED"),
        "{}",
        said.err
    );
    another(&store, "next", "/");
    guard(&store, "next");
    tells(&store, &clock, "STATE-UNPROTECTED").await;
    let said = run(&store, &clock, &["apply", "--all"]).await;
    assert!(
        said.err.contains("APPLY-CLOSED  Ingress ns-a/next"),
        "{}",
        said.err
    );
    assert!(!led(&store));
    // The other host is served on.
    assert!(open(&store).contains(&"ns-a/new.ns-a.example.com".to_owned()));
    let told = tells(&store, &clock, "STATE-SHUT").await;
    assert!(!told.err.contains("STATE-UNPROTECTED"), "{}", told.err);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_its_ingress_left_goes_by_the_words_that_are_told() {
    let (store, clock) = migrated().await;
    edit(&store, "ns-a", "shop", |shop| {
        shop["spec"]["rules"][0]["host"] = json!("new.ns-a.example.com");
    });
    done(&store, &clock, &["apply", "--all"]).await;
    let said = done(&store, &clock, &["validate"]).await;
    let followed = follow(&store, &clock, &said, "STATE-HOST-LEFT", "apply").await;
    assert_eq!(followed.end.unwrap(), End::Done);
    let well = done(&store, &clock, &["validate"]).await;
    assert_eq!((well.err.as_str(), open(&store).len()), ("", 1));
}

#[tokio::test(start_paused = true)]
async fn what_was_cleaned_up_stays_served_and_a_guarded_ingress_that_comes_to_its_host_is_told() {
    let (store, clock) = migrated().await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    done(&store, &clock, &["backup", "--dir", &path]).await;
    let words = [
        "cleanup", "--all", "--dir", &path, "--soak", "0", "--accept", ACCEPTED,
    ];
    done(&store, &clock, &words).await;
    another(&store, "secure", "/");
    guard(&store, "secure");
    tells(&store, &clock, "STATE-UNPROTECTED").await;
    let before = store.list(VS)[0]["spec"].clone();
    let said = run(&store, &clock, &["apply", "--all"]).await;
    assert!(
        said.err.contains("APPLY-UNPROTECTED  Ingress ns-a/secure"),
        "{}",
        said.err
    );
    assert_eq!(store.list(VS)[0]["spec"], before);
    tells(&store, &clock, "STATE-UNPROTECTED").await;
    // It comes back, and both go back together.
    let words = ["rollback", "--ingress", "ns-a/secure,ns-a/shop", "--dir", &path];
    done(&store, &clock, &words).await;
    assert!(store.get(ING, "ns-a", "shop").is_some() && open(&store).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_guarded_path_that_joins_a_host_is_told_before_it_is_applied_and_closed_by_that() {
    let (store, clock) = migrated().await;
    another(&store, "adm", "/private");
    let said = done(&store, &clock, &["validate"]).await;
    assert!(
        said.err.contains("warning  STATE-BESIDE  Ingress ns-a/adm"),
        "{}",
        said.err
    );
    guard(&store, "adm");
    let said = tells(&store, &clock, "STATE-UNPROTECTED").await;
    let followed = follow(&store, &clock, &said, "STATE-UNPROTECTED", "apply").await;
    assert!(
        followed.err.contains("APPLY-CLOSED  Ingress ns-a/adm"),
        "{}",
        followed.err
    );
    let rules = store.list(VS)[0]["spec"]["http"].clone();
    let closed = rules.as_array().unwrap().iter();
    let mut closed =
        closed.filter(|rule| rule.to_string().contains("/private") || rule.to_string().contains("private"));
    assert!(closed.all(|rule| rule.get("directResponse").is_some()), "{rules}");
    let told = tells(&store, &clock, "STATE-SHUT").await;
    assert!(!told.err.contains("STATE-UNPROTECTED"), "{}", told.err);
}

#[tokio::test(start_paused = true)]
async fn an_ingress_of_a_path_that_was_never_served_pins_nothing_when_it_is_gone() {
    let (store, clock) = migrated().await;
    another(&store, "late", "/private");
    guard(&store, "late");
    run(&store, &clock, &["apply", "--all"]).await;
    store.delete(ING, "ns-a", "late").unwrap();
    let said = tells(&store, &clock, "STATE-SHUT").await;
    // What is said of it is one way, the next edit of the host is another, and going back a third.
    for way in 0..3 {
        let (store, clock) = (store.clone(), clock.clone());
        if way == 0 {
            let followed = follow(&store, &clock, &said, "STATE-ORPHANED", "apply").await;
            assert_eq!(followed.end.unwrap(), End::Done);
            let well = done(&store, &clock, &["validate"]).await;
            assert_eq!(well.err, "");
        } else if way == 1 {
            another(&store, "late", "/private");
            guard(&store, "late");
            run(&store, &clock, &["apply", "--all"]).await;
            store.delete(ING, "ns-a", "late").unwrap();
            guard(&store, "shop");
            let said = run(&store, &clock, &["apply", "--all"]).await;
            assert!(
                said.err.contains("APPLY-CLOSED  Ingress ns-a/shop"),
                "{}",
                said.err
            );
            assert!(!led(&store));
        } else {
            done(&store, &clock, &["rollback", "--ingress", "ns-a/shop"]).await;
            assert_eq!(open(&store), Vec::<String>::new());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_somebody_deleted_is_written_out_of_its_host_by_the_next_apply() {
    let (store, clock) = migrated().await;
    another(&store, "more", "/more");
    done(&store, &clock, &["apply", "--all"]).await;
    store.delete(ING, "ns-a", "more").unwrap();
    done(&store, &clock, &["apply", "--all"]).await;
    let route = store.list(VS).remove(0);
    assert!(!route["spec"].to_string().contains("/more"), "{route}");
    let well = done(&store, &clock, &["validate"]).await;
    assert_eq!(well.err, "");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_was_taken_off_is_told_until_its_policy_is_gone_and_its_ingress_stays_so_long() {
    let (store, clock) = migrated().await;
    annotate(&store, "ns-a", "shop", "whitelist-source-range", "10.0.0.0/8");
    done(&store, &clock, &["apply", "--all"]).await;
    done(&store, &clock, &["validate"]).await;
    edit(&store, "ns-a", "shop", |shop| {
        let notes = shop["metadata"]["annotations"].as_object_mut().unwrap();
        notes.retain(|name, _| !name.contains("whitelist"));
    });
    tells(&store, &clock, "STATE-GUARD-STALE").await;
    let said = run(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(said.err.contains("blocker  APPLY-STALE"), "{}", said.err);
    let told = tells(&store, &clock, "STATE-GUARD-STALE").await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    done(&store, &clock, &["backup", "--dir", &path]).await;
    let words = [
        "cleanup", "--all", "--dir", &path, "--soak", "0", "--accept", ACCEPTED,
    ];
    let said = run(&store, &clock, &words).await;
    assert!(
        said.err.contains("CLEANUP-NOT-WELL") && said.err.contains("STATE-GUARD-STALE"),
        "{}",
        said.err
    );
    assert!(store.get(ING, "ns-a", "shop").is_some());
    // Where the Ingress is gone all the same, everything that is pruned is that too.
    let policy = Value::clone(&store.list(AP)[0]);
    let followed = follow(&store, &clock, &told, "STATE-GUARD-STALE", "apply").await;
    assert_eq!((followed.end.unwrap(), store.list(AP).len()), (End::Done, 0));
    done(&store, &clock, &["validate"]).await;
    done(&store, &clock, &words).await;
    store.put(policy).unwrap();
    tells(&store, &clock, "STATE-GUARD-STALE").await;
    let mut other = ingress("ns-a", "other");
    other["spec"]["rules"][0]["host"] = json!("other.ns-a.example.com");
    store.put(other).unwrap();
    store.put(service("ns-a", "other")).unwrap();
    done(&store, &clock, &["apply", "--all", "--prune"]).await;
    assert_eq!(store.list(AP).len(), 0);
    done(&store, &clock, &["validate"]).await;
}
