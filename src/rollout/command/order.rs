//! Whether two commands are one, and which of two was given later.

use super::age::{Age, ulid};
use super::{Command, Verb};
use crate::rollout::plan::digest;
use jiff::Timestamp;
use ulid::Ulid;

impl Command {
    /// What it asks, in sixteen characters: with its id and its verb it is known by that.
    pub fn digest(&self) -> String {
        digest(&self.value())
    }

    /// When it was given at the earliest, as its id says: a ULID, or the time as a number; `None` when the id is neither.
    pub fn given_at(&self) -> Option<Timestamp> {
        Age::of(&self.id).map(|age| age.from)
    }

    /// Where it stands among those that wait: those whose ids tell a time by that.
    pub fn place(&self) -> String {
        if let Some(ulid) = ulid(&self.id) {
            return ulid.to_string();
        }
        let millis = self
            .given_at()
            .and_then(|at| u64::try_from(at.as_millisecond()).ok());
        // What is told more exactly than a millisecond comes after the place that both have in common.
        millis.map_or_else(
            || self.id.clone(),
            |millis| format!("{}{}", Ulid::from_parts(millis, 0), self.id),
        )
    }

    /// Whether it was given after another one; `None` where their ids do not tell.
    pub fn is_after(&self, other: &Self) -> Option<bool> {
        if let (Some(mine), Some(theirs)) = (ulid(&self.id), ulid(&other.id)) {
            return (mine != theirs).then_some(mine > theirs);
        }
        let (mine, theirs) = (Age::of(&self.id)?, Age::of(&other.id)?);
        if mine.from > theirs.to {
            Some(true)
        } else {
            (mine.to < theirs.from).then_some(false)
        }
    }

    /// Whether it names a component that the other names, too.
    fn meets(&self, other: &Self) -> bool {
        let mut names = other.wish.components.iter();
        names.any(|name| name == "*" || self.names(name)) || self.names("*")
    }

    /// Whether one of these stops or lowers, perhaps, what it raises, perhaps, and may have been given later.
    pub fn may_give_way(&self, all: &[Self]) -> bool {
        let lowers = |verb: Verb| verb.is_about_the_weight() && (verb.only_lowers() || verb == Verb::Set);
        let takes_its_place = |other: &Self| {
            lowers(other.verb)
                && other.key() != self.key()
                && other.meets(self)
                && self.is_after(other) != Some(true)
        };
        !matches!(self.verb, Verb::Rollback | Verb::Pause | Verb::Complaint)
            && all.iter().any(takes_its_place)
    }
}

/// When the command with this id was given at the latest, where that tells a time.
pub fn given_by(id: &str) -> Option<Timestamp> {
    Age::of(id).map(|age| age.to)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::command::Wish;

    fn command(verb: Verb, id: &str, component: &str) -> Command {
        let wish = Wish {
            components: vec![component.to_owned()],
            ..Wish::default()
        };
        Command {
            id: id.to_owned(),
            verb,
            wish,
        }
    }

    #[test]
    fn only_of_two_ids_that_tell_a_time_it_is_known_which_was_given_later() {
        let early = Ulid::from_parts(1_772_452_800_000, 7).to_string();
        let late = Ulid::from_parts(1_772_452_800_001, 3).to_string();
        let is_after = |one: &str, other: &str| {
            let (one, other) = (command(Verb::Set, one, "a"), command(Verb::Rollback, other, "a"));
            assert_eq!(one.is_after(&other), other.is_after(&one).map(|after| !after));
            one.is_after(&other)
        };
        assert_eq!(is_after(&late, &early), Some(true));
        assert_eq!(
            is_after(&late.to_ascii_lowercase(), &early),
            Some(true),
            "small letters say the same"
        );
        assert_eq!(is_after(&late, &late), None);
        let wrapped = format!("8{}", &late[1..]);
        for other in ["17960400001", "z", &wrapped] {
            assert_eq!(is_after(other, &early), None, "{other}");
        }
        for (other, after) in [
            ("1772452799", Some(false)),
            ("1772452799999", Some(false)),
            ("1772452799999999999", Some(false)),
            ("1772452800001", Some(true)),
            ("1772452800001000000", Some(true)),
            ("1772452801", Some(true)),
            // Within the same second, and within the same millisecond.
            ("1772452800", None),
            ("1772452800000", None),
            ("1772452800000999999", None),
        ] {
            assert_eq!(is_after(other, &early), after, "{other}");
        }
        assert_eq!(is_after("1772452800000000002", "1772452800000000001"), Some(true));
        assert_eq!(is_after("1772452800000000001", "1772452800000000001"), None);
    }

    #[test]
    fn ulids_stand_in_the_order_of_their_age_however_they_are_written() {
        let id = |millis: u64| Ulid::from_parts(1_772_452_800_000 + millis, 7).to_string();
        let ids = [id(2).to_ascii_lowercase(), id(3), id(1)];
        let mut all = ids.clone().map(|id| command(Verb::Set, &id, "a"));
        all.sort_by_cached_key(Command::place);
        assert_eq!(
            all.map(|c| c.id),
            [ids[2].clone(), ids[0].clone(), ids[1].clone()]
        );
        let mixed = [
            "1772452800003000000".to_owned(),
            id(2),
            "1772452800001".to_owned(),
            "1772452800".to_owned(),
            "1772452800003000001".to_owned(),
        ];
        let mut all = mixed.clone().map(|id| command(Verb::Set, &id, "a"));
        all.sort_by_cached_key(Command::place);
        let order = [3, 2, 1, 0, 4].map(|n: usize| mixed[n].clone());
        assert_eq!(all.map(|c| c.id), order, "whatever they are written in");
    }

    #[test]
    fn a_command_is_known_by_all_that_it_asks() {
        let one = command(Verb::Rollback, "1", "a");
        assert_eq!(one.digest(), one.clone().digest());
        assert_eq!(one.digest().len(), 16);
        let mut other = one.clone();
        other.wish.components = vec!["b".to_owned()];
        assert_ne!(one.digest(), other.digest());
        let read = Command::parse(&one.key(), r#"{ "components" : ["a"] }"#)
            .unwrap()
            .unwrap();
        assert_eq!(read.digest(), one.digest(), "however it is written");
    }

    #[test]
    fn only_what_names_the_same_component_and_may_be_older_gives_way() {
        let id = |millis: u64| Ulid::from_parts(1_772_452_800_000 + millis, 7).to_string();
        let back = command(Verb::Rollback, &id(5), "a");
        let gives_way = |command: Command| command.may_give_way(std::slice::from_ref(&back));
        assert!(gives_way(command(Verb::Retry, &id(4), "a")));
        assert!(
            gives_way(command(Verb::Retry, "1772452800", "*")),
            "in the same second"
        );
        assert!(!gives_way(command(Verb::Retry, "1796040000", "*")), "it is later");
        assert!(gives_way(command(Verb::Retry, "x", "*")));
        assert!(!gives_way(command(Verb::Retry, &id(6), "a")), "it is later");
        assert!(!gives_way(command(Verb::Retry, &id(4), "b")));
        assert!(!gives_way(command(Verb::Pause, &id(4), "a")), "it raises nothing");
        assert!(!gives_way(back.clone()), "not to itself");
    }
}
