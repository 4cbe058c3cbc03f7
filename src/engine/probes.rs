//! What the daemon's own requests came to, per component of one resource: each success and failure of the last minute,
//! and at least of the last five.

use crate::probe::{Outcome, Results};
use crate::rollout::observation::Seen;
use crate::rollout::plan::{CheckSet, PlannedComponent};
use crate::rollout::sample::GaugeReading;
use crate::rollout::spec::Probe;
use jiff::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A share is one of the requests of this long,
const BACK: Duration = Duration::from_secs(60);
/// and of so many at least: one of a single request would be all or nothing.
const LEAST: usize = 5;

/// The probes of one resource.
#[derive(Debug, Default)]
pub(super) struct Probes(BTreeMap<String, Probed>);

#[derive(Debug, Default)]
struct Probed {
    /// What was probed: another probe begins anew.
    probe: Option<Probe>,
    /// When the last one was sent.
    sent: Option<Timestamp>,
    under_way: bool,
    canary: VecDeque<(Timestamp, bool)>,
    control: VecDeque<(Timestamp, bool)>,
    /// Why the last one that failed did, on the canary's path.
    why: Option<String>,
    /// What is not told yet.
    news: Option<Timestamp>,
    /// Why nothing is sent.
    refused: Option<String>,
}

impl Probes {
    /// Whether a component's probe is to be sent now. Whoever is told so sends it, unless `refusal` says why not.
    pub(super) fn begin(
        &mut self,
        component: &str,
        probe: &Probe,
        now: Timestamp,
        refusal: Option<String>,
    ) -> bool {
        let known = self.0.entry(component.to_owned()).or_default();
        if known.probe.as_ref() != Some(probe) {
            *known = Probed {
                probe: Some(probe.clone()),
                ..Probed::default()
            };
        }
        if refusal.is_some() {
            known.refused = refusal;
            return false;
        }
        // Looks come on beats that are not the probe's: half a second early is in time.
        let every = probe.every().saturating_sub(Duration::from_millis(500));
        let due = known
            .sent
            .is_none_or(|sent| now.duration_since(sent).unsigned_abs() >= every);
        if !due || known.under_way {
            return false;
        }
        known.sent = Some(now);
        known.under_way = true;
        true
    }

    /// What came of it.
    pub(super) fn finish(&mut self, component: &str, results: Results, now: Timestamp) {
        let Some(known) = self.0.get_mut(component) else {
            return;
        };
        known.under_way = false;
        let sides = [
            (&mut known.canary, Some(results.canary)),
            (&mut known.control, results.control),
        ];
        known.refused = None;
        for (i, (side, outcome)) in sides.into_iter().enumerate() {
            match outcome {
                Some(Outcome::Answered) => side.push_back((now, true)),
                Some(Outcome::Failed(why)) => {
                    side.push_back((now, false));
                    if i == 0 {
                        known.why = Some(why);
                    }
                }
                Some(Outcome::Refused(why)) => known.refused = Some(why),
                None => side.clear(),
            }
            while side.len() > LEAST
                && side
                    .front()
                    .is_some_and(|(at, _)| now.duration_since(*at).unsigned_abs() >= BACK)
            {
                side.pop_front();
            }
        }
        known.news = Some(now);
    }

    /// A task that sent one died.
    pub(super) fn forget(&mut self) {
        for known in self.0.values_mut() {
            known.under_way = false;
        }
    }

    /// Adds what there is to tell to what was seen of a component.
    pub(super) fn tell(&mut self, planned: &PlannedComponent, seen: &mut Seen) {
        if planned.component.probe.is_none() {
            return;
        }
        let Some(told) = self.take(planned.name()) else {
            return;
        };
        for name in planned.checks.iter().flat_map(CheckSet::probes) {
            match &told {
                Ok(reading) => {
                    seen.gauges.insert(name.to_owned(), reading.clone());
                }
                Err(why) => {
                    seen.unread.insert(name.to_owned(), why.clone());
                }
            }
        }
    }

    /// What there is to tell of a component: why nothing is read, or what was.
    fn take(&mut self, component: &str) -> Option<Result<GaugeReading, String>> {
        let known = self.0.get_mut(component)?;
        if let Some(why) = &known.refused {
            return Some(Err(why.clone()));
        }
        let at = known.news.take()?;
        let enough = |side: &VecDeque<(Timestamp, bool)>| side.len() >= LEAST;
        let reading = GaugeReading {
            at,
            canary: if enough(&known.canary) {
                Ok(share(&known.canary))
            } else {
                let last = known
                    .why
                    .as_deref()
                    .map(|why| format!(", the last that failed: {why}"));
                Err(format!(
                    "{} of at least {LEAST} probes were sent{}",
                    known.canary.len(),
                    last.unwrap_or_default()
                ))
            },
            control: enough(&known.control).then(|| Ok(share(&known.control))),
        };
        Some(Ok(reading))
    }
}

fn share(side: &VecDeque<(Timestamp, bool)>) -> f64 {
    let good = side.iter().filter(|(_, good)| *good).count();
    let count = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    count(good) / count(side.len().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_767_578_400 + second).unwrap()
    }

    fn probe() -> Probe {
        serde_json::from_value(json!({"url": "http://shop-v2/", "interval": "10s"})).unwrap()
    }

    fn results(good: bool) -> Results {
        let canary = if good {
            Outcome::Answered
        } else {
            Outcome::Failed("status 503".to_owned())
        };
        Results {
            canary,
            control: None,
        }
    }

    #[test]
    fn one_is_under_way_at_a_time_and_the_next_waits_for_its_interval() {
        let mut probes = Probes::default();
        assert!(probes.begin("shop", &probe(), at(0), None));
        assert!(
            !probes.begin("shop", &probe(), at(20), None),
            "the first is under way"
        );
        probes.finish("shop", results(true), at(20));
        assert!(probes.begin("shop", &probe(), at(20), None));
        probes.finish("shop", results(true), at(21));
        assert!(!probes.begin("shop", &probe(), at(29), None));
        assert!(probes.begin("shop", &probe(), at(30), None));
    }

    #[test]
    fn the_share_is_of_the_last_minute_and_of_five_at_least() {
        let mut probes = Probes::default();
        let mut last = None;
        for i in 0..10 {
            assert!(probes.begin("shop", &probe(), at(i * 10), None));
            probes.finish("shop", results(i < 3), at(i * 10));
            last = probes.take("shop");
            let told = last.clone().unwrap().unwrap();
            assert_eq!(told.canary.is_ok(), i >= 4, "{told:?}");
        }
        assert_eq!(
            last.unwrap().unwrap().canary,
            Ok(0.0),
            "six failures, the successes are older"
        );
        assert_eq!(probes.take("shop"), None, "told once");
        let other = Probe {
            url: "http://other/".to_owned(),
            ..probe()
        };
        assert!(
            probes.begin("shop", &other, at(95), None),
            "another probe begins anew"
        );
    }

    #[test]
    fn a_refusal_is_told_at_every_look_and_sends_nothing() {
        let mut probes = Probes::default();
        for second in [0, 100] {
            assert!(!probes.begin("shop", &probe(), at(second), Some("not allowed".to_owned())));
            assert_eq!(probes.take("shop"), Some(Err("not allowed".to_owned())));
        }
    }
}
