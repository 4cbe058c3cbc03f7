//! Security, the controller, and everything else.

use super::{ALWAYS, Case, by, flags, noted, plain, with};
use crate::given::{Done, Ingress, config, convert_all, convert_with, service};
use gradual_rollout_migration::convert::{Options, convert};
use gradual_rollout_migration::input::{self, Source};
use serde_json::json;

pub(super) fn cases() -> Vec<Case> {
    let mut all: Vec<Case> = ALWAYS
        .iter()
        .map(|code| (*code, convert_all(&[plain()])))
        .collect();
    all.extend(annotated());
    all.extend(controllers());
    all
}

fn annotated() -> Vec<Case> {
    let list = "whitelist-source-range";
    let auth = ("auth-url", "http://auth");
    let notes: &[(&'static str, &[(&str, &str)])] = &[
        ("ALLOWLIST-INVALID", &[(list, "10.0.0/8")]),
        (
            "ALLOWLIST-TWICE",
            &[(list, "10.0.0.0/8"), ("allowlist-source-range", "10.1.0.0/16")],
        ),
        ("CLIENT-ADDRESS", &[(list, "10.0.0.0/8")]),
        ("AUTH-URL", &[auth]),
        ("AUTH-BASIC", &[("auth-type", "basic")]),
        ("AUTH-TLS", &[("auth-tls-secret", "a/ca")]),
        ("AUTH-DETAIL", &[auth, ("auth-signin", "http://in")]),
        ("AUTH-DETAIL", &[("auth-type", "basic"), ("auth-secret", "users")]),
        (
            "AUTH-DETAIL",
            &[("auth-tls-secret", "a/ca"), ("auth-tls-match-cn", "CN=x")],
        ),
        ("RATE-LIMIT", &[("limit-rps", "5")]),
        ("WAF", &[("enable-modsecurity", "true")]),
        ("SATISFY-ANY", &[("satisfy", "any")]),
        ("UNKNOWN-ANNOTATION", &[("no-such-thing", "1")]),
        ("FOREIGN-ANNOTATION", &[("example.org/x", "y")]),
        ("CERT-MANAGER", &[("cert-manager.io/cluster-issuer", "le")]),
        (
            "EXTERNAL-DNS",
            &[("external-dns.alpha.kubernetes.io/hostname", "a.com")],
        ),
        ("MANAGED-ELSEWHERE", &[("meta.helm.sh/release-name", "r")]),
        ("INERT-ANNOTATION", &[("cors-max-age", "3")]),
        ("INVALID-VALUE", &[("use-regex", "maybe")]),
        ("NO-COUNTERPART", &[("enable-access-log", "false")]),
        ("NO-COUNTERPART", &[("ssl-prefer-server-ciphers", "true")]),
    ];
    notes.iter().map(|(code, notes)| (*code, by(notes))).collect()
}

fn controllers() -> Vec<Case> {
    let mut second = config(json!({}));
    second["metadata"]["namespace"] = "other".into();
    let wild = Ingress::new("a/x")
        .note("whitelist-source-range", "10.0.0.0/8")
        .path("*.a.com", "Prefix", "/", "s");
    let prefixed = Options {
        annotations_prefix: Some("my.org".to_owned()),
        ..Options::default()
    };
    vec![
        ("ALLOWLIST-PATHS", convert_all(&[wild])),
        (
            "CONTROLLER-SECURITY",
            with(&[plain()], &[config(json!({"block-user-agents": "bad"}))]),
        ),
        (
            "CLIENT-ADDRESS-TOLD",
            with(
                &[noted(&[("whitelist-source-range", "10.0.0.0/8")])],
                &[config(json!({"use-proxy-protocol": "true"}))],
            ),
        ),
        (
            "ANNOTATION-PREFIX",
            convert_with(&[noted(&[("auth-url", "http://auth")])], &[], &prefixed),
        ),
        (
            "CONTROLLER-AMBIGUOUS",
            with(&[plain()], &[config(json!({})), second]),
        ),
        (
            "NAMESPACE-SELECTOR",
            convert_with(&[plain()], &[], &flags(&["--watch-namespace-selector=team=a"])),
        ),
        (
            "CONTROLLER-SETTING",
            with(&[plain()], &[config(json!({"odd": "1"}))]),
        ),
        (
            "RETRY-CONDITION",
            with(&[plain()], &[config(json!({"proxy-next-upstream": "http_502"}))]),
        ),
        (
            "INVALID-VALUE",
            with(&[plain()], &[config(json!({"ssl-redirect": "maybe"}))]),
        ),
        ("GATEWAY-LARGE", large()),
    ]
}

/// More hosts than one Gateway should have. Each object by itself is as any other, and is not checked again.
fn large() -> Done {
    let rule = |number: u32| {
        json!({"host": format!("h{number}.a.com"), "http": {"paths": [{"path": "/", "pathType": "Prefix",
            "backend": {"service": {"name": "s", "port": {"number": 80}}}}]}})
    };
    let mut ingress = Ingress::new("a/x");
    ingress.0["spec"]["rules"] = (0..5001).map(rule).collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [ingress.0, service("a/s")]});
    let source = Source {
        name: "given.yaml".to_owned(),
        text: list.to_string(),
    };
    let conversion = convert(&input::read(&[source]), &Options::default()).unwrap();
    Done { conversion }
}
