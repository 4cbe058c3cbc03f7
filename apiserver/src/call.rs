//! One request as it came: its query, headers and body, and what they ask for.

use super::ask::{Ask, Sub, Unknown};
use super::body;
use super::delete::Options;
use super::failure::Failure;
use super::resource::Resource;
use axum::body::Bytes;
use axum::extract::Query;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Method, Uri};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// One HTTP request, read.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) query: HashMap<String, String>,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// The query, the last of several values.
pub(super) fn query(uri: &Uri) -> HashMap<String, String> {
    Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map(|q| q.0.into_iter().collect())
        .unwrap_or_default()
}

impl Call {
    /// A header as text, or `""`.
    pub(super) fn header(&self, name: http::HeaderName) -> &str {
        self.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    }

    /// A query parameter, or `""`.
    pub(super) fn param(&self, name: &str) -> &str {
        self.query.get(name).map(String::as_str).unwrap_or_default()
    }

    /// A query parameter that is true or false.
    pub(super) fn truth(&self, name: &str) -> bool {
        matches!(self.param(name), "true" | "1" | "True")
    }

    /// Verb, author and strictness of a request for a resource.
    pub(super) fn ask(
        &self,
        resource: Arc<Resource>,
        namespace: &str,
        name: &str,
        sub: Sub,
    ) -> Result<Ask, Failure> {
        let watch = self.truth("watch");
        let verb = match (&self.method, name.is_empty()) {
            (&Method::GET, true) if watch => "watch",
            (&Method::GET, true) => "list",
            (&Method::GET, false) => "get",
            (&Method::POST, true) => "create",
            (&Method::PUT, false) => "update",
            (&Method::PATCH, false) => "patch",
            (&Method::DELETE, false) if sub == Sub::None => "delete",
            (&Method::DELETE, true) => "deletecollection",
            _ => return Err(Failure::method_not_allowed()),
        };
        let given = self.param("fieldManager");
        let agent = self.header(USER_AGENT).split('/').next().unwrap_or_default();
        let manager = [given, agent, "unknown"]
            .into_iter()
            .find(|m| !m.is_empty())
            .unwrap_or_default();
        if given.len() > 128 {
            return Err(Failure::bad_request(
                "fieldManager: Too long: may not be more than 128 bytes",
            ));
        }
        let dry_run = match self.param("dryRun") {
            "" => false,
            "All" => true,
            other => {
                return Err(Failure::new(
                    422,
                    "Invalid",
                    format!("dryRun: Unsupported value: {other:?}: supported values: \"All\""),
                ));
            }
        };
        let unknown = match self.param("fieldValidation") {
            "" | "Warn" => Unknown::Warn,
            "Strict" => Unknown::Strict,
            "Ignore" => Unknown::Ignore,
            other => {
                return Err(Failure::new(
                    422,
                    "Invalid",
                    format!(
                        "fieldValidation: Unsupported value: {other:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
                    ),
                ));
            }
        };
        Ok(Ask {
            api_version: resource.group_version(),
            resource,
            verb,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            sub,
            manager: manager.to_owned(),
            manager_given: given.to_owned(),
            force: self.truth("force"),
            dry_run,
            unknown,
            trusted: false,
        })
    }

    /// `DeleteOptions` from the body and the query.
    pub(super) fn options(&self) -> Result<Options, Failure> {
        let mut options = if self.body.is_empty() {
            Options::default()
        } else {
            Options::of(&self.json()?)
        };
        options.orphan |= self.param("propagationPolicy") == "Orphan";
        Ok(options)
    }

    /// The body as an object, in whatever form it was sent.
    pub(super) fn json(&self) -> Result<Value, Failure> {
        let media = self.header(CONTENT_TYPE);
        if media.starts_with("application/vnd.kubernetes.protobuf") {
            return body::protobuf(&self.body);
        }
        if media.starts_with("application/yaml") {
            body::yaml(&self.body)
        } else {
            body::json(&self.body)
        }
    }
}
