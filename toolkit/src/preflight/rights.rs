//! May whoever runs this do what the migration will ask of the cluster?

use crate::trouble::Trouble;
use futures::{StreamExt, TryStreamExt};
use kube::Client;
use serde_json::{Value, json};

/// Group, resource, and the verbs that are needed on it in every namespace.
const NEEDED: &[(&str, &str, &[&str])] = &[
    ("networking.istio.io", "gateways", WRITES),
    ("networking.istio.io", "virtualservices", WRITES),
    ("networking.istio.io", "destinationrules", WRITES),
    ("security.istio.io", "authorizationpolicies", WRITES),
    ("networking.k8s.io", "ingresses", WRITES),
    ("networking.k8s.io", "networkpolicies", WRITES),
    ("", "services", &["get", "list", "patch"]),
    ("", "secrets", WRITES),
    ("", "configmaps", &["get", "list", "create", "patch"]),
    ("", "namespaces", &["get", "list", "create", "patch"]),
    ("", "resourcequotas", WRITES),
    ("apps", "deployments", &["get", "list", "patch"]),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        WRITES,
    ),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicybindings",
        WRITES,
    ),
    (
        "rollout.sealos.io",
        "gradualrollouts",
        &["get", "list", "create", "patch"],
    ),
];

/// Server-side apply is a `patch`, and a `create` where nothing is there yet.
const WRITES: &[&str] = &["get", "list", "create", "patch", "delete"];

/// How many are asked at once.
const AT_ONCE: usize = 8;

/// The rights that are missing, as `verb resource.group`.
pub(super) async fn missing(client: &Client) -> Result<Vec<String>, Trouble> {
    let asked = NEEDED
        .iter()
        .flat_map(|(group, resource, verbs)| verbs.iter().map(move |verb| (*group, *resource, *verb)));
    let answers: Vec<Option<String>> = futures::stream::iter(asked)
        .map(|(group, resource, verb)| async move {
            let allowed = allowed(client, group, resource, verb).await?;
            let name = if group.is_empty() {
                resource.to_owned()
            } else {
                format!("{resource}.{group}")
            };
            Ok::<_, Trouble>((!allowed).then(|| format!("{verb} {name}")))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(answers.into_iter().flatten().collect())
}

async fn allowed(client: &Client, group: &str, resource: &str, verb: &str) -> Result<bool, Trouble> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"group": group, "resource": resource, "verb": verb}},
    });
    let request = http::Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        .header(http::header::CONTENT_TYPE, "application/json")
        .body(review.to_string().into_bytes())
        .map_err(|error| Trouble::Internal(format!("unable to ask for rights: {error}")))?;
    let answer: Value = client
        .request(request)
        .await
        .map_err(|error| Trouble::kube("ask which rights there are", &error))?;
    Ok(answer.pointer("/status/allowed").and_then(Value::as_bool) == Some(true))
}
