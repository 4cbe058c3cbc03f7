//! Whether there is room: on the nodes, in quotas, for load balancers, in the gateway's pods.

use super::found;
use super::healthy::*;
use crate::kinds::put;
use serde_json::{Value, json};

/// What is said of a healthy cluster with these objects, but of the checks that are not about room.
async fn said(objects: Vec<Value>) -> Vec<String> {
    let (store, clock) = healthy();
    for object in objects {
        put(&store, object);
    }
    let (_, said) = found(&store, &clock).await;
    let whole: Value = serde_json::from_str(&said.out).unwrap();
    let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
    let all = whole["findings"].as_array().unwrap().iter();
    all.map(|one| {
        format!(
            "{} {}: {}",
            text(one, "code"),
            text(one, "object"),
            text(one, "message")
        )
    })
    .collect()
}

fn sized(name: &str, cpu: &str, memory: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
        "status": {"allocatable": {"cpu": cpu, "memory": memory}}})
}

fn pod(name: &str, node: Option<&str>, phase: &str, cpu: &str) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"containers": [
            {"name": "a", "image": "x", "resources": {"requests": {"cpu": cpu, "memory": "1Gi"}}},
            {"name": "b", "image": "x"},
        ]}, "status": {"phase": phase}});
    if let Some(node) = node {
        pod["spec"]["nodeName"] = json!(node);
    }
    pod
}

#[tokio::test]
async fn the_room_on_nodes_is_what_is_allocatable_less_what_running_pods_ask_for() {
    let low = |line: &str| vec![format!("CAPACITY-LOW cluster: {line}")];
    // Eight CPUs and sixteen GiB are enough, and not a thousandth less.
    assert_eq!(said(vec![sized("one", "8", "16Gi")]).await, Vec::<String>::new());
    assert_eq!(
        said(vec![sized("one", "7999m", "16Gi")]).await,
        low("8.0 CPUs and 16.0 GiB are free on 1 nodes")
    );
    assert_eq!(
        said(vec![sized("one", "8", "16383Mi")]).await,
        low("8.0 CPUs and 16.0 GiB are free on 1 nodes")
    );
    // Several nodes are added up, whatever unit they are in.
    let two = || {
        vec![
            sized("one", "4500m", "12Gi"),
            sized("two", "4500m", "12884901888"),
        ]
    };
    assert_eq!(said(two()).await, Vec::<String>::new());
    let with = |more: Vec<Value>| [two(), more].concat();
    let asks = |name: &str, node, phase| pod(name, node, phase, "600m");
    let both = vec![
        asks("a", Some("one"), "Running"),
        asks("b", Some("two"), "Running"),
    ];
    assert_eq!(
        said(with(both)).await,
        low("7.8 CPUs and 22.0 GiB are free on 2 nodes")
    );
    // What has ended, and what runs nowhere yet, takes no room.
    let none = vec![
        asks("a", Some("one"), "Running"),
        asks("b", Some("two"), "Succeeded"),
        asks("c", Some("two"), "Failed"),
        asks("d", None, "Pending"),
    ];
    assert_eq!(said(with(none)).await, Vec::<String>::new());
}

#[tokio::test]
async fn nodes_that_take_no_pods_give_no_room_and_what_runs_on_them_takes_none() {
    let closed = |name: &str, spec: Value| {
        let mut node = sized(name, "64", "256Gi");
        node["spec"] = spec;
        node
    };
    let small = || sized("one", "8", "16Gi");
    for spec in [
        json!({"unschedulable": true}),
        json!({"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]}),
        json!({"taints": [{"key": "x", "effect": "NoExecute"}]}),
    ] {
        let smaller = sized("one", "7", "16Gi");
        let lines = said(vec![smaller, closed("two", spec.clone())]).await;
        assert_eq!(
            lines,
            ["CAPACITY-LOW cluster: 7.0 CPUs and 16.0 GiB are free on 1 nodes"],
            "{spec}"
        );
        let busy = pod("etcd", Some("two"), "Running", "6");
        let lines = said(vec![small(), closed("two", spec.clone()), busy]).await;
        assert_eq!(lines, Vec::<String>::new(), "{spec}");
    }
    let preferred = json!({"taints": [{"key": "x", "effect": "PreferNoSchedule"}]});
    let lines = said(vec![sized("one", "1", "1Gi"), closed("two", preferred)]).await;
    assert_eq!(lines, Vec::<String>::new());
}

#[tokio::test]
async fn a_quota_that_leaves_too_little_says_how_much_is_used_and_how_much_is_needed() {
    let quota = |limit: &str, used: Option<&str>| {
        let name = "count/virtualservices.networking.istio.io";
        let mut quota = quota("ns-ada", json!({"services.loadbalancers": "0", name: limit}));
        if let Some(used) = used {
            quota["status"] = json!({"hard": {name: limit}, "used": {name: used}});
        }
        quota
    };
    assert_eq!(said(vec![quota("1", None)]).await, Vec::<String>::new());
    let line = |used: &str, limit: &str, more: u8| {
        vec![format!(
            "QUOTA-SPENT ResourceQuota ns-ada/tenant: count/virtualservices.networking.istio.io: {used} of {limit} are used, {more} more are needed"
        )]
    };
    assert_eq!(said(vec![quota("1", Some("1"))]).await, line("1", "1", 1));
    assert_eq!(said(vec![quota("0", None)]).await, line("0", "0", 1));
    // A second host is a second route, of a Service of its own.
    let two = || {
        let mut more = ingress("ns-ada", "two", "two.a.com", json!({}), "two");
        more["spec"].as_object_mut().unwrap().remove("tls");
        vec![
            more,
            service("ns-ada", "two", "ClusterIP"),
            slice("ns-ada", "two"),
        ]
    };
    let with = |quota: Value| [two(), vec![quota]].concat();
    assert_eq!(said(with(quota("2", None))).await, Vec::<String>::new());
    assert_eq!(said(with(quota("2", Some("1")))).await, line("1", "2", 2));
}

#[tokio::test]
async fn load_balancers_of_tenants_are_told_one_by_one_and_tenants_that_may_make_more_together() {
    let mut edge = service("ns-ada", "edge", "LoadBalancer");
    edge["spec"]["ports"] = json!([{"name": "a", "port": 80}, {"name": "b", "port": 443}]);
    let lines = said(vec![
        edge,
        service("ns-bob", "db", "LoadBalancer"),
        service("kube-system", "lb", "LoadBalancer"),
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns-cid"}}),
        quota("ns-cid", json!({"services.loadbalancers": "1"})),
    ])
    .await;
    assert_eq!(
        lines,
        [
            "TENANT-LOAD-BALANCER Service ns-ada/edge: it has 2 ports",
            "TENANT-LOAD-BALANCER Service ns-bob/db: it has 1 ports",
            "QUOTA-OPEN tenants: 2 namespaces: ns-bob, ns-cid",
        ]
    );
}

#[tokio::test]
async fn a_gateway_with_two_pods_that_are_ready_is_enough_whatever_its_deployment_asks_for() {
    let of = |wanted: u64, ready: u64| {
        let mut pods = gateway_pods(ready);
        pods["spec"]["replicas"] = json!(wanted);
        pods
    };
    let place = "Deployment istio-system/istio-ingressgateway";
    for (wanted, ready, line) in [
        (2, 2, None),
        (5, 2, None),
        (3, 1, Some(format!("GATEWAY-SINGLE {place}: one pod is ready"))),
        (3, 0, Some(format!("GATEWAY-DOWN {place}: 0 of 3 pods are ready"))),
    ] {
        let lines = said(vec![of(wanted, ready)]).await;
        assert_eq!(lines, line.into_iter().collect::<Vec<_>>(), "{ready} of {wanted}");
    }
}
