//! What holds of routes for testers and mirrors, whatever else the VirtualService has.

use super::*;
use crate::rollout::observation::Wanted;
use crate::rollout::preview::{Cookie, Preview};
use proptest::prelude::*;

prop_compose! {
    fn route(kind: usize)(
        name in prop::sample::select(vec![Value::Null, json!("x"), json!("gradual-rollout-other-testers-0")]),
        matches in prop::sample::select(vec![
            Value::Null, json!([]), json!([{"uri": {"prefix": "/a"}}, {"port": 8080, "withoutHeaders": {"z": {}}}]),
            json!([{"headers": {"x-tenant": {"exact": "a"}}, "futureField": [1, 2.5]}]),
        ]),
        timeout in prop::option::of("[1-9]s"),
        mirror in any::<bool>(),
        weight in 1..100i64,
    ) -> Value {
        let destinations = match kind {
            0 => json!([{"destination": {"host": "elsewhere"}}]),
            1 => json!([{"destination": {"host": "new"}}]),
            _ => json!([{"destination": {"host": "new", "port": {"number": 80}}, "weight": weight, "headers": {"k": 1}},
                {"destination": {"host": "old"}, "weight": 100 - weight}, {"destination": {"host": "third"}, "weight": 7}]),
        };
        let mut route = json!({"route": destinations, "unknown": {"x": [1, 2.5, null]}});
        for (field, value) in [("name", name), ("match", matches), ("timeout", json!(timeout))] {
            if !(value.is_null() || field == "name" && kind == 2) {
                route[field] = value;
            }
        }
        if mirror && kind < 2 {
            route["mirrors"] = json!([{"destination": {"host": "shadow"}}]);
        }
        route
    }
}

prop_compose! {
    fn object()(
        before in prop::collection::vec((0..2usize).prop_flat_map(route), 0..4),
        pair in route(2),
        after in prop::collection::vec((0..2usize).prop_flat_map(route), 0..3),
        annotations in prop::sample::select(vec![
            Value::Null, json!({"a/b~c": "kept"}), json!({"rollout.sealos.io/w.shop": "01OLD 5% Raised"}),
            json!({"rollout.sealos.io/p.shop": "scribbled", "rollout.sealos.io/p.cart": "{}"}),
        ]),
    ) -> Value {
        let mut before = before;
        for route in &mut before {
            // What goes elsewhere leaves something for the pair: otherwise testers are refused.
            if route["route"][0]["destination"]["host"] == "elsewhere" {
                route["match"] = json!([{"uri": {"exact": "/x"}, "futureField": [1, 2.5]}]);
            }
        }
        let routes: Vec<Value> = before.into_iter().chain([pair]).chain(after).collect();
        let mut object = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "shop", "namespace": "apps", "resourceVersion": "41"},
            "spec": {"http": routes, "hosts": ["h"], "tls": [{"x": 1}]}, "status": {"observed": true}
        });
        if !annotations.is_null() {
            object["metadata"]["annotations"] = annotations;
        }
        object
    }
}

prop_compose! {
    fn wish()(
        headers in prop::collection::btree_map("[a-c]{1,2}|canary", "[a-z.]{1,4}", 0..3),
        cookie in prop::option::of(("[a-z.]{1,3}", "[a-z.]{1,3}")),
        mirror in prop::option::of(1..=1000u16),
        command in "[A-Z]{4}",
    ) -> Wanted {
        let preview = Preview {
            headers,
            cookie: cookie.map(|(name, value)| Cookie { name, value }),
            mirror: mirror.and_then(Weight::from_permille),
        };
        Wanted::Told { preview, command }
    }
}

/// The object without what must differ: its version, and the two annotations of ours.
fn bare(object: &Value) -> Value {
    let mut bare = object.clone();
    bare["metadata"]["resourceVersion"] = Value::Null;
    if let Some(annotations) = bare
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.retain(|key, _| {
            !["rollout.sealos.io/w.shop", "rollout.sealos.io/p.shop"].contains(&key.as_str())
        });
        // An API server keeps no empty map.
        if annotations.is_empty() {
            bare["metadata"].as_object_mut().unwrap().remove("annotations");
        }
    }
    bare
}

fn weightless(object: &Value) -> Value {
    let mut object = bare(object);
    for route in object["spec"]["http"].as_array_mut().unwrap() {
        for entry in route["route"].as_array_mut().unwrap() {
            entry.as_object_mut().unwrap().remove("weight");
        }
    }
    object
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_came_and_went_beside_the_weights_every_foreign_byte_is_as_before(
        original in object(), wishes in prop::collection::vec(wish(), 1..4), weight in 1..100u16, how in 0..3usize,
    ) {
        let component = component("- istio: {virtualServices: [{name: shop}], canary: {host: new}, control: {host: old}}\n");
        let all = targets(&component, "apps");
        let target = &all[0];
        let mut object = original.clone();
        let weights = target.read(&object).unwrap().weight;
        for wish in &wishes {
            let Some(patch) = target.preview(&object, wish).unwrap() else { continue };
            serve(&patch, &mut object).unwrap();
            let seen = target.read(&object).unwrap();
            prop_assert_eq!(seen.agreed(), Some(weights), "the weights stay");
            let aside = seen.aside.unwrap();
            let (preview, mark) = wish.of(&Preview::default());
            prop_assert_eq!(aside.written.unwrap_or_default(), mark);
            prop_assert!(!aside.stale && aside.missing.is_none());
            prop_assert_eq!(target.preview(&object, wish).unwrap(), None, "asked again, nothing is written");
            let rules = object["spec"]["http"].as_array().unwrap().len() - original["spec"]["http"].as_array().unwrap().len();
            prop_assert_eq!(rules, usize::from(preview.has_testers()));
        }
        let raise = target.write(&object, &stamp("01NEW", percent(weight)), WriteMode::Normal);
        if let Ok(raise) = raise {
            serve(&raise, &mut object).unwrap();
            let seen = target.read(&object).unwrap();
            prop_assert_eq!(seen.agreed(), Some(percent(weight)));
            prop_assert!(!seen.aside.unwrap().stale);
        }
        match how {
            0 => {
                if let Some(patch) = target.preview(&object, &Wanted::Nothing).unwrap() {
                    serve(&patch, &mut object).unwrap();
                }
            }
            1 => {
                if let Some(patch) = target.detach(&object) {
                    serve(&patch, &mut object).unwrap();
                }
            }
            _ => {
                let back = Stamp::new("01ZBACK", Weight::ZERO, "Emergency").unwrap();
                let patch = target.write(&object, &back, WriteMode::Normal).unwrap();
                serve(&patch, &mut object).unwrap();
                prop_assert_eq!(target.read(&object).unwrap().agreed(), Some(Weight::ZERO));
            }
        }
        prop_assert_eq!(weightless(&object), weightless(&original));
    }

    #[test]
    fn testers_read_before_a_rollback_never_land_after_it(original in object(), wish in wish()) {
        let component = component("- istio: {virtualServices: [{name: shop}], canary: {host: new}, control: {host: old}}\n");
        let all = targets(&component, "apps");
        let mut object = original;
        let Some(testers) = all[0].preview(&object, &wish).unwrap() else { return Ok(()) };
        let back = Stamp::new("01BACK", Weight::ZERO, "Breach").unwrap();
        let patch = all[0].write(&object, &back, WriteMode::Normal).unwrap();
        serve(&patch, &mut object).unwrap();
        prop_assert!(serve(&testers, &mut object).is_err());
    }
}
