//! The Gateway API: of rules with the same matches the first in the order of the list wins, so one behind it gets nothing.
//!
//! Which of two different matches wins depends on more than their order, so only equal ones are told.

use super::backend;
use super::destination::label;
use super::gateway_api::{RULES, Rules};
use super::object::ObjectRef;
use super::seen::{member, text};
use crate::rollout::router_spec::RouteKind;
use serde_json::{Value, json};

impl Rules<'_> {
    /// A sentence on a rule that is never reached, for one before it has all of its matches.
    pub(super) fn unreached(self, object: &ObjectRef, json: &Value) -> Option<String> {
        let rules = member(json, "/spec/rules").and_then(Value::as_array)?;
        let ours = self.places(object, json)?;
        ours.iter().find_map(|at| {
            let taker = twin(self.route.kind, rules, *at, |other| !ours.contains(&other))?;
            let called = |at: usize| rules.get(at).map(|rule| label(RULES, at, rule)).unwrap_or_default();
            let to = rules.get(taker).map(|rule| backend::written(backend::entries(rule)));
            Some(format!(
                "{object}: rule {} is never reached, for rule {} (to {}) stands before it and has the same matches: put \
                 that one behind it, or narrow what it matches",
                called(*at),
                called(taker),
                to.unwrap_or_default()
            ))
        })
    }
}

/// The first rule before the place `at`, of those that are `among`, where each match of the rule there is already one
/// of theirs; `None` when something is left for it.
pub(super) fn twin(
    kind: RouteKind,
    rules: &[Value],
    at: usize,
    among: impl Fn(usize) -> bool,
) -> Option<usize> {
    match kind {
        RouteKind::Http | RouteKind::Grpc => {}
        // Their rules match nothing, and the API does not say which of several takes a connection.
        RouteKind::Tls | RouteKind::Tcp => return None,
    }
    let before: Vec<(usize, Vec<Value>)> = rules
        .iter()
        .enumerate()
        .take(at)
        .filter(|(n, _)| among(*n))
        .map(|(n, rule)| (n, matches(rule)))
        .collect();
    let wanted = rules.get(at).map(matches)?;
    let takes = |wanted: &Value| before.iter().find(|(_, all)| all.contains(wanted));
    let mut takers = wanted.iter().map(takes);
    let (first, _) = takers.next()??;
    takers.all(|taker| taker.is_some()).then_some(*first)
}

/// The matches of a rule as the API reads them, with its defaults filled in; one that takes everything where there is
/// none.
fn matches(rule: &Value) -> Vec<Value> {
    let listed = rule.get("matches").and_then(Value::as_array);
    let all: Vec<Value> = listed.into_iter().flatten().map(read).collect();
    if all.is_empty() {
        vec![read(&Value::Null)]
    } else {
        all
    }
}

fn read(one: &Value) -> Value {
    let or = |pointer: &str, default: &str| text(one, pointer).unwrap_or(default).to_owned();
    // `/a/` as a prefix is `/a`.
    let (how, path) = (or("/path/type", "PathPrefix"), or("/path/value", "/"));
    let path = if how == "PathPrefix" {
        path.trim_end_matches('/').to_owned()
    } else {
        path
    };
    // A method is a word over HTTP, and a service with its method over gRPC.
    let method = match member(one, "/method") {
        Some(Value::Object(_)) => {
            json!([
                or("/method/type", "Exact"),
                or("/method/service", ""),
                or("/method/method", "")
            ])
        }
        Some(word) => word.clone(),
        None => Value::Null,
    };
    json!([
        how,
        path,
        method,
        conditions(one, "headers"),
        conditions(one, "queryParams")
    ])
}

/// Headers or parameters, in whatever order they are written.
fn conditions(one: &Value, list: &str) -> Vec<[String; 3]> {
    let listed = one.get(list).and_then(Value::as_array).into_iter().flatten();
    let mut all: Vec<[String; 3]> = listed
        .map(|condition| {
            let name = text(condition, "/name").unwrap_or_default();
            let name = if list == "headers" {
                name.to_lowercase()
            } else {
                name.to_owned()
            };
            let (how, value) = (text(condition, "/type"), text(condition, "/value"));
            [
                name,
                how.unwrap_or("Exact").to_owned(),
                value.unwrap_or_default().to_owned(),
            ]
        })
        .collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(before: &Value, wanted: &Value) -> bool {
        let rules = [json!({"matches": before}), json!({"matches": wanted})];
        twin(RouteKind::Http, &rules, 1, |_| true).is_some()
    }

    #[test]
    fn equal_matches_are_equal_however_they_are_written_and_others_are_not_told() {
        let root = json!([{"path": {"type": "PathPrefix", "value": "/"}}]);
        for (before, wanted) in [
            (json!([]), root.clone()),
            (root.clone(), json!([])),
            (json!([{}]), root.clone()),
            (
                json!([{"path": {"value": "/a/"}}]),
                json!([{"path": {"type": "PathPrefix", "value": "/a"}}]),
            ),
            (
                json!([{"headers": [{"name": "X", "value": "1"}, {"name": "y", "value": "2"}]}]),
                json!([{"headers": [{"name": "y", "value": "2", "type": "Exact"}, {"name": "x", "value": "1"}]}]),
            ),
            (json!([{"method": "GET"}, {}]), json!([{"method": "GET"}])),
        ] {
            assert!(taken(&before, &wanted), "{before} takes {wanted}");
        }
        for (before, wanted) in [
            (json!([{"path": {"value": "/a"}}]), root.clone()),
            (json!([{"method": "GET"}]), json!([{"method": "GET"}, {}])),
            (json!([{"path": {"type": "Exact", "value": "/"}}]), root.clone()),
            // A longer prefix wins over `/`, wherever it stands.
            (root, json!([{"path": {"value": "/a"}}])),
        ] {
            assert!(!taken(&before, &wanted), "{before} leaves {wanted}");
        }
        let rules = [json!({}), json!({})];
        assert_eq!(twin(RouteKind::Tcp, &rules, 1, |_| true), None);
    }
}
