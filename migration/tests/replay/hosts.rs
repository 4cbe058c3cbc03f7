//! Cases 11 to 17: hosts, TLS and back ends.

use gradual_rollout_migration::convert::Options;
use serde_json::{Value, json};

use crate::given::{Ingress, service};
use crate::world::{SOMEBODY, World, http, https, short};

#[test]
fn case_11_http_is_redirected_where_it_was_and_acme_has_paths_of_its_own() {
    let acme = "/.well-known/acme-challenge/t";
    let one = Ingress::new("a/x")
        .tls(&["a.com"], "t")
        .path("a.com", "Prefix", "/", "s");
    let two = Ingress::new("a/y")
        .note("ssl-redirect", "false")
        .path("a.com", "Prefix", "/clear", "c");
    let solver = Ingress::new("a/z").path("a.com", "Exact", acme, "solver");
    let Some(both) = World::of([one, two, solver]).start() else {
        return;
    };
    both.meets(&[
        ("/p?x=1", "308 https://a.com/p?x=1"),
        ("/clear/x", "c /clear/x"),
        (acme, &format!("solver {acme}")),
    ]);
    for (target, answer) in [("/p", "s /p"), ("/clear", "c /clear")] {
        let seen = both.seen(&https("a.com", target));
        assert_eq!(short(&seen.to_string()), answer);
        assert_eq!(
            seen.headers["strict-transport-security"],
            "max-age=31536000; includeSubDomains"
        );
        assert_eq!(seen.certificate.as_deref(), Some("a/t"));
    }
    let clear = both.seen(&http("a.com", "/clear"));
    assert!(!clear.headers.contains_key("strict-transport-security"));
}

#[test]
fn case_12_force_ssl_redirect_behind_a_load_balancer_does_not_loop() {
    let ingress = Ingress::new("a/x")
        .note("force-ssl-redirect", "true")
        .path("a.com", "Prefix", "/", "s");
    let world = World::of([ingress])
        .config("use-forwarded-headers", "true")
        .trusting(1);
    let Some(both) = world.start() else { return };
    let from = |scheme: &str| {
        let request = http("a.com", "/p")
            .with_header("x-forwarded-for", SOMEBODY)
            .with_header("x-forwarded-proto", scheme);
        short(&both.told(&request))
    };
    assert_eq!(from("http"), "308 https://a.com/p");
    assert_eq!(from("https"), "s /p");
    assert!(both.done.told("x", "FORCE-SSL-TRUST"));
}

#[test]
fn who_insists_on_https_is_served_there_with_the_default_certificate_and_redirected_whatever_a_client_says() {
    let forced = Ingress::new("a/x").note("force-ssl-redirect", "true");
    let options = Options {
        default_certificate: Some(("istio-system".to_owned(), "default".to_owned())),
        ..Options::default()
    };
    let world = World::of([forced.path("a.com", "Prefix", "/", "s")]).options(options);
    let Some(both) = world.start() else { return };
    for scheme in ["http", "https"] {
        let request = http("a.com", "/p").with_header("x-forwarded-proto", scheme);
        assert_eq!(short(&both.told(&request)), "308 https://a.com/p", "{scheme}");
    }
    assert_eq!(short(&both.told(&https("a.com", "/p"))), "s /p");
}

#[test]
fn case_13_each_host_has_its_own_certificate_in_the_gateways_namespace() {
    let ingress = Ingress::new("a/x")
        .tls(&["a.com"], "one")
        .tls(&["b.com"], "two")
        .path("a.com", "Prefix", "/", "s")
        .path("b.com", "Prefix", "/", "s");
    let Some(both) = World::of([ingress]).start() else {
        return;
    };
    for (host, secret) in [("a.com", "a/one"), ("b.com", "a/two")] {
        let seen = both.seen(&https(host, "/p"));
        assert_eq!(short(&seen.to_string()), "s /p");
        assert_eq!(seen.certificate.as_deref(), Some(secret));
    }
    assert_eq!(both.done.conversion.report.secrets.len(), 2, "copies");
}

#[test]
fn case_14_hosts_with_one_secret_share_one_connection_without_404() {
    let one = Ingress::new("a/x")
        .tls(&["*.a.com"], "wild")
        .path("x.a.com", "Prefix", "/", "s");
    let two = Ingress::new("a/y")
        .tls(&["x.a.com", "y.a.com"], "wild")
        .path("x.a.com", "Prefix", "/y", "s")
        .path("y.a.com", "Prefix", "/", "t");
    let Some(both) = World::of([one, two]).start() else {
        return;
    };
    for (host, target, answer) in [
        ("x.a.com", "/", "s /"),
        ("x.a.com", "/y", "s /y"),
        ("y.a.com", "/", "t /"),
    ] {
        let seen = both.seen(&https(host, target));
        assert_eq!(short(&seen.to_string()), answer);
        assert_eq!(seen.certificate.as_deref(), Some("a/wild"));
        // A browser has one connection for every host of the certificate.
        let other = if host == "x.a.com" { "y.a.com" } else { "x.a.com" };
        let seen = both.seen_under(other, &https(host, target));
        assert_eq!(short(&seen.to_string()), answer, "over the connection of {other}");
    }
}

#[test]
fn case_15_a_wildcard_stands_for_one_label() {
    let wild = Ingress::new("a/w").path("*.a.com", "Prefix", "/", "w");
    let own = Ingress::new("a/x").path("x.a.com", "Prefix", "/", "x");
    let Some(both) = World::of([wild, own]).start() else {
        return;
    };
    both.meets_on("x.a.com", &[("/", "x /")]);
    both.meets_on("y.a.com", &[("/", "w /"), ("/p?q", "w /p?q")]);
    both.meets_on("z.y.a.com", &[("/", "404")]);
    both.meets_on("a.com", &[("/", "404")]);
}

#[test]
fn case_16_default_back_ends() {
    let rules = Ingress::new("a/r")
        .default("d")
        .path("a.com", "Prefix", "/api", "s");
    let hostless = Ingress::new("a/h").path("", "Prefix", "/any", "h");
    let bare = Ingress::new("a/b").default("all");
    let Some(both) = World::of([rules.clone(), hostless.clone(), bare]).start() else {
        return;
    };
    both.meets(&[("/api", "s /api"), ("/other", "d /other")]);
    both.meets_on("unknown.org", &[("/any/x", "h /any/x"), ("/x", "all /x")]);
    let root = rules.path("a.com", "Prefix", "/", "root");
    let Some(both) = World::of([root, hostless]).start() else {
        return;
    };
    both.meets(&[("/other", "root /other")]);
    both.meets_on("unknown.org", &[("/x", "404")]);
}

#[test]
fn case_17_ports_are_resolved_and_what_is_missing_is_refused_alone() {
    let to = |name: &str, port: Value| json!({"service": {"name": name, "port": port}});
    let ingress = Ingress::new("a/x")
        .path_to("a.com", "Prefix", "/name", to("s", json!({"name": "web"})))
        .path_to("a.com", "Prefix", "/target", to("s", json!({"number": 8080})))
        .path_to("a.com", "Prefix", "/number", to("s", json!({"number": 80})))
        .path_to("a.com", "Prefix", "/gone", to("gone", json!({"number": 80})));
    let Some(both) = World::of([ingress]).with(service("a/s")).missing("gone").start() else {
        return;
    };
    both.meets(&[
        ("/name", "s /name"),
        ("/target", "s /target"),
        ("/number", "s /number"),
        ("/gone", "503"),
    ]);
    assert!(both.done.told("x", "SERVICE-MISSING"));
}

#[test]
fn hosts_without_a_certificate_show_the_default_one_and_are_redirected_by_neither() {
    let ingress = Ingress::new("a/x").path("a.com", "Prefix", "/", "s");
    let options = Options {
        default_certificate: Some(("istio-system".to_owned(), "default".to_owned())),
        ..Options::default()
    };
    let Some(both) = World::of([ingress]).options(options).start() else {
        return;
    };
    both.meets(&[("/p", "s /p")]);
    let seen = both.seen(&https("a.com", "/p"));
    assert_eq!(short(&seen.to_string()), "s /p");
    assert!(!seen.headers.contains_key("strict-transport-security"));
}
