//! See `pilotlight_fuzz::page_rule`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pilotlight_fuzz::page_rule::try_one(data));
