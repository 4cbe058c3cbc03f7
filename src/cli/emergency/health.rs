//! What carries the traffic, looked at beside the rollback: never for long, and what is not known is said to be not
//! known.

use super::READS;
use crate::cli::connect::Reach;
use crate::cli::direct;
use crate::cli::pursue::Task;
use crate::cli::view::View;
use crate::clock::Clock;
use crate::daemon;
use crate::metrics::{Ask, Cursor, Source, advance};
use crate::rollout::plan::Plan;
use crate::rollout::reason::Reason;
use crate::rollout::sample::{Arm, Counts, Reading};
use crate::rollout::stands::Stands;
use crate::settings::Settings;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long one look may take, all components together.
const LOOK: Duration = Duration::from_secs(2);
/// How far back metrics are read, and in what steps.
const WINDOW: Duration = Duration::from_secs(90);
const STEP: Duration = Duration::from_secs(15);

/// How things stood before and after.
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli) struct Health {
    /// As the rollback began; read beside it.
    pub before: Snapshot,
    /// When it was verified.
    pub after: Snapshot,
}

/// How things stood.
#[derive(Clone, Debug, Serialize)]
pub(in crate::cli) struct Snapshot {
    at: Timestamp,
    /// Why there are no metrics; `None`: there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics: Option<String>,
    components: Vec<Standing>,
}

impl Snapshot {
    /// Puts the weights in that were found out meanwhile.
    pub(super) fn weigh(&mut self, views: &[View]) {
        for standing in &mut self.components {
            let mut found = views.iter();
            let of = |view: &&View| view.rollout == standing.rollout && view.component == standing.component;
            if let Some(view) = found.find(of) {
                standing.weight = view.weight;
            }
        }
    }
}

/// How a component stood.
#[derive(Clone, Debug, Serialize)]
struct Standing {
    rollout: String,
    component: String,
    /// In percent.
    weight: Option<f64>,
    state: Option<Stands>,
    reason: Option<Reason>,
    /// What the old path consists of.
    control: Vec<Part>,
    /// Of the last minute and a half; `unknown` when that could not be read.
    metrics: Figures,
}

/// A part of the old path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Part {
    /// What it is.
    pub object: String,
    /// `None`: not known.
    pub ready: Option<bool>,
    /// The same as a sentence.
    pub message: String,
}

/// What was counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all_fields = "camelCase", untagged)]
pub(super) enum Figures {
    /// Requests of both arms.
    Counted {
        /// So many.
        requests: u64,
        /// The canary's part of them, in percent.
        canary_share: f64,
        /// Errors of the canary's, in percent; `None` without requests.
        canary_errors: Option<f64>,
        /// Control's likewise.
        control_errors: Option<f64>,
    },
    /// Why nothing is known.
    Unknown {
        /// As a sentence.
        unknown: String,
    },
}

/// Who looks.
pub(super) struct Doctor<'a> {
    cluster: &'a Reach,
    namespace: &'a str,
    tasks: &'a [Task],
    source: Result<Source, String>,
    asks: BTreeMap<(String, String), Ask>,
}

impl<'a> Doctor<'a> {
    pub(super) fn new(cluster: &'a Reach, settings: &'a Settings, tasks: &'a [Task]) -> Self {
        let source = match &settings.prometheus {
            None => Err("the settings name no [prometheus]".to_owned()),
            Some(prometheus) => daemon::source(Some(prometheus)).map_err(|error| error.to_string()),
        };
        let mut asks = BTreeMap::new();
        for task in tasks {
            // A spec that cannot be used has no metrics that could be asked for.
            let Ok(plan) = Plan::parse(&task.rollout.spec) else {
                continue;
            };
            let name = format!("{}/{}", settings.namespace, task.name());
            for planned in &plan.components {
                if let Some(ask) = Ask::of(&name, planned, false) {
                    asks.insert((task.name().to_owned(), planned.name().to_owned()), ask);
                }
            }
        }
        Self {
            cluster,
            namespace: &settings.namespace,
            tasks,
            source,
            asks,
        }
    }

    /// Looks at all components whose weights are known so far.
    pub(super) async fn look(&self, views: &[View]) -> Snapshot {
        let end = Instant::now() + LOOK;
        let components = futures::stream::iter(views)
            .map(|view| async move {
                let (control, metrics) = tokio::join!(
                    self.control(&view.rollout, &view.component, end),
                    self.figures(&view.rollout, &view.component, None, end),
                );
                Standing {
                    rollout: view.rollout.clone(),
                    component: view.component.clone(),
                    weight: view.weight,
                    state: view.state,
                    reason: view.reason,
                    control,
                    metrics,
                }
            })
            // Fewer than the rollback itself has: it comes first.
            .buffered(READS / 4)
            .collect()
            .await;
        Snapshot {
            at: Clock::System.now(),
            metrics: self.source.as_ref().err().cloned(),
            components,
        }
    }

    /// Why there are no metrics.
    pub(super) fn dark(&self) -> Option<&str> {
        self.source.as_ref().err().map(String::as_str)
    }

    /// What the old path of a component consists of, and whether it is ready.
    pub(super) async fn control(&self, rollout: &str, component: &str, end: Instant) -> Vec<Part> {
        let task = self.tasks.iter().find(|task| task.name() == rollout);
        let Some((task, component)) =
            task.and_then(|task| Some((task, direct::component(&task.rollout, component)?)))
        else {
            return Vec::new();
        };
        let unknown = |object: String, message: String| Part {
            object,
            ready: None,
            message,
        };
        let home = task.home(self.namespace);
        let found = timeout_at(end, direct::control(self.cluster, component, &home)).await;
        let Ok(control) = found else {
            return vec![unknown(
                format!("control of {}", component.name),
                "no answer in time".to_owned(),
            )];
        };
        let mut parts = Vec::new();
        for (namespace, service) in control.services {
            let object = format!("service {namespace}/{service}");
            parts.push(
                match timeout_at(end, self.cluster.endpoints(&namespace, &service)).await {
                    Ok(Ok(Some(ready))) => Part {
                        object,
                        ready: Some(ready.ready > 0),
                        message: format!("{} of {} endpoints ready", ready.ready, ready.of),
                    },
                    Ok(Ok(None)) => unknown(object, "no EndpointSlice names it".to_owned()),
                    Ok(Err(error)) => unknown(object, error.to_string()),
                    Err(_) => unknown(object, "no answer in time".to_owned()),
                },
            );
        }
        for (namespace, name) in control.deployments {
            let object = format!("deployment {namespace}/{name}");
            parts.push(
                match timeout_at(end, self.cluster.deployment(&namespace, &name)).await {
                    Ok(Ok(Some(ready))) => Part {
                        object,
                        ready: Some(ready.ready >= ready.of),
                        message: format!("{} of {} pods ready", ready.ready, ready.of),
                    },
                    Ok(Ok(None)) => Part {
                        object,
                        ready: Some(false),
                        message: "its newest spec is not rolled out yet".to_owned(),
                    },
                    Ok(Err(error)) => unknown(object, error.to_string()),
                    Err(_) => unknown(object, "no answer in time".to_owned()),
                },
            );
        }
        parts
    }

    /// What was counted of a component; with `since`, in whole scrapes after it only.
    pub(super) async fn figures(
        &self,
        rollout: &str,
        component: &str,
        since: Option<Timestamp>,
        end: Instant,
    ) -> Figures {
        let unknown = |unknown: String| Figures::Unknown { unknown };
        let source = match &self.source {
            Ok(source) => source,
            Err(why) => return unknown(why.clone()),
        };
        let Some(ask) = self.asks.get(&(rollout.to_owned(), component.to_owned())) else {
            return unknown("the component names no arms".to_owned());
        };
        let now = Clock::System.now();
        let to = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let from = to.checked_sub(WINDOW).unwrap_or(to);
        let snapshots = match timeout_at(end, source.history(ask, from, to, STEP)).await {
            Ok(Ok(snapshots)) => snapshots,
            Ok(Err(blindness)) => return unknown(blindness.message),
            Err(_) => return unknown("no answer in time".to_owned()),
        };
        let (mut cursor, mut canary, mut control) = (Cursor::default(), Counts::default(), Counts::default());
        let mut ticks = 0;
        for snapshot in snapshots {
            let Reading::Fresh(tick) = advance(&mut cursor, snapshot) else {
                continue;
            };
            if since.is_some_and(|since| tick.from < since) {
                continue;
            }
            ticks += 1;
            for (arm, sum) in [(tick.canary, &mut canary), (tick.control, &mut control)] {
                if let Arm::Seen(counts) = arm {
                    sum.requests += counts.requests;
                    sum.errors += counts.errors;
                }
            }
        }
        if ticks == 0 {
            return unknown("no two fresh samples to count between".to_owned());
        }
        let requests = canary.requests + control.requests;
        if requests == 0 {
            return unknown("no requests on either path".to_owned());
        }
        Figures::Counted {
            requests,
            canary_share: percent(canary.requests, requests).unwrap_or_default(),
            canary_errors: percent(canary.errors, canary.requests),
            control_errors: percent(control.errors, control.requests),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| (part as f64 / whole as f64 * 1000.0).round() / 10.0)
}
