//! Whether browsers are let in alike: preflights and answers for an origin that is allowed, and for one that is not.

use super::guards::{by_address_alone, guarded};
use crate::probe::Probe;
use crate::probe::ask::{Answer, Outcome, Question};
use crate::probe::code;
use crate::probe::hit::Hit;
use crate::probe::routes::both;
use crate::probe::target::Target;
use http::Method;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use std::collections::BTreeSet;

const SUITE: &str = "cors";
pub(super) const FOREIGN: &str = "https://foreign.invalid";

/// Asks for each host with CORS.
pub(super) async fn run(probe: &Probe, targets: &[Target]) -> (usize, Vec<Hit>) {
    let (mut count, mut hits) = (0, Vec::new());
    for target in targets.iter().filter(|target| target.is_on("enable-cors")) {
        let allowed = allowed(target.says("cors-allow-origin").unwrap_or("*"));
        let (mut nginx, mut istio) = probe.pair(false);
        for (origin, method) in [
            (allowed.as_str(), Method::OPTIONS),
            (FOREIGN, Method::OPTIONS),
            (&allowed, Method::GET),
        ] {
            count += 1;
            let mut question =
                Question::get(target.scheme(), &target.host, &target.path).with(ORIGIN, origin);
            if method == Method::OPTIONS {
                question = question.with(ACCESS_CONTROL_REQUEST_METHOD, "GET");
            }
            question.method = method;
            let (ours, theirs) = both(probe, &mut nginx, &mut istio, &question).await;
            let (here, there) = (
                Told::of(&question, origin, &ours),
                Told::of(&question, origin, &theirs),
            );
            let guarded = guarded(target, &target.path) && by_address_alone(target);
            if here.used != there.used {
                let asked = format!("{} from {origin}", question.line());
                let code = if guarded && kept_out(&theirs) {
                    code::PREFLIGHT
                } else {
                    code::CORS
                };
                hits.push(Hit::new(
                    SUITE,
                    code,
                    &target.host,
                    asked,
                    here.words,
                    there.words,
                ));
            }
        }
    }
    (count, hits)
}

/// Whether the gateway's guard answers: what browsers get where it lets them in was not asked.
pub(super) fn kept_out(istio: &Outcome) -> bool {
    matches!(istio, Outcome::Answered(theirs) if theirs.status == 403)
}

/// An origin that a list of them allows.
pub(super) fn allowed(list: &str) -> String {
    let first = list
        .split(',')
        .map(str::trim)
        .find(|origin| !origin.is_empty())
        .unwrap_or("*");
    match first {
        "*" => "https://probe.example".to_owned(),
        origin => origin.replacen('*', "probe", 1),
    }
}

/// What an answer tells a browser.
pub(super) struct Told {
    /// What a browser makes of it.
    pub used: String,
    /// What stands there.
    words: String,
}

impl Told {
    /// Whether a preflight is answered with 200 or 204 is nothing to a browser, and to an origin that is not named nothing
    /// else matters. `*` stands for whichever origin asks, as the origin itself does, but with it a browser sends no
    /// credentials and shows no answer to a request that had some, whatever is said of them.
    pub(super) fn of(question: &Question, asking: &str, outcome: &Outcome) -> Self {
        let alone = |text: String| Self {
            used: text.clone(),
            words: text,
        };
        let Outcome::Answered(answer) = outcome else {
            return alone(outcome.words(question));
        };
        let Some(origin) = answer.header("access-control-allow-origin") else {
            return alone("the origin is not allowed".to_owned());
        };
        let said = answer
            .header("access-control-allow-credentials")
            .unwrap_or("false");
        let (named, credentials) = match origin {
            "*" => (asking, "false"),
            named => (named, said),
        };
        let rest = Self::rest(question, answer);
        Self {
            used: format!("origin {named}, credentials {credentials}{rest}"),
            words: format!("origin {origin}, credentials {said}{rest}"),
        }
    }

    fn rest(question: &Question, answer: &Answer) -> String {
        if question.method != Method::OPTIONS {
            return format!(", exposed {}", set(answer, "access-control-expose-headers"));
        }
        let passed = (200..300).contains(&answer.status);
        format!(
            ", {}, methods {}, headers {}, max-age {}",
            if passed { "passed" } else { "not passed" },
            set(answer, "access-control-allow-methods"),
            set(answer, "access-control-allow-headers"),
            answer.header("access-control-max-age").unwrap_or("none")
        )
    }
}

fn set(answer: &Answer, name: &str) -> String {
    let words = answer.header(name).unwrap_or_default().split(',');
    let words: BTreeSet<String> = words
        .map(|word| word.trim().to_ascii_lowercase())
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() {
        return "none".to_owned();
    }
    words.into_iter().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn an_allowed_origin_is_made_up_from_the_list() {
        assert_eq!(allowed("*"), "https://probe.example");
        assert_eq!(allowed(" https://*.a.com, https://b.com"), "https://probe.a.com");
    }
}
