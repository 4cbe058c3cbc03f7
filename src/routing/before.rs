//! Istio takes the first route that matches: what stands before a route and leaves nothing for it.
//!
//! Only what is certain is told: a condition that is written alike, or that asks for less. Two patterns that happen to mean
//! the same are not compared.

use super::destination::label;
use super::istio::{Carrier, Routes};
use super::object::ObjectRef;
use super::preview::{http, is_own};
use super::seen::member;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

impl Routes<'_> {
    /// The user's route before a place that takes all that a rule of ours asks for, and sends it elsewhere.
    pub(super) fn taken(
        &self,
        json: &Value,
        carriers: &[Carrier<'_>],
        at: usize,
        rule: &Value,
    ) -> Option<String> {
        let fine = |at: usize, route: &Value| {
            is_own(self.component, route)
                || carriers.iter().any(|carrier| carrier.at == at)
                || self.goes_to_canary_alone(route)
        };
        let headers = |route| {
            let matches: Vec<&Map<String, Value>> = matches(route);
            let names = matches.into_iter().filter_map(|m| m.get("headers")?.as_object());
            names.flat_map(Map::keys).collect::<BTreeSet<_>>()
        };
        let users: BTreeSet<&String> = carriers
            .iter()
            .flat_map(|carrier| headers(carrier.json))
            .collect();
        // What testers are told by is what our rule asks for and the route does not. Of each nothing may be left.
        headers(rule).difference(&users).find_map(|header| {
            let mut wanted = matches(rule);
            wanted.retain(|m| m.get("headers").is_some_and(|h| h.get(header.as_str()).is_some()));
            taker("http", http(json), at, &wanted, fine)
        })
    }

    /// A sentence on a route that is never reached, for another stands before it and takes all of its requests.
    pub(super) fn unreached(&self, object: &ObjectRef, json: &Value) -> Option<String> {
        let carriers = self.carriers(object, json).ok()?;
        let (list, all) = (self.list(), self.routes(json));
        carriers.iter().find_map(|carrier| {
            let taker = taker(list, all, carrier.at, &matches(carrier.json), |at, route| {
                is_own(self.component, route) || carriers.iter().any(|carrier| carrier.at == at)
            })?;
            Some(format!(
                "{object}: route {} is never reached, for route {taker} stands before it and takes all of its requests: \
                 put that one behind it, or narrow what it matches",
                carrier.label
            ))
        })
    }

    /// The routes of the router's list.
    pub(super) fn routes<'j>(&self, json: &'j Value) -> &'j [Value] {
        member(json, &format!("/spec/{}", self.list()))
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }
}

/// The first route before the place `at` that takes all that `wanted` asks for, as people call it; `None` when something
/// is left for it. A `wanted` of no matches is every request. Routes that `is_fine` says are not looked at.
fn taker(
    list: &str,
    routes: &[Value],
    at: usize,
    wanted: &[&Map<String, Value>],
    is_fine: impl Fn(usize, &Value) -> bool,
) -> Option<String> {
    let at = taker_at(list, routes, at, wanted, is_fine)?;
    Some(label(list, at, routes.get(at)?))
}

/// The place of the first route before the place `at` that takes all of what the route there asks for, of those that are
/// `among`.
pub(super) fn taker_among(
    list: &str,
    routes: &[Value],
    at: usize,
    among: impl Fn(usize) -> bool,
) -> Option<usize> {
    let wanted = matches(routes.get(at)?);
    taker_at(list, routes, at, &wanted, |at, _| !among(at))
}

fn taker_at(
    list: &str,
    routes: &[Value],
    at: usize,
    wanted: &[&Map<String, Value>],
    is_fine: impl Fn(usize, &Value) -> bool,
) -> Option<usize> {
    let everything = Map::new();
    let wanted = if wanted.is_empty() {
        vec![&everything]
    } else {
        wanted.to_vec()
    };
    let before = || {
        routes
            .iter()
            .enumerate()
            .take(at)
            .filter(|(at, route)| !is_fine(*at, route))
    };
    let takes = |wanted: &Map<String, Value>| {
        before().find(|(_, route)| {
            let mut matches = matches(route);
            if matches.is_empty() {
                matches.push(&everything);
            }
            let takes = |wide: &&Map<String, Value>| match list {
                "http" => covers(wide, wanted),
                _ => takes_connections(list, wide, wanted),
            };
            matches.iter().any(takes)
        })
    };
    let mut takers = wanted.into_iter().map(takes);
    let (at, _) = takers.next()??;
    takers.all(|taker| taker.is_some()).then_some(at)
}

/// The conditions of a route; none: it takes every request.
fn matches(route: &Value) -> Vec<&Map<String, Value>> {
    let matches = route.get("match").and_then(Value::as_array).into_iter().flatten();
    matches.filter_map(Value::as_object).collect()
}

/// Whether whatever meets `narrow` meets `wide`, too.
fn covers(wide: &Map<String, Value>, narrow: &Map<String, Value>) -> bool {
    wide.iter().all(|(member, condition)| {
        let meets = || narrow.get(member) == Some(condition);
        match member.as_str() {
            // A name is no condition, and every path begins so.
            "name" => true,
            "uri" | "scheme" | "method" | "authority" => {
                let asked = narrow.get(member);
                // What is asked in any case is more than what is asked in one.
                let wider = member == "uri" && narrow.get("ignoreUriCase") == Some(&Value::Bool(true));
                takes_any(condition) || !wider && asked.is_some_and(|asked| text_covers(condition, asked))
            }
            "headers" => {
                let nothing = Map::new();
                let asked = narrow.get(member).and_then(Value::as_object).unwrap_or(&nothing);
                condition.as_object().is_some_and(|headers| {
                    headers.iter().all(|(name, condition)| {
                        let mut same = asked.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
                        same.any(|(_, narrow)| text_covers(condition, narrow))
                    })
                })
            }
            _ => meets(),
        }
    })
}

/// Whether a match of a tls or tcp route leaves nothing for one behind it. Which ports, gateways and workloads are meant
/// is known before any connection comes, so a match without them is wider, and the first in the list counts. Of names and
/// addresses the one that is more exact wins over TLS, wherever it stands; over TCP no route is read behind one without.
fn takes_connections(list: &str, wide: &Map<String, Value>, narrow: &Map<String, Value>) -> bool {
    let asked = |of: &'_ Map<String, Value>, member: &str| of.get(member).filter(|v| !v.is_null()).cloned();
    let names = |of: &Map<String, Value>| -> Vec<String> {
        let names = of.get("sniHosts").and_then(Value::as_array).into_iter().flatten();
        names.filter_map(Value::as_str).map(str::to_lowercase).collect()
    };
    let (theirs, wanted) = (names(wide), names(narrow));
    wide.keys().all(|member| match member.as_str() {
        "sniHosts" => !wanted.is_empty() && wanted.iter().all(|name| theirs.contains(name)),
        member => asked(wide, member).is_none_or(|asks| asked(narrow, member) == Some(asks)),
    }) && (list == "tcp"
        || theirs.is_empty() == wanted.is_empty()
            && asked(wide, "destinationSubnets") == asked(narrow, "destinationSubnets"))
}

/// Whether every path, method or authority meets a condition. Every path begins with `/`.
fn takes_any(condition: &Value) -> bool {
    let says = |how: &str, what: &[&str]| {
        condition
            .get(how)
            .and_then(Value::as_str)
            .is_some_and(|text| what.contains(&text))
    };
    says("prefix", &["/", ""]) || says("regex", &[".*", ".+", "/.*", "^/.*", "^.*$", "^/.*$"])
}

/// Whether a text that meets `narrow` meets `wide`. A header without a condition has to be there, nothing else.
fn text_covers(wide: &Value, narrow: &Value) -> bool {
    let present = wide.is_null() || wide.as_object().is_some_and(Map::is_empty);
    let begins = || {
        let narrow = narrow.get("exact").or_else(|| narrow.get("prefix"))?.as_str()?;
        Some(narrow.starts_with(wide.get("prefix")?.as_str()?))
    };
    present || wide == narrow || begins().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn taken(before: &Value, wanted: &Value) -> bool {
        let routes = [json!({"match": before}), json!({"match": wanted})];
        taker("http", &routes, 1, &matches(&routes[1]), |_, _| false).is_some()
    }

    #[test]
    fn what_asks_for_less_takes_what_asks_for_more() {
        let testers = json!([{"uri": {"prefix": "/a"}, "headers": {"canary": {"exact": "true"}}}]);
        for before in [
            json!([]),
            json!([{}]),
            json!([{"name": "x"}]),
            json!([{"uri": {"prefix": "/"}}]),
            json!([{"uri": {"regex": ".*"}, "method": {"regex": ".*"}}]),
            json!([{"uri": {"prefix": "/a"}}]),
            json!([{"uri": {"prefix": "/"}, "method": {"regex": ".*"}}]),
            json!([{"headers": {"Canary": {"exact": "true"}}}]),
            json!([{"headers": {"canary": {}}}]),
            json!([{"headers": {"canary": {"prefix": "t"}}}]),
            json!([{"uri": {"exact": "/z"}}, {"headers": {"canary": {"exact": "true"}}}]),
        ] {
            assert!(taken(&before, &testers), "{before}");
        }
        for before in [
            json!([{"uri": {"prefix": "/a/b"}}]),
            json!([{"headers": {"canary": {"exact": "false"}}}]),
            json!([{"headers": {"canary": {"exact": "true"}, "who": {}}}]),
            json!([{"headers": {"canary": {"exact": "true"}}, "method": {"exact": "GET"}}]),
            json!([{"port": 80}]),
        ] {
            assert!(!taken(&before, &testers), "{before}");
        }
    }

    #[test]
    fn a_shorter_prefix_takes_what_a_longer_one_and_an_exact_path_would() {
        for wanted in [
            json!([{"uri": {"prefix": "/api/v1"}}]),
            json!([{"uri": {"exact": "/api/x"}}]),
        ] {
            assert!(taken(&json!([{"uri": {"prefix": "/api"}}]), &wanted), "{wanted}");
            assert!(
                !taken(&json!([{"uri": {"prefix": "/api/v2"}}]), &wanted),
                "{wanted}"
            );
        }
    }

    #[test]
    fn of_connections_the_first_route_with_the_same_match_takes_all_and_a_more_exact_one_is_reached() {
        let takes = |list: &str, before: &Value, wanted: &Value| {
            let routes = [json!({"match": before}), json!({"match": wanted})];
            taker(list, &routes, 1, &matches(&routes[1]), |_, _| false).is_some()
        };
        let (a, ab) = (
            json!([{"port": 443, "sniHosts": ["a.x.io"]}]),
            json!([{"port": 443, "sniHosts": ["b.x.io", "A.x.io"]}]),
        );
        for (list, before, wanted, taken) in [
            ("tls", &a, &a, true),
            ("tls", &ab, &a, true),
            ("tls", &a, &ab, false),
            ("tls", &json!([{"sniHosts": ["a.x.io"]}]), &a, true),
            ("tls", &json!([{"port": 444, "sniHosts": ["a.x.io"]}]), &a, false),
            ("tls", &json!([{"port": 443, "sniHosts": ["*.x.io"]}]), &a, false),
            ("tls", &json!([]), &a, false),
            ("tcp", &json!([{"port": 80}]), &json!([{"port": 80}]), true),
            ("tcp", &json!([{"port": 81}]), &json!([{"port": 80}]), false),
            ("tcp", &json!([]), &json!([{"port": 80}]), true),
            (
                "tcp",
                &json!([{"port": 80, "gateways": ["edge"]}]),
                &json!([{"port": 80}]),
                false,
            ),
            (
                "tcp",
                &json!([{"port": 80, "destinationSubnets": ["10.0.0.0/8"]}]),
                &json!([{"port": 80}]),
                false,
            ),
        ] {
            assert_eq!(takes(list, before, wanted), taken, "{list} {before} {wanted}");
        }
    }

    #[test]
    fn a_route_is_reached_while_one_of_its_matches_is_left() {
        let two = json!([{"uri": {"prefix": "/a"}}, {"uri": {"prefix": "/b"}}]);
        assert!(!taken(&json!([{"uri": {"prefix": "/a"}}]), &two));
        assert!(taken(&two, &two));
        assert!(
            !taken(&json!([{"uri": {"prefix": "/a"}}]), &json!([])),
            "all requests"
        );
        assert!(taken(&json!([]), &json!([])));
    }
}
