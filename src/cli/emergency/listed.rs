//! Which rollouts there are: asked until it is answered, for an API server is busiest when everybody needs it.

use super::super::connect;
use super::super::exit::Failure;
use super::super::insist::Question;
use super::super::progress::Progress;
use crate::cluster::by_hand::{ByHand, Error};
use crate::rollout::spec::GradualRollout;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// How long the list may take once the resource that was named is there: it tells whose a route is beside.
const BESIDE: Duration = Duration::from_secs(1);

/// The rollouts of a namespace. Where one is named it is asked for beside the list, and is enough.
pub(in crate::cli) async fn rollouts(
    cluster: &ByHand,
    namespace: &str,
    named: Option<&str>,
    patience: Duration,
) -> Result<Vec<GradualRollout>, Failure> {
    let progress = Progress::new();
    let listing = format!("listing the rollouts of {namespace}");
    let question = Question {
        doing: &listing,
        end: Instant::now() + patience,
        places: None,
    };
    let tell = |error: &Error| {
        let silent = error.is_silence();
        if silent {
            progress.show(
                0,
                &format!("{error}; asking again for up to {}s", patience.as_secs()),
            );
        }
        silent
    };
    let list = Box::pin(question.insist(tell, async || cluster.rollouts(namespace).await));
    let found = match named {
        None => list.await,
        Some(name) => {
            let reading = format!("reading the rollout {namespace}/{name}");
            let question = Question {
                doing: &reading,
                ..question
            };
            let get = Box::pin(question.insist(tell, async || cluster.rollout(namespace, name).await));
            either(list, get).await
        }
    };
    progress.end();
    found.map_err(|error| told(error, named, patience))
}

/// The list, or the one that was named where the list is not to be had.
async fn either(
    list: impl Future<Output = Result<Vec<GradualRollout>, Error>>,
    get: impl Future<Output = Result<GradualRollout, Error>>,
) -> Result<Vec<GradualRollout>, Error> {
    let (mut list, mut get) = (pin!(list), pin!(get));
    let one = tokio::select! {
        // Asked together, so that which of them is answered first is a race: the list says more.
        biased;
        listed = &mut list => match listed {
            Ok(all) => return Ok(all),
            Err(_) => return get.await.map(|one| vec![one]),
        },
        one = &mut get => one,
    };
    match (timeout(BESIDE, list).await, one) {
        // It also says which there are, where the name is none of them.
        (Ok(Ok(all)), _) => Ok(all),
        (_, one) => one.map(|one| vec![one]),
    }
}

fn told(error: Error, named: Option<&str>, patience: Duration) -> Failure {
    if named.is_none() && matches!(error, Error::Forbidden { .. }) {
        return connect::unlisted(&error);
    }
    let silent = error.is_silence();
    let mut failure = connect::failure(error);
    if silent {
        failure.message = format!(
            "{}. It was asked again and again for {}s, and nothing was put back: run it again, or lower the weights where the \
             traffic enters (load balancer, DNS)",
            failure.message,
            patience.as_secs()
        );
    }
    failure
}
