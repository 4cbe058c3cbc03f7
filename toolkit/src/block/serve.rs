//! The webhook, served: TLS from a Secret, rules from a ConfigMap, both read anew while it runs.

use super::judge::{Rules, answer};
use super::lasting;
use super::webhook::{PATH, SECRET, rules};
use crate::preflight::certificate::Certificate;
use crate::see::{self, kinds, text};
use crate::trouble::Trouble;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// The largest review: an object and what it was, each as large as an API server takes them.
const LARGEST: usize = 8 * 1024 * 1024;
/// How often rules and certificate are read.
const EVERY: Duration = Duration::from_secs(10);
/// How long a handshake and a request may take: the API server waits no longer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is told that the certificate ends soon.
const WARNED: SignedDuration = SignedDuration::from_hours(24);
/// How many connections are open at once.
const MOST: usize = 256;

/// What answers are given by.
#[derive(Clone)]
struct Current {
    rules: Arc<Option<Rules>>,
    acceptor: Option<TlsAcceptor>,
    /// Of the Secret that the acceptor was made from.
    version: String,
    /// When the certificate ends.
    ends: Option<Timestamp>,
    /// When it was told last that it ends soon.
    warned: Option<Timestamp>,
}

/// Serves until `shutdown`. Without rules everything is taken; without a certificate nobody is answered, which the
/// API server takes for the same. `told` hears of what cannot be read, and once a day of a certificate that ends soon.
pub async fn serve(
    listener: TcpListener,
    client: &Client,
    namespace: &str,
    shutdown: impl Future<Output = ()>,
    now: &(dyn Fn() -> Timestamp + Sync),
    told: &(dyn Fn(&Trouble) + Sync),
) {
    let mut current = Current {
        rules: Arc::new(None),
        acceptor: None,
        version: String::new(),
        ends: None,
        warned: None,
    };
    let mut connections = JoinSet::new();
    let mut due = tokio::time::interval_at(Instant::now() + EVERY, EVERY);
    tokio::pin!(shutdown);
    // Nobody is answered before rules and certificate were looked for.
    current.renew(client, namespace, now, told).await;
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            _ = due.tick() => current.renew(client, namespace, now, told).await,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < MOST => {
                match (accepted, current.acceptor.clone()) {
                    (Ok((stream, _)), Some(acceptor)) => {
                        connections.spawn(connection(stream, acceptor, current.rules.clone()));
                    }
                    (Ok(_), None) => {}
                    // Too many files are open: trying at once would only keep the processor busy.
                    (Err(_), _) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        }
    }
}

impl Current {
    /// Reads both, and tells what cannot be read.
    async fn renew(
        &mut self,
        client: &Client,
        namespace: &str,
        now: &(dyn Fn() -> Timestamp + Sync),
        told: &(dyn Fn(&Trouble) + Sync),
    ) {
        match tokio::time::timeout(PATIENCE, self.refresh(client, namespace)).await {
            Ok(Ok(())) => {}
            Ok(Err(trouble)) => told(&trouble),
            Err(_) => told(&Trouble::TimedOut(format!(
                "the API server did not give the webhook's rules within {} s; those before stay in force",
                PATIENCE.as_secs()
            ))),
        }
        self.warn(namespace, now(), told);
    }

    /// Tells that the certificate ends soon, where a block goes by it.
    fn warn(&mut self, namespace: &str, now: Timestamp, told: &(dyn Fn(&Trouble) + Sync)) {
        let stage = self.rules.as_ref().as_ref().map(|rules| rules.stage);
        let (Some(ends), Some(stage)) = (self.ends, stage) else {
            return;
        };
        if self
            .warned
            .is_some_and(|warned| now.duration_since(warned) < WARNED)
        {
            return;
        }
        if let Some(said) = lasting::said(ends, now) {
            self.warned = Some(now);
            told(&Trouble::Refused(format!(
                "the webhook of the block on new Ingresses (Secret {namespace}/{SECRET}): {said}; {}",
                lasting::remedy(Some(stage))
            )));
        }
    }

    /// Reads both. What could not be read stays as it was.
    async fn refresh(&mut self, client: &Client, namespace: &str) -> Result<(), Trouble> {
        self.rules = Arc::new(rules(client, namespace).await?);
        let Some(secret) = see::get(client, kinds::SECRET, Some(namespace), SECRET).await? else {
            return Ok(());
        };
        let version = text(&secret, "/metadata/resourceVersion").unwrap_or_default();
        if self.version != version {
            let config = config(&secret).map_err(|why| {
                Trouble::Refused(format!("unable to serve with Secret {namespace}/{SECRET}: {why}"))
            })?;
            self.acceptor = Some(TlsAcceptor::from(Arc::new(config)));
            version.clone_into(&mut self.version);
            self.ends = Certificate::of(&secret).ok().map(|read| read.ends);
            self.warned = None;
        }
        Ok(())
    }
}

fn config(secret: &Value) -> Result<ServerConfig, String> {
    let pem = |key: &str| {
        let encoded = text(secret, &format!("/data/{key}")).unwrap_or_default();
        STANDARD
            .decode(encoded)
            .map_err(|error| format!("{key} is no base64: {error}"))
    };
    let (chain, key) = (pem("tls.crt")?, pem("tls.key")?);
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&chain).collect();
    let chain = chain.map_err(|error| format!("tls.crt: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| format!("tls.key: {error}"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    builder
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| error.to_string())
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, rules: Arc<Option<Rules>>) {
    let Ok(Ok(stream)) = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await else {
        return;
    };
    let service = service_fn(move |request| {
        let rules = rules.clone();
        async move { Ok::<_, Infallible>(reviewed(request, rules.as_ref().as_ref()).await) }
    });
    // One answer each: rules that change are in force at the next question.
    let served = hyper::server::conn::http1::Builder::new()
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    drop(tokio::time::timeout(PATIENCE, served).await);
}

async fn reviewed(request: Request<Incoming>, rules: Option<&Rules>) -> Response<Full<Bytes>> {
    let plain = |status: StatusCode, text: &str| {
        let mut response = Response::new(Full::new(Bytes::from(text.to_owned())));
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != PATH {
        return plain(StatusCode::NOT_FOUND, "there is nothing here");
    }
    if request.method() != Method::POST {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "an AdmissionReview is posted");
    }
    let body = match Limited::new(request.into_body(), LARGEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            return plain(
                StatusCode::BAD_REQUEST,
                &format!("unable to read the review: {error}"),
            );
        }
    };
    let review: Value = match serde_json::from_slice(&body) {
        Ok(review) => review,
        Err(error) => {
            return plain(
                StatusCode::BAD_REQUEST,
                &format!("the review is no JSON: {error}"),
            );
        }
    };
    let mut response = plain(StatusCode::OK, &answer(rules, &review).to_string());
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
