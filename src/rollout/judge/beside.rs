//! Checks beside those that are counted on the arms and decide: gauges, pairs of counters, other ideas of an error,
//! and checks that may only hold or only show. Each has counts of its own, so that none of them can change what the
//! others come to.

use super::gauge::{GaugeState, Told};
use super::{Context, Judgement, Outlook};
use crate::rollout::ledger::{Ledger, short_gap};
use crate::rollout::observation::Seen;
use crate::rollout::plan::{CheckSet, CheckSource, Class, PlannedCheck, Stream};
use crate::rollout::reason::Verdict;
use crate::rollout::spec::{Action, Severity};
use crate::rollout::status::CheckStatus;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;

/// What was counted and measured beside the ledger, since the same weight was written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beside {
    #[serde(rename = "s")]
    since: Timestamp,
    #[serde(rename = "j")]
    settled_at: Timestamp,
    /// Counts of streams that may move or hold the traffic.
    #[serde(
        rename = "l",
        skip_serializing_if = "BTreeMap::is_empty",
        serialize_with = "without_windows"
    )]
    ledgers: BTreeMap<String, Ledger>,
    /// Counts of streams that only show: they begin anew with the daemon.
    #[serde(skip)]
    shown: BTreeMap<String, Ledger>,
    #[serde(rename = "g", skip_serializing_if = "BTreeMap::is_empty")]
    gauges: BTreeMap<String, GaugeState>,
    /// Streams and gauges of which nothing was read yet, and since when that is waited for: one that an edit brings in the
    /// middle of a weight was not in the dark before.
    #[serde(rename = "w", skip_serializing_if = "BTreeMap::is_empty")]
    waited: BTreeMap<String, Timestamp>,
    /// What each of them was asked, as a digest: under an edited question nothing of what was answered before counts.
    #[serde(rename = "a", skip_serializing_if = "BTreeMap::is_empty")]
    asked: BTreeMap<String, u32>,
    /// When the question was edited, where that was in the middle of the weight.
    #[serde(rename = "e", skip_serializing_if = "BTreeMap::is_empty")]
    edited: BTreeMap<String, Timestamp>,
}

impl Beside {
    /// Nothing yet, at the weight that this ledger is about.
    pub(in crate::rollout) fn begin(ledger: &Ledger) -> Self {
        Self {
            since: ledger.since,
            settled_at: ledger.settled_at,
            ..Self::default()
        }
    }

    /// Takes up what was seen of a component.
    pub(in crate::rollout) fn absorb(&mut self, set: &CheckSet, seen: &Seen, ctx: &Context<'_>) {
        let wanted = |key: &str, shows: bool| {
            let mut streams = set.streams.iter();
            streams.any(|s| s.key == key && (s.class == Class::Shows) == shows)
        };
        self.heed_edits(set, ctx.now);
        self.ledgers.retain(|key, _| wanted(key, false));
        self.shown.retain(|key, _| wanted(key, true));
        for stream in &set.streams {
            let reading = match stream.source {
                CheckSource::Arms => seen.reading.as_ref(),
                CheckSource::Errors(_) | CheckSource::Pair(_) | CheckSource::Gauge(_) => {
                    seen.streams.get(&stream.key)
                }
            };
            let [since, settled_at] = self.begins(&stream.key);
            let begin = || Ledger::begin(since, settled_at);
            let ledgers = if stream.class == Class::Shows {
                &mut self.shown
            } else {
                &mut self.ledgers
            };
            let ledger = ledgers.entry(stream.key.clone()).or_insert_with(begin);
            // Not stored with each of them.
            (ledger.since, ledger.settled_at) = (since, settled_at);
            if let Some(reading) = reading {
                ledger.absorb(reading, &ctx.of(stream));
            }
        }
        self.gauges
            .retain(|name, _| set.gauges().any(|(check, _)| check.rule.name == *name));
        for stream in &set.streams {
            let ledger = self.ledgers.get(&stream.key);
            let was_read = ledger.is_some_and(|ledger| ledger.counted_until().is_some());
            self.wait(&stream.key, was_read, ctx.now);
        }
        for (check, gauge) in set.gauges() {
            if let Some(why) = seen.unread.get(&check.rule.name) {
                self.gauges.entry(check.rule.name.clone()).or_default().skip(why);
            } else if let Some(reading) = seen.gauges.get(&check.rule.name) {
                let [_, settled_at] = self.begins(&check.rule.name);
                let state = self.gauges.entry(check.rule.name.clone()).or_default();
                let between = ctx.judge.interval.max(ctx.probe_every);
                state.absorb(reading, gauge, settled_at, short_gap(between));
            }
            let state = self.gauges.get(&check.rule.name);
            let was_read = state.is_some_and(GaugeState::was_read);
            self.wait(&check.rule.name, was_read, ctx.now);
        }
        let wanted = |key: &str| {
            set.streams.iter().any(|stream| stream.key == key)
                || set.gauges().any(|(check, _)| check.rule.name == key)
        };
        self.waited.retain(|key, _| wanted(key));
    }

    /// What is asked otherwise than before begins anew.
    fn heed_edits(&mut self, set: &CheckSet, now: Timestamp) {
        self.asked.retain(|key, _| set.asks.contains_key(key));
        self.edited.retain(|key, _| set.asks.contains_key(key));
        for (key, ask) in &set.asks {
            let known = self.asked.get(key).copied();
            if known == Some(*ask) {
                continue;
            }
            self.asked.insert(key.clone(), *ask);
            // What is new was asked nothing before; what an older daemon wrote does not say what it was.
            if known.is_some() {
                self.ledgers.remove(key);
                self.shown.remove(key);
                self.gauges.remove(key);
                self.waited.remove(key);
                self.edited.insert(key.clone(), now);
            }
        }
    }

    /// From when on what is asked is counted, and from when on it is judged.
    fn begins(&self, key: &str) -> [Timestamp; 2] {
        let edited = self.edited.get(key);
        [self.since, self.settled_at].map(|at| edited.map_or(at, |edited| at.max(*edited)))
    }

    fn wait(&mut self, key: &str, was_read: bool, now: Timestamp) {
        if was_read {
            self.waited.remove(key);
        } else if !self.waited.contains_key(key) {
            self.waited.insert(key.to_owned(), now);
        }
    }

    /// Since when nothing was read of this at the weight.
    fn waits_since(&self, key: &str) -> Timestamp {
        let known = self.waited.get(key).copied();
        known.map_or(self.since, |at| at.max(self.since))
    }

    /// The judgement of the checks on the arms, with these beside them, in the order in which they are shown; and which of
    /// these cannot be told, since when and why, though another reason not to go on be named first.
    pub(in crate::rollout) fn join(
        &self,
        mut main: Judgement,
        set: &CheckSet,
        ctx: &Context<'_>,
    ) -> (Judgement, Option<(Timestamp, String)>) {
        let mut outlooks = Vec::new();
        for stream in &set.streams {
            let (statuses, outlook) = self.stream(stream, ctx);
            main.checks.extend(statuses);
            outlooks.extend(outlook.and_then(|o| bounded(stream.class, o)));
        }
        for (check, gauge) in set.gauges() {
            let unread = GaugeState::default();
            let state = self.gauges.get(&check.rule.name).unwrap_or(&unread);
            let told: Told = state.tell(check, gauge, self.waits_since(&check.rule.name), ctx);
            main.checks.push(state.status(check, &told));
            outlooks.extend(told.outlook.and_then(|o| bounded(check.effect.class(), o)));
        }
        let place = |status: &CheckStatus| set.checks.iter().position(|c| c.rule.name == status.name);
        main.checks.sort_by_key(place);
        for status in &mut main.checks {
            if let Some(check) = set.check(&status.name) {
                mark(status, check);
            }
        }
        let unclear = outlooks.iter().find_map(|outlook| {
            if let Outlook::Unclear { since, message } = outlook {
                Some((*since, message.clone()))
            } else {
                None
            }
        });
        main.outlook = outlooks.into_iter().fold(main.outlook, worse);
        (main, unclear)
    }

    fn stream(&self, stream: &Stream, ctx: &Context<'_>) -> (Vec<CheckStatus>, Option<Outlook>) {
        let ctx = ctx.of(stream);
        let ledger = self
            .ledgers
            .get(&stream.key)
            .or_else(|| self.shown.get(&stream.key));
        let [since, settled_at] = self.begins(&stream.key);
        let begun = Ledger::begin(since, settled_at);
        let ledger = ledger.unwrap_or(&begun);
        let Judgement { checks, outlook } = ledger.judge(&ctx);
        if ctx.weight.is_zero() {
            // There is no canary data, and the arms' own source has its say.
            return (checks, None);
        }
        let name = &stream.key;
        let settling = ctx.now < settled_at;
        let outlook = match outlook {
            Outlook::Promotable => None,
            // The arms' own darkness is told once, by the arms.
            Outlook::Unknown { .. } if stream.source == CheckSource::Arms => None,
            Outlook::Unknown { since, message, .. } => Some(Outlook::Unclear {
                since: since.max(self.waits_since(&stream.key)),
                message: format!("{name}: {message}"),
            }),
            Outlook::Settling { .. } if settling => None,
            Outlook::Settling { .. } | Outlook::NotArriving { .. } | Outlook::NotAchievable { .. } => {
                Some(Outlook::Insufficient {
                    message: format!("{name}: nothing was counted yet"),
                })
            }
            told @ (Outlook::Between { .. }
            | Outlook::Insufficient { .. }
            | Outlook::Unclear { .. }
            | Outlook::SharedOutage { .. }
            | Outlook::ControlBad { .. }
            | Outlook::Breach { .. }) => Some(told),
        };
        (checks, outlook)
    }

    /// Whether any check that only tells is in breach now and was not before.
    pub(in crate::rollout) fn news<'s>(
        before: &'s [CheckStatus],
        after: &'s [CheckStatus],
        set: &'s CheckSet,
    ) -> impl Iterator<Item = (&'s CheckStatus, &'s PlannedCheck)> {
        after
            .iter()
            .filter(|status| status.verdict == Verdict::Breach)
            .filter(|status| {
                let known = before.iter().find(|b| b.name == status.name);
                known.is_none_or(|b| b.verdict != Verdict::Breach)
            })
            .filter_map(|status| Some((status, set.check(&status.name)?)))
            .filter(|(_, check)| check.effect.class() != Class::Decides)
    }
}

impl<'a> Context<'a> {
    /// The same, for the checks of a stream.
    fn of(&self, stream: &'a Stream) -> Self {
        Self {
            rules: &stream.rules,
            // A pair's counters rise when a connection begins.
            late: self.late && !matches!(stream.source, CheckSource::Pair(_)),
            // Counts beside the arms are no shares of one traffic.
            verifiable: false,
            ..*self
        }
    }
}

/// Look-backs begin anew with the daemon: they are most of a ledger's size. What was judged in all stays, as does
/// the evidence. When the weight was written is told once for all of them.
fn without_windows<S: Serializer>(
    ledgers: &BTreeMap<String, Ledger>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut small = BTreeMap::new();
    for (key, ledger) in ledgers {
        let mut value = serde_json::to_value(ledger).map_err(serde::ser::Error::custom)?;
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|field, _| !["w", "l", "s", "j", "a", "judged"].contains(&field.as_str()));
        }
        small.insert(key, value);
    }
    small.serialize(serializer)
}

/// What a check may make of its outlook.
fn bounded(class: Class, outlook: Outlook) -> Option<Outlook> {
    match (class, outlook) {
        (Class::Shows, _) => None,
        (Class::Holds, Outlook::Breach { check, message, .. }) => Some(Outlook::Between {
            check,
            message: format!("{message}; its action is hold"),
        }),
        (_, outlook) => Some(outlook),
    }
}

/// Which of two outlooks decides. A breach always; then what the first says, unless it allows or could come to allow
/// a raise.
fn worse(first: Outlook, second: Outlook) -> Outlook {
    let breach = |o: &Outlook| matches!(o, Outlook::Breach { .. });
    let too_few = |o: &Outlook| matches!(o, Outlook::Insufficient { .. });
    let open = first == Outlook::Promotable || too_few(&first) && !too_few(&second);
    if breach(&second) && !breach(&first) || open && second != Outlook::Promotable {
        second
    } else {
        first
    }
}

fn mark(status: &mut CheckStatus, check: &PlannedCheck) {
    let effect = check.effect;
    status.action = Some(effect.action).filter(|a| *a != Action::Rollback);
    status.severity = Some(effect.severity).filter(|s| *s != Severity::Critical);
    status.dry_run = effect.dry_run;
}
