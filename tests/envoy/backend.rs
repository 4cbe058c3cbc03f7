//! A back end on loopback: it counts what reaches it, and can be made to fail in three ways.
//!
//! HTTP/1.1 by hand: a back end that refuses connections has to close the open ones too, which a server library hides.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How a back end meets a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Answers,
    Fails,
    Hangs,
}

#[derive(Debug)]
struct Shared {
    /// What it says of itself, in the header `x-arm`.
    name: &'static str,
    manner: Mutex<Manner>,
    arrivals: Mutex<Vec<Instant>>,
}

/// One arm's only instance.
#[derive(Debug)]
pub(crate) struct Backend {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinSet<()>,
}

impl Backend {
    /// Starts one on a free port.
    pub(crate) async fn start(name: &'static str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let shared = Arc::new(Shared {
            name,
            manner: Mutex::new(Manner::Answers),
            arrivals: Mutex::default(),
        });
        let address = listener.local_addr().unwrap();
        let mut server = JoinSet::new();
        server.spawn(accept(listener, shared.clone()));
        Self {
            address,
            shared,
            server,
        }
    }

    /// From now on every answer is a 500.
    pub(crate) fn fail(&self) {
        *self.shared.manner.lock().unwrap() = Manner::Fails;
    }

    /// From now on nothing is answered.
    pub(crate) fn hang(&self) {
        *self.shared.manner.lock().unwrap() = Manner::Hangs;
    }

    /// From now on connections are refused; the open ones are closed.
    pub(crate) fn refuse(&mut self) {
        self.server.abort_all();
    }

    /// When each request came whose headers were read.
    pub(crate) fn arrivals(&self) -> Vec<Instant> {
        self.shared.arrivals.lock().unwrap().clone()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers requests without bodies until the other end leaves.
async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read_buf(&mut buffer).await {
                Ok(read) if read > 0 => {}
                _ => return,
            }
        };
        buffer.drain(..end);
        shared.arrivals.lock().unwrap().push(Instant::now());
        let manner = *shared.manner.lock().unwrap();
        let status = match manner {
            Manner::Answers => "200 OK",
            Manner::Fails => "500 Internal Server Error",
            Manner::Hangs => {
                // Until the other end gives up.
                while matches!(stream.read_buf(&mut buffer).await, Ok(read) if read > 0) {}
                return;
            }
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nx-arm: {}\r\ncontent-length: 0\r\n\r\n",
            shared.name
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
