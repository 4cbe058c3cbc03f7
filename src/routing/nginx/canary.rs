//! The canary Ingress of an upstream, and its alias Service: how they are made, read, written and taken away.

use super::locations::{Key, Location, is_true, rules};
use super::maker::{Maker, Whose};
use super::select::{Split, name_of};
use super::{COMPONENT, MANAGED_BY, MANAGER, PREFIX, ROLLOUT, TOTAL};
use crate::rollout::router_spec::{IngressNginx, SplitGateway};
use crate::rollout::weight::Weight;
use crate::routing::error::RoutingError;
use crate::routing::object::ObjectRef;
use crate::routing::pair;
use crate::routing::patch::{Change, Draft, malformed, path, plain};
use crate::routing::seen::{Reading, member};
use crate::routing::stamp::Stamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The canary Ingress of one upstream of one component.
#[derive(Clone, Debug)]
pub(in crate::routing) struct Canary<'a> {
    pub(in crate::routing) spec: &'a IngressNginx,
    pub(in crate::routing) maker: Maker,
    /// `None`: no upstream wants it any more.
    pub(in crate::routing) split: Option<Arc<Split>>,
}

/// Annotations by which requests choose their side, whatever the weight says. We write none.
const CHOOSERS: [&str; 4] = [
    "canary-by-header",
    "canary-by-header-value",
    "canary-by-header-pattern",
    "canary-by-cookie",
];

/// What a canary's weight annotations say.
struct Weights {
    weight: i64,
    total: i64,
}

impl Canary<'_> {
    fn key(&self, name: &str) -> String {
        let prefix = self.spec.annotations_prefix.as_deref().unwrap_or(PREFIX);
        format!("{prefix}/{name}")
    }

    fn value<'j>(&self, json: &'j Value, name: &str) -> Option<&'j Value> {
        json.pointer("/metadata/annotations")?.get(self.key(name))
    }

    /// Whether an object of this name is one that this component made: its labels say so, or, where somebody put others
    /// in their place, our mark does. What was let go of, or says nothing, is whose upstream it is. Others are neither written nor deleted.
    pub(in crate::routing) fn owns(&self, json: &Value) -> bool {
        match self.maker.whose(json) {
            Whose::Ours | Whose::OursByName => true,
            Whose::LetGo | Whose::Unsaid => self.split.is_some(),
            Whose::Anothers(_) | Whose::Strangers => false,
        }
    }

    pub(in crate::routing) fn owned(&self, object: &ObjectRef, json: &Value) -> Result<(), RoutingError> {
        if self.owns(json) {
            return Ok(());
        }
        Err(RoutingError::NotOurs {
            object: object.clone(),
            component: self.maker.component().to_owned(),
        })
    }

    /// What the annotations say, as nginx reads them: totals up to 100 count as 100.
    pub(in crate::routing) fn read(
        &self,
        object: &ObjectRef,
        json: &Value,
    ) -> Result<Vec<Reading>, RoutingError> {
        self.owned(object, json)?;
        let says = self.value(json, "canary").and_then(Value::as_str);
        if !says.is_some_and(is_true) {
            return Err(RoutingError::BadValue {
                object: object.clone(),
                path: format!("metadata.annotations[{}]", self.key("canary")),
                found: self
                    .value(json, "canary")
                    .map_or_else(|| "absent".to_owned(), plain),
                wanted: "true, without which it is no canary but a rule of its own",
            });
        }
        let Weights { weight, total } = self.weights(object, json)?;
        let weight = weight.min(total);
        let place = format!("annotation {}", self.key("canary-weight"));
        let weight = pair::share(weight, total - weight).unwrap_or_default();
        Ok(vec![Reading { place, weight }])
    }

    /// What lets requests choose the canary, in words; `None` when nothing does.
    pub(in crate::routing) fn choosers(&self, json: &Value) -> Option<String> {
        let there = CHOOSERS.iter().filter(|name| self.value(json, name).is_some());
        let there: Vec<String> = there.map(|name| self.key(name)).collect();
        (!there.is_empty()).then(|| there.join(", "))
    }

    fn weights(&self, object: &ObjectRef, json: &Value) -> Result<Weights, RoutingError> {
        let number = |name: &str, default: i64| match self.value(json, name) {
            None => Ok(default),
            Some(value) => value
                .as_str()
                .and_then(|text| text.parse::<i64>().ok())
                .filter(|n| (0..=pair::MAX).contains(n))
                .ok_or_else(|| RoutingError::BadValue {
                    object: object.clone(),
                    path: format!("metadata.annotations[{}]", self.key(name)),
                    found: plain(value),
                    wanted: "a whole number of at least 0",
                }),
        };
        Ok(Weights {
            weight: number("canary-weight", 0)?,
            total: number("canary-weight-total", 100)?.max(100),
        })
    }

    /// Whether the canary has yet to be brought to the component's weight: no write of ours gave it any, or none of
    /// its rules matches a location any more, so that nginx uses it for nothing.
    pub(in crate::routing) fn joins(&self, json: &Value, weight: Weight, stamp: Option<&Stamp>) -> bool {
        let born = |stamp: &Stamp| stamp.weight().is_zero() && !stamp.puts_back();
        let fresh = weight.is_zero() && stamp.is_some_and(born);
        fresh || !self.matches(json)
    }

    fn matches(&self, json: &Value) -> bool {
        let Some(split) = &self.split else { return true };
        let wanted: BTreeSet<Key> = split
            .places
            .iter()
            .filter(|p| !p.implicit)
            .map(Location::key)
            .collect();
        rules(&Arc::new(json.clone()))
            .iter()
            .any(|l| wanted.contains(&l.key()))
    }

    /// Drafts weight, total and rules. What the rules said before does not matter: they are ours.
    pub(in crate::routing) fn draft(
        &self,
        object: &ObjectRef,
        json: &Value,
        weight: Weight,
        draft: &mut Draft<'_>,
    ) -> Result<(), RoutingError> {
        self.owned(object, json)?;
        draft.versioned();
        draft.same_object();
        if !member(json, "/metadata/annotations").is_some_and(Value::is_object) {
            // Without annotations it is no canary; it is deleted and made anew rather than mended.
            return Err(malformed(
                object,
                "metadata.annotations",
                "a map that says it is a canary",
            ));
        }
        let thousandths = weight.permille().to_string();
        for (name, new) in [
            ("canary", "true"),
            ("canary-weight", thousandths.as_str()),
            ("canary-weight-total", "1000"),
        ] {
            let key = self.key(name);
            let old = self.value(json, name);
            if old.and_then(Value::as_str) != Some(new) {
                let change = Change {
                    path: format!("metadata.annotations[{key}]"),
                    from: old.map(plain),
                    to: Some(new.to_owned()),
                };
                draft.set(path(["metadata", "annotations", &key]), new.into(), change);
            }
        }
        self.sign(json, draft);
        for name in CHOOSERS {
            if let Some(old) = self.value(json, name) {
                let key = self.key(name);
                let change = Change {
                    path: format!("metadata.annotations[{key}]"),
                    from: Some(plain(old)),
                    to: None,
                };
                draft.remove(path(["metadata", "annotations", &key]), change);
            }
        }
        let Some(split) = &self.split else { return Ok(()) };
        let wanted = Value::Array(rules_of(split, &self.spec.gateway));
        if json.pointer("/spec/rules") != Some(&wanted) && !weight.is_zero() {
            let places = |rules: Option<&Value>| {
                rules
                    .and_then(Value::as_array)
                    .map(|r| format!("{} hosts", r.len()))
            };
            let change = Change {
                path: "spec.rules".to_owned(),
                from: places(json.pointer("/spec/rules")),
                to: places(Some(&wanted)),
            };
            draft.set(path(["spec", "rules"]), wanted, change);
        }
        Ok(())
    }

    /// What does not say of which resource it is says so from this write on.
    fn sign(&self, json: &Value, draft: &mut Draft<'_>) {
        let Some(mark) = self.maker.mark() else { return };
        let annotations = member(json, "/metadata/annotations");
        let said = annotations
            .and_then(|all| all.get(ROLLOUT))
            .and_then(Value::as_str);
        if said == Some(mark) {
            return;
        }
        draft.scaffold(path(["metadata", "annotations", ROLLOUT]), mark.into());
        let label = member(json, "/metadata/labels").and_then(|all| all.get(COMPONENT));
        if label.is_some_and(|label| *label != *self.maker.component()) {
            draft.scaffold(
                path(["metadata", "labels", COMPONENT]),
                self.maker.component().into(),
            );
        }
    }

    /// Takes off of which resource it is: whoever splits the upstream next takes it up.
    pub(in crate::routing) fn unsign(json: &Value, draft: &mut Draft<'_>) {
        let annotations = member(json, "/metadata/annotations");
        if let Some(said) = annotations.and_then(|all| all.get(ROLLOUT)) {
            let change = Change {
                path: format!("metadata.annotations[{ROLLOUT}]"),
                from: Some(plain(said)),
                to: None,
            };
            draft.test(path(["metadata", "annotations", ROLLOUT]), said.clone());
            draft.remove(path(["metadata", "annotations", ROLLOUT]), change);
        }
    }

    /// The canary Ingress at weight 0, and the alias Service where there is none yet: in this order, so that an alias
    /// tells that the canary was there. Until the alias is there nginx falls back to the primary.
    pub(in crate::routing) fn births(&self, stamp_key: &str, stamp: &Stamp) -> Vec<Value> {
        let Some(split) = &self.split else {
            return Vec::new();
        };
        let (rules, name) = (rules_of(split, &self.spec.gateway), name_of(&split.upstream));
        if rules.is_empty() || !stamp.weight().is_zero() {
            return Vec::new();
        }
        let labels = json!({ MANAGED_BY: MANAGER, COMPONENT: self.maker.component() });
        let mut annotations = json!({
            self.key("canary"): "true",
            self.key("canary-weight"): "0",
            self.key("canary-weight-total"): TOTAL.to_string(),
            stamp_key: stamp.to_string(),
        });
        let mut of_alias = json!({});
        if let Some(mark) = self.maker.mark() {
            put(&mut annotations, ROLLOUT, mark.into());
            put(&mut of_alias, ROLLOUT, mark.into());
        }
        let mut spec = json!({ "rules": rules });
        match &split.class {
            Some((true, class)) => put(&mut spec, "ingressClassName", class.as_str().into()),
            Some((false, class)) => put(
                &mut annotations,
                "kubernetes.io/ingress.class",
                class.as_str().into(),
            ),
            None => {}
        }
        let namespace = &split.upstream.namespace;
        let mut births = vec![json!({
            "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": name, "namespace": namespace, "labels": labels, "annotations": annotations},
            "spec": spec,
        })];
        if !split.has_alias {
            births.push(json!({
                "apiVersion": "v1", "kind": "Service",
                "metadata": {"name": name, "namespace": namespace, "labels": labels, "annotations": of_alias},
                "spec": alias_spec(&self.spec.gateway),
            }));
        }
        births
    }
}

/// The alias: nginx resolves the name by itself, and goes to the target port of what it finds. That is the address of
/// the gateway's Service, so the target port is the Service's port.
pub(super) fn alias_spec(gateway: &SplitGateway) -> Value {
    let port = gateway.port;
    json!({
        "type": "ExternalName",
        "externalName": external_name(gateway),
        "ports": [{"name": "split", "port": port, "targetPort": port, "protocol": "TCP"}],
    })
}

pub(super) fn external_name(gateway: &SplitGateway) -> String {
    let domain = gateway.cluster_domain.as_deref().unwrap_or("cluster.local");
    format!("{}.{}.svc.{domain}", gateway.service, gateway.namespace)
}

/// A rule for each host of the closure. nginx merges where host, path and type are the same, so they are copied as
/// they stand; a rule without `http` would stop its controller, so there is none.
fn rules_of(split: &Split, gateway: &SplitGateway) -> Vec<Value> {
    let alias = json!({"service": {"name": name_of(&split.upstream), "port": {"number": gateway.port}}});
    let mut rules: Vec<(&str, Vec<Value>)> = Vec::new();
    for place in split.places.iter().filter(|p| !p.implicit) {
        let entry = json!({"path": place.path, "pathType": place.path_type, "backend": alias});
        match rules.last_mut().filter(|(host, _)| *host == place.host) {
            Some((_, paths)) => paths.push(entry),
            None => rules.push((&place.host, vec![entry])),
        }
    }
    rules
        .into_iter()
        .map(|(host, paths)| {
            let mut rule = Map::new();
            if !host.is_empty() {
                rule.insert("host".to_owned(), host.into());
            }
            rule.insert("http".to_owned(), json!({ "paths": paths }));
            Value::Object(rule)
        })
        .collect()
}

fn put(object: &mut Value, key: &str, value: Value) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert(key.to_owned(), value);
    }
}
