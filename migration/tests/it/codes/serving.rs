//! Back ends, TLS and traffic.

use super::{Case, by, canary, flags, noted, plain, with};
use crate::given::{Done, Ingress, config, convert_all, convert_objects, convert_with, secret, service};
use gradual_rollout_migration::convert::Options;
use serde_json::{Value, json};

fn to(backend: Value) -> Ingress {
    Ingress::new("a/x").path_to("a.com", "Prefix", "/", backend)
}

fn port(port: Value) -> Ingress {
    to(json!({"service": {"name": "s", "port": port}}))
}

/// Another Ingress of the same port.
fn younger(name: &str, value: &str) -> Ingress {
    Ingress::new("a/y")
        .day(2)
        .note(name, value)
        .path("b.com", "Prefix", "/", "s")
}

/// One by one, each code by an annotation or two.
fn annotated(cases: &[(&'static str, &[(&str, &str)])]) -> Vec<Case> {
    cases.iter().map(|(code, notes)| (*code, by(notes))).collect()
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = back_ends();
    all.extend(tls());
    all.extend(redirects());
    all.extend(traffic());
    all.extend(canaries());
    all
}

fn back_ends() -> Vec<Case> {
    let external = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "a", "name": "s"},
        "spec": {"type": "ExternalName", "externalName": "x.org"}});
    let mut all = annotated(&[
        ("PROTOCOL-UNKNOWN", &[("backend-protocol", "WS")]),
        ("PROTOCOL-UNSUPPORTED", &[("backend-protocol", "FCGI")]),
        ("PROTOCOL-UNSUPPORTED", &[("backend-protocol", "AUTO_HTTP")]),
        ("UPSTREAM-UNVERIFIED", &[("backend-protocol", "HTTPS")]),
        ("UPSTREAM-TLS", &[("proxy-ssl-secret", "a/client")]),
        ("UPSTREAM-TLS", &[("proxy-ssl-verify", "on")]),
        ("UPSTREAM-TLS-DETAIL", &[("proxy-ssl-ciphers", "DEFAULT")]),
        ("UPSTREAM-VHOST-VARIABLE", &[("upstream-vhost", "$host")]),
    ]);
    all.extend([
        (
            "SERVICE-MISSING",
            convert_objects(&[plain().0], &Options::default()),
        ),
        ("PORT-MISSING", convert_all(&[port(json!({"number": 81}))])),
        ("PORT-TARGET", convert_all(&[port(json!({"number": 8080}))])),
        ("EXTERNAL-NAME", with(&[plain()], &[external])),
        (
            "RESOURCE-BACKEND",
            convert_all(&[to(
                json!({"resource": {"apiGroup": "x", "kind": "Bucket", "name": "b"}}),
            )]),
        ),
        ("BACKEND-MISSING", convert_all(&[to(json!({}))])),
        (
            "BACKEND-CONFLICT",
            convert_all(&[plain().day(1), younger("backend-protocol", "GRPC")]),
        ),
        (
            "BALANCE-CONFLICT",
            convert_all(&[
                noted(&[("load-balance", "round_robin")]).day(1),
                younger("load-balance", "ewma"),
            ]),
        ),
    ]);
    all
}

/// One certificate that two tenants have.
fn twice() -> Done {
    let pem = |key: &str| {
        let mut object = secret(key);
        object["data"]["tls.crt"] = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t".into();
        object
    };
    let one = |namespace: &str| {
        let host = format!("{namespace}.w.com");
        let ingress = Ingress::new(&format!("{namespace}/x")).tls(&[&host], "wild");
        ingress.path(&host, "Prefix", "/", "s").0
    };
    let given = [
        one("a"),
        one("b"),
        service("a/s"),
        service("b/s"),
        pem("a/wild"),
        pem("b/wild"),
    ];
    convert_objects(&given, &Options::default())
}

fn tls() -> Vec<Case> {
    let secured = |hosts: &[&str]| plain().tls(hosts, "t");
    let empty = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"namespace": "a", "name": "t"}, "type": "kubernetes.io/tls"});
    let default = plain().tls(&["a.com"], "");
    let older = Ingress::new("a/old")
        .day(1)
        .tls(&["a.com"], "one")
        .path("a.com", "Prefix", "/o", "s");
    let through = || noted(&[("ssl-passthrough", "true")]);
    let passing = |ingresses: &[Ingress]| convert_with(ingresses, &[], &flags(&["--enable-ssl-passthrough"]));
    let rootless = Ingress::new("a/x")
        .note("ssl-passthrough", "true")
        .path("a.com", "Prefix", "/x", "s");
    let listed = Ingress::new("a/y")
        .note("whitelist-source-range", "10.0.0.0/8")
        .path("b.com", "Prefix", "/", "s");
    let partly = secured(&["a.com"]).note("ssl-ciphers", "AES128-SHA:HIGH");
    let before = Ingress::new("a/old").day(1).path("a.com", "Prefix", "/o", "s");
    vec![
        (
            "TLS-SECRET-MISSING",
            convert_objects(&[secured(&["a.com"]).0, service("a/s")], &Options::default()),
        ),
        ("TLS-SECRET-INVALID", with(&[secured(&["a.com"])], &[empty])),
        (
            "TLS-SECRET-BY-NAME",
            convert_all(&[Ingress::new("a/x")
                .tls(&["*.a.com"], "t")
                .path("x.a.com", "Prefix", "/", "s")]),
        ),
        (
            "TLS-DEFAULT-CERTIFICATE",
            convert_all(std::slice::from_ref(&default)),
        ),
        ("TLS-REDIRECT-NOWHERE", convert_all(&[default])),
        (
            "FORCE-SSL-TRUST",
            with(
                &[noted(&[("force-ssl-redirect", "true")])],
                &[config(json!({"use-forwarded-headers": "true"}))],
            ),
        ),
        (
            "TLS-OLDER-DECIDES",
            convert_all(&[older, secured(&["a.com"]).day(2)]),
        ),
        ("TLS-HOST-UNUSED", convert_all(&[secured(&["a.com", "b.com"])])),
        ("TLS-CIPHERS", by(&[("ssl-ciphers", "ALL:!aNULL")])),
        ("TLS-CIPHERS-PART", convert_all(&[partly])),
        ("TLS-SAME-CERTIFICATE", twice()),
        ("SSL-PASSTHROUGH", convert_all(&[through()])),
        (
            "SSL-PASSTHROUGH-INERT",
            convert_with(&[through()], &[], &flags(&["--ingress-class=nginx"])),
        ),
        ("SSL-PASSTHROUGH-ROOT", passing(&[rootless])),
        ("SSL-PASSTHROUGH-YOUNGER", passing(&[before, through().day(2)])),
        ("SSL-PASSTHROUGH-ALLOWLIST", passing(&[through(), listed])),
        (
            "SSL-PASSTHROUGH-PATH",
            passing(&[through().path("a.com", "Prefix", "/x", "t")]),
        ),
        (
            "WWW-REDIRECT-PASSTHROUGH",
            passing(&[through().note("from-to-www-redirect", "true")]),
        ),
    ]
}

fn redirects() -> Vec<Case> {
    let www = || noted(&[("from-to-www-redirect", "true")]);
    let taken = Ingress::new("a/y").path("www.a.com", "Prefix", "/", "t");
    let mut all = annotated(&[
        ("SSL-REDIRECT-SLASH", &[("preserve-trailing-slash", "false")]),
        (
            "REDIRECT-CODE",
            &[
                ("permanent-redirect", "https://h/"),
                ("permanent-redirect-code", "304"),
            ],
        ),
        ("REDIRECT-VARIABLE", &[("permanent-redirect", "https://$host/x")]),
        ("REDIRECT-QUERY", &[("permanent-redirect", "https://h/x")]),
        ("SERVER-ALIAS", &[("server-alias", "~^c")]),
    ]);
    all.push(("WWW-REDIRECT", convert_all(&[www()])));
    all.push(("WWW-REDIRECT-TAKEN", convert_all(&[www(), taken])));
    all
}

fn traffic() -> Vec<Case> {
    let headers = |name: &str, value: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "a", "name": "h"},
            "data": {name: value}})
    };
    let allowed = || config(json!({"global-allowed-response-headers": "Host,X-A"}));
    let custom = || noted(&[("custom-headers", "a/h")]);
    let inert = config(json!({"allow-snippet-annotations": "false"}));
    let mut all = annotated(&[
        ("IDLE-TIMEOUT", &[("proxy-read-timeout", "300")]),
        ("RETRY-CONDITION", &[("proxy-next-upstream", "error http_502")]),
        ("BODY-LIMIT", &[("proxy-body-size", "8m")]),
        ("BUFFERING", &[("proxy-buffering", "on")]),
        ("HASH-EXPRESSION", &[("upstream-hash-by", "$request_uri$host")]),
        ("LOAD-BALANCE", &[("load-balance", "odd")]),
        ("AFFINITY-RESET", &[("affinity", "cookie")]),
        (
            "AFFINITY-DETAIL",
            &[("affinity", "cookie"), ("affinity-mode", "persistent")],
        ),
        (
            "AFFINITY-DETAIL",
            &[
                ("affinity", "cookie"),
                ("session-cookie-change-on-failure", "true"),
            ],
        ),
        ("MIRROR", &[("mirror-target", "https://m.org")]),
        (
            "HEADER-INVALID",
            &[("configuration-snippet", "more_set_headers \"Host: b.org\";")],
        ),
        (
            "HEADER-INVALID",
            &[("rewrite-target", "/$1"), ("x-forwarded-prefix", "/a\nb")],
        ),
        ("CORS-ANY-ORIGIN", &[("enable-cors", "True")]),
        (
            "CORS-VALUE",
            &[("enable-cors", "true"), ("cors-allow-methods", "GET,BREW")],
        ),
        (
            "CORS-VALUE",
            &[("enable-cors", "true"), ("cors-allow-headers", "a b")],
        ),
        (
            "CORS-VALUE",
            &[("enable-cors", "true"), ("cors-allow-origin", "https://a.*.org")],
        ),
        ("CORS-PREFLIGHT", &[("enable-cors", "true")]),
        (
            "SNIPPET-CACHE",
            &[(
                "configuration-snippet",
                "if ($request_uri ~* \\.(js|css)$) { expires 30d; add_header Cache-Control \"public\"; }",
            )],
        ),
        ("SNIPPET", &[("configuration-snippet", "deny all;")]),
        ("SNIPPET", &[("server-snippet", "deny all;")]),
        ("SNIPPET", &[("stream-snippet", "deny all;")]),
        (
            "SNIPPET-HARMLESS",
            &[("server-snippet", "client_header_buffer_size 64k;")],
        ),
        ("RESPONSE-REWRITE", &[("proxy-cookie-path", "/a /b")]),
        ("RESPONSE-REWRITE", &[("proxy-redirect-from", "http://a")]),
        ("ERROR-PAGES", &[("custom-http-errors", "404")]),
        ("ERROR-PAGES", &[("default-backend", "d")]),
    ]);
    all.extend([
        (
            "HEADER-INVALID",
            with(&[custom()], &[headers("Host", "b.org"), allowed()]),
        ),
        (
            "CUSTOM-HEADERS",
            with(&[custom()], &[headers("X-B", "1"), allowed()]),
        ),
        (
            "SNIPPET-INERT",
            with(&[noted(&[("configuration-snippet", "deny all;")])], &[inert]),
        ),
    ]);
    all
}

fn canaries() -> Vec<Case> {
    let weight = &[("canary-weight", "30")][..];
    let other = |name: &str, path: &str| {
        Ingress::new(name)
            .day(3)
            .note("canary", "true")
            .note("canary-weight", "30")
            .path("a.com", "Prefix", path, "d")
    };
    let sticky = noted(&[("affinity", "cookie")]);
    let spread = plain().path("b.com", "Prefix", "/", "s");
    let primary = Ingress::new("a/y").path("b.com", "Prefix", "/", "c");
    vec![
        ("AFFINITY-CANARY", convert_all(&[sticky, canary(weight)])),
        (
            "CANARY-SECOND",
            convert_all(&[plain(), canary(weight).day(2), other("a/second", "/")]),
        ),
        (
            "CANARY-UNMATCHED",
            convert_all(&[plain(), other("a/lost", "/lost")]),
        ),
        ("CANARY-PRIMARY", convert_all(&[plain(), primary, canary(weight)])),
        ("CANARY-SPREAD", convert_all(&[spread, canary(weight)])),
        (
            "CANARY-TOTAL",
            convert_all(&[
                plain(),
                canary(&[("canary-weight", "3"), ("canary-weight-total", "10")]),
            ]),
        ),
    ]
}
