//! Whether what nginx guards is guarded at the gateway: asked without credentials.

use crate::probe::Probe;
use crate::probe::ask::{Outcome, Question};
use crate::probe::code::{self, Code};
use crate::probe::hit::Hit;
use crate::probe::routes::both;
use crate::probe::target::Target;

const SUITE: &str = "guards";

/// Annotations that keep somebody out.
const GUARDS: &[&str] = &[
    "allowlist-source-range",
    "auth-tls-secret",
    "auth-type",
    "auth-url",
    "denylist-source-range",
    "whitelist-source-range",
];

/// What is to be said of the answers. An application behind a lost guard may answer anything, a redirect to its own
/// login or an error: only the guard's own answers show that there is one.
fn judged(question: &Question, nginx: &Outcome, istio: &Outcome) -> Option<Code> {
    let Outcome::Answered(ours) = nginx else {
        return None;
    };
    let theirs = match istio {
        Outcome::Answered(theirs) => theirs,
        Outcome::Refused(_) => return Some(code::REFUSED),
        Outcome::Late => return Some(code::LATE),
        Outcome::Unaskable => return None,
    };
    let alike = ours.status == theirs.status && ours.location(question) == theirs.location(question);
    let kept_out = ours.status >= 300;
    (kept_out && !alike && ![401, 403].contains(&theirs.status)).then_some(code::OPEN)
}

/// Whether an answer of nginx is that of a guard: to whoever is let through the guard may be missing at the gateway and
/// nobody would see it.
fn keeps_out(target: &Target, nginx: &Outcome) -> bool {
    let Outcome::Answered(ours) = nginx else {
        return true;
    };
    let says = |names: &[&str]| names.iter().any(|name| target.says(name).is_some());
    match ours.status {
        401 | 403 => true,
        400 => says(&["auth-tls-secret"]),
        300..400 => says(&["auth-signin", "auth-tls-error-page"]),
        _ => false,
    }
}

/// Asks for each path of each host with a guard: paths are routes of their own, and each may have lost it.
pub(super) async fn run(probe: &Probe, targets: &[Target]) -> (usize, Vec<Hit>) {
    let (mut count, mut hits) = (0, Vec::new());
    let guarded = |target: &&Target| GUARDS.iter().any(|guard| target.says(guard).is_some());
    for target in targets.iter().filter(guarded) {
        for path in &target.paths {
            count += 1;
            let (mut nginx, mut istio) = probe.pair(false);
            let question = Question::get(target.scheme(), &target.host, path);
            let (ours, theirs) = both(probe, &mut nginx, &mut istio, &question).await;
            let unasked = (!keeps_out(target, &ours)).then_some(code::GUARD_UNASKED);
            for code in judged(&question, &ours, &theirs).into_iter().chain(unasked) {
                hits.push(Hit::new(
                    SUITE,
                    code,
                    &target.host,
                    question.line(),
                    ours.words(&question),
                    theirs.words(&question),
                ));
            }
        }
    }
    (count, hits)
}
