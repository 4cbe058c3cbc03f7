//! What earlier converters got wrong.

use crate::envoy::get;
use crate::given::{Ingress, convert_all, convert_objects};
use gradual_rollout_migration::convert::Options;
use serde_json::{Value, json};

#[test]
fn every_rule_and_path_has_its_own_back_end() {
    let ingress = Ingress::new("a/x")
        .path("a.com", "Prefix", "/", "one")
        .path("a.com", "Prefix", "/two", "two")
        .path("b.com", "Prefix", "/", "three")
        .path("b.com", "Exact", "/four", "four");
    let done = convert_all(&[ingress]);
    for (host, path, service) in [
        ("a.com", "/x", "one"),
        ("a.com", "/two", "two"),
        ("b.com", "/", "three"),
        ("b.com", "/four", "four"),
    ] {
        assert_eq!(done.answer(&get(host, path)), format!("{service} {path}"));
    }
}

#[test]
fn all_ports_of_a_service_are_kept_and_names_become_numbers() {
    let minio = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "a", "name": "minio"},
        "spec": {"type": "LoadBalancer", "ports": [{"name": "api", "port": 9000}, {"name": "console", "port": 9001}]}});
    let to = |port: Value| json!({"service": {"name": "minio", "port": port}});
    let ingress = Ingress::new("a/x")
        .note("proxy-body-size", "0")
        .path_to("s3.a.com", "Prefix", "/", to(json!({"name": "api"})))
        .path_to("console.a.com", "Prefix", "/", to(json!({"name": "console"})));
    let done = convert_objects(&[minio, ingress.0], &Options::default());
    for (host, port) in [("s3.a.com", 9000), ("console.a.com", 9001)] {
        let route = done.route(&get(host, "/")).unwrap();
        assert_eq!(
            route.pointer("/route/0/destination/port/number"),
            Some(&json!(port))
        );
        // Signatures cover host and path, uploads take long.
        for absent in ["rewrite", "timeout", "corsPolicy", "headers"] {
            assert!(route.get(absent).is_none(), "{absent}");
        }
    }
    assert!(!done.conversion.report.refused());
}

#[test]
fn no_total_time_no_redirect_of_the_whole_gateway_and_no_protocol_that_istio_refuses() {
    let ingress = Ingress::new("a/x")
        .note("proxy-read-timeout", "300")
        .tls(&["*.a.com"], "t")
        .path("*.a.com", "Prefix", "/", "s");
    let done = convert_all(&[ingress]);
    for wrong in ["timeout", "\"0s\"", "httpsRedirect", "HTTP2"] {
        assert!(!done.says(wrong), "{wrong}");
    }
    assert_eq!(
        done.answer(&get("x.a.com", "/").https()),
        "s /",
        "the wildcard is in Gateway and VirtualService"
    );
}

#[test]
fn captures_are_captures_and_not_text() {
    let done = convert_all(&[Ingress::new("a/x")
        .note("rewrite-target", "/$1")
        .path("a.com", "Prefix", "/p/(.*)", "s")]);
    assert!(!done.says("$1"));
    assert_eq!(done.answer(&get("a.com", "/p/q")), "s /q");
}
