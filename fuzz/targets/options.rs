//! See `src/fuzzing/options.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster2::fuzzing::options::check(bytes));
