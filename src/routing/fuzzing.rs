//! Objects of strangers' against what every router reads and writes.

use super::adopt::{self, Asked, Taken, adopt, arrange};
use super::{Found, Home, ObjectKind, ObjectPatch, PatchBody, Stamp, Stock, Target, Write, WriteMode, found};
use crate::rollout::fuzzing::is_harmless;
use crate::rollout::observation::Wanted;
use crate::rollout::router_spec::SplitGateway;
use crate::rollout::spec::{Component, GradualRollout};
use crate::rollout::weight::Weight;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// An object, or a list of objects in `items`.
pub(crate) fn objects(bytes: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    let all: Vec<Arc<Value>> = match json.get("items").and_then(Value::as_array) {
        Some(items) => items.iter().take(32).cloned().map(Arc::new).collect(),
        None => vec![Arc::new(json)],
    };
    let stock = stocked(&all);
    for component in components() {
        let Found {
            targets, findings, ..
        } = found(&component, &Home::new("apps", "demo"), &stock);
        for finding in &findings {
            assert!(!finding.to_string().is_empty());
        }
        for target in targets.iter().take(64) {
            for object in &all {
                written(target, object);
            }
            for born in target.births(&stamp("01A", Weight::ZERO)) {
                // The alias Service carries no weight.
                if born.get("kind") == Some(&json!("Ingress")) {
                    let seen = target.read(&born).map(|seen| seen.weight);
                    assert_eq!(seen, Ok(Weight::ZERO), "what is made carries nothing: {born}");
                }
            }
        }
    }
    for from in [
        adopt::From::VirtualServices,
        adopt::From::HttpRoutes,
        adopt::From::Ingresses(gateway()),
    ] {
        made(&from, &all, &stock);
    }
}

/// One component for each router, so that whatever object comes, some of them has to do with it.
fn components() -> Vec<Component> {
    let pair = |name: &str| json!({"canary": {"name": format!("{name}-v2")}, "control": {"name": format!("{name}-v1")}});
    let mut routers: Vec<Value> = ["http", "tls", "tcp"]
        .map(|list| {
            json!({"istio": {"virtualServices": [{"name": "shop", "kind": list}],
                "canary": {"host": "shop", "subset": "v2"}, "control": {"host": "shop", "subset": "v1"},
                "testers": {"headers": {"x-canary": "yes"}}}})
        })
        .into();
    for kind in ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"] {
        let mut route = pair("shop");
        if let Some(route) = route.as_object_mut() {
            route.extend([
                ("kind".to_owned(), kind.into()),
                ("name".to_owned(), "shop".into()),
            ]);
        }
        routers.push(json!({ "gatewayApi": route }));
    }
    routers.extend([
        json!({"controllerSwitch": {"deployment": "shop", "configMap": "shop"}}),
        json!({"controllerSwitch": {"deployment": "shop", "configMap": "shop", "restart": true}}),
        json!({"ingressNginx": {"ingresses": {"matchLabels": {"app": "shop"}},
            "gateway": {"namespace": "istio-system", "service": "gw", "port": 8081, "name": "istio-system/split"}}}),
        json!({"hook": {"url": "https://lb.example.com/weights"}}),
        json!({"manual": {"instructions": "turn the knob"}}),
    ]);
    let component =
        |router: &Value| match serde_json::from_value(json!({"name": "shop", "routers": [router]})) {
            Ok(component) => component,
            // Or it would not be tried, and nobody would know.
            Err(error) => unreachable!("{error}: {router}"),
        };
    routers.iter().map(component).collect()
}

fn gateway() -> SplitGateway {
    SplitGateway {
        namespace: "istio-system".to_owned(),
        service: "gw".to_owned(),
        port: 8081,
        name: Some("istio-system/split".to_owned()),
        tls: None,
        cluster_domain: None,
    }
}

fn stocked(all: &[Arc<Value>]) -> Stock {
    let mut lists: BTreeMap<(ObjectKind, String), Vec<Arc<Value>>> = BTreeMap::new();
    for object in all {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let kind = ObjectKind::ALL
            .into_iter()
            .find(|kind| text("/kind") == Some(kind.kind()));
        if let (Some(kind), Some(namespace)) = (kind, text("/metadata/namespace")) {
            lists
                .entry((kind, namespace.to_owned()))
                .or_default()
                .push(object.clone());
        }
    }
    // What was never listed is not known; nothing is what is there.
    for kind in ObjectKind::ALL {
        for namespace in ["apps", "istio-system"] {
            lists.entry((kind, namespace.to_owned())).or_default();
        }
    }
    let mut stock = Stock::default();
    for ((kind, namespace), list) in lists {
        stock.put(kind, &namespace, list);
    }
    stock
}

fn stamp(id: &str, weight: Weight) -> Stamp {
    match Stamp::new(id, weight, "Raised") {
        Ok(stamp) => stamp,
        Err(error) => unreachable!("{error}"),
    }
}

/// The object after a patch; `None` when the patch does not fit the object that it was made for.
fn applied(object: &Value, patch: &ObjectPatch) -> Option<Value> {
    let PatchBody::Json(operations) = &patch.body;
    let mut after = object.clone();
    json_patch::patch(&mut after, operations).ok().map(|()| after)
}

/// Every way in which an object is read and written.
fn written(target: &Target<'_>, object: &Value) {
    let Ok(before) = target.read(object) else {
        // Nobody raises what cannot be read; an emergency may try.
        let _ = target.write(object, &stamp("01W", Weight::ZERO), WriteMode::Normal);
        let _ = (
            target.release(object),
            target.restore(object, &[]),
            target.detach(object),
        );
        return;
    };
    let Ok(finest) = target.finest(object) else { return };
    for permille in [0, 1, 50, 333, 500, 1000] {
        let weight = Weight::from_permille(permille).unwrap_or_default();
        let wrong = target.validate_object(object, &[weight]);
        let stamp = stamp("01W", weight);
        let Ok(patch) = target.write(object, &stamp, WriteMode::Normal) else {
            continue;
        };
        assert!(
            wrong.is_empty() || before.is_silent() || weight == Weight::FULL,
            "{wrong:?}, and yet it is written ({finest}): {object}"
        );
        let patch = target.journalled(object, patch);
        for change in &patch.changes {
            assert!(!change.to_string().is_empty());
        }
        let Some(after) = applied(object, &patch) else {
            unreachable!("a patch that does not fit what it was made for: {patch:?}: {object}");
        };
        let seen = target.read(&after);
        let agreed = seen
            .as_ref()
            .map(|seen| (seen.is_silent(), seen.agreed(), seen.stamp.clone()));
        assert!(
            matches!(&agreed, Ok((silent, says, by)) if (*silent || *says == Some(weight)) && by.as_ref() == Some(&stamp)),
            "what is written reads back as {weight}: {agreed:?}: {after}"
        );
        lowered(target, &after);
    }
    let _ = (target.release(object), target.give_back(object, &[]));
    if let Ok(Some(patch)) = target.preview(object, &Wanted::AsSpecified) {
        let after = applied(object, &patch).map(|after| target.read(&after).map(|seen| seen.weight));
        assert_eq!(
            after,
            Some(Ok(before.weight)),
            "a preview leaves the weight alone: {object}"
        );
    }
}

/// Whatever was written goes down to nothing, and gives back what was there.
fn lowered(target: &Target<'_>, object: &Value) {
    let down = target.lower(
        Some(object),
        &stamp("01X", Weight::ZERO),
        Weight::ZERO,
        WriteMode::Normal,
    );
    match down {
        Ok(Write::Patch(patch)) => {
            let after = applied(object, &patch).and_then(|after| {
                let seen = target.read(&after).ok()?;
                Some(seen.is_silent() || seen.weight.is_zero())
            });
            assert_eq!(after, Some(true), "what was written can be put back: {object}");
        }
        Ok(Write::Delete { .. } | Write::Nothing) => {}
        Err(error) => unreachable!("what was written cannot be put back: {error}: {object}"),
    }
    if let Some(patch) = target.restore(object, &[]).patch {
        let after = applied(object, &patch);
        assert!(after.is_some(), "originals that do not fit: {patch:?}: {object}");
    }
}

/// What `init` makes of them reads as resources, whatever the objects are called.
fn made(from: &adopt::From, all: &[Arc<Value>], stock: &Stock) {
    let meant: Vec<Arc<Value>> = all
        .iter()
        .filter(|object| object.get("kind").and_then(Value::as_str) == Some(from.kind().kind()))
        .cloned()
        .collect();
    let asked = Asked {
        from,
        objects: &meant,
        stock,
        canaries: &[],
    };
    let mut taken = Taken::default();
    let adopted = adopt(&asked, &mut taken);
    let wanted: Vec<Component> = adopted
        .drafts
        .iter()
        .map(|draft| draft.component.clone())
        .collect();
    let mut read = Vec::new();
    for resource in arrange(adopted.drafts, &adopted.left_out, 16, None, None, &taken) {
        let yaml = resource.yaml();
        assert!(yaml.lines().all(is_harmless), "{yaml:?}");
        match serde_saphyr::from_str::<GradualRollout>(&yaml) {
            Ok(rollout) => read.extend(rollout.spec.components),
            Err(error) => unreachable!("what is made cannot be read: {error}: {yaml}"),
        }
    }
    for component in wanted {
        assert!(
            read.contains(&component),
            "{component:?} is written as it was meant"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::targets;

    fn seed(name: &str) -> Vec<Value> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/objects");
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let json: Value = serde_json::from_str(&text).unwrap();
        let items = json.get("items").and_then(Value::as_array).cloned();
        items.unwrap_or_else(|| vec![json])
    }

    #[test]
    fn the_seeds_are_written_or_they_would_lead_nowhere() {
        for (name, router) in [
            ("virtualservice", "istio"),
            ("tcp", "istio"),
            ("tls", "istio"),
            ("httproute", "gatewayApi"),
            ("routes", "gatewayApi"),
            ("switch", "controllerSwitch"),
            ("elsewhere", "hook"),
            ("elsewhere", "manual"),
        ] {
            let objects = seed(name);
            let stamp = stamp("01W", Weight::ZERO);
            let written = components().iter().any(|component| {
                let routers = serde_json::to_value(&component.routers).unwrap();
                let targets = targets(component, "apps");
                let writes =
                    |target: &Target<'_>, object| target.write(object, &stamp, WriteMode::Normal).is_ok();
                routers[0].get(router).is_some()
                    && objects
                        .iter()
                        .any(|object| targets.iter().any(|target| writes(target, object)))
            });
            assert!(written, "{name} by {router}");
        }
        let objects: Vec<Arc<Value>> = seed("nginx").into_iter().map(Arc::new).collect();
        let stock = stocked(&objects);
        let stamp = stamp("01A", Weight::ZERO);
        let makes = |component: &Component| {
            let found = found(component, &Home::new("apps", "demo"), &stock);
            found
                .targets
                .iter()
                .any(|target| !target.births(&stamp).is_empty())
        };
        assert!(components().iter().any(makes), "nginx makes its canary");
    }
}
