//! What people are told: transitions of components, each once.
//!
//! What is told is read off two statuses, the one before and the one decided now, and not off notes: a restart that
//! changes nothing tells nothing. A daemon that dies between deciding and persisting tells it twice, under another key
//! only if it decides it anew.

use super::Actor;
use crate::notify::{Figure, Message, Topic};
use crate::rollout::observation::Note;
use crate::rollout::reason::{Reason, State, Verdict};
use crate::rollout::status::{ComponentStatus, GradualRolloutStatus};
use crate::rollout::weight::Weight;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// An alarm that comes and goes is not told again within this.
const SAME_WITHIN: Duration = Duration::from_secs(10 * 60);

/// What was known of each component when people were told last.
#[derive(Debug, Default)]
pub(super) struct Told {
    known: BTreeMap<String, Known>,
    /// Alarms, and gates by their phase, and when they were told.
    alarms: HashMap<(String, Reason), Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    state: State,
    reason: Reason,
    asked: Weight,
    written: Weight,
    blind: bool,
}

impl Known {
    fn of(c: &ComponentStatus) -> Self {
        Self {
            state: c.state,
            reason: c.reason,
            asked: c.weight.asked,
            written: c.weight.written,
            blind: c.blind_told,
        }
    }
}

impl Told {
    /// What an earlier daemon persisted, it also told.
    pub(super) fn by(status: &GradualRolloutStatus) -> Self {
        let known = status.components.iter().map(|c| (c.name.clone(), Known::of(c)));
        Self {
            known: known.collect(),
            alarms: HashMap::new(),
        }
    }

    /// What happened since, for these people.
    fn news(&mut self, status: &GradualRolloutStatus, now: Timestamp) -> Vec<News> {
        self.alarms
            .retain(|_, told| now.duration_since(*told).unsigned_abs() < SAME_WITHIN);
        let mut news = Vec::new();
        for c in &status.components {
            let fresh = Known::of(c);
            let before = self.known.insert(c.name.clone(), fresh);
            let before = before.unwrap_or(Known {
                state: State::Walking,
                reason: Reason::Starting,
                blind: false,
                ..fresh
            });
            let Some(one) = transition(c, before) else {
                continue;
            };
            // One gate is one message, however many components wait before it.
            let whose = match one.topic {
                Topic::Approval => c.message.clone(),
                Topic::Hold | Topic::Rollback | Topic::Completed | Topic::Emergency => c.name.clone(),
            };
            let repeats = matches!(one.topic, Topic::Hold | Topic::Approval);
            if repeats && self.alarms.contains_key(&(whose.clone(), one.reason)) {
                continue;
            }
            if repeats {
                self.alarms.insert((whose, one.reason), now);
            }
            news.push(one);
        }
        self.known.retain(|name, _| status.component(name).is_some());
        news
    }
}

struct News {
    topic: Topic,
    component: String,
    from: Option<Weight>,
    to: Weight,
    reason: Reason,
    text: String,
    /// What makes it another one than the last of its kind.
    id: String,
    figures: Vec<Figure>,
}

/// What a component's step from one status to the next means to people, if anything.
fn transition(c: &ComponentStatus, before: Known) -> Option<News> {
    let since = c.since.map(|at| at.to_string()).unwrap_or_default();
    let news = |topic, reason, id: String| News {
        topic,
        component: c.name.clone(),
        from: None,
        to: c.weight.written,
        reason,
        text: c.message.clone(),
        id,
        figures: Vec::new(),
    };
    let back = c.state == State::RolledBack && c.weight.asked < before.asked;
    if back || c.state == State::RolledBack && before.state != State::RolledBack {
        let order = c.lowering.as_ref();
        let reason = order.map_or(c.reason, |order| order.reason);
        // By its mark it is the same for whoever decides it, and however often.
        let moved = c.weight.written < before.written;
        let mark = order.map(|order| &order.id).or(c.mark.as_ref().filter(|_| moved));
        let id = mark.map_or_else(|| format!("{reason}-{since}"), Clone::clone);
        return Some(News {
            from: Some(before.written),
            to: c.weight.asked,
            figures: figures(c),
            ..news(Topic::Rollback, reason, id)
        });
    }
    if c.state == State::Completed && before.state != State::Completed {
        let id = format!("completed-{since}");
        return Some(news(Topic::Completed, c.reason, id));
    }
    if c.blind_told && !before.blind {
        return Some(news(Topic::Hold, Reason::Blind, format!("blind-{since}")));
    }
    let topic = if c.reason == Reason::AwaitingApproval {
        Topic::Approval
    } else if matches!(c.reason, Reason::SharedOutage | Reason::GitOpsFight) {
        Topic::Hold
    } else {
        return None;
    };
    (c.reason != before.reason).then(|| news(topic, c.reason, format!("{}-{since}", c.reason)))
}

/// The checks that a rollback rests on.
fn figures(c: &ComponentStatus) -> Vec<Figure> {
    let breached = c.checks.iter().filter(|check| check.verdict == Verdict::Breach);
    breached
        .map(|check| Figure {
            check: check.name.clone(),
            value: check.value.clone(),
            control: check.control.clone(),
            limit: check.message.clone(),
        })
        .collect()
}

/// What is said of an alarm for darkness: a component may say something else meanwhile, such as who set its weight.
fn said(component: &str, reason: Reason, notes: &[Note]) -> Option<String> {
    let mut notes = notes.iter().rev().filter(|note| note.reason == reason);
    let note = notes.find(|note| note.component.as_deref() == Some(component));
    note.filter(|_| reason == Reason::Blind)
        .map(|note| note.message.clone())
}

impl Actor {
    /// Puts what people should know into the outbox. Never waits.
    pub(super) fn tell_people(&mut self, notes: &[Note], now: Timestamp) {
        let Some(outbox) = &self.shared.settings.outbox else {
            return;
        };
        for news in self.told.news(&self.status, now) {
            let component = (news.topic != Topic::Approval).then(|| news.component.clone());
            let whose = component.as_deref().unwrap_or("*");
            let repeated = matches!(news.topic, Topic::Hold | Topic::Approval);
            let id = if repeated {
                format!("{}-{now}", news.id)
            } else {
                news.id
            };
            outbox.send(&Message {
                key: format!("{}/{}/{whose}/{id}", self.raw.namespace, self.raw.name),
                topic: news.topic,
                severity: news.topic.severity(),
                namespace: self.raw.namespace.clone(),
                rollout: self.raw.name.clone(),
                component,
                from: news.from,
                to: Some(news.to),
                reason: news.reason,
                text: said(&news.component, news.reason, notes).unwrap_or(news.text),
                figures: news.figures,
                who: None,
                at: now,
                link: None,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::status::{CheckStatus, Lowering, Weights};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_772_000_000 + 60 * minutes).unwrap()
    }

    fn shop(state: State, reason: Reason, percent: u16) -> ComponentStatus {
        let weight = Weight::from_percent(percent).unwrap();
        ComponentStatus {
            name: "shop".into(),
            state,
            reason,
            message: format!("{reason}"),
            weight: Weights {
                asked: weight,
                written: weight,
                observed: None,
            },
            ..ComponentStatus::default()
        }
    }

    fn with(components: Vec<ComponentStatus>) -> GradualRolloutStatus {
        GradualRolloutStatus {
            components,
            ..GradualRolloutStatus::default()
        }
    }

    fn back() -> ComponentStatus {
        let mut c = shop(State::RolledBack, Reason::Breach, 25);
        c.weight.asked = Weight::ZERO;
        c.lowering = Some(Lowering {
            id: "01A".into(),
            weight: Weight::ZERO,
            reason: Reason::Breach,
            at: at(0),
            emergency: false,
        });
        c.checks = vec![CheckStatus {
            name: "errors".into(),
            verdict: Verdict::Breach,
            value: Some("4%".into()),
            ..CheckStatus::default()
        }];
        c
    }

    #[test]
    fn a_rollback_is_told_when_it_is_decided_once_with_its_figures_and_not_again_after_a_restart() {
        let mut told = Told::by(&with(vec![shop(State::Walking, Reason::HoldingStep, 25)]));
        let news = told.news(&with(vec![back()]), at(0));
        assert_eq!(news.len(), 1);
        assert_eq!((news[0].topic, news[0].id.as_str()), (Topic::Rollback, "01A"));
        assert_eq!(
            (news[0].from, news[0].to),
            (Weight::from_percent(25), Weight::ZERO)
        );
        assert_eq!(news[0].figures[0].value.as_deref(), Some("4%"));
        let mut done = back();
        (done.lowering, done.weight.written) = (None, Weight::ZERO);
        assert!(told.news(&with(vec![done.clone()]), at(1)).is_empty());
        let mut restarted = Told::by(&with(vec![done.clone()]));
        assert!(restarted.news(&with(vec![done]), at(2)).is_empty());
    }

    #[test]
    fn an_alarm_that_comes_and_goes_is_told_once_in_ten_minutes() {
        let calm = || with(vec![shop(State::Walking, Reason::HoldingStep, 25)]);
        let ill = || with(vec![shop(State::Walking, Reason::SharedOutage, 25)]);
        let mut told = Told::by(&calm());
        assert_eq!(told.news(&ill(), at(0)).len(), 1);
        assert!(told.news(&calm(), at(1)).is_empty());
        assert!(told.news(&ill(), at(2)).is_empty());
        assert!(told.news(&calm(), at(3)).is_empty());
        assert_eq!(told.news(&ill(), at(20)).len(), 1);
        let mut dark = shop(State::Walking, Reason::Blind, 25);
        assert!(
            told.news(&with(vec![dark.clone()]), at(21)).is_empty(),
            "a short darkness is no alarm"
        );
        dark.blind_told = true;
        assert_eq!(told.news(&with(vec![dark]), at(31))[0].reason, Reason::Blind);
    }

    #[test]
    fn an_alarm_for_darkness_says_what_is_not_seen_whatever_the_component_says() {
        let note = |component: &str, reason, message: &str| Note {
            component: Some(component.to_owned()),
            reason,
            message: message.to_owned(),
            warning: true,
        };
        let notes = [
            note("shop", Reason::Manual, "30% was set by hand"),
            note("shop", Reason::Blind, "nothing was seen for more than 10m"),
            note("cart", Reason::Blind, "another"),
        ];
        let says = said("shop", Reason::Blind, &notes);
        assert_eq!(says.as_deref(), Some("nothing was seen for more than 10m"));
        assert_eq!(said("shop", Reason::Manual, &notes), None, "that is its message");
        assert_eq!(said("till", Reason::Blind, &notes), None);
    }

    #[test]
    fn a_rollback_that_was_found_by_its_mark_has_the_key_of_whoever_decides_it() {
        let mut found = shop(State::RolledBack, Reason::Emergency, 0);
        found.mark = Some("01E".into());
        let mut told = Told::by(&with(vec![shop(State::Walking, Reason::HoldingStep, 25)]));
        assert_eq!(told.news(&with(vec![found]), at(0))[0].id, "01E");
    }

    #[test]
    fn a_gate_is_told_once_however_many_wait_before_it_and_an_end_is_told() {
        let mut cart = shop(State::Walking, Reason::AwaitingApproval, 75);
        cart.name = "cart".into();
        let waiting = with(vec![cart, shop(State::Walking, Reason::AwaitingApproval, 75)]);
        let news = Told::default().news(&waiting, at(0));
        assert_eq!(
            news.iter().map(|n| n.topic).collect::<Vec<_>>(),
            [Topic::Approval]
        );
        let mut told = Told::by(&waiting);
        let done = with(vec![shop(State::Completed, Reason::Completed, 100)]);
        assert_eq!(told.news(&done, at(1))[0].topic, Topic::Completed);
    }
}
