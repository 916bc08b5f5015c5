//! See `pilotlight_fuzz::uptime_check`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pilotlight_fuzz::uptime_check::try_one(data));
