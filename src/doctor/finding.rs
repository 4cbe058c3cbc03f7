//! What is looked at, and what is found.

use super::code::{Code, Severity};
use crate::rollout::plan::Plan;
use crate::rollout::spec::Component;
use crate::routing::Home;
use serde::Serialize;

/// Something found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) code: &'static Code,
    pub(crate) severity: Severity,
    /// What it is about, like `virtualservice ns/name`.
    pub(crate) object: String,
    pub(crate) message: String,
    pub(crate) remedy: &'static str,
    /// What to write where, when the remedy needs more than a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) paste: Option<String>,
}

impl Finding {
    pub(crate) fn new(code: &'static Code, object: &str, message: &str) -> Self {
        Self {
            code,
            severity: code.severity,
            object: object.to_owned(),
            message: message.to_owned(),
            remedy: code.remedy,
            paste: None,
        }
    }
}

/// A rollout to look at.
#[derive(Clone, Debug)]
pub(crate) struct Patient {
    pub(crate) namespace: String,
    /// `namespace/name`.
    pub(crate) name: String,
    pub(crate) plan: Plan,
}

impl Patient {
    /// The resource.
    pub(crate) fn home(&self) -> Home {
        let name = self
            .name
            .rsplit_once('/')
            .map_or(self.name.as_str(), |(_, name)| name);
        Home::new(&self.namespace, name)
    }

    pub(crate) fn components(&self) -> impl Iterator<Item = &Component> {
        self.plan.components.iter().map(|planned| &planned.component)
    }
}
