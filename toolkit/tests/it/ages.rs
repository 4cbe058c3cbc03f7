//! Ingresses that come back in the order of their age, by which nginx decides.

use crate::apply::{ING, tenants};
use crate::objects::ingress;
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::End;
use serde_json::json;
use std::time::Duration;
use tempfile::TempDir;

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

fn since(store: &Store, name: &str) -> String {
    let there = store.get(ING, "ns-a", name).unwrap();
    there["metadata"]["creationTimestamp"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// A shop, and one that came a minute later, with one host: what they have in common is the path or not, and the certificate
/// or not. Of an age the later by name would be served.
async fn two(path: &str, secrets: Option<[&str; 2]>) -> (Store, Clock, TempDir, String) {
    let (store, clock) = tenants(&["ns-a"]);
    let mut shop = ingress("ns-a", "shop");
    let mut zhop = ingress("ns-a", "zhop");
    zhop["spec"] = shop["spec"].clone();
    zhop["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!(path);
    if let Some([one, two]) = secrets {
        let tls = |secret: &str| json!([{"hosts": ["shop.ns-a.example.com"], "secretName": secret}]);
        shop["spec"]["tls"] = tls(one);
        zhop["spec"]["tls"] = tls(two);
    }
    store.put(shop).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    store.put(zhop).unwrap();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    done(&store, &clock, &["backup", "--dir", &path]).await;
    (store, clock, dir, path)
}

fn delete(store: &Store, names: &[&str]) {
    for name in names {
        store.delete(ING, "ns-a", name).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_with_one_path_or_two_certificates_the_older_comes_back_older() {
    for (path, secrets) in [("/", None), ("/other", Some(["s", "t"]))] {
        let (store, clock, _dir, dir) = two(path, secrets).await;
        delete(&store, &["shop", "zhop"]);
        let said = done(&store, &clock, &["restore", "--dir", &dir, "--kind", "Ingress"]).await;
        assert!(since(&store, "shop") < since(&store, "zhop"), "{path}");
        assert!(!said.err.contains("RESTORE-YOUNGER"), "{}", said.err);
        let kept = store.get(ING, "ns-a", "shop").unwrap();
        assert_eq!(kept["spec"]["rules"][0]["http"]["paths"][0]["path"], "/");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_rolled_back_comes_back_in_the_order_of_its_age() {
    let (store, clock, _dir, dir) = two("/", None).await;
    run(&store, &clock, &["apply", "--all"]).await;
    delete(&store, &["shop", "zhop"]);
    let said = done(&store, &clock, &["rollback", "--all", "--dir", &dir]).await;
    assert!(since(&store, "shop") < since(&store, "zhop"));
    assert!(!said.err.contains("RESTORE-YOUNGER"), "{}", said.err);
}

#[tokio::test(start_paused = true)]
async fn a_younger_one_that_comes_back_alone_is_no_alarm_and_an_older_one_is() {
    for (path, secrets, said) in [
        ("/", None, "of the same host and path: nginx serves that"),
        (
            "/other",
            Some(["s", "t"]),
            "with another certificate: nginx shows that one's",
        ),
    ] {
        let words = |dir: &str| ["restore", "--dir", dir, "--kind", "Ingress"].map(ToOwned::to_owned);
        let (store, clock, _dir, dir) = two(path, secrets).await;
        delete(&store, &["zhop"]);
        let words = words(&dir);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let quiet = done(&store, &clock, &words).await;
        assert!(!quiet.err.contains("RESTORE-YOUNGER"), "{}", quiet.err);
        delete(&store, &["shop"]);
        let told = done(&store, &clock, &words).await;
        assert!(
            told.err.contains("RESTORE-YOUNGER  Ingress ns-a/shop") && told.err.contains(said),
            "{}",
            told.err
        );
    }
}

#[tokio::test(start_paused = true)]
async fn where_an_older_one_does_not_come_back_a_younger_one_of_its_path_waits() {
    let (store, clock, _dir, dir) = two("/", None).await;
    delete(&store, &["shop", "zhop"]);
    store.inject(
        Fault::new(Action::Fail(Failure::new(403, "Forbidden", "exceeded quota")))
            .verb("create")
            .resource(ING)
            .times(1),
    );
    let words = ["restore", "--dir", &dir, "--kind", "Ingress"];
    let said = run(&store, &clock, &words).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err.contains("RESTORE-HALTED  Ingress ns-a/zhop"),
        "{}",
        said.err
    );
    assert!(store.list(ING).is_empty());
    done(&store, &clock, &words).await;
    assert!(since(&store, "shop") < since(&store, "zhop"));
}

#[tokio::test(start_paused = true)]
async fn where_an_older_one_does_not_come_back_those_of_other_hosts_do() {
    let (store, clock, dir, _) = two("/", None).await;
    for name in ["early", "later"] {
        let mut other = ingress("ns-a", name);
        other["spec"] = ingress("ns-a", "shop")["spec"].clone();
        other["spec"]["rules"][0]["host"] = json!("other.ns-a.example.com");
        store.put(other).unwrap();
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let dir = dir.path().join("all").to_str().unwrap().to_owned();
    done(&store, &clock, &["backup", "--dir", &dir]).await;
    delete(&store, &["shop", "zhop", "early", "later"]);
    store.inject(
        Fault::new(Action::Fail(Failure::new(403, "Forbidden", "exceeded quota")))
            .verb("create")
            .resource(ING)
            .times(1),
    );
    let said = run(&store, &clock, &["restore", "--dir", &dir, "--kind", "Ingress"]).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err.contains("RESTORE-HALTED  Ingress ns-a/zhop"),
        "{}",
        said.err
    );
    assert_eq!(store.list(ING).len(), 2, "{}", said.err);
    assert!(since(&store, "early") < since(&store, "later"));
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_does_not_come_back_is_told_with_the_reason() {
    let (store, clock, _dir, dir) = two("/", None).await;
    run(&store, &clock, &["apply", "--all"]).await;
    delete(&store, &["shop", "zhop"]);
    let fail = |why: &str| {
        Fault::new(Action::Fail(Failure::new(403, "Forbidden", why)))
            .verb("create")
            .resource(ING)
    };
    // On a dry run nobody can tell, and in earnest it is refused.
    store.inject(fail("admission webhook \"x\" does not support dry run").times(2));
    store.inject(fail("exceeded quota"));
    let said = run(&store, &clock, &["rollback", "--all", "--dir", &dir]).await;
    let failed: Vec<&str> = said
        .err
        .lines()
        .filter(|line| line.starts_with("failed"))
        .collect();
    let why = |name: &str| {
        failed
            .iter()
            .find(|line| line.contains(name))
            .copied()
            .unwrap_or_default()
    };
    assert!(why("ns-a/shop").ends_with("exceeded quota"), "{failed:?}");
    assert!(why("ns-a/zhop").contains("an older one"), "{failed:?}");
}
