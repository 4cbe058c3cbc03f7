//! Putting traffic back where the strict reading fails: which routes are meant, and what is written to them.
//!
//! A raise demands that everything is as the resource says. A lowering must not: a route that somebody added, renamed or
//! garbled is no reason to leave traffic on a canary that is broken. So here a destination may stand twice and a weight
//! may say anything; what cannot be lowered to a share goes to 0. What is somebody else's stays, and is told.

use super::beyond::Lone;
use super::object::{ClaimKey, ObjectRef, Part};
use super::originals;
use super::pair::{Field, share};
use super::patch::{Change, Draft, path, plain};
use super::seen::{Reading, text};
use super::stamp::{Stamp, stamp_key};
use crate::rollout::weight::Weight;
use json_patch::jsonptr::PointerBuf;
use serde_json::Value;
use std::collections::BTreeSet;

/// What control gets where nothing else says how much there is: all of its route.
const WHOLE: i64 = 100;

/// What tells one router's routes from another's.
#[derive(Clone, Copy)]
pub(super) struct Form {
    /// The list of routes under `spec`.
    pub(super) list: &'static str,
    /// The list of destinations of a route.
    pub(super) entries: &'static str,
    /// What people call an element of the list.
    pub(super) noun: &'static str,
    pub(super) field: Field,
    /// The weight of a destination that says none.
    pub(super) unsaid: i64,
    /// What a destination is told by.
    pub(super) identity: fn(&Value) -> Vec<(&'static str, &Value)>,
}

/// A route that carries the pair, whatever else is wrong with it.
pub(super) struct Stray<'j> {
    pub(super) at: usize,
    pub(super) label: String,
    pub(super) name: Option<&'j str>,
    /// How many destinations it has.
    destinations: usize,
    /// Somebody beside the pair has a share of it, or may have.
    others: bool,
    canary: Vec<Slot<'j>>,
    control: Vec<Slot<'j>>,
}

/// A destination of a route.
struct Slot<'j> {
    at: usize,
    json: &'j Value,
    /// `None`: what stands there is no weight.
    weight: Option<i64>,
}

impl<'j> Stray<'j> {
    /// A route, if it carries both of the pair.
    pub(super) fn new(
        form: Form,
        (at, label, json): (usize, String, &'j Value),
        destinations: &'j [Value],
        is: [&dyn Fn(&Value) -> bool; 2],
    ) -> Option<Self> {
        let others = destinations.iter().enumerate().any(|(at, entry)| {
            let is_of_pair = is.iter().any(|goes_there| goes_there(entry));
            !is_of_pair && Slot::new(form, at, entry).weight != Some(0)
        });
        let [canary, control] = is.map(|goes_there| {
            let slots = destinations
                .iter()
                .enumerate()
                .filter(|(_, entry)| goes_there(entry));
            slots
                .map(|(at, json)| Slot::new(form, at, json))
                .collect::<Vec<_>>()
        });
        (!canary.is_empty() && !control.is_empty()).then(|| Self {
            at,
            label,
            name: text(json, "/name"),
            destinations: destinations.len(),
            others,
            canary,
            control,
        })
    }

    fn sum(slots: &[Slot<'_>]) -> Option<i64> {
        slots
            .iter()
            .try_fold(0_i64, |sum, slot| sum.checked_add(slot.weight?))
    }

    /// The canary's share; `None` where it cannot be told. Where both have nothing, the canary has nothing.
    pub(super) fn share(&self) -> Option<Weight> {
        match Self::sum(&self.canary)? {
            0 => Some(Weight::ZERO),
            canary => share(canary, Self::sum(&self.control)?),
        }
    }

    /// Whether a destination is among those that are the canary's.
    pub(super) fn has_canary(&self, entry: usize) -> bool {
        self.canary.iter().any(|slot| slot.at == entry)
    }

    /// Whether the pair has no share of its route.
    pub(super) fn is_empty(&self) -> bool {
        Self::sum(&self.canary) == Some(0) && Self::sum(&self.control) == Some(0)
    }

    /// Whether the canary gets, or may be getting, anything.
    fn gives(&self) -> bool {
        self.share() != Some(Weight::ZERO)
    }

    /// The sum of a pair that stands as it should: each once, and each with a weight.
    fn plain(&self, form: Form) -> Option<i64> {
        let sum = Self::sum(&self.canary)?.checked_add(Self::sum(&self.control)?)?;
        let once = self.canary.len() == 1 && self.control.len() == 1;
        (once && (1..=form.field.max).contains(&sum)).then_some(sum)
    }

    fn is_alone(&self) -> bool {
        self.destinations == 2
    }

    /// The weights that bring the canary to `weight` or below; never above what it has.
    fn news(&self, form: Form, weight: Weight) -> Vec<(&Slot<'j>, i64, &'static str)> {
        let stays = self.share().is_some_and(|now| now < weight);
        if self.is_empty() {
            // Where others have the route they keep it. A route in which nobody has anything is refused by its data
            // plane: control takes it.
            let taker = self.control.first().filter(|_| !self.others);
            return taker.map(|slot| (slot, WHOLE, "control")).into_iter().collect();
        }
        if stays {
            return Vec::new();
        }
        if let (Some(sum), [canary], [control]) = (self.plain(form), &*self.canary, &*self.control)
            && let Some(new) = form.field.split(sum, self.is_alone(), weight)
        {
            return vec![(canary, new.0, "canary"), (control, new.1, "control")];
        }
        if self.share().is_some_and(|now| now <= weight) {
            return Vec::new();
        }
        // Rather below than above: what is not plain goes to nothing, and control takes it.
        let weights = |slots: &[Slot<'_>]| -> i64 {
            let known = slots.iter().filter_map(|slot| slot.weight);
            known.fold(0, i64::saturating_add)
        };
        let (moved, others) = (
            weights(&self.canary),
            weights(self.control.get(1..).unwrap_or_default()),
        );
        let mut news: Vec<_> = self.canary.iter().map(|slot| (slot, 0, "canary")).collect();
        for (n, slot) in self.control.iter().enumerate() {
            let now = slot.weight.unwrap_or_default();
            let new = if n == 0 { now.saturating_add(moved) } else { now };
            let new = if n == 0 && new == 0 && others == 0 {
                WHOLE
            } else {
                new
            };
            news.push((slot, new.min(form.field.max), "control"));
        }
        news
    }
}

impl<'j> Slot<'j> {
    fn new(form: Form, at: usize, json: &'j Value) -> Self {
        let weight = match json.get("weight") {
            None | Some(Value::Null) => Some(form.unsaid),
            Some(value) => value
                .as_i64()
                .filter(|weight| (0..=form.field.max).contains(weight)),
        };
        Self { at, json, weight }
    }
}

/// What a lowering writes, and what it leaves.
pub(super) struct Picked<'j> {
    form: Form,
    /// What it writes.
    pub(super) ours: Vec<Stray<'j>>,
    left: Vec<(Stray<'j>, &'static str)>,
    /// What is ours and cannot be written, for control is not in it. Never empty where `ours` is.
    pub(super) stuck: Vec<Lone<'j>>,
    /// What people call control.
    control: String,
}

/// Whose routes are whose.
pub(super) struct Owners<'a> {
    pub(super) object: &'a ObjectRef,
    pub(super) component: &'a str,
    /// The routes that the resource names, if it names any.
    pub(super) names: Option<&'a [String]>,
    /// What anybody claims, as far as it is known. What is named is ours, whoever else claims it.
    pub(super) claims: &'a [ClaimKey],
}

impl Owners<'_> {
    /// Chooses among the routes that carry the pair. Those that are named; for one that is not there, those whose share is
    /// the one that we wrote last, for it may have been renamed; where there is none, whatever nobody else claims. The
    /// same where none is named. `None` when there is nothing to write.
    ///
    /// `lone`: what leads to the canary without control, whether nothing in the object leads to control, and control's
    /// name. Of those what is named is ours; and where no route is named, and none has control any more, all are.
    pub(super) fn pick<'j>(
        &self,
        form: Form,
        json: &Value,
        all: Vec<Stray<'j>>,
        (lone, nowhere, control): (Vec<Lone<'j>>, bool, String),
    ) -> Option<Picked<'j>> {
        let (claimed, marked) = (self.claimed(form.list), self.marked(form.list, json));
        let is_theirs = |stray: &Stray<'_>| stray.name.is_some_and(|name| claimed.contains(name));
        // Marks outlive their owners, and anybody can write them: they protect what is not known to be ours either way,
        // and nothing that is.
        let is_marked = |stray: &Stray<'_>| stray.name.is_some_and(|name| marked.contains(name));
        let stamped = stamp(self.component, json).map(|stamp| stamp.weight());
        let some_are_full = all.iter().any(|stray| !is_theirs(stray) && !stray.is_empty());
        let is_named = |stray: &Stray<'_>| {
            self.names
                .is_some_and(|names| names.iter().any(|n| Some(n.as_str()) == stray.name))
        };
        let is_renamed = |stray: &Stray<'_>| {
            !is_named(stray) && !is_theirs(stray) && stamped.is_some() && stray.share() == stamped
        };
        let missing = self.names.is_some_and(|names| {
            names
                .iter()
                .any(|n| !all.iter().any(|stray| stray.name == Some(n)))
        });
        let renamed = missing && all.iter().any(is_renamed);
        let alone = all.is_empty() && nowhere;
        // One that is named and not there may have been renamed, and have lost control as well.
        let gone = !gone(form.list, json, self.names).is_empty();
        let stuck = lone.into_iter().filter(|lone| match self.names {
            Some(names) if names.iter().any(|n| Some(n.as_str()) == lone.name) => true,
            Some(_) | None => {
                let is_free = |n: &str| !claimed.contains(n) && !marked.contains(n);
                alone && (gone || self.names.is_none()) && lone.name.is_none_or(is_free)
            }
        });
        let stuck: Vec<Lone<'j>> = stuck.collect();
        let (mut ours, mut left) = (Vec::new(), Vec::new());
        for stray in all {
            let is_ours = match self.names {
                _ if is_named(&stray) => true,
                _ if is_theirs(&stray) => false,
                Some(_) => missing && (is_renamed(&stray) || !renamed && !is_marked(&stray)),
                None => !stray.is_empty() || !some_are_full,
            };
            if is_ours {
                ours.push(stray);
            } else if is_theirs(&stray) || is_marked(&stray) {
                left.push((stray, "another rollout claims it"));
            } else {
                left.push((stray, "it is not one of those that this rollout writes"));
            }
        }
        (!ours.is_empty() || !stuck.is_empty()).then_some(Picked {
            form,
            ours,
            left,
            stuck,
            control,
        })
    }

    /// The routes of a list that others name.
    fn claimed(&self, list: &'static str) -> BTreeSet<String> {
        claimed(self.object, self.claims, list)
    }

    /// Those that others have marks on.
    fn marked(&self, list: &'static str, json: &Value) -> BTreeSet<String> {
        let marked = originals::routes_of_others(json, &stamp_key(self.component), list);
        marked.into_iter().collect()
    }
}

/// The routes of a list that claims name.
pub(super) fn claimed(object: &ObjectRef, claims: &[ClaimKey], list: &'static str) -> BTreeSet<String> {
    let named = claims.iter().filter_map(|claim| match &claim.part {
        Part::Route {
            list: theirs, route, ..
        } if claim.object == *object && *theirs == list => Some(route.clone()).filter(|route| route != "*"),
        Part::Route { .. } | Part::Whole | Part::Stamp(_) => None,
    });
    named.collect()
}

/// The names of routes that are surely somebody else's, by what anybody claims of an object and by the marks on it. `None`
/// where somebody claims all of it: then nobody can tell.
pub(super) fn others(
    object: &ObjectRef,
    component: &str,
    json: &Value,
    (list, claims): (&'static str, &[ClaimKey]),
) -> Option<BTreeSet<String>> {
    let all = |claim: &&ClaimKey| match &claim.part {
        Part::Route {
            list: theirs, route, ..
        } => *theirs == list && route == "*",
        Part::Whole => true,
        Part::Stamp(_) => false,
    };
    if claims
        .iter()
        .filter(|claim| claim.object == *object)
        .any(|claim| all(&claim))
    {
        return None;
    }
    let marked = originals::routes_of_others(json, &stamp_key(component), list);
    Some(claimed(object, claims, list).into_iter().chain(marked).collect())
}

/// Of the routes that a resource names those that are not in the list.
pub(super) fn gone<'n>(list: &str, json: &Value, names: Option<&'n [String]>) -> Vec<&'n str> {
    let all = json.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
    let there =
        |name: &str| all.is_some_and(|all| all.iter().any(|route| text(route, "/name") == Some(name)));
    let names = names.into_iter().flatten().map(String::as_str);
    names.filter(|name| !there(name)).collect()
}

/// The component's stamp on an object.
fn stamp(component: &str, json: &Value) -> Option<Stamp> {
    let annotations = json.pointer("/metadata/annotations")?;
    annotations.get(stamp_key(component))?.as_str()?.parse().ok()
}

impl Picked<'_> {
    /// Whether there is anything that a lowering can write.
    pub(super) fn can_write(&self) -> bool {
        !self.ours.is_empty()
    }

    /// What is ours to lower and out of reach, as sentences.
    pub(super) fn stuck(&self, object: &ObjectRef) -> Vec<String> {
        let noun = self.form.noun;
        let giving = self.stuck.iter().filter(|lone| lone.gives());
        let sentence = |lone: &Lone<'_>| match lone.share {
            Some(share) => format!(
                "{object}: {noun} {} still gives the canary {share} and lacks the control destination {}: add it with the \
                 canary's weight, and give the canary 0",
                lone.label, self.control
            ),
            None => format!(
                "{object}: whether {noun} {} leads to the canary cannot be told, for it delegates, or names it \
                 otherwise than the resource does: give it back the pair",
                lone.label
            ),
        };
        giving.map(sentence).collect()
    }

    /// What each that can be written says; what cannot be told may be everything.
    pub(super) fn read(&self) -> Vec<Reading> {
        let reading = |stray: &Stray<'_>| Reading {
            place: stray.label.clone(),
            weight: stray.share().unwrap_or(Weight::FULL),
        };
        self.ours.iter().map(reading).collect()
    }

    /// The finest share that every route can express that is not brought to 0 anyway.
    pub(super) fn finest(&self) -> Weight {
        let plain = self.ours.iter().filter_map(|stray| {
            let sum = stray.plain(self.form)?;
            Some(self.form.field.finest(sum, stray.is_alone()))
        });
        plain.reduce(super::pair::coarser).unwrap_or(FINEST)
    }

    /// What still gives the canary anything and is not ours to write, as sentences.
    pub(super) fn left(&self, object: &ObjectRef) -> Vec<String> {
        let giving = self.left.iter().filter(|(stray, _)| stray.gives());
        let sentence = |(stray, why): &(Stray<'_>, &str)| {
            let share = stray
                .share()
                .map_or_else(|| "something".to_owned(), |share| share.to_string());
            format!(
                "{object}: {} {} still gives the canary {share}: {why}",
                self.form.noun, stray.label
            )
        };
        giving.map(sentence).collect()
    }

    /// Drafts the weights.
    pub(super) fn draft(&self, weight: Weight, draft: &mut Draft<'_>) {
        draft.versioned();
        let Form { list, entries, .. } = self.form;
        for stray in &self.ours {
            let index = stray.at.to_string();
            let news = stray.news(self.form, weight);
            if let Some(name) = stray.name.filter(|_| !news.is_empty()) {
                draft.test(path(["spec", list, &index, "name"]), name.into());
            }
            for (slot, new, arm) in news {
                let entry = slot.at.to_string();
                let at =
                    |member: &str| -> PointerBuf { path(["spec", list, &index, entries, &entry, member]) };
                for (member, value) in (self.form.identity)(slot.json) {
                    draft.test(at(member), value.clone());
                }
                let old = slot.json.get("weight").filter(|old| !old.is_null());
                if let Some(old) = old {
                    draft.test(at("weight"), old.clone());
                }
                if slot.weight != Some(new) {
                    let change = Change {
                        path: format!(
                            "spec.{list}[{index}].{entries}[{entry}].weight ({} {}, {arm})",
                            self.form.noun, stray.label
                        ),
                        from: old.map(plain),
                        to: Some(new.to_string()),
                    };
                    draft.set(at("weight"), new.into(), change);
                }
            }
        }
    }
}

/// All weights there are.
const FINEST: Weight = match Weight::from_permille(1) {
    Some(weight) => weight,
    None => Weight::FULL,
};

/// What gives the canary more in `after` than in `before`, route by route, as a sentence. What cannot be told before may
/// have been nothing, and afterwards everything.
pub(super) fn raised((before, after): (&[Stray<'_>], &[Stray<'_>]), noun: &str) -> Result<(), String> {
    for then in after {
        let now = before.iter().find(|stray| stray.at == then.at);
        let now = now.and_then(Stray::share).unwrap_or_default();
        let then_says = then.share().unwrap_or(Weight::FULL);
        if then_says > now {
            return Err(format!(
                "they say {then_says} for {noun} {}, and it stands at {now}; set it by hand",
                then.label
            ));
        }
    }
    Ok(())
}
