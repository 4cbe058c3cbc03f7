//! An object that is wanted, and what has to be done about it: three sides, as it was written, as it is, as it should be.

use crate::cluster::{Kind, annotation};
use crate::digest;
use crate::marks;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What has to be done about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It is not there.
    Create,
    /// It is as it was written, and should be otherwise.
    Update,
    /// It is as it should be.
    Same,
    /// Somebody edited it since it was written; it should still be as it was written.
    Edited,
    /// Somebody edited it, and it should be otherwise too.
    Both,
    /// It is somebody else's.
    Foreign,
}

impl Change {
    /// Whether it is written without a word of the operator's.
    pub const fn is_written(self) -> bool {
        matches!(self, Self::Create | Self::Update)
    }

    /// Whether somebody else's hand is in it.
    pub const fn is_drift(self) -> bool {
        matches!(self, Self::Edited | Self::Both)
    }

    /// As it is printed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Same => "same",
            Self::Edited => "edited by others",
            Self::Both => "edited by others, and changed",
            Self::Foreign => "somebody else's",
        }
    }
}

/// An object that is wanted.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// As it is sent.
    pub body: Value,
    /// What has to be done.
    pub change: Change,
    /// The hosts that cannot be opened without it.
    pub hosts: BTreeSet<String>,
}

impl Item {
    /// `Kind namespace/name`.
    pub fn object(&self) -> String {
        self.kind.named(&self.namespace, &self.name)
    }
}

/// What has to be done about an object with a `spec`.
pub fn change(wanted: &Value, live: Option<&Value>) -> Change {
    let Some(live) = live else {
        return Change::Create;
    };
    if !marks::ours(live) {
        return Change::Foreign;
    }
    let same = digest::of(&marks::spec(wanted)) == digest::of(&marks::spec(live));
    let asked = digest::short(&marks::spec(wanted));
    match marks::untouched(live) {
        Some(true) if same => Change::Same,
        Some(true) => Change::Update,
        // Written by another way, or edited, and just as it should be: it is taken over.
        None | Some(false) if same => Change::Update,
        Some(false) if annotation(live, marks::WRITTEN) == Some(&asked) => Change::Edited,
        Some(false) | None => Change::Both,
    }
}

/// Whether what is there says of itself what is wanted, beside its `spec`: what it was made of, and with. A Gateway is all
/// batches', so each would say another thing of it.
pub fn noted(wanted: &Value, live: &Value) -> bool {
    wanted.get("kind").and_then(Value::as_str) == Some("Gateway")
        || [
            marks::FROM,
            marks::SOURCES,
            marks::CANARIES,
            marks::CLOSED,
            marks::SETTINGS,
            marks::HEADERS,
            marks::PORTS,
        ]
        .iter()
        .all(|name| annotation(wanted, name) == annotation(live, name))
}

/// An object as it is sent: with the digest of its `spec`, in the version that the cluster serves.
pub fn stamped(mut object: Value, version: Option<&str>) -> Value {
    let written = digest::short(&marks::spec(&object));
    if let (Some(version), Some(map)) = (version, object.as_object_mut()) {
        map.insert("apiVersion".to_owned(), version.into());
    }
    if let Some(meta) = object.pointer_mut("/metadata").and_then(Value::as_object_mut) {
        let notes = meta.entry("annotations").or_insert_with(|| json!({}));
        if let Some(notes) = notes.as_object_mut() {
            notes.insert(marks::WRITTEN.to_owned(), written.into());
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(spec: i32, written: Option<i32>) -> Value {
        let mut object =
            json!({"metadata": {"labels": {marks::MANAGED_BY: marks::OURS}}, "spec": {"a": spec}});
        if let Some(written) = written {
            object["metadata"]["annotations"] =
                json!({marks::WRITTEN: digest::short(&json!({"a": written}))});
        }
        object
    }

    #[test]
    fn three_sides_decide() {
        let wanted = object(1, None);
        for (live, change_) in [
            (None, Change::Create),
            (Some(object(1, Some(1))), Change::Same),
            (Some(object(2, Some(2))), Change::Update),
            (Some(object(2, Some(1))), Change::Edited),
            (Some(object(2, Some(3))), Change::Both),
            (Some(object(1, Some(3))), Change::Update),
            (Some(object(1, None)), Change::Update),
            (Some(object(2, None)), Change::Both),
            (Some(json!({"spec": {"a": 1}})), Change::Foreign),
        ] {
            assert_eq!(change(&wanted, live.as_ref()), change_, "{live:?}");
        }
    }

    #[test]
    fn what_is_sent_is_found_untouched() {
        let sent = stamped(object(1, None), Some("networking.istio.io/v1beta1"));
        assert_eq!(sent["apiVersion"], "networking.istio.io/v1beta1");
        assert_eq!(change(&object(1, None), Some(&sent)), Change::Same);
    }
}
