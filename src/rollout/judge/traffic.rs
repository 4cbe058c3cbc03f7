//! What needs no statistics: canaries that only fail, and requests that never arrive.

use super::blame::WORSE;
use super::{Context, How, Outlook, counted};
use crate::rollout::evidence::real;
use crate::rollout::ledger::Ledger;
use crate::rollout::sabotage;
use crate::rollout::spec::Traffic;

/// So many failures without a single success are enough, where failures do not come in bursts.
const NEVER_WORKED: f64 = 10.0;
/// So many requests that should have come and did not are no chance.
const EXPECTED: f64 = 50.0;

impl Ledger {
    /// A disaster, traffic that was lost, or traffic that does not arrive (as it should).
    ///
    /// The first two look at everything since the weight was written. Settle leaves data out because a new path may stumble
    /// for a moment; one that has not answered a single request of ten does not stumble, and its users do not wait.
    pub(super) fn traffic(&self, ctx: &Context<'_>) -> Option<Outlook> {
        self.trip(ctx)
            .or_else(|| self.arrivals(ctx))
            .or_else(|| self.shortfall(ctx))
    }

    fn trip(&self, ctx: &Context<'_>) -> Option<Outlook> {
        // Switching every rollback limit on errors off switches this off, too.
        let (rule, _) = counted::first_line(ctx)?;
        let (canary, control) = (&self.raise.canary, &self.raise.control);
        // Where connections are counted when they end, those that control lent may yet fail.
        let only_failed = if ctx.late {
            !self.answered && canary.errors * 2 >= canary.requests
        } else {
            canary.errors == canary.requests
        };
        let never = real(canary.errors) >= NEVER_WORKED * self.noise.errors.phi_of_disasters() && only_failed;
        let [k_c, n_c, k_b, n_b] = if never {
            [canary.errors, canary.requests, control.errors, control.requests]
        } else if self.disasters >= 2 {
            self.disaster?
        } else {
            return None;
        };
        let control_ratio = if n_b == 0 { 0.0 } else { real(k_b) / real(n_b) };
        let alike = n_b > 0 && real(k_c) / real(n_c.max(1)) <= WORSE * control_ratio;
        if alike && ctx.control_testifies() && !sabotage::broken(5) {
            return Some(Outlook::SharedOutage {
                message: format!(
                    "{}: both arms are failing: {k_c} of {n_c} canary requests and {k_b} of {n_b} control requests",
                    rule.name
                ),
            });
        }
        let message = if never {
            format!("all {k_c} requests since the weight was written failed, none has ever succeeded")
        } else {
            format!("{k_c} of {n_c} requests failed in the last ticks")
        };
        Some(Outlook::Breach {
            check: rule.name.clone(),
            how: How::Trip,
            message,
        })
    }

    pub(in crate::rollout) fn arrivals(&self, ctx: &Context<'_>) -> Option<Outlook> {
        let (raise, weight) = (&self.raise, ctx.weight.ratio());
        let early = u128::from(raise.millis) < 2 * ctx.judge.interval.as_millis();
        if raise.canary.requests > 0 || early || ctx.traffic == Traffic::LongLived {
            return None;
        }
        let seconds = real(raise.millis) / 1000.0;
        let total = real(raise.requests());
        let expected = weight * self.rate_before.map_or(total, |rate| rate * seconds);
        if expected < EXPECTED {
            return None;
        }
        let lost = self
            .rate_before
            .is_some_and(|rate| total <= rate * seconds * (1.0 - weight / 2.0));
        Some(if lost {
            Outlook::Breach {
                check: "traffic".to_owned(),
                how: How::LostTraffic,
                message: format!(
                    "about {expected:.0} canary requests were expected since the raise, none came, and the total fell as well"
                ),
            }
        } else {
            Outlook::NotArriving {
                message: format!(
                    "about {expected:.0} canary requests were expected since the raise, none came, and the total is \
                     unchanged: check that the router's change took effect and that arms.canary selects the right series"
                ),
            }
        })
    }
}
