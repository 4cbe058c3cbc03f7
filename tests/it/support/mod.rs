//! What several integration tests share.

pub(crate) mod tools;
pub(crate) mod world;
