//! Whatever is written in an Ingress or sent by a client, the models answer.

use gradual_rollout_migration::model::compare::{corpus, differences};
use gradual_rollout_migration::model::{Request, Scheme};
use proptest::prelude::*;
use serde_json::json;

use crate::support::{Ingress, nginx};

/// Paths made of what regular expressions and URLs are made of.
fn path() -> impl Strategy<Value = String> {
    "/[a-c/.()|\\[\\]{}*+?^$\\\\0-9%<>:&~\"-]{0,12}"
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_path_and_annotation_is_taken(
        path in path(),
        regex in any::<bool>(),
        target in proptest::option::of("[/$a-z0-9{}?]{0,6}"),
        alias in proptest::option::of("[*~.a-z,]{0,8}"),
        host in "[*.a-z]{0,8}",
    ) {
        let mut ingress = Ingress::named("a").any(&host, &path, "svc").with("use-regex", &regex.to_string());
        if let Some(target) = target {
            ingress = ingress.with("rewrite-target", &target);
        }
        if let Some(alias) = alias {
            ingress = ingress.with("server-alias", &alias);
        }
        let route = json!({
            "match": [{ "uri": { "regex": path } }],
            "rewrite": { "uriRegexRewrite": { "match": path, "rewrite": path } },
            "route": [{ "destination": { "host": "svc" } }],
        });
        let objects = [
            json!({ "kind": "Gateway", "metadata": { "name": "g", "namespace": "ns" }, "spec": { "servers": [
                { "port": { "number": 80, "protocol": "HTTP" }, "hosts": [host] },
            ] } }),
            json!({ "kind": "VirtualService", "metadata": { "name": "v", "namespace": "ns" }, "spec": {
                "hosts": [host], "gateways": ["g"], "http": [route],
            } }),
        ];
        let ingresses = [ingress.value()];
        let requests = corpus(&ingresses);
        prop_assert!(!requests.is_empty());
        differences(&ingresses, &objects, &requests);
    }

    #[test]
    fn any_bytes_are_answered(target in proptest::collection::vec(any::<u8>(), 0..20), host in ".{0,10}") {
        let ingress = Ingress::named("a").any("*.a.com", "/a(.*)", "svc").with("rewrite-target", "/$1");
        nginx([ingress.clone()]).answer(&Request::get(Scheme::Http, &host, &target));
        let mut rooted = vec![b'/'];
        rooted.extend(&target);
        differences(&[ingress.value()], &[], &[Request::get(Scheme::Https, &host, &rooted)]);
    }

    #[test]
    fn any_json_is_passed_over(text in "[a-z]{0,5}", number in any::<i64>()) {
        let odd = [
            json!({ "kind": "Ingress" }),
            json!({ "kind": "Ingress", "spec": text }),
            json!({ "kind": "Ingress", "spec": { "rules": [{ "http": { "paths": [{}] } }, {}] } }),
            json!({ "kind": "VirtualService", "spec": { "http": [{ "route": [{ "weight": number }] }] } }),
            json!({ "kind": "Gateway", "spec": { "servers": [{}] } }),
            json!(null),
        ];
        differences(&odd, &odd, &corpus(&odd));
    }
}
