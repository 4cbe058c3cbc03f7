//! `[[notify]]`: who is told what happens.

use super::Error;
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

/// Somebody who is told what happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// What they are called in metrics, logs and reports.
    pub name: String,
    /// In whose form.
    pub kind: NotifyKind,
    /// Where.
    pub url: NotifyUrl,
    /// A file with what messages are signed with, read anew for each.
    pub secret_file: Option<PathBuf>,
    /// What they are told at least.
    pub min_severity: NotifySeverity,
    /// Hosts that messages may go to; empty: the URL's own.
    pub allow: Vec<String>,
    /// Where people can look, with `{namespace}`, `{rollout}` and `{component}` in it.
    pub link: Option<String>,
}

/// Where messages go. The URLs of chat services let in whoever knows them, so this one is not shown.
#[derive(Clone, PartialEq, Eq)]
pub enum NotifyUrl {
    /// Here.
    Url(String),
    /// In this file, read anew for each message.
    File(PathBuf),
}

impl fmt::Debug for NotifyUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(_) => f.write_str("[redacted]"),
            Self::File(path) => write!(f, "[in {}]", path.display()),
        }
    }
}

/// In whose form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifyKind {
    /// Our own JSON.
    #[default]
    Webhook,
    /// Slack's.
    Slack,
    /// `DingTalk`'s.
    DingTalk,
}

/// How loudly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotifySeverity {
    /// Everything.
    #[default]
    Info,
    /// What somebody should look at.
    Warning,
    /// Traffic that went back.
    Critical,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotify {
    name: Option<String>,
    #[serde(default)]
    kind: NotifyKind,
    url: Option<String>,
    url_file: Option<PathBuf>,
    secret_file: Option<PathBuf>,
    #[serde(default)]
    min_severity: NotifySeverity,
    #[serde(default)]
    allow: Vec<String>,
    link: Option<String>,
}

impl fmt::Debug for RawNotify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawNotify")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Every receiver, complete; or what is wrong with the first that is not, without its URL.
pub(super) fn checked(raw: Vec<RawNotify>) -> Result<Vec<Notify>, Error> {
    let wrong = |key: &'static str, message: String| Err(Error::Value { key, message });
    let mut all: Vec<Notify> = Vec::new();
    for (n, raw) in raw.into_iter().enumerate() {
        let name = raw.name.unwrap_or_else(|| format!("notify-{}", n + 1));
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 63 || !name.chars().all(legal) {
            return wrong(
                "notify.name",
                format!("{name:?} is no name: 1 to 63 letters, digits, -, _ and ."),
            );
        }
        if all.iter().any(|known| known.name == name) {
            return wrong(
                "notify.name",
                format!("{name:?} is there twice: metrics could not tell them apart"),
            );
        }
        let url = match (raw.url, raw.url_file) {
            (Some(url), None) if url.starts_with("http://") || url.starts_with("https://") => {
                NotifyUrl::Url(url)
            }
            (Some(_), None) => {
                return wrong(
                    "notify.url",
                    format!("that of {name:?} must begin with http:// or https://"),
                );
            }
            (None, Some(file)) => NotifyUrl::File(file),
            _ => {
                return wrong(
                    "notify.url",
                    format!("{name:?} needs either url or url_file, and not both"),
                );
            }
        };
        if raw.kind == NotifyKind::Slack && raw.secret_file.is_some() {
            return wrong(
                "notify.secret_file",
                format!("{name:?} is of kind slack, whose URL is its secret: leave it out"),
            );
        }
        all.push(Notify {
            name,
            kind: raw.kind,
            url,
            secret_file: raw.secret_file,
            min_severity: raw.min_severity,
            allow: raw.allow,
            link: raw.link,
        });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, Settings};
    use super::*;

    fn read(text: &str) -> Result<Vec<Notify>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.toml");
        std::fs::write(&path, text).unwrap();
        Settings::load(Some(&path), [], &Flags::default())
            .map(|settings| settings.notify)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn receivers_are_read_with_their_defaults_and_their_urls_are_not_shown() {
        let all = read(
            "[[notify]]\nurl = \"https://chat/hunter2\"\n[[notify]]\nname = \"ding\"\nkind = \"dingtalk\"\n\
             url_file = \"/run/url\"\nsecret_file = \"/run/secret\"\nmin_severity = \"critical\"\n",
        )
        .unwrap();
        assert_eq!(
            (all[0].name.as_str(), all[0].kind),
            ("notify-1", NotifyKind::Webhook)
        );
        assert_eq!(all[1].min_severity, NotifySeverity::Critical);
        assert!(!format!("{all:?}").contains("hunter2"), "{all:?}");
    }

    #[test]
    fn a_receiver_that_cannot_be_reached_by_its_settings_is_refused_without_its_url() {
        for (text, says) in [
            ("[[notify]]\nname = \"a\"\n", "either url or url_file"),
            ("[[notify]]\nurl = \"hunter2\"\n", "must begin with http"),
            ("[[notify]]\nurl = \"http://a\"\nname = \"a b\"\n", "is no name"),
            (
                "[[notify]]\nurl = \"http://a\"\nname = \"a\"\n[[notify]]\nurl = \"http://b\"\nname = \"a\"\n",
                "twice",
            ),
            (
                "[[notify]]\nkind = \"slack\"\nurl = \"http://a\"\nsecret_file = \"/x\"\n",
                "whose URL is its secret",
            ),
            (
                "[[notify]]\nurl = \"http://a\"\nseverity = \"info\"\n",
                "severity",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.contains(says) && !error.contains("hunter2"),
                "{text}: {error}"
            );
        }
    }
}
