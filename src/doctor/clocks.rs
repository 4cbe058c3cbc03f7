//! What the stamps of samples tell: clocks that disagree, an arm that is left behind, and how often scrapes come.

use super::diagnose::{Missing, Probe, SCRAPES};
use crate::clock::Clock;
use crate::metrics::{Ask, series};
use crate::rollout::sample::Blindness;
use jiff::Timestamp;
use std::time::Duration;

/// So far in the future samples are looked for: within the five minutes that an answer reaches back.
const LATER: Duration = Duration::from_secs(240);
/// Stamps may be ahead of our clock by so many seconds.
const AHEAD: f64 = 5.0;
/// In seconds: the time in which samples are counted.
const WITHIN: f64 = 300.0;
/// Two arms' newest samples are never so many seconds apart where both are scraped.
const BEHIND: f64 = 60.0;

impl Probe<'_> {
    /// How far the canary's samples are apart, as Prometheus has them; `None` with fewer than two in five minutes.
    pub(crate) async fn scrape_period(&self, ask: &Ask) -> Result<Option<Duration>, Blindness> {
        self.period_of(&series(&ask.arms.canary)).await
    }

    /// How far the samples of these series are apart, where they come oftenest. What is younger than five minutes says
    /// so by its first sample, and what is older by as many as fell into them.
    pub(crate) async fn period_of(&self, series: &str) -> Result<Option<Duration>, Blindness> {
        let promql = format!(
            "min((timestamp({series}) - min_over_time(timestamp({series})[5m:5s])) / ((count_over_time({series}[5m]) > 1) - 1))"
        );
        let apart = self.ask(&promql).await?.first().map(|sample| sample.value);
        let seconds = apart.filter(|apart| apart.is_finite()).map(scraped_every);
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(1.0)).ok()))
    }

    /// Samples that are stamped after our now: nobody asks about that time, so what is seen is older than it looks.
    /// Prometheus says nothing of them to a question about now, so the question is about a while later.
    pub(crate) async fn ahead(&self, ask: &Ask) -> Result<Vec<Missing>, Blindness> {
        let now = Clock::System.now();
        let later = self.at.checked_add(LATER).unwrap_or(self.at);
        let mut missing = Vec::new();
        if later <= now {
            return Ok(missing);
        }
        let control = ask.arms.control.as_ref();
        for (side, source) in [("canary", Some(&ask.arms.canary)), ("control", control)] {
            let Some(source) = source else { continue };
            let promql = format!("max(timestamp({}))", series(source));
            let newest = self.source.vector(&promql, later).await?;
            let newest = newest.first().map(|sample| sample.value);
            missing.extend(
                too_new(newest, Clock::System.now())
                    .map(|why| Missing::general(&format!("arms.{side}"), why)),
            );
        }
        Ok(missing)
    }

    /// Samples of one arm that are stamped long before the other's newest: that arm is not counted, and the other stands
    /// alone.
    pub(crate) async fn behind(&self, ask: &Ask) -> Result<Option<Missing>, Blindness> {
        let Some(control) = &ask.arms.control else {
            return Ok(None);
        };
        let mut newest = [None; 2];
        for (at, source) in newest.iter_mut().zip([&ask.arms.canary, control]) {
            let answer = self.ask(&format!("max(timestamp({}))", series(source))).await?;
            *at = answer.first().map(|sample| sample.value);
        }
        let [Some(canary), Some(control)] = newest else {
            return Ok(None);
        };
        let period = self.scrape_period(ask).await?.unwrap_or_default().as_secs_f64();
        let apart = (canary - control).abs();
        if apart.is_nan() || apart <= BEHIND.max(f64::from(SCRAPES) * period) {
            return Ok(None);
        }
        let (late, other) = if canary < control {
            ("canary", "control")
        } else {
            ("control", "canary")
        };
        Ok(Some(Missing::general(
            &format!("arms.{late}"),
            format!(
                "its newest sample is stamped {apart:.0} s before {other}'s, so it is too old to be counted: look at whether \
                 its exporter is still scraped, at the clock of whatever stamps it, and at what forwards its samples"
            ),
        )))
    }
}

/// What is wrong with a newest sample of this stamp, in seconds since 1970.
fn too_new(newest: Option<f64>, now: Timestamp) -> Option<String> {
    let ahead = newest? - now.as_duration().as_secs_f64();
    (ahead > AHEAD).then(|| {
        format!(
            "clocks disagree: its newest sample is stamped {ahead:.0}s after now, so what is judged is that much older than \
             it looks. Set the exporter's, Prometheus' and this machine's clock right (NTP), or let Prometheus stamp \
             what it scrapes itself (honor_timestamps: false)"
        )
    })
}

/// How far samples are apart, in whole seconds, of which the newest and the first within five minutes are `apart` times
/// their number less one. That is exact where the series began within them. Where it is older, the first is the newest
/// of before, and all of them are one more: so it is up to a sample's share too long, and what people configure is
/// likelier.
fn scraped_every(apart: f64) -> f64 {
    const USUAL: [f64; 9] = [120.0, 60.0, 30.0, 20.0, 15.0, 10.0, 5.0, 2.0, 1.0];
    // Scrapes are some milliseconds early or late.
    const LATE: f64 = 0.02;
    let share = apart / WITHIN.max(apart);
    let can_be = |seconds: &f64| *seconds <= apart * (1.0 + LATE) && *seconds >= apart * (1.0 - share - LATE);
    let usual = USUAL.into_iter().find(can_be);
    usual.unwrap_or_else(|| apart.round())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapes_are_as_far_apart_as_people_say_wherever_the_window_is_cut() {
        for period in [1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0] {
            let full = WITHIN / period;
            // Young, or cut on a sample; and old, with the newest sample of before the window.
            for apart in [
                period,
                period * 1.001,
                period * 0.999,
                period * full / (full - 1.0),
            ] {
                let found = scraped_every(apart);
                assert!((found - period).abs() < 0.1, "{found} for {apart} of {period}");
            }
        }
        assert!((scraped_every(45.0) - 45.0).abs() < 0.1);
    }
}
