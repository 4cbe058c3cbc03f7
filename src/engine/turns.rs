//! How many rollouts run at once: in all, and of each group. Whoever waits longest is next.
//!
//! Counted are the rollouts that this daemon works and, where the work is split, those of other daemons as their status
//! says. A limit keeps a rollout from beginning and does nothing else: one that has begun keeps its turn until the last of
//! its components is at an end, and a lowering never asks.
//!
//! Daemons that split the work give turns each for itself, by one order: who waits longest. Whoever would begin therefore
//! waits [`SETTLE`] first, so that everybody who waits, or has begun meanwhile, is known everywhere.

use crate::rollout::observation::Turn;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How long a rollout has to wait before its turn is given where others give turns too: more than it takes to persist
/// that it waits, and to hear of it, twice over.
const SETTLE: Duration = Duration::from_secs(10);

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
    /// Since when it has been waiting without a pause.
    joined: Option<Timestamp>,
    /// Since when another daemon's neither waits nor runs by its status: between its turn and its first declaration it
    /// looks like that, too, so its stand is kept for [`SETTLE`].
    left: Option<Timestamp>,
}

impl Entry {
    fn stand(&self, now: Timestamp) -> Stand {
        match self.stays_until() {
            Some(until) if until <= now => Stand::Idle,
            Some(_) | None => self.stand,
        }
    }

    fn stays_until(&self) -> Option<Timestamp> {
        self.left?.checked_add(SETTLE).ok()
    }
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
    /// Another daemon works it; this is what its status says.
    pub(super) elsewhere: bool,
}

/// Everybody's turns. Cheap to clone; clones see the same.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    limits: Arc<Limits>,
    /// Other daemons give turns, too.
    split: bool,
    // A std mutex: held for a look or a change, never across an await.
    all: Arc<Mutex<BTreeMap<String, Entry>>>,
    /// Every rollout there is was told of: before that nobody knows how many run.
    complete: Arc<watch::Sender<bool>>,
    changed: Arc<watch::Sender<u64>>,
}

impl Turns {
    pub(super) fn new(limits: Limits, split: bool) -> Self {
        Self {
            limits: Arc::new(limits),
            split,
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

    /// Until when others may begin of whom nobody here knows yet.
    fn settles(&self, entry: &Entry) -> Option<Timestamp> {
        let waits = self.split && matches!(entry.stand, Stand::Waits(_));
        entry.joined.filter(|_| waits)?.checked_add(SETTLE).ok()
    }

    /// When a rollout that waits is to ask again, although nothing changes.
    pub(super) fn due(&self, uid: &str, now: Timestamp) -> Option<Timestamp> {
        let all = self.lock();
        let mine = all.get(uid)?;
        if !matches!(mine.stand, Stand::Waits(_)) {
            return None;
        }
        let others = all.values().filter_map(Entry::stays_until);
        others
            .chain(self.settles(mine))
            .filter(|until| now < *until)
            .min()
    }

    /// Whether anything is limited for a group.
    fn limited(&self, group: Option<&String>) -> bool {
        self.limits.concurrent.is_some() || group.is_some_and(|group| self.limits.groups.contains_key(group))
    }

    /// Where a rollout stands now.
    pub(super) fn tell(&self, uid: &str, told: Told, now: Timestamp) {
        let mut all = self.lock();
        let known = all.get(uid);
        let before = known.map_or(Stand::Idle, |entry| entry.stand(now));
        let joined = known.and_then(|entry| entry.joined);
        let left = known.and_then(|entry| entry.left);
        let stand = match (told.runs, told.wants_since, before) {
            (true, _, _) => Stand::Runs,
            (false, None, Stand::Waits(_)) if told.elsewhere => before,
            (false, None, _) => Stand::Idle,
            // What was given is kept while it is wanted.
            (false, Some(since), Stand::Given(_)) => Stand::Given(since),
            (false, Some(since), _) => Stand::Waits(since),
        };
        let stays = !told.runs && told.wants_since.is_none() && stand != Stand::Idle;
        let entry = Entry {
            left: stays.then(|| left.unwrap_or(now)),
            namespace: told.namespace,
            name: told.name,
            group: told.group,
            created: told.created,
            stand,
            joined: matches!(stand, Stand::Waits(_) | Stand::Given(_)).then(|| joined.unwrap_or(now)),
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
    pub(super) fn ask(&self, uid: &str, group: Option<&String>, now: Timestamp) -> Turn {
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
        if self.settles(&mine).is_some_and(|until| now < until) {
            return Turn::Full("it waits for its turn: who else begins is being found out".to_owned());
        }
        let mut taken: Vec<&Entry> = all
            .iter()
            .filter(|(other, entry)| {
                *other != uid && matches!(entry.stand(now), Stand::Runs | Stand::Given(_))
            })
            .map(|(_, entry)| entry)
            .collect();
        // Those before it that may begin take their turns first; whom another limit keeps back keeps nobody else back.
        let mut waiting: Vec<(Timestamp, &Entry, &String)> = all
            .iter()
            .filter_map(|(other, entry)| match entry.stand(now) {
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
        let turns = Turns::new(Limits { concurrent, groups }, false);
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
            elsewhere: false,
        };
        turns.tell(name, told, Timestamp::UNIX_EPOCH);
    }

    fn ask(turns: &Turns, name: &str, group: Option<&str>) -> Turn {
        let now = Timestamp::from_second(100).unwrap();
        turns.ask(name, group.map(str::to_owned).as_ref(), now)
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
        let unlimited = Turns::new(Limits::default(), false);
        assert_eq!(ask(&unlimited, "a", Some("web")), Turn::Unlimited);
        let nine = Limits {
            concurrent: Some(9),
            groups: BTreeMap::new(),
        };
        let turns = Turns::new(nine, false);
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

    #[test]
    fn where_others_give_turns_too_nobody_begins_before_all_who_wait_are_known() {
        let one = Limits {
            concurrent: Some(1),
            groups: BTreeMap::new(),
        };
        let turns = Turns::new(one, true);
        turns.complete();
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        let told = |name: &str, since: Option<i64>, now: i64| {
            let told = Told {
                namespace: "ns".into(),
                name: name.into(),
                group: None,
                created: String::new(),
                runs: false,
                wants_since: since.map(at),
                elsewhere: name == "theirs",
            };
            turns.tell(name, told, at(now));
        };
        // It waited yesterday, too: what counts is since when the others can have heard of it.
        told("ours", Some(0), 1000);
        let Turn::Full(why) = turns.ask("ours", None, at(1009)) else {
            panic!("others may have begun")
        };
        assert!(why.contains("who else begins"), "{why}");
        assert_eq!(turns.due("ours", at(1009)), Some(at(1010)));
        told("theirs", Some(-5), 1009);
        let Turn::Full(why) = turns.ask("ours", None, at(1010)) else {
            panic!("theirs waits longer")
        };
        assert!(why.ends_with("before it: theirs"), "{why}");
        assert_eq!(turns.due("ours", at(1010)), None);
        // Between its turn and what it declares nothing is to be seen of it.
        told("theirs", None, 1020);
        told("theirs", None, 1025);
        assert!(matches!(turns.ask("ours", None, at(1029)), Turn::Full(_)));
        assert_eq!(turns.due("ours", at(1029)), Some(at(1030)));
        assert_eq!(turns.ask("ours", None, at(1030)), Turn::Held);
    }
}
