//! Routes of two destinations, put together by their pair: what VirtualServices and Gateway API routes have in common.

use super::choose::{Arm, CanaryName, choose};
use super::{Adopted, Draft, LeftOut, Taken, object_of, weights};
use crate::rollout::router_spec::Router;
use crate::rollout::spec::{Arms, Component};
use crate::routing::found::targets;
use crate::routing::object::ObjectKind;
use crate::routing::stock::Stock;
use serde_json::Value;

/// A route, as far as it matters here.
pub(super) struct Way<A> {
    /// As people call it.
    pub(super) label: String,
    /// Its name, where it has one.
    pub(super) name: Option<String>,
    /// Its place in the list.
    pub(super) at: usize,
    /// Its destinations with their weights, in order; or why it has none to speak of.
    pub(super) goes: Result<Vec<(A, i64)>, String>,
}

/// Routes of one pair.
struct Group<A> {
    pair: [A; 2],
    ways: Vec<PairWay>,
}

struct PairWay {
    label: String,
    name: Option<String>,
    at: usize,
    weights: [i64; 2],
    /// Where in the route each of the pair stands.
    places: [usize; 2],
}

/// A pair with its canary known.
pub(super) struct Chosen<A> {
    pub(super) canary: A,
    pub(super) control: A,
    /// The names of the routes; `None` when the one route has none.
    pub(super) names: Option<Vec<String>>,
    /// Place of the route, and of canary and control in it.
    pub(super) places: Vec<(usize, [usize; 2])>,
}

/// What becomes of a chosen pair: the router and where its samples come from, with what to say; or why nothing does.
pub(super) type Made = Result<(Router, Arms, Vec<String>), String>;

/// Makes a component of each pair of an object, or leaves the object out with the reasons.
pub(super) fn adopt<A: Arm>(
    (kind, json): (ObjectKind, &Value),
    ways: Vec<Way<A>>,
    said: &[CanaryName],
    taken: &mut Taken,
    adopted: &mut Adopted,
    make: impl Fn(&Chosen<A>) -> Made,
) {
    let object = object_of(kind, json);
    let mut reasons = Vec::new();
    let mut groups: Vec<Group<A>> = Vec::new();
    if ways.is_empty() {
        reasons.push("it has no routes".to_owned());
    }
    for way in ways {
        match pair(way.goes) {
            Ok([(a, x), (b, y)]) => {
                let known = groups
                    .iter_mut()
                    .find(|g| g.pair.contains(&a) && g.pair.contains(&b));
                let turned = known.as_ref().is_some_and(|g| g.pair[0] != a);
                let (weights, places) = if turned {
                    ([y, x], [1, 0])
                } else {
                    ([x, y], [0, 1])
                };
                let one = PairWay {
                    label: way.label,
                    name: way.name,
                    at: way.at,
                    weights,
                    places,
                };
                match known {
                    Some(group) => group.ways.push(one),
                    None => groups.push(Group {
                        pair: [a, b],
                        ways: vec![one],
                    }),
                }
            }
            Err(reason) => reasons.push(format!("route {}: {reason}", way.label)),
        }
    }
    let first = adopted.drafts.len();
    for group in groups {
        let labels: Vec<&str> = group.ways.iter().map(|way| way.label.as_str()).collect();
        let labels = labels.join(", ");
        let drafted = chosen(&group, said).and_then(|(chosen, why)| {
            let (router, arms, more) = make(&chosen)?;
            let of = if group.ways.len() == 1 { "route" } else { "routes" };
            let mut notes = vec![
                format!("From {object}, {of} {labels}."),
                format!(
                    "The canary is {}: {why}. The control is {}.",
                    chosen.canary.described(),
                    chosen.control.described()
                ),
            ];
            notes.extend(more);
            taken.fresh_draft(object.clone(), router, arms, notes, &object.name)
        });
        match drafted.and_then(|draft| fits(draft, json, taken)) {
            Ok(draft) => {
                taken.take(
                    &draft,
                    &Stock::default(),
                    "routes without names that share a destination cannot be told apart: give them names",
                );
                adopted.drafts.push(draft);
            }
            Err(reason) => reasons.push(format!("route {labels}: {reason}")),
        }
    }
    match adopted.drafts.get_mut(first) {
        // What is beside the pair is told beside the component.
        Some(draft) => draft.notes.extend(
            reasons
                .into_iter()
                .map(|reason| format!("Left as it is: {reason}.")),
        ),
        None => adopted.left_out.push(LeftOut {
            object,
            reason: reasons.join("; "),
        }),
    }
}

/// Two destinations with their weights.
fn pair<A>(goes: Result<Vec<(A, i64)>, String>) -> Result<[(A, i64); 2], String> {
    let destinations = goes?;
    let n = destinations.len();
    <[(A, i64); 2]>::try_from(destinations).map_err(|_| match n {
        0 => "it has no destinations".to_owned(),
        1 => {
            "it has one destination: add the canary with weight 0, and there is something to move".to_owned()
        }
        n => format!(
            "it has {n} destinations: only a pair is taken here; name two of them in a resource of your own"
        ),
    })
}

fn chosen<A: Arm>(group: &Group<A>, said: &[CanaryName]) -> Result<(Chosen<A>, String), String> {
    let [a, b] = &group.pair;
    if a == b {
        return Err(format!("both destinations are {}", a.described()));
    }
    if group.ways.iter().any(|way| way.weights == [0, 0]) {
        return Err(
            "neither destination has a weight above 0: give control the pair's share, 100".to_owned(),
        );
    }
    let sum = |arm: fn(&PairWay) -> i64| group.ways.iter().map(arm).fold(0, i64::saturating_add);
    let (at, why) = choose([a, b], [sum(|w| w.weights[0]), sum(|w| w.weights[1])], said)?;
    let names: Vec<String> = group.ways.iter().filter_map(|way| way.name.clone()).collect();
    let names = match (names.len(), group.ways.len()) {
        (0, 1) => None,
        (named, all) if named == all => Some(names),
        (_, _) => {
            return Err(
                "several routes have this pair and not all of them have a name: give each a name of its own"
                    .to_owned(),
            );
        }
    };
    let turn = |[x, y]: [usize; 2]| if at == 0 { [x, y] } else { [y, x] };
    let (canary, control) = if at == 0 { (a, b) } else { (b, a) };
    let places = group.ways.iter().map(|way| (way.at, turn(way.places))).collect();
    Ok((
        Chosen {
            canary: canary.clone(),
            control: control.clone(),
            names,
            places,
        },
        why,
    ))
}

/// Holds a draft against its object, as the daemon would: what it could not write is not drafted.
fn fits(mut draft: Draft, json: &Value, taken: &Taken) -> Result<Draft, String> {
    let mut now = Vec::new();
    for target in targets(&draft.component, &draft.namespace) {
        let wrong = [target.check(&weights()), target.validate_object(json, &weights())].concat();
        if let Some(error) = wrong.first() {
            let text = error.to_string();
            let own = format!("{}: ", target.object());
            return Err(text.strip_prefix(&own).unwrap_or(&text).to_owned());
        }
        let seen = target.read(json).map_err(|error| error.to_string())?;
        now.push((seen.lowest, seen.weight));
    }
    if let Some(owner) = taken.owner(&draft.component, &draft.namespace) {
        return Err(owner);
    }
    for (lowest, highest) in now {
        draft.notes.push(if lowest != highest {
            format!(
                "Its routes disagree: the canary has {lowest} to {highest}. The component would begin as Drifted and wait for `gradual-rollout resume`: write one weight first."
            )
        } else if highest.is_zero() {
            "The canary has 0% now.".to_owned()
        } else {
            format!("The canary has {highest} now: the plan begins there, and goes on with the next step above it.")
        });
    }
    Ok(draft)
}

/// A component of one router.
pub(super) fn component(name: String, router: Router, arms: Arms) -> Component {
    Component {
        name,
        traffic: None,
        pool: None,
        routers: vec![router],
        arms: Some(arms),
        probe: None,
        baseline: None,
        depends_on: None,
    }
}
