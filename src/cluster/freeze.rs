//! The switch by which a whole cluster is frozen: a ConfigMap beside the daemon, so that it takes no restart.
//!
//! While its `data` has a `reason` or an `until` that is not over, nothing rises anywhere. `who` and `at` are for people.
//! Data of other names alone freeze as well: whoever wrote them meant something.
//! What cannot be read stays as it was last known. A daemon that has never read it raises nothing: it cannot know.

use super::by_hand::{ByHand, Error, FIELD_MANAGER};
use super::connect::Clients;
use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The ConfigMap's name.
pub const NAME: &str = "gradual-rollout-freeze";
/// What its data may say.
const KEYS: [&str; 4] = ["reason", "until", "who", "at"];
/// How long a watch that keeps failing waits at most.
const SLOWEST: Duration = Duration::from_secs(30);

/// What the switch says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Switch {
    /// Why; `None` where none is given.
    pub reason: Option<String>,
    /// Until when; `None`: until somebody lifts it.
    pub until: Option<Timestamp>,
    /// Who froze it.
    pub who: Option<String>,
}

impl Switch {
    /// Reads the switch's data; `None` where nothing is frozen. An `until` that is no time does not end it.
    pub fn of(data: &BTreeMap<String, String>) -> Option<Self> {
        let text = |key: &str| data.get(key).map(|t| t.trim()).filter(|t| !t.is_empty());
        let (reason, until) = (text("reason"), text("until"));
        let slip = data.keys().find(|key| !KEYS.contains(&key.as_str()));
        let slip = slip.map(|key| format!("its data says {key:?}, which is none of {}", KEYS.join(", ")));
        if reason.is_none() && until.is_none() && slip.is_none() {
            return None;
        }
        Some(Self {
            reason: reason
                .or(slip.as_deref())
                .map(|t| t.chars().filter(|c| !c.is_control()).take(256).collect()),
            until: until.and_then(|t| t.parse().ok()),
            who: text("who").map(|t| t.chars().filter(|c| !c.is_control()).take(128).collect()),
        })
    }

    /// Whether it is over.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// For people: `by ada until 2026-12-24T00:00:00Z: end of the quarter`.
    pub fn words(&self) -> String {
        let who = self
            .who
            .as_ref()
            .map(|who| format!(" by {who}"))
            .unwrap_or_default();
        let until = self.until.map_or_else(
            || " until `unfreeze`".to_owned(),
            |until| format!(" until {until:.0}"),
        );
        let reason = self.reason.as_deref().unwrap_or("no reason given");
        format!("frozen{who}{until}: {reason}")
    }
}

/// What is known of the switch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// It was read at least once.
    pub read: bool,
    /// Which object it is, once it was.
    pub place: String,
    /// What it said then.
    pub switch: Option<Switch>,
    /// Why it cannot be read now; what stands here is as it was last known.
    pub trouble: Option<String>,
}

/// Follows the switch until told to stop.
pub async fn follow(
    clients: Clients,
    namespace: String,
    told: watch::Sender<Known>,
    stop: CancellationToken,
) {
    let follow = async {
        let api: Api<ConfigMap> = Api::namespaced(clients.api.clone(), &namespace);
        let config = watcher::Config {
            timeout: clients.watch_timeout,
            ..watcher::Config::default().fields(&format!("metadata.name={NAME}"))
        };
        let mut backoff = watcher::DefaultBackoff::default();
        loop {
            let mut events = std::pin::pin!(watcher(api.clone(), config.clone()));
            // What is listed anew takes the place of what was known, once all is listed.
            let mut listed = None;
            while let Some(event) = events.next().await {
                match event {
                    Ok(Event::Init) => listed = None,
                    Ok(Event::InitApply(map)) => listed = Switch::of(&map.data.unwrap_or_default()),
                    Ok(Event::InitDone) => {
                        backoff = watcher::DefaultBackoff::default();
                        read(&told, &namespace, listed.take());
                    }
                    Ok(Event::Apply(map)) => {
                        read(&told, &namespace, Switch::of(&map.data.unwrap_or_default()));
                    }
                    Ok(Event::Delete(_)) => read(&told, &namespace, None),
                    Err(error) => {
                        let remedy = remedy(&error);
                        let why = format!(
                            "the freeze switch, configmap {namespace}/{NAME}, cannot be read ({error}): {remedy}"
                        );
                        tracing::warn!(error = why, "watching the freeze switch failed, again soon");
                        told.send_if_modified(|known| known.trouble.replace(why.clone()) != Some(why));
                        break;
                    }
                }
            }
            tokio::time::sleep(backoff.next().unwrap_or(SLOWEST)).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = follow => {}
    }
}

/// What is to be done about a watch that fails: a right is missing only where the server says so.
fn remedy(error: &watcher::Error) -> &'static str {
    let code = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    };
    match code {
        Some(403) => "grant get, list and watch on it, as deploy/rbac.yaml does",
        Some(401) => "the daemon's token was not taken: see to its ServiceAccount",
        Some(_) => "the API server did not answer as it should; it is asked again by itself",
        None => "the API server could not be reached; it is asked again by itself",
    }
}

fn read(told: &watch::Sender<Known>, namespace: &str, switch: Option<Switch>) {
    let now = Known {
        read: true,
        place: format!("configmap {namespace}/{NAME}"),
        switch,
        trouble: None,
    };
    told.send_if_modified(|known| {
        if let (Some(switch), true) = (&now.switch, known.switch != now.switch) {
            tracing::warn!(freeze = switch.words(), "nothing rises from now on");
        }
        std::mem::replace(known, now.clone()) != now
    });
}

impl ByHand {
    /// What the switch of a daemon's namespace says; `None`: nothing is frozen.
    pub async fn freeze(&self, namespace: &str) -> Result<Option<Switch>, Error> {
        let doing = format!("reading the freeze switch, configmap {namespace}/{NAME}");
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let map = super::by_hand::within(&doing, None, api.get_opt(NAME)).await?;
        Ok(map.and_then(|map| Switch::of(&map.data.unwrap_or_default())))
    }

    /// The namespaces in which there is a Lease of this name, of the whole cluster: at most so many as a page has.
    pub async fn namespaces_of_leases(&self, lease: &str) -> Result<Vec<String>, Error> {
        let doing = format!("looking for the Lease {lease} in every namespace");
        let api: Api<Lease> = Api::all(self.client.clone());
        let params = ListParams::default()
            .fields(&format!("metadata.name={lease}"))
            .limit(100);
        let found = super::by_hand::within(&doing, None, api.list(&params)).await?;
        let namespaces = found
            .items
            .into_iter()
            .filter_map(|lease| lease.metadata.namespace);
        Ok(namespaces.collect())
    }

    /// Sets the switch, or lifts it. One that is not there is made where it is to be set.
    pub async fn set_freeze(
        &self,
        namespace: &str,
        switch: Option<&Switch>,
        at: Timestamp,
    ) -> Result<(), Error> {
        let verb = if switch.is_some() { "setting" } else { "lifting" };
        let doing = format!("{verb} the freeze switch, configmap {namespace}/{NAME}");
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let data = json!({
            "reason": switch.map(|s| s.reason.clone().unwrap_or_default()),
            "until": switch.and_then(|s| s.until).map(|until| until.to_string()),
            "who": switch.and_then(|s| s.who.clone()),
            "at": switch.map(|_| at.to_string()),
        });
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        // Lifted, nothing is left of it, whatever it was.
        let patch = Patch::Merge(match switch {
            Some(_) => json!({ "data": data }),
            None => json!({ "data": null }),
        });
        let what = format!("configmap {namespace}/{NAME}");
        match super::by_hand::within(&doing, Some(&what), api.patch(NAME, &params, &patch)).await {
            Ok(_) => Ok(()),
            // Nothing that could be lifted.
            Err(Error::NotFound(_)) if switch.is_none() => Ok(()),
            Err(Error::NotFound(_)) => {
                let mut map = ConfigMap::default();
                map.metadata.name = Some(NAME.to_owned());
                let entries = data.as_object().into_iter().flatten();
                let texts =
                    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
                map.data = Some(texts.collect());
                let params = PostParams {
                    field_manager: Some(FIELD_MANAGER.to_owned()),
                    ..PostParams::default()
                };
                super::by_hand::within(&doing, None, api.create(&params, &map)).await?;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn switch(pairs: &[(&str, &str)]) -> Option<Switch> {
        let data = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Switch::of(&data.collect())
    }

    #[test]
    fn a_reason_or_an_end_freezes_and_an_end_that_is_no_time_never_comes() {
        let now: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        assert_eq!(switch(&[]), None);
        assert_eq!(switch(&[("reason", " "), ("who", "ada")]), None);
        // A slip of the pen in an emergency.
        let slip = switch(&[("Reason", "stop everything")]).unwrap();
        assert!(
            !slip.is_over(now) && slip.words().contains("\"Reason\""),
            "{}",
            slip.words()
        );
        let ends = switch(&[("until", "2026-03-02T09:00:00Z")]).unwrap();
        assert!(ends.is_over(now));
        assert!(!ends.is_over(now - Duration::from_secs(1)));
        let endless = switch(&[("reason", "quarter's\u{1b} end"), ("until", "tomorrow")]).unwrap();
        assert!(!endless.is_over(now));
        assert_eq!(endless.words(), "frozen until `unfreeze`: quarter's end");
    }
}
