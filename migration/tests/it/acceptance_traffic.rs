//! Acceptance cases about traffic: protocols, CORS, canaries, affinity (18 to 21, 23, 24).

use crate::envoy::{destinations, get};
use crate::given::{Done, Ingress, config, convert_all, convert_with};
use gradual_rollout_migration::convert::Options;
use gradual_rollout_migration::model::nginx::{self, Nginx};
use gradual_rollout_migration::model::{Answer, Request, Scheme};
use gradual_rollout_migration::report::{Severity, explain};
use serde_json::{Value, json};

/// How the gateway speaks to port 80 of the only Service with a rule.
fn policy(done: &Done) -> Value {
    let rules = done.objects("DestinationRule");
    assert_eq!(rules.len(), 1, "{rules:?}");
    assert_eq!(
        rules[0]["spec"]["exportTo"],
        json!(["istio-system"]),
        "the mesh itself does not change"
    );
    rules[0]["spec"]["trafficPolicy"]["portLevelSettings"][0].clone()
}

fn simple(name: &str, value: &str) -> Ingress {
    Ingress::new("a/x")
        .note(name, value)
        .path("a.com", "Prefix", "/", "s")
}

#[test]
fn case_18_grpc_is_http2_from_the_start_and_never_cut() {
    let done = convert_all(&[simple("backend-protocol", "GRPC")]);
    assert_eq!(
        policy(&done)["connectionPool"]["http"]["h2UpgradePolicy"],
        "UPGRADE"
    );
    assert!(!done.says("timeout"));
    let known = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "a", "name": "s"},
        "spec": {"ports": [{"name": "grpc-web", "port": 80}]}});
    let done = convert_with(
        &[simple("backend-protocol", "GRPC")],
        &[known],
        &Options::default(),
    );
    assert!(
        done.objects("DestinationRule").is_empty(),
        "the port's name says it"
    );
    let done = convert_all(&[simple("backend-protocol", "GRPCS")]);
    assert_eq!(policy(&done)["tls"]["mode"], "SIMPLE");
}

#[test]
fn case_19_ws_is_http_without_a_time_limit() {
    let done = convert_all(&[simple("backend-protocol", "WS")
        .note("proxy-read-timeout", "3600")
        .note("proxy-send-timeout", "3600")]);
    assert_eq!(done.answer(&get("a.com", "/")), "s /");
    assert!(!done.says("timeout"));
    assert!(done.objects("DestinationRule").is_empty());
    let entries = &done.ingress("x").entries;
    assert!(
        entries
            .iter()
            .any(|entry| entry.detail == "WS is treated as HTTP"),
        "{entries:?}"
    );
    assert!(done.told("x", "IDLE-TIMEOUT"));
}

#[test]
fn case_20_https_back_ends_are_not_verified_and_that_is_said() {
    let done = convert_all(&[simple("backend-protocol", "HTTPS")]);
    assert_eq!(
        policy(&done)["tls"],
        json!({"mode": "SIMPLE", "insecureSkipVerify": true})
    );
    assert!(done.told("x", "UPSTREAM-UNVERIFIED"));
    let named = simple("backend-protocol", "HTTPS")
        .note("proxy-ssl-name", "b.org")
        .note("proxy-ssl-server-name", "on");
    assert_eq!(policy(&convert_all(&[named]))["tls"]["sni"], "b.org");
}

#[test]
fn case_21_cors() {
    let cors =
        |ingress: Ingress| convert_all(&[ingress]).route(&get("a.com", "/")).unwrap()["corsPolicy"].clone();
    let usual = cors(simple("enable-cors", "true"));
    assert_eq!(usual["allowOrigins"], json!([{"regex": ".*"}]));
    assert_eq!(usual["maxAge"], "1728000s");
    assert_eq!(
        usual["allowMethods"],
        json!(["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
    );
    // nginx answers *, with which no browser sends credentials; Envoy answers the origin, with which they would.
    assert_eq!(usual["allowCredentials"], false);
    let named = cors(
        simple("enable-cors", "true")
            .note("cors-allow-origin", "https://a.org, https://*.b.org")
            .note("cors-max-age", "600")
            .note("cors-expose-headers", "X-A"),
    );
    assert_eq!(named["allowCredentials"], true);
    assert_eq!(named["maxAge"], "600s");
    assert_eq!(named["exposeHeaders"], json!(["X-A"]));
    assert_eq!(named["allowOrigins"][0], json!({"exact": "https://a.org"}));
    let wild = named["allowOrigins"][1]["regex"].as_str().unwrap();
    let matches = |origin: &str| {
        regex::Regex::new(&format!("^(?:{wild})$"))
            .unwrap()
            .is_match(origin)
    };
    assert!(matches("https://x.b.org"));
    for foreign in [
        "https://x.y.b.org",
        "https://b.org",
        "https://xxb.org",
        "https://x.b.org.evil.com",
    ] {
        assert!(!matches(foreign), "{foreign}");
    }
    assert!(
        cors(simple("enable-cors", "true").note("cors-max-age", "0"))
            .get("maxAge")
            .is_none()
    );
    assert!(convert_all(&[simple("cors-max-age", "1")]).told("x", "INERT-ANNOTATION"));
}

#[test]
fn case_23_canaries() {
    let main = Ingress::new("a/main").path("a.com", "Prefix", "/", "s");
    let canary = |notes: &[(&str, &str)]| {
        let mut ingress = Ingress::new("a/canary")
            .note("canary", "true")
            .path("a.com", "Prefix", "/", "c");
        for (name, value) in notes {
            ingress = ingress.note(name, value);
        }
        convert_all(&[main.clone(), ingress])
    };
    let at = |done: &Done, headers: &[(&str, &str)]| {
        let mut request = get("a.com", "/");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        destinations(&done.route(&request).unwrap())
    };
    let (s, c) = ("s".to_owned(), "c".to_owned());
    let split = vec![(s.clone(), 70), (c.clone(), 30)];
    let done = canary(&[("canary-weight", "30"), ("canary-weight-total", "10")]);
    assert_eq!(at(&done, &[]), split, "a total below 100 is ignored");
    assert!(done.told("canary", "CANARY-TOTAL"));
    let done = canary(&[("canary-weight", "30")]);
    assert_eq!(at(&done, &[]), split);
    let done = canary(&[("canary-weight", "30"), ("canary-weight-total", "1000")]);
    assert_eq!(at(&done, &[]), [(s.clone(), 970), (c.clone(), 30)]);
    let all = [
        ("canary-weight", "30"),
        ("canary-by-header", "X-Canary"),
        ("canary-by-cookie", "beta"),
    ];
    let done = canary(&all);
    for (headers, to) in [
        (vec![("x-canary", "always")], vec![(c.clone(), 100)]),
        (vec![("x-canary", "never")], vec![(s.clone(), 100)]),
        (vec![("x-canary", "other")], split.clone()),
        (vec![("cookie", "a=b; beta=always; c=d")], vec![(c.clone(), 100)]),
        (vec![("cookie", "beta=never")], vec![(s.clone(), 100)]),
        (vec![("cookie", "xbeta=always")], split.clone()),
        (
            vec![("x-canary", "never"), ("cookie", "beta=always")],
            vec![(s.clone(), 100)],
        ),
    ] {
        assert_eq!(at(&done, &headers), to, "{headers:?}");
    }
    let done = canary(&[
        ("canary-by-header", "X-Canary"),
        ("canary-by-header-value", "yes"),
    ]);
    assert_eq!(at(&done, &[("x-canary", "yes")]), [(c.clone(), 100)]);
    assert_eq!(at(&done, &[("x-canary", "always")]), [(s.clone(), 100)]);
    let done = canary(&[
        ("canary-by-header", "X-Canary"),
        ("canary-by-header-pattern", "^v[12]|beta"),
    ]);
    assert_eq!(at(&done, &[("x-canary", "my beta two")]), [(c.clone(), 100)]);
    assert_eq!(at(&done, &[("x-canary", "v3")]), [(s, 100)]);
}

#[test]
fn a_canary_splits_all_that_share_its_back_end_and_that_is_told() {
    let main = Ingress::new("a/main")
        .path("a.com", "Prefix", "/", "s")
        .path("b.com", "Prefix", "/", "s");
    let canary = Ingress::new("a/canary")
        .day(2)
        .note("canary", "true")
        .note("canary-weight", "10")
        .path("a.com", "Prefix", "/", "c");
    let second = Ingress::new("a/second")
        .day(3)
        .note("canary", "true")
        .note("canary-weight", "50")
        .path("a.com", "Prefix", "/", "d");
    let lost = Ingress::new("a/lost")
        .note("canary", "true")
        .path("z.com", "Prefix", "/", "c");
    let done = convert_all(&[main, canary, second, lost]);
    assert_eq!(destinations(&done.route(&get("b.com", "/")).unwrap()).len(), 2);
    assert!(done.told("canary", "CANARY-SPREAD"));
    assert!(done.told("second", "CANARY-SECOND"));
    assert!(done.told("lost", "CANARY-UNMATCHED"));
}

#[test]
fn case_24_affinity_by_cookie() {
    let ingress = simple("affinity", "cookie")
        .note("session-cookie-name", "route")
        .note("session-cookie-path", "/p")
        .note("session-cookie-max-age", "3600")
        .note("session-cookie-samesite", "Lax");
    let cookie = policy(&convert_all(&[ingress]))["loadBalancer"]["consistentHash"]["httpCookie"].clone();
    assert_eq!(
        cookie,
        json!({"name": "route", "path": "/p", "ttl": "3600s", "attributes": [{"name": "SameSite", "value": "Lax"}]})
    );
    let done = convert_all(&[simple("affinity", "cookie")]);
    assert_eq!(
        policy(&done)["loadBalancer"]["consistentHash"]["httpCookie"]["ttl"],
        "0s",
        "until the browser ends"
    );
    assert!(done.told("x", "AFFINITY-RESET"));
}

#[test]
fn a_canary_of_sessions_that_nginx_keeps_on_their_arm_is_told_and_any_other_is_not() {
    let weights = [("canary-weight", "30")];
    let header = [("canary-by-header", "X-Canary")];
    let nobody = [("canary-weight", "0")];
    let by = |primary: &[(&str, &str)], canary: &[(&str, &str)]| {
        let note = |ingress: Ingress, (name, value): &(&str, &str)| ingress.note(name, value);
        let main = primary
            .iter()
            .fold(Ingress::new("a/main"), note)
            .path("a.com", "Prefix", "/", "s");
        let other = Ingress::new("a/canary").day(2).note("canary", "true");
        let other = canary.iter().fold(other, note).path("a.com", "Prefix", "/", "c");
        let done = convert_all(&[main.clone(), other.clone()]);
        let model = Nginx::new(&[main.0, other.0], nginx::Options::default());
        let said = model.answer(&Request::get(Scheme::Http, "a.com", "/"));
        let knows = said == Answer::Unsupported("canary with affinity".to_owned());
        (done.told("canary", "AFFINITY-CANARY"), knows)
    };
    let sticky = ("affinity", "cookie");
    for mode in [None, Some("sticky"), Some("legacy")] {
        for rules in [&weights[..], &header] {
            let mode = mode.map(|mode| ("affinity-canary-behavior", mode));
            let canary: Vec<(&str, &str)> = rules.iter().copied().chain(mode).collect();
            assert_eq!(by(&[sticky], &canary), (true, true), "{canary:?}");
            assert_eq!(by(&[], &canary), (false, false), "{canary:?}");
        }
    }
    assert!(!by(&[sticky], &nobody).0, "no request ever goes there");
    let told = explain("AFFINITY-CANARY").unwrap();
    assert_eq!(told.severity, Severity::High);
}

#[test]
fn hashes_balancing_times_and_retries() {
    let hash = |by: &str| {
        policy(&convert_all(&[simple("upstream-hash-by", by)]))["loadBalancer"]["consistentHash"].clone()
    };
    assert_eq!(hash("$remote_addr"), json!({"useSourceIp": true}));
    assert_eq!(hash("$http_x_user"), json!({"httpHeaderName": "x-user"}));
    assert_eq!(hash("$arg_id"), json!({"httpQueryParameterName": "id"}));
    assert_eq!(hash("$cookie_id")["httpCookie"]["name"], "id");
    assert!(convert_all(&[simple("upstream-hash-by", "$request_uri$host")]).told("x", "HASH-EXPRESSION"));
    assert_eq!(
        policy(&convert_all(&[simple("load-balance", "ewma")]))["loadBalancer"]["simple"],
        "LEAST_REQUEST"
    );
    let done = convert_all(&[simple("proxy-connect-timeout", "7")]);
    assert_eq!(policy(&done)["connectionPool"]["tcp"]["connectTimeout"], "7s");
    let retries = |name: &str, value: &str| {
        convert_all(&[simple(name, value)])
            .route(&get("a.com", "/"))
            .unwrap()["retries"]
            .clone()
    };
    assert_eq!(retries("proxy-next-upstream", "off"), json!({"attempts": 0}));
    assert_eq!(retries("proxy-next-upstream-tries", "5")["attempts"], 4);
    assert!(convert_all(&[simple("proxy-next-upstream", "error http_502")]).told("x", "RETRY-CONDITION"));
}

#[test]
fn every_route_says_what_is_tried_again_as_istio_would_repeat_what_nginx_does_not() {
    let of_all = |done: &Done, code: &str| {
        let all = &done.conversion.report.controller;
        all.iter().any(|entry| entry.code.text() == code)
    };
    let unseen = "connect-failure,refused-stream,reset-before-request";
    let plain = || Ingress::new("a/x").path("a.com", "Prefix", "/", "s");
    let by = |ingress: Ingress, data: Value| {
        let more = [config(data)];
        let done = convert_with(&[ingress], &more, &Options::default());
        (done.route(&get("a.com", "/")).unwrap()["retries"].clone(), done)
    };
    let (retries, done) = by(plain(), json!({}));
    assert_eq!(retries, json!({"attempts": 2, "retryOn": unseen}));
    assert!(of_all(&done, "RETRY-DEFAULT"));
    // Wherever a request is sent on: to a canary's share, to a default back end.
    let canary = Ingress::new("a/c")
        .note("canary", "true")
        .note("canary-by-header", "x-c")
        .note("canary-weight", "10")
        .path("a.com", "Prefix", "/", "c");
    let mut default = plain();
    default.0["spec"]["defaultBackend"] = json!({"service": {"name": "d", "port": {"number": 80}}});
    for done in [
        convert_all(&[plain(), canary]),
        convert_all(&[default.path("b.com", "Prefix", "/b", "s")]),
    ] {
        for object in done.objects("VirtualService") {
            for route in object["spec"]["http"].as_array().unwrap() {
                let sends = route.get("route").is_some();
                let expected = if sends {
                    json!({"attempts": 2, "retryOn": unseen})
                } else {
                    Value::Null
                };
                assert_eq!(route["retries"], expected, "{route}");
            }
        }
    }
    // What an Ingress says comes first, then the controller's settings; what is no number is told.
    let settings = json!({"proxy-next-upstream": "error http_502", "proxy-next-upstream-tries": "5"});
    let (retries, done) = by(plain(), settings.clone());
    assert_eq!(retries, json!({"attempts": 4, "retryOn": unseen}));
    assert!(of_all(&done, "RETRY-CONDITION") && !of_all(&done, "CONTROLLER-SETTING"));
    let (retries, _) = by(plain().note("proxy-next-upstream-tries", "2"), settings.clone());
    assert_eq!(retries["attempts"], 1);
    let (retries, _) = by(plain().note("proxy-next-upstream", "off"), settings);
    assert_eq!(retries, json!({"attempts": 0}));
    let (retries, _) = by(plain(), json!({"proxy-next-upstream": "off"}));
    assert_eq!(retries, json!({"attempts": 0}));
    let (retries, done) = by(plain(), json!({"proxy-next-upstream-tries": "many"}));
    assert_eq!(retries["attempts"], 2);
    assert!(of_all(&done, "INVALID-VALUE"));
    let (retries, _) = by(plain().note("proxy-next-upstream-tries", "1"), json!({}));
    assert_eq!(retries, json!({"attempts": 0}), "the first try is the only one");
}

#[test]
fn hosts_and_headers_for_the_back_end() {
    let ingress = simple("upstream-vhost", "inner.org")
        .note("rewrite-target", "/$1")
        .note("x-forwarded-prefix", "/p");
    let route = convert_all(&[ingress]).route(&get("a.com", "/")).unwrap();
    assert_eq!(route["rewrite"]["authority"], "inner.org");
    assert_eq!(
        route["headers"]["request"]["set"],
        json!({"x-forwarded-prefix": "/p"})
    );
    assert!(convert_all(&[simple("upstream-vhost", "$host")]).told("x", "UPSTREAM-VHOST-VARIABLE"));
}

#[test]
fn two_ingresses_that_speak_differently_to_one_port() {
    let old = Ingress::new("a/old")
        .day(1)
        .note("backend-protocol", "HTTPS")
        .path("a.com", "Prefix", "/", "s");
    let new = Ingress::new("a/new").day(2).path("b.com", "Prefix", "/", "s");
    let done = convert_all(&[new, old]);
    assert!(done.told("new", "BACKEND-CONFLICT"));
    assert_eq!(done.answer(&get("b.com", "/")), "none");
    assert_eq!(done.answer(&get("a.com", "/")), "s /");
}

#[test]
fn the_headers_of_sealos_database_pages() {
    let snippet = "more_clear_headers \"X-Frame-Options:\";\nmore_set_headers \"Content-Security-Policy: default-src * blob: data:; img-src 100%\";\nif ($request_uri ~* \\.(js|css)) {\n  expires 30d;\n  add_header Cache-Control \"public\";\n}\n";
    let ingress = simple("configuration-snippet", snippet).note(
        "server-snippet",
        "client_header_buffer_size 64k;\nlarge_client_header_buffers 4 128k;",
    );
    let on = [config(json!({"allow-snippet-annotations": "true"}))];
    let done = convert_with(std::slice::from_ref(&ingress), &on, &Options::default());
    let headers = done.route(&get("a.com", "/")).unwrap()["headers"].clone();
    assert_eq!(headers["response"]["remove"], json!(["x-frame-options"]));
    assert_eq!(
        headers["response"]["set"]["content-security-policy"],
        "default-src * blob: data:; img-src 100%%"
    );
    assert!(done.told("x", "SNIPPET-CACHE") && done.told("x", "SNIPPET-HARMLESS"));
    let off = [config(json!({"allow-snippet-annotations": "false"}))];
    let done = convert_with(&[ingress], &off, &Options::default());
    assert!(
        done.told("x", "SNIPPET-INERT") && done.route(&get("a.com", "/")).unwrap().get("headers").is_none()
    );
}

#[test]
fn a_header_that_nginx_adds_beside_another_replaces_none() {
    let on = [config(json!({"allow-snippet-annotations": "true"}))];
    let converted = |snippet: &str| {
        let ingress = simple("configuration-snippet", snippet);
        convert_with(&[ingress], &on, &Options::default())
    };
    let done = converted("add_header X-A 1;\nadd_header X-B 2 always;");
    let headers = done.route(&get("a.com", "/")).unwrap()["headers"].clone();
    assert_eq!(headers["response"]["set"], json!({"x-a": "1", "x-b": "2"}));
    for snippet in [
        // The application's own cookies would be gone.
        "add_header Set-Cookie seen=1;",
        "add_header X-A 1;\nadd_header x-a 2;",
        "more_set_headers \"X-A: 1\";\nadd_header X-A 2;",
    ] {
        let done = converted(snippet);
        assert!(done.told("x", "SNIPPET"), "{snippet}");
        assert_eq!(done.answer(&get("a.com", "/")), "none", "{snippet}");
    }
}
