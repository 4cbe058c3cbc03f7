//! How fast a bad canary goes back.

use super::attempt::checks;
use super::traffic::{Ill, Model, WELL};
use super::trial::{Bad, Onset, quantile, seconds_to_breach};
use crate::rollout::check::{CheckRule, Limits, Metric};

/// A fault, and within how many seconds half of all runs must have found it.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) onset: Onset,
    rules: Vec<CheckRule>,
    model: Model,
    ill: Ill,
    /// Whether control's past is known.
    history: bool,
    /// The promise; `None` where nothing is promised and the figure is only told.
    pub(crate) promised: Option<f64>,
    /// Drawn in the plot.
    pub(crate) drawn: bool,
}

fn p95_at_most(limit: &str) -> Vec<CheckRule> {
    let mut rules = checks();
    for rule in rules.iter_mut().filter(|r| r.metric == Metric::Latency) {
        let limits = Limits {
            max: limit.parse().ok(),
            ..Limits::default()
        };
        (rule.promote, rule.rollback) = (Some(limits), Some(limits));
    }
    rules
}

/// Everything that is told.
pub(crate) fn figures() -> Vec<Figure> {
    let mut all = Vec::new();
    let mut tell = |name: &str, rules: Vec<CheckRule>, model: Model, ill: Ill, promised: [Option<f64>; 2]| {
        for (onset, promised) in [Onset::AtOnce, Onset::Later].into_iter().zip(promised) {
            all.push(Figure {
                name: name.to_owned(),
                onset,
                rules: rules.clone(),
                model: model.clone(),
                ill,
                history: true,
                promised,
                drawn: onset == Onset::AtOnce,
            });
        }
    };
    let failing = |errors| Ill { errors, ..WELL };
    let slow = |slow| Ill { slow, ..WELL };
    let bursts = Model {
        burst: 5.0,
        ..Model::plain(20.0)
    };
    tell(
        "20% errors, 1 canary request/s",
        checks(),
        Model::plain(20.0),
        failing(0.2),
        [Some(30.0), None],
    );
    tell(
        "50% errors, 1 canary request/s",
        checks(),
        Model::plain(20.0),
        failing(0.5),
        [Some(20.0), Some(20.0)],
    );
    let after_an_outage = Model {
        outage_before: true,
        ..Model::plain(20.0)
    };
    tell(
        "20% errors, 1 canary request/s, control was out for 5 min before",
        checks(),
        after_an_outage,
        failing(0.2),
        [Some(30.0), None],
    );
    tell(
        "5% errors, 1 canary request/s",
        checks(),
        Model::plain(20.0),
        failing(0.05),
        [None, None],
    );
    tell(
        "20% errors, 1 canary request/s, control's errors in bursts of 5",
        checks(),
        bursts,
        failing(0.2),
        [None, None],
    );
    tell(
        "P95 twice +50% of control's, 3 canary requests/s",
        checks(),
        Model::plain(60.0),
        slow(3.0),
        [Some(60.0), None],
    );
    tell(
        "P95 500 ms at a limit of 250 ms, 3 canary requests/s",
        p95_at_most("250ms"),
        Model::plain(60.0),
        slow(3.39),
        [Some(60.0), Some(60.0)],
    );
    tell(
        "20% errors, 0.1 canary requests/s",
        checks(),
        Model::plain(2.0),
        failing(0.2),
        [None, None],
    );
    for (name, ill, rps) in [
        ("20% errors, 1 canary request/s, no past known", 0.2, 20.0),
        ("50% errors, 1 canary request/s, no past known", 0.5, 20.0),
        ("all requests fail, 1 canary request/s, no past known", 1.0, 20.0),
    ] {
        all.push(Figure {
            name: name.to_owned(),
            onset: Onset::AtOnce,
            rules: checks(),
            model: Model::plain(rps),
            ill: failing(ill),
            history: false,
            promised: None,
            drawn: false,
        });
    }
    all
}

/// Seconds until each run found it, in order.
pub(crate) fn run(figure: &Figure, seed: u64, runs: u64) -> Vec<f64> {
    let bad = Bad {
        rules: &figure.rules,
        model: figure.model.clone(),
        percent: 5,
        ill: figure.ill,
        onset: figure.onset,
        history: figure.history,
    };
    seconds_to_breach(&bad, seed, runs)
}

/// How much longer than half of all runs nine of ten may take.
const NINE_OF_TEN: f64 = 2.0;

/// What is wrong when the promise is not kept by half of the runs, or twice the time by nine of ten; `slack`: so many
/// times as long is still taken for it, where few runs scatter.
pub(crate) fn complaint(figure: &Figure, seconds: &[f64], slack: f64) -> Option<String> {
    let promised = figure.promised?;
    let [median, most] = [0.5, 0.9].map(|q| quantile(seconds, q));
    let late = median > promised * slack || most > NINE_OF_TEN * promised * slack;
    late.then(|| {
        format!(
            "{} ({:?}): median {median} s, nine of ten {most} s, promised {promised} s",
            figure.name, figure.onset
        )
    })
}
