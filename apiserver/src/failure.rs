//! Refusals: Kubernetes `Status` objects with the code, reason, message and causes a real API server gives.

use super::resource::Resource;
use http::StatusCode;
use serde_json::{Value, json};

/// One field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable reason, for example `FieldValueInvalid`.
    pub reason: &'static str,
    /// The field's path, for example `spec.components[0].name`.
    pub field: String,
    /// What is wrong with it, without the path.
    pub message: String,
}

impl Cause {
    /// A field whose value is not acceptable.
    pub fn invalid(field: impl Into<String>, value: &Value, why: impl AsRef<str>) -> Self {
        let message = format!("Invalid value: {value}: {}", why.as_ref());
        Self {
            reason: "FieldValueInvalid",
            field: field.into(),
            message,
        }
    }

    /// A field that must be there.
    pub fn required(field: impl Into<String>, why: &str) -> Self {
        let message = if why.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {why}")
        };
        Self {
            reason: "FieldValueRequired",
            field: field.into(),
            message,
        }
    }

    fn line(&self) -> String {
        format!("{}: {}", self.field, self.message)
    }
}

/// A refused request. Displays its message; [`Failure::body`] is the `Status` object sent to the client.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct Failure {
    /// The HTTP status code.
    pub code: u16,
    /// The machine-readable reason, for example `Conflict`. May be empty.
    pub reason: &'static str,
    /// The sentence a person reads.
    pub message: String,
    /// `name`, `group`, `kind`, `uid` of the object the request was about, as far as known.
    pub about: Vec<(&'static str, String)>,
    /// The wrong fields.
    pub causes: Vec<Cause>,
    /// Seconds a client should wait, sent as `Retry-After`.
    pub retry_after: Option<u32>,
}

impl Failure {
    /// A refusal with this code, reason and message.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            about: Vec::new(),
            causes: Vec::new(),
            retry_after: None,
        }
    }

    fn of(resource: &Resource, name: &str, code: u16, reason: &'static str, message: String) -> Self {
        let mut this = Self::new(code, reason, message);
        this.about = vec![
            ("name", name.to_owned()),
            ("group", resource.group.clone()),
            ("kind", resource.plural.clone()),
        ];
        this
    }

    /// 400: the request makes no sense.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 401: the client is not known.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// 403 for `verb` on `resource`, in the words of RBAC.
    pub(super) fn forbidden(resource: &Resource, name: &str, verb: &str, namespace: &str) -> Self {
        let place = if namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace \"{namespace}\"")
        };
        let what = resource.group_resource();
        let subject = if name.is_empty() {
            format!("{what} is")
        } else {
            format!("{what} \"{name}\" is")
        };
        let message = format!(
            "{subject} forbidden: User \"sandbox\" cannot {verb} resource \"{}\" in API group \"{}\" {place}",
            resource.plural, resource.group
        );
        Self::of(resource, name, 403, "Forbidden", message)
    }

    /// 404 for a path that is not served.
    pub fn no_such_resource() -> Self {
        Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    /// 404 for one object.
    pub(super) fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.group_resource());
        Self::of(resource, name, 404, "NotFound", message)
    }

    /// 405: the resource does not know the verb.
    pub fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// 409: the name is taken.
    pub(super) fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.group_resource());
        Self::of(resource, name, 409, "AlreadyExists", message)
    }

    /// 409: a write with an older resourceVersion.
    pub(super) fn conflict(resource: &Resource, name: &str) -> Self {
        Self::conflict_because(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// 409 for another reason, such as an unmet precondition.
    pub(super) fn conflict_because(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            resource.group_resource()
        );
        Self::of(resource, name, 409, "Conflict", message)
    }

    /// 410: the resourceVersion is older than the log reaches back.
    pub fn expired(asked: u64, oldest: u64) -> Self {
        Self::new(
            410,
            "Expired",
            format!("too old resource version: {asked} ({oldest})"),
        )
    }

    /// 415 with the media types that are understood.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// 422 without causes: a JSON patch that does not fit the object.
    pub fn unprocessable() -> Self {
        Self::new(
            422,
            "Invalid",
            "the server rejected our request due to an error in our request",
        )
    }

    /// 422 with the wrong fields.
    pub(super) fn invalid(resource: &Resource, name: &str, causes: Vec<Cause>) -> Self {
        let lines: Vec<String> = causes.iter().map(Cause::line).collect();
        let said = match lines.as_slice() {
            [one] => one.clone(),
            [] | [_, ..] => format!("[{}]", lines.join(", ")),
        };
        let kind = resource.group_kind();
        let mut this = Self::new(422, "Invalid", format!("{kind} \"{name}\" is invalid: {said}"));
        this.about = vec![
            ("name", name.to_owned()),
            ("group", resource.group.clone()),
            ("kind", resource.kind.clone()),
        ];
        this.causes = causes;
        this
    }

    /// 500 without a reason.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The `Status` object.
    pub fn body(&self) -> Value {
        let mut details: serde_json::Map<String, Value> = self
            .about
            .iter()
            .filter(|(_, v)| !v.is_empty())
            .map(|(k, v)| ((*k).to_owned(), json!(v)))
            .collect();
        if !self.causes.is_empty() {
            let causes = self
                .causes
                .iter()
                .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
                .collect();
            details.insert("causes".to_owned(), Value::Array(causes));
        }
        if let Some(seconds) = self.retry_after {
            details.insert("retryAfterSeconds".to_owned(), json!(seconds));
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "code": self.code,
        });
        if let Some(fields) = status.as_object_mut() {
            if !self.reason.is_empty() {
                fields.insert("reason".to_owned(), json!(self.reason));
            }
            if !details.is_empty() || self.code == 404 {
                fields.insert("details".to_owned(), Value::Object(details));
            }
        }
        status
    }
}
