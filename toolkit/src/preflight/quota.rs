//! Whether quotas leave room for what is to be written: in the namespaces of routes, and in the gateway's, which gets
//! Gateways, policies and copies of certificates.

use super::code;
use super::picture::Picture;
use super::platform::quantity;
use crate::apply::gateway::credentials;
use crate::finding::Finding;
use crate::see::{self, entries, text};
use gradual_rollout_migration::convert::Options;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The names that quotas have for what is written, by kind.
const COUNTED: &[(&str, &[&str])] = &[
    (
        "AuthorizationPolicy",
        &["count/authorizationpolicies.security.istio.io"],
    ),
    ("DestinationRule", &["count/destinationrules.networking.istio.io"]),
    ("Gateway", &["count/gateways.networking.istio.io"]),
    ("Secret", &["count/secrets", "secrets"]),
    ("VirtualService", &["count/virtualservices.networking.istio.io"]),
];

/// How many objects of each kind would be new in each namespace: what is there already is used, and not needed again.
fn needed(picture: &Picture, converted: &[Value], options: &Options) -> BTreeMap<(String, String), usize> {
    let mut wanted: BTreeSet<(String, String, String)> = converted
        .iter()
        .map(|object| {
            let kind = text(object, "/kind").unwrap_or_default();
            (
                see::namespace(object).to_owned(),
                kind.to_owned(),
                see::name(object).to_owned(),
            )
        })
        .collect();
    let gateways = converted
        .iter()
        .filter(|object| text(object, "/kind") == Some("Gateway"));
    wanted.extend(
        gateways
            .flat_map(credentials)
            .map(|name| (options.gateway_namespace.clone(), "Secret".to_owned(), name)),
    );
    let mut counts = BTreeMap::new();
    for (namespace, kind, name) in wanted {
        if picture.find(&kind, &namespace, &name).is_none() {
            *counts.entry((namespace, kind)).or_default() += 1;
        }
    }
    counts
}

/// Looks at each quota.
pub(super) fn check(picture: &Picture, converted: &[Value], options: &Options, found: &mut Vec<Finding>) {
    let needed = needed(picture, converted, options);
    for quota in picture.of("ResourceQuota") {
        for (kind, names) in COUNTED {
            let key = (see::namespace(quota).to_owned(), (*kind).to_owned());
            let Some(more) = needed.get(&key) else { continue };
            for name in *names {
                spent(quota, name, *more, found);
            }
        }
    }
}

fn spent(quota: &Value, name: &str, more: usize, found: &mut Vec<Finding>) {
    let says = |pointer: &str| {
        entries(quota, pointer)
            .find(|(known, _)| *known == name)
            .and_then(|(_, value)| quantity(value.as_str()?))
    };
    let Some(limit) = says("/spec/hard") else { return };
    let used = says("/status/used").unwrap_or_default();
    let wanted = u32::try_from(more).map_or(f64::INFINITY, f64::from);
    if used + wanted > limit {
        found.push(code::QUOTA_SPENT.at(
            see::object(quota),
            format!("{name}: {used} of {limit} are used, {more} more are needed"),
        ));
    }
}
