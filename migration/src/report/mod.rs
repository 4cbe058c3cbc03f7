//! What became of every path and annotation, by code.

#[macro_use]
mod explanation;
mod table;
mod text;

pub use explanation::{Explanation, Outcome, Severity, explain};
pub use table::{CODES, Code};

use crate::input::{Origin, Problem};
use serde::Serialize;

/// A finding about an Ingress, a document or the controller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// What it is.
    pub code: Code,
    /// What became of it.
    pub outcome: Outcome,
    /// How bad that is.
    pub severity: Severity,
    /// Whether a security control is at stake.
    pub sec: bool,
    /// Whether the code is in the accept list: then it refused nothing.
    pub accepted: bool,
    /// The field, as `metadata.annotations[…]` or `spec.rules[0].http.paths[1]`.
    pub field: String,
    /// What it says there.
    pub value: String,
    /// What is special in this case; may be empty.
    pub detail: String,
    /// What a user will observe.
    pub effect: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

impl Entry {
    /// A finding with the code's own outcome and severity.
    pub fn new(code: Code, field: impl Into<String>, value: impl Into<String>) -> Self {
        let explanation = code.explanation();
        Self {
            code,
            outcome: explanation.outcome,
            severity: explanation.severity,
            sec: explanation.sec,
            accepted: false,
            field: field.into(),
            value: value.into(),
            detail: String::new(),
            effect: explanation.effect,
            remedy: explanation.remedy,
        }
    }

    /// The same with what is special in this case.
    #[must_use]
    pub fn with(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Whether it keeps its route out of the output.
    pub fn refuses(&self) -> bool {
        self.outcome == Outcome::Refused && !self.accepted
    }
}

/// What became of one path of an Ingress, or of its default back end. Each is listed exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PathResult {
    /// The field, as `spec.rules[0].http.paths[1]` or `spec.defaultBackend`.
    pub field: String,
    /// The host; `*` where the rule has none.
    pub host: String,
    /// The path, as written.
    pub path: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The `VirtualService` that serves it, as `namespace/name`.
    pub virtual_service: Option<String>,
    /// Why it is not served, or not served as before.
    pub codes: Vec<Code>,
}

/// What became of one Ingress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IngressResult {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Where it was read.
    pub origin: Origin,
    /// The worst of its paths; dropped only where nothing of it is served.
    pub outcome: Outcome,
    /// Findings, sorted.
    pub entries: Vec<Entry>,
    /// Its paths, in the order of the Ingress.
    pub paths: Vec<PathResult>,
}

/// A document or an object that could not be taken, or was not needed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InputEntry {
    /// Where.
    pub origin: Origin,
    /// Which object, as far as known.
    pub object: String,
    /// The finding.
    #[serde(flatten)]
    pub entry: Entry,
}

impl From<&Problem> for InputEntry {
    fn from(problem: &Problem) -> Self {
        Self {
            origin: problem.origin.clone(),
            object: problem.object.clone(),
            entry: Entry::new(problem.code, "", "").with(problem.detail.clone()),
        }
    }
}

/// A Secret that the gateway must be able to read in its own namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretCopy {
    /// From which namespace.
    pub from_namespace: String,
    /// From which name.
    pub from_name: String,
    /// Into which namespace.
    pub to_namespace: String,
    /// Under which name.
    pub to_name: String,
}

/// How many Ingresses and paths ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Ingresses that were read.
    pub ingresses: usize,
    /// Paths, default back ends among them.
    pub paths: usize,
    /// Paths that are served as before.
    pub converted: usize,
    /// Paths that are served with a difference that the report names.
    pub approximated: usize,
    /// Paths that nginx does not serve either.
    pub dropped: usize,
    /// Paths that are not served because something about them could not be kept.
    pub refused: usize,
}

/// The whole report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Counts.
    pub summary: Summary,
    /// Documents that could not be taken.
    pub input: Vec<InputEntry>,
    /// The controller's settings and defaults.
    pub controller: Vec<Entry>,
    /// Every Ingress, by namespace and name.
    pub ingresses: Vec<IngressResult>,
    /// Secrets that have to be copied, and copied again at every renewal.
    pub secrets: Vec<SecretCopy>,
}

impl Report {
    /// Whether anything was refused.
    pub fn refused(&self) -> bool {
        self.input.iter().any(|input| input.entry.refuses())
            || self.controller.iter().any(Entry::refuses)
            || self
                .ingresses
                .iter()
                .any(|ingress| ingress.outcome == Outcome::Refused)
    }

    /// Counts paths anew.
    pub(crate) fn count(&mut self) {
        let mut summary = Summary {
            ingresses: self.ingresses.len(),
            ..Summary::default()
        };
        for path in self.ingresses.iter().flat_map(|ingress| &ingress.paths) {
            summary.paths += 1;
            match path.outcome {
                Outcome::Converted => summary.converted += 1,
                Outcome::Approximated => summary.approximated += 1,
                Outcome::Dropped => summary.dropped += 1,
                Outcome::Refused => summary.refused += 1,
            }
        }
        self.summary = summary;
    }
}
