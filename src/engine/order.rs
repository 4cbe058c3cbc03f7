//! The order of the protocol's writes, and the builds in which two of them are swapped.

/// Two neighbouring writes of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pair {
    /// The finalizer, and the first raise.
    FinalizerRaise,
    /// A raise in the status, and in the routed objects.
    DeclareWrite,
    /// The inner router's raise, and the edge's.
    InnerEdge,
    /// The edge's lowering, and the inner router's.
    EdgeInner,
    /// Traffic that goes back, and the status that says so.
    LowerTell,
    /// A command's outcome in the status, and its removal.
    AnswerTidy,
    /// Marks that come off, and the finalizer that lets the resource go.
    LeaveRelease,
    /// A lowering in the status, and the deletion of what it emptied.
    RecordDelete,
    /// The `ConfigMap` of a controller, and the Deployment whose pods read it when they start.
    MapPods,
    /// What we make, at 0, and the raise of it in the status.
    MakeDeclare,
}

/// Whether a pair is swapped. Never in a build that is used: only with `--cfg sabotage_order`, and there only the pair
/// that `GRADUAL_ROLLOUT_SWAP` names, so that one build serves all. `make sweep` shows that a test turns red for each
/// that it lists.
pub(super) fn swapped(pair: Pair) -> bool {
    cfg!(sabotage_order)
        && std::env::var("GRADUAL_ROLLOUT_SWAP").is_ok_and(|name| name == format!("{pair:?}"))
}
