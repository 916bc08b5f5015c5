//! See `pilotlight_fuzz::iam_policy`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pilotlight_fuzz::iam_policy::try_one(data));
