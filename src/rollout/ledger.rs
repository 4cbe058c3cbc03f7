//! What was counted at a weight: the judge's memory. It only counts and remembers; [`super::judge`] concludes.
//!
//! Coarse and small, for it is persisted in the status: look-backs are made of a few slots and rounded up to a
//! whole slot, "all data, at most 24 h" of two rotating blocks of 12 h. Where few requests come, rings keep wider slots of
//! what is older than any look-back, until the rest holds as many as promotion asks of its last window.

use super::aim::Aim;
use super::check::{CheckRule, Metric};
use super::dispersion::Noise;
use super::duration::Span;
use super::evidence::real;
use super::judge::{Context, measured, needed_in_window};
use super::late;
use super::lines::LineEvidence;
use super::packed;
use super::sample::{Arm, Blindness, Counts, Dark, Reading, Tick};
use super::tally::{Depth, Ring, Tally};
use crate::rollout::sabotage;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A gap in the ticks up to this is a restart, not darkness: what was running goes on.
const SHORT_GAP: Duration = Duration::from_secs(300);

/// How long nothing may be seen before that is darkness: one look may be missed, whatever lies between two of them.
pub(super) fn short_gap(interval: Duration) -> Duration {
    SHORT_GAP.max(2 * interval)
}

const HALF_DAY: Duration = Duration::from_secs(12 * 3600);
/// A canary without a ready endpoint at so many looks in a row is gone.
const GONE: u8 = 2;
/// A failing tick has at least so many failures, and at least half of its requests fail.
const DISASTER: f64 = 5.0;

/// Everything that was counted since a weight was written. Serialises compactly: it is persisted in the status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ledger {
    /// Time judged on fresh data since settle.
    pub judged: Span,
    /// By which arms it was counted: the canary's, and control's.
    #[serde(rename = "h", skip_serializing_if = "Option::is_none")]
    pub(super) arms: Option<[u32; 2]>,
    /// When the weight was written.
    #[serde(rename = "s")]
    pub(super) since: Timestamp,
    /// From when on data is judged.
    #[serde(rename = "j")]
    pub(super) settled_at: Timestamp,
    /// Where the last fresh tick ended.
    #[serde(rename = "t", skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Timestamp>,
    /// Whether control's series were there in the last tick.
    #[serde(rename = "c", skip_serializing_if = "std::ops::Not::not")]
    pub(super) control_seen: bool,
    /// Whether the canary's series were there in any tick of this weight.
    #[serde(rename = "n", skip_serializing_if = "std::ops::Not::not")]
    pub(super) canary_seen: bool,
    /// What keeps us from seeing, and since when.
    #[serde(rename = "d", skip_serializing_if = "Option::is_none")]
    pub(super) dark: Option<Darkness>,
    /// Requests per second of both arms at the weight before.
    #[serde(rename = "r", skip_serializing_if = "Option::is_none")]
    pub(super) rate_before: Option<f64>,
    /// The usual requests per second at this hour, as the source last said.
    #[serde(rename = "u", skip_serializing_if = "Option::is_none")]
    pub(super) usual: Option<f64>,
    /// Everything since the raise, settle included: for requests that are lost and for a canary that never works.
    #[serde(rename = "a")]
    pub(super) raise: Tally,
    /// All judged data, the running 12 h and those before.
    #[serde(rename = "b")]
    pub(super) blocks: [Tally; 2],
    /// When the running block began.
    #[serde(rename = "bs", skip_serializing_if = "Option::is_none")]
    pub(super) block_since: Option<Timestamp>,
    /// The look-backs, without latencies.
    #[serde(rename = "w")]
    pub(super) recent: Ring,
    /// The last window of latencies, in fewer slots.
    #[serde(rename = "l")]
    pub(super) slow: Ring,
    /// Upper bounds of the latency buckets, in milliseconds.
    #[serde(
        rename = "le",
        skip_serializing_if = "Vec::is_empty",
        serialize_with = "packed::short"
    )]
    pub(super) bounds: Vec<f64>,
    /// Sequential evidence, one entry per line that some check draws.
    #[serde(rename = "e", skip_serializing_if = "Vec::is_empty")]
    pub(super) lines: Vec<LineEvidence>,
    /// How much more control's bad requests vary than independent ones would.
    #[serde(rename = "q", skip_serializing_if = "Noise::is_unknown")]
    pub(super) noise: Noise,
    /// Control's quantile by which latencies are compared: of the weight before until there is one of this.
    #[serde(rename = "p", skip_serializing_if = "Option::is_none")]
    pub(super) pivot: Option<Pivot>,
    /// At which bounds latencies are compared with control's; of the weight before until there are some of this.
    #[serde(rename = "ai", skip_serializing_if = "Vec::is_empty")]
    pub(super) aims: Vec<Aim>,
    /// Since when each measured check is over its rollback limit without a gap.
    #[serde(rename = "o", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) over: BTreeMap<String, Timestamp>,
    /// Since when, without a gap, some check is surely past its rollback limit while control has too little of the
    /// traffic to say whether it is, too.
    #[serde(rename = "dt", skip_serializing_if = "Option::is_none")]
    pub(super) doubted: Option<Timestamp>,
    /// A request of the canary's own succeeded since the raise.
    #[serde(rename = "ok", skip_serializing_if = "std::ops::Not::not")]
    pub(super) answered: bool,
    /// Connections that the canary was promised by its weight and has neither ended nor been lent; see
    /// [`super::late`].
    #[serde(rename = "ow", skip_serializing_if = "super::late::is_settled")]
    pub(super) owed: f64,
    /// Looks in a row at which the canary had no ready endpoint, and control had.
    #[serde(rename = "z", skip_serializing_if = "is_zero")]
    pub(super) gone: u8,
    /// Disastrous ticks in a row.
    #[serde(rename = "x", skip_serializing_if = "is_zero")]
    pub(super) disasters: u8,
    /// What control did in them.
    #[serde(rename = "xc", skip_serializing_if = "Option::is_none")]
    pub(super) disaster: Option<[u64; 4]>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u8) -> bool {
    *n == 0
}

/// What keeps us from seeing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Darkness {
    #[serde(rename = "k", with = "DarkName")]
    pub(super) kind: Dark,
    #[serde(rename = "s")]
    pub(super) since: Timestamp,
    #[serde(rename = "m")]
    pub(super) message: String,
}

/// A quantile of control's, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Pivot {
    #[serde(rename = "q")]
    pub(super) quantile: f64,
    #[serde(rename = "m")]
    pub(super) millis: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Dark")]
enum DarkName {
    Down,
    Vanished,
    Empty,
    Stale,
    Partial,
    NotANumber,
    Refused,
    NotYet,
}

impl Ledger {
    /// A weight was written at `since`; data before `settled_at` is not judged.
    pub fn begin(since: Timestamp, settled_at: Timestamp) -> Self {
        Self {
            since,
            settled_at,
            ..Self::default()
        }
    }

    /// Like [`Ledger::begin`], remembering from the ledger of the weight before how much traffic there was in all
    /// (what tells lost traffic from traffic that does not arrive), how control behaves, and since when nothing is seen.
    #[must_use]
    pub fn follow(&self, since: Timestamp, settled_at: Timestamp) -> Self {
        Self {
            rate_before: self.recent.all().rate().or(self.rate_before),
            dark: self.dark.clone(),
            ..self.with_control(since, settled_at)
        }
    }

    /// Like [`Ledger::begin`], remembering how control behaves, and nothing else.
    pub(super) fn with_control(&self, since: Timestamp, settled_at: Timestamp) -> Self {
        Self {
            arms: self.arms,
            noise: self.noise,
            pivot: self.pivot,
            aims: self.aims.clone(),
            ..Self::begin(since, settled_at)
        }
    }

    /// Takes up what one look at the source gave. A tick that was taken up before, or that began before the weight
    /// was written, changes nothing. True when it was counted as judged data.
    pub fn absorb(&mut self, reading: &Reading, ctx: &Context<'_>) -> bool {
        match reading {
            Reading::Fresh(tick) => return self.absorb_tick(tick, ctx),
            Reading::Waiting => {}
            Reading::Blind(blindness) => self.go_dark(blindness, ctx.now),
        }
        false
    }

    /// Takes up what a look at the watch cache said of the arms' endpoints. What is not known is no reason.
    pub fn see_endpoints(&mut self, canary: Option<bool>, control: Option<bool>) {
        let gone = canary == Some(false) && control == Some(true);
        self.gone = if gone {
            self.gone.saturating_add(1).min(GONE)
        } else {
            0
        };
    }

    /// The canary's requests have nowhere to go, and it is no moment between two pods.
    pub(super) fn is_gone(&self) -> bool {
        self.gone >= GONE
    }

    fn go_dark(&mut self, blindness: &Blindness, now: Timestamp) {
        if sabotage::broken(2) {
            return;
        }
        // A gap: whatever was over its limit is not known to have stayed so.
        self.over.clear();
        self.disasters = 0;
        self.disaster = None;
        match &mut self.dark {
            Some(dark) if dark.kind == blindness.kind && dark.message == blindness.message => {}
            Some(dark) => {
                dark.kind = blindness.kind;
                dark.message.clone_from(&blindness.message);
            }
            None => {
                self.dark = Some(Darkness {
                    kind: blindness.kind,
                    since: now,
                    message: blindness.message.clone(),
                });
            }
        }
    }

    fn absorb_tick(&mut self, tick: &Tick, ctx: &Context<'_>) -> bool {
        let length = Duration::try_from(tick.to.duration_since(tick.from)).unwrap_or_default();
        if length.is_zero() || self.last.is_some_and(|last| tick.to <= last) {
            return false;
        }
        let dark = self
            .last
            .map(|last| tick.from.duration_since(last).unsigned_abs());
        let gap = dark.filter(|dark| *dark > short_gap(ctx.judge.interval));
        if let Some(dark) = gap {
            self.over.clear();
            // What was not seen neither adds to it nor ends it.
            self.doubted = self.doubted.and_then(|since| since.checked_add(dark).ok());
            self.disasters = 0;
            self.disaster = None;
        }
        self.last = Some(tick.to);
        self.control_seen = matches!(tick.control, Arm::Seen(_));
        self.usual = tick
            .usual_rate
            .filter(|r| r.is_finite() && *r > 0.0)
            .map(|r| (r * 100.0).round() / 100.0);
        if !ctx.weight.is_zero() {
            match (&tick.canary, &tick.control) {
                // Series that were there and are gone: not the same as no requests.
                (Arm::Absent, _) if self.canary_seen => {
                    self.vanish(ctx.now, Dark::Vanished);
                    return false;
                }
                (Arm::Absent | Arm::NotAsked, Arm::Absent | Arm::NotAsked) => {
                    self.vanish(ctx.now, Dark::Empty);
                    return false;
                }
                _ => {}
            }
        }
        self.dark = None;
        self.canary_seen |= matches!(tick.canary, Arm::Seen(_));
        if tick.from < self.since {
            return false;
        }
        let none = Counts::default();
        let canary = tick.canary.counts().unwrap_or(&none);
        let control = tick.control.counts().unwrap_or(&none);
        let mut mixed = None;
        if sabotage::broken(3) {
            mixed = Some(Counts {
                requests: canary.requests + control.requests,
                errors: canary.errors + control.errors,
                latency: canary.latency.clone(),
            });
        }
        let canary = mixed.as_ref().unwrap_or(canary);
        self.answered |= canary.requests > canary.errors;
        self.raise.add_counts(canary, control, length);
        self.learn_noise(control, length);
        let lent = self.lend(canary, control, ctx);
        self.raise.lend(lent);
        let judged = tick.from >= self.settled_at;
        if judged {
            self.count(tick, canary, control, (length, lent), ctx);
        }
        judged
    }

    fn vanish(&mut self, now: Timestamp, kind: Dark) {
        let message = if kind == Dark::Vanished {
            "the source answers, but the canary's series are gone: check that its pods still run and are scraped"
        } else {
            "the source answers, but has no series of either arm: check the labels in spec.components[].arms"
        };
        let blindness = Blindness {
            kind,
            message: message.to_owned(),
        };
        self.go_dark(&blindness, now);
    }

    fn count(
        &mut self,
        tick: &Tick,
        canary: &Counts,
        control: &Counts,
        (length, lent): (Duration, u64),
        ctx: &Context<'_>,
    ) {
        let mended = late::mended(canary, control, lent);
        let [canary_tried, control_tried] = mended.as_ref().map_or([canary, control], |[c, b]| [c, b]);
        // A canary that gets nothing, or hardly anything, is not tried by waiting.
        if ctx.clock_runs && self.arrivals(ctx).is_none() && self.shortfall(ctx).is_none() {
            self.judged.0 += length;
        }
        // Before this tick is added: what it is compared by must not depend on it.
        self.gather_evidence(tick, canary_tried, control_tried, length, ctx);
        self.choose_bounds(canary, control, ctx);
        self.rotate(tick.to);
        if let Some(block) = self.blocks.first_mut() {
            block.add(canary, control, length, &self.bounds);
            block.lend(lent);
        }
        let look_back = |rule: &CheckRule| rule.for_.max(rule.window);
        let need = |timed: bool| {
            let mine = ctx
                .rules
                .iter()
                .filter(move |r| (r.metric == Metric::Latency) == timed);
            mine.map(needed_in_window).max().unwrap_or_default()
        };
        let depth = Depth {
            back: ctx.rules.iter().map(look_back).max().unwrap_or_default(),
            slots: 7,
            need: need(false),
        };
        self.recent.add(canary, control, (tick.to, length), depth, None);
        self.recent.lend(lent);
        let latencies = ctx.rules.iter().filter(|r| r.metric == Metric::Latency);
        if let Some(back) = latencies.map(look_back).max() {
            let depth = Depth {
                back,
                slots: 4,
                need: need(true),
            };
            let bounds = Some(&*self.bounds);
            self.slow.add(canary, control, (tick.to, length), depth, bounds);
        }
        self.find_pivot(ctx);
        // Where errors come in bursts, one burst is no disaster.
        let many = real(canary.errors) >= DISASTER * self.noise.errors.phi_of_disasters();
        if many && canary.errors * 2 >= canary_tried.requests {
            self.disasters = self.disasters.saturating_add(1);
            let [a, b, c, d] = self.disaster.unwrap_or_default();
            self.disaster = Some([
                a + canary.errors,
                b + canary_tried.requests,
                c + control.errors,
                d + control_tried.requests,
            ]);
        } else {
            self.disasters = 0;
            self.disaster = None;
        }
        self.mark_over(tick.to, ctx);
        self.doubt(tick, ctx);
    }

    /// Keeps how long a fault has been waiting for control. A good tick takes back half as much as a bad one adds: a
    /// fault that comes and goes is no better than one that stays.
    fn doubt(&mut self, tick: &Tick, ctx: &Context<'_>) {
        // Only there is it asked for: the others are spared the work.
        if !ctx.control_is_small() || !ctx.control_testifies() {
            self.doubted = None;
        } else if self.is_at_fault(ctx) {
            self.doubted = self.doubted.or(Some(tick.to));
        } else if let Some(since) = self.doubted {
            let length = tick.to.duration_since(tick.from).unsigned_abs();
            let later = since.checked_add(length + length / 2).ok();
            self.doubted = later.filter(|later| *later < tick.to);
        }
    }

    /// When a fault will have been waiting for so long, if it stays.
    pub(super) fn doubted_until(&self, patience: Duration) -> Option<Timestamp> {
        self.doubted?.checked_add(patience).ok()
    }

    /// How long a fault has been waiting for control to say whether it shares it.
    pub(super) fn doubted_for(&self) -> Duration {
        let since = self.doubted.zip(self.last);
        since.map_or(Duration::ZERO, |(since, last)| {
            last.duration_since(since).unsigned_abs()
        })
    }

    fn rotate(&mut self, to: Timestamp) {
        let since = *self.block_since.get_or_insert(to);
        if to.duration_since(since).unsigned_abs() >= HALF_DAY {
            self.block_since = Some(to);
            self.blocks.rotate_right(1);
            if let Some(running) = self.blocks.first_mut() {
                *running = Tally::default();
            }
        }
    }

    /// Remembers since when measured checks are over their rollback limit; anything else than "over" ends the run.
    fn mark_over(&mut self, to: Timestamp, ctx: &Context<'_>) {
        for rule in ctx.rules {
            if rule.metric != Metric::Throughput || rule.rollback.is_none() {
                continue;
            }
            if measured::is_over(self, rule, ctx) {
                if !self.over.contains_key(&rule.name) {
                    self.over.insert(rule.name.clone(), to);
                }
            } else if !self.over.is_empty() {
                self.over.remove(&rule.name);
            }
        }
    }

    /// Where the last fresh tick ended.
    pub fn counted_until(&self) -> Option<Timestamp> {
        self.last
    }

    /// The last window that promotion looks at: `window` or, where that holds too few canary requests, the shortest
    /// stretch that holds enough, since settle and within 24 h.
    pub(super) fn last_window(&self, rule: &CheckRule, end: Timestamp, all: &Tally) -> Tally {
        let timed = rule.metric == Metric::Latency;
        let ring = if timed { &self.slow } else { &self.recent };
        let need = needed_in_window(rule);
        let window = ring.last_enough(rule.window, end, need, timed);
        if window.canary_requests(timed) < need.min(all.canary_requests(timed)) {
            return all.clone();
        }
        window
    }

    /// All judged data, at most 24 h of it.
    pub(super) fn all(&self) -> Tally {
        let [mut now, before] = self.blocks.clone();
        now.merge(&before);
        now
    }

    /// Control's last 24 h at most, to compare with once control has fallen below 10%; `None` when it was not seen.
    pub fn freeze(&self, now: Timestamp) -> Option<Baseline> {
        let all = self.all();
        let phi = [self.noise.errors.phi(), self.noise.slow.phi()].map(|phi| (phi * 100.0).round() / 100.0);
        (all.control.requests > 0).then(|| Baseline {
            at: now,
            requests: all.control.requests,
            errors: all.control.errors,
            bounds_ms: self.bounds.clone(),
            latency: all.control.latency,
            phi: phi.iter().any(|phi| *phi > 1.0).then_some(phi),
        })
    }
}

/// Control's behaviour, frozen before it falls below 10%, or recorded before the rollout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Baseline {
    /// When it was frozen.
    pub at: Timestamp,
    /// Control's requests.
    pub requests: u64,
    /// Those that were errors.
    pub errors: u64,
    /// Upper bounds of the latency buckets, in milliseconds.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "packed::short")]
    pub bounds_ms: Vec<f64>,
    /// Requests per bucket; the last is everything slower.
    #[serde(skip_serializing_if = "Vec::is_empty", with = "packed")]
    pub latency: Vec<u64>,
    /// φ of its errors and of its slow requests, where its own uncertainty counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phi: Option<[f64; 2]>,
}

impl Baseline {
    /// Control's error ratio.
    pub fn error_ratio(&self) -> f64 {
        real(self.errors) / real(self.requests.max(1))
    }
}
