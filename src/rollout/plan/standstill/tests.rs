use super::*;
use serde_json::{Value, json};

/// A rollout of two components in two phases, with gates before a step of each.
fn plan(first: Value, second: Value) -> Plan {
    let component =
        |name: &str| json!({"name": name, "routers": [{"controllerSwitch": {"configMap": name}}]});
    let spec = json!({
        "allowJump": true,
        "components": [component("shop"), component("cart")],
        "phases": [
            {"name": "pilot", "components": ["shop"], "steps": [
                {"weight": "5%", "hold": "1m"}, {"weight": "25%", "hold": "1m", "requires": first}]},
            {"name": "all", "steps": [{"weight": "50%", "hold": "1m", "requires": second}, {"weight": "100%", "hold": "1m"}]},
        ],
    });
    Plan::parse(&serde_json::from_value(spec).unwrap()).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

fn told(all: &[(&str, &Plan)]) -> Vec<String> {
    let all: Vec<Together<'_>> = all
        .iter()
        .map(|(name, plan)| Together {
            namespace: "ns",
            name,
            plan,
        })
        .collect();
    let stuck = standstill(&all);
    stuck
        .iter()
        .map(|s| format!("{} {}: {}", all[s.rollout].name, s.gate, s.message))
        .collect()
}

#[test]
fn of_its_own_rollout_a_gate_may_ask_for_what_comes_before_it_and_for_nothing_else() {
    let asks = |gate: Value| json!([{"rollout": gate}]);
    for (first, second, opens) in [
        (
            json!([]),
            asks(json!({"name": "a", "is": "AtLeast", "weight": "25%", "component": "shop"})),
            true,
        ),
        (
            json!([]),
            asks(json!({"name": "a", "is": "AtLeast", "weight": "5%", "component": "shop"})),
            true,
        ),
        // The other one comes by its second phase alone.
        (
            asks(json!({"name": "a", "component": "cart", "is": "AtLeast", "weight": "50%"})),
            json!([]),
            false,
        ),
        (
            asks(json!({"name": "a", "component": "shop", "is": "AtLeast", "weight": "50%"})),
            json!([]),
            false,
        ),
        (
            asks(json!({"name": "a", "component": "shop", "is": "AtLeast", "weight": "5%"})),
            json!([]),
            true,
        ),
        (json!([]), asks(json!({"name": "a", "is": "Completed"})), false),
        (
            json!([]),
            asks(json!({"name": "a", "component": "shop", "is": "Completed"})),
            false,
        ),
        (
            json!([]),
            asks(json!({"name": "a", "namespace": "elsewhere", "is": "Completed"})),
            true,
        ),
        (json!([]), asks(json!({"name": "b", "is": "Completed"})), true),
    ] {
        let plan = plan(first.clone(), second.clone());
        let told = told(&[("a", &plan)]);
        assert_eq!(told.is_empty(), opens, "{first} {second}: {told:?}");
        assert!(
            told.iter().all(|text| text.contains("waits for ever")),
            "{told:?}"
        );
    }
}

#[test]
fn rollouts_that_wait_for_each_other_are_told_as_a_ring_and_a_chain_is_not() {
    let behind = |name: &str| json!([{"rollout": {"name": name, "is": "Completed"}}]);
    let (a, b, c) = (
        plan(json!([]), behind("b")),
        plan(behind("c"), json!([])),
        plan(json!([]), behind("a")),
    );
    assert_eq!(
        told(&[("a", &a), ("b", &b)]),
        Vec::<String>::new(),
        "c may be elsewhere"
    );
    let ring = told(&[("a", &a), ("b", &b), ("c", &c)]);
    assert_eq!(ring.len(), 3, "{ring:#?}");
    assert!(ring[0].starts_with("a all at 50%: "), "{ring:#?}");
    assert!(ring[0].contains("ns/a → ns/b → ns/c → ns/a"), "{ring:#?}");
    // Each asks for no more than the other reaches before it asks in turn.
    let early = json!([{"rollout": {"name": "e", "is": "AtLeast", "weight": "5%", "component": "shop"}}]);
    let (d, e) = (plan(json!([]), early), plan(behind("d"), json!([])));
    assert_eq!(told(&[("d", &d), ("e", &e)]), Vec::<String>::new());
    assert_eq!(told(&[("d", &d), ("e", &e), ("f", &a)]), Vec::<String>::new());
}

#[test]
fn whoever_waits_for_a_ring_is_told_as_well() {
    let behind = |name: &str| json!([{"rollout": {"name": name, "is": "Completed"}}]);
    let (a, b) = (plan(json!([]), behind("a")), plan(json!([]), behind("a")));
    let told = told(&[("b", &b), ("a", &a)]);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told[0].contains("ns/b → ns/a → ns/a"), "{told:#?}");
}
