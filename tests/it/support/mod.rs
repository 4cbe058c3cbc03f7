//! What several integration tests share.

pub(crate) mod cluster;
pub(crate) mod hook;
pub(crate) mod steady;
pub(crate) mod tools;
pub(crate) mod world;
