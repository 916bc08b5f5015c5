//! See `pilotlight_fuzz::snooze`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pilotlight_fuzz::snooze::try_one(data));
