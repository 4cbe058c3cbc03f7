//! The five traps of the leg between nginx and Istio, each as a refusal.

use super::*;
use crate::routing::{Classes, Code, Finding, controller_findings};

#[test]
fn leg_1_another_host_than_the_clients_needs_a_route_of_its_own() {
    let mut cluster = Cluster::new();
    cluster.annotate("one", "upstream-vhost", "inner.example.com");
    assert_eq!(cluster.blockers(&shop("")), ["UpstreamVhost"]);
    cluster.route("inner.example.com");
    assert!(cluster.blockers(&shop("")).is_empty());
}

#[test]
fn a_snippet_that_sends_another_host_is_refused_like_the_annotation() {
    let mut cluster = Cluster::new();
    cluster.annotate(
        "one",
        "configuration-snippet",
        "proxy_set_header Host inner.example.com;",
    );
    assert_eq!(cluster.blockers(&shop("")), ["UpstreamVhost"]);
    cluster.annotate(
        "one",
        "configuration-snippet",
        "proxy_set_header Host $http_host;",
    );
    assert!(cluster.blockers(&shop("")).is_empty());
}

#[test]
fn further_names_of_a_server_belong_to_the_closure() {
    let told = |cluster: &Cluster| {
        let found = cluster.found(&shop("")).findings;
        let mut blocking = found.into_iter().filter(Finding::blocks);
        blocking.next().map(|f| (f.code, f.object, f.field, f.message))
    };
    let alias = "nginx.ingress.kubernetes.io/server-alias";
    let mut cluster = Cluster::new();
    // Of another Ingress of the host: the name is the server's, so it has every location of it.
    let mut other = ingress("other", "one.example.com", "/api", "api");
    other["metadata"]["labels"] = json!({});
    other["metadata"]["annotations"] = json!({alias: "www.example.com, alt.example.org"});
    cluster.add(other);
    cluster.route("www.example.com");
    let (code, object, field, message) = told(&cluster).unwrap();
    assert_eq!(
        (code, object.as_str(), field.as_deref()),
        (Code::RouteMissing, "ingress apps/other", Some(alias))
    );
    assert!(message.contains("alt.example.org"), "{message}");
    cluster.route("alt.example.org");
    assert_eq!(told(&cluster), None);
    cluster.annotate("other", "server-alias", "~^x[0-9]+$");
    assert!(told(&cluster).is_some(), "a pattern may be any name");
    cluster.route("*");
    assert_eq!(told(&cluster), None);
    // A name that has a server of its own is no further name.
    let mut cluster = Cluster::new();
    cluster.annotate("one", "server-alias", "real.example.com");
    assert!(told(&cluster).is_some());
    let mut real = ingress("real", "real.example.com", "/", "real");
    real["metadata"]["labels"] = json!({});
    cluster.add(real);
    assert_eq!(told(&cluster), None);
}

#[test]
fn leg_2_a_path_that_nginx_rewrites_is_refused_for_the_whole_host() {
    for (key, value, code) in [
        ("rewrite-target", "/$2", "RewriteTarget"),
        ("use-regex", "true", "UseRegex"),
        ("app-root", "/app", "AppRoot"),
    ] {
        let mut cluster = Cluster::new();
        let mut other = ingress("other", "one.example.com", "/api", "api");
        other["metadata"]["labels"] = json!({});
        cluster.add(other);
        assert!(cluster.blockers(&shop("")).is_empty());
        cluster.annotate("other", key, value);
        assert_eq!(
            cluster.blockers(&shop("")),
            [code],
            "another Ingress of the same host"
        );
        assert!(
            cluster
                .blockers(&shop(&format!("    accept: [{code}]\n")))
                .is_empty()
        );
    }
}

#[test]
fn leg_3_a_redirect_on_the_listener_and_a_public_listener_are_refused() {
    let mut cluster = Cluster::new();
    cluster.first("VirtualService", "one.example.com")["spec"]["http"] =
        json!([{"redirect": {"scheme": "https"}}]);
    assert_eq!(cluster.blockers(&shop("")), ["RedirectLoop"]);
    // For some requests it is enough: nobody can tell whether nginx's are among them.
    for condition in [
        json!({"scheme": {"exact": "http"}}),
        json!({"headers": {"x-forwarded-proto": {"exact": "http"}}}),
    ] {
        let mut cluster = Cluster::new();
        cluster.first("VirtualService", "one.example.com")["spec"]["http"] = json!([
            {"match": [condition], "redirect": {"scheme": "https"}},
            {"route": [{"destination": {"host": "x"}}]},
        ]);
        assert_eq!(cluster.blockers(&shop("")), ["RedirectLoop"], "{condition}");
        cluster.first("VirtualService", "one.example.com")["spec"]["http"][0] =
            json!({"match": [condition], "directResponse": {"status": 404}});
        assert_eq!(cluster.blockers(&shop("")), ["Answered"], "{condition}");
    }
    let mut cluster = Cluster::new();
    cluster.first("Service", "gw")["spec"]["ports"][0]["port"] = 80.into();
    let mut shop = shop("");
    let crate::rollout::router_spec::Router::IngressNginx(spec) = &mut shop.routers[0] else {
        panic!()
    };
    spec.gateway.port = 80;
    cluster.first("Gateway", "split")["spec"]["servers"][0]["port"]["number"] = 80.into();
    assert_eq!(cluster.blockers(&shop), ["PublicListener"]);
}

#[test]
fn leg_4_nginx_speaks_to_the_gateway_as_it_does_to_its_back_ends() {
    let tls = || {
        let mut shop = shop("");
        let crate::rollout::router_spec::Router::IngressNginx(spec) = &mut shop.routers[0] else {
            panic!()
        };
        spec.gateway.tls = Some(true);
        shop
    };
    for (protocol, plain, encrypted) in [
        ("HTTPS", Some("TlsBackend"), None),
        ("GRPCS", Some("TlsBackend"), None),
        ("GRPC", None, Some("PlainBackend")),
        ("WS", None, Some("PlainBackend")),
        ("FCGI", Some("BackendProtocol"), Some("BackendProtocol")),
        ("AUTO_HTTP", Some("BackendProtocol"), Some("BackendProtocol")),
    ] {
        let mut cluster = Cluster::new();
        cluster.annotate("one", "backend-protocol", protocol);
        assert_eq!(cluster.blockers(&shop("")).first().copied(), plain, "{protocol}");
        cluster.first("Gateway", "split")["spec"]["servers"][0]["port"]["protocol"] = "HTTPS".into();
        assert_eq!(
            cluster.blockers(&tls()).first().copied(),
            encrypted,
            "{protocol} to a listener with TLS"
        );
    }
}

#[test]
fn leg_5_what_a_split_never_tests_is_said_every_time() {
    let cluster = Cluster::new();
    let shop = shop("");
    let found = cluster.found(&shop);
    let told = found
        .findings
        .iter()
        .find(|f| f.code == Code::EdgeNotTested)
        .unwrap();
    assert!(
        told.message.contains("terminating TLS") && told.remedy.contains("DNS"),
        "{told}"
    );
    assert!(!told.blocks());
}

#[test]
fn snippets_that_answer_are_refused_and_others_are_told() {
    let mut cluster = Cluster::new();
    cluster.annotate(
        "one",
        "configuration-snippet",
        "more_set_headers \"X: returned\";",
    );
    assert!(cluster.blockers(&shop("")).is_empty());
    let found = cluster.found(&shop("")).findings;
    let told = found.iter().find(|f| f.code == Code::Snippet).unwrap();
    assert_eq!(told.object, "ingress apps/one");
    for (name, text) in [
        ("server-snippet", "if ($x) { return 403; }"),
        ("configuration-snippet", "rewrite ^/x /y break;"),
    ] {
        let mut cluster = Cluster::new();
        cluster.annotate("one", name, text);
        assert_eq!(cluster.blockers(&shop("")), ["SnippetReturns"], "{text}");
    }
}

#[test]
fn what_another_ingress_says_of_the_server_counts_for_every_path_of_its_host() {
    for (name, value, code) in [
        ("server-snippet", "rewrite ^/a /b last;", "SnippetReturns"),
        (
            "server-snippet",
            "return 301 https://elsewhere.example.com;",
            "SnippetReturns",
        ),
        (
            "server-snippet",
            "set $best_http_host inner.example.com;",
            "UpstreamVhost",
        ),
        ("ssl-passthrough", "true", "SslPassthrough"),
    ] {
        let mut cluster = Cluster::new();
        let mut other = ingress("other", "one.example.com", "/api", "api");
        other["metadata"]["labels"] = json!({});
        cluster.add(other);
        cluster.annotate("other", name, value);
        let shop = shop("");
        assert_eq!(cluster.blockers(&shop), [code], "{name}: {value}");
        let found = cluster.found(&shop).findings;
        let told = found.iter().find(|f| f.code.text() == code).unwrap();
        assert_eq!(told.object, "ingress apps/other");
        assert_eq!(told.field, Some(format!("nginx.ingress.kubernetes.io/{name}")));
        // What is of its own locations alone is not ours.
        cluster.first("Ingress", "other")["metadata"]["annotations"] = json!({});
        cluster.annotate("other", "configuration-snippet", value);
        assert!(cluster.blockers(&shop).is_empty(), "{name}: {value}");
        // Nor is what another host's says.
        cluster.first("Ingress", "other")["spec"]["rules"][0]["host"] = "else.example.com".into();
        cluster.annotate("other", name, value);
        assert!(cluster.blockers(&shop).is_empty(), "{name}: {value}");
    }
}

#[test]
fn an_ingress_that_is_named_and_missing_is_said_by_name_and_nothing_is_split() {
    let named = |names: &str| {
        component(&format!(
            "- ingressNginx:\n    ingresses: {{names: [{names}]}}\n    gateway: {{namespace: istio-system, service: gw, port: 8081, name: istio-system/split}}\n"
        ))
    };
    let cluster = Cluster::new();
    assert!(cluster.blockers(&named("one")).is_empty());
    let shop = named("one, gone");
    assert_eq!(cluster.blockers(&shop), ["IngressMissing"]);
    let told = cluster.found(&shop).obstacle().unwrap();
    assert!(
        told.contains("ingress apps/gone: is named and does not exist"),
        "{told}"
    );
}

#[test]
fn more_upstreams_than_a_rollback_can_delete_in_time_are_refused() {
    let mut cluster = Cluster::new();
    for n in 0..256 {
        let host = format!("h{n}.example.com");
        cluster.add(ingress(&format!("t{n}"), &host, "/", &format!("s{n}")));
        cluster.route(&host);
        let expected: &[&str] = if n == 255 { &["TooMany"] } else { &[] };
        if n >= 254 {
            assert_eq!(cluster.blockers(&shop("")), expected, "{n}");
        }
    }
}

#[test]
fn a_rule_that_an_older_ingress_serves_is_told_and_not_split() {
    let mut cluster = Cluster::new();
    let mut older = ingress("older", "one.example.com", "/", "old");
    older["metadata"]["labels"] = json!({});
    older["metadata"]["creationTimestamp"] = "2025-01-01T00:00:00Z".into();
    cluster.add(older);
    let found = cluster.found(&shop("")).findings;
    let told = found.iter().find(|f| f.code == Code::Shadowed).unwrap();
    assert_eq!(told.object, "ingress apps/one");
    assert!(told.message.contains("ingress apps/older"), "{told}");
    assert_eq!(cluster.blockers(&shop("")), ["NothingSelected"]);
}

#[test]
fn flags_of_a_controller_that_cannot_split_are_told() {
    let controller = |flag: &str| {
        json!({"kind": "Deployment", "metadata": {"namespace": "ingress-nginx", "name": "controller"},
            "spec": {"template": {"spec": {"containers": [{"args": ["/nginx-ingress-controller", flag]}]}}}})
    };
    for (flag, expected) in [
        ("--watch-namespace=apps", Some((Code::WatchesOneNamespace, false))),
        ("--watch-namespace=", None),
        ("--disable-svc-external-name", Some((Code::ExternalNameOff, true))),
        ("--disable-svc-external-name=false", None),
    ] {
        let found = controller_findings(&controller(flag));
        let told = found.first().map(|f| (f.code, f.blocks()));
        assert_eq!(told, expected, "{flag}");
        assert!(
            found
                .iter()
                .all(|f| f.object == "ingress-nginx ingress-nginx/controller")
        );
    }
}

#[test]
fn a_gateway_that_is_not_there_is_refused() {
    let mut cluster = Cluster::new();
    cluster.first("Service", "gw")["spec"]["ports"][0]["port"] = 15021.into();
    assert_eq!(cluster.blockers(&shop("")), ["GatewayPortMissing"]);
    cluster.objects.retain(|o| o["metadata"]["name"] != "gw");
    assert_eq!(cluster.blockers(&shop("")), ["GatewayMissing"]);
}

#[test]
fn a_selection_that_finds_nothing_is_refused() {
    let mut cluster = Cluster::new();
    cluster.first("Ingress", "one")["metadata"]["labels"] = json!({});
    assert_eq!(cluster.blockers(&shop("")), ["NothingSelected"]);
    let shop = shop("");
    assert!(cluster.found(&shop).targets.is_empty());
}

#[test]
fn another_class_is_another_nginx() {
    let mut cluster = Cluster::new();
    let mut other = ingress("zwei", "two.example.com", "/", "two");
    other["spec"]["ingressClassName"] = "traefik".into();
    cluster.add(other);
    assert_eq!(cluster.blockers(&shop("")), ["ClassDiffers"]);
    cluster.first("Ingress", "zwei")["metadata"]["labels"] = json!({});
    assert!(cluster.blockers(&shop("")).is_empty());
}

#[test]
fn an_ingress_of_no_class_or_another_on_the_upstream_is_told_and_counts_where_it_is_known() {
    let class = |name: &str, by: &str| json!({"kind": "IngressClass", "metadata": {"name": name}, "spec": {"controller": by}});
    let nginx = "k8s.io/ingress-nginx";
    let controller = |flag: &str| {
        json!({"kind": "Deployment", "spec": {"template": {"spec": {"containers": [
            {"args": ["/nginx-ingress-controller", flag]}]}}}})
    };
    for (other_class, manifests, expected) in [
        (None, vec![], Some(false)),
        (
            None,
            vec![controller("--watch-ingress-without-class=true")],
            Some(true),
        ),
        (
            None,
            vec![controller("--watch-ingress-without-class")],
            Some(true),
        ),
        (None, vec![controller("--election-id=x")], None),
        (Some("internal"), vec![], Some(false)),
        (
            Some("internal"),
            vec![class("nginx", nginx), class("internal", nginx)],
            Some(true),
        ),
        (
            Some("internal"),
            vec![class("nginx", nginx), class("internal", "traefik.io/x")],
            None,
        ),
    ] {
        let mut cluster = Cluster::new();
        let mut other = ingress("other", "other.example.com", "/", "one");
        other["metadata"]["labels"] = json!({});
        match other_class {
            Some(name) => other["spec"]["ingressClassName"] = name.into(),
            None => drop(other["spec"].as_object_mut().unwrap().remove("ingressClassName")),
        }
        cluster.add(other);
        let mut classes = Classes::default();
        for json in &manifests {
            classes.learn(json);
        }
        let shop = shop("");
        let mut stock = cluster.stock(&shop);
        stock.set_classes(classes);
        let findings = found(&shop, &Home::new("apps", "demo"), &stock).findings;
        let told = |code: Code| {
            findings
                .iter()
                .find(|f| f.code == code && f.object == "ingress apps/other")
        };
        let case = format!("{other_class:?} {manifests:?}");
        assert_eq!(
            told(Code::ClassUnknown).is_some(),
            expected == Some(false),
            "{case}"
        );
        assert_eq!(
            told(Code::RouteMissing).is_some(),
            expected == Some(true),
            "{case}"
        );
        if let Some(finding) = told(Code::ClassUnknown) {
            assert!(!finding.blocks());
            let decides = if other_class.is_some() {
                "spec.controller"
            } else {
                "--watch-ingress-without-class"
            };
            assert!(finding.remedy.contains(decides), "{finding}");
        }
    }
}
