//! `emergency-rollback`: traffic goes back from here, at once, whoever else is there.
//!
//! A daemon that is surely alive is given three seconds; where it is silent, or where nobody can tell, the routed
//! objects are written from here, all at once. The wish is left on each resource in the same moment. Health is looked
//! at beside, never before; where the routes stood is read for at most half a second, and only where a daemon is given
//! its time anyway. What was done is verified in four steps, and people are told.

mod again;
pub(super) mod args;
mod health;
mod listed;
mod people;
mod routes;
mod verify;

pub(super) use again::{later, nothing_rises};
use args::EmergencyMode;
pub(super) use health::Health;
pub(super) use listed::rollouts;
pub(super) use people::Told;
pub(super) use verify::Step;

use super::args::Output;
use super::connect::Reach;
use super::exit::{Exit, Failure};
use super::meaning::{After, Ask, Confirm};
use super::progress::Progress;
use super::pursue::{self, Found, Pursuit, Task};
use super::report::{self, Ended, Entry, Report};
use super::table::{self, Cell};
use super::view::View;
use super::{output, wait, wish};
use crate::clock::Clock;
use crate::cluster::by_hand::Daemon;
use crate::settings::Settings;
use jiff::Timestamp;
use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// How long it is looked whether a daemon is alive.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);
/// How long the routed objects may take to say where they stand before a daemon is asked to move them.
const BEFORE_WITHIN: Duration = Duration::from_millis(500);
/// Once the traffic is back what is read has what is left of the time, and so long at least.
const LAST_LOOK: Duration = Duration::from_secs(2);
/// Reads under way at once, once the traffic is back.
const READS: usize = 32;

/// What was asked.
pub(super) struct Asked<'a> {
    pub settings: &'a Settings,
    pub ask: &'a Ask,
    pub who: String,
    pub started_at: Timestamp,
    /// The same, without the time that a person took to confirm it.
    pub began: Instant,
    /// Every component as the resources said before.
    pub before: Vec<View>,
}

/// Refuses addresses of which nothing can become, before anything is done.
pub(super) fn usable(after: &After) -> Result<(), Failure> {
    for url in &after.notify {
        // Not the address itself: it may carry a secret.
        people::receiver(url).map_err(|why| Failure::usage(format!("--notify: {why}")))?;
    }
    for url in &after.probes {
        verify::by_hand(url).map_err(|why| Failure::usage(format!("--probe {url}: {why}")))?;
    }
    Ok(())
}

/// Puts everything back that is asked for, verifies it, and tells people.
pub(super) async fn run(
    cluster: &Reach,
    asked: Asked<'_>,
    tasks: Vec<Task>,
    form: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let Asked {
        settings,
        ask,
        who,
        started_at,
        began,
        before,
    } = asked;
    let namespace = settings.namespace.as_str();
    let confirmed = ask.confirm != Confirm::Nothing;
    let again = tasks
        .into_iter()
        .map(|task| again::afresh(cluster, namespace, task, confirmed));
    let tasks = futures::future::join_all(again).await.into_iter();
    let tasks: Vec<Task> = tasks
        .map(|task| again::above(task, Clock::System.now()))
        .collect();
    let mut pursuit = pursuit(cluster, settings, ask.timeout);
    let doctor = health::Doctor::new(cluster, settings, &tasks);
    let put_back = async {
        let (daemon, alive, leaderless) = daemon(cluster, settings).await;
        pursuit.leaderless = leaderless;
        // What is written from here is read for that; what a daemon may write has to be read before it does.
        let then = if alive {
            routes::say(cluster, namespace, &tasks, Instant::now() + BEFORE_WITHIN).await
        } else {
            Found::new()
        };
        let (entries, last) = pursuit.put_back(&tasks, alive).await;
        (daemon, entries, last, then)
    };
    let (mut healthy_before, (daemon, entries, last, then)) = tokio::join!(doctor.look(&before), put_back);
    let back_at = Clock::System.now();
    let written = pursuit
        .found
        .lock()
        .map(|found| found.clone())
        .unwrap_or_default();
    let before = routes::before(before, &then, &written);
    healthy_before.weigh(&before);
    let entries = already(entries, &before, &tasks);
    let took = last.and_then(|last| u64::try_from(last.duration_since(began).as_millis()).ok());
    let exit = report::exit(&entries);
    let left = ask.timeout.saturating_sub(began.elapsed());
    let after = after(cluster, namespace, &tasks, &entries, left).await;
    let summary = people::Summary {
        namespace,
        tasks: &tasks,
        entries: &entries,
        who: &who,
        reason: &ask.reason,
        at: back_at,
    };
    let checks = After {
        probe_hosts: settings.probe_hosts.clone(),
        ..ask.after.clone()
    };
    let verified = verify::steps(&doctor, &tasks, &checks, back_at);
    let (mut steps, told) = tokio::join!(verified, people::tell(settings, &ask.after.notify, &summary));
    let healthy_after = doctor.look(&after).await;
    let failed = steps.iter().any(Step::failed);
    steps.push(people::step(&told));
    // Traffic that is back and does not arrive well is half of what was asked.
    let exit = if exit == Exit::Done && failed {
        Exit::Partly
    } else {
        exit
    };
    let report = Report {
        command: ask.words(),
        mode: ask.emergency.map(mode),
        namespace: namespace.to_owned(),
        who,
        reason: ask.reason.clone(),
        started_at,
        finished_at: Clock::System.now(),
        daemon,
        exit: exit.code(),
        error: None,
        components: entries,
        before,
        after,
        put_back_in_ms: took,
        health: Some(Health {
            before: healthy_before,
            after: healthy_after,
        }),
        steps,
        told,
    };
    // First: nobody may be reading the output any more.
    if let Some(path) = &ask.report {
        output::report(path, &report);
    }
    show(&report, form, out)?;
    Ok(exit)
}

/// The way to get it done, from now on.
fn pursuit<'a>(cluster: &'a Reach, settings: &'a Settings, timeout: Duration) -> Pursuit<'a> {
    Pursuit {
        cluster,
        namespace: &settings.namespace,
        settings,
        timeout,
        // Not when it was typed: a person may have been asked in between.
        at: Clock::System.now(),
        progress: Progress::new(),
        emergency: Some(Instant::now() + timeout),
        leaderless: false,
        places: pursue::places(),
        found: Mutex::default(),
    }
}

/// Every component as it stands once its traffic is back, looked at for as long as there is time.
async fn after(
    cluster: &Reach,
    namespace: &str,
    tasks: &[Task],
    entries: &[Entry],
    left: Duration,
) -> Vec<View> {
    let by_daemon = |task: &Task, name: &str| {
        let mine = |e: &&Entry| e.rollout == task.name() && e.component == name;
        entries.iter().filter(mine).any(|e| e.result == Ended::Done)
    };
    let end = Instant::now() + left.max(LAST_LOOK);
    routes::after(cluster, namespace, tasks, by_daemon, end).await
}

/// How a daemon stands, as a sentence; whether one is surely alive, and whether there is surely none.
async fn daemon(cluster: &Reach, settings: &Settings) -> (String, bool, bool) {
    let (namespaces, now) = (settings.lease_namespaces(), Clock::System.now());
    let asked = cluster.daemon_in(&namespaces, &settings.lease.name, now);
    match tokio::time::timeout(ALIVE_WITHIN, asked).await {
        Ok(Ok(Daemon::Alive { holder })) => (format!("alive: {holder}"), true, false),
        Ok(Ok(Daemon::Silent { message })) => (message, false, true),
        Ok(Err(error)) => (
            format!("unknown, so it was not waited for: {error}"),
            false,
            false,
        ),
        Err(_) => (
            "unknown, so it was not waited for: no answer about its Lease".to_owned(),
            false,
            false,
        ),
    }
}

/// The entries, with the word for what was so before.
fn already(mut entries: Vec<Entry>, before: &[View], tasks: &[Task]) -> Vec<Entry> {
    for entry in entries.iter_mut().filter(|e| e.result.well()) {
        let task = tasks.iter().find(|task| task.name() == entry.rollout);
        let to = task.map(|task| wait::back_to(&task.command, &task.rollout).percent());
        let was = before
            .iter()
            .find(|v| v.rollout == entry.rollout && v.component == entry.component)
            .and_then(|v| v.weight);
        match was.zip(to) {
            Some((was, to)) if was <= to && entry.result == Ended::Done => {
                entry.message = format!("already {}", entry.message);
            }
            // What is written from here says it object by object.
            Some((was, to)) if was > to && !entry.message.contains('→') => {
                entry.message = format!("{}; it was at {was}% when this began", entry.message);
            }
            _ => {}
        }
    }
    entries
}

/// The mode as the report has it.
pub(super) fn mode(mode: EmergencyMode) -> &'static str {
    match mode {
        EmergencyMode::Ingress => "ingress",
        EmergencyMode::Dual => "dual",
        EmergencyMode::Full => "full",
    }
}

/// How much is back, and how fast: in big words where it is not all.
fn back(entries: &[Entry], took: Option<u64>) -> String {
    let (all, well) = (entries.len(), entries.iter().filter(|e| is_back(e)).count());
    let took = took.map_or_else(String::new, |ms| format!(" in {}.{:03} s", ms / 1000, ms % 1000));
    let names: Vec<&str> = entries
        .iter()
        .filter(|e| !is_back(e))
        .map(|e| e.component.as_str())
        .collect();
    match well {
        _ if well == all => format!("Put back{took}."),
        0 => format!("NOTHING WAS PUT BACK: 0 of {all} components. Why, and what to do now, stands above."),
        _ => format!(
            "NOT ALL IS BACK: {well} of {all} components were put back{took}; NOT {}. Why, and what to do now, stands above.",
            names.join(", ")
        ),
    }
}

/// Whether a component's traffic is back, whoever put it there.
fn is_back(entry: &Entry) -> bool {
    entry.result.well() || entry.result == Ended::RolledBack
}

fn show(report: &Report, form: Output, out: &mut dyn Write) -> Result<(), Failure> {
    wish::tell(report, form, out)?;
    if matches!(form, Output::Json | Output::Yaml) {
        return Ok(());
    }
    writeln!(out, "\n{}\n", back(&report.components, report.put_back_in_ms))?;
    let rows: Vec<Vec<Cell>> = report.steps.iter().map(Step::row).collect();
    table::write(out, &["STEP", "RESULT", "MESSAGE"], &rows, None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_back_is_said_in_big_words_and_with_how_many() {
        let said = |ends: &[Ended], took| {
            let entries: Vec<Entry> = ends
                .iter()
                .enumerate()
                .map(|(n, result)| Entry {
                    rollout: "r".into(),
                    component: format!("c{n}"),
                    result: *result,
                    message: String::new(),
                })
                .collect();
            back(&entries, took)
        };
        assert_eq!(
            said(&[Ended::Done, Ended::DoneDirectly], Some(3661)),
            "Put back in 3.661 s."
        );
        let none = said(&[Ended::Refused, Ended::Unreachable], None);
        assert!(
            none.starts_with("NOTHING WAS PUT BACK: 0 of 2 components"),
            "{none}"
        );
        let some = said(&[Ended::Done, Ended::Refused, Ended::TimedOut], Some(20));
        assert!(
            some.starts_with("NOT ALL IS BACK: 1 of 3 components were put back in 0.020 s; NOT c1, c2."),
            "{some}"
        );
    }
}
