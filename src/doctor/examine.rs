//! What stands in the way of judging a component, by kind: for who tells it in other words than `checks test`.

use super::diagnose::{Missing, Probe};
use super::diagnose::{SCRAPES, short};
use crate::backtest::record::whole_seconds;
use crate::backtest::{Beside, Track, record, rules};
use crate::metrics::{Ask, Source};
use crate::rollout::duration::Span;
use crate::rollout::plan::{Plan, PlannedComponent};
use crate::rollout::sample::{Blindness, Dark, Reading};
use jiff::Timestamp;
use std::time::Duration;

/// Sentences, by kind. Each begins with what it is about.
#[derive(Debug, Default)]
pub(crate) struct Examined {
    /// Arms without series.
    pub(crate) arms: Vec<String>,
    /// Series that cannot be used.
    pub(crate) data: Vec<String>,
    /// Histograms that are missing, in another unit, or too short for a limit.
    pub(crate) histograms: Vec<String>,
    /// Times that are too short for the scrape period.
    pub(crate) short: Vec<String>,
}

/// Asks about one component, with the queries and the arithmetic of `checks test`.
pub(crate) async fn examine(
    source: &Source,
    ask: &Ask,
    plan: &Plan,
    planned: &PlannedComponent,
    at: Timestamp,
) -> Result<Examined, Blindness> {
    let probe = Probe::new(source, at);
    let mut told = Examined {
        data: sentences(probe.ahead(ask).await?),
        ..Examined::default()
    };
    if told.data.is_empty() {
        told.arms = sentences(probe.arms(ask).await?);
    }
    if told.data.is_empty() && told.arms.is_empty() {
        told.data = sentences(probe.behind(ask).await?.into_iter().collect());
    }
    let all = rules::of(plan, planned);
    let longest = all.iter().map(|rule| rule.for_.max(rule.window)).max();
    let judge = &plan.judge;
    // As `checks test` does: the settling, and a first pair of samples, come before what is judged.
    let before = judge.settle + 2 * judge.interval + Duration::from_secs(120);
    let from = at.checked_sub(longest.unwrap_or_default() + before).unwrap_or(at);
    let step = whole_seconds(judge.interval);
    let recorded = record(source, ask, &Beside::default(), (from, at), step, &mut |_, _| {}).await;
    let track = match recorded {
        Ok(track) => track,
        Err(blindness) if blindness.kind == Dark::Down => return Err(blindness),
        Err(blindness) => {
            told.data.push(blindness.message);
            return Ok(told);
        }
    };
    if told.arms.is_empty() && told.data.is_empty() {
        told.data.extend(uncounted(&track));
    }
    told.histograms = sentences(probe.histograms(ask, &all, &track).await?);
    if let Some(period) = track.scrape_period {
        let windows = all.iter().filter_map(|rule| short(rule, period)).collect();
        told.short = sentences(windows);
        told.short.extend(slow(judge.interval, period));
    }
    Ok(told)
}

/// Why the last look counted nothing, or none of them did.
fn uncounted(track: &Track) -> Option<String> {
    if let Some((_, Reading::Blind(blindness))) = track.looks.last() {
        return Some(blindness.message.clone());
    }
    (track.ticks() == 0).then(|| {
        "no two samples of both arms were found to count between: is this scraped at least every minute?"
            .to_owned()
    })
}

fn sentences(missing: Vec<Missing>) -> Vec<String> {
    let each = missing.into_iter();
    each.map(|one| format!("{}: {}", one.of, one.message)).collect()
}

/// Looks that come more often than samples do see most of them twice.
fn slow(interval: Duration, period: Duration) -> Option<String> {
    (period > interval * SCRAPES).then(|| {
        format!(
            "judge.interval: {} is much shorter than the scrape period, {}: most looks find nothing new",
            Span(interval),
            Span(period)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scrapes_that_are_rarer_than_every_fourth_look_are_told() {
        let seconds = Duration::from_secs;
        assert_eq!(slow(seconds(15), seconds(60)), None);
        let told = slow(seconds(10), seconds(60)).unwrap();
        assert!(
            told.contains("10s is much shorter than the scrape period, 1m"),
            "{told}"
        );
    }
}
