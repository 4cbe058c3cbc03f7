//! Kubernetes Events, from a bounded queue: news never delays what it is about.

use super::rollouts::RawRollout;
use crate::clock::Clock;
use crate::rollout::spec::GradualRollout;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client, Resource};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// News that wait at the same time: an Event takes some milliseconds, so this covers seconds of a storm.
const QUEUE: usize = 512;
/// An Event's note may be 1024 bytes; longer ones are refused by the server.
const NOTE: usize = 900;
/// So much of the resource's name begins an Event's name; a name may have 253 bytes.
const NAME: usize = 180;
/// The same news within this is one Event that counts.
const SAME_WITHIN: Duration = Duration::from_secs(10 * 60);
/// How often at most the server is told of a new count.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Events that are remembered as possible series.
const SERIES: usize = 256;
/// How long writing one Event may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where news go in. Cheap to clone.
#[derive(Clone)]
pub struct EventSink {
    queue: mpsc::Sender<Event>,
    clock: Clock,
    identity: String,
    dropped: Arc<AtomicU64>,
}

/// Where they come out. The same news about the same resource again and again is one Event with a count.
pub struct EventWriter {
    queue: mpsc::Receiver<Event>,
    client: Client,
    series: VecDeque<Series>,
}

/// An Event that was written, and how often the same was said since.
struct Series {
    said: Said,
    name: String,
    count: i32,
    last: Timestamp,
    /// When the server was last told of it.
    told: Timestamp,
}

/// What makes two pieces of news the same.
#[derive(PartialEq, Eq)]
struct Said {
    uid: Option<String>,
    reason: Option<String>,
    note: Option<String>,
}

impl Said {
    fn by(event: &Event) -> Self {
        Self {
            uid: event.regarding.as_ref().and_then(|r| r.uid.clone()),
            reason: event.reason.clone(),
            note: event.note.clone(),
        }
    }
}

/// A queue of news.
pub fn channel(client: Client, clock: Clock, identity: String) -> (EventSink, EventWriter) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let sink = EventSink {
        queue: sender,
        clock,
        identity,
        dropped: Arc::default(),
    };
    (
        sink,
        EventWriter {
            queue: receiver,
            client,
            series: VecDeque::new(),
        },
    )
}

impl EventSink {
    /// Queues news about a resource. Never waits; what does not fit is counted and dropped.
    pub fn publish(&self, about: &RawRollout, reason: &str, note: &str, warning: bool) {
        let now = self.clock.now();
        let regarding = ObjectReference {
            api_version: Some(GradualRollout::api_version(&()).into_owned()),
            kind: Some(GradualRollout::kind(&()).into_owned()),
            namespace: Some(about.namespace.clone()),
            name: Some(about.name.clone()),
            uid: Some(about.uid.clone()),
            ..ObjectReference::default()
        };
        let id = now.as_nanosecond().unsigned_abs();
        let event = Event {
            metadata: ObjectMeta {
                generate_name: Some(format!("{}.{id:x}-", base(&about.name))),
                namespace: Some(about.namespace.clone()),
                ..ObjectMeta::default()
            },
            action: Some(reason.to_owned()),
            event_time: Some(MicroTime(now)),
            note: Some(clip(note)),
            reason: Some(reason.to_owned()),
            regarding: Some(regarding),
            reporting_controller: Some("rollout.sealos.io/gradual-rollout".to_owned()),
            reporting_instance: Some(self.identity.chars().take(128).collect()),
            type_: Some(if warning { "Warning" } else { "Normal" }.to_owned()),
            ..Event::default()
        };
        if self.queue.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many did not fit into the queue.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// As much of a resource's name as an Event's name has room for. What a name is generated from must itself be a name,
/// so no part of it may end in a dash; only its very end may.
fn base(name: &str) -> &str {
    let end = (0..=NAME)
        .rev()
        .find(|i| name.is_char_boundary(*i))
        .unwrap_or_default();
    let cut = name.get(..end).unwrap_or(name);
    cut.trim_end_matches(['-', '.'])
}

fn clip(note: &str) -> String {
    if note.len() <= NOTE {
        return note.to_owned();
    }
    let end = (0..=NOTE).rev().find(|i| note.is_char_boundary(*i)).unwrap_or(0);
    format!("{}…", note.get(..end).unwrap_or_default())
}

impl EventWriter {
    /// Writes news as they come, until told to stop; then those that wait already.
    pub async fn run(mut self, stop: CancellationToken) {
        loop {
            tokio::select! {
                event = self.queue.recv() => match event {
                    Some(event) => self.write(event).await,
                    None => return,
                },
                () = stop.cancelled() => break,
            }
        }
        while let Ok(event) = self.queue.try_recv() {
            self.write(event).await;
        }
    }

    async fn write(&mut self, event: Event) {
        let at = event.event_time.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0);
        let said = Said::by(&event);
        self.series
            .retain(|s| at.duration_since(s.last).unsigned_abs() < SAME_WITHIN);
        if let Some(known) = self.series.iter_mut().find(|s| s.said == said) {
            known.count = known.count.saturating_add(1);
            known.last = at;
            if at.duration_since(known.told).unsigned_abs() < TELL_EVERY {
                return;
            }
            known.told = at;
            let series = json!({"count": known.count, "lastObservedTime": MicroTime(at)});
            let name = known.name.clone();
            match self.tell_again(&event, &name, &series).await {
                Ok(_) => return,
                // Events live an hour; what is gone is said anew.
                Err(Some(kube::Error::Api(status))) if status.code == 404 => {
                    self.series.retain(|s| s.said != said);
                }
                Err(error) => return complain(&event, error.as_ref()),
            }
        }
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        match tokio::time::timeout(TIMEOUT, api.create(&super::objects::creating(), &event)).await {
            Ok(Ok(written)) => {
                if self.series.len() >= SERIES {
                    self.series.pop_front();
                }
                self.series.push_back(Series {
                    said,
                    name: written.metadata.name.unwrap_or_default(),
                    count: 1,
                    last: at,
                    told: at,
                });
            }
            Ok(Err(error)) => complain(&event, Some(&error)),
            Err(_) => complain(&event, None),
        }
    }

    /// `Err(None)`: no answer in time.
    async fn tell_again(
        &self,
        event: &Event,
        name: &str,
        series: &Value,
    ) -> Result<Event, Option<kube::Error>> {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
        let patch = Patch::Merge(json!({ "series": series }));
        let params = PatchParams {
            field_manager: Some(super::objects::FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        match tokio::time::timeout(TIMEOUT, api.patch(name, &params, &patch)).await {
            Ok(answer) => answer.map_err(Some),
            Err(_) => Err(None),
        }
    }
}

fn complain(event: &Event, error: Option<&kube::Error>) {
    let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
    let reason = event.reason.as_deref().unwrap_or_default();
    let why = error.map_or_else(|| "no answer in time".to_owned(), ToString::to_string);
    tracing::warn!(namespace, reason, why, "an Event was not written");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note = "版".repeat(400);
        let cut = clip(&note);
        assert!(cut.len() <= NOTE + 3 && cut.ends_with('…'));
        assert_eq!(clip("short"), "short");
    }
}
