//! How many requests components have now.

use crate::cli::exit::Failure;
use crate::cli::recorded;
use crate::clock::Clock;
use crate::metrics::{Source, request_rate};
use crate::routing::adopt::{Draft, Quiet};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use std::collections::BTreeMap;
use std::time::Duration;

/// How much time the rate is taken over.
const WINDOW: Duration = Duration::from_secs(300);
/// So many questions at a time.
const AT_ONCE: usize = 8;

/// Asks for every component's rate. One question that gets no answer is the end of all: half of a plan is none.
pub(super) async fn ask(source: &Source, drafts: &[Draft], below: f64) -> Result<Quiet, Failure> {
    let now = Clock::System.now();
    let questions = drafts.iter().filter_map(|draft| {
        let arms = draft.component.arms.as_ref()?;
        // What cannot be asked is no component of a valid resource, and is found there.
        let promql = request_rate(arms, WINDOW).ok()?;
        Some(((draft.namespace.clone(), draft.component.name.clone()), promql))
    });
    let rates: BTreeMap<_, _> = stream::iter(questions)
        .map(async |(key, promql)| {
            let answer = source.vector(&promql, now).await.map_err(recorded::blind)?;
            let rate = answer
                .first()
                .map(|sample| sample.value)
                .filter(|rate| rate.is_finite());
            Ok::<_, Failure>((key, rate))
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(Quiet { below, rates })
}
