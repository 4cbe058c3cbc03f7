//! `VirtualService`.

use super::{At, http_route, list, order, texts, words};
use serde_json::Value;

pub(super) fn check(at: &mut At, spec: &Value) {
    let hosts = texts(spec, "hosts");
    let gateways = texts(spec, "gateways");
    let parts = ["http", "tls", "tcp"].map(|kind| list(spec, kind).len());
    at.demand(
        parts.iter().sum::<usize>() > 0,
        "spec",
        "at least one of http, tls and tcp is demanded",
    );
    if hosts.is_empty() {
        // Without hosts it is part of another one, which decides where it is bound.
        let [_, tls, tcp] = parts;
        at.demand(
            gateways.is_empty() && tls + tcp == 0,
            "spec.hosts",
            "without hosts only http is allowed",
        );
    }
    let mesh = gateways.is_empty() || gateways.contains(&"mesh");
    for (index, host) in hosts.iter().enumerate() {
        let field = format!("spec.hosts[{index}]");
        words::host(at, &field, host, !mesh);
        let earlier = hosts
            .iter()
            .take(index)
            .find(|earlier| words::overlap(earlier, host));
        if let Some(earlier) = earlier {
            at.wrong(field, format!("{earlier:?} stands for the same names"));
        }
    }
    for (index, gateway) in gateways.iter().enumerate() {
        words::gateway(at, &format!("spec.gateways[{index}]"), gateway);
    }
    for (index, route) in list(spec, "http").iter().enumerate() {
        http_route::check(at, &format!("spec.http[{index}]"), route);
    }
    order::check(at, list(spec, "http"));
    for (index, route) in list(spec, "tls").iter().enumerate() {
        tls(at, &format!("spec.tls[{index}]"), route, &hosts);
    }
    for (index, route) in list(spec, "tcp").iter().enumerate() {
        let field = format!("spec.tcp[{index}]");
        http_route::destinations(at, &field, list(route, "route"));
    }
}

fn tls(at: &mut At, field: &str, route: &Value, hosts: &[&str]) {
    at.demand(!list(route, "match").is_empty(), field, "a tls route has a match");
    http_route::destinations(at, field, list(route, "route"));
    for matched in list(route, "match") {
        let names = texts(matched, "sniHosts");
        at.demand(!names.is_empty(), field, "sniHosts must not be empty");
        for name in names {
            words::host(at, field, name, true);
            let covered = hosts.iter().any(|host| words::overlap(host, name));
            at.demand(covered, field, "a name of sniHosts is none of the hosts");
        }
    }
}
