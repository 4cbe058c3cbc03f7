//! Objects of others that decide at the gateway beside ours: rules for a Service that ours is for, of which Istio takes one, and
//! policies that deny what we open.

use crate::apply::live::{Live, texts};
use crate::apply::owned::service;
use crate::cluster::{self, Kind, meta};
use crate::marks;
use crate::see::{entries, items, text};
use gradual_rollout_migration::input::Key;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Where Istio looks for what holds for all namespaces, unless it is told otherwise.
pub(crate) const ROOT: &str = "istio-system";

/// What others wrote.
#[derive(Debug, Default)]
pub struct Foreign<'a> {
    rules: BTreeMap<Key, Vec<&'a Value>>,
    policies: Vec<&'a Value>,
}

impl<'a> Foreign<'a> {
    /// Of what is there.
    pub fn new(live: &'a Live) -> Self {
        let mut all = Self::default();
        for rule in live
            .all(&cluster::DESTINATION_RULE)
            .filter(|rule| !marks::ours(rule))
        {
            let host = text(rule, "/spec/host").unwrap_or_default();
            // A wider rule is taken where there is no closer one, and ours is.
            if !host.starts_with('*') {
                let key = service(host, meta(rule, "namespace"));
                all.rules.entry(key).or_default().push(rule);
            }
        }
        let policies = live.all(&cluster::AUTHORIZATION_POLICY);
        all.policies = policies.filter(|policy| !marks::ours(policy)).collect();
        all
    }

    /// Rules for a Service, as a rule of ours names it, that a gateway may go by: those of the gateway's namespace come before
    /// ours, of those of the Service's the oldest is taken.
    pub fn rules(&self, host: &str, gateway_namespace: &str) -> Vec<&'a Value> {
        let service = service(host, "");
        let seen = |rule: &&&Value| {
            let namespace = meta(rule, "namespace");
            let own: Vec<&str> = texts(rule, "/spec/exportTo").collect();
            let private = own == ["."] || rule.pointer("/spec/workloadSelector").is_some();
            namespace == gateway_namespace || namespace == service.0 && !private
        };
        let all = self.rules.get(&service).into_iter().flatten();
        all.filter(seen).copied().collect()
    }

    /// Policies because of which nobody gets to a host at the gateway's pods, whoever asks.
    pub fn denying(&self, host: &str, namespace: &str, pods: &Map<String, Value>) -> Vec<&'a Value> {
        let applies = |policy: &&&Value| {
            let labels: Vec<(&String, &Value)> = entries(policy, "/spec/selector/matchLabels").collect();
            let all = labels
                .iter()
                .all(|(label, value)| pods.get(*label) == Some(*value));
            let other = ["/spec/targetRef", "/spec/targetRefs"];
            let at = meta(policy, "namespace");
            other.iter().all(|field| policy.pointer(field).is_none())
                && (at == namespace && all || at == ROOT && labels.is_empty())
        };
        let mut denying = Vec::new();
        let mut letting = Vec::new();
        for policy in self.policies.iter().filter(applies).copied() {
            match text(policy, "/spec/action").unwrap_or("ALLOW") {
                "ALLOW" => letting.push(policy),
                "DENY" if items(policy, "/spec/rules").any(|rule| denies(rule, host)) => denying.push(policy),
                _ => {}
            }
        }
        let lets = |policy: &&Value| items(policy, "/spec/rules").any(|rule| may_let(rule, host));
        if !letting.iter().any(lets) {
            denying.extend(letting);
        }
        denying
    }
}

/// Whether a list of a policy has a host: spelt out, or with a star at one end.
fn has(operation: &Value, list: &str, host: &str) -> bool {
    let mut all = texts(operation, list);
    all.any(|one| {
        let one = one.to_ascii_lowercase();
        let one = one.split(':').next().unwrap_or_default();
        one == host
            || one.strip_prefix('*').is_some_and(|tail| host.ends_with(tail))
            || one.strip_suffix('*').is_some_and(|head| host.starts_with(head))
    })
}

/// Operations of a rule that may be of a host; none where it has none and is of every host.
fn of_host<'v>(rule: &'v Value, host: &str) -> (bool, Vec<&'v Value>) {
    let all: Vec<&Value> = items(rule, "/to").filter_map(|to| to.get("operation")).collect();
    let every = all.is_empty();
    let meant = |operation: &&Value| operation.get("hosts").is_none() || has(operation, "/hosts", host);
    (every, all.into_iter().filter(meant).collect())
}

/// Whether a rule may be met by a request for a host, of whomever.
fn may_let(rule: &Value, host: &str) -> bool {
    let (every, some) = of_host(rule, host);
    every || some.iter().any(|operation| !has(operation, "/notHosts", host))
}

/// Whether a rule is met by every request for a host.
fn denies(rule: &Value, host: &str) -> bool {
    let (every, some) = of_host(rule, host);
    let nobody = ["from", "when"].iter().all(|field| {
        let list = rule.get(*field).and_then(Value::as_array);
        list.is_none_or(Vec::is_empty)
    });
    let whole = |operation: &&Value| {
        let fields = operation.as_object();
        fields.is_some_and(|fields| fields.keys().all(|field| field == "hosts"))
    };
    nobody && (every || some.iter().any(whole))
}

/// Objects by their names.
pub fn named(kind: &Kind, objects: &[&Value]) -> String {
    let names: BTreeSet<String> = objects
        .iter()
        .map(|object| kind.named(meta(object, "namespace"), meta(object, "name")))
        .collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn policy(spec: &Value) -> Value {
        json!({"metadata": {"name": "p", "namespace": "istio-system"}, "spec": spec})
    }

    fn denied(spec: &Value, host: &str) -> bool {
        let policy = policy(spec);
        let foreign = Foreign {
            policies: vec![&policy],
            ..Foreign::default()
        };
        let pods = json!({"istio": "ingressgateway"});
        !foreign
            .denying(host, "istio-system", pods.as_object().unwrap())
            .is_empty()
    }

    #[test]
    fn a_policy_that_lets_nobody_in_denies_and_one_that_may_let_somebody_in_does_not() {
        for (spec, wanted) in [
            (json!({}), true),
            (json!({"rules": [{}]}), false),
            (
                json!({"rules": [{"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}]}]}),
                false,
            ),
            (
                json!({"rules": [{"to": [{"operation": {"hosts": ["b.com"]}}]}]}),
                true,
            ),
            (
                json!({"rules": [{"to": [{"operation": {"hosts": ["*.com"]}}]}]}),
                false,
            ),
            (json!({"selector": {"matchLabels": {"app": "other"}}}), false),
            (json!({"action": "DENY"}), false),
            (json!({"action": "DENY", "rules": [{}]}), true),
            (
                json!({"action": "DENY", "rules": [{"to": [{"operation": {"hosts": ["a.com"]}}]}]}),
                true,
            ),
            (
                json!({"action": "DENY", "rules": [{"to": [{"operation": {"hosts": ["a.com"], "paths": ["/x"]}}]}]}),
                false,
            ),
            (
                json!({"action": "DENY", "rules": [{"from": [{"source": {"ipBlocks": ["10.0.0.0/8"]}}]}]}),
                false,
            ),
            (json!({"action": "CUSTOM", "rules": [{}]}), false),
        ] {
            assert_eq!(denied(&spec, "a.com"), wanted, "{spec}");
        }
    }

    #[test]
    fn a_rule_of_others_counts_where_the_gateway_sees_it() {
        let rule = |namespace: &str, spec: Value| json!({"metadata": {"name": "r", "namespace": namespace}, "spec": spec});
        let count = |rule: &Value| {
            let mut foreign = Foreign::default();
            let key = service(
                rule["spec"]["host"].as_str().unwrap(),
                rule["metadata"]["namespace"].as_str().unwrap(),
            );
            foreign.rules.entry(key).or_default().push(rule);
            foreign.rules("web.a.svc.cluster.local", "istio-system").len()
        };
        for (namespace, spec, wanted) in [
            ("a", json!({"host": "web"}), 1),
            ("a", json!({"host": "web", "exportTo": ["."]}), 0),
            ("a", json!({"host": "other"}), 0),
            ("b", json!({"host": "web.a"}), 0),
            ("istio-system", json!({"host": "web.a.svc.cluster.local"}), 1),
        ] {
            assert_eq!(
                count(&rule(namespace, spec.clone())),
                wanted,
                "{namespace} {spec}"
            );
        }
    }
}
