//! The client of Prometheus' HTTP API.

use super::answer::{self, Unusable};
use super::ask::Ask;
use super::query;
use super::settings::{PrometheusSettings, SettingsError, wrong};
use super::snapshot::{Snapshot, whole_millis};
use super::split::split;
use crate::rollout::sample::{Blindness, Dark};
use jiff::Timestamp;
use prometheus_http_query::Client;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Certificate, Url, redirect};
use std::error::Error as _;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// More than this is no answer about a component: it is a selector that matches everything.
const LARGEST_ANSWER: usize = 64 << 20;

/// Prometheus, or what speaks its API (Thanos, Mimir, VictoriaMetrics): one query per component and tick, by POST,
/// without redirects and without the environment's proxies.
pub struct PrometheusSource {
    endpoints: Vec<Endpoint>,
    headers: HeaderMap,
    secret: Secret,
    timeout: Duration,
    total_timeout: Duration,
}

struct Endpoint {
    client: Client,
    /// For messages: without query, user or password.
    name: String,
}

enum Secret {
    None,
    Bearer(PathBuf),
    Basic { username: String, password: PathBuf },
}

/// Headers and secrets stay inside.
impl fmt::Debug for PrometheusSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .endpoints
            .iter()
            .map(|endpoint| endpoint.name.as_str())
            .collect();
        f.debug_struct("PrometheusSource")
            .field("endpoints", &names)
            .finish_non_exhaustive()
    }
}

impl PrometheusSource {
    /// A source with these settings, or the first of them that cannot be used. Reads `ca_file`; asks nothing yet.
    pub fn new(settings: &PrometheusSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        let urls = settings.urls()?;
        let headers = settings.header_map()?;
        let http = http_client(settings)?;
        let endpoint = |url: &Url| {
            let client = Client::from(http.clone(), url.as_str())
                .map_err(|error| wrong("endpoints", format!("not an address: {error}")))?;
            Ok(Endpoint {
                client,
                name: url.as_str().trim_end_matches('/').to_owned(),
            })
        };
        let secret = match (
            &settings.bearer_token_file,
            &settings.username,
            &settings.password_file,
        ) {
            (Some(file), _, _) => Secret::Bearer(file.clone()),
            (None, Some(username), Some(password)) => Secret::Basic {
                username: username.clone(),
                password: password.clone(),
            },
            _ => Secret::None,
        };
        Ok(Self {
            endpoints: urls.iter().map(endpoint).collect::<Result<_, _>>()?,
            headers,
            secret,
            timeout: settings.timeout,
            total_timeout: settings
                .total_timeout
                .unwrap_or(settings.timeout.saturating_mul(2)),
        })
    }

    /// The raw counters of both arms at one instant, by one query.
    pub async fn read(&self, ask: &Ask, at: Timestamp) -> Result<Snapshot, Blindness> {
        let at = whole_millis(at);
        let asks = [ask];
        let promql = query::render(&asks).map_err(|error| Blindness {
            kind: Dark::Refused,
            message: error.to_string(),
        })?;
        let result = tokio::time::timeout(self.total_timeout, self.ask_any(&asks, &promql, at)).await;
        result.unwrap_or_else(|_| {
            Err(Blindness {
                kind: Dark::Down,
                message: format!("no endpoint answered within {:?}", self.total_timeout),
            })
        })
    }

    /// The first endpoint that gives data. A question that one of them calls wrong is wrong for all.
    async fn ask_any(&self, asks: &[&Ask], promql: &str, at: Timestamp) -> Result<Snapshot, Blindness> {
        let mut first: Option<Blindness> = None;
        for endpoint in &self.endpoints {
            let Unusable { kind, why } = match self.ask_one(endpoint, asks, promql, at).await {
                Ok(snapshot) => return Ok(snapshot),
                Err(unusable) => unusable,
            };
            let message = format!("{}: {why}", endpoint.name);
            first.get_or_insert(Blindness { kind, message });
        }
        let mut blindness = first.unwrap_or_else(|| Blindness {
            kind: Dark::Down,
            message: "no endpoint is configured".to_owned(),
        });
        if self.endpoints.len() > 1 {
            blindness
                .message
                .push_str("; the other endpoints gave no data either");
        }
        Err(blindness)
    }

    async fn ask_one(
        &self,
        endpoint: &Endpoint,
        asks: &[&Ask],
        promql: &str,
        at: Timestamp,
    ) -> Result<Snapshot, Unusable> {
        let (status, body) = tokio::time::timeout(self.timeout, self.fetch(endpoint, promql, at))
            .await
            .unwrap_or_else(|_| Err(down(format!("no answer within {:?}", self.timeout))))?;
        let series = answer::read(status, &body)?;
        split(asks, at, &series)
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(down("no snapshot".to_owned())))
    }

    async fn fetch(
        &self,
        endpoint: &Endpoint,
        promql: &str,
        at: Timestamp,
    ) -> Result<(u16, Vec<u8>), Unusable> {
        // `at()` of the library takes whole seconds only.
        let millis = at.as_millisecond();
        let time = format!("{}.{:03}", millis.div_euclid(1000), millis.rem_euclid(1000));
        let mut request = endpoint.client.query(promql).query("time", time);
        request = request.query("timeout", format!("{}ms", self.timeout.as_millis()));
        for (name, value) in &self.headers {
            request = request.header(name.clone(), value.clone());
        }
        if let Some(value) = self.authorization().await? {
            request = request.header(AUTHORIZATION, value);
        }
        // Raw, because the library's own reading loses warnings and insists on a content type.
        let mut response = request.post_raw().await.map_err(|error| {
            let source = error
                .source()
                .and_then(|source| source.downcast_ref::<reqwest::Error>());
            down(source.map_or_else(|| "the request could not be sent".to_owned(), plain))
        })?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| down(plain(&error)))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                let why = format!(
                    "an answer of more than {} MiB: select fewer series",
                    LARGEST_ANSWER >> 20
                );
                return Err(Unusable {
                    kind: Dark::Refused,
                    why,
                });
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }

    /// Read anew each time: tokens are rotated.
    async fn authorization(&self) -> Result<Option<HeaderValue>, Unusable> {
        let (file, scheme) = match &self.secret {
            Secret::None => return Ok(None),
            Secret::Bearer(file) => (file, "token_file"),
            Secret::Basic { password, .. } => (password, "password_file"),
        };
        let secret = read_secret(file, scheme).await?;
        let text = match &self.secret {
            Secret::Basic { username, .. } => {
                format!("Basic {}", base64(format!("{username}:{secret}").as_bytes()))
            }
            Secret::Bearer(_) | Secret::None => format!("Bearer {secret}"),
        };
        let mut value = HeaderValue::try_from(text).map_err(|_| Unusable {
            kind: Dark::Refused,
            why: format!(
                "{scheme} {} has characters that no header can hold",
                file.display()
            ),
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

async fn read_secret(file: &Path, setting: &str) -> Result<String, Unusable> {
    let text = tokio::fs::read_to_string(file).await.map_err(|error| Unusable {
        kind: Dark::Refused,
        why: format!("{setting} {} cannot be read: {error}", file.display()),
    })?;
    let text = text.trim();
    if text.is_empty() {
        return Err(Unusable {
            kind: Dark::Refused,
            why: format!("{setting} {} is empty", file.display()),
        });
    }
    Ok(text.to_owned())
}

fn http_client(settings: &PrometheusSettings) -> Result<reqwest::Client, SettingsError> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        // A redirected POST would become a GET, and carry our headers to whoever is named.
        .redirect(redirect::Policy::none())
        .connect_timeout(settings.timeout)
        .user_agent(concat!("gradual-rollout/", env!("CARGO_PKG_VERSION")));
    if let Some(file) = &settings.ca_file {
        let pem = std::fs::read(file)
            .map_err(|error| wrong("ca_file", format!("{} cannot be read: {error}", file.display())))?;
        let certificates = Certificate::from_pem_bundle(&pem)
            .map_err(|_| wrong("ca_file", format!("{} holds no PEM certificates", file.display())))?;
        if certificates.is_empty() {
            return Err(wrong(
                "ca_file",
                format!("{} holds no PEM certificates", file.display()),
            ));
        }
        builder = builder.tls_certs_only(certificates);
    }
    builder.build().map_err(|error| {
        wrong(
            "ca_file",
            format!("no TLS with these settings: {}", plain(&error)),
        )
    })
}

fn down(why: String) -> Unusable {
    Unusable {
        kind: Dark::Down,
        why,
    }
}

/// What happened, from the innermost cause: the outer ones repeat the whole address.
fn plain(error: &reqwest::Error) -> String {
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

/// For basic authentication.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| chunk.get(i).copied().map_or(0, u32::from);
        let group = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0..4 {
            let index = (group >> (18 - 6 * place)) & 63;
            let digit = DIGITS.get(index as usize).copied().unwrap_or(b'=');
            text.push(if place <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

mod probe;
#[cfg(test)]
mod tests;
