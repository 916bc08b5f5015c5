//! Who wants a shared object on, and what may be sent to it because of that. Pure: the lane around it is in [`super::shared`].

use std::collections::BTreeMap;

use crate::core::{Observed, Position};

/// What each site that shares an object wants of it; nothing before a site has said so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Claims {
    wants: BTreeMap<String, Option<Position>>,
}

/// What a site's operation sends to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Errand {
    /// Only a read.
    Read,
    /// A write.
    Write(Position),
    /// The site lets go of it, and it stays on for another one: only a read.
    Release,
}

impl Claims {
    /// A site shares the object. What it wants is not known until it claims: it may be in the middle of an episode.
    pub fn join(&mut self, site: &str) {
        self.wants.entry(site.to_owned()).or_insert(None);
    }

    /// What a site wants from now on.
    pub fn claim(&mut self, site: &str, position: Position) {
        self.wants.insert(site.to_owned(), Some(position));
    }

    /// What `site` sends when it is its turn: a read without a wish, and never an off against another site's claim.
    pub fn errand(&self, site: &str, wish: Option<Position>) -> Errand {
        match wish {
            None => Errand::Read,
            Some(Position::Off) if self.held_against(site) => Errand::Release,
            Some(position) => Errand::Write(position),
        }
    }

    /// What was read, as `site` is to understand it: on because of another site or of its owner, or not.
    #[must_use]
    pub fn tell(&self, site: &str, observed: Observed) -> Observed {
        Observed {
            held_by_other: observed.configured == Some(Position::On)
                && (observed.held_by_other || self.held_against(site)),
            ..observed
        }
    }

    /// Whether it has to stay on for another site than `site`: one that wants it on, or has not yet said.
    fn held_against(&self, site: &str) -> bool {
        let own = self.wants.get(site).copied().flatten();
        own != Some(Position::On)
            && self
                .wants
                .iter()
                .any(|(name, claim)| name != site && *claim != Some(Position::Off))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_switches_off_what_another_site_wants_or_has_not_spoken_of() {
        let mut claims = Claims::default();
        claims.join("a");
        claims.join("b");
        claims.claim("a", Position::Off);
        assert_eq!(
            claims.errand("a", Some(Position::Off)),
            Errand::Release,
            "b has not said"
        );
        claims.claim("b", Position::On);
        assert_eq!(claims.errand("a", Some(Position::Off)), Errand::Release);
        assert_eq!(claims.errand("a", None), Errand::Read);
        claims.claim("b", Position::Off);
        assert_eq!(claims.errand("b", Some(Position::Off)), Errand::Write(Position::Off));
        assert_eq!(claims.errand("a", Some(Position::On)), Errand::Write(Position::On));
    }

    #[test]
    fn what_is_on_for_another_site_is_told_so_and_what_is_off_is_not() {
        let mut claims = Claims::default();
        claims.claim("a", Position::Off);
        claims.claim("b", Position::On);
        let is = |configured| Observed {
            configured: Some(configured),
            ..Observed::default()
        };
        assert!(claims.tell("a", is(Position::On)).held_by_other);
        assert!(!claims.tell("a", is(Position::Off)).held_by_other);
        assert!(!claims.tell("b", is(Position::On)).held_by_other, "b holds it itself");
        let kept = Observed {
            held_by_other: true,
            ..is(Position::On)
        };
        assert!(claims.tell("b", kept).held_by_other, "its owner keeps it on");
    }
}
