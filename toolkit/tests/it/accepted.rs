//! What was accepted once is remembered on the Ingress, as long as that is as it was.

use crate::apply::{ING, VS, tenants};
use crate::support::migrate;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};

const AUTH: &str = "nginx.ingress.kubernetes.io/auth-url";
const ACCEPTED: &str = "rollout.sealos.io/accepted";

fn note(store: &Store, name: &str, value: &str) {
    let mut shop = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    shop["metadata"]["annotations"][name] = json!(value);
    store.put(shop).unwrap();
}

fn said_on_it(store: &Store, name: &str) -> Value {
    store.get(ING, "ns-a", "shop").unwrap()["metadata"]["annotations"][name].clone()
}

#[tokio::test(start_paused = true)]
async fn an_ingress_that_is_as_it_was_is_not_shut_by_a_run_without_its_accept_and_one_that_changed_is() {
    let (store, clock) = tenants(&["ns-a"]);
    note(&store, AUTH, "http://auth.ns-a.svc.cluster.local/");
    let apply = ["apply", "--all"];
    let refused = migrate(&store, &clock, &apply).await;
    assert!(refused.err.contains("APPLY-REFUSED"), "{}", refused.err);
    let accepting = [&apply[..], &["--accept", "AUTH-URL"]].concat();
    let said = migrate(&store, &clock, &accepting).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(said_on_it(&store, ACCEPTED), "AUTH-URL");
    let version = store.version();
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let again = migrate(&store, &clock, &apply).await;
    println!("{}{}", again.err, again.out);
    assert_eq!(again.end.unwrap(), End::Done);
    assert!(!again.err.contains("APPLY-CLOSED"), "{}", again.err);
    assert_eq!(store.version(), version, "nothing is written");
    // A mark of before that does not say so yet is told, and stands for what it stood for.
    let mut bare = Value::clone(&store.get(ING, "ns-a", "shop").unwrap());
    bare["metadata"]["annotations"]
        .as_object_mut()
        .unwrap()
        .remove(ACCEPTED);
    let since = bare["metadata"]["annotations"]["sealos.io/migration-time"].clone();
    store.put(bare).unwrap();
    assert_eq!(migrate(&store, &clock, &accepting).await.end.unwrap(), End::Done);
    assert_eq!(said_on_it(&store, ACCEPTED), "AUTH-URL");
    assert_eq!(said_on_it(&store, "sealos.io/migration-time"), since);
    let well = migrate(&store, &clock, &["status"]).await;
    assert!(!well.out.contains("STATE-"), "{}", well.out);
    // Another guard was not what was agreed to.
    note(&store, AUTH, "http://other.ns-a.svc.cluster.local/");
    let changed = migrate(&store, &clock, &apply).await;
    println!("{}{}", changed.err, changed.out);
    assert!(changed.err.contains("APPLY-CLOSED"), "{}", changed.err);
    assert!(store.list(VS)[0].to_string().contains("directResponse"));
    for verb in ["status", "validate"] {
        let told = migrate(&store, &clock, &[verb]).await;
        println!("{}{}", told.err, told.out);
        assert!((told.out + &told.err).contains("STATE-SHUT"), "{verb}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_writes_on_an_ingress_what_was_accepted_of_it_accepts_nothing() {
    let (store, clock) = tenants(&["ns-a"]);
    let apply = ["apply", "--all"];
    assert_eq!(migrate(&store, &clock, &apply).await.end.unwrap(), End::Done);
    note(&store, AUTH, "http://auth.ns-a.svc.cluster.local/");
    // All that is known of an Ingress, as whoever may write it may write it.
    note(&store, ACCEPTED, "AUTH-URL");
    let shop = store.get(ING, "ns-a", "shop").unwrap();
    let digest = gradual_rollout_toolkit::marks::source(&shop, "nginx.ingress.kubernetes.io");
    note(&store, "rollout.sealos.io/source-hash", &digest);
    let told = migrate(&store, &clock, &["validate"]).await;
    assert!(told.err.contains("STATE-UNPROTECTED"), "{}", told.err);
    let said = migrate(&store, &clock, &apply).await;
    println!("{}{}", said.err, said.out);
    assert!(said.err.contains("APPLY-CLOSED"), "{}", said.err);
    assert!(store.list(VS)[0].to_string().contains("directResponse"));
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_and_could_not_be_kept_is_not_marked() {
    let (store, clock) = tenants(&["ns-a"]);
    note(&store, AUTH, "http://auth.ns-a.svc.cluster.local/");
    let denied = || {
        let failure = Failure::new(403, "Forbidden", "no ConfigMaps");
        Fault::new(Action::Fail(failure)).resource("configmaps")
    };
    for verb in ["patch", "create"] {
        store.inject(denied().verb(verb));
    }
    let said = migrate(&store, &clock, &["apply", "--all", "--accept", "AUTH-URL"]).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(said.err.contains("gradual-rollout-accepted"), "{}", said.err);
    assert!(!crate::apply::marked(&store, "ns-a", "shop"));
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_is_forgotten_when_everything_is_undone_and_not_before() {
    let (store, clock) = tenants(&["ns-a"]);
    note(&store, AUTH, "http://auth.ns-a.svc.cluster.local/");
    let accepting = ["apply", "--all", "--accept", "AUTH-URL"];
    let record = || store.get("configmaps", "istio-system", "gradual-rollout-accepted");
    assert_eq!(migrate(&store, &clock, &accepting).await.end.unwrap(), End::Done);
    let one = migrate(&store, &clock, &["-n", "ns-a", "rollback"]).await;
    assert_eq!(one.end.unwrap(), End::Done);
    assert!(record().is_some(), "others may go by it");
    assert_eq!(migrate(&store, &clock, &accepting).await.end.unwrap(), End::Done);
    let shown = migrate(&store, &clock, &["rollback", "--all", "--dry-run"]).await;
    let line = "delete      ConfigMap istio-system/gradual-rollout-accepted";
    assert!(shown.out.contains(line), "{}", shown.out);
    let all = migrate(&store, &clock, &["rollback", "--all"]).await;
    assert_eq!(all.end.unwrap(), End::Done);
    assert!(record().is_none());
    // One of that name that somebody else made is theirs.
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {},
        "metadata": {"namespace": "istio-system", "name": "gradual-rollout-accepted"}});
    store.put(theirs).unwrap();
    migrate(&store, &clock, &["rollback", "--all"]).await.end.unwrap();
    assert!(record().is_some());
}
