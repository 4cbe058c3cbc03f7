//! Ingresses that come back from backups: as they were last, not as some backup has them; and where names lead meanwhile.

use crate::apply::{GW, ING, VS, tenants};
use crate::objects::ingress;
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::apply::item::stamped;
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};
use tempfile::TempDir;

const LIST: &str = "nginx.ingress.kubernetes.io/whitelist-source-range";
const POLICY: &str = "authorizationpolicies.security.istio.io";

async fn run(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = migrate(store, clock, words).await;
    println!("{words:?}\n{}{}{:?}\n", said.err, said.out, said.end);
    said
}

async fn done(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = run(store, clock, words).await;
    assert_eq!(*said.end.as_ref().unwrap(), End::Done);
    said
}

/// Takes a backup into a folder of its own.
async fn backed_up(store: &Store, clock: &Clock, dir: &TempDir, name: &str) -> String {
    let path = dir.path().join(name).to_str().unwrap().to_owned();
    done(store, clock, &["backup", "--dir", &path]).await;
    path
}

fn list(store: &Store, namespace: &str) -> Option<String> {
    let shop = store.get(ING, namespace, "shop")?;
    let list = shop["metadata"]["annotations"][LIST].as_str();
    Some(list.unwrap_or_default().to_owned())
}

/// The shop of ns-a got a list after the first backup, was migrated with it, and is gone; that of ns-b is in both.
async fn guarded_since() -> (Store, Clock, TempDir, [String; 2]) {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    let dir = tempfile::tempdir().unwrap();
    let old = backed_up(&store, &clock, &dir, "old").await;
    let mut shop = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    shop["metadata"]["annotations"] = json!({LIST: "10.0.0.0/8"});
    store.put(shop).unwrap();
    done(&store, &clock, &["apply", "--all"]).await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let new = backed_up(&store, &clock, &dir, "new").await;
    store.delete(ING, "ns-a", "shop").unwrap();
    (store, clock, dir, [old, new])
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_a_backup_has_without_its_guard_does_not_come_back_unless_that_is_accepted() {
    let (store, clock, _dir, [old, _]) = guarded_since().await;
    let version = store.version();
    let words = ["rollback", "-n", "ns-a", "--dir", &old];
    let dry = run(&store, &clock, &[&words[..], &["--dry-run"]].concat()).await;
    assert!(
        dry.err
            .contains("blocker  ROLLBACK-INGRESS-OTHER  Ingress ns-a/shop")
    );
    assert_eq!(dry.end.unwrap(), End::Partly);
    let said = run(&store, &clock, &words).await;
    assert!(said.err.contains("nothing is undone"), "{}", said.err);
    assert_eq!((said.end.unwrap(), store.version()), (End::Refused, version));
    // Whoever only knows of DNS has accepted nothing here.
    let other = [&words[..], &["--accept", "ROLLBACK-NAME-LEADS-TO-GATEWAY"]].concat();
    assert_eq!(run(&store, &clock, &other).await.end.unwrap(), End::Refused);
    let said = done(
        &store,
        &clock,
        &[&words[..], &["--accept", "ROLLBACK-INGRESS-OTHER"]].concat(),
    )
    .await;
    assert!(
        said.err.contains("warning  ROLLBACK-INGRESS-OTHER"),
        "{}",
        said.err
    );
    assert_eq!(list(&store, "ns-a").as_deref(), Some(""));
}

#[tokio::test(start_paused = true)]
async fn of_several_backups_each_ingress_comes_from_the_one_that_has_it_as_it_was_last() {
    for turned in [false, true] {
        let (store, clock, dir, mut folders) = guarded_since().await;
        // The newest that has either has that of ns-a as somebody made it by hand meanwhile.
        let later = dir.path().join("later").to_str().unwrap().to_owned();
        let newest = dir.path().join("newest").to_str().unwrap().to_owned();
        store.put(ingress("ns-a", "shop")).unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
        done(&store, &clock, &["backup", "--dir", &later]).await;
        for namespace in ["ns-a", "ns-b"] {
            store.delete(ING, namespace, "shop").unwrap();
        }
        done(&store, &clock, &["-n", "ns-b", "backup", "--dir", &newest]).await;
        // One that has neither of them is not enough, and what is lacking is said.
        let said = run(&store, &clock, &["rollback", "--all", "--dir", &newest]).await;
        assert!(
            matches!(&said.end, Err(Trouble::Refused(why)) if why.contains("--dir may be repeated")),
            "{:?}",
            said.end
        );
        if turned {
            folders.reverse();
        }
        let [one, two] = &folders;
        let words = [
            "rollback", "--all", "--dir", one, "--dir", two, "--dir", &later, "--dir", &newest,
        ];
        let dry = done(&store, &clock, &[&words[..], &["--dry-run"]].concat()).await;
        let new = folders.iter().find(|folder| folder.ends_with("/new")).unwrap();
        let line = format!("come back   Ingress ns-a/shop: from {new}\n");
        assert!(dry.out.contains(&line), "{}", dry.out);
        let said = done(&store, &clock, &words).await;
        let line = format!("from {new}: Ingress ns-a/shop\n");
        assert!(said.err.contains(&line), "{}", said.err);
        assert!(!said.err.contains("ROLLBACK-INGRESS-OTHER"), "{}", said.err);
        assert_eq!(list(&store, "ns-a").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(list(&store, "ns-b").as_deref(), Some(""));
        assert_eq!(store.list(VS).len(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_backup_is_not_put_back_over_the_guards_of_an_ingress_that_is_gone() {
    let (store, clock, _dir, [old, new]) = guarded_since().await;
    let version = store.version();
    let one = ["--kind", "Ingress", "--name", "shop"];
    for more in [&one[..], &[]] {
        let words = [&["restore", "-n", "ns-a", "--dir", &old], more].concat();
        let said = run(&store, &clock, &words).await;
        assert!(
            said.err
                .contains("blocker  RESTORE-INGRESS-OTHER  Ingress ns-a/shop"),
            "{}",
            said.err
        );
        assert_eq!(said.end.unwrap(), End::Partly);
        assert_eq!(list(&store, "ns-a"), None);
        assert_eq!((store.list(POLICY).len(), store.version()), (1, version));
    }
    let words = [&["restore", "-n", "ns-a", "--dir", &old], &one[..]].concat();
    let accepted = [&words[..], &["--accept", "RESTORE-INGRESS-OTHER"]].concat();
    let said = done(&store, &clock, &accepted).await;
    assert!(
        said.err.contains("warning  RESTORE-INGRESS-OTHER"),
        "{}",
        said.err
    );
    assert_eq!(list(&store, "ns-a").as_deref(), Some(""));
    store.delete(ING, "ns-a", "shop").unwrap();
    done(
        &store,
        &clock,
        &["restore", "-n", "ns-a", "--dir", &new, "--kind", "Ingress"],
    )
    .await;
    assert_eq!(list(&store, "ns-a").as_deref(), Some("10.0.0.0/8"));
    let typo = [&words[..], &["--accept", "RESTORE-CHANGED-SINCE"]].concat();
    assert!(matches!(
        run(&store, &clock, &typo).await.end,
        Err(Trouble::Usage(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_name_that_leads_to_a_gateway_opened_for_all_hosts_keeps_its_route() {
    for open in ["ns-a/*", "*/*", "*"] {
        let (store, clock) = tenants(&["ns-a"]);
        done(&store, &clock, &["apply", "--all"]).await;
        // No Ingress may have a host that this machine knows, so it is as if one had had it once.
        let mut route = Value::clone(&store.list(VS)[0]);
        route["spec"]["hosts"] = json!(["localhost"]);
        store.put(stamped(route, None)).unwrap();
        let mut gateway = Value::clone(&store.list(GW)[0]);
        for server in gateway["spec"]["servers"].as_array_mut().unwrap() {
            server["hosts"] = json!([open]);
        }
        store.put(gateway).unwrap();
        let edge = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "edge", "namespace": "istio-system"},
            "spec": {"selector": {"istio": "ingressgateway"}, "ports": [{"port": 80}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}, {"ip": "::1"}]}}});
        store.put(edge).unwrap();
        let said = run(&store, &clock, &["rollback", "-n", "ns-a"]).await;
        assert!(
            said.err.contains("blocker  ROLLBACK-NAME-LEADS-TO-GATEWAY") && said.err.contains("localhost ("),
            "{open} {}",
            said.err
        );
        assert_eq!((said.end.unwrap(), store.list(VS).len()), (End::Partly, 1));
        // It is served there, and so it stands.
        let said = run(&store, &clock, &["validate"]).await;
        assert!(!said.out.contains("STATE-CLOSED") && !said.err.contains("STATE-CLOSED"));
        let accept = [
            "rollback",
            "-n",
            "ns-a",
            "--accept",
            "ROLLBACK-NAME-LEADS-TO-GATEWAY",
        ];
        done(&store, &clock, &accept).await;
        assert_eq!(store.list(VS).len(), 0);
    }
}
