//! The time that nginx gets to serve what came back: from when it is there, whoever brought it back. A rollback that was
//! ended in this wait, and is asked for again, waits the rest of it.

use super::args::RollbackArgs;
use super::watch::Watch;
use crate::cluster::Cluster;
use crate::finding::{Finding, Severity};
use crate::place::Place;
use crate::trouble::Trouble;
use jiff::Timestamp;
use std::time::Duration;

/// How often it is looked whether it was told to end.
const EVERY: Duration = Duration::from_millis(250);

/// Waits until the youngest Ingress that is given its hosts back is old enough; `own` where this run brought one back, which
/// is as young as can be whatever the clocks say. What there is to say where it was told to end.
pub(super) async fn wait(
    args: &RollbackArgs,
    cluster: &Cluster,
    watch: &mut Watch,
    own: bool,
    place: &mut Place<'_>,
) -> Result<Option<Finding>, Trouble> {
    let settle = Duration::from_secs(args.settle);
    let since = watch.came_back(cluster).await?;
    let since = since.values().filter_map(|at| at.parse::<Timestamp>().ok()).max();
    let mut left = match since {
        _ if own => settle,
        Some(since) => rest(settle, (place.now)(), since),
        None => Duration::ZERO,
    };
    if !left.is_zero() {
        writeln!(
            place.err,
            "giving nginx {} s to serve what came back",
            left.as_millis().div_ceil(1000)
        )?;
    }
    while !left.is_zero() && !(place.stopped)() {
        let some = left.min(EVERY);
        tokio::time::sleep(some).await;
        left -= some;
    }
    Ok((place.stopped)().then(|| {
        interrupted(&format!(
            "while nginx was given time to serve what came back, {} s before its end",
            left.as_millis().div_ceil(1000)
        ))
    }))
}

/// What is left of a wait for an Ingress that is there since then. The API server tells ages by the second: it may be as
/// much younger.
fn rest(settle: Duration, now: Timestamp, since: Timestamp) -> Duration {
    let age = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    settle.saturating_sub(age.saturating_sub(Duration::from_secs(1)))
}

/// That it was told to end, and what stands then.
pub(super) fn interrupted(when: &str) -> Finding {
    Finding {
        code: "ROLLBACK-INTERRUPTED",
        severity: Severity::Blocker,
        object: "rollback".to_owned(),
        message: format!(
            "it was told to end {when}: no mark was taken off and nothing was closed nor deleted, so the gateway serves all that it did"
        ),
        remedy: "ask for the same again: it goes on from there, and waits what is left of --settle"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_counted_from_when_the_ingress_is_there_and_never_too_short() {
        let settle = Duration::from_secs(15);
        let since: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        for (age, left) in [(-60, 15), (0, 15), (1, 15), (5, 11), (16, 0), (3600, 0)] {
            let now = since + jiff::SignedDuration::from_secs(age);
            assert_eq!(rest(settle, now, since), Duration::from_secs(left), "{age}");
        }
    }
}
