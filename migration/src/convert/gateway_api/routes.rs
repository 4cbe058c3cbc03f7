//! The `HTTPRoutes` of a host: one, or one for each scheme where they differ, and more where one has no room.

use super::super::emit::Served;
use super::super::options::{GatewayApi, Options};
use super::listeners::Layout;
use super::rules::{self, Paths};
use crate::istio::HttpRoute;
use serde_json::{Value, json};

/// An `HTTPRoute` takes no more (its CRD).
const MOST_RULES: usize = 16;

/// Matches of all rules together (its CEL rule).
const MOST_MATCHES: usize = 128;

pub(super) fn objects(
    served: &Served,
    layout: &Layout,
    wishes: &GatewayApi,
    options: &Options,
) -> Vec<Value> {
    let clear = Layout::clear(options);
    let secure = layout.secure(&served.host, options);
    let apart = served
        .spec
        .http
        .iter()
        .any(|route| route.matches.iter().any(|m| m.port.is_some()));
    let plans = if apart {
        let secure = secure.map(|listener| ("-tls", vec![listener], Some(options.https_port)));
        std::iter::once(("", vec![clear], Some(options.http_port)))
            .chain(secure)
            .collect()
    } else {
        vec![("", std::iter::once(clear).chain(secure).collect::<Vec<_>>(), None)]
    };
    let paths = Paths::of(&served.spec.http);
    let mut all = Vec::new();
    for (suffix, parents, port) in plans {
        let one = |route: &HttpRoute| {
            let how = (paths, wishes.regular_expressions);
            rules::rule(route, port, how, &served.namespace, options)
        };
        let rules: Vec<Value> = reachable(served.spec.http.iter().filter_map(one));
        let name = format!("{}{suffix}", served.name());
        for (at, rules) in divided(rules).into_iter().enumerate() {
            let name = if at == 0 {
                name.clone()
            } else {
                format!("{name}-{}", at + 1)
            };
            all.push(object(served, &name, &parents, &rules));
        }
    }
    all
}

/// Without matches that an earlier rule has too, which comes first.
fn reachable(rules: impl Iterator<Item = Value>) -> Vec<Value> {
    let mut seen: Vec<Value> = Vec::new();
    let mut kept = Vec::new();
    for mut rule in rules {
        let Some(matches) = rule.get_mut("matches").and_then(Value::as_array_mut) else {
            continue;
        };
        matches.retain(|matched| !seen.contains(matched));
        seen.extend(matches.iter().cloned());
        if !matches.is_empty() {
            kept.push(rule);
        }
    }
    kept
}

fn object(served: &Served, name: &str, parents: &[Value], rules: &[Value]) -> Value {
    let meta = served.meta();
    let mut spec = json!({"parentRefs": parents, "rules": rules});
    // Whoever names no host takes any.
    if served.host != "*"
        && let Some(fields) = spec.as_object_mut()
    {
        fields.insert("hostnames".to_owned(), json!([served.host]));
    }
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": name, "namespace": meta.namespace, "labels": meta.labels, "annotations": meta.annotations,
        },
        "spec": spec,
    })
}

/// Parts with as many rules as one object has room for. Rules of one path stay together, as between them their order
/// decides; between others their precision does, wherever they stand.
fn divided(rules: Vec<Value>) -> Vec<Vec<Value>> {
    let mut groups: Vec<Vec<Value>> = Vec::new();
    for rule in rules {
        match groups.last_mut() {
            Some(group) if group.last().is_some_and(|last| path(last) == path(&rule)) => group.push(rule),
            _ => groups.push(vec![rule]),
        }
    }
    let mut parts: Vec<Vec<Value>> = Vec::new();
    for group in groups {
        let fits = |part: &&mut Vec<Value>| {
            let matches = part.iter().chain(&group).map(matches).sum::<usize>();
            part.len() + group.len() <= MOST_RULES && matches <= MOST_MATCHES
        };
        match parts.last_mut().filter(fits) {
            Some(part) => part.extend(group),
            None => parts.push(group),
        }
    }
    parts
}

fn path(rule: &Value) -> Option<&Value> {
    rule.pointer("/matches/0/path")
}

fn matches(rule: &Value) -> usize {
    rule.get("matches").and_then(Value::as_array).map_or(0, Vec::len)
}
