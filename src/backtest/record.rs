//! From a source's history to readings: the same arithmetic as the daemon's, look by look.

use super::beside::{Beside, Cursors, Readings};
use crate::metrics::{ArmSnapshot, Ask, Cursor, Snapshot, Source, advance, slices};
use crate::rollout::sample::{self, Blindness, Counts, Reading, Slice};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Looks that are asked for at once: so that progress is seen and no answer is large.
const CHUNK: u32 = 360;

/// What was recorded of a component.
#[derive(Clone, Debug, PartialEq)]
pub struct Track {
    /// The component.
    pub component: String,
    /// What control did before, oldest first.
    pub past: Arc<[Slice]>,
    /// What each look would have given, in order.
    pub looks: Vec<(Timestamp, Reading)>,
    /// What was read beside the arms at each look.
    pub beside: Readings,
    /// What both arms did in all ticks together.
    pub canary: Arm,
    /// The same of control.
    pub control: Arm,
    /// The scrape period as the samples show it.
    pub scrape_period: Option<Duration>,
    /// Upper bounds of the latency buckets that both arms have, in milliseconds; of whichever arm has any when only
    /// one has.
    pub bounds_ms: Vec<f64>,
    /// Upper bounds of the canary's buckets and of control's, in milliseconds, where these are not the same.
    pub layouts: Option<[Vec<f64>; 2]>,
    /// Looks that gave nothing to judge by, with the first one's reason.
    pub dark: Option<(usize, Blindness)>,
}

/// Totals of an arm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Arm {
    /// Requests.
    pub requests: u64,
    /// Those of them that were errors.
    pub errors: u64,
    /// Requests per latency bucket of [`Track::bounds_ms`], the last one's beyond; empty without a histogram.
    pub latency: Vec<u64>,
    /// Series of requests that were seen at any instant.
    pub series: usize,
}

impl Track {
    /// A track without looks.
    fn empty(component: &str) -> Self {
        Self {
            component: component.to_owned(),
            past: Arc::default(),
            looks: Vec::new(),
            beside: Readings::default(),
            canary: Arm::default(),
            control: Arm::default(),
            scrape_period: None,
            bounds_ms: Vec::new(),
            layouts: None,
            dark: None,
        }
    }

    /// A track of which one look was tried, and could not be read at all.
    pub fn blind(component: &str, at: Timestamp, blindness: Blindness) -> Self {
        Self {
            looks: vec![(at, Reading::Blind(blindness.clone()))],
            dark: Some((1, blindness)),
            ..Self::empty(component)
        }
    }

    /// The canary's share of all recorded requests; `None` without any.
    pub fn share(&self) -> Option<f64> {
        let total = self.canary.requests + self.control.requests;
        #[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
        (total > 0).then(|| self.canary.requests as f64 / total as f64)
    }

    /// The same of a stretch of time.
    pub fn share_between(&self, from: Timestamp, until: Timestamp) -> Option<f64> {
        let (mut canary, mut total) = (0, 0);
        for (at, reading) in &self.looks {
            if let Reading::Fresh(tick) = reading
                && (from..=until).contains(at)
            {
                let of = |arm: &sample::Arm| arm.counts().map_or(0, |counts| counts.requests);
                canary += of(&tick.canary);
                total += of(&tick.canary) + of(&tick.control);
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
        (total > 0).then(|| canary as f64 / total as f64)
    }

    /// Ticks that could be judged.
    pub fn ticks(&self) -> usize {
        let fresh = |(_, reading): &&(Timestamp, Reading)| matches!(reading, Reading::Fresh(_));
        self.looks.iter().filter(fresh).count()
    }

    /// When something was last counted.
    pub fn newest(&self) -> Option<Timestamp> {
        let fresh =
            |(at, reading): &(Timestamp, Reading)| matches!(reading, Reading::Fresh(_)).then_some(*at);
        self.looks.iter().rev().find_map(fresh)
    }

    fn take(&mut self, at: Timestamp, reading: Reading) {
        match &reading {
            Reading::Fresh(tick) => {
                add(&mut self.canary, tick.canary.counts(), &mut self.bounds_ms);
                add(&mut self.control, tick.control.counts(), &mut self.bounds_ms);
            }
            Reading::Blind(blindness) => {
                let (count, _) = self.dark.get_or_insert_with(|| (0, blindness.clone()));
                *count += 1;
            }
            Reading::Waiting => {}
        }
        self.looks.push((at, reading));
    }
}

fn add(arm: &mut Arm, counts: Option<&Counts>, bounds: &mut Vec<f64>) {
    let Some(counts) = counts else { return };
    arm.requests += counts.requests;
    arm.errors += counts.errors;
    let Some(sample::Histogram { bounds_ms, counts }) = &counts.latency else {
        return;
    };
    if bounds.is_empty() {
        bounds.extend_from_slice(bounds_ms);
    }
    if **bounds == **bounds_ms {
        arm.latency.resize(counts.len(), 0);
        for (sum, more) in arm.latency.iter_mut().zip(counts) {
            *sum += more;
        }
    }
}

/// Reads what was recorded of a component from `from` to `to`, a look every `step` (see [`whole_seconds`]). Tells `progress` how many looks
/// of how many are read. Darkness of the source while it is asked is an error; darkness in the record is a reading.
pub async fn record(
    source: &Source,
    ask: &Ask,
    beside: &Beside,
    (from, to): (Timestamp, Timestamp),
    step: Duration,
    progress: &mut (dyn FnMut(u32, u32) + Send),
) -> Result<Track, Blindness> {
    let mut track = Track::empty(&ask.component);
    if ask.arms.control.is_some() {
        track.past = slices::past(source, ask, from).await?.into();
    }
    let (mut cursor, mut cursors) = (Cursor::looking_every(step), Cursors::looking_every(step));
    let mut series = [BTreeSet::new(), BTreeSet::new()];
    let all = looks(from, to, step);
    let mut done = 0;
    while done <= all {
        let first = from + step * done;
        let last = (from + step * (done + CHUNK - 1)).min(from + step * all);
        for snapshot in source.history(ask, first, last, step).await? {
            count_series(&snapshot, &mut series);
            track.layouts = layouts(&snapshot).or(track.layouts);
            beside.count(ask, &snapshot, &mut cursors, &mut track.beside);
            let at = snapshot.at;
            let reading = advance(&mut cursor, snapshot);
            track.take(at, reading);
        }
        beside
            .read(source, (first, last), step, &mut cursors, &mut track.beside)
            .await?;
        done += CHUNK;
        progress(done.min(all), all);
    }
    track.scrape_period = cursor.scrape_period().map(rounded);
    let [canary, control] = series.map(|names| names.len());
    track.canary.series = canary;
    track.control.series = control;
    Ok(track)
}

/// A step that history can be asked for: whole seconds, one at least.
pub fn whole_seconds(step: Duration) -> Duration {
    let more = u64::from(step.subsec_nanos() > 0);
    Duration::from_secs((step.as_secs() + more).max(1))
}

/// How many steps fit between two instants.
pub fn looks(from: Timestamp, to: Timestamp, step: Duration) -> u32 {
    let length = Duration::try_from(to.duration_since(from)).unwrap_or_default();
    u32::try_from(length.as_millis() / step.as_millis().max(1)).unwrap_or(u32::MAX)
}

fn count_series(snapshot: &Snapshot, [canary, control]: &mut [BTreeSet<(String, String)>; 2]) {
    let arms = [
        (Some(&snapshot.canary), canary),
        (snapshot.control.as_ref(), control),
    ];
    for (arm, names) in arms {
        for (pod, seen) in arm.into_iter().flat_map(|arm| &arm.pods) {
            names.extend(seen.requests.keys().map(|key| (pod.clone(), key.clone())));
        }
    }
}

/// The bounds of both arms' buckets, where both have some and they differ.
fn layouts(snapshot: &Snapshot) -> Option<[Vec<f64>; 2]> {
    let bounds = |arm: &ArmSnapshot| {
        let histograms = arm.pods.values().flat_map(|pod| pod.latency.values());
        let mut bounds: Vec<f64> = histograms.flatten().map(|bucket| bucket.le_ms).collect();
        bounds.retain(|bound| bound.is_finite());
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        bounds
    };
    let (canary, control) = (bounds(&snapshot.canary), bounds(snapshot.control.as_ref()?));
    (!canary.is_empty() && !control.is_empty() && canary != control).then_some([canary, control])
}

/// Scrapes are as late as the machine is busy: a period of 9.997 s is one of 10 s.
fn rounded(period: Duration) -> Duration {
    const TENTH: u128 = 100;
    let tenths = (period.as_millis() + TENTH / 2) / TENTH;
    Duration::from_millis(u64::try_from(tenths * TENTH).unwrap_or(u64::MAX)).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_told_as_it_was_set() {
        assert_eq!(rounded(Duration::from_millis(9_997)), Duration::from_secs(10));
        assert_eq!(rounded(Duration::from_millis(250)), Duration::from_millis(300));
        assert!(!rounded(Duration::from_micros(3)).is_zero());
    }
}
