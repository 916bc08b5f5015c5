//! See `pilotlight_fuzz::config`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pilotlight_fuzz::config::try_one(data));
