//! A bounded queue for each receiver, and whoever empties it.

use super::message::Message;
use super::receiver::{Failure, Receiver};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Messages that wait for one receiver: about half a megabyte. A thousand components that go back at once are more; then
/// the oldest are lost, for the newest say how things stand.
const QUEUE: usize = 512;
/// The first wait before something is tried again; it doubles up to [`SLOWEST`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
const SLOWEST: Duration = Duration::from_secs(60);
/// For so long a receiver that cannot be reached is tried again.
const GIVE_UP: Duration = Duration::from_secs(15 * 60);
/// How long what waits may take when the daemon is told to stop.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What became of a receiver's messages since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken by the receiver.
    pub sent: u64,
    /// Lost because the queue was full.
    pub dropped: u64,
    /// Given up: the receiver would not have them, or did not answer for too long.
    pub failed: u64,
}

/// Where messages go in, for all receivers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    boxes: Arc<[Own]>,
}

#[derive(Debug)]
struct Own {
    receiver: Receiver,
    waiting: Mutex<VecDeque<Message>>,
    news: Notify,
    sent: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

impl Outbox {
    /// For these receivers.
    pub fn new(receivers: impl IntoIterator<Item = Receiver>) -> Self {
        let own = |receiver| Own {
            receiver,
            waiting: Mutex::default(),
            news: Notify::new(),
            sent: AtomicU64::default(),
            dropped: AtomicU64::default(),
            failed: AtomicU64::default(),
        };
        Self {
            boxes: receivers.into_iter().map(own).collect(),
        }
    }

    /// Queues a message for everybody who wants to hear of it. Never waits.
    pub fn send(&self, message: &Message) {
        for own in self.boxes.iter().filter(|own| own.receiver.wants(message)) {
            own.put(message.clone());
        }
    }

    /// What became of each receiver's messages.
    pub fn counts(&self) -> Vec<(String, Counts)> {
        let each = self.boxes.iter();
        each.map(|own| (own.receiver.name().to_owned(), own.counts()))
            .collect()
    }

    /// Tells everybody what there is to tell, until told to stop; then, for a moment, what still waits.
    pub async fn run(self, stop: CancellationToken) {
        let each = self.boxes.iter().map(|own| own.run(&stop));
        tokio::join!(futures::future::join_all(each), stop.cancelled());
    }
}

impl Own {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Message>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, message: Message) {
        let mut waiting = self.lock();
        if waiting.len() >= QUEUE {
            waiting.pop_front();
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        waiting.push_back(message);
        drop(waiting);
        self.news.notify_one();
    }

    fn counts(&self) -> Counts {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            sent: of(&self.sent),
            dropped: of(&self.dropped),
            failed: of(&self.failed),
        }
    }

    async fn run(&self, stop: &CancellationToken) {
        let all = async {
            self.work(stop).await;
            while let Some(batch) = self.take() {
                // One attempt: whoever does not answer now is not waited for.
                self.count(batch.len(), self.receiver.tell(&batch).await.is_ok());
            }
        };
        let end = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_WORDS).await;
        };
        tokio::select! {
            biased;
            () = all => {}
            () = end => tracing::warn!(
                receiver = self.receiver.name(),
                "stopped before everybody was told"
            ),
        }
    }

    /// Tells what comes in, until told to stop. What is on its way then arrives: only waits are cut short.
    async fn work(&self, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            match self.take() {
                Some(batch) => {
                    self.deliver(&batch, stop).await;
                    unless(stop, tokio::time::sleep(self.receiver.gap())).await;
                }
                None => unless(stop, self.news.notified()).await,
            }
        }
    }

    /// The oldest messages, as many as the receiver takes at once.
    fn take(&self) -> Option<Vec<Message>> {
        let mut waiting = self.lock();
        let n = self.receiver.at_once().min(waiting.len());
        let batch: Vec<Message> = waiting.drain(..n).collect();
        (!batch.is_empty()).then_some(batch)
    }

    fn count(&self, messages: usize, well: bool) {
        let count = if well { &self.sent } else { &self.failed };
        count.fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// Tells a batch, again and again while there is hope; once more when told to stop.
    async fn deliver(&self, batch: &[Message], stop: &CancellationToken) {
        let began = Instant::now();
        let mut wait = FIRST_WAIT;
        loop {
            let last = stop.is_cancelled();
            let failure = match self.receiver.tell(batch).await {
                Ok(()) => return self.count(batch.len(), true),
                Err(failure) => failure,
            };
            let hope = match &failure {
                Failure::Never(_) => None,
                Failure::Later { .. } if last => None,
                Failure::Later { after, .. } => Some(after.unwrap_or_default().max(wait).min(GIVE_UP)),
            };
            let hope = hope.filter(|wait| began.elapsed() + *wait < GIVE_UP);
            let Some(rest) = hope else {
                tracing::warn!(
                    receiver = self.receiver.name(),
                    messages = batch.len(),
                    error = %failure,
                    "nobody was told"
                );
                return self.count(batch.len(), false);
            };
            tracing::debug!(receiver = self.receiver.name(), error = %failure, "not told, again in {rest:?}");
            unless(stop, tokio::time::sleep(rest)).await;
            wait = (wait * 2).min(SLOWEST);
        }
    }
}

/// Waits for something, or until told to stop.
async fn unless(stop: &CancellationToken, something: impl Future<Output = ()>) {
    tokio::select! {
        () = something => {}
        () = stop.cancelled() => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::Kind;
    use super::super::message::{Severity, example};
    use super::super::receiver::at;
    use super::*;
    use axum::Router;
    use axum::routing::post;
    use tokio::sync::mpsc;
    use tokio::task::JoinSet;

    /// A receiver that fails so many times, and tells what it took.
    async fn listening(failures: u64) -> (String, mpsc::UnboundedReceiver<String>, JoinSet<()>) {
        let (took, taken) = mpsc::unbounded_channel();
        let asked = Arc::new(AtomicU64::default());
        let app = Router::new().route(
            "/",
            post(move |body: String| async move {
                if asked.fetch_add(1, Ordering::Relaxed) < failures {
                    return http::StatusCode::SERVICE_UNAVAILABLE;
                }
                took.send(body).unwrap();
                http::StatusCode::OK
            }),
        );
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        (url, taken, server)
    }

    #[tokio::test]
    async fn a_message_that_was_not_taken_is_told_again_and_counted_once() {
        let (url, mut taken, _server) = listening(1).await;
        let outbox = Outbox::new([at(&url, Kind::Webhook, None)]);
        outbox.send(&example("one"));
        let mut work = JoinSet::new();
        work.spawn(outbox.clone().run(CancellationToken::new()));
        let body = taken.recv().await.unwrap();
        assert!(body.contains("\"key\":\"one\""), "{body}");
        while outbox.counts()[0].1.sent == 0 {
            tokio::task::yield_now().await;
        }
        let counts = Counts {
            sent: 1,
            ..Counts::default()
        };
        assert_eq!(outbox.counts(), [("ops".to_owned(), counts)]);
    }

    #[tokio::test]
    async fn a_full_queue_loses_its_oldest_and_counts_them() {
        let outbox = Outbox::new([at("http://127.0.0.1:9/", Kind::Webhook, None)]);
        for n in 0..QUEUE + 3 {
            outbox.send(&example(&n.to_string()));
        }
        assert_eq!(
            outbox.counts()[0].1,
            Counts {
                dropped: 3,
                ..Counts::default()
            }
        );
        assert_eq!(outbox.boxes[0].take().unwrap()[0].key, "3");
    }

    #[tokio::test]
    async fn a_chat_gets_what_waits_in_one_message() {
        let (url, mut taken, _server) = listening(0).await;
        let outbox = Outbox::new([at(&url, Kind::Slack, None)]);
        for n in 0..30 {
            outbox.send(&example(&n.to_string()));
        }
        let mut work = JoinSet::new();
        work.spawn(outbox.clone().run(CancellationToken::new()));
        let first: serde_json::Value = serde_json::from_str(&taken.recv().await.unwrap()).unwrap();
        assert_eq!(first["text"].as_str().unwrap().lines().count(), 20);
        let second: serde_json::Value = serde_json::from_str(&taken.recv().await.unwrap()).unwrap();
        assert_eq!(second["text"].as_str().unwrap().lines().count(), 10);
    }

    #[tokio::test]
    async fn what_is_on_its_way_when_the_end_comes_is_told_once() {
        let (url, mut taken, _server) = listening(0).await;
        let outbox = Outbox::new([at(&url, Kind::Webhook, None)]);
        outbox.send(&example("on its way"));
        let own = &outbox.boxes[0];
        let stop = CancellationToken::new();
        let end = async {
            while !own.lock().is_empty() {
                tokio::task::yield_now().await;
            }
            stop.cancel();
        };
        tokio::join!(own.run(&stop), end);
        assert_eq!(own.counts().sent, 1);
        assert!(taken.recv().await.unwrap().contains("on its way"));
        assert!(taken.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_waits_for_another_attempt_when_the_end_comes_is_tried_once_more() {
        let (url, mut taken, _server) = listening(1).await;
        let outbox = Outbox::new([at(&url, Kind::Webhook, None)]);
        outbox.send(&example("at last"));
        let stop = CancellationToken::new();
        let own = &outbox.boxes[0];
        let batch = own.take().unwrap();
        assert!(own.receiver.tell(&batch).await.is_err());
        stop.cancel();
        own.deliver(&batch, &stop).await;
        assert!(taken.recv().await.unwrap().contains("at last"));
    }

    #[tokio::test]
    async fn what_waits_is_told_before_the_end_and_what_is_too_quiet_never() {
        let (url, mut taken, _server) = listening(0).await;
        let outbox = Outbox::new([at(&url, Kind::Webhook, None)]);
        outbox.send(&example("last words"));
        let stop = CancellationToken::new();
        stop.cancel();
        outbox.clone().run(stop).await;
        assert!(taken.recv().await.unwrap().contains("last words"));
        assert!(at(&url, Kind::Webhook, None).wants(&example("k")));
        let quiet = super::super::receiver::Setup {
            name: "boss".into(),
            kind: Kind::Webhook,
            url: super::super::receiver::Where::Url(super::super::secret::Secret::Plain(url)),
            secret: None,
            min_severity: Severity::Critical,
            allow: Vec::new(),
            link: None,
        };
        let boss = Receiver::new(quiet, crate::clock::Clock::System).unwrap();
        let mut done = example("k");
        done.severity = Severity::Info;
        assert!(!boss.wants(&done));
    }
}
