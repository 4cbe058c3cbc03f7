//! What Prometheus remembers: both arms' raw counters at many instants of the past.
//!
//! The query is the one that is asked about a single instant, so each of the snapshots is what would have been read
//! then, staleness and all, and [`super::advance`] walks them to the same ticks.

use super::answer::{self, Recorded, Said, Series, Unusable};
use super::ask::Ask;
use super::gauge::Sample;
use super::query;
use super::snapshot::Snapshot;
use super::split::split;
use super::wire::{Failure, Question, Wire};
use crate::rollout::sample::{Blindness, Dark};
use jiff::Timestamp;
use std::time::Duration;

/// Instants in one call. 50,000 snapshots of a few pods are some hundred MB: more is asked for in several calls.
pub(crate) const MOST_INSTANTS: u32 = 50_000;
/// Instants in one query: Prometheus answers at most 11,000, and an answer must be read within the time-out.
const POINTS: u32 = 1_000;
/// A query about so few instants is not divided further.
const FEWEST_POINTS: u32 = 8;
/// How often a time-out is answered by asking for less; a source that is down is not asked for ever.
const TIMEOUTS: u32 = 2;

/// The instants that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    from_second: i64,
    step_seconds: u32,
    points: u32,
}

impl Stretch {
    /// The instants from `from` (rounded up to a whole second) to `to`, both included.
    pub(crate) fn new(from: Timestamp, to: Timestamp, step: Duration) -> Result<Self, Blindness> {
        let refused = |message: String| {
            Err(Blindness {
                kind: Dark::Refused,
                message,
            })
        };
        let step_seconds = u32::try_from(step.as_secs()).unwrap_or(u32::MAX);
        if step_seconds == 0 || step.subsec_nanos() > 0 {
            return refused(format!("history every {step:?}: ask for it in whole seconds"));
        }
        let from_second = from.as_second() + i64::from(from.subsec_nanosecond() > 0);
        let steps = (to.as_second() - from_second).div_euclid(i64::from(step_seconds));
        match u32::try_from(steps) {
            Ok(steps) if steps < MOST_INSTANTS => Ok(Self {
                from_second,
                step_seconds,
                points: steps + 1,
            }),
            Ok(_) => refused(format!(
                "history from {from} to {to} every {step:?}: more than {MOST_INSTANTS} instants, ask for it in parts"
            )),
            Err(_) if steps < 0 => refused(format!(
                "history from {from} to {to}: the end is before the beginning"
            )),
            Err(_) => refused(format!("history from {from} to {to}: ask for less")),
        }
    }

    /// Every instant.
    pub(crate) fn instants(self) -> impl Iterator<Item = Timestamp> {
        (0..self.points).map(move |place| self.at(place))
    }

    fn second(self, place: u32) -> i64 {
        self.from_second
            .saturating_add(i64::from(place).saturating_mul(i64::from(self.step_seconds)))
    }

    fn at(self, place: u32) -> Timestamp {
        Timestamp::from_second(self.second(place)).unwrap_or(Timestamp::MAX)
    }

    fn part(self, place: u32, points: u32) -> Self {
        Self {
            from_second: self.second(place),
            points: points.min(self.points - place),
            ..self
        }
    }
}

/// See [`super::Source::history`].
pub(crate) async fn read(
    wire: &Wire,
    ask: &Ask,
    from: Timestamp,
    to: Timestamp,
    step: Duration,
) -> Result<Vec<Snapshot>, Blindness> {
    let all = Stretch::new(from, to, step)?;
    let promql = query::render(&[ask]).map_err(|error| Blindness {
        kind: Dark::Refused,
        message: error.to_string(),
    })?;
    read_parts(wire, &promql, all, |part| {
        let ask = ask.clone();
        move |status, body: &[u8]| snapshots(&ask, part, answer::read_range(status, body)?)
    })
    .await
}

/// See [`super::Source::vectors`].
pub(crate) async fn read_vectors(
    wire: &Wire,
    promql: &str,
    from: Timestamp,
    to: Timestamp,
    step: Duration,
) -> Result<Vec<Vec<Sample>>, Blindness> {
    let all = Stretch::new(from, to, step)?;
    read_parts(wire, promql, all, |part| {
        move |status, body: &[u8]| Ok(vectors(part, answer::read_range(status, body)?))
    })
    .await
}

/// Asks about a stretch part by part, by smaller parts when that is too much.
async fn read_parts<T, R>(
    wire: &Wire,
    promql: &str,
    all: Stretch,
    understood: impl Fn(Stretch) -> R,
) -> Result<Vec<T>, Blindness>
where
    R: Fn(u16, &[u8]) -> Result<Vec<T>, Unusable> + Clone + Send + 'static,
    T: Send + 'static,
{
    let mut read = Vec::new();
    let (mut place, mut points, mut timeouts) = (0, POINTS, 0);
    while place < all.points {
        let part = all.part(place, points);
        let question = Question::Range {
            promql: promql.to_owned(),
            from_second: part.from_second,
            step_seconds: part.step_seconds,
            points: part.points,
        };
        match wire.ask(&question, understood(part)).await {
            Ok((more, _)) => {
                read.extend(more);
                place += part.points;
            }
            Err(Failure { blindness, fault }) => {
                let divisible = fault.is_of_the_question();
                timeouts += u32::from(!divisible);
                let hopeless = part.points <= FEWEST_POINTS || timeouts > TIMEOUTS;
                if hopeless || !(divisible || blindness.kind == Dark::Down) {
                    return Err(blindness);
                }
                points = part.points / 2;
            }
        }
    }
    Ok(read)
}

/// One series as it is walked: what it says at the instant in hand, and what it will say.
struct Walked<'a> {
    series: Series<'a>,
    coming: std::iter::Peekable<std::vec::IntoIter<(f64, Said<'a>)>>,
    speaks: bool,
}

impl<'a> Walked<'a> {
    fn new(recorded: Recorded<'a>) -> Self {
        let (labels, told) = recorded.told();
        Self {
            series: Series::saying(labels, f64::NAN),
            coming: told.into_iter().peekable(),
            speaks: false,
        }
    }

    fn walk_to(&mut self, at: Timestamp) {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
        let second = at.as_second() as f64;
        // Instants are whole seconds; what is printed of them may be off by a hair.
        while self.coming.next_if(|(when, _)| *when < second - 0.5).is_some() {}
        let value = self.coming.next_if(|(when, _)| *when < second + 0.5);
        self.speaks = value.is_some();
        if let Some(value) = value {
            self.series.say(value);
        }
    }
}

/// The series of each instant, in order.
fn vectors(part: Stretch, answer: Vec<Recorded<'_>>) -> Vec<Vec<Sample>> {
    let mut walked: Vec<Walked<'_>> = answer.into_iter().map(Walked::new).collect();
    let at = |at: Timestamp| {
        for series in &mut walked {
            series.walk_to(at);
        }
        let speaking = walked.iter().filter(|walked| walked.speaks);
        speaking.map(|walked| Sample::of(&walked.series)).collect()
    };
    part.instants().map(at).collect()
}

/// One snapshot per instant, in order.
fn snapshots(ask: &Ask, part: Stretch, answer: Vec<Recorded<'_>>) -> Result<Vec<Snapshot>, Unusable> {
    let mut walked: Vec<Walked<'_>> = answer.into_iter().map(Walked::new).collect();
    let at = |at: Timestamp| {
        for series in &mut walked {
            series.walk_to(at);
        }
        let speaking = walked.iter().filter(|walked| walked.speaks);
        let snapshot = split(&[ask], at, speaking.map(|walked| &walked.series))
            .into_iter()
            .next();
        snapshot.unwrap_or_else(|| Ok(Snapshot::empty(ask, at)))
    };
    part.instants().map(at).collect()
}

/// Answers about a range, as they are walked.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing {
    use super::{Ask, Recorded, Stretch, Timestamp, snapshots, vectors};
    use std::time::Duration;

    pub(crate) fn walked(ask: &Ask, from: Timestamp, recorded: Vec<Recorded<'_>>) {
        let to = from.saturating_add(Duration::from_secs(120)).unwrap_or(from);
        let Ok(part) = Stretch::new(from, to, Duration::from_secs(15)) else {
            return;
        };
        let again = recorded
            .iter()
            .map(|series| Recorded {
                metric: series.metric.clone(),
                values: series.values.clone(),
                histograms: series.histograms.clone(),
            })
            .collect();
        assert_eq!(vectors(part, again).len(), 9);
        if let Ok(snapshots) = snapshots(ask, part, recorded) {
            assert_eq!(snapshots.len(), 9);
            crate::metrics::slices::slices(snapshots);
        }
    }
}

#[cfg(test)]
mod tests;
