//! The annotations that decide where a request goes.

use std::collections::BTreeMap;

use super::Options;

/// Annotations under which a location does more than the model knows. Only what can change the answer to a request
/// is here; buffers, timeouts, affinity, headers and the like are passed over.
const BEYOND_A_LOCATION: &[&str] = &[
    "allowlist-source-range",
    "auth-snippet",
    "auth-type",
    "auth-url",
    "configuration-snippet",
    "denylist-source-range",
    "enable-modsecurity",
    "limit-connections",
    "limit-rpm",
    "limit-rps",
    "modsecurity-snippet",
    "stream-snippet",
    "whitelist-source-range",
];

/// The same for a whole server, whichever of its Ingresses has it.
const BEYOND_A_SERVER: &[&str] = &["auth-tls-secret", "server-snippet", "ssl-passthrough"];

/// nginx's variable for the request's path and query as they came.
const WHOLE: &str = "$request_uri";

/// `return` of a location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// The status.
    pub code: u16,
    /// The address, literally.
    pub url: String,
}

impl Return {
    /// Where a request is sent that asks for a path and query.
    pub fn location(&self, target: &[u8]) -> Vec<u8> {
        match self.url.strip_suffix(WHOLE) {
            Some(name) => [name.as_bytes(), target].concat(),
            None => self.url.clone().into_bytes(),
        }
    }
}

/// What one Ingress's annotations ask of its locations.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an annotation of its own")]
pub struct Settings {
    /// `rewrite-target`, empty when there is none.
    pub rewrite_target: String,
    /// `use-regex`.
    pub use_regex: bool,
    /// `app-root`.
    pub app_root: Option<String>,
    /// `ssl-redirect`.
    pub ssl_redirect: bool,
    /// `force-ssl-redirect`.
    pub force_ssl_redirect: bool,
    /// `preserve-trailing-slash`.
    pub preserve_trailing_slash: bool,
    /// `use-port-in-redirects`.
    pub use_port_in_redirects: bool,
    /// `relative-redirects`.
    pub relative_redirects: bool,
    /// `temporal-redirect` or `permanent-redirect` with its code.
    pub redirect: Option<Return>,
    /// `from-to-www-redirect`.
    pub from_to_www: bool,
    /// `upstream-vhost`.
    pub upstream_vhost: Option<String>,
    /// `server-alias`, sorted.
    pub aliases: Vec<String>,
    /// `canary`.
    pub canary: bool,
    /// All annotations under the controller's prefix, for whoever writes nginx's lines.
    pub annotations: BTreeMap<String, String>,
    /// `enable-cors`: preflights are answered by nginx itself.
    pub cors: bool,
    /// The first annotation that takes its locations beyond the model.
    pub beyond: Option<String>,
    /// The first annotation that takes the whole server beyond the model.
    pub server_beyond: Option<String>,
}

struct Annotations<'a>(&'a BTreeMap<String, String>, &'a str);

impl Annotations<'_> {
    fn all(&self) -> BTreeMap<String, String> {
        let own = |(name, value): (&String, &String)| {
            let name = name.strip_prefix(self.1)?.strip_prefix('/')?;
            Some((name.to_owned(), value.clone()))
        };
        self.0.iter().filter_map(own).collect()
    }

    fn text(&self, name: &str) -> Option<String> {
        let value = self.0.get(&format!("{}/{name}", self.1))?;
        let lines: Vec<&str> = value.split('\n').map(str::trim).collect();
        Some(lines.join("\n")).filter(|text| !text.is_empty())
    }

    /// As Go reads a truth value; anything else is as if it were not there.
    fn flag(&self, name: &str) -> Option<bool> {
        match self.text(name)?.as_str() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
            _ => None,
        }
    }

    fn on(&self, name: &str) -> bool {
        self.flag(name).unwrap_or(false)
    }

    fn first_of(&self, names: &[&str]) -> Option<String> {
        // `"false"` and empty values switch nothing on.
        let set = |name: &&&str| self.text(name).is_some() && self.flag(name) != Some(false);
        names.iter().find(set).map(|name| (*name).to_owned())
    }
}

impl Settings {
    pub(super) fn read(annotations: &BTreeMap<String, String>, options: &Options) -> Self {
        let from = Annotations(annotations, &options.annotation_prefix);
        let mut settings = Self {
            rewrite_target: from.text("rewrite-target").unwrap_or_default(),
            use_regex: from.on("use-regex"),
            app_root: from.text("app-root").filter(|root| root.starts_with('/')),
            ssl_redirect: from.flag("ssl-redirect").unwrap_or(options.ssl_redirect),
            force_ssl_redirect: from
                .flag("force-ssl-redirect")
                .unwrap_or(options.force_ssl_redirect),
            preserve_trailing_slash: from.on("preserve-trailing-slash"),
            use_port_in_redirects: from.on("use-port-in-redirects"),
            relative_redirects: from.on("relative-redirects"),
            redirect: redirect(&from),
            from_to_www: from.on("from-to-www-redirect"),
            upstream_vhost: from.text("upstream-vhost"),
            aliases: aliases(&from),
            canary: from.on("canary"),
            annotations: from.all(),
            cors: from.on("enable-cors"),
            beyond: from.first_of(BEYOND_A_LOCATION),
            server_beyond: from.first_of(BEYOND_A_SERVER),
        };
        if settings.beyond.is_none() {
            settings.beyond = settings.unusual(&from);
        }
        settings
    }

    /// Values that the model does not follow: nginx's own variables, and what annotation validation may have refused.
    fn unusual(&self, from: &Annotations<'_>) -> Option<String> {
        let variable = |text: &str| text.contains('$');
        if from
            .text("backend-protocol")
            .is_some_and(|protocol| protocol.eq_ignore_ascii_case("FCGI"))
        {
            return Some("backend-protocol FCGI".to_owned());
        }
        // What was asked for may follow a name; anything else of nginx's own is not followed.
        let name = |url: &str| {
            let bare = url
                .strip_suffix(WHOLE)
                .map(|bare| (bare, bare.matches('/').count()));
            bare.is_some_and(|(bare, slashes)| plain_url(bare) && slashes == 2 && !bare.contains('?'))
        };
        if self
            .redirect
            .as_ref()
            .is_some_and(|to| !plain_url(&to.url) && !name(&to.url))
        {
            return Some(format!(
                "redirect to {:?}",
                self.redirect.as_ref().map(|to| to.url.as_str())
            ));
        }
        if self.app_root.as_deref().is_some_and(variable) {
            return Some("app-root with a variable".to_owned());
        }
        if self.upstream_vhost.as_deref().is_some_and(variable) {
            return Some("upstream-vhost with a variable".to_owned());
        }
        None
    }
}

/// The characters that annotation validation lets through, and a scheme.
fn plain_url(url: &str) -> bool {
    url.starts_with("http")
        && url.chars().all(|ch| {
            ch.is_ascii_alphanumeric()
                || matches!(ch, '-' | '.' | '_' | '~' | '/' | ':' | ',' | '?' | '&' | '=')
        })
}

/// The temporal one wins; a code out of its range is the usual one.
fn redirect(from: &Annotations<'_>) -> Option<Return> {
    let code = |name: &str, range: std::ops::RangeInclusive<u16>, usual: u16| {
        from.text(name)
            .and_then(|code| code.parse().ok())
            .filter(|code| range.contains(code))
            .unwrap_or(usual)
    };
    if let Some(url) = from.text("temporal-redirect") {
        return Some(Return {
            code: code("temporal-redirect-code", 300..=307, 302),
            url,
        });
    }
    let url = from.text("permanent-redirect")?;
    Some(Return {
        code: code("permanent-redirect-code", 300..=308, 301),
        url,
    })
}

fn aliases(from: &Annotations<'_>) -> Vec<String> {
    let listed = from.text("server-alias").unwrap_or_default();
    let mut aliases: Vec<String> = listed
        .split(',')
        .map(str::trim)
        .filter(|alias| !alias.is_empty())
        .map(str::to_owned)
        .collect();
    aliases.sort();
    aliases.dedup();
    aliases
}
