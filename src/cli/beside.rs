//! What a command about routes for testers or a mirror would write.

use super::connect::Reach;
use super::direct::Error;
use super::pursue::Task;
use crate::rollout::command::Verb;
use crate::rollout::observation::Wanted;
use crate::rollout::preview::{self, Preview};
use crate::rollout::spec::Component;
use crate::routing::{Change, ObjectRef, targets};

/// What a component would be asked to carry beside its weight, or why the command would be refused.
pub(super) fn wanted(task: &Task, name: &str) -> Result<Wanted, String> {
    let component = super::direct::component(&task.rollout, name)
        .ok_or("not in the spec any more; its routers are not known")?;
    let spec = preview::of(component)
        .ok_or("none of its routers can do this: it takes `http` routes of an Istio VirtualService")?;
    let status = task.rollout.status.as_ref().and_then(|s| s.component(name));
    let told = status.and_then(|c| c.preview.as_ref()?.asked.clone());
    let now = told.unwrap_or(spec);
    let new = match (task.command.verb, &task.command.wish.route) {
        (Verb::HeaderRoute, Some(edit)) => now.edited(edit)?,
        _ => Preview {
            mirror: task.command.wish.weight,
            ..now
        },
    };
    Ok(Wanted::Told {
        preview: new,
        command: task.command.id.clone(),
    })
}

/// What would be written to every routed object, as things are now.
pub(super) async fn preview(
    cluster: &Reach,
    component: Option<&Component>,
    namespace: &str,
    wanted: &Wanted,
) -> Vec<(ObjectRef, Result<Vec<Change>, Error>)> {
    let all = component
        .map(|component| targets(component, namespace))
        .unwrap_or_default();
    let previews = all.into_iter().map(|target| async move {
        let drafted = async {
            let json = cluster.object(target.object()).await?;
            let patch = target.preview(&json, wanted)?;
            Ok(patch.map(|patch| patch.changes).unwrap_or_default())
        };
        (target.object().clone(), drafted.await)
    });
    futures::future::join_all(previews).await
}
