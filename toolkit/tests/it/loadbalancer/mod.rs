//! `loadbalancer migrate` and `undo`.

mod clients;
mod one_host;
mod released;
mod renewed;

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
            "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "selector": {"istio": "ingressgateway"}, "ports": [
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

/// No host of these tests leads anywhere.
const NAMES: &str = "UNDO-NAME-UNKNOWN,UNDO-NAME-LEADS-TO-GATEWAY";

/// Gives the address up, though nobody knows where the hosts of these tests lead.
pub(crate) const RELEASE: [&str; 3] = [
    "--release-address",
    "--accept",
    "RELEASE-NAME-UNKNOWN,RELEASE-NAME-LEADS-TO-BALANCER",
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
    let copy = gateway["spec"]["servers"][1]["tls"]["credentialName"]
        .as_str()
        .unwrap();
    assert!(copy.starts_with("lb-minio-"), "{copy}");
    assert!(store.get("secrets", "istio-system", copy).is_some());
    assert!(said.out.contains("port 9001 is taken for HTTP"), "{}", said.out);
    assert!(said.out.contains("still serves at 192.0.2.7"), "{}", said.out);
}

#[tokio::test]
async fn the_address_is_given_up_only_in_a_later_run_and_only_when_told() {
    let (store, clock) = with_gateway();
    put(&store, minio());
    let said = run(&store, &clock, &RELEASE).await;
    assert!(matches!(said.end, Err(Trouble::Refused(why)) if why.contains("move the clients")));
    assert!(
        store.list("virtualservices.networking.istio.io").is_empty(),
        "refused before anything was written"
    );
    run(&store, &clock, &[]).await.end.unwrap();
    let said = run(
        &store,
        &clock,
        &[&RELEASE[..], &["--nodeport", "9001=31901"]].concat(),
    )
    .await;
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
    run(
        &store,
        &clock,
        &[&RELEASE[..], &["--nodeport", "9001=31901"]].concat(),
    )
    .await
    .end
    .unwrap();
    let undo = ["-n", "ns-ada", "loadbalancer", "undo", "minio", "--accept", NAMES];
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
    assert!(
        store
            .list("secrets")
            .iter()
            .all(|secret| secret["metadata"]["namespace"] != "istio-system")
    );
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
    let policy = store.list("authorizationpolicies.security.istio.io").remove(0);
    assert_eq!(policy["metadata"]["namespace"], "istio-system");
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
    let said = run(&store, &clock, &RELEASE).await;
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

/// What a tenant's load balancer is replaced by.
fn guarded(namespace: &str, name: &str, range: &str) -> Value {
    let mut service = balancer(name, json!([{"name": "http", "port": 80}]));
    service["metadata"]["namespace"] = namespace.into();
    service["spec"]["loadBalancerSourceRanges"] = json!([range]);
    service
}

#[tokio::test]
async fn services_of_two_tenants_whose_names_join_to_one_share_no_object_at_the_gateway() {
    let (store, clock) = with_gateway();
    for (namespace, name, domain) in [("ns-p", "q-minio", "one.a.com"), ("ns-p-q", "minio", "two.a.com")] {
        put(&store, guarded(namespace, name, "10.0.0.0/8"));
        put(&store, secret(namespace, "tls", &[domain], 2027));
        let certificate = format!("{namespace}/tls");
        let words = [
            "-n",
            namespace,
            "loadbalancer",
            "migrate",
            name,
            "--domain",
            domain,
            "--certificate",
            &certificate,
        ];
        migrate(&store, &clock, &words).await.end.unwrap();
    }
    // As `lb-SERVICE-NAMESPACE` and as `lb-NAMESPACE-SERVICE` would be one.
    put(&store, guarded("ns-ns-p", "s3", "10.0.0.0/8"));
    put(&store, guarded("ns-p", "s3-ns", "192.0.2.0/24"));
    for (namespace, name, domain) in [("ns-ns-p", "s3", "three.a.com"), ("ns-p", "s3-ns", "four.a.com")] {
        let words = [
            "-n",
            namespace,
            "loadbalancer",
            "migrate",
            name,
            "--domain",
            domain,
        ];
        migrate(&store, &clock, &words).await.end.unwrap();
    }
    let shown = |namespace: &str, gateway: &str| {
        let gateway = store
            .get("gateways.networking.istio.io", namespace, gateway)
            .unwrap();
        let name = gateway["spec"]["servers"][1]["tls"]["credentialName"].clone();
        let copy = store
            .get("secrets", "istio-system", name.as_str().unwrap())
            .unwrap();
        copy["data"].clone()
    };
    for (namespace, gateway) in [("ns-p", "lb-q-minio"), ("ns-p-q", "lb-minio")] {
        let own = store.get("secrets", namespace, "tls").unwrap();
        assert_eq!(shown(namespace, gateway), own["data"], "{gateway}");
    }
    let policies = store.list("authorizationpolicies.security.istio.io");
    assert_eq!(policies.len(), 4, "none replaced another");
    assert!(
        policies
            .iter()
            .all(|policy| policy["metadata"]["name"].as_str().unwrap().len() <= 63)
    );
    let undo = ["-n", "ns-p", "loadbalancer", "undo", "q-minio", "--accept", NAMES];
    migrate(&store, &clock, &undo).await.end.unwrap();
    let left = shown("ns-p-q", "lb-minio");
    assert_eq!(
        left,
        store.get("secrets", "ns-p-q", "tls").unwrap()["data"],
        "the other's stays"
    );
    assert_eq!(store.list("authorizationpolicies.security.istio.io").len(), 3);
}

#[tokio::test]
async fn what_was_made_for_another_service_is_neither_overwritten_nor_deleted() {
    let (store, clock) = with_gateway();
    put(&store, minio());
    run(&store, &clock, &[]).await.end.unwrap();
    let name = get(&store, "gateways", "lb-minio")["spec"]["servers"][1]["tls"]["credentialName"].clone();
    let mut copy = (*store
        .get("secrets", "istio-system", name.as_str().unwrap())
        .unwrap())
    .clone();
    copy["metadata"]["labels"]["rollout.sealos.io/loadbalancer-namespace"] = "ns-bob".into();
    copy["metadata"]["annotations"]["rollout.sealos.io/copy-of"] = "ns-bob/tls".into();
    put(&store, copy);
    let said = run(&store, &clock, &[]).await;
    assert!(
        matches!(&said.end, Err(Trouble::Refused(why)) if why.contains("was made for something else") && why.contains("ns-bob")),
        "{said:?}"
    );
    let undo = ["-n", "ns-ada", "loadbalancer", "undo", "minio", "--accept", NAMES];
    let said = migrate(&store, &clock, &undo).await;
    assert_eq!(said.end.unwrap(), End::Done, "{}", said.err);
    assert!(
        store
            .get("secrets", "istio-system", name.as_str().unwrap())
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn the_path_through_the_gateway_stays_until_the_service_has_an_address_again() {
    let (store, clock) = with_gateway();
    put(&store, minio());
    run(&store, &clock, &[]).await.end.unwrap();
    run(&store, &clock, &RELEASE).await.end.unwrap();
    let mut released = (*service(&store)).clone();
    released["status"] = json!({"loadBalancer": {}});
    store.put(released).unwrap();
    let undo = ["-n", "ns-ada", "loadbalancer", "undo", "minio"];
    let said = migrate(
        &store,
        &clock,
        &[&undo[..], &["--accept", NAMES, "--timeout", "5"]].concat(),
    )
    .await;
    println!("{}{}{:?}", said.out, said.err, said.end);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(said.err.contains("has no address yet"), "{}", said.err);
    assert!(
        said.err.contains("not deleted: Gateway ns-ada/lb-minio"),
        "{}",
        said.err
    );
    assert_eq!(service(&store)["spec"]["type"], "LoadBalancer");
    get(&store, "gateways", "lb-minio");
    let mut addressed = (*service(&store)).clone();
    addressed["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.9"}]}});
    store.put(addressed).unwrap();
    let said = migrate(&store, &clock, &[&undo[..], &["--accept", NAMES]].concat()).await;
    assert_eq!(said.end.unwrap(), End::Done, "{}", said.err);
    assert!(store.list("gateways.networking.istio.io").is_empty());
}

#[tokio::test]
async fn the_path_through_the_gateway_stays_while_names_lead_there_or_nobody_knows() {
    let (store, clock) = with_gateway();
    put(&store, minio());
    // A host that this machine knows, and the gateway where it leads.
    let words = [
        "-n",
        "ns-ada",
        "loadbalancer",
        "migrate",
        "minio",
        "--host",
        "9000=localhost",
        "--host",
        "9001=x.invalid",
    ];
    migrate(&store, &clock, &words).await.end.unwrap();
    let mut edge = (*store.get("services", "istio-system", "edge").unwrap()).clone();
    edge["status"] = json!({"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}, {"ip": "::1"}]}});
    put(&store, edge);
    let undo = ["-n", "ns-ada", "loadbalancer", "undo", "minio"];
    let said = migrate(&store, &clock, &undo).await;
    println!("{:?}", said.end);
    assert!(
        matches!(&said.end, Err(Trouble::Refused(why)) if why.contains("localhost leads to") && why.contains("x.invalid")),
        "{said:?}"
    );
    get(&store, "gateways", "lb-minio");
}
