//! What `convert` would say of the cluster's Ingresses, in figures.

use super::code;
use super::ingress::named;
use super::picture::Picture;
use crate::finding::Finding;
use crate::trouble::Trouble;
use gradual_rollout_migration::convert::{Options, convert};
use gradual_rollout_migration::input::{self, Source};
use gradual_rollout_migration::report::{Code, Outcome};
use serde_json::Value;
use std::collections::BTreeMap;

/// The kinds that a conversion reads.
const READ: &[&str] = &[
    "Ingress",
    "Service",
    "Secret",
    "ConfigMap",
    "IngressClass",
    "Deployment",
    "DaemonSet",
];

/// Converts everything, and tells what is refused and what is approximated, by code. What would be written.
pub(super) fn check(
    picture: &Picture,
    options: &Options,
    found: &mut Vec<Finding>,
) -> Result<Vec<Value>, Trouble> {
    let objects: Vec<&Value> = READ.iter().flat_map(|kind| picture.of(kind)).collect();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let inventory = input::read(&[Source {
        name: "the cluster".to_owned(),
        text: list.to_string(),
    }]);
    let conversion = convert(&inventory, options)
        .map_err(|error| Trouble::Internal(format!("unable to convert: {error}")))?;
    let mut told: BTreeMap<(bool, Code), Vec<String>> = BTreeMap::new();
    for ingress in &conversion.report.ingresses {
        for entry in &ingress.entries {
            let refused = entry.refuses();
            if refused || entry.outcome == Outcome::Approximated {
                let places = told.entry((refused, entry.code)).or_default();
                let place = format!("{}/{}", ingress.namespace, ingress.name);
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
    }
    for entry in conversion
        .report
        .controller
        .iter()
        .filter(|entry| entry.refuses())
    {
        let mut finding = code::INGRESS_REFUSED.at(
            entry.code.text(),
            format!(
                "every Ingress, for {} {}; {}",
                entry.field, entry.value, entry.effect
            ),
        );
        entry.remedy.clone_into(&mut finding.remedy);
        found.push(finding);
    }
    for ((refused, converted), places) in told {
        let code = if refused {
            code::INGRESS_REFUSED
        } else {
            code::INGRESS_APPROXIMATED
        };
        let kind = if places.len() == 1 { "Ingress" } else { "Ingresses" };
        let message = format!("{} {kind}: {}", places.len(), named(&places));
        let mut finding = code.at(converted.text(), message);
        finding.remedy = format!(
            "{}; gradual-rollout migrate explain {}",
            converted.explanation().remedy,
            converted.text()
        );
        found.push(finding);
    }
    Ok(conversion.objects)
}
