//! See `src/fuzzing/channel.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster2::fuzzing::channel::check(bytes));
