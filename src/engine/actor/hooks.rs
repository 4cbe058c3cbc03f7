//! Asking hooks what they say: nobody tells when somebody else sets one.

use super::{Actor, Done};
use crate::cluster::ClusterError;
use crate::cluster::cache::Cached;
use crate::cluster::connect::Client;
use crate::engine::doors::{Doors, ask};
use crate::probe::later;
use crate::rollout::weight::Weight;
use crate::routing::{ObjectRef, Stamp, asked, confirmed, confirmed_key, manual_object, targets};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Questions to one hook are so many looks apart, and this long at most. A write is read back at once; this is for
/// what others do.
const LOOKS: u32 = 3;
const SELDOM: Duration = Duration::from_secs(30);

/// When each hook is asked again.
#[derive(Debug, Default)]
pub(super) struct Asked(BTreeMap<ObjectRef, Timestamp>);

impl Asked {
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.0.values().min().copied()
    }
}

impl Actor {
    /// What a write goes through.
    pub(super) fn doors(&self, client: &Client) -> Doors {
        Doors {
            client: client.clone(),
            cache: self.shared.cache.clone(),
            hooks: self.shared.settings.hooks.clone(),
            term: (
                self.shared.share.clone(),
                self.shared.share.shard_of(&self.raw.namespace, &self.raw.name),
            ),
        }
    }

    /// Asks the hooks that are due.
    pub(super) fn ask_hooks(&mut self, now: Timestamp) {
        let Ok(sound) = &self.sound else { return };
        let every = (sound.plan.judge.interval * LOOKS).min(SELDOM);
        let mut mine = BTreeMap::new();
        for planned in sound.plan.cared_for() {
            for target in targets(&planned.component, &self.raw.namespace) {
                if target.hook().is_none() {
                    continue;
                }
                let object = target.object().clone();
                let due = self.asked_hooks.0.get(&object).copied().unwrap_or(now);
                if due > now {
                    mine.insert(object, due);
                    continue;
                }
                mine.insert(object.clone(), now + every);
                let (component, namespace) = (planned.component.clone(), self.raw.namespace.clone());
                let hooks = self.shared.settings.hooks.clone();
                self.tasks.spawn(async move {
                    let all = targets(&component, &namespace);
                    let found = all.iter().find_map(|target| {
                        Some((target, target.hook()?)).filter(|_| *target.object() == object)
                    });
                    let said = match found {
                        Some((target, called)) => Some(ask(hooks.as_deref(), target, called).await),
                        None => None,
                    };
                    Done::HookAsked { object, said }
                });
            }
        }
        self.asked_hooks.0 = mine;
    }

    /// Takes what a hook said; the same again is no news.
    pub(super) fn hook_said(&self, object: &ObjectRef, said: Option<Result<Arc<Value>, ClusterError>>) {
        match said {
            None => {}
            Some(Ok(json)) => {
                let same = |known: &Value| {
                    ["/spec", "/metadata/annotations"]
                        .iter()
                        .all(|at| known.pointer(at) == json.pointer(at))
                };
                if !matches!(self.shared.cache.get(object), Cached::Object(known) if same(&known)) {
                    self.shared.cache.put(object, json);
                }
            }
            Some(Err(error)) => self.shared.cache.trouble(object, error.to_string()),
        }
    }

    /// Takes what persons confirmed, and tells what they are asked for.
    pub(super) fn hear_persons(&mut self) {
        let Ok(sound) = &self.sound else { return };
        for planned in sound.plan.cared_for() {
            for target in targets(&planned.component, &self.raw.namespace) {
                if target.instructions().is_none() {
                    continue;
                }
                let (object, key) = (target.object(), target.stamp_key());
                let said = self.raw.annotations.get(&confirmed_key(planned.name()));
                let said = said.and_then(|text| confirmed(text));
                let known = match self.shared.cache.get(object) {
                    Cached::Object(json) => Some(json),
                    Cached::Syncing | Cached::Missing | Cached::Problem(_) => None,
                };
                let open = known.as_deref().and_then(asked);
                let before = known
                    .as_deref()
                    .and_then(|json| target.read(json).ok())
                    .and_then(|seen| seen.stamp);
                // What needed nobody was stamped without a word of anybody.
                let silent = |before: &Stamp| {
                    said.as_ref().map_or(Weight::ZERO, Stamp::weight) == before.weight()
                        && said.as_ref().is_none_or(|said| said.id() < before.id())
                };
                if known.is_none() || before != said && !before.as_ref().is_some_and(silent) {
                    let still = open.as_ref().filter(|open| {
                        said.as_ref()
                            .is_none_or(|said| said.weight() != open.want.weight())
                    });
                    let json = manual_object(object, key, said.as_ref(), still, later());
                    self.shared.cache.put(object, Arc::new(json));
                }
                let Some(open) = open else { continue };
                if self
                    .told_persons
                    .get(object)
                    .is_some_and(|id| id == open.want.id())
                {
                    continue;
                }
                let now = before.as_ref().map_or(Weight::ZERO, Stamp::weight);
                let text = format!("{}: waits for {}", planned.name(), open.words);
                self.shared
                    .events
                    .publish(&self.raw, "WaitingForPerson", &text, open.want.weight() < now);
                self.told_persons
                    .insert(object.clone(), open.want.id().to_owned());
            }
        }
    }
}
