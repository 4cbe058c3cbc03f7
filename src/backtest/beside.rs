//! What is read beside the arms, out of the record: other ideas of an error, pairs of counters, and gauges. Each by
//! the daemon's own questions and arithmetic.

use crate::metrics::gauge::{
    GaugeQueries, PairAsk, Sample, count_errors, observe_pair, reading, rule, window,
};
use crate::metrics::{Ask, Cursor, ErrorRule, Snapshot, Source};
use crate::rollout::plan::{CheckSource, GaugeAsk, PlannedCheck, PlannedComponent};
use crate::rollout::sample::{Blindness, Dark, GaugeReading, Reading};
use crate::rollout::template::Variables;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// What there is to be read of one component.
#[derive(Clone, Debug, Default)]
pub struct Beside {
    errors: Vec<(String, ErrorRule)>,
    pairs: Vec<(String, PairAsk)>,
    gauges: Vec<(String, GaugeQueries)>,
    /// Checks that no record can answer, by name, each with its reason.
    pub unrecorded: Vec<(String, String)>,
}

/// What was read, a reading for each look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Readings {
    /// Counts, by the stream's key.
    pub streams: BTreeMap<String, Vec<Reading>>,
    /// Gauges, by the check's name.
    pub gauges: BTreeMap<String, Vec<GaugeReading>>,
}

/// Where each stream of counts is.
#[derive(Debug)]
pub(super) struct Cursors {
    step: Duration,
    of: BTreeMap<String, Cursor>,
}

impl Cursors {
    pub(super) const fn looking_every(step: Duration) -> Self {
        Self {
            step,
            of: BTreeMap::new(),
        }
    }

    fn of(&mut self, key: &str) -> &mut Cursor {
        let step = self.step;
        let begin = || Cursor::looking_every(step);
        self.of.entry(key.to_owned()).or_insert_with(begin)
    }
}

#[derive(PartialEq)]
enum Question {
    Errors(ErrorRule),
    Pair(PairAsk),
    Gauge(GaugeQueries),
}

impl Beside {
    /// What the checks of a component ask, in all its phases.
    pub fn of(planned: &PlannedComponent, namespace: &str, rollout: &str) -> Self {
        let mut beside = Self::default();
        let mut known: BTreeMap<String, Option<Question>> = BTreeMap::new();
        for set in &planned.checks {
            for check in &set.checks {
                // Counts are kept under the name of the first check that is held to them.
                let stream = set
                    .streams
                    .iter()
                    .find(|s| s.rules.iter().any(|r| r.name == check.rule.name));
                let key = stream.map_or(&check.rule.name, |stream| &stream.key);
                let asked = question(check, planned.name(), namespace, rollout);
                let why = match asked {
                    Ok(asked) => match known.get(key) {
                        Some(before) if *before != asked => {
                            "it asks for different things in different phases".to_owned()
                        }
                        _ => {
                            known.insert(key.clone(), asked);
                            continue;
                        }
                    },
                    Err(why) => why,
                };
                let name = check.rule.name.clone();
                if beside.unrecorded.iter().all(|(other, _)| *other != name) {
                    beside.unrecorded.push((name, why));
                }
            }
        }
        for (key, question) in known {
            match question {
                Some(Question::Errors(rule)) => beside.errors.push((key, rule)),
                Some(Question::Pair(ask)) => beside.pairs.push((key, ask)),
                Some(Question::Gauge(queries)) => beside.gauges.push((key, queries)),
                None => {}
            }
        }
        beside
    }

    /// The counts alone, without the values at an instant.
    #[must_use]
    pub fn counts(mut self) -> Self {
        self.gauges.clear();
        self
    }

    /// Whether a check can be replayed.
    pub fn has(&self, check: &PlannedCheck) -> bool {
        self.unrecorded.iter().all(|(name, _)| *name != check.rule.name)
    }

    /// Whether there is anything to be asked for besides the arms.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty() && self.pairs.is_empty() && self.gauges.is_empty()
    }

    /// Counts the arms' requests once more, with other ideas of an error.
    pub(super) fn count(&self, ask: &Ask, snapshot: &Snapshot, cursors: &mut Cursors, to: &mut Readings) {
        for (key, rule) in &self.errors {
            let cursor = cursors.of(key);
            let reading = count_errors(ask, rule, cursor, snapshot.clone());
            to.streams.entry(key.clone()).or_default().push(reading);
        }
    }

    /// Asks for a stretch of pairs and gauges. What the source refuses is a reading that says so, as it would have
    /// been to the daemon; a source that is down is an error.
    pub(super) async fn read(
        &self,
        source: &Source,
        (from, to): (Timestamp, Timestamp),
        step: Duration,
        cursors: &mut Cursors,
        into: &mut Readings,
    ) -> Result<(), Blindness> {
        let stretch = async |promql: &str| match source.vectors(promql, from, to, step).await {
            Err(blindness) if blindness.kind == Dark::Down => Err(blindness),
            Err(blindness) => Ok(Recorded::Refused(blindness)),
            Ok(vectors) => Ok(Recorded::Said(vectors)),
        };
        let instants: Vec<Timestamp> = crate::metrics::instants(from, to, step)?;
        for (key, ask) in &self.pairs {
            let mut said = stretch(&ask.promql).await?;
            let cursor = cursors.of(key);
            let readings = into.streams.entry(key.clone()).or_default();
            for (place, at) in instants.iter().enumerate() {
                readings.push(observe_pair(ask, cursor, *at, said.take(place)));
            }
        }
        for (name, queries) in &self.gauges {
            let mut canary = stretch(&queries.canary).await?;
            let mut control = match &queries.control {
                Some(promql) => Some(stretch(promql).await?),
                None => None,
            };
            let readings = into.gauges.entry(name.clone()).or_default();
            for (place, at) in instants.iter().enumerate() {
                let canary = canary.take(place);
                let control = control.as_mut().map(|control| control.take(place));
                readings.push(reading(queries, *at, |promql| {
                    let of_control = queries.control.as_deref() == Some(promql) && promql != queries.canary;
                    let answer = control.clone().filter(|_| of_control);
                    answer.unwrap_or_else(|| canary.clone())
                }));
            }
        }
        Ok(())
    }
}

/// What a stretch of history said to one question.
enum Recorded {
    Said(Vec<Vec<Sample>>),
    Refused(Blindness),
}

impl Recorded {
    fn take(&mut self, place: usize) -> Result<Vec<Sample>, Blindness> {
        match self {
            Self::Said(vectors) => Ok(vectors.get_mut(place).map(std::mem::take).unwrap_or_default()),
            Self::Refused(blindness) => Err(blindness.clone()),
        }
    }
}

/// What a check asks for; `None` when the arms' own counts are enough.
fn question(
    check: &PlannedCheck,
    component: &str,
    namespace: &str,
    rollout: &str,
) -> Result<Option<Question>, String> {
    let window = window(check.rule.window);
    let at = |weight: &'static str| Variables {
        namespace,
        rollout,
        component,
        weight,
        window: &window,
    };
    let (one, other) = (at("5"), at("50"));
    let by_weight =
        || Err("its query depends on {{weight}}, which was not what the replay writes".to_owned());
    match &check.source {
        CheckSource::Arms => Ok(None),
        CheckSource::Errors(errors) => rule(errors).map(|rule| Some(Question::Errors(rule))),
        CheckSource::Pair(pair) => {
            let ask = PairAsk::of(pair, &one)?;
            if ask != PairAsk::of(pair, &other)? {
                return by_weight();
            }
            Ok(Some(Question::Pair(ask)))
        }
        CheckSource::Gauge(gauge) => match &gauge.ask {
            GaugeAsk::Readiness(_) => {
                Err("readiness is read from the cluster as it is, which keeps no record".to_owned())
            }
            GaugeAsk::Probe => {
                Err("a probe is sent by the daemon, and nobody recorded what it got".to_owned())
            }
            ask @ (GaugeAsk::Cpu(_)
            | GaugeAsk::Memory(_)
            | GaugeAsk::CertificateExpiry(_)
            | GaugeAsk::Query(_)) => {
                let queries = GaugeQueries::of(ask, &one)?;
                if queries != GaugeQueries::of(ask, &other)? {
                    return by_weight();
                }
                Ok(queries.map(Question::Gauge))
            }
        },
    }
}
