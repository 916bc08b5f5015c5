//! See `pilotlight_fuzz::token`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pilotlight_fuzz::token::try_one(data));
