//! From the answer to a query about many asks to the snapshot of each.

use super::plan::{Group, Plan, mark};
use crate::metrics::answer::{Series, Unusable};
use crate::metrics::matcher::Operator;
use crate::metrics::preset::{Facts, Labels};
use crate::metrics::query::{self, JOB, PART, Part};
use crate::metrics::snapshot::Snapshot;
use crate::metrics::split::split;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What came of a query.
pub(crate) struct Routed {
    /// In the order of the plan's asks.
    pub(crate) snapshots: Vec<Result<Snapshot, Unusable>>,
    /// Asks, by their places, that share series with another, each pair once.
    pub(crate) shared: Vec<(usize, usize)>,
}

/// Takes the answer to [`Plan::promql`] apart. Each ask gets what it would have got if it had been asked alone.
pub(crate) fn route(plan: &Plan, at: Timestamp, answer: Vec<Series<'_>>) -> Routed {
    let mut marks: HashMap<String, (usize, Part)> = HashMap::new();
    let mut tables: Vec<Table<'_, '_>> = Vec::new();
    for (place, group) in plan.groups.iter().enumerate() {
        marks.extend(Part::ALL.map(|part| (mark(place, part), (place, part))));
        tables.push(Table::new(plan, group));
    }
    let mut answers: Vec<Alone<'_>> = plan.asks.iter().map(|_| Alone::default()).collect();
    let mut shared = BTreeSet::new();
    for series in answer {
        let found = series.metric.get(PART).and_then(|part| marks.get(part.as_ref()));
        let Some((table, part)) = found.and_then(|&(place, part)| Some((tables.get_mut(place)?, part)))
        else {
            continue;
        };
        let arms = table.arms_of(&series);
        let neighbours = arms.iter().zip(arms.iter().skip(1));
        shared.extend(neighbours.map(|(one, other)| (one.0.min(other.0), one.0.max(other.0))));
        if let Some((last, others)) = arms.split_last() {
            for &place in others {
                take(plan, &mut answers, place, part, series.clone());
            }
            take(plan, &mut answers, *last, part, series);
        }
    }
    let snapshots = plan
        .asks
        .iter()
        .zip(answers)
        .map(|(ready, alone)| {
            let series = alone.into_series();
            let snapshot = split(&[&ready.ask], at, &series).into_iter().next();
            snapshot.unwrap_or_else(|| Ok(Snapshot::empty(&ready.ask, at)))
        })
        .collect();
    Routed {
        snapshots,
        shared: shared.into_iter().collect(),
    }
}

fn take<'a>(plan: &Plan, answers: &mut [Alone<'a>], place: (usize, usize), part: Part, series: Series<'a>) {
    if let (Some(answer), Some(arm)) = (answers.get_mut(place.0), plan.arm(place)) {
        let mark = query::mark(0, arm.side, part);
        answer.add(mark, part, Facts::of(&arm.bare).exporter, series);
    }
}

/// What one ask would have been answered.
#[derive(Default)]
struct Alone<'a> {
    series: Vec<Series<'a>>,
    /// Newest sample by mark and exporter: alone it is asked for without the selector's labels.
    newest: BTreeMap<(String, Labels<'a>), f64>,
    /// Rates by mark: alone they are asked for as one sum.
    rates: BTreeMap<String, f64>,
}

impl<'a> Alone<'a> {
    fn add(&mut self, mark: String, part: Part, exporter: &[&str], mut series: Series<'a>) {
        match part {
            Part::Requests | Part::Latency => {
                series.metric.insert(PART.into(), mark.into());
                self.series.push(series);
            }
            Part::Sampled => {
                let number = series.number();
                let mut labels = series.metric;
                labels.retain(|label, _| exporter.contains(&label.as_ref()) || label == JOB);
                // What is no number stays none, whatever else is there: it must not pass for a time.
                let newest = self.newest.entry((mark, labels)).or_insert(number);
                if number > *newest || number.is_nan() {
                    *newest = number;
                }
            }
            Part::UsualDay | Part::UsualWeek => {
                *self.rates.entry(mark).or_insert(0.0) += series.number();
            }
        }
    }

    fn into_series(self) -> Vec<Series<'a>> {
        let mut all = self.series;
        let newest = self.newest.into_iter().map(|((mark, mut labels), number)| {
            labels.insert(PART.into(), mark.into());
            Series::saying(labels, number)
        });
        all.extend(newest);
        let rates = self
            .rates
            .into_iter()
            .map(|(mark, rate)| Series::saying([(PART.into(), mark.into())].into(), rate));
        all.extend(rates);
        all
    }
}

/// Which arms of a group a series belongs to, by the values of the group's labels. What was found is remembered:
/// an answer has far fewer combinations of values than series.
struct Table<'p, 'a> {
    plan: &'p Plan,
    group: &'p Group,
    /// By label, then value: the arms that ask for exactly it, and those whose comparison must be tried.
    by_label: Vec<Column<'p>>,
    known: HashMap<Vec<std::borrow::Cow<'a, str>>, Vec<(usize, usize)>>,
}

#[derive(Default)]
struct Column<'p> {
    exactly: HashMap<&'p str, Vec<(usize, usize)>>,
    /// Arms by comparison, each comparison once.
    others: BTreeMap<(Operator, &'p str), Vec<(usize, usize)>>,
    /// What was found for a value.
    found: HashMap<String, Vec<(usize, usize)>>,
}

impl<'p, 'a> Table<'p, 'a> {
    fn new(plan: &'p Plan, group: &'p Group) -> Self {
        let column = |label: usize| {
            let mut column = Column::default();
            for &place in &group.arms {
                let Some(comparison) = plan.arm(place).and_then(|arm| arm.comparisons.get(label)) else {
                    continue;
                };
                let arms = match comparison.operator {
                    Operator::Equal => column.exactly.entry(comparison.value.as_str()).or_default(),
                    operator @ (Operator::Match | Operator::Differ | Operator::NotMatch) => {
                        column.others.entry((operator, &comparison.value)).or_default()
                    }
                };
                arms.push(place);
            }
            column
        };
        Self {
            by_label: (0..group.labels.len()).map(column).collect(),
            plan,
            group,
            known: HashMap::new(),
        }
    }

    fn arms_of(&mut self, series: &Series<'a>) -> Vec<(usize, usize)> {
        let value = |label: &String| series.metric.get(label.as_str()).cloned().unwrap_or_default();
        let values: Vec<_> = self.group.labels.iter().map(value).collect();
        if let Some(arms) = self.known.get(&values) {
            return arms.clone();
        }
        let arms = self.find(&values);
        self.known.insert(values, arms.clone());
        arms
    }

    /// Those whom the most telling label allows, as far as the others allow them too.
    fn find(&mut self, values: &[std::borrow::Cow<'a, str>]) -> Vec<(usize, usize)> {
        let plan = self.plan;
        for (label, (column, value)) in self.by_label.iter_mut().zip(values).enumerate() {
            column.learn(plan, label, value);
        }
        let columns = self.by_label.iter().zip(values);
        let fewest = columns
            .filter_map(|(column, value)| column.found.get(value.as_ref()))
            .min_by_key(|arms| arms.len());
        let candidates = fewest.unwrap_or(&self.group.arms);
        let holds = |place: &(usize, usize)| {
            plan.arm(*place).is_some_and(|arm| {
                arm.comparisons
                    .iter()
                    .zip(values)
                    .all(|(comparison, value)| comparison.holds(value))
            })
        };
        candidates.iter().copied().filter(holds).collect()
    }
}

impl Column<'_> {
    /// Finds out which arms this value of the label would do for.
    fn learn(&mut self, plan: &Plan, label: usize, value: &str) {
        if self.found.contains_key(value) {
            return;
        }
        let mut arms = self.exactly.get(value).cloned().unwrap_or_default();
        for theirs in self.others.values() {
            let comparison = theirs
                .first()
                .and_then(|&place| plan.arm(place)?.comparisons.get(label));
            if comparison.is_some_and(|comparison| comparison.holds(value)) {
                arms.extend(theirs);
            }
        }
        self.found.insert(value.to_owned(), arms);
    }
}
