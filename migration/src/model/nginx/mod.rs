//! What ingress-nginx answers to a request, given its Ingresses.
//!
//! Two steps, each after its source. The controller (ingress-nginx 1.15) turns Ingresses into servers and locations:
//! [`server`] and [`upstreams`], then [`written`]. nginx core normalises the path ([`uri`]), finds the location
//! ([`names`] and regular expressions in order), and runs the location's `return`, `rewrite` and `proxy_pass`.
//!
//! Not modelled, and said so where it matters: snippets, authentication, source ranges, rate limits, `ModSecurity`,
//! TLS pass-through, splits by canary, CORS preflights, `FastCGI`, nginx variables in values, aliases that are regular
//! expressions. Not modelled and silent: endpoints (every Service has some), body sizes, timeouts, error pages.
//! Certificates are not read: a host of an Ingress with a tls section has one, an alias has one when that section
//! names it.

mod ingress;
mod names;
mod rewrite;
mod server;
mod settings;

mod upstreams;
mod uri;
mod vhosts;
mod written;

use std::collections::BTreeSet;

use serde_json::Value;

pub use self::ingress::Service;
pub use self::settings::{Return, Settings};
pub use self::written::{Location, Server};

use self::upstreams::Upstreams;
use self::vhosts::{Vhost, Vhosts};
use self::written::Met;
use super::answer::{Answer, Arrival, Octets};
use super::request::{Request, Scheme, join};

/// What the controller's ConfigMap and flags say, at their defaults.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Options {
    /// `--annotations-prefix`.
    pub annotation_prefix: String,
    /// `http-redirect-code`, for redirects to https and to or from `www`.
    pub http_redirect_code: u16,
    /// `ssl-redirect`.
    pub ssl_redirect: bool,
    /// `force-ssl-redirect`.
    pub force_ssl_redirect: bool,
    /// `use-forwarded-headers`: whether `X-Forwarded-Proto` and `-Host` are believed.
    pub use_forwarded_headers: bool,
    /// `no-tls-redirect-locations`: locations, not requests, that begin so are never redirected to https.
    pub no_tls_redirect_locations: Vec<String>,
    /// `--default-backend-service`; without one the answer is 404.
    pub default_backend: Option<Service>,
    /// Whether paths are compared as they stand. No nginx does that: it tells what a difference comes to that is of spelling
    /// alone, by what the same locations make of a path that somebody else has read.
    pub as_it_stands: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            annotation_prefix: "nginx.ingress.kubernetes.io".to_owned(),
            http_redirect_code: 308,
            ssl_redirect: true,
            force_ssl_redirect: false,
            use_forwarded_headers: false,
            no_tls_redirect_locations: vec!["/.well-known/acme-challenge".to_owned()],
            default_backend: None,
            as_it_stands: false,
        }
    }
}

/// ingress-nginx with a set of Ingresses.
#[derive(Debug)]
pub struct Nginx {
    options: Options,
    vhosts: Result<Vhosts, String>,
    /// Names for which nginx holds a certificate, aliases included.
    certified: BTreeSet<String>,
    unread: Vec<String>,
}

impl Nginx {
    /// Builds the configuration. Values of other kinds are passed over; what is called an Ingress and cannot be read
    /// as one is listed in [`Nginx::unread`].
    pub fn new(ingresses: &[Value], options: Options) -> Self {
        let (ingresses, unread) = ingress::read(ingresses, &options);
        let mut upstreams = Upstreams::new(&ingresses);
        let drafts = server::drafts(&ingresses, &mut upstreams);
        let certified = drafts
            .iter()
            .filter(|(_, draft)| draft.certificate)
            .flat_map(|(host, draft)| {
                let aliases = draft
                    .aliases
                    .iter()
                    .filter(|alias| draft.tls_hosts.contains(*alias));
                std::iter::once(host).chain(aliases)
            })
            .cloned()
            .collect();
        let www: Vec<String> = drafts
            .iter()
            .filter(|(_, draft)| draft.from_to_www)
            .map(|(host, _)| host.clone())
            .collect();
        let vhosts = written::servers(drafts, &upstreams).map(|servers| Vhosts::new(servers, &www));
        Self {
            options,
            vhosts,
            certified,
            unread,
        }
    }

    /// What could not be read.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// The servers as they are written, or why nginx would not load them and keep what it had.
    pub fn servers(&self) -> Result<&[Server], &str> {
        self.vhosts.as_ref().map(Vhosts::servers).map_err(String::as_str)
    }

    /// Hosts that only redirect to another, with that other one.
    pub fn www_redirects(&self) -> &[(String, String)] {
        self.vhosts.as_ref().map_or(&[], Vhosts::www)
    }

    /// What becomes of a request.
    pub fn answer(&self, request: &Request) -> Answer {
        let vhosts = match &self.vhosts {
            Ok(vhosts) => vhosts,
            Err(reason) => return Answer::Unsupported(reason.clone()),
        };
        let read = if self.options.as_it_stands {
            Some(request.path.0.clone())
        } else {
            uri::normalise(&request.path.0)
        };
        let Some(path) = read.filter(|_| valid_host(&request.host)) else {
            return Answer::Status(400);
        };
        match vhosts.find(&request.host_name()) {
            Ok(Vhost::Server(server)) => self.on(server, &path, request),
            Ok(Vhost::Www(to)) => self.www(to, request),
            Err(reason) => Answer::Unsupported(reason),
        }
    }

    fn on(&self, server: &Server, path: &[u8], request: &Request) -> Answer {
        if let Some(what) = &server.beyond {
            return Answer::Unsupported(what.clone());
        }
        // In the server's own rewrite phase, before any location is looked for; in the order of the locations.
        if path == b"/"
            && let Some(settings) = server
                .locations
                .iter()
                .map(|location| &location.settings)
                .find(|s| s.app_root.is_some())
            && let Some(root) = &settings.app_root
        {
            if root.contains('$') {
                return Answer::Unsupported("app-root with a variable".to_owned());
            }
            let location = format!("{}://{}{root}", request.scheme.as_str(), request.host);
            return Answer::Redirect {
                code: 302,
                location: Octets(location.into_bytes()),
            };
        }
        match server.meet(path) {
            Some(Met::Location(location)) => self.at(location, path, request),
            Some(Met::AddSlash(location)) => add_slash(location, request),
            Some(Met::Status(code)) => Answer::Status(code),
            Some(Met::Unknown(reason)) => Answer::Unsupported(reason),
            // A root location catches everything.
            None => Answer::Status(404),
        }
    }

    /// A location's directives in the order in which nginx runs them, not in the order in which they are written:
    /// `return` and `rewrite`, the redirect to https, then the proxy.
    fn at(&self, location: &Location, path: &[u8], request: &Request) -> Answer {
        let settings = &location.settings;
        if let Some(what) = &settings.beyond {
            return Answer::Unsupported(what.clone());
        }
        if let Some(to) = &settings.redirect {
            // nginx sends an address with these codes only; with another it is the body.
            return match to.code {
                301 | 302 | 303 | 307 | 308 => Answer::Redirect {
                    code: to.code,
                    location: Octets(to.location(&request.target().0)),
                },
                code => Answer::Status(code),
            };
        }
        let sent = match &location.rewrite {
            Some(Ok(rewrite)) => rewrite.apply(
                path,
                request.target(),
                request.query.as_ref().map(|query| query.0.as_slice()),
            ),
            Some(Err(reason)) => return Answer::Unsupported(reason.clone()),
            None => Some(request.target()),
        };
        let Some(target) = sent else {
            return Answer::Status(500);
        };
        if self.redirects_to_https(location, request) {
            return self.to_https(settings, request);
        }
        if settings.cors && request.method == "OPTIONS" {
            return Answer::Unsupported("enable-cors".to_owned());
        }
        if location.split {
            // The arm is that of the session, which no request without a cookie of nginx's shows.
            let sticky = settings
                .annotations
                .get("affinity")
                .is_some_and(|kind| kind == "cookie");
            let what = if sticky { "canary with affinity" } else { "canary" };
            return Answer::Unsupported(what.to_owned());
        }
        let Some(service) = location
            .backend
            .as_ref()
            .or(self.options.default_backend.as_ref())
        else {
            return Answer::Status(404);
        };
        if service.port == super::Port::Only {
            return Answer::Unsupported(format!(
                "Service {}/{} without a port",
                service.namespace, service.name
            ));
        }
        Answer::Backend(Arrival {
            namespace: service.namespace.clone(),
            service: service.name.clone(),
            port: service.port.clone(),
            target,
            host: settings
                .upstream_vhost
                .clone()
                .unwrap_or_else(|| self.best_host(request)),
        })
    }

    fn redirects_to_https(&self, location: &Location, request: &Request) -> bool {
        let forwarded = request
            .header("x-forwarded-proto")
            .filter(|_| self.options.use_forwarded_headers);
        let scheme = forwarded.as_deref().unwrap_or(request.scheme.as_str());
        let exempt = self
            .options
            .no_tls_redirect_locations
            .iter()
            .any(|prefix| !prefix.is_empty() && location.path.starts_with(prefix.trim()));
        let settings = &location.settings;
        let asked =
            settings.force_ssl_redirect || settings.ssl_redirect && self.certified(&request.host_name());
        !exempt && scheme == Scheme::Http.as_str() && asked
    }

    /// The name itself, or its first label as a wildcard.
    fn certified(&self, host: &str) -> bool {
        self.certified.contains(host)
            || host
                .split_once('.')
                .is_some_and(|(_, rest)| self.certified.contains(&format!("*.{rest}")))
    }

    fn to_https(&self, settings: &Settings, request: &Request) -> Answer {
        let host = self.best_host(request);
        let mut location = format!("https://{}", host.split(':').next().unwrap_or_default()).into_bytes();
        if settings.use_port_in_redirects {
            location.extend_from_slice(b":443");
        }
        let mut target = request.target().0;
        if !settings.preserve_trailing_slash && target.last() == Some(&b'/') {
            target.pop();
        }
        location.extend(target);
        Answer::Redirect {
            code: self.options.http_redirect_code,
            location: Octets(location),
        }
    }

    fn best_host(&self, request: &Request) -> String {
        let forwarded = request
            .header("x-forwarded-host")
            .filter(|_| self.options.use_forwarded_headers);
        let first = forwarded.and_then(|hosts| hosts.split(',').next().map(str::to_owned));
        first.unwrap_or_else(|| request.host.clone())
    }

    /// The address always has a port.
    fn www(&self, to: &str, request: &Request) -> Answer {
        let mut target = request.target().0;
        if target.last() == Some(&b'/') {
            target.pop();
        }
        let mut location = format!("{}://{to}:{}", request.scheme.as_str(), request.port).into_bytes();
        location.extend(target);
        Answer::Redirect {
            code: self.options.http_redirect_code,
            location: Octets(location),
        }
    }
}

/// nginx's own redirect to a location that ends in a slash: with the location's name, and with the port only where
/// it is asked for.
fn add_slash(location: &Location, request: &Request) -> Answer {
    let settings = &location.settings;
    let mut address = Vec::new();
    if !settings.relative_redirects {
        address.extend(format!("{}://{}", request.scheme.as_str(), request.host_name()).into_bytes());
        if settings.use_port_in_redirects && request.port != request.scheme.default_port() {
            address.extend(format!(":{}", request.port).into_bytes());
        }
    }
    let query = request
        .query
        .as_ref()
        .map(|query| query.0.as_slice())
        .filter(|query| !query.is_empty());
    address.extend(join(location.path.as_bytes(), query).0);
    Answer::Redirect {
        code: 301,
        location: Octets(address),
    }
}

/// nginx refuses a Host that is empty or could not be one.
fn valid_host(host: &str) -> bool {
    !host.is_empty()
        && !host.starts_with(':')
        && !host.contains("..")
        && !host.starts_with('.')
        && host
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'\\')
}
