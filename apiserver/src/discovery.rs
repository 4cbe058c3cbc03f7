//! What is served, told: aggregated and plain discovery.

use super::resource::{Registry, Resource};
use serde_json::{Value, json};
use std::sync::Arc;

/// The media type that asks for, and labels, aggregated discovery.
pub(super) const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn scope(r: &Resource) -> &'static str {
    if r.namespaced { "Namespaced" } else { "Cluster" }
}

fn kind(r: &Resource) -> Value {
    json!({"group": r.group, "version": r.version, "kind": r.kind})
}

fn subresources(r: &Resource) -> Vec<(&'static str, Value)> {
    let mut out = Vec::new();
    if r.status {
        out.push(("status", kind(r)));
    }
    if r.scale {
        out.push((
            "scale",
            json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}),
        ));
    }
    out
}

/// `/api` (core) or `/apis` (the rest) as an `APIGroupDiscoveryList`.
pub(super) fn aggregated(registry: &Registry, core: bool) -> Value {
    let items: Vec<Value> = registry
        .groups()
        .iter()
        .filter(|(group, _)| group.is_empty() == core)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let resources: Vec<Value> = served(registry, group, version)
                        .map(|r| {
                            let below: Vec<Value> = subresources(r)
                                .into_iter()
                                .map(|(name, kind)| {
                                    json!({"subresource": name, "responseKind": kind, "verbs": ["get", "patch", "update"]})
                                })
                                .collect();
                            json!({
                                "resource": r.plural, "responseKind": kind(r), "scope": scope(r),
                                "singularResource": r.singular, "verbs": Resource::verbs(),
                                "shortNames": r.short_names, "categories": r.categories, "subresources": below,
                            })
                        })
                        .collect();
                    json!({"version": version, "resources": resources, "freshness": "Current"})
                })
                .collect();
            let meta = if group.is_empty() { json!({}) } else { json!({"name": group}) };
            json!({"metadata": meta, "versions": versions})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn served<'a>(
    registry: &'a Registry,
    group: &'a str,
    version: &'a str,
) -> impl Iterator<Item = &'a Arc<Resource>> {
    registry
        .rows()
        .filter(move |r| r.group == group && r.version == version)
}

/// `/apis` as an `APIGroupList`.
pub(super) fn groups(registry: &Registry) -> Value {
    let groups: Vec<Value> = registry
        .groups()
        .iter()
        .filter(|(g, _)| !g.is_empty())
        .map(|(g, v)| describe(g, v))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

fn describe(group: &str, versions: &[String]) -> Value {
    let all: Vec<Value> = versions
        .iter()
        .map(|v| json!({"groupVersion": format!("{group}/{v}"), "version": v}))
        .collect();
    json!({"name": group, "versions": all, "preferredVersion": all.first()})
}

/// `/apis/GROUP`.
pub(super) fn group(registry: &Registry, group: &str) -> Option<Value> {
    let groups = registry.groups();
    let mut out = describe(group, groups.get(group)?);
    super::json::set(&mut out, "kind", Some(json!("APIGroup")));
    super::json::set(&mut out, "apiVersion", Some(json!("v1")));
    Some(out)
}

/// `/api/v1` or `/apis/GROUP/VERSION`.
pub(super) fn resources(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut list = Vec::new();
    let mut group_version = String::new();
    for r in served(registry, group, version) {
        group_version = r.group_version();
        list.push(json!({
            "name": r.plural, "singularName": r.singular, "namespaced": r.namespaced, "kind": r.kind,
            "verbs": Resource::verbs(), "shortNames": r.short_names, "categories": r.categories,
        }));
        for (sub, kind) in subresources(r) {
            let mut one = json!({
                "name": format!("{}/{sub}", r.plural), "singularName": "", "namespaced": r.namespaced,
                "kind": kind.get("kind"), "verbs": ["get", "patch", "update"],
            });
            if sub == "scale" {
                super::json::set(&mut one, "group", Some(json!("autoscaling")));
                super::json::set(&mut one, "version", Some(json!("v1")));
            }
            list.push(one);
        }
    }
    (!list.is_empty()).then(|| {
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": list})
    })
}
