//! In what two answers to one question differ.

use super::ask::{Answer, Body, Outcome, Question};
use super::code::{self, Code};
use std::collections::BTreeSet;

/// Headers of the answer that clients act on. Others carry times, names of proxies and numbers of requests.
const HEADERS: &[&str] = &[
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "allow",
    "cache-control",
    "content-encoding",
    "content-security-policy",
    "content-type",
    "permissions-policy",
    "referrer-policy",
    "strict-transport-security",
    "www-authenticate",
    "x-content-type-options",
    "x-frame-options",
];

/// Lists whose order says nothing.
const SETS: &[&str] = &[
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-expose-headers",
    "allow",
];

/// A difference: its code, and what either side said.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub code: Code,
    pub nginx: String,
    pub istio: String,
    /// The gateway's status; none where it spoke no HTTP.
    pub status: Option<u16>,
    /// nginx's.
    pub ours: Option<u16>,
    /// A header that proxies write, whatever the back end says.
    pub by_proxy: bool,
    /// nginx kept the client out (401, 403), and the gateway did not: whatever a model says, that is nothing to be foreseen.
    pub lost_guard: bool,
}

/// Whether a guard of nginx is not the gateway's.
const fn lost_guard(nginx: u16, istio: u16) -> bool {
    matches!(nginx, 401 | 403) && !matches!(istio, 401 | 403)
}

/// The status that was answered.
const fn status(outcome: &Outcome) -> Option<u16> {
    match outcome {
        Outcome::Answered(answer) => Some(answer.status),
        Outcome::Refused(_) | Outcome::Late | Outcome::Unaskable | Outcome::Unasked => None,
    }
}

/// Compares; the gravest difference comes first, and where one side speaks no HTTP there is only that.
pub(super) fn between(
    question: &Question,
    nginx: &Outcome,
    istio: &Outcome,
    backend: &[String],
    more: &[String],
) -> Vec<Difference> {
    let found = |code: Code| Difference {
        code,
        nginx: nginx.words(question),
        istio: istio.words(question),
        status: status(istio),
        ours: status(nginx),
        by_proxy: false,
        lost_guard: match (nginx, istio) {
            (Outcome::Answered(ours), Outcome::Answered(theirs)) => lost_guard(ours.status, theirs.status),
            _ => false,
        },
    };
    let (ours, theirs) = match (nginx, istio) {
        (Outcome::Answered(ours), Outcome::Answered(theirs)) => (ours, theirs),
        (Outcome::Refused(_), Outcome::Refused(_))
        | (Outcome::Unaskable | Outcome::Unasked, _)
        | (_, Outcome::Unaskable | Outcome::Unasked) => return Vec::new(),
        (Outcome::Late, _) | (_, Outcome::Late) => return vec![found(code::LATE)],
        (Outcome::Refused(_), Outcome::Answered(_)) | (Outcome::Answered(_), Outcome::Refused(_)) => {
            return vec![found(code::REFUSED)];
        }
    };
    let mut all = Vec::new();
    if ours.status != theirs.status {
        all.push(found(code::STATUS));
    } else if ours.location(question) != theirs.location(question) {
        all.push(found(code::LOCATION));
    }
    if ours.body != theirs.body {
        all.push(found(code::CUT_OFF));
    }
    let by_backend = |answer: &Answer| {
        let named = backend.iter().filter_map(|name| answer.header(name));
        named.map(ToOwned::to_owned).next()
    };
    let (here, there) = (by_backend(ours), by_backend(theirs));
    // An answer that names none is a proxy's own, or another back end's; where the sides differ anyway that says it all.
    let comparable = here.is_some() && there.is_some() || all.is_empty();
    if comparable && here != there {
        let guarded = matches!(ours.status, 401 | 403);
        let said = |named: Option<String>| named.unwrap_or_else(|| "no back end named".to_owned());
        all.push(Difference {
            code: code::BACKEND,
            lost_guard: guarded && here.is_none(),
            nginx: said(here),
            istio: said(there),
            status: Some(theirs.status),
            ours: Some(ours.status),
            by_proxy: false,
        });
    }
    // Pages about a failure are the proxies' own.
    if ours.status == theirs.status && ours.status < 400 {
        let names = HEADERS.iter().copied().chain(more.iter().map(String::as_str));
        all.extend(names.filter_map(|name| header(name, ours, theirs)));
    }
    if ours.body == theirs.body && ours.body != Body::Whole {
        all.push(found(code::CUT_OFF_BOTH));
    }
    all
}

fn header(name: &str, nginx: &Answer, istio: &Answer) -> Option<Difference> {
    let of = |answer: &Answer| -> Vec<String> {
        let values = answer.headers.get_all(name).iter();
        let texts = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        if !SETS.contains(&name) {
            return texts.collect();
        }
        let all: Vec<String> = texts.collect();
        let words = all.iter().flat_map(|text| text.split(','));
        let set: BTreeSet<String> = words.map(|word| word.trim().to_ascii_lowercase()).collect();
        set.into_iter().collect()
    };
    let (ours, theirs) = (of(nginx), of(istio));
    let said = |values: &[String]| {
        if values.is_empty() {
            format!("no {name}")
        } else {
            format!("{name}: {}", values.join(", "))
        }
    };
    (ours != theirs).then(|| Difference {
        code: code::HEADER,
        nginx: said(&ours),
        istio: said(&theirs),
        status: Some(istio.status),
        ours: Some(nginx.status),
        by_proxy: name == "strict-transport-security" || name.starts_with("access-control-"),
        lost_guard: false,
    })
}

#[cfg(test)]
mod tests {
    use super::lost_guard;

    #[test]
    fn a_guard_is_lost_where_nginx_keeps_a_client_out_and_the_gateway_does_not() {
        assert!(lost_guard(403, 200) && lost_guard(401, 404) && lost_guard(403, 502));
        assert!(!lost_guard(401, 403) && !lost_guard(200, 403) && !lost_guard(200, 200));
    }
}
