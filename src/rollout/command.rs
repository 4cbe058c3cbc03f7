//! A person's wish, and how it is written on the resource: one annotation each, so that kubectl, the command line
//! and the API go the same way.

mod age;
mod order;

pub use order::given_by;

use super::bounded::cut;
use super::complaint::{COMPLAINTS_KEPT, plain};
use super::duration::Span;
use super::preview::RouteEdit;
use super::weight::Weight;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What every command's annotation begins with: `rollout.sealos.io/command.<verb>.<id>`.
pub const PREFIX: &str = "rollout.sealos.io/command.";
/// A command's text is at most this long, in bytes.
pub const MAX_BYTES: usize = 4096;
/// Of who gave a command so many characters are kept: with how well that is known they fit into every sentence.
pub const WHO_KEPT: usize = 160;
/// And of the reason so many.
pub const REASON_KEPT: usize = 512;
/// Commands that wait at the same time on one resource.
pub const MAX_PENDING: usize = 50;
/// How the id of the command begins that a deletion with `onDelete: restore` gives.
pub const RESTORES: &str = "deleted-";
/// What is answered to a `set` that leaves what was put back where it is, or lower.
pub const STAYS_BACK: &str = "stays rolled back until `retry`";
/// A raising command is forgotten this long after it was given, whatever it says itself.
pub const RAISE_EXPIRES: Duration = Duration::from_secs(600);

/// What a person wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// This weight, now, and leave the plan.
    Set,
    /// No raise until resume.
    Pause,
    /// Back to the plan: after pause, a set weight or a drift.
    Resume,
    /// Open the gate of the phase that comes next.
    Approve,
    /// End this step's hold; everything else still applies.
    Promote,
    /// Put the traffic back.
    Rollback,
    /// Begin the plan again with fresh evidence.
    Retry,
    /// Let go of a component: remove our stamps, leave its traffic as it is.
    Detach,
    /// Add or remove a route to the canary for testers.
    HeaderRoute,
    /// Copy a share of the requests to the canary, or no longer.
    Mirror,
    /// Somebody is not content: counted, and too many hold the component.
    Complaint,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 11] = [
        Self::Set,
        Self::Pause,
        Self::Resume,
        Self::Approve,
        Self::Promote,
        Self::Rollback,
        Self::Retry,
        Self::Detach,
        Self::HeaderRoute,
        Self::Mirror,
        Self::Complaint,
    ];

    /// The word in the annotation's key and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "approve",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Retry => "retry",
            Self::Detach => "detach",
            Self::HeaderRoute => "header-route",
            Self::Mirror => "mirror",
            Self::Complaint => "complaint",
        }
    }

    /// Whether it can only stop or lower, whatever it is asked: such a command never expires. `set` is not among
    /// them: it depends on the weight.
    pub const fn only_lowers(self) -> bool {
        matches!(
            self,
            Self::Pause | Self::Rollback | Self::Detach | Self::Complaint
        )
    }

    /// Whether it is about the weight: not what reaches the canary beside it, and no complaint.
    pub const fn is_about_the_weight(self) -> bool {
        !matches!(self, Self::HeaderRoute | Self::Mirror | Self::Complaint)
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What stands in the annotation.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field of the annotation, on its own and usually absent"
)]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wish {
    /// Names of components, or `["*"]`.
    pub components: Vec<String>,
    /// For `set`: the weight. For `approve`: the step whose gate is meant. For `rollback`: where to, instead of the resource's own `rollback.to`. For `mirror`: the
    /// share that is copied; none: no longer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Weight>,
    /// For `header-route`: what is added or removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<RouteEdit>,
    /// For `approve`: the item of a checklist that is ticked; none: a gate is opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// For `approve`: the phase; default: the one that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Why, for the record. For `complaint`: what about.
    #[serde(default)]
    pub reason: String,
    /// Who.
    #[serde(default)]
    pub who: String,
    /// For a raising `set`: do it although the judge advises against it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// For `rollback`: an emergency, which controllers are told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub emergency: bool,
    /// For `rollback`: a program asks for it and no person, so it waits where control is known to have no ready endpoint.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// For `detach`: put back what stood in the routed objects before the first write, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restore: bool,
    /// `who` was proven to the daemon that wrote this: a token was reviewed, or a shared secret shown. The admission policy
    /// lets nobody else write it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub vouched: bool,
    /// When it is no longer wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A command, read from an annotation.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Its id: a ULID, so that ids sort by the time they were given, or that time as a number. It is the same command only
    /// with the same verb and wish.
    pub id: String,
    /// Its verb.
    pub verb: Verb,
    /// The rest.
    pub wish: Wish,
}

/// An annotation that looks like a command and is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotACommand {
    /// The id as far as it can be told, at most 63 characters.
    pub id: String,
    /// The verb as written.
    pub verb: String,
    /// What is wrong, and how to write it.
    pub message: String,
}

impl Command {
    /// The annotation's key.
    pub fn key(&self) -> String {
        format!("{PREFIX}{}.{}", self.verb, self.id)
    }

    /// The annotation's value.
    pub fn value(&self) -> String {
        serde_json::to_string(&self.wish).unwrap_or_default()
    }

    /// Whether it is what a deletion with `onDelete: restore` means.
    pub fn restores(&self) -> bool {
        self.id.starts_with(RESTORES)
    }

    /// Whether it comes too late, given the weight a component has. Lowering commands never do.
    pub fn expired(&self, now: Timestamp, raises: bool) -> bool {
        if !raises || self.verb.only_lowers() {
            return false;
        }
        // An id can claim the last minute of time.
        let end = |at: Timestamp| at.checked_add(RAISE_EXPIRES).unwrap_or(Timestamp::MAX);
        let latest = self.given_at().map(end);
        [latest, self.wish.expires_at]
            .into_iter()
            .flatten()
            .any(|end| now > end)
    }

    /// Whether it names a component.
    pub fn names(&self, component: &str) -> bool {
        self.wish.components.iter().any(|c| c == "*" || c == component)
    }

    /// Reads one annotation; `None` when its key is no command's.
    pub fn parse(key: &str, value: &str) -> Option<Result<Self, NotACommand>> {
        let rest = key.strip_prefix(PREFIX)?;
        let (word, id) = rest.split_once('.').unwrap_or((rest, ""));
        let bad = |message: String| {
            let clip = |text: &str, n: usize| text.chars().take(n).collect::<String>();
            Err(NotACommand {
                id: clip(if id.is_empty() { rest } else { id }, 63),
                verb: clip(word, 16),
                message,
            })
        };
        let Some(verb) = Verb::ALL.into_iter().find(|v| v.word() == word) else {
            let words = Verb::ALL.map(Verb::word).join(", ");
            return Some(bad(format!("{word:?} is no command; the commands are {words}")));
        };
        if id.is_empty() || id.len() > 55 {
            return Some(bad(format!(
                "the key must be {PREFIX}{word}.ID with a unique ID of 1 to 55 characters"
            )));
        }
        if value.len() > MAX_BYTES {
            return Some(bad(format!(
                "{} bytes are too many: {MAX_BYTES} at most",
                value.len()
            )));
        }
        let mut wish: Wish = match serde_json::from_str(value) {
            Ok(wish) => wish,
            Err(error) => {
                let why = error.to_string();
                return Some(bad(format!(
                    "the value is no command: {}",
                    plain(&why, MAX_BYTES)
                )));
            }
        };
        // Written otherwise (JSON can), the policy would not see it.
        if wish.vouched && !value.contains("\"vouched\"") {
            return Some(bad("write vouched as it is, without escapes".into()));
        }
        // What stands in brackets behind a name is how well it is known: nobody says that of himself.
        wish.who.retain(|c| !matches!(c, '(' | ')'));
        // Both are told by terminals, chats and pages.
        wish.who = cut(&plain(&wish.who, MAX_BYTES), WHO_KEPT).into_owned();
        wish.reason = cut(&plain(&wish.reason, MAX_BYTES), REASON_KEPT).into_owned();
        if wish.components.is_empty() {
            return Some(bad("components is empty: name some, or write [\"*\"]".into()));
        }
        if verb == Verb::Set && wish.weight.is_none() {
            return Some(bad("set needs a weight, like \"weight\": \"10%\"".into()));
        }
        if verb == Verb::Complaint && wish.reason.trim().is_empty() {
            return Some(bad(
                "a complaint says what about: \"reason\": \"login fails\"".into()
            ));
        }
        let of_one = matches!(wish.components.as_slice(), [one] if one != "*");
        if verb == Verb::Complaint && !of_one {
            return Some(bad(
                "a complaint names one component: three of everything would hold all that works".into(),
            ));
        }
        if verb == Verb::HeaderRoute && wish.route.is_none() {
            return Some(bad(
                "header-route needs a route, like \"route\": {\"action\": \"add\", \"header\": {\"name\": \"canary\", \"value\": \"true\"}}"
                    .into(),
            ));
        }
        Some(Ok(Self {
            id: id.to_owned(),
            verb,
            wish,
        }))
    }
}

impl Wish {
    /// Who gave it, and how well that is known: what the annotation claims, and the field manager that wrote it, as far
    /// as the object tells. `guarded`: the admission policy asked for the right to the verb, and lets nobody vouch who may
    /// not.
    pub fn giver(&self, manager: Option<&str>, guarded: bool) -> String {
        let who = if self.who.is_empty() {
            "somebody"
        } else {
            self.who.as_str()
        };
        match (guarded, self.vouched, manager) {
            (true, true, _) => format!("{who} (verified)"),
            (true, false, Some(manager)) => format!("{who} (by {manager})"),
            (true, false, None) => format!("{who} (by an unknown writer)"),
            (false, _, Some(manager)) => format!("{who} (claimed, by {manager})"),
            (false, _, None) => format!("{who} (claimed)"),
        }
    }
}

/// Who gave a command in so many characters: of a long name the end is cut off, and never how well it is known.
pub fn short_giver(giver: &str, most: usize) -> String {
    /// More of it is a field manager's long name.
    const HOW: usize = 36;
    let Some((name, how)) = giver.rfind(" (").map(|at| giver.split_at(at)) else {
        return cut(giver, most).into_owned();
    };
    let how = cut(how, HOW);
    let room = most.saturating_sub(how.chars().count());
    format!("{}{how}", cut(name, room))
}

/// All commands among annotations, in the order they were given, and what only looks like one.
pub fn pending(annotations: &BTreeMap<String, String>) -> (Vec<Command>, Vec<(String, NotACommand)>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for (key, value) in annotations.range(PREFIX.to_owned()..) {
        match Command::parse(key, value) {
            None => break,
            Some(Ok(command)) => good.push(command),
            Some(Err(error)) => bad.push((key.clone(), error)),
        }
    }
    good.sort_by_cached_key(Command::place);
    // A crowd that complains takes no room from others: what is too much of it waits for its turn.
    let mut complaints = 0;
    good.retain(|command: &Command| {
        complaints += usize::from(command.verb == Verb::Complaint);
        command.verb != Verb::Complaint || complaints <= COMPLAINTS_KEPT
    });
    // What puts traffic back is never turned away, however much is asked at once.
    let mut room = MAX_PENDING;
    let (good, late): (Vec<_>, Vec<_>) = good.into_iter().partition(|command: &Command| {
        let apart = matches!(command.verb, Verb::Rollback | Verb::Pause | Verb::Complaint);
        let taken = apart || room > 0;
        room = room.saturating_sub(usize::from(command.verb != Verb::Complaint));
        taken
    });
    for late in late {
        let message =
            format!("more than {MAX_PENDING} commands wait; this one was not taken up: give it again");
        bad.push((
            late.key(),
            NotACommand {
                id: late.id.clone(),
                verb: late.verb.to_string(),
                message,
            },
        ));
    }
    (good, bad)
}

/// How long ago, for messages.
pub fn ago(then: Timestamp, now: Timestamp) -> Span {
    let passed = Duration::try_from(now.duration_since(then)).unwrap_or(Duration::ZERO);
    Span(Duration::from_secs(passed.as_secs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn what_a_command_says_has_nothing_that_a_terminal_takes_for_more_than_text() {
        let key = "rollout.sealos.io/command.approve.02C";
        let value = r#"{"components":["*"],"who":"e\u001b[31mve\u202e","reason":"fine\u001b]0;x\u0007 \u2066really"}"#;
        let wish = Command::parse(key, value).unwrap().unwrap().wish;
        assert_eq!(
            (wish.who.as_str(), wish.reason.as_str()),
            ("e [31mve", "fine ]0;x really")
        );
        let slip = r#"{"components":["*"],"\u001b[31m":1}"#;
        let error = Command::parse(key, slip).unwrap().unwrap_err();
        assert!(!error.message.contains('\u{1b}'), "{}", error.message);
    }

    #[test]
    fn nobody_says_of_himself_how_well_he_is_known() {
        let key = "rollout.sealos.io/command.pause.02C";
        let value = r#"{"components":["*"],"who":"root (verified)"}"#;
        let command = Command::parse(key, value).unwrap().unwrap();
        assert_eq!(command.wish.who, "root verified");
        assert_eq!(
            command.wish.giver(None, true),
            "root verified (by an unknown writer)"
        );
    }

    #[test]
    fn commands_come_in_the_order_they_were_given_whatever_their_verb() {
        let (good, bad) = pending(&annotations(&[
            (
                "rollout.sealos.io/command.set.02B",
                r#"{"components":["a"],"weight":"10%"}"#,
            ),
            (
                "rollout.sealos.io/command.pause.02C",
                r#"{"components":["*"],"who":"eve"}"#,
            ),
            (
                "rollout.sealos.io/command.rollback.02A",
                r#"{"components":["a"]}"#,
            ),
            ("rollout.sealos.io/w.a", "x 5% Step"),
            ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
        ]));
        assert_eq!(
            good.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(),
            ["02A", "02B", "02C"]
        );
        assert!(bad.is_empty());
        let again = Command::parse(&good[1].key(), &good[1].value()).unwrap().unwrap();
        assert_eq!(again, good[1], "what is written is read back");
    }

    #[test]
    fn a_complaint_names_one_component() {
        let given = |components: &str| {
            let value = format!(r#"{{"components":{components},"reason":"login fails"}}"#);
            Command::parse("rollout.sealos.io/command.complaint.02C", &value).unwrap()
        };
        assert!(given(r#"["shop"]"#).is_ok());
        for many in [r#"["*"]"#, r#"["shop","cart"]"#] {
            let refused = given(many).unwrap_err();
            assert!(refused.message.contains("names one component"), "{refused:?}");
        }
    }

    #[test]
    fn an_id_from_the_end_of_time_is_only_late() {
        let last = u64::try_from(Timestamp::MAX.as_millisecond()).unwrap() - 1000;
        let key = format!("{PREFIX}set.{}", ulid::Ulid::from_parts(last, 1));
        let command = Command::parse(&key, r#"{"components":["a"],"weight":"10%"}"#);
        let command = command.unwrap().unwrap();
        assert!(command.given_at().is_some());
        assert!(!command.expired(Timestamp::UNIX_EPOCH, true));
    }

    #[test]
    fn of_too_many_commands_the_late_ones_are_refused_but_never_what_puts_traffic_back() {
        let set = |n: usize| {
            let key = format!("rollout.sealos.io/command.set.{n:04}");
            (key, r#"{"components":["a"],"weight":"10%"}"#.to_owned())
        };
        let mut all: BTreeMap<String, String> = (0..=MAX_PENDING).map(set).collect();
        for verb in ["rollback", "pause"] {
            let key = format!("rollout.sealos.io/command.{verb}.9999");
            all.insert(key, r#"{"components":["a"]}"#.to_owned());
        }
        let (good, bad) = pending(&all);
        let lowering = |c: &&Command| matches!(c.verb, Verb::Rollback | Verb::Pause);
        assert_eq!(good.iter().filter(lowering).count(), 2);
        assert_eq!(good.len(), MAX_PENDING + 2);
        let [(key, why)] = bad.as_slice() else {
            panic!("{bad:?}")
        };
        assert!(
            key.ends_with("set.0050") && why.message.contains("give it again"),
            "{key}: {why:?}"
        );
    }

    #[test]
    fn what_is_no_command_is_told_apart_with_the_remedy() {
        for (key, value, says) in [
            ("rollout.sealos.io/command.fly.1", "{}", "the commands are"),
            (
                "rollout.sealos.io/command.set.1",
                r#"{"components":["a"]}"#,
                "needs a weight",
            ),
            (
                "rollout.sealos.io/command.set.1",
                r#"{"components":["a"],"weight":"101%"}"#,
                "between 0% and 100%",
            ),
            (
                "rollout.sealos.io/command.pause",
                r#"{"components":["a"]}"#,
                "unique ID",
            ),
            (
                "rollout.sealos.io/command.pause.1",
                r#"{"components":[]}"#,
                "name some",
            ),
            (
                "rollout.sealos.io/command.pause.1",
                r#"{"component":["a"]}"#,
                "unknown field",
            ),
            ("rollout.sealos.io/command.pause.1", "", "no command"),
        ] {
            let (good, bad) = pending(&annotations(&[(key, value)]));
            assert!(good.is_empty());
            assert!(bad[0].1.message.contains(says), "{key}: {}", bad[0].1.message);
        }
    }

    #[test]
    fn a_name_is_claimed_unless_the_policy_asked_for_the_right_and_verified_only_if_vouched() {
        let mut wish = Wish {
            who: "ada".into(),
            ..Wish::default()
        };
        assert_eq!(
            wish.giver(Some("kubectl-annotate"), false),
            "ada (claimed, by kubectl-annotate)"
        );
        assert_eq!(
            wish.giver(Some("kubectl-annotate"), true),
            "ada (by kubectl-annotate)"
        );
        wish.vouched = true;
        assert_eq!(wish.giver(Some("gradual-rollout-api"), true), "ada (verified)");
        assert!(
            wish.giver(Some("gradual-rollout-api"), false).contains("claimed"),
            "anybody could have written it"
        );
    }

    #[test]
    fn vouching_is_written_so_that_the_policy_sees_it() {
        let key = "rollout.sealos.io/command.pause.1";
        let plain = r#"{"components":["a"],"vouched":true}"#;
        assert!(Command::parse(key, plain).unwrap().unwrap().wish.vouched);
        let hidden = plain.replace("vouched", "\\u0076ouched");
        assert!(Command::parse(key, &hidden).unwrap().is_err(), "{hidden}");
    }

    #[test]
    fn a_raise_is_forgotten_after_ten_minutes_and_a_lowering_never() {
        let given: Timestamp = "2026-03-02T09:00:00Z".parse().unwrap();
        let id = ulid::Ulid::from_parts(u64::try_from(given.as_millisecond()).unwrap(), 7).to_string();
        let wish = |weight| Wish {
            components: vec!["*".into()],
            weight,
            reason: String::new(),
            who: String::new(),
            ..Wish::default()
        };
        let set = Command {
            id: id.clone(),
            verb: Verb::Set,
            wish: wish(Weight::from_percent(20)),
        };
        let later = given + Duration::from_secs(601);
        assert!(set.expired(later, true));
        assert!(!set.expired(given + Duration::from_secs(599), true));
        assert!(!set.expired(later, false), "a set that lowers never expires");
        let back = Command {
            id,
            verb: Verb::Rollback,
            wish: wish(None),
        };
        assert!(!back.expired(later, true));
    }
}
