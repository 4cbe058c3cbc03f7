//! The daemon's settings: what is given in a file and in the environment, with defaults, checked once.
//!
//! Later wins: defaults, the file, `GRADUAL_ROLLOUT__SECTION__KEY` in the environment, flags. A key that is not
//! known is refused by name, wherever it stands.

use config::{Config, Environment, File, FileFormat, Source};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The words that say how much is logged.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
/// What the environment's names begin with.
const PREFIX: &str = "GRADUAL_ROLLOUT";
/// A longer file is surely a mistake.
const LARGEST: u64 = 1 << 20;
/// As many shards the work may be split in: each costs a Lease that is renewed.
pub const MOST_SHARDS: u32 = 64;

/// Settings, complete and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The namespace of commands that name none, and of the Lease.
    pub namespace: String,
    /// Which resources the daemon looks after.
    pub watch: Watch,
    /// Where the daemon serves health, metrics and its API.
    pub listen: SocketAddr,
    /// The Lease by which daemons agree on who acts.
    pub lease: Lease,
    /// Where samples come from; `None`: no source, so nothing is judged and every component holds.
    pub prometheus: Option<Prometheus>,
    /// Hosts that resources may have probed; names, `*.below.a.name` or `*`. None: no probes.
    pub probe_hosts: Vec<String>,
    /// Hosts whose hooks may be called; likewise.
    pub hook_hosts: Vec<String>,
    /// What signs requests to hooks; `None`: they go unsigned.
    pub hook_key_file: Option<PathBuf>,
    /// Nothing rises anywhere; `None`: unless the cluster's switch says so.
    pub freeze: Option<Freeze>,
    /// How many rollouts run at once.
    pub limits: Limits,
    /// Who is told what happens; in the order of the file.
    pub notify: Vec<Notify>,
    /// What comes in by hooks.
    pub hooks_in: HooksIn,
    /// Where the webhook of `migrate block` is served, over TLS; `None`: nowhere.
    pub block_listen: Option<SocketAddr>,
    /// Whether commands come in by REST.
    pub commands: bool,
    /// Log lines.
    pub log: Log,
    /// How long the daemon goes on with what is in flight when it is told to stop.
    pub drain: Duration,
}

/// Nothing rises anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// Why, for people.
    pub reason: String,
    /// Until when; `None`: as long as it stands in the settings.
    pub until: Option<Timestamp>,
}

/// How many rollouts run at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// In all; `None`: as many as there are.
    pub concurrent: Option<usize>,
    /// Of each group (`spec.group`).
    pub groups: BTreeMap<String, usize>,
}

/// Which resources the daemon looks after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// Namespaces whose resources are looked after; empty: all.
    pub namespaces: Vec<String>,
    /// Namespaces that resources of other namespaces may route in. A resource's own is always allowed.
    pub foreign_namespaces: Vec<String>,
}

/// Hooks that others call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HooksIn {
    /// The file with the secret that callers share; `None`: there are no hooks.
    pub secret_file: Option<PathBuf>,
    /// Whether an alert's own labels say whom it is about.
    pub labels: bool,
    /// Which alerts are about whom, whatever their labels say of it.
    pub alerts: Vec<AlertTarget>,
}

/// Alerts with these labels are about this component.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertTarget {
    /// Each label's value, or `~` and a regular expression for all of it.
    #[serde(rename = "match")]
    pub labels: BTreeMap<String, String>,
    /// The namespace of the rollout.
    pub namespace: String,
    /// The rollout; `None`: the one there that has the component.
    pub rollout: Option<String>,
    /// The component.
    pub component: String,
}

/// The Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its name.
    pub name: String,
    /// Where the daemon of these settings keeps it, whatever namespace a command is about.
    pub namespace: String,
    /// Who this daemon is in it; `None`: the host's name with a random end.
    pub identity: Option<String>,
    /// In how many shards daemons split the work, each with a Lease of its own; 1: one daemon does it all.
    pub shards: u32,
}

/// A Prometheus, or anything that speaks its API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prometheus {
    /// Base URLs of equal replicas, tried in this order. At least one.
    pub endpoints: Vec<String>,
    /// How long one of them may take.
    pub timeout: Duration,
    /// How long all of them together may take.
    pub total_timeout: Duration,
    /// A file whose content is the bearer token, read anew for each use.
    pub bearer_token_file: Option<PathBuf>,
    /// User name and the file with the password, read anew for each use.
    pub basic_auth: Option<(String, PathBuf)>,
    /// Further headers, such as a tenant's.
    pub headers: Headers,
    /// A file with PEM certificates of authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The files with the certificate that says who we are, and with its private key, as PEM.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

/// Headers by name. Their values may let in whoever knows them, so they are not shown.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Headers(pub BTreeMap<String, String>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.keys().map(|name| (name, "[redacted]"));
        f.debug_map().entries(shown).finish()
    }
}

/// Forms of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Log lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// A level, or a filter by module.
    pub level: String,
    /// Their form.
    pub format: LogFormat,
}

/// A mistake in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("unable to read the settings file {file}: {cause}")]
    File {
        /// Which.
        file: String,
        /// Why.
        cause: String,
    },
    /// A key is unknown, or its value is of another type.
    #[error("{origin}: {key}: {message}")]
    Key {
        /// The file, or `environment`.
        origin: String,
        /// The key, with its section.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// A value that cannot be used.
    #[error("settings: {key}: {message}")]
    Value {
        /// The key, with its section.
        key: &'static str,
        /// What is wrong, and the remedy.
        message: String,
    },
}

/// What flags say; it wins over everything.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `-n`
    pub namespace: Option<String>,
    /// From `-v` and `-vv`.
    pub log_level: Option<&'static str>,
    /// `--shards`
    pub shards: Option<u32>,
}

impl Settings {
    /// Where the Lease of a daemon may be that looks after this namespace: one that runs for it alone keeps it
    /// there, one for the whole cluster keeps it at home.
    pub fn lease_namespaces(&self) -> Vec<&str> {
        let mut all = vec![self.namespace.as_str()];
        if self.lease.namespace != self.namespace {
            all.push(&self.lease.namespace);
        }
        all
    }

    /// Reads settings from a file (none: only defaults and environment) and the environment's variables.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &Flags,
    ) -> Result<Self, Error> {
        let text = match file {
            None => None,
            Some(path) => {
                let name = path.display().to_string();
                // Read here, so that a missing file says so and any ending will do.
                let text = read_text(path).map_err(|e| Error::File {
                    file: name.clone(),
                    cause: e.to_string(),
                })?;
                Some((name, text))
            }
        };
        let text = text.as_ref().map(|(name, text)| (name.as_str(), text.as_str()));
        Self::understood(text, environment, flags)
    }

    /// Settings from the name and the text of a file (none: only defaults and environment) and the environment.
    fn understood(
        file: Option<(&str, &str)>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &Flags,
    ) -> Result<Self, Error> {
        let mut all = Config::builder();
        if let Some((name, text)) = file {
            let source = File::from_str(text, FileFormat::Toml);
            only_names(&source, name)?;
            let alone = Config::builder().add_source(source.clone()).build();
            read(alone, name)?;
            all = all.add_source(source);
        }
        let ours = format!("{PREFIX}__");
        let environment: config::Map<String, String> = environment
            .into_iter()
            .filter(|(key, _)| key.starts_with(&ours))
            .collect();
        let source = Environment::with_prefix(PREFIX)
            .prefix_separator("__")
            .separator("__")
            .try_parsing(true)
            .list_separator(",")
            .with_list_parse_key("watch.namespaces")
            .with_list_parse_key("watch.foreign_namespaces")
            .with_list_parse_key("prometheus.endpoints")
            .with_list_parse_key("probes.allow")
            .with_list_parse_key("hooks.allow")
            .source(Some(environment));
        only_names(&source, "environment")?;
        read(
            Config::builder().add_source(source.clone()).build(),
            "environment",
        )?;
        let raw = read(all.add_source(source).build(), "settings")?;
        Self::check(raw, flags)
    }

    fn check(raw: Raw, flags: &Flags) -> Result<Self, Error> {
        let wrong = |key: &'static str, message: String| Err(Error::Value { key, message });
        let listen = address("listen", raw.listen.as_deref().unwrap_or("127.0.0.1:8080"))?;
        let block = raw.block.listen.as_deref();
        let block_listen = block.map(|text| address("block.listen", text)).transpose()?;
        let home = raw.namespace.unwrap_or_else(|| "sealos-system".into());
        let namespace = flags.namespace.clone().unwrap_or_else(|| home.clone());
        for (key, names) in [
            ("namespace", [namespace.clone(), home.clone()].as_slice()),
            ("watch.namespaces", raw.watch.namespaces.as_slice()),
            (
                "watch.foreign_namespaces",
                raw.watch.foreign_namespaces.as_slice(),
            ),
        ] {
            if let Some(name) = names.iter().find(|name| !is_name(name)) {
                return wrong(
                    key,
                    format!("{name:?} is no namespace: 1 to 63 of a-z, 0-9 and -"),
                );
            }
        }
        let shards = flags.shards.or(raw.lease.shards).unwrap_or(1);
        if !(1..=MOST_SHARDS).contains(&shards) {
            return wrong(
                "lease.shards",
                format!("{shards} is no number of shards; write 1 to {MOST_SHARDS}"),
            );
        }
        let prometheus = raw.prometheus.map(prometheus).transpose()?;
        let level = match flags.log_level {
            Some(level) => level.to_owned(),
            None => raw.log.level.unwrap_or_else(|| "info".to_owned()),
        };
        if !is_filter(&level) {
            let message = format!(
                "{level:?} is no log level: write {}, or a filter like \"info,gradual_rollout=debug\"",
                LEVELS.join(", ")
            );
            return wrong("log.level", message);
        }
        let freeze = raw.freeze.map(freeze).transpose()?;
        let limits = limits(raw.limits)?;
        Ok(Self {
            namespace,
            watch: Watch {
                namespaces: raw.watch.namespaces,
                foreign_namespaces: raw.watch.foreign_namespaces,
            },
            listen,
            lease: Lease {
                name: raw.lease.name.unwrap_or_else(|| "gradual-rollout".to_owned()),
                namespace: home,
                identity: raw.lease.identity,
                shards,
            },
            prometheus,
            probe_hosts: raw.probes.allow,
            hook_hosts: raw.hooks.allow,
            hook_key_file: raw.hooks.key_file,
            freeze,
            limits,
            notify: notify::checked(raw.notify)?,
            hooks_in: HooksIn {
                secret_file: raw.hooks_in.secret_file,
                labels: raw.hooks_in.labels.unwrap_or(true),
                alerts: raw.hooks_in.alerts,
            },
            block_listen,
            commands: raw.api.commands.unwrap_or(false),
            log: Log {
                level,
                format: raw.log.format.unwrap_or_default(),
            },
            drain: raw.drain.map_or(Duration::from_secs(20), |span| span.0),
        })
    }
}

/// An address and a port to listen on.
fn address(key: &'static str, text: &str) -> Result<SocketAddr, Error> {
    text.parse().map_err(|_| Error::Value {
        key,
        message: format!("{text:?} is no address; write one like \"127.0.0.1:8080\""),
    })
}

/// A file's text, unless it is longer than settings are.
fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(LARGEST + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        let message = format!("it has more than {LARGEST} bytes: is it the right file?");
        return Err(std::io::Error::other(message));
    }
    Ok(text)
}

/// Refuses keys that no section has, like `"list[4000000000]"`: the library would take it for a place in a list, and make
/// a list of that length.
fn only_names(source: &impl Source, origin: &str) -> Result<(), Error> {
    let is_name = |key: &str| {
        key.chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
    };
    let all = source.collect().map_err(|e| Error::File {
        file: origin.to_owned(),
        cause: e.to_string(),
    })?;
    match all.into_keys().find(|key| !is_name(key)) {
        None => Ok(()),
        Some(key) => Err(Error::Key {
            origin: origin.to_owned(),
            key: format!("{key:?}"),
            message: "no section and no key is called so: write letters, digits, - and _".to_owned(),
        }),
    }
}

fn freeze(raw: RawFreeze) -> Result<Freeze, Error> {
    let wrong = |key: &'static str, message: String| Err(Error::Value { key, message });
    let Some(reason) = raw.reason.filter(|reason| !reason.trim().is_empty()) else {
        return wrong(
            "freeze.reason",
            "a freeze needs its reason, which everybody who waits is shown".into(),
        );
    };
    let until = match raw.until {
        None => None,
        Some(text) => match text.parse() {
            Ok(until) => Some(until),
            Err(_) => {
                return wrong(
                    "freeze.until",
                    format!("{text:?} is no time: write one like \"2026-03-02T09:00:00Z\""),
                );
            }
        },
    };
    Ok(Freeze {
        reason: reason.chars().take(256).collect(),
        until,
    })
}

fn limits(raw: RawLimits) -> Result<Limits, Error> {
    let wrong = |key: &'static str, message: String| Err(Error::Value { key, message });
    if raw.concurrent == Some(0) {
        return wrong(
            "limits.concurrent",
            "with 0 nothing would ever begin: leave it out, or freeze with [freeze]".into(),
        );
    }
    for (name, most) in &raw.groups {
        if !is_name(name) {
            return wrong(
                "limits.groups",
                format!("{name:?} is no group: 1 to 63 of a-z, 0-9 and -"),
            );
        }
        if *most == 0 {
            return wrong(
                "limits.groups",
                format!("with 0 nothing of {name} would ever begin: leave it out"),
            );
        }
    }
    Ok(Limits {
        concurrent: raw.concurrent,
        groups: raw.groups,
    })
}

fn prometheus(raw: RawPrometheus) -> Result<Prometheus, Error> {
    let wrong = |key: &'static str, message: String| Err(Error::Value { key, message });
    if raw.endpoints.is_empty() {
        return wrong(
            "prometheus.endpoints",
            "the section names no URL; write endpoints = [\"http://prometheus.monitoring:9090\"], or leave it out"
                .into(),
        );
    }
    for url in &raw.endpoints {
        let host = url
            .strip_prefix("http://")
            .or_else(|| url.strip_prefix("https://"));
        match host {
            None | Some("") => {
                return wrong(
                    "prometheus.endpoints",
                    format!("{url:?} must begin with http:// or https://"),
                );
            }
            // Such a URL would end up in logs and messages.
            Some(rest) if rest.split('/').next().is_some_and(|host| host.contains('@')) => {
                return wrong(
                    "prometheus.endpoints",
                    "a URL must not hold a password; use username and password_file".into(),
                );
            }
            Some(_) => {}
        }
    }
    let timeout = raw.timeout.map_or(Duration::from_secs(5), |span| span.0);
    if timeout < Duration::from_millis(100) || timeout > Duration::from_secs(60) {
        return wrong("prometheus.timeout", "must be between 100ms and 60s".into());
    }
    let total_timeout = raw.total_timeout.map_or(timeout * 2, |span| span.0);
    if total_timeout < timeout || total_timeout > Duration::from_secs(120) {
        return wrong(
            "prometheus.total_timeout",
            "must be between prometheus.timeout and 2m".into(),
        );
    }
    let basic_auth = match (raw.username, raw.password_file) {
        (Some(user), Some(file)) => Some((user, file)),
        (None, None) => None,
        _ => {
            return wrong(
                "prometheus.username",
                "username and password_file go together".into(),
            );
        }
    };
    let client_certificate = match (raw.client_cert_file, raw.client_key_file) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            return wrong(
                "prometheus.client_key_file",
                "client_cert_file and client_key_file go together".into(),
            );
        }
    };
    if basic_auth.is_some() && raw.bearer_token_file.is_some() {
        return wrong(
            "prometheus.bearer_token_file",
            "give either a token or a user name, not both".into(),
        );
    }
    Ok(Prometheus {
        endpoints: raw.endpoints,
        timeout,
        total_timeout,
        bearer_token_file: raw.bearer_token_file,
        basic_auth,
        headers: raw.headers,
        ca_file: raw.ca_file,
        client_certificate,
    })
}

fn is_name(name: &str) -> bool {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&name.len()) && name.chars().all(legal)
}

/// Whether every part of a log filter ends in a level. A lone word that is none would be taken for a module's name,
/// and the log would stay silent. What names spans is left to the logger.
fn is_filter(level: &str) -> bool {
    let known = |word: &str| LEVELS.iter().any(|l| l.eq_ignore_ascii_case(word.trim()));
    level.contains('[')
        || level
            .split(',')
            .all(|part| known(part.rsplit_once('=').map_or(part, |(_, word)| word)))
}

fn read(built: Result<Config, config::ConfigError>, origin: &str) -> Result<Raw, Error> {
    let key_error = |key: String, message: String| Error::Key {
        origin: origin.to_owned(),
        key,
        message,
    };
    let built = built.map_err(|e| Error::File {
        file: origin.to_owned(),
        cause: e.to_string(),
    })?;
    serde_path_to_error::deserialize(built).map_err(|error| {
        let key = error.path().to_string();
        key_error(key, error.into_inner().to_string())
    })
}

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod notify;
mod raw;
#[cfg(test)]
mod tests;

pub use notify::{Notify, NotifyKind, NotifySeverity, NotifyUrl};
use raw::{Raw, RawFreeze, RawLimits, RawPrometheus};
