//! Commands by a name that a component had before: who said stop, or back, did not know that it would be renamed.

use crate::rollout::command::Verb;
use crate::rollout::observation::Observation;
use crate::rollout::plan::Plan;
use crate::rollout::status::{ComponentStatus, GradualRolloutStatus};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// So many names from before are remembered of a component.
const NAMES: usize = 4;

/// What was seen, with each command that stops or puts back a component by a name of before naming it by that of now. What
/// raises has to name what there is: whoever gives it looks at that.
pub(super) fn by_names_of_now<'s>(
    plan: &Plan,
    status: &GradualRolloutStatus,
    seen: &'s Observation,
) -> Cow<'s, Observation> {
    let stops = |verb: Verb| matches!(verb, Verb::Rollback | Verb::Pause);
    if seen.invalid.is_some() || !seen.commands.iter().any(|command| stops(command.verb)) {
        return Cow::Borrowed(seen);
    }
    let mut now: BTreeMap<&str, &str> = BTreeMap::new();
    for planned in &plan.components {
        let renamed = plan.renamed(planned, status);
        let known = renamed.or_else(|| status.component(planned.name()));
        let before = known.into_iter().flat_map(|c| &c.formerly);
        let names = renamed.map(|c| &c.name).into_iter().chain(before);
        // Whoever has the name now is meant by it.
        let free = |name: &&String| {
            let another = status.component(name).is_some() && renamed.is_none_or(|c| c.name != **name);
            !plan.names(name) && !another
        };
        now.extend(names.filter(free).map(|name| (name.as_str(), planned.name())));
    }
    let is_meant = |name: &String| now.contains_key(name.as_str());
    let mut all = seen.commands.iter();
    if !all.any(|command| stops(command.verb) && command.wish.components.iter().any(is_meant)) {
        return Cow::Borrowed(seen);
    }
    let mut seen = seen.clone();
    for command in seen.commands.iter_mut().filter(|command| stops(command.verb)) {
        for name in &mut command.wish.components {
            if let Some(new) = now.get(name.as_str()) {
                (*new).clone_into(name);
            }
        }
    }
    Cow::Owned(seen)
}

/// Remembers that a component was called so until now.
pub(super) fn was_called(c: &mut ComponentStatus, before: String) {
    let own = c.name.clone();
    c.formerly.retain(|name| *name != before && *name != own);
    c.formerly.push(before);
    let excess = c.formerly.len().saturating_sub(NAMES);
    c.formerly.drain(..excess);
}
