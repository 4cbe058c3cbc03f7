//! Shares of traffic that no backup puts back.

use crate::objects::{config_map, custom, deployment, ingress};
use crate::restore::filled;
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::Store;
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_toolkit::trouble::End;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::time::Duration;

const VS: &str = "virtualservices.networking.istio.io";
const ING: &str = "ingresses.networking.k8s.io";

fn route(share: u64, timeout: &str, stamp: &str) -> Value {
    let mut route = custom(
        "networking.istio.io/v1",
        "VirtualService",
        "ns-a",
        "shop",
        json!({"hosts": ["a.com"], "http": [{"timeout": timeout, "route": [
            {"destination": {"host": "shop"}, "weight": 100 - share},
            {"destination": {"host": "shop-istio"}, "weight": share}]}]}),
    );
    if !stamp.is_empty() {
        route["metadata"]["annotations"] = json!({"rollout.sealos.io/w.shop": stamp});
    }
    route
}

fn settings(share: u64, other: &str) -> Value {
    let mode = if share == 0 { "ingress" } else { "dual" };
    let mut settings = config_map("ns-a", "controller");
    settings["data"] =
        json!({"networking_mode": mode, "istio_percentage": share.to_string(), "other": other});
    settings
}

fn controller(share: u64) -> Value {
    let mut controller = deployment("ns-a", "controller");
    controller["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "A", "value": "1"}, {"name": "ISTIO_PERCENTAGE", "value": share.to_string()}]);
    controller
}

fn canary(share: u64) -> Value {
    let mut canary = ingress("ns-a", "gr-shop-80");
    canary["metadata"]["labels"] =
        json!({"app.kubernetes.io/managed-by": "gradual-rollout", "rollout.sealos.io/component": "shop"});
    canary["metadata"]["annotations"] = json!({"nginx.ingress.kubernetes.io/canary": "true",
        "nginx.ingress.kubernetes.io/canary-weight-total": "1000",
        "nginx.ingress.kubernetes.io/canary-weight": (share * 10).to_string(),
        "rollout.sealos.io/w.shop": format!("01A {share}% Raised")});
    canary
}

/// What each of them gives the canary; of what is not there nothing.
fn shares(store: &Store) -> [u64; 4] {
    let number = |value: &Value| value.as_str().map_or(0, |text| text.parse().unwrap());
    let get = |resource: &str, name: &str| {
        store
            .get(resource, "ns-a", name)
            .map_or(Value::Null, |found| Value::clone(&found))
    };
    let env = &get("deployments.apps", "controller")["spec"]["template"]["spec"]["containers"][0]["env"];
    let told = env.as_array().into_iter().flatten();
    let told = told
        .filter(|entry| entry["name"] == "ISTIO_PERCENTAGE")
        .map(|entry| number(&entry["value"]));
    [
        get(VS, "shop")["spec"]["http"][0]["route"][1]["weight"]
            .as_u64()
            .unwrap_or_default(),
        number(&get("configmaps", "controller")["data"]["istio_percentage"]),
        told.max().unwrap_or_default(),
        number(
            &get(ING, "gr-shop-80")["metadata"]["annotations"]["nginx.ingress.kubernetes.io/canary-weight"],
        ) / 10,
    ]
}

fn put(store: &Store, share: u64, marked: bool) {
    let stamp = if marked {
        format!("01A {share}% Raised")
    } else {
        String::new()
    };
    store.put(route(share, "5s", &stamp)).unwrap();
    store.put(settings(share, "1")).unwrap();
    store.put(controller(share)).unwrap();
    store.put(canary(share)).unwrap();
}

async fn run(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    let said = migrate(store, clock, words).await;
    println!("{words:?}\n{}{}{:?}\n", said.err, said.out, said.end);
    said
}

#[tokio::test(start_paused = true)]
async fn what_was_rolled_back_in_an_emergency_stays_so_whatever_backup_is_put_back() {
    let (store, clock) = filled();
    put(&store, 50, true);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    run(&store, &clock, &["backup", "--dir", &path]).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let resource = ApiResource {
        group: "networking.istio.io".into(),
        version: "v1".into(),
        api_version: "networking.istio.io/v1".into(),
        kind: "VirtualService".into(),
        plural: "virtualservices".into(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(store.client("default"), "ns-a", &resource);
    let lowered = route(0, "9s", "01B 0% EmergencyRollback");
    let params = PatchParams {
        field_manager: Some("gradual-rollout".to_owned()),
        ..PatchParams::default()
    };
    api.patch("shop", &params, &Patch::Merge(&lowered)).await.unwrap();
    store.delete(ING, "ns-a", "gr-shop-80").unwrap();
    store.delete("configmaps", "ns-a", "controller").unwrap();

    let dry = run(&store, &clock, &["restore", "--dir", &path, "--dry-run"]).await;
    assert_eq!(dry.end.unwrap(), End::Partly);
    let said = run(&store, &clock, &["restore", "--dir", &path]).await;
    for object in [
        "VirtualService ns-a/shop",
        "Ingress ns-a/gr-shop-80",
        "ConfigMap ns-a/controller",
    ] {
        let line = format!("warning  RESTORE-SHARE  {object}");
        assert!(
            dry.err.contains(&line) && said.err.contains(&line),
            "{object}: {}",
            said.err
        );
    }
    assert_eq!(said.end.unwrap(), End::Partly);
    assert_eq!(shares(&store), [0, 0, 50, 0]);
    // What is no share is as in the backup, and the mark says what was done last.
    let now = store.get(VS, "ns-a", "shop").unwrap();
    assert_eq!(now["spec"]["http"][0]["timeout"], "5s");
    let mark = &now["metadata"]["annotations"]["rollout.sealos.io/w.shop"];
    assert_eq!(mark, "01B 0% EmergencyRollback");
    let data = store.get("configmaps", "ns-a", "controller").unwrap()["data"].clone();
    assert_eq!(data["other"], "1");
    assert_eq!(data["networking_mode"], "ingress");
    let version = store.version();
    let again = run(&store, &clock, &["restore", "--dir", &path, "--overwrite"]).await;
    assert!(again.out.contains("0 written"), "{}", again.out);
    assert_eq!((shares(&store), store.version()), ([0, 0, 50, 0], version));
}

fn one() -> impl Strategy<Value = Option<(u64, bool)>> {
    prop_oneof![
        1 => Just(None),
        4 => (prop_oneof![Just(0u64), Just(1), Just(25), Just(50), Just(100)], any::<bool>()).prop_map(Some),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_backup_raises_a_share(then in one(), now in one(), overwrite in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let (before, after) = runtime.block_on(async {
            let (store, clock) = filled();
            if let Some((share, _)) = then {
                put(&store, share, true);
            }
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("b").to_str().unwrap().to_owned();
            migrate(&store, &clock, &["backup", "--dir", &path]).await.end.unwrap();
            match now {
                Some((share, marked)) => put(&store, share, marked),
                None => for (resource, name) in
                    [(VS, "shop"), (ING, "gr-shop-80"), ("configmaps", "controller"), ("deployments.apps", "controller")]
                {
                    drop(store.delete(resource, "ns-a", name));
                },
            }
            let before = shares(&store);
            let mut words = vec!["restore", "--dir", &path];
            words.extend(overwrite.then_some("--overwrite"));
            drop(migrate(&store, &clock, &words).await.end);
            (before, shares(&store))
        });
        for (before, after) in before.iter().zip(&after) {
            prop_assert!(after <= before, "{before} {after}");
        }
    }
}
