//! Ingresses as nouns with adjectives, and answers in one line.

use gradual_rollout_migration::model::nginx::{Nginx, Options};
use gradual_rollout_migration::model::{Answer, Request, Scheme};
use serde_json::{Value, json};

/// An Ingress under construction.
#[derive(Clone, Debug)]
pub(crate) struct Ingress(Value);

impl Ingress {
    /// Of namespace `ns`, created at midnight.
    pub(crate) fn named(name: &str) -> Self {
        Self(json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {
                "name": name,
                "namespace": "ns",
                "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {},
            },
            "spec": { "rules": [] },
        }))
    }

    pub(crate) fn in_namespace(mut self, namespace: &str) -> Self {
        self.0["metadata"]["namespace"] = json!(namespace);
        self
    }

    /// Created some minutes after midnight.
    pub(crate) fn created(mut self, minute: u32) -> Self {
        self.0["metadata"]["creationTimestamp"] = json!(format!("2026-01-01T00:{minute:02}:00Z"));
        self
    }

    pub(crate) fn with(mut self, annotation: &str, value: &str) -> Self {
        self.0["metadata"]["annotations"][format!("nginx.ingress.kubernetes.io/{annotation}")] = json!(value);
        self
    }

    /// One path more, port 80 of the service; an empty host is none.
    pub(crate) fn path(mut self, host: &str, kind: &str, path: &str, service: &str) -> Self {
        let mut rule = json!({ "http": { "paths": [{
            "path": path,
            "pathType": kind,
            "backend": { "service": { "name": service, "port": { "number": 80 } } },
        }] } });
        if !host.is_empty() {
            rule["host"] = json!(host);
        }
        self.0["spec"]["rules"].as_array_mut().unwrap().push(rule);
        self
    }

    pub(crate) fn prefix(self, host: &str, path: &str, service: &str) -> Self {
        self.path(host, "Prefix", path, service)
    }

    pub(crate) fn exact(self, host: &str, path: &str, service: &str) -> Self {
        self.path(host, "Exact", path, service)
    }

    pub(crate) fn any(self, host: &str, path: &str, service: &str) -> Self {
        self.path(host, "ImplementationSpecific", path, service)
    }

    pub(crate) fn tls(mut self, hosts: &[&str]) -> Self {
        self.0["spec"]["tls"] = json!([{ "hosts": hosts, "secretName": "cert" }]);
        self
    }

    pub(crate) fn default_backend(mut self, service: &str) -> Self {
        self.0["spec"]["defaultBackend"] =
            json!({ "service": { "name": service, "port": { "number": 80 } } });
        self
    }

    pub(crate) fn value(self) -> Value {
        self.0
    }
}

pub(crate) fn nginx(ingresses: impl IntoIterator<Item = Ingress>) -> Nginx {
    let values: Vec<Value> = ingresses.into_iter().map(Ingress::value).collect();
    let nginx = Nginx::new(&values, Options::default());
    assert!(nginx.unread().is_empty(), "{:?}", nginx.unread());
    nginx
}

/// `service path`, `code location`, the code, or why not.
pub(crate) fn told(answer: &Answer) -> String {
    match answer {
        Answer::Backend(to) => format!("{} {}", to.service, to.target),
        Answer::Redirect { .. } | Answer::Status(_) | Answer::Refused => {
            answer.to_string().replace(" to ", " ")
        }
        Answer::Unsupported(what) => format!("? {what}"),
    }
}

pub(crate) fn http(host: &str, target: &str) -> Request {
    Request::get(Scheme::Http, host, target)
}

pub(crate) fn https(host: &str, target: &str) -> Request {
    Request::get(Scheme::Https, host, target)
}

/// Asks in clear on host `h` and compares with what is expected, request by request.
pub(crate) fn meets(nginx: &Nginx, expected: &[(&str, &str)]) {
    for (target, answer) in expected {
        assert_eq!(told(&nginx.answer(&http("h", target))), *answer, "GET {target}");
    }
}
