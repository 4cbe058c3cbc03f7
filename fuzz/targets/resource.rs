//! What it does and what must hold: `gradual_rollout::fuzzing::resource`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gradual_rollout::fuzzing::resource(bytes));
