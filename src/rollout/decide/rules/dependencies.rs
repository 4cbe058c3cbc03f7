//! Components that go after others.

use super::world::{Weather, World, spec, weight};
use crate::rollout::command::Verb;
use crate::rollout::plan::Plan;
use crate::rollout::reason::Reason;
use serde_json::{Value, json};

fn depends(edges: &[(usize, &[&str])]) -> Value {
    let mut spec = spec();
    let gamma: Value =
        serde_json::from_str(&spec["components"][1].to_string().replace("beta", "gamma")).unwrap();
    spec["components"].as_array_mut().unwrap().push(gamma);
    for (of, on) in edges {
        spec["components"][*of]["dependsOn"] = json!(on);
    }
    spec
}

fn problems(spec: Value) -> Vec<String> {
    let spec = serde_json::from_value(spec).unwrap();
    let problems = Plan::parse(&spec).err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn a_component_has_no_weight_before_what_it_depends_on_has_it() {
    let mut world = World::new(depends(&[(1, &["gamma"])]));
    world.weather.insert("gamma".into(), Weather::Quiet);
    world.until("alpha at the gate", |w| {
        w.component("alpha").reason == Reason::WaitingForPhase
            || w.component("alpha").reason == Reason::AwaitingApproval
            || w.highest("alpha") == weight(700)
    });
    world.ticks(50);
    // Gamma waits for requests at 10%: beta may have those, and no more.
    assert_eq!(
        (world.highest("gamma"), world.highest("beta")),
        (weight(100), weight(100))
    );
    assert_eq!(world.component("beta").reason, Reason::WaitingForDependency);
    let told = world.component("beta").message.clone();
    assert!(
        told.contains("40%") && told.contains("gamma") && told.contains("10% now"),
        "{told}"
    );
    world.all(Weather::Good);
    world.until("beta follows", |w| w.highest("beta") == weight(700));
}

#[test]
fn while_what_it_depends_on_is_put_back_a_component_holds_and_says_so_and_keeps_its_weight() {
    let mut world = World::new(depends(&[(1, &["gamma"])]));
    world.until("beta at 10%", |w| {
        w.component("beta").weight.written == weight(100)
    });
    world.weather.insert("gamma".into(), Weather::CanaryFails);
    world.until("gamma back", |w| w.highest("gamma").is_zero());
    world.weather.insert("gamma".into(), Weather::Good);
    world.ticks(60);
    let beta = world.component("beta");
    assert_eq!(
        (beta.reason, beta.weight.written),
        (Reason::DependencyFailed, weight(100)),
        "{}",
        beta.message
    );
    world.say(Verb::Retry, "gamma", None);
    world.until("both go on", |w| {
        w.highest("beta") == weight(700) && w.highest("gamma") == weight(700)
    });
}

#[test]
fn a_circle_an_unknown_name_and_a_wait_for_ever_are_refused_with_what_to_do() {
    let circle = problems(depends(&[(0, &["beta"]), (1, &["gamma"]), (2, &["alpha"])]));
    assert!(
        circle.iter().any(|p| p.contains("alpha → beta → gamma → alpha")),
        "{circle:?}"
    );
    let alone = problems(depends(&[(0, &["alpha"])]));
    assert!(alone.iter().any(|p| p.contains("alpha → alpha")), "{alone:?}");
    let unknown = problems(depends(&[(1, &["gama"])]));
    assert!(
        unknown
            .iter()
            .any(|p| p.starts_with("spec.components[1].dependsOn[0]")
                && p.contains("there are alpha, beta, gamma")),
        "{unknown:?}"
    );
    // The pilot waits for beta, which begins when the pilot is done.
    let early = problems(depends(&[(0, &["beta"])]));
    assert!(
        early
            .iter()
            .any(|p| p.contains("alpha is to have 5%") && p.contains("wait for ever")),
        "{early:?}"
    );
    // Members of a pool step together, so that neither can go before the other.
    let mut pooled = depends(&[(1, &["gamma"])]);
    pooled["components"][1]["pool"] = json!("duo");
    pooled["components"][2]["pool"] = json!("duo");
    assert!(
        problems(pooled).iter().any(|p| p.contains("in one pool")),
        "a pool cannot wait for itself"
    );
    assert_eq!(
        problems(depends(&[(1, &["alpha"]), (2, &["alpha", "beta"])])),
        Vec::<String>::new()
    );
}
