//! The five traps of the leg between nginx and Istio, each as a refusal.

use super::*;
use crate::routing::Code;

#[test]
fn leg_1_another_host_than_the_clients_needs_a_route_of_its_own() {
    let mut cluster = Cluster::new();
    cluster.annotate("one", "upstream-vhost", "inner.example.com");
    assert_eq!(cluster.blockers(&shop("")), ["UpstreamVhost"]);
    cluster.route("inner.example.com");
    assert!(cluster.blockers(&shop("")).is_empty());
}

#[test]
fn leg_2_a_path_that_nginx_rewrites_is_refused_for_the_whole_host() {
    for (key, value, code) in [
        ("rewrite-target", "/$2", "RewriteTarget"),
        ("use-regex", "true", "UseRegex"),
        ("app-root", "/app", "AppRoot"),
    ] {
        let mut cluster = Cluster::new();
        let mut other = ingress("other", "one.example.com", "/api", "api");
        other["metadata"]["labels"] = json!({});
        cluster.add(other);
        assert!(cluster.blockers(&shop("")).is_empty());
        cluster.annotate("other", key, value);
        assert_eq!(
            cluster.blockers(&shop("")),
            [code],
            "another Ingress of the same host"
        );
        assert!(
            cluster
                .blockers(&shop(&format!("    accept: [{code}]\n")))
                .is_empty()
        );
    }
}

#[test]
fn leg_3_a_redirect_on_the_listener_and_a_public_listener_are_refused() {
    let mut cluster = Cluster::new();
    cluster.first("VirtualService", "one.example.com")["spec"]["http"] =
        json!([{"redirect": {"scheme": "https"}}]);
    assert_eq!(cluster.blockers(&shop("")), ["RedirectLoop"]);
    let mut cluster = Cluster::new();
    cluster.first("Service", "gw")["spec"]["ports"][0]["port"] = 80.into();
    let mut shop = shop("");
    let crate::rollout::router_spec::Router::IngressNginx(spec) = &mut shop.routers[0] else {
        panic!()
    };
    spec.gateway.port = 80;
    assert_eq!(cluster.blockers(&shop), ["PublicListener"]);
}

#[test]
fn leg_4_nginx_speaks_to_the_gateway_as_it_does_to_its_back_ends() {
    let tls = || {
        let mut shop = shop("");
        let crate::rollout::router_spec::Router::IngressNginx(spec) = &mut shop.routers[0] else {
            panic!()
        };
        spec.gateway.tls = Some(true);
        shop
    };
    for (protocol, plain, encrypted) in [
        ("HTTPS", Some("TlsBackend"), None),
        ("GRPCS", Some("TlsBackend"), None),
        ("GRPC", None, Some("PlainBackend")),
        ("WS", None, Some("PlainBackend")),
        ("FCGI", Some("BackendProtocol"), Some("BackendProtocol")),
        ("AUTO_HTTP", Some("BackendProtocol"), Some("BackendProtocol")),
    ] {
        let mut cluster = Cluster::new();
        cluster.annotate("one", "backend-protocol", protocol);
        assert_eq!(cluster.blockers(&shop("")).first().copied(), plain, "{protocol}");
        assert_eq!(
            cluster.blockers(&tls()).first().copied(),
            encrypted,
            "{protocol} to a listener with TLS"
        );
    }
}

#[test]
fn leg_5_what_a_split_never_tests_is_said_every_time() {
    let cluster = Cluster::new();
    let shop = shop("");
    let found = cluster.found(&shop);
    let told = found
        .findings
        .iter()
        .find(|f| f.code == Code::EdgeNotTested)
        .unwrap();
    assert!(
        told.message.contains("terminating TLS") && told.remedy.contains("DNS"),
        "{told}"
    );
    assert!(!told.blocks());
}

#[test]
fn snippets_that_answer_are_refused_and_others_are_told() {
    let mut cluster = Cluster::new();
    cluster.annotate(
        "one",
        "configuration-snippet",
        "more_set_headers \"X: returned\";",
    );
    assert!(cluster.blockers(&shop("")).is_empty());
    cluster.annotate("one", "server-snippet", "if ($x) { return 403; }");
    assert_eq!(cluster.blockers(&shop("")), ["SnippetReturns"]);
}

#[test]
fn a_gateway_that_is_not_there_is_refused() {
    let mut cluster = Cluster::new();
    cluster.first("Service", "gw")["spec"]["ports"][0]["port"] = 15021.into();
    assert_eq!(cluster.blockers(&shop("")), ["GatewayPortMissing"]);
    cluster.objects.retain(|o| o["metadata"]["name"] != "gw");
    assert_eq!(cluster.blockers(&shop("")), ["GatewayMissing"]);
}

#[test]
fn a_selection_that_finds_nothing_is_refused() {
    let mut cluster = Cluster::new();
    cluster.first("Ingress", "one")["metadata"]["labels"] = json!({});
    assert_eq!(cluster.blockers(&shop("")), ["NothingSelected"]);
    let shop = shop("");
    assert!(cluster.found(&shop).targets.is_empty());
}

#[test]
fn another_class_is_another_nginx() {
    let mut cluster = Cluster::new();
    let mut other = ingress("zwei", "two.example.com", "/", "two");
    other["spec"]["ingressClassName"] = "traefik".into();
    cluster.add(other);
    assert_eq!(cluster.blockers(&shop("")), ["ClassDiffers"]);
    cluster.first("Ingress", "zwei")["metadata"]["labels"] = json!({});
    assert!(cluster.blockers(&shop("")).is_empty());
}
