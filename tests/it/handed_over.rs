//! A batch that `migrate apply` hands to a GradualRollout can be split as it is: what nginx sends to the split listener has a
//! route there.

use crate::support::cluster::{Cluster, NAMESPACE};
use gradual_rollout::sandbox::apiserver::Store;
use serde_json::{Value, json};

const ROUTES: &str = "virtualservices.networking.istio.io";

/// Istio's kinds that the store does not have by itself.
fn istio(store: &Store) {
    for (group, kind, plural) in [
        ("networking.istio.io", "Gateway", "gateways"),
        ("networking.istio.io", "DestinationRule", "destinationrules"),
        (
            "security.istio.io",
            "AuthorizationPolicy",
            "authorizationpolicies",
        ),
    ] {
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        store
            .register_crd(&json!({
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": format!("{plural}.{group}")},
                "spec": {"group": group, "scope": "Namespaced",
                    "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": kind.to_lowercase()},
                    "versions": [{"name": "v1", "served": true, "storage": true,
                        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": open}}}}]},
            }))
            .unwrap();
    }
}

fn shop(namespace: &str, name: &str) -> [Value; 2] {
    let host = format!("{name}.{namespace}.example.com");
    [
        json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"ingressClassName": "nginx", "rules": [{"host": host, "http": {"paths": [
                {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": name, "port": {"number": 80}}}}]}}]}}),
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80}]}}),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_apply_hands_over_has_a_route_for_all_that_nginx_sends() {
    let cluster = Cluster::start().await;
    let store = &cluster.store;
    istio(store);
    for namespace in ["istio-system", "ns-a"] {
        store.namespace(namespace);
    }
    for object in [shop("ns-a", "shop"), shop("ns-a", "adm")].concat() {
        store.put(object).unwrap();
    }
    // One that is served by https: the listener must not send its share back there.
    let mut secure = shop("ns-a", "secure");
    secure[0]["spec"]["tls"] = json!([{"hosts": ["secure.ns-a.example.com"], "secretName": "secure-tls"}]);
    for object in secure {
        store.put(object).unwrap();
    }
    store
        .put(json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": "secure-tls", "namespace": "ns-a"}, "stringData": {"tls.crt": "c", "tls.key": "k"}}))
        .unwrap();
    store
        .put(json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "istio-ingressgateway", "namespace": "istio-system"},
            "spec": {"selector": {"istio": "ingressgateway"}, "ports": [{"name": "split", "port": 8081}]}}))
        .unwrap();
    let words = [
        "migrate",
        "-n",
        "ns-a",
        "apply",
        "--unprobed",
        "--rollout",
        "sealos-system/batch",
        "--split",
        "istio-system/istio-ingressgateway:8081",
    ];
    // Without a listener it says what to make, and that is all that is needed.
    let (code, out, err) = cluster.run(&words, &[]).await;
    println!("{out}{err}");
    assert_eq!(code, 4, "{err}");
    let gateway = err
        .lines()
        .find_map(|line| Some(&line[line.find("{\"apiVersion\"")?..=line.rfind('}')?]))
        .unwrap();
    store.put(serde_json::from_str(gateway).unwrap()).unwrap();
    let (code, out, err) = cluster.run(&words, &[]).await;
    println!("{out}{err}");
    assert_eq!(code, 0, "{err}");
    let rollout = store
        .get("gradualrollouts.rollout.sealos.io", NAMESPACE, "batch")
        .unwrap();
    let router = &rollout["spec"]["components"][0]["routers"][0]["ingressNginx"];
    assert_eq!(router["gateway"]["name"], "istio-system/split");
    let checked = ["routes", "check", "-n", NAMESPACE];
    let (code, out, err) = cluster.run(&checked, &[]).await;
    println!("{out}{err}");
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("can be split, 3 upstream(s)"), "{out}");
    for not in ["RouteMissing", "RedirectLoop", "GatewayUnnamed", "ListenerUnread"] {
        assert!(!out.contains(not), "{not}: {out}");
    }
    // A route that is not bound to it is seen, here and by whoever decides.
    let mut unbound = Value::clone(&store.list(ROUTES)[0]);
    unbound["spec"]["gateways"] = json!(["istio-system/sealos-gateway"]);
    store.put(unbound).unwrap();
    let (code, out, _) = cluster.run(&checked, &[]).await;
    assert_eq!(code, 3, "{out}");
    assert!(out.contains("RouteMissing"), "{out}");
}
