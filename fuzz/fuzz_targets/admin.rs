//! See `pilotlight_fuzz::admin`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pilotlight_fuzz::admin::try_one(data));
