//! See `pilotlight_fuzz::outbox`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pilotlight_fuzz::outbox::try_one(data));
