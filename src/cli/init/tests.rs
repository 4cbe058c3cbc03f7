//! Whatever is handed out, `validate` takes; and nothing that went in is missing.

use super::sound::{Shape, resources};
use crate::cli::manifest::{self, Manifest};
use crate::rollout::plan::default_checks;
use crate::routing::Stock;
use crate::routing::adopt::{Adopted, Asked, From, Resource, Taken, adopt};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

fn written(objects: &[Value], most: usize) -> (Adopted, Vec<(Resource, String)>) {
    let objects: Vec<Arc<Value>> = objects.iter().cloned().map(Arc::new).collect();
    let asked = Asked {
        from: &From::VirtualServices,
        objects: &objects,
        stock: &Stock::default(),
        canaries: &[],
    };
    let mut adopted = adopt(&asked, &mut Taken::default());
    let shape = Shape {
        most,
        base: None,
        quiet: None,
    };
    let written = resources(&mut adopted, &shape, &Taken::default()).unwrap_or_else(|e| panic!("{e}"));
    (adopted, written)
}

fn vs(namespace: &str, name: &str, http: &[Value]) -> Value {
    json!({"kind": "VirtualService", "metadata": {"namespace": namespace, "name": name}, "spec": {"http": http}})
}

fn pair(name: &str) -> Value {
    let to =
        |subset: &str, weight: u8| json!({"destination": {"host": name, "subset": subset}, "weight": weight});
    json!({"route": [to("v1", 90), to("v2", 10)]})
}

/// Destinations with names that tell, that do not, and that no file or label should be trusted with.
fn destination() -> impl Strategy<Value = Value> {
    let host = prop_oneof![
        4 => "[a-c]",
        2 => "(shop|cart)(-canary|-new|-v2)?",
        1 => "(shop|cart)\\.(apps|team)(\\.svc\\.cluster\\.local)?",
        1 => Just("shop.example.com".to_owned()),
        1 => prop::sample::select(vec!["", "true", "~.*", "!x", "a: b", "#", "12", "é", "a\nb", "{{component}}"]).prop_map(str::to_owned),
    ];
    let subset = prop_oneof![
        4 => Just(None),
        4 => "v[1-3]".prop_map(Some),
        1 => prop::sample::select(vec!["canary", "null", "~(", "!v1", "x # y", "\"", "\u{2028}"]).prop_map(|s| Some(s.to_owned())),
    ];
    let weight = prop_oneof![4 => (0..=100i64).prop_map(Some), 1 => Just(None), 1 => Just(Some(-1)), 1 => Just(Some(4_000_000_000))];
    (host, subset, prop::option::weighted(0.2, 1..70_000i64), weight).prop_map(
        |(host, subset, port, weight)| {
            let mut entry = json!({"destination": {"host": host}});
            if let Some(subset) = subset {
                entry["destination"]["subset"] = subset.into();
            }
            if let Some(port) = port {
                entry["destination"]["port"] = json!({"number": port});
            }
            if let Some(weight) = weight {
                entry["weight"] = weight.into();
            }
            entry
        },
    )
}

fn http_route() -> impl Strategy<Value = Value> {
    let entries = prop::collection::vec(destination(), 0..4);
    let name = prop::option::of(
        prop_oneof![3 => "[a-d]", 1 => Just("on".to_owned()), 1 => Just("a, b]".to_owned())],
    );
    (name, entries, 0..8u8).prop_map(|(name, entries, kind)| {
        let mut route = match kind {
            0 => json!({"delegate": {"name": "other"}}),
            1 => json!({"redirect": {"uri": "/"}}),
            _ => json!({"route": entries}),
        };
        if let Some(name) = name {
            route["name"] = name.into();
        }
        route
    })
}

fn virtual_services() -> impl Strategy<Value = Vec<Value>> {
    let name = prop_oneof![3 => "[a-f]", 1 => "[a-c]\\.example\\.com", 1 => "x{60,80}"];
    let one = ("(apps|team)", name, prop::collection::vec(http_route(), 0..4));
    prop::collection::vec(one, 1..10).prop_map(|all| {
        let mut seen = BTreeSet::new();
        all.into_iter()
            .filter(|(namespace, name, _)| seen.insert((namespace.clone(), name.clone())))
            .map(|(namespace, name, http)| vs(&namespace, &name, &http))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_written_is_valid_and_no_object_is_lost(objects in virtual_services(), most in 1..6usize) {
        let (adopted, written) = written(&objects, most);
        for (resource, text) in &written {
            let read = manifest::read("init", text);
            let [Manifest::Rollout(rollout, plan)] = read.as_slice() else { panic!("{read:?}\n{text}") };
            prop_assert_eq!(rollout.metadata.name.as_ref(), Some(&resource.name));
            prop_assert!(plan.components.len() <= most);
            // What was meant is what the text says.
            let meant: Vec<_> = resource.drafts.iter().map(|d| d.component.clone()).collect();
            prop_assert_eq!(&rollout.spec.components, &meant);
        }
        let drafted = written.iter().flat_map(|(r, _)| &r.drafts).flat_map(|d| &d.objects);
        let told: BTreeSet<String> =
            drafted.chain(adopted.left_out.iter().map(|l| &l.object)).map(ToString::to_string).collect();
        let given: BTreeSet<String> = objects.iter().map(|o| {
            let of = |pointer| o.pointer(pointer).and_then(Value::as_str).unwrap();
            format!("virtualservice {}/{}", of("/metadata/namespace"), of("/metadata/name"))
        }).collect();
        prop_assert_eq!(told, given);
        if !written.is_empty() {
            let all: String = written.iter().map(|(_, text)| text.as_str()).collect();
            let flat = all.replace("\n# ", " ");
            for left in &adopted.left_out {
                prop_assert!(flat.contains(&format!("- {}:", left.object)), "{} is not told", left.object);
            }
        }
    }

    #[test]
    fn the_order_of_a_list_changes_no_byte(objects in virtual_services(), turn in 0..10usize) {
        let texts = |objects: &[Value]| -> Vec<String> { written(objects, 2).1.into_iter().map(|(_, text)| text).collect() };
        let mut turned = objects.clone();
        turned.rotate_left(turn % objects.len());
        prop_assert_eq!(texts(&objects), texts(&turned));
    }
}

#[test]
fn the_checks_in_the_comment_are_the_ones_that_are_in_force() {
    let (_, written) = written(&[vs("apps", "shop", &[pair("shop")])], 50);
    let text = &written[0].1;
    let live: String = text
        .lines()
        .map(|line| match line.strip_prefix("  # ") {
            Some(rest) if rest == "checks:" || rest.starts_with("- {name:") => format!("  {rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_ne!(&live, text);
    let read = manifest::read("init", &live);
    let [Manifest::Rollout(rollout, plan)] = read.as_slice() else {
        panic!("{read:?}\n{live}")
    };
    assert_eq!(rollout.spec.checks.as_ref().map(Vec::len), Some(4));
    assert_eq!(plan.checks, default_checks());
}

#[test]
fn a_component_that_validate_refuses_is_left_out_and_the_others_stay() {
    // A label matcher of 256 characters is the most that the definition takes.
    let long = "x".repeat(300);
    let to =
        |subset: &str, weight: u8| json!({"destination": {"host": "b", "subset": subset}, "weight": weight});
    let refused = vs("apps", "b", &[json!({"route": [to(&long, 1), to("v1", 9)]})]);
    let (adopted, written) = written(
        &[
            vs("apps", "a", &[pair("a")]),
            refused,
            vs("apps", "c", &[pair("c")]),
        ],
        50,
    );
    let names: Vec<&str> = written[0]
        .0
        .drafts
        .iter()
        .map(|d| d.component.name.as_str())
        .collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!(adopted.left_out.len(), 1);
    assert!(
        written[0].1.contains("- virtualservice apps/b:"),
        "{}",
        written[0].1
    );
}
