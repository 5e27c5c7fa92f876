//! See `src/fuzzing/control.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster2::fuzzing::control::check(bytes));
