//! What holds for every VirtualService that carries a pair.

use super::*;
use proptest::prelude::*;

/// A VirtualService with the pair somewhere among other routes and destinations.
#[derive(Clone, Debug)]
struct Case {
    object: Value,
    routers: String,
    canary: String,
    control: String,
    alone: bool,
}

prop_compose! {
    fn case()(
        list in prop::sample::select(vec!["http", "tls", "tcp"]),
        named in any::<bool>(),
        canary in prop_oneof![Just(None), (0..=100i64).prop_map(Some), (0..=i64::from(i32::MAX / 2)).prop_map(Some)],
        control in prop_oneof![Just(None), (0..=100i64).prop_map(Some), (0..=i64::from(i32::MAX / 2)).prop_map(Some)],
        hundred in any::<bool>(),
        thirds in prop::collection::vec(prop::option::of(0..=200i64), 0..3),
        before in 0..3usize,
        swap in any::<bool>(),
        annotations in prop::sample::select(vec![
            Value::Null, json!({}), json!({"a/b~c": "kept"}), json!({"rollout.sealos.io/w.shop": "01OLD 5% Raised"}),
            json!({"rollout.sealos.io/w.shop": "scribbled", "rollout.sealos.io/w.cart": "01X 5% Raised"}),
        ]),
    ) -> Case {
        // Half the pairs sum to 100, as most do.
        let (canary, control) = match canary {
            Some(share) if hundred && share <= 100 => (canary, Some(100 - share)),
            _ => (canary, control),
        };
        let entry = |host: &str, weight: Option<i64>| match weight {
            Some(weight) => json!({"destination": {"host": host, "futureField": 1}, "weight": weight}),
            None => json!({"destination": {"host": host}}),
        };
        let alone = thirds.is_empty();
        let mut destinations: Vec<Value> = thirds.iter().map(|weight| entry("third", *weight)).collect();
        let (first, second) = (entry("new", canary), entry("old", control));
        let at = destinations.len() / 2;
        destinations.insert(at, if swap { second.clone() } else { first.clone() });
        destinations.push(if swap { first } else { second });
        let find = |host: &str| destinations.iter().position(|d| d["destination"]["host"] == host).unwrap();
        let pointer = |host: &str| format!("/spec/{list}/{before}/route/{}/weight", find(host));
        let (canary, control) = (pointer("new"), pointer("old"));
        let mut routes: Vec<Value> = (0..before)
            .map(|i| json!({"name": format!("r{i}"), "route": [{"destination": {"host": "old"}}]}))
            .collect();
        routes.push(json!({"name": "primary", "unknown": {"x": [1, 2.5, null]}, "route": destinations}));
        let mut object = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "shop", "namespace": "apps", "resourceVersion": "41"},
            "spec": {list: routes, "hosts": ["h"]}, "status": {"observed": true}
        });
        if !annotations.is_null() {
            object["metadata"]["annotations"] = annotations;
        }
        let names = if named && list == "http" { ", routes: [primary]" } else { "" };
        let routers = format!(
            "- istio: {{virtualServices: [{{name: shop, kind: {list}{names}}}], canary: {{host: new}}, control: {{host: old}}}}\n"
        );
        Case { object, routers, canary, control, alone }
    }
}

fn sum(case: &Case) -> i64 {
    let weight = |pointer: &str| case.object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0);
    weight(&case.canary) + weight(&case.control)
}

fn asked() -> impl Strategy<Value = Weight> {
    prop_oneof![
        (0..=100u16).prop_map(percent),
        (0..=1000u16).prop_map(permille),
        Just(Weight::ZERO)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_written_reads_back_exactly_and_nothing_else_changes(case in case(), weight in asked()) {
        let component = component(&case.routers);
        let targets = targets(&component, "apps");
        let target = &targets[0];
        let patch = match target.write(&case.object, &stamp("01NEW", weight), WriteMode::Normal) {
            Ok(patch) => patch,
            Err(RoutingError::TooFine { finest, .. }) => {
                prop_assert!(!weight.permille().is_multiple_of(finest.permille()));
                prop_assert_eq!(target.finest(&case.object).unwrap(), finest);
                prop_assert!(target.write(&case.object, &stamp("01NEW", finest), WriteMode::Normal).is_ok());
                return Ok(());
            }
            Err(error) => {
                prop_assert_eq!((error.category(), sum(&case)), ("EmptyPair", 0));
                return Ok(());
            }
        };
        let first = &wire(&patch)[0];
        prop_assert_eq!(first, &json!({"op": "replace", "path": "/metadata/resourceVersion", "value": "41"}));
        let mut written = case.object.clone();
        serve(&patch, &mut written).unwrap();
        let seen = target.read(&written).unwrap();
        prop_assert_eq!(seen.agreed(), Some(weight));
        prop_assert_eq!(seen.stamp, Some(stamp("01NEW", weight)));
        let ours = [case.canary.as_str(), case.control.as_str()];
        prop_assert_eq!(
            without(&written, &case.object, target, &ours),
            without(&case.object, &case.object, target, &ours)
        );
        let new_sum = sum(&Case { object: written, ..case.clone() });
        prop_assert!(new_sum == sum(&case) || case.alone && [10, 100].contains(&(new_sum / sum(&case))));
    }

    #[test]
    fn a_raise_read_before_a_rollback_never_lands_after_it(case in case(), weight in asked()) {
        let component = component(&case.routers);
        let targets = targets(&component, "apps");
        let Ok(raise) = targets[0].write(&case.object, &stamp("01RAISE", weight), WriteMode::Normal) else {
            return Ok(());
        };
        let mut object = case.object.clone();
        let rollback = targets[0].write(&object, &stamp("01BACK", Weight::ZERO), WriteMode::Normal).unwrap();
        serve(&rollback, &mut object).unwrap();
        prop_assert!(serve(&raise, &mut object).is_err());
        prop_assert_eq!(targets[0].read(&object).unwrap().agreed(), Some(Weight::ZERO));
    }
}
