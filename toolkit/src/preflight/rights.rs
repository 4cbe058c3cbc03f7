//! May whoever runs this do what the migration will ask of the cluster?

use crate::see::{items, name};
use crate::trouble::Trouble;
use futures::{StreamExt, TryStreamExt};
use kube::Client;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The roles that people are given: what is granted is what is asked about, and nothing is listed twice. A test on the
/// wire holds them against what the verbs send.
const ROLES: &str = include_str!("../../../deploy/migration-rbac.yaml");

/// Those of them without which a migration cannot be done.
const NEEDED: [&str; 2] = [
    "gradual-rollout-migration-reader",
    "gradual-rollout-migration-writer",
];

/// How many are asked at once.
const AT_ONCE: usize = 8;

/// A right as RBAC has it: group, resource with its subresource behind a slash, verb.
type Right = (String, String, String);

/// Every right that is needed, in every namespace.
fn needed() -> Result<BTreeSet<Right>, Trouble> {
    let roles: Vec<Value> = serde_saphyr::from_multiple(ROLES)
        .map_err(|error| Trouble::Internal(format!("unable to read the migration's roles: {error}")))?;
    let is_needed = |role: &&Value| NEEDED.contains(&name(role));
    let mut all = BTreeSet::new();
    for rule in roles
        .iter()
        .filter(is_needed)
        .flat_map(|role| items(role, "/rules"))
    {
        let words = |field: &str| {
            let words = items(rule, field).filter_map(Value::as_str);
            words.map(ToOwned::to_owned).collect::<Vec<_>>()
        };
        for group in words("/apiGroups") {
            for resource in words("/resources") {
                for verb in words("/verbs") {
                    all.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    Ok(all)
}

/// What is known of them.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    /// Those that are missing, as `verb resource.group`.
    pub missing: Vec<String>,
    /// Why it is not known, where the API server does not say.
    pub unknown: Option<String>,
}

/// Asks for every right that is needed. An API server that refuses to say which there are is no failure.
pub(super) async fn rights(client: &Client) -> Result<Rights, Trouble> {
    let answers: Result<Vec<Option<String>>, Trouble> = futures::stream::iter(needed()?)
        .map(|(group, resource, verb)| async move {
            let allowed = allowed(client, &group, &resource, &verb).await?;
            let dot = if group.is_empty() { "" } else { "." };
            Ok::<_, Trouble>((!allowed).then(|| format!("{verb} {resource}{dot}{group}")))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await;
    match answers {
        Ok(answers) => Ok(Rights {
            missing: answers.into_iter().flatten().collect(),
            unknown: None,
        }),
        Err(Trouble::Refused(why)) => Ok(Rights {
            missing: Vec::new(),
            unknown: Some(why),
        }),
        Err(trouble) => Err(trouble),
    }
}

async fn allowed(client: &Client, group: &str, resource: &str, verb: &str) -> Result<bool, Trouble> {
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {
            "group": group, "resource": resource, "subresource": subresource, "verb": verb,
        }},
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
