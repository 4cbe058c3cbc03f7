//! What is asked of Prometheus about each component, and what it answers now.

use super::{Bundle, Subject};
use crate::daemon;
use crate::doctor::diagnose::Probe;
use crate::metrics::{Ask, queries};
use crate::rollout::plan::Plan;
use crate::rollout::sample::Dark;
use crate::settings::Settings;
use jiff::Timestamp;
use serde_json::{Value, json};
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
    // A source that does not answer is not asked again and again. One that refuses a query may well answer the next.
    let mut down: Option<String> = None;
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
                one.insert("purpose".to_owned(), purpose.clone().into());
                one.insert("promql".to_owned(), promql.clone().into());
                if let (Ok(source), None) = (&source, &down) {
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
                            if blindness.kind == Dark::Down {
                                down = Some(blindness.message);
                            } else {
                                bundle.lack(&format!(
                                    "value of a query of {} ({purpose}): {}",
                                    planned.name(),
                                    blindness.message
                                ));
                            }
                        }
                        Err(_) => down = Some(format!("no answer within {}s", WITHIN.as_secs())),
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
    if let Some(why) = down {
        bundle.lack(&format!(
            "values of the queries from there on, in the order of the files: {why}"
        ));
    }
}
