//! Cases 22 and 25: who may reach what.

use gradual_rollout_migration::convert::Options;

use crate::given::Ingress;
use crate::world::{SOMEBODY, World, http, short};

#[test]
fn case_22_addresses_are_kept_out_of_one_path_and_of_no_other() {
    let listed = Ingress::new("a/x")
        .note("whitelist-source-range", "10.0.0.0/8, 192.0.2.7")
        .path("a.com", "Prefix", "/admin", "s");
    let open = Ingress::new("a/y")
        .path("a.com", "Prefix", "/", "open")
        .path("b.com", "Prefix", "/admin", "other");
    let Some(both) = World::of([listed, open]).start() else {
        return;
    };
    let told =
        |from: &str, host: &str, target: &str| short(&both.seen_from(from, &http(host, target)).to_string());
    for (from, answer) in [
        ("10.1.2.3", "s /admin/x"),
        ("192.0.2.7", "s /admin/x"),
        ("192.0.2.8", "403"),
        (SOMEBODY, "403"),
    ] {
        assert_eq!(told(from, "a.com", "/admin/x"), answer, "{from}");
        assert_eq!(told(from, "a.com", "/"), "open /");
        assert_eq!(told(from, "a.com", "/administrator"), "open /administrator");
        assert_eq!(told(from, "b.com", "/admin"), "other /admin");
    }
    assert_eq!(told(SOMEBODY, "A.com:80", "/admin"), "403");
    assert!(both.done.told("x", "CLIENT-ADDRESS"));
}

#[test]
fn addresses_are_kept_out_of_a_whole_host() {
    let denied = Ingress::new("a/x")
        .note("denylist-source-range", "10.0.0.0/8")
        .path("a.com", "Prefix", "/", "s");
    let Some(both) = World::of([denied]).start() else {
        return;
    };
    let told = |from: &str| short(&both.seen_from(from, &http("a.com", "/p")).to_string());
    assert_eq!(told("10.0.0.1"), "403");
    assert_eq!(told("11.0.0.1"), "s /p");
}

#[test]
fn case_25_what_nginx_asks_a_password_for_is_reached_by_nobody() {
    let closed = |name: &str, value: &str| {
        Ingress::new("a/closed")
            .note(name, value)
            .path("a.com", "Prefix", "/closed", "s")
    };
    let open = Ingress::new("a/open").path("a.com", "Prefix", "/", "open");
    for (name, value) in [
        ("auth-type", "basic"),
        ("auth-url", "https://auth.a.com"),
        (
            "configuration-snippet",
            "if ($http_x_secret = \"\") { return 401; }",
        ),
    ] {
        let all = [closed(name, value), open.clone()];
        let world = || World::of(all.clone()).config("allow-snippet-annotations", "true");
        let Some(both) = world().start() else { return };
        let [nginx, envoy] = both
            .each(SOMEBODY, &http("a.com", "/closed/x"))
            .map(Option::unwrap);
        assert_eq!((nginx.status, envoy.status), (401, 503), "{name}");
        both.meets(&[("/other", "open /other")]);
        // Unless somebody says so.
        let entries = &both.done.ingress("closed").entries;
        let accepting = Options {
            accept: entries
                .iter()
                .filter(|entry| entry.refuses())
                .map(|entry| entry.code)
                .collect(),
            ..Options::default()
        };
        assert!(!accepting.accept.is_empty());
        let Some(both) = world().options(accepting).start() else {
            return;
        };
        let [_, envoy] = both
            .each(SOMEBODY, &http("a.com", "/closed/x"))
            .map(Option::unwrap);
        assert_eq!(short(&envoy.to_string()), "s /closed/x", "{name} was accepted");
    }
}

#[test]
fn nobody_gets_into_a_guarded_path_through_an_open_one_or_by_its_spelling() {
    let service = |name: &str, kind: &str, path: &str| Ingress::new(name).path("a.com", kind, path, "s");
    let listed =
        |path: &str| service("a/listed", "Prefix", path).note("whitelist-source-range", "10.0.0.0/8");
    let through = [
        "/pub/..%2fsecret",
        "/pub/%2e%2e%2fsecret",
        "/pub%2f..%2fsecret",
        "/pub/x/..%2F../secret",
    ];
    for (all, targets) in [
        ([listed("/"), service("a/open", "Prefix", "/pub")], &through[..]),
        (
            [
                listed("/admin"),
                service("a/never", "ImplementationSpecific", "/admin//x"),
            ],
            &["/admin//x", "/admin//x/y"],
        ),
    ] {
        let Some(both) = World::of(all).start() else {
            return;
        };
        for target in targets {
            let [nginx, envoy] = both.each(SOMEBODY, &http("a.com", target)).map(Option::unwrap);
            assert_eq!(nginx.status, 403, "{target}");
            // The address list, or the route for what cannot be judged.
            assert!([403, 503].contains(&envoy.status), "{target}: {}", envoy.status);
        }
    }
}
