//! See `pilotlight_fuzz::probe`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pilotlight_fuzz::probe::try_one(data));
