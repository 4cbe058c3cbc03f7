//! Which requests are errors: a rule over response codes, gRPC statuses and proxies' flags.

use super::preset::{Facts, Grpc, Labels};
use std::collections::BTreeSet;
use std::fmt;

/// What counts as an error. The default is the project's own definition; a check may replace any of its three parts.
///
/// A 1xx is never one: a handshake that was answered succeeded, however its connection ended later.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorRule {
    codes: Vec<CodePattern>,
    grpc: BTreeSet<u8>,
    flags: BTreeSet<String>,
}

/// Part of an error rule that means nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}[{index}]: {message}")]
pub struct RuleError {
    /// Which part: `codes`, `grpc` or `flags`.
    pub field: &'static str,
    /// Which entry of it.
    pub index: usize,
    /// What is wrong with it and what to write instead.
    pub message: String,
}

/// The gRPC statuses that blame the server: unknown, deadline exceeded, resource exhausted, unimplemented, internal,
/// unavailable, data loss.
const GRPC: [u8; 7] = [2, 4, 8, 12, 13, 14, 15];
/// The highest status that gRPC knows, unauthenticated.
const LAST_GRPC: u8 = 16;
/// Envoy's words for "no route", "no healthy upstream", "connection failed", "connection broken off" and "retries
/// used up".
const FLAGS: [&str; 5] = ["NR", "UH", "UF", "UC", "URX"];
/// Envoy's word for a client that hung up. What nginx calls 499 has code 0 there.
const CLIENT_LEFT: &str = "DC";

/// A 5xx; no response at all; a proxy's own answer for want of a route, a healthy upstream or a connection; gRPC 2,
/// 4, 8, 12–15.
impl Default for ErrorRule {
    fn default() -> Self {
        Self {
            codes: vec![CodePattern::CLASS_5, CodePattern::NoResponse],
            grpc: GRPC.into(),
            flags: FLAGS.into_iter().map(str::to_owned).collect(),
        }
    }
}

impl ErrorRule {
    /// A rule whose parts replace the default's; `None` keeps the default's. Codes are written `502`, `50x`, `5xx`,
    /// or `0` for no response.
    pub fn new(
        codes: Option<&[String]>,
        grpc: Option<&[i64]>,
        flags: Option<&[String]>,
    ) -> Result<Self, RuleError> {
        let mut rule = Self::default();
        if let Some(codes) = codes {
            rule.codes = each("codes", codes, |text| CodePattern::read(text))?;
        }
        if let Some(statuses) = grpc {
            rule.grpc = each("grpc", statuses, |status| grpc_status(*status))?
                .into_iter()
                .collect();
        }
        if let Some(flags) = flags {
            rule.flags = each("flags", flags, |text| flag(text))?.into_iter().collect();
        }
        Ok(rule)
    }

    /// Whether requests that ended as these labels say are errors; `None` when the labels do not tell.
    pub(crate) fn judge(&self, facts: &Facts<'_>, labels: &Labels<'_>) -> Option<bool> {
        let label = |name: &str| {
            let value = labels.get(name).map_or("", AsRef::as_ref);
            // What Istio's proxies say of what they do not know.
            if name.is_empty() || value == "unknown" {
                ""
            } else {
                value
            }
        };
        let is_grpc = match facts.grpc {
            Grpc::InCode { protocol } => label(protocol).starts_with("grpc"),
            Grpc::Label { .. } | Grpc::Unknown => false,
        };
        let text = label(facts.code);
        if let Some(status) = text.parse::<u8>().ok().filter(|s| is_grpc && *s <= LAST_GRPC) {
            return Some(self.grpc.contains(&status));
        }
        let handed_over = facts
            .handed_over
            .is_some_and(|(name, value)| label(name) == value);
        let unanswered = facts.unanswered.is_some_and(|(name, value)| label(name) == value);
        let code = match Code::read(text) {
            None if text.is_empty() && unanswered => Code::NoResponse,
            // A connection that was handed over was answered, whatever was not written down.
            Some(Code::NoResponse) if handed_over => return Some(false),
            other => other?,
        };
        if matches!(code, Code::Said([b'1', ..])) {
            return Some(false);
        }
        let flags = || label(facts.flags).split(',').map(str::trim);
        if flags().any(|flag| self.flags.contains(flag)) {
            return Some(true);
        }
        if code == Code::NoResponse && flags().any(|flag| flag == CLIENT_LEFT) {
            return Some(false);
        }
        match self.matches(code) {
            Some(false) => {}
            told => return told,
        }
        let Grpc::Label { status, protocol } = facts.grpc else {
            return Some(false);
        };
        let is_http = !protocol.is_empty() && label(protocol) != "grpc";
        match label(status) {
            "" => Some(false),
            _ if is_http => Some(false),
            said => said.parse().ok().map(|status: u8| self.grpc.contains(&status)),
        }
    }

    /// Whether the codes cover it; `None` when it is a class of which some codes are covered and others not.
    fn matches(&self, code: Code) -> Option<bool> {
        let mut unclear = false;
        for pattern in &self.codes {
            match pattern.covers(code) {
                Some(true) => return Some(true),
                Some(false) => {}
                None => unclear = true,
            }
        }
        (!unclear).then_some(false)
    }
}

/// As it is written in a resource: `codes 5xx, 0; gRPC 2, 4; flags NR`.
impl fmt::Display for ErrorRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes: Vec<String> = self.codes.iter().map(ToString::to_string).collect();
        let grpc: Vec<String> = self.grpc.iter().map(ToString::to_string).collect();
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        write!(
            f,
            "codes {}; gRPC {}; flags {}",
            codes.join(", "),
            grpc.join(", "),
            flags.join(", ")
        )
    }
}

fn each<T, U>(
    field: &'static str,
    entries: &[T],
    read: impl Fn(&T) -> Result<U, String>,
) -> Result<Vec<U>, RuleError> {
    entries
        .iter()
        .enumerate()
        .map(|(index, entry)| {
            read(entry).map_err(|message| RuleError {
                field,
                index,
                message,
            })
        })
        .collect()
}

fn grpc_status(status: i64) -> Result<u8, String> {
    u8::try_from(status)
        .ok()
        .filter(|status| *status <= LAST_GRPC)
        .ok_or_else(|| format!("{status} is no gRPC status: write a number from 0 to {LAST_GRPC}"))
}

fn flag(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.is_empty() || text.len() > 32 || !text.chars().all(legal) {
        return Err(format!(
            "{text:?} is no response flag: write Envoy's short name, like UH"
        ));
    }
    Ok(text.to_owned())
}

/// A response code as an exporter says it: three characters, each a digit or an `x` for any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    /// There was no response.
    NoResponse,
    /// Like `503`, or `5xx` where only classes are reported.
    Said([u8; 3]),
}

impl Code {
    fn read(text: &str) -> Option<Self> {
        if matches!(text, "0" | "000" | "-") {
            return Some(Self::NoResponse);
        }
        three(text).map(Self::Said)
    }
}

fn three(text: &str) -> Option<[u8; 3]> {
    let code: [u8; 3] = text.as_bytes().try_into().ok()?;
    let [first, rest @ ..] = &code;
    let digit = |b: &u8| b.is_ascii_digit() || *b == b'x';
    ((b'1'..=b'9').contains(first) && rest.iter().all(digit)).then_some(code)
}

/// Response codes that are errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum CodePattern {
    NoResponse,
    Like([u8; 3]),
}

impl CodePattern {
    const CLASS_5: Self = Self::Like(*b"5xx");

    fn read(text: &str) -> Result<Self, String> {
        if text == "0" {
            return Ok(Self::NoResponse);
        }
        match three(text) {
            Some([b'1', ..]) => Err(format!(
                "{text:?}: an answered handshake is never an error; leave it out"
            )),
            Some(code) => Ok(Self::Like(code)),
            None => Err(format!(
                "{text:?} is no response code: write one like 502, a class like 5xx, or 0 for no response"
            )),
        }
    }

    fn covers(self, code: Code) -> Option<bool> {
        let (Self::Like(pattern), Code::Said(code)) = (self, code) else {
            return Some(self == Self::NoResponse && code == Code::NoResponse);
        };
        let mut pairs = pattern.iter().zip(&code);
        if pairs.clone().any(|(p, c)| *p != b'x' && *c != b'x' && p != c) {
            return Some(false);
        }
        pairs.all(|(p, c)| *p == b'x' || p == c).then_some(true)
    }
}

impl fmt::Display for CodePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResponse => f.write_str("0"),
            Self::Like(code) => code.iter().try_for_each(|b| write!(f, "{}", char::from(*b))),
        }
    }
}

#[cfg(test)]
mod tests;
