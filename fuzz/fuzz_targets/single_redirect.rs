//! See `pilotlight_fuzz::single_redirect`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pilotlight_fuzz::single_redirect::try_one(data));
