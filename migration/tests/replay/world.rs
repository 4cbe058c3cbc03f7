//! A set of Ingresses on both sides, and the question to both.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use gradual_rollout_migration::convert::Options;
use gradual_rollout_migration::model::{Request, Scheme};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde_json::{Value, json};

use crate::backends::{Backends, Speaks};
use crate::certificates::{Certificates, DEFAULT};
use crate::edge::process::{self, Proxy};
use crate::edge::wire::{self, Response};
use crate::given::{self, Done, Ingress};
use crate::trust::{Anybody, authorities};
use crate::{envoy_conf, nginx_conf};

/// What is given.
#[derive(Default)]
pub(crate) struct World {
    ingresses: Vec<Ingress>,
    more: Vec<Value>,
    options: Options,
    config: BTreeMap<String, String>,
    speaks: BTreeMap<String, Speaks>,
    trusted: u8,
    missing: Vec<String>,
}

impl World {
    pub(crate) fn of(ingresses: impl IntoIterator<Item = Ingress>) -> Self {
        Self {
            ingresses: ingresses.into_iter().collect(),
            ..Self::default()
        }
    }

    /// With an object more, such as a Service with ports of its own.
    pub(crate) fn with(mut self, object: Value) -> Self {
        self.more.push(object);
        self
    }

    pub(crate) fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// With a setting in the controller's ConfigMap.
    pub(crate) fn config(mut self, setting: &str, value: &str) -> Self {
        self.config.insert(setting.to_owned(), value.to_owned());
        self
    }

    /// With a Service that does not speak HTTP/1.1.
    pub(crate) fn speaking(mut self, service: &str, speaks: Speaks) -> Self {
        self.speaks.insert(service.to_owned(), speaks);
        self
    }

    /// Without a Service that an Ingress names.
    pub(crate) fn missing(mut self, service: &str) -> Self {
        self.missing.push(service.to_owned());
        self
    }

    /// Behind this many proxies that the gateway believes.
    pub(crate) fn trusting(mut self, proxies: u8) -> Self {
        self.trusted = proxies;
        self
    }

    /// Both sides; none where a program is not at hand, which is printed.
    pub(crate) fn start(self) -> Option<Both> {
        let programs = process::find("nginx", "-v").zip(process::find("envoy", "--version"))?;
        let objects = self.objects();
        let done = given::convert_objects(&objects, &self.options);
        let folder = process::folder("replay");
        let certificates = Certificates::new(&folder, &self.ingresses, &self.options);
        let backends = Backends::start();
        let nginx = start_nginx(
            &programs.0,
            &nginx_conf::Known {
                objects: &objects,
                secrets: &certificates.files,
                default_certificate: &certificates.files[DEFAULT],
                backends: &backends,
                speaks: &self.speaks,
                config: &self.config,
            },
        );
        let envoy = start_envoy(
            &programs.1,
            &envoy_conf::Known {
                objects: &done.conversion.objects,
                given: &objects,
                credentials: &certificates.in_the_gateways_namespace(&done, &self.options),
                backends: &backends,
                speaks: &self.speaks,
                trusted: self.trusted,
            },
        );
        Some(Both {
            nginx,
            envoy,
            done,
            certificates,
            folder,
        })
    }

    /// Ingresses, the controller's ConfigMap, and the Services and Secrets that Ingresses name.
    fn objects(&self) -> Vec<Value> {
        let mut all: Vec<Value> = self.ingresses.iter().map(|ingress| ingress.0.clone()).collect();
        all.extend(self.more.clone());
        if !self.config.is_empty() {
            all.push(given::config(json!(self.config)));
        }
        let mut secrets = BTreeSet::new();
        for ingress in &self.ingresses {
            let namespace = ingress.0["metadata"]["namespace"].as_str().unwrap();
            for name in given::names(&ingress.0["spec"], "service") {
                let there = all.iter().any(|object| {
                    object["metadata"]["name"] == *name
                        && object["metadata"]["namespace"] == namespace
                        && object["kind"] == "Service"
                });
                if !there && !self.missing.contains(&name) {
                    all.push(given::service(&format!("{namespace}/{name}")));
                }
            }
            for tls in ingress.0["spec"]["tls"].as_array().into_iter().flatten() {
                secrets.insert(format!("{namespace}/{}", tls["secretName"].as_str().unwrap()));
            }
        }
        all.extend(secrets.iter().map(|key| given::secret(key)));
        all
    }
}

fn start_nginx(program: &Path, known: &nginx_conf::Known<'_>) -> Proxy {
    let folder = process::folder("nginx");
    let conf = nginx_conf::conf(&folder, known);
    let file = folder.join("nginx.conf");
    std::fs::write(&file, &conf).unwrap();
    let mut command = Command::new(program);
    command.arg("-p").arg(&folder).arg("-c").arg(&file);
    Proxy::start(folder, &mut command).unwrap_or_else(|said| panic!("nginx does not load:\n{conf}\n{said}"))
}

fn start_envoy(program: &Path, known: &envoy_conf::Known<'_>) -> Proxy {
    let folder = process::folder("envoy");
    let bootstrap = envoy_conf::bootstrap(&folder, known);
    let file = folder.join("envoy.json");
    std::fs::write(&file, bootstrap.to_string()).unwrap();
    let mut command = Command::new(program);
    command.arg("-c").arg(&file).args([
        "--concurrency",
        "1",
        "--log-level",
        "error",
        "--disable-hot-restart",
    ]);
    Proxy::start(folder, &mut command)
        .unwrap_or_else(|said| panic!("Envoy does not load:\n{bootstrap:#}\n{said}"))
}

/// Both sides, running.
pub(crate) struct Both {
    pub(crate) nginx: Proxy,
    pub(crate) envoy: Proxy,
    pub(crate) done: Done,
    certificates: Certificates,
    folder: PathBuf,
}

impl Drop for Both {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What a client sees, and what the back end says it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    /// Of an answer of a back end: its name, what it was asked, the host, headers.
    pub(crate) backend: Vec<String>,
    /// Headers of the answer that matter.
    pub(crate) headers: BTreeMap<&'static str, String>,
    /// The Secret whose certificate was shown.
    pub(crate) certificate: Option<String>,
}

const COMPARED: &[&str] = &[
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "content-security-policy",
    "strict-transport-security",
    "x-frame-options",
    "x-pod",
];

/// `status location`, `namespace/service:port target`, or the status.
impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.location, self.backend.as_slice()) {
            (Some(location), _) => write!(f, "{} {location}", self.status),
            (None, [name, asked, ..]) if self.status == 200 => {
                let (_, target) = asked.split_once(' ').unwrap();
                write!(f, "{name} {target}")
            }
            (None, _) => write!(f, "{}", self.status),
        }
    }
}

/// Documentation's own addresses (RFC 5737).
pub(crate) const SOMEBODY: &str = "192.0.2.1";

/// The request of a client at this address. `None`: the connection ends without an answer.
///
/// `name`: the one in the handshake, where that is not the request's host.
fn ask(
    proxy: &Proxy,
    certificates: &Certificates,
    from: &str,
    name: Option<&str>,
    request: &Request,
) -> Option<Seen> {
    let socket = if request.scheme == Scheme::Https {
        "tls.sock"
    } else {
        "edge.sock"
    };
    let mut stream = connect(proxy, socket, from)?;
    if request.scheme == Scheme::Http {
        let response = wire::exchange(&mut stream, request);
        return Some(seen(response, None));
    }
    let name = name.map_or_else(|| request.host_name(), str::to_owned);
    let name = ServerName::try_from(name).unwrap();
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(authorities())))
        .with_no_client_auth();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    connection.complete_io(&mut stream).ok()?;
    let shown = connection.peer_certificates()?.first()?.to_vec();
    let certificate = certificates.names[&shown].clone();
    let mut stream = Untied(StreamOwned::new(connection, stream));
    let response = wire::exchange(&mut stream, request);
    Some(seen(response, Some(certificate)))
}

/// A connection behind which the PROXY protocol has told the client's address.
pub(crate) fn connect(proxy: &Proxy, socket: &str, from: &str) -> Option<UnixStream> {
    let mut stream = proxy.try_connect(socket)?;
    stream
        .write_all(format!("PROXY TCP4 {from} 192.0.2.254 1234 80\r\n").as_bytes())
        .unwrap();
    Some(stream)
}

/// TLS whose other side may close without saying so.
struct Untied(StreamOwned<ClientConnection, UnixStream>);

impl Read for Untied {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }
}

impl Write for Untied {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.0.write(buffer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

fn seen(response: Response, certificate: Option<String>) -> Seen {
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let headers = COMPARED.iter().filter_map(|name| {
        let value = text(wire::header(&response.head, name)?);
        (!value.is_empty()).then_some((*name, value))
    });
    let headers = headers.collect();
    let body = text(response.body);
    let told = response.status == 200 && body.contains('\n');
    Seen {
        status: response.status,
        location: response.location.map(text),
        backend: if told {
            body.lines().map(str::to_owned).collect()
        } else {
            Vec::new()
        },
        headers,
        certificate,
    }
}

impl Both {
    /// What each says to a request from this address.
    pub(crate) fn each(&self, from: &str, request: &Request) -> [Option<Seen>; 2] {
        [&self.nginx, &self.envoy].map(|proxy| ask(proxy, &self.certificates, from, None, request))
    }

    /// What both say to a request on a connection that was made for another host.
    pub(crate) fn seen_under(&self, name: &str, request: &Request) -> Seen {
        let each = [&self.nginx, &self.envoy];
        let [nginx, envoy] = each
            .map(|proxy| ask(proxy, &self.certificates, SOMEBODY, Some(name), request).expect("an answer"));
        assert_eq!(nginx, envoy, "nginx and Envoy: {request:?} under {name}");
        nginx
    }

    /// What both say to a request.
    pub(crate) fn seen(&self, request: &Request) -> Seen {
        self.seen_from(SOMEBODY, request)
    }

    pub(crate) fn seen_from(&self, from: &str, request: &Request) -> Seen {
        let [nginx, envoy] = self.each(from, request).map(|seen| seen.expect("an answer"));
        assert_eq!(
            nginx,
            envoy,
            "nginx and Envoy: {request:?}\n{}",
            json!(self.done.conversion.objects)
        );
        nginx
    }

    /// What both say to a request, in a line.
    pub(crate) fn told(&self, request: &Request) -> String {
        self.seen(request).to_string()
    }

    /// Asks in clear on `a.com`, and compares with what is expected; back ends are of namespace `a`, with port 80.
    pub(crate) fn meets(&self, expected: &[(&str, &str)]) {
        self.meets_on("a.com", expected);
    }

    pub(crate) fn meets_on(&self, host: &str, expected: &[(&str, &str)]) {
        for (target, answer) in expected {
            assert_eq!(
                short(&self.told(&http(host, target))),
                *answer,
                "GET {host} {target}"
            );
        }
    }
}

/// Without what is the same for most back ends.
pub(crate) fn short(told: &str) -> String {
    told.strip_prefix("a/").unwrap_or(told).replacen(":80 ", " ", 1)
}

pub(crate) fn http(host: &str, target: &str) -> Request {
    Request::get(Scheme::Http, host, target)
}

pub(crate) fn https(host: &str, target: &str) -> Request {
    Request::get(Scheme::Https, host, target)
}
