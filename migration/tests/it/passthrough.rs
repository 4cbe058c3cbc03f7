//! Hosts whose TLS is passed through: what comes in clear, and which names those are.

use crate::envoy::get;
use crate::given::{Done, Ingress, accepting, convert_with};
use gradual_rollout_migration::convert::Options;
use serde_json::{Value, json};

fn passing(options: Options) -> Options {
    Options {
        controller_flags: vec!["--enable-ssl-passthrough".to_owned()],
        ..options
    }
}

fn converted(ingresses: &[Ingress]) -> Done {
    convert_with(ingresses, &[], &passing(Options::default()))
}

fn through(host: &str) -> Ingress {
    Ingress::new("a/through")
        .note("ssl-passthrough", "true")
        .path(host, "Prefix", "/", "p")
}

/// The hosts of the servers that pass TLS through, and the SNI names that they are matched by.
fn passed(done: &Done) -> Vec<Value> {
    let gateways = done.objects("Gateway");
    let servers = gateways
        .iter()
        .flat_map(|gateway| gateway["spec"]["servers"].as_array().unwrap());
    let passing = servers.filter(|server| server["tls"]["mode"] == "PASSTHROUGH");
    let names = done.objects("VirtualService");
    let tls = names
        .iter()
        .flat_map(|service| service["spec"]["tls"].as_array().into_iter().flatten());
    passing
        .map(|server| server["hosts"].clone())
        .chain(tls.map(|route| route["match"][0]["sniHosts"].clone()))
        .collect()
}

#[test]
fn a_host_whose_tls_is_passed_through_is_redirected_in_clear_as_by_nginx() {
    let forced = through("p.com").note("force-ssl-redirect", "true");
    let certified = through("p.com").tls(&["p.com"], "t");
    for ingress in [forced, certified] {
        let ingress = ingress.note("backend-protocol", "HTTPS");
        let other = Ingress::new("a/other")
            .note("ssl-passthrough", "true")
            .path("q.com", "Prefix", "/", "p");
        let done = converted(&[ingress, other]);
        assert_eq!(done.answer(&get("p.com", "/x?y=1")), "308 https://p.com/x?y=1");
        assert_eq!(
            passed(&done)[0],
            json!(["a/p.com", "a/q.com"]),
            "TLS is passed through"
        );
        // A rule that speaks TLS would speak it inside the client's.
        assert!(done.objects("DestinationRule").is_empty());
    }
}

#[test]
fn a_host_whose_tls_is_passed_through_is_served_in_clear_where_nobody_redirects_it() {
    let paths = through("p.com").path("p.com", "Prefix", "/api", "api");
    let wild = Ingress::new("b/w").path("*.com", "Prefix", "/", "w");
    let done = converted(&[paths, wild]);
    assert_eq!(done.answer(&get("p.com", "/x")), "p /x");
    assert_eq!(done.answer(&get("p.com", "/api/x")), "api /api/x");
    assert!(done.told("through", "SSL-PASSTHROUGH-PATH"));
    // A tls section, and ssl-redirect switched off.
    let off = through("p.com")
        .tls(&["p.com"], "t")
        .note("ssl-redirect", "false");
    assert_eq!(converted(&[off]).answer(&get("p.com", "/x")), "p /x");
}

#[test]
fn what_cannot_be_said_beside_passthrough_is_closed_in_clear_and_told() {
    let wild = Ingress::new("a/w").path("*.com", "Prefix", "/", "w");
    for (name, value) in [
        ("whitelist-source-range", "10.0.0.0/8"),
        ("backend-protocol", "HTTPS"),
    ] {
        let shut = through("p.com")
            .note(name, value)
            .path("p.com", "Prefix", "/api", "api");
        let done = converted(&[shut.clone(), wild.clone()]);
        for path in ["/", "/x", "/api"] {
            assert_eq!(done.answer(&get("p.com", path)), "503", "{name} {path}");
        }
        assert!(done.told("through", "SSL-PASSTHROUGH-CLEAR"), "{name}");
        assert!(done.objects("DestinationRule").is_empty(), "{name}");
        assert_eq!(passed(&done)[0], json!(["a/p.com"]), "{name}");
        // A redirect comes before the list.
        let done = converted(&[shut.note("force-ssl-redirect", "true")]);
        assert!(!done.told("through", "SSL-PASSTHROUGH-CLEAR"), "{name}");
        assert_eq!(
            done.answer(&get("p.com", "/api")),
            "308 https://p.com/api",
            "{name}"
        );
    }
}

#[test]
fn a_wildcard_of_another_namespace_shows_no_certificate_for_a_host_whose_tls_is_passed_through() {
    let wild = Ingress::new("b/w")
        .tls(&["*.com"], "t")
        .path("*.com", "Prefix", "/", "w");
    let done = converted(&[through("p.com"), wild]);
    let gateways = done.objects("Gateway");
    let servers = gateways
        .iter()
        .flat_map(|gateway| gateway["spec"]["servers"].as_array().unwrap());
    let https = servers.filter(|server| server["port"]["protocol"] == "HTTPS");
    let named: Vec<String> = https.map(|server| server["hosts"].to_string()).collect();
    assert_eq!(named, [r#"["b/*.com"]"#]);
    // Who has the wildcard's certificate is redirected, as by nginx.
    assert_eq!(done.answer(&get("p.com", "/")), "308 https://p.com/");
}

#[test]
fn one_port_is_not_passed_tls_through_and_spoken_tls_to() {
    let other = Ingress::new("a/other")
        .day(2)
        .note("backend-protocol", "HTTPS")
        .path("o.com", "Prefix", "/", "p");
    let own = through("p.com").day(1).note("backend-protocol", "HTTPS");
    let done = converted(&[own, other]);
    assert!(done.told("other", "BACKEND-CONFLICT"));
    assert!(done.objects("DestinationRule").is_empty());
}

#[test]
fn under_a_wildcard_no_tls_is_passed_through_as_nginx_compares_names_exactly() {
    let guarded = Ingress::new("a/guarded")
        .note("auth-url", "http://auth/x")
        .path("q.ex.com", "Prefix", "/", "g");
    let all = [through("*.ex.com"), guarded];
    let done = converted(&all);
    assert!(done.told("through", "SSL-PASSTHROUGH-WILDCARD"));
    assert!(passed(&done).is_empty() && done.conversion.report.refused());
    let accepted = accepting(&["SSL-PASSTHROUGH-WILDCARD"]);
    let done = convert_with(&all, &[], &passing(accepted));
    assert!(passed(&done).is_empty());
    assert_eq!(done.answer(&get("y.ex.com", "/")), "p /");
    assert_eq!(done.answer(&get("q.ex.com", "/")), "503");
}

#[test]
fn a_further_name_of_a_host_is_not_passed_through() {
    let named = through("p.com").note("server-alias", "alias.com");
    let done = converted(&[named]);
    assert_eq!(passed(&done), [json!(["a/p.com"]), json!(["p.com"])]);
    assert_eq!(done.answer(&get("alias.com", "/")), "p /");
}
