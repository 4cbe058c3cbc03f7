//! The verbs against the API server of the sandbox, over its wire.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::needless_pass_by_value,
    clippy::print_stdout,
    reason = "helpers of tests too say what went wrong by panicking, and read well without borrowing"
)]

mod accepted;
mod adversity;
mod advice;
mod after_cleanup;
mod ages;
mod any_cluster;
mod apply;
mod as_it_would_be;
mod backup;
mod batches;
mod beside;
mod block;
mod both_sides;
mod canaries;
mod cleanup;
mod codes;
mod comes_back;
mod controllers;
mod counted;
mod dice;
mod finish;
mod foreign;
mod handing_over;
mod headers;
mod interrupted;
mod killed;
mod kinds;
mod leading;
mod left_closed;
mod loadbalancer;
mod moved;
mod named;
mod objects;
mod one_of_several;
mod others_certificates;
mod ownership;
mod pages;
mod paging;
mod patience;
mod preflight;
mod probe;
mod progress;
mod restore;
mod rights;
mod rollback;
mod schemas;
mod sealed;
mod sequences;
mod shares;
mod side_by_side;
mod split;
mod standing;
mod support;
mod takeover;
mod tenant;
mod unreadable_counts;
mod walkthrough;
mod way_back;
mod wider;
mod wire;
