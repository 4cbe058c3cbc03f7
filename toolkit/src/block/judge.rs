//! The policy's judgement in Rust, for clusters that know no such policies: the webhook answers by it. The expressions
//! of [`super::policy`] are the same, line by line; a test holds both against each other.

use super::policy::{Blocked, CHALLENGE, Group, MESSAGE, SOLVER, SOLVERS_OWN, Stage, YES};
use crate::put;
use crate::see::{annotation, entries, items, label, text};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What the webhook goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// How hard it is.
    pub stage: Stage,
    /// Since when, in RFC 3339.
    pub since: String,
    /// What is blocked.
    pub blocked: Blocked,
}

/// Whether a controller of a group serves an Ingress.
fn served_by(group: &Group, ingress: &Value) -> bool {
    let legacy = annotation(ingress, "kubernetes.io/ingress.class").filter(|class| !class.is_empty());
    match (legacy, text(ingress, "/spec/ingressClassName")) {
        (_, Some(class)) => group.classes.iter().any(|known| known == class),
        (Some(class), None) => group.legacy.iter().any(|known| known == class),
        (None, None) => group.without_class,
    }
}

/// Whether nginx serves an Ingress.
fn served(blocked: &Blocked, ingress: &Value) -> bool {
    blocked.groups.iter().any(|group| served_by(group, ingress))
}

/// Its hosts; the empty one stands for a rule, or a default back end, without a host.
fn hosts(ingress: &Value) -> BTreeSet<&str> {
    let rules = items(ingress, "/spec/rules").map(|rule| text(rule, "/host").unwrap_or_default());
    let catch_all = ingress.pointer("/spec/defaultBackend").map(|_| "");
    rules.chain(catch_all).collect()
}

/// Whether an Ingress solves a challenge and serves nothing else.
fn solves_challenge(blocked: &Blocked, ingress: &Value) -> bool {
    let token = |path: &str| {
        path.strip_prefix(CHALLENGE).is_some_and(|token| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
            !token.is_empty() && token.bytes().all(plain)
        })
    };
    let only = |rule: &Value| {
        rule.get("http").is_some()
            && items(rule, "/http/paths").all(|path| text(path, "/path").is_some_and(token))
    };
    let known = |(name, _): (&String, &Value)| {
        blocked.groups.iter().all(|group| {
            let name = name
                .strip_prefix(&group.prefix)
                .and_then(|name| name.strip_prefix('/'));
            name.is_none_or(|name| name == SOLVERS_OWN)
        })
    };
    label(ingress, SOLVER).is_some()
        && ingress.pointer("/spec/rules").is_some()
        && ingress.pointer("/spec/defaultBackend").is_none()
        && items(ingress, "/spec/rules").all(only)
        && entries(ingress, "/metadata/annotations").all(known)
}

/// Whether an Ingress passes whatever its hosts are.
fn exempt(blocked: &Blocked, ingress: &Value) -> bool {
    let canary = || {
        let by = |group: &Group| {
            blocked.groups.len() > 1 && !served_by(group, ingress)
                || annotation(ingress, &format!("{}/canary", group.prefix)) == Some("true")
        };
        blocked.groups.iter().all(by)
    };
    solves_challenge(blocked, ingress) || put::is_ours(ingress) && canary()
}

/// Whether the change of an Ingress would be refused; `before` is none where it is created.
pub fn refuses(blocked: &Blocked, before: Option<&Value>, after: &Value, user: &str) -> bool {
    if blocked.users.iter().any(|exempt| exempt == user) || !served(blocked, after) {
        return false;
    }
    if exempt(blocked, after) {
        return false;
    }
    before.is_none_or(|before| {
        let known = hosts(before);
        let more_hosts = hosts(after).iter().any(|host| !known.contains(host));
        let more_aliases = blocked.groups.iter().any(|group| {
            let alias = format!("{}/server-alias", group.prefix);
            let now = annotation(after, &alias);
            let www = format!("{}/from-to-www-redirect", group.prefix);
            let has_www = |ingress: &Value| annotation(ingress, &www).is_some_and(|said| YES.contains(&said));
            now.is_some() && now != annotation(before, &alias) || has_www(after) && !has_www(before)
        });
        !served(blocked, before) || exempt(blocked, before) || more_hosts || more_aliases
    })
}

/// The answer to an `AdmissionReview`. What cannot be understood is taken, as the policy takes what it cannot
/// evaluate.
pub fn answer(rules: Option<&Rules>, review: &Value) -> Value {
    let request = review.get("request").unwrap_or(&Value::Null);
    let before = request.get("oldObject").filter(|object| !object.is_null());
    let user = text(request, "/userInfo/username").unwrap_or_default();
    let mut response = json!({"uid": request.get("uid"), "allowed": true});
    let refused = rules.filter(|rules| {
        let after = request.get("object").filter(|object| !object.is_null());
        after.is_some_and(|after| refuses(&rules.blocked, before, after, user))
    });
    if let (Some(rules), Some(fields)) = (refused, response.as_object_mut()) {
        fields.insert("auditAnnotations".to_owned(), json!({"blocked": MESSAGE}));
        match rules.stage {
            Stage::Audit => {}
            Stage::Warn => drop(fields.insert("warnings".to_owned(), json!([MESSAGE]))),
            Stage::Deny => {
                fields.insert("allowed".to_owned(), false.into());
                let status = json!({"code": 403, "reason": "Forbidden", "message": MESSAGE});
                fields.insert("status".to_owned(), status);
            }
        }
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}
