//! Whose fault it is: whether both arms could be equally ill.

use super::Context;
use crate::rollout::evidence::{Effects, LogE, Pace, under};

/// How much worse than control a canary has to be before a fault of both is its own fault.
pub(super) const WORSE: f64 = 1.5;

/// Bad requests and requests of both arms in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Both {
    pub(super) canary: (u64, u64),
    pub(super) control: (u64, u64),
    /// Control's bad requests as the canary's are compared with them; it may be a fraction.
    pub(super) likened: f64,
}

/// Whether a fault that control shares is ruled out, given that one there is. Either the canary is more than `rho`
/// times as bad by what was counted in one of these stretches (two looks, each at half of `falseRollback`), or control
/// was surely within the limit `p0` in the first. Where control has had no requests in any of them, nobody can say,
/// and the absolute limits decide; so at 100%, whatever still comes to it.
pub(super) fn is_own_fault(
    ctx: &Context<'_>,
    effects: &Effects,
    phi: f64,
    [rho, p0]: [f64; 2],
    stretches: [Both; 2],
) -> bool {
    if cfg!(sabotage_5) || !ctx.control_testifies() || stretches.iter().all(|s| s.control.1 == 0) {
        return true;
    }
    let needed = (2.0 / ctx.judge.false_rollback.clamp(1e-9, 0.5)).ln();
    let [recent, _] = stretches;
    if under(recent.control.0, recent.control.1, p0) / phi >= needed {
        return true;
    }
    let pace = Pace { phi, start: 0.0 };
    stretches.iter().any(|s| {
        let mut log_e = LogE::default();
        log_e.step_relative(effects, pace, rho, s.canary.0, s.canary.1, s.likened, s.control.1);
        log_e.log_e() >= needed
    })
}
