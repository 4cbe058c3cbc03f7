//! What the controller's and nginx's sources say beyond the seed vectors and acceptance cases.

use gradual_rollout_migration::model::nginx::{Nginx, Options};

use crate::support::{Ingress, http, meets, nginx, told};

/// The key of an upstream is not unique: with the older Ingress's namespace and Service it can mean another's.
#[test]
fn two_services_can_share_an_upstream() {
    let nginx = nginx([
        Ingress::named("a")
            .in_namespace("team-a")
            .prefix("h", "/x", "web")
            .created(1),
        Ingress::named("b")
            .in_namespace("team")
            .prefix("other", "/x", "a-web")
            .created(2),
    ]);
    let answer = nginx.answer(&http("other", "/x")).to_string();
    assert!(answer.starts_with("team-a/web:80"), "{answer}");
}

/// A host's root belongs to the Ingress that names the host first, with all of its annotations.
#[test]
fn a_redirect_of_one_path_holds_for_everything_that_no_path_claims() {
    let nginx = nginx([
        Ingress::named("a")
            .prefix("h", "/old", "svc")
            .with("permanent-redirect", "https://n")
            .created(1),
        Ingress::named("b").prefix("h", "/new", "new").created(2),
    ]);
    meets(
        &nginx,
        &[
            ("/old", "301 https://n"),
            ("/new", "new /new"),
            ("/elsewhere", "301 https://n"),
        ],
    );
}

/// A target equal to its prefix is none until the path gets its slash.
#[test]
fn a_target_equal_to_a_prefix_rewrites_what_is_below_it() {
    let nginx = nginx([Ingress::named("a")
        .prefix("h", "/foo", "svc")
        .with("rewrite-target", "/foo")]);
    meets(
        &nginx,
        &[
            ("/foo", "svc /foo"),
            ("/foo/bar", "svc /foo"),
            ("/FOO/bar", "svc /foo"),
            ("/foobar", "svc /foobar"),
        ],
    );
}

#[test]
fn prefixes_that_differ_by_a_slash_are_a_configuration_nginx_does_not_load() {
    let nginx = nginx([Ingress::named("a")
        .prefix("h", "/foo", "one")
        .prefix("h", "/foo/", "two")]);
    assert!(nginx.servers().is_err());
    meets(&nginx, &[("/", "? duplicate location \"/foo/\" on host h")]);
}

#[test]
fn a_canary_takes_every_location_of_its_upstream_beyond_the_model() {
    let nginx = nginx([
        Ingress::named("a")
            .prefix("h", "/x", "svc")
            .prefix("other", "/y", "svc")
            .created(1),
        Ingress::named("b")
            .prefix("h", "/x", "next")
            .with("canary", "true")
            .created(2),
    ]);
    meets(&nginx, &[("/x", "? canary")]);
    assert_eq!(told(&nginx.answer(&http("other", "/y"))), "? canary");
}

#[test]
fn app_root_comes_before_anything_else() {
    let nginx = nginx([Ingress::named("a")
        .prefix("h", "/x", "svc")
        .with("app-root", "/home")]);
    meets(
        &nginx,
        &[
            ("/", "302 http://h/home"),
            ("/?q", "302 http://h/home"),
            ("//", "302 http://h/home"),
            ("/x", "svc /x"),
        ],
    );
}

#[test]
fn from_to_www_names_the_port_and_yields_to_a_host_of_its_own() {
    let wish = Ingress::named("a")
        .prefix("a.com", "/", "svc")
        .with("from-to-www-redirect", "true");
    let alone = nginx([wish.clone()]);
    assert_eq!(
        told(&alone.answer(&http("www.a.com", "/x/"))),
        "308 http://a.com:80/x"
    );
    let both = nginx([wish, Ingress::named("b").prefix("www.a.com", "/", "other")]);
    assert_eq!(told(&both.answer(&http("www.a.com", "/x"))), "other /x");
}

#[test]
fn an_alias_is_a_name_of_the_server_unless_it_is_a_host() {
    let nginx = nginx([
        Ingress::named("a")
            .prefix("h", "/", "svc")
            .with("server-alias", "also, other,*.any"),
        Ingress::named("b").prefix("other", "/", "other"),
    ]);
    let seen = |host: &str| told(&nginx.answer(&http(host, "/")));
    assert_eq!(seen("also"), "svc /");
    assert_eq!(seen("other"), "other /");
    assert_eq!(seen("a.b.any"), "svc /");
}

/// A wildcard's certificate counts for the hosts it covers, with or without a tls section of their own.
#[test]
fn a_wildcard_certificate_redirects_its_hosts() {
    let nginx = nginx([
        Ingress::named("a")
            .prefix("*.a.com", "/", "wild")
            .tls(&["*.a.com"]),
        Ingress::named("b").prefix("x.a.com", "/", "exact"),
    ]);
    assert_eq!(
        told(&nginx.answer(&http("x.a.com", "/p"))),
        "308 https://x.a.com/p"
    );
}

#[test]
fn a_field_without_a_value_is_not_there() {
    let mut ingress = Ingress::named("a").prefix("h", "/x", "svc").value();
    ingress["metadata"]["annotations"] = serde_json::Value::Null;
    ingress["spec"]["tls"] = serde_json::Value::Null;
    let nginx = Nginx::new(&[ingress], Options::default());
    meets(&nginx, &[("/x", "svc /x")]);
}
