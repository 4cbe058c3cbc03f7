//! Controls that must not get lost: acceptance cases 22 and 25.

use crate::envoy::get;
use crate::given::{Done, Ingress, accepting, config, convert_all, convert_with};
use gradual_rollout_migration::convert::{GatewayApi, Options, Target};
use serde_json::{Value, json};

fn rules(done: &Done) -> Vec<Value> {
    let policies = done.objects("AuthorizationPolicy");
    policies
        .iter()
        .flat_map(|policy| policy["spec"]["rules"].as_array().unwrap().clone())
        .collect()
}

#[test]
fn case_22_an_address_list_holds_for_its_paths_alone() {
    let open = Ingress::new("a/open")
        .path("a.com", "Prefix", "/", "s")
        .path("a.com", "Prefix", "/adm/pub", "p");
    let closed = Ingress::new("a/closed")
        .note("whitelist-source-range", "10.0.0.0/8,192.168.1.1")
        .path("a.com", "Prefix", "/adm", "s");
    let other = Ingress::new("a/other").path("b.com", "Prefix", "/", "s");
    let done = convert_all(&[open, closed, other]);
    let policy = done.objects("AuthorizationPolicy");
    assert_eq!(policy.len(), 1);
    assert_eq!(policy[0]["spec"]["action"], "DENY");
    assert_eq!(
        policy[0]["spec"]["selector"]["matchLabels"],
        json!({"istio": "ingressgateway"})
    );
    assert_eq!(policy[0]["metadata"]["namespace"], "istio-system");
    assert_eq!(
        rules(&done),
        [json!({
            "from": [{"source": {"notRemoteIpBlocks": ["10.0.0.0/8", "192.168.1.1"]}}],
            "to": [{"operation": {"hosts": ["a.com", "a.com:*"], "paths": ["/adm", "/adm/*"],
                "notPaths": ["/adm/pub", "/adm/pub/*"]}}]
        })]
    );
    assert!(done.told("closed", "CLIENT-ADDRESS"));
}

#[test]
fn an_address_list_of_the_root_leaves_other_paths_open() {
    let closed = Ingress::new("a/closed")
        .note("denylist-source-range", "10.0.0.0/8")
        .path("a.com", "Prefix", "/", "s");
    let open = Ingress::new("a/open").path("a.com", "Exact", "/x", "s");
    let done = convert_all(&[open, closed]);
    assert_eq!(rules(&done)[0]["to"][0]["operation"]["notPaths"], json!(["/x"]));
    assert_eq!(
        rules(&done)[0]["from"],
        json!([{"source": {"remoteIpBlocks": ["10.0.0.0/8"]}}])
    );
    let open = Ingress::new("a/open").path("a.com", "Exact", "/adm", "s");
    let closed = Ingress::new("a/closed")
        .note("denylist-source-range", "10.0.0.0/8")
        .path("a.com", "Prefix", "/adm", "s");
    assert_eq!(
        rules(&convert_all(&[open, closed]))[0]["to"][0]["operation"]["paths"],
        json!(["/adm/*"])
    );
}

#[test]
fn address_lists_that_cannot_be_said_refuse_the_route() {
    let list = |host: &str, path: &str| {
        Ingress::new("a/x")
            .note("whitelist-source-range", "10.0.0.0/8")
            .path(host, "Prefix", path, "s")
    };
    for ingresses in [
        vec![list("*.a.com", "/")],
        vec![list("", "/")],
        vec![
            list("a.com", "/x"),
            Ingress::new("a/y")
                .note("use-regex", "true")
                .path("a.com", "Prefix", "/y.*", "s"),
        ],
    ] {
        let done = convert_all(&ingresses);
        assert!(
            done.told("x", "ALLOWLIST-PATHS"),
            "{ingresses:?}",
            ingresses = ingresses[0].0
        );
        assert!(!done.says("/x") || done.says("directResponse"));
        assert!(done.objects("AuthorizationPolicy").is_empty());
    }
    // One list for the whole host needs no paths.
    let done = convert_all(&[list("a.com", "/y.*").note("use-regex", "true")]);
    assert_eq!(rules(&done).len(), 1);
    assert!(rules(&done)[0]["to"][0]["operation"].get("paths").is_none());
    let done = convert_all(&[Ingress::new("a/x")
        .note("whitelist-source-range", "10.0.0/8")
        .path("a.com", "Prefix", "/", "s")]);
    assert!(done.told("x", "ALLOWLIST-INVALID") && done.conversion.objects.is_empty());
}

#[test]
fn case_25_a_lost_control_closes_the_route_and_the_rest_proceeds() {
    for (notes, code) in [
        (vec![("auth-url", "http://auth")], "AUTH-URL"),
        (vec![("auth-type", "basic"), ("auth-secret", "pw")], "AUTH-BASIC"),
        (vec![("enable-modsecurity", "true")], "WAF"),
        (vec![("configuration-snippet", "deny all;")], "SNIPPET"),
        (vec![("configuration-snippet", "return 403;")], "SNIPPET"),
        (
            vec![("configuration-snippet", "more_set_headers \"A: $host\";")],
            "SNIPPET",
        ),
        (
            vec![("auth-url", "http://auth"), ("auth-snippet", "deny all;")],
            "AUTH-DETAIL",
        ),
        (
            vec![("auth-url", "http://auth"), ("auth-signin", "http://in")],
            "AUTH-DETAIL",
        ),
        (vec![("enable-owasp-core-rules", "true")], "WAF"),
        (vec![("modsecurity-snippet", "SecRuleEngine On")], "WAF"),
        (vec![("stream-snippet", "deny all;")], "SNIPPET"),
        (vec![("limit-rps", "5")], "RATE-LIMIT"),
        (vec![("limit-rpm", "5")], "RATE-LIMIT"),
        (vec![("limit-connections", "5")], "RATE-LIMIT"),
        (vec![("limit-rate", "100")], "RATE-LIMIT"),
        (vec![("global-rate-limit", "5")], "RATE-LIMIT"),
        (vec![("proxy-body-size", "8m")], "BODY-LIMIT"),
        (vec![("satisfy", "any")], "SATISFY-ANY"),
        (vec![("proxy-ssl-verify", "on")], "UPSTREAM-TLS"),
        (vec![("proxy-ssl-secret", "a/client")], "UPSTREAM-TLS"),
    ] {
        let mut closed = Ingress::new("a/closed")
            .path("a.com", "Prefix", "/adm", "secret-service")
            .path("c.com", "Prefix", "/", "secret-service");
        for (name, value) in &notes {
            closed = closed.note(name, value);
        }
        let open = Ingress::new("a/open")
            .path("a.com", "Prefix", "/", "s")
            .path("b.com", "Prefix", "/", "s");
        let all = [closed, open];
        let done = convert_all(&all);
        assert!(
            done.told("closed", code),
            "{code}: {:?}",
            done.ingress("closed").entries
        );
        let entry = done
            .ingress("closed")
            .entries
            .iter()
            .find(|entry| entry.code.text() == code)
            .unwrap();
        assert!(entry.sec && entry.refuses(), "{code}");
        assert!(!done.says("secret-service"), "{code}");
        assert_eq!(
            done.answer(&get("a.com", "/adm/x")),
            "503",
            "not the other path's either"
        );
        assert_eq!(done.answer(&get("c.com", "/")), "none");
        assert_eq!(done.answer(&get("a.com", "/")), "s /");
        assert_eq!(done.answer(&get("b.com", "/")), "s /");
        assert!(done.conversion.report.refused());
        let mut codes = vec![code];
        codes.extend(
            done.ingress("closed")
                .entries
                .iter()
                .filter(|e| e.refuses())
                .map(|e| e.code.text()),
        );
        let done = convert_with(&all, &[], &accepting(&codes));
        assert_eq!(
            done.answer(&get("a.com", "/adm/x")),
            "secret-service /adm/x",
            "{code}"
        );
        assert!(!done.conversion.report.refused());
        assert!(done.ingress("closed").entries.iter().any(|entry| entry.accepted));
    }
}

#[test]
fn a_lost_control_of_the_whole_host_closes_every_ingress_of_it() {
    for (name, value, code) in [
        ("server-snippet", "deny all;", "SNIPPET"),
        ("auth-tls-secret", "a/ca", "AUTH-TLS"),
    ] {
        let guard = Ingress::new("a/guard")
            .note(name, value)
            .path("a.com", "Prefix", "/x", "s");
        let other = Ingress::new("a/other")
            .path("a.com", "Prefix", "/", "s")
            .path("b.com", "Prefix", "/", "s");
        let done = convert_all(&[guard, other]);
        assert!(done.told("other", code));
        assert_eq!(done.answer(&get("a.com", "/")), "none");
        assert_eq!(done.answer(&get("b.com", "/")), "s /");
    }
}

#[test]
fn what_is_switched_off_or_unlimited_is_no_loss() {
    let mut ingress = Ingress::new("a/x").path("a.com", "Prefix", "/", "s");
    for (name, value) in [
        ("proxy-body-size", "0"),
        ("enable-modsecurity", "false"),
        ("proxy-ssl-verify", "off"),
        ("auth-realm", "x"),
    ] {
        ingress = ingress.note(name, value);
    }
    let done = convert_all(&[ingress]);
    assert_eq!(done.answer(&get("a.com", "/")), "s /");
    assert!(!done.conversion.report.refused());
}

#[test]
fn controls_of_the_whole_controller_close_everything_they_protect() {
    let one = Ingress::new("a/x").path("a.com", "Prefix", "/", "s");
    let free = Ingress::new("a/free")
        .note("enable-global-auth", "false")
        .path("b.com", "Prefix", "/", "s");
    let all = [one.clone(), free];
    let done = convert_with(
        &all,
        &[config(json!({"global-auth-url": "http://auth"}))],
        &Options::default(),
    );
    assert_eq!(done.answer(&get("a.com", "/")), "none");
    assert_eq!(done.answer(&get("b.com", "/")), "s /");
    let done = convert_with(
        &all,
        &[config(json!({"block-user-agents": "bad"}))],
        &Options::default(),
    );
    assert!(done.conversion.objects.is_empty());
    assert!(done.told("x", "CONTROLLER-SECURITY"));
    let done = convert_with(
        &[one],
        &[config(json!({"whitelist-source-range": "10.0.0.0/8"}))],
        &Options::default(),
    );
    assert_eq!(rules(&done).len(), 1, "the controller's list is every Ingress's");
}

#[test]
fn what_cannot_be_compared_is_closed_rather_than_left_to_a_path_that_protects_less() {
    let guarded = Ingress::new("a/x")
        .note("use-regex", "true")
        .note("auth-url", "https://auth.a.com")
        .path("a.com", "ImplementationSpecific", "/api/(?!public)", "app");
    let open = Ingress::new("a/y").path("a.com", "Prefix", "/", "app").path(
        "a.com",
        "Prefix",
        "/apx/yyyyyyyyyyyyyyyyyy",
        "app",
    );
    let done = convert_all(&[guarded, open]);
    assert_eq!(done.answer(&get("a.com", "/api/admin")), "503");
    assert_eq!(done.answer(&get("a.com", "/API/admin")), "503");
    assert_eq!(
        done.answer(&get("a.com", "/apx/yyyyyyyyyyyyyyyyyy")),
        "app /apx/yyyyyyyyyyyyyyyyyy"
    );
    assert_eq!(done.answer(&get("a.com", "/other")), "app /other");
    assert!(done.told("y", "BEHIND-REFUSED"));
    // A plain path with characters that are sent as octets.
    let guarded = Ingress::new("a/x")
        .note("auth-url", "https://auth.a.com")
        .path("a.com", "Prefix", "/a b", "app");
    let open = Ingress::new("a/y").path("a.com", "Prefix", "/", "app");
    let done = convert_all(&[guarded, open]);
    assert_eq!(done.answer(&get("a.com", "/a%20b/c")), "503");
    assert_eq!(done.answer(&get("a.com", "/a%20bc")), "app /a%20bc");
}

#[test]
fn plugins_of_the_controller_look_at_every_request_and_what_comes_with_them_is_told() {
    let one = Ingress::new("a/x").path("a.com", "Prefix", "/", "s");
    let settings = config(json!({
        "plugins": "crowdsec", "lua-shared-dicts": "crowdsec_cache: 50m",
        "main-snippet": "load_module m.so;", "hide-headers": "Server", "ssl-reject-handshake": "true",
        "proxy-cookie-path": "/ /x",
    }));
    let done = convert_with(
        std::slice::from_ref(&one),
        std::slice::from_ref(&settings),
        &Options::default(),
    );
    assert!(done.conversion.objects.is_empty());
    assert!(done.told("x", "CONTROLLER-SECURITY"));
    for key in [
        "lua-shared-dicts",
        "main-snippet",
        "hide-headers",
        "ssl-reject-handshake",
        "proxy-cookie-path",
    ] {
        let told = done.conversion.report.controller.iter();
        let told = told.filter(|entry| entry.code.text() == "CONTROLLER-SETTING");
        assert!(
            told.clone().any(|entry| entry.field == format!("data.{key}")),
            "{key}"
        );
    }
    let done = convert_with(&[one], &[settings], &accepting(&["CONTROLLER-SECURITY"]));
    assert_eq!(done.answer(&get("a.com", "/")), "s /");
}

#[test]
fn case_22_addresses_that_something_in_front_tells_are_not_taken_for_the_clients() {
    let listed = Ingress::new("a/listed")
        .note("whitelist-source-range", "10.0.0.0/8")
        .path("a.com", "Prefix", "/", "s");
    let open = Ingress::new("a/open").path("b.com", "Prefix", "/", "s");
    let all = [listed, open];
    for key in ["use-forwarded-headers", "use-proxy-protocol", "enable-real-ip"] {
        let settings = [config(json!({key: "true"}))];
        let done = convert_with(&all, &settings, &Options::default());
        let entries = &done.ingress("listed").entries;
        let told = entries
            .iter()
            .find(|entry| entry.code.text() == "CLIENT-ADDRESS-TOLD");
        let told = told.unwrap_or_else(|| panic!("{key}: {entries:?}"));
        assert!(
            told.sec && told.refuses() && told.detail.contains(key),
            "{told:?}"
        );
        assert!(!done.told("listed", "CLIENT-ADDRESS"));
        assert_eq!(done.answer(&get("a.com", "/")), "none", "{key}");
        assert_eq!(done.answer(&get("b.com", "/")), "s /", "{key}");
        let done = convert_with(&all, &settings, &accepting(&["CLIENT-ADDRESS-TOLD"]));
        assert_eq!(done.answer(&get("a.com", "/")), "s /");
        assert_eq!(rules(&done).len(), 1, "the list is written all the same");
    }
    // The controller's own list, too.
    let settings = [config(
        json!({"denylist-source-range": "10.0.0.0/8", "use-proxy-protocol": "true"}),
    )];
    let done = convert_with(&all, &settings, &Options::default());
    assert!(done.told("open", "CLIENT-ADDRESS-TOLD") && done.conversion.objects.is_empty());
    let off = [config(json!({"use-proxy-protocol": "false"}))];
    let done = convert_with(&all, &off, &Options::default());
    assert!(done.told("listed", "CLIENT-ADDRESS"));
    assert_eq!(done.answer(&get("a.com", "/")), "s /");
}

#[test]
fn nothing_is_redirected_to_an_https_that_nobody_serves() {
    let without = || {
        let mut ingress = Ingress::new("a/x").path("a.com", "Prefix", "/", "s").path(
            "a.com",
            "Prefix",
            "/.well-known/acme-challenge",
            "acme",
        );
        ingress.0["spec"]["tls"] = json!([{"hosts": ["a.com"]}]);
        ingress
    };
    let done = convert_all(&[without()]);
    let entries = &done.ingress("x").entries;
    let told = entries
        .iter()
        .find(|entry| entry.code.text() == "TLS-REDIRECT-NOWHERE");
    assert!(
        told.is_some_and(gradual_rollout_migration::report::Entry::refuses),
        "{entries:?}"
    );
    assert_eq!(done.answer(&get("a.com", "/y")), "503");
    let challenge = "/.well-known/acme-challenge/t";
    assert_eq!(
        done.answer(&get("a.com", challenge)),
        format!("acme {challenge}"),
        "what is not redirected is served"
    );
    let options = Options {
        default_certificate: Some(("in".to_owned(), "wild".to_owned())),
        ..Options::default()
    };
    let done = convert_with(&[without()], &[], &options);
    assert!(!done.told("x", "TLS-REDIRECT-NOWHERE") && done.says("in-wild"));
    assert_eq!(done.answer(&get("a.com", "/y")), "308 https://a.com/y");
    // What is served in clear leads nowhere.
    let clear = without().note("ssl-redirect", "false");
    let done = convert_all(&[clear]);
    assert!(done.told("x", "TLS-DEFAULT-CERTIFICATE") && !done.conversion.report.refused());
    assert_eq!(done.answer(&get("a.com", "/y")), "s /y");
    // Where TLS ends in front and says so, that is where https is served.
    let fronted = [config(json!({"use-forwarded-headers": "true"}))];
    let done = convert_with(&[without()], &fronted, &Options::default());
    assert!(!done.conversion.report.refused());
    // Somebody may have a server of his own for it.
    let done = convert_with(&[without()], &[], &accepting(&["TLS-REDIRECT-NOWHERE"]));
    assert_eq!(done.answer(&get("a.com", "/y")), "308 https://a.com/y");
}

#[test]
fn who_insists_on_https_is_not_redirected_to_an_https_that_nobody_serves() {
    let plain = |host: &str| Ingress::new("a/x").path(host, "Prefix", "/", "s");
    let forced = |host: &str| plain(host).note("force-ssl-redirect", "true");
    let everywhere = [config(json!({"force-ssl-redirect": "true"}))];
    let nowhere = |done: &Done| done.told("x", "TLS-REDIRECT-NOWHERE") && done.conversion.report.refused();
    for target in [Target::Istio, Target::GatewayApi(GatewayApi::default())] {
        let options = Options {
            target,
            ..Options::default()
        };
        for (ingress, more) in [
            (forced("a.com"), &[][..]),
            (plain("a.com"), &everywhere[..]),
            (forced("*.a.com"), &[]),
            (forced(""), &[]),
        ] {
            let done = convert_with(&[ingress], more, &options);
            assert!(nowhere(&done), "{:?}", options.target);
            assert!(done.conversion.objects.is_empty() && !done.told("x", "FORCE-SSL-TRUST"));
        }
        // An Ingress may say that it does not insist.
        let done = convert_with(
            &[plain("a.com").note("force-ssl-redirect", "false")],
            &everywhere,
            &options,
        );
        assert!(!done.conversion.report.refused());
    }
    // nginx's own certificate is known: then the gateway serves https, too, and redirects there whatever a client says.
    let known = Options {
        default_certificate: Some(("in".to_owned(), "own".to_owned())),
        ..Options::default()
    };
    let done = convert_with(&[forced("a.com")], &[], &known);
    assert!(!done.conversion.report.refused() && done.says("in-own"));
    assert!(!done.told("x", "FORCE-SSL-TRUST"));
    let claims = get("a.com", "/y").header("x-forwarded-proto", "https");
    assert_eq!(done.answer(&claims), "308 https://a.com/y");
    assert_eq!(done.answer(&get("a.com", "/y").https()), "s /y");
    // So it does where a wildcard over it has a certificate.
    let wild = Ingress::new("a/w")
        .tls(&["*.a.com"], "t")
        .path("*.a.com", "Prefix", "/", "s");
    let done = convert_all(&[wild, forced("x.a.com")]);
    assert!(!done.conversion.report.refused());
    assert_eq!(done.answer(&get("x.a.com", "/y")), "308 https://x.a.com/y");
    // Where TLS ends in front and says so, the header alone tells.
    let fronted = [config(json!({"use-forwarded-headers": "true"}))];
    for options in [Options::default(), known] {
        let done = convert_with(&[forced("a.com")], &fronted, &options);
        assert!(!done.conversion.report.refused() && done.told("x", "FORCE-SSL-TRUST"));
    }
    // Somebody may have a server of his own for it.
    let done = convert_with(&[forced("a.com")], &[], &accepting(&["TLS-REDIRECT-NOWHERE"]));
    let clear = get("a.com", "/y").header("x-forwarded-proto", "http");
    assert_eq!(done.answer(&clear), "308 https://a.com/y");
}
