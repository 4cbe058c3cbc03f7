//! What an Ingress asks for in its annotations, in the converter's own terms.

use super::annotations::Annotations;
use super::canary::{self, Rules};
use super::settings::{self, REDIRECTS, Settings};
use super::{address, balance, ciphers, cors, headers, retries, snippet};
use crate::input::{Ingress, Inventory};
use crate::istio::{CorsPolicy, Headers, LoadBalancer, Redirect, Retries};
use crate::report::{Code, Entry};

/// What is spoken to the back end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Protocol {
    #[default]
    Http,
    Https,
    Grpc,
    Grpcs,
}

impl Protocol {
    /// Whether TLS is spoken to the back end.
    pub(super) fn is_encrypted(self) -> bool {
        matches!(self, Self::Https | Self::Grpcs)
    }
}

/// What an Ingress asks for.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Clone, Debug, Default)]
pub(super) struct Features {
    pub use_regex: bool,
    pub rewrite_target: Option<String>,
    pub app_root: Option<String>,
    pub redirect: Option<Redirect>,
    pub ssl_redirect: bool,
    pub force_ssl_redirect: bool,
    pub www_redirect: bool,
    pub aliases: Vec<String>,
    pub protocol: Protocol,
    pub sni: Option<String>,
    pub cors: Option<CorsPolicy>,
    pub allow: Vec<String>,
    pub deny: Vec<String>,
    pub vhost: Option<String>,
    pub headers: Headers,
    pub retries: Retries,
    /// Whether it says anything of them itself.
    pub retries_said: bool,
    pub balance: Option<LoadBalancer>,
    /// Whether a session stays with its endpoint, by a cookie of nginx's own.
    pub sticky: bool,
    /// In seconds.
    pub connect_timeout: Option<u64>,
    pub passthrough: bool,
    /// Whether nginx knows an authority for certificates of clients, and asks nobody for one.
    pub unasked: bool,
    /// Which ciphers its hosts take, as OpenSSL writes it.
    pub ciphers: Option<String>,
    pub canary: Option<Rules>,
}

/// Reads the annotations; whatever is lost, changed or refused is among the entries.
pub(super) fn read(ingress: &Ingress, settings: &Settings, inventory: &Inventory) -> (Features, Vec<Entry>) {
    let notes = Annotations::new(&ingress.meta.annotations, &settings.prefix);
    if notes.flag("canary") == Some(true) {
        let features = Features {
            canary: Some(canary::read(&notes)),
            ..Features::default()
        };
        return (features, notes.finish(true));
    }
    let (retries, retries_said) = retries::read(&notes, settings);
    let mut features = Features {
        use_regex: notes.flag("use-regex").unwrap_or(false),
        rewrite_target: notes.text("rewrite-target").map(ToOwned::to_owned),
        app_root: app_root(&notes),
        redirect: redirect(&notes),
        ssl_redirect: notes.flag("ssl-redirect").unwrap_or(settings.ssl_redirect),
        force_ssl_redirect: notes
            .flag("force-ssl-redirect")
            .unwrap_or(settings.force_ssl_redirect),
        www_redirect: notes.flag("from-to-www-redirect").unwrap_or(false),
        aliases: aliases(&notes),
        protocol: protocol(&notes),
        sni: sni(&notes),
        cors: cors::read(&notes),
        allow: ranges(
            &notes,
            &["allowlist-source-range", "whitelist-source-range"],
            ("whitelist-source-range", &settings.allow),
        ),
        deny: ranges(
            &notes,
            &["denylist-source-range"],
            ("denylist-source-range", &settings.deny),
        ),
        vhost: vhost(&notes),
        headers: Headers::default(),
        retries,
        retries_said,
        balance: balance::read(&notes),
        sticky: notes.text("affinity") == Some("cookie"),
        connect_timeout: notes.seconds("proxy-connect-timeout"),
        passthrough: passthrough(&notes, settings),
        unasked: unasked(&notes, inventory),
        ciphers: notes.text(ciphers::SETTING).map(ToOwned::to_owned),
        canary: None,
    };
    features.headers.request.clone_from(&settings.request_headers);
    // nginx strips a slash; it is told only where somebody thought of it.
    if notes.flag("preserve-trailing-slash") == Some(false) {
        notes.note(Code::SlashStrip, "preserve-trailing-slash");
    }
    satisfy(&notes);
    if let Some(prefix) = features
        .rewrite_target
        .as_ref()
        .and_then(|_| notes.text("x-forwarded-prefix"))
    {
        headers::set(
            &notes,
            "x-forwarded-prefix",
            &mut features.headers.request,
            "x-forwarded-prefix",
            prefix,
        );
    }
    headers::custom(
        &notes,
        settings,
        &inventory.config_maps,
        &mut features.headers.response,
    );
    snippet::read(&notes, settings, &mut features.headers);
    let global = notes.flag("enable-global-auth").unwrap_or(true);
    let mut entries = notes.finish(false);
    for entry in entries
        .iter_mut()
        .filter(|entry| entry.code == Code::ClientAddress)
    {
        if let Some(key) = settings.fronted {
            *entry = Entry::new(Code::ClientAddressTold, &*entry.field, &*entry.value)
                .with(format!("{key} is on"));
        }
    }
    entries.extend(settings.doubts.iter().cloned());
    for (key, value) in &settings.security {
        entries.push(Entry::new(
            Code::ControllerSecurity,
            format!("ConfigMap data.{key}"),
            value.clone(),
        ));
    }
    if let Some(url) = settings.global_auth.as_ref().filter(|_| global) {
        entries.push(Entry::new(
            Code::ControllerSecurity,
            "ConfigMap data.global-auth-url",
            url.clone(),
        ));
    }
    (features, entries)
}

fn app_root(notes: &Annotations<'_>) -> Option<String> {
    let root = notes.text("app-root")?;
    let odd = |c: char| c == '$' || c.is_whitespace() || c.is_control();
    if !root.starts_with('/') || root.chars().any(odd) {
        notes.note(Code::AppRoot, "app-root");
        return None;
    }
    if !root.contains('?') {
        notes.note(Code::RedirectQuery, "app-root");
    }
    Some(root.to_owned())
}

/// A redirect of everything; the temporal one wins.
fn redirect(notes: &Annotations<'_>) -> Option<Redirect> {
    let permanent = (
        notes.text("permanent-redirect"),
        notes.number("permanent-redirect-code"),
    );
    let temporal = (
        notes.text("temporal-redirect"),
        notes.number("temporal-redirect-code"),
    );
    for (name, alone) in [
        (
            "permanent-redirect-code",
            permanent.0.is_none() || temporal.0.is_some(),
        ),
        ("temporal-redirect-code", temporal.0.is_none()),
        ("permanent-redirect", temporal.0.is_some()),
    ] {
        if alone && notes.text(name).is_some() {
            notes.note(Code::InertAnnotation, name);
        }
    }
    let (name, url, code, default, most) = match (temporal, permanent) {
        ((Some(url), code), _) => ("temporal-redirect", url, code, 302, 307),
        ((None, _), (Some(url), code)) => ("permanent-redirect", url, code, 301, 308),
        _ => return None,
    };
    let code = code
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (300..=most).contains(code));
    let code = code.unwrap_or(default);
    let code = if REDIRECTS.contains(&code) {
        code
    } else {
        notes.note(Code::RedirectCode, &format!("{name}-code"));
        default
    };
    let Some(mut redirect) = address_of(url) else {
        notes.note(Code::RedirectVariable, name);
        return None;
    };
    redirect.redirect_code = code;
    // Path and query stay where the address ends in the request's own.
    if !url.contains('?') && redirect.uri.is_some() {
        notes.note(Code::RedirectQuery, name);
    }
    Some(redirect)
}

/// What nginx sends to the other host is what was asked for here, as Envoy does where a redirect has no path.
pub(crate) const WHOLE: &str = "$request_uri";

/// An address taken apart. Envoy keeps the request's path where the redirect has none, so there always is one, unless nginx
/// keeps it too.
fn address_of(url: &str) -> Option<Redirect> {
    let whole = url.strip_suffix(WHOLE);
    let url = whole.unwrap_or(url);
    if url.contains('$') || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = (rest.get(..end)?, rest.get(end..)?);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok().filter(|port| *port > 0)?)),
        None => (authority, None),
    };
    if host.is_empty() || !["http", "https"].contains(&scheme) || whole.is_some() && !path.is_empty() {
        return None;
    }
    let uri = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    Some(Redirect {
        uri: whole.is_none().then_some(uri),
        authority: Some(host.to_owned()),
        port,
        scheme: Some(scheme.to_owned()),
        redirect_code: 0,
    })
}

fn aliases(notes: &Annotations<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for alias in notes.list("server-alias").unwrap_or_default() {
        let name = alias.to_ascii_lowercase();
        // A name without a dot is a Service's to Istio.
        if super::names::is_host(&name) && name.contains('.') {
            names.push(name);
        } else {
            notes.note_with(
                Code::AliasInvalid,
                "server-alias",
                format!("{alias:?} is no host name"),
            );
        }
    }
    names.sort();
    names.dedup();
    names
}

fn protocol(notes: &Annotations<'_>) -> Protocol {
    let Some(text) = notes.text("backend-protocol") else {
        return Protocol::Http;
    };
    match text.to_ascii_uppercase().as_str() {
        "HTTP" => Protocol::Http,
        "HTTPS" => {
            notes.note(Code::UpstreamUnverified, "backend-protocol");
            Protocol::Https
        }
        "GRPC" => Protocol::Grpc,
        "GRPCS" => {
            notes.note(Code::UpstreamUnverified, "backend-protocol");
            Protocol::Grpcs
        }
        "AUTO_HTTP" | "FCGI" => {
            notes.note(Code::ProtocolUnsupported, "backend-protocol");
            Protocol::Http
        }
        "WS" => {
            notes.note_with(Code::ProtocolUnknown, "backend-protocol", "WS is treated as HTTP");
            Protocol::Http
        }
        _ => {
            notes.note(Code::ProtocolUnknown, "backend-protocol");
            Protocol::Http
        }
    }
}

fn sni(notes: &Annotations<'_>) -> Option<String> {
    // nginx has on and off where all others have true and false.
    let on = match notes.text("proxy-ssl-server-name") {
        Some("on") => Some(true),
        Some("off") | None => Some(false),
        Some(_) => notes.flag("proxy-ssl-server-name"),
    };
    let name = notes.text("proxy-ssl-name");
    if on != Some(true) {
        if name.is_some() {
            notes.note(Code::InertAnnotation, "proxy-ssl-name");
        }
        return None;
    }
    name.filter(|name| !name.contains('$')).map(ToOwned::to_owned)
}

fn ranges(notes: &Annotations<'_>, names: &[&str], (key, default): (&str, &[String])) -> Vec<String> {
    let read = |name: &&str| -> Option<(String, Vec<String>)> {
        let parts = notes.text(name)?.split(',').map(|part| part.trim().to_owned());
        let mut all: Vec<String> = parts.collect();
        all.sort();
        all.dedup();
        Some(((*name).to_owned(), all))
    };
    let given: Vec<_> = names.iter().filter_map(read).collect();
    let Some((name, first)) = given.first() else {
        // Whoever says it, addresses are judged as the gateway sees them.
        if !default.is_empty() {
            notes.note_setting(Code::ClientAddress, key, &default.join(","));
        }
        return default.to_vec();
    };
    for (other, list) in given.iter().skip(1) {
        let code = if list == first {
            Code::InertAnnotation
        } else {
            Code::AllowlistTwice
        };
        notes.note(code, other);
    }
    if !first.iter().all(|range| address::is_range(range)) {
        notes.note(Code::AllowlistInvalid, name);
        return Vec::new();
    }
    notes.note(Code::ClientAddress, name);
    first.clone()
}

fn vhost(notes: &Annotations<'_>) -> Option<String> {
    let host = notes.text("upstream-vhost")?;
    if !address::is_authority(host) {
        notes.note(Code::VhostInvalid, "upstream-vhost");
        return None;
    }
    Some(host.to_owned())
}

fn passthrough(notes: &Annotations<'_>, settings: &Settings) -> bool {
    if notes.flag("ssl-passthrough") != Some(true) {
        return false;
    }
    match settings.passthrough {
        Some(true) => return true,
        Some(false) => notes.note(Code::PassthroughInert, "ssl-passthrough"),
        None => notes.note(Code::Passthrough, "ssl-passthrough"),
    }
    false
}

/// With an authority and verifying switched off nginx asks nobody for a certificate, and tells back ends so. Without the Secret
/// it answers nobody, and a name that has to match none matches: both are as if it verified.
fn unasked(notes: &Annotations<'_>, inventory: &Inventory) -> bool {
    const SECRET: &str = "auth-tls-secret";
    let off = notes.given("auth-tls-verify-client") == Some("off");
    let matches = notes
        .given("auth-tls-match-cn")
        .is_some_and(|name| !name.is_empty());
    let secret = notes.given(SECRET).and_then(settings::key);
    let known = secret.and_then(|key| inventory.secrets.get(&key));
    let there = known.is_some_and(|secret| secret.keys.contains("ca.crt"));
    if !off || matches || !there {
        return false;
    }
    for name in [
        SECRET,
        "auth-tls-verify-client",
        "auth-tls-verify-depth",
        "auth-tls-error-page",
        "auth-tls-pass-certificate-to-upstream",
    ] {
        if notes.text(name).is_some() {
            notes.note(Code::NoCounterpart, name);
        }
    }
    true
}

fn satisfy(notes: &Annotations<'_>) {
    if notes.text("satisfy") == Some("any") {
        notes.note(Code::Satisfy, "satisfy");
    }
}
