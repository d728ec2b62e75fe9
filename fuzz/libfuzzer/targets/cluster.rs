//! `lockmaster_fuzz::cluster` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| lockmaster_fuzz::cluster(data));
