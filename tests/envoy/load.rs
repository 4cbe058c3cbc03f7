//! Clients: a steady rate of requests to one host through the proxy, bounded in rate, in number and in flight.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

/// Nobody sends more than this to one host.
const MOST: usize = 60_000;
/// Requests under way at once.
const IN_FLIGHT: usize = 128;

/// One request, as its client saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// When it was sent.
    pub(crate) sent: Instant,
    /// When it was answered, or given up.
    pub(crate) ended: Instant,
    /// The code; none: no answer.
    pub(crate) code: Option<u16>,
}

impl Seen {
    /// Whether the client got what it wanted.
    pub(crate) fn is_good(&self) -> bool {
        self.code == Some(200)
    }
}

/// The clients of one host.
#[derive(Debug)]
pub(crate) struct Load {
    seen: Arc<Mutex<Vec<Seen>>>,
    _clients: JoinSet<()>,
}

impl Load {
    /// Begins to send `rate` requests a second to `host`; nobody waits longer for an answer than `patience`.
    pub(crate) fn start(proxy: SocketAddr, host: &str, rate: u32, patience: Duration) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut clients = JoinSet::new();
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(patience)
            .pool_idle_timeout(None)
            .build()
            .unwrap();
        let request = client
            .get(format!("http://{proxy}/"))
            .header("host", host)
            .build()
            .unwrap();
        clients.spawn(send(client, request, rate, seen.clone()));
        Self {
            seen,
            _clients: clients,
        }
    }

    /// Every request that has ended.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Requests that did not get what they wanted.
    pub(crate) fn bad(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| !seen.is_good()).collect()
    }
}

async fn send(client: reqwest::Client, request: reqwest::Request, rate: u32, seen: Arc<Mutex<Vec<Seen>>>) {
    let places = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut beat = tokio::time::interval(Duration::from_secs(1) / rate);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut requests = JoinSet::new();
    for _ in 0..MOST {
        beat.tick().await;
        let place = places.clone().acquire_owned().await;
        while requests.try_join_next().is_some() {}
        let (client, request, seen) = (client.clone(), request.try_clone().unwrap(), seen.clone());
        requests.spawn(async move {
            let sent = Instant::now();
            let code = client
                .execute(request)
                .await
                .ok()
                .map(|answer| answer.status().as_u16());
            let ended = Instant::now();
            seen.lock().unwrap().push(Seen { sent, ended, code });
            drop(place);
        });
    }
    while requests.join_next().await.is_some() {}
}
