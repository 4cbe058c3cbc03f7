//! Beginning again by itself: how often, and after how long.

use super::read::Reader;
use crate::rollout::spec::Retry;
use std::time::Duration;

/// Nothing waits longer than this.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// How often and how soon a component begins again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRule {
    /// How long after the first rollback.
    pub after: Duration,
    /// How often at most in a row.
    pub times: i32,
    /// How many times longer each further wait is.
    pub factor: u32,
}

impl RetryRule {
    /// How long after a rollback, having begun again so often already; `None`: not any more.
    pub fn wait(&self, tried: i32) -> Option<Duration> {
        let earlier = u32::try_from(tried).ok().filter(|_| tried < self.times)?;
        let longer = self.factor.saturating_pow(earlier);
        Some(self.after.saturating_mul(longer).min(LONGEST))
    }
}

impl Reader {
    pub(super) fn retry(&mut self, retry: Option<&Retry>) -> Option<RetryRule> {
        let retry = retry?;
        let at = "spec.rollback.retry";
        if retry.after.0 < Duration::from_secs(10) || retry.after.0 > LONGEST {
            self.problem(format!("{at}.after"), "must be between 10s and 30d");
        }
        let (times, factor) = (retry.times.unwrap_or(3), retry.factor.unwrap_or(2));
        if !(1..=10).contains(&times) {
            self.problem(format!("{at}.times"), "must be between 1 and 10");
        }
        if !(1..=10).contains(&factor) {
            self.problem(format!("{at}.factor"), "must be between 1 and 10");
        }
        Some(RetryRule {
            after: retry.after.0,
            times,
            factor: u32::try_from(factor).unwrap_or(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_so_many_times_longer_and_there_is_a_last_one() {
        let rule = RetryRule {
            after: Duration::from_secs(3600),
            times: 3,
            factor: 2,
        };
        let hours = [0, 1, 2, 3].map(|tried| rule.wait(tried).map(|wait| wait.as_secs() / 3600));
        assert_eq!(hours, [Some(1), Some(2), Some(4), None]);
        let wild = RetryRule {
            times: 10,
            factor: 10,
            ..rule
        };
        assert_eq!(wild.wait(9), Some(LONGEST));
    }
}
