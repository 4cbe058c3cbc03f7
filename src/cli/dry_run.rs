//! `--dry-run`: the exact change, object by object, and nothing sent that changes anything.

use super::beside;
use super::connect::Reach;
use super::direct::{self, Error, Order};
use super::exit::{Exit, Failure};
use super::pursue::Task;
use super::table;
use super::wait;
use crate::rollout::command::Verb;
use jiff::Timestamp;
use std::io::Write;

/// Shows what every command would do.
pub(super) async fn run(
    cluster: &Reach,
    namespace: &str,
    tasks: &[Task],
    at: Timestamp,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    for task in tasks {
        // The API server checks right and form, and stores nothing.
        if let Err(error) = cluster.command(namespace, task.name(), &task.command, true).await {
            writeln!(
                out,
                "{}",
                table::plain(&format!("rollout {namespace}/{}: {error}", task.name()))
            )?;
            exit = Exit::Refused;
            continue;
        }
        let (weight, may_raise) = match task.command.verb {
            Verb::HeaderRoute | Verb::Mirror => {
                if !previews(cluster, namespace, task, out).await? {
                    exit = Exit::Refused;
                }
                continue;
            }
            Verb::Set => (task.command.wish.weight.unwrap_or_default(), true),
            Verb::Rollback => (wait::back_to(&task.command, &task.rollout), false),
            Verb::Pause
            | Verb::Resume
            | Verb::Approve
            | Verb::Promote
            | Verb::Retry
            | Verb::Detach
            | Verb::Complaint => {
                writeln!(out, "rollout {namespace}/{}", table::plain(task.name()))?;
                let line = format!(
                    "  annotation {}: (absent) → {}",
                    task.command.key(),
                    task.command.value()
                );
                writeln!(out, "{}", table::plain(&line))?;
                continue;
            }
        };
        let order = Order {
            command: &task.command,
            weight,
            may_raise,
            at,
            patience: None,
            claimed: &task.claimed,
        };
        for name in &task.components {
            let Some(component) = direct::component(&task.rollout, name) else {
                let line = format!("{name}: not in the spec any more; its routers are not known");
                writeln!(out, "{}", table::plain(&line))?;
                exit = Exit::Refused;
                continue;
            };
            writeln!(
                out,
                "{}",
                table::plain(&format!("component {}/{name}", task.name()))
            )?;
            if let Some(why) = task.foreign.get(name) {
                writeln!(out, "{}", table::plain(&format!("  {why}")))?;
                exit = Exit::Refused;
                continue;
            }
            for (object, result) in direct::preview(cluster, component, &task.home(namespace), order).await {
                match result {
                    Ok(written) => {
                        let line = format!("  {}: {}", written.object, written.way());
                        writeln!(out, "{}", table::plain(&line))?;
                        if let Some(left) = written.left.sentence() {
                            writeln!(out, "{}", table::plain(&format!("    not all of it: {left}")))?;
                        }
                        for change in &written.changes {
                            writeln!(out, "{}", table::plain(&format!("    {change}")))?;
                        }
                    }
                    Err(error) => {
                        let line = match &error {
                            // What the command itself does with a hook that it cannot read.
                            Error::Mute(unread) if order.goes_unread() => {
                                format!("  {object}: 0% would be set unread, never called done: {unread}")
                            }
                            Error::Cluster(_)
                            | Error::Routing(_)
                            | Error::Hook(_)
                            | Error::Mute(_)
                            | Error::Unread(_)
                            | Error::Stamp(_) => format!("  {object}: {error}"),
                        };
                        writeln!(out, "{}", table::plain(&line))?;
                        exit = Exit::Refused;
                    }
                }
            }
        }
    }
    writeln!(
        out,
        "Dry run: nothing was changed. The judge and the plan may still refuse a raise."
    )?;
    Ok(exit)
}

/// What a command about routes for testers or a mirror would write; false when some of it would be refused.
async fn previews(
    cluster: &Reach,
    namespace: &str,
    task: &Task,
    out: &mut dyn Write,
) -> Result<bool, Failure> {
    let mut well = true;
    for name in &task.components {
        let heading = format!("component {}/{name}", task.name());
        writeln!(out, "{}", table::plain(&heading))?;
        let wanted = match beside::wanted(task, name) {
            Ok(wanted) => wanted,
            Err(why) => {
                writeln!(out, "{}", table::plain(&format!("  {why}")))?;
                well = false;
                continue;
            }
        };
        let component = direct::component(&task.rollout, name);
        for (object, result) in beside::preview(cluster, component, namespace, &wanted).await {
            match result {
                Ok(changes) if changes.is_empty() => {
                    writeln!(out, "{}", table::plain(&format!("  {object}: nothing to change")))?;
                }
                Ok(changes) => {
                    writeln!(out, "{}", table::plain(&format!("  {object}:")))?;
                    for change in changes {
                        writeln!(out, "{}", table::plain(&format!("    {change}")))?;
                    }
                }
                Err(error) => {
                    writeln!(out, "{}", table::plain(&format!("  {object}: {error}")))?;
                    well = false;
                }
            }
        }
    }
    Ok(well)
}
