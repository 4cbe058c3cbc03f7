//! The daemon's HTTP server: how many connections it holds, and how long one may take. Whoever reaches the port can
//! open connections and say nothing; that must neither fill the memory nor make probes fail.

use super::answer::Refusal;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// So much of what a connection says is held before it is read, in bytes: the longest head.
const LONGEST_HEAD: usize = 32 * 1024;
/// What is answered on the connections that are kept for it, beside all others.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];
/// What puts traffic back must be heard when the daemon is busy with others: on the kept connections, too, of which it never
/// takes more than half. Who has not the secret is refused before anything is waited for.
const HOOKS: &str = "/hooks/";
/// After a failure to accept: too many files are open, and trying at once would only keep the processor busy.
const AGAIN: Duration = Duration::from_millis(100);

/// What connections are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// So many at once.
    pub most: usize,
    /// So many besides, on which probes are answered, and hooks on at most half of them. What is more waits to be
    /// accepted.
    pub kept: usize,
    /// How long a request's head may take, and a connection stay without one.
    pub head: Duration,
    /// The same on those that are kept, for who says at once what they want.
    pub kept_head: Duration,
    /// How long a connection lives: who asks for more by then is told to open another.
    pub life: Duration,
    /// How long its last answer may take after that.
    pub last: Duration,
}

impl Default for Connections {
    fn default() -> Self {
        // Some files are for the API server and for Prometheus.
        let most = open_files().map_or(256, |files| (files / 4).clamp(4, 256));
        Self {
            most,
            kept: (most / 4).clamp(2, 32),
            head: Duration::from_secs(10),
            kept_head: Duration::from_millis(500),
            life: Duration::from_secs(60),
            last: Duration::from_secs(10),
        }
    }
}

/// How many files this process may have open, where the system tells.
fn open_files() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Serves until `stop`, and then until what was asked by then is answered.
pub async fn serve(listener: TcpListener, router: Router, held: Connections, stop: CancellationToken) {
    let (mut usual, mut kept) = (JoinSet::new(), JoinSet::new());
    let hooks = Arc::new(Semaphore::new((held.kept / 2).max(1)));
    loop {
        let full = usual.len() >= held.most;
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = usual.join_next(), if !usual.is_empty() => {}
            Some(_) = kept.join_next(), if !kept.is_empty() => {}
            accepted = listener.accept(), if !full || kept.len() < held.kept => match accepted {
                Ok((stream, _)) => {
                    let connections = if full { &mut kept } else { &mut usual };
                    let hooks = full.then(|| hooks.clone());
                    connections.spawn(connection(stream, router.clone(), held, hooks, stop.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted, again soon");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
    drop(listener);
    while usual.join_next().await.is_some() || kept.join_next().await.is_some() {}
}

async fn connection(
    stream: TcpStream,
    router: Router,
    held: Connections,
    hooks: Option<Arc<Semaphore>>,
    stop: CancellationToken,
) {
    let kept = hooks.is_some();
    let service = service_fn(move |request: Request<Incoming>| {
        let (router, hooks) = (router.clone(), hooks.clone());
        async move { Ok::<_, Infallible>(answered(router, request, hooks).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(if kept { held.kept_head } else { held.head })
        .max_buf_size(LONGEST_HEAD)
        .keep_alive(!kept);
    let served = http.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let life = if kept { held.last } else { held.life };
    tokio::select! {
        // Who breaks off has no use for an error.
        ended = served.as_mut() => return drop(ended),
        () = stop.cancelled() => {}
        () = tokio::time::sleep(life) => {}
    }
    served.as_mut().graceful_shutdown();
    drop(tokio::time::timeout(held.last, served).await);
}

/// `hooks`: what is left for hooks on the kept connections; `None` on all others.
async fn answered(router: Router, request: Request<Incoming>, hooks: Option<Arc<Semaphore>>) -> Response {
    let path = request.uri().path();
    let place = hooks.filter(|_| !PROBES.contains(&path)).map(|hooks| {
        let free = path.starts_with(HOOKS).then(|| hooks.try_acquire_owned().ok());
        free.flatten()
    });
    if let Some(None) = place {
        let busy = "too many connections are open: try again in a second";
        return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, busy).into_response();
    }
    match router.oneshot(request.map(Body::new)).await {
        Ok(response) => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::{get, post};
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Longer than any test.
    const LONG: Duration = Duration::from_secs(600);

    struct Server {
        address: SocketAddr,
        stop: CancellationToken,
        tasks: JoinSet<()>,
    }

    impl Server {
        async fn start(held: Connections) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let router = Router::new()
                .route("/healthz", get(|| async { "ok" }))
                .route("/metrics", get(|| async { "figures" }))
                .route("/api/long", get(|| async { vec![b'x'; 64 * 1024 * 1024] }))
                .route("/hooks/heard", post(|| async { "heard" }))
                .route("/hooks/slow", post(std::future::pending::<()>));
            let (stop, mut tasks) = (CancellationToken::new(), JoinSet::new());
            tasks.spawn(serve(listener, router, held, stop.clone()));
            Self { address, stop, tasks }
        }

        /// A connection that has said so much.
        async fn said(&self, text: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            stream
        }

        async fn get(&self, path: &str) -> String {
            let mut stream = self.said(&whole(path)).await;
            rest(&mut stream).await
        }
    }

    fn whole(path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    }

    /// All that comes until the other end closes.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut said = Vec::new();
        // One that is reset is closed, too.
        drop(stream.read_to_end(&mut said).await);
        String::from_utf8(said).unwrap()
    }

    fn patient() -> Connections {
        Connections {
            most: 2,
            kept: 1,
            head: LONG,
            kept_head: LONG,
            life: LONG,
            last: LONG,
        }
    }

    #[tokio::test]
    async fn who_does_not_finish_a_head_is_closed_and_who_asks_is_answered() {
        let head = Duration::from_millis(200);
        let server = Server::start(Connections { head, ..patient() }).await;
        let mut half = server
            .said("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: aaaa")
            .await;
        let told = rest(&mut half).await;
        assert!(!told.contains("200 OK"), "{told}");
        let told = server.get("/healthz").await;
        assert!(told.ends_with("ok"), "{told}");
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused_before_it_fills_the_memory() {
        let server = Server::start(patient()).await;
        let mut long = TcpStream::connect(server.address).await.unwrap();
        let head = format!(
            "GET /healthz HTTP/1.1\r\nX-Long: {}",
            "a".repeat(4 * LONGEST_HEAD)
        );
        // It may be closed while it is being sent.
        drop(long.write_all(head.as_bytes()).await);
        let told = rest(&mut long).await;
        assert!(!told.contains("200 OK"), "{told}");
    }

    #[tokio::test]
    async fn beyond_the_limit_probes_are_answered_and_what_is_beyond_that_waits() {
        let server = Server::start(patient()).await;
        let (first, _second) = (server.said("GET").await, server.said("GET").await);
        // Accepted in their order: what comes now is beyond the limit.
        let told = server.get("/healthz").await;
        assert!(told.ends_with("ok"), "{told}");
        let told = server.get("/metrics").await;
        assert!(
            told.starts_with("HTTP/1.1 503") && told.contains("too many connections"),
            "{told}"
        );
        let _third = server.said("GET").await;
        let mut waits = server.said(&whole("/metrics")).await;
        let mut none = [0];
        let early = tokio::time::timeout(Duration::from_millis(100), waits.read(&mut none)).await;
        assert!(early.is_err(), "nobody has accepted it");
        drop(first);
        let told = rest(&mut waits).await;
        assert!(told.ends_with("figures"), "as soon as there is room: {told}");
    }

    #[tokio::test]
    async fn who_never_reads_an_answer_keeps_neither_hooks_nor_probes_out() {
        let kept = 2;
        let server = Server::start(Connections { kept, ..patient() }).await;
        let long = whole("/api/long");
        let (_first, _second) = (server.said(&long).await, server.said(&long).await);
        let hook = |path: &str| format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
        let mut heard = server.said(&hook("/hooks/heard")).await;
        let told = rest(&mut heard).await;
        assert!(told.ends_with("heard"), "{told}");
        // A hook that takes long leaves the other half to the probes.
        let _slow = server.said(&hook("/hooks/slow")).await;
        let mut more = server.said(&hook("/hooks/heard")).await;
        let told = rest(&mut more).await;
        assert!(told.starts_with("HTTP/1.1 503"), "{told}");
        let told = server.get("/healthz").await;
        assert!(told.ends_with("ok"), "{told}");
    }

    #[tokio::test]
    async fn who_is_told_to_stop_answers_and_ends() {
        let mut server = Server::start(patient()).await;
        assert!(server.get("/healthz").await.ends_with("ok"));
        let _idle = server.said("").await;
        server.stop.cancel();
        server.tasks.join_next().await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn nobody_keeps_a_connection_for_ever_by_not_reading_the_answer() {
        let life = Duration::from_millis(200);
        let server = Server::start(Connections {
            life,
            last: life,
            ..patient()
        })
        .await;
        let mut open = server.said("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let told = rest(&mut open).await;
        assert!(
            told.ends_with("ok"),
            "answered, and closed although it could go on: {told}"
        );
    }

    #[test]
    fn the_limit_is_what_the_process_may_open_and_at_most_256() {
        let held = Connections::default();
        assert!((4..=256).contains(&held.most) && held.kept >= 1, "{held:?}");
        assert!(
            open_files().is_none_or(|files| held.most <= files.max(16) / 4),
            "{held:?}"
        );
    }
}
