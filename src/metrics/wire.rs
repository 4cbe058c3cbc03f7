//! Questions to Prometheus over HTTP: by POST, without redirects and without the environment's proxies, at most a few
//! at a time, to whichever endpoint is sound.

use super::answer::{self, Unusable};
use super::endpoint::{Attempt, Endpoint, Standing};
use super::health::EndpointHealth;
use super::secret::Secret;
use super::settings::{PrometheusSettings, SettingsError, wrong};
use super::skew;
use super::tls::http_client;
use crate::rollout::sample::{Blindness, Dark};
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use prometheus_http_query::Client;
use reqwest::header::{AUTHORIZATION, DATE, HeaderMap};
use reqwest::{Response, Url};
use std::error::Error as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most bytes of one answer that are read, unpacked; a question about several components is then divided. What is
/// read takes up to sixteen times its bytes for a moment, and the pod has so much memory and no more.
pub(super) const LARGEST_ANSWER: usize = 12 << 20;
/// A larger answer waits until no other that is so large is in memory.
pub(super) const SMALL_ANSWER: usize = 1 << 20;
/// Questions under way at once. Each may hold a small answer in memory, and one of them a large one.
pub(super) const AT_ONCE: usize = 4;
/// An answer larger than this is read beside the tasks that move traffic.
const READ_BESIDE: usize = 256 << 10;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Question {
    /// About one instant, in whole milliseconds.
    Instant { promql: String, at: Timestamp },
    /// About `points` of them, the first at this second since 1970.
    Range {
        promql: String,
        from_second: i64,
        step_seconds: u32,
        points: u32,
    },
}

/// Why nobody answered.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) blindness: Blindness,
    pub(crate) fault: Fault,
}

/// Where the fault lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Not in the question: whatever is asked, nothing is answered.
    Source,
    /// In the question as it stands: every endpoint says so, and always; a part of it may be answered.
    Wrong,
    /// This endpoint could not carry it out: it met a limit or a trouble of the moment. A part of it, another endpoint
    /// or another time may.
    Failed,
}

impl Fault {
    /// A part of the question may well be answered.
    pub(crate) const fn is_of_the_question(self) -> bool {
        matches!(self, Self::Wrong | Self::Failed)
    }
}

/// The way to Prometheus.
pub(crate) struct Wire {
    endpoints: Vec<Endpoint>,
    headers: HeaderMap,
    secret: Secret,
    timeout: Duration,
    total_timeout: Duration,
    at_once: Semaphore,
    /// Whose holder may have a large answer in memory.
    pub(super) large: Arc<Semaphore>,
    asked: AtomicU64,
    bytes: AtomicU64,
}

impl Wire {
    pub(crate) fn new(settings: &PrometheusSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        let urls = settings.urls()?;
        let headers = settings.header_map()?;
        let http = http_client(settings)?;
        let endpoint = |url: &Url| {
            let client = Client::from(http.clone(), url.as_str())
                .map_err(|error| wrong("endpoints", format!("not an address: {error}")))?;
            let name = url.as_str().trim_end_matches('/').to_owned();
            Ok(Endpoint::new(client, name))
        };
        Ok(Self {
            endpoints: urls.iter().map(endpoint).collect::<Result<_, _>>()?,
            headers,
            secret: Secret::of(settings),
            timeout: settings.timeout,
            total_timeout: settings
                .total_timeout
                .unwrap_or(settings.timeout.saturating_mul(2)),
            at_once: Semaphore::new(AT_ONCE),
            large: Arc::new(Semaphore::new(1)),
            asked: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    /// Without query, user or password.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.endpoints.iter().map(|endpoint| endpoint.name.as_str())
    }

    pub(crate) fn health(&self) -> Vec<EndpointHealth> {
        self.endpoints.iter().map(Endpoint::health).collect()
    }

    /// Questions put on the wire, and bytes of answers read from it (unpacked), since the start.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        (
            self.asked.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }

    /// The answer of the first endpoint that gives one, read by `read`, and that endpoint's name; nothing takes longer
    /// than the time-out for all together. Cancel-safe.
    pub(crate) async fn ask<T, R>(&self, question: &Question, read: R) -> Result<(T, &str), Failure>
    where
        R: Fn(u16, &[u8]) -> Result<T, Unusable> + Clone + Send + 'static,
        T: Send + 'static,
    {
        let asking = async {
            // Never closed.
            let _turn = self.at_once.acquire().await.ok();
            self.ask_sound(question, read).await
        };
        tokio::time::timeout(self.total_timeout, asking)
            .await
            .unwrap_or_else(|_| {
                Err(Failure {
                    blindness: Blindness {
                        kind: Dark::Down,
                        message: format!("no endpoint answered within {:?}", self.total_timeout),
                    },
                    fault: Fault::Source,
                })
            })
    }

    /// Sound endpoints in their order; beside them a short question to those that have rested enough, so that
    /// nobody waits for one that may still hang.
    async fn ask_sound<T, R>(&self, question: &Question, read: R) -> Result<(T, &str), Failure>
    where
        R: Fn(u16, &[u8]) -> Result<T, Unusable> + Clone + Send + 'static,
        T: Send + 'static,
    {
        let standing = |wanted: Standing| {
            self.endpoints
                .iter()
                .filter(move |endpoint| endpoint.standing() == wanted)
        };
        let sound: Vec<&Endpoint> = standing(Standing::Sound).collect();
        let due: Vec<&Endpoint> = standing(Standing::Due).collect();
        if sound.is_empty() {
            // Whether it is back is not for whoever comes first to find out: that question may be one that no
            // endpoint can answer.
            futures::future::join_all(due.iter().map(|endpoint| self.try_out(endpoint))).await;
            let back: Vec<&Endpoint> = standing(Standing::Sound).collect();
            return self.ask_each(&back, question, read).await;
        }
        let mut trials: FuturesUnordered<_> =
            due.into_iter().map(|endpoint| self.try_out(endpoint)).collect();
        let asking = self.ask_each(&sound, question, read);
        let mut asking = std::pin::pin!(asking);
        loop {
            tokio::select! {
                biased;
                answer = &mut asking => return answer,
                Some(()) = trials.next(), if !trials.is_empty() => {}
            }
        }
    }

    async fn try_out(&self, endpoint: &Endpoint) {
        let attempt = endpoint.attempt();
        match self.is_up(endpoint).await {
            Ok(()) => attempt.answered(),
            Err(unusable) => attempt.failed(&unusable.why),
        }
    }

    /// Whether an endpoint that just took too long answers what every endpoint can, and soon: the others wait for this.
    async fn answers_others(&self, endpoint: &Endpoint) -> bool {
        tokio::time::timeout(self.timeout / SOON, self.is_up(endpoint))
            .await
            .is_ok_and(|answer| answer.is_ok())
    }

    /// Whether an endpoint answers what every endpoint can.
    async fn is_up(&self, endpoint: &Endpoint) -> Result<(), Unusable> {
        let question = Question::Instant {
            promql: "vector(1)".to_owned(),
            at: Timestamp::UNIX_EPOCH,
        };
        let fetched = tokio::time::timeout(self.timeout, self.fetch(endpoint, &question)).await;
        fetched
            .unwrap_or_else(|_| Err(self.late()))
            .and_then(|answer| answer::read(answer.status, &answer.body).map(|_| ()))
    }

    async fn ask_each<'w, T, R>(
        &'w self,
        endpoints: &[&'w Endpoint],
        question: &Question,
        read: R,
    ) -> Result<(T, &'w str), Failure>
    where
        R: Fn(u16, &[u8]) -> Result<T, Unusable> + Clone + Send + 'static,
        T: Send + 'static,
    {
        let mut first: Option<Failure> = None;
        let mut doubtful: Vec<(Attempt<'_>, String)> = Vec::new();
        for endpoint in endpoints {
            let attempt = endpoint.attempt();
            let asking = self.ask_one(endpoint, question, read.clone());
            let Problem {
                unusable,
                fault,
                late,
            } = match asking.await {
                Ok(answer) => {
                    attempt.answered();
                    // The question was none too hard: the trouble was theirs.
                    for (attempt, why) in doubtful {
                        attempt.failed(&why);
                    }
                    return Ok((answer, &endpoint.name));
                }
                Err(problem) => problem,
            };
            let Unusable { kind, why } = unusable;
            let blindness = Blindness {
                kind,
                message: format!("{}: {why}", endpoint.name),
            };
            let failure = Failure { blindness, fault };
            match fault {
                Fault::Wrong => {
                    attempt.answered();
                    // What one of them cannot be asked no other can.
                    return Err(failure);
                }
                Fault::Failed => doubtful.push((attempt, why)),
                // It is up and understands: what it says of the question says nothing against it. Nor does that a
                // question takes too long, as long as others do not: one resource's slow check must not blind all.
                Fault::Source if kind == Dark::Partial || late && self.answers_others(endpoint).await => {
                    attempt.answered();
                }
                Fault::Source => attempt.failed(&why),
            }
            // That this question cannot be carried out says more than that nobody is there.
            let says_more = |known: &Failure| known.fault == Fault::Source && fault == Fault::Failed;
            if first.as_ref().is_none_or(says_more) {
                first = Some(failure);
            }
        }
        for (attempt, _) in doubtful {
            attempt.answered();
        }
        let mut failure = first.unwrap_or_else(|| self.all_rest());
        if self.endpoints.len() > 1 {
            let also = "; the other endpoints gave no data either";
            failure.blindness.message.push_str(also);
        }
        Err(failure)
    }

    fn all_rest(&self) -> Failure {
        let soonest = self
            .endpoints
            .iter()
            .filter_map(|endpoint| match endpoint.standing() {
                Standing::Resting(left) => Some((left, endpoint)),
                Standing::Sound | Standing::Due => None,
            })
            .min_by_key(|(left, _)| *left);
        let message = match soonest {
            // No number of seconds: what a status says stands there for longer than they last.
            Some((_, endpoint)) => format!(
                "{}: {}; after several failures it is asked more rarely, at most half a minute apart",
                endpoint.name,
                endpoint.failing().unwrap_or_else(|| "no answer".to_owned()),
            ),
            None => self
                .endpoints
                .iter()
                .find_map(|endpoint| Some(format!("{}: {}", endpoint.name, endpoint.failing()?)))
                .unwrap_or_else(|| "no endpoint is configured".to_owned()),
        };
        Failure {
            blindness: Blindness {
                kind: Dark::Down,
                message,
            },
            fault: Fault::Source,
        }
    }

    async fn ask_one<T, R>(&self, endpoint: &Endpoint, question: &Question, read: R) -> Result<T, Problem>
    where
        R: Fn(u16, &[u8]) -> Result<T, Unusable> + Send + 'static,
        T: Send + 'static,
    {
        let fetched = tokio::time::timeout(self.timeout, self.fetch(endpoint, question)).await;
        let late = fetched.is_err();
        let answer = fetched.unwrap_or_else(|_| Err(self.late())).map_err(|unusable| {
            let too_large = unusable.why.starts_with(TOO_LARGE);
            let fault = if too_large { Fault::Wrong } else { Fault::Source };
            Problem {
                unusable,
                fault,
                late,
            }
        })?;
        let large = answer.body.len() > READ_BESIDE;
        // Whoever waits for room for an answer waits until this one is out of memory, asked for or not any more.
        let understood = move || {
            let read = read(answer.status, &answer.body);
            read.map_err(|unusable| Problem::of(answer.status, unusable))
        };
        if !large {
            return understood();
        }
        // Reading megabytes takes many milliseconds, and whoever lowers traffic shares these threads.
        tokio::task::spawn_blocking(understood)
            .await
            .unwrap_or_else(|_| Err(Problem::of(0, down("its answer could not be read".to_owned()))))
    }

    fn late(&self) -> Unusable {
        down(format!("no answer within {:?}", self.timeout))
    }

    async fn fetch(&self, endpoint: &Endpoint, question: &Question) -> Result<Fetched, Unusable> {
        let timeout = format!("{}ms", self.timeout.as_millis());
        let authorization = self.secret.authorization().await?;
        let headers = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()));
        let headers = headers.chain(authorization.map(|value| (AUTHORIZATION, value)));
        self.asked.fetch_add(1, Ordering::Relaxed);
        // Raw, because the library's own reading loses warnings and insists on a content type.
        let sent = match question {
            Question::Instant { promql, at } => {
                // `at()` of the library takes whole seconds only.
                let millis = at.as_millisecond();
                let time = format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000));
                let request = endpoint.client.query(promql).query("time", time);
                let request = request.query("timeout", timeout);
                headers
                    .fold(request, |request, (name, value)| request.header(name, value))
                    .post_raw()
                    .await
            }
            Question::Range {
                promql,
                from_second,
                step_seconds,
                points,
            } => {
                let reach = i64::from(*step_seconds) * i64::from(points.saturating_sub(1));
                let to = from_second.saturating_add(reach);
                let step = f64::from(*step_seconds);
                let request = endpoint.client.query_range(promql, *from_second, to, step);
                let request = request.query("timeout", timeout);
                headers
                    .fold(request, |request, (name, value)| request.header(name, value))
                    .post_raw()
                    .await
            }
        };
        let response = sent.map_err(|error| {
            let source = error
                .source()
                .and_then(|source| source.downcast_ref::<reqwest::Error>());
            down(source.map_or_else(|| "the request could not be sent".to_owned(), plain))
        })?;
        let status = response.status();
        if let Question::Instant { at, .. } = question
            && status.is_success()
            && let Some(why) = skew::ahead(*at, response.headers().get(DATE))
        {
            return Err(Unusable {
                kind: Dark::Partial,
                why,
            });
        }
        self.body(response).await
    }

    /// Reads an answer to its end, or as far as there is room for one.
    async fn body(&self, mut response: Response) -> Result<Fetched, Unusable> {
        let status = response.status().as_u16();
        let told = response
            .content_length()
            .and_then(|length| usize::try_from(length).ok());
        if told.is_some_and(|length| length > LARGEST_ANSWER) {
            return Err(too_large(told));
        }
        let (mut body, mut room) = (Vec::new(), None);
        while let Some(chunk) = response.chunk().await.map_err(|error| down(plain(&error)))? {
            let length = body.len() + chunk.len();
            if length > LARGEST_ANSWER {
                return Err(too_large(None));
            }
            if length > SMALL_ANSWER && room.is_none() {
                // Never closed.
                room = self.large.clone().acquire_owned().await.ok();
                // At once, for a buffer that grows is there twice; what is not written takes no memory.
                body.reserve_exact(LARGEST_ANSWER - body.len());
            }
            body.extend_from_slice(&chunk);
        }
        let read = u64::try_from(body.len()).unwrap_or(u64::MAX);
        self.bytes.fetch_add(read, Ordering::Relaxed);
        Ok(Fetched {
            status,
            body,
            _room: room,
        })
    }
}

/// An answer as it came, and the room in memory that it takes until it is dropped.
struct Fetched {
    status: u16,
    body: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

fn too_large(length: Option<usize>) -> Unusable {
    let (limit, mib) = (LARGEST_ANSWER >> 20, |bytes: usize| bytes.div_ceil(1 << 20));
    let has = length.map_or_else(String::new, |length| format!(" (it has {} MiB)", mib(length)));
    Unusable {
        kind: Dark::Refused,
        why: format!(
            "{TOO_LARGE} {limit} MiB{has}, and no more is read: select fewer series by the labels of the arms, or let a \
             query of your own add them up"
        ),
    }
}

/// An endpoint that is well answers the shortest question in this part of the time-out.
const SOON: u32 = 5;

/// How the complaint about an answer that is too large begins.
const TOO_LARGE: &str = "an answer of more than";

/// Why one endpoint gave nothing.
struct Problem {
    unusable: Unusable,
    fault: Fault,
    /// It was asked, and took too long.
    late: bool,
}

impl Problem {
    fn of(status: u16, unusable: Unusable) -> Self {
        let fault = match unusable.kind {
            Dark::Refused if status == 400 => Fault::Wrong,
            // Too many samples, or a store that is away.
            Dark::Refused if status == 422 => Fault::Failed,
            Dark::NotANumber => Fault::Failed,
            // Warnings of stores, and clocks, concern every question; those of the language this one.
            Dark::Partial if unusable.why.contains("PromQL warning") => Fault::Failed,
            Dark::Refused
            | Dark::Partial
            | Dark::Down
            | Dark::Vanished
            | Dark::Empty
            | Dark::Stale
            | Dark::NotYet => Fault::Source,
        };
        Self {
            unusable,
            fault,
            late: false,
        }
    }
}

fn down(why: String) -> Unusable {
    Unusable {
        kind: Dark::Down,
        why,
    }
}

/// What happened, from the innermost cause: the outer ones repeat the whole address.
pub(crate) fn plain(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "timed out"
    } else if error.is_connect() {
        "cannot connect"
    } else {
        "the connection failed"
    };
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    match cause {
        Some(cause) => format!("{what} ({})", answer::brief(&cause.to_string())),
        None => what.to_owned(),
    }
}
