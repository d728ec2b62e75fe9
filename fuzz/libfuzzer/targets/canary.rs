//! `lockmaster_fuzz::canary` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockmaster_fuzz::canary(data));
