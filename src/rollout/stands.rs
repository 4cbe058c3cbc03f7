//! A component's state as it is told to people and scripts.

use super::reason::State;
use super::status::ComponentStatus;
use serde::{Serialize, Serializer};
use std::fmt;

/// Where a component stands. A rollback is decided before its traffic is back: until every routed object was read with it,
/// nobody is told `RolledBack`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// It is being put back, and its traffic is not back yet, or nobody has read that it is.
    RollingBack,
    /// Its state says it.
    As(State),
}

impl Stands {
    /// Its state, as the resource's status has it. That knows no `RollingBack`: a definition, or a daemon, of another
    /// release would refuse the whole status for it, in the middle of a rollback.
    pub const fn state(self) -> State {
        match self {
            Self::RollingBack => State::RolledBack,
            Self::As(state) => state,
        }
    }
}

impl ComponentStatus {
    /// Where it stands, as it is told.
    pub fn stands(&self) -> Stands {
        if self.state == State::RolledBack && self.lowering.is_some() {
            Stands::RollingBack
        } else {
            Stands::As(self.state)
        }
    }
}

impl fmt::Display for Stands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RollingBack => f.write_str("RollingBack"),
            Self::As(state) => state.fmt(f),
        }
    }
}

impl Serialize for Stands {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::reason::Reason;
    use crate::rollout::status::Lowering;
    use crate::rollout::weight::Weight;
    use serde_json::json;

    #[test]
    fn nobody_is_told_that_it_was_rolled_back_before_it_is_back_and_the_resource_keeps_its_words() {
        let mut c = ComponentStatus {
            state: State::RolledBack,
            ..ComponentStatus::default()
        };
        assert_eq!(json!(c.stands()), json!("RolledBack"));
        c.lowering = Some(Lowering {
            id: "01".into(),
            weight: Weight::ZERO,
            reason: Reason::Breach,
            at: "2026-03-02T09:00:00Z".parse().unwrap(),
            emergency: false,
        });
        assert_eq!(json!(c.stands()), json!("RollingBack"));
        assert_eq!(json!(c)["state"], json!("RolledBack"), "in the resource");
        for state in [State::Walking, State::Manual] {
            c.state = state;
            assert_eq!(c.stands(), Stands::As(state), "a lowering is no rollback");
        }
    }
}
