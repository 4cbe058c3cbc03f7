//! What Istio's Gateway itself does on the split listener, before any route.

use super::*;
use crate::rollout::router_spec::{Router, SplitGateway};
use crate::routing::{Code, Finding};

/// The usual component with another gateway.
fn with(change: impl FnOnce(&mut SplitGateway)) -> Component {
    let mut shop = shop("");
    let Router::IngressNginx(spec) = &mut shop.routers[0] else {
        panic!()
    };
    change(&mut spec.gateway);
    shop
}

fn servers(cluster: &mut Cluster) -> &mut Value {
    &mut cluster.first("Gateway", "split")["spec"]["servers"]
}

fn told(cluster: &Cluster, shop: &Component, code: Code) -> Option<Finding> {
    cluster.found(shop).findings.into_iter().find(|f| f.code == code)
}

/// A Gateway beside the one that is named.
fn beside(namespace: &str, selector: &Value, server: &Value) -> Value {
    json!({
        "kind": "Gateway", "metadata": {"name": "public", "namespace": namespace},
        "spec": {"selector": selector, "servers": [server]},
    })
}

fn redirecting(port: u16, host: &str) -> Value {
    json!({"port": {"number": port, "name": "http", "protocol": "HTTP"}, "hosts": [host], "tls": {"httpsRedirect": true}})
}

#[test]
fn a_server_of_the_listener_that_redirects_to_https_is_refused() {
    let mut cluster = Cluster::new();
    assert!(cluster.blockers(&shop("")).is_empty());
    servers(&mut cluster)[0]["tls"] = json!({"httpsRedirect": true});
    assert_eq!(cluster.blockers(&shop("")), ["RedirectLoop"]);
    let finding = told(&cluster, &shop(""), Code::RedirectLoop).unwrap();
    assert_eq!(finding.object, "gateway istio-system/split");
    assert_eq!(
        finding.field.as_deref(),
        Some("spec.servers[0].tls.httpsRedirect")
    );
    assert!(cluster.blockers(&shop("    accept: [RedirectLoop]\n")).is_empty());
    // On the public port it is as it should be.
    *servers(&mut cluster) = json!([redirecting(80, "*"),
        {"port": {"number": 8081, "name": "split", "protocol": "HTTP"}, "hosts": ["*"]}]);
    assert!(cluster.blockers(&shop("")).is_empty());
    // Unless both ports lead to one of the pods'.
    cluster.first("Service", "gw")["spec"]["ports"] =
        json!([{"port": 80, "targetPort": 8080}, {"port": 8081, "targetPort": 8080}]);
    assert_eq!(cluster.blockers(&shop("")), ["RedirectLoop"]);
    // Hosts that are no location's may be redirected.
    servers(&mut cluster)[0]["hosts"] = json!(["*.elsewhere.org"]);
    assert!(cluster.blockers(&shop("")).is_empty());
}

#[test]
fn a_redirect_of_another_gateway_counts_where_it_is_surely_of_the_same_listener() {
    let own = json!({"istio": "ingressgateway"});
    let on = redirecting(8081, "*.example.com");
    for (gateway, expected) in [
        (beside("istio-system", &own, &on), true),
        (beside("istio-system", &Value::Null, &on), true),
        (
            beside("istio-system", &json!({"istio": "egressgateway"}), &on),
            false,
        ),
        (
            beside(
                "istio-system",
                &json!({"istio": "ingressgateway", "more": "x"}),
                &on,
            ),
            false,
        ),
        (beside("istio-system", &own, &redirecting(80, "*")), false),
        // Nobody looks there.
        (beside("elsewhere", &own, &on), false),
    ] {
        let mut cluster = Cluster::new();
        cluster.add(gateway.clone());
        for shop in [shop(""), with(|gateway| gateway.name = None)] {
            let found = told(&cluster, &shop, Code::RedirectLoop);
            assert_eq!(found.is_some(), expected, "{gateway}");
        }
    }
}

#[test]
fn a_host_that_no_server_of_the_gateway_has_is_no_route() {
    for (hosts, expected) in [
        (json!(["one.example.com"]), true),
        (json!(["*.example.com"]), true),
        (json!(["two.example.com"]), false),
        (json!(["*.org", "*/one.example.com"]), true),
        (json!(["apps/*"]), true),
        // Only VirtualServices of that namespace, and the route is in apps.
        (json!(["others/*"]), false),
        (json!(["./*"]), false),
    ] {
        let mut cluster = Cluster::new();
        servers(&mut cluster)[0]["hosts"] = hosts.clone();
        let found = told(&cluster, &shop(""), Code::RouteMissing);
        assert_eq!(found.is_none(), expected, "{hosts}: {found:?}");
        if let Some(finding) = found {
            assert!(
                finding
                    .message
                    .contains("gateway istio-system/split on port 8081"),
                "{finding}"
            );
        }
    }
    // A VirtualService for everything serves the server's hosts alone.
    let mut cluster = Cluster::new();
    cluster.objects.retain(|o| o["kind"] != "VirtualService");
    cluster.route("*");
    assert!(cluster.blockers(&shop("")).is_empty());
    servers(&mut cluster)[0]["hosts"] = json!(["*.example.com"]);
    assert!(cluster.blockers(&shop("")).is_empty());
    servers(&mut cluster)[0]["hosts"] = json!(["*.example.org"]);
    assert_eq!(cluster.blockers(&shop("")), ["RouteMissing"]);
    // Hosts of a server that listens elsewhere help nobody.
    let mut cluster = Cluster::new();
    *servers(&mut cluster) = json!([
        {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]},
        {"port": {"number": 8081, "name": "split", "protocol": "HTTP"}, "hosts": ["two.example.com"]}]);
    assert_eq!(cluster.blockers(&shop("")), ["RouteMissing"]);
}

#[test]
fn a_gateway_that_does_not_listen_there_is_refused() {
    let mut cluster = Cluster::new();
    servers(&mut cluster)[0]["port"]["number"] = 80.into();
    assert_eq!(cluster.blockers(&shop("")), ["ListenerMissing"]);
    let finding = told(&cluster, &shop(""), Code::ListenerMissing).unwrap();
    assert_eq!(finding.object, "gateway istio-system/split");
    assert!(
        finding.message.contains("port 8081 of service istio-system/gw"),
        "{finding}"
    );
    // The pods' own number is the Service's, where that one has no such port.
    cluster.first("Service", "gw")["spec"]["ports"][0]["targetPort"] = 80.into();
    assert!(cluster.blockers(&shop("")).is_empty());
    let mut cluster = Cluster::new();
    cluster.first("Gateway", "split")["spec"]["selector"] = json!({"istio": "egressgateway"});
    assert_eq!(
        cluster.blockers(&shop("")),
        ["ListenerMissing"],
        "it is for other pods"
    );
    let mut cluster = Cluster::new();
    cluster.objects.retain(|o| o["kind"] != "Gateway");
    assert_eq!(cluster.blockers(&shop("")), ["ListenerMissing"]);
    assert!(
        cluster
            .blockers(&shop("    accept: [ListenerMissing]\n"))
            .is_empty()
    );
}

#[test]
fn a_gateway_that_nobody_could_look_at_is_told_and_holds_nothing_up() {
    let cluster = Cluster::new();
    let shop = shop("");
    let mut stock = Stock::default();
    for (kind, namespace) in needs(&shop, "apps") {
        if kind.may_be_unseen() {
            continue;
        }
        let here = |o: &&Value| o["kind"] == kind.kind() && o["metadata"]["namespace"] == *namespace;
        let all = cluster
            .objects
            .iter()
            .filter(here)
            .cloned()
            .map(Arc::new)
            .collect();
        stock.put(kind, &namespace, all);
    }
    let found = found(&shop, &Home::new("apps", "demo"), &stock);
    assert_eq!(found.obstacle(), None);
    let told = found
        .findings
        .iter()
        .find(|f| f.code == Code::ListenerUnread)
        .unwrap();
    assert!(
        told.object == "gateway istio-system/split" && told.message.contains("not checked"),
        "{told}"
    );
    // A port that only the pods know the number of.
    let mut cluster = Cluster::new();
    cluster.first("Service", "gw")["spec"]["ports"][0]["targetPort"] = "split".into();
    servers(&mut cluster)[0]["port"]["number"] = 9081.into();
    let codes: Vec<Code> = cluster.found(&shop).findings.iter().map(|f| f.code).collect();
    assert!(codes.contains(&Code::ListenerUnread), "{codes:?}");
    assert!(cluster.blockers(&shop).is_empty());
}

#[test]
fn a_listener_speaks_as_the_router_says_and_with_tls_it_chooses_by_no_name() {
    let tls = with(|gateway| gateway.tls = Some(true));
    for (protocol, mode, hosts, plain, encrypted) in [
        ("HTTP", Value::Null, "*", true, false),
        ("HTTP2", Value::Null, "*", true, false),
        ("GRPC", Value::Null, "*", true, false),
        ("HTTPS", json!("SIMPLE"), "*", false, true),
        ("HTTPS", json!("SIMPLE"), "*/*", false, true),
        ("HTTPS", json!("MUTUAL"), "*", false, false),
        ("HTTPS", json!("PASSTHROUGH"), "*", false, false),
        // nginx sends no name, so this server is never chosen.
        ("HTTPS", json!("SIMPLE"), "one.example.com", false, false),
        ("TCP", Value::Null, "*", false, false),
    ] {
        let mut cluster = Cluster::new();
        cluster.annotate("one", "backend-protocol", "HTTPS");
        let case = format!("{protocol} {mode} {hosts}");
        let server = json!({"port": {"number": 8081, "name": "split", "protocol": protocol},
            "tls": {"mode": mode}, "hosts": [hosts]});
        *servers(&mut cluster) = json!([server]);
        let expected: &[&str] = if encrypted { &[] } else { &["ListenerProtocol"] };
        assert_eq!(cluster.blockers(&tls), expected, "{case}");
        cluster.annotate("one", "backend-protocol", "HTTP");
        let expected: &[&str] = if plain { &[] } else { &["ListenerProtocol"] };
        assert_eq!(cluster.blockers(&shop("")), expected, "{case}");
    }
}
