//! Whose fault it is: whether both arms could be equally ill.

use super::Context;
use crate::rollout::evidence::{Effects, LogE, Pace, under};
use crate::rollout::ledger::Ledger;
use crate::rollout::sabotage;
use jiff::Timestamp;
use std::time::Duration;

/// How much worse than control a canary has to be before a fault of both is its own fault.
pub(super) const WORSE: f64 = 1.5;

/// How long a fault waits for a control that has next to nothing of the traffic to say whether it shares it. Longer than
/// most outages of everything, so that one of these puts no canary back; and no canary that is at fault stays for hours.
pub(in crate::rollout) const PATIENCE: Duration = Duration::from_secs(30 * 60);

/// What a fault is held against.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault<'a> {
    pub(super) effects: &'a Effects,
    pub(super) phi: f64,
    /// How much worse than control is the canary's own fault, and the share of bad requests that the limit allows.
    pub(super) against: [f64; 2],
    /// Control was past the limit before it became small, as it was frozen.
    pub(super) was_bad: bool,
}

/// Whose a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The canary's own.
    Canary,
    /// Control may share it, as far as its few requests tell; where they tell nothing at all, until then.
    Unclear(Option<Timestamp>),
}

/// Bad requests and requests of both arms in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Both {
    pub(super) canary: (u64, u64),
    pub(super) control: (u64, u64),
    /// Control's bad requests as the canary's are compared with them; it may be a fraction.
    pub(super) likened: f64,
}

/// Whether a fault that control shares is ruled out, given that one there is: then it is the canary's. Either the canary is more than `rho`
/// times as bad by what was counted in one of these stretches (two looks, each at half of `falseRollback`), or control
/// was surely within the limit `p0` in the first. Where control has had no requests in any of them, nobody can say,
/// and the absolute limits decide; so at 100%, whatever still comes to it. Above 90%, where control has so few requests
/// that it could not say so if all of them went well, they decide after [`PATIENCE`], unless control was bad before or some
/// of its few requests went wrong, too.
pub(super) fn whose_fault(
    ctx: &Context<'_>,
    ledger: &Ledger,
    fault: Fault<'_>,
    stretches: [Both; 2],
) -> Whose {
    if sabotage::broken(5) || !ctx.control_testifies() || stretches.iter().all(|s| s.control.1 == 0) {
        return Whose::Canary;
    }
    let Fault {
        effects,
        phi,
        against: [rho, p0],
        was_bad,
    } = fault;
    let needed = (2.0 / ctx.judge.false_rollback.clamp(1e-9, 0.5)).ln();
    let [recent, _] = stretches;
    if under(recent.control.0, recent.control.1, p0) / phi >= needed {
        return Whose::Canary;
    }
    // One that fails itself says something, however few they are: it may well share the fault.
    #[expect(clippy::cast_precision_loss, reason = "counts of requests")]
    let fails = |s: &Both| s.control.0 as f64 > p0 * s.control.1 as f64;
    let mute = under(0, recent.control.1, p0) / phi < needed && !stretches.iter().any(fails);
    let waits = ctx.control_is_small() && mute && !was_bad;
    if waits && ledger.doubted_for() >= PATIENCE {
        return Whose::Canary;
    }
    let pace = Pace { phi, start: 0.0 };
    let apart = stretches.iter().any(|s| {
        let mut log_e = LogE::default();
        log_e.step_relative(effects, pace, rho, s.canary.0, s.canary.1, s.likened, s.control.1);
        log_e.log_e() >= needed
    });
    if apart {
        return Whose::Canary;
    }
    Whose::Unclear(ledger.doubted_until(PATIENCE).filter(|_| waits))
}
