//! What others keep at the providers beside what is ours, made from bytes, and what a write of ours may change in it.
//!
//! The bytes are a seed's in `cargo test` and the fuzzer's in `fuzz/`, which uses these very files: what it finds can be kept as a test.
//! Nothing here knows the code under test.

pub mod policy;
pub mod ruleset;

use arbitrary::{Result, Unstructured};
use serde_json::{Value, json};

/// A field that nobody told us of, as providers add them.
fn unknown_field(u: &mut Unstructured<'_>) -> Result<(&'static str, Value)> {
    let name = *u.choose(&["auditConfigs", "annotations", "kind", "x-new", "owner"])?;
    let value = match u.int_in_range(0..=5)? {
        0 => json!(u.arbitrary::<u32>()?),
        1 => {
            json!([{"service": "allServices", "auditLogConfigs": [{"logType": "ADMIN_READ", "exemptedMembers": ["allUsers"]}]}])
        }
        2 => json!({"enabled": u.arbitrary::<bool>()?, "role": "roles/run.invoker", "members": ["allUsers"]}),
        3 => Value::Null,
        4 => json!(""),
        _ => json!("ünïcode \u{1f56f} \"quoted\" \\ \u{7}"),
    };
    Ok((name, value))
}

/// Random bytes that this seed alone decides (`SplitMix64`).
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let word = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    let words = std::iter::repeat_with(word);
    words.flat_map(u64::to_le_bytes).take(length).collect()
}
