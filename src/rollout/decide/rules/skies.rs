//! What the weather of the small world looks like to whoever reads it.

use super::world::{Weather, World};
use crate::rollout::sample::{Arm, Blindness, Counts, GaugeReading, Histogram, Reading, Tick};
use jiff::Timestamp;
use std::collections::BTreeMap;

impl World {
    pub(super) fn reading(&self, name: &str) -> Option<Reading> {
        let weather = self.weather.get(name).copied().unwrap_or(Weather::Good);
        let share = self
            .objects
            .get(name)
            .and_then(|o| o.first())
            .map_or(0, |o| u64::from(o.weight.permille()));
        if let Weather::Rare(failing) = weather {
            return Some(self.rare(name, share, u64::from(failing)));
        }
        let total: u64 = match weather {
            Weather::Quiet | Weather::Rare(_) => 20,
            Weather::Blip => 2000,
            Weather::Good
            | Weather::Elsewhere
            | Weather::Sticky(_)
            | Weather::CanaryFails
            | Weather::BothFail
            | Weather::ControlFails
            | Weather::Blind(_)
            | Weather::NoLook => 100_000,
        };
        let bounds: std::sync::Arc<[f64]> = std::sync::Arc::from([50.0, 100.0, 250.0]);
        let arm = |requests: u64, bad: bool| {
            if requests == 0 {
                return Arm::Absent;
            }
            let errors = match (bad, weather) {
                (true, Weather::Blip) => requests / 50,
                (true, _) => requests * 8 / 10,
                (false, _) => 0,
            };
            let slow = requests / 100;
            let counts = vec![requests - 2 * slow, slow, slow, 0];
            Arm::Seen(Counts {
                requests,
                errors,
                latency: Some(Histogram {
                    bounds_ms: bounds.clone(),
                    counts,
                }),
            })
        };
        let (canary_bad, control_bad) = match weather {
            Weather::NoLook => return None,
            Weather::Blind(kind) => {
                return Some(Reading::Blind(Blindness {
                    kind,
                    message: "dark".into(),
                }));
            }
            Weather::Good | Weather::Quiet | Weather::Rare(_) | Weather::Elsewhere | Weather::Sticky(_) => {
                (false, false)
            }
            Weather::CanaryFails | Weather::Blip => (true, false),
            Weather::BothFail => (true, true),
            Weather::ControlFails => (false, true),
        };
        let part = if let Weather::Sticky(part) = weather {
            u64::from(part)
        } else {
            100
        };
        let (canary, none) = (total * share * part / 100_000, Arm::Seen(Counts::default()));
        let (canary, seen) = if weather == Weather::Elsewhere {
            (0, none)
        } else {
            (canary, arm(canary, canary_bad))
        };
        Some(Reading::Fresh(Tick {
            from: self.looked,
            to: self.now,
            canary: seen,
            control: arm(total - canary, control_bad),
            usual_rate: None,
        }))
    }

    /// Whole requests now and then, evenly spread over the members of a pool and over the arms.
    fn rare(&self, name: &str, share: u64, failing: u64) -> Reading {
        const EVERY: i64 = 50;
        let place = self.objects.keys().position(|n| n == name).unwrap_or(0);
        let place = u64::try_from(place).unwrap();
        let count = |at: Timestamp| {
            let shifted = at.as_second() + i64::try_from(place * 10).unwrap();
            u64::try_from(shifted / EVERY).unwrap()
        };
        let canary = |n: u64| (n * share + place * 137) / 1000;
        let failed = |n: u64| (canary(n) * failing + place * 77) / 1000;
        let (from, to) = (count(self.looked), count(self.now));
        let bounds: std::sync::Arc<[f64]> = std::sync::Arc::from([50.0, 100.0, 250.0]);
        let arm = |requests: u64, errors: u64| {
            let latency = Histogram {
                bounds_ms: bounds.clone(),
                counts: vec![requests, 0, 0, 0],
            };
            Arm::Seen(Counts {
                requests,
                errors: errors.min(requests),
                latency: Some(latency),
            })
        };
        let new = canary(to) - canary(from);
        Reading::Fresh(Tick {
            from: self.looked,
            to: self.now,
            canary: arm(new, failed(to) - failed(from)),
            control: arm(to - from - new, 0),
            usual_rate: None,
        })
    }

    pub(super) fn read_gauges(&self) -> BTreeMap<String, GaugeReading> {
        let read = |(name, canary): (&String, &Result<f64, String>)| {
            let reading = GaugeReading {
                at: self.now,
                canary: canary.clone(),
                control: None,
            };
            (name.clone(), reading)
        };
        self.gauges.iter().map(read).collect()
    }

    pub(super) fn read_streams(&self) -> BTreeMap<String, Reading> {
        let arm = |requests, errors| {
            Arm::Seen(Counts {
                requests,
                errors,
                latency: None,
            })
        };
        let read = |(key, &(requests, errors)): (&String, &(u64, u64))| {
            let tick = Tick {
                from: self.looked,
                to: self.now,
                canary: arm(requests, errors),
                control: arm(10_000, 0),
                usual_rate: None,
            };
            (key.clone(), Reading::Fresh(tick))
        };
        self.streams.iter().map(read).collect()
    }
}
