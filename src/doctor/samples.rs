//! What Prometheus says of the arms, and of its own clock.

use super::code::{D301, D302, D303, D304, D306, D401, D402, D403};
use super::examine::examine;
use super::{Finding, Patient};
use crate::metrics::{Ask, Source};
use crate::rollout::sample::{Blindness, Dark};
use jiff::Timestamp;
use std::time::Duration;

/// Clocks may differ by this much and nobody is told: the API server tells whole seconds, and an answer takes time.
pub(crate) const SKEW: Duration = Duration::from_secs(5);
/// A newest sample that is older than this is old: scrapes come at least every minute.
const OLD: Duration = Duration::from_secs(150);
/// So far in the future samples are looked for: within the five minutes that an instant answer reaches back.
const AHEAD: Duration = Duration::from_secs(240);
/// Stamps of what every Prometheus has of whatever it scrapes.
const NEWEST: &str = "max(timestamp(up))";
/// The same of the last day, a little coarser.
const LATELY: &str = "max(max_over_time(timestamp(up)[1d:5m]))";

/// Everything about the series of these rollouts; `source` is none where no Prometheus is named.
pub(crate) async fn findings(source: Option<&Source>, patients: &[Patient], now: Timestamp) -> Vec<Finding> {
    let armed = patients
        .iter()
        .flat_map(Patient::components)
        .any(|component| component.arms.is_some());
    if !armed {
        return Vec::new();
    }
    let prometheus = "prometheus";
    let Some(source) = source else {
        let message = "which Prometheus has the arms' series is not known here";
        return vec![Finding::new(D301, prometheus, message)];
    };
    // Prometheus is asked for whole seconds.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut all = Vec::new();
    match newest(source, now).await {
        Ok(newest) => all.extend(newest.and_then(|newest| clock(newest, now))),
        Err(blindness) => {
            all.push(Finding::new(D302, prometheus, &blindness.message));
            // Every further question would wait as long for as little.
            if blindness.kind == Dark::Down {
                return all;
            }
        }
    }
    for patient in patients {
        for planned in &patient.plan.components {
            let Some(ask) = Ask::of(&patient.name, planned, false) else {
                continue;
            };
            let object = format!("component {} of {}", planned.name(), patient.name);
            let examined = match examine(source, &ask, &patient.plan, planned, now).await {
                Ok(examined) => examined,
                Err(blindness) => {
                    all.push(Finding::new(D302, &object, &blindness.message));
                    if blindness.kind == Dark::Down {
                        return all;
                    }
                    continue;
                }
            };
            for (code, sentences) in [
                (D401, examined.arms),
                (D402, examined.data),
                (D403, examined.histograms),
                (D306, examined.short),
            ] {
                let each = sentences.iter();
                all.extend(each.map(|sentence| Finding::new(code, &object, sentence)));
            }
        }
    }
    all
}

/// The stamp of the newest sample, in this machine's near future too; `None` when nothing says.
async fn newest(source: &Source, now: Timestamp) -> Result<Option<Timestamp>, Blindness> {
    let later = now.checked_add(AHEAD).unwrap_or(now);
    let mut found = source.vector(NEWEST, later).await?;
    if found.is_empty() {
        // An answer about later reaches back to a minute ago only.
        found = source.vector(LATELY, now).await?;
    }
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
    let seconds = found.first().map(|sample| sample.value as i64);
    Ok(seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()))
}

/// What the newest sample's stamp says of the clocks.
fn clock(newest: Timestamp, now: Timestamp) -> Option<Finding> {
    let seconds = newest.as_second() - now.as_second();
    let over = |limit: Duration, seconds: i64| u64::try_from(seconds).is_ok_and(|s| s > limit.as_secs());
    if over(SKEW, seconds) {
        let message = format!("its newest sample is stamped {seconds}s after now");
        return Some(Finding::new(D303, "prometheus", &message));
    }
    over(OLD, -seconds).then(|| {
        let message = format!("its newest sample is {}s old", -seconds);
        Finding::new(D304, "prometheus", &message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_tells_a_clock_ahead_from_scrapes_that_stopped() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let code = |newest| clock(at(newest), at(1_000)).map(|finding| finding.code.name);
        assert_eq!([code(1_000), code(1_005), code(850)], [None; 3]);
        assert_eq!(code(1_006), Some("D303"));
        assert_eq!(code(849), Some("D304"));
    }
}
