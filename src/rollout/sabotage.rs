//! Builds in which a decision rule is broken.

use std::sync::LazyLock;

/// The rule that is broken, by its number, where the build can break any.
static BROKEN: LazyLock<Option<u8>> = LazyLock::new(|| {
    let asked = std::env::var("GRADUAL_ROLLOUT_SABOTAGE").ok()?;
    asked.parse().ok()
});

/// Whether a decision rule is broken. Never in a build that is used: only with `--cfg sabotage`, and there only the rule
/// whose number `GRADUAL_ROLLOUT_SABOTAGE` holds, so that one build serves all.
pub(crate) fn broken(rule: u8) -> bool {
    cfg!(sabotage) && *BROKEN == Some(rule)
}
