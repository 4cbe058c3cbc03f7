//! What is asked of Prometheus about each component, and what it answers now.

use super::{Bundle, Subject};
use crate::daemon;
use crate::doctor::diagnose::Probe;
use crate::metrics::{Ask, queries};
use crate::rollout::plan::Plan;
use crate::settings::Settings;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long all answers together may take.
const WITHIN: Duration = Duration::from_secs(20);
/// Series that are kept of an answer.
const SERIES: usize = 200;

/// Puts it in.
pub(super) async fn collect(settings: &Settings, subjects: &[Subject], now: Timestamp, bundle: &mut Bundle) {
    let source = match &settings.prometheus {
        None => Err("the settings name no [prometheus]: name a file that has one with --config".to_owned()),
        some => daemon::source(some.as_ref()).map_err(|error| error.to_string()),
    };
    if let Err(why) = &source {
        bundle.lack(&format!("values of the queries: {why}"));
    }
    let end = Instant::now() + WITHIN;
    let at = Timestamp::from_second(now.as_second()).unwrap_or(now);
    // One that does not answer is not asked again and again.
    let mut down = BTreeSet::new();
    for subject in subjects {
        let name = format!("{}/{}", settings.namespace, subject.name());
        let plan = match Plan::parse(&subject.rollout.spec) {
            Ok(plan) => plan,
            Err(problems) => {
                let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
                bundle.lack(&format!(
                    "queries of {name}: its spec cannot be used: {}",
                    all.join("; ")
                ));
                continue;
            }
        };
        for planned in plan
            .components
            .iter()
            .filter(|p| subject.components.iter().any(|c| c == p.name()))
        {
            let Some(ask) = Ask::of(&name, planned, false) else {
                bundle.lack(&format!("queries of {}: it names no arms", planned.name()));
                continue;
            };
            let all = match queries(&ask) {
                Ok(all) => all,
                Err(error) => {
                    bundle.lack(&format!("queries of {}: {error}", planned.name()));
                    continue;
                }
            };
            let mut told: Vec<Value> = Vec::new();
            for (purpose, promql) in all {
                let mut one = serde_json::Map::new();
                one.insert("purpose".to_owned(), purpose.into());
                one.insert("promql".to_owned(), promql.clone().into());
                if let (Ok(source), true) = (&source, down.is_empty()) {
                    match timeout_at(end, Probe::new(source, at).ask(&promql)).await {
                        Ok(Ok(samples)) => {
                            let series = samples.iter().take(SERIES);
                            let series: Vec<Value> = series
                                .map(|s| json!({"labels": s.labels, "value": s.value}))
                                .collect();
                            one.insert("series".to_owned(), series.into());
                            one.insert("count".to_owned(), samples.len().into());
                        }
                        Ok(Err(blindness)) => {
                            one.insert("error".to_owned(), blindness.message.clone().into());
                            down.insert(blindness.message);
                        }
                        Err(_) => {
                            down.insert(format!("no answer within {}s", WITHIN.as_secs()));
                        }
                    }
                }
                told.push(one.into());
            }
            bundle.json(
                &format!("queries/{}.{}.json", subject.name(), planned.name()),
                "what is asked of Prometheus, and what it answered",
                &json!({"at": at.to_string(), "queries": told}),
            );
        }
    }
    for why in down {
        bundle.lack(&format!("values of the queries: {why}"));
    }
}
