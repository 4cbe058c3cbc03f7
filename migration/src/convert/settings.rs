//! The controller's ConfigMap and flags, as far as they decide about routes; the rest is reported.

use super::{Options, Target};
use super::{address, ciphers, controller, headers, retries};
pub(super) use crate::input::switch as boolean;
use crate::input::{Inventory, Key, Snippets};
use crate::istio::HeaderOperations;
use crate::report::{Code, Entry};
use std::collections::{BTreeMap, BTreeSet};

/// The prefix of annotations unless a flag says otherwise.
pub(super) const PREFIX: &str = "nginx.ingress.kubernetes.io";

/// Codes with which Istio redirects.
pub(super) const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// What the controller does unless an Ingress says otherwise (ingress-nginx, `NewDefault`).
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Why it is not certain that these are the controller's settings.
    pub doubts: Vec<Entry>,
    pub prefix: String,
    pub class: String,
    /// The names of `IngressClasses` that are this controller's.
    pub classes: BTreeSet<String>,
    /// Values of the legacy annotation that are converted.
    pub legacy: BTreeSet<String>,
    /// Whether Ingresses without class are served; none: not known.
    pub without_class: Option<bool>,
    /// Whether Ingresses with a default back end are served.
    pub catch_all: bool,
    /// The only namespace that is served, where the controller is told one.
    pub only_namespace: Option<String>,
    pub ssl_redirect: bool,
    pub force_ssl_redirect: bool,
    pub redirect_code: u16,
    /// The value of Strict-Transport-Security, where it is sent.
    pub hsts: Option<String>,
    /// Whether snippets are in force; where nobody knows, they are taken as if they were.
    pub snippets: Snippets,
    pub forwarded_headers: bool,
    /// The setting by which something in front of nginx tells it the client's address.
    pub fronted: Option<&'static str>,
    pub allow: Vec<String>,
    pub deny: Vec<String>,
    /// Paths below these are never redirected to https.
    pub clear: Vec<String>,
    /// Whether TLS may be passed through; none: not known.
    pub passthrough: Option<bool>,
    pub default_certificate: Option<Key>,
    pub allowed_headers: Vec<String>,
    /// Headers that back ends are told whatever an Ingress says.
    pub request_headers: HeaderOperations,
    /// Which ciphers hosts take that say nothing of it themselves, as OpenSSL writes it.
    pub ciphers: Option<String>,
    /// Controls of the whole controller: key and value.
    pub security: Vec<(String, String)>,
    /// What is tried once more.
    pub retries: retries::Usual,
    /// The same, that an Ingress may switch off.
    pub global_auth: Option<String>,
}

const SECURITY: &[&str] = &[
    "block-cidrs",
    "block-referers",
    "block-user-agents",
    "enable-modsecurity",
    "enable-owasp-modsecurity-crs",
    "http-snippet",
    "limit-rate",
    "limit-rate-after",
    "location-snippet",
    "modsecurity-snippet",
    "plugins",
    "server-snippet",
];

/// Settings by which nginx takes another address than the connection's for the client's.
const FRONTED: &[&str] = &["use-proxy-protocol", "use-forwarded-headers", "enable-real-ip"];

/// What becomes of a setting of the controller's ConfigMap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// It keeps somebody out of every host, or looks at every request: where it is on all is refused.
    Guard,
    /// It is lost, and told.
    Lost,
    /// It is converted, or nobody misses it.
    Kept,
}

/// What becomes of the setting with a name.
pub fn setting(key: &str) -> Setting {
    if SECURITY.contains(&key) || key == "global-auth-url" {
        Setting::Guard
    } else if READ.contains(&key) || QUIET.iter().any(|quiet| key.starts_with(quiet)) {
        Setting::Kept
    } else {
        Setting::Lost
    }
}

/// Settings whose loss changes nothing for a client or a back end: buffers, logs, workers, and what is read elsewhere.
const QUIET: &[&str] = &[
    "access-log",
    "allow-",
    "annotation",
    "annotations-risk-level",
    "bind-address",
    "client-body",
    "client-header",
    "compute-full-forwarded-for",
    "debug-",
    "disable-access-log",
    "disable-ipv6",
    "enable-access-log",
    "enable-annotation-validation",
    "enable-brotli",
    "brotli",
    "enable-opentelemetry",
    "enable-real-ip",
    "enable-syslog",
    "error-log",
    "forwarded-for-header",
    "generate-request-id",
    "gzip",
    "hsts-",
    "http2-",
    "keep-alive",
    "large-client-header-buffers",
    "log-format",
    "map-hash",
    "max-worker",
    "nginx-status",
    "opentelemetry",
    "otel",
    "proxy-buffer",
    "proxy-headers-hash",
    "proxy-real-ip-cidr",
    "proxy-request-buffering",
    "reuse-port",
    "server-name-hash",
    "server-tokens",
    "skip-access-log",
    "ssl-buffer",
    "ssl-session",
    "strict-validate-path-type",
    "upstream-keepalive",
    "use-geoip",
    "use-gzip",
    "use-http2",
    "use-proxy-protocol",
    "variables-hash",
    "worker-",
    "use-port-in-redirects",
    "enable-multi-accept",
];

impl Settings {
    /// Whether a path is never redirected to https.
    pub(super) fn exempt(&self, path: &str) -> bool {
        self.clear.iter().any(|clear| path.starts_with(clear.as_str()))
    }
}

/// Reads what is there, and reports.
pub(super) fn read(inventory: &Inventory, options: &Options) -> (Settings, Vec<Entry>) {
    let mut entries = Vec::new();
    let flags = controller::flags(inventory, options, &mut entries);
    let flag = |name: &str| flags.get(name).map(String::as_str);
    let given = controller::config(inventory, options, &flags, &mut entries);
    let doubts = entries.clone();
    entries.extend(controller::lost(&flags));
    if given.is_none() {
        entries.push(Entry::new(Code::ControllerDefaults, "", ""));
    }
    let empty = BTreeMap::new();
    let data = given.map_or(&empty, |map| &map.data);
    let text = |key: &str| {
        data.get(key)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    };
    let on = |key: &str, default: bool| text(key).and_then(boolean).unwrap_or(default);
    let list = |key: &str| -> Vec<String> {
        let parts = text(key).unwrap_or_default().split(',').map(str::trim);
        parts
            .filter(|part| !part.is_empty())
            .map(ToOwned::to_owned)
            .collect()
    };
    let number = |key: &str| text(key).and_then(|value| value.parse::<u64>().ok());
    let code = number("http-redirect-code")
        .and_then(|code| u16::try_from(code).ok())
        .unwrap_or(308);
    let mut security: Vec<(String, String)> = SECURITY
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), text(key)?.to_owned())))
        .filter(|(_, value)| boolean(value) != Some(false))
        .collect();
    // A list that cannot be read protects every Ingress in a way that nobody knows.
    let mut ranges = |key: &str| {
        let ranges = list(key);
        let empty = ranges.is_empty() && text(key).is_some();
        if !empty && ranges.iter().all(|range| address::is_range(range)) {
            return ranges;
        }
        security.push((key.to_owned(), text(key).unwrap_or_default().to_owned()));
        Vec::new()
    };
    let (allow, deny) = (ranges("whitelist-source-range"), ranges("denylist-source-range"));
    let clear = text("no-tls-redirect-locations").map_or_else(
        || vec!["/.well-known/acme-challenge".to_owned()],
        |_| list("no-tls-redirect-locations"),
    );
    let (classes, legacy) = controller::classes(inventory, options, &flags);
    let (request_headers, lost) = request_headers(text(REQUEST_HEADERS), inventory);
    entries.extend(lost);
    let settings = Settings {
        doubts,
        prefix: controller::prefix(options, &flags),
        classes,
        legacy,
        class: controller::class(options, &flags),
        without_class: match flag("watch-ingress-without-class") {
            Some(value) => Some(value != "false"),
            // A controller without flags is known, and takes none.
            None if flags.is_empty() && inventory.controllers.is_empty() => None,
            None => Some(false),
        },
        catch_all: flag("disable-catch-all").is_none_or(|value| value == "false"),
        only_namespace: flag("watch-namespace")
            .filter(|name| !name.is_empty() && !name.contains("$("))
            .map(ToOwned::to_owned),
        ssl_redirect: on("ssl-redirect", true),
        force_ssl_redirect: on("force-ssl-redirect", false),
        redirect_code: if REDIRECTS.contains(&code) { code } else { 308 },
        hsts: hsts(&on, number("hsts-max-age")),
        snippets: snippets(inventory, text("allow-snippet-annotations").and_then(boolean)),
        forwarded_headers: on("use-forwarded-headers", false),
        fronted: FRONTED.iter().find(|key| on(key, false)).copied(),
        allow,
        deny,
        clear,
        passthrough: match flag("enable-ssl-passthrough") {
            Some(value) => Some(value != "false"),
            None if flags.is_empty() => None,
            None => Some(false),
        },
        default_certificate: controller::certificate(options, &flags),
        allowed_headers: list("global-allowed-response-headers"),
        request_headers,
        security,
        retries: tried_again(text(NEXT), number(NEXT_TRIES), &mut entries),
        ciphers: text(ciphers::SETTING).map(ToOwned::to_owned),
        global_auth: text("global-auth-url").map(ToOwned::to_owned),
    };
    entries.extend(defaults(
        text("proxy-body-size"),
        on("enable-underscores-in-headers", false),
    ));
    if settings.default_certificate.is_none() {
        entries.push(Entry::new(Code::NoCertificate, "", ""));
    }
    entries.extend(text(ciphers::SETTING).and_then(|list| told(list, &options.target)));
    entries.extend(unconverted(data));
    entries.extend(unreadable(data));
    entries.sort();
    (settings, entries)
}

/// What is lost of the list of ciphers of all hosts, wherever it is written.
fn told(list: &str, target: &Target) -> Option<Entry> {
    let entry = |code: Code, why: String| {
        Some(Entry::new(code, format!("data.{}", ciphers::SETTING), list).with(why))
    };
    match (ciphers::read(list), target) {
        (_, Target::GatewayApi(_)) => {
            entry(Code::TlsCiphers, "the Gateway API has no field for it".to_owned())
        }
        (Err(why), Target::Istio) => entry(Code::TlsCiphers, why),
        (Ok(list), Target::Istio) => entry(Code::TlsCiphersPart, list.missing()?),
    }
}

/// The value of Strict-Transport-Security; it is on unless somebody switched it off.
fn hsts(on: &impl Fn(&str, bool) -> bool, age: Option<u64>) -> Option<String> {
    on("hsts", true).then(|| {
        let age = age.unwrap_or(31_536_000);
        let domains = if on("hsts-include-subdomains", true) {
            "; includeSubDomains"
        } else {
            ""
        };
        let preload = if on("hsts-preload", false) {
            "; preload"
        } else {
            ""
        };
        format!("max-age={age}{domains}{preload}")
    })
}

/// Whether any of the controllers that were read may act upon snippets. Their own default has changed, so it is theirs only
/// where their releases are known.
fn snippets(inventory: &Inventory, said: Option<bool>) -> Snippets {
    let releases = &inventory.releases;
    let each = releases.iter().map(|release| Snippets::of(said, *release));
    each.reduce(|one, other| if other == Snippets::Inert { one } else { other })
        .unwrap_or_else(|| Snippets::of(said, None))
}

/// Where the controller is told which headers all back ends get.
const REQUEST_HEADERS: &str = "proxy-set-headers";

/// Those headers, and what of them is lost. Of a ConfigMap that was not read nobody knows what it keeps clients from saying.
fn request_headers(named: Option<&str>, inventory: &Inventory) -> (HeaderOperations, Vec<Entry>) {
    let mut operations = HeaderOperations::default();
    let Some(named) = named else {
        return (operations, Vec::new());
    };
    let entry = |detail: String| {
        Entry::new(Code::ControllerSetting, format!("data.{REQUEST_HEADERS}"), named).with(detail)
    };
    let Some(map) = key(named).and_then(|key| inventory.config_maps.get(&key)) else {
        return (operations, vec![entry("that ConfigMap was not read".to_owned())]);
    };
    let lost = headers::of_all(map, &mut operations);
    let entries = lost
        .into_iter()
        .map(|(name, why)| entry(format!("{name:?} {why}")));
    (operations, entries.collect())
}

/// What is tried once more, and how often.
const NEXT: &str = "proxy-next-upstream";
const NEXT_TRIES: &str = "proxy-next-upstream-tries";

fn tried_again(conditions: Option<&str>, tries: Option<u64>, entries: &mut Vec<Entry>) -> retries::Usual {
    if let Some(words) = conditions.filter(|words| retries::others(words).next().is_some()) {
        entries.push(Entry::new(Code::RetryCondition, format!("data.{NEXT}"), words));
    }
    retries::Usual {
        conditions: conditions.map(ToOwned::to_owned),
        tries,
    }
}

/// What a converter that looks at annotations alone loses in silence.
fn defaults(body_size: Option<&str>, underscores: bool) -> Vec<Entry> {
    let mut entries = vec![
        Entry::new(Code::MergeSlashes, "", ""),
        Entry::new(Code::RetryDefault, "", ""),
        Entry::new(Code::ForwardedHeaders, "", ""),
        Entry::new(Code::SlashStrip, "", ""),
        Entry::new(Code::StatusPaths, "", ""),
    ];
    if body_size != Some("0") {
        entries.push(Entry::new(
            Code::BodyLimitDefault,
            "data.proxy-body-size",
            body_size.unwrap_or("1m"),
        ));
    }
    if !underscores {
        entries.push(Entry::new(Code::UnderscoreHeaders, "", ""));
    }
    entries
}

/// What nginx takes its default for, as it cannot read it.
fn unreadable(data: &BTreeMap<String, String>) -> Vec<Entry> {
    let wrong = |(key, value): &(&String, &String)| {
        let value = value.trim();
        let read = match key.as_str() {
            key if SWITCHES.contains(&key) => boolean(value).is_some(),
            "hsts-max-age" | NEXT_TRIES => value.parse::<u64>().is_ok(),
            "http-redirect-code" => value.parse().is_ok_and(|code: u16| REDIRECTS.contains(&code)),
            _ => true,
        };
        !value.is_empty() && !read
    };
    let told = data.iter().filter(wrong);
    told.map(|(key, value)| Entry::new(Code::InvalidValue, format!("data.{key}"), value.clone()))
        .collect()
}

const SWITCHES: &[&str] = &[
    "ssl-redirect",
    "force-ssl-redirect",
    "hsts",
    "hsts-include-subdomains",
    "hsts-preload",
    "allow-snippet-annotations",
    "use-forwarded-headers",
    "enable-underscores-in-headers",
    "enable-modsecurity",
    "enable-owasp-modsecurity-crs",
];

const READ: &[&str] = &[
    "ssl-redirect",
    "force-ssl-redirect",
    "http-redirect-code",
    "hsts",
    "allow-snippet-annotations",
    "use-forwarded-headers",
    "whitelist-source-range",
    "denylist-source-range",
    "no-tls-redirect-locations",
    "global-allowed-response-headers",
    "proxy-body-size",
    "enable-underscores-in-headers",
    NEXT,
    NEXT_TRIES,
    REQUEST_HEADERS,
    ciphers::SETTING,
];

fn unconverted(data: &BTreeMap<String, String>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (key, value) in data {
        // Guards are told with every Ingress that they protect.
        if setting(key) == Setting::Lost {
            entries.push(Entry::new(
                Code::ControllerSetting,
                format!("data.{key}"),
                value.clone(),
            ));
        }
    }
    entries
}

/// `namespace/name`.
pub(super) fn key(text: &str) -> Option<Key> {
    let (namespace, name) = text.split_once('/')?;
    Some((namespace.to_owned(), name.to_owned()))
}
