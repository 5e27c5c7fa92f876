//! See `src/fuzzing/modules.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster2::fuzzing::modules::check(bytes));
