//! A Service that speaks HTTP/2 without TLS, as gRPC servers do.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{SendResponse, handshake};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// In a thread of its own, until the test ends.
pub(crate) fn start() -> SocketAddr {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream));
            }
        });
    });
    address
}

async fn serve(stream: TcpStream) {
    // A client that speaks HTTP/1.1 fails here.
    let Ok(mut connection) = handshake(stream).await else {
        return;
    };
    let mut streams = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        streams.spawn(answer(request, respond));
    }
}

/// Says who it is and what was asked, then repeats every message until the client ends, and then a status.
async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let header = |name: &str| {
        let value = request
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned());
        value.unwrap_or_default()
    };
    let response = Response::builder()
        .header("content-type", "application/grpc")
        .header("x-backend", header("x-backend"))
        .header("x-path", request.uri().path())
        .body(())
        .unwrap();
    let mut sent = respond.send_response(response, false).unwrap();
    let mut body = request.into_body();
    while let Some(Ok(message)) = body.data().await {
        let _ = body.flow_control().release_capacity(message.len());
        if sent.send_data(message, false).is_err() {
            return;
        }
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let _ = sent.send_trailers(trailers);
}
