//! A back end that answers with what it was sent.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::wire;

/// Stops when dropped.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                // nginx sends one small request and waits: one after the other is enough.
                if let Ok(stream) = stream {
                    answer(stream);
                }
            }
        });
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Three lines: the back end's name as nginx was told to send it, the request target, the host.
fn answer(mut stream: TcpStream) {
    let head = wire::head(&mut stream);
    let target = head
        .split(|byte| *byte == b' ')
        .nth(1)
        .unwrap_or_default()
        .to_vec();
    let mut body = wire::header(&head, "x-backend").unwrap_or_default();
    body.push(b'\n');
    body.extend(target);
    body.push(b'\n');
    body.extend(wire::header(&head, "host").unwrap_or_default());
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&body);
}
