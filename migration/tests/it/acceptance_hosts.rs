//! Acceptance cases about hosts, TLS and back ends: 11 to 17.

use crate::envoy::get;
use crate::given::{Ingress, config, convert_all, convert_objects, convert_with, secret, service};
use gradual_rollout_migration::convert::Options;
use gradual_rollout_migration::report::Code;
use serde_json::{Value, json};

#[test]
fn case_11_http_is_redirected_where_it_was_and_acme_has_paths_of_its_own() {
    let one = Ingress::new("a/x")
        .tls(&["a.com"], "t")
        .path("a.com", "Prefix", "/", "s");
    let two = Ingress::new("a/y")
        .note("ssl-redirect", "false")
        .path("a.com", "Prefix", "/clear", "c");
    let done = convert_all(&[one, two]);
    let clear = |path: &str| done.answer(&get("a.com", path));
    assert_eq!(clear("/p?x=1"), "308 https://a.com/p?x=1");
    assert_eq!(clear("/clear/x"), "c /clear/x");
    // The controller exempts locations, not requests: those of a solver's Ingress, and no other.
    let acme = "/.well-known/acme-challenge/t";
    assert_eq!(clear(acme), format!("308 https://a.com{acme}"));
    assert_eq!(done.answer(&get("a.com", "/p").https()), "s /p");
    // HSTS is on unless it was switched off, on https alone.
    let hsts = |route: Option<Value>| {
        route
            .unwrap()
            .pointer("/headers/response/set/strict-transport-security")
            .cloned()
    };
    let usual = json!("max-age=31536000; includeSubDomains");
    assert_eq!(hsts(done.route(&get("a.com", "/p").https())), Some(usual.clone()));
    assert_eq!(hsts(done.route(&get("a.com", "/clear").https())), Some(usual));
    assert_eq!(hsts(done.route(&get("a.com", "/clear"))), None);
    // Regular expressions too.
    let regex = Ingress::new("a/x")
        .tls(&["a.com"], "t")
        .note("rewrite-target", "/$1")
        .path("a.com", "Prefix", "/(.*)", "s");
    let solver = Ingress::new("a/y").path("a.com", "Exact", acme, "solver");
    let done = convert_all(&[regex, solver]);
    assert_eq!(done.answer(&get("a.com", acme)), format!("solver {acme}"));
    assert_eq!(done.answer(&get("a.com", "/q")), "308 https://a.com/q");
}

#[test]
fn what_no_path_has_is_redirected_too_and_then_404() {
    let done = convert_all(&[Ingress::new("a/x")
        .tls(&["a.com"], "t")
        .path("a.com", "Prefix", "/foo", "s")]);
    assert_eq!(done.answer(&get("a.com", "/other")), "308 https://a.com/other");
    assert_eq!(done.answer(&get("a.com", "/other").https()), "404");
}

#[test]
fn case_12_force_ssl_redirect_behind_a_load_balancer_does_not_loop() {
    let forced = Ingress::new("a/x").note("force-ssl-redirect", "true");
    let forced = forced.path("a.com", "Prefix", "/", "s");
    let believed = config(json!({"use-forwarded-headers": "true"}));
    let done = convert_with(&[forced], &[believed], &Options::default());
    let proto = |scheme: &str| done.answer(&get("a.com", "/p").header("x-forwarded-proto", scheme));
    assert_eq!(proto("http"), "308 https://a.com/p");
    assert_eq!(proto("https"), "s /p");
    assert!(done.told("x", "FORCE-SSL-TRUST"));
}

#[test]
fn case_13_each_host_has_its_own_certificate_in_the_gateways_namespace() {
    let ingress = Ingress::new("a/x")
        .tls(&["a.com"], "one")
        .tls(&["b.com"], "two")
        .path("a.com", "Prefix", "/", "s")
        .path("b.com", "Prefix", "/", "s");
    let done = convert_all(&[ingress]);
    let gateway = done.objects("Gateway")[0];
    let https: Vec<&Value> = gateway["spec"]["servers"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|s| s["port"]["number"] == 443)
        .collect();
    assert_eq!(https.len(), 2);
    let copies = &done.conversion.report.secrets;
    assert_eq!(copies.len(), 2);
    for (host, from) in [("a/a.com", "one"), ("a/b.com", "two")] {
        let server = https.iter().find(|s| s["hosts"] == json!([host])).unwrap();
        let copy = copies.iter().find(|copy| copy.from_name == from).unwrap();
        assert_eq!(
            server["tls"],
            json!({"mode": "SIMPLE", "credentialName": copy.to_name})
        );
        assert_eq!(
            (copy.from_namespace.as_str(), copy.to_namespace.as_str()),
            ("a", "istio-system")
        );
    }
    let near = Options {
        gateway_namespace: "a".to_owned(),
        ..Options::default()
    };
    let done = convert_with(
        &[Ingress::new("a/x")
            .tls(&["a.com"], "one")
            .path("a.com", "Prefix", "/", "s")],
        &[],
        &near,
    );
    assert!(
        done.conversion.report.secrets.is_empty(),
        "no copy where it is there"
    );
    assert_eq!(
        done.objects("Gateway")[0]["spec"]["servers"][1]["tls"]["credentialName"],
        "one"
    );
}

#[test]
fn case_14_hosts_with_one_secret_share_one_server() {
    let one = Ingress::new("a/x")
        .tls(&["*.a.com"], "wild")
        .path("x.a.com", "Prefix", "/", "s");
    let two = Ingress::new("a/y")
        .tls(&["x.a.com", "y.a.com"], "wild")
        .path("x.a.com", "Prefix", "/y", "s")
        .path("y.a.com", "Prefix", "/", "s");
    let done = convert_all(&[one, two]);
    let gateway = done.objects("Gateway");
    assert_eq!(gateway.len(), 1);
    let servers = gateway[0]["spec"]["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 2, "one for http, one for the certificate");
    assert_eq!(servers[1]["hosts"], json!(["a/x.a.com", "a/y.a.com"]));
}

#[test]
fn one_certificate_in_several_secrets_is_shown_by_that_of_the_platform_and_told_where_there_is_none() {
    let pem = |key: &str, text: &str| {
        let mut object = secret(key);
        object["data"] = json!({"tls.crt": "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t", "tls.key": text});
        object
    };
    let one = |namespace: &str| {
        let host = format!("{namespace}.w.com");
        Ingress::new(&format!("{namespace}/x"))
            .tls(&[&host], "wild")
            .path(&host, "Prefix", "/", "s")
            .0
    };
    let servers = |more: &[Value], options: &Options| {
        let given = [one("a"), one("b"), service("a/s"), service("b/s")];
        let done = convert_objects(&[&given[..], more].concat(), options);
        let gateway = done.objects("Gateway")[0].clone();
        let all = gateway["spec"]["servers"].as_array().unwrap().clone();
        let hosts: Vec<Value> = all
            .iter()
            .filter(|server| server["port"]["number"] == 443)
            .map(|server| json!([server["hosts"], server["tls"]["credentialName"]]))
            .collect();
        let told = ["a", "b"].map(|namespace| {
            let mut all = done.conversion.report.ingresses.iter();
            let its = all.find(|result| result.namespace == namespace).unwrap();
            its.entries
                .iter()
                .any(|entry| entry.code == Code::SameCertificate)
        });
        (hosts, told)
    };
    let tenants = [pem("a/wild", "eA=="), pem("b/wild", "eA==")];
    let (hosts, told) = servers(&tenants, &Options::default());
    assert_eq!((hosts.len(), told), (2, [true, true]));
    // Who has the certificate, and not its key, has another.
    let other = [pem("a/wild", "eA=="), pem("b/wild", "eQ==")];
    let (hosts, told) = servers(&other, &Options::default());
    assert_eq!((hosts.len(), told), (2, [false, false]));
    let both = json!([["a/a.w.com", "b/b.w.com"], "wild"]);
    let home = [&tenants[..], &[pem("istio-system/wild", "eA==")]].concat();
    let (hosts, told) = servers(&home, &Options::default());
    assert_eq!((hosts, told), (vec![both], [false, false]));
    let platform = [&tenants[..], &[pem("p/default", "eA==")]].concat();
    let options = Options {
        default_certificate: Some(("p".to_owned(), "default".to_owned())),
        ..Options::default()
    };
    let (hosts, told) = servers(&platform, &options);
    assert_eq!((hosts.len(), told), (1, [false, false]));
    assert_eq!(hosts[0][0], json!(["a/a.w.com", "b/b.w.com"]));
    // What this program copied there is no certificate of the platform's.
    let mut copy = pem("istio-system/a-wild", "eA==");
    copy["metadata"]["labels"] = json!({"app.kubernetes.io/managed-by": "gradual-rollout"});
    let (hosts, _) = servers(&[&tenants[..], &[copy]].concat(), &Options::default());
    assert_eq!(hosts.len(), 2);
}

#[test]
fn case_15_a_wildcard_stands_for_one_label() {
    let wild = Ingress::new("a/w").path("*.a.com", "Prefix", "/", "w");
    let own = Ingress::new("a/x").path("x.a.com", "Prefix", "/", "x");
    let done = convert_all(&[wild, own]);
    assert_eq!(done.answer(&get("x.a.com", "/")), "x /");
    assert_eq!(done.answer(&get("y.a.com", "/")), "w /");
    assert_eq!(done.answer(&get("z.y.a.com", "/")), "404");
    assert!(done.told("w", "WILDCARD-DEPTH"));
}

#[test]
fn case_16_default_back_ends() {
    let rules = Ingress::new("a/r")
        .default("d")
        .path("a.com", "Prefix", "/api", "s");
    let hostless = Ingress::new("a/h").path("", "Prefix", "/any", "h");
    let bare = Ingress::new("a/b").default("all");
    let done = convert_all(&[rules.clone(), hostless.clone(), bare]);
    assert_eq!(done.answer(&get("a.com", "/api")), "s /api");
    assert_eq!(done.answer(&get("a.com", "/other")), "d /other");
    assert_eq!(done.answer(&get("unknown.org", "/any/x")), "h /any/x");
    assert_eq!(done.answer(&get("unknown.org", "/x")), "all /x");
    let done = convert_all(&[rules.path("a.com", "Prefix", "/", "root"), hostless]);
    assert!(done.told("r", "DEFAULT-BACKEND-UNUSED"));
    assert_eq!(done.answer(&get("a.com", "/other")), "root /other");
    assert_eq!(done.answer(&get("unknown.org", "/x")), "404");
}

#[test]
fn case_17_ports_are_resolved_and_what_is_missing_is_refused_alone() {
    let to = |name: &str, port: Value| json!({"service": {"name": name, "port": port}});
    let ingress = Ingress::new("a/x")
        .path_to("a.com", "Prefix", "/name", to("s", json!({"name": "web"})))
        .path_to("a.com", "Prefix", "/target", to("s", json!({"number": 8080})))
        .path_to("a.com", "Prefix", "/number", to("s", json!({"number": 80})))
        .path_to("a.com", "Prefix", "/wrong", to("s", json!({"number": 81})))
        .path_to("b.com", "Prefix", "/gone", to("gone", json!({"number": 80})));
    let done = convert_objects(&[service("a/s"), ingress.0], &Options::default());
    for path in ["/name", "/target", "/number"] {
        let route = done.route(&get("a.com", path)).unwrap();
        assert_eq!(
            route.pointer("/route/0/destination/port/number"),
            Some(&json!(80)),
            "{path}"
        );
    }
    assert_eq!(
        done.answer(&get("a.com", "/wrong")),
        "503",
        "closed, and in no other path's hands"
    );
    assert_eq!(done.answer(&get("b.com", "/gone")), "none");
    for code in ["PORT-TARGET", "PORT-MISSING", "SERVICE-MISSING"] {
        assert!(done.told("x", code), "{code}");
    }
    assert!(done.conversion.report.refused());
}

#[test]
fn a_host_of_two_namespaces_has_one_object_with_full_names() {
    let one = Ingress::new("a/x").day(1).path("a.com", "Prefix", "/", "s");
    let two = Ingress::new("b/y").day(2).path("a.com", "Prefix", "/b", "s");
    let done = convert_all(&[two, one]);
    assert_eq!(done.objects("VirtualService").len(), 1);
    assert_eq!(done.objects("VirtualService")[0]["metadata"]["namespace"], "a");
    assert!(done.says("s.b.svc.cluster.local") && done.told("y", "HOST-SHARED"));
}

#[test]
fn hosts_without_tls_are_answered_with_the_default_certificate_where_there_is_one() {
    let ingress = Ingress::new("a/x").path("a.com", "Prefix", "/", "s");
    let done = convert_all(std::slice::from_ref(&ingress));
    assert_eq!(done.answer(&get("a.com", "/").https()), "none");
    let with = Options {
        default_certificate: Some(("istio-system".to_owned(), "default".to_owned())),
        ..Options::default()
    };
    let done = convert_with(&[ingress], &[], &with);
    assert_eq!(done.answer(&get("a.com", "/").https()), "s /");
    assert_eq!(done.answer(&get("a.com", "/")), "s /", "nobody is sent there");
    assert!(!done.says("strict-transport-security"));
}

#[test]
fn the_oldest_ingress_with_tls_decides_about_the_certificate() {
    let old = Ingress::new("a/old")
        .day(1)
        .tls(&["a.com"], "one")
        .path("a.com", "Prefix", "/", "s");
    let new = Ingress::new("a/new")
        .day(2)
        .tls(&["a.com"], "two")
        .path("a.com", "Prefix", "/n", "s");
    let done = convert_all(&[new, old]);
    assert!(done.told("new", "TLS-OLDER-DECIDES"));
    assert_eq!(done.conversion.report.secrets.len(), 1);
    assert_eq!(done.conversion.report.secrets[0].from_name, "one");
}

#[test]
fn other_names_of_a_server() {
    let ingress = Ingress::new("a/x")
        .note("server-alias", "b.com,~^c")
        .note("from-to-www-redirect", "true")
        .path("a.com", "Prefix", "/", "s");
    let done = convert_all(&[ingress]);
    assert_eq!(done.answer(&get("b.com", "/")), "s /");
    assert_eq!(done.answer(&get("www.a.com", "/p")), "308 http://a.com/p");
    for code in ["SERVER-ALIAS", "WWW-REDIRECT"] {
        assert!(done.told("x", code), "{code}");
    }
}

#[test]
fn tls_is_passed_through_where_the_controller_does() {
    let ingress = Ingress::new("a/x")
        .note("ssl-passthrough", "true")
        .path("a.com", "Prefix", "/", "s");
    let done = convert_all(std::slice::from_ref(&ingress));
    assert!(done.told("x", "SSL-PASSTHROUGH") && done.conversion.objects.is_empty());
    let on = Options {
        controller_flags: vec!["--enable-ssl-passthrough".to_owned()],
        ..Options::default()
    };
    let done = convert_with(&[ingress], &[], &on);
    let service = done.objects("VirtualService")[0];
    assert_eq!(
        service["spec"]["tls"][0]["match"][0]["sniHosts"],
        json!(["a.com"])
    );
    let servers = &done.objects("Gateway")[0]["spec"]["servers"];
    let modes: Vec<&Value> = servers
        .as_array()
        .unwrap()
        .iter()
        .map(|server| &server["tls"]["mode"])
        .collect();
    assert_eq!(modes, [&Value::Null, &json!("PASSTHROUGH")]);
}

#[test]
fn a_host_without_a_dot_is_refused() {
    let short = Ingress::new("a/x")
        .path("intranet", "Prefix", "/", "s")
        .path("a.com", "Prefix", "/", "s");
    let done = convert_all(&[short]);
    assert!(done.told("x", "HOST-WITHOUT-DOT"));
    assert_eq!(done.answer(&get("intranet", "/")), "none");
    assert_eq!(done.answer(&get("a.com", "/")), "s /");
}

#[test]
fn a_host_under_a_wildcard_is_never_the_wildcards() {
    let wild = Ingress::new("a/w")
        .tls(&["*.a.com"], "wild")
        .path("*.a.com", "Prefix", "/", "w");
    let own = |secret: &str| {
        Ingress::new("a/x")
            .tls(&["x.a.com"], secret)
            .path("x.a.com", "Exact", "/only", "x")
    };
    let done = convert_all(&[wild.clone(), own("own")]);
    assert_eq!(
        done.objects("Gateway").len(),
        2,
        "the wildcard does not know the second"
    );
    for secret in ["own", "wild"] {
        let done = convert_all(&[wild.clone(), own(secret)]);
        assert_eq!(done.answer(&get("x.a.com", "/only").https()), "x /only");
        assert_eq!(done.answer(&get("x.a.com", "/else").https()), "404");
        assert_eq!(done.answer(&get("y.a.com", "/else").https()), "w /else");
    }
    // Where nothing of it can be served, nothing of the wildcard's is either.
    let refused = own("own").note("auth-url", "https://auth.a.com");
    let done = convert_all(&[wild, refused]);
    assert_eq!(done.answer(&get("x.a.com", "/only").https()), "503");
    assert_eq!(done.answer(&get("x.a.com", "/else").https()), "503");
}
