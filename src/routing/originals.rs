//! The journal of originals: what stood in each place before our first write of it, kept on the object itself.
//!
//! The journal is an annotation beside the stamp, written in the very request that changes a place for the first time:
//! so there is no moment at which the one is written and the other is not, whoever writes (the daemon or a person's
//! command without one), and however many routes an object has, the resource's status does not grow.
//!
//! It is read off the patches, so every router has it without a line of its own. Places in lists are named by what
//! their elements are called (a route's name, a destination, a variable), for others may insert before them.

use super::object::ObjectRef;
use super::patch::{Change, ObjectPatch, PatchBody, path, plain};
use super::seen::{member, text};
use super::stamp::STAMP_PREFIX;
use json_patch::jsonptr::{Pointer, PointerBuf};
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What the annotation keys of journals begin with; the component follows, as in its stamp's key.
pub const ORIGINALS_PREFIX: &str = "rollout.sealos.io/o.";

/// An object's annotations hold 256 KiB together; a journal takes a quarter at most.
const LONGEST: usize = 64 * 1024;

/// The members by which elements of lists are told apart.
const NAMING: [&str; 8] = [
    "name",
    "kind",
    "group",
    "namespace",
    "port",
    "destination",
    "host",
    "subset",
];

/// One place that we wrote, and what stood there before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    at: Vec<Step>,
    /// Absent: there was nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    was: Option<Value>,
    /// An empty list or map that we made to put something into: it goes only when nobody else has put anything in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    empty: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Step {
    /// The element at this place among those without a name.
    Index(usize),
    /// A member of a map.
    Member(String),
    /// The element of a list with these members.
    Item(Map<String, Value>),
}

/// The name of the element of a list under the spec that a place is in.
fn route_of(at: &[Step]) -> Option<&str> {
    match at {
        [Step::Member(spec), Step::Member(_), Step::Item(name), ..] if spec == "spec" => {
            name.get("name").and_then(Value::as_str)
        }
        _ => None,
    }
}

/// The routes of a list that journals of other components tell of. One without its stamp was left behind, and tells
/// nothing.
pub(super) fn routes_of_others(json: &Value, stamp_key: &str, list: &str) -> Vec<String> {
    let annotations = member(json, "/metadata/annotations").and_then(Value::as_object);
    let own = journal_key(stamp_key);
    let others = annotations.into_iter().flatten().filter_map(|(key, text)| {
        let component = key.strip_prefix(ORIGINALS_PREFIX).filter(|_| *key != own)?;
        annotations?.get(&format!("{STAMP_PREFIX}{component}"))?;
        serde_json::from_str::<Vec<Place>>(text.as_str()?).ok()
    });
    others
        .flatten()
        .filter(|place| place.at.get(1) == Some(&Step::Member(list.to_owned())))
        .filter_map(|place| route_of(&place.at).map(str::to_owned))
        .collect()
}

/// What putting the originals back comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PutBack {
    /// The patch; `None` when there is nothing of ours on the object.
    pub patch: Option<ObjectPatch>,
    /// Why originals stay away, as a sentence; the marks come off all the same.
    pub kept: Option<String>,
}

/// The annotation key of the journal that belongs to a stamp's.
pub(super) fn journal_key(stamp_key: &str) -> String {
    let component = stamp_key.strip_prefix(STAMP_PREFIX).unwrap_or(stamp_key);
    format!("{ORIGINALS_PREFIX}{component}")
}

/// The patch with the journal of what it overwrites for the first time. `strip` takes off an object what is ours alone
/// (rules and mirrors beside the weights): that comes and goes with us and is nobody's original. An object that was written before journals
/// were kept has none, and gets none: what stands there now is not what stood there first. `is_ours` tells, by the name of
/// the route that a place is in, what is ours to give back.
pub(super) fn journalled(
    json: &Value,
    stamp_key: &str,
    patch: ObjectPatch,
    strip: impl Fn(&Value) -> Value,
    is_ours: impl Fn(Option<&str>) -> bool,
) -> ObjectPatch {
    let key = journal_key(stamp_key);
    let annotation = |key: &str| member(json, "/metadata/annotations")?.get(key)?.as_str();
    let known = annotation(&key);
    let mut places = match known {
        Some(text) => match serde_json::from_str::<Vec<Place>>(text) {
            Ok(places) => places,
            // Not ours to mend: what it said is gone.
            Err(_) => return patch,
        },
        None if annotation(stamp_key).is_some() => return patch,
        None => Vec::new(),
    };
    let before = places.len();
    let PatchBody::Json(Patch(operations)) = &patch.body;
    let mut doc = json.clone();
    for operation in operations {
        note(&doc, operation, &mut places);
        // What does not fit here does not fit at the server either: it refuses the whole.
        if json_patch::patch(&mut doc, std::slice::from_ref(operation)).is_err() {
            return patch;
        }
    }
    if places.len() > before {
        let (first, then) = (strip(json), strip(&doc));
        let is_theirs = |place: &Place| {
            let there = if place.was.is_some() { &first } else { &then };
            matches!(find(there, &place.at), Where::There(_))
        };
        let new = places.split_off(before);
        let found = new.len();
        let mut new: Vec<Place> = new
            .into_iter()
            .filter(|place| is_ours(route_of(&place.at)))
            .collect();
        if new.len() < found && new.is_empty() && known.is_none() {
            // Nothing of it is ours to give back; a journal that is empty would say that there was nothing.
            return patch;
        }
        new.retain(is_theirs);
        places.extend(new);
    }
    if known.is_some() && places.len() == before {
        return patch;
    }
    let Ok(text) = serde_json::to_string(&places) else {
        return patch;
    };
    if text.len() > LONGEST {
        return patch;
    }
    let ObjectPatch {
        body: PatchBody::Json(Patch(mut operations)),
        mut changes,
    } = patch;
    let place = path(["metadata", "annotations", &key]);
    if let Some(known) = known {
        let value = known.into();
        operations.push(PatchOperation::Test(TestOperation {
            path: place.clone(),
            value,
        }));
    }
    changes.push(Change {
        path: format!("metadata.annotations[{key}]"),
        from: known.map(str::to_owned),
        to: Some(text.clone()),
    });
    let value = text.into();
    operations.push(PatchOperation::Add(AddOperation { path: place, value }));
    ObjectPatch {
        body: PatchBody::Json(Patch(operations)),
        changes,
    }
}

/// Notes what an operation is about to overwrite, unless that is known.
fn note(doc: &Value, operation: &PatchOperation, places: &mut Vec<Place>) {
    let (pointer, new) = match operation {
        PatchOperation::Add(AddOperation { path, value })
        | PatchOperation::Replace(ReplaceOperation { path, value }) => (path, Some(value)),
        PatchOperation::Remove(RemoveOperation { path }) => (path, None),
        PatchOperation::Test(_) | PatchOperation::Move(_) | PatchOperation::Copy(_) => return,
    };
    if pointer.starts_with(Pointer::from_static("/metadata")) {
        return;
    }
    let Some(at) = steps(doc, pointer, new) else {
        return;
    };
    if places.iter().any(|known| {
        if known.empty {
            known.at == at
        } else {
            at.starts_with(&known.at)
        }
    }) {
        return;
    }
    let inserts = matches!(operation, PatchOperation::Add(_))
        && pointer
            .parent()
            .and_then(|parent| parent.resolve(doc).ok())
            .is_some_and(Value::is_array);
    let was = pointer.resolve(doc).ok().filter(|_| !inserts);
    let was = was.filter(|value| !value.is_null()).cloned();
    let empty = was.is_none() && new.is_some_and(is_empty);
    places.push(Place { at, was, empty });
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// The names of a place. `new` is what an insertion puts there.
fn steps(doc: &Value, pointer: &Pointer, new: Option<&Value>) -> Option<Vec<Step>> {
    let mut at = Vec::new();
    let mut here = Some(doc);
    let count = pointer.count();
    for (n, token) in pointer.tokens().enumerate() {
        let token = token.decoded();
        let last = n + 1 == count;
        match here {
            Some(Value::Array(items)) => {
                let index = token.parse().unwrap_or(items.len());
                let item = if last && new.is_some() {
                    new
                } else {
                    items.get(index)
                };
                at.push(item.map_or(Step::Index(index), |item| named(items, index, item)));
                here = items.get(index);
            }
            Some(Value::Object(members)) => {
                here = members.get(token.as_ref());
                at.push(Step::Member(token.into_owned()));
            }
            _ => return None,
        }
    }
    Some(at)
}

/// What an element is called. One without a name is counted among its like, so that named ones (as all of ours are)
/// may come and go before it.
fn named(items: &[Value], index: usize, item: &Value) -> Step {
    let name = name_of(item);
    if name.is_empty() {
        let before = items.iter().take(index);
        Step::Index(before.filter(|other| name_of(other).is_empty()).count())
    } else {
        Step::Item(name)
    }
}

fn name_of(item: &Value) -> Map<String, Value> {
    NAMING
        .iter()
        .filter_map(|key| {
            let value = item.get(*key).filter(|value| !value.is_null())?;
            Some(((*key).to_owned(), value.clone()))
        })
        .collect()
}

fn is_called(item: &Value, name: &Map<String, Value>) -> bool {
    name.iter().all(|(key, value)| item.get(key) == Some(value))
}

/// Where a place is now.
enum Where {
    There(PointerBuf),
    /// What it stands in is there, it is not: where it would be added.
    Absent(PointerBuf),
    /// What it stood in is gone.
    Gone,
    /// More than one has its name.
    Unclear,
}

fn find(doc: &Value, at: &[Step]) -> Where {
    let mut pointer = PointerBuf::root();
    let mut here = doc;
    for (n, step) in at.iter().enumerate() {
        let last = n + 1 == at.len();
        let (token, next) = match (step, here) {
            (Step::Member(name), Value::Object(members)) => (name.clone(), members.get(name)),
            (Step::Index(nth), Value::Array(items)) => {
                let mut unnamed = items
                    .iter()
                    .enumerate()
                    .filter(|(_, item)| name_of(item).is_empty());
                match unnamed.nth(*nth) {
                    Some((index, item)) => (index.to_string(), Some(item)),
                    None => return Where::Gone,
                }
            }
            (Step::Item(name), Value::Array(items)) => {
                let mut found = items.iter().enumerate().filter(|(_, item)| is_called(item, name));
                match (found.next(), found.next()) {
                    (Some((index, item)), None) => (index.to_string(), Some(item)),
                    (None, _) => ("-".to_owned(), None),
                    (Some(_), Some(_)) => return Where::Unclear,
                }
            }
            _ => return Where::Gone,
        };
        pointer.push_back(token);
        match next {
            Some(next) => here = next,
            None if last => return Where::Absent(pointer),
            None => return Where::Gone,
        }
    }
    Where::There(pointer)
}

/// The operations that put every original back, newest first, and the object as they leave it.
fn undo(json: &Value, places: &[Place]) -> (Vec<PatchOperation>, Vec<Change>, Value) {
    let (mut operations, mut changes, mut doc) = (Vec::new(), Vec::new(), json.clone());
    for place in places.iter().rev() {
        let (at, now) = match find(&doc, &place.at) {
            Where::There(at) => {
                let now = at.resolve(&doc).ok().cloned();
                (at, now)
            }
            Where::Absent(at) => (at, None),
            // Somebody took away what it stood in, or made it unclear: theirs is what stands.
            Where::Gone | Where::Unclear => continue,
        };
        let operation = match (&now, &place.was) {
            (Some(now), Some(was)) if now == was => continue,
            (Some(_), Some(was)) => PatchOperation::Replace(ReplaceOperation {
                path: at.clone(),
                value: was.clone(),
            }),
            (None, Some(was)) => PatchOperation::Add(AddOperation {
                path: at.clone(),
                value: was.clone(),
            }),
            (Some(now), None) if !place.empty || is_empty(now) => {
                PatchOperation::Remove(RemoveOperation { path: at.clone() })
            }
            (Some(_) | None, None) => continue,
        };
        if json_patch::patch(&mut doc, std::slice::from_ref(&operation)).is_ok() {
            operations.push(operation);
            changes.push(Change {
                path: readable(&place.at),
                from: now.as_ref().map(plain),
                to: place.was.as_ref().map(plain),
            });
        }
    }
    (operations, changes, doc)
}

/// The places that say something together: those of one element of a list, and those that are in none.
fn groups(places: Vec<Place>) -> Vec<Vec<Place>> {
    let element = |at: &[Step]| -> Vec<Step> {
        let end = at.iter().position(|step| !matches!(step, Step::Member(_)));
        end.and_then(|end| at.get(..=end)).unwrap_or_default().to_vec()
    };
    let mut groups: Vec<(Vec<Step>, Vec<Place>)> = Vec::new();
    for place in places {
        let of = element(&place.at);
        match groups.iter_mut().find(|(known, _)| *known == of) {
            Some((_, group)) => group.push(place),
            None => groups.push((of, vec![place])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

/// A place as people read it.
fn readable(at: &[Step]) -> String {
    let words = at.iter().enumerate().map(|(n, step)| match step {
        Step::Member(name) if n == 0 => name.clone(),
        Step::Member(name) => format!(".{name}"),
        Step::Index(index) => format!("[{index}]"),
        Step::Item(name) => format!("[{}]", Value::Object(name.clone())),
    });
    words.collect()
}

/// The patch that does what `off` does, which takes off what is ours alone, and puts the originals back, as far as
/// `allowed` lets the object become what it then is.
pub(super) fn put_back(
    object: &ObjectRef,
    json: &Value,
    stamp_key: &str,
    off: Option<ObjectPatch>,
    allowed: impl Fn(&Value, &Value) -> Result<(), String>,
) -> PutBack {
    let key = journal_key(stamp_key);
    let annotations = member(json, "/metadata/annotations").and_then(Value::as_object);
    let text_of = |key: &str| annotations.and_then(|a| a.get(key)?.as_str());
    let (mut operations, mut changes, mut kept) = (Vec::new(), Vec::new(), None);
    // What is ours alone goes first: the originals are found in what is left.
    let mut doc = json.clone();
    if let Some(ObjectPatch {
        body: PatchBody::Json(Patch(ours)),
        changes: told,
    }) = off
    {
        let fence = |operation: &PatchOperation| matches!(operation, PatchOperation::Replace(ReplaceOperation { path, .. }) if path == "/metadata/resourceVersion");
        operations.extend(ours.into_iter().filter(|operation| !fence(operation)));
        changes.extend(told);
        if json_patch::patch(&mut doc, &operations).is_err() {
            let kept = Some(format!(
                "{object}: our marks do not fit what was read; read it again"
            ));
            return PutBack { patch: None, kept };
        }
    }
    match text_of(&key).map(serde_json::from_str::<Vec<Place>>) {
        Some(Ok(places)) => {
            let (mut good, mut bad) = (Vec::new(), Vec::new());
            for group in groups(places) {
                let (_, _, after) = undo(&doc, &group);
                match allowed(&doc, &after) {
                    Ok(()) => good.extend(group),
                    Err(why) => bad.push(why),
                }
            }
            let (undoing, told, _) = undo(&doc, &good);
            operations.extend(undoing);
            changes.extend(told);
            if !bad.is_empty() {
                let why = bad.join("; ");
                kept = Some(format!("{object}: its originals are not put back: {why}"));
            }
        }
        Some(Err(_)) => kept = Some(format!("{object}: its originals cannot be read any more")),
        None if text_of(stamp_key).is_some() => {
            kept = Some(format!(
                "{object}: what stood there before the first write was not kept"
            ));
        }
        None => {}
    }
    let version = text(json, "/metadata/resourceVersion").filter(|version| !version.is_empty());
    let patch = version.filter(|_| !operations.is_empty()).map(|version| {
        let fence = PatchOperation::Replace(ReplaceOperation {
            path: path(["metadata", "resourceVersion"]),
            value: version.into(),
        });
        operations.insert(0, fence);
        ObjectPatch {
            body: PatchBody::Json(Patch(operations)),
            changes,
        }
    });
    PutBack { patch, kept }
}
