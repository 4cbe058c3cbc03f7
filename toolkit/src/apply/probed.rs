//! Whether a batch may be handed over: only what both data planes answered alike since it was written.

use super::args::ApplyArgs;
use super::handed;
use super::item::Change;
use super::live::Live;
use super::plan::{Mark, Plan};
use super::select::shown;
use super::split;
use crate::cluster::{self, annotation};
use crate::convert::Seen;
use crate::finding::{Finding, Severity};
use crate::marks;
use gradual_rollout_migration::input::Key;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// Whether an Ingress was probed since its mark.
fn since(ingress: &Value) -> bool {
    let time = |name: &str| annotation(ingress, name)?.parse::<Timestamp>().ok();
    match (time(marks::MIGRATED_AT), time(marks::PROBED_AT)) {
        (Some(since), Some(probed)) => probed >= since,
        (None, _) | (_, None) => false,
    }
}

/// The same of one of the batch; one whose routes are written by this very run was not.
fn probed(mark: &Mark, ingress: &Value) -> bool {
    mark.there && since(ingress)
}

/// Marks of which something is written anew are given anew: the time of a mark is that of what it stands for. That a route is
/// bound to one more Gateway changes nothing where it was probed.
pub fn renew(plan: &mut Plan, live: &Live) {
    let changing = plan.items.iter().filter(|item| {
        // A Gateway is shared by all, and a copy of a certificate changes no route.
        let routes = item.kind != cluster::GATEWAY && item.kind != cluster::SECRET;
        let there = live.get(&item.kind, &item.namespace, &item.name);
        let bound = item.kind == cluster::VIRTUAL_SERVICE
            && there.is_some_and(|there| split::only_bound(&item.body, there));
        routes && item.change != Change::Same && !bound
    });
    let hosts: Vec<String> = changing.flat_map(|item| item.hosts.iter().cloned()).collect();
    for mark in &mut plan.marks {
        mark.there &= !hosts.iter().any(|host| mark.hosts.contains(host));
    }
}

/// What keeps a batch from being handed over: a rollout takes whatever has its labels, not the batch alone.
pub fn find(args: &ApplyArgs, plan: &Plan, seen: &Seen, rollout: &Value) -> Option<Finding> {
    let planned: BTreeMap<&Key, &Mark> = plan.marks.iter().map(|mark| (&mark.key, mark)).collect();
    let unprobed = seen.ingresses.iter().filter(|(key, ingress)| {
        if let Some(mark) = planned.get(key) {
            return !probed(mark, ingress);
        }
        // Written by an earlier batch, and in the rollout with this one.
        let taken = marks::migrated(ingress) && handed::selects(rollout, key, ingress);
        taken && !(since(ingress) && marks::as_converted(ingress) != Some(false))
    });
    let unprobed: Vec<String> = unprobed.map(|(key, _)| format!("{}/{}", key.0, key.1)).collect();
    if unprobed.is_empty() {
        return None;
    }
    let severity = if args.handing_over.unprobed {
        Severity::Info
    } else {
        Severity::Blocker
    };
    Some(Finding {
        code: "APPLY-NOT-PROBED",
        severity,
        object: "batch".to_owned(),
        message: format!(
            "{} of the Ingresses that the rollout takes were not answered alike by both data planes since they were written: {}",
            unprobed.len(),
            shown(&unprobed)
        ),
        remedy: if args.handing_over.unprobed {
            "accepted".to_owned()
        } else {
            "run migrate probe on their namespaces, then ask again; or take the responsibility with --unprobed".to_owned()
        },
    })
}
