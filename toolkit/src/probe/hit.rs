//! What a probe found, one question at a time.

use super::code::Code;
use crate::finding::{Finding, Severity};
use serde::Serialize;
use std::collections::BTreeMap;

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
            question: question.into(),
            nginx: nginx.into(),
            istio: istio.into(),
            remedy: code.remedy,
        }
    }
}

/// For people: one finding for each code and host, with the first question and how many more there are.
pub(super) fn summed(hits: &[Hit]) -> Vec<Finding> {
    let mut groups: BTreeMap<(&str, &str), (&Hit, usize)> = BTreeMap::new();
    for hit in hits {
        groups.entry((hit.code, &hit.host)).or_insert((hit, 0)).1 += 1;
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
