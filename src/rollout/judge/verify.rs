//! Verification: whether the canary gets the share that its weight asks for.

use super::{Context, Outlook};
use crate::rollout::arrival::{Counted, Measured, Zone};
use crate::rollout::ledger::Ledger;
use crate::rollout::spec::Traffic;

/// A deviation is told after so many intervals of judged data: one late scrape is none.
const INTERVALS: u128 = 3;

impl Ledger {
    /// The canary's share of what both arms got since settle, with its band; `None` where it cannot be measured: at 0%,
    /// without a control arm, of long-lived connections, of shares of new objects, in the dark.
    pub fn measured(&self, ctx: &Context<'_>) -> Option<Measured> {
        if !is_measurable(ctx) || self.darkness(ctx).is_some() {
            return None;
        }
        let nothing = matches!(self.arrivals(ctx), Some(Outlook::NotArriving { .. }));
        self.counted()
            .measured(ctx.weight, self.lately(), self.is_long_enough(ctx), nothing)
    }

    /// Whether the share is surely another than the weight's: the verdict of [`Ledger::measured`], without its band.
    pub fn deviates(&self, ctx: &Context<'_>) -> bool {
        is_measurable(ctx) && self.has_left(Zone::of(ctx.weight), ctx)
    }

    /// Something arrives, and surely less than half of what was asked for: the step is another one than it says.
    pub(in crate::rollout) fn shortfall(&self, ctx: &Context<'_>) -> Option<Outlook> {
        if !is_measurable(ctx) || !self.has_left(Zone::half(ctx.weight), ctx) {
            return None;
        }
        let measured = self.counted().measured(ctx.weight, self.lately(), true, false)?;
        Some(Outlook::NotAchievable {
            message: format!("the canary gets {}", measured.sentence(ctx.weight)),
        })
    }

    fn has_left(&self, zone: Zone, ctx: &Context<'_>) -> bool {
        let all = self.counted();
        // Nearly always it is where it should be, and nothing else has to be summed up.
        !zone.fits(all) && self.is_long_enough(ctx) && zone.is_left(all, self.lately())
    }

    fn is_long_enough(&self, ctx: &Context<'_>) -> bool {
        let judged: u64 = self.blocks.iter().map(|block| block.millis).sum();
        u128::from(judged) >= INTERVALS * ctx.judge.interval.as_millis()
    }

    /// All that was judged.
    fn counted(&self) -> Counted {
        let mut all = Counted::default();
        for block in &self.blocks {
            let part = Counted::from(block);
            all.canary = all.canary.saturating_add(part.canary);
            all.requests = all.requests.saturating_add(part.requests);
        }
        all
    }

    /// The look-backs alone.
    fn lately(&self) -> Counted {
        Counted::from(&self.recent.all())
    }
}

fn is_measurable(ctx: &Context<'_>) -> bool {
    ctx.verifiable && ctx.has_control && ctx.traffic == Traffic::Requests && !ctx.weight.is_zero()
}
