//! A data plane on loopback: HTTP and HTTPS on ports of their own, and whatever answers a test wants.

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{HeaderMap, Response, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::convert::Infallible;
use std::io::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A question as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub https: bool,
    /// The name in the handshake.
    pub name: String,
    pub host: String,
    pub method: String,
    pub target: String,
    pub version: Version,
    pub headers: HeaderMap,
}

impl Arrived {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// Status, headers, and how long it takes.
#[derive(Clone, Debug)]
pub(crate) struct Says {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub after: Duration,
    pub body: Sends,
}

/// What comes behind a head.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sends {
    Whole,
    /// Nothing at all, and that is all there is.
    Nothing,
    /// A part of it, and nothing more.
    Part,
    /// A part of it, and the end of the connection.
    Cut,
    /// More and more of it, without end.
    Flood,
}

pub(crate) fn says(status: u16) -> Says {
    Says {
        status,
        headers: vec![("server", "istio-envoy".to_owned())],
        after: Duration::ZERO,
        body: Sends::Whole,
    }
}

impl Says {
    pub(crate) fn sending(mut self, body: Sends) -> Self {
        self.body = body;
        self
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Nothing but its head.
    pub(crate) fn empty(mut self) -> Self {
        self.body = Sends::Nothing;
        self
    }

    pub(crate) fn after(mut self, millis: u64) -> Self {
        self.after = Duration::from_millis(millis);
        self
    }
}

type Handler = Arc<dyn Fn(&Arrived) -> Says + Send + Sync>;

/// One data plane.
pub(crate) struct Edge {
    pub http: u16,
    pub https: u16,
    pub seen: Arc<Mutex<Vec<Arrived>>>,
    _tasks: JoinSet<()>,
}

/// How an edge shakes hands.
#[derive(Clone, Debug)]
pub(crate) struct Hands {
    pub names: Vec<String>,
    pub ends: i32,
    pub two: bool,
    /// It agrees on nothing in the handshake, and speaks HTTP/2 to whoever does.
    pub silent: bool,
}

impl Default for Hands {
    fn default() -> Self {
        Self {
            names: vec!["shop.a.com".to_owned()],
            ends: 2027,
            two: true,
            silent: false,
        }
    }
}

impl Edge {
    pub(crate) async fn start(
        hands: Hands,
        handler: impl Fn(&Arrived) -> Says + Send + Sync + 'static,
    ) -> Self {
        let handler: Handler = Arc::new(handler);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (plain, secured) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let (http, https) = (
            plain.local_addr().unwrap().port(),
            secured.local_addr().unwrap().port(),
        );
        let acceptor = TlsAcceptor::from(Arc::new(config(&hands)));
        let mut tasks = JoinSet::new();
        tasks.spawn(listen(plain, None, handler.clone(), seen.clone()));
        tasks.spawn(listen(secured, Some(acceptor), handler, seen.clone()));
        Self {
            http,
            https,
            seen,
            _tasks: tasks,
        }
    }

    /// As the flags take it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}:{}", self.http, self.https)
    }
}

fn config(hands: &Hands) -> ServerConfig {
    let mut wanted = rcgen::CertificateParams::new(hands.names.clone()).unwrap();
    wanted.not_after = rcgen::date_time_ymd(hands.ends, 3, 1);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = CertificateDer::from(wanted.self_signed(&key).unwrap());
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = if hands.silent {
        Vec::new()
    } else if hands.two {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    config
}

async fn listen(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    handler: Handler,
    seen: Arc<Mutex<Vec<Arrived>>>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        connections.spawn(one(stream, acceptor.clone(), handler.clone(), seen.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn one(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    handler: Handler,
    seen: Arc<Mutex<Vec<Arrived>>>,
) {
    let Some(acceptor) = acceptor else {
        let service =
            service_fn(move |request| answer(request, false, String::new(), handler.clone(), seen.clone()));
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
        return;
    };
    let Ok(stream) = acceptor.accept(stream).await else {
        return;
    };
    let session = stream.get_ref().1;
    let two = session.alpn_protocol().is_none_or(|agreed| agreed == b"h2");
    let name = session.server_name().unwrap_or_default().to_owned();
    let service =
        service_fn(move |request| answer(request, true, name.clone(), handler.clone(), seen.clone()));
    if two {
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .await;
    }
}

async fn answer(
    request: http::Request<Incoming>,
    https: bool,
    name: String,
    handler: Handler,
    seen: Arc<Mutex<Vec<Arrived>>>,
) -> Result<Response<BoxBody<Bytes, Error>>, Infallible> {
    let authority = request.uri().authority().map(ToString::to_string);
    let host = request
        .headers()
        .get("host")
        .and_then(|host| host.to_str().ok())
        .map(ToOwned::to_owned);
    let target = if request.version() == Version::HTTP_2 {
        request.uri().path_and_query().unwrap().to_string()
    } else {
        request.uri().to_string()
    };
    let arrived = Arrived {
        https,
        name,
        host: authority.or(host).unwrap_or_default(),
        method: request.method().to_string(),
        target,
        version: request.version(),
        headers: request.headers().clone(),
    };
    let says = handler(&arrived);
    seen.lock().unwrap().push(arrived);
    tokio::time::sleep(says.after).await;
    let mut response = Response::builder().status(says.status);
    for (name, value) in says.headers {
        response = response.header(name, value);
    }
    Ok(response.body(body(says.body)).unwrap())
}

fn body(sends: Sends) -> BoxBody<Bytes, Error> {
    const KILOBYTE: &[u8] = &[b'x'; 1024];
    let part = || stream::iter([Ok(Frame::data(Bytes::from_static(b"ok")))]);
    match sends {
        Sends::Whole => Full::new(Bytes::from_static(b"ok"))
            .map_err(|never| match never {})
            .boxed(),
        Sends::Nothing => Full::new(Bytes::new()).map_err(|never| match never {}).boxed(),
        Sends::Part => BodyExt::boxed(StreamBody::new(part().chain(stream::pending()))),
        Sends::Cut => {
            // Not before the head and the part are on their way.
            let end = stream::once(async {
                tokio::task::yield_now().await;
                Err(Error::other("the end"))
            });
            BodyExt::boxed(StreamBody::new(part().chain(end)))
        }
        Sends::Flood => {
            let more = stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(KILOBYTE))));
            BodyExt::boxed(StreamBody::new(more))
        }
    }
}
