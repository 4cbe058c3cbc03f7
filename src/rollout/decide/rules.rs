//! The promises, each a property over whole lives: people, faults and weather in any order. Every one of them
//! turns red when its rule alone is broken (`make sabotage`).

mod ages;
mod arms;
mod audits;
mod behind;
mod beside;
mod by_hand;
mod complaints;
mod crowds;
mod dependencies;
mod doubt;
mod emergencies;
mod foreign;
mod found;
mod frozen;
mod gates;
mod gateways;
mod history;
mod ids;
mod in_part;
mod late;
mod news;
mod overtaken;
mod patience;
mod pools;
mod previews;
mod promises;
mod recalls;
mod requires;
mod retries;
mod set_again;
mod skies;
mod table;
mod unlanded;
pub(crate) mod world;
