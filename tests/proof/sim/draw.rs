//! A life's policy and layout, drawn from a seed: valid by the config's own rules.

use std::time::Duration;

use pilotlight::core::controller::Layout;
use pilotlight::core::{BrokenStandby, DriftPolicy, Failback, Policy, Role, ToggleKey};

use crate::support::model::{self, Chance, TOGGLE_TIMEOUT, secs};

/// The defaults in every second life; in the others anything that the config allows and somebody might want.
pub fn policy(chance: &mut Chance) -> Policy {
    if chance.one_in(2) {
        return model::policy();
    }
    let interval = chance.between(secs(1), secs(30));
    let up_for = chance.between(secs(1), secs(3600));
    let after_toggle = TOGGLE_TIMEOUT + secs(1);
    Policy {
        interval,
        confirm_interval: chance.between(Duration::from_millis(100), interval),
        visitor_interval: chance.between(secs(10), secs(600)),
        references_again: chance.between(secs(2), secs(60)),
        unhealthy_threshold: small(chance, 6),
        down_for: chance.between(secs(1), secs(180)),
        clear_threshold: small(chance, 4),
        clear_for: chance.between(secs(1), secs(60)),
        healthy_threshold: small(chance, 20),
        up_for,
        up_for_max: chance.between(up_for, secs(12 * 3600)),
        relapse_window: chance.between(secs(60), secs(3 * 3600)),
        prewarm: !chance.one_in(4),
        failback: if chance.one_in(6) {
            Failback::Manual
        } else {
            Failback::Auto
        },
        broken_standby: if chance.one_in(4) {
            BrokenStandby::Switch
        } else {
            BrokenStandby::Hold
        },
        drift: if chance.one_in(4) {
            DriftPolicy::Report
        } else {
            DriftPolicy::Repair
        },
        gate_patience: chance.between(after_toggle, secs(600)),
        drain: chance.between(after_toggle, secs(1800)),
        verify_every: chance.between(after_toggle.max(secs(60)), secs(1800)),
        home_proof: chance.between(secs(10), secs(180)),
    }
}

fn small(chance: &mut Chance, most: u64) -> u32 {
    u32::try_from(1 + chance.below(most)).expect("small")
}

/// Three toggles mostly; sometimes several of a role, or none.
pub fn layout(chance: &mut Chance) -> Layout {
    let counts: [u8; 3] = *chance.pick(&[
        [1, 1, 1],
        [1, 1, 1],
        [1, 1, 1],
        [1, 1, 1],
        [1, 1, 2],
        [1, 1, 3],
        [1, 1, 0],
        [0, 1, 1],
        [0, 1, 0],
        [2, 1, 1],
        [1, 2, 1],
        [1, 0, 1],
    ]);
    let keys = |(role, count): (Role, u8)| (0..count).map(move |index| ToggleKey { role, index });
    Layout {
        toggles: Role::ALL.into_iter().zip(counts).flat_map(keys).collect(),
        edge_eye: chance.one_in(3),
    }
}
