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
    let mut out = live.clone();
    match kind {
        PatchKind::Json => operations(&mut out, body)?,
        PatchKind::Merge => {
            object(body)?;
            json_patch::merge(&mut out, body);
        }
        PatchKind::Strategic | PatchKind::Apply => {
            object(body)?;
            strategic::merge(Some(resource.schema()), &mut out, body)?;
        }
    }
    Ok(out)
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
