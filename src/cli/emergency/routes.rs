//! Where traffic stood and stands by the routed objects themselves: a status is as old as the daemon that wrote it, and
//! whoever took over from one that hangs may have moved traffic since.

use super::READS;
use crate::cli::connect::Reach;
use crate::cli::direct;
use crate::cli::insist::Question;
use crate::cli::pursue::{Found, Task};
use crate::cli::view::{self, View};
use crate::cluster::by_hand::Error;
use crate::rollout::spec::GradualRollout;
use crate::rollout::weight::Weight;
use crate::routing::Home;
use futures::StreamExt as _;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How long what is not answered is read again once the traffic is back: longer, and nobody learns that it is.
const AGAIN: Duration = Duration::from_secs(5);

/// What the routed objects of each component say, as far as that is answered in time.
pub(super) async fn say(cluster: &Reach, namespace: &str, tasks: &[Task], end: Instant) -> Found {
    let all = tasks
        .iter()
        .flat_map(|task| task.components.iter().map(move |name| (task, name)));
    futures::stream::iter(all)
        .map(|(task, name)| async move {
            let (weight, unread) = of(cluster, namespace, &task.rollout, name, (Instant::now(), end)).await;
            // Of some of them alone it is not known.
            let weight = weight.filter(|_| unread.is_empty())?;
            Some(((task.name().to_owned(), name.clone()), weight))
        })
        .buffer_unordered(READS)
        .filter_map(async |found| found)
        .collect()
        .await
}

/// What the routed objects of one component say: asked again until one moment, and waited for until another.
async fn of(
    cluster: &Reach,
    namespace: &str,
    rollout: &GradualRollout,
    name: &str,
    (again, end): (Instant, Instant),
) -> (Option<Weight>, Vec<String>) {
    let Some(component) = direct::component(rollout, name) else {
        return (None, vec!["it is in the spec no more".to_owned()]);
    };
    let home = Home::of(rollout, namespace);
    let said = timeout_at(end, direct::says_by(cluster, component, &home, again)).await;
    said.unwrap_or_else(|_| (None, vec!["no answer in time".to_owned()]))
}

/// How things stood as it began: by the routes where they were read then, or else by what they said before they were written
/// from here; by the status where neither is known.
pub(super) fn before(views: Vec<View>, then: &Found, written: &Found) -> Vec<View> {
    let corrected = |view: View| {
        let key = (view.rollout.clone(), view.component.clone());
        match then.get(&key).or_else(|| written.get(&key)) {
            Some(weight) => view.with_routes(*weight),
            None => view,
        }
    };
    views.into_iter().map(corrected).collect()
}

/// Every component as it stands now by its routed objects, with the daemon's word beside it where the daemon did it.
pub(super) async fn after(
    cluster: &Reach,
    namespace: &str,
    tasks: &[Task],
    by_daemon: impl Fn(&Task, &str) -> bool,
    end: Instant,
) -> Vec<View> {
    let again = end.min(Instant::now() + AGAIN);
    let fresh = tasks.iter().map(|task| async move {
        let question = Question {
            doing: "reading the rollout again",
            end: again,
            places: None,
        };
        let read = question.insist(Error::is_silence, async || {
            cluster.rollout(namespace, task.name()).await
        });
        // What cannot be read anew is told as it was read before, with the weights that the objects say.
        timeout_at(end, read).await.ok().and_then(Result::ok)
    });
    let all = tasks
        .iter()
        .flat_map(|task| task.components.iter().map(move |name| (task, name)));
    // Beside each other: a resource that is not answered about takes no time from the routes.
    let said = futures::stream::iter(all)
        .map(|(task, name)| async move {
            let said = of(cluster, namespace, &task.rollout, name, (again, end)).await;
            (task, name, said)
        })
        .buffered(READS)
        .collect::<Vec<_>>();
    let (fresh, said) = tokio::join!(futures::future::join_all(fresh), said);
    let rollout = |task: &Task| {
        let read = fresh.iter().flatten();
        read.into_iter()
            .find(|r| r.metadata.name.as_deref() == Some(task.name()))
    };
    said.into_iter()
        .map(|(task, name, said)| {
            let fresh = rollout(task);
            let rollout = fresh.unwrap_or(&task.rollout);
            let view = view::view(rollout, name);
            if direct::component(rollout, name).is_none() {
                return view;
            }
            match (said, by_daemon(task, name)) {
                ((Some(weight), unread), true) if unread.is_empty() => view.with_routes(weight),
                // A status of before says nothing of what was done since.
                (_, true) if fresh.is_some() => view,
                ((weight, unread), _) => view.without_daemon(weight, &unread),
            }
        })
        .collect()
}
