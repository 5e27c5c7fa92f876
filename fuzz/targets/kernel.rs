//! See `src/fuzzing/kernel.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster2::fuzzing::kernel::check(bytes));
