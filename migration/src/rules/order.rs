//! The order of routes: what Istio only warns of is a mistake here, as a route that is never reached was meant to be.

use super::At;
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) fn check(at: &mut At, routes: &[Value]) {
    // Everything but the path, to the paths that are taken by then.
    let mut taken: BTreeMap<String, Taken> = BTreeMap::new();
    let mut all = false;
    for (index, route) in routes.iter().enumerate() {
        let field = format!("spec.http[{index}]");
        if all {
            at.wrong(field, "an earlier route takes everything");
            return;
        }
        let Some(matches) = route
            .get("match")
            .and_then(Value::as_array)
            .filter(|matches| !matches.is_empty())
        else {
            all = true;
            continue;
        };
        for matched in matches {
            let uri = matched.get("uri").cloned().unwrap_or(Value::Null);
            let mut rest = matched.clone();
            if let Some(rest) = rest.as_object_mut() {
                rest.remove("uri");
            }
            let known = taken.entry(rest.to_string()).or_default();
            if known.takes(&uri) {
                at.wrong(&field, format!("an earlier route takes what matches {matched}"));
            }
            known.add(&uri);
        }
    }
}

#[derive(Default)]
struct Taken {
    exact: Vec<String>,
    prefixes: Vec<String>,
    regexes: Vec<String>,
    all: bool,
}

impl Taken {
    fn takes(&self, uri: &Value) -> bool {
        let get = |kind: &str| uri.get(kind).and_then(Value::as_str);
        let by_prefix = |path: &str| {
            self.prefixes
                .iter()
                .any(|prefix| path.starts_with(prefix.as_str()))
        };
        if self.all {
            return true;
        }
        match (get("exact"), get("prefix"), get("regex")) {
            (Some(path), _, _) => by_prefix(path) || self.exact.iter().any(|known| known == path),
            (_, Some(path), _) => by_prefix(path),
            (_, _, Some(pattern)) => {
                self.regexes.iter().any(|known| known == pattern)
                    || by_prefix("/") && self.prefixes.iter().any(|p| p == "/")
            }
            _ => false,
        }
    }

    fn add(&mut self, uri: &Value) {
        let get = |kind: &str| uri.get(kind).and_then(Value::as_str).map(ToOwned::to_owned);
        match (get("exact"), get("prefix"), get("regex")) {
            (Some(path), _, _) => self.exact.push(path),
            (_, Some(path), _) => self.prefixes.push(path),
            (_, _, Some(pattern)) => self.regexes.push(pattern),
            _ => self.all = true,
        }
    }
}
