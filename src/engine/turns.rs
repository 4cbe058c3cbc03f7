//! How many rollouts run at once: in all, and of each group. Whoever waits longest is next.
//!
//! Counted are the rollouts that this daemon works. A limit keeps a rollout from beginning and does nothing else: one
//! that has begun keeps its turn until the last of its components is at an end, and a lowering never asks.

use crate::rollout::observation::Turn;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How many rollouts may run at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// In all; `None`: as many as there are.
    pub concurrent: Option<usize>,
    /// Of each group.
    pub groups: BTreeMap<String, usize>,
}

/// What one rollout is about to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stand {
    /// Nothing: it is over, or something else keeps it from beginning.
    #[default]
    Idle,
    /// It would begin, and waits since then.
    Waits(Timestamp),
    /// It was given a turn, and has not begun yet.
    Given(Timestamp),
    /// It runs.
    Runs,
}

#[derive(Clone, Debug, Default)]
struct Entry {
    namespace: String,
    name: String,
    group: Option<String>,
    created: String,
    stand: Stand,
}

/// What is told of a rollout.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) group: Option<String>,
    /// Its creation time, in the API server's own text.
    pub(super) created: String,
    pub(super) runs: bool,
    /// It would begin, and waits since then.
    pub(super) wants_since: Option<Timestamp>,
}

/// Everybody's turns. Cheap to clone; clones see the same.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    limits: Arc<Limits>,
    // A std mutex: held for a look or a change, never across an await.
    all: Arc<Mutex<BTreeMap<String, Entry>>>,
    /// Every rollout there is was told of: before that nobody knows how many run.
    complete: Arc<watch::Sender<bool>>,
    changed: Arc<watch::Sender<u64>>,
}

impl Turns {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits: Arc::new(limits),
            all: Arc::default(),
            complete: Arc::new(watch::channel(false).0),
            changed: Arc::new(watch::channel(0).0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every rollout there is was told of.
    pub(super) fn complete(&self) {
        self.complete.send_replace(true);
        self.changed.send_modify(|n| *n += 1);
    }

    /// Tells when anybody's turn may have come.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whether anything is limited for a group.
    fn limited(&self, group: Option<&String>) -> bool {
        self.limits.concurrent.is_some() || group.is_some_and(|group| self.limits.groups.contains_key(group))
    }

    /// Where a rollout stands now.
    pub(super) fn tell(&self, uid: &str, told: Told) {
        let mut all = self.lock();
        let before = all.get(uid).map_or(Stand::Idle, |entry| entry.stand);
        let stand = match (told.runs, told.wants_since, before) {
            (true, _, _) => Stand::Runs,
            (false, None, _) => Stand::Idle,
            // What was given is kept while it is wanted.
            (false, Some(since), Stand::Given(_)) => Stand::Given(since),
            (false, Some(since), _) => Stand::Waits(since),
        };
        let entry = Entry {
            namespace: told.namespace,
            name: told.name,
            group: told.group,
            created: told.created,
            stand,
        };
        all.insert(uid.to_owned(), entry);
        drop(all);
        if stand != before {
            self.changed.send_modify(|n| *n += 1);
        }
    }

    /// A rollout is gone.
    pub(super) fn remove(&self, uid: &str) {
        if self.lock().remove(uid).is_some() {
            self.changed.send_modify(|n| *n += 1);
        }
    }

    /// Gives a rollout that waits its turn if it has come, and says how it stands.
    pub(super) fn ask(&self, uid: &str, group: Option<&String>) -> Turn {
        if !self.limited(group) {
            return Turn::Unlimited;
        }
        if !*self.complete.borrow() {
            return Turn::Full("which rollouts run is being found out".to_owned());
        }
        let mut all = self.lock();
        let mine = all.get(uid).cloned().unwrap_or_default();
        match mine.stand {
            Stand::Runs | Stand::Given(_) => return Turn::Held,
            Stand::Idle | Stand::Waits(_) => {}
        }
        let mut taken: Vec<&Entry> = all
            .iter()
            .filter(|(other, entry)| *other != uid && matches!(entry.stand, Stand::Runs | Stand::Given(_)))
            .map(|(_, entry)| entry)
            .collect();
        // Those before it that may begin take their turns first; whom another limit keeps back keeps nobody else back.
        let mut waiting: Vec<(Timestamp, &Entry, &String)> = all
            .iter()
            .filter_map(|(other, entry)| match entry.stand {
                Stand::Waits(since) => Some((since, entry, other)),
                Stand::Idle | Stand::Given(_) | Stand::Runs => None,
            })
            .collect();
        waiting.sort_by(|a, b| (a.0, &a.1.created, a.2).cmp(&(b.0, &b.1.created, b.2)));
        let mut before = Vec::new();
        for (_, entry, other) in waiting {
            if other == uid {
                break;
            }
            if matches!(mine.stand, Stand::Waits(_)) && self.full(&taken, entry.group.as_ref()).is_none() {
                taken.push(entry);
                before.push(entry);
            }
        }
        let group = group.cloned();
        match self.full(&taken, group.as_ref()) {
            None => {
                let given = if let Stand::Waits(since) = mine.stand {
                    all.get_mut(uid)
                        .map(|entry| entry.stand = Stand::Given(since))
                        .is_some()
                } else {
                    false
                };
                if given { Turn::Held } else { Turn::Free }
            }
            Some(limit) => Turn::Full(sentence(&limit, &mine.namespace, &taken, &before)),
        }
    }

    /// The limit that leaves no room for one more of a group.
    fn full(&self, taken: &[&Entry], group: Option<&String>) -> Option<String> {
        if let Some(most) = self.limits.concurrent.filter(|most| taken.len() >= *most) {
            return Some(format!("{most} at once (limits.concurrent)"));
        }
        let (group, most) = group.and_then(|group| Some((group, *self.limits.groups.get(group)?)))?;
        let of_it = taken
            .iter()
            .filter(|entry| entry.group.as_ref() == Some(group))
            .count();
        (of_it >= most).then(|| format!("{most} of group {group} at once (limits.groups.{group})"))
    }
}

/// Names only what is in the same namespace: others' rollouts are nobody's business.
fn sentence(limit: &str, namespace: &str, taken: &[&Entry], before: &[&Entry]) -> String {
    let named = |entries: &[&Entry]| -> String {
        let mut names: Vec<String> = entries
            .iter()
            .filter(|entry| entry.namespace == namespace)
            .take(8)
            .map(|entry| entry.name.clone())
            .collect();
        let others = entries.len().saturating_sub(names.len());
        if others > 0 {
            names.push(format!("{others} more"));
        }
        names.join(", ")
    };
    let running: Vec<&Entry> = taken
        .iter()
        .filter(|entry| !before.iter().any(|other| std::ptr::eq(*other, **entry)))
        .copied()
        .collect();
    let mut parts = Vec::new();
    if !running.is_empty() {
        parts.push(format!("running: {}", named(&running)));
    }
    if !before.is_empty() {
        parts.push(format!("before it: {}", named(before)));
    }
    let who = if parts.is_empty() {
        String::new()
    } else {
        format!("; {}", parts.join("; "))
    };
    format!("it waits for its turn: {limit}{who}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(concurrent: Option<usize>, groups: &[(&str, usize)]) -> Turns {
        let groups = groups.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
        let turns = Turns::new(Limits { concurrent, groups });
        turns.complete();
        turns
    }

    fn tell(turns: &Turns, name: &str, group: Option<&str>, runs: bool, wants: Option<i64>) {
        let told = Told {
            namespace: "ns".into(),
            name: name.into(),
            group: group.map(str::to_owned),
            created: String::new(),
            runs,
            wants_since: wants.map(|s| Timestamp::from_second(s).unwrap()),
        };
        turns.tell(name, told);
    }

    fn ask(turns: &Turns, name: &str, group: Option<&str>) -> Turn {
        turns.ask(name, group.map(str::to_owned).as_ref())
    }

    #[test]
    fn the_oldest_that_waits_is_next_whoever_asks_first() {
        let turns = turns(Some(1), &[]);
        tell(&turns, "runs", None, true, None);
        tell(&turns, "late", None, false, Some(20));
        tell(&turns, "early", None, false, Some(10));
        let Turn::Full(why) = ask(&turns, "late", None) else {
            panic!("there is no room")
        };
        assert_eq!(
            why,
            "it waits for its turn: 1 at once (limits.concurrent); running: runs"
        );
        tell(&turns, "runs", None, false, None);
        let Turn::Full(why) = ask(&turns, "late", None) else {
            panic!("another waits longer")
        };
        assert!(why.ends_with("before it: early"), "{why}");
        assert_eq!(ask(&turns, "early", None), Turn::Held);
        assert_eq!(ask(&turns, "early", None), Turn::Held, "and keeps it");
        assert!(matches!(ask(&turns, "late", None), Turn::Full(_)));
        // What was given and is not wanted any more goes to the next.
        tell(&turns, "early", None, false, None);
        assert_eq!(ask(&turns, "late", None), Turn::Held);
    }

    #[test]
    fn whom_the_limit_of_its_group_keeps_back_keeps_no_other_group_back() {
        let turns = turns(Some(3), &[("web", 1)]);
        tell(&turns, "a", Some("web"), true, None);
        tell(&turns, "b", Some("web"), false, Some(1));
        tell(&turns, "c", None, false, Some(2));
        assert_eq!(ask(&turns, "c", None), Turn::Held);
        let Turn::Full(why) = ask(&turns, "b", Some("web")) else {
            panic!("one of web runs")
        };
        assert!(why.contains("limits.groups.web"), "{why}");
        tell(&turns, "a", Some("web"), false, None);
        assert_eq!(ask(&turns, "b", Some("web")), Turn::Held);
    }

    #[test]
    fn nobody_begins_before_all_that_run_are_known_and_nothing_is_asked_without_limits() {
        let unlimited = Turns::new(Limits::default());
        assert_eq!(ask(&unlimited, "a", Some("web")), Turn::Unlimited);
        let turns = Turns::new(Limits {
            concurrent: Some(9),
            groups: BTreeMap::new(),
        });
        tell(&turns, "a", None, false, Some(1));
        assert!(matches!(ask(&turns, "a", None), Turn::Full(_)));
        turns.complete();
        assert_eq!(ask(&turns, "a", None), Turn::Held);
        tell(&turns, "b", None, false, None);
        assert_eq!(
            ask(&turns, "b", None),
            Turn::Free,
            "who does not want a turn takes none"
        );
    }
}
