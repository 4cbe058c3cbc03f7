//! What it does and what must hold: `gradual_rollout::fuzzing::settings`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gradual_rollout::fuzzing::settings(bytes));
