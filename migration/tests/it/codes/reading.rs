//! Reading, and which Ingresses and paths are served.

use super::{Case, by, canary, flags, noted, plain, with};
use crate::given::{Ingress, convert_all, convert_objects, convert_text, convert_with, service};
use gradual_rollout_migration::convert::Options;
use serde_json::{Value, json};

fn at(path: &str) -> Ingress {
    Ingress::new("a/x").path("a.com", "Prefix", path, "s")
}

fn regex(path: &str) -> Ingress {
    Ingress::new("a/x")
        .note("use-regex", "true")
        .path("a.com", "ImplementationSpecific", path, "s")
}

fn without_class(mut ingress: Ingress) -> Ingress {
    ingress.0["spec"]
        .as_object_mut()
        .unwrap()
        .remove("ingressClassName");
    ingress
}

fn edited(pointer: &str, value: Value) -> Value {
    let mut object = plain().0;
    *object.pointer_mut(pointer).unwrap() = value;
    object
}

fn given(objects: &[Value]) -> crate::given::Done {
    convert_objects(&[objects, &[service("a/s")]].concat(), &Options::default())
}

pub(super) fn cases() -> Vec<Case> {
    let mut all = documents();
    all.extend(ingresses());
    all.extend(paths());
    all
}

fn documents() -> Vec<Case> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "a", "name": "p"}});
    vec![
        ("BROKEN-DOCUMENT", convert_text("kind: [\n", &Options::default())),
        ("BROKEN-OBJECT", given(&[edited("/spec/rules", json!(7))])),
        ("OBJECT-CLASH", given(&[plain().0, at("/other").0])),
        ("SAME-OBJECT", given(&[plain().0, plain().0])),
        ("OTHER-KIND", given(&[plain().0, pod])),
        (
            "UNKNOWN-FIELD",
            given(&[edited("/metadata", json!({"name": "x", "anotations": {}}))]),
        ),
        (
            "INGRESS-VERSION",
            given(&[edited("/apiVersion", json!("networking.k8s.io/v1beta1"))]),
        ),
    ]
}

fn ingresses() -> Vec<Case> {
    let mut other = plain();
    other.0["spec"]["ingressClassName"] = "haproxy".into();
    let mut ruleless = Ingress::new("a/x");
    ruleless.0["spec"]["rules"] = json!([{"host": "a.com"}]);
    let host = |host: &str| convert_all(&[Ingress::new("a/x").path(host, "Prefix", "/", "s")]);
    let odd_domain = Options {
        cluster_domain: "x..y".to_owned(),
        ..Options::default()
    };
    vec![
        ("OTHER-CLASS", convert_all(&[other])),
        (
            "NOT-WATCHED",
            convert_with(&[plain()], &[], &flags(&["--watch-namespace=b"])),
        ),
        (
            "CLASS-MISSING",
            convert_with(&[without_class(plain())], &[], &flags(&["--ingress-class=nginx"])),
        ),
        (
            "CATCH-ALL-DISABLED",
            convert_with(
                &[Ingress::new("a/x").default("s")],
                &[],
                &flags(&["--disable-catch-all"]),
            ),
        ),
        (
            "NAME-INVALID",
            convert_all(&[Ingress::new("a/x").path("a.com", "Prefix", "/", "A_b")]),
        ),
        ("RULE-BROKEN", convert_with(&[plain()], &[], &odd_domain)),
        ("NO-CLASS", convert_all(&[without_class(plain())])),
        ("EMPTY-INGRESS", convert_all(&[Ingress::new("a/x")])),
        ("RULE-WITHOUT-PATHS", convert_all(&[ruleless])),
        ("HOST-INVALID", host("a.*.com")),
        ("HOST-WITHOUT-DOT", host("intranet")),
        (
            "HOST-SHARED",
            convert_all(&[
                plain().day(1),
                Ingress::new("b/y").day(2).path("a.com", "Prefix", "/b", "s"),
            ]),
        ),
        ("WILDCARD-DEPTH", host("*.a.com")),
        (
            "CANARY-ANNOTATION",
            convert_all(&[plain(), canary(&[("proxy-body-size", "1m")])]),
        ),
        ("APP-ROOT-INVALID", by(&[("app-root", "/a b")])),
    ]
}

fn paths() -> Vec<Case> {
    let again = Ingress::new("a/y").day(2).path("a.com", "Prefix", "/", "t");
    let guarded = Ingress::new("a/y")
        .note("auth-url", "http://auth")
        .path("a.com", "Prefix", "/", "t");
    let ahead = Ingress::new("a/y").note("auth-url", "http://auth").path(
        "a.com",
        "ImplementationSpecific",
        "/api/(?!public)",
        "t",
    );
    vec![
        ("PATH-DUPLICATE", convert_all(&[plain().day(1), again])),
        ("PATH-AGE", convert_all(&[plain(), guarded])),
        (
            "PATH-SHADOWED",
            convert_all(&[regex("/a").path("a.com", "Exact", "/a", "t")]),
        ),
        ("PATH-INVALID", convert_all(&[at("b")])),
        ("PATH-ENCODING", convert_all(&[at("/a b")])),
        ("PATH-LITERAL", convert_all(&[at("/a(b)")])),
        (
            "REGEX-HOST",
            convert_all(&[regex("/a"), Ingress::new("a/y").path("a.com", "Exact", "/b", "t")]),
        ),
        ("PATH-PCRE", convert_all(&[regex("/a(?!b)")])),
        (
            "REWRITE-PCRE",
            convert_all(&[regex("/a(?!b)(.*)").note("rewrite-target", "/$1")]),
        ),
        (
            "BEHIND-REFUSED",
            convert_all(&[
                ahead.note("use-regex", "true"),
                at("/").path("a.com", "Prefix", "/apx/yyyyyyyyyyyyyyyyyy", "s"),
            ]),
        ),
        (
            "REGEX-LONG",
            convert_all(&[regex(&format!("/a{}", "(x|y)".repeat(300)))]),
        ),
        (
            "REWRITE-TARGET",
            convert_all(&[noted(&[("rewrite-target", "/$http_x")])]),
        ),
        ("DEFAULT-BACKEND-UNUSED", with(&[plain().default("d")], &[])),
    ]
}
