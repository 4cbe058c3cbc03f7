//! `loadbalancer migrate` and `undo`.

use crate::kinds::{ISTIO, put, serve};
use crate::preflight::healthy::secret;
use crate::support::{Said, cluster, migrate};
use gradual_rollout_apiserver::clock::Clock;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::{End, Trouble};
use serde_json::{Value, json};
use std::sync::Arc;

/// A cluster with a gateway on 80, 443 and 5432, and a certificate.
pub(crate) fn with_gateway() -> (Store, Clock) {
    let (store, clock) = cluster();
    for kind in ISTIO {
        serve(&store, kind);
    }
    put(
        &store,
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "istio-system", "name": "edge"},
            "spec": {"selector": {"istio": "ingressgateway"}, "ports": [
                {"name": "http", "port": 80, "targetPort": 8080}, {"name": "https", "port": 443, "targetPort": 8443},
                {"name": "pg", "port": 5432, "targetPort": 15432},
            ]},
        }),
    );
    put(
        &store,
        secret("ns-ada", "s3-tls", &["s3.a.com", "*.s3.a.com"], 2027),
    );
    (store, clock)
}

fn balancer(name: &str, ports: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"namespace": "ns-ada", "name": name, "annotations": {"provider/bandwidth": "10"}},
        "spec": {
            "type": "LoadBalancer", "selector": {"app": name}, "ports": ports, "loadBalancerIP": "192.0.2.7",
            "externalTrafficPolicy": "Local", "healthCheckNodePort": 30111, "loadBalancerClass": "a.com/fast",
        },
        "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}},
    })
}

pub(crate) fn minio() -> Value {
    balancer(
        "minio",
        json!([
            {"name": "api", "port": 9000, "nodePort": 30900}, {"name": "console", "port": 9001, "nodePort": 30901},
        ]),
    )
}

pub(crate) const MINIO: [&str; 9] = [
    "-n",
    "ns-ada",
    "loadbalancer",
    "migrate",
    "minio",
    "--domain",
    "s3.a.com",
    "--certificate",
    "ns-ada/s3-tls",
];

async fn run(store: &Store, clock: &Clock, more: &[&str]) -> Said {
    migrate(store, clock, &[&MINIO[..], more].concat()).await
}

fn get(store: &Store, kind: &str, name: &str) -> Arc<Value> {
    store
        .get(&format!("{kind}.networking.istio.io"), "ns-ada", name)
        .unwrap()
}

fn service(store: &Store) -> Arc<Value> {
    store.get("services", "ns-ada", "minio").unwrap()
}

#[tokio::test]
async fn every_port_is_served_by_the_gateway_and_the_load_balancer_is_left_alone() {
    let (store, clock) = with_gateway();
    put(&store, minio());
    let before = service(&store);
    let said = run(&store, &clock, &[]).await;
    println!("{}{}", said.out, said.err);
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(service(&store), before);
    for (name, host, port) in [
        ("lb-minio-9000", "s3.a.com", 9000),
        ("lb-minio-9001", "console.s3.a.com", 9001),
    ] {
        let routed = get(&store, "virtualservices", name);
        assert_eq!(routed["spec"]["hosts"], json!([host]));
        // Signed hosts and paths, long uploads, consoles that upgrade: nothing is changed or limited.
        assert_eq!(
            routed["spec"]["http"],
            json!([{"name": "all", "route": [
                {"destination": {"host": "minio.ns-ada.svc.cluster.local", "port": {"number": port}}},
            ]}])
        );
    }
    let gateway = get(&store, "gateways", "lb-minio");
    assert_eq!(
        gateway["spec"]["servers"][1]["hosts"],
        json!(["ns-ada/s3.a.com", "ns-ada/console.s3.a.com"])
    );
    assert_eq!(
        gateway["spec"]["servers"][1]["tls"]["credentialName"],
        "lb-ns-ada-minio"
    );
    assert!(store.get("secrets", "istio-system", "lb-ns-ada-minio").is_some());
    assert!(said.out.contains("port 9001 is taken for HTTP"), "{}", said.out);
    assert!(said.out.contains("still serves at 192.0.2.7"), "{}", said.out);
}

#[tokio::test]
async fn the_address_is_given_up_only_in_a_later_run_and_only_when_told() {
    let (store, clock) = with_gateway();
    put(&store, minio());
    let said = run(&store, &clock, &["--release-address"]).await;
    assert!(matches!(said.end, Err(Trouble::Refused(why)) if why.contains("move the clients")));
    assert!(
        store.list("virtualservices.networking.istio.io").is_empty(),
        "refused before anything was written"
    );
    run(&store, &clock, &[]).await.end.unwrap();
    let said = run(&store, &clock, &["--release-address", "--nodeport", "9001=31901"]).await;
    println!("{}{}", said.out, said.err);
    assert_eq!(said.end.unwrap(), End::Done);
    let spec = service(&store)["spec"].clone();
    assert_eq!(spec["type"], "NodePort");
    for field in ["loadBalancerIP", "healthCheckNodePort", "loadBalancerClass"] {
        assert!(spec.get(field).is_none(), "{field}");
    }
    assert_eq!(
        (&spec["ports"][0]["nodePort"], &spec["ports"][1]["nodePort"]),
        (&json!(30900), &json!(31901))
    );
    let said = run(&store, &clock, &[]).await;
    assert!(matches!(said.end, Err(Trouble::Refused(why)) if why.contains("gave its address up already")));
}

#[tokio::test]
async fn undo_gives_back_what_the_service_was_and_takes_the_path_away() {
    let (store, clock) = with_gateway();
    put(&store, minio());
    let before = service(&store);
    run(&store, &clock, &[]).await.end.unwrap();
    run(&store, &clock, &["--release-address", "--nodeport", "9001=31901"])
        .await
        .end
        .unwrap();
    let undo = ["-n", "ns-ada", "loadbalancer", "undo", "minio"];
    let said = migrate(&store, &clock, &[&undo[..], &["--dry-run"]].concat()).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert_eq!(service(&store)["spec"]["type"], "NodePort");
    let said = migrate(&store, &clock, &undo).await;
    println!("{}{}", said.out, said.err);
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(said.out.contains("its address was 192.0.2.7"), "{}", said.out);
    assert_eq!(service(&store)["spec"], before["spec"]);
    assert_eq!(
        service(&store)["metadata"]["annotations"],
        before["metadata"]["annotations"]
    );
    for kind in [
        "virtualservices.networking.istio.io",
        "gateways.networking.istio.io",
        "configmaps",
    ] {
        assert!(
            store
                .list(kind)
                .iter()
                .all(|object| object["metadata"]["namespace"] != "ns-ada"),
            "{kind}"
        );
    }
    assert!(store.get("secrets", "istio-system", "lb-ns-ada-minio").is_none());
    assert!(store.get("secrets", "ns-ada", "s3-tls").is_some());
    let said = migrate(&store, &clock, &undo).await;
    assert!(matches!(said.end, Err(Trouble::Refused(why)) if why.contains("nothing was done about")));
}

#[tokio::test]
async fn ports_that_are_not_http_are_served_by_number_and_those_with_tls_by_name() {
    let (store, clock) = with_gateway();
    put(
        &store,
        balancer(
            "db",
            json!([
                {"name": "tcp-pg", "port": 5432}, {"name": "ui", "port": 8443, "appProtocol": "https"},
            ]),
        ),
    );
    let words = [
        "-n",
        "ns-ada",
        "loadbalancer",
        "migrate",
        "db",
        "--host",
        "8443=db.a.com",
    ];
    let said = migrate(&store, &clock, &words).await;
    assert_eq!(said.end.unwrap(), End::Done, "{}", said.err);
    let gateway = get(&store, "gateways", "lb-db");
    assert_eq!(
        gateway["spec"]["servers"],
        json!([
            {
                "hosts": ["ns-ada/db.a.com"], "port": {"number": 443, "name": "tls", "protocol": "TLS"},
                "tls": {"mode": "PASSTHROUGH"},
            },
            {"hosts": ["ns-ada/*"], "port": {"number": 5432, "name": "tcp-5432", "protocol": "TCP"}},
        ])
    );
    assert_eq!(
        get(&store, "virtualservices", "lb-db-5432")["spec"]["tcp"][0]["match"],
        json!([{"port": 5432}])
    );
    assert_eq!(
        get(&store, "virtualservices", "lb-db-8443")["spec"]["tls"][0]["match"],
        json!([{"port": 443, "sniHosts": ["db.a.com"]}])
    );
}

#[tokio::test]
async fn whom_the_load_balancer_let_in_the_gateway_lets_in_and_nobody_else() {
    let (store, clock) = with_gateway();
    let mut guarded = balancer(
        "db",
        json!([{"name": "tcp-pg", "port": 5432}, {"name": "http", "port": 80}]),
    );
    guarded["spec"]["loadBalancerSourceRanges"] = json!(["10.0.0.0/8"]);
    put(&store, guarded.clone());
    let words = [
        "-n",
        "ns-ada",
        "loadbalancer",
        "migrate",
        "db",
        "--domain",
        "db.a.com",
    ];
    migrate(&store, &clock, &words).await.end.unwrap();
    let policy = store
        .get(
            "authorizationpolicies.security.istio.io",
            "istio-system",
            "lb-db-ns-ada",
        )
        .unwrap();
    assert_eq!(
        policy["spec"],
        json!({
            "selector": {"matchLabels": {"istio": "ingressgateway"}}, "action": "DENY",
            "rules": [
                {
                    "from": [{"source": {"notRemoteIpBlocks": ["10.0.0.0/8"]}}],
                    "to": [{"operation": {"hosts": ["db.a.com", "db.a.com:*"]}}],
                },
                // The pods' own port, which is what they see.
                {"from": [{"source": {"notIpBlocks": ["10.0.0.0/8"]}}], "to": [{"operation": {"ports": ["15432"]}}]},
            ],
        })
    );
    // TLS that is passed on has no host that a rule could name.
    guarded["metadata"]["name"] = "tls".into();
    guarded["spec"]["ports"] = json!([{"name": "https", "port": 443}]);
    put(&store, guarded);
    let words = [
        "-n",
        "ns-ada",
        "loadbalancer",
        "migrate",
        "tls",
        "--domain",
        "tls.a.com",
    ];
    let said = migrate(&store, &clock, &words).await;
    assert!(matches!(said.end, Err(Trouble::Refused(why)) if why.contains("others would be let in")));
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_before_anything_is_written() {
    let (store, clock) = with_gateway();
    put(
        &store,
        balancer("udp", json!([{"name": "dns", "port": 53, "protocol": "UDP"}])),
    );
    put(
        &store,
        balancer("other", json!([{"name": "tcp-x", "port": 6000}])),
    );
    put(&store, balancer("web", json!([{"port": 80}])));
    put(
        &store,
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "ns-ada", "name": "plain"},
        "spec": {"ports": [{"port": 80}]}}),
    );
    for (name, more, why) in [
        ("udp", &[][..], "is not TCP"),
        (
            "other",
            &[],
            "no Service in front of the gateway's pods has port 6000",
        ),
        ("web", &[], "give --domain"),
        (
            "web",
            &["--domain", "a.com", "--certificate", "ns-ada/none"],
            "there is no Secret",
        ),
        (
            "plain",
            &["--domain", "a.com"],
            "is no load balancer but ClusterIP",
        ),
        ("gone", &["--domain", "a.com"], "there is no Service"),
    ] {
        let words = [&["-n", "ns-ada", "loadbalancer", "migrate", name], more].concat();
        let said = migrate(&store, &clock, &words).await;
        let says = said.end.unwrap_err().to_string();
        assert!(says.contains(why), "{name}: {says}");
    }
    put(
        &store,
        json!({"apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"namespace": "ns-bob", "name": "taken"},
        "spec": {"selector": {"istio": "ingressgateway"}, "servers": [
            {"hosts": ["*/w.a.com"], "port": {"number": 80, "name": "http", "protocol": "HTTP"}},
        ]}}),
    );
    let words = [
        "-n",
        "ns-ada",
        "loadbalancer",
        "migrate",
        "web",
        "--domain",
        "w.a.com",
    ];
    let said = migrate(&store, &clock, &words).await;
    assert!(
        said.end
            .unwrap_err()
            .to_string()
            .contains("Gateway ns-bob/taken has the host w.a.com")
    );
    assert!(store.list("virtualservices.networking.istio.io").is_empty());
    assert!(store.list("configmaps").is_empty());
}

#[tokio::test]
async fn a_service_that_changes_under_the_last_step_keeps_its_address() {
    let (store, clock) = with_gateway();
    put(&store, minio());
    run(&store, &clock, &[]).await.end.unwrap();
    let late = Failure::new(409, "Conflict", "the object has been modified");
    store.inject(
        Fault::new(Action::Fail(late))
            .verb("patch")
            .resource("services")
            .times(1),
    );
    let said = run(&store, &clock, &["--release-address"]).await;
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err.contains("not written: Service ns-ada/minio (NodePort)"),
        "{}",
        said.err
    );
    assert_eq!(service(&store)["spec"]["type"], "LoadBalancer");
}

#[tokio::test]
async fn a_record_of_an_earlier_service_of_the_name_is_not_believed() {
    let (store, clock) = with_gateway();
    put(&store, minio());
    run(&store, &clock, &[]).await.end.unwrap();
    store.delete("services", "ns-ada", "minio").unwrap();
    put(&store, minio());
    for words in [&MINIO[..], &["-n", "ns-ada", "loadbalancer", "undo", "minio"]] {
        let said = migrate(&store, &clock, words).await;
        assert!(
            said.end
                .unwrap_err()
                .to_string()
                .contains("about an earlier Service")
        );
    }
}
