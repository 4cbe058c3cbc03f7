//! Whether what nginx guards is guarded at the gateway: asked without credentials.

use crate::probe::Probe;
use crate::probe::ask::{Outcome, Question};
use crate::probe::code;
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

/// Asks for each host with a guard.
pub(super) async fn run(probe: &Probe, targets: &[Target]) -> (usize, Vec<Hit>) {
    let (mut count, mut hits) = (0, Vec::new());
    let guarded = |target: &&Target| GUARDS.iter().any(|guard| target.says(guard).is_some());
    for target in targets.iter().filter(guarded) {
        count += 1;
        let (mut nginx, mut istio) = probe.pair(false);
        let question = Question::get(target.scheme(), &target.host, &target.path);
        let (ours, theirs) = both(probe, &mut nginx, &mut istio, &question).await;
        let kept_out = match &ours {
            Outcome::Answered(answer) => answer.status >= 300,
            Outcome::Refused(_) | Outcome::Late | Outcome::Unaskable => false,
        };
        let let_in = matches!(&theirs, Outcome::Answered(answer) if answer.status < 300);
        if kept_out && let_in {
            hits.push(Hit::new(
                SUITE,
                code::OPEN,
                &target.host,
                question.line(),
                ours.words(&question),
                theirs.words(&question),
            ));
        }
    }
    (count, hits)
}
