//! A patch in the making: what must still be so, what is written, and how people read it.
//!
//! Two fences keep a write that was computed from an older read from landing after a newer write of ours:
//!
//! - `replace /metadata/resourceVersion` with the version that was read, as the first operation. The API server
//!   answers 409 if anybody wrote since (422 if a test below fails as well). For objects that stand still between
//!   writes.
//! - a `test` of the stamp's old value. Every write of ours changes the stamp, a rollback always, so the test fails
//!   with 422. For Deployments, whose status moves all the time. It proves nothing while there is no stamp: JSON Patch
//!   has no portable test for absence, so the first write carries the version instead.

use super::error::RoutingError;
use super::object::ObjectRef;
use super::originals::journal_key;
use super::seen::{member, text};
use super::stamp::Stamp;
use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, ReplaceOperation, TestOperation};
use serde_json::{Value, json};
use std::fmt;

/// A write of one object. On 409 or 422 the race is lost: read and decide again, never send the same patch twice.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectPatch {
    /// What is sent.
    pub body: PatchBody,
    /// What it changes, for people; never empty.
    pub changes: Vec<Change>,
}

/// How a patch is written.
#[derive(Clone, Debug, PartialEq)]
pub enum PatchBody {
    /// JSON Patch (RFC 6902).
    Json(Patch),
}

/// One changed field. Displays as `path: 5 → 10`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The field, and in parentheses what people call it.
    pub path: String,
    /// What stood there; `None` when nothing did.
    pub from: Option<String>,
    /// What will stand there; `None` when it is removed.
    pub to: Option<String>,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let absent = "(absent)";
        write!(
            f,
            "{}: {} → {}",
            self.path,
            self.from.as_deref().unwrap_or(absent),
            self.to.as_deref().unwrap_or(absent)
        )
    }
}

/// A path from its names; `/` and `~` in them are escaped.
pub(super) fn path<const N: usize>(names: [&str; N]) -> PointerBuf {
    PointerBuf::from_tokens(names)
}

/// Operations in order: fences, then tests, then writes.
pub(super) struct Draft<'a> {
    object: &'a ObjectRef,
    json: &'a Value,
    key: &'a str,
    versioned: bool,
    tests: Vec<PatchOperation>,
    writes: Vec<PatchOperation>,
    changes: Vec<Change>,
}

impl<'a> Draft<'a> {
    /// An empty draft for an object, whose component's stamp stands under the annotation `key`.
    pub(super) fn new(object: &'a ObjectRef, json: &'a Value, key: &'a str) -> Self {
        Self {
            object,
            json,
            key,
            versioned: false,
            tests: Vec::new(),
            writes: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Demands that nobody wrote the object since it was read.
    pub(super) fn versioned(&mut self) {
        self.versioned = true;
    }

    /// Demands that the object is the same one, not a namesake created since.
    pub(super) fn same_object(&mut self) {
        if let Some(uid) = member(self.json, "/metadata/uid") {
            self.test(path(["metadata", "uid"]), uid.clone());
        }
    }

    /// Demands that a value is still there.
    pub(super) fn test(&mut self, path: PointerBuf, value: Value) {
        self.tests
            .push(PatchOperation::Test(TestOperation { path, value }));
    }

    /// Writes a value, whether or not the member is there.
    pub(super) fn set(&mut self, path: PointerBuf, value: Value, change: Change) {
        self.writes
            .push(PatchOperation::Add(AddOperation { path, value }));
        self.changes.push(change);
    }

    /// Removes a value.
    pub(super) fn remove(&mut self, path: PointerBuf, change: Change) {
        self.writes.push(PatchOperation::Remove(RemoveOperation { path }));
        self.changes.push(change);
    }

    /// Writes a value as part of another change.
    pub(super) fn scaffold(&mut self, path: PointerBuf, value: Value) {
        self.writes
            .push(PatchOperation::Add(AddOperation { path, value }));
    }

    /// Adds the stamp and its fence, and closes the draft.
    pub(super) fn stamped(mut self, stamp: &Stamp) -> Result<ObjectPatch, RoutingError> {
        let new = Value::String(stamp.to_string());
        let annotations = member(self.json, "/metadata/annotations");
        let change = |from: Option<&Value>| Change {
            path: format!("metadata.annotations[{}]", self.key),
            from: from.map(plain),
            to: Some(stamp.to_string()),
        };
        match annotations {
            Some(Value::Object(map)) => {
                let old = map.get(self.key);
                let change = change(old);
                match old {
                    Some(old) => self.test(path(["metadata", "annotations", self.key]), old.clone()),
                    None => self.versioned = true,
                }
                self.set(path(["metadata", "annotations", self.key]), new, change);
            }
            Some(_) => return Err(malformed(self.object, "metadata.annotations", "a map")),
            None => {
                // The whole map is written, so nobody may have written one meanwhile.
                let change = change(None);
                self.versioned = true;
                self.set(
                    path(["metadata", "annotations"]),
                    json!({ self.key: new }),
                    change,
                );
            }
        }
        self.close()
    }

    /// Removes our marks, the stamp and the journal, and closes the draft; `None` when there is nothing to remove.
    pub(super) fn unstamped(mut self) -> Option<ObjectPatch> {
        let annotations = member(self.json, "/metadata/annotations");
        for key in [self.key.to_owned(), journal_key(self.key)] {
            let Some(old) = annotations.and_then(|map| map.get(&key)) else {
                continue;
            };
            let place = path(["metadata", "annotations", &key]);
            self.test(place.clone(), old.clone());
            let change = Change {
                path: format!("metadata.annotations[{key}]"),
                from: Some(plain(old)),
                to: None,
            };
            self.remove(place, change);
        }
        self.unmarked().ok().flatten()
    }

    /// Closes a draft that leaves the stamp alone; `None` when it changes nothing.
    pub(super) fn unmarked(self) -> Result<Option<ObjectPatch>, RoutingError> {
        if self.writes.is_empty() {
            return Ok(None);
        }
        self.close().map(Some)
    }

    fn close(self) -> Result<ObjectPatch, RoutingError> {
        let mut operations = Vec::with_capacity(1 + self.tests.len() + self.writes.len());
        if self.versioned {
            let version = text(self.json, "/metadata/resourceVersion")
                .filter(|version| !version.is_empty())
                .ok_or_else(|| {
                    malformed(
                        self.object,
                        "metadata.resourceVersion",
                        "the version that was read",
                    )
                })?;
            operations.push(PatchOperation::Replace(ReplaceOperation {
                path: path(["metadata", "resourceVersion"]),
                value: version.into(),
            }));
        }
        operations.extend(self.tests);
        operations.extend(self.writes);
        Ok(ObjectPatch {
            body: PatchBody::Json(Patch(operations)),
            changes: self.changes,
        })
    }
}

/// A value as people read it: text without its quotes.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn malformed(object: &ObjectRef, path: impl Into<String>, wanted: &'static str) -> RoutingError {
    RoutingError::Malformed {
        object: object.clone(),
        path: path.into(),
        wanted,
    }
}
