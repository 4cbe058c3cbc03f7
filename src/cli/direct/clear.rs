//! Objects in which no weight can be lowered, for the pair is not in them any more.

use super::{Error, Order, Written, patched};
use crate::cli::connect::Reach;
use crate::rollout::weight::Weight;
use crate::routing::{Target, Write};
use serde_json::Value;

/// What is written where that is all there is to do: our rules and our mirror go, and then nothing of ours leads to the
/// canary; what else does is told. `None` where weights can be written, or something of ours leads there all the same.
pub(super) fn nothing_to_lower(target: &Target<'_>, json: &Value) -> Option<(Written, Write)> {
    let clear = target.clear(json);
    let after = clear.as_ref().map_or(json, |(_, after)| after);
    if target.read(after).is_ok() || !target.leads_nowhere(after) {
        return None;
    }
    let written = Written {
        object: target.object().clone(),
        from: Some(Weight::ZERO),
        to: Weight::ZERO,
        changes: clear
            .as_ref()
            .map(|(patch, _)| patch.changes.clone())
            .unwrap_or_default(),
        already: clear.is_none(),
        stands: true,
        unmarked: None,
        left: target.left(after),
    };
    Some((
        written,
        clear.map_or(Write::Nothing, |(patch, _)| Write::Patch(patch)),
    ))
}

/// Takes our rules and our mirror off an object that cannot be lowered, for they need not wait for whoever mends it; and
/// why it cannot.
pub(super) async fn refused(
    cluster: &Reach,
    target: &Target<'_>,
    json: Option<&Value>,
    (order, error): (Order<'_>, Error),
) -> Error {
    let Some(json) = json.filter(|_| !order.may_raise) else {
        return error;
    };
    let lowered = order.lowered(target, json);
    if let Some((patch, _)) = lowered.clear(json)
        && let Err(error) = patched(cluster, target, json, &patch).await
    {
        return error;
    }
    lowered.renamed(json).map_or(error, Error::Renamed)
}
