//! The patch kinds a body can be.

use super::failure::Failure;
use super::json::same;
use super::resource::Resource;
use super::strategic;
use json_patch::{Patch, PatchOperation};
use serde_json::Value;

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatchKind {
    /// RFC 6902.
    Json,
    /// RFC 7396.
    Merge,
    /// Kubernetes' own, for built-in resources.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl PatchKind {
    /// The kind a media type names.
    pub(super) fn of(media_type: &str, resource: &Resource) -> Result<Self, Failure> {
        let custom =
            "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
        let built_in = "application/json-patch+json, application/merge-patch+json, \
                        application/strategic-merge-patch+json, application/apply-patch+yaml";
        match media_type {
            "application/json-patch+json" => Ok(Self::Json),
            "application/merge-patch+json" => Ok(Self::Merge),
            "application/strategic-merge-patch+json" if !resource.custom => Ok(Self::Strategic),
            "application/apply-patch+yaml" => Ok(Self::Apply),
            _ => Err(Failure::unsupported_media_type(if resource.custom {
                custom
            } else {
                built_in
            })),
        }
    }
}

/// `live` with the patch laid over it. Apply patches are [`super::managed`]'s.
pub(super) fn apply(
    kind: PatchKind,
    resource: &Resource,
    live: &Value,
    body: &Value,
) -> Result<Value, Failure> {
    match kind {
        PatchKind::Json => {
            let mut out = live.clone();
            operations(&mut out, body)?;
            Ok(out)
        }
        PatchKind::Merge => {
            object(body)?;
            let mut out = remaining(live, body);
            json_patch::merge(&mut out, body);
            Ok(out)
        }
        PatchKind::Strategic | PatchKind::Apply => {
            object(body)?;
            let mut out = live.clone();
            strategic::merge(Some(resource.schema()), &mut out, body)?;
            Ok(out)
        }
    }
}

/// What a merge patch leaves of an object. What it replaces is most of it when a status is written, and need not be
/// copied before.
fn remaining(live: &Value, patch: &Value) -> Value {
    let (Value::Object(live), Value::Object(patch)) = (live, patch) else {
        return live.clone();
    };
    let stays = live.iter().filter_map(|(name, live)| match patch.get(name) {
        None => Some((name.clone(), live.clone())),
        Some(deeper @ Value::Object(_)) => Some((name.clone(), remaining(live, deeper))),
        Some(_) => None,
    });
    stays.collect()
}

fn object(body: &Value) -> Result<(), Failure> {
    if body.is_object() {
        return Ok(());
    }
    Err(Failure::bad_request(
        "json: cannot unmarshal the patch into a Go value of type map[string]interface {}",
    ))
}

fn operations(out: &mut Value, body: &Value) -> Result<(), Failure> {
    let patch: Patch = serde_json::from_value(body.clone())
        .map_err(|error| Failure::bad_request(format!("error decoding patch: {error}")))?;
    for operation in &patch.0 {
        if let PatchOperation::Test(test) = operation {
            // Numbers compare by value, and an absent member is null.
            let found = out.pointer(test.path.as_str()).unwrap_or(&Value::Null);
            if !same(found, &test.value) {
                return Err(Failure::unprocessable());
            }
        } else if json_patch::patch(out, std::slice::from_ref(operation)).is_err() {
            return Err(Failure::unprocessable());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_merge_of_what_remains_is_the_merge_of_all() {
        let values = [
            json!({"a": 1, "b": {"c": [1], "d": {"e": null}}, "n": null}),
            json!({"a": {"x": 1}, "b": [1, 2]}),
            json!({"a": null, "b": {"c": null, "d": {"f": 2}}, "n": {"o": null}}),
            json!({"b": {"d": 3}, "z": {"y": {"x": null}}}),
            json!({}),
        ];
        for (live, patch) in values
            .iter()
            .flat_map(|live| values.iter().map(move |patch| (live, patch)))
        {
            let mut whole = live.clone();
            json_patch::merge(&mut whole, patch);
            let mut rest = remaining(live, patch);
            json_patch::merge(&mut rest, patch);
            assert_eq!(rest, whole, "{live} with {patch}");
        }
    }
}
