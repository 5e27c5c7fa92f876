//! See `src/fuzzing/messages.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster2::fuzzing::messages::check(bytes));
