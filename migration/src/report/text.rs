//! The report for people.

use super::{Code, Entry, Outcome, Report};
use std::collections::BTreeMap;
use std::fmt;

/// More findings of one kind are told in one line.
const MOST: usize = 3;

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Converted => "converted",
            Self::Approximated => "approximated",
            Self::Dropped => "dropped",
            Self::Refused => "refused",
        })
    }
}

impl fmt::Display for Report {
    /// One block for each Ingress with findings; those without are only counted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whoever hands in all of a cluster need not read of each of its Pods.
        let mut others: BTreeMap<&str, usize> = BTreeMap::new();
        for input in &self.input {
            if input.entry.code == Code::OtherKind {
                *others.entry(&input.entry.detail).or_default() += 1;
            }
        }
        let all: usize = others.values().sum();
        for input in &self.input {
            if input.entry.code == Code::OtherKind && all > MOST {
                continue;
            }
            let at = &input.origin;
            writeln!(
                f,
                "{}: document {}, line {}: {}",
                at.file, at.document, at.line, input.object
            )?;
            entry(f, &input.entry)?;
        }
        if all > MOST {
            let kinds: Vec<String> = others
                .iter()
                .map(|(kind, count)| format!("{count} of {kind}"))
                .collect();
            writeln!(
                f,
                "{} ({all}): objects of kinds that are not read: {}",
                Code::OtherKind.text(),
                kinds.join(", ")
            )?;
        }
        if !self.controller.is_empty() {
            writeln!(f, "controller")?;
        }
        for found in &self.controller {
            entry(f, found)?;
        }
        for ingress in &self.ingresses {
            if ingress.entries.is_empty() {
                continue;
            }
            writeln!(f, "{}/{}: {}", ingress.namespace, ingress.name, ingress.outcome)?;
            for found in &ingress.entries {
                entry(f, found)?;
            }
        }
        for copy in &self.secrets {
            writeln!(
                f,
                "copy Secret {}/{} to {}/{}, and again at every renewal",
                copy.from_namespace, copy.from_name, copy.to_namespace, copy.to_name
            )?;
        }
        let s = &self.summary;
        writeln!(
            f,
            "{} Ingresses, {} paths: {} converted, {} approximated, {} dropped, {} refused",
            s.ingresses, s.paths, s.converted, s.approximated, s.dropped, s.refused
        )
    }
}

fn entry(f: &mut fmt::Formatter<'_>, entry: &Entry) -> fmt::Result {
    let code = entry.code.text();
    let severity = entry.severity.text();
    let security = if entry.sec { ", security" } else { "" };
    let accepted = if entry.accepted { ", accepted" } else { "" };
    writeln!(f, "  {code} ({severity}{security}{accepted}): {}", entry.outcome)?;
    if !entry.field.is_empty() {
        writeln!(f, "    {} = {:?}", entry.field, entry.value)?;
    }
    if !entry.detail.is_empty() {
        writeln!(f, "    {}", entry.detail)?;
    }
    writeln!(f, "    effect: {}", entry.effect)?;
    writeln!(f, "    remedy: {}", entry.remedy)
}
