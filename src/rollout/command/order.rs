//! Whether two commands are one, and which of two was given later.

use super::{Command, Verb};
use crate::rollout::plan::digest;
use jiff::Timestamp;
use ulid::Ulid;

impl Command {
    /// What it asks, in sixteen characters: with its id and its verb it is known by that.
    pub fn digest(&self) -> String {
        digest(&self.value())
    }

    /// When it was given, as its id says; `None` when the id is no ULID.
    pub fn given_at(&self) -> Option<Timestamp> {
        given_at(&self.id)
    }

    /// Its id, if that is a ULID.
    fn ulid(&self) -> Option<Ulid> {
        ulid(&self.id)
    }

    /// Where it stands among those that wait: ULIDs by their age.
    pub fn place(&self) -> String {
        self.ulid()
            .map_or_else(|| self.id.clone(), |ulid| ulid.to_string())
    }

    /// Whether it was given after another one; `None` where their ids do not tell.
    pub fn is_after(&self, other: &Self) -> Option<bool> {
        let (mine, theirs) = (self.ulid()?, other.ulid()?);
        (mine != theirs).then_some(mine > theirs)
    }

    /// Whether it was surely given before what has a mark: by the milliseconds of both ids.
    pub fn is_before_mark(&self, mark: &str) -> bool {
        let mark = mark.parse::<Ulid>().ok();
        let times = self.ulid().zip(mark);
        times.is_some_and(|(mine, mark)| mine.timestamp_ms() < mark.timestamp_ms())
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

/// When the command with this id was given, if that is a ULID.
pub fn given_at(id: &str) -> Option<Timestamp> {
    let millis = ulid(id)?.timestamp_ms();
    Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()
}

/// An id, if that is a ULID. Some write theirs in small letters, for names of Kubernetes have no others.
fn ulid(id: &str) -> Option<Ulid> {
    let ulid: Ulid = id.parse().ok()?;
    // Of one that claims more bits than there are the first are lost.
    ulid.to_string().eq_ignore_ascii_case(id).then_some(ulid)
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
    fn only_of_two_ulids_it_is_known_which_was_given_later() {
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
        for other in ["1796040000", "1796040000123456789", "z", &wrapped] {
            assert_eq!(is_after(other, &early), None, "{other}");
        }
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
        assert!(gives_way(command(Verb::Retry, "1796040000", "*")));
        assert!(!gives_way(command(Verb::Retry, &id(6), "a")), "it is later");
        assert!(!gives_way(command(Verb::Retry, &id(4), "b")));
        assert!(!gives_way(command(Verb::Pause, &id(4), "a")), "it raises nothing");
        assert!(!gives_way(back.clone()), "not to itself");
    }
}
