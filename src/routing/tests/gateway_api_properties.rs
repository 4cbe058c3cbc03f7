//! What holds for every route of the Gateway API that carries a pair.

use super::*;
use proptest::prelude::*;

/// A route with the pair somewhere among other rules and back ends.
#[derive(Clone, Debug)]
struct Case {
    object: Value,
    routers: String,
    canary: String,
    control: String,
    alone: bool,
}

fn weight_of() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![
        Just(None),
        (0..=100i64).prop_map(Some),
        (0..=500_000i64).prop_map(Some)
    ]
}

prop_compose! {
    fn case()(
        kind in prop::sample::select(vec!["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"]),
        named in any::<bool>(),
        canary in weight_of(),
        control in weight_of(),
        thirds in prop::collection::vec(prop::option::of(0..=200i64), 0..3),
        before in 0..3usize,
        swap in any::<bool>(),
        annotations in prop::sample::select(vec![
            Value::Null, json!({}), json!({"a/b~c": "kept"}), json!({"rollout.sealos.io/w.shop": "01OLD 5% Raised"}),
        ]),
    ) -> Case {
        let entry = |name: &str, weight: Option<i64>| match weight {
            Some(weight) => json!({"name": name, "port": 80, "futureField": 1, "weight": weight}),
            None => json!({"name": name, "port": 80}),
        };
        let mut backends: Vec<Value> = thirds.iter().map(|weight| entry("third", *weight)).collect();
        let (first, second) = (entry("new", canary), entry("old", control));
        let at = backends.len() / 2;
        backends.insert(at, if swap { second.clone() } else { first.clone() });
        backends.push(if swap { first } else { second });
        let find = |name: &str| backends.iter().position(|b| b["name"] == name).unwrap();
        let pointer = |name: &str| format!("/spec/rules/{before}/backendRefs/{}/weight", find(name));
        let (canary, control) = (pointer("new"), pointer("old"));
        let mut rules: Vec<Value> = (0..before)
            .map(|i| json!({"name": format!("r{i}"), "backendRefs": [{"name": "old", "port": 80}]}))
            .collect();
        rules.push(json!({"name": "main", "unknown": {"x": [1, 2.5, null]}, "backendRefs": backends}));
        let mut object = json!({
            "kind": kind, "metadata": {"name": "shop", "namespace": "apps", "resourceVersion": "41"},
            "spec": {"rules": rules, "hostnames": ["h"]}, "status": {"parents": []}
        });
        if !annotations.is_null() {
            object["metadata"]["annotations"] = annotations;
        }
        let names = if named { ", rules: [main]" } else { "" };
        let routers = format!(
            "- gatewayApi: {{kind: {kind}, name: shop{names}, canary: {{name: new, port: 80}}, control: {{name: old, port: 80}}}}\n"
        );
        Case { object, routers, canary, control, alone: thirds.is_empty() }
    }
}

fn sum(case: &Case) -> i64 {
    let weight = |pointer: &str| case.object.pointer(pointer).and_then(Value::as_i64).unwrap_or(1);
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
    fn what_is_written_to_a_gateways_route_reads_back_exactly_and_nothing_else_changes(case in case(), weight in asked()) {
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
        let multiple = case.alone && [10, 100, 1000].contains(&(new_sum / sum(&case)));
        prop_assert!(new_sum == sum(&case) || multiple, "{} became {new_sum}", sum(&case));
        prop_assert!(new_sum <= 1_000_000);
    }

    #[test]
    fn a_raise_of_a_gateways_route_read_before_a_rollback_never_lands_after_it(case in case(), weight in asked()) {
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
