//! Whether what nginx guards is guarded at the gateway: asked without credentials.

use crate::probe::Probe;
use crate::probe::ask::{Outcome, Question};
use crate::probe::code::{self, Code};
use crate::probe::hit::Hit;
use crate::probe::routes::both;
use crate::probe::target::Target;

const SUITE: &str = "guards";

/// How often the gateway is asked for a path, each time over a new connection: one of several pods that lacks the guard
/// answers some of them only.
const TURNS: usize = 6;

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

/// Asks the gateway again where its first answer is well: the first that is not, and what is to be said of it.
async fn worst(
    probe: &Probe,
    question: &Question,
    nginx: &Outcome,
    first: Outcome,
) -> (Option<Code>, Outcome) {
    let mut theirs = first;
    for _ in 1..TURNS {
        if judged(question, nginx, &theirs).is_some() {
            break;
        }
        let (_, mut istio) = probe.pair(false);
        probe.pace.turn().await;
        theirs = istio.ask(question).await;
    }
    (judged(question, nginx, &theirs), theirs)
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
            let (found, theirs) = worst(probe, &question, &ours, theirs).await;
            for code in found.into_iter().chain(unasked) {
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
