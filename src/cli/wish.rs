//! A wish, from asking to done: find who is meant, confirm, write the command, wait for it, tell.

use super::args::Output;
use super::connect::Reach;
use super::exit::{Exit, Failure};
use super::find::{self, Addressee};
use super::insist::Question;
use super::meaning::Ask;
use super::progress::Progress;
use super::pursue::{self, Claimed, Pursuit, Task};
use super::report::{self, Ended, Entry, Report};
use super::table::{self, Cell};
use super::view::{self, View};
use super::{confirm, connect, direct, dry_run, emergency, output, ownership};
use crate::clock::Clock;
use crate::cluster::by_hand::{Daemon, Error};
use crate::rollout::command::{Command, RAISE_EXPIRES, Verb};
use crate::rollout::spec::GradualRollout;
use crate::settings::Settings;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long to wait for what other namespaces have, before it is gone by what this one has.
const ELSEWHERE: Duration = Duration::from_secs(1);

/// Does what is asked.
pub(super) async fn run(
    settings: &Settings,
    ask: &Ask,
    form: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    if let Some(path) = ask.report.as_ref().filter(|_| !ask.dry_run) {
        output::writable(path)?;
    }
    let started_at = Clock::System.now();
    let found = found(settings, ask, started_at).await;
    let Found {
        cluster,
        mut tasks,
        who,
        began,
    } = found.map_err(|failure| told_too(failure, settings, ask, started_at))?;
    let namespace = settings.namespace.as_str();
    if ask.dry_run {
        return dry_run::run(&cluster, namespace, &tasks, started_at, out).await;
    }
    let before: Vec<View> = views(&tasks);
    let asked_at = Instant::now();
    confirm::ask(ask.confirm, &question(ask, namespace, &before))
        .map_err(|failure| told_too(failure, settings, ask, started_at))?;
    // A person who thinks is no work.
    let began = began + asked_at.elapsed();
    // Who was asked may have thought for minutes: it is given now, and marks are compared by the age of their ids.
    let given_at = Clock::System.now();
    for task in &mut tasks {
        task.command.id = id(given_at);
        task.command.wish.expires_at = expiry(ask, given_at);
    }
    if ask.emergency.is_some() {
        let asked = emergency::Asked {
            settings,
            ask,
            who,
            started_at,
            began,
            before,
        };
        return emergency::run(&cluster, asked, tasks, form, out).await;
    }
    let (daemon, alive) = daemon(&cluster, settings).await;
    let pursuit = Pursuit {
        cluster: &cluster,
        namespace,
        settings,
        timeout: ask.timeout,
        at: given_at,
        progress: Progress::new(),
        emergency: None,
        leaderless: !alive,
        places: pursue::places(),
        found: std::sync::Mutex::default(),
    };
    let entries = pursuit.all(&tasks, alive).await;
    let after = after(&cluster, namespace, &tasks, &entries, alive).await;
    let exit = report::exit(&entries);
    let report = Report {
        command: ask.words(),
        mode: None,
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
        put_back_in_ms: None,
        health: None,
        steps: Vec::new(),
        told: Vec::new(),
    };
    // First: nobody may be reading the output any more.
    if let Some(path) = &ask.report {
        output::report(path, &report);
    }
    tell(&report, form, out)?;
    Ok(exit)
}

/// Who is meant.
struct Found {
    cluster: Reach,
    tasks: Vec<Task>,
    who: String,
    began: Instant,
}

async fn found(settings: &Settings, ask: &Ask, started_at: Timestamp) -> Result<Found, Failure> {
    let cluster = connect::reach(settings).await?;
    let namespace = settings.namespace.as_str();
    let began = Instant::now();
    let named = ask.rollout.as_deref();
    let rollouts = match ask.emergency {
        Some(_) => emergency::rollouts(&cluster, namespace, named, ask.timeout).await?,
        None => connect::rollouts(&cluster, namespace, named).await?,
    };
    let all = everywhere(&cluster, ask)
        .await
        .unwrap_or_else(|| rollouts.clone());
    let addressees = find::addressees(rollouts, ask, namespace)?;
    let who = ask.who.clone().unwrap_or_else(who);
    let claimed = Arc::new(ownership::all(&all, namespace));
    let tasks: Vec<Task> = addressees
        .into_iter()
        .map(|a| {
            let foreign = ownership::foreign(&a.rollout, &all, namespace);
            task(a, ask, &who, started_at, (foreign, claimed.clone()))
        })
        .collect();
    Ok(Found {
        cluster,
        tasks,
        who,
        began,
    })
}

/// The failure, also in the report that somebody asked for: whoever reads only that learns that nothing was done.
fn told_too(failure: Failure, settings: &Settings, ask: &Ask, started_at: Timestamp) -> Failure {
    if let Some(path) = ask.report.as_ref().filter(|_| !ask.dry_run) {
        let report = Report {
            command: ask.words(),
            mode: ask.emergency.map(emergency::mode),
            namespace: settings.namespace.clone(),
            who: ask.who.clone().unwrap_or_else(who),
            reason: ask.reason.clone(),
            started_at,
            finished_at: Clock::System.now(),
            daemon: "unknown: nothing was done".to_owned(),
            exit: failure.exit.code(),
            error: Some(failure.message.clone()),
            components: Vec::new(),
            before: Vec::new(),
            after: Vec::new(),
            put_back_in_ms: None,
            health: None,
            steps: Vec::new(),
            told: Vec::new(),
        };
        output::report(path, &report);
    }
    failure
}

/// The rollouts of all namespaces: another namespace's may route the same object. Who may not see them, or gets no
/// answer, goes by what is here.
async fn everywhere(cluster: &Reach, ask: &Ask) -> Option<Vec<GradualRollout>> {
    let question = Question {
        doing: "listing the rollouts of all namespaces",
        end: Instant::now() + ELSEWHERE,
        places: None,
    };
    // Where it is no emergency, whoever is busy is asked once.
    let passes = |error: &Error| ask.emergency.is_some() && error.is_silence();
    let list = question.insist(passes, async || cluster.rollouts_everywhere().await);
    match tokio::time::timeout(ELSEWHERE, list).await {
        Ok(Ok(all)) => Some(all),
        Ok(Err(error)) => {
            tracing::debug!(%error, "what other namespaces route is not known");
            None
        }
        Err(_) => {
            tracing::debug!("what other namespaces route is not known within {ELSEWHERE:?}");
            None
        }
    }
}

fn task(
    addressee: Addressee,
    ask: &Ask,
    who: &str,
    now: Timestamp,
    (foreign, claimed): (BTreeMap<String, String>, Arc<Claimed>),
) -> Task {
    // Somebody complains of what they used, also where it is all there is.
    let names = if addressee.all && ask.verb != Verb::Complaint {
        vec!["*".to_owned()]
    } else {
        addressee.components.clone()
    };
    let command = Command {
        id: id(now),
        verb: ask.verb,
        wish: ask.wish(names, who, expiry(ask, now)),
    };
    Task {
        rollout: addressee.rollout,
        components: addressee.components,
        command,
        foreign,
        claimed,
    }
}

/// Until when it may be taken up: a raise that nobody takes up in time must not surprise anybody later.
fn expiry(ask: &Ask, now: Timestamp) -> Option<Timestamp> {
    let raise_by = now.checked_add(ask.timeout.min(RAISE_EXPIRES)).ok();
    raise_by.filter(|_| !ask.verb.only_lowers())
}

/// A new id: sorts by time, and no two are alike.
fn id(now: Timestamp) -> String {
    let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
    // The time is the clock's; only the random part is taken from here.
    ulid::Ulid::from_parts(millis, ulid::Ulid::generate().random()).to_string()
}

pub(super) fn who() -> String {
    ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        .unwrap_or_else(|| "somebody".to_owned())
}

/// Whether a daemon is alive, and the same as a sentence. When that cannot be read, somebody may be there.
async fn daemon(cluster: &Reach, settings: &Settings) -> (String, bool) {
    let now = Clock::System.now();
    match cluster
        .daemon_in(&settings.lease_namespaces(), &settings.lease.name, now)
        .await
    {
        Ok(Daemon::Alive { holder }) => (format!("alive: {holder}"), true),
        Ok(Daemon::Silent { message }) => (message, false),
        Err(error) => (format!("unknown: {error}"), true),
    }
}

fn views(tasks: &[Task]) -> Vec<View> {
    let of = |task: &Task| -> Vec<View> {
        task.components
            .iter()
            .map(|name| view::view(&task.rollout, name))
            .collect()
    };
    tasks.iter().flat_map(of).collect()
}

async fn after(
    cluster: &Reach,
    namespace: &str,
    tasks: &[Task],
    entries: &[Entry],
    alive: bool,
) -> Vec<View> {
    let mut views = Vec::new();
    for task in tasks {
        // The report is told without it rather than not at all.
        let Ok(rollout) = cluster.rollout(namespace, task.name()).await else {
            continue;
        };
        for name in &task.components {
            let view = view::view(&rollout, name);
            let direct = entries
                .iter()
                .any(|e| e.rollout == task.name() && e.component == *name && e.result == Ended::DoneDirectly);
            // Without a daemon the status is as old as the last one: what the objects say counts.
            views.push(match direct::component(&rollout, name) {
                Some(component) if direct || !alive => {
                    let (weight, unread) = direct::says(cluster, component, &task.home(namespace)).await;
                    view.without_daemon(weight, &unread)
                }
                _ => view,
            });
        }
    }
    views
}

fn question(ask: &Ask, namespace: &str, before: &[View]) -> String {
    let list: Vec<String> = before
        .iter()
        .map(|v| {
            let weight = v.weight.map_or_else(|| "?".to_owned(), |w| format!("{w}%"));
            table::plain(&format!("  {}/{} (now {weight})", v.rollout, v.component))
        })
        .collect();
    let what = if ask.verb == Verb::Rollback {
        format!("{}; nothing is raised", ask.words())
    } else {
        ask.words()
    };
    format!("In the namespace {namespace}: {what}\n{}", list.join("\n"))
}

pub(super) fn tell(report: &Report, form: Output, out: &mut dyn Write) -> Result<(), Failure> {
    if matches!(form, Output::Json | Output::Yaml) {
        return output::data(out, form, report);
    }
    let row = |entry: &Entry| {
        let style = if entry.result.well() {
            table::GOOD
        } else {
            table::BAD
        };
        vec![
            Cell::from(&entry.rollout),
            Cell::from(&entry.component),
            Cell::painted(format!("{:?}", entry.result), style),
            Cell::from(&entry.message),
        ]
    };
    let rows: Vec<Vec<Cell>> = report.components.iter().map(row).collect();
    table::write(out, &["ROLLOUT", "COMPONENT", "RESULT", "MESSAGE"], &rows, None)?;
    Ok(())
}

/// How long between two looks: soon at first, then every second.
pub(super) fn pause(looks: u32) -> Duration {
    Duration::from_millis((100 * u64::from(looks)).clamp(100, 1000))
}

/// The same, and never past the moment from which nobody is waited for any more.
pub(super) fn pause_within(looks: u32, waited: Duration, patience: Duration) -> Duration {
    let usual = pause(looks);
    match patience.checked_sub(waited) {
        Some(left) if left < usual => left + Duration::from_millis(1),
        Some(_) | None => usual,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_look_is_at_the_very_end_of_patience_and_not_most_of_a_second_after_it() {
        for patience in [Duration::from_secs(3), Duration::from_secs(10)] {
            let (mut waited, mut looks) = (Duration::ZERO, 0);
            while waited <= patience {
                looks += 1;
                waited += pause_within(looks, waited, patience);
            }
            let over = waited.checked_sub(patience).unwrap();
            assert!(over <= Duration::from_millis(1), "{patience:?} were {waited:?}");
            assert_eq!(pause_within(looks, waited, patience), pause(looks));
        }
    }
}
