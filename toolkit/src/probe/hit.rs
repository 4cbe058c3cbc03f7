//! What a probe found, one question at a time.

use super::code::Code;
use crate::finding::{Finding, Severity};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// One question that was not answered alike, or one thing that is wrong at the edge.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Hit {
    /// The suite that asked.
    pub suite: &'static str,
    /// The code.
    pub code: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The host.
    pub host: String,
    /// The one Ingress that it is about, as `namespace/name`; none: all that the host has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress: Option<String>,
    /// Whether somebody accepted it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
    /// Whether it is known why nothing was seen: then nothing is known to be wrong.
    #[serde(skip)]
    pub explained: bool,
    /// What was asked.
    pub question: String,
    /// What nginx said.
    pub nginx: String,
    /// What the gateway said.
    pub istio: String,
    #[serde(skip)]
    pub remedy: &'static str,
}

impl Hit {
    pub(super) fn new(
        suite: &'static str,
        code: Code,
        host: &str,
        question: impl Into<String>,
        nginx: impl Into<String>,
        istio: impl Into<String>,
    ) -> Self {
        Self {
            suite,
            code: code.name,
            severity: code.severity,
            host: host.to_owned(),
            ingress: None,
            accepted: false,
            explained: false,
            question: question.into(),
            nginx: nginx.into(),
            istio: istio.into(),
            remedy: code.remedy,
        }
    }
}

/// What is no blocker and several suites met is told once.
pub(super) fn once(hits: Vec<Hit>) -> Vec<Hit> {
    let mut seen = BTreeSet::new();
    let mut fresh = |hit: &Hit| {
        hit.severity == Severity::Blocker || seen.insert((hit.code, hit.host.clone(), hit.question.clone()))
    };
    hits.into_iter().filter(|hit| fresh(hit)).collect()
}

/// For people: one finding for each code and host, and for each Ingress where it is about one, with the first question and how
/// many more there are.
pub(super) fn summed(hits: &[Hit]) -> Vec<Finding> {
    let mut groups: BTreeMap<(&str, &str, Option<&str>), (&Hit, usize)> = BTreeMap::new();
    for hit in hits {
        let group = (hit.code, hit.host.as_str(), hit.ingress.as_deref());
        groups.entry(group).or_insert((hit, 0)).1 += 1;
    }
    groups
        .into_values()
        .map(|(hit, count)| {
            let more = match count {
                1 => String::new(),
                _ => format!(" (and {} more)", count - 1),
            };
            Finding {
                code: hit.code,
                severity: hit.severity,
                object: hit.host.clone(),
                message: format!(
                    "{}: nginx: {}; istio: {}{more}",
                    hit.question, hit.nginx, hit.istio
                ),
                remedy: hit.remedy.to_owned(),
            }
        })
        .collect()
}
