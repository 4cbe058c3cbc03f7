//! The ways out: routed objects of the cluster, and hooks, which are read and written as if they were some.

use crate::cluster::ClusterError;
use crate::cluster::cache::{Cache, Cached};
use crate::cluster::connect::Client;
use crate::cluster::objects::{self, FIELD_MANAGER};
use crate::cluster::share::Share;
use crate::probe::{HookFailure, Hooks, later};
use crate::routing::{Asked, Called, ObjectPatch, PatchBody, Stamp, Target, asked, manual_object};
use serde_json::Value;
use std::sync::Arc;

/// Whoever writes has these.
#[derive(Clone)]
pub(super) struct Doors {
    pub(super) client: Client,
    pub(super) cache: Cache,
    pub(super) hooks: Option<Arc<Hooks>>,
    /// What the daemon works, and the shard of whoever writes.
    pub(super) term: (Share, u32),
}

impl Doors {
    /// Whether the daemon still leads, as far as it can know: asked right before a raise is written, also by a process
    /// that was stopped in between. It saves a lost race; the race is lost by the versions that the write carries.
    pub(super) fn leads(&self) -> Result<(), String> {
        let (share, shard) = &self.term;
        if share.stands(*shard) {
            Ok(())
        } else {
            Err("this daemon does not lead any more: whoever does decides anew".to_owned())
        }
    }

    /// Reads afresh.
    pub(super) async fn get(&self, target: &Target<'_>) -> Result<Arc<Value>, ClusterError> {
        if target.instructions().is_some() {
            return match self.cache.get(target.object()) {
                Cached::Object(json) => Ok(json),
                Cached::Syncing | Cached::Missing | Cached::Problem(_) => Err(ClusterError::Hook {
                    attempt: format!("reading {}", target.object()),
                    message: "what was confirmed is not read yet".to_owned(),
                }),
            };
        }
        match target.hook() {
            None => objects::get(&self.client, target.object()).await,
            Some(called) => ask(self.hooks.as_deref(), target, called).await,
        }
    }

    /// Reads afresh; `None` when there is none.
    pub(super) async fn get_if_any(&self, target: &Target<'_>) -> Result<Option<Arc<Value>>, ClusterError> {
        match self.get(target).await {
            Ok(json) => Ok(Some(json)),
            Err(ClusterError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes what was drafted from `read`, and gives what it is afterwards.
    pub(super) async fn patch(
        &self,
        target: &Target<'_>,
        read: &Value,
        patch: &ObjectPatch,
    ) -> Result<Arc<Value>, ClusterError> {
        if let Some(instructions) = target.instructions() {
            return by_a_person(&self.cache, target, instructions, read, patch).await;
        }
        let Some(called) = target.hook() else {
            return objects::patch(&self.client, target.object(), patch, FIELD_MANAGER, false).await;
        };
        let attempt = || format!("writing {}", target.object());
        let hooks = self.hooks.as_deref().ok_or_else(|| nobody(attempt()))?;
        let said = hooks.write(target, called, read, patch).await;
        said.map_err(|failure| sorted(attempt(), failure))
    }
}

impl Doors {
    /// For a lowering to 0 of a hook that cannot be read: sets it all the same, and says what came of it.
    pub(super) async fn put_back_unread(&self, target: &Target<'_>, stamp: &Stamp, unread: &str) -> String {
        match (target.hook(), self.hooks.as_deref()) {
            (Some(called), Some(hooks)) => {
                let put = hooks.put_back_unread(target, called, stamp, unread).await;
                put.unwrap_or_else(|not_set| not_set)
            }
            _ => unread.to_owned(),
        }
    }
}

/// Asks a person, and waits until it is done, however long that takes.
async fn by_a_person(
    cache: &Cache,
    target: &Target<'_>,
    instructions: &str,
    read: &Value,
    patch: &ObjectPatch,
) -> Result<Arc<Value>, ClusterError> {
    let unusable = |message: String| ClusterError::Hook {
        attempt: format!("writing {}", target.object()),
        message,
    };
    let mut written = read.clone();
    let PatchBody::Json(operations) = &patch.body;
    json_patch::patch(&mut written, operations).map_err(|e| unusable(e.to_string()))?;
    let said = |json: &Value| target.read(json).map_err(|e| unusable(e.to_string()));
    let want = said(&written)?
        .stamp
        .ok_or_else(|| unusable("a write without a stamp".to_owned()))?;
    let mut changes = cache.changes();
    let ask = Open { cache, target };
    let component = &target.object().name;
    let words = format!(
        "a person to set {component} to {} and `gradual-rollout confirm {component}`: {instructions}",
        want.weight()
    );
    loop {
        let Cached::Object(json) = cache.get(target.object()) else {
            return Err(unusable("what was confirmed is not known any more".to_owned()));
        };
        let now = said(&json)?;
        if now.weight == want.weight() {
            // Nobody has to do what is so already, or was confirmed.
            ask.put(Some(&want), None);
            return cache_object(cache, target).ok_or_else(|| unusable("it is gone".to_owned()));
        }
        if asked(&json).is_none_or(|asked| asked.want != want) {
            let asked = Asked {
                want: want.clone(),
                words: words.clone(),
            };
            ask.put(now.stamp.as_ref(), Some(&asked));
        }
        // Lagging behind is no harm: the cache holds the newest.
        if let Err(tokio::sync::broadcast::error::RecvError::Closed) = changes.recv().await {
            return Err(unusable("the daemon ends".to_owned()));
        }
    }
}

fn cache_object(cache: &Cache, target: &Target<'_>) -> Option<Arc<Value>> {
    match cache.get(target.object()) {
        Cached::Object(json) => Some(json),
        Cached::Syncing | Cached::Missing | Cached::Problem(_) => None,
    }
}

/// As long as it lives somebody is asked.
struct Open<'a> {
    cache: &'a Cache,
    target: &'a Target<'a>,
}

impl Open<'_> {
    fn put(&self, confirmed: Option<&Stamp>, asked: Option<&Asked>) {
        let (object, key) = (self.target.object(), self.target.stamp_key());
        let json = manual_object(object, key, confirmed, asked, later());
        self.cache.put(object, Arc::new(json));
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if let Some(json) = cache_object(self.cache, self.target)
            && asked(&json).is_some()
        {
            let confirmed = self.target.read(&json).ok().and_then(|seen| seen.stamp);
            self.put(confirmed.as_ref(), None);
        }
    }
}

/// Asks a hook what it says.
pub(super) async fn ask(
    hooks: Option<&Hooks>,
    target: &Target<'_>,
    called: Called<'_>,
) -> Result<Arc<Value>, ClusterError> {
    let attempt = || format!("reading {}", target.object());
    let hooks = hooks.ok_or_else(|| nobody(attempt()))?;
    let said = hooks.read(target, called).await;
    said.map_err(|failure| sorted(attempt(), failure))
}

fn nobody(attempt: String) -> ClusterError {
    ClusterError::Hook {
        attempt,
        message: "this daemon calls no hooks, as the sandbox's own does not: run one with the host in `hooks.allow`".to_owned(),
    }
}

fn sorted(attempt: String, failure: HookFailure) -> ClusterError {
    match failure {
        HookFailure::Race => ClusterError::Conflict {
            attempt: format!(
                "{attempt}, whose receiver answers 412 (the id that it has is not the one that it said)"
            ),
        },
        HookFailure::Refused(message) | HookFailure::Failed(message) => {
            ClusterError::Hook { attempt, message }
        }
    }
}
