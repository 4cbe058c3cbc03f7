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

// Further facts of the sources.

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
