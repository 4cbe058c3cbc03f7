//! Annotations of strangers' against what reads commands and acts on them.

use super::command::{Command, MAX_BYTES, PREFIX, pending};
use super::decide::{decide, declare};
use super::observation::{Decision, Mark, Observation, Routed, Routers, Seen};
use super::plan::Plan;
use super::sample::{Arm, Counts, Reading, Tick};
use super::status::{COMMANDS_AT_ONCE, GradualRolloutStatus, Intent};
use super::weight::Weight;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Whether a terminal shows it and does nothing else.
pub(crate) fn is_harmless(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// A plan of one component whose name the seeds know.
pub(crate) fn plan() -> Plan {
    let spec = serde_json::json!({
        "allowJump": true,
        "components": [{
            "name": "shop",
            "routers": [{"istio": {
                "virtualServices": [{"name": "shop"}],
                "canary": {"host": "shop", "subset": "v2"}, "control": {"host": "shop", "subset": "v1"}
            }}],
            "arms": {
                "canary": {"preset": "istio", "labels": {"destination_version": "v2"}},
                "control": {"preset": "istio", "labels": {"destination_version": "v1"}}
            }
        }],
        "phases": [
            {"name": "pilot", "steps": [{"weight": "5%", "hold": "10s"}, {"weight": "25%", "hold": "10s"}]},
            {"name": "cutover",
             "requires": [{"approval": {}}, {"checklist": {"items": ["runbook-read"]}}],
             "steps": [{"weight": "50%", "hold": "10s"}, {"weight": "100%", "hold": "10s"}]}
        ],
        "judge": {"interval": "10s", "settle": "10s"}
    });
    match serde_json::from_value(spec).map(|spec| Plan::parse(&spec)) {
        Ok(Ok(plan)) => plan,
        // Or nothing would be tried, and nobody would know.
        other => unreachable!("{other:?}"),
    }
}

/// What commands are parsed from: a JSON object of annotations.
pub(crate) fn commands(bytes: &[u8]) {
    let Ok(annotations) = serde_json::from_slice::<BTreeMap<String, String>>(bytes) else {
        return;
    };
    let (good, bad) = pending(&annotations);
    for command in &good {
        if command.value().len() <= MAX_BYTES {
            let again = Command::parse(&command.key(), &command.value());
            assert_eq!(again, Some(Ok(command.clone())), "what is written reads back");
        }
    }
    for (key, error) in &bad {
        assert!(key.starts_with(PREFIX));
        assert!(error.id.chars().count() <= 63 && error.verb.chars().count() <= 16);
    }
    let plan = plan();
    let mut world = World::new(&plan);
    world.look(&Observation::default());
    let seen = Observation {
        commands: good,
        malformed: bad,
        ..Observation::default()
    };
    let decision = world.look(&seen);
    let keys = seen.commands.iter().map(Command::key);
    let keys: Vec<String> = keys
        .chain(seen.malformed.iter().map(|(key, _)| key.clone()))
        .collect();
    let answered_at_once = keys.iter().filter(|key| decision.done.contains(key)).count();
    assert!(
        answered_at_once >= keys.len().min(COMMANDS_AT_ONCE),
        "{answered_at_once} of {} are answered",
        keys.len()
    );
    for outcome in &decision.next.commands {
        assert!(outcome.message.chars().count() <= 2048 && outcome.id.chars().count() <= 63);
    }
    let answered = decision.next.commands;
    // The annotations are still there at the next look, as they are where taking them away failed.
    let again = world.look(&seen).next.commands;
    assert_eq!(again, answered, "a command is obeyed once");
    for _ in 0..4 {
        world.look(&Observation::default());
    }
}

/// One component whose router obeys at once.
struct World<'p> {
    plan: &'p Plan,
    status: GradualRolloutStatus,
    now: Timestamp,
    looked: Timestamp,
    routed: Routed,
}

impl<'p> World<'p> {
    fn new(plan: &'p Plan) -> Self {
        // The time that the seeds' ids are of.
        let now = Timestamp::from_second(1_772_420_400).unwrap_or_default();
        Self {
            plan,
            status: GradualRolloutStatus::default(),
            now,
            looked: now,
            routed: Routed {
                object: "virtualservice apps/shop".to_owned(),
                finest: Weight::from_permille(1).unwrap_or_default(),
                settled: true,
                ..Routed::default()
            },
        }
    }

    fn look(&mut self, seen: &Observation) -> Decision {
        self.now = self
            .now
            .saturating_add(Duration::from_secs(10))
            .unwrap_or(self.now);
        let arm = |requests| {
            Arm::Seen(Counts {
                requests,
                errors: 0,
                latency: None,
            })
        };
        let share = u64::from(self.routed.lowest.permille());
        let tick = Tick {
            from: self.looked,
            to: self.now,
            canary: arm(share * 10),
            control: arm((1000 - share) * 10),
            usual_rate: None,
        };
        self.looked = self.now;
        let component = Seen {
            routers: Routers::Read(vec![self.routed.clone()]),
            reading: Some(Reading::Fresh(tick)),
            ..Seen::default()
        };
        let seen = Observation {
            generation: 1,
            components: [("shop".to_owned(), component)].into(),
            ..seen.clone()
        };
        let decision = decide(self.plan, self.status.clone(), &seen, self.now);
        self.status = decision.next.clone();
        for lower in &decision.lowers {
            assert!(
                lower.weight <= self.routed.highest,
                "a lowering never raises: {lower:?}"
            );
            self.write(&lower.id, lower.weight, lower.reason);
        }
        for raise in &decision.raises {
            let intent = Intent {
                id: raise.id.clone(),
                weight: raise.weight,
                reason: raise.reason,
                at: self.now,
                objects: Vec::new(),
            };
            declare(&mut self.status, &raise.component, intent);
            self.write(&raise.id, raise.weight, raise.reason);
        }
        let written = serde_json::to_value(&self.status).unwrap_or_default();
        let long = super::bounded::too_long(&written);
        assert!(long.is_empty(), "the API server takes no such status: {long:?}");
        // As the next daemon reads it.
        let text = written.to_string();
        let read = serde_json::from_str::<GradualRolloutStatus>(&text);
        assert!(read.is_ok(), "a status reads back: {read:?}: {text}");
        decision
    }

    fn write(&mut self, id: &str, weight: Weight, reason: super::reason::Reason) {
        (self.routed.lowest, self.routed.highest) = (weight, weight);
        self.routed.stamp = Some(Mark {
            id: id.to_owned(),
            weight,
            reason: Some(reason),
        });
    }
}
