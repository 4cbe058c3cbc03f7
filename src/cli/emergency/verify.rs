//! A rollback is verified in four steps: services recover, users are unaffected, metrics are back, people are told.
//! What cannot be known is `unknown`, which is neither good nor bad.

use super::health::{Doctor, Figures, Part};
use super::{READS, wait};
use crate::cli::direct;
use crate::cli::meaning::After;
use crate::cli::progress::Progress;
use crate::cli::pursue::Task;
use crate::cli::table::{self, Cell};
use crate::probe::{Allowed, Outcome, Prober};
use crate::rollout::spec::Probe;
use futures::StreamExt as _;
use jiff::Timestamp;
use serde::Serialize;
use std::time::Duration;
use tokio::time::Instant;

/// How long one look at the services may take: until the step's time is over, or so long at least.
const LOOK: Duration = Duration::from_secs(10);
const SHORT_LOOK: Duration = Duration::from_secs(2);
/// How long between two looks.
const AGAIN: Duration = Duration::from_secs(1);
/// The same for metrics: no scrape is faster.
const SCRAPED: Duration = Duration::from_secs(5);
/// So much of the requests, in percent, may still end at the canary: what was open before is not cut.
const REST: f64 = 1.0;
/// From so many requests on, so many errors in percent on the old path mean that the trouble was not the canary's.
const ENOUGH: u64 = 100;
const ILL: f64 = 1.0;
/// How many are named in a sentence.
const NAMED: usize = 5;

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Outcomes {
    /// It is so.
    Ok,
    /// It is not so.
    Failed,
    /// Nobody knows.
    Unknown,
}

/// A step of the verification.
#[expect(clippy::struct_field_names, reason = "the report's word")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::cli) struct Step {
    /// Which.
    pub(super) step: &'static str,
    /// What it came to.
    pub(super) result: Outcomes,
    /// The same as a sentence.
    pub(super) message: String,
}

impl Step {
    pub(super) fn new(step: &'static str, result: Outcomes, message: impl Into<String>) -> Self {
        Self {
            step,
            result,
            message: message.into(),
        }
    }

    pub(super) fn failed(&self) -> bool {
        self.result == Outcomes::Failed
    }

    /// As a row of a table.
    pub(super) fn row(&self) -> Vec<Cell> {
        let (word, style) = match self.result {
            Outcomes::Ok => ("ok", Some(table::GOOD)),
            Outcomes::Failed => ("failed", Some(table::BAD)),
            Outcomes::Unknown => ("unknown", None),
        };
        let result = match style {
            Some(style) => Cell::painted(word, style),
            None => Cell::from(word),
        };
        vec![Cell::from(self.step), result, Cell::from(&self.message)]
    }
}

/// The first three steps, each for as long as it may take to come true.
pub(super) async fn steps(
    doctor: &Doctor<'_>,
    tasks: &[Task],
    after: &After,
    back_at: Timestamp,
) -> Vec<Step> {
    let end = Instant::now() + after.verify;
    let progress = Progress::new();
    progress.show(0, "verifying: services, users, metrics");
    let (services, users, metrics) = tokio::join!(
        services(doctor, tasks, end),
        users(tasks, after, end),
        metrics(doctor, tasks, back_at, end),
    );
    progress.end();
    vec![services, users, metrics]
}

fn names(tasks: &[Task]) -> Vec<(&Task, &str)> {
    let of = |task: &'_ Task| -> Vec<usize> { (0..task.components.len()).collect() };
    tasks
        .iter()
        .flat_map(|task| {
            of(task)
                .into_iter()
                .filter_map(move |n| Some((task, task.components.get(n)?.as_str())))
        })
        .collect()
}

/// Whether the old path is there to take the traffic.
async fn services(doctor: &Doctor<'_>, tasks: &[Task], end: Instant) -> Step {
    const STEP: &str = "services recovered";
    let mut open = names(tasks);
    let (mut ready, mut unknown, mut bad): (usize, Vec<Part>, Vec<Part>);
    let mut known = 0;
    unknown = Vec::new();
    loop {
        let now = Instant::now();
        let deadline = (now + LOOK).min(end.max(now + SHORT_LOOK));
        let looked: Vec<(_, Vec<Part>)> =
            futures::stream::iter(open)
                .map(|(task, name)| async move {
                    ((task, name), doctor.control(task.name(), name, deadline).await)
                })
                .buffered(READS)
                .collect()
                .await;
        (ready, bad, open) = (0, Vec::new(), Vec::new());
        for (whose, parts) in looked {
            let is_bad = parts.iter().any(|part| part.ready == Some(false));
            for part in parts {
                match part.ready {
                    Some(true) if !is_bad => ready += 1,
                    Some(false) => bad.push(part),
                    None if !is_bad => unknown.push(part),
                    Some(true) | None => {}
                }
            }
            if is_bad {
                open.push(whose);
            }
        }
        known += ready;
        if bad.is_empty() || Instant::now() + AGAIN >= end {
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    if !bad.is_empty() {
        let why = "control cannot take the traffic: look at its pods";
        return Step::new(STEP, Outcomes::Failed, format!("{}: {why}", some(&bad)));
    }
    match (known, unknown.is_empty()) {
        (0, true) => Step::new(
            STEP,
            Outcomes::Unknown,
            "the routed objects name no Service and no Deployment of control",
        ),
        (0, false) => Step::new(STEP, Outcomes::Unknown, some(&unknown)),
        (n, true) => Step::new(STEP, Outcomes::Ok, format!("{n} of control are ready")),
        (n, false) => Step::new(
            STEP,
            Outcomes::Ok,
            format!("{n} of control are ready; unknown: {}", some(&unknown)),
        ),
    }
}

fn some(parts: &[Part]) -> String {
    let each = parts
        .iter()
        .map(|part| format!("{}: {}", part.object, part.message));
    listed(each.collect())
}

fn listed(mut all: Vec<String>) -> String {
    let more = all.len().saturating_sub(NAMED);
    all.truncate(NAMED);
    let more = if more > 0 {
        format!("; and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", all.join("; "))
}

/// Whether users get answers.
async fn users(tasks: &[Task], after: &After, end: Instant) -> Step {
    const STEP: &str = "users unaffected";
    let (mut probes, mut unknown) = (Vec::new(), Vec::new());
    for url in &after.probes {
        match by_hand(url) {
            Ok((prober, probe)) => probes.push((url.clone(), prober, probe)),
            Err(why) => unknown.push(format!("{url}: {why}")),
        }
    }
    match Allowed::new(after.probe_hosts.iter().cloned())
        .map_err(|p| format!("{p:?} is no host"))
        .and_then(Prober::new)
    {
        Ok(prober) => {
            let prober = std::sync::Arc::new(prober);
            for (task, name) in names(tasks) {
                let probe = direct::component(&task.rollout, name).and_then(|c| c.probe.as_ref());
                // After a rollback control answers; where only the canary's address is known, nothing is.
                let Some(url) = probe.and_then(|p| p.control.clone()) else {
                    continue;
                };
                let probe = probe.map(|p| Probe {
                    url: url.clone(),
                    control: None,
                    ..p.clone()
                });
                probes.extend(probe.map(|probe| (url, prober.clone(), probe)));
            }
        }
        Err(why) => unknown.push(format!("probes of components: {why}")),
    }
    let mut answered = 0;
    let mut failed;
    loop {
        let sent: Vec<_> = futures::stream::iter(probes)
            .map(|(url, prober, probe)| async move {
                let outcome = prober.send(&probe).await.canary;
                (url, prober, probe, outcome)
            })
            .buffered(READS)
            .collect()
            .await;
        (probes, failed) = (Vec::new(), Vec::new());
        for (url, prober, probe, outcome) in sent {
            match outcome {
                Outcome::Answered => answered += 1,
                Outcome::Refused(why) => unknown.push(format!("{url}: {why}")),
                Outcome::Failed(why) => {
                    failed.push(format!("{url}: {why}"));
                    probes.push((url, prober, probe));
                }
            }
        }
        if failed.is_empty() || Instant::now() + AGAIN >= end {
            break;
        }
        tokio::time::sleep(AGAIN).await;
    }
    if !failed.is_empty() {
        return Step::new(STEP, Outcomes::Failed, listed(failed));
    }
    match (answered, unknown.is_empty()) {
        (0, true) => Step::new(
            STEP,
            Outcomes::Unknown,
            "nothing was probed: name what users ask for with --probe URL, or give components a probe with control's address",
        ),
        (0, false) => Step::new(STEP, Outcomes::Unknown, listed(unknown)),
        (n, true) => Step::new(STEP, Outcomes::Ok, format!("{n} addresses answer")),
        (n, false) => Step::new(
            STEP,
            Outcomes::Ok,
            format!("{n} addresses answer; unknown: {}", listed(unknown)),
        ),
    }
}

/// A probe that a person named: its host is allowed by that, and being sent elsewhere is an answer.
pub(super) fn by_hand(url: &str) -> Result<(std::sync::Arc<Prober>, Probe), String> {
    let parsed = reqwest::Url::parse(url).map_err(|e| format!("no URL: {e}"))?;
    let host = parsed.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let allowed = Allowed::new([host]).map_err(|host| format!("{host:?} is no host"))?;
    let probe = Probe {
        url: url.to_owned(),
        control: None,
        interval: None,
        timeout: None,
        expect: Some((200..400).collect()),
        headers: None,
    };
    Ok((std::sync::Arc::new(Prober::new(allowed)?), probe))
}

/// Whether the requests are back, and well.
async fn metrics(doctor: &Doctor<'_>, tasks: &[Task], back_at: Timestamp, end: Instant) -> Step {
    const STEP: &str = "metrics back";
    if let Some(why) = doctor.dark() {
        return Step::new(STEP, Outcomes::Unknown, why);
    }
    let mut open = names(tasks);
    let mut well = 0;
    let (mut unknown, mut bad);
    loop {
        let now = Instant::now();
        let deadline = (now + LOOK).min(end.max(now + SHORT_LOOK));
        let looked: Vec<_> = futures::stream::iter(open)
            .map(|(task, name)| async move {
                let figures = doctor.figures(task.name(), name, Some(back_at), deadline).await;
                (task, name, figures)
            })
            .buffered(READS / 4)
            .collect()
            .await;
        (open, unknown, bad) = (Vec::new(), Vec::new(), Vec::new());
        for (task, name, figures) in looked {
            let target = wait::back_to(&task.command, &task.rollout).percent();
            match judged(name, target, &figures) {
                Ok(()) => well += 1,
                Err((true, why)) => {
                    bad.push(why);
                    open.push((task, name));
                }
                Err((false, why)) => {
                    unknown.push(why);
                    open.push((task, name));
                }
            }
        }
        if open.is_empty() || Instant::now() + SCRAPED >= end {
            break;
        }
        tokio::time::sleep(SCRAPED).await;
    }
    match (bad.is_empty(), unknown.is_empty(), well) {
        (false, _, _) => Step::new(STEP, Outcomes::Failed, listed(bad)),
        (true, false, 0) => Step::new(STEP, Outcomes::Unknown, listed(unknown)),
        (true, false, n) => Step::new(
            STEP,
            Outcomes::Ok,
            format!("{n} components are back; unknown: {}", listed(unknown)),
        ),
        (true, true, n) => Step::new(
            STEP,
            Outcomes::Ok,
            format!("{n} components are back: their canaries get no new requests"),
        ),
    }
}

/// What figures after a rollback say: well, or (bad, why) or (not known, why).
fn judged(name: &str, target: f64, figures: &Figures) -> Result<(), (bool, String)> {
    match figures {
        Figures::Unknown { unknown } => Err((false, format!("{name}: {unknown}"))),
        Figures::Counted { canary_share, .. } if *canary_share > target + REST => Err((
            true,
            format!("{name}: the canary still gets {canary_share}% of the requests"),
        )),
        Figures::Counted {
            requests,
            control_errors: Some(errors),
            ..
        } if *requests >= ENOUGH && *errors > ILL => Err((
            true,
            format!(
                "{name}: {errors}% errors on the old path: the canary was not the trouble, or not all of it"
            ),
        )),
        Figures::Counted { .. } => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(share: f64, errors: f64, requests: u64) -> Figures {
        Figures::Counted {
            requests,
            canary_share: share,
            canary_errors: None,
            control_errors: Some(errors),
        }
    }

    #[test]
    fn metrics_are_back_when_the_canary_gets_nothing_and_the_old_path_is_well() {
        assert_eq!(judged("shop", 0.0, &counted(0.4, 0.1, 5000)), Ok(()));
        assert!(judged("shop", 0.0, &counted(20.0, 0.1, 5000)).unwrap_err().0);
        assert_eq!(
            judged("shop", 10.0, &counted(10.0, 0.1, 5000)),
            Ok(()),
            "what dual keeps"
        );
        let ill = judged("shop", 0.0, &counted(0.0, 4.0, 5000)).unwrap_err();
        assert!(ill.0 && ill.1.contains("old path"), "{ill:?}");
        assert_eq!(
            judged("shop", 0.0, &counted(0.0, 4.0, 20)),
            Ok(()),
            "one of twenty is no trouble"
        );
        let dark = Figures::Unknown {
            unknown: "no answer in time".into(),
        };
        assert!(!judged("shop", 0.0, &dark).unwrap_err().0, "no data is never bad");
    }

    #[test]
    fn many_are_counted_and_some_are_named() {
        let all: Vec<String> = (0..8).map(|n| n.to_string()).collect();
        assert_eq!(listed(all), "0; 1; 2; 3; 4; and 3 more");
    }
}
