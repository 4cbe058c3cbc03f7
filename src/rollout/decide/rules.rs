//! The promises, each a property over whole lives: people, faults and weather in any order. Every one of them
//! turns red when its rule alone is broken (`make sabotage`).

mod beside;
mod gates;
mod history;
mod pools;
mod promises;
mod table;
pub(crate) mod world;
