//! See `pilotlight_fuzz::state`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pilotlight_fuzz::state::try_one(data));
