//! Where a story is shown: a picture that is redrawn on a terminal, a line per event anywhere else.

use super::observer::{Move, Observer, Row};
use super::progress::{Frame, brief, lines, moment};
use super::report::Report;
use crate::rollout::reason::Reason;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write};
use std::time::Duration;

/// How often the picture is redrawn, on the wall.
const REDRAW: Duration = Duration::from_millis(100);

/// How a story is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A picture, redrawn.
    Live {
        /// With colours.
        colour: bool,
    },
    /// A line per event.
    Lines,
    /// The same as JSON.
    Json,
    /// Not at all.
    Silent,
}

impl Form {
    /// What suits the standard output.
    pub fn fitting(json: bool) -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        if json {
            Self::Json
        } else if std::io::stdout().is_terminal()
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
        {
            Self::Live {
                colour: !set("NO_COLOR"),
            }
        } else {
            Self::Lines
        }
    }
}

/// Shows one story.
pub(super) struct Screen {
    form: Form,
    out: Box<dyn Write + Send>,
    /// Lines of the picture that stands.
    drawn: usize,
    drawn_at: Option<Duration>,
    moves: usize,
    told: BTreeMap<String, Reason>,
}

impl Screen {
    pub(super) fn new(form: Form, out: Box<dyn Write + Send>) -> Self {
        Self {
            form,
            out,
            drawn: 0,
            drawn_at: None,
            moves: 0,
            told: BTreeMap::new(),
        }
    }

    /// Says something beside the picture.
    pub(super) fn say(&mut self, text: &str) -> std::io::Result<()> {
        match self.form {
            Form::Live { .. } | Form::Lines => {
                // The next picture is drawn below.
                self.drawn = 0;
                writeln!(self.out, "{text}")?;
                self.out.flush()
            }
            Form::Json | Form::Silent => Ok(()),
        }
    }

    /// Shows where things stand; a picture only as often as eyes can follow, unless it is the last.
    pub(super) fn show(&mut self, frame: &Frame<'_>, observer: &Observer, last: bool) -> std::io::Result<()> {
        match self.form {
            Form::Silent => Ok(()),
            Form::Live { colour } => {
                if !last && self.drawn_at.is_some_and(|at| frame.wall < at + REDRAW) {
                    return Ok(());
                }
                self.drawn_at = Some(frame.wall);
                self.draw(frame, colour)
            }
            Form::Lines | Form::Json => self.events(frame, observer),
        }
    }

    fn draw(&mut self, frame: &Frame<'_>, colour: bool) -> std::io::Result<()> {
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        let lines = lines(frame, width, colour);
        let mut text = match self.drawn {
            0 => String::new(),
            drawn => format!("\x1b[{drawn}A"),
        };
        for line in &lines {
            text += "\r\x1b[2K";
            text += line;
            text.push('\n');
        }
        self.drawn = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn events(&mut self, frame: &Frame<'_>, observer: &Observer) -> std::io::Result<()> {
        let fresh: Vec<Move> = observer.moves().skip(self.moves).collect();
        self.moves += fresh.len();
        for one in &fresh {
            self.moved(one)?;
        }
        for row in observer.rows() {
            // Before its turn nobody has looked at a component's metrics, and nothing is wrong with that.
            let early = row.reason == Reason::Blind && row.weight.written.is_zero();
            if !early
                && remarkable(row.reason)
                && self.told.insert(row.name.clone(), row.reason) != Some(row.reason)
            {
                self.stands(frame, row)?;
            }
        }
        self.out.flush()
    }

    fn moved(&mut self, one: &Move) -> std::io::Result<()> {
        if self.form == Form::Json {
            let event = json!({
                "at": one.at, "component": one.component, "from": one.from.percent(), "to": one.to.percent(),
                "reason": one.reason,
            });
            return writeln!(self.out, "{event}");
        }
        let change = format!("{} → {}", one.from, one.to);
        writeln!(
            self.out,
            "{}  {:<12} {change:<14} {}",
            moment(one.at),
            one.component,
            one.reason
        )
    }

    fn stands(&mut self, frame: &Frame<'_>, row: &Row) -> std::io::Result<()> {
        if self.form == Form::Json {
            let event = json!({
                "at": frame.now, "component": row.name, "weight": row.weight.written.percent(),
                "reason": row.reason, "message": row.message,
            });
            return writeln!(self.out, "{event}");
        }
        let at = moment(frame.now);
        writeln!(
            self.out,
            "{at}  {:<12} {:<14} {}: {}",
            row.name, row.weight.written, row.reason, row.message
        )
    }

    /// Says how the story ended.
    pub(super) fn end(&mut self, report: &Report) -> std::io::Result<()> {
        match self.form {
            Form::Silent => return Ok(()),
            Form::Json => writeln!(self.out, "{}", report.line())?,
            Form::Live { .. } | Form::Lines => {
                let verdict = if report.reached {
                    "as expected"
                } else {
                    "NOT as expected"
                };
                writeln!(self.out, "{verdict}: {}", report.expected)?;
                for missing in &report.missing {
                    writeln!(self.out, "  {missing}")?;
                }
                for ended in &report.components {
                    if let Some(took) = ended.breach_to_zero_ms {
                        writeln!(
                            self.out,
                            "{} was at 0% {took} ms after the breach was visible",
                            ended.name
                        )?;
                    }
                }
                let story = brief(Duration::from_secs_f64(report.virtual_seconds.max(0.0)));
                writeln!(self.out, "{story} in {:.1}s", report.wall_seconds)?;
            }
        }
        self.out.flush()
    }
}

/// Reasons that are worth a line of their own; the others come and go with every look.
const fn remarkable(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::Blind
            | Reason::SharedOutage
            | Reason::ControlBad
            | Reason::NotArriving
            | Reason::NotAchievable
            | Reason::RouteNotAccepted
            | Reason::AwaitingApproval
            | Reason::WaitingForChecklist
            | Reason::DependencyFailed
            | Reason::AutomaticRetry
            | Reason::Drifted
            | Reason::Breach
            | Reason::LostTraffic
            | Reason::Completed
            | Reason::PhaseFailed
            | Reason::SpecChanged
            | Reason::RouterUnreadable
            | Reason::NotLowered
            | Reason::WriteFailed
    )
}
