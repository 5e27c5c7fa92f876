//! See `src/fuzzing/http.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cluster2::fuzzing::http::check(bytes));
