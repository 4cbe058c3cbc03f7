//! Several targets of one component on one object: its routes of more than one list, or more than one pair.
//!
//! They share a stamp and a journal, so what is done with one is done in sight of all.

use super::error::RoutingError;
use super::lowered::returns;
use super::originals::PutBack;
use super::patch::{ObjectPatch, PatchBody};
use super::stamp::Stamp;
use super::target::{Target, WriteMode};
use json_patch::Patch;
use serde_json::Value;

/// The one patch, with the journal of what it overwrites first, that brings all these targets of one object to the
/// stamp's weight: the object is never half there, and no write of ours loses its race against another of ours.
///
/// # Errors
/// What one of them cannot write; then there is no patch for any.
pub fn write_together(
    targets: &[&Target<'_>],
    json: &Value,
    stamp: &Stamp,
) -> Result<ObjectPatch, RoutingError> {
    let (mut operations, mut changes) = (Vec::new(), Vec::new());
    let mut doc = json.clone();
    for target in targets {
        let patch = target.write(&doc, stamp, WriteMode::Normal)?;
        let ObjectPatch {
            body: PatchBody::Json(Patch(next)),
            changes: told,
        } = target.journalled(&doc, patch);
        json_patch::patch(&mut doc, &next).map_err(|error| RoutingError::Malformed {
            object: target.object().clone(),
            path: error.path.to_string(),
            wanted: "what its own patch was drafted from",
        })?;
        operations.extend(next);
        changes.extend(told);
    }
    Ok(ObjectPatch {
        body: PatchBody::Json(Patch(operations)),
        changes,
    })
}

impl Target<'_> {
    /// The patch that puts back what stood in our places before our first write, byte for byte, and takes our marks
    /// off. Never a raise: originals that give the canary more than it has now in their place stay away, and the answer
    /// says so. `beside` are all targets of the component on this object, itself among them or not: the journal is
    /// theirs, too, and a route that none of them is about is not touched, for who the canary is there nobody knows.
    pub fn restore(&self, json: &Value, beside: &[&Target<'_>]) -> PutBack {
        returns(self, json, |before, after| {
            let others = beside.iter().copied().filter(|other| other.object == self.object);
            let all: Vec<&Target<'_>> = std::iter::once(self).chain(others).collect();
            for target in &all {
                target.may_return(before, after)?;
            }
            for list in ["http", "tls", "tcp", "rules"] {
                let routes = |json: &Value| -> Vec<Value> {
                    let routes = json.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
                    routes.cloned().unwrap_or_default()
                };
                let (then, now) = (routes(after), routes(before));
                let known: Vec<usize> = all.iter().flat_map(|target| target.about(list, after)).collect();
                let changed = |at: &usize| then.get(*at) != now.get(*at);
                if let Some(at) = (0..then.len()).filter(changed).find(|at| !known.contains(at)) {
                    let name = then.get(at).and_then(|route| route.get("name")?.as_str());
                    let name =
                        name.map_or_else(|| format!("{list}[{at}]"), |name| format!("{list}[{at}] {name}"));
                    return Err(format!(
                        "no router of the component is about {name} any more, so nobody knows which of its destinations is the canary; set it by hand"
                    ));
                }
            }
            Ok(())
        })
    }

    /// Which routes of a list carry the target's pair.
    fn about(&self, list: &str, json: &Value) -> Vec<usize> {
        let routes = self.way.istio().filter(|routes| routes.list() == list);
        let rules = self.way.gateway_api().filter(|_| list == "rules");
        let strays = routes.map(|routes| routes.strays(&self.object, json));
        let strays = strays.or_else(|| Some(rules?.strays(&self.object, json)));
        strays.into_iter().flatten().map(|stray| stray.at).collect()
    }
}
