//! See `pilotlight_fuzz::cloud_run`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pilotlight_fuzz::cloud_run::try_one(data));
