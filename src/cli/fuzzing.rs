//! Files of strangers' against what reads resources out of them.

use super::manifest::{self, Manifest};
use super::{plan, validate};
use crate::rollout::decide::decide;
use crate::rollout::fuzzing::is_harmless;
use crate::rollout::observation::{Observation, Routed, Routers, Seen};
use crate::rollout::plan::Plan;
use crate::rollout::spec::GradualRollout;
use jiff::Timestamp;

/// Everything that is made of a file: what `validate` tells, what `plan` shows, and what is decided by the resource and
/// the status in it.
pub(crate) fn resource(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let told = validate::told("file.yaml", text);
    for line in told.lines() {
        assert!(is_harmless(line), "{line:?}");
    }
    for read in manifest::read("file.yaml", text) {
        match read {
            Manifest::Rollout(rollout, plan) => use_it(&rollout, *plan),
            Manifest::Broken(problems) => assert!(!problems.is_empty()),
            Manifest::Other(_) => {}
        }
    }
}

fn use_it(rollout: &GradualRollout, mut plan: Plan) {
    let written = serde_json::to_string(rollout).unwrap_or_default();
    let again: Result<GradualRollout, _> = serde_json::from_str(&written);
    let again = again.map(|again| Plan::parse(&again.spec));
    assert!(
        matches!(&again, Ok(Ok(again)) if *again == plan),
        "what is valid reads back as the same plan: {written}"
    );
    let now = Timestamp::from_second(1_772_420_400).unwrap_or_default();
    let lines = plan::schedule(&plan, now);
    assert!(lines.iter().all(|line| line.earliest >= now));
    let status = rollout.status.clone().unwrap_or_default();
    plan.take_in(&status, |_| false);
    let blind = decide(&plan, status.clone(), &Observation::default(), now);
    assert!(
        blind.raises.is_empty(),
        "what was not read does not rise: {written}"
    );
    let read = |name: &str| {
        let routed = Routed {
            object: format!("virtualservice apps/{name}"),
            settled: true,
            ..Routed::default()
        };
        let seen = Seen {
            routers: Routers::Read(vec![routed]),
            ..Seen::default()
        };
        (name.to_owned(), seen)
    };
    let seen = Observation {
        generation: 1,
        components: plan.cared_for().map(|c| read(c.name())).collect(),
        ..Observation::default()
    };
    let first = decide(&plan, status, &seen, now);
    let second = decide(&plan, first.next.clone(), &seen, now);
    assert!(
        second.raises.len() <= plan.components.len() && second.lowers.len() <= plan.cared_for().count(),
        "one wish for each component"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_that_are_meant_to_be_valid_are_or_they_would_lead_nowhere() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/resource");
        let mut wrong = Vec::new();
        for seed in [
            "shop", "checks", "phases", "gateway", "switch", "nginx", "hook", "standing",
        ] {
            let text = std::fs::read_to_string(folder.join(format!("{seed}.yaml"))).unwrap();
            let told = validate::told(seed, &text);
            if !told.contains("shop is valid") {
                wrong.push(told);
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.concat());
    }
}
