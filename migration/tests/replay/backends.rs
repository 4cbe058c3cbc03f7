//! Services: what speaks HTTP, TLS or WebSocket, and says what it was sent.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::edge::wire;

/// How a Service speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Speaks {
    /// HTTP/1.1, and WebSocket where it is asked for.
    #[default]
    Http,
    /// The same over TLS, with a certificate that nobody knows.
    Tls,
    /// HTTP/2 without TLS, and nothing else.
    Http2,
    /// HTTP/1.1 in three pods, each of which tells its number.
    Pods,
    /// HTTP/1.1 in two pods, of which the second has gone.
    Half,
    /// HTTP/1.1 that says, as a gRPC server does, that it cannot serve now, and how often it was asked by then.
    Busy,
}

/// The Services' addresses. Their threads end with the test.
pub(crate) struct Backends {
    http: SocketAddr,
    tls: SocketAddr,
    http2: SocketAddr,
    pods: [SocketAddr; 3],
    gone: SocketAddr,
    busy: SocketAddr,
}

impl Backends {
    pub(crate) fn start() -> Self {
        let pod = |number: u8| listen(move |stream| answer(stream, Some(number)));
        Self {
            http: listen(|stream| answer(stream, None)),
            tls: over_tls(),
            http2: crate::backends_http2::start(),
            pods: [pod(0), pod(1), pod(2)],
            // Port 1 is nobody's: nothing listens there.
            gone: SocketAddr::from((Ipv4Addr::LOCALHOST, 1)),
            busy: busy(),
        }
    }

    pub(crate) fn of(&self, speaks: Speaks) -> Vec<SocketAddr> {
        match speaks {
            Speaks::Http => vec![self.http],
            Speaks::Tls => vec![self.tls],
            Speaks::Http2 => vec![self.http2],
            Speaks::Pods => self.pods.to_vec(),
            Speaks::Half => vec![self.http, self.gone],
            Speaks::Busy => vec![self.busy],
        }
    }
}

fn listen(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

fn over_tls() -> SocketAddr {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["nobody".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    listen(move |stream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        answer(StreamOwned::new(connection, stream), None);
    })
}

fn busy() -> SocketAddr {
    let asked = AtomicU8::new(0);
    listen(move |mut stream| {
        if wire::head(&mut stream).is_empty() {
            return;
        }
        let asked = asked.fetch_add(1, Ordering::SeqCst) + 1;
        let _ = write!(
            stream,
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/grpc\r\nGrpc-Status: 14\r\n\
             X-Pod: {asked}\r\nContent-Length: 0\r\n\r\n"
        );
        let _ = stream.flush();
    })
}

/// Headers that an answer repeats where they were sent.
const REPEATED: &[&str] = &["x-forwarded-proto", "x-forwarded-prefix"];

/// Lines: the back end's name as the proxy was told to send it, method and target, host, and some headers. The one
/// called `default` answers 404, as ingress-nginx's own does.
fn answer(mut stream: impl Read + Write, pod: Option<u8>) {
    let head = wire::head(&mut stream);
    if head.is_empty() {
        return;
    }
    let header = |name: &str| {
        let value = wire::header(&head, name).unwrap_or_default();
        String::from_utf8_lossy(&value).into_owned()
    };
    if header("upgrade").eq_ignore_ascii_case("websocket") {
        talk(stream, &header("x-backend"));
        return;
    }
    let line = String::from_utf8_lossy(head.split(|byte| *byte == b'\r').next().unwrap_or_default());
    let (asked, _) = line.rsplit_once(' ').unwrap_or_default();
    let mut body = format!("{}\n{asked}\n{}\n", header("x-backend"), header("host"));
    for name in REPEATED {
        if wire::header(&head, name).is_some() {
            body.extend([name, ": ", &header(name), "\n"]);
        }
    }
    let (status, own) = if header("x-backend") == "default" {
        ("404 Not Found", "")
    } else {
        ("200 OK", "X-Frame-Options: DENY\r\n")
    };
    let pod = pod.map_or_else(String::new, |number| format!("X-Pod: {number}\r\n"));
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\n{own}{pod}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.flush();
}

/// Upgrades, says who it is, and repeats every byte until the client ends.
fn talk(mut stream: impl Read + Write, name: &str) {
    let _ = write!(
        stream,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n{name}\n"
    );
    let _ = stream.flush();
    let mut buffer = [0; 64];
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        if stream.write_all(&buffer[..read]).is_err() {
            return;
        }
        let _ = stream.flush();
    }
}
