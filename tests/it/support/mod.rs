//! What several integration tests share.

pub(crate) mod cluster;
pub(crate) mod hook;
pub(crate) mod steady;
pub(crate) mod tools;
#[allow(dead_code, reason = "the sweep uses more of it")]
pub(crate) mod world;
