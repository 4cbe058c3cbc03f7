//! Reviews: may I, may they, and who is this? Answered from what the simulation allows.

use super::failure::Failure;
use super::json::{self, text};
use super::rbac::{self, Person};
use super::store::Store;
use http::Method;
use serde_json::{Value, json};

/// The plurals served, with their kinds.
const REVIEWS: [(&str, &str, &str); 5] = [
    (
        "authorization.k8s.io",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
    ),
    (
        "authorization.k8s.io",
        "subjectaccessreviews",
        "SubjectAccessReview",
    ),
    (
        "authorization.k8s.io",
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
    ),
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
    ("authentication.k8s.io", "tokenreviews", "TokenReview"),
];

/// The answer to a review; `None` when the path is none.
pub(super) fn answer(
    store: &Store,
    asker: Option<&Person>,
    group: &str,
    rest: &[&str],
    method: &Method,
    body: impl FnOnce() -> Result<Value, Failure>,
) -> Option<Result<Value, Failure>> {
    let [plural] = rest else { return None };
    let (_, _, kind) = REVIEWS.iter().find(|(g, p, _)| *g == group && p == plural)?;
    if method != Method::POST {
        return Some(Err(Failure::method_not_allowed()));
    }
    Some(body().map(|mut review| {
        let status = status(store, asker, kind, &review);
        json::set(&mut review, "apiVersion", Some(json!(format!("{group}/v1"))));
        json::set(&mut review, "kind", Some(json!(kind)));
        json::metadata(&mut review).insert("creationTimestamp".to_owned(), Value::Null);
        json::set(&mut review, "status", Some(status));
        review
    }))
}

fn status(store: &Store, asker: Option<&Person>, kind: &str, review: &Value) -> Value {
    let asking = asker.map_or_else(
        || json!({"username": "sandbox", "groups": ["system:masters", "system:authenticated"]}),
        |asker| json!({"username": asker.name, "groups": asker.groups}),
    );
    match kind {
        "SelfSubjectReview" => json!({"userInfo": asking}),
        "TokenReview" => match store.user(text(review, "/spec/token")) {
            Some(user) => json!({"authenticated": true, "user": user}),
            None => json!({"authenticated": false, "error": "invalid bearer token"}),
        },
        "SelfSubjectRulesReview" => json!({
            "incomplete": false, "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        }),
        _ => {
            let empty = json!({});
            let spec = review.get("spec").unwrap_or(&empty);
            let allowed = store
                .decided(spec)
                .unwrap_or_else(|| rbac::reviewed(store, asker, spec));
            json!({"allowed": allowed, "reason": if allowed { "" } else { "refused by the sandbox" }})
        }
    }
}

/// The plain discovery of a review group.
pub(super) fn discovery(group: &str, version: &str) -> Option<Value> {
    let list: Vec<Value> = REVIEWS
        .iter()
        .filter(|(g, _, _)| *g == group && version == "v1")
        .map(|(_, plural, kind)| {
            json!({
                "name": plural, "singularName": kind.to_lowercase(), "namespaced": false, "kind": kind,
                "verbs": ["create"],
            })
        })
        .collect();
    (!list.is_empty()).then(|| {
        json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{group}/{version}"),
            "resources": list,
        })
    })
}
