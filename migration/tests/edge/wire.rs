//! Just enough HTTP/1.1 to send any bytes and to read what comes back.

use std::io::{Read, Write};
use std::time::Duration;

use gradual_rollout_migration::model::Request;

/// Bytes up to the empty line; what follows is lost.
pub(crate) fn head(stream: &mut impl Read) -> Vec<u8> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => head.extend_from_slice(&buffer[..read]),
        }
    }
    head
}

pub(crate) fn header(head: &[u8], name: &str) -> Option<Vec<u8>> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (key, value) = line.split_at(colon);
        key.eq_ignore_ascii_case(name.as_bytes())
            .then(|| value[1..].trim_ascii().to_vec())
    })
}

/// A response as far as the tests care.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) location: Option<Vec<u8>>,
    pub(crate) body: Vec<u8>,
    /// Up to the empty line.
    #[allow(
        dead_code,
        reason = "the models have no response headers; the replay compares some"
    )]
    pub(crate) head: Vec<u8>,
}

/// Sends a request whose bytes are not touched and reads until the other side closes.
pub(crate) fn exchange(stream: &mut (impl Read + Write), request: &Request) -> Response {
    stream.write_all(&bytes(request)).unwrap();
    let mut whole = Vec::new();
    stream.read_to_end(&mut whole).unwrap();
    response(&whole)
}

fn bytes(request: &Request) -> Vec<u8> {
    let mut sent = format!("{} ", request.method).into_bytes();
    sent.extend(request.target().0);
    let headers: Vec<String> = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let end = format!(
        " HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{}\r\n",
        request.host,
        headers.concat()
    );
    sent.extend(end.into_bytes());
    sent
}

/// All that came back, taken apart.
fn response(whole: &[u8]) -> Response {
    let end = whole
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap_or(whole.len());
    let head = &whole[..end];
    let status = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    Response {
        status: std::str::from_utf8(status).unwrap().parse().unwrap(),
        location: header(head, "location"),
        body: whole.get(end + 4..).unwrap_or_default().to_vec(),
        head: head.to_vec(),
    }
}

impl Response {
    /// In the words of an answer of the models, where the back end is the echo.
    pub(crate) fn told(&self) -> String {
        if let Some(location) = &self.location {
            return format!("{} to {}", self.status, location.escape_ascii());
        }
        let mut lines = self.body.splitn(3, |byte| *byte == b'\n');
        let mut line = || lines.next().unwrap_or_default().escape_ascii().to_string();
        match (self.status, line()) {
            (200, name) if name == "default" => "404".to_owned(),
            (200, name) if name.contains('/') => format!("{name} gets {} for host {}", line(), line()),
            (status, _) => status.to_string(),
        }
    }
}

/// A test that hangs is worse than one that fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
