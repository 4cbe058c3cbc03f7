//! Settings as they are written, before they are checked and given their defaults.

use super::notify::RawNotify;
use super::{AlertTarget, Headers, LogFormat};
use crate::rollout::duration::Span;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub(super) namespace: Option<String>,
    pub(super) listen: Option<String>,
    pub(super) drain: Option<Span>,
    #[serde(default)]
    pub(super) watch: RawWatch,
    #[serde(default)]
    pub(super) lease: RawLease,
    pub(super) prometheus: Option<RawPrometheus>,
    #[serde(default)]
    pub(super) probes: RawProbes,
    #[serde(default)]
    pub(super) hooks: RawHooks,
    pub(super) freeze: Option<RawFreeze>,
    #[serde(default)]
    pub(super) limits: RawLimits,
    #[serde(default)]
    pub(super) notify: Vec<RawNotify>,
    #[serde(default)]
    pub(super) hooks_in: RawHooksIn,
    #[serde(default)]
    pub(super) block: RawBlock,
    #[serde(default)]
    pub(super) api: RawApi,
    #[serde(default)]
    pub(super) log: RawLog,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFreeze {
    pub(super) reason: Option<String>,
    pub(super) until: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    pub(super) concurrent: Option<usize>,
    #[serde(default)]
    pub(super) groups: BTreeMap<String, usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHooksIn {
    pub(super) secret_file: Option<PathBuf>,
    pub(super) labels: Option<bool>,
    #[serde(default)]
    pub(super) alerts: Vec<AlertTarget>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawApi {
    pub(super) commands: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWatch {
    #[serde(default)]
    pub(super) namespaces: Vec<String>,
    #[serde(default)]
    pub(super) foreign_namespaces: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHooks {
    #[serde(default)]
    pub(super) allow: Vec<String>,
    pub(super) key_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLease {
    pub(super) name: Option<String>,
    pub(super) identity: Option<String>,
    pub(super) shards: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPrometheus {
    #[serde(default)]
    pub(super) endpoints: Vec<String>,
    pub(super) timeout: Option<Span>,
    pub(super) total_timeout: Option<Span>,
    pub(super) bearer_token_file: Option<PathBuf>,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) headers: Headers,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) client_cert_file: Option<PathBuf>,
    pub(super) client_key_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProbes {
    #[serde(default)]
    pub(super) allow: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLog {
    pub(super) level: Option<String>,
    pub(super) format: Option<LogFormat>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBlock {
    pub(super) listen: Option<String>,
}
