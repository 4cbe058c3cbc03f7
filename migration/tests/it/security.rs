//! Controls that must not get lost: acceptance cases 22 and 25.

use crate::envoy::get;
use crate::given::{Done, Ingress, accepting, config, convert_all, convert_with};
use gradual_rollout_migration::convert::Options;
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
