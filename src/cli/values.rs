//! Values of flags: what they may be, and what to write instead.

use crate::rollout::duration::Span;
use crate::rollout::weight::Weight;

pub(super) fn weight(text: &str) -> Result<Weight, String> {
    text.parse()
        .map_err(|e: crate::rollout::weight::NotAPercentage| e.to_string())
}

/// At 0% there is no canary data to judge.
pub(super) fn some_weight(text: &str) -> Result<Weight, String> {
    match weight(text)? {
        Weight::ZERO => {
            Err("at 0% there is no canary data to judge: write the weight that the canary had".to_owned())
        }
        weight => Ok(weight),
    }
}

pub(super) fn some_time(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|e| format!("{e}"))?;
    if span.0.is_zero() {
        return Err("no time at all holds no requests: write one like 10m".to_owned());
    }
    Ok(span)
}

pub(super) fn mirrored(text: &str) -> Result<Weight, String> {
    match weight(text)? {
        Weight::ZERO => Err("a mirror of 0% is none: say `mirror off`".to_owned()),
        share => Ok(share),
    }
}

/// A time as RFC 3339 writes it.
pub(super) fn time(text: &str) -> Result<jiff::Timestamp, String> {
    text.parse()
        .map_err(|_| "no time as RFC 3339 writes it: write one like 2026-03-02T09:00:00Z".to_owned())
}
