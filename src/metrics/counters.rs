//! From raw counters to disjoint ticks. Pure: the same snapshots give the same readings, whatever the source.
//!
//! # Guarantees
//! - Every request is counted in at most one tick, so ticks never add up to more than what happened.
//! - Without pods that come or go (and with no tick skipped for darkness) they add up to exactly what happened.
//! - A series that appears on a pod that was seen before counts from 0: a first 5xx at 40 is 40 errors.
//! - A pod that is new as a whole starts at its first sample; one that comes back goes on from where it was.
//! - Both arms of a tick are read at the same instant, and each of their pods has a newer sample than before.

mod falls;
mod paces;

use super::delta::{ArmDelta, Pods, impossible, remember};
use super::histogram::on_bounds_of;
use super::snapshot::{ArmSnapshot, Snapshot};
use crate::rollout::sample::{Arm, Blindness, Counts, Dark, Reading, Tick};
use falls::Falls;
use jiff::Timestamp;
use paces::Paces;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The scrape period before it was learned.
const UNLEARNED_MS: i64 = 60_000;
/// A first pair of samples further apart than this has a gap between.
const SLOWEST_MS: i64 = 15 * 60_000;
/// No new sample for so many scrapes is darkness.
const SCRAPES: i64 = 3;
/// A cursor older than this is not resumed: what happened meanwhile stays unjudged.
const RESUMABLE_MS: i64 = 5 * 60_000;
/// A sample may be this far ahead of our clock, and our clock this far behind the last look.
const AHEAD_MS: i64 = 5_000;
/// How long a pod that is gone is remembered, so that its return is no birth.
const REMEMBERED_MS: i64 = 10 * 60_000;
/// So many beginnings in a row without a tick: the canary cannot be counted.
const BEGINNINGS: u8 = 3;

/// Where the source was last read. Persists as about 150 bytes, whatever the number of pods: the counters themselves
/// are read again from the source, at the same instant as before ([`Cursor::resume`]).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cursor {
    /// Where the next tick begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    /// What was asked.
    asked: String,
    /// The scrape period as the samples show it, in milliseconds; never shorter than it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    period_ms: Option<i64>,
    /// The canary was seen at this weight.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    canary_seen: bool,
    /// How often counting began anew since the last tick.
    #[serde(skip_serializing_if = "is_zero")]
    beginnings: u8,
    /// How far looks are apart where that is known, in milliseconds.
    #[serde(skip)]
    apart_ms: i64,
    /// The newest sample that was ever seen, whether it was fresh or not.
    #[serde(skip)]
    newest: Option<Timestamp>,
    /// When a newer sample last came that was too old already.
    #[serde(skip)]
    late_at: Option<Timestamp>,
    #[serde(skip)]
    canary: Pods,
    #[serde(skip)]
    control: Pods,
    /// Of the canary's pods and of control's.
    #[serde(skip)]
    falls: [Falls; 2],
    #[serde(skip)]
    paces: [Paces; 2],
    /// When the newest samples of the last look were scraped, whether it was a tick or not.
    #[serde(skip)]
    looked: [BTreeMap<String, Timestamp>; 2],
    /// How far apart the samples of either arm are, as far as it was learned, in milliseconds.
    #[serde(skip)]
    periods: [Option<i64>; 2],
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &u8) -> bool {
    *n == 0
}

impl Cursor {
    /// A cursor for looks that are so far apart: what lies between two of them is no gap, however far that is.
    pub fn looking_every(step: std::time::Duration) -> Self {
        Self {
            apart_ms: i64::try_from(step.as_millis()).unwrap_or(i64::MAX / 4),
            ..Self::default()
        }
    }

    /// Where the next tick begins; `None` before the first look.
    pub fn at(&self) -> Option<Timestamp> {
        self.at
    }

    /// The scrape period as the samples show it (never shorter than it is), once two samples of a pod were seen.
    pub fn scrape_period(&self) -> Option<std::time::Duration> {
        let millis = u64::try_from(self.period_ms?).ok()?;
        Some(std::time::Duration::from_millis(millis))
    }

    /// When the newest sample that was counted was scraped.
    pub fn newest_sample(&self) -> Option<Timestamp> {
        let pods = self.canary.values().chain(self.control.values());
        pods.map(|pod| pod.sampled_at).max()
    }

    /// Another weight was written: a canary without series is absent, not vanished, until it is seen again.
    pub fn weight_changed(&mut self) {
        self.canary_seen = false;
    }

    /// After a restart: the instant whose snapshot [`Cursor::restore`] needs, as long as resuming is worth it.
    pub fn resume(&self, now: Timestamp) -> Option<Timestamp> {
        let at = self.at?;
        let known = !self.canary.is_empty() || !self.control.is_empty();
        let age = now.as_millisecond() - at.as_millisecond();
        (!known && (1..=self.reach()).contains(&age)).then_some(at)
    }

    /// Takes the counters of the instant that [`Cursor::resume`] named, read again.
    pub fn restore(&mut self, snapshot: Snapshot) {
        let control = snapshot.control.unwrap_or_default().pods;
        let same = self.at == Some(snapshot.at) && self.asked == snapshot.asked;
        if same
            && impossible(&snapshot.canary.pods)
                .or_else(|| impossible(&control))
                .is_none()
        {
            self.canary = snapshot.canary.pods;
            self.control = control;
        }
    }

    fn period(&self) -> i64 {
        self.period_ms.unwrap_or(UNLEARNED_MS)
    }

    fn patience(&self) -> i64 {
        SCRAPES * self.period()
    }

    /// How far back counting goes on from.
    fn reach(&self) -> i64 {
        RESUMABLE_MS
            .max((SCRAPES + 1) * self.period())
            .max(2 * self.apart_ms)
    }

    /// Remembers whether samples keep coming that are too old already: then clocks disagree.
    fn notice(&mut self, look: &Look) {
        let too_old = look
            .newest
            .is_some_and(|newest| age(look.at, newest) > self.patience());
        if !too_old {
            self.late_at = None;
        } else if self.newest.is_some() && look.newest > self.newest {
            self.late_at = Some(look.at);
        }
        self.newest = look.newest.max(self.newest);
    }

    /// Counting begins at this snapshot.
    fn begin(&mut self, look: Look) {
        self.learn(&look);
        self.beginnings = self.beginnings.saturating_add(1);
        self.at = Some(look.at);
        self.canary_seen |= !look.canary.is_empty();
        self.canary = look.canary;
        self.control = look.control;
    }

    /// The shortest time between two samples of a pod, from look to look: ticks wait for pods that linger, and would make
    /// what is learned longer and longer. Slower scrapes are believed by and by. Of two arms the slower one's counts: an
    /// arm is not gone for being scraped more seldom than the other, and is waited for.
    fn learn(&mut self, look: &Look) {
        let apart = |known: &mut BTreeMap<String, Timestamp>, seen: &Pods| {
            known.retain(|name, _| seen.contains_key(name));
            let mut least: Option<i64> = None;
            for (name, pod) in seen {
                if let Some(before) = known.get_mut(name) {
                    let apart = age(pod.sampled_at, *before);
                    *before = pod.sampled_at.max(*before);
                    least = Some(apart)
                        .filter(|apart| *apart > 0)
                        .into_iter()
                        .chain(least)
                        .min();
                } else {
                    known.insert(name.clone(), pod.sampled_at);
                }
            }
            least
        };
        let arms = [&look.canary, &look.control];
        let all = self.looked.iter_mut().zip(arms).zip(&mut self.periods);
        let mut slowest: Option<i64> = None;
        for ((looked, pods), period) in all {
            if let Some(now) = apart(looked, pods) {
                *period = Some(match *period {
                    // A gap is no slower scrape: it is believed a little, and taken back at the next look.
                    Some(known) if now > known => known + (now.min(4 * known) - known) / 4,
                    Some(_) => now,
                    None => now.min(SLOWEST_MS),
                });
            }
            // Of an arm that is there and has shown no second sample yet, what was known before holds.
            if !pods.is_empty() {
                slowest = slowest.max(Some(period.or(self.period_ms).unwrap_or(UNLEARNED_MS)));
            }
        }
        if self.periods.iter().any(Option::is_some) {
            self.period_ms = slowest.or(self.period_ms);
        }
    }
}

/// A snapshot without the pods whose newest sample is too old.
struct Look {
    at: Timestamp,
    /// The newest sample of all, fresh or not.
    newest: Option<Timestamp>,
    canary: Pods,
    control: Pods,
    canary_stale: bool,
    control_stale: bool,
    control_asked: bool,
}

impl Look {
    fn new(at: Timestamp, canary: ArmSnapshot, control: Option<ArmSnapshot>, patience: i64) -> Self {
        let live = |arm: ArmSnapshot| -> (Pods, bool) {
            let any = !arm.pods.is_empty();
            let fresh = |pod: &super::snapshot::PodSnapshot| age(at, pod.sampled_at) <= patience;
            let live: Pods = arm.pods.into_iter().filter(|(_, pod)| fresh(pod)).collect();
            let stale = any && live.is_empty();
            (live, stale)
        };
        let pods = canary
            .pods
            .values()
            .chain(control.iter().flat_map(|arm| arm.pods.values()));
        let newest = pods.map(|pod| pod.sampled_at).max();
        let control_asked = control.is_some();
        let (canary, canary_stale) = live(canary);
        let (control, control_stale) = live(control.unwrap_or_default());
        Self {
            at,
            newest,
            canary,
            control,
            canary_stale,
            control_stale,
            control_asked,
        }
    }
}

fn age(at: Timestamp, sample: Timestamp) -> i64 {
    at.as_millisecond() - sample.as_millisecond()
}

/// What happened since the last look. Moves the cursor when that is a tick, and leaves it alone when there is
/// nothing to count yet or nothing that could be judged; an extra call is harmless.
pub fn advance(cursor: &mut Cursor, snapshot: Snapshot) -> Reading {
    let Snapshot {
        at,
        asked,
        canary,
        control,
        usual_rate,
    } = snapshot;
    if let Some(message) = unbelievable(at, &canary, control.as_ref()) {
        return blind(Dark::NotANumber, message);
    }
    if cursor.asked != asked {
        *cursor = Cursor {
            asked,
            period_ms: cursor.period_ms,
            apart_ms: cursor.apart_ms,
            ..Cursor::default()
        };
    }
    if let Some(before) = cursor.at.filter(|before| at <= *before) {
        if age(before, at) <= AHEAD_MS {
            return Reading::Waiting;
        }
        let message = "our clock was set back: nothing is counted twice, so nothing is counted until it has passed the \
                       last look again; see that it is right now";
        return blind(Dark::Partial, message);
    }
    let look = Look::new(at, canary, control, cursor.patience());
    cursor.notice(&look);
    if let Some(reading) = dark(cursor, &look) {
        return reading;
    }
    let Some(from) = cursor.at else {
        cursor.begin(look);
        return Reading::Waiting;
    };
    if age(at, from) > cursor.reach() {
        cursor.begin(look);
        return Reading::Waiting;
    }
    cursor.learn(&look);
    if waits(&cursor.canary, &look.canary, at, cursor.period())
        || waits(&cursor.control, &look.control, at, cursor.period())
    {
        return Reading::Waiting;
    }
    tick(cursor, look, from, usual_rate)
}

/// What no exporter and no clock can say, whatever was read before.
fn unbelievable(at: Timestamp, canary: &ArmSnapshot, control: Option<&ArmSnapshot>) -> Option<String> {
    let arms = [("canary", Some(canary)), ("control", control)];
    arms.into_iter()
        .filter_map(|(side, arm)| Some((side, &arm?.pods)))
        .find_map(|(side, pods)| {
            let count = impossible(pods).map(|(pod, count)| {
                format!(
                    "{side}: the requests of {pod} are counted as {count}, which no counter can say: look at that exporter, \
                     and at rules that record its series"
                )
            });
            let ahead = || {
                let pods = pods.iter().map(|(name, pod)| (name, age(pod.sampled_at, at)));
                let (name, _) = pods.filter(|(_, ahead)| *ahead > AHEAD_MS).max_by_key(|(_, ahead)| *ahead)?;
                Some(format!(
                    "{side}: the newest sample of {name} is more than {} s ahead of our clock: set both machines' \
                     clocks right",
                    AHEAD_MS / 1000
                ))
            };
            count.or_else(ahead)
        })
}

/// Darkness that shows in a single look.
fn dark(cursor: &Cursor, look: &Look) -> Option<Reading> {
    let scrape = cursor.period() / 1000;
    if look.canary_stale || (look.control_stale && look.canary.is_empty()) {
        let arm = if look.canary_stale { "canary" } else { "control" };
        if cursor
            .late_at
            .is_some_and(|late| age(look.at, late) <= cursor.patience())
        {
            let message = format!(
                "{arm}: samples keep coming, and by our clock all are more than {SCRAPES} scrapes of {scrape} s old: \
                 set this machine's clock and Prometheus' right, or see why samples are stored so late"
            );
            return Some(blind(Dark::Partial, message));
        }
        let message = format!(
            "{arm}: the newest sample is more than {SCRAPES} scrapes of {scrape} s old: look at the scraping, and at the \
             clocks"
        );
        return Some(blind(Dark::Stale, message));
    }
    if !look.canary.is_empty() {
        return None;
    }
    if !cursor.canary_seen {
        if !look.control.is_empty() {
            return None;
        }
        if cursor.at.is_none() || cursor.control.is_empty() {
            let message =
                "the source has no series for the labels of either arm: check them, and that it scrapes them";
            return Some(blind(Dark::Empty, message));
        }
    } else if !look.control.is_empty() || !look.control_asked {
        let message =
            "the canary's series, seen before at this weight, are gone: its pods or their scraping stopped";
        return Some(blind(Dark::Vanished, message));
    }
    // Nothing is left of anything: that says more of the source than of the canary.
    let known = cursor.canary.values().chain(cursor.control.values());
    let newest = known
        .map(|pod| age(look.at, pod.sampled_at))
        .min()
        .unwrap_or(i64::MAX);
    Some(if newest <= cursor.patience() {
        Reading::Waiting
    } else {
        blind(
            Dark::Stale,
            "the series of both arms, seen before, are gone: look at the source and what it scrapes",
        )
    })
}

/// Whether an arm has a pod whose next sample is worth waiting for: one that is late by a scrape is not, unless no
/// other has moved either.
fn waits(known: &Pods, seen: &Pods, at: Timestamp, period: i64) -> bool {
    let still = |(name, pod): &(&String, &super::snapshot::PodSnapshot)| {
        known
            .get(*name)
            .is_some_and(|before| pod.sampled_at <= before.sampled_at)
    };
    let late = |pod: &super::snapshot::PodSnapshot| age(at, pod.sampled_at) > 2 * period;
    let due = seen.iter().filter(still).any(|(_, pod)| !late(pod));
    due || (!seen.is_empty() && seen.iter().all(|entry| still(&entry)))
}

fn tick(cursor: &mut Cursor, look: Look, from: Timestamp, usual_rate: Option<f64>) -> Reading {
    if let Some(message) = falling(cursor, &look) {
        cursor.begin(look);
        return blind(Dark::NotANumber, message);
    }
    let [canary_falls, control_falls] = &cursor.falls;
    let [canary_paces, control_paces] = &mut cursor.paces;
    let canary = delta(
        [&cursor.canary, &cursor.control, &look.canary],
        canary_falls,
        canary_paces,
    );
    let control = delta(
        [&cursor.control, &cursor.canary, &look.control],
        control_falls,
        control_paces,
    );
    if canary.counted == 0 && !look.canary.is_empty() {
        // Its series are there, but not since the last look: what control did alone meanwhile compares with nothing.
        cursor.begin(look);
        if cursor.beginnings > BEGINNINGS {
            let message = "the canary's pods are replaced or restarted faster than they can be counted";
            return blind(Dark::Vanished, message);
        }
        return Reading::Waiting;
    }
    let mut seen = [&canary, &control].map(|arm| (arm.counted > 0).then(|| arm.counts()));
    let [canary_counts, control_counts] = &mut seen;
    compare(canary_counts.as_mut(), control_counts.as_mut());
    let [canary_counts, control_counts] = seen.map(|counts| counts.map_or(Arm::Absent, Arm::Seen));
    let tick = Tick {
        from,
        to: look.at,
        canary: canary_counts,
        control: if look.control_asked {
            control_counts
        } else {
            Arm::NotAsked
        },
        usual_rate,
    };
    cursor.beginnings = 0;
    cursor.at = Some(look.at);
    cursor.canary_seen |= !look.canary.is_empty();
    let forget = look.at.as_millisecond() - REMEMBERED_MS.max(cursor.patience());
    remember(&mut cursor.canary, look.canary, forget);
    remember(&mut cursor.control, look.control, forget);
    Reading::Fresh(tick)
}

/// What an arm did, by what was known of it and of the other.
fn delta([known, other, seen]: [&Pods; 3], falls: &Falls, paces: &mut Paces) -> ArmDelta {
    let believed =
        |name: &str, gained: f64, seconds: f64| !falls.lately(name) || paces.allows(name, gained, seconds);
    let delta = ArmDelta::between(known, other, seen, &believed);
    paces.note(known, seen, |name| falls.lately(name));
    delta
}

/// What is no counter, although each of its samples could be one's.
fn falling(cursor: &mut Cursor, look: &Look) -> Option<String> {
    let [canary, control] = &mut cursor.falls;
    canary.note(&cursor.canary, &look.canary);
    control.note(&cursor.control, &look.control);
    [("canary", &cursor.falls[0]), ("control", &cursor.falls[1])]
        .into_iter()
        .find_map(|(side, falls)| {
            falls.too_many().map(|name| {
                format!(
                    "{side}: the requests of {name} fall again and again, which no counter does: see that the series is \
                     a counter, and that the process does not restart at every scrape"
                )
            })
        })
}

/// Brings both arms' histograms to common bounds. Without any in common each keeps its own.
fn compare(canary: Option<&mut Counts>, control: Option<&mut Counts>) {
    let ours = canary.and_then(|counts| counts.latency.as_mut());
    let theirs = control.and_then(|counts| counts.latency.as_mut());
    if let (Some(ours), Some(theirs)) = (ours, theirs)
        && let (Some(a), Some(b)) = (on_bounds_of(ours, theirs), on_bounds_of(theirs, ours))
    {
        *ours = a;
        *theirs = b;
    }
}

fn blind(kind: Dark, message: impl Into<String>) -> Reading {
    Reading::Blind(Blindness {
        kind,
        message: message.into(),
    })
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
