//! Where Prometheus is and how to be let in.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Where Prometheus is and how to be let in. Secrets come from files, which are read for every query: a token that is
/// rotated needs no restart. Complaints name the keys of the daemon's `[prometheus]` section.
#[derive(Clone)]
pub struct PrometheusSettings {
    /// Base addresses, tried in order: `http://prometheus.monitoring:9090`, or with a path in front of `/api/v1`.
    pub endpoints: Vec<String>,
    /// How long one endpoint may take. Default 5s.
    pub timeout: Duration,
    /// How long all endpoints together may take. Default: twice `timeout`.
    pub total_timeout: Option<Duration>,
    /// A file whose content is sent as bearer token.
    pub bearer_token_file: Option<PathBuf>,
    /// The user of basic authentication; needs `password_file`.
    pub username: Option<String>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
    /// Further headers, such as `X-Scope-OrgID`.
    pub headers: BTreeMap<String, String>,
    /// PEM certificates of the authorities that are trusted, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The certificate, with its chain, that says who we are, as PEM; needs `client_key_file`.
    pub client_cert_file: Option<PathBuf>,
    /// Its private key, as PEM. Both are read when the daemon starts.
    pub client_key_file: Option<PathBuf>,
}

impl Default for PrometheusSettings {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            timeout: Duration::from_secs(5),
            total_timeout: None,
            bearer_token_file: None,
            username: None,
            password_file: None,
            headers: BTreeMap::new(),
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
        }
    }
}

/// Header values may be secrets, and an address may be written with one before it is refused.
impl fmt::Debug for PrometheusSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrometheusSettings")
            .field("endpoints", &self.endpoints.len())
            .field("timeout", &self.timeout)
            .field("total_timeout", &self.total_timeout)
            .field("bearer_token_file", &self.bearer_token_file)
            .field("username", &self.username)
            .field("password_file", &self.password_file)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("ca_file", &self.ca_file)
            .field("client_cert_file", &self.client_cert_file)
            .field("client_key_file", &self.client_key_file)
            .finish()
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("prometheus.{path}: {message}")]
pub struct SettingsError {
    /// Which setting.
    pub path: String,
    /// What is wrong with it and what to write instead.
    pub message: String,
}

pub(super) fn wrong(path: impl Into<String>, message: impl Into<String>) -> SettingsError {
    SettingsError {
        path: path.into(),
        message: message.into(),
    }
}

impl PrometheusSettings {
    /// Settings for these endpoints, everything else by default.
    pub fn at(endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            endpoints: endpoints.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    pub(super) fn urls(&self) -> Result<Vec<Url>, SettingsError> {
        if self.endpoints.is_empty() {
            return Err(wrong(
                "endpoints",
                "name at least one, like \"http://prometheus.monitoring:9090\"",
            ));
        }
        let url = |(index, text): (usize, &String)| {
            let path = format!("endpoints[{index}]");
            let url = Url::parse(text)
                .map_err(|error| wrong(&path, format!("not an address ({error}): write http://HOST:PORT")))?;
            if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
                return Err(wrong(path, "write http://HOST:PORT or https://HOST:PORT"));
            }
            if !url.username().is_empty() || url.password().is_some() {
                return Err(wrong(
                    path,
                    "no user or password in the address: use username and password_file",
                ));
            }
            if url.query().is_some() || url.fragment().is_some() {
                return Err(wrong(
                    path,
                    "no query in the address: only its base, before /api/v1",
                ));
            }
            Ok(url)
        };
        self.endpoints.iter().enumerate().map(url).collect()
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        if self.timeout.is_zero() {
            return Err(wrong("timeout", "must be longer than nothing, like \"5s\""));
        }
        if self.total_timeout.is_some_and(|total| total < self.timeout) {
            return Err(wrong("total_timeout", "must not be shorter than timeout"));
        }
        if self.username.is_some() != self.password_file.is_some() {
            return Err(wrong(
                "password_file",
                "username and password_file go together: give both or neither",
            ));
        }
        if self.client_cert_file.is_some() != self.client_key_file.is_some() {
            return Err(wrong(
                "client_key_file",
                "client_cert_file and client_key_file go together: give both or neither",
            ));
        }
        if self.username.as_ref().is_some_and(|name| name.contains(':')) {
            return Err(wrong("username", "basic authentication allows no colon in it"));
        }
        if self.username.is_some() && self.bearer_token_file.is_some() {
            return Err(wrong(
                "bearer_token_file",
                "either a token or a user with password, not both",
            ));
        }
        Ok(())
    }

    pub(super) fn header_map(&self) -> Result<HeaderMap, SettingsError> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let path = format!("headers.{name}");
            let header =
                HeaderName::try_from(name.as_str()).map_err(|_| wrong(&path, "not a header name"))?;
            if header == reqwest::header::AUTHORIZATION
                && (self.username.is_some() || self.bearer_token_file.is_some())
            {
                return Err(wrong(
                    path,
                    "there is a token or a password already: leave one of them out",
                ));
            }
            let mut value = HeaderValue::try_from(value.as_str())
                .map_err(|_| wrong(&path, "its value has characters that no header can hold"))?;
            value.set_sensitive(true);
            map.insert(header, value);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(settings: &PrometheusSettings) -> String {
        let checked = settings
            .check()
            .and_then(|()| settings.urls())
            .and_then(|_| settings.header_map());
        checked.unwrap_err().to_string()
    }

    #[test]
    fn each_wrong_setting_is_named_with_its_remedy() {
        let at = |endpoints: &[&str]| PrometheusSettings::at(endpoints.iter().copied());
        assert!(
            refused(&PrometheusSettings::default()).starts_with("prometheus.endpoints: name at least one")
        );
        assert!(
            refused(&at(&["http://a", "nowhere"])).starts_with("prometheus.endpoints[1]: not an address")
        );
        assert!(refused(&at(&["ftp://a"])).contains("http://HOST:PORT"));
        let secret = refused(&at(&["http://me:hunter2@a"]));
        assert!(
            secret.contains("password_file") && !secret.contains("hunter2"),
            "{secret}"
        );
        let mut half = at(&["http://a"]);
        half.username = Some("me".into());
        assert!(refused(&half).contains("go together"));
        half.password_file = Some("/p".into());
        half.client_cert_file = Some("/c".into());
        assert!(refused(&half).starts_with("prometheus.client_key_file"));
        half.client_key_file = Some("/k".into());
        half.bearer_token_file = Some("/t".into());
        assert!(refused(&half).contains("not both"));
        let mut header = at(&["http://a"]);
        header.headers.insert("X-Key".into(), "hunter2\n".into());
        let secret = refused(&header);
        assert!(
            secret.starts_with("prometheus.headers.X-Key") && !secret.contains("hunter2"),
            "{secret}"
        );
        assert!(!format!("{header:?}").contains("hunter2"));
    }
}
