//! What a gate looks like to visitors, learned by asking the standby as they do.

use std::time::Duration;

use crate::core::{Observed, Position, View};

use super::AskStandby;

/// Asking may take no longer, for a switch may be waiting in the lane; a cold start that does leaves the effective position unknown.
const PATIENCE: Duration = Duration::from_secs(2);

/// Two answers in a row have to agree: while a change propagates, front ends disagree.
pub(super) async fn effective(ask: &AskStandby) -> Option<Position> {
    let ask_twice = async {
        let first = passes(ask().await.view)?;
        let second = passes(ask().await.view)?;
        (first == second).then_some(first)
    };
    tokio::time::timeout(PATIENCE, ask_twice).await.ok().flatten()
}

const fn passes(view: View) -> Option<Position> {
    match view {
        View::Standby => Some(Position::On),
        View::Shut => Some(Position::Off),
        _ => None,
    }
}

/// The provider's record alone.
pub(super) fn configured(position: Position) -> Observed {
    Observed {
        configured: Some(position),
        ..Observed::default()
    }
}
