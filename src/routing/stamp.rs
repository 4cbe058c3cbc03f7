//! The mark that every write of ours leaves on the routed object, in the same request: by it our own writes are
//! recognised, and a raise that was computed before a rollback cannot land after it.

use crate::rollout::weight::Weight;
use std::fmt;
use std::str::FromStr;

/// What every stamp's annotation key begins with; the component follows.
pub const STAMP_PREFIX: &str = "rollout.sealos.io/w.";

/// The name part of an annotation key has at most 63 characters, two of which are `w.`.
const MAX_COMPONENT: usize = 61;

/// The annotation key of a component's stamp. Names that do not fit keep their first 44 characters, and a hash of
/// the whole name follows after a point, which no component's name has: long names stay apart from short ones.
pub fn stamp_key(component: &str) -> String {
    if component.len() <= MAX_COMPONENT {
        return format!("{STAMP_PREFIX}{component}");
    }
    let head: String = component.chars().take(44).collect();
    format!("{STAMP_PREFIX}{head}.{:016x}", fnv1a(component.as_bytes()))
}

/// FNV-1a, 64 bits: the key must be the same in every build, so the standard library's hasher will not do.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Who wrote which weight, and why: `<id> <weight> <reason>`. What is displayed parses back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    id: String,
    weight: Weight,
    reason: String,
}

/// A text that is no stamp.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a stamp: an id without spaces, a weight and a reason code in PascalCase are")]
pub struct NotAStamp(String);

impl Stamp {
    /// A stamp. The id is 1–64 letters, digits, `-`, `_` or `.`; the reason a `PascalCase` code of at most 64 letters
    /// and digits.
    pub fn new(id: &str, weight: Weight, reason: &str) -> Result<Self, NotAStamp> {
        let id_fits = (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let reason_fits = reason.len() <= 64
            && reason.starts_with(|first: char| first.is_ascii_uppercase())
            && reason.bytes().all(|b| b.is_ascii_alphanumeric());
        if id_fits && reason_fits {
            Ok(Self {
                id: id.to_owned(),
                weight,
                reason: reason.to_owned(),
            })
        } else {
            Err(NotAStamp(format!("{id} {weight} {reason}")))
        }
    }

    /// The id of the intent or rollback that wrote.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The weight that was written.
    pub const fn weight(&self) -> Weight {
        self.weight
    }

    /// Why, as a `PascalCase` code.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.id, self.weight, self.reason)
    }
}

impl FromStr for Stamp {
    type Err = NotAStamp;

    fn from_str(text: &str) -> Result<Self, NotAStamp> {
        let error = || NotAStamp(text.to_owned());
        let mut words = text.split(' ');
        let (Some(id), Some(weight), Some(reason), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(error());
        };
        let weight = weight.parse().map_err(|_| error())?;
        Self::new(id, weight, reason).map_err(|_| error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_displayed_parses_back(
            id in "[A-Za-z0-9._-]{1,64}", permille in 0..=1000u16, reason in "[A-Z][A-Za-z0-9]{0,63}",
        ) {
            let stamp = Stamp::new(&id, Weight::from_permille(permille).unwrap(), &reason).unwrap();
            prop_assert_eq!(stamp.to_string().parse::<Stamp>().unwrap(), stamp);
        }

        #[test]
        fn any_text_is_read_without_harm(text in ".*") {
            if let Ok(stamp) = text.parse::<Stamp>() {
                prop_assert_eq!(stamp.to_string().parse::<Stamp>().unwrap(), stamp);
            }
        }

        #[test]
        fn keys_are_valid_and_tell_components_apart(a in "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", b in "[a-z0-9]([a-z0-9-]{50,61}[a-z0-9])?") {
            for key in [stamp_key(&a), stamp_key(&b)] {
                let name = key.strip_prefix("rollout.sealos.io/").unwrap();
                prop_assert!(name.len() <= 63, "{name}");
                prop_assert!(name.ends_with(|c: char| c.is_ascii_alphanumeric()));
            }
            prop_assert_eq!(stamp_key(&a) == stamp_key(&b), a == b);
        }
    }

    #[test]
    fn long_names_that_differ_at_their_end_have_different_keys() {
        let (a, b) = (format!("{}a", "x".repeat(62)), format!("{}b", "x".repeat(62)));
        assert_ne!(stamp_key(&a), stamp_key(&b));
        assert_eq!(stamp_key("terminal"), "rollout.sealos.io/w.terminal");
    }

    #[test]
    fn an_id_with_a_space_or_a_reason_in_words_is_refused() {
        for (id, reason) in [
            ("a b", "Raise"),
            ("", "Raise"),
            ("a", "raise"),
            ("a", "Two Words"),
            ("a", ""),
        ] {
            assert!(Stamp::new(id, Weight::ZERO, reason).is_err(), "{id:?} {reason:?}");
        }
    }
}
