//! Paths that took the place of load balancers: whether what keeps others out is there, and keeps out whom the Service does.

use super::{Wrong, loose};
use crate::apply::inputs::Now;
use crate::apply::live::Live;
use crate::apply::read::from;
use crate::cluster::{self, label, meta};
use crate::loadbalancer::{NAMESPACE, SERVICE};
use crate::rollback::plan::named;
use crate::see::items;
use serde_json::Value;
use std::collections::BTreeSet;

/// The Service that an object stands for.
fn of(object: &Value) -> Option<(&str, &str)> {
    Some((label(object, NAMESPACE)?, label(object, SERVICE)?))
}

/// What is wrong with them.
pub fn find(live: &Live, now: &Now, namespace: Option<&str>) -> Vec<Wrong> {
    let mut found = Vec::new();
    let mut services: BTreeSet<(&str, &str)> = BTreeSet::new();
    let routes = live.ours(&cluster::VIRTUAL_SERVICE).filter(|route| {
        from(route).is_empty() && namespace.is_none_or(|name| meta(route, "namespace") == name)
    });
    for route in routes {
        found.extend(loose::needs(route, live));
        services.extend(of(route));
    }
    for (namespace, name) in services {
        let Some(wanted) = now.ranges(namespace, name) else {
            // It gave its address up: whom it let in stands in its record alone.
            continue;
        };
        let mut policies = live.ours(&cluster::AUTHORIZATION_POLICY);
        let policy = policies.find(|policy| of(policy) == Some((namespace, name)));
        let there: BTreeSet<String> = policy.into_iter().flat_map(ranges).collect();
        if *wanted == there {
            continue;
        }
        let list = |all: &BTreeSet<String>| match all.len() {
            0 => "everybody".to_owned(),
            _ => all.iter().cloned().collect::<Vec<_>>().join(", "),
        };
        let service = cluster::SERVICE.named(namespace, name);
        let said = format!(
            "the load balancer lets in {}, and the gateway {}{}",
            list(wanted),
            list(&there),
            policy.map_or_else(String::new, |policy| format!(
                " ({})",
                named(&cluster::AUTHORIZATION_POLICY, policy)
            ))
        );
        found.push(("STATE-RANGES-CHANGED", service, said));
    }
    found
}

/// Whom a policy lets in.
fn ranges(policy: &Value) -> Vec<String> {
    let rules = items(policy, "/spec/rules");
    let sources = rules.flat_map(|rule| items(rule, "/from"));
    let blocks = sources.flat_map(|from| {
        ["/source/notRemoteIpBlocks", "/source/notIpBlocks"]
            .iter()
            .flat_map(move |list| items(from, list))
    });
    blocks.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}
