//! Long-lived connections: proxies count one when it ends, and one that was refused at once. So right after a raise all
//! that is seen of a healthy canary are its few refusals, and every limit on their share is passed.
//!
//! What both arms count together is right at every moment: as many connections end in a tick as begin, as long as
//! people come at the same rate, and those that ended on control began before the raise in the canary's stead. Of all
//! of them the canary is owed its weight. So successes of control's are counted as the canary's (*lent*) until it has
//! its share. With a rate λ, weight w after w₀ and F the share of connections that last shorter than the time since the
//! raise, control ends λ((1−w₀)(1−F) + (1−w)F) and the canary λ(w₀(1−F) + wF): together λ, whatever F and w₀ are.
//!
//! - A canary that refuses a share f is seen to refuse f/(1+wf(1−F)) of its connections, at least half of f: its own
//!   refusals are in the sum. It is found a little later, never not at all.
//! - For a healthy canary k of n keeps to its line: with b = (1−q)/(1−p₀) < 1 the mean of b^(wN) over a Poisson number N
//!   is at most that of wN requests of its own, for b^w ≤ 1 − w(1−b). Fractions are carried over, and so is what the
//!   canary had beyond its share, or the larger of two numbers that scatter would be larger than both.
//! - Nothing is lent that control did not end, so nothing is made up: the total stays what was counted. Without a
//!   control arm nothing is lent. At 100% what control still ends is lent whole.
//! - What was lent is no success of the canary's own: promotion counts without it.

use super::evidence::real;
use super::judge::Context;
use super::ledger::Ledger;
use super::sample::Counts;
use super::spec::Traffic;

/// How much beyond its share is remembered, in ticks' worth of it: a canary that had more for a while has no claim to
/// less later on.
const AHEAD: f64 = 30.0;

impl Ledger {
    /// How many of control's successes of this tick stand for connections of the canary's that have not ended.
    pub(super) fn lend(&mut self, canary: &Counts, control: &Counts, ctx: &Context<'_>) -> u64 {
        if !ctx.late || ctx.weight.is_zero() {
            return 0;
        }
        let total = canary.requests.saturating_add(control.requests);
        let share = ctx.weight.ratio() * real(total);
        let owed = self.owed + share - real(canary.requests);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "not negative, and `as` saturates"
        )]
        let wanted = owed.max(0.0) as u64;
        let lent = wanted.min(control.requests.saturating_sub(control.errors));
        // What control cannot lend now is not asked for later: it would thin out other failures than these.
        let left = (owed - real(lent)).clamp(-AHEAD * share.max(1.0), 1.0);
        self.owed = (left * 1000.0).round() / 1000.0;
        lent
    }
}

/// Both arms' counts with what was lent; `None` when nothing was.
pub(super) fn mended(canary: &Counts, control: &Counts, lent: u64) -> Option<[Counts; 2]> {
    let with = |counts: &Counts, requests| Counts {
        requests,
        ..counts.clone()
    };
    (lent > 0).then(|| {
        [
            with(canary, canary.requests.saturating_add(lent)),
            with(control, control.requests.saturating_sub(lent)),
        ]
    })
}

/// Whether a component's requests are counted when they end.
pub(super) fn is_late(traffic: Traffic) -> bool {
    traffic == Traffic::LongLived
}

/// Nothing is owed.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_settled(owed: &f64) -> bool {
    *owed == 0.0
}
