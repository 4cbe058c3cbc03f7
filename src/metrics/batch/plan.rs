//! From many asks to few queries.

use super::compare::Comparison;
use super::prepare::{Ready, ReadyArm};
use crate::metrics::matcher::quoted;
use crate::metrics::query::{PART, Part, apart};
use crate::rollout::spec::ArmSource;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The longest query. Proxies in front of Prometheus refuse bodies from 1 MiB on.
const LONGEST_QUERY: usize = 256 << 10;

/// Arms of one shape, asked for together by a selector that is as wide as all of them.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) labels: Vec<String>,
    /// Ask and arm, by their places.
    pub(crate) arms: Vec<(usize, usize)>,
    parts: Vec<Part>,
    selector: ArmSource,
}

/// One query for several asks.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) asks: Vec<Arc<Ready>>,
    pub(crate) groups: Vec<Group>,
}

/// What an answer in a group is marked with.
pub(crate) fn mark(group: usize, part: Part) -> String {
    format!("{group}/{part}")
}

/// Divides asks among queries: like beside like, at most `most` in each, none longer than can be sent.
pub(crate) fn divide(mut asks: Vec<Arc<Ready>>, most: usize) -> Vec<Vec<Arc<Ready>>> {
    let order = |ready: &Arc<Ready>| {
        let arm = ready.arms.first();
        let values = |arm: &ReadyArm| {
            arm.comparisons
                .iter()
                .map(|c| c.value.clone())
                .collect::<Vec<_>>()
        };
        (arm.map(|arm| (arm.shape.clone(), values(arm))), ready.key.clone())
    };
    asks.sort_by_cached_key(order);
    let mut queries: Vec<Vec<Arc<Ready>>> = Vec::new();
    let mut length = 0;
    for ask in asks {
        length += ask.weight();
        match queries.last_mut() {
            Some(query) if query.len() < most && length <= LONGEST_QUERY => query.push(ask),
            _ => {
                length = ask.weight();
                queries.push(vec![ask]);
            }
        }
    }
    queries
}

impl Plan {
    pub(crate) fn new(asks: Vec<Arc<Ready>>) -> Self {
        let mut shapes: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
        for (place, ready) in asks.iter().enumerate() {
            for (arm, ready) in ready.arms.iter().enumerate() {
                shapes.entry(&ready.shape).or_default().push((place, arm));
            }
        }
        let groups = shapes
            .into_values()
            .filter_map(|places| Group::new(&asks, places))
            .collect();
        Self { asks, groups }
    }

    /// One query, each of its parts marked.
    pub(crate) fn promql(&self) -> String {
        let mut joined = Vec::new();
        for (place, group) in self.groups.iter().enumerate() {
            for &part in &group.parts {
                let mark = quoted(&mark(place, part));
                let promql = apart(&group.selector, part);
                joined.push(format!(
                    r#"label_replace({promql}, "{PART}", {mark}, "{PART}", "")"#
                ));
            }
        }
        joined.join("\nor ")
    }

    pub(crate) fn arm(&self, (ask, arm): (usize, usize)) -> Option<&ReadyArm> {
        self.asks.get(ask)?.arms.get(arm)
    }
}

impl Group {
    fn new(asks: &[Arc<Ready>], places: Vec<(usize, usize)>) -> Option<Self> {
        let arms: Vec<&ReadyArm> = places
            .iter()
            .filter_map(|&(ask, arm)| asks.get(ask)?.arms.get(arm))
            .collect();
        let first = *arms.first()?;
        let labels: Vec<String> = first.comparisons.iter().map(|c| c.label.clone()).collect();
        let wide = |(place, label): (usize, &String)| {
            let comparisons = arms.iter().filter_map(|arm| arm.comparisons.get(place));
            (label.clone(), widest(comparisons))
        };
        Some(Self {
            selector: ArmSource {
                labels: labels.iter().enumerate().map(wide).collect(),
                ..first.bare.clone()
            },
            labels,
            arms: places,
            parts: first.parts.clone(),
        })
    }
}

/// A matcher, as people write it, that lets through whatever one of these does.
fn widest<'a>(comparisons: impl Iterator<Item = &'a Comparison>) -> String {
    let mut distinct: Vec<&Comparison> = comparisons.collect();
    distinct.sort_by(|a, b| (a.operator, &a.value).cmp(&(b.operator, &b.value)));
    distinct.dedup_by(|a, b| (a.operator, &a.value) == (b.operator, &b.value));
    match distinct.as_slice() {
        [only] => only.as_written(),
        all if all.iter().all(|comparison| comparison.operator.picks()) => {
            let alternatives: Vec<String> = all.iter().map(|comparison| comparison.alternative()).collect();
            format!("~{}", alternatives.join("|"))
        }
        // What one leaves out another may want.
        _ => "~.*".to_owned(),
    }
}
