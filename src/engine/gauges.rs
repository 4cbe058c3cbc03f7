//! Looks beside the arms: gauges and counts that some checks read apart, one round at a time, each question once.

use crate::clock::Clock;
use crate::cluster::cache::{Cache, Cached};
use crate::metrics::gauge::{
    GaugeQueries, PairAsk, Sample, observe_errors, observe_pair, reading, rule, window,
};
use crate::metrics::{Ask, Cursor, ErrorRule, Source};
use crate::rollout::plan::{CheckSet, CheckSource, GaugeAsk};
use crate::rollout::sample::{Blindness, Dark, GaugeReading, Reading};
use crate::rollout::template::{self, Variables};
use crate::rollout::weight::Weight;
use crate::routing::{ObjectKind, ObjectRef};
use futures::future::join_all;
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Questions under way at once: a check more must not become a burst on Prometheus.
const AT_ONCE: usize = 8;

/// What one component's looks gave, by key of the stream or name of the check.
#[derive(Debug, Default)]
pub(super) struct Measured {
    component: String,
    streams: Vec<(String, Cursor, Reading)>,
    gauges: Vec<(String, GaugeReading)>,
}

/// What is read apart for the components of one resource.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// A round is under way.
    busy: bool,
    cursors: BTreeMap<(String, String), Cursor>,
    /// Components whose weight changed since their cursors last knew.
    moved: BTreeSet<String>,
    streams: BTreeMap<String, BTreeMap<String, Reading>>,
    gauges: BTreeMap<String, BTreeMap<String, GaugeReading>>,
}

/// Where a component is, for the variables of its checks.
pub(super) struct Place<'a> {
    pub(super) namespace: &'a str,
    pub(super) rollout: &'a str,
    pub(super) component: &'a str,
    pub(super) weight: Weight,
}

impl<'a> Place<'a> {
    fn variables(&self, weight: &'a str, window: &'a str) -> Variables<'a> {
        Variables {
            namespace: self.namespace,
            rollout: self.rollout,
            component: self.component,
            weight,
            window,
        }
    }
}

/// What is to be asked for one component.
#[derive(Debug, Default)]
pub(super) struct Round {
    component: String,
    pairs: Vec<(String, PairAsk, Cursor)>,
    errors: Vec<(String, Ask, ErrorRule, Cursor)>,
    gauges: Vec<(String, GaugeQueries)>,
    /// What needed no asking.
    known: Vec<(String, GaugeReading)>,
    /// What cannot be asked, or was read already.
    done: Vec<(String, Cursor, Reading)>,
}

impl Apart {
    pub(super) fn is_busy(&self) -> bool {
        self.busy
    }

    /// A weight was written.
    pub(super) fn moved(&mut self, component: &str) {
        self.moved.insert(component.to_owned());
    }

    /// Nothing that is remembered is about this resource any more, or a round died.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// What to ask for a component whose checks are these; `None` when nothing is read apart.
    pub(super) fn ask(
        &mut self,
        set: &CheckSet,
        place: &Place<'_>,
        arms: Option<&Ask>,
        cache: &Cache,
        now: Timestamp,
    ) -> Option<Round> {
        let mut round = Round {
            component: place.component.to_owned(),
            ..Round::default()
        };
        let weight = place.weight.percent().to_string();
        for stream in &set.streams {
            let key = stream.key.clone();
            let slot = (place.component.to_owned(), key.clone());
            let length = stream.rules.first().map(|r| window(r.window)).unwrap_or_default();
            let told = match &stream.source {
                CheckSource::Arms | CheckSource::Gauge(_) => continue,
                CheckSource::Pair(pair) => {
                    let ask = PairAsk::of(pair, &place.variables(&weight, &length));
                    ask.map(|ask| {
                        let cursor = self.cursors.remove(&slot).unwrap_or_default();
                        round.pairs.push((key.clone(), ask, cursor));
                    })
                }
                CheckSource::Errors(errors) => rule(errors).map(|rule| {
                    let cursor = self.cursors.remove(&slot).unwrap_or_default();
                    let asked = arms.map(|ask| (key.clone(), ask.clone(), rule, cursor));
                    round.errors.extend(asked);
                }),
            };
            if let Err(message) = told {
                let kind = Dark::Refused;
                let blind = Reading::Blind(Blindness { kind, message });
                round.done.push((key, Cursor::default(), blind));
            }
        }
        for (check, gauge) in set.gauges() {
            let name = check.rule.name.clone();
            let length = window(check.rule.window);
            let variables = place.variables(&weight, &length);
            let known = |canary| GaugeReading {
                at: now,
                canary,
                control: None,
            };
            if let GaugeAsk::Readiness(deployment) = &gauge.ask {
                let ready = ready(cache, place.namespace, deployment, &variables);
                round.known.push((name, known(ready)));
                continue;
            }
            match GaugeQueries::of(&gauge.ask, &variables) {
                Ok(Some(queries)) => round.gauges.push((name, queries)),
                Ok(None) => {}
                Err(message) => round.known.push((name, known(Err(message)))),
            }
        }
        let nothing = round.pairs.is_empty()
            && round.errors.is_empty()
            && round.gauges.is_empty()
            && round.known.is_empty()
            && round.done.is_empty();
        (!nothing).then(|| {
            self.busy = true;
            round
        })
    }

    /// Takes a finished round.
    pub(super) fn finish(&mut self, measured: Vec<Measured>) {
        self.busy = false;
        for Measured {
            component,
            streams,
            gauges,
        } in measured
        {
            let moved = self.moved.remove(&component);
            for (key, mut cursor, reading) in streams {
                if moved {
                    cursor.weight_changed();
                }
                self.cursors.insert((component.clone(), key.clone()), cursor);
                self.streams
                    .entry(component.clone())
                    .or_default()
                    .insert(key, reading);
            }
            self.gauges.entry(component).or_default().extend(gauges);
        }
    }

    /// New looks of a component, each once.
    pub(super) fn take(
        &mut self,
        component: &str,
    ) -> (BTreeMap<String, Reading>, BTreeMap<String, GaugeReading>) {
        (
            self.streams.remove(component).unwrap_or_default(),
            self.gauges.remove(component).unwrap_or_default(),
        )
    }
}

/// Asks everything of a round at one instant; the source's own time-out bounds it.
pub(super) async fn round(source: Source, clock: Clock, mut rounds: Vec<Round>) -> Vec<Measured> {
    let now = clock.now();
    let mut questions: BTreeSet<String> = BTreeSet::new();
    for round in &rounds {
        questions.extend(round.pairs.iter().map(|(_, ask, _)| ask.promql.clone()));
        for (_, queries) in &round.gauges {
            questions.insert(queries.canary.clone());
            questions.extend(queries.control.clone());
        }
    }
    let answers = stream::iter(questions)
        .map(|promql| {
            let source = &source;
            async move {
                let answer = source.vector(&promql, now).await;
                (promql, answer)
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect::<BTreeMap<String, Result<Arc<[Sample]>, Blindness>>>();
    let errors = rounds.iter_mut().enumerate().flat_map(|(n, round)| {
        let errors = std::mem::take(&mut round.errors);
        errors.into_iter().map(move |asked| (n, asked))
    });
    // All at once, and not after the others: they share the answer of the arms' look, which begins with this round.
    let sorted = join_all(errors.map(|(n, (key, ask, rule, mut cursor))| {
        let source = &source;
        async move {
            let reading = observe_errors(source, &ask, &rule, &mut cursor, now).await;
            (n, (key, cursor, reading))
        }
    }));
    let (answers, sorted) = futures::join!(answers, sorted);
    let answer = |promql: &str| {
        answers.get(promql).cloned().unwrap_or_else(|| {
            Err(Blindness {
                kind: Dark::NotYet,
                message: "it was not asked".to_owned(),
            })
        })
    };
    for (n, stream) in sorted {
        if let Some(round) = rounds.get_mut(n) {
            round.done.push(stream);
        }
    }
    let measure = |round: Round| {
        let mut streams = round.done;
        for (key, ask, mut cursor) in round.pairs {
            let reading = observe_pair(&ask, &mut cursor, now, answer(&ask.promql));
            streams.push((key, cursor, reading));
        }
        let mut gauges = round.known;
        let asked = round.gauges.iter();
        gauges.extend(asked.map(|(name, queries)| (name.clone(), reading(queries, now, answer))));
        Measured {
            component: round.component,
            streams,
            gauges,
        }
    };
    rounds.into_iter().map(measure).collect()
}

/// Whether some check reads a Deployment's readiness.
pub(super) fn reads_deployments(set: &CheckSet) -> bool {
    set.gauges()
        .any(|(_, gauge)| matches!(gauge.ask, GaugeAsk::Readiness(_)))
}

/// Ready ÷ wanted replicas of a Deployment, out of the watch cache.
fn ready(cache: &Cache, namespace: &str, name: &str, variables: &Variables<'_>) -> Result<f64, String> {
    let object = ObjectRef {
        kind: ObjectKind::Deployment,
        namespace: namespace.to_owned(),
        name: template::name(name, variables)?,
    };
    let json = match cache.get(&object) {
        Cached::Object(json) => json,
        Cached::Syncing => return Err(format!("{object} is being read")),
        Cached::Missing => {
            return Err(format!(
                "there is no {object}: create it, or correct the check's deployment"
            ));
        }
        Cached::Problem(message) => return Err(format!("{object} cannot be read: {message}")),
    };
    let number = |path: &str, default: f64| {
        json.pointer(path)
            .and_then(serde_json::Value::as_f64)
            .unwrap_or(default)
    };
    let wanted = number("/spec/replicas", 1.0);
    if wanted < 1.0 {
        return Err(format!(
            "{object} wants no replicas, so none can be ready: scale it up"
        ));
    }
    Ok(number("/status/readyReplicas", 0.0) / wanted)
}
