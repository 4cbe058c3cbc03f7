//! `migrate restore` in a cluster.

use crate::kinds;
use crate::objects::{asked, config_map, custom, deployment, ingress, service};
use crate::support::{cluster, migrate};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tempfile::TempDir;

const RESOURCES: [&str; 10] = [
    "ingresses.networking.k8s.io",
    "services",
    "deployments.apps",
    "configmaps",
    "virtualservices.networking.istio.io",
    "destinationrules.networking.istio.io",
    "gateways.networking.istio.io",
    "authorizationpolicies.security.istio.io",
    "certificates.cert-manager.io",
    "resourcequotas",
];

/// What there is of the kinds that are kept, as far as people care.
fn state(store: &Store) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for resource in RESOURCES {
        for object in store.list(resource) {
            let mut object = asked(&object);
            object["metadata"]
                .as_object_mut()
                .unwrap()
                .remove("ownerReferences");
            let name = format!(
                "{resource} {}/{}",
                object["metadata"]["namespace"].as_str().unwrap(),
                object["metadata"]["name"].as_str().unwrap()
            );
            all.insert(name, object);
        }
    }
    all
}

pub(crate) fn delete_all(store: &Store) {
    for resource in RESOURCES {
        for object in store.list(resource) {
            let of = |field: &str| object["metadata"][field].as_str().unwrap().to_owned();
            store.delete(resource, &of("namespace"), &of("name")).unwrap();
        }
    }
}

/// A namespace with an object of each kind that people write.
pub(crate) fn filled() -> (Store, Clock) {
    let (store, clock) = cluster();
    kinds::istio(&store);
    kinds::cert_manager(&store);
    store.namespace("ns-a");
    for object in [
        ingress("ns-a", "shop"),
        service("ns-a", "shop"),
        deployment("ns-a", "shop"),
        config_map("ns-a", "settings"),
        custom(
            "networking.istio.io/v1",
            "DestinationRule",
            "ns-a",
            "shop",
            json!({"host": "shop"}),
        ),
        json!({"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"services.loadbalancers": "0"}},
            "metadata": {"name": "quota", "namespace": "ns-a"}}),
    ] {
        store.put(object).unwrap();
    }
    (store, clock)
}

async fn backed_up(store: &Store, clock: &Clock) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("b").to_str().unwrap().to_owned();
    let said = migrate(store, clock, &["backup", "--dir", &path]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    (dir, path)
}

#[tokio::test(start_paused = true)]
async fn everything_that_was_deleted_is_as_it_was_and_a_second_time_nothing_is_written() {
    let (store, clock) = filled();
    let mut owned = custom(
        "cert-manager.io/v1",
        "Certificate",
        "ns-a",
        "shop",
        json!({"x": 1}),
    );
    let owner = store.get("ingresses.networking.k8s.io", "ns-a", "shop").unwrap();
    owned["metadata"]["ownerReferences"] = json!([{"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "name": "shop", "uid": owner["metadata"]["uid"], "controller": true}]);
    store.put(owned).unwrap();
    let before = state(&store);
    let (_dir, dir) = backed_up(&store, &clock).await;
    delete_all(&store);
    let shown = migrate(&store, &clock, &["restore", "--dir", &dir, "--dry-run"]).await;
    println!("{}{}", shown.err, shown.out);
    assert_eq!(state(&store).len(), 0);
    let said = migrate(&store, &clock, &["restore", "--dir", &dir]).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(state(&store), before);
    // Its owner has another uid now: with the old one it would be collected.
    let owner = store.get("ingresses.networking.k8s.io", "ns-a", "shop").unwrap();
    let owned = store.get("certificates.cert-manager.io", "ns-a", "shop").unwrap();
    assert_eq!(
        owned["metadata"]["ownerReferences"][0]["uid"],
        owner["metadata"]["uid"]
    );
    let version = store.version();
    let again = migrate(&store, &clock, &["restore", "--dir", &dir]).await;
    assert!(again.out.contains("0 written"), "{}", again.out);
    assert_eq!(store.version(), version);
}

#[tokio::test(start_paused = true)]
async fn what_this_program_changed_is_put_back_and_what_others_changed_is_left_and_named() {
    let (store, clock) = filled();
    let before = state(&store);
    let (_dir, dir) = backed_up(&store, &clock).await;
    tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    let resource = ApiResource {
        group: "networking.k8s.io".into(),
        version: "v1".into(),
        api_version: "networking.k8s.io/v1".into(),
        kind: "Ingress".into(),
        plural: "ingresses".into(),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(store.client("default"), "ns-a", &resource);
    let mark = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"labels": {"sealos.io/migrated-to-istio": "true"}}});
    api.patch(
        "shop",
        &PatchParams::apply("gradual-rollout"),
        &Patch::Apply(&mark),
    )
    .await
    .unwrap();
    store.put(config_map("ns-a", "settings")).unwrap();
    let mut edited = config_map("ns-a", "settings");
    edited["data"] = json!({"a": "c"});
    store.put(edited).unwrap();

    let shown = migrate(&store, &clock, &["restore", "--dir", &dir, "--dry-run=server"]).await;
    println!("{}{}", shown.err, shown.out);
    assert!(shown.out.contains("metadata.labels[sealos.io/migrated-to-istio]"));
    assert!(
        shown.out.contains("now:    \"c\"") && shown.out.contains("by sandbox"),
        "{}",
        shown.out
    );
    assert_ne!(state(&store), before);
    let said = migrate(&store, &clock, &["restore", "--dir", &dir]).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(said.err.contains("RESTORE-CHANGED-SINCE"), "{}", said.err);
    let now = state(&store);
    let ingress = "ingresses.networking.k8s.io ns-a/shop";
    assert_eq!(now[ingress], before[ingress]);
    assert_eq!(now["configmaps ns-a/settings"]["data"]["a"], "c");
    let said = migrate(&store, &clock, &["restore", "--dir", &dir, "--overwrite"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(state(&store), before);
}

#[tokio::test(start_paused = true)]
async fn replicas_that_an_autoscaler_moved_stay() {
    let (store, clock) = filled();
    let (_dir, dir) = backed_up(&store, &clock).await;
    let mut scaled = deployment("ns-a", "shop");
    scaled["spec"]["replicas"] = json!(7);
    store.put(scaled).unwrap();
    let said = migrate(&store, &clock, &["restore", "--dir", &dir]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    let now = store.get("deployments.apps", "ns-a", "shop").unwrap();
    assert_eq!(now["spec"]["replicas"], 7);
}

#[tokio::test(start_paused = true)]
async fn what_is_being_deleted_is_not_as_in_the_backup_and_no_host_is_closed_over_an_ingress_that_goes() {
    for resource in ["configmaps", "ingresses.networking.k8s.io"] {
        let (store, clock) = filled();
        let gateway = json!({"selector": {"istio": "ingressgateway"}, "servers": []});
        store
            .put(custom(
                "networking.istio.io/v1",
                "Gateway",
                "ns-a",
                "shop",
                gateway,
            ))
            .unwrap();
        let (_dir, dir) = backed_up(&store, &clock).await;
        let name = meta_name(&store, resource);
        let mut object = (*store.get(resource, "ns-a", &name).unwrap()).clone();
        object["metadata"]["finalizers"] = json!(["example.com/held"]);
        store.put(object).unwrap();
        store.delete(resource, "ns-a", &name).unwrap();
        store
            .delete("gateways.networking.istio.io", "ns-a", "shop")
            .unwrap();
        let said = migrate(&store, &clock, &["restore", "--dir", &dir]).await;
        assert_eq!(said.end.unwrap(), End::Partly, "{}", said.err);
        assert!(
            said.err.contains("RESTORE-GOING") && said.err.contains(&format!(" ns-a/{name}")),
            "{}",
            said.err
        );
        let halted = said.err.contains("RESTORE-HALTED  Gateway ns-a/shop");
        assert_eq!(halted, resource != "configmaps", "{}", said.err);
        assert_eq!(
            store
                .get("gateways.networking.istio.io", "ns-a", "shop")
                .is_none(),
            halted
        );
    }
}

fn meta_name(store: &Store, resource: &str) -> String {
    let all = store.list(resource);
    let mut names = all.iter().filter(|o| o["metadata"]["namespace"] == "ns-a");
    names.next().unwrap()["metadata"]["name"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test(start_paused = true)]
async fn one_that_is_refused_is_named_and_the_rest_is_put_back() {
    let (store, clock) = filled();
    let (_dir, dir) = backed_up(&store, &clock).await;
    delete_all(&store);
    store.inject(
        Fault::new(Action::Fail(Failure::new(403, "Forbidden", "quota exceeded")))
            .verb("create")
            .resource("services")
            .times(1),
    );
    let said = migrate(&store, &clock, &["--json", "restore", "--dir", &dir]).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(told["findings"][0]["code"], "RESTORE-FAILED");
    assert_eq!(told["findings"][0]["object"], "Service ns-a/shop");
    assert_eq!(state(&store).len(), 5);
    let said = migrate(&store, &clock, &["restore", "--dir", &dir]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(state(&store).len(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_address_that_somebody_else_has_by_now_is_given_up_and_told() {
    let (store, clock) = filled();
    let (_dir, dir) = backed_up(&store, &clock).await;
    delete_all(&store);
    store.inject(
        Fault::new(Action::Fail(Failure::new(
            422,
            "Invalid",
            "Service \"shop\" is invalid: spec.clusterIPs: Invalid value: [\"10.96.0.9\"]: failed to allocate IP 10.96.0.9: provided IP is already allocated",
        )))
        .verb("create")
        .resource("services")
        .times(1),
    );
    let said = migrate(&store, &clock, &["restore", "--dir", &dir]).await;
    println!("{}{}", said.err, said.out);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.err.contains("RESTORE-ADDRESS-TAKEN"), "{}", said.err);
}

#[tokio::test(start_paused = true)]
async fn no_backup_another_cluster_and_a_damaged_file_are_refused_before_anything_is_written() {
    let (store, clock) = filled();
    let (_dir, dir) = backed_up(&store, &clock).await;
    delete_all(&store);
    let version = store.version();
    let none = migrate(&store, &clock, &["restore", "--dir", "/nowhere"]).await;
    assert!(matches!(none.end, Err(Trouble::Usage(_))), "{none:?}");
    let typo = migrate(&store, &clock, &["-n", "ns-b", "restore", "--dir", &dir]).await;
    assert!(matches!(typo.end, Err(Trouble::Usage(_))), "{typo:?}");
    let file = format!("{dir}/ns-a/services.json");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("8080", "8081")).unwrap();
    let damaged = migrate(&store, &clock, &["restore", "--dir", &dir]).await;
    let Err(Trouble::Refused(why)) = damaged.end else {
        panic!("{damaged:?}")
    };
    assert!(why.contains("services.json"), "{why}");
    assert_eq!(store.version(), version);
}

#[derive(Clone, Debug)]
struct Any {
    kind: usize,
    namespace: usize,
    name: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    text: String,
}

fn any() -> impl Strategy<Value = Any> {
    let words = || proptest::collection::btree_map("[a-z]{1,5}(/[a-z]{1,5})?", "[a-z0-9]{0,8}", 0..4);
    let notes = proptest::collection::btree_map("[a-z]{1,5}(\\.io/[a-z]{1,5})?", "\\PC{0,30}", 0..4);
    (0..9_usize, 0..3_usize, "[a-z]{1,4}", words(), notes, "\\PC{0,20}").prop_map(
        |(kind, namespace, name, labels, annotations, text)| Any {
            kind,
            namespace,
            name,
            labels,
            annotations,
            text,
        },
    )
}

impl Any {
    fn object(&self) -> Value {
        let namespace = format!("ns-{}", self.namespace);
        let (namespace, name) = (namespace.as_str(), self.name.as_str());
        let mut object = match self.kind {
            0 => ingress(namespace, name),
            1 => service(namespace, name),
            2 => deployment(namespace, name),
            3 => {
                let mut object = config_map(namespace, name);
                object["data"] = json!({"text": self.text});
                object
            }
            4 => custom(
                "cert-manager.io/v1",
                "Certificate",
                namespace,
                name,
                json!({"secretName": self.text}),
            ),
            5 => custom(
                "networking.istio.io/v1",
                "DestinationRule",
                namespace,
                name,
                json!({"host": self.text, "trafficPolicy": {"tls": {"sni": [self.text, {}, null, []]}}}),
            ),
            6 => custom(
                "networking.istio.io/v1",
                "Gateway",
                namespace,
                name,
                json!({"selector": {"istio": self.text}, "servers": [{"hosts": ["*/a.com"], "name": self.text,
                    "port": {"number": 80, "name": "http", "protocol": "HTTP"}}]}),
            ),
            7 => custom(
                "security.istio.io/v1",
                "AuthorizationPolicy",
                namespace,
                name,
                json!({"action": "DENY", "rules": [{"to": [{"operation": {"paths": [self.text]}}], "when": []}]}),
            ),
            _ => custom(
                "networking.istio.io/v1",
                "VirtualService",
                namespace,
                name,
                json!({"hosts": [self.text], "http": [{"route": [{"destination": {"host": self.text}}]}]}),
            ),
        };
        object["metadata"]["labels"] = json!(self.labels);
        object["metadata"]["annotations"] = json!(self.annotations);
        object
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_is_kept_and_deleted_comes_back_with_the_same_spec_labels_and_annotations(
        all in proptest::collection::vec(any(), 1..12),
        homes in proptest::collection::vec(proptest::bool::ANY, 3),
        labels in proptest::collection::btree_map("[a-z]{1,5}", "[a-z0-9]{0,8}", 0..3),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let (store, clock) = cluster();
            kinds::istio(&store);
            kinds::cert_manager(&store);
            for number in 0..3 {
                let name = format!("ns-{number}");
                store.put(json!({"apiVersion": "v1", "kind": "Namespace",
                    "metadata": {"name": name, "labels": labels}})).unwrap();
            }
            let spaces = || -> Vec<(Value, Value, Value)> {
                let all = store.list("namespaces").into_iter();
                all.map(|one| (one["metadata"]["name"].clone(), one["metadata"]["labels"].clone(),
                    one["metadata"]["annotations"].clone())).collect()
            };
            // One that is put twice loses what the API server gave it.
            let mut put = std::collections::BTreeSet::new();
            for object in &all {
                if put.insert((object.kind, object.namespace, &object.name)) {
                    store.put(object.object()).unwrap();
                }
            }
            let (before, there) = (state(&store), spaces());
            let (_dir, dir) = backed_up(&store, &clock).await;
            delete_all(&store);
            for (number, _) in homes.iter().enumerate().filter(|(_, goes)| **goes) {
                store.delete("namespaces", "", &format!("ns-{number}")).unwrap();
            }
            let said = migrate(&store, &clock, &["restore", "--dir", &dir]).await;
            prop_assert_eq!(said.end.unwrap(), End::Done);
            prop_assert_eq!(state(&store), before);
            prop_assert_eq!(spaces(), there);
            Ok(())
        })?;
    }
}
