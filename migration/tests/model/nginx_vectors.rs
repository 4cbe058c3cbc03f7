//! What ingress-nginx answers. The vectors under "seed" were seen from a real nginx with the lines its template makes.

use gradual_rollout_migration::model::nginx::{Nginx, Options};

use crate::support::{Ingress, http, https, meets, nginx, told};

// Seed.

#[test]
fn seed_path_foo_with_target_root() {
    let nginx = nginx([Ingress::named("a")
        .any("h", "/foo", "svc")
        .with("rewrite-target", "/")]);
    meets(
        &nginx,
        &[
            ("/foo", "svc /"),
            ("/foo/bar?x=1", "svc /?x=1"),
            ("/FOObar", "svc /"),
            ("//foo/x", "svc /"),
        ],
    );
}

#[test]
fn seed_path_with_captures_and_target_with_the_second() {
    let nginx = nginx([Ingress::named("a")
        .any("h", "/bar(/|$)(.*)", "svc")
        .with("rewrite-target", "/$2")]);
    meets(
        &nginx,
        &[
            ("/bar", "svc /"),
            ("/bar/x/y?q=1", "svc /x/y?q=1"),
            ("/BAR/x", "svc /x"),
            ("/barx", "404"),
            ("/bar/a%20b", "svc /a%20b"),
        ],
    );
}

#[test]
fn seed_prefix_foo_in_plain_mode() {
    let nginx = nginx([Ingress::named("a").prefix("h", "/foo", "svc")]);
    meets(
        &nginx,
        &[
            ("/foo", "svc /foo"),
            ("/foo/", "svc /foo/"),
            ("/foobar", "404"),
            ("/FOO", "404"),
            ("//foo//x", "svc //foo//x"),
        ],
    );
}

/// The port is only named where `use-port-in-redirects` asks for it; nginx itself would name it always.
#[test]
fn seed_prefix_with_a_slash_redirects_to_it() {
    let plain = nginx([Ingress::named("a").prefix("h", "/sl/", "svc")]);
    meets(
        &plain,
        &[("/sl?x=1", "301 http://h/sl/?x=1"), ("/sl/", "svc /sl/")],
    );
    let with_port = nginx([Ingress::named("a")
        .prefix("h", "/sl/", "svc")
        .with("use-port-in-redirects", "true")]);
    let answer = with_port.answer(&http("h:8080", "/sl?x=1").on_port(8080));
    assert_eq!(told(&answer), "301 http://h:8080/sl/?x=1");
}

#[test]
fn seed_permanent_redirect_appends_nothing() {
    let nginx = nginx([Ingress::named("a")
        .prefix("h", "/", "svc")
        .with("permanent-redirect", "https://www.google.com")]);
    meets(&nginx, &[("/a/b?x=1", "301 https://www.google.com")]);
}

#[test]
fn seed_a_top_level_alternation_anchors_its_first_branch_only() {
    let nginx = nginx([Ingress::named("a")
        .any("h", "/one|/two", "svc")
        .with("use-regex", "true")]);
    meets(
        &nginx,
        &[
            ("/x/two", "svc /x/two"),
            ("/onexyz", "svc /onexyz"),
            ("/x/one", "404"),
        ],
    );
}

// Acceptance cases.

#[test]
fn case_01_prefix() {
    let nginx = nginx([Ingress::named("a").prefix("h", "/foo", "svc")]);
    meets(
        &nginx,
        &[
            ("/foo", "svc /foo"),
            ("/foo/", "svc /foo/"),
            ("/foo/x", "svc /foo/x"),
            ("/foobar", "404"),
            ("/FOO", "404"),
        ],
    );
}

#[test]
fn case_02_prefix_with_a_slash_only() {
    let nginx = nginx([Ingress::named("a").prefix("h", "/foo/", "svc")]);
    meets(
        &nginx,
        &[("/foo?q", "301 http://h/foo/?q"), ("/foo/x", "svc /foo/x")],
    );
}

#[test]
fn case_03_exact_and_prefix_of_one_path() {
    let nginx = nginx([Ingress::named("a")
        .prefix("h", "/x", "pre")
        .exact("h", "/x", "exact")]);
    meets(
        &nginx,
        &[("/x", "exact /x"), ("/x/", "pre /x/"), ("/x/y", "pre /x/y")],
    );
}

#[test]
fn case_04_the_longest_wins_whatever_the_order() {
    let nginx = nginx([
        Ingress::named("a")
            .prefix("h", "/", "root")
            .prefix("h", "/api", "api")
            .created(1),
        Ingress::named("b").prefix("h", "/api/v2", "v2").created(2),
    ]);
    meets(
        &nginx,
        &[
            ("/", "root /"),
            ("/api", "api /api"),
            ("/api/v2/x", "v2 /api/v2/x"),
            ("/apix", "root /apix"),
        ],
    );
}

#[test]
fn case_05_the_older_of_two_serves() {
    let older = Ingress::named("z").prefix("h", "/x", "older").created(1);
    let younger = Ingress::named("a").prefix("h", "/x", "younger").created(2);
    meets(&nginx([younger, older]), &[("/x", "older /x")]);
}

#[test]
fn case_05_of_the_same_age_the_later_name_serves() {
    let a = Ingress::named("a").prefix("h", "/x", "a");
    let b = Ingress::named("b").prefix("h", "/x", "b");
    meets(&nginx([a.clone(), b.clone()]), &[("/x", "b /x")]);
    meets(&nginx([b, a]), &[("/x", "b /x")]);
}

#[test]
fn case_06_captures() {
    let nginx = nginx([Ingress::named("a")
        .any("h", "/bar(/|$)(.*)", "svc")
        .with("rewrite-target", "/$2")]);
    meets(
        &nginx,
        &[
            ("/bar", "svc /"),
            ("/bar/x/y?q=1", "svc /x/y?q=1"),
            ("/BAR/x", "svc /x"),
            ("/barx", "404"),
        ],
    );
}

#[test]
fn case_07_rewrite_of_a_prefix() {
    let nginx = nginx([Ingress::named("a")
        .prefix("h", "/foo", "svc")
        .with("rewrite-target", "/")]);
    meets(&nginx, &[("/foo/bar?x=1", "svc /?x=1"), ("/FOObar", "svc /")]);
}

#[test]
fn case_08_regular_expressions_are_a_hosts_affair() {
    let nginx = nginx([
        Ingress::named("a")
            .any("h", "/a[0-9]", "a")
            .with("use-regex", "true"),
        Ingress::named("b").exact("h", "/b", "b"),
    ]);
    meets(&nginx, &[("/Bxyz", "b /Bxyz"), ("/A1", "a /A1")]);
}

#[test]
fn case_09_alternation_and_lookahead() {
    let alternation = nginx([Ingress::named("a")
        .any("h", "/one|/two", "svc")
        .with("use-regex", "true")]);
    meets(&alternation, &[("/x/two", "svc /x/two")]);
    let lookahead = nginx([Ingress::named("a")
        .any("h", "/(?!x)", "svc")
        .with("use-regex", "true")]);
    assert!(told(&lookahead.answer(&http("h", "/y"))).starts_with("? regex"));
}

#[test]
fn case_10_a_redirect_carries_no_path_and_the_temporal_one_wins() {
    let permanent = Ingress::named("a")
        .prefix("h", "/", "svc")
        .with("permanent-redirect", "https://h");
    meets(&nginx([permanent.clone()]), &[("/a/b?x=1", "301 https://h")]);
    let both = permanent.with("temporal-redirect", "https://t");
    meets(&nginx([both]), &[("/a/b?x=1", "302 https://t")]);
}

#[test]
fn case_11_redirect_to_https_by_location() {
    let nginx = nginx([
        Ingress::named("a").prefix("h", "/one", "one").tls(&["h"]),
        Ingress::named("b")
            .prefix("h", "/two", "two")
            .with("ssl-redirect", "false"),
        Ingress::named("c").exact("h", "/.well-known/acme-challenge/token", "solver"),
    ]);
    meets(
        &nginx,
        &[
            ("/one", "308 https://h/one"),
            ("/one/?q", "308 https://h/one/?q"),
            ("/one/", "308 https://h/one"),
            ("/two", "two /two"),
            (
                "/.well-known/acme-challenge/token",
                "solver /.well-known/acme-challenge/token",
            ),
        ],
    );
    assert_eq!(told(&nginx.answer(&https("h", "/one"))), "one /one");
}

#[test]
fn case_12_forced_redirect_behind_a_load_balancer() {
    let ingress = Ingress::named("a")
        .prefix("h", "/", "svc")
        .with("force-ssl-redirect", "true")
        .value();
    let nginx = Nginx::new(
        &[ingress],
        Options {
            use_forwarded_headers: true,
            ..Options::default()
        },
    );
    let seen = |scheme: &str| told(&nginx.answer(&http("h", "/x").with_header("X-Forwarded-Proto", scheme)));
    assert_eq!(seen("http"), "308 https://h/x");
    assert_eq!(seen("https"), "svc /x");
}

#[test]
fn case_15_a_wildcard_host_is_one_label() {
    let nginx = nginx([
        Ingress::named("a").prefix("*.a.com", "/", "wild"),
        Ingress::named("b").prefix("x.a.com", "/", "exact"),
    ]);
    let seen = |host: &str| told(&nginx.answer(&http(host, "/p")));
    assert_eq!(seen("x.a.com"), "exact /p");
    assert_eq!(seen("y.a.com"), "wild /p");
    assert_eq!(seen("z.y.a.com"), "404");
    assert_eq!(seen("a.com"), "404");
}

#[test]
fn case_16_default_backends() {
    let nginx = nginx([
        Ingress::named("a").default_backend("all"),
        Ingress::named("b").prefix("h", "/x", "x").default_backend("rest"),
    ]);
    assert_eq!(told(&nginx.answer(&http("unknown", "/y"))), "all /y");
    meets(&nginx, &[("/x", "x /x"), ("/y", "rest /y")]);
}

#[test]
fn case_17_a_port_by_name_stays_a_name() {
    let mut ingress = Ingress::named("a").prefix("h", "/x", "svc").value();
    ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] =
        serde_json::json!({"name": "web"});
    let nginx = Nginx::new(&[ingress], Options::default());
    assert!(
        nginx
            .answer(&http("h", "/x"))
            .to_string()
            .starts_with("ns/svc:web gets /x")
    );
}

#[test]
fn case_25_what_is_not_modelled_is_named() {
    for annotation in [
        "auth-url",
        "auth-type",
        "configuration-snippet",
        "whitelist-source-range",
        "enable-modsecurity",
    ] {
        let nginx = nginx([
            Ingress::named("a")
                .prefix("h", "/x", "svc")
                .with(annotation, "true")
                .created(2),
            Ingress::named("b").prefix("h", "/y", "other").created(1),
        ]);
        meets(&nginx, &[("/x", &format!("? {annotation}")), ("/y", "other /y")]);
    }
}
