//! `migrate finish` in a cluster, and the whole way there and back.

use crate::apply::{GW, ING, VS, open, tenants};
use crate::objects::{asked, config_map, deployment, ingress};
use crate::rollback::rollout;
use crate::standing::gateway_pod;
use crate::support::{Said, migrate};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Store, roll_out_deployments};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

const ALL: &str = "CLEANUP-NAME-UNKNOWN,CLEANUP-NAME-LEADS-TO-NGINX,CLEANUP-NOT-PROBED,CLEANUP-COUNT-UNKNOWN";
const CONTROLLERS: [&str; 5] = [
    "finish",
    "--deployment",
    "terminal-controller",
    "--config-map",
    "terminal-controller-config",
];

fn show(said: &Said) {
    println!("{}{}{:?}\n", said.err, said.out, said.end);
}

fn controllers(store: &Store) {
    store.namespace("sealos-system");
    let mut controller = deployment("sealos-system", "terminal-controller");
    controller["spec"]["template"]["spec"]["containers"] = json!([
        {"name": "proxy", "image": "proxy:1"},
        {"name": "controller", "image": "terminal:1", "env": [
            {"name": "LOG", "value": "info"},
            {"name": "USE_ISTIO_NETWORKING", "value": "true"},
            {"name": "USE_INGRESS_NETWORKING", "value": "true"}]},
    ]);
    store.put(controller).unwrap();
    let mut settings = config_map("sealos-system", "terminal-controller-config");
    settings["data"] = json!({"networking_mode": "dual", "istio_percentage": "100", "other": "x"});
    store.put(settings).unwrap();
}

fn controller(store: &Store) -> Value {
    let found = store
        .get("deployments.apps", "sealos-system", "terminal-controller")
        .unwrap();
    found["spec"]["template"]["spec"]["containers"].clone()
}

fn state(store: &Store) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for resource in [ING, VS, GW, "configmaps", "deployments.apps", "secrets"] {
        for object in store.list(resource) {
            let meta = &object["metadata"];
            all.insert(
                format!("{resource} {}/{}", meta["namespace"], meta["name"]),
                asked(&object),
            );
        }
    }
    all
}

/// Runs a verb while the cluster rolls Deployments out.
async fn with_pods(store: &Store, clock: &Clock, words: &[&str]) -> Said {
    tokio::select! {
        said = migrate(store, clock, words) => said,
        () = roll_out_deployments(store.clone(), Duration::from_secs(5)) => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_way_there_and_back_leaves_a_cluster_as_it_was() {
    let (store, clock) = tenants(&["ns-a", "ns-b"]);
    gateway_pod(&store);
    controllers(&store);
    let before = state(&store);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("b").to_str().unwrap().to_owned();
    migrate(&store, &clock, &["backup", "--dir", &dir])
        .await
        .end
        .unwrap();
    let applied = migrate(&store, &clock, &["apply", "--all"]).await;
    assert_eq!(applied.end.unwrap(), End::Done);

    let early = migrate(&store, &clock, &CONTROLLERS).await;
    show(&early);
    assert_eq!(early.end.unwrap(), End::Refused);
    assert!(early.err.contains("FINISH-INGRESSES-LEFT"));

    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    let cleaned = migrate(
        &store,
        &clock,
        &["cleanup", "--all", "--dir", &dir, "--accept", ALL],
    )
    .await;
    assert_eq!(cleaned.end.unwrap(), End::Done);
    let soaking = migrate(&store, &clock, &CONTROLLERS).await;
    assert!(soaking.err.contains("FINISH-SOAKING"), "{}", soaking.err);
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;

    let version = store.version();
    let dry = migrate(&store, &clock, &[&CONTROLLERS[..], &["--dry-run"]].concat()).await;
    show(&dry);
    assert_eq!((dry.end.unwrap(), store.version()), (End::Done, version));
    let said = with_pods(&store, &clock, &CONTROLLERS).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(
        controller(&store),
        json!([
            {"name": "proxy", "image": "proxy:1"},
            {"name": "controller", "image": "terminal:1", "env": [
                {"name": "LOG", "value": "info"},
                {"name": "USE_ISTIO_NETWORKING", "value": "true"},
                {"name": "USE_INGRESS_NETWORKING", "value": "false"}]},
        ])
    );
    let settings = store
        .get("configmaps", "sealos-system", "terminal-controller-config")
        .unwrap();
    assert_eq!(
        settings["data"],
        json!({"networking_mode": "istio", "istio_percentage": "100", "other": "x"})
    );
    let record = store
        .get("configmaps", "sealos-system", "gradual-rollout-migration")
        .unwrap();
    assert_eq!(record["data"]["ingresses"], "2");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let again = with_pods(&store, &clock, &CONTROLLERS).await;
    assert_eq!(again.end.unwrap(), End::Done);
    let repeated = store
        .get("configmaps", "sealos-system", "gradual-rollout-migration")
        .unwrap();
    assert_eq!(record["data"], repeated["data"], "it was completed when it was");

    let shown = migrate(&store, &clock, &["rollback", "--all", "--dir", &dir, "--dry-run"]).await;
    show(&shown);
    assert!(
        shown
            .out
            .contains("switch back Deployment sealos-system/terminal-controller")
    );
    let back = with_pods(&store, &clock, &["rollback", "--all", "--dir", &dir]).await;
    show(&back);
    assert_eq!(back.end.unwrap(), End::Done);
    assert_eq!(open(&store), Vec::<String>::new());
    assert_eq!(state(&store), before);
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_not_there_and_one_without_a_switch_are_named() {
    let (store, clock) = tenants(&[]);
    controllers(&store);
    store
        .put(deployment("sealos-system", "webhook-admission"))
        .unwrap();
    let said = migrate(&store, &clock, &["finish"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Refused);
    for code in [
        "FINISH-CONTROLLER-ABSENT",
        "FINISH-NO-SWITCH",
        "FINISH-NOTHING-CLEANED",
    ] {
        assert!(said.err.contains(code), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn pods_that_do_not_start_are_told_and_the_controllers_can_be_put_back() {
    let (store, clock) = tenants(&["ns-a"]);
    gateway_pod(&store);
    controllers(&store);
    let before = controller(&store);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("b").to_str().unwrap().to_owned();
    migrate(&store, &clock, &["backup", "--dir", &dir])
        .await
        .end
        .unwrap();
    migrate(&store, &clock, &["apply", "--all"]).await.end.unwrap();
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    migrate(
        &store,
        &clock,
        &["cleanup", "--all", "--dir", &dir, "--accept", ALL],
    )
    .await
    .end
    .unwrap();
    tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    let late = migrate(&store, &clock, &[&CONTROLLERS[..], &["--wait", "60"]].concat()).await;
    show(&late);
    let Err(Trouble::TimedOut(why)) = late.end else {
        panic!("it ended")
    };
    assert!(why.contains("finish --undo"), "{why}");
    assert_eq!(
        store.list("configmaps").len(),
        1,
        "nothing is written down as complete"
    );
    // They do not run because somebody asks again.
    let again = migrate(&store, &clock, &[&CONTROLLERS[..], &["--wait", "60"]].concat()).await;
    show(&again);
    assert!(matches!(again.end, Err(Trouble::TimedOut(_))), "{:?}", again.end);
    assert_eq!(store.list("configmaps").len(), 1);
    // Nor do those of before.
    for _ in 0..2 {
        let undone = migrate(&store, &clock, &["finish", "--undo", "--wait", "60"]).await;
        show(&undone);
        assert!(
            matches!(undone.end, Err(Trouble::TimedOut(_))),
            "{:?}",
            undone.end
        );
    }
    let told = controller(&store);
    let tried = migrate(&store, &clock, &["finish", "--undo", "--dry-run"]).await;
    show(&tried);
    assert_eq!(tried.end.unwrap(), End::Done);
    assert_eq!(controller(&store), told, "a trial writes nothing");
    let undone = with_pods(&store, &clock, &["finish", "--undo"]).await;
    show(&undone);
    assert_eq!(undone.end.unwrap(), End::Done);
    assert_eq!(tried.out, undone.out.replace(": written", ": would be written"));
    assert_eq!(controller(&store), before);
    let nothing = migrate(&store, &clock, &["finish", "--undo"]).await;
    assert!(nothing.out.contains("nothing was written"), "{}", nothing.out);
}

#[tokio::test(start_paused = true)]
async fn ingresses_of_another_class_of_the_controller_keep_it_from_being_finished() {
    let (store, clock) = tenants(&["ns-a"]);
    gateway_pod(&store);
    controllers(&store);
    store
        .put(
            json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
            "metadata": {"name": "public"}, "spec": {"controller": "k8s.io/ingress-nginx"}}),
        )
        .unwrap();
    let mut public = ingress("ns-a", "pub");
    public["spec"]["ingressClassName"] = json!("public");
    store.put(public).unwrap();
    store.delete(ING, "ns-a", "shop").unwrap();
    for narrowed in [&[][..], &["--ingress-class", "nginx"]] {
        let said = migrate(&store, &clock, &[&CONTROLLERS[..], narrowed].concat()).await;
        show(&said);
        assert_eq!(said.end.unwrap(), End::Refused);
        assert!(
            said.err.contains("FINISH-INGRESSES-LEFT") && said.err.contains("ns-a/pub"),
            "{}",
            said.err
        );
    }
}

/// A tenant that was cleaned up long enough ago, and whatever became of the gateway since.
async fn cleaned(dir: &str) -> (Store, Clock) {
    let (store, clock) = tenants(&["ns-a"]);
    gateway_pod(&store);
    controllers(&store);
    let mut own = ingress("ns-a", "shop");
    own["metadata"]["annotations"] =
        json!({"nginx.ingress.kubernetes.io/whitelist-source-range": "192.0.2.0/24"});
    store.put(own).unwrap();
    for words in [
        &["backup", "--dir", dir][..],
        &["apply", "--all"],
        &["cleanup", "--all", "--dir", dir, "--accept", ALL],
    ] {
        let said = migrate(&store, &clock, words).await;
        show(&said);
        assert_eq!(said.end.unwrap(), End::Done, "{words:?}");
        tokio::time::sleep(Duration::from_secs(25 * 3600)).await;
    }
    assert!(store.list(ING).is_empty());
    (store, clock)
}

/// Takes something away, or apart.
type Harm = fn(&Store);

#[tokio::test(start_paused = true)]
async fn nothing_is_finished_while_validate_finds_a_blocker_of_a_host_that_was_cleaned_up() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("b").to_str().unwrap().to_owned();
    let harms: [(&str, Harm); 4] = [
        ("STATE-CLOSED", |store| {
            let mut gateway = Value::clone(&store.get(GW, "istio-system", "sealos-gateway").unwrap());
            gateway["spec"]["servers"][0]["hosts"] = json!(["ns-x/other.example.com"]);
            store.put(gateway).unwrap();
        }),
        ("STATE-GUARD-MISSING", |store| {
            let policies = "authorizationpolicies.security.istio.io";
            let all = store.list(policies);
            assert_eq!(all.len(), 1);
            let name = all[0]["metadata"]["name"].as_str().unwrap();
            store.delete(policies, "istio-system", name).unwrap();
        }),
        ("VALIDATE-GATEWAY-DOWN", |store| {
            store.delete("pods", "istio-system", "gateway-1").unwrap();
        }),
        ("VALIDATE-BACKEND-MISSING", |store| {
            store.delete("services", "ns-a", "shop").unwrap();
        }),
    ];
    let (well, clock) = cleaned(&dir).await;
    let said = migrate(&well, &clock, &[&CONTROLLERS[..], &["--dry-run"]].concat()).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done, "all is well before");
    for (code, harm) in harms {
        let dir = tempfile::tempdir().unwrap();
        let (store, clock) = cleaned(dir.path().join("b").to_str().unwrap()).await;
        harm(&store);
        let told = migrate(&store, &clock, &["validate"]).await;
        assert!(
            told.err.contains(code) && told.end.unwrap() == End::Partly,
            "{}",
            told.err
        );
        let (version, before) = (store.version(), controller(&store));
        let said = migrate(&store, &clock, &CONTROLLERS).await;
        show(&said);
        assert_eq!(said.end.unwrap(), End::Refused, "{code}");
        assert!(said.err.contains(code), "{code}: {}", said.err);
        assert_eq!((store.version(), controller(&store)), (version, before), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_still_moves_a_controller_keeps_it_from_being_finished_until_it_is_completed() {
    let dir = tempfile::tempdir().unwrap();
    let (store, clock) = cleaned(dir.path().join("b").to_str().unwrap()).await;
    rollout(&store);
    let moving = json!({"apiVersion": "rollout.sealos.io/v1alpha1", "kind": "GradualRollout",
    "metadata": {"namespace": "sealos-system", "name": "platform"},
    "spec": {
        "components": [{
            "name": "terminal",
            "routers": [{"controllerSwitch": {"deployment": "terminal-controller", "configMap": "terminal-controller-config"}}],
            "arms": {"canary": {"preset": "istio", "labels": {"route": "new"}}, "control": {"preset": "istio", "labels": {"route": "old"}}},
        }],
        "steps": [{"weight": "5%", "hold": "1d"}],
    }});
    store.put(moving).unwrap();
    let before = controller(&store);
    let said = migrate(&store, &clock, &CONTROLLERS).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Refused);
    assert!(
        said.err
            .contains("FINISH-ROLLOUT-RUNNING  GradualRollout sealos-system/platform"),
        "{}",
        said.err
    );
    assert_eq!(controller(&store), before);
    let completed = json!({"conditions": [{"type": "Completed", "status": "True", "reason": "Completed",
        "message": "it is", "lastTransitionTime": "2026-01-08T00:00:00Z"}]});
    store
        .put_status(
            "gradualrollouts.rollout.sealos.io",
            "sealos-system",
            "platform",
            completed,
        )
        .unwrap();
    let said = migrate(&store, &clock, &[&CONTROLLERS[..], &["--dry-run"]].concat()).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
}

#[tokio::test(start_paused = true)]
async fn controllers_whose_pods_do_not_start_keep_no_ingress_from_coming_back() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("b").to_str().unwrap().to_owned();
    let (store, clock) = cleaned(&dir).await;
    assert_eq!(
        with_pods(&store, &clock, &CONTROLLERS).await.end.unwrap(),
        End::Done
    );
    let words = ["rollback", "--all", "--dir", &dir, "--wait", "60"];
    let said = migrate(&store, &clock, &words).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err.contains("blocker  ROLLBACK-CONTROLLERS-LATE")
            && said.err.contains("remembered until they run"),
        "{}",
        said.err
    );
    assert!(
        !said
            .err
            .contains("put the controllers back with migrate finish --undo")
    );
    assert!(
        said.out.contains("1 come back") && said.out.contains("2 switch back"),
        "{}",
        said.out
    );
    assert_eq!((store.list(ING).len(), store.list(VS).len()), (1, 0));
    // Asked again when they run, nothing is left.
    let said = with_pods(&store, &clock, &words).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Done);
    let controller = store
        .get("deployments.apps", "sealos-system", "terminal-controller")
        .unwrap();
    assert!(controller["metadata"]["annotations"]["rollout.sealos.io/before-finish"].is_null());
}

#[tokio::test(start_paused = true)]
async fn what_people_set_between_two_runs_comes_back_and_not_what_was_there_before_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("b").to_str().unwrap().to_owned();
    let (store, clock) = cleaned(&dir).await;
    assert_eq!(
        with_pods(&store, &clock, &CONTROLLERS).await.end.unwrap(),
        End::Done
    );
    let name = "terminal-controller-config";
    let mut settings = Value::clone(&store.get("configmaps", "sealos-system", name).unwrap());
    settings["data"]["istio_percentage"] = json!("30");
    store.put(settings).unwrap();
    assert_eq!(
        with_pods(&store, &clock, &CONTROLLERS).await.end.unwrap(),
        End::Done
    );
    assert_eq!(
        with_pods(&store, &clock, &["finish", "--undo"])
            .await
            .end
            .unwrap(),
        End::Done
    );
    let data = store.get("configmaps", "sealos-system", name).unwrap()["data"].clone();
    assert_eq!(
        data,
        json!({"networking_mode": "dual", "istio_percentage": "30", "other": "x"})
    );
}
