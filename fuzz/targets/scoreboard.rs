//! See `src/fuzzing/scoreboard.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster2::fuzzing::scoreboard::check(bytes));
