//! One bad value spoils one Ingress at most, and never the batch.

use crate::envoy::get;
use crate::given::{Ingress, convert_all, convert_objects, convert_with, service};
use gradual_rollout_migration::convert::Options;
use gradual_rollout_migration::report::Outcome;

fn good() -> Ingress {
    Ingress::new("g/good").path("good.com", "Prefix", "/", "s")
}

#[test]
fn numbers_and_names_that_nobody_can_mean() {
    let huge = "99999999999999";
    for notes in [
        vec![("proxy-connect-timeout", huge)],
        vec![("affinity", "cookie"), ("session-cookie-max-age", huge)],
        vec![("affinity", "cookie"), ("session-cookie-expires", huge)],
        vec![("affinity", "cookie"), ("session-cookie-path", "a b;x")],
        vec![("affinity", "cookie"), ("session-cookie-domain", "a\nb")],
        vec![("enable-cors", "true"), ("cors-max-age", huge)],
        vec![("upstream-hash-by", "$cookie_")],
        vec![("upstream-hash-by", "$http_")],
        vec![("upstream-hash-by", "$arg_")],
    ] {
        let mut odd = Ingress::new("a/odd").path("a.com", "Prefix", "/", "s");
        for (name, value) in &notes {
            odd = odd.note(name, value);
        }
        let done = convert_all(&[odd, good()]);
        let told = |code: &str| done.told("odd", code);
        assert!(told("INVALID-VALUE") || told("HASH-EXPRESSION"), "{notes:?}");
        assert_eq!(done.answer(&get("a.com", "/")), "s /", "{notes:?}");
        assert_eq!(done.answer(&get("good.com", "/")), "s /");
    }
}

#[test]
fn addresses_that_are_none_refuse_the_path() {
    for (name, value, code) in [
        ("permanent-redirect", "https://h:0/x", "REDIRECT-VARIABLE"),
        ("upstream-vhost", "a..b", "UPSTREAM-VHOST-VARIABLE"),
        ("upstream-vhost", ":", "UPSTREAM-VHOST-VARIABLE"),
        ("upstream-vhost", "a.b:99999", "UPSTREAM-VHOST-VARIABLE"),
        ("app-root", "/a b", "APP-ROOT-INVALID"),
    ] {
        let odd = Ingress::new("a/odd")
            .note(name, value)
            .path("a.com", "Prefix", "/", "s");
        let done = convert_all(&[odd, good()]);
        assert!(done.told("odd", code), "{name}: {value}");
        assert_eq!(done.answer(&get("good.com", "/")), "s /");
    }
    for fine in ["a.b:8080", "web_1.ns", "[::1]:80", "10.0.0.1"] {
        let vhost = Ingress::new("a/vhost")
            .note("upstream-vhost", fine)
            .path("a.com", "Prefix", "/", "s");
        assert_eq!(convert_all(&[vhost]).answer(&get("a.com", "/")), "s /", "{fine}");
    }
}

#[test]
fn names_that_kubernetes_does_not_take_refuse_what_has_them() {
    for name in ["n".repeat(64), "A_b".to_owned()] {
        let odd = Ingress::new("a/odd")
            .path("a.com", "Prefix", "/x", &name)
            .path("a.com", "Prefix", "/", "s");
        let done = convert_all(&[odd, good()]);
        assert!(done.told("odd", "NAME-INVALID"), "{name}");
        assert_eq!(done.answer(&get("a.com", "/x")), "503");
        assert_eq!(done.answer(&get("a.com", "/")), "s /");
    }
    let odd = Ingress::new("Bad_NS/odd")
        .day(1)
        .path("a.com", "Prefix", "/x", "s");
    let other = Ingress::new("a/other").day(2).path("a.com", "Prefix", "/", "s");
    let done = convert_all(&[odd, other, good()]);
    assert!(done.told("odd", "NAME-INVALID"));
    assert_eq!(done.answer(&get("a.com", "/x")), "503");
    assert_eq!(done.answer(&get("a.com", "/")), "s /");
    let host = Ingress::new("a/odd").path("a_b.com", "Prefix", "/", "s");
    let done = convert_all(&[host, Ingress::new("a/all").default("all"), good()]);
    assert!(done.told("odd", "HOST-INVALID"));
}

#[test]
fn a_rule_of_istio_that_would_be_broken_refuses_the_host_alone() {
    // A domain that is none is in every Service's name.
    let options = Options {
        cluster_domain: "x..y".to_owned(),
        ..Options::default()
    };
    let redirect = Ingress::new("a/redirect")
        .note("permanent-redirect", "https://b.org/")
        .path("r.com", "Prefix", "/", "s");
    let done = convert_with(&[good(), redirect], &[], &options);
    assert!(done.told("good", "RULE-BROKEN"));
    assert_eq!(done.ingress("good").paths[0].outcome, Outcome::Refused);
    assert_eq!(done.answer(&get("r.com", "/")), "301 https://b.org/");
}

#[test]
fn lists_of_addresses_that_are_none_deny() {
    for value in [",", " , ", "10.0.0.0/+8", "10.0.0.0/8,"] {
        for name in ["whitelist-source-range", "denylist-source-range"] {
            let listed = Ingress::new("a/listed")
                .note(name, value)
                .path("a.com", "Prefix", "/", "s");
            let done = convert_all(&[listed]);
            assert!(done.told("listed", "ALLOWLIST-INVALID"), "{name}: {value:?}");
            assert_eq!(done.answer(&get("a.com", "/")), "none");
        }
    }
}

#[test]
fn two_lists_that_differ_refuse() {
    let listed = |second: &str| {
        Ingress::new("a/listed")
            .note("allowlist-source-range", "10.0.0.0/8")
            .note("whitelist-source-range", second)
            .path("a.com", "Prefix", "/", "s")
    };
    let done = convert_all(&[listed("10.1.0.0/16")]);
    assert!(done.told("listed", "ALLOWLIST-TWICE"));
    assert_eq!(done.answer(&get("a.com", "/")), "none");
    assert_eq!(
        convert_all(&[listed(" 10.0.0.0/8")]).answer(&get("a.com", "/")),
        "s /"
    );
}

fn passing() -> Options {
    Options {
        controller_flags: vec!["--enable-ssl-passthrough".to_owned()],
        ..Options::default()
    }
}

fn through() -> Ingress {
    Ingress::new("a/through")
        .note("ssl-passthrough", "true")
        .path("p.com", "Prefix", "/", "p")
}

#[test]
fn an_address_list_and_passthrough_do_not_meet_on_one_gateway() {
    let listed = Ingress::new("a/listed")
        .note("whitelist-source-range", "10.0.0.0/8")
        .path("a.com", "Prefix", "/", "s");
    let done = convert_with(&[through(), listed], &[], &passing());
    assert!(done.told("through", "SSL-PASSTHROUGH-ALLOWLIST"));
    assert!(!done.says("PASSTHROUGH") && done.says("notRemoteIpBlocks"));
    // Its own list means nothing to a connection that is passed through, in nginx either.
    let own = through().note("whitelist-source-range", "10.0.0.0/8");
    let done = convert_with(&[own], &[], &passing());
    assert!(done.says("PASSTHROUGH") && !done.says("notRemoteIpBlocks"));
    assert!(done.told("through", "INERT-ANNOTATION"));
}

#[test]
fn what_passthrough_makes_impossible_is_told() {
    let www = through().note("from-to-www-redirect", "true");
    let done = convert_with(&[www], &[], &passing());
    assert!(done.told("through", "WWW-REDIRECT-PASSTHROUGH") && !done.says("www.p.com"));
    let rootless = Ingress::new("a/rootless")
        .note("ssl-passthrough", "true")
        .path("p.com", "Prefix", "/x", "p");
    let done = convert_with(&[rootless], &[], &passing());
    assert!(done.told("rootless", "SSL-PASSTHROUGH-ROOT") && done.conversion.report.refused());
    let older = Ingress::new("a/older").day(1).path("p.com", "Prefix", "/", "s");
    let done = convert_with(&[older, through().day(2)], &[], &passing());
    assert!(done.told("through", "SSL-PASSTHROUGH-YOUNGER"));
}

#[test]
fn words_that_nginx_knows_are_no_invalid_values() {
    let on = Ingress::new("a/x")
        .note("backend-protocol", "HTTPS")
        .note("proxy-ssl-server-name", "on")
        .note("proxy-ssl-name", "b.org")
        .path("a.com", "Prefix", "/", "s");
    let done = convert_all(&[on]);
    assert!(!done.told("x", "INVALID-VALUE") && done.says("b.org"));
}

#[test]
fn a_canary_of_a_path_that_redirects_splits_nothing() {
    let base = Ingress::new("a/base")
        .note("permanent-redirect", "https://b.org/")
        .path("a.com", "Prefix", "/", "s");
    let canary = Ingress::new("a/canary")
        .note("canary", "true")
        .note("canary-weight", "9")
        .path("a.com", "Prefix", "/", "t");
    let done = convert_all(&[base, canary]);
    assert_eq!(done.ingress("canary").paths[0].outcome, Outcome::Dropped);
    assert!(!done.conversion.report.refused());
    let detail = &done.ingress("canary").entries;
    assert!(
        detail.iter().any(|entry| entry.detail.contains("redirect")),
        "{detail:?}"
    );
}

#[test]
fn a_wildcard_of_another_namespace_has_no_requests_of_a_host_over_tls() {
    let wild = Ingress::new("a/wild")
        .tls(&["*.a.com"], "t")
        .path("*.a.com", "Prefix", "/", "w");
    let host = Ingress::new("b/host").path("x.a.com", "Prefix", "/", "s");
    let done = convert_objects(
        &[
            wild.0,
            host.0,
            service("a/w"),
            service("b/s"),
            crate::given::secret("a/t"),
        ],
        &Options::default(),
    );
    assert_eq!(done.answer(&get("x.a.com", "/").https()), "s /");
}
