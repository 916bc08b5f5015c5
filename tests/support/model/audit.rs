//! What the audit remembers of the world, and the checks of decisions, writes and notices against it.

use std::collections::VecDeque;
use std::time::Duration;

use pilotlight::core::{
    Failure, FailureKind, Instant, Mode, Observed, Position, Role, Route, Sighting, Snapshot, ToggleKey, View,
};

use super::Keyed;
use super::notices::Said;

/// What the audit remembers.
#[derive(Debug)]
pub struct Audit {
    /// When the process began.
    pub started: Instant,
    pub(super) commanded_at: Option<Instant>,
    pub(super) tracks: Keyed<Track>,
    /// Where visitors were to go by what was saved when the process began; nothing of that beside an override.
    pub(super) intent: Intent,
    /// Something has been wrong since then, and the site was not healthy and well for a minute since.
    pub(super) trouble: Option<Instant>,
    pub(super) ill_at: Instant,
    /// Good scheduled probes in a row and when the first of them ended.
    pub(super) good: u32,
    pub(super) good_since: Option<Instant>,
    newest_probe: Instant,
    mirrored_at: Instant,
    /// Good probes before failures that wait for the references.
    overtaken: Option<(u32, Option<Instant>)>,
    /// Since when our own line is cut.
    pub(super) cut_since: Option<Instant>,
    pub(super) line_back_at: Instant,
    pub(super) save_works: bool,
    /// Something that was told may not be on disk.
    pub(super) lost_saves: bool,
    pub(super) said: Said,
    pub(super) calls: [Calls; 2],
    /// Time without a visitor's sight of home since we put the redirect off, as far as nothing else was wrong.
    pub(super) unproven: Option<Duration>,
    /// A visitor was seen at the standby since the last time at home.
    pub(super) served: bool,
    /// Since when visitors are refused by a gate that patience was spent on.
    pub(super) refused_since: Option<Instant>,
    /// Since when the standby is visibly broken.
    pub(super) broken_since: Option<Instant>,
    pub(super) checked_at: Instant,
}

/// What is remembered of one toggle.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    /// Told to go on by this or an earlier process and not told off since.
    pub(super) told_on_since: Option<Instant>,
    /// The last position that was read back, and when.
    pub(super) known: Option<(Position, Instant)>,
    pub(super) last_set: Option<Position>,
    pub(super) meddled_at: Option<Instant>,
    /// Whoever moved it last was somebody else, or a write of ours that came true late.
    pub(super) foreign: bool,
    /// No room for a call before this: the provider said so, or our own budget.
    pub(super) wait_until: Option<Instant>,
    /// No call before this: the provider said so.
    pub(super) asked_until: Option<Instant>,
    pub(super) ended_at: Option<Instant>,
    pub(super) lapses_in: Option<(Instant, Duration)>,
    /// The saved record does not know that it went off.
    pub(super) off_forgotten: bool,
    /// A gate that somebody else moved and that was not seen open since.
    pub(super) not_open_since: bool,
}

/// What a process found on disk when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    /// Nothing.
    Unknown,
    Route(Route),
    /// An operator's override, which may end at any time. Also the first process's.
    Overridden,
}

/// Calls that reached one provider.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    pub(super) all: VecDeque<Instant>,
    pub(super) writes: VecDeque<Instant>,
}

impl Audit {
    pub fn new(now: Instant) -> Self {
        Self {
            started: now,
            commanded_at: None,
            tracks: Keyed::default(),
            intent: Intent::Overridden,
            trouble: None,
            ill_at: Instant::ZERO,
            good: 0,
            good_since: None,
            newest_probe: Instant::ZERO,
            mirrored_at: Instant::ZERO,
            overtaken: None,
            cut_since: None,
            line_back_at: Instant::ZERO,
            save_works: true,
            lost_saves: false,
            said: Said::default(),
            calls: <[Calls; 2]>::default(),
            unproven: None,
            served: false,
            refused_since: None,
            broken_since: None,
            checked_at: now,
        }
    }

    /// A new process: it knows what is on disk and no more.
    pub fn restarted(&mut self, now: Instant, disk: Option<&Snapshot>) {
        self.started = now;
        self.commanded_at = None;
        self.save_works = true;
        self.intent = match disk {
            None => Intent::Unknown,
            Some(snapshot) if snapshot.mode == Mode::Auto => Intent::Route(snapshot.route),
            Some(_) => Intent::Overridden,
        };
        let records = disk.map_or(&[][..], |snapshot| &snapshot.toggles);
        for (key, track) in self.tracks.iter_mut() {
            let record = records.iter().find(|record| record.key == *key);
            let opened = record.is_some_and(|record| record.on_for.is_some());
            *track = Track {
                told_on_since: track.told_on_since.filter(|_| opened),
                meddled_at: track.meddled_at,
                foreign: track.foreign,
                not_open_since: track.not_open_since,
                off_forgotten: record.is_none_or(|record| record.off_for.is_none()),
                ..Track::default()
            };
        }
        let failed_over = disk
            .and_then(|snapshot| snapshot.episode.as_ref())
            .is_some_and(|episode| episode.failed_over);
        self.served &= failed_over;
        self.said.restarted();
        if self.lost_saves {
            self.said.forget();
        }
        self.lost_saves = false;
    }

    /// The process died; a save that was under way is lost.
    pub fn crashed(&mut self, saving: bool) {
        self.lost_saves |= saving;
    }

    pub fn commanded(&mut self, now: Instant) {
        self.commanded_at = Some(now);
    }

    pub fn meddled(&mut self, key: ToggleKey, now: Instant) {
        let track = self.track(key);
        track.meddled_at = Some(now);
        track.foreign = true;
        track.not_open_since = key.role == Role::Gate;
    }

    /// A write of ours came true.
    pub fn written(&mut self, key: ToggleKey, position: Position) {
        self.track(key).foreign = false;
        if key.role == Role::Redirect {
            self.unproven = (position == Position::Off).then_some(Duration::ZERO);
        }
    }

    /// A write of ours came true long after it was sent.
    pub fn came_late(&mut self, key: ToggleKey, now: Instant) {
        let track = self.track(key);
        track.foreign = true;
        track.meddled_at = Some(now);
    }

    pub fn saved(&mut self, in_time: bool) {
        self.save_works = in_time;
        self.lost_saves |= !in_time;
    }

    /// A visitor's look was taken.
    pub fn visited(&mut self, sighting: &Sighting) {
        if sighting.redirect != Some(Position::On) && matches!(sighting.view, View::Home | View::Cached | View::Blocked)
        {
            self.unproven = None;
            self.served = false;
        } else if sighting.redirect == Some(Position::On) && sighting.view == View::Standby {
            self.served = true;
        }
    }

    /// The references answered.
    pub fn mirrored(&mut self, now: Instant) {
        self.mirrored_at = now;
        self.overtaken = None;
    }

    /// A probe ended. `references`: their word counts for so long while the standby serves; a failure that waits for it and is overtaken by
    /// a newer success was never judged.
    pub fn probed(&mut self, now: Instant, sent_at: Instant, scheduled: bool, ok: bool, references: Duration) {
        if sent_at < self.newest_probe {
            return;
        }
        self.newest_probe = sent_at;
        if ok {
            if let Some(good) = self.overtaken.take() {
                (self.good, self.good_since) = good;
            }
            self.good_since.get_or_insert(now);
            self.good += u32::from(scheduled);
        } else if self.cut_since.is_none() && now.since(self.line_back_at) > Duration::from_secs(120) {
            if now.since(self.mirrored_at) >= references {
                self.overtaken.get_or_insert((self.good, self.good_since));
            }
            self.good = 0;
            self.good_since = None;
        }
    }

    /// An operation ended.
    pub fn ended(&mut self, key: ToggleKey, now: Instant, result: Result<Observed, Failure>) {
        let track = self.track(key);
        track.ended_at = Some(now);
        match result {
            Ok(observed) => {
                track.known = observed.configured.map(|position| (position, now));
                track.lapses_in = observed.lapses_in.map(|left| (now, left));
                track.wait_until = None;
                track.asked_until = None;
            }
            Err(failure) => {
                track.known = None;
                track.wait_until = failure.retry_after.map(|wait| now + wait);
                // What our own budget holds back may be tried again by a write that is needed.
                track.asked_until = track.wait_until.filter(|_| failure.kind != FailureKind::HeldBack);
            }
        }
    }

    pub(super) fn track(&mut self, key: ToggleKey) -> &mut Track {
        self.tracks.or_default(key)
    }
}
