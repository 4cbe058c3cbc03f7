use super::*;
use crate::rollout::spec::GradualRolloutSpec;
use crate::rollout::status::ComponentStatus;
use serde_json::{Value, json};

/// A rollout of these components, with these gates before its steps at 5%, 25% and 100%.
fn course(name: &str, components: &[&str], gates: [Value; 3]) -> Course {
    let router = |c: &str| json!({"istio": {"virtualServices": [{"name": c}], "canary": {"host": c, "subset": "v2"}, "control": {"host": c, "subset": "v1"}}});
    let components: Vec<Value> = components
        .iter()
        .map(|c| json!({"name": c, "routers": [router(c)]}))
        .collect();
    let weights = ["5%", "25%", "100%"].iter().zip(gates);
    let steps: Vec<Value> = weights
        .map(|(weight, gates)| json!({"weight": weight, "hold": "1h", "requires": gates}))
        .collect();
    planned(
        name,
        json!({"components": components, "steps": steps, "allowJump": true}),
    )
}

fn planned(name: &str, spec: Value) -> Course {
    let spec: GradualRolloutSpec = serde_json::from_value(spec).unwrap();
    Course::of("apps", name, &Plan::parse(&spec).unwrap()).unwrap()
}

fn completed(name: &str) -> Value {
    json!([{"rollout": {"name": name, "is": "Completed"}}])
}

fn at_least(name: &str, weight: &str) -> Value {
    json!([{"rollout": {"name": name, "is": "AtLeast", "weight": weight}}])
}

const NONE: fn() -> Value = || json!([]);

fn key(name: &str) -> Key {
    ("apps".to_owned(), name.to_owned())
}

/// What every gate of these is told, from the beginning.
fn told(courses: &[Course]) -> Vec<String> {
    let rings = Rings::of(courses.iter().map(|course| (course, Standing::default())));
    let mut told = Vec::new();
    for course in courses {
        for (_, gate) in course.gates() {
            told.extend(
                rings
                    .through(course.key(), &gate.key)
                    .map(|(ring, own)| format!("{own}: {ring}")),
            );
        }
    }
    told
}

#[test]
fn rollouts_that_wait_for_each_other_are_told_both_with_the_whole_ring() {
    let found = told(&[
        course("a", &["x"], [NONE(), completed("b"), NONE()]),
        course("b", &["y"], [NONE(), NONE(), at_least("a", "25%")]),
    ]);
    assert_eq!(found.len(), 2, "{found:?}");
    for says in &found {
        for part in [
            "true: these rollouts wait for each other, and would for ever",
            "apps/a before steps at 25% requires rollout b to be completed",
            "apps/b before steps at 100% requires rollout a to be at 25% or more",
        ] {
            assert!(says.contains(part), "{part}: {says}");
        }
    }
}

#[test]
fn rollouts_that_take_turns_step_by_step_are_no_ring() {
    let found = told(&[
        course("a", &["x"], [NONE(), at_least("b", "5%"), at_least("b", "25%")]),
        course(
            "b",
            &["y"],
            [at_least("a", "5%"), at_least("a", "25%"), completed("a")],
        ),
    ]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_ring_of_three_is_named_as_a_whole_and_who_only_waits_behind_it_is_told_of_it() {
    let found = told(&[
        course("a", &["x"], [completed("b"), NONE(), NONE()]),
        course("b", &["y"], [completed("c"), NONE(), NONE()]),
        course("c", &["z"], [completed("a"), NONE(), NONE()]),
        course("d", &["w"], [completed("a"), NONE(), NONE()]),
    ]);
    assert_eq!(found.len(), 4, "{found:?}");
    for name in ["apps/a ", "apps/b ", "apps/c "] {
        assert!(found.iter().all(|says| says.contains(name)), "{name}: {found:?}");
    }
    assert!(found[3].starts_with("false: "), "{found:?}");
    assert!(!found[3].contains("apps/d"), "{found:?}");
}

#[test]
fn one_component_of_itself_is_a_ring_where_that_one_stands_behind_the_gate_and_only_there() {
    let gate = |component: &str, is: Value| {
        let mut gate = json!({"name": "a", "component": component});
        gate.as_object_mut()
            .unwrap()
            .extend(is.as_object().unwrap().clone());
        json!([{ "rollout": gate }])
    };
    for (is, stands) in [
        (json!({"is": "Completed"}), true),
        (json!({"is": "AtLeast", "weight": "25%"}), true),
        (json!({"is": "AtLeast", "weight": "5%"}), false),
    ] {
        let found = told(&[course("a", &["x", "y"], [NONE(), gate("x", is.clone()), NONE()])]);
        assert_eq!(!found.is_empty(), stands, "{is}: {found:?}");
        assert!(
            found.iter().all(|says| says.contains("it waits for itself")),
            "{found:?}"
        );
    }
}

/// `x` in the first phase, `y` in the second; the gates before the first weight of each.
fn phased(first: &Value, second: &Value, depends: bool) -> Course {
    let mut spec = json!({"components": [], "allowJump": true, "phases": [
        {"name": "one", "components": ["x"], "requires": first, "steps": [{"weight": "100%", "hold": "1h"}]},
        {"name": "two", "components": ["y"], "requires": second, "steps": [{"weight": "100%", "hold": "1h"}]},
    ]});
    for c in ["x", "y"] {
        let mut component = json!({"name": c, "routers": [{"istio": {"virtualServices": [{"name": c}],
            "canary": {"host": c, "subset": "v2"}, "control": {"host": c, "subset": "v1"}}}]});
        if depends && c == "y" {
            component["dependsOn"] = json!(["x"]);
        }
        spec["components"].as_array_mut().unwrap().push(component);
    }
    planned("a", spec)
}

#[test]
fn a_phase_that_comes_later_closes_a_ring_as_a_gate_does() {
    let of = |c: &str| json!([{"rollout": {"name": "a", "component": c, "is": "Completed"}}]);
    let found = told(&[phased(&of("y"), &NONE(), false)]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("y of apps/a goes on when the phase of x before it is done"),
        "{found:?}"
    );
    assert_eq!(
        told(&[phased(&NONE(), &of("x"), true)]),
        Vec::<String>::new(),
        "in order"
    );
}

#[test]
fn where_somebody_has_stepped_over_the_gate_by_hand_nobody_waits_for_ever() {
    let courses = [
        course("a", &["x"], [NONE(), completed("b"), NONE()]),
        course("b", &["y"], [NONE(), NONE(), at_least("a", "25%")]),
    ];
    let mut c = ComponentStatus {
        name: "x".into(),
        ..ComponentStatus::default()
    };
    c.weight.written = Weight::from_percent(25).unwrap();
    let status = GradualRolloutStatus {
        components: vec![c],
        ..GradualRolloutStatus::default()
    };
    let rings = Rings::of([
        (&courses[0], Standing::of(&status)),
        (&courses[1], Standing::default()),
    ]);
    assert_eq!(rings.stuck(), BTreeSet::new());
    let (_, gate) = courses[1].gates().next().unwrap();
    assert_eq!(rings.through(&key("b"), &gate.key), None);
}

#[test]
fn what_nobody_here_knows_may_come() {
    let found = told(&[course("a", &["x"], [NONE(), completed("elsewhere"), NONE()])]);
    assert_eq!(found, Vec::<String>::new());
}
