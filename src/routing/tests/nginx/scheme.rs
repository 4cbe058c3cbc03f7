//! Behind the split listener Istio says `http` to back ends, unless the route says otherwise.

use super::*;

const CODE: &str = "ForwardedProto";

/// What is told of routes that leave the scheme to the gateway: object, field and the whole sentence.
fn told(cluster: &Cluster, component: &Component) -> Vec<(String, String, String)> {
    let findings = cluster.found(component).findings;
    let ours = findings.iter().filter(|f| f.code.text() == CODE);
    ours.map(|f| {
        assert!(!f.blocks(), "{f}");
        (
            f.object.clone(),
            f.field.clone().unwrap_or_default(),
            f.to_string(),
        )
    })
    .collect()
}

fn with_tls(hosts: &Value) -> Cluster {
    let mut cluster = Cluster::new();
    cluster.first("Ingress", "one")["spec"]["tls"] = json!([{"hosts": hosts, "secretName": "cert"}]);
    cluster
}

fn routes(cluster: &mut Cluster, http: Value) {
    cluster.first("VirtualService", "one.example.com")["spec"]["http"] = http;
}

#[test]
fn a_route_that_leaves_the_scheme_to_the_gateway_is_told_where_the_ingress_serves_tls() {
    let shop = shop("");
    let cluster = with_tls(&json!(["one.example.com"]));
    let found = told(&cluster, &shop);
    let [(object, field, sentence)] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(object, "virtualservice apps/one.example.com");
    assert_eq!(field, "spec.http[0].headers.request.set");
    for part in [
        "one.example.com/ (Prefix) of apps-one-80",
        "x-forwarded-proto: https",
        "redirect",
    ] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    assert!(
        cluster.blockers(&shop).is_empty(),
        "it is told, and holds nothing up"
    );
    assert!(
        told(&Cluster::new(), &shop).is_empty(),
        "nginx serves no TLS there"
    );
}

#[test]
fn the_header_counts_however_it_is_spelled_and_only_as_https() {
    let shop = shop("");
    let to = json!([{"destination": {"host": "x"}}]);
    for (headers, fine) in [
        (json!({"request": {"set": {"x-forwarded-proto": "https"}}}), true),
        (json!({"request": {"set": {"X-Forwarded-Proto": "https"}}}), true),
        (json!({"request": {"set": {"X-FORWARDED-PROTO": "HTTPS"}}}), true),
        (json!({"request": {"set": {"x-forwarded-proto": "http"}}}), false),
        (json!({"request": {"set": {"x-forwarded-host": "https"}}}), false),
        // It would be a second value beside the gateway's own.
        (json!({"request": {"add": {"x-forwarded-proto": "https"}}}), false),
        (
            json!({"response": {"set": {"x-forwarded-proto": "https"}}}),
            false,
        ),
    ] {
        let mut cluster = with_tls(&json!(["one.example.com"]));
        routes(&mut cluster, json!([{"route": to, "headers": headers}]));
        assert_eq!(told(&cluster, &shop).is_empty(), fine, "{headers}");
    }
    let set = json!({"request": {"set": {"x-forwarded-proto": "https"}}});
    for (second, fine) in [
        (json!({"headers": set, "destination": {"host": "y"}}), true),
        (json!({"destination": {"host": "y"}}), false),
    ] {
        let mut cluster = with_tls(&json!(["one.example.com"]));
        routes(
            &mut cluster,
            json!([{"route": [{"headers": set, "destination": {"host": "x"}}, second]}]),
        );
        assert_eq!(
            told(&cluster, &shop).is_empty(),
            fine,
            "of each destination: {second}"
        );
    }
}

#[test]
fn each_route_that_may_get_the_requests_is_named_once_and_others_are_not() {
    let shop = shop("");
    let mut cluster = with_tls(&json!(["one.example.com"]));
    let to = json!([{"destination": {"host": "x"}}]);
    let set = json!({"request": {"set": {"x-forwarded-proto": "https"}}});
    routes(
        &mut cluster,
        json!([
            {"name": "beta", "match": [{"headers": {"beta": {"exact": "1"}}}], "route": to},
            {"name": "public", "match": [{"port": 443}], "route": to},
            {"name": "main", "route": to, "headers": set},
            {"name": "never", "route": to},
        ]),
    );
    let found = told(&cluster, &shop);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].2.contains("route beta"), "{found:?}");
    // One route for many tenants is one thing to mend.
    let mut cluster = with_tls(&json!(["one.example.com"]));
    for name in ["two", "three"] {
        let host = format!("{name}.example.com");
        let mut tenant = ingress(name, &host, "/", name);
        tenant["spec"]["tls"] = json!([{"hosts": [host]}]);
        cluster.add(tenant);
    }
    cluster.first("VirtualService", "one.example.com")["spec"]["hosts"] = json!(["*.example.com"]);
    let found = told(&cluster, &shop);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].2.contains("and 2 more"), "{found:?}");
}

#[test]
fn a_delegate_has_the_roots_headers_unless_it_has_its_own() {
    let shop = shop("");
    let set = json!({"request": {"set": {"x-forwarded-proto": "https"}}});
    let own = json!({"request": {"set": {"x-team": "a"}}});
    for (root, delegate, fine) in [
        (&set, &Value::Null, true),
        (&Value::Null, &set, true),
        (&set, &own, false),
        (&Value::Null, &Value::Null, false),
    ] {
        let mut cluster = with_tls(&json!(["one.example.com"]));
        routes(
            &mut cluster,
            json!([{"delegate": {"name": "behind", "namespace": "apps"}, "headers": root}]),
        );
        cluster.add(json!({
            "kind": "VirtualService", "metadata": {"name": "behind", "namespace": "apps"},
            "spec": {"http": [{"route": [{"destination": {"host": "x"}}], "headers": delegate}]},
        }));
        let found = told(&cluster, &shop);
        assert_eq!(found.is_empty(), fine, "{root} {delegate}: {found:?}");
        if let [(object, ..)] = found.as_slice() {
            assert_eq!(object, "virtualservice apps/behind");
        }
    }
}

#[test]
fn tls_of_a_host_may_be_said_by_any_ingress_of_it_and_by_a_pattern() {
    let shop = shop("");
    for (hosts, served) in [
        (json!(["one.example.com"]), true),
        (json!(["ONE.example.com"]), true),
        (json!(["*.example.com"]), true),
        (json!(["*.com"]), false),
        (json!(["two.example.com"]), false),
        // Without hosts it is for those of the Ingress.
        (Value::Null, true),
    ] {
        assert_eq!(!told(&with_tls(&hosts), &shop).is_empty(), served, "{hosts}");
    }
    // The server is the host's, whichever Ingress says so.
    let mut cluster = Cluster::new();
    let mut other = ingress("other", "one.example.com", "/api", "api");
    other["metadata"]["labels"] = json!({});
    other["spec"]["tls"] = json!([{"hosts": ["one.example.com"]}]);
    cluster.add(other);
    assert_eq!(told(&cluster, &shop).len(), 1);
    // A listener with TLS says https by itself.
    let mut cluster = with_tls(&json!(["one.example.com"]));
    cluster.annotate("one", "backend-protocol", "HTTPS");
    let mut encrypted = super::shop("");
    let crate::rollout::router_spec::Router::IngressNginx(spec) = &mut encrypted.routers[0] else {
        panic!()
    };
    spec.gateway.tls = Some(true);
    assert!(told(&cluster, &encrypted).is_empty());
}
