//! See `pilotlight_fuzz::text`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pilotlight_fuzz::text::try_one(data));
