//! A bounded queue for each receiver, and whoever empties it: what is critical first, and what a receiver would not have
//! now stands in nobody's way.

use super::message::{Message, Severity};
use super::receiver::{Failure, Receiver};
use super::waiting::{Queue, Queued};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The first wait before something is tried again; it doubles up to [`SLOWEST`].
const FIRST_WAIT: Duration = Duration::from_secs(1);
const SLOWEST: Duration = Duration::from_secs(60);
/// For so long a message that is not taken is tried again.
const GIVE_UP: Duration = Duration::from_secs(15 * 60);
/// How long what waits may take when the daemon is told to stop.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Keys of messages that are remembered: the same transition is told once, however often it is decided.
const KEYS: usize = 1024;

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
    keys: Arc<Mutex<VecDeque<String>>>,
}

#[derive(Debug)]
struct Own {
    receiver: Receiver,
    waiting: Mutex<Queue>,
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
            keys: Arc::default(),
        }
    }

    /// Queues a message for everybody who wants to hear of it, unless one of its key was. Never waits.
    pub fn send(&self, message: &Message) {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.contains(&message.key) {
            return;
        }
        if keys.len() >= KEYS {
            keys.pop_front();
        }
        keys.push_back(message.key.clone());
        drop(keys);
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
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, message: Message) {
        let lost = self.lock().put(message);
        self.dropped.fetch_add(lost, Ordering::Relaxed);
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
            loop {
                let batch = self.lock().take(None, self.receiver.at_once());
                if batch.is_empty() {
                    break;
                }
                // One attempt: whoever does not answer now is not waited for.
                let told = self.receiver.tell(&messages(&batch)).await;
                self.count(batch.len(), told.is_ok());
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
        // Attempts that failed, one after the other: where nothing is taken, it is tried less and less often.
        let mut failures = 0;
        while !stop.is_cancelled() {
            let (now, most) = (Instant::now(), self.receiver.at_once());
            let batch = if failures == 0 {
                self.lock().take(Some(now), most)
            } else {
                self.lock().take_another(now)
            };
            if batch.is_empty() {
                unless(stop, self.something()).await;
                continue;
            }
            let (least, most) = self.deliver(batch, &mut failures).await;
            unless(stop, self.rest(least, most)).await;
        }
    }

    /// Something comes in, or is to be tried again.
    async fn something(&self) {
        let due = self.lock().next_due();
        match due {
            Some(due) => tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                () = self.news.notified() => {}
            },
            None => self.news.notified().await,
        }
    }

    /// Rests. What is critical and was never tried cuts it short.
    async fn rest(&self, least: Duration, most: Duration) {
        let began = Instant::now();
        tokio::time::sleep(least).await;
        let end = async {
            while !self.lock().has_fresh(Severity::Critical) {
                self.news.notified().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep_until(began + most) => {}
            () = end => {}
        }
    }

    fn count(&self, messages: usize, well: bool) {
        let count = if well { &self.sent } else { &self.failed };
        count.fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// Tells a batch once, and puts back what there is hope for. How long to rest, at least and at most.
    async fn deliver(&self, batch: Vec<Queued>, failures: &mut u32) -> (Duration, Duration) {
        let began = Instant::now();
        let (why, after) = match self.receiver.tell(&messages(&batch)).await {
            Ok(()) => {
                *failures = 0;
                self.count(batch.len(), true);
                return (self.receiver.gap(), self.receiver.gap());
            }
            // One of several may be the reason: then each is tried alone.
            Err(Failure::Never(why)) if batch.len() > 1 => {
                tracing::debug!(
                    receiver = self.receiver.name(),
                    error = why,
                    "not told, each alone again"
                );
                for one in batch {
                    self.again(one.alone());
                }
                return (self.receiver.gap(), self.receiver.gap());
            }
            Err(Failure::Never(why)) => {
                self.give_up(batch.len(), &why);
                return (self.receiver.gap(), self.receiver.gap());
            }
            Err(Failure::Later { why, after }) => (why, after),
        };
        tracing::debug!(
            receiver = self.receiver.name(),
            error = why,
            "not told, again later"
        );
        *failures += 1;
        let mut lost = 0;
        for one in batch {
            let wait = after.unwrap_or_default().max(wait(one.tries())).min(GIVE_UP);
            match one.later(began, Instant::now() + wait, GIVE_UP) {
                Some(one) => self.again(one),
                None => lost += 1,
            }
        }
        if lost > 0 {
            self.give_up(lost, &why);
        }
        // Whoever says when is not asked before.
        let asked = after.unwrap_or_default().min(GIVE_UP);
        let most = wait(*failures - 1).max(asked);
        (FIRST_WAIT.max(asked), most)
    }

    fn again(&self, one: Queued) {
        let lost = self.lock().put_back(one);
        self.dropped.fetch_add(lost, Ordering::Relaxed);
    }

    fn give_up(&self, messages: usize, why: &str) {
        tracing::warn!(
            receiver = self.receiver.name(),
            messages,
            error = why,
            "nobody was told"
        );
        self.count(messages, false);
    }
}

/// How long after so many failures before.
fn wait(before: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << before.min(6)).min(SLOWEST)
}

fn messages(batch: &[Queued]) -> Vec<Message> {
    batch.iter().map(|one| one.message.clone()).collect()
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
    use super::super::message::example;
    use super::super::receiver::at;
    use super::super::waiting::QUEUE;
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
        let first = outbox.boxes[0].lock().take(None, 1);
        assert_eq!(first[0].message.key, "3");
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
        let batch = own.lock().take(None, 1);
        own.deliver(batch, &mut 0).await;
        stop.cancel();
        own.run(&stop).await;
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

    /// A receiver that never takes messages with this word in them, for now or for good.
    async fn picky(
        word: &'static str,
        status: u16,
    ) -> (String, mpsc::UnboundedReceiver<String>, JoinSet<()>) {
        let (took, taken) = mpsc::unbounded_channel();
        let app = Router::new().route(
            "/",
            post(move |body: String| async move {
                if body.contains(word) {
                    return http::StatusCode::from_u16(status).unwrap();
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

    fn of(severity: Severity, key: &str) -> Message {
        Message {
            severity,
            ..example(key)
        }
    }

    #[tokio::test]
    async fn what_is_refused_stands_in_nobodys_way_and_what_is_critical_goes_before() {
        for (kind, status) in [(Kind::Webhook, 500), (Kind::Slack, 500), (Kind::Slack, 400)] {
            let (url, mut taken, _server) = picky("poison", status).await;
            let outbox = Outbox::new([at(&url, kind, None)]);
            let mut poison = of(Severity::Critical, "refused");
            poison.text = "poison".into();
            outbox.send(&poison);
            for (severity, text) in [(Severity::Info, "quiet"), (Severity::Critical, "loud")] {
                let mut message = of(severity, text);
                message.text = text.into();
                outbox.send(&message);
            }
            let mut work = JoinSet::new();
            work.spawn(outbox.clone().run(CancellationToken::new()));
            for wanted in ["loud", "quiet"] {
                let body = taken.recv().await.unwrap();
                assert!(body.contains(wanted), "{kind:?} {status}: {body}");
            }
        }
    }

    #[tokio::test]
    async fn the_same_transition_is_told_once_however_often_it_is_decided() {
        let (url, mut taken, _server) = listening(0).await;
        let outbox = Outbox::new([at(&url, Kind::Webhook, None)]);
        for key in ["one", "one", "two"] {
            outbox.send(&example(key));
        }
        let stop = CancellationToken::new();
        stop.cancel();
        outbox.clone().run(stop).await;
        assert!(taken.recv().await.unwrap().contains("\"key\":\"one\""));
        assert!(taken.recv().await.unwrap().contains("\"key\":\"two\""));
        assert!(taken.try_recv().is_err());
    }
}
