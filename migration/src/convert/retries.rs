//! What is tried once more, and how often: said for every route, as Istio has other customs than nginx where nothing is said.

use super::annotations::Annotations;
use super::settings::Settings;
use crate::istio::Retries;
use crate::report::Code;

/// What a Service's end did not see, whatever the method: the connection failed, the endpoint refused the stream, or it
/// broke before a request was sent on it. nginx also repeats what broke later unless the method is POST, LOCK or PATCH; Envoy's
/// condition for that (`reset`) knows no methods.
const UNSEEN: &str = "connect-failure,refused-stream,reset-before-request";

/// What nginx repeats without being told.
const CONDITIONS: &str = "error timeout";

/// How often nginx tries without being told.
const TRIES: u64 = 3;

/// More are of no use to anybody.
const MOST: u32 = 10;

/// What the controller says of it for all Ingresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Usual {
    pub conditions: Option<String>,
    pub tries: Option<u64>,
}

/// Nothing is repeated.
pub(super) const NONE: Retries = Retries {
    attempts: 0,
    retry_on: None,
};

/// What an Ingress says, and whether it says anything.
pub(super) fn read(notes: &Annotations<'_>, settings: &Settings) -> (Retries, bool) {
    let conditions = notes.text("proxy-next-upstream");
    let tries = notes.number("proxy-next-upstream-tries");
    if notes
        .text("proxy-next-upstream-timeout")
        .is_some_and(|text| text != "0")
    {
        notes.note(Code::NoCounterpart, "proxy-next-upstream-timeout");
    }
    let said = conditions.is_some() || tries.is_some();
    let told = conditions.is_some_and(|words| others(words).next().is_some());
    if told {
        notes.note(Code::RetryCondition, "proxy-next-upstream");
    }
    (of(settings, conditions, tries), said)
}

/// Those for what no Ingress says anything about.
pub(super) fn usual(settings: &Settings) -> Retries {
    of(settings, None, None)
}

/// Conditions that are left out.
pub(super) fn others(words: &str) -> impl Iterator<Item = &str> {
    words
        .split_whitespace()
        .filter(|word| !["error", "timeout", "off"].contains(word))
}

fn of(settings: &Settings, conditions: Option<&str>, tries: Option<u64>) -> Retries {
    let usual = &settings.retries;
    let conditions = conditions.or(usual.conditions.as_deref()).unwrap_or(CONDITIONS);
    if conditions.split_whitespace().any(|word| word == "off") {
        return NONE;
    }
    // Without a limit nginx goes once to every endpoint; three is its usual number.
    let tries = match tries.or(usual.tries).unwrap_or(TRIES) {
        0 => TRIES,
        tries => tries,
    };
    let attempts = u32::try_from(tries - 1).unwrap_or(MOST).min(MOST);
    if attempts == 0 {
        return NONE;
    }
    Retries {
        attempts,
        retry_on: Some(UNSEEN.to_owned()),
    }
}
