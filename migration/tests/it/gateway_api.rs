//! Conversions to the Gateway API: what is said, and what is refused because it cannot be.

use crate::gateway_reader::answer;
use crate::given::{Done, Ingress, convert_all, convert_with, service};
use gradual_rollout_migration::convert::{GatewayApi, Options, Target};
use gradual_rollout_migration::model::{Request, Scheme};
use serde_json::{Value, json};

fn options() -> Options {
    Options {
        target: Target::GatewayApi(GatewayApi::default()),
        ..Options::default()
    }
}

fn with_expressions() -> Options {
    Options {
        target: Target::GatewayApi(GatewayApi {
            regular_expressions: true,
            ..GatewayApi::default()
        }),
        ..Options::default()
    }
}

fn convert(ingresses: &[Ingress]) -> Done {
    convert_with(ingresses, &[], &options())
}

fn simple(name: &str, value: &str) -> Ingress {
    Ingress::new("a/x")
        .note(name, value)
        .path("a.com", "Prefix", "/", "s")
}

fn get(host: &str, target: &str) -> Request {
    Request::get(Scheme::Http, host, target)
}

fn secure(host: &str, target: &str) -> Request {
    Request::get(Scheme::Https, host, target)
}

impl Done {
    fn meets(&self, cases: &[(&str, &str)]) {
        for (target, expected) in cases {
            let told = answer(&self.conversion.objects, &get("a.com", target));
            assert_eq!(told, *expected, "{target}");
        }
    }

    /// The first filter of a kind on the first rule of the only route.
    fn filter(&self, kind: &str) -> Option<Value> {
        let routes = self.objects("HTTPRoute");
        let filters = routes[0]["spec"]["rules"][0]["filters"].as_array()?;
        filters.iter().find(|filter| filter["type"] == kind).cloned()
    }

    fn nothing_is_served(&self) {
        for path in ["/", "/x", "//x", "/%78"] {
            assert_eq!(
                answer(&self.conversion.objects, &get("a.com", path)),
                "none",
                "{path}"
            );
        }
    }
}

#[test]
fn only_kinds_of_the_gateway_api_are_written() {
    let done = convert(&[Ingress::new("a/x")
        .tls(&["a.com"], "t")
        .path("a.com", "Prefix", "/", "s")]);
    for object in &done.conversion.objects {
        let version = object["apiVersion"].as_str().unwrap();
        assert!(version.starts_with("gateway.networking.k8s.io/"), "{version}");
    }
    assert_eq!(done.objects("Gateway")[0]["spec"]["gatewayClassName"], "istio");
}

#[test]
fn prefixes_exact_paths_and_their_redirects_are_nginxs() {
    let done = convert(&[Ingress::new("a/x")
        .path("a.com", "Prefix", "/foo", "p")
        .path("a.com", "Exact", "/foo", "e")
        .path("a.com", "Prefix", "/foo/bar", "b")
        .path("a.com", "Prefix", "/sl/", "slash")]);
    done.meets(&[
        ("/foo", "e /foo"),
        ("/foo/", "p /foo/"),
        ("/foo/x", "p /foo/x"),
        ("/foobar", "none"),
        ("/foo/bar/x?y=1", "b /foo/bar/x?y=1"),
        ("/foo/barx", "p /foo/barx"),
        ("/sl?x=1", "301 http://a.com/sl/?x=1"),
        ("/sl/x", "slash /sl/x"),
    ]);
}

#[test]
fn http_is_redirected_by_the_listener_for_http_alone() {
    let one = Ingress::new("a/x")
        .tls(&["a.com"], "t")
        .path("a.com", "Prefix", "/", "s");
    let two = Ingress::new("a/y")
        .note("ssl-redirect", "false")
        .path("a.com", "Prefix", "/clear", "c");
    let done = convert(&[one, two]);
    done.meets(&[("/p?q", "308 https://a.com/p?q"), ("/clear/x", "c /clear/x")]);
    let objects = &done.conversion.objects;
    assert_eq!(answer(objects, &secure("a.com", "/p")), "s /p");
    assert_eq!(answer(objects, &secure("a.com", "/clear")), "c /clear");
    let hsts = |route: &&Value| route.to_string().contains("strict-transport-security");
    let routes = done.objects("HTTPRoute");
    assert_eq!(
        routes.iter().filter(|route| hsts(route)).count(),
        1,
        "over TLS alone"
    );
    let copy = &done.conversion.report.secrets[0];
    let reference = &done.objects("Gateway")[0]["spec"]["listeners"][1]["tls"]["certificateRefs"][0];
    assert_eq!(reference["name"], copy.to_name.as_str());
    assert_eq!(
        reference.get("namespace"),
        None,
        "the copy is where the Gateway is"
    );
}

#[test]
fn redirects_say_code_host_port_and_path() {
    let done = convert(&[simple("permanent-redirect", "https://h.org")]);
    done.meets(&[("/a/b", "301 https://h.org/")]);
    let done = convert(&[simple("temporal-redirect", "http://t.org:81/p")]);
    done.meets(&[("/a/b", "302 http://t.org:81/p")]);
    let done = convert(&[simple("permanent-redirect", "https://h.org/x?y=1")]);
    assert!(done.told("x", "GATEWAY-REWRITE"));
    done.nothing_is_served();
    let done = convert(&[simple("app-root", "/app")]);
    done.meets(&[("/", "302 http://a.com/app"), ("/app", "s /app")]);
    let done = convert(&[simple("from-to-www-redirect", "true")]);
    assert_eq!(
        answer(&done.conversion.objects, &get("www.a.com", "/p")),
        "308 http://a.com/p"
    );
}

#[test]
fn expressions_are_refused_unless_they_are_allowed() {
    let ingress = Ingress::new("a/x")
        .note("rewrite-target", "/")
        .path("a.com", "Prefix", "/foo", "s");
    let done = convert(std::slice::from_ref(&ingress));
    assert!(done.told("x", "GATEWAY-REGEX") && done.conversion.report.refused());
    done.nothing_is_served();
    let done = convert_with(&[ingress], &[], &with_expressions());
    assert!(done.told("x", "GATEWAY-REGEX-ORDER"));
    done.meets(&[("/foo/bar?x=1", "s /?x=1"), ("/FOObar", "s /"), ("/fo", "none")]);
    let captures =
        Ingress::new("a/x")
            .note("rewrite-target", "/$1")
            .path("a.com", "Prefix", "/foo/(.*)", "s");
    let done = convert_with(&[captures], &[], &with_expressions());
    assert!(done.told("x", "GATEWAY-REWRITE"));
    done.meets(&[("/foo/x", "none")]);
}

#[test]
fn what_protects_a_path_closes_its_host_and_no_other() {
    for (name, value, code) in [
        ("auth-type", "basic", "AUTH-BASIC"),
        ("whitelist-source-range", "10.0.0.0/8", "GATEWAY-ADDRESS-LIST"),
    ] {
        let closed = Ingress::new("a/closed")
            .note(name, value)
            .path("a.com", "Prefix", "/admin", "s");
        let open = Ingress::new("a/open")
            .path("a.com", "Prefix", "/", "open")
            .path("b.com", "Prefix", "/", "open");
        let done = convert(&[closed.clone(), open.clone()]);
        assert!(done.told("closed", code) && done.told("open", "GATEWAY-HOST-CLOSED"));
        done.nothing_is_served();
        assert_eq!(answer(&done.conversion.objects, &get("b.com", "/")), "open /");
        // Whoever would have its requests has none of them.
        let all = Ingress::new("a/all").default("all");
        let done = convert(&[closed, open, all]);
        for path in ["/", "/admin", "//admin", "/%61dmin"] {
            assert_eq!(
                answer(&done.conversion.objects, &get("a.com", path)),
                "error",
                "{path}"
            );
        }
        assert_eq!(answer(&done.conversion.objects, &get("c.com", "/")), "all /");
    }
}

#[test]
fn what_is_missing_closes_its_path_alone() {
    let ingress = Ingress::new("a/x")
        .path("a.com", "Prefix", "/", "s")
        .path("a.com", "Prefix", "/gone", "gone");
    let objects = [service("a/s"), ingress.0];
    let done = crate::given::convert_objects(&objects, &options());
    done.meets(&[
        ("/x", "s /x"),
        ("/gone/x", "error"),
        ("/gone", "error"),
        ("/gonex", "s /gonex"),
    ]);
}

#[test]
fn canaries_are_weights_and_headers() {
    let main = Ingress::new("a/main").path("a.com", "Prefix", "/", "s");
    let canary = Ingress::new("a/canary")
        .note("canary", "true")
        .note("canary-weight", "30")
        .note("canary-by-header", "X-Canary")
        .note("canary-by-cookie", "beta")
        .path("a.com", "Prefix", "/", "c");
    let all = [main, canary];
    let done = convert(&all);
    assert!(done.told("canary", "GATEWAY-CANARY"));
    let objects = &done.conversion.objects;
    let with = |name: &str, value: &str| get("a.com", "/").with_header(name, value);
    assert_eq!(answer(objects, &with("x-canary", "always")), "c /");
    assert_eq!(answer(objects, &with("x-canary", "never")), "s /");
    let rules = done.objects("HTTPRoute")[0]["spec"]["rules"]
        .as_array()
        .unwrap()
        .clone();
    let weights = &rules.last().unwrap()["backendRefs"];
    assert_eq!(
        (weights[0]["weight"].clone(), weights[1]["weight"].clone()),
        (json!(70), json!(30))
    );
    let done = convert_with(&all, &[], &with_expressions());
    assert!(!done.told("canary", "GATEWAY-CANARY"));
    let objects = &done.conversion.objects;
    assert_eq!(answer(objects, &with("cookie", "a=b; beta=always")), "c /");
    let both = with("cookie", "beta=always").with_header("x-canary", "never");
    assert_eq!(answer(objects, &both), "s /", "the header comes first");
}

#[test]
fn no_service_of_another_namespace_without_a_grant() {
    let one = Ingress::new("a/x").day(1).path("a.com", "Prefix", "/", "s");
    let two = Ingress::new("b/y").day(2).path("a.com", "Prefix", "/b", "t");
    let done = convert(&[one, two]);
    done.meets(&[("/b/x", "t /b/x"), ("/x", "s /x")]);
    let grants = done.objects("ReferenceGrant");
    assert_eq!(grants.len(), 1);
    assert_eq!(grants[0]["metadata"]["namespace"], "b");
    assert_eq!(
        grants[0]["spec"],
        json!({
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "a"}],
            "to": [{"group": "", "kind": "Service", "name": "t"}],
        })
    );
    let alone = convert(&[Ingress::new("a/x").path("a.com", "Prefix", "/", "s")]);
    assert!(alone.objects("ReferenceGrant").is_empty());
}

#[test]
fn how_back_ends_are_spoken_to_is_said_by_nobody() {
    for protocol in ["HTTPS", "GRPCS", "GRPC"] {
        let done = convert(&[simple("backend-protocol", protocol)]);
        assert!(done.told("x", "GATEWAY-BACKEND"), "{protocol}");
        done.nothing_is_served();
    }
    let known = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "a", "name": "s"},
        "spec": {"ports": [{"name": "web", "port": 80, "appProtocol": "kubernetes.io/h2c"}]}});
    let done = convert_with(&[simple("backend-protocol", "GRPC")], &[known], &options());
    done.meets(&[("/", "s /")]);
    for (name, value) in [("affinity", "cookie"), ("proxy-connect-timeout", "7")] {
        let done = convert(&[simple(name, value)]);
        assert!(done.told("x", "GATEWAY-BALANCING"), "{name}");
        done.meets(&[("/", "s /")]);
    }
    let vhost = convert(&[simple("upstream-vhost", "inner.org")]);
    let rewrite = vhost.filter("URLRewrite").unwrap();
    assert_eq!(rewrite["urlRewrite"], json!({"hostname": "inner.org"}));
    let rules = &vhost.objects("HTTPRoute")[0]["spec"]["rules"];
    assert_eq!(rules[0]["timeouts"], json!({"request": "0s"}), "nothing is cut");
}

#[test]
fn cors_names_origins_and_leaves_wildcards_out() {
    let done = convert(&[simple("enable-cors", "true")
        .note("cors-allow-origin", "https://a.org, https://*.b.org")
        .note("cors-max-age", "600")]);
    assert!(done.told("x", "GATEWAY-CORS"));
    let cors = done.filter("CORS").unwrap()["cors"].clone();
    assert_eq!(cors["allowOrigins"], json!(["https://a.org"]));
    assert_eq!(
        (cors["allowCredentials"].clone(), cors["maxAge"].clone()),
        (json!(true), json!(600))
    );
    let any = convert(&[simple("enable-cors", "true")]).filter("CORS").unwrap()["cors"].clone();
    assert_eq!(
        (any["allowOrigins"].clone(), any["allowCredentials"].clone()),
        (json!(["*"]), json!(false))
    );
}

#[test]
fn wildcards_and_the_catch_all_come_after_plain_hosts() {
    let wild = Ingress::new("a/w")
        .tls(&["*.a.com"], "wild")
        .path("*.a.com", "Prefix", "/", "w");
    let own = Ingress::new("a/x").path("x.a.com", "Exact", "/only", "x");
    let all = Ingress::new("a/all").default("all");
    let done = convert(&[wild, own, all]);
    assert!(done.told("w", "GATEWAY-WILDCARD"));
    let told = |request: Request| answer(&done.conversion.objects, &request);
    assert_eq!(told(secure("x.a.com", "/only")), "x /only");
    assert_eq!(told(secure("x.a.com", "/else")), "error", "nobody else's");
    assert_eq!(told(secure("y.a.com", "/else")), "w /else");
    assert_eq!(told(get("unknown.org", "/")), "all /");
}

#[test]
fn many_paths_are_divided_among_routes() {
    let mut ingress = Ingress::new("a/x");
    for number in 0..40 {
        ingress = ingress.path("a.com", "Prefix", &format!("/p{number}"), &format!("s{number}"));
    }
    let done = convert(&[ingress]);
    assert_eq!(done.objects("HTTPRoute").len(), 3);
    for number in 0..40 {
        done.meets(&[(&format!("/p{number}/x"), &format!("s{number} /p{number}/x"))]);
    }
}

#[test]
fn istio_is_written_unless_the_gateway_api_is_asked_for() {
    let done = convert_all(&[simple("whitelist-source-range", "10.0.0.0/8")]);
    assert_eq!(done.objects("VirtualService").len(), 1);
    assert_eq!(done.objects("HTTPRoute").len(), 0);
}

#[test]
fn tls_that_is_passed_through_and_paths_that_no_route_takes_are_refused() {
    let on = Options {
        controller_flags: vec!["--enable-ssl-passthrough".to_owned()],
        ..options()
    };
    let done = convert_with(&[simple("ssl-passthrough", "true")], &[], &on);
    assert!(done.told("x", "GATEWAY-PASSTHROUGH"));
    assert!(done.conversion.objects.is_empty());
    let ingress = Ingress::new("a/x")
        .path("a.com", "Prefix", "/a//b", "s")
        .path("a.com", "Prefix", "/c", "c");
    let done = convert(&[ingress]);
    // What cannot be compared cannot be closed by itself either.
    assert!(done.told("x", "GATEWAY-PATH") && done.told("x", "GATEWAY-HOST-CLOSED"));
    done.nothing_is_served();
}

#[test]
fn what_is_written_keeps_bounds_and_patterns_or_its_host_is_refused() {
    // Two spaces in a row are no value of a header there.
    let headers = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "a", "name": "headers"},
        "data": {"X-Odd": "one  two"}});
    let allowed = crate::given::config(json!({"global-allowed-response-headers": "X-Odd"}));
    let odd = simple("custom-headers", "a/headers");
    let other = Ingress::new("a/y").path("b.com", "Prefix", "/", "t");
    let done = convert_with(&[odd, other], &[headers, allowed], &options());
    assert!(done.told("x", "RULE-BROKEN"), "{:?}", done.ingress("x").entries);
    done.nothing_is_served();
    assert_eq!(answer(&done.conversion.objects, &get("b.com", "/")), "t /");
}
