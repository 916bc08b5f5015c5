//! The receiver of notices.

use std::time::Duration;

use super::levers::Notice;
use super::serve::{Asked, Effect, Reply};
use super::world::State;

/// How many notices are kept; the oldest go first.
const MAX_NOTICES: usize = 1000;
/// The path that is the receiver's secret.
pub(super) const PATH: &str = "/hooks/worthless-sandbox-hook";

/// Takes a notice.
pub(super) fn answer(state: &mut State, asked: &Asked, at: Duration) -> Reply {
    if asked.method != "POST" || asked.path != PATH {
        return Reply::text(404, "no such hook\n");
    }
    if state.notices.len() >= MAX_NOTICES {
        state.notices.remove(0);
    }
    state.notices.push(Notice {
        at,
        body: String::from_utf8_lossy(&asked.body).into_owned(),
        id: asked.header("webhook-id").map(ToOwned::to_owned),
    });
    Reply::new(204, "", "").did(Effect::Changed)
}
