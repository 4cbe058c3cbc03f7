//! What is asked of Prometheus about each component, and what it answers now.

use super::{Bundle, Subject, redact};
use crate::daemon;
use crate::doctor::diagnose::Probe;
use crate::metrics::{Ask, Source, queries};
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
/// What may be asked of any Prometheus: the daemon's own series, and Istio's requests.
const GENERAL: [(&str, &str); 3] = [
    (
        "what the daemons said of themselves when they were scraped last",
        "{__name__=~\"gradual_rollout_.+\"}",
    ),
    (
        "requests per second",
        "sum by (destination_service_name, destination_version, response_code) (rate(istio_requests_total[1m]))",
    ),
    ("what is scraped and does not answer", "up == 0"),
];

/// Puts it in.
pub(super) async fn collect(
    settings: &Settings,
    subjects: Option<&[Subject]>,
    now: Timestamp,
    bundle: &mut Bundle,
) {
    let source = match &settings.prometheus {
        None => Err("the settings name no [prometheus]: name a file that has one with --config".to_owned()),
        some => daemon::source(some.as_ref()).map_err(|error| error.to_string()),
    };
    if let Err(why) = &source {
        bundle.lack(&format!("values of the queries: {why}"));
    }
    let at = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut asked = Asked {
        source,
        at,
        end: Instant::now() + WITHIN,
        down: None,
    };
    match subjects {
        Some(subjects) => of(settings, subjects, &mut asked, bundle).await,
        None => without_resources(&mut asked, bundle).await,
    }
    if let Some(why) = asked.down {
        bundle.lack(&format!(
            "values of the queries from there on, in the order of the files: {why}"
        ));
    }
}

/// Who is asked.
struct Asked {
    source: Result<Source, String>,
    at: Timestamp,
    end: Instant,
    /// A source that does not answer is not asked again and again. One that refuses a query may well answer the next.
    down: Option<String>,
}

impl Asked {
    /// A query with what it answers, and why it does not where it is only this one.
    async fn ask(&mut self, purpose: &str, promql: &str) -> (Value, Option<String>) {
        let mut one = serde_json::Map::new();
        one.insert("purpose".to_owned(), purpose.into());
        one.insert("promql".to_owned(), promql.into());
        let mut refused = None;
        if let (Ok(source), None) = (&self.source, &self.down) {
            match timeout_at(self.end, Probe::new(source, self.at).ask(promql)).await {
                Ok(Ok(samples)) => {
                    let series = samples.iter().take(SERIES);
                    let series: Vec<Value> = series
                        .map(|s| json!({"labels": s.labels, "value": s.value}))
                        .collect();
                    one.insert("series".to_owned(), series.into());
                    one.insert("count".to_owned(), samples.len().into());
                }
                Ok(Err(blindness)) => {
                    let said = redact::without_secrets(&blindness.message);
                    one.insert("error".to_owned(), said.into());
                    if blindness.kind == Dark::Down {
                        self.down = Some(blindness.message);
                    } else {
                        refused = Some(blindness.message);
                    }
                }
                Err(_) => self.down = Some(format!("no answer within {}s", WITHIN.as_secs())),
            }
        }
        (one.into(), refused)
    }
}

/// What is asked where no resource says what to ask: how the daemon left it, and how traffic flows.
async fn without_resources(asked: &mut Asked, bundle: &mut Bundle) {
    bundle.lack("queries of the components: they stand in the resources, which could not be read");
    if asked.source.is_err() {
        return;
    }
    let mut told = Vec::new();
    for (purpose, promql) in GENERAL {
        let (one, refused) = asked.ask(purpose, promql).await;
        if let Some(why) = refused {
            bundle.lack(&format!("value of a query ({purpose}): {why}"));
        }
        told.push(one);
    }
    bundle.json(
        "queries/general.json",
        "what is asked of Prometheus where no resource can be read, and what it answered",
        &json!({"at": asked.at.to_string(), "queries": told}),
    );
}

/// What the resources say to ask.
async fn of(settings: &Settings, subjects: &[Subject], asked: &mut Asked, bundle: &mut Bundle) {
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
                let (one, refused) = asked.ask(&purpose, &promql).await;
                if let Some(why) = refused {
                    bundle.lack(&format!(
                        "value of a query of {} ({purpose}): {why}",
                        planned.name()
                    ));
                }
                told.push(one);
            }
            bundle.json(
                &format!("queries/{}.{}.json", subject.name(), planned.name()),
                "what is asked of Prometheus, and what it answered",
                &json!({"at": asked.at.to_string(), "queries": told}),
            );
        }
    }
}
