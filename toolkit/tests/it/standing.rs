//! `migrate status` and `migrate validate` in a cluster.

use crate::apply::{ING, VS, tenants};
use crate::objects::{deployment, ingress, service};
use crate::support::{Said, migrate};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gradual_rollout_apiserver::{Action, Failure, Fault, Store};
use gradual_rollout_toolkit::trouble::End;
use serde_json::{Value, json};
use std::time::Duration;

fn show(said: &Said) {
    println!("{}{}{:?}\n", said.err, said.out, said.end);
}

/// A pod of the gateway.
pub(crate) fn gateway_pod(store: &Store) {
    store
        .put(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "gateway-1", "namespace": "istio-system", "labels": {"istio": "ingressgateway"}},
            "spec": {"containers": [{"name": "istio-proxy", "image": "proxy"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}))
        .unwrap();
}

fn edit(store: &Store, resource: &str, namespace: &str, name: &str, change: impl Fn(&mut Value)) {
    let mut object = Value::clone(&store.get(resource, namespace, name).unwrap());
    change(&mut object);
    store.put(object).unwrap();
}

#[tokio::test(start_paused = true)]
async fn every_ingress_stands_somewhere_and_namespaces_that_are_done_are_only_counted() {
    let (store, clock) = tenants(&["ns-a", "ns-b", "ns-c", "ns-d", "ns-e"]);
    gateway_pod(&store);
    for namespace in ["ns-a", "ns-b", "ns-c", "ns-d"] {
        migrate(&store, &clock, &["-n", namespace, "apply"])
            .await
            .end
            .unwrap();
    }
    edit(&store, ING, "ns-b", "shop", |ingress| {
        ingress["spec"]["rules"][0]["host"] = json!("new.ns-b.example.com");
    });
    let route = store.list(VS)[2].clone();
    let name = route["metadata"]["name"].as_str().unwrap();
    assert_eq!(route["metadata"]["namespace"], "ns-c");
    store.delete(VS, "ns-c", name).unwrap();
    store.delete(ING, "ns-d", "shop").unwrap();
    let mut other = ingress("ns-e", "other");
    other["spec"]["ingressClassName"] = json!("haproxy");
    store.put(other).unwrap();
    let said = migrate(&store, &clock, &["status"]).await;
    show(&said);
    let json = migrate(&store, &clock, &["--json", "status"]).await;
    let told: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        told["total"],
        json!({"left": 1, "migrated": 1, "changed": 1, "failed": 1, "cleaned": 0, "orphaned": 1})
    );
    let states: Vec<&str> = told["ingresses"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["migrated", "changed", "failed", "orphaned", "left"]);
    assert!(
        !said.out.contains("ns-a ") && said.out.contains("1 namespaces done"),
        "{}",
        said.out
    );
    assert!(said.out.lines().take(4).all(|line| line.len() <= 80));
    let judged = migrate(&store, &clock, &["validate"]).await;
    show(&judged);
    assert_eq!(judged.end.unwrap(), End::Partly);
    let told = migrate(&store, &clock, &["status"]).await.out;
    let told = told.lines().last().unwrap().split(';').next().unwrap().to_owned();
    assert!(
        told.starts_with("1 Ingresses left, 1 migrated") && judged.out.starts_with(&told),
        "{told}: {}",
        judged.out
    );
    assert!(
        judged.err.contains("STATE-NO-ROUTE")
            && judged.err.contains("STATE-ORPHANED")
            && judged.err.contains("STATE-SOURCE-CHANGED")
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_well_is_said_to_be_and_each_thing_that_is_not_is_named() {
    let (store, clock) = tenants(&["ns-a"]);
    let mut tls = ingress("ns-a", "shop");
    tls["spec"]["tls"] = json!([{"hosts": ["shop.ns-a.example.com"], "secretName": "shop-tls"}]);
    store.put(tls).unwrap();
    let certificate = |text: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
            "metadata": {"name": "shop-tls", "namespace": "ns-a"},
            "stringData": {"tls.crt": text, "tls.key": "key"}})
    };
    store.put(certificate("first")).unwrap();
    migrate(&store, &clock, &["-n", "ns-a", "apply"])
        .await
        .end
        .unwrap();
    store.delete("pods", "istio-system", "gateway-1").unwrap();
    let down = migrate(&store, &clock, &["validate"]).await;
    show(&down);
    assert!(down.err.contains("VALIDATE-GATEWAY-DOWN"));
    gateway_pod(&store);
    let well = migrate(&store, &clock, &["validate"]).await;
    show(&well);
    assert_eq!((well.end.unwrap(), well.err.as_str()), (End::Done, ""));

    let number = store.inject(
        Fault::new(Action::Fail(Failure::new(403, "Forbidden", "pods is forbidden")))
            .verb("list")
            .resource("pods"),
    );
    let blind = migrate(&store, &clock, &["validate"]).await;
    assert_eq!(blind.end.unwrap(), End::Done);
    assert!(blind.err.contains("VALIDATE-UNSEEN"), "{}", blind.err);
    store.faults().lift(number);

    store.put(certificate("second")).unwrap();
    store.delete("services", "ns-a", "shop").unwrap();
    store
        .put(
            json!({"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "mine", "namespace": "ns-a"},
            "spec": {"hosts": ["shop.ns-a.example.com"], "gateways": ["istio-system/sealos-gateway"]}}),
        )
        .unwrap();
    let said = migrate(&store, &clock, &["validate"]).await;
    show(&said);
    for code in [
        "VALIDATE-COPY-STALE",
        "VALIDATE-BACKEND-MISSING",
        "VALIDATE-HOST-TWICE",
    ] {
        assert!(said.err.contains(code), "{code}: {}", said.err);
    }
    store.put(service("ns-a", "shop")).unwrap();
    store.delete(VS, "ns-a", "mine").unwrap();
    store.delete("secrets", "ns-a", "shop-tls").unwrap();
    let said = migrate(&store, &clock, &["validate"]).await;
    assert!(said.err.contains("VALIDATE-COPY-ORPHANED"), "{}", said.err);
    for copy in store.list("secrets") {
        let name = copy["metadata"]["name"].as_str().unwrap();
        store.delete("secrets", "istio-system", name).unwrap();
    }
    let said = migrate(&store, &clock, &["validate"]).await;
    show(&said);
    assert!(said.err.contains("VALIDATE-CERTIFICATE-MISSING"), "{}", said.err);
}

#[tokio::test(start_paused = true)]
async fn a_route_that_was_edited_and_a_host_that_was_closed_are_failures() {
    let (store, clock) = tenants(&["ns-a"]);
    gateway_pod(&store);
    migrate(&store, &clock, &["-n", "ns-a", "apply"])
        .await
        .end
        .unwrap();
    let route = store.list(VS).remove(0);
    edit(
        &store,
        VS,
        "ns-a",
        route["metadata"]["name"].as_str().unwrap(),
        |route| {
            route["spec"]["http"][0]["timeout"] = json!("5s");
        },
    );
    let said = migrate(&store, &clock, &["-n", "ns-a", "status"]).await;
    show(&said);
    assert!(said.out.contains("STATE-EDITED"));
    edit(
        &store,
        crate::apply::GW,
        "istio-system",
        "sealos-gateway",
        |gateway| {
            gateway["spec"]["servers"][0]["hosts"] = json!(["ns-z/other.example.com"]);
        },
    );
    let said = migrate(&store, &clock, &["-n", "ns-a", "validate"]).await;
    show(&said);
    assert!(said.err.contains("STATE-CLOSED"));
}

#[tokio::test(start_paused = true)]
async fn a_tenant_with_a_certificate_is_well_as_its_secret_is_beside_the_gateways_pods() {
    let (store, clock) = tenants(&["ns-a"]);
    gateway_pod(&store);
    let certificate = crate::preflight::healthy::secret("certs", "bob", &["bob.a.com", "*.bob.a.com"], 2027);
    crate::kinds::put(&store, certificate);
    let words = [
        "tenant",
        "create",
        "bob",
        "--domain",
        "a.com",
        "--certificate",
        "certs/bob",
    ];
    migrate(&store, &clock, &words).await.end.unwrap();
    let well = migrate(&store, &clock, &["validate"]).await;
    show(&well);
    assert_eq!((well.end.unwrap(), well.err.as_str()), (End::Done, ""));
    store.delete("secrets", "istio-system", "bob-tls-cert").unwrap();
    let said = migrate(&store, &clock, &["validate"]).await;
    assert!(said.err.contains("VALIDATE-CERTIFICATE-MISSING"), "{}", said.err);
    assert!(said.err.contains("istio-system/bob-tls-cert"), "{}", said.err);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_is_shown_and_ended_or_is_for_others_is_told() {
    let (store, clock) = tenants(&["ns-a"]);
    gateway_pod(&store);
    let secret = |namespace: &str, name: &str, names: &[&str], year: i32| {
        crate::kinds::put(
            &store,
            crate::preflight::healthy::secret(namespace, name, names, year),
        );
    };
    let names = ["bob.a.com", "*.bob.a.com"];
    secret("istio-system", "bob", &names, 2027);
    let words = [
        "tenant",
        "create",
        "bob",
        "--domain",
        "a.com",
        "--certificate",
        "istio-system/bob",
    ];
    migrate(&store, &clock, &words).await.end.unwrap();
    secret("istio-system", "bob", &names, 2025);
    let said = migrate(&store, &clock, &["validate"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err.contains("VALIDATE-CERTIFICATE-ENDED  Gateway ns-bob/bob-gateway: it shows the certificate istio-system/bob, which ended 2025-03-01"),
        "{}",
        said.err
    );
    secret("istio-system", "bob", &["bob.a.com"], 2027);
    let said = migrate(&store, &clock, &["validate"]).await;
    assert_eq!(said.end.unwrap(), End::Done);
    assert!(
        said.err.contains("VALIDATE-CERTIFICATE-NAMES") && said.err.contains("has not the names *.bob.a.com"),
        "{}",
        said.err
    );
    let mut ending = rcgen::CertificateParams::new(names.map(str::to_owned).to_vec()).unwrap();
    let end = (clock.now() + Duration::from_secs(7 * 86_400))
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    ending.not_after = rcgen::date_time_ymd(
        end.year().into(),
        end.month().unsigned_abs(),
        end.day().unsigned_abs(),
    );
    let key = rcgen::KeyPair::generate().unwrap();
    let text = ending.self_signed(&key).unwrap().pem();
    let mut shown = (*store.get("secrets", "istio-system", "bob").unwrap()).clone();
    shown["data"]["tls.crt"] = STANDARD.encode(text).into();
    crate::kinds::put(&store, shown);
    let said = migrate(&store, &clock, &["validate"]).await;
    assert!(
        said.err
            .contains("VALIDATE-CERTIFICATE-ENDS  Gateway ns-bob/bob-gateway"),
        "{}",
        said.err
    );
}

#[tokio::test(start_paused = true)]
async fn a_tls_host_at_two_gateways_of_the_same_pods_is_a_blocker() {
    let (store, clock) = tenants(&["ns-bob"]);
    gateway_pod(&store);
    let names = ["bob.a.com", "*.bob.a.com"];
    for (namespace, name) in [("certs", "bob"), ("ns-bob", "own")] {
        crate::kinds::put(
            &store,
            crate::preflight::healthy::secret(namespace, name, &names, 2027),
        );
    }
    let words = [
        "tenant",
        "create",
        "bob",
        "--domain",
        "a.com",
        "--certificate",
        "certs/bob",
    ];
    migrate(&store, &clock, &words).await.end.unwrap();
    let mut tls = ingress("ns-bob", "shop");
    tls["spec"]["rules"][0]["host"] = json!("bob.a.com");
    tls["spec"]["tls"] = json!([{"hosts": ["bob.a.com"], "secretName": "own"}]);
    store.put(tls).unwrap();
    let before = migrate(&store, &clock, &["preflight"]).await;
    assert!(
        before.out.contains("GATEWAY-HOST-TAKEN") && before.out.contains("Gateway ns-bob/bob-gateway"),
        "{}",
        before.out
    );
    migrate(&store, &clock, &["-n", "ns-bob", "apply"])
        .await
        .end
        .unwrap();
    let said = migrate(&store, &clock, &["validate"]).await;
    show(&said);
    assert_eq!(said.end.unwrap(), End::Partly);
    assert!(
        said.err.contains("VALIDATE-TLS-HOST-TWICE") && said.err.contains("bob.a.com"),
        "{}",
        said.err
    );
}

#[tokio::test(start_paused = true)]
async fn every_class_of_the_controller_counts_and_one_that_is_named_narrows() {
    let (store, clock) = tenants(&["ns-a"]);
    gateway_pod(&store);
    store.namespace("ingress-nginx");
    let mut controller = deployment("ingress-nginx", "nginx");
    controller["spec"]["template"]["spec"]["containers"][0]["args"] = json!(["/nginx-ingress-controller"]);
    store.put(controller).unwrap();
    for (name, controller) in [
        ("nginx", "k8s.io/ingress-nginx"),
        ("public", "k8s.io/ingress-nginx"),
        ("haproxy", "haproxy.org/ingress"),
    ] {
        store
            .put(
                json!({"apiVersion": "networking.k8s.io/v1", "kind": "IngressClass",
                "metadata": {"name": name}, "spec": {"controller": controller}}),
            )
            .unwrap();
    }
    let of = |name: &str, class: Option<&str>, legacy: Option<&str>| {
        let mut one = ingress("ns-a", name);
        one["spec"]["ingressClassName"] = json!(class);
        if let Some(legacy) = legacy {
            one["metadata"]["annotations"]["kubernetes.io/ingress.class"] = json!(legacy);
        }
        store.put(one).unwrap();
        store.put(service("ns-a", name)).unwrap();
    };
    of("pub", Some("public"), None);
    of("old", None, Some("nginx"));
    of("both", Some("haproxy"), Some("nginx"));
    of("none", None, None);
    let states = async |words: &[&str]| -> Vec<(String, String)> {
        let said = migrate(&store, &clock, &[&["--json"], words].concat()).await;
        let told: Value = serde_json::from_str(&said.out).unwrap();
        let all = told["ingresses"].as_array().unwrap().iter();
        all.map(|one| {
            let text = |field: &str| one[field].as_str().unwrap().to_owned();
            (text("name"), text("state"))
        })
        .collect()
    };
    let pairs = |all: &[(&str, &str)]| -> Vec<(String, String)> {
        all.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
    };
    assert_eq!(
        states(&["status"]).await,
        pairs(&[("old", "left"), ("pub", "left"), ("shop", "left")])
    );
    let applied = migrate(&store, &clock, &["-n", "ns-a", "apply"]).await;
    show(&applied);
    assert_eq!(
        states(&["status"]).await,
        pairs(&[("old", "migrated"), ("pub", "migrated"), ("shop", "migrated")]),
        "apply and status know the same Ingresses"
    );
    assert_eq!(
        states(&["status", "--ingress-class", "public"]).await,
        pairs(&[("pub", "migrated")])
    );
    // What is migrated stays in sight when another controller takes it.
    edit(&store, ING, "ns-a", "pub", |one| {
        one["spec"]["ingressClassName"] = json!("haproxy");
    });
    assert!(
        states(&["status"])
            .await
            .contains(&("pub".to_owned(), "changed".to_owned()))
    );
}

#[tokio::test(start_paused = true)]
async fn the_label_of_a_solver_hides_no_application() {
    let (store, clock) = tenants(&["ns-a"]);
    let solver = |name: &str, path: &str| {
        let mut one = ingress("ns-a", name);
        one["metadata"]["labels"] = json!({"acme.cert-manager.io/http01-solver": "true"});
        one["metadata"]["annotations"] = json!({});
        one["spec"]["rules"][0]["http"]["paths"][0]["path"] = json!(path);
        store.put(one).unwrap();
        store.put(service("ns-a", name)).unwrap();
    };
    solver("forged", "/");
    solver("real", "/.well-known/acme-challenge/abc-1");
    let said = migrate(&store, &clock, &["status"]).await;
    assert!(said.out.contains("2 Ingresses left"), "{}", said.out);
    let applied = migrate(&store, &clock, &["apply", "--ingress", "ns-a/forged"]).await;
    show(&applied);
    assert_eq!(applied.end.unwrap(), End::Done);
    let real = migrate(&store, &clock, &["apply", "--ingress", "ns-a/real"]).await;
    let said = real.end.unwrap_err().to_string();
    assert!(said.contains("solves an ACME challenge"), "{said}");
}
