//! Putting traffic back, letting go, and giving back: what must work on an object that is no longer as it should be.

use super::astray::{self, Picked};
use super::beyond::Lone;
use super::error::RoutingError;
use super::gateway_api::{RULES, Rules};
use super::istio::Routes;
use super::object::ClaimKey;
use super::originals::{self, PutBack};
use super::patch::{ObjectPatch, PatchBody};
use super::seen::{self, Reading, Seen, text};
use super::stamp::Stamp;
use super::switch_deployment;
use super::target::{Target, Write, WriteMode};
use super::way::Way;
use crate::rollout::weight::Weight;
use serde_json::Value;

/// The routes that a pair is on, where a lowering had to look for them.
type Found<'j> = Result<Option<Picked<'j>>, RoutingError>;

impl<'a> Target<'a> {
    /// The same, for a lowering: where the strict reading fails, because somebody added another route that carries the
    /// pair, renamed ours, or garbled it, what is written is what is ours all the same, and nothing that
    /// somebody else claims by name.
    #[must_use]
    pub fn for_lowering(&self, json: &Value, claims: &'a [ClaimKey]) -> Self {
        let mut all = self.clone();
        match &mut all.way {
            Way::Istio(routes) if routes.read(&self.object, json).is_err() => routes.lowering = Some(claims),
            Way::GatewayApi(rules) if rules.read(&self.object, json).is_err() => {
                rules.lowering = Some(claims);
            }
            Way::Istio(_)
            | Way::GatewayApi(_)
            | Way::ConfigMap(_)
            | Way::Deployment(_)
            | Way::Restart
            | Way::Nginx(_)
            | Way::Hook(_)
            | Way::Manual(_) => {}
        }
        all
    }

    /// Why no request can reach the routes that are written, as a sentence with the remedy: a weight there moves nothing.
    pub fn unreached(&self, json: &Value) -> Option<String> {
        if let Some(rules) = self.way.gateway_api() {
            return rules.unreached(&self.object, json);
        }
        self.way.istio()?.unreached(&self.object, json)
    }

    /// Whether the object reads as the resource has it: where it does, nobody has to be asked whose its routes are.
    pub fn is_plain(&self, json: &Value) -> bool {
        let (routes, rules) = (self.way.istio(), self.way.gateway_api());
        routes.is_none_or(|routes| routes.read(&self.object, json).is_ok())
            && rules.is_none_or(|rules| rules.read(&self.object, json).is_ok())
    }

    /// What can be read of the object where the strict reading fails: the routes that a lowering would write, and what is
    /// ours and out of its reach. `None` where that is nothing. `claims` is what anybody claims of it.
    pub fn in_part(&self, json: &Value, claims: &[ClaimKey]) -> Option<InPart> {
        let lowering = self.for_lowering(json, claims);
        let picked = lowering.picked_of(json)?;
        let unknown = picked.stuck.iter().any(|lone| lone.share.is_none());
        let seen = lowering.read(json).ok()?;
        Some(InPart { seen, unknown })
    }

    /// Whether no route of the object that is the component's leads to the canary any more, in whatever spelling: then it
    /// gives the canary nothing, as one that is gone. What leads on to other objects may. What is somebody else's and leads
    /// there keeps nothing up: [`Target::left`] tells it. Asked of a target for a lowering.
    pub fn leads_nowhere(&self, json: &Value) -> bool {
        let (routes, rules) = (self.way.istio(), self.way.gateway_api());
        seen::expect_object(&self.object, json).is_ok()
            && self.renamed(json).is_none()
            && (routes.is_some_and(|routes| routes.leads_nowhere(json))
                || rules.is_some_and(|rules| rules.leads_nowhere(&self.object, json))
                || self.is_cleared(json))
    }

    /// Whether a lowering finds the pair in no route, and whatever leads to the canary says so, is not named by the
    /// resource, and cannot be what it names.
    fn is_cleared(&self, json: &Value) -> bool {
        let nothing = matches!(self.picked(json), Some((Ok(None), _)));
        let (routes, rules) = (self.way.istio(), self.way.gateway_api());
        let istio = routes.filter(|routes| routes.lowering.is_some());
        let gateway = rules.filter(|rules| rules.lowering.is_some());
        let of = &self.object;
        nothing
            && (istio.is_some_and(|routes| routes.strays(of, json).is_empty() && routes.is_open(json))
                || gateway.is_some_and(|rules| rules.strays(of, json).is_empty() && rules.is_open(of, json)))
    }

    /// What leads to the canary where no route has the pair any more: the routes that control has to itself, which may
    /// have been the pair's, and what goes to the canary otherwise than by weight.
    fn cleared(&self, json: &Value) -> (Vec<usize>, Vec<String>) {
        if !self.is_cleared(json) {
            return (Vec::new(), Vec::new());
        }
        let (routes, rules) = (self.way.istio(), self.way.gateway_api());
        let of_routes = routes.map(|routes| (routes.controls(json), routes.beside(json)));
        let of = &self.object;
        let of_rules = || rules.map(|rules| (rules.controls(of, json), rules.beside(of, json)));
        of_routes.or_else(of_rules).unwrap_or_default()
    }

    /// Destinations of the routes at some places that are the canary's on another port, and that no lowering writes.
    fn on_other_ports(&self, json: &Value, ours: &[usize], picked: Option<&Picked<'_>>) -> Vec<String> {
        let (routes, rules) = (self.way.istio(), self.way.gateway_api());
        let all = |at: usize| {
            let of_routes = routes.map(|routes| routes.on_other_ports(json, at));
            of_routes.or_else(|| rules.map(|rules| rules.on_other_ports(&self.object, json, at)))
        };
        let written = |at: usize, entry: usize| {
            let mut strays = picked.into_iter().flat_map(|picked| &picked.ours);
            strays.any(|stray| stray.at == at && stray.has_canary(entry))
        };
        let says = |at: usize| {
            let entries = all(at)?;
            let entry = entries.into_iter().find(|entry| !written(at, *entry))?;
            let place = routes.map_or_else(
                || format!("{RULES}[{at}].backendRefs"),
                |r| format!("{}[{at}].route", r.list()),
            );
            Some(format!(
                "{}: spec.{place}[{entry}] still gives the canary something, on another port than the resource names: give \
                 control what it has",
                self.object
            ))
        };
        ours.iter().filter_map(|at| says(*at)).collect()
    }

    /// The names of the resource that no route has; and whether a route without the pair may be one of them, renamed: it
    /// is nobody else's, and takes whatever comes its way.
    fn gone_names(&self, json: &Value) -> (Vec<&str>, impl Fn(&Lone<'_>) -> bool) {
        let (routes, rules) = (self.way.istio(), self.way.gateway_api());
        let of_routes = routes.map(|r| (r.list(), r.names(), r.lowering));
        let of_rules = rules.map(|r| (RULES, r.names(), r.lowering));
        let (list, names, claims) = of_routes.or(of_rules).unwrap_or_default();
        let gone = astray::gone(list, json, names);
        let claimed = astray::claimed(&self.object, claims.unwrap_or_default(), list);
        let (any, istio) = (!gone.is_empty(), routes.copied());
        let is_choosy = move |at| istio.map_or_else(|| Rules::is_choosy(json, at), |r| r.is_choosy(json, at));
        let may = move |lone: &Lone<'_>| {
            let named = lone.name.is_some_and(|name| {
                claimed.contains(name) || names.is_some_and(|all| all.iter().any(|n| n == name))
            });
            any && !named && !is_choosy(lone.at)
        };
        (gone, may)
    }

    /// What takes our rules and our mirror off an object in which a lowering finds no weight to write, for its pair is not in
    /// it any more, and the object as it is then; `None` where there is such a weight, or nothing of ours. They lead to
    /// the canary all the same, and nobody else takes them off.
    pub fn clear(&self, json: &Value) -> Option<(ObjectPatch, Value)> {
        let routes = self.way.istio()?;
        if seen::expect_object(&self.object, json).is_err() || self.finest(json).is_ok() {
            return None;
        }
        let mut draft = self.draft(json);
        routes.strip(json, &mut draft);
        let patch = draft.unmarked().ok().flatten()?;
        let after = with(json, &patch);
        Some((patch, after))
    }

    /// What a lowering of this object leaves, as sentences: routes of others that give the canary something, and
    /// variables that cannot be written.
    pub fn left(&self, json: &Value) -> Left {
        self.left_among(json, None)
    }

    /// The same with what anybody claims of the object, so that of routes with the pair, beside those that the resource
    /// names, nobody's are told and other components' are not.
    pub fn left_among(&self, json: &Value, claims: Option<&[ClaimKey]>) -> Left {
        let switch = self.way.deployment();
        let undone = switch.map(|switch| switch_deployment::left(switch, &self.object, json));
        let mut left = Left {
            undone: undone.unwrap_or_default(),
            ..Left::default()
        };
        let (lone, places, noun) = match (self.way.istio(), self.way.gateway_api()) {
            (Some(routes), _) => (
                routes.lone(&self.object, json),
                routes.places(&self.object, json),
                "route",
            ),
            (None, Some(rules)) => (
                rules.lone(&self.object, json),
                rules.places(&self.object, json),
                "rule",
            ),
            (None, None) => return left,
        };
        let picked = self.picked_of(json);
        let (mut ours, mut stuck) = (places.unwrap_or_default(), Vec::new());
        if let Some(picked) = &picked {
            ours = picked.ours.iter().map(|stray| stray.at).collect();
            stuck = picked.stuck.iter().map(|lone| lone.at).collect();
            left.stuck = picked.stuck(&self.object);
            left.theirs = picked.left(&self.object);
        }
        left.taken
            .extend(self.on_other_ports(json, &ours, picked.as_ref()));
        let elsewhere = match (claims, self.way.istio(), self.way.gateway_api()) {
            (Some(claims), Some(routes), _) => routes.elsewhere(&self.object, json, claims),
            (Some(claims), None, Some(rules)) => rules.elsewhere(&self.object, json, claims),
            (None, _, _) | (_, None, None) => Vec::new(),
        };
        let elsewhere = elsewhere.into_iter().filter(|_| picked.is_none());
        let lone: Vec<Lone<'_>> = lone
            .into_iter()
            .chain(elsewhere)
            .filter(|lone| lone.gives() && !stuck.contains(&lone.at))
            .collect();
        let (controls, beside) = self.cleared(json);
        ours.extend(controls);
        let (gone, may_be_gone) = self.gone_names(json);
        let mut takers = Vec::new();
        for at in ours {
            let taker = match (self.way.istio(), self.way.gateway_api()) {
                (Some(routes), _) => routes.taken_by(json, at, &lone),
                (None, Some(rules)) => rules.taken_by(json, at, &lone),
                (None, None) => None,
            };
            takers.extend(taker.map(|lone| lone.at));
        }
        for lone in &lone {
            let (object, label, share) = (&self.object, &lone.label, lone.says());
            if takers.contains(&lone.at) {
                left.taken.push(format!(
                    "{object}: {noun} {label} stands before ours, takes all of its requests, and gives the canary {share} \
                     of them: take it away, put it behind, or narrow what it matches"
                ));
            } else if may_be_gone(lone) {
                let gone = gone.join(", ");
                left.taken.push(format!(
                    "{object}: {noun} {label} gives the canary {share}, and {gone}, which the resource names, is not there any \
                     more: if it was renamed, give control what {noun} {label} gives the canary; if not, take {gone} out of \
                     the resource"
                ));
            } else {
                left.theirs.push(format!(
                    "{object}: {noun} {label} still gives the canary {share}: it is not one of those that this rollout \
                     writes"
                ));
            }
        }
        let told = |what| {
            format!(
                "{}: {what}: it is not one of those that this rollout writes",
                self.object
            )
        };
        left.theirs.extend(beside.into_iter().map(told));
        left
    }

    /// What a lowering writes where the strict reading fails, and what it does not reach.
    pub(super) fn picked_of<'j>(&self, json: &'j Value) -> Option<Picked<'j>> {
        self.picked(json).and_then(|(picked, _)| picked.ok().flatten())
    }

    /// The routes of the object that the pair is on, ours and others', and the names that the resource gives; `None` where
    /// the object has no routes.
    fn picked<'j>(&self, json: &'j Value) -> Option<(Found<'j>, Option<&[String]>)> {
        let of_routes = self
            .way
            .istio()
            .map(|r| (r.picked(&self.object, json), r.names()));
        of_routes.or_else(|| {
            let rules = self.way.gateway_api()?;
            Some((rules.picked(&self.object, json), rules.names()))
        })
    }

    /// What every route that a lowering would write says, when we put traffic back and none of them gives the canary
    /// any: then it does not matter which is meant.
    pub(super) fn put_back(&self, json: &Value) -> Option<Vec<Reading>> {
        let stamp = self.stamp(json).filter(Stamp::puts_back)?;
        let lowering = Some(&[][..]);
        let routes = self.way.istio().map(|routes| Routes { lowering, ..*routes });
        let rules = self.way.gateway_api().map(|rules| Rules { lowering, ..*rules });
        let picked = routes.map(|routes| routes.picked(&self.object, json));
        let picked = picked.or_else(|| Some(rules?.picked(&self.object, json)))?;
        let picked = picked.ok().flatten().filter(|picked| picked.stuck.is_empty())?;
        let nothing = |all: &Vec<Reading>| all.iter().all(|reading| reading.weight.is_zero());
        Some(picked.read()).filter(|all| stamp.weight().is_zero() && nothing(all))
    }

    /// The write that brings the object down to the stamp's weight, where `asked` is the weight that the component is
    /// brought to. An object that we made is deleted for 0, which is the one way in which clients with a cookie
    /// return too; and what lost its purpose is deleted at any weight. What is a stranger's is not lowered, and that is
    /// an error.
    pub fn lower(
        &self,
        json: Option<&Value>,
        stamp: &Stamp,
        asked: Weight,
        mode: WriteMode,
    ) -> Result<Write, RoutingError> {
        let Some(json) = json else {
            return Ok(Write::Nothing);
        };
        if let Some(canary) = self.way.nginx() {
            seen::expect_object(&self.object, json)?;
            canary.owned(&self.object, json)?;
            if asked.is_zero() || self.is_stray() {
                return Ok(removal(json));
            }
        }
        self.write_as(json, stamp, mode, true).map(Write::Patch)
    }

    /// The write that lets go of the object: traffic stays as it is, and what carries none of ours is deleted.
    pub fn release(&self, json: &Value) -> Write {
        let empty = self.read(json).is_ok_and(|seen| seen.weight.is_zero());
        if self.way.nginx().is_some_and(|canary| canary.owns(json) && empty) {
            removal(json)
        } else if self.object.kind.is_elsewhere() {
            Write::Nothing
        } else {
            self.detach(json).map_or(Write::Nothing, Write::Patch)
        }
    }

    /// The patch with the journal of the originals that it overwrites for the first time: for whoever writes to a
    /// cluster. What [`Target::restore`] puts back. Of a lowering that had to guess, only what the resource names.
    pub fn journalled(&self, json: &Value, patch: ObjectPatch) -> ObjectPatch {
        // Before an object that we made there was nothing; and a hook remembers a weight and an id, nothing else.
        if matches!(&self.way, Way::Nginx(_) | Way::Hook(_) | Way::Manual(_)) {
            return patch;
        }
        let strip = |json: &Value| {
            self.detach(json)
                .map_or_else(|| json.clone(), |patch| with(json, &patch))
        };
        let is_ours = |route: Option<&str>| {
            let Some((picked, names)) = self.picked(json) else {
                return true;
            };
            match (picked.ok().flatten(), names) {
                (None, _) => true,
                (Some(_), Some(names)) => names.iter().any(|name| Some(name.as_str()) == route),
                (Some(picked), None) => picked.ours.len() == 1,
            }
        };
        originals::journalled(json, &self.key, patch, strip, is_ours)
    }

    /// Whether putting originals back would leave each place of this target's as low as it is.
    pub(super) fn may_return(&self, before: &Value, after: &Value) -> Result<(), String> {
        if let Some(routes) = self.way.istio() {
            let strays = |json| routes.strays(&self.object, json);
            return astray::raised((&strays(before), &strays(after)), "route");
        }
        if let Some(rules) = self.way.gateway_api() {
            let strays = |json| rules.strays(&self.object, json);
            return astray::raised((&strays(before), &strays(after)), "rule");
        }
        // What cannot be read now may be anything; then only nothing is surely not more.
        let now = self.read(before).map_or(Weight::ZERO, |seen| seen.lowest);
        let then = self.read(after).map_err(|e| e.to_string())?.weight;
        if then > now {
            return Err(format!("they say {then}, and it stands at {now}; set it by hand"));
        }
        Ok(())
    }

    /// The write that gives the object back as it was before us ([`Target::restore`]), and why it stays as it is where
    /// it does. What we made is deleted: before us it was not there. `beside` are the component's targets.
    pub fn give_back(&self, json: &Value, beside: &[&Target<'_>]) -> (Write, Option<String>) {
        match &self.way {
            Way::Nginx(canary) if canary.owns(json) => (removal(json), None),
            // A hook has nothing to take off: the weight stands, and it is 0 by now.
            Way::Nginx(_) | Way::Hook(_) | Way::Manual(_) => (Write::Nothing, None),
            Way::Istio(_) | Way::GatewayApi(_) | Way::ConfigMap(_) | Way::Deployment(_) | Way::Restart => {
                let back = self.restore(json, beside);
                (back.patch.map_or(Write::Nothing, Write::Patch), back.kept)
            }
        }
    }
}

/// What takes our marks off and puts the originals back, as far as `allowed` lets the object become what it then is.
pub(super) fn returns(
    target: &Target<'_>,
    json: &Value,
    allowed: impl Fn(&Value, &Value) -> Result<(), String>,
) -> PutBack {
    if let Err(error) = seen::expect_object(&target.object, json) {
        return PutBack {
            patch: None,
            kept: Some(error.to_string()),
        };
    }
    originals::put_back(&target.object, json, &target.key, target.detach(json), allowed)
}

/// What can be read of an object where the strict reading fails.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InPart {
    /// What a lowering would write, and at which shares that is now; and the share that no lowering reaches.
    pub seen: Seen,
    /// Something of ours is there whose share nobody can tell.
    pub unknown: bool,
}

/// What a lowering does not reach, as sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// What is somebody else's and gives the canary something.
    pub theirs: Vec<String>,
    /// What is ours to lower and cannot be written.
    pub undone: Vec<String>,
    /// Routes of ours that still give the canary something, for control is not in them: nothing is back before they are.
    pub stuck: Vec<String>,
    /// What stands before a route of ours and gives the canary all that it would get, or may be one that is named and not
    /// there any more.
    pub taken: Vec<String>,
}

impl Left {
    /// Whether the canary gets nothing any more of what is the component's.
    pub fn is_whole(&self) -> bool {
        self.undone.is_empty() && self.stuck.is_empty() && self.taken.is_empty()
    }

    /// All of it, the gravest first, in one sentence; `None` when there is nothing.
    pub fn sentence(&self) -> Option<String> {
        let all: Vec<&str> = self
            .stuck
            .iter()
            .chain(&self.taken)
            .chain(&self.undone)
            .chain(&self.theirs)
            .map(String::as_str)
            .collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

/// An object with a patch that was computed from it.
fn with(json: &Value, patch: &ObjectPatch) -> Value {
    let mut after = json.clone();
    let PatchBody::Json(operations) = &patch.body;
    // It was computed from this very object, so it fits; if not, nothing is changed.
    drop(json_patch::patch(&mut after, operations));
    after
}

/// Deleting what was read, and nothing else.
fn removal(json: &Value) -> Write {
    let owned = |pointer: &str| text(json, pointer).unwrap_or_default().to_owned();
    Write::Delete {
        uid: owned("/metadata/uid"),
        resource_version: owned("/metadata/resourceVersion"),
    }
}
