//! Whether Istio's split listener knows what to do with a host and a path: what the canary would get as 404 has no
//! route there.

use crate::rollout::router_spec::SplitGateway;
use crate::routing::ObjectKind;
use crate::routing::seen::text;
use crate::routing::stock::Stock;
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeMap;

/// What the listener does with every request of a location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It is sent on.
    Routed,
    /// It is redirected, which nginx passes on to the client, who comes back: the VirtualService that does so.
    Redirected(String),
    /// There is no route that takes all of it.
    Missing,
}

/// The VirtualServices that the split listener serves: by the hosts that they name in full, and those with patterns.
pub(super) struct Bound<'s> {
    gateway: &'s SplitGateway,
    by_host: BTreeMap<&'s str, Vec<&'s Value>>,
    patterned: Vec<&'s Value>,
}

impl<'s> Bound<'s> {
    pub(super) fn new(stock: &'s Stock, namespaces: &[String], gateway: &'s SplitGateway) -> Self {
        let mut bound = Self {
            gateway,
            by_host: BTreeMap::new(),
            patterned: Vec::new(),
        };
        let all = namespaces
            .iter()
            .flat_map(|namespace| stock.list(ObjectKind::VirtualService, namespace));
        for json in all.filter(|json| is_bound(json, gateway)) {
            for host in hosts(json) {
                if host.starts_with('*') {
                    bound.patterned.push(json);
                } else {
                    bound.by_host.entry(host).or_default().push(json);
                }
            }
        }
        bound
    }

    /// What the listener does with a location. `host` is what nginx sends on: the client's own, or `upstream-vhost`.
    pub(super) fn way(&self, host: &str, path: &str, prefix: bool) -> Way {
        let named = self.by_host.get(host).into_iter().flatten();
        let patterned = self
            .patterned
            .iter()
            .filter(|json| hosts(json).any(|pattern| host_fits(pattern, host)));
        for json in named.chain(patterned) {
            match way_in(json, self.gateway, path, prefix) {
                Way::Missing => {}
                way @ (Way::Routed | Way::Redirected(_)) => return way,
            }
        }
        Way::Missing
    }
}

fn hosts(virtual_service: &Value) -> impl Iterator<Item = &str> {
    let listed = virtual_service.pointer("/spec/hosts").and_then(Value::as_array);
    listed.into_iter().flatten().filter_map(Value::as_str)
}

fn is_bound(virtual_service: &Value, gateway: &SplitGateway) -> bool {
    let home = text(virtual_service, "/metadata/namespace").unwrap_or_default();
    let gateways = virtual_service
        .pointer("/spec/gateways")
        .and_then(Value::as_array);
    gateways
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .any(|name| is_ours(name, home, gateway))
}

fn is_ours(name: &str, home: &str, gateway: &SplitGateway) -> bool {
    match &gateway.name {
        None => name != "mesh",
        Some(ours) => name == ours || (!name.contains('/') && *ours == format!("{home}/{name}")),
    }
}

/// What one VirtualService does with a path of a host of its own.
fn way_in(virtual_service: &Value, gateway: &SplitGateway, path: &str, prefix: bool) -> Way {
    let home = text(virtual_service, "/metadata/namespace").unwrap_or_default();
    let name = text(virtual_service, "/metadata/name").unwrap_or_default();
    let routes = virtual_service.pointer("/spec/http").and_then(Value::as_array);
    let routes: Vec<&Value> = routes.into_iter().flatten().collect();
    // A prefix `/a` is the path itself and everything below it; two matches may share that.
    let halves: Vec<(String, bool)> = if prefix && path != "/" && !path.ends_with('/') {
        vec![(path.to_owned(), false), (format!("{path}/"), true)]
    } else {
        vec![(path.to_owned(), prefix)]
    };
    let taken: Vec<Option<&Value>> = halves
        .iter()
        .map(|(path, prefix)| {
            let mut all = routes.iter().copied();
            all.find(|route| takes(route, gateway, home, path, *prefix))
        })
        .collect();
    if taken
        .iter()
        .flatten()
        .any(|route| route.get("redirect").is_some())
    {
        return Way::Redirected(format!("virtualservice {home}/{name}"));
    }
    if taken.iter().all(|route| route.is_some_and(sends_on)) {
        return Way::Routed;
    }
    Way::Missing
}

fn sends_on(route: &Value) -> bool {
    let listed = route.get("route").and_then(Value::as_array);
    listed.is_some_and(|to| !to.is_empty()) || route.get("delegate").is_some_and(Value::is_object)
}

/// A host of a VirtualService takes every name that a host of an Ingress stands for. No host means all of them.
fn host_fits(pattern: &str, host: &str) -> bool {
    if pattern == "*" || pattern == host {
        return true;
    }
    match pattern.strip_prefix('*') {
        Some(suffix) if suffix.starts_with('.') => {
            let name = host.strip_prefix('*').unwrap_or(host);
            name.len() > suffix.len() && name.ends_with(suffix)
        }
        _ => false,
    }
}

/// Whether a route takes every request of a path: one match of it does, and asks for nothing else.
fn takes(route: &Value, gateway: &SplitGateway, home: &str, path: &str, prefix: bool) -> bool {
    let Some(matches) = route
        .get("match")
        .and_then(Value::as_array)
        .filter(|m| !m.is_empty())
    else {
        return true;
    };
    matches.iter().any(|m| {
        let Some(conditions) = m.as_object() else {
            return false;
        };
        conditions.iter().all(|(name, value)| match name.as_str() {
            "name" | "ignoreUriCase" => true,
            "port" => value.as_i64() == Some(i64::from(gateway.port)),
            "gateways" => value.as_array().is_some_and(|all| {
                all.iter()
                    .filter_map(Value::as_str)
                    .any(|g| is_ours(g, home, gateway))
            }),
            "uri" => uri_takes(value, path, prefix),
            // Headers, methods and the like: only some requests.
            _ => false,
        })
    })
}

fn uri_takes(uri: &Value, path: &str, prefix: bool) -> bool {
    if let Some(start) = text(uri, "/prefix") {
        return path.starts_with(start);
    }
    if let Some(exact) = text(uri, "/exact") {
        return !prefix && exact == path;
    }
    let Some(Ok(regex)) = text(uri, "/regex").map(|r| Regex::new(&format!("^(?:{r})$"))) else {
        return false;
    };
    // Whether a pattern takes all that is below a path cannot be told by trying; only the plain form is believed.
    if prefix {
        let all = text(uri, "/regex").and_then(|r| r.strip_suffix(".*"));
        all.is_some_and(|start| path.starts_with(start) && regex::escape(start).replace("\\-", "-") == start)
    } else {
        regex.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn gateway() -> SplitGateway {
        serde_json::from_value(
            json!({"namespace": "istio-system", "service": "gw", "port": 8081, "name": "istio-system/split"}),
        )
        .unwrap()
    }

    fn told(http: &Value, hosts: &Value, host: &str, path: &str, prefix: bool) -> Way {
        let vs = std::sync::Arc::new(json!({"metadata": {"namespace": "a", "name": "v"},
            "spec": {"hosts": hosts, "gateways": ["istio-system/split"], "http": http}}));
        let mut stock = Stock::default();
        stock.put(ObjectKind::VirtualService, "a", vec![vs]);
        Bound::new(&stock, &["a".to_owned()], &gateway()).way(host, path, prefix)
    }

    fn to(matches: Value) -> Value {
        let mut route = json!({"route": [{"destination": {"host": "s"}}]});
        if !matches.is_null() {
            route["match"] = matches;
        }
        json!([route])
    }

    #[test]
    fn a_route_takes_a_location_only_when_it_takes_all_of_it() {
        let hosts = json!(["shop.example.com"]);
        let at = |m: Value, path: &str, prefix| told(&to(m), &hosts, "shop.example.com", path, prefix);
        assert_eq!(at(Value::Null, "/", true), Way::Routed);
        assert_eq!(at(json!([{"uri": {"prefix": "/"}}]), "/a", true), Way::Routed);
        assert_eq!(at(json!([{"uri": {"prefix": "/a/b"}}]), "/a", true), Way::Missing);
        assert_eq!(
            at(json!([{"uri": {"exact": "/a"}}]), "/a", true),
            Way::Missing,
            "and what is below?"
        );
        assert_eq!(
            at(
                json!([{"uri": {"exact": "/a"}}, {"uri": {"prefix": "/a/"}}]),
                "/a",
                true
            ),
            Way::Routed
        );
        assert_eq!(at(json!([{"uri": {"exact": "/a"}}]), "/a", false), Way::Routed);
        assert_eq!(
            at(json!([{"uri": {"regex": "/a[0-9]+"}}]), "/a7", false),
            Way::Routed
        );
        assert_eq!(at(json!([{"uri": {"regex": "/a.*"}}]), "/a", true), Way::Routed);
        assert_eq!(
            at(json!([{"uri": {"regex": "/(a|b)"}}]), "/a", true),
            Way::Missing
        );
        assert_eq!(
            at(
                json!([{"uri": {"prefix": "/"}, "headers": {"x": {"exact": "1"}}}]),
                "/",
                true
            ),
            Way::Missing
        );
        assert_eq!(
            at(json!([{"uri": {"prefix": "/"}, "port": 443}]), "/", true),
            Way::Missing
        );
        assert_eq!(
            at(json!([{"uri": {"prefix": "/"}, "port": 8081}]), "/", true),
            Way::Routed
        );
    }

    #[test]
    fn a_redirect_on_the_listener_is_told_from_a_route() {
        let http = json!([{"match": [{"port": 80}], "redirect": {"scheme": "https"}}, {"route": [{"destination": {"host": "s"}}]}]);
        assert_eq!(
            told(&http, &json!(["*"]), "x.y", "/", true),
            Way::Routed,
            "the redirect is of another port"
        );
        let http = json!([{"redirect": {"scheme": "https"}}]);
        assert_eq!(
            told(&http, &json!(["*"]), "x.y", "/", true),
            Way::Redirected("virtualservice a/v".into())
        );
    }

    #[test]
    fn hosts_fit_as_istio_reads_them() {
        for (pattern, host, fits) in [
            ("a.b.c", "a.b.c", true),
            ("*.b.c", "a.b.c", true),
            ("*.b.c", "b.c", false),
            ("*.b.c", "*.b.c", true),
            ("*.c", "*.b.c", true),
            ("a.b.c", "*.b.c", false),
            ("*", "", true),
            ("*.c", "", false),
        ] {
            assert_eq!(host_fits(pattern, host), fits, "{pattern} {host:?}");
        }
    }

    #[test]
    fn only_what_the_split_gateway_serves_counts() {
        let vs = |gateways: Value| json!({"metadata": {"namespace": "istio-system"}, "spec": {"gateways": gateways}});
        assert!(is_bound(&vs(json!(["istio-system/split"])), &gateway()));
        assert!(
            is_bound(&vs(json!(["split"])), &gateway()),
            "a short name is of its own namespace"
        );
        assert!(!is_bound(&vs(json!(["istio-system/public"])), &gateway()));
        let mut any = gateway();
        any.name = None;
        assert!(is_bound(&vs(json!(["public"])), &any));
        assert!(!is_bound(&vs(json!(["mesh"])), &any));
        assert!(!is_bound(&json!({"spec": {}}), &any));
    }
}
