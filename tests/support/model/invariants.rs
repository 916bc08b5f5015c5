//! Every invariant that the world is audited for: its name, the rule of DESIGN section 4 that it guards, and why.
//!
//! An invariant speaks of the world: of records at the providers, of what visitors meet, of what was sent and what was told. Where it
//! cannot hold in principle, because somebody else writes too or nobody could know, the exception stands beside it.

use std::fmt;

/// What may never be seen in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invariant {
    /// A failover is decided only when something has been wrong for `down_for` since the site was last healthy.
    HoldBeforeFailover,
    /// While the standby serves, home is decided only after `healthy_threshold` good scheduled probes in a row over `up_for`.
    ///
    /// Except: a failure that a newer success overtook before the references had answered; nobody knows whose it was.
    QuietBeforeHome,
    /// With our own line cut for longer than the references' word counts nothing is decided.
    BlindDecidesNothing,
    /// No decision within a full window since the start of the process.
    WindowBeforeDecision,
    /// A start in the middle of an episode moves no redirect against the saved intent within a full window.
    ///
    /// Except: an operator's command, a redirect that somebody else moved, a rollback or a loop, which are rules of their own.
    StartMovesNobody,
    /// The same settings read anew change nothing at all.
    ReloadChangesNothing,
    /// Visitors are not sent to a gate that is shut while patience lasts.
    ///
    /// Except: somebody else put the redirect on, or shut the gate, which opens no quicker for us; and the to and fro of a grant that still spreads, of which two
    /// good answers in a row are all that anybody can know.
    NoVisitorsToShutGate,
    /// Visitors that are sent to a shut gate because patience is spent are told of.
    RefusalTold,
    /// The gate is not told to shut while the redirect is on.
    ///
    /// Except: somebody else put it on since it was last read.
    GateNotShutUnderRedirect,
    /// The gate is not told to shut within `drain` of the redirect's going off.
    ///
    /// Except: somebody else moved it, or the process began since and remembers nothing of it.
    DrainBeforeShut,
    /// The gate is not told to shut within `drain` of its being told to open.
    ///
    /// Except: the process began since and the disk had lost it.
    OpenedGateStaysOpen,
    /// After the redirect went off home is seen by a visitor in time, or the redirect is wished on again.
    HomeProvenOrBack,
    /// The redirect is not newly wished on while the standby has been visibly broken for longer than a proof counts.
    BrokenStandbyHeldBack,
    /// Never two operations in flight on one toggle.
    OneOperation,
    /// What was read back where it should be is not set again, but for a silence that is to be renewed.
    NothingWithoutDifference,
    /// The intent is on disk before a write leaves, or the disk was given up on and people are told.
    IntentFirst,
    /// At most 6 writes a minute and 80 calls an hour reach a provider.
    BudgetKept,
    /// What a provider asks to wait is waited, as long as the process lives.
    WaitRespected,
    /// As long as a toggle is not where it should be, it is tried again and again.
    NeverGivesUp,
    /// At most three repairs an hour of one toggle.
    RepairsLimited,
    /// While paused nothing is written.
    ///
    /// Except: a write that was decided before the pause and waited for its intent to be on disk.
    PauseMeansNoWrites,
    /// What may be told once on a leg of an episode is told once.
    ///
    /// Except: the process began since and the disk had lost it.
    EdgeToldOnce,
    /// Every change of the route is told.
    EdgeTold,
    /// Nothing is taken back that was not said in the same life of the process or the same episode.
    NothingUnsaidTakenBack,
    /// Core does not ask to be woken again and again at one instant.
    NeverSpins,
    /// With home dead and all else well for long enough, visitors are at the standby.
    DeadHomeMeansStandby,
    /// With all well for long enough, everything rests at home, verified, and the records agree.
    CalmConverges,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::HoldBeforeFailover,
        Self::QuietBeforeHome,
        Self::BlindDecidesNothing,
        Self::WindowBeforeDecision,
        Self::StartMovesNobody,
        Self::ReloadChangesNothing,
        Self::NoVisitorsToShutGate,
        Self::RefusalTold,
        Self::GateNotShutUnderRedirect,
        Self::DrainBeforeShut,
        Self::OpenedGateStaysOpen,
        Self::HomeProvenOrBack,
        Self::BrokenStandbyHeldBack,
        Self::OneOperation,
        Self::NothingWithoutDifference,
        Self::IntentFirst,
        Self::BudgetKept,
        Self::WaitRespected,
        Self::NeverGivesUp,
        Self::RepairsLimited,
        Self::PauseMeansNoWrites,
        Self::EdgeToldOnce,
        Self::EdgeTold,
        Self::NothingUnsaidTakenBack,
        Self::NeverSpins,
        Self::DeadHomeMeansStandby,
        Self::CalmConverges,
    ];

    /// The rule of DESIGN section 4, and the invariant's name.
    pub const fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::HoldBeforeFailover => ("r01", "no-failover-before-the-hold"),
            Self::DeadHomeMeansStandby => ("r01", "dead-home-means-standby"),
            Self::QuietBeforeHome => ("r02", "quiet-before-home"),
            Self::BlindDecidesNothing => ("r03", "blind-decides-nothing"),
            Self::WindowBeforeDecision => ("r04", "window-before-decision"),
            Self::StartMovesNobody => ("r04", "start-moves-nobody"),
            Self::ReloadChangesNothing => ("r04", "reload-changes-nothing"),
            Self::NeverSpins => ("r05", "never-spins"),
            Self::NoVisitorsToShutGate => ("r06", "no-visitors-to-a-shut-gate"),
            Self::GateNotShutUnderRedirect => ("r06", "gate-not-shut-under-redirect"),
            Self::DrainBeforeShut => ("r06", "gate-never-shut-before-drain"),
            Self::HomeProvenOrBack => ("r06", "home-proven-or-back"),
            Self::RefusalTold => ("r07", "refusal-told"),
            Self::BrokenStandbyHeldBack => ("r07", "broken-standby-held-back"),
            Self::OpenedGateStaysOpen => ("r08", "opened-gate-stays-open"),
            Self::OneOperation => ("r09", "one-operation-per-toggle"),
            Self::NothingWithoutDifference => ("r09", "nothing-without-difference"),
            Self::IntentFirst => ("r10", "intent-before-write"),
            Self::BudgetKept => ("r11", "budget-kept"),
            Self::WaitRespected => ("r11", "wait-respected"),
            Self::NeverGivesUp => ("r11", "never-gives-up"),
            Self::RepairsLimited => ("r12", "repairs-limited"),
            Self::CalmConverges => ("r12", "calm-converges"),
            Self::PauseMeansNoWrites => ("r13", "pause-means-no-writes"),
            Self::EdgeTold => ("r14", "edge-told"),
            Self::EdgeToldOnce => ("r14", "edge-told-once"),
            Self::NothingUnsaidTakenBack => ("r14", "nothing-unsaid-taken-back"),
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rule, name) = self.name();
        write!(f, "{rule} {name}")
    }
}
