//! What is spoken to back ends by the name of their port.

use crate::given::{Ingress, convert_objects, service};
use gradual_rollout_migration::convert::{GatewayApi, Options, Target};
use serde_json::{Value, json};

fn port(key: &str, name: Option<&str>, protocol: Option<&str>) -> Value {
    let mut service = service(key);
    service["spec"]["ports"] = json!([{"port": 80, "name": name, "appProtocol": protocol}]);
    service
}

#[test]
fn a_port_that_istio_takes_for_http2_and_nginx_does_not_is_told() {
    let path = |protocol: Option<&str>| {
        let ingress = Ingress::new("a/x").path("a.com", "Prefix", "/", "s");
        match protocol {
            Some(protocol) => ingress.note("backend-protocol", protocol).0,
            None => ingress.0,
        }
    };
    let http_routes = Target::GatewayApi(GatewayApi::default());
    for target in [Target::Istio, http_routes] {
        let options = Options {
            target,
            ..Options::default()
        };
        for (name, app, protocol, told) in [
            (Some("http2"), None, None, true),
            (Some("grpc-web-api"), None, Some("HTTP"), true),
            (Some("http2"), None, Some("HTTPS"), true),
            (Some("http"), Some("kubernetes.io/h2c"), None, true),
            (Some("grpc"), Some("http"), None, false),
            (Some("http"), None, None, false),
            (None, None, None, false),
            (Some("grpc"), None, Some("GRPC"), false),
        ] {
            let done = convert_objects(&[path(protocol), port("a/s", name, app)], &options);
            let case = format!("{name:?} {app:?} {protocol:?}");
            assert_eq!(done.told("x", "BACKEND-HTTP2"), told, "{case}");
        }
    }
}

#[test]
fn a_canary_whose_port_says_http2_is_told_too() {
    let primary = Ingress::new("a/x").path("a.com", "Prefix", "/", "s");
    let canary = Ingress::new("a/c")
        .note("canary", "true")
        .note("canary-weight", "10")
        .path("a.com", "Prefix", "/", "t");
    let objects = [
        primary.0,
        canary.0,
        service("a/s"),
        port("a/t", Some("http2"), None),
    ];
    let done = convert_objects(&objects, &Options::default());
    assert!(done.told("c", "BACKEND-HTTP2") && !done.told("x", "BACKEND-HTTP2"));
}
