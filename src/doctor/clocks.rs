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
/// Two arms' newest samples are never so many seconds apart where both are scraped.
const BEHIND: f64 = 60.0;

impl Probe<'_> {
    /// How far the canary's samples are apart, as Prometheus has them; `None` with fewer than two in five minutes.
    pub(crate) async fn scrape_period(&self, ask: &Ask) -> Result<Option<Duration>, Blindness> {
        let promql = format!("max(count_over_time({}[5m]))", series(&ask.arms.canary));
        let samples = self.ask(&promql).await?.first().map(|sample| sample.value);
        let seconds = samples.filter(|&count| count >= 2.0).map(scraped_every);
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

/// How far samples are apart, in whole seconds, of which so many fell into five minutes. The window is cut anywhere, and
/// holds its start or does not: so that is between 300/(n+1) and 300/(n−1), and what people configure is likelier.
fn scraped_every(count: f64) -> f64 {
    const USUAL: [f64; 9] = [120.0, 60.0, 30.0, 20.0, 15.0, 10.0, 5.0, 2.0, 1.0];
    let can_be = |seconds: &f64| *seconds > 300.0 / (count + 1.0) && *seconds <= 300.0 / (count - 1.0);
    let usual = USUAL.into_iter().find(can_be);
    usual.unwrap_or_else(|| (300.0 / count).round())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapes_are_as_far_apart_as_people_say_wherever_the_window_is_cut() {
        for period in [1, 2, 5, 10, 15, 30, 60] {
            // Closed at its start and cut on a sample, open there, or cut between two.
            for count in [300 / period + 1, 300 / period] {
                let found = scraped_every(f64::from(count));
                assert!((found - f64::from(period)).abs() < 0.1, "{found} for {count}");
            }
        }
        assert!((scraped_every(4.0) - 75.0).abs() < 0.1);
    }
}
