//! A client that writes down each request as RBAC sees it, and is refused what the roles do not grant.

use gradual_rollout_apiserver::Store;
use http::{Method, Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

/// What RBAC is asked about a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Right {
    pub group: String,
    /// With the subresource behind a slash, as roles write it.
    pub resource: String,
    pub verb: String,
}

impl Right {
    pub(crate) fn new(verb: &str, resource: &str, group: &str) -> Self {
        Self {
            group: group.to_owned(),
            resource: resource.to_owned(),
            verb: verb.to_owned(),
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dot = if self.group.is_empty() { "" } else { "." };
        write!(f, "{} {}{dot}{}", self.verb, self.resource, self.group)
    }
}

/// What is granted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Granted(pub BTreeSet<Right>);

impl Granted {
    /// By the rules of a role. Rules for single names or with wildcards would not be understood.
    pub(crate) fn by(role: &Value) -> Self {
        let words = |rule: &Value, field: &str| -> Vec<String> {
            let list = rule[field].as_array().unwrap();
            list.iter()
                .map(|word| word.as_str().unwrap().to_owned())
                .collect()
        };
        let mut all = BTreeSet::new();
        for rule in role["rules"].as_array().unwrap() {
            assert!(rule.get("resourceNames").is_none(), "{rule}");
            for group in words(rule, "apiGroups") {
                for resource in words(rule, "resources") {
                    for verb in words(rule, "verbs") {
                        assert!(![&group, &resource, &verb].contains(&&"*".to_owned()), "{rule}");
                        all.insert(Right::new(&verb, &resource, &group));
                    }
                }
            }
        }
        Self(all)
    }

    pub(crate) fn and(mut self, other: &Self) -> Self {
        self.0.extend(other.0.iter().cloned());
        self
    }
}

/// What went over the wire.
#[derive(Clone, Default)]
pub(crate) struct Wire {
    asked: Arc<Mutex<BTreeSet<Right>>>,
    reviewed: Arc<Mutex<BTreeSet<Right>>>,
}

/// A client of an API server that does not say which rights there are.
pub(crate) fn silent_about_rights(store: &Store) -> kube::Client {
    let inner = store.client("default");
    let service = tower::service_fn(move |request: Request<Body>| {
        let inner = inner.clone();
        async move {
            if request.uri().path().ends_with("/selfsubjectaccessreviews") {
                return Ok(forbidden(&Right::new(
                    "create",
                    "selfsubjectaccessreviews",
                    "authorization.k8s.io",
                )));
            }
            inner.send(request).await
        }
    });
    kube::Client::new(service, "default")
}

/// The counter of ingress-nginx, as its pods tell it.
const METRICS: &str =
    "nginx_ingress_controller_requests{ingress=\"none\",namespace=\"none\",status=\"200\"} 1\n";

impl Wire {
    /// What was asked so far.
    pub(crate) fn asked(&self) -> BTreeSet<Right> {
        self.asked.lock().unwrap().clone()
    }

    /// What reviews were about: it is demanded, which is no use of it.
    pub(crate) fn reviewed(&self) -> BTreeSet<Right> {
        self.reviewed.lock().unwrap().clone()
    }

    /// Has the store answer reviews of one's own rights, and writes down what was reviewed.
    pub(crate) fn review(&self, store: &Store, granted: Option<Granted>) {
        let reviewed = self.reviewed.clone();
        store.set_access(move |review| {
            let field = |name: &str| review["resourceAttributes"][name].as_str().unwrap_or_default();
            let resource = match field("subresource") {
                "" => field("resource").to_owned(),
                sub => format!("{}/{sub}", field("resource")),
            };
            let right = Right::new(field("verb"), &resource, field("group"));
            let allowed = granted.as_ref().is_none_or(|granted| granted.0.contains(&right));
            reviewed.lock().unwrap().insert(right);
            allowed
        });
    }

    /// A client with these rights, and none but these; without any, one with all. Pods of ingress-nginx tell it their
    /// metrics, which the store, that runs no pods, cannot.
    pub(crate) fn client(&self, store: &Store, granted: Option<Granted>) -> kube::Client {
        let (inner, store, asked) = (store.client("default"), store.clone(), self.asked.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (inner, store) = (inner.clone(), store.clone());
            let needed = needed(&request, &store);
            asked.lock().unwrap().extend(needed.iter().cloned());
            let missing = granted
                .as_ref()
                .and_then(|granted| needed.iter().find(|right| !granted.0.contains(right)).cloned());
            async move {
                if let Some(missing) = missing {
                    return Ok(forbidden(&missing));
                }
                if request.uri().path().ends_with("/proxy/metrics") {
                    return Ok(Response::new(Body::from(METRICS.as_bytes().to_vec())));
                }
                inner.send(request).await
            }
        });
        kube::Client::new(service, "default")
    }
}

fn forbidden(missing: &Right) -> Response<Body> {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden", "code": 403,
        "message": format!("it is forbidden to {missing}")});
    Response::builder()
        .status(StatusCode::FORBIDDEN)
        .header("content-type", "application/json")
        .body(Body::from(status.to_string().into_bytes()))
        .unwrap()
}

/// The rights that a request needs: none for what everybody may (discovery, reviews of one's own rights), two for
/// server-side apply where nothing is there yet.
fn needed(request: &Request<Body>, store: &Store) -> Vec<Right> {
    let path = request.uri().path();
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (group, rest) = match parts.as_slice() {
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return Vec::new(),
    };
    // Every user may review what they may themselves.
    if group == "authorization.k8s.io" {
        return Vec::new();
    }
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        _ => ("", rest),
    };
    let (plural, name, sub) = match rest {
        [] => return Vec::new(),
        [plural] => (*plural, None, None),
        [plural, name] => (*plural, Some(*name), None),
        [plural, name, sub, ..] => (*plural, Some(*name), Some(*sub)),
    };
    let resource = sub.map_or_else(|| plural.to_owned(), |sub| format!("{plural}/{sub}"));
    let watched = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("watch=true"));
    let verb = match (request.method(), name) {
        (&Method::GET, Some(_)) => "get",
        (&Method::GET, None) if watched => "watch",
        (&Method::GET, None) => "list",
        (&Method::POST, _) => "create",
        (&Method::PUT, _) => "update",
        (&Method::PATCH, _) => "patch",
        (&Method::DELETE, Some(_)) => "delete",
        (&Method::DELETE, None) => "deletecollection",
        (other, _) => panic!("{other} {path}"),
    };
    let mut all = vec![Right::new(verb, &resource, group)];
    let applied = request
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/apply-patch"));
    let stored = if group.is_empty() {
        plural.to_owned()
    } else {
        format!("{plural}.{group}")
    };
    if applied && name.is_some_and(|name| store.get(&stored, namespace, name).is_none()) {
        all.push(Right::new("create", &resource, group));
    }
    all
}
