//! `status`: where every component stands.

use super::args::Output;
use super::exit::{Exit, Failure};
use super::table::{self, BAD, Cell, DIM, GOOD, LOOK};
use super::view::{self, View};
use super::{connect, lines, output};
use crate::clock::Clock;
use crate::cluster::by_hand::{ByHand, Daemon};
use crate::rollout::arrival::Arrival;
use crate::rollout::command::ago;
use crate::rollout::duration::Span;
use crate::rollout::reason::{Reason, State};
use crate::rollout::spec::GradualRollout;
use crate::rollout::stands::Stands;
use crate::settings::Settings;
use anstyle::Style;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

/// How often `--watch` looks.
const LOOKS: Duration = Duration::from_secs(1);

/// What `status` shows.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    rollouts: Vec<GradualRollout>,
    daemon: Result<Daemon, String>,
}

/// Shows the status, once or as it changes.
pub(super) async fn run(
    settings: &Settings,
    rollout: Option<&str>,
    watch: bool,
    form: Output,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let cluster = connect::connect().await?;
    let mut last = None;
    loop {
        let shown = look(&cluster, settings, rollout).await?;
        let data = json_view(settings, &shown);
        if last.as_ref() != Some(&data) {
            if watch && io::stdout().is_terminal() {
                // Home, then clear what is below: less flicker than clearing first.
                write!(out, "\u{1b}[H\u{1b}[J")?;
            }
            show(out, settings, &shown, form, &data)?;
            out.flush()?;
            last = Some(data);
        }
        if !watch {
            return Ok(Exit::Done);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOKS) => {}
            _ = tokio::signal::ctrl_c() => return Ok(Exit::Done),
        }
    }
}

/// Reads what is shown.
async fn look(cluster: &ByHand, settings: &Settings, rollout: Option<&str>) -> Result<Shown, Failure> {
    let mut rollouts = cluster
        .rollouts(&settings.namespace)
        .await
        .map_err(connect::failure)?;
    if let Some(name) = rollout {
        rollouts.retain(|r| r.metadata.name.as_deref() == Some(name));
        if rollouts.is_empty() {
            return Err(Failure::refused(format!(
                "no rollout {name:?} in {}",
                settings.namespace
            )));
        }
    }
    let now = Clock::System.now();
    let daemon = cluster
        .daemon_in(&settings.lease_namespaces(), &settings.lease.name, now)
        .await;
    Ok(Shown {
        rollouts,
        daemon: daemon.map_err(|e| e.to_string()),
    })
}

/// What the daemon's doctor found, where it found anything.
fn findings(out: &mut dyn Write, rollout: &GradualRollout, width: Option<usize>) -> io::Result<()> {
    let status = rollout.status.as_ref();
    let found = status.and_then(|status| status.condition("Findings"));
    let Some(found) = found.filter(|found| found.status == "True") else {
        return Ok(());
    };
    let name = rollout.metadata.name.as_deref().unwrap_or_default();
    let text = format!("found in {name}: {}", found.message);
    lines::write(out, ("", LOOK), &text, 0, width)
}

/// That the spec cannot be used. `told`: the rows of a resource of which nothing is worked say why themselves.
fn unusable(
    out: &mut dyn Write,
    rollout: &GradualRollout,
    told: bool,
    width: Option<usize>,
) -> io::Result<()> {
    let Some(status) = rollout.status.as_ref() else {
        return Ok(());
    };
    let name = rollout.metadata.name.as_deref().unwrap_or_default();
    let text = if let Some(refused) = status.refused() {
        if told {
            return Ok(());
        }
        format!(
            "{}: nothing of {name} is worked: {}",
            refused.reason, refused.message
        )
    } else if let Some(condition) = status.unusable(rollout.metadata.generation) {
        format!(
            "{}: the spec of {name} cannot be used, and nothing rises until it is mended: {}",
            condition.reason, condition.message
        )
    } else {
        return Ok(());
    };
    lines::write(out, ("", BAD), &text, 0, width)
}

/// The status as data.
fn json_view(settings: &Settings, shown: &Shown) -> Value {
    let rollouts: Vec<Value> = shown
        .rollouts
        .iter()
        .map(|r| {
            let status = r.status.clone().unwrap_or_default();
            let told = |kind| {
                let condition = status.condition(kind);
                condition.map(|c| json!({"status": c.status, "reason": c.reason, "message": c.message}))
            };
            let (ready, findings) = (told("Ready"), told("Findings"));
            json!({
                "name": r.metadata.name, "phase": status.phase, "progress": status.progress,
                "ready": ready, "findings": findings, "frozen": status.frozen,
                "waitsForTurnSince": status.waits_for_turn_since, "components": view::views(r),
            })
        })
        .collect();
    let daemon = match &shown.daemon {
        Ok(Daemon::Alive { holder }) => json!({"alive": true, "holder": holder}),
        Ok(Daemon::Silent { message }) => json!({"alive": false, "message": message}),
        Err(message) => json!({"alive": null, "message": message}),
    };
    json!({"namespace": settings.namespace, "daemon": daemon, "rollouts": rollouts})
}

fn show(
    out: &mut dyn Write,
    settings: &Settings,
    shown: &Shown,
    form: Output,
    data: &Value,
) -> Result<(), Failure> {
    if matches!(form, Output::Json | Output::Yaml) {
        return output::data(out, form, data);
    }
    let views: Vec<View> = shown.rollouts.iter().flat_map(view::views).collect();
    if views.is_empty() {
        let namespace = &settings.namespace;
        writeln!(
            out,
            "No GradualRollouts in {namespace}: apply one (config/ has examples), or name another namespace with -n."
        )?;
    } else {
        let several = shown.rollouts.len() > 1;
        picture(out, &views, several, form == Output::Wide, Clock::System.now())?;
        let width = if form == Output::Wide {
            table::asked_width()
        } else {
            lines::width()
        };
        for rollout in &shown.rollouts {
            unusable(out, rollout, form == Output::Wide, width)?;
            findings(out, rollout, width)?;
        }
        // One freeze for all is told once.
        let told = |r: &GradualRollout| r.status.as_ref().and_then(|status| status.frozen.clone());
        let mut frozen: Vec<String> = shown.rollouts.iter().filter_map(told).collect();
        frozen.dedup();
        for text in frozen {
            lines::write(out, ("", LOOK), &format!("nothing rises: {text}"), 0, width)?;
        }
    }
    match &shown.daemon {
        Ok(Daemon::Alive { .. }) => {}
        Ok(Daemon::Silent { message }) => {
            let message = table::plain(message);
            writeln!(
                out,
                "\n{BAD}no daemon is alive{BAD:#}: {message}. Nothing advances and nothing is rolled back by itself."
            )?;
        }
        Err(message) => writeln!(
            out,
            "\n{LOOK}unknown whether a daemon is alive{LOOK:#}: {}",
            table::plain(message)
        )?,
    }
    Ok(())
}

/// The table, and below it the sentences of those that wait for somebody.
pub(super) fn picture(
    out: &mut dyn Write,
    views: &[View],
    several: bool,
    wide: bool,
    now: Timestamp,
) -> Result<(), Failure> {
    let mut heading = vec![
        "COMPONENT",
        "MODE",
        "WEIGHT",
        "PHASE",
        "STATE",
        "REASON",
        "SINCE",
        "NEXT",
    ];
    if several {
        heading.insert(0, "ROLLOUT");
    }
    if wide {
        heading.extend(["ASKED", "OBSERVED", "MEASURED", "HELD", "MESSAGE"]);
    }
    let mut rows: Vec<Vec<Cell>> = views.iter().map(|v| row(v, several, wide, now)).collect();
    // Wide is as wide as it must be, unless somebody says how wide that may be. Then sentences stand below the table,
    // where they are folded and not cut.
    let width = if wide {
        table::asked_width()
    } else {
        table::terminal_width()
    };
    let below = wide && width.is_some();
    if below {
        heading.pop();
        for row in &mut rows {
            row.pop();
        }
    }
    let spare = [
        "MODE", "PHASE", "NEXT", "SINCE", "REASON", "HELD", "MEASURED", "ASKED", "OBSERVED",
    ];
    table::write_narrow(out, &heading, &rows, width, &spare)?;
    for view in views.iter().filter(|v| below && !v.message.is_empty()) {
        note(out, style(view), &view.component, &view.message)?;
    }
    // Of one router there is nothing to say that the row does not.
    for view in views.iter().filter(|v| v.routers.len() > 1) {
        for router in view.routers.iter().filter(|r| wide || r.is_news()) {
            note(out, DIM, &view.component, &router.words())?;
        }
    }
    if !wide {
        for view in views.iter().filter(|v| view::blocked(v) && !v.message.is_empty()) {
            note(out, style(view), &view.component, &view.message)?;
        }
        for view in views {
            // Where it is why the plan holds, it was said above.
            let told = |reason| view.reason == Some(reason) && view::blocked(view);
            if let Some(gateways) = view.gateways.as_ref().filter(|_| !told(Reason::RouteNotAccepted)) {
                note(out, LOOK, &view.component, gateways)?;
            }
            if let Some(left) = &view.left {
                note(out, LOOK, &view.component, &left.message)?;
            }
            let amiss = view.measured.filter(|m| m.verdict == Arrival::NotAchievable);
            if let Some(measured) = amiss.filter(|_| !told(Reason::NotAchievable)) {
                let weight = view.weight.unwrap_or_default();
                let words = format!(
                    "the canary gets {} ({} to {}) of {} requests, not {weight}%; `explain` says more",
                    measured.share, measured.low, measured.high, measured.requests
                );
                note(out, LOOK, &view.component, &words)?;
            }
        }
    }
    for view in views {
        let Some(preview) = &view.preview else { continue };
        if let Some(written) = &preview.written {
            let words = format!("beside its weight the canary gets: {written}");
            note(out, DIM, &view.component, &words)?;
        }
        if let Some(message) = &preview.message {
            note(out, LOOK, &view.component, message)?;
        }
    }
    Ok(())
}

/// A sentence about a component, folded to the terminal.
fn note(out: &mut dyn Write, style: Style, component: &str, text: &str) -> Result<(), Failure> {
    let label = format!("{component}:");
    let indent = table::plain(&label).chars().count() + 1;
    Ok(lines::write(out, (&label, style), text, indent, lines::width())?)
}

fn row(view: &View, several: bool, wide: bool, now: Timestamp) -> Vec<Cell> {
    let percent = |weight: Option<f64>| weight.map_or_else(|| "-".to_owned(), |w| format!("{w}%"));
    let phase = match (&view.phase, view.step) {
        (Some(phase), Some((step, of))) => format!("{phase} {step}/{of}"),
        (Some(phase), None) => phase.clone(),
        (None, _) => "-".to_owned(),
    };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let weight = match (view.weight, view.asked) {
        (Some(at), Some(to)) if (at - to).abs() > f64::EPSILON => format!("{at}% → {to}%"),
        (weight, _) => percent(weight),
    };
    let looked = view.next.filter(|at| *at > now);
    let next = view.waits_for().map(str::to_owned).or_else(|| {
        let (at, left) = (looked?, ago(now, looked?));
        let soon = at.duration_since(now).as_secs() < 1;
        Some(if soon {
            "now".to_owned()
        } else {
            format!("in {left}")
        })
    });
    let mut cells: Vec<Cell> = vec![
        Cell::from(&view.component),
        Cell::from(view.mode),
        Cell::from(weight),
        Cell::from(phase),
        Cell::painted(or_dash(view.state.map(|s| s.to_string())), style(view)),
        Cell::painted(or_dash(view.reason.map(|r| r.to_string())), style(view)),
        Cell::painted(or_dash(view.since.map(|at| coarse(ago(at, now)))), DIM),
        Cell::painted(or_dash(next), DIM),
    ];
    if several {
        cells.insert(0, Cell::from(&view.rollout));
    }
    if wide {
        cells.extend([
            Cell::from(percent(view.asked)),
            Cell::from(percent(view.observed)),
            Cell::from(or_dash(
                view.measured
                    .map(|m| format!("{} ({} to {})", m.share, m.low, m.high)),
            )),
            Cell::from(or_dash(view.held.map(|h| h.to_string()))),
            Cell::from(&view.message),
        ]);
    }
    cells
}

/// A length of time as its two largest units: a table needs no seconds beside days.
fn coarse(span: Span) -> String {
    let seconds = span.0.as_secs();
    let unit = match seconds {
        0..3600 => 1,
        3600..86_400 => 60,
        _ => 3600,
    };
    Span(Duration::from_secs(seconds / unit * unit)).to_string()
}

fn style(view: &View) -> Style {
    match view.state.map(Stands::state) {
        Some(State::RolledBack) => BAD,
        Some(State::Completed) => GOOD,
        _ if view::blocked(view) => LOOK,
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::find::example;
    use crate::cli::manifest::{self, Manifest};
    use crate::rollout::status::{ComponentStatus, GradualRolloutStatus, Weights};
    use crate::rollout::weight::Weight;

    #[test]
    fn what_the_doctor_found_stands_below_and_nothing_does_where_it_found_nothing() {
        let Some(Manifest::Rollout(mut rollout, _)) = manifest::read("x", &example("shop", "default")).pop()
        else {
            unreachable!()
        };
        let mut shown = |any: bool| {
            let mut status = GradualRolloutStatus::default();
            let now = "2026-03-02T09:00:00Z".parse().unwrap();
            let message = "D503 virtualservice default/shop: Flux applies it";
            crate::rollout::decide::conditions::set_condition(
                &mut status,
                "Findings",
                any,
                "D503",
                message,
                1,
                now,
            );
            rollout.status = Some(status);
            let mut out = Vec::new();
            findings(&mut out, &rollout, Some(60)).unwrap();
            anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
        };
        let found = shown(true);
        assert_eq!(shown(false), "");
        assert!(found.starts_with("found in shop: D503 virtualservice"), "{found}");
        assert!(found.lines().all(|line| line.chars().count() <= 60), "{found}");
    }

    #[test]
    fn a_spec_that_cannot_be_used_is_told_in_a_line_for_its_rollout_until_it_is_another() {
        let Some(Manifest::Rollout(mut rollout, _)) = manifest::read("x", &example("shop", "default")).pop()
        else {
            unreachable!()
        };
        let shop = ComponentStatus {
            name: "shop".into(),
            ..ComponentStatus::default()
        };
        let mut status = GradualRolloutStatus {
            components: vec![shop],
            ..GradualRolloutStatus::default()
        };
        let now = "2026-03-02T09:00:00Z".parse().unwrap();
        let told = ("spec.steps[1].weight: shop jumps", 4);
        crate::rollout::decide::conditions::set_condition(
            &mut status,
            "Ready",
            false,
            "InvalidSpec",
            told.0,
            told.1,
            now,
        );
        rollout.status = Some(status);
        let mut shown = |generation| {
            rollout.metadata.generation = Some(generation);
            let mut out = Vec::new();
            unusable(&mut out, &rollout, false, None).unwrap();
            anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
        };
        let said = shown(4);
        assert!(
            said.starts_with("InvalidSpec: the spec of shop cannot be used"),
            "{said}"
        );
        assert!(said.contains("shop jumps"), "{said}");
        assert_eq!(shown(5), "", "the daemon has not looked at that one yet");
        // One that was never any good has no component that could say so.
        let status = rollout.status.as_mut().unwrap();
        status.components.clear();
        crate::rollout::decide::conditions::set_condition(
            status,
            "Stalled",
            true,
            "InvalidSpec",
            told.0,
            told.1,
            now,
        );
        let shown = |told| {
            let mut out = Vec::new();
            unusable(&mut out, &rollout, told, None).unwrap();
            anstream::adapter::strip_str(&String::from_utf8(out).unwrap()).to_string()
        };
        let said = shown(false);
        assert!(
            said.starts_with("InvalidSpec: nothing of shop is worked"),
            "{said}"
        );
        assert_eq!(shown(true), "", "wide, its rows say it");
    }

    #[test]
    fn a_blocked_component_says_why_below_the_table() {
        let Some(Manifest::Rollout(mut rollout, _)) = manifest::read("x", &example("shop", "default")).pop()
        else {
            unreachable!()
        };
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let weight = Weight::from_percent(5).unwrap();
        let shop = ComponentStatus {
            name: "shop".into(),
            state: State::Walking,
            reason: Reason::Blind,
            message: "no fresh data\u{1b}[2J since 08:50".into(),
            phase: Some("steps".into()),
            step: Some(1),
            weight: Weights {
                asked: weight,
                written: weight,
                observed: Some(weight),
            },
            since: Some("2026-02-28T08:00:30Z".parse().unwrap()),
            next_check_at: Some("2026-03-02T09:00:10Z".parse().unwrap()),
            ..Default::default()
        };
        rollout.status = Some(GradualRolloutStatus {
            components: vec![shop],
            ..Default::default()
        });
        let mut out = Vec::new();
        picture(&mut out, &view::views(&rollout), false, false, now).unwrap();
        let text = String::from_utf8(anstream::adapter::strip_bytes(&out).into_vec()).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let words: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(
            words,
            [
                "shop", "dual", "5%", "steps", "1/5", "Walking", "Blind", "2d", "in", "10s"
            ]
        );
        assert_eq!(lines[2], "shop: no fresh data\\u{1b}[2J since 08:50");
    }
}
