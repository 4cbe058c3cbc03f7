//! Who is left alone: by what stands, and by what is to stand.

use super::policy::Blocked;
use serde_json::Value;
use std::collections::BTreeSet;

/// Namespaces and users that a policy and its binding leave alone, as `namespace a` and `user b`.
pub(super) fn standing(policy: &Value, binding: &Value) -> BTreeSet<String> {
    let list = |object: &Value, pointer: &str| -> Vec<Value> {
        let found = object.pointer(pointer).and_then(Value::as_array);
        found.cloned().unwrap_or_default()
    };
    let namespaces = list(binding, "/spec/matchResources/namespaceSelector/matchExpressions")
        .into_iter()
        .filter(|one| one.get("operator").and_then(Value::as_str) == Some("NotIn"))
        .flat_map(|one| list(&one, "/values"));
    let mut all: BTreeSet<String> = namespaces
        .filter_map(|name| name.as_str().map(|name| format!("namespace {name}")))
        .collect();
    for condition in list(policy, "/spec/matchConditions") {
        let expression = condition.get("expression").and_then(Value::as_str);
        let users = texts(expression.unwrap_or_default());
        all.extend(users.into_iter().map(|user| format!("user {user}")));
    }
    all
}

/// The same of what is to be written.
pub(super) fn wanted(blocked: &Blocked) -> BTreeSet<String> {
    let namespaces = blocked.namespaces.iter().map(|name| format!("namespace {name}"));
    let users = blocked.users.iter().map(|name| format!("user {name}"));
    namespaces.chain(users).collect()
}

/// The texts of an expression.
fn texts(expression: &str) -> Vec<String> {
    let (mut found, mut text) = (Vec::new(), None::<String>);
    let mut chars = expression.chars();
    while let Some(c) = chars.next() {
        match (&mut text, c) {
            (None, '\'') => text = Some(String::new()),
            (None, _) => {}
            (Some(_), '\'') => found.extend(text.take()),
            (Some(text), '\\') => text.extend(chars.next()),
            (Some(text), c) => text.push(c),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::policy;

    #[test]
    fn whoever_is_left_alone_is_read_back_as_it_was_written() {
        for names in [&[][..], &["a"], &["system:serviceaccount:a:b", "it's \\ me"]] {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let blocked = Blocked {
                namespaces: names.clone(),
                users: names,
                ..Blocked::default()
            };
            let written = (
                policy::policy(&blocked),
                policy::binding(&blocked, policy::Stage::Deny, "2026-01-05T02:00:00Z"),
            );
            assert_eq!(standing(&written.0, &written.1), wanted(&blocked));
        }
    }
}
