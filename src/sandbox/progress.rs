//! The picture on the terminal: one line per component.

use super::observer::Row;
use crate::rollout::reason::{Reason, State};
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::Duration;

/// What is shown at one moment.
#[derive(Clone, Debug)]
pub(super) struct Frame<'a> {
    /// The story's name and what happens in it.
    pub(super) title: String,
    /// The story's time.
    pub(super) now: Timestamp,
    /// How long the story lasts, in its own time.
    pub(super) elapsed: Duration,
    /// The same on the wall.
    pub(super) wall: Duration,
    /// The components.
    pub(super) rows: &'a [Row],
}

/// Cells of a bar where there is room; below [`SHORTEST`] it is left out.
const BAR: usize = 24;
const SHORTEST: usize = 8;
/// Columns that everything but the name and the bar takes.
const FIXED: usize = 44;

const GOOD: &str = "\x1b[32m";
const BAD: &str = "\x1b[31m";
const ODD: &str = "\x1b[33m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// The lines of a frame, none wider than `width` columns.
pub(super) fn lines(frame: &Frame<'_>, width: usize, colour: bool) -> Vec<String> {
    let paint = |style: &str, text: &str| {
        if colour && !text.is_empty() {
            format!("{style}{text}{PLAIN}")
        } else {
            text.to_owned()
        }
    };
    let clock = format!(
        "{} · day {} · {:.1}s",
        moment(frame.now),
        day(frame.elapsed),
        frame.wall.as_secs_f64()
    );
    let mut lines = vec![
        paint(DIM, &cut(&frame.title, width)),
        paint(DIM, &cut(&clock, width)),
    ];
    let names = frame
        .rows
        .iter()
        .map(|row| row.name.chars().count())
        .max()
        .unwrap_or(0)
        .min(24);
    let cells = width.saturating_sub(names + FIXED).min(BAR);
    for row in frame.rows {
        let style = style(row);
        let weight = row.weight.written;
        let name = format!("{:<names$} ", cut(&row.name, names));
        let bar = if cells >= SHORTEST {
            bar(weight, cells)
        } else {
            String::new()
        };
        let percent = format!("{:>6} ", weight.to_string());
        let phase = format!(" {:<11}", cut(row.phase.as_deref().unwrap_or("-"), 11));
        let why = match row.held {
            Some(held) if row.reason == Reason::HoldingStep => format!(" {} {}", row.reason, brief(held.0)),
            _ => format!(" {}", row.reason),
        };
        let mut left = width;
        let mut line = String::new();
        for (part, style) in [
            (name, PLAIN),
            (bar, style),
            (percent, style),
            (phase, DIM),
            (why, style),
        ] {
            let part = cut(&part, left);
            left -= part.chars().count();
            line += &paint(style, &part);
        }
        lines.push(line);
    }
    lines
}

fn style(row: &Row) -> &'static str {
    match row.state {
        State::Completed => GOOD,
        State::RolledBack => BAD,
        State::Drifted | State::Manual | State::Orphaned => ODD,
        State::Walking if odd(row.reason) => ODD,
        State::Walking => PLAIN,
    }
}

const fn odd(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Blind
            | Reason::SharedOutage
            | Reason::ControlBad
            | Reason::NotArriving
            | Reason::NotAchievable
            | Reason::RouteNotAccepted
    )
}

fn bar(weight: Weight, cells: usize) -> String {
    let full = (usize::from(weight.permille()) * cells).div_ceil(1000);
    format!("{}{}", "█".repeat(full), "░".repeat(cells - full))
}

/// The first `width` characters; the last of them `…` when some are missing.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    if width == 0 { kept } else { format!("{kept}…") }
}

/// A length of time in its two greatest units.
pub(super) fn brief(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

fn day(elapsed: Duration) -> u64 {
    elapsed.as_secs() / 86_400 + 1
}

/// A time as the tenants' clocks show it.
pub(super) fn moment(at: Timestamp) -> String {
    let zone = TimeZone::get("Asia/Shanghai").unwrap_or(TimeZone::UTC);
    at.to_zoned(zone).strftime("%a %e %b %H:%M").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::duration::Span;
    use crate::rollout::status::Weights;

    fn row(name: &str, percent: u16, state: State, reason: Reason) -> Row {
        let written = Weight::from_percent(percent).unwrap();
        Row {
            name: name.into(),
            state,
            reason,
            phase: Some("widen".into()),
            weight: Weights {
                written,
                ..Weights::default()
            },
            held: Some(Span::secs(93_784)),
            ..Row::default()
        }
    }

    fn frame(rows: &[Row]) -> Frame<'_> {
        Frame {
            title: "errors: one canary fails".into(),
            now: "2026-01-08T02:02:00Z".parse().unwrap(),
            elapsed: Duration::from_secs(3 * 86_400 + 120),
            wall: Duration::from_millis(2340),
            rows,
        }
    }

    #[test]
    fn a_line_says_name_weight_phase_and_reason() {
        let rows = [
            row("terminal", 50, State::Walking, Reason::HoldingStep),
            row("db-adminer", 0, State::RolledBack, Reason::Breach),
        ];
        let lines = lines(&frame(&rows), 100, false);
        assert_eq!(lines[1], "Thu  8 Jan 10:02 · day 4 · 2.3s");
        assert_eq!(
            lines[2],
            "terminal   ████████████░░░░░░░░░░░░   50%  widen       HoldingStep 1d02h"
        );
        assert_eq!(
            lines[3],
            "db-adminer ░░░░░░░░░░░░░░░░░░░░░░░░    0%  widen       Breach"
        );
    }

    #[test]
    fn a_narrow_terminal_loses_the_bar_and_never_wraps() {
        let rows = [row(
            "a-component-with-a-very-long-name",
            100,
            State::Walking,
            Reason::PromotedInsufficient,
        )];
        for width in [0, 1, 10, 40, 59, 75, 76, 84, 200] {
            for line in lines(&frame(&rows), width, false) {
                assert!(line.chars().count() <= width.max(1), "{width}: {line:?}");
                assert!(width >= 76 || !line.contains('█'), "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn without_colour_there_is_no_escape() {
        let rows = [row("a", 0, State::RolledBack, Reason::Breach)];
        assert!(!lines(&frame(&rows), 80, false).concat().contains('\x1b'));
        assert!(lines(&frame(&rows), 80, true).concat().contains(BAD));
    }

    #[test]
    fn lengths_of_time_are_brief() {
        let said = [0, 59, 60, 3661, 90_000].map(|s| brief(Duration::from_secs(s)));
        assert_eq!(said, ["0s", "59s", "1m", "1h01m", "1d01h"]);
    }
}
