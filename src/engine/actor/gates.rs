//! What gates say that are asked outside: other rollouts, addresses; the freeze of all; and the rollout's turn.

use super::{Actor, Done};
use crate::engine::turns::Told;
use crate::probe::GateQuestion;
use crate::rollout::gate_spec::{Gate, RolloutGate};
use crate::rollout::observation::{Frozen, GateAnswer, Question, Turn};
use crate::rollout::plan::PlannedGate;
use crate::rollout::rings::Standing;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// The pause before an address is asked again at once; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// What addresses said, of those that are asked now.
#[derive(Debug, Default)]
pub(super) struct Answers(BTreeMap<String, Asked>);

#[derive(Debug, Default)]
struct Asked {
    answer: Option<GateAnswer>,
    /// When it is asked again; `None` while a question is under way.
    again: Option<Timestamp>,
}

impl Answers {
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.0.values().filter_map(|asked| asked.again).min()
    }

    /// A question was lost with its task: it is put again.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Actor {
    /// What gates say now.
    pub(super) fn answers(&self) -> BTreeMap<String, GateAnswer> {
        let said = self.gate_answers.0.iter();
        let mut all: BTreeMap<String, GateAnswer> = said
            .filter_map(|(key, asked)| Some((key.clone(), asked.answer.clone()?)))
            .collect();
        let Ok(sound) = &self.sound else { return all };
        for gate in sound.plan.phases.iter().flat_map(|phase| &phase.gates) {
            if let Gate::Rollout(other) = &gate.gate {
                let mut answer = self.other_rollout(other);
                if !answer.open
                    && let Some(ring) = self.ring(&gate.key)
                {
                    answer.says = format!("{}; {ring}", answer.says);
                }
                all.insert(gate.key.clone(), answer);
            }
        }
        all
    }

    /// The circle of rollouts that keeps a gate of this one shut for ever, if there is one.
    fn ring(&self, gate: &str) -> Option<String> {
        let own = (self.raw.namespace.clone(), self.raw.name.clone());
        let (view, others) = (&self.shared.view, &self.shared.others);
        self.shared.courses.ring(&own, gate, |key| {
            if *key == own {
                return Some(Standing::of(&self.status));
            }
            view.of_rollout(&key.0, &key.1, Standing::of)
                .or_else(|| others.of_rollout(&key.0, &key.1, Standing::of))
        })
    }

    /// How far another rollout is.
    fn other_rollout(&self, gate: &RolloutGate) -> GateAnswer {
        let namespace = gate.namespace.as_ref().unwrap_or(&self.raw.namespace);
        let shut = |says: String| GateAnswer { open: false, says };
        let allowed = &self.shared.settings.allowed_namespaces;
        if *namespace != self.raw.namespace && !allowed.contains(namespace) {
            return shut(format!(
                "the operator does not allow to look into {namespace}: add it to watch.foreign_namespaces in the daemon's settings"
            ));
        }
        let (view, others) = (&self.shared.view, &self.shared.others);
        let answer = view
            .of_rollout(namespace, &gate.name, |status| gate.answer(status))
            // Another daemon works it.
            .or_else(|| others.of_rollout(namespace, &gate.name, |status| gate.answer(status)));
        answer.unwrap_or_else(|| {
            shut(format!(
                "no rollout {namespace}/{} is known to this daemon",
                gate.name
            ))
        })
    }

    /// Asks the addresses that stand in the way of a raise, and forgets those that do not any more.
    pub(super) fn ask_gates(&mut self, questions: &[Question], now: Timestamp) {
        self.gate_answers
            .0
            .retain(|key, _| questions.iter().any(|q| q.key == *key));
        for question in questions {
            let asked = self
                .gate_answers
                .0
                .entry(question.key.clone())
                .or_insert_with(|| Asked {
                    answer: None,
                    again: Some(now),
                });
            if asked.again.is_none_or(|at| at > now) {
                continue;
            }
            asked.again = None;
            let Ok(sound) = &self.sound else { return };
            let mut gates = sound.plan.phases.iter().flat_map(|phase| &phase.gates);
            let Some(gate) = gates.find(|gate| gate.key == question.gate).cloned() else {
                continue;
            };
            let put = GateQuestion {
                namespace: self.raw.namespace.clone(),
                rollout: self.raw.name.clone(),
                component: question.component.clone(),
                phase: gate.phase.clone(),
                weight: question.weight,
            };
            self.put_question(question.key.clone(), gate, put);
        }
    }

    fn put_question(&mut self, key: String, gate: PlannedGate, put: GateQuestion) {
        let hooks = self.shared.settings.hooks.clone();
        self.tasks.spawn(async move {
            let shut = |says: String| GateAnswer { open: false, says };
            let answer = match (gate.http(), hooks) {
                (Some(http), Some(hooks)) => {
                    let mut pause = FIRST_PAUSE;
                    let mut left = http.retries();
                    loop {
                        match hooks.ask_gate(http, &put).await {
                            // Another answer than yes is an answer: it is asked anew later, not at once.
                            Ok(answer) => break answer,
                            Err(failure) if left == 0 || failure.is_refused() => {
                                break shut(failure.to_string());
                            }
                            Err(_) => {
                                left -= 1;
                                tokio::time::sleep(pause).await;
                                pause *= 2;
                            }
                        }
                    }
                }
                _ => shut(
                    "this daemon asks no addresses: name hosts under hooks.allow in its settings".to_owned(),
                ),
            };
            let every = gate.http().map_or(
                Duration::from_secs(30),
                crate::rollout::gate_spec::HttpGate::every,
            );
            Done::GateAsked { key, answer, every }
        });
    }

    /// Takes what an address said, if it is still asked.
    pub(super) fn gate_said(&mut self, key: &str, answer: GateAnswer, every: Duration) {
        let now = self.shared.clock.now();
        if let Some(asked) = self.gate_answers.0.get_mut(key) {
            asked.answer = Some(answer);
            asked.again = Some(now + every);
        }
    }

    /// Whether everything is frozen, by the settings or by the cluster's switch.
    pub(super) fn frozen(&self, now: Timestamp) -> Option<Frozen> {
        if let Some(own) = self
            .shared
            .settings
            .freeze
            .as_ref()
            .filter(|own| !own.is_over(now))
        {
            return Some(Frozen {
                until: own.until,
                says: format!("{} (the daemon's settings)", own.words()),
            });
        }
        let known = self.shared.freeze.borrow();
        let trouble = known.trouble.as_ref();
        if let (false, Some(why)) = (known.read, trouble) {
            return Some(Frozen {
                until: None,
                says: format!("frozen until it is known whether it is: {why}"),
            });
        }
        let switch = known.switch.as_ref().filter(|switch| !switch.is_over(now))?;
        let doubt = trouble
            .map(|why| format!(", as last known: {why}"))
            .unwrap_or_default();
        Some(Frozen {
            until: switch.until,
            says: format!(
                "{} (the cluster's switch, {}{doubt})",
                switch.words(),
                known.place
            ),
        })
    }

    /// Whether another's turn may be this one's business.
    pub(super) fn waits_for_turn(&self) -> bool {
        self.status.waits_for_turn_since.is_some()
    }

    /// Whether it may be among the rollouts that run at once.
    pub(super) fn turn(&self) -> Turn {
        let group = self
            .sound
            .as_ref()
            .ok()
            .and_then(|sound| sound.plan.group.as_ref());
        let now = self.shared.clock.now();
        self.shared.turns.ask(&self.raw.uid, group, now)
    }

    /// Tells the others where this rollout stands.
    pub(super) fn tell_turn(&self, wants: bool, now: Timestamp) {
        let group = self
            .sound
            .as_ref()
            .ok()
            .and_then(|sound| sound.plan.group.clone());
        let told = Told {
            namespace: self.raw.namespace.clone(),
            name: self.raw.name.clone(),
            group,
            created: self.raw.created.clone(),
            runs: self.status.runs(),
            wants_since: wants.then(|| self.status.waits_for_turn_since.unwrap_or(now)),
            elsewhere: false,
        };
        self.shared.turns.tell(&self.raw.uid, told, now);
    }

    /// It would not begin whatever gates say: nobody is asked, and a turn that was given goes to another.
    pub(super) fn begin_nothing(&mut self, now: Timestamp) {
        self.gate_answers.forget();
        self.tell_turn(false, now);
    }

    /// Whether nobody knows yet if everything is frozen: in the first moments of a daemon. Nothing is raised then, and
    /// nothing is said, for it is over before anybody reads it.
    pub(super) fn freeze_is_being_read(&self) -> bool {
        let known = self.shared.freeze.borrow();
        !known.read && known.trouble.is_none()
    }

    /// What was decided about gates.
    pub(super) fn act_on_gates(&mut self, questions: &[Question], wants_turn: bool, now: Timestamp) {
        self.ask_gates(questions, now);
        self.tell_turn(wants_turn, now);
    }
}
