//! One question to one side, over connections that are kept while they are good.

use super::side::Side;
use super::target::NOBODY;
use bytes::Bytes;
use gradual_rollout_migration::model::Scheme;
use http::header::{HOST, LOCATION, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use rustls::pki_types::{CertificateDer, ServerName};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Who asks.
const AGENT: &str = concat!("gradual-rollout-probe/", env!("CARGO_PKG_VERSION"));

/// What HTTP/2 is called in a handshake.
const H2: &[u8] = b"h2";

/// What is asked.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub scheme: Scheme,
    /// The Host header.
    pub host: String,
    /// The name in the TLS handshake.
    pub name: String,
    pub method: Method,
    /// Path and query, as they are sent.
    pub target: String,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Bytes,
}

impl Question {
    /// A GET.
    pub(super) fn get(scheme: Scheme, host: &str, target: &str) -> Self {
        Self {
            scheme,
            host: host.to_owned(),
            name: host.split(':').next().unwrap_or_default().to_owned(),
            method: Method::GET,
            target: target.to_owned(),
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// The same with a header more.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// As a person would write it.
    pub(super) fn line(&self) -> String {
        format!(
            "{} {}://{}{}",
            self.method,
            self.scheme.as_str(),
            self.host,
            self.target
        )
    }

    fn request(&self, two: bool) -> Option<Request<Full<Bytes>>> {
        let path = PathAndQuery::try_from(self.target.as_str()).ok()?;
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(path);
        let mut request = Request::builder().method(self.method.clone());
        if two {
            parts.scheme = Some(self.scheme.as_str().parse().ok()?);
            parts.authority = Some(self.host.parse().ok()?);
            request = request.version(http::Version::HTTP_2);
        } else {
            request = request.header(HOST, &self.host);
        }
        request = request
            .uri(Uri::from_parts(parts).ok()?)
            .header(USER_AGENT, AGENT);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body.clone())).ok()
    }
}

/// What came of the body behind a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// All of it, or as much as is read.
    Whole,
    /// Not to its end in time.
    Late,
    /// It ended before its end.
    Cut,
}

impl Body {
    /// Behind a status.
    const fn words(self) -> &'static str {
        match self {
            Self::Whole => "",
            Self::Late => ", its body not whole in time",
            Self::Cut => ", its body cut off",
        }
    }
}

/// What was answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Body,
    /// Until the head of the answer was there.
    pub took: Duration,
}

impl Answer {
    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether Envoy says that it is its own.
    pub(super) fn is_envoys(&self) -> bool {
        let server = self.header("server").unwrap_or_default();
        let own = |name: &HeaderName| name.as_str().starts_with("x-envoy-");
        server.contains("envoy") || self.headers.keys().any(own)
    }

    /// Whether Envoy answers by itself that it has no route: 404, of which no back end is known, and nothing in it.
    pub(super) fn has_no_route(&self) -> bool {
        let envoys = self
            .header("server")
            .is_some_and(|server| server.contains("envoy"));
        let passed_on = self.headers.contains_key("x-envoy-upstream-service-time");
        let empty = !self.headers.contains_key(http::header::CONTENT_TYPE)
            && self
                .header(http::header::CONTENT_LENGTH.as_str())
                .is_none_or(|length| length == "0");
        self.status == 404 && envoys && !passed_on && empty
    }

    /// Where the client is sent, as a whole address, without the port that the scheme has anyway.
    pub(super) fn location(&self, question: &Question) -> Option<String> {
        let value = self.headers.get(LOCATION).map(HeaderValue::as_bytes)?;
        let text = String::from_utf8_lossy(value).into_owned();
        let whole = if text.starts_with('/') && !text.starts_with("//") {
            format!("{}://{}{text}", question.scheme.as_str(), question.host)
        } else {
            text
        };
        let Some((scheme, rest)) = whole.split_once("://") else {
            return Some(whole);
        };
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(at);
        let port = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.strip_suffix(port).unwrap_or(authority);
        Some(format!("{scheme}://{authority}{path}"))
    }
}

/// What became of a question.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    /// HTTP was spoken.
    Answered(Answer),
    /// None was: nobody listens, or TLS was refused.
    Refused(String),
    /// Nothing came in time.
    Late,
    /// It cannot be put into a request.
    Unaskable,
    /// A side hangs, and neither is asked any more.
    Unasked,
}

impl Outcome {
    /// In a few words.
    pub(super) fn words(&self, question: &Question) -> String {
        match self {
            Self::Answered(answer) => match answer.location(question) {
                Some(location) => format!("{} to {location}{}", answer.status, answer.body.words()),
                None => format!("{}{}", answer.status, answer.body.words()),
            },
            Self::Refused(why) => format!("no HTTP ({why})"),
            Self::Late => "nothing in time".to_owned(),
            Self::Unaskable => "not askable".to_owned(),
            Self::Unasked => "not asked".to_owned(),
        }
    }
}

/// How much of a body is read before the connection is given up instead.
const BODY: usize = 256 * 1024;

/// A connection with TLS, and what the handshake told.
pub(super) struct Secured {
    pub stream: TlsStream<TcpStream>,
    /// The server's certificate.
    pub certificate: Option<CertificateDer<'static>>,
}

/// Shakes hands.
pub(super) async fn secure(
    side: &Side,
    config: &Arc<ClientConfig>,
    name: &str,
    limit: Duration,
) -> Result<Secured, Outcome> {
    let server = ServerName::try_from(name.to_owned()).map_err(|_| Outcome::Unaskable)?;
    let stream = dial(side, Scheme::Https, limit).await?;
    let connector = TlsConnector::from(config.clone());
    match timeout(limit, connector.connect(server, stream)).await {
        Ok(Ok(stream)) => {
            let chain = stream.get_ref().1.peer_certificates();
            let certificate = chain
                .and_then(|chain| chain.first())
                .map(|first| first.clone().into_owned());
            Ok(Secured { stream, certificate })
        }
        Ok(Err(error)) => Err(Outcome::Refused(format!("TLS: {error}"))),
        Err(_) => Err(Outcome::Late),
    }
}

/// Asks with a body announced that never comes: what is said to that, with 100 for "let it come". Its own connection,
/// which is closed behind it.
pub(super) async fn announced(
    side: &Side,
    config: &Arc<ClientConfig>,
    question: &Question,
    length: u64,
    limit: Duration,
) -> Outcome {
    if side.given_up.keeps(question) {
        return Outcome::Unasked;
    }
    let head = format!(
        "{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {AGENT}\r\nContent-Length: {length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n",
        question.method, question.target, question.host
    );
    let outcome = match question.scheme {
        Scheme::Https => match secure(side, config, &question.name, limit).await {
            Ok(secured) => timeout(limit, first_line(secured.stream, &head)).await,
            Err(outcome) => return outcome,
        },
        Scheme::Http => match dial(side, Scheme::Http, limit).await {
            Ok(stream) => timeout(limit, first_line(stream, &head)).await,
            Err(outcome) => return outcome,
        },
    };
    match outcome {
        Ok(Ok(status)) => Outcome::Answered(Answer {
            status,
            headers: HeaderMap::new(),
            body: Body::Whole,
            took: Duration::ZERO,
        }),
        Ok(Err(why)) => Outcome::Refused(why),
        Err(_) => Outcome::Late,
    }
}

/// Sends a head, and reads the status of what comes back.
async fn first_line(mut stream: impl AsyncRead + AsyncWrite + Unpin, head: &str) -> Result<u16, String> {
    let sent = async {
        stream.write_all(head.as_bytes()).await?;
        stream.flush().await?;
        let mut line = [0; 12];
        stream.read_exact(&mut line).await?;
        Ok::<_, std::io::Error>(line)
    };
    let line = sent.await.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&line).into_owned();
    let status = text
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..)?.parse().ok());
    status.ok_or_else(|| format!("{text:?} is no status line"))
}

async fn dial(side: &Side, scheme: Scheme, limit: Duration) -> Result<TcpStream, Outcome> {
    match timeout(limit, TcpStream::connect(side.address(scheme))).await {
        Ok(Ok(stream)) => {
            // Small requests one after the other: waiting for more to send would only slow them.
            let _ = stream.set_nodelay(true);
            Ok(stream)
        }
        Ok(Err(error)) => Err(Outcome::Refused(error.to_string())),
        Err(_) => Err(Outcome::Late),
    }
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

struct Connection {
    sender: Sender,
    /// Which it is good for.
    scheme: Scheme,
    name: String,
    /// Drives it; dropped with it.
    _driver: JoinSet<()>,
}

/// A client of one side.
pub(super) struct Client<'a> {
    side: &'a Side,
    tls: Arc<ClientConfig>,
    two: bool,
    limit: Duration,
    open: Option<Connection>,
}

impl<'a> Client<'a> {
    /// One that speaks HTTP/1.1, or HTTP/2 only, with the TLS that offers it.
    pub(super) fn new(side: &'a Side, tls: &Arc<ClientConfig>, two: bool, limit: Duration) -> Self {
        Self {
            side,
            tls: tls.clone(),
            two,
            limit,
            open: None,
        }
    }

    /// Asks, unless a side was given up.
    pub(super) async fn ask(&mut self, question: &Question) -> Outcome {
        if self.side.given_up.keeps(question) {
            return Outcome::Unasked;
        }
        let outcome = self.put(question).await;
        if self.side.silent_after(&outcome) {
            let lives = Box::pin(self.lives()).await;
            self.side.looked(lives);
        }
        outcome
    }

    /// Whether the side itself says anything: asked for a host that nobody has, no back end need be well.
    async fn lives(&self) -> bool {
        let new = || Self::new(self.side, &self.tls, false, self.limit);
        let (mut clear, mut secured) = (new(), new());
        let nobody = |scheme| Question::get(scheme, NOBODY, "/");
        let (http, https) = (nobody(Scheme::Http), nobody(Scheme::Https));
        let all = futures::join!(clear.put(&http), secured.put(&https));
        !matches!(all, (Outcome::Late, Outcome::Late))
    }

    /// Asks. A kept connection that turns out to be closed is replaced once.
    async fn put(&mut self, question: &Question) -> Outcome {
        let Some(request) = question.request(self.two) else {
            return Outcome::Unaskable;
        };
        let kept = self
            .open
            .take()
            .filter(|open| open.scheme == question.scheme && open.name == question.name);
        if let Some(kept) = kept {
            let outcome = self.send(kept, request.clone()).await;
            if !matches!(outcome, Outcome::Refused(_)) {
                return outcome;
            }
        }
        // Rare, and large: kept out of the futures of all the other questions.
        match Box::pin(self.connect(question)).await {
            Ok(fresh) => self.send(fresh, request).await,
            Err(outcome) => outcome,
        }
    }

    async fn connect(&self, question: &Question) -> Result<Connection, Outcome> {
        let mut driver = JoinSet::new();
        let shaken = |error: hyper::Error| Outcome::Refused(error.to_string());
        let sender = match question.scheme {
            Scheme::Https => {
                let secured = secure(self.side, &self.tls, &question.name, self.limit).await?;
                // Envoy hears HTTP/2 from whoever speaks it; clients speak it only where it was agreed on.
                if self.two && secured.stream.get_ref().1.alpn_protocol() != Some(H2) {
                    return Err(Outcome::Refused(
                        "HTTP/2 was not agreed on in the handshake (ALPN)".to_owned(),
                    ));
                }
                shake(TokioIo::new(secured.stream), self.two, &mut driver)
                    .await
                    .map_err(shaken)?
            }
            Scheme::Http => {
                let stream = dial(self.side, Scheme::Http, self.limit).await?;
                shake(TokioIo::new(stream), self.two, &mut driver)
                    .await
                    .map_err(shaken)?
            }
        };
        Ok(Connection {
            sender,
            scheme: question.scheme,
            name: question.name.clone(),
            _driver: driver,
        })
    }

    async fn send(&mut self, mut connection: Connection, request: Request<Full<Bytes>>) -> Outcome {
        let began = Instant::now();
        let sent = async {
            match &mut connection.sender {
                Sender::One(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Sender::Two(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        };
        // One limit for all of the answer: a head alone is of no use to a client.
        let deadline = began + self.limit;
        let response = match timeout_at(deadline, sent).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Outcome::Refused(error.to_string()),
            Err(_) => return Outcome::Late,
        };
        let took = began.elapsed();
        let (parts, body) = response.into_parts();
        let mut headers = parts.headers;
        // An upgraded connection speaks something else from here on.
        let body = if parts.status.as_u16() == 101 {
            Body::Whole
        } else {
            match timeout_at(deadline, Limited::new(body, BODY).collect()).await {
                Ok(Ok(body)) => {
                    if let Some(trailers) = body.trailers() {
                        headers.extend(trailers.clone());
                    }
                    self.open = Some(connection);
                    Body::Whole
                }
                // As much as is read came, which is enough.
                Ok(Err(error)) if error.is::<LengthLimitError>() => Body::Whole,
                Ok(Err(_)) => Body::Cut,
                Err(_) => Body::Late,
            }
        };
        Outcome::Answered(Answer {
            status: parts.status.as_u16(),
            headers,
            body,
            took,
        })
    }
}

async fn shake<I>(io: I, two: bool, driver: &mut JoinSet<()>) -> Result<Sender, hyper::Error>
where
    I: hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
{
    if two {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        driver.spawn(async move { drop(connection.await) });
        return Ok(Sender::Two(sender));
    }
    let (sender, connection) = http1::handshake(io).await?;
    driver.spawn(async move { drop(connection.await) });
    Ok(Sender::One(sender))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn located(location: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(LOCATION, location.parse().unwrap());
        let answer = Answer {
            status: 301,
            headers,
            body: Body::Whole,
            took: Duration::ZERO,
        };
        answer
            .location(&Question::get(Scheme::Http, "a.com", "/x"))
            .unwrap()
    }

    #[test]
    fn a_location_is_the_same_however_it_is_written() {
        for same in ["/y?z", "http://a.com/y?z", "http://a.com:80/y?z"] {
            assert_eq!(located(same), "http://a.com/y?z");
        }
        assert_eq!(located("https://a.com:443"), "https://a.com");
        assert_eq!(located("http://a.com:443/"), "http://a.com:443/");
    }

    #[test]
    fn targets_are_sent_as_they_are_and_no_address_is_read_from_them() {
        for target in ["//x", "/a/../b", "/a%2Fb?q=1", "/a//b/."] {
            let request = Question::get(Scheme::Http, "a.com", target)
                .request(false)
                .unwrap();
            assert_eq!(request.uri().to_string(), target);
        }
    }
}
